// Single steps of a trellis (kexue/lattice/trellis.hpp), one table for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kexue::lattice {

// Sequences advanced together, so that a matrix is read once for all of them.
inline constexpr int kMaxTogether = 4;

template <class T>
struct TrellisKernel {
  // out[r][j] = max_i (d[r][i] + a[i * ld + j]) for j < ld: a multiple of 64 bytes per row, padded
  // with -inf; r < together.
  void (*max_step)(int together, std::ptrdiff_t n, std::ptrdiff_t ld, const T* a, const T* const* d,
                   T* const* out);
  // One sequence: value[t + 1] from value[t] (rows of ld) and the emissions at t (rows of n, one
  // more row than steps, ld <= 2 n), a matrix every `stride` entries; d holds ld entries.
  void (*max_steps)(std::ptrdiff_t steps, std::ptrdiff_t n, std::ptrdiff_t ld, const T* a,
                    std::ptrdiff_t stride, const T* emissions, T* d, T* value);
  // Back along the best path: path[steps] is known; path[t] is the first state that attains
  // value[t + 1][path[t + 1]]. Row j of `a` holds the transitions into j, padded with -inf.
  void (*trace)(std::ptrdiff_t steps, std::ptrdiff_t n, std::ptrdiff_t ld, const T* a,
                std::ptrdiff_t stride, const T* emissions, const T* value, std::int64_t* path);
  // The first i < n with d[i] + a[i] == value, which exists; n is a multiple of 64 bytes.
  std::ptrdiff_t (*find)(std::ptrdiff_t n, const T* d, const T* a, T value);
};
struct TrellisKernels {
  TrellisKernel<float> f32;
  TrellisKernel<double> f64;
  // out[j] = sum_i f[i] a[i * ld + j] for j < ld, padded with zeros.
  void (*sum_step)(std::ptrdiff_t n, std::ptrdiff_t ld, const double* a, const double* f,
                   double* out);
};
}  // namespace kexue::lattice

namespace kexue {
const lattice::TrellisKernels& trellis_kernels();
}  // namespace kexue
