// Inner products and combinations of vectors, on one thread.
#pragma once

#include <complex>
#include <cstddef>
#include <type_traits>

#include "kexue/core/gemm.hpp"

namespace kexue {

// Rows on either side of a tile of inner products.
inline constexpr std::ptrdiff_t kDotTile = 4;

template <class R>
struct VectorKernels {
  // sum_i x_i y_i in an order that depends on n alone.
  R (*dot)(const R* x, const R* y, std::ptrdiff_t n);
  // sums[i * kDotTile + j] = the same of x[i] and y[j], i, j < kDotTile.
  void (*dot_tile)(const R* const* x, const R* const* y, std::ptrdiff_t n, R* sums);
  // max |x_i|, zero for n = 0; NaN where one is not finite.
  R (*largest)(const R* x, std::ptrdiff_t n);
  // y -= sum_{s < count} h[s] x[s * ld + i]: y is read and written once.
  void (*subtract_rows)(std::ptrdiff_t count, const R* h, const R* x, std::ptrdiff_t ld, R* y,
                        std::ptrdiff_t n);
};
struct VectorTables {
  VectorKernels<float> f32;
  VectorKernels<double> f64;
};
const VectorTables& vector_tables();

template <class R>
const VectorKernels<R>& vector_kernels() {
  if constexpr (std::is_same_v<R, float>) {
    return vector_tables().f32;
  } else {
    return vector_tables().f64;
  }
}

// sum conj(x_i) y_i
template <class T>
T inner(const T* x, const T* y, std::ptrdiff_t n) {
  if constexpr (is_complex_v<T>) {
    T sum = 0;
    for (std::ptrdiff_t i = 0; i < n; ++i) sum += times(conjugate(x[i]), y[i]);
    return sum;
  } else {
    return vector_kernels<T>().dot(x, y, n);
  }
}

// out(i, j) = sum_k x(i, k) y(j, k): rows as they lie, nothing is packed.
template <class R>
void inner_products(MatrixView<const R> x, MatrixView<const R> y, MatrixView<R> out) {
  constexpr std::ptrdiff_t kTile = kDotTile;
  const R *x_rows[kTile], *y_rows[kTile];
  R tile[kTile * kTile];
  for (std::ptrdiff_t i0 = 0; i0 < x.rows; i0 += kTile) {
    const std::ptrdiff_t rows = i0 + kTile < x.rows ? kTile : x.rows - i0;
    for (std::ptrdiff_t i = 0; i < kTile; ++i) x_rows[i] = x.row(i0 + (i < rows ? i : 0));
    for (std::ptrdiff_t j0 = 0; j0 < y.rows; j0 += kTile) {
      const std::ptrdiff_t cols = j0 + kTile < y.rows ? kTile : y.rows - j0;
      for (std::ptrdiff_t j = 0; j < kTile; ++j) y_rows[j] = y.row(j0 + (j < cols ? j : 0));
      vector_kernels<R>().dot_tile(x_rows, y_rows, x.cols, tile);
      for (std::ptrdiff_t i = 0; i < rows; ++i) {
        for (std::ptrdiff_t j = 0; j < cols; ++j) out(i0 + i, j0 + j) = tile[i * kTile + j];
      }
    }
  }
}

// y -= sum_{s < count} h[s] x[s * ld + i]
template <class T>
void subtract_rows(std::ptrdiff_t count, const T* h, const T* x, std::ptrdiff_t ld, T* y,
                   std::ptrdiff_t n) {
  if constexpr (is_complex_v<T>) {
    for (std::ptrdiff_t s = 0; s < count; ++s) {
      for (std::ptrdiff_t i = 0; i < n; ++i) y[i] -= times(h[s], x[s * ld + i]);
    }
  } else {
    vector_kernels<T>().subtract_rows(count, h, x, ld, y, n);
  }
}

}  // namespace kexue
