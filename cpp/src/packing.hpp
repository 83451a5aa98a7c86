// How the matrix product packs its operands; shared by gemm.cpp and packing.cpp alone.
#pragma once

#include "kexue/core/gemm.hpp"
#include "kexue/core/index.hpp"

namespace kexue {

using std::ptrdiff_t;

// Strips of B that one chunk multiplies: 512 bytes of columns, so that a depth block of them and
// the matching part of A stay in the second-level cache.
constexpr ptrdiff_t kGroup = 8;

inline double product_flops(ptrdiff_t m, ptrdiff_t depth, ptrdiff_t n) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(depth) * static_cast<double>(n);
}

// One below about 20 microseconds of one core.
inline int workers_for(double flops, int workers) { return flops < 5e5 ? 1 : workers; }

// Packs b[k0:k0+depth, j0:j0+width] into (depth, nr) planes; columns beyond the matrix are zero.
template <class T>
void pack_strip(MatrixView<const T> b, ptrdiff_t k0, ptrdiff_t depth, ptrdiff_t j0, ptrdiff_t nr,
                real_t<T>* out, ptrdiff_t plane_stride);

// Packs strips first..last-1, the s-th to out + (s - first) * strip_stride.
template <class T>
void pack_strips(MatrixView<const T> b, ptrdiff_t k0, ptrdiff_t depth, ptrdiff_t first,
                 ptrdiff_t last, ptrdiff_t nr, real_t<T>* out, ptrdiff_t plane_stride,
                 ptrdiff_t strip_stride);

}  // namespace kexue
