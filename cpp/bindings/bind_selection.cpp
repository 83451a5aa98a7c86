// Low-rank approximation: choices of columns, and pivoted factorisations with their Q.
#include <pybind11/stl.h>

#include <complex>
#include <cstdint>
#include <utility>
#include <vector>

#include "kexue/lowrank/gram.hpp"
#include "kexue/lowrank/interpolation.hpp"
#include "kexue/lowrank/orthogonal_rows.hpp"
#include "kexue/lowrank/pivoted_qr.hpp"
#include "kexue/lowrank/selection.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace selection {
namespace {

using std::ptrdiff_t;
using KeyPair = std::pair<std::uint64_t, std::uint64_t>;
using Indices = py::array_t<ptrdiff_t, py::array::c_style | py::array::forcecast>;
using Reals = py::array_t<double, py::array::c_style>;

std::span<const ptrdiff_t> index_span(const Indices& a) {
  return {a.data(), static_cast<std::size_t>(a.size())};
}
Indices to_indices(const std::vector<ptrdiff_t>& v) {
  return Indices(static_cast<ptrdiff_t>(v.size()), v.data());
}
// The columns' rows must be contiguous.
template <class T>
MatrixView<const T> rows_view(const py::array& a) {
  const auto view = matrix_view<T>(a);
  if (view.rows > 0 && !view.rows_contiguous())
    throw std::invalid_argument("rows must be contiguous");
  return view;
}

// None where g has no such root.
py::object inverse_root(const py::array& g, double least, int workers) {
  const auto run = [&]<class T>(Type<T>) -> py::object {
    const auto view = matrix_view<T>(g);
    auto x = new_matrix<T>(view.rows, view.rows);
    const auto out = row_major(x.mutable_data(), view.rows, view.rows);
    const bool found =
        without_gil([&] { return lowrank::inverse_root<T>(view, least, out, workers); });
    return found ? py::object(std::move(x)) : py::object(py::none());
  };
  return holds<std::complex<double>>(g) ? run(Type<std::complex<double>>()) : run(Type<double>());
}

py::array rounded_product(const py::array& q, const py::array& b, int workers) {
  const auto left = matrix_view<double>(q), right = matrix_view<double>(b);
  if (left.rows != right.rows) throw std::invalid_argument("rounded_product: shapes do not fit");
  auto c = new_matrix<double>(left.cols, right.cols);
  const auto out = row_major(c.mutable_data(), left.cols, right.cols);
  without_gil([&] { kexue::rounded_product(left, right, out, workers); });
  return c;
}

// In place; the lengths of the rows.
py::array orthogonalize_rows(py::array& x) {
  const auto run = [&]<class T>(Type<T>) -> py::array {
    const auto rows = mutable_matrix_view<T>(x);
    if (rows.rows > 0 && !rows.rows_contiguous()) {
      throw std::invalid_argument("rows must be contiguous");
    }
    py::array_t<double> lengths(rows.rows);
    const std::span<double> out(lengths.mutable_data(), static_cast<std::size_t>(rows.rows));
    without_gil([&] { lowrank::orthogonalize_rows<T>(rows, out); });
    return lengths;
  };
  return holds<std::complex<double>>(x) ? run(Type<std::complex<double>>()) : run(Type<double>());
}

py::tuple osinsky_columns(const py::array& v, const py::array& e, double penalty, int workers) {
  return dispatch_inexact(v, [&]<class T>(Type<T>) -> py::tuple {
    const auto rows = rows_view<T>(v), errors = rows_view<T>(e);
    auto w = new_matrix<T>(rows.rows, rows.cols);
    const auto w_view = row_major(w.mutable_data(), rows.rows, rows.cols);
    const auto chosen = without_gil(
        [&] { return lowrank::osinsky_columns<T>(rows, errors, penalty, w_view, workers); });
    return py::make_tuple(to_indices(chosen), w);
  });
}

Indices adaptive_columns(const py::array& v, KeyPair key, int workers) {
  return dispatch_inexact(v, [&]<class T>(Type<T>) {
    const auto rows = rows_view<T>(v);
    return to_indices(without_gil(
        [&] { return lowrank::adaptive_columns<T>(rows, {key.first, key.second}, workers); }));
  });
}

Indices total_residual_columns(const py::array& r, ptrdiff_t count, int workers) {
  return dispatch_inexact(r, [&]<class T>(Type<T>) {
    const auto rows = rows_view<T>(r);
    return to_indices(
        without_gil([&] { return lowrank::total_residual_columns<T>(rows, count, workers); }));
  });
}

Indices elimination_pivots(const py::array& v, int workers) {
  return dispatch_inexact(v, [&]<class T>(Type<T>) {
    const auto rows = matrix_view<T>(v);
    return to_indices(without_gil([&] { return lowrank::elimination_pivots<T>(rows, workers); }));
  });
}

Indices cholesky_steps(const py::array& columns, const Indices& candidates, const Reals& uniforms,
                       ptrdiff_t rank, py::array& f, Reals& diagonal, int workers) {
  return dispatch_inexact(columns, [&]<class T>(Type<T>) {
    const auto candidate_columns = matrix_view<T>(columns);
    const auto proposed = index_span(candidates);
    const std::span<const double> numbers{uniforms.data(),
                                          static_cast<std::size_t>(uniforms.size())};
    const std::span<double> left{diagonal.mutable_data(),
                                 static_cast<std::size_t>(diagonal.size())};
    const auto factor = mutable_matrix_view<T>(f);
    return to_indices(without_gil([&] {
      return lowrank::cholesky_steps<T>(candidate_columns, proposed, numbers, rank, factor, left,
                                        workers);
    }));
  });
}

// (Q^T, R, pivots) of scale * A: `first` first, then the columns of largest residual.
py::tuple factor_columns(const py::array& a, double scale, const Indices& first, ptrdiff_t max_rank,
                         int workers) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) -> py::tuple {
    const auto view = matrix_view<T>(a);
    const auto chosen = index_span(first);
    auto f = without_gil([&] {
      ColumnStrips<T> strips(view, workers);
      if (scale != 1) strips.scale(static_cast<real_t<T>>(scale), workers);
      return lowrank::pivoted_qr<T>(std::move(strips), chosen, max_rank, 0.0, 1.0, workers);
    });
    const auto rank = f.rank();
    return py::make_tuple(owning_matrix(std::move(f.q), rank, f.rows),
                          owning_matrix(std::move(f.r), rank, f.cols), to_indices(f.pivots));
  });
}

}  // namespace

