// Low-rank approximation: the steps that kexue_num.lowrank strings together.
#include <pybind11/stl.h>

#include <complex>
#include <cstdint>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "kexue/lowrank/elimination.hpp"
#include "kexue/lowrank/gram.hpp"
#include "kexue/lowrank/interpolation.hpp"
#include "kexue/lowrank/pivoted_qr.hpp"
#include "kexue/lowrank/sketch.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace lowrank_faces {

using std::ptrdiff_t;
using KeyPair = std::pair<std::uint64_t, std::uint64_t>;
using Indices = py::array_t<ptrdiff_t, py::array::c_style | py::array::forcecast>;

std::span<const ptrdiff_t> index_span(const Indices& a) {
  return {a.data(), static_cast<std::size_t>(a.size())};
}
Indices to_indices(const std::vector<ptrdiff_t>& v) {
  return Indices(static_cast<ptrdiff_t>(v.size()), v.data());
}
template <class T>
MatrixView<T> writable(py::array_t<T>& a) {
  return row_major(a.mutable_data(), a.shape(0), a.shape(1));
}

// A matrix in the form pivoted QR works on, of any of the four dtypes. Factoring consumes it.
class Strips {
 public:
  template <class T>
  explicit Strips(ColumnStrips<T>&& strips) : strips_(std::move(strips)) {}

  double max_component(int workers) const {
    return std::visit([&](const auto& s) { return s.max_component(workers); }, strips_);
  }
  void scale(double factor, int workers) {
    std::visit(
        [&]<class T>(ColumnStrips<T>& s) { s.scale(static_cast<real_t<T>>(factor), workers); },
        strips_);
  }
  Strips rounded(int workers) const {
    return Strips(kexue::rounded(std::get<ColumnStrips<double>>(strips_), workers));
  }
  py::array to_array(int workers) const {
    return std::visit(
        [&]<class T>(const ColumnStrips<T>& s) -> py::array {
          auto out = new_matrix<T>(s.rows(), s.cols());
          const auto view = writable(out);
          without_gil([&] { s.copy_to(view, workers); });
          return out;
        },
        strips_);
  }
  // f(strips, by value)
  template <class F>
  py::tuple consume(F&& f) {
    return std::visit([&]<class T>(ColumnStrips<T>& s) { return f(std::move(s)); }, strips_);
  }

 private:
  std::variant<ColumnStrips<float>, ColumnStrips<double>, ColumnStrips<std::complex<float>>,
               ColumnStrips<std::complex<double>>>
      strips_;
};

Strips pack(const py::array& a, int workers) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) {
    const auto view = matrix_view<T>(a);
    return Strips(without_gil([&] { return ColumnStrips<T>(view, workers); }));
  });
}

py::tuple sketch(const py::array& a, ptrdiff_t n_rows, ptrdiff_t n_probes, KeyPair key,
                 int workers) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) -> py::tuple {
    const auto view = matrix_view<T>(a);
    auto probes = new_matrix<T>(n_probes, view.cols);
    const auto probe_view = writable(probes);
    auto y = without_gil([&] {
      return lowrank::sparse_sign_sketch<T>(view, n_rows, {key.first, key.second}, probe_view,
                                            workers);
    });
    return py::make_tuple(Strips(std::move(y)), probes);
  });
}

template <class T, class Index>
py::tuple sketch_csr_as(const py::array& indptr, const py::array& indices, const py::array& data,
                        ptrdiff_t n_cols, ptrdiff_t n_rows, ptrdiff_t n_probes, KeyPair key,
                        int workers) {
  const auto pointers = vector_view<Index>(indptr), columns = vector_view<Index>(indices);
  const auto values = vector_view<T>(data);
  auto probes = new_matrix<T>(n_probes, n_cols);
  const auto probe_view = writable(probes);
  auto y = without_gil([&] {
    return lowrank::sparse_sign_sketch_csr<T, Index>(pointers.size - 1, pointers.data, columns.data,
                                                     values.data, n_rows, {key.first, key.second},
                                                     probe_view, workers);
  });
  return py::make_tuple(Strips(std::move(y)), probes);
}

py::tuple sketch_csr(const py::array& indptr, const py::array& indices, const py::array& data,
                     ptrdiff_t n_cols, ptrdiff_t n_rows, ptrdiff_t n_probes, KeyPair key,
                     int workers) {
  return dispatch_inexact(data, [&]<class T>(Type<T>) -> py::tuple {
    const auto run = holds<std::int64_t>(indptr) ? &sketch_csr_as<T, std::int64_t>
                                                 : &sketch_csr_as<T, std::int32_t>;
    return run(indptr, indices, data, n_cols, n_rows, n_probes, key, workers);
  });
}

template <class T>
py::tuple factor_tuple(lowrank::PivotedQr<T> f) {
  return py::make_tuple(to_indices(f.pivots), owning_matrix(std::move(f.r), f.rank(), f.cols));
}

