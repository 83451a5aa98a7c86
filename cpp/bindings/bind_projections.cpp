// _core.projections: projections of rows; arguments have been checked by kexue_num.simplex.
#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "kexue/simplex/birkhoff.hpp"
#include "kexue/simplex/box_projection.hpp"
#include "kexue/simplex/mixed_ball.hpp"
#include "kexue/simplex/permutahedron.hpp"
#include "kexue/simplex/quadratic.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace projections_faces {

using Optional = std::optional<py::array>;

// One row for all rows, one row for each, or none.
template <class T>
MatrixView<const T> rows_view(const Optional& a, std::ptrdiff_t rows) {
  if (!a) return {};
  auto view = matrix_view<T>(*a);
  if (view.rows == 1) view.row_stride = 0;
  view.rows = rows;
  return view;
}

simplex::Regularization regularization(const std::string& name) {
  return name == "kl" ? simplex::Regularization::kl : simplex::Regularization::l2;
}

void box_simplex(const py::array& x, const Optional& weights, const Optional& lower,
                 const Optional& upper, double lowest, double highest, const py::array& radius,
                 const py::array& lowest_sum, py::array& out, int workers) {
  dispatch_real(x, [&]<class T>(Type<T>) {
    const auto view = matrix_view<T>(x);
    const simplex::BoxProblem<T> problem{view,
                                         rows_view<T>(weights, view.rows),
                                         rows_view<T>(lower, view.rows),
                                         rows_view<T>(upper, view.rows),
                                         lowest,
                                         highest,
                                         vector_view<double>(radius),
                                         vector_view<double>(lowest_sum),
                                         mutable_matrix_view<T>(out)};
    without_gil([&] { simplex::project_box_simplex<T>(problem, workers); });
  });
}

void sparse_simplex(const py::array& x, std::ptrdiff_t k, double highest, const py::array& radius,
                    py::array& out, int workers) {
  dispatch_real(x, [&]<class T>(Type<T>) {
    const auto view = matrix_view<T>(x);
    const auto radii = vector_view<double>(radius);
    const auto result = mutable_matrix_view<T>(out);
    without_gil(
        [&] { simplex::project_sparse_simplex<T>(view, k, highest, radii, result, workers); });
  });
}

void l1_ball(const py::array& x, const py::array& radius, py::array& out, int workers) {
  dispatch_real(x, [&]<class T>(Type<T>) {
    const auto view = matrix_view<T>(x);
    const auto radii = vector_view<double>(radius);
    const auto result = mutable_matrix_view<T>(out);
    without_gil([&] { simplex::project_l1_ball<T>(view, radii, result, workers); });
  });
}

void l1inf_ball(const py::array& x, std::ptrdiff_t m, const py::array& radius, py::array& out,
                int workers) {
  dispatch_real(x, [&]<class T>(Type<T>) {
    const auto view = matrix_view<T>(x);
    const auto radii = vector_view<double>(radius);
    const auto result = mutable_matrix_view<T>(out);
    without_gil([&] { simplex::project_l1inf_ball<T>(view, m, radii, result, workers); });
  });
}

void permutahedron(const py::array& x, const py::array& w, py::array& out, int workers) {
  dispatch_real(x, [&]<class T>(Type<T>) {
    const auto view = matrix_view<T>(x);
    const auto vertices = rows_view<T>(w, view.rows);
    const auto result = mutable_matrix_view<T>(out);
    without_gil([&] { simplex::project_permutahedron<T>(view, vertices, result, workers); });
  });
}

void isotonic(const py::array& x, const Optional& weights, bool increasing, py::array& out,
              int workers) {
  dispatch_real(x, [&]<class T>(Type<T>) {
    const auto view = matrix_view<T>(x);
    const auto w = rows_view<T>(weights, view.rows);
    const auto result = mutable_matrix_view<T>(out);
    without_gil([&] { simplex::isotonic<T>(view, w, increasing, result, workers); });
  });
}

// soft_sort and soft_rank have one signature, and so have their products with vectors.
template <auto F32, auto F64>
void soft(const py::array& x, double strength, const std::string& kind, bool descending,
          py::array& out, int workers) {
  dispatch_real(x, [&]<class T>(Type<T>) {
    const auto view = matrix_view<T>(x);
    const auto result = mutable_matrix_view<T>(out);
    const auto regularizer = regularization(kind);
    without_gil([&] {
      if constexpr (std::is_same_v<T, float>) {
        F32(view, strength, regularizer, descending, result, workers);
      } else {
        F64(view, strength, regularizer, descending, result, workers);
      }
    });
  });
}
template <auto F32, auto F64>
void soft_vjp(const py::array& x, const py::array& g, double strength, const std::string& kind,
              bool descending, py::array& out, int workers) {
  dispatch_real(x, [&]<class T>(Type<T>) {
    const auto view = matrix_view<T>(x), gradient = matrix_view<T>(g);
    const auto result = mutable_matrix_view<T>(out);
    const auto regularizer = regularization(kind);
    without_gil([&] {
      if constexpr (std::is_same_v<T, float>) {
        F32(view, gradient, strength, regularizer, descending, result, workers);
      } else {
        F64(view, gradient, strength, regularizer, descending, result, workers);
      }
    });
  });
}

