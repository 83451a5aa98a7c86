// Low-rank approximation: products, Gram matrices and what their eigenvalues tell.
#include <complex>
#include <cstddef>
#include <stdexcept>
#include <utility>

#include "kexue/core/gemm.hpp"
#include "kexue/lowrank/gram.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace products {
namespace {

using std::ptrdiff_t;

py::array gram(const py::array& r, int workers, bool narrow) {
  return dispatch_inexact(r, [&]<class T>(Type<T>) -> py::array {
    const auto view = matrix_view<T>(r);
    auto out = new_matrix<lowrank::wide_t<T>>(view.rows, view.rows);
    const auto out_view = writable(out);
    without_gil([&] { lowrank::gram<T>(view, out_view, workers, narrow); });
    return out;
  });
}

py::tuple residual_rows(const py::array& rows, const py::array& chosen, const py::array& z,
                        int workers) {
  return dispatch_inexact(rows, [&]<class T>(Type<T>) -> py::tuple {
    const auto view = matrix_view<T>(rows), left = matrix_view<T>(chosen);
    const auto right = matrix_view<T>(z);
    if (left.rows != view.rows || left.cols != right.rows || right.cols != view.cols) {
      throw std::invalid_argument("residual_rows: shapes do not fit");
    }
    auto out = new_matrix<T>(view.rows, view.cols);
    auto before = new_matrix<lowrank::wide_t<T>>(view.rows, view.rows);
    auto after = new_matrix<lowrank::wide_t<T>>(view.rows, view.rows);
    const auto out_view = writable(out);
    const auto before_view = writable(before), after_view = writable(after);
    without_gil([&] {
      lowrank::residual_rows<T>(view, left, right, out_view, before_view, after_view, workers);
    });
    return py::make_tuple(out, before, after);
  });
}

// f(view) of a Gram matrix: float64 or complex128.
template <class F>
auto with_gram(const py::array& g, F&& f) {
  if (holds<std::complex<double>>(g)) {
    const auto view = matrix_view<std::complex<double>>(g);
    return without_gil([&] { return f(view); });
  }
  const auto view = matrix_view<double>(g);
  return without_gil([&] { return f(view); });
}

// None where g has no such root.
py::object inverse_root(const py::array& g, double least, int workers) {
  const auto run = [&]<class T>(Type<T>) -> py::object {
    const auto view = matrix_view<T>(g);
    auto x = new_matrix<T>(view.rows, view.rows);
    const auto out = writable(x);
    const bool found =
        without_gil([&] { return lowrank::inverse_root<T>(view, least, out, workers); });
    return found ? py::object(std::move(x)) : py::object(py::none());
  };
  return holds<std::complex<double>>(g) ? run(Type<std::complex<double>>()) : run(Type<double>());
}

ptrdiff_t leading_below(const py::array& g, double limit, int workers) {
  return with_gram(g, [&]<class T>(MatrixView<const T> view) {
    return lowrank::leading_below<T>(view, limit, workers);
  });
}

double largest_eigenvalue(const py::array& g) {
  return with_gram(g, [](auto view) { return lowrank::largest_eigenvalue(view); });
}

double rayleigh(const py::array& g) {
  return with_gram(g,
                   [&]<class T>(MatrixView<const T> view) { return lowrank::rayleigh<T>(view); });
}

py::array matmul(const py::array& a, const py::array& b, bool conjugate_a, double alpha,
                 const py::object& add_to, int workers) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) -> py::array {
    const auto left = matrix_view<T>(a), right = matrix_view<T>(b);
    const bool accumulate = !add_to.is_none();
    py::array c = accumulate ? py::array(add_to) : new_matrix<T>(left.rows, right.cols);
    const auto c_view = mutable_matrix_view<T>(c);
    if (left.cols != right.rows || c_view.rows != left.rows || c_view.cols != right.cols) {
      throw std::invalid_argument("matmul: shapes do not fit");
    }
    without_gil([&] {
      gemm<T>(static_cast<real_t<T>>(alpha), left, conjugate_a, right, accumulate, c_view, workers);
    });
    return c;
  });
}

py::array rounded_product(const py::array& q, const py::array& b, int workers) {
  const auto left = matrix_view<double>(q), right = matrix_view<double>(b);
  if (left.rows != right.rows) throw std::invalid_argument("rounded_product: shapes do not fit");
  auto c = new_matrix<double>(left.cols, right.cols);
  const auto out = writable(c);
  without_gil([&] { kexue::rounded_product(left, right, out, workers); });
  return c;
}

}  // namespace

void define(py::module_ m) {
  m.def("gram", &gram, py::arg("r"), py::arg("workers"), py::arg("narrow") = false);
  m.def("residual_rows", &residual_rows, py::arg("rows"), py::arg("chosen"), py::arg("z"),
        py::arg("workers"));
  m.def("inverse_root", &inverse_root, py::arg("gram"), py::arg("least"), py::arg("workers"));
  m.def("leading_below", &leading_below, py::arg("gram"), py::arg("limit"), py::arg("workers"));
  m.def("largest_eigenvalue", &largest_eigenvalue, py::arg("g"));
  m.def("rayleigh", &rayleigh, py::arg("gram"));
  m.def("rounded_product", &rounded_product, py::arg("q"), py::arg("b"), py::arg("workers"));
  m.def("matmul", &matmul, py::arg("a"), py::arg("b"), py::arg("conjugate_a"), py::arg("alpha"),
        py::arg("add_to"), py::arg("workers"));
}

}  // namespace products

void bind_products(py::module_& parent) { products::define(parent.def_submodule("lowrank")); }

}  // namespace kexue::bindings