py::tuple pivoted_qr(Strips& strips, const Indices& first, ptrdiff_t max_rank, double stop,
                     double slack, int workers) {
  const auto chosen = index_span(first);
  return strips.consume([&]<class T>(ColumnStrips<T> a) {
    return factor_tuple(without_gil([&] {
      return lowrank::pivoted_qr<T>(std::move(a), chosen, max_rank, stop, slack, workers);
    }));
  });
}

py::tuple prescribed_qr(Strips& strips, const Indices& pivots, int workers) {
  const auto chosen = index_span(pivots);
  return strips.consume([&]<class T>(ColumnStrips<T> a) {
    return factor_tuple(
        without_gil([&] { return lowrank::prescribed_qr<T>(std::move(a), chosen, workers); }));
  });
}

py::tuple elimination_order(const py::array& r, const Indices& pivots, const py::array& gram,
                            ptrdiff_t count, int workers, bool with_rows) {
  return dispatch_inexact(r, [&]<class T>(Type<T>) -> py::tuple {
    const auto view = matrix_view<T>(r);
    const auto chosen = index_span(pivots);
    const auto products = matrix_view<lowrank::wide_t<T>>(gram);
    auto directions = new_matrix<T>(count, view.rows);
    auto rows = new_matrix<T>(with_rows ? view.rows - count : 0, view.rows);
    const auto direction_view = writable(directions), row_view = writable(rows);
    const auto order = without_gil([&] {
      return lowrank::elimination_order<T>(view, chosen, products, direction_view, row_view,
                                           workers);
    });
    return py::make_tuple(to_indices(order), directions, rows);
  });
}

// The coefficients, and the columns of `a` unless it is None.
py::tuple coefficients_of_rows(const py::array& rows, const py::array& r, const Indices& kept,
                               const std::optional<py::array>& a, int workers) {
  return dispatch_inexact(r, [&]<class T>(Type<T>) -> py::tuple {
    const auto row_view = matrix_view<T>(rows), view = matrix_view<T>(r);
    const auto chosen = index_span(kept);
    const auto k = static_cast<ptrdiff_t>(chosen.size());
    const auto source = a ? matrix_view<T>(*a) : MatrixView<const T>();
    auto z = new_matrix<T>(k, view.cols), columns = new_matrix<T>(source.rows, k);
    const auto z_view = writable(z), column_view = writable(columns);
    without_gil([&] {
      lowrank::coefficients_of_rows<T>(row_view, view, chosen, z_view, source, column_view,
                                       workers);
    });
    return py::make_tuple(z, columns);
  });
}

py::array interpolation_coefficients(const py::array& r, const Indices& indices,
                                     const Indices& dropped, int workers) {
  return dispatch_inexact(r, [&]<class T>(Type<T>) -> py::array {
    const auto view = matrix_view<T>(r);
    const auto chosen = index_span(indices), left_out = index_span(dropped);
    auto z = new_matrix<T>(static_cast<ptrdiff_t>(chosen.size() - left_out.size()), view.cols);
    const auto z_view = writable(z);
    without_gil(
        [&] { lowrank::interpolation_coefficients<T>(view, chosen, left_out, z_view, workers); });
    return z;
  });
}

py::tuple exchange(py::array& z, const Indices& indices, double bound, int workers) {
  return dispatch_inexact(z, [&]<class T>(Type<T>) -> py::tuple {
    const auto view = mutable_matrix_view<T>(z);
    std::vector<ptrdiff_t> chosen(indices.data(), indices.data() + indices.size());
    const auto count =
        without_gil([&] { return lowrank::exchange<T>(view, chosen, bound, workers); });
    return py::make_tuple(to_indices(chosen), count);
  });
}

py::array gather_columns(const py::array& a, const Indices& indices, int workers) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) -> py::array {
    const auto view = matrix_view<T>(a);
    const auto chosen = index_span(indices);
    auto out = new_matrix<T>(view.rows, static_cast<ptrdiff_t>(chosen.size()));
    const auto out_view = writable(out);
    without_gil([&] { lowrank::gather_columns<T>(view, chosen, out_view, workers); });
    return out;
  });
}

py::array gather_rows(const py::array& a, const Indices& indices, int workers) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) -> py::array {
    const auto view = matrix_view<T>(a);
    const auto chosen = index_span(indices);
    auto out = new_matrix<T>(static_cast<ptrdiff_t>(chosen.size()), view.cols);
    const auto out_view = writable(out);
    without_gil([&] { lowrank::gather_rows<T>(view, chosen, out_view, workers); });
    return out;
  });
}

double max_component(const py::array& a, int workers) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) {
    const auto view = matrix_view<T>(a);
    return without_gil([&] { return lowrank::max_component<T>(view, workers); });
  });
}

