// Simplex maps: the batches of rows that kexue_num.simplex prepares (C-contiguous matrices of one
// dtype). Functions that fill `out` return the number of rows with nothing finite.
#include <pybind11/stl.h>

#include "kexue/core/error.hpp"
#include "kexue/simplex/gradients.hpp"
#include "kexue/simplex/maps.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace {

using simplex::Batch;
using simplex::Empty;
using std::ptrdiff_t;
using Doubles = py::array_t<double, py::array::c_style>;

template <class T>
const T* rows_of(const py::array& a, ptrdiff_t n_rows, ptrdiff_t n) {
  const auto view = matrix_view<T>(a);
  require(view.rows == n_rows && view.cols == n, "arrays must have one shape");
  require((a.flags() & py::array::c_style) != 0, "arrays must be C-contiguous");
  return view.data;
}
template <class T>
T* writable_rows(py::array& a, ptrdiff_t n_rows, ptrdiff_t n) {
  rows_of<T>(a, n_rows, n);
  return mutable_matrix_view<T>(a).data;
}
template <class T>
Batch<T> batch_of(const py::array& x, py::array& out, int workers) {
  const ptrdiff_t n_rows = x.shape(0), n = x.shape(1);
  return {rows_of<T>(x, n_rows, n), writable_rows<T>(out, n_rows, n), n_rows, n, workers};
}
// One double per row, to be filled; null for None.
double* per_row(py::object& values, ptrdiff_t n_rows) {
  if (values.is_none()) return nullptr;
  auto array = values.cast<Doubles>();
  require(array.size() == n_rows, "one value per row is needed");
  return array.mutable_data();
}
Empty empty_of(bool nan) { return nan ? Empty::nan : Empty::zero; }

ptrdiff_t softmax(const py::array& x, py::array out, double temperature, bool nan, py::object lse,
                  int workers) {
  return dispatch_real(x, [&]<class T>(Type<T>) {
    const auto batch = batch_of<T>(x, out, workers);
    double* level = per_row(lse, batch.n_rows);
    return without_gil([&] { return simplex::softmax(batch, temperature, empty_of(nan), level); });
  });
}
ptrdiff_t log_softmax(const py::array& x, py::array out, double temperature, bool nan,
                      int workers) {
  return dispatch_real(x, [&]<class T>(Type<T>) {
    const auto batch = batch_of<T>(x, out, workers);
    return without_gil([&] { return simplex::log_softmax(batch, temperature, empty_of(nan)); });
  });
}
ptrdiff_t logsumexp(const py::array& x, Doubles lse, double temperature, int workers) {
  return dispatch_real(x, [&]<class T>(Type<T>) {
    const ptrdiff_t n_rows = x.shape(0), n = x.shape(1);
    require(lse.size() == n_rows, "one value per row is needed");
    const Batch<T> batch{rows_of<T>(x, n_rows, n), nullptr, n_rows, n, workers};
    double* level = lse.mutable_data();
    return without_gil([&] { return simplex::logsumexp(batch, temperature, level); });
  });
}
ptrdiff_t project_rows(const py::array& x, double radius, py::array out, double scale, bool nan,
                       py::object tau, int workers) {
  return dispatch_real(x, [&]<class T>(Type<T>) {
    const auto batch = batch_of<T>(x, out, workers);
    double* root = per_row(tau, batch.n_rows);
    return without_gil(
        [&] { return simplex::project_rows(batch, radius, scale, empty_of(nan), root); });
  });
}
ptrdiff_t entmax(const py::array& x, const Doubles& alpha, py::array out, double temperature,
                 bool nan, py::object tau, int workers) {
  return dispatch_real(x, [&]<class T>(Type<T>) {
    const auto batch = batch_of<T>(x, out, workers);
    require(alpha.size() == 1 || alpha.size() == batch.n_rows, "one alpha, or one per row");
    double* root = per_row(tau, batch.n_rows);
    const double* each = alpha.data();
    const ptrdiff_t step = alpha.size() == 1 ? 0 : 1;
    return without_gil(
        [&] { return simplex::entmax(batch, each, step, temperature, empty_of(nan), root); });
  });
}
ptrdiff_t normmax(const py::array& x, double alpha, py::array out, double temperature, bool nan,
                  int workers) {
  return dispatch_real(x, [&]<class T>(Type<T>) {
    const auto batch = batch_of<T>(x, out, workers);
    return without_gil(
        [&] { return simplex::normmax(batch, alpha, temperature, empty_of(nan), nullptr); });
  });
}

void entmax_vjp(const py::array& p, const py::array& g, const Doubles& alpha, py::array out,
                double temperature, int workers) {
  dispatch_real(p, [&]<class T>(Type<T>) {
    const auto batch = batch_of<T>(p, out, workers);
    const T* gradient = rows_of<T>(g, batch.n_rows, batch.n);
    require(alpha.size() == 1 || alpha.size() == batch.n_rows, "one alpha, or one per row");
    const double* each = alpha.data();
    const ptrdiff_t step = alpha.size() == 1 ? 0 : 1;
    without_gil([&] { simplex::entmax_vjp(batch, gradient, each, step, temperature); });
  });
}
void entmax_alpha_vjp(const py::array& p, const py::array& g, const Doubles& alpha, Doubles out,
                      int workers) {
  dispatch_real(p, [&]<class T>(Type<T>) {
    const ptrdiff_t n_rows = p.shape(0), n = p.shape(1);
    const Batch<T> batch{rows_of<T>(p, n_rows, n), nullptr, n_rows, n, workers};
    const T* gradient = rows_of<T>(g, n_rows, n);
    require(alpha.size() == 1 || alpha.size() == n_rows, "one alpha, or one per row");
    require(out.size() == n_rows, "one value per row is needed");
    const double* each = alpha.data();
    double* derivative = out.mutable_data();
    const ptrdiff_t step = alpha.size() == 1 ? 0 : 1;
    without_gil([&] { simplex::entmax_alpha_vjp(batch, gradient, each, step, derivative); });
  });
}

}  // namespace

void bind_simplex(py::module_& parent) {
  auto m = parent.def_submodule("simplex");
  m.def("softmax", &softmax, py::arg("x"), py::arg("out"), py::arg("temperature"), py::arg("nan"),
        py::arg("lse"), py::arg("workers"));
  m.def("log_softmax", &log_softmax, py::arg("x"), py::arg("out"), py::arg("temperature"),
        py::arg("nan"), py::arg("workers"));
  m.def("logsumexp", &logsumexp, py::arg("x"), py::arg("lse"), py::arg("temperature"),
        py::arg("workers"));
  m.def("project_rows", &project_rows, py::arg("x"), py::arg("radius"), py::arg("out"),
        py::arg("scale") = 1.0, py::arg("nan") = false, py::arg("tau") = py::none(),
        py::arg("workers") = 0);
  m.def("entmax", &entmax, py::arg("x"), py::arg("alpha"), py::arg("out"), py::arg("temperature"),
        py::arg("nan"), py::arg("tau"), py::arg("workers"));
  m.def("normmax", &normmax, py::arg("x"), py::arg("alpha"), py::arg("out"), py::arg("temperature"),
        py::arg("nan"), py::arg("workers"));
  m.def("entmax_vjp", &entmax_vjp, py::arg("p"), py::arg("g"), py::arg("alpha"), py::arg("out"),
        py::arg("temperature"), py::arg("workers"));
  m.def("entmax_alpha_vjp", &entmax_alpha_vjp, py::arg("p"), py::arg("g"), py::arg("alpha"),
        py::arg("out"), py::arg("workers"));
}

}  // namespace kexue::bindings
