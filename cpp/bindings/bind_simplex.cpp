// Simplex maps: the batches of rows that kexue_num.simplex prepares (C-contiguous matrices of one
// dtype). Functions that fill `out` return the number of rows with nothing finite.
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>

#include "kexue/core/error.hpp"
#include "kexue/simplex/gradients.hpp"
#include "kexue/simplex/losses.hpp"
#include "kexue/simplex/maps.hpp"
#include "kexue/simplex/select.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace simplex_faces {

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

// A map of whole rows with its own settings: f(batch) without the GIL.
template <class F>
auto on_rows(const py::array& x, py::array& out, int workers, F&& f) {
  return dispatch_real(x, [&]<class T>(Type<T>) {
    const auto batch = batch_of<T>(x, out, workers);
    return without_gil([&] { return f(batch); });
  });
}
ptrdiff_t topk_softmax(const py::array& x, ptrdiff_t k, py::array out, double temperature, bool nan,
                       int workers) {
  return on_rows(x, out, workers, [&](const auto& batch) {
    return simplex::topk_softmax(batch, k, temperature, empty_of(nan), nullptr);
  });
}
ptrdiff_t topp_softmax(const py::array& x, double p, py::array out, double temperature, bool nan,
                       int workers) {
  return on_rows(x, out, workers, [&](const auto& batch) {
    return simplex::topp_softmax(batch, p, temperature, empty_of(nan));
  });
}
ptrdiff_t taylor_softmax(const py::array& x, int order, py::array out, double temperature, bool nan,
                         int workers) {
  return on_rows(x, out, workers, [&](const auto& batch) {
    return simplex::taylor_softmax(batch, order, temperature, empty_of(nan));
  });
}
ptrdiff_t perturbmax(const py::array& x, int noise, int n_nodes, py::array out, double temperature,
                     bool nan, int workers) {
  return on_rows(x, out, workers, [&](const auto& batch) {
    return simplex::perturbmax(batch, static_cast<simplex::Noise>(noise), n_nodes, temperature,
                               empty_of(nan));
  });
}
void soft_topk(const py::array& x, double k, int kind, py::array out, double temperature,
               int workers) {
  on_rows(x, out, workers, [&](const auto& batch) {
    simplex::soft_topk(batch, k, static_cast<simplex::Selection>(kind), temperature);
  });
}
void taylor_softmax_vjp(const py::array& x, const py::array& g, int order, py::array out,
                        double temperature, int workers) {
  dispatch_real(x, [&]<class T>(Type<T>) {
    const auto batch = batch_of<T>(x, out, workers);
    const T* up = rows_of<T>(g, batch.n_rows, batch.n);
    without_gil([&] { simplex::taylor_softmax_vjp(batch, up, order, temperature); });
  });
}
void soft_topk_vjp(const py::array& p, const py::array& x, const py::array& g, double k, int kind,
                   py::array out, double temperature, int workers) {
  dispatch_real(x, [&]<class T>(Type<T>) {
    const auto batch = batch_of<T>(x, out, workers);
    const T* values = rows_of<T>(p, batch.n_rows, batch.n);
    const T* up = rows_of<T>(g, batch.n_rows, batch.n);
    const auto selection = static_cast<simplex::Selection>(kind);
    without_gil([&] { simplex::soft_topk_vjp(batch, values, up, k, selection, temperature); });
  });
}

using Ids = py::array_t<std::int64_t, py::array::c_style>;

