// Sums of squares, in double precision whatever the entries are.
#pragma once

#include <cstddef>
#include <type_traits>

namespace kexue {

template <class R>
struct SquareKernels {
  // acc[j] += sum_{i < rows} x[i * ld + j]^2 for j < n.
  void (*down)(const R* x, std::ptrdiff_t ld, std::ptrdiff_t rows, std::ptrdiff_t n, double* acc);
  // sum_i x_i^2, in an order that depends on n alone.
  double (*sum)(const R* x, std::ptrdiff_t n);
  // r = factor * b; each square that is not negative falls by that of r, to zero at least. Returns
  // the largest of them, or zero.
  double (*downdate)(R factor, const R* b, R* r, double* squares, std::ptrdiff_t n);
  // The same for n complex numbers.
  double (*downdate_complex)(R factor, const R* b, R* r, double* squares, std::ptrdiff_t n);
};
struct SquareTables {
  SquareKernels<float> f32;
  SquareKernels<double> f64;
};
const SquareTables& square_tables();

template <class R>
const SquareKernels<R>& square_kernels() {
  if constexpr (std::is_same_v<R, float>) {
    return square_tables().f32;
  } else {
    return square_tables().f64;
  }
}

}  // namespace kexue
