// Exact transport: certificates and rounding; arrays are C-contiguous.
#include <cstddef>

#include "kexue/core/error.hpp"
#include "kexue/transport/certificate.hpp"
#include "kexue/transport/round.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace {

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

}  // namespace

void bind_transport(py::module_& parent) {
  auto m = parent.def_submodule("transport");
  m.def("round_plan", &round_plan, py::arg("plan"), py::arg("a"), py::arg("b"), py::arg("out"),
        py::arg("workers") = 0);
  m.def("row_transform", &row_transform, py::arg("cost"), py::arg("g"), py::arg("workers") = 0);
  m.def("column_transform", &column_transform, py::arg("cost"), py::arg("f"),
        py::arg("workers") = 0);
  m.def("weighted_sum", &weighted_sum, py::arg("x"), py::arg("y"));
}

}  // namespace kexue::bindings
