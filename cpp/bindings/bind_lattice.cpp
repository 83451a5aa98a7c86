// Lattices: a Dag and its sweep are objects that Python holds; arrays are C-contiguous.
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kexue/core/error.hpp"
#include "kexue/lattice/best.hpp"
#include "kexue/lattice/dag.hpp"
#include "kexue/lattice/sample.hpp"
#include "kexue/lattice/sweep.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace {

using lattice::BestPath;
using lattice::BestPaths;
using lattice::Dag;
using lattice::Index;
using lattice::Paths;
using lattice::Sweep;
using std::ptrdiff_t;
using Integers = py::array_t<Index, py::array::c_style>;
using Doubles = py::array_t<double, py::array::c_style>;
using KeyPair = std::pair<std::uint64_t, std::uint64_t>;

template <class T>
std::span<const T> span_of(const py::array_t<T, py::array::c_style>& a) {
  return {a.data(), static_cast<std::size_t>(a.size())};
}
template <class T>
py::array_t<T> array_of(const std::vector<T>& values) {
  auto array = new_vector<T>(static_cast<ptrdiff_t>(values.size()));
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}
std::span<double> filled(py::array_t<double>& a) {
  return {a.mutable_data(), static_cast<std::size_t>(a.size())};
}

Dag build(const Integers& indptr, const Integers& targets, const Doubles& scores,
          const Integers& order) {
  require(indptr.size() >= 2, "a lattice needs a node");
  const auto first = span_of(indptr), to = span_of(targets), by_source = span_of(order);
  const auto score = span_of(scores);
  return without_gil([&] { return lattice::build_dag(first, to, score, by_source); });
}

py::tuple tuple_of(const BestPath& path) {
  return py::make_tuple(array_of(path.edges), path.score);
}
py::tuple best_path(const Dag& dag) {
  return tuple_of(without_gil([&] { return lattice::best_path(dag); }));
}
py::object next_best(BestPaths& paths) {
  BestPath path;
  if (!without_gil([&] { return paths.next(path); })) return py::none();
  return tuple_of(path);
}

// Little-endian bytes.
py::bytes count_paths(const Dag& dag) {
  const auto words = without_gil([&] { return lattice::count_paths(dag); });
  return {reinterpret_cast<const char*>(words.data()),
          static_cast<py::ssize_t>(words.size() * sizeof(std::uint64_t))};
}

template <void (*function)(const Dag&, const Sweep&, std::span<double>)>
py::array_t<double> marginals(const Dag& dag, const Sweep& sweep, ptrdiff_t size) {
  auto out = new_vector<double>(size);
  const auto view = filled(out);
  without_gil([&] { function(dag, sweep, view); });
  return out;
}

// values (rows, edges) -> (means, variances), one for each row.
py::tuple moments(const Dag& dag, const Sweep& sweep, const Doubles& values) {
  const auto view = matrix_view<double>(values);
  require(view.cols == static_cast<ptrdiff_t>(dag.live.size()), "one value per edge");
  auto mean = new_vector<double>(view.rows), variance = new_vector<double>(view.rows);
  const auto means = filled(mean), variances = filled(variance);
  without_gil([&] { lattice::moments(dag, sweep, view, means, variances); });
  return py::make_tuple(mean, variance);
}
py::array_t<double> differentiate(const Dag& dag, const Sweep& sweep, const Doubles& direction) {
  require(direction.size() == static_cast<ptrdiff_t>(dag.live.size()), "one value per edge");
  auto out = new_vector<double>(direction.size());
  const auto view = span_of(direction);
  const auto result = filled(out);
  without_gil([&] { lattice::differentiate_marginals(dag, sweep, view, result); });
  return out;
}

// (log probabilities, number of the first that is no path or -1).
py::tuple log_probabilities(const Dag& dag, const Sweep& sweep, const Integers& edges,
                            const Integers& offsets) {
  auto out = new_vector<double>(offsets.size() - 1);
  const auto result = filled(out);
  const auto path = span_of(edges), offset = span_of(offsets);
  const ptrdiff_t wrong =
      without_gil([&] { return lattice::log_probabilities(dag, sweep, path, offset, result); });
  return py::make_tuple(out, wrong);
}

py::tuple sample(const Dag& dag, const Sweep& sweep, ptrdiff_t size, KeyPair key, int workers) {
  const Paths paths = without_gil(
      [&] { return lattice::sample(dag, sweep, size, {key.first, key.second}, workers); });
  return py::make_tuple(array_of(paths.edges), array_of(paths.offsets));
}
py::tuple sample_without_replacement(const Dag& dag, const Sweep& sweep, ptrdiff_t size,
                                     KeyPair key) {
  const auto result = without_gil([&] {
    return lattice::sample_without_replacement(dag, sweep, size, {key.first, key.second});
  });
  return py::make_tuple(array_of(result.paths.edges), array_of(result.paths.offsets),
                        array_of(result.log_prob), array_of(result.log_inclusion));
}

}  // namespace

void bind_lattice(py::module_& parent) {
  auto m = parent.def_submodule("lattice");
  py::class_<Sweep>(m, "Sweep").def_readonly("alpha", &Sweep::alpha);
  py::class_<Dag>(m, "Dag")
      .def(py::init(&build), py::arg("indptr"), py::arg("targets"), py::arg("scores"),
           py::arg("order"))
      .def_readonly("cycle", &Dag::cycle)
      .def_readonly("stuck", &Dag::stuck)
      .def_property_readonly("n_nodes", &Dag::n_nodes)
      .def_property_readonly("n_edges", &Dag::n_edges)
      .def("best_path", &best_path)
      .def("count_paths", &count_paths)
      .def("cut_vertices", [](const Dag& dag) { return array_of(lattice::cut_vertices(dag)); });
  py::class_<BestPaths>(m, "BestPaths").def("next", &next_best);
  m.def(
      "best_paths", [](const Dag& dag) { return BestPaths(dag); }, py::keep_alive<0, 1>(),
      py::arg("dag"));
  m.def("sweep_backward", &lattice::sweep_backward, py::arg("dag"), py::arg("alpha"),
        py::call_guard<py::gil_scoped_release>());
  m.def("log_partition", &lattice::log_partition, py::arg("sweep"));
  m.def("entropy", &lattice::entropy, py::arg("dag"), py::arg("sweep"),
        py::call_guard<py::gil_scoped_release>());
  m.def("edge_marginals", &marginals<&lattice::edge_marginals>, py::arg("dag"), py::arg("sweep"),
        py::arg("n_edges"));
  m.def("node_marginals", &marginals<&lattice::node_marginals>, py::arg("dag"), py::arg("sweep"),
        py::arg("n_nodes"));
  m.def("moments", &moments, py::arg("dag"), py::arg("sweep"), py::arg("values"));
  m.def("differentiate_marginals", &differentiate, py::arg("dag"), py::arg("sweep"),
        py::arg("direction"));
  m.def("log_probabilities", &log_probabilities, py::arg("dag"), py::arg("sweep"), py::arg("edges"),
        py::arg("offsets"));
  m.def("sample", &sample, py::arg("dag"), py::arg("sweep"), py::arg("size"), py::arg("key"),
        py::arg("workers") = 0);
  m.def("sample_without_replacement", &sample_without_replacement, py::arg("dag"), py::arg("sweep"),
        py::arg("size"), py::arg("key"));
}

}  // namespace kexue::bindings