// target: ids (n_rows,), or None; dense: rows like x, or None; else compressed rows.
void fenchel_young(const py::array& x, const std::optional<Ids>& ids,
                   const std::optional<py::array>& dense, const std::optional<Ids>& indptr,
                   const std::optional<Ids>& indices, const std::optional<Doubles>& data,
                   double alpha, ptrdiff_t k, double margin, double temperature, double weight,
                   Doubles values, std::optional<py::array> gradient, int workers) {
  dispatch_real(x, [&]<class T>(Type<T>) {
    const ptrdiff_t n_rows = x.shape(0), n = x.shape(1);
    const T* scores = rows_of<T>(x, n_rows, n);
    simplex::Targets<T> targets;
    if (ids) {
      require(ids->size() == n_rows, "one id per row is needed");
      targets.ids = ids->data();
    } else if (dense) {
      targets.dense = rows_of<T>(*dense, n_rows, n);
    } else {
      require(indptr && indices && data && indptr->size() == n_rows + 1, "no targets");
      targets.indptr = indptr->data();
      targets.indices = indices->data();
      targets.data = data->data();
    }
    require(values.size() == n_rows, "one value per row is needed");
    double* each = values.mutable_data();
    T* out = gradient ? writable_rows<T>(*gradient, n_rows, n) : nullptr;
    const simplex::LossOptions options{alpha, k, margin, temperature, weight, workers};
    without_gil([&] { simplex::fenchel_young(scores, n_rows, n, targets, options, each, out); });
  });
}
void multilabel(const py::array& x, const py::array_t<std::uint8_t, py::array::c_style>& labels,
                double gamma, double margin, bool threshold_class, double weight, Doubles values,
                std::optional<py::array> gradient, int workers) {
  dispatch_real(x, [&]<class T>(Type<T>) {
    const ptrdiff_t n_rows = x.shape(0), n = x.shape(1);
    const T* scores = rows_of<T>(x, n_rows, n);
    require(labels.size() == n_rows * (n - (threshold_class ? 1 : 0)), "labels do not fit");
    require(values.size() == n_rows, "one value per row is needed");
    const std::uint8_t* label = labels.data();
    double* each = values.mutable_data();
    T* out = gradient ? writable_rows<T>(*gradient, n_rows, n) : nullptr;
    without_gil([&] {
      simplex::multilabel(scores, label, n_rows, n, gamma, margin, threshold_class, weight, workers,
                          each, out);
    });
  });
}

}  // namespace simplex_faces

void bind_simplex(py::module_& parent) {
  using namespace simplex_faces;
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
  m.def("topk_softmax", &topk_softmax, py::arg("x"), py::arg("k"), py::arg("out"),
        py::arg("temperature"), py::arg("nan"), py::arg("workers"));
  m.def("topp_softmax", &topp_softmax, py::arg("x"), py::arg("p"), py::arg("out"),
        py::arg("temperature"), py::arg("nan"), py::arg("workers"));
  m.def("taylor_softmax", &taylor_softmax, py::arg("x"), py::arg("order"), py::arg("out"),
        py::arg("temperature"), py::arg("nan"), py::arg("workers"));
  m.def("perturbmax", &perturbmax, py::arg("x"), py::arg("noise"), py::arg("n_nodes"),
        py::arg("out"), py::arg("temperature"), py::arg("nan"), py::arg("workers"));
  m.def("soft_topk", &soft_topk, py::arg("x"), py::arg("k"), py::arg("kind"), py::arg("out"),
        py::arg("temperature"), py::arg("workers"));
  m.def("taylor_softmax_vjp", &taylor_softmax_vjp, py::arg("x"), py::arg("g"), py::arg("order"),
        py::arg("out"), py::arg("temperature"), py::arg("workers"));
  m.def("soft_topk_vjp", &soft_topk_vjp, py::arg("p"), py::arg("x"), py::arg("g"), py::arg("k"),
        py::arg("kind"), py::arg("out"), py::arg("temperature"), py::arg("workers"));
  m.def("fenchel_young", &fenchel_young, py::arg("x"), py::arg("ids"), py::arg("dense"),
        py::arg("indptr"), py::arg("indices"), py::arg("data"), py::arg("alpha"), py::arg("k"),
        py::arg("margin"), py::arg("temperature"), py::arg("weight"), py::arg("values"),
        py::arg("gradient"), py::arg("workers"));
  m.def("multilabel", &multilabel, py::arg("x"), py::arg("labels"), py::arg("gamma"),
        py::arg("margin"), py::arg("threshold_class"), py::arg("weight"), py::arg("values"),
        py::arg("gradient"), py::arg("workers"));
}

}  // namespace kexue::bindings
