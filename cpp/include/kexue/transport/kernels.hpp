// Row kernels of the transport area: reduced costs c[j] - v[j] of one row, on one thread.
//
// Costs are finite or +inf, potentials finite or -inf, so that no reduced cost is NaN. n >= 1. The
// index that comes with a minimum is one that attains it; which of several is the same for every
// call with the same input, but depends on the instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kexue::transport {

template <class T>
struct RowMinimum {
  T value;
  std::ptrdiff_t index;
};
// The two least of a row; `second` is +inf for n = 1, and equal to `value` if that is attained
// twice.
template <class T>
struct TwoMinima {
  T value, second;
  std::ptrdiff_t index;
};

template <class T>
struct RowKernel {
  RowMinimum<T> (*minimum)(const T* c, const T* v, std::ptrdiff_t n);
  TwoMinima<T> (*two_minima)(const T* c, const T* v, std::ptrdiff_t n);
  // best[j] = min(best[j], c[j] - u), where it falls from[j] = row
  void (*lower_columns)(const T* c, T u, std::ptrdiff_t row, T* best, std::int32_t* from,
                        std::ptrdiff_t n);
  // Indices of c[j] - v[j] < below, ascending, to found; returns how many (room for n).
  std::ptrdiff_t (*select_below)(const T* c, const T* v, T below, std::int32_t* found,
                                 std::ptrdiff_t n);
};
struct RowKernels {
  RowKernel<float> f32;
  RowKernel<double> f64;
  // Of c[k] - v[index[k]]; the result's index is k. Indices are read, and must be good, up to the
  // next multiple of 16.
  TwoMinima<float> (*two_minima_at)(const float* c, const std::int32_t* index, const float* v,
                                    std::ptrdiff_t n);
  // One step of Dijkstra's algorithm: x = (c[j] - v[j]) + h, where x < d[j]: d[j] = x and
  // from[j] = row. The least d[j] afterwards.
  RowMinimum<double> (*relax)(const double* c, const double* v, double h, std::int64_t row,
                              double* d, std::int64_t* from, std::ptrdiff_t n);
};
const RowKernels& row_kernels();

}  // namespace kexue::transport
