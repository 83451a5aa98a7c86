// _core.column_row: products from a few of their terms; a part of kexue_num.lowrank.
#include <pybind11/stl.h>

#include <algorithm>
#include <complex>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kexue/lowrank/column_row.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace column_row_faces {

using std::ptrdiff_t;
using Indices = py::array_t<ptrdiff_t>;
using Weights = py::array_t<double>;
using KeyPair = std::pair<std::uint64_t, std::uint64_t>;

// A stack (count, rows, cols) of matrices.
template <class T>
lowrank::Batch<const T> batch_view(const py::array& a) {
  detail::check_dtype<T>(a);
  detail::check_dimensions(a, 3);
  const MatrixView<const T> first{static_cast<const T*>(a.data()), a.shape(1), a.shape(2),
                                  detail::element_stride(a, 1), detail::element_stride(a, 2)};
  return {first, a.shape(0), detail::element_stride(a, 0)};
}
template <class T>
lowrank::Batch<T> new_batch(py::array& owner, ptrdiff_t count, ptrdiff_t rows, ptrdiff_t cols) {
  AlignedBuffer<T> memory(count * rows * cols);
  T* data = memory.data();
  owner =
      py::array_t<T>(std::vector<ptrdiff_t>{count, rows, cols}, data, owner_of(std::move(memory)));
  return {row_major(data, rows, cols), count, rows * cols};
}

py::array column_norms(const py::array& a, int workers) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) -> py::array {
    const auto batch = batch_view<T>(a);
    auto out = new_matrix<double>(batch.count, batch.first.cols);
    const auto norms = row_major(out.mutable_data(), batch.count, batch.first.cols);
    without_gil([&] { lowrank::column_norms<T>(batch, norms, workers); });
    return out;
  });
}

py::array weighted_products(const py::array& a, const py::object& weights, const py::array& b,
                            int workers) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) -> py::array {
    const auto left = batch_view<T>(a), right = batch_view<T>(b);
    if (left.count != right.count || left.first.cols != right.first.rows) {
      throw std::invalid_argument("weighted_products: shapes do not fit");
    }
    MatrixView<const T> factors;
    if (!weights.is_none()) factors = matrix_view<T>(py::reinterpret_borrow<py::array>(weights));
    py::array owner;
    const auto out = new_batch<T>(owner, left.count, left.first.rows, right.first.cols);
    without_gil([&] { lowrank::weighted_products<T>(left, factors, right, out, workers); });
    return owner;
  });
}

lowrank::Draw draw_of(const std::string& name) {
  if (name == "topk") return lowrank::Draw::largest;
  if (name == "pips") return lowrank::Draw::systematic;
  if (name == "iid") return lowrank::Draw::independent;
  return lowrank::Draw::bernoulli;
}

// One row of sizes per matrix; a list of (indices, weights).
std::vector<std::pair<Indices, Weights>> choose_terms(const py::array& sizes, ptrdiff_t wanted,
                                                      const std::string& method, KeyPair key,
                                                      int workers) {
  const auto view = matrix_view<double>(sizes);
  const auto draw = draw_of(method);
  const Key own{key.first, key.second};
  const auto terms =
      without_gil([&] { return lowrank::choose_terms(view, wanted, draw, own, workers); });
  std::vector<std::pair<Indices, Weights>> result(terms.size());
  std::transform(terms.begin(), terms.end(), result.begin(), [](const lowrank::Terms& t) {
    const auto size = static_cast<ptrdiff_t>(t.indices.size());
    return std::pair(Indices(size, t.indices.data()), Weights(size, t.weights.data()));
  });
  return result;
}

// One row of sizes per matrix, and of probabilities.
py::array inclusion_probabilities(const py::array& sizes, ptrdiff_t wanted, int workers) {
  const auto view = matrix_view<double>(sizes);
  auto pi = new_matrix<double>(view.rows, view.cols);
  const auto out = row_major(pi.mutable_data(), view.rows, view.cols);
  without_gil([&] { lowrank::inclusion_probabilities(view, wanted, out, workers); });
  return pi;
}

// A stack of Gram matrices; a row of terms kept for each.
py::array greedy_deletion(const py::array& grams, ptrdiff_t keep, ptrdiff_t tuple_size,
                          int workers) {
  const auto batch = batch_view<double>(grams);
  auto kept = new_matrix<ptrdiff_t>(batch.count, keep);
  const auto view = row_major(kept.mutable_data(), batch.count, keep);
  without_gil([&] { lowrank::greedy_deletion(batch, keep, tuple_size, view, workers); });
  return kept;
}

}  // namespace column_row_faces

void bind_column_row(py::module_& parent) {
  using namespace column_row_faces;
  auto m = parent.def_submodule("column_row");
  m.def("column_norms", &column_norms, py::arg("a"), py::arg("workers"));
  m.def("weighted_products", &weighted_products, py::arg("a"), py::arg("weights"), py::arg("b"),
        py::arg("workers"));
  m.def("choose_terms", &choose_terms, py::arg("sizes"), py::arg("wanted"), py::arg("method"),
        py::arg("key"), py::arg("workers"));
  m.def("inclusion_probabilities", &inclusion_probabilities, py::arg("sizes"), py::arg("wanted"),
        py::arg("workers"));
  m.def("greedy_deletion", &greedy_deletion, py::arg("gram"), py::arg("keep"),
        py::arg("tuple_size"), py::arg("workers"));
}

}  // namespace kexue::bindings
