// Strided views of memory owned elsewhere. Strides count elements, may be zero or negative.
#pragma once

#include <cstddef>
#include <type_traits>

namespace kexue {

template <class T>
struct VectorView {
  T* data = nullptr;
  std::ptrdiff_t size = 0;
  std::ptrdiff_t stride = 1;

  T& operator[](std::ptrdiff_t i) const { return data[i * stride]; }
  bool contiguous() const { return stride == 1 || size <= 1; }
  operator VectorView<const T>() const
    requires(!std::is_const_v<T>)
  {
    return {data, size, stride};
  }
};

template <class T>
struct MatrixView {
  T* data = nullptr;
  std::ptrdiff_t rows = 0;
  std::ptrdiff_t cols = 0;
  std::ptrdiff_t row_stride = 0;
  std::ptrdiff_t col_stride = 1;

  T& operator()(std::ptrdiff_t i, std::ptrdiff_t j) const {
    return data[i * row_stride + j * col_stride];
  }
  T* row(std::ptrdiff_t i) const { return data + i * row_stride; }
  MatrixView transposed() const { return {data, cols, rows, col_stride, row_stride}; }
  MatrixView block(std::ptrdiff_t i, std::ptrdiff_t j, std::ptrdiff_t r, std::ptrdiff_t c) const {
    return {data + i * row_stride + j * col_stride, r, c, row_stride, col_stride};
  }
  bool rows_contiguous() const { return col_stride == 1 || cols <= 1; }
  operator MatrixView<const T>() const
    requires(!std::is_const_v<T>)
  {
    return {data, rows, cols, row_stride, col_stride};
  }
};

// Row-major view of contiguous memory.
template <class T>
MatrixView<T> row_major(T* data, std::ptrdiff_t rows, std::ptrdiff_t cols) {
  return {data, rows, cols, cols, 1};
}

}  // namespace kexue