void define(py::module_ m) {
  m.def("inverse_root", &inverse_root, py::arg("gram"), py::arg("least"), py::arg("workers"));
  m.def("rounded_product", &rounded_product, py::arg("q"), py::arg("b"), py::arg("workers"));
  m.def("orthogonalize_rows", &orthogonalize_rows, py::arg("x"));
  m.def("osinsky_columns", &osinsky_columns, py::arg("v"), py::arg("e"), py::arg("penalty"),
        py::arg("workers"));
  m.def("adaptive_columns", &adaptive_columns, py::arg("v"), py::arg("key"), py::arg("workers"));
  m.def("total_residual_columns", &total_residual_columns, py::arg("r"), py::arg("count"),
        py::arg("workers"));
  m.def("elimination_pivots", &elimination_pivots, py::arg("v"), py::arg("workers"));
  m.def("cholesky_steps", &cholesky_steps, py::arg("columns"), py::arg("candidates"),
        py::arg("uniforms"), py::arg("rank"), py::arg("f"), py::arg("diagonal"),
        py::arg("workers"));
  m.def("factor_columns", &factor_columns, py::arg("a"), py::arg("scale"), py::arg("first"),
        py::arg("max_rank"), py::arg("workers"));
}

}  // namespace selection

void bind_selection(py::module_& parent) { selection::define(parent.def_submodule("lowrank")); }

}  // namespace kexue::bindings