double max_modulus(const py::array& a, int workers) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) {
    const auto view = matrix_view<T>(a);
    return without_gil([&] { return lowrank::max_modulus<T>(view, workers); });
  });
}

py::array whiten(const py::array& c, double scale, const py::array& r11, int workers) {
  return dispatch_inexact(c, [&]<class T>(Type<T>) -> py::array {
    const auto columns = matrix_view<T>(c), triangle = matrix_view<T>(r11);
    auto w = new_matrix<T>(columns.rows, columns.cols);
    const auto w_view = writable(w);
    without_gil([&] {
      lowrank::whiten<T>(columns, static_cast<real_t<T>>(scale), triangle, w_view, workers);
    });
    return w;
  });
}

bool orthogonalize(py::array& v, const Indices& indices, const py::array& r11, int workers) {
  return dispatch_inexact(v, [&]<class T>(Type<T>) {
    const auto view = mutable_matrix_view<T>(v);
    const auto triangle = matrix_view<T>(r11);
    const auto chosen = index_span(indices);
    return without_gil([&] { return lowrank::orthogonalize<T>(view, chosen, triangle, workers); });
  });
}

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

ptrdiff_t leading_below(const py::array& g, double limit, int workers) {
  return with_gram(g, [&]<class T>(MatrixView<const T> view) {
    return lowrank::leading_below<T>(view, limit, workers);
  });
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

}  // namespace lowrank_faces

void bind_lowrank(py::module_& parent) {
  using namespace lowrank_faces;
  auto m = parent.def_submodule("lowrank");
  py::class_<Strips>(m, "Strips")
      .def("max_component", &Strips::max_component, py::arg("workers"),
           py::call_guard<py::gil_scoped_release>())
      .def("to_array", &Strips::to_array, py::arg("workers"))
      .def("scale", &Strips::scale, py::arg("factor"), py::arg("workers"),
           py::call_guard<py::gil_scoped_release>());
  m.def("pack", &pack, py::arg("a"), py::arg("workers"));
  m.def("sketch", &sketch, py::arg("a"), py::arg("n_rows"), py::arg("n_probes"), py::arg("key"),
        py::arg("workers"));
  m.def("sketch_csr", &sketch_csr, py::arg("indptr"), py::arg("indices"), py::arg("data"),
        py::arg("n_cols"), py::arg("n_rows"), py::arg("n_probes"), py::arg("key"),
        py::arg("workers"));
  m.def("pivoted_qr", &pivoted_qr, py::arg("strips"), py::arg("first"), py::arg("max_rank"),
        py::arg("stop"), py::arg("slack"), py::arg("workers"));
  m.def("prescribed_qr", &prescribed_qr, py::arg("strips"), py::arg("pivots"), py::arg("workers"));
  m.def("elimination_order", &elimination_order, py::arg("r"), py::arg("pivots"), py::arg("gram"),
        py::arg("count"), py::arg("workers"), py::arg("with_rows") = false);
  m.def("coefficients_of_rows", &coefficients_of_rows, py::arg("rows"), py::arg("r"),
        py::arg("kept"), py::arg("a"), py::arg("workers"));
  m.def("interpolation_coefficients", &interpolation_coefficients, py::arg("r"), py::arg("indices"),
        py::arg("dropped"), py::arg("workers"));
  m.def("exchange", &exchange, py::arg("z"), py::arg("indices"), py::arg("bound"),
        py::arg("workers"));
  m.def("gather_columns", &gather_columns, py::arg("a"), py::arg("indices"), py::arg("workers"));
  m.def("gather_rows", &gather_rows, py::arg("a"), py::arg("indices"), py::arg("workers"));
  m.def("max_component", &max_component, py::arg("a"), py::arg("workers"));
  m.def("max_modulus", &max_modulus, py::arg("a"), py::arg("workers"));
  m.def("whiten", &whiten, py::arg("c"), py::arg("scale"), py::arg("r11"), py::arg("workers"));
  m.def("orthogonalize", &orthogonalize, py::arg("v"), py::arg("indices"), py::arg("r11"),
        py::arg("workers"));
  m.def("gram", &gram, py::arg("r"), py::arg("workers"), py::arg("narrow") = false);
  m.def("residual_rows", &residual_rows, py::arg("rows"), py::arg("chosen"), py::arg("z"),
        py::arg("workers"));
  m.def("leading_below", &leading_below, py::arg("gram"), py::arg("limit"), py::arg("workers"));
  m.def("rayleigh", &rayleigh, py::arg("gram"));
  m.def("rounded", &Strips::rounded, py::arg("strips"), py::arg("workers"),
        py::call_guard<py::gil_scoped_release>());
  m.def("matmul", &matmul, py::arg("a"), py::arg("b"), py::arg("conjugate_a"), py::arg("alpha"),
        py::arg("add_to"), py::arg("workers"));
}

}  // namespace kexue::bindings
