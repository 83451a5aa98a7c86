// The only bridge between NumPy and the core: arrays to views, outputs, dtype dispatch, GIL.
#pragma once

#include <pybind11/complex.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <complex>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <vector>

#include "kexue/core/buffer.hpp"
#include "kexue/core/views.hpp"

namespace kexue::bindings {

namespace py = pybind11;

template <class T>
bool holds(const py::array& a) {
  return a.dtype().equal(py::dtype::of<T>());
}

namespace detail {
inline std::ptrdiff_t element_stride(const py::array& a, int axis) {
  const auto stride = a.strides(axis);
  const auto size = static_cast<std::ptrdiff_t>(a.itemsize());
  if (a.shape(axis) > 1 && stride % size != 0) {
    throw std::invalid_argument("strides must be multiples of the item size");
  }
  return stride / size;
}
inline void check_dimensions(const py::array& a, int expected) {
  if (a.ndim() != expected) throw std::invalid_argument("array has the wrong number of dimensions");
}
template <class T>
void check_dtype(const py::array& a) {
  if (!holds<std::remove_const_t<T>>(a)) throw std::invalid_argument("array has the wrong dtype");
}
}  // namespace detail

// Read-only views; the array must live as long as the view.
template <class T>
MatrixView<const T> matrix_view(const py::array& a) {
  detail::check_dtype<T>(a);
  detail::check_dimensions(a, 2);
  return {static_cast<const T*>(a.data()), a.shape(0), a.shape(1), detail::element_stride(a, 0),
          detail::element_stride(a, 1)};
}
template <class T>
VectorView<const T> vector_view(const py::array& a) {
  detail::check_dtype<T>(a);
  detail::check_dimensions(a, 1);
  return {static_cast<const T*>(a.data()), a.shape(0), detail::element_stride(a, 0)};
}
// Writable views: throw if the array is read-only.
template <class T>
MatrixView<T> mutable_matrix_view(py::array& a) {
  detail::check_dtype<T>(a);
  detail::check_dimensions(a, 2);
  return {static_cast<T*>(a.mutable_data()), a.shape(0), a.shape(1), detail::element_stride(a, 0),
          detail::element_stride(a, 1)};
}
template <class T>
VectorView<T> mutable_vector_view(py::array& a) {
  detail::check_dtype<T>(a);
  detail::check_dimensions(a, 1);
  return {static_cast<T*>(a.mutable_data()), a.shape(0), detail::element_stride(a, 0)};
}

template <class T>
py::array_t<T> new_vector(std::ptrdiff_t size) {
  return py::array_t<T>(size);
}
// The owner, for NumPy, of a buffer's memory.
template <class T>
py::capsule owner_of(AlignedBuffer<T> memory) {
  auto owner = std::make_unique<AlignedBuffer<T>>(std::move(memory));
  py::capsule capsule(owner.get(), [](void* p) { delete static_cast<AlignedBuffer<T>*>(p); });
  owner.release();
  return capsule;
}

// A matrix in the first rows of memory that the array comes to own.
template <class T>
py::array_t<T> owning_matrix(AlignedBuffer<T> memory, std::ptrdiff_t rows, std::ptrdiff_t cols) {
  const T* data = memory.data();
  return py::array_t<T>(std::vector<std::ptrdiff_t>{rows, cols}, data, owner_of(std::move(memory)));
}

template <class T>
py::array_t<T> new_matrix(std::ptrdiff_t rows, std::ptrdiff_t cols) {
  return owning_matrix(AlignedBuffer<T>(rows * cols), rows, cols);
}
template <class T>
MatrixView<T> writable(py::array_t<T>& a) {
  return row_major(a.mutable_data(), a.shape(0), a.shape(1));
}

template <class T>
struct Type {
  using type = T;
};

// Calls f(Type<T>{}) for the dtype of `a`.
template <class F>
auto dispatch_real(const py::array& a, F&& f) {
  if (holds<float>(a)) return f(Type<float>{});
  if (holds<double>(a)) return f(Type<double>{});
  throw std::invalid_argument("expected float32 or float64");
}
template <class F>
auto dispatch_inexact(const py::array& a, F&& f) {
  if (holds<std::complex<float>>(a)) return f(Type<std::complex<float>>{});
  if (holds<std::complex<double>>(a)) return f(Type<std::complex<double>>{});
  return dispatch_real(a, f);
}

// Runs f without the GIL. Views must have been taken before.
template <class F>
auto without_gil(F&& f) {
  py::gil_scoped_release release;
  return f();
}

}  // namespace kexue::bindings
