// Inner products and combinations of vectors, on one thread.
#pragma once

#include <complex>
#include <cstddef>
#include <type_traits>

#include "kexue/core/gemm.hpp"

namespace kexue {

template <class R>
struct VectorKernels {
  // sum_i x_i y_i in an order that depends on n alone.
  R (*dot)(const R* x, const R* y, std::ptrdiff_t n);
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