void birkhoff(const py::array& x, std::ptrdiff_t n, double tol, std::ptrdiff_t max_iter,
              bool certify, py::array& p, py::array& potentials, py::array& report, int workers) {
  dispatch_real(x, [&]<class T>(Type<T>) {
    const auto view = matrix_view<T>(x);
    const auto result = mutable_matrix_view<T>(p);
    const auto duals = mutable_matrix_view<double>(potentials);
    const auto reports = mutable_matrix_view<double>(report);
    without_gil([&] {
      simplex::project_birkhoff_batch<T>(view, n, tol, max_iter, certify, result, duals, reports,
                                         workers);
    });
  });
}

using Minimize = simplex::QuadraticMinimum (*)(MatrixView<const double>, std::span<const double>,
                                               double, double, std::ptrdiff_t, double*, int);
// minimize_quadratic and minimize_least_squares have one signature.
template <Minimize minimize>
py::tuple quadratic(const py::array& matrix, const py::array& vector, double radius, double tol,
                    std::ptrdiff_t max_iter, py::array& p, int workers) {
  const auto view = matrix_view<double>(matrix);
  const auto right = vector_view<double>(vector);
  const auto result = mutable_vector_view<double>(p);
  const auto found = without_gil([&] {
    return minimize(view, {right.data, static_cast<std::size_t>(right.size)}, radius, tol, max_iter,
                    result.data, workers);
  });
  return py::make_tuple(found.value, found.gap, found.scale, found.n_iter, found.converged);
}

}  // namespace projections_faces

void bind_projections(py::module_& parent) {
  using namespace projections_faces;
  auto m = parent.def_submodule("projections");
  m.def("box_simplex", &box_simplex, py::arg("x"), py::arg("weights"), py::arg("lower"),
        py::arg("upper"), py::arg("lowest"), py::arg("highest"), py::arg("radius"),
        py::arg("lowest_sum"), py::arg("out"), py::arg("workers"));
  m.def("sparse_simplex", &sparse_simplex, py::arg("x"), py::arg("k"), py::arg("highest"),
        py::arg("radius"), py::arg("out"), py::arg("workers"));
  m.def("l1_ball", &l1_ball, py::arg("x"), py::arg("radius"), py::arg("out"), py::arg("workers"));
  m.def("l1inf_ball", &l1inf_ball, py::arg("x"), py::arg("m"), py::arg("radius"), py::arg("out"),
        py::arg("workers"));
  m.def("birkhoff", &birkhoff, py::arg("x"), py::arg("n"), py::arg("tol"), py::arg("max_iter"),
        py::arg("certify"), py::arg("p"), py::arg("potentials"), py::arg("report"),
        py::arg("workers"));
  m.def("permutahedron", &permutahedron, py::arg("x"), py::arg("w"), py::arg("out"),
        py::arg("workers"));
  m.def("isotonic", &isotonic, py::arg("x"), py::arg("weights"), py::arg("increasing"),
        py::arg("out"), py::arg("workers"));
  const auto def_soft = [&](const char* name, auto f) {
    m.def(name, f, py::arg("x"), py::arg("strength"), py::arg("regularization"),
          py::arg("descending"), py::arg("out"), py::arg("workers"));
  };
  def_soft("soft_sort", &soft<&simplex::soft_sort<float>, &simplex::soft_sort<double>>);
  def_soft("soft_rank", &soft<&simplex::soft_rank<float>, &simplex::soft_rank<double>>);
  const auto def_vjp = [&](const char* name, auto f) {
    m.def(name, f, py::arg("x"), py::arg("g"), py::arg("strength"), py::arg("regularization"),
          py::arg("descending"), py::arg("out"), py::arg("workers"));
  };
  def_vjp("soft_sort_vjp",
          &soft_vjp<&simplex::soft_sort_vjp<float>, &simplex::soft_sort_vjp<double>>);
  def_vjp("soft_rank_vjp",
          &soft_vjp<&simplex::soft_rank_vjp<float>, &simplex::soft_rank_vjp<double>>);
  const auto def_quadratic = [&](const char* name, auto f) {
    m.def(name, f, py::arg("matrix"), py::arg("vector"), py::arg("radius"), py::arg("tol"),
          py::arg("max_iter"), py::arg("p"), py::arg("workers"));
  };
  def_quadratic("quadratic", &quadratic<&simplex::minimize_quadratic>);
  def_quadratic("least_squares", &quadratic<&simplex::minimize_least_squares>);
}

}  // namespace kexue::bindings
