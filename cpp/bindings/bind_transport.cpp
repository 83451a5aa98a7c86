// Exact transport: certificates and rounding; arrays are C-contiguous.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kexue/core/error.hpp"
#include "kexue/transport/assignment.hpp"
#include "kexue/transport/certificate.hpp"
#include "kexue/transport/cost.hpp"
#include "kexue/transport/line.hpp"
#include "kexue/transport/round.hpp"
#include "kexue/transport/simplex.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace transport_faces {

using std::ptrdiff_t;
using Doubles = py::array_t<double, py::array::c_style>;

void round_plan(const py::array& plan, const Doubles& a, const Doubles& b, py::array& out,
                int workers) {
  dispatch_real(plan, [&]<class T>(Type<T>) {
    const auto from = matrix_view<T>(plan);
    const auto to = mutable_matrix_view<T>(out);
    require(from.rows_contiguous() && a.size() == from.rows && b.size() == from.cols,
            "masses must fit the plan");
    require(to.rows == from.rows && to.cols == from.cols && to.rows_contiguous() &&
                to.row_stride == to.cols,
            "the result must be contiguous and of the plan's shape");
    const double *rows = a.data(), *cols = b.data();
    without_gil([&] { transport::round_plan<T>(from, rows, cols, to.data, workers); });
  });
}

// Of the finite entries: least and largest; a NaN or -inf; an entry that is not finite.
py::tuple cost_range(const Doubles& cost, int workers) {
  const transport::Costs costs(matrix_view<double>(cost));
  const auto range = without_gil([&] { return transport::range_of(costs, workers); });
  return py::make_tuple(range.lowest, range.highest, range.invalid, range.forbidden);
}

// min over j of C_ij - g_j, and min over i of C_ij - f_i.
py::array_t<double> row_transform(const Doubles& cost, const Doubles& g, int workers) {
  const auto view = matrix_view<double>(cost);
  require(g.size() == view.cols, "one potential per column");
  auto out = new_vector<double>(view.rows);
  const double* from = g.data();
  double* to = out.mutable_data();
  without_gil([&] { transport::row_transform(view, from, to, workers); });
  return out;
}
py::array_t<double> column_transform(const Doubles& cost, const Doubles& f, int workers) {
  const auto view = matrix_view<double>(cost);
  require(f.size() == view.rows, "one potential per row");
  auto out = new_vector<double>(view.cols);
  const double* from = f.data();
  double* to = out.mutable_data();
  without_gil([&] { transport::column_transform(view, from, to, workers); });
  return out;
}

py::tuple weighted_sum(const Doubles& x, const Doubles& y) {
  require(x.size() == y.size(), "vectors must have one length");
  const auto sum = transport::weighted_sum(x.data(), y.data(), x.size());
  return py::make_tuple(sum.value, sum.slack);
}

