// _core.emo: the EMO loss and the cosine cost; arguments have been checked by kexue_num.transport.
// Every function returns what is wrong with the numbers, and in which row.
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "kexue/core/error.hpp"
#include "kexue/transport/emo.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace emo_faces {

using Ids = py::array_t<std::int64_t, py::array::c_style>;
using Doubles = py::array_t<double, py::array::c_style>;
using Optional = std::optional<py::array>;
using std::ptrdiff_t;

const char* name_of(transport::Fault fault) {
  switch (fault) {
    case transport::Fault::none:
      return "";
    case transport::Fault::embedding_not_finite:
      return "embedding not finite";
    case transport::Fault::embedding_zero:
      return "embedding zero";
    case transport::Fault::logits_not_finite:
      return "logits not finite";
    case transport::Fault::logits_masked:
      return "logits masked";
    case transport::Fault::label_masked:
      return "label masked";
    case transport::Fault::target_negative:
      return "target negative";
    case transport::Fault::target_sum:
      return "target sum";
  }
  return "";
}
std::pair<const char*, ptrdiff_t> answer(const transport::Verdict& verdict) {
  return {name_of(verdict.fault), verdict.row};
}

template <class T>
MatrixView<const T> rows_of(const py::array& a, ptrdiff_t rows, ptrdiff_t cols) {
  const auto view = matrix_view<T>(a);
  require(view.rows == rows && view.cols == cols, "arrays must fit each other");
  require(view.rows_contiguous() || rows == 0, "rows must be contiguous");
  return view;
}
template <class T>
MatrixView<T> writable_rows(py::array& a, ptrdiff_t rows, ptrdiff_t cols) {
  rows_of<T>(a, rows, cols);
  return mutable_matrix_view<T>(a);
}

// labels: one id per row, or soft: rows like the logits.
std::pair<const char*, ptrdiff_t> emo_loss(const py::array& logits,
                                           const std::optional<Ids>& labels, const Optional& soft,
                                           const py::array& embeddings, int mixture,
                                           double sum_tolerance, double weight, Doubles values,
                                           Optional gradient, int workers) {
  return dispatch_real(logits, [&]<class T>(Type<T>) {
    const ptrdiff_t n = logits.shape(0), vocabulary = logits.shape(1);
    transport::EmoProblem<T> problem;
    problem.logits = rows_of<T>(logits, n, vocabulary);
    problem.embeddings = rows_of<T>(embeddings, vocabulary, embeddings.shape(1));
    require(labels.has_value() != soft.has_value(), "labels or distributions are needed");
    if (labels) {
      require(labels->size() == n, "one id per row is needed");
      problem.labels = labels->data();
    } else {
      problem.soft = rows_of<T>(*soft, n, vocabulary);
    }
    problem.mixture = static_cast<transport::Mixture>(mixture);
    problem.sum_tolerance = sum_tolerance;
    problem.weight = weight;
    problem.workers = workers;
    require(values.size() == n, "one value per row is needed");
    double* each = values.mutable_data();
    const auto out = gradient ? writable_rows<T>(*gradient, n, vocabulary) : MatrixView<T>{};
    return answer(without_gil([&] { return transport::emo_loss<T>(problem, each, out); }));
  });
}

std::pair<const char*, ptrdiff_t> demd(const py::array& p, const py::array& tau,
                                       const py::array& embeddings, Doubles values, int workers) {
  return dispatch_real(p, [&]<class T>(Type<T>) {
    const ptrdiff_t n = p.shape(0), vocabulary = p.shape(1);
    const auto masses = matrix_view<T>(p), target = matrix_view<T>(tau);
    require(target.rows == n && target.cols == vocabulary, "arrays must have one shape");
    const auto rows = rows_of<T>(embeddings, vocabulary, embeddings.shape(1));
    require(values.size() == n, "one value per row is needed");
    double* each = values.mutable_data();
    return answer(
        without_gil([&] { return transport::demd<T>(masses, target, rows, each, workers); }));
  });
}

std::pair<const char*, ptrdiff_t> embedding_cost(const py::array& embeddings, py::array cost,
                                                 int workers) {
  return dispatch_real(embeddings, [&]<class T>(Type<T>) {
    const ptrdiff_t n = embeddings.shape(0);
    const auto rows = rows_of<T>(embeddings, n, embeddings.shape(1));
    const auto out = writable_rows<T>(cost, n, n);
    return answer(without_gil([&] { return transport::embedding_cost<T>(rows, out, workers); }));
  });
}

}  // namespace emo_faces

void bind_emo(py::module_& parent) {
  using namespace emo_faces;
  auto m = parent.def_submodule("emo");
  m.def("emo_loss", &emo_loss, py::arg("logits"), py::arg("labels"), py::arg("soft"),
        py::arg("embeddings"), py::arg("mixture"), py::arg("sum_tolerance"), py::arg("weight"),
        py::arg("values"), py::arg("gradient"), py::arg("workers"));
  m.def("demd", &demd, py::arg("p"), py::arg("tau"), py::arg("embeddings"), py::arg("values"),
        py::arg("workers"));
  m.def("embedding_cost", &embedding_cost, py::arg("embeddings"), py::arg("cost"),
        py::arg("workers"));
}

}  // namespace kexue::bindings