template <class T>
py::array_t<T> array_of(const std::vector<T>& values) {
  auto array = new_vector<T>(static_cast<ptrdiff_t>(values.size()));
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

py::dict emd(const Doubles& cost, const Doubles& a, const Doubles& b, double tolerance,
             double scale, double negligible, std::int64_t max_pivots, const py::object& start,
             int workers) {
  const auto view = matrix_view<double>(cost);
  require(a.size() == view.rows && b.size() == view.cols, "masses must fit the costs");
  transport::SimplexOptions options{tolerance, scale, negligible, max_pivots, nullptr, workers};
  Doubles given;
  if (!start.is_none()) {
    given = start.cast<Doubles>();
    require(given.size() == view.cols, "one potential per column");
    options.start = given.data();
  }
  const double *rows = a.data(), *cols = b.data();
  const auto result = without_gil([&] { return transport::solve(view, rows, cols, options); });
  py::dict out;
  out["rows"] = array_of(result.rows);
  out["cols"] = array_of(result.cols);
  out["mass"] = array_of(result.mass);
  out["v"] = array_of(result.v);
  out["value"] = result.value;
  out["marginal_error"] = result.marginal_error;
  out["forbidden_mass"] = result.forbidden_mass;
  out["pivots"] = result.pivots;
  out["passes"] = result.passes;
  out["optimal"] = result.optimal;
  return out;
}

py::dict assign(const Doubles& cost, const py::object& start, int workers) {
  const auto view = matrix_view<double>(cost);
  Doubles given;
  if (!start.is_none()) {
    given = start.cast<Doubles>();
    require(given.size() == view.cols, "one potential per column");
  }
  const double* prices = start.is_none() ? nullptr : given.data();
  const auto result = without_gil([&] { return transport::assign(view, prices, workers); });
  py::dict out;
  out["column"] = array_of(result.column);
  out["v"] = array_of(result.v);
  out["value"] = result.value;
  out["augmentations"] = result.augmentations;
  out["stuck"] = array_of(result.stuck);
  return out;
}

// Points (k, n); masses (k, n), (1, n) for all or None for uniform ones.
transport::LineSide line_side(const Doubles& points, const py::object& masses, Doubles& keep) {
  transport::LineSide side{matrix_view<double>(points), {}};
  if (masses.is_none()) return side;
  keep = masses.cast<Doubles>();
  side.masses = matrix_view<double>(keep);
  require(side.masses.cols == side.points.cols &&
              (side.masses.rows == 1 || side.masses.rows == side.points.rows),
          "masses must fit the points");
  if (side.masses.rows == 1) side.masses.row_stride = 0;
  return side;
}

py::array_t<double> line_costs(const Doubles& x, const py::object& a, const Doubles& y,
                               const py::object& b, double p, int workers) {
  Doubles keep_a, keep_b;
  const auto left = line_side(x, a, keep_a), right = line_side(y, b, keep_b);
  require(left.points.rows == right.points.rows, "both sides must have as many problems");
  require(left.points.cols > 0 && right.points.cols > 0, "both sides must have points");
  auto out = new_vector<double>(left.points.rows);
  double* cost = out.mutable_data();
  without_gil([&] { transport::line_costs(left, right, p, cost, workers); });
  return out;
}

py::tuple line_plan(const Doubles& x, const Doubles& a, const Doubles& y, const Doubles& b,
                    double p) {
  Doubles keep_a, keep_b;
  const auto left = line_side(x, a, keep_a), right = line_side(y, b, keep_b);
  require(left.points.rows == 1 && right.points.rows == 1, "one problem");
  require(left.points.cols > 0 && right.points.cols > 0, "both sides must have points");
  const auto plan = without_gil([&] { return transport::line_plan(left, right, p); });
  return py::make_tuple(array_of(plan.rows), array_of(plan.cols), array_of(plan.mass),
                        array_of(plan.f), array_of(plan.g), plan.value, plan.drift,
                        plan.cost_error);
}

}  // namespace transport_faces

void bind_transport(py::module_& parent) {
  using namespace transport_faces;
  auto m = parent.def_submodule("transport");
  m.def("assign", &assign, py::arg("cost"), py::arg("start"), py::arg("workers") = 0);
  m.def("cost_range", &cost_range, py::arg("cost"), py::arg("workers") = 0);
  m.def("emd", &emd, py::arg("cost"), py::arg("a"), py::arg("b"), py::arg("tolerance"),
        py::arg("scale"), py::arg("negligible"), py::arg("max_pivots"), py::arg("start"),
        py::arg("workers") = 0);
  m.def("line_costs", &line_costs, py::arg("x"), py::arg("a"), py::arg("y"), py::arg("b"),
        py::arg("p"), py::arg("workers") = 0);
  m.def("line_plan", &line_plan, py::arg("x"), py::arg("a"), py::arg("y"), py::arg("b"),
        py::arg("p"));
  m.def("round_plan", &round_plan, py::arg("plan"), py::arg("a"), py::arg("b"), py::arg("out"),
        py::arg("workers") = 0);
  m.def("row_transform", &row_transform, py::arg("cost"), py::arg("g"), py::arg("workers") = 0);
  m.def("column_transform", &column_transform, py::arg("cost"), py::arg("f"),
        py::arg("workers") = 0);
  m.def("weighted_sum", &weighted_sum, py::arg("x"), py::arg("y"));
}

}  // namespace kexue::bindings
