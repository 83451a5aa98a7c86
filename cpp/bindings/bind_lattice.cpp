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
#include "kexue/lattice/trellis.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace lattice_faces {

using lattice::BestPath;
using lattice::BestPaths;
using lattice::Dag;
using lattice::Index;
using lattice::Paths;
using lattice::Sweep;
using lattice::Trellis;
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

// ---- Trellises: (emissions, lengths, start, stop, dense or None, rows or None), all C-contiguous
// and of one dtype; rows = (indptr, indices, data).

template <class T>
using Array = py::array_t<T, py::array::c_style>;

template <class T>
struct Model {
  Model(const py::tuple& parts, int workers)
      : emissions(parts[0].cast<Array<T>>()),
        start(parts[2].cast<Array<T>>()),
        stop(parts[3].cast<Array<T>>()),
        lengths(parts[1].cast<Integers>()) {
    require(emissions.ndim() == 3 && start.size() == emissions.shape(2) &&
                stop.size() == emissions.shape(2) && lengths.size() == emissions.shape(0),
            "the arrays of a trellis must agree");
    view = {emissions.shape(0), emissions.shape(1), emissions.shape(2), emissions.data(),
            lengths.data(),     start.data(),       stop.data()};
    view.workers = workers;
    const ptrdiff_t n = view.states;
    if (!parts[4].is_none()) {
      values = parts[4].cast<Array<T>>();
      require(values.ndim() == 3 && values.shape(1) == n && values.shape(2) == n &&
                  (values.shape(0) == 1 || values.shape(0) + 1 == view.steps),
              "transitions must be matrices of the states");
      view.n_matrices = values.shape(0);
      view.dense = values.data();
      return;
    }
    const auto rows = parts[5].cast<py::tuple>();
    indptr = rows[0].cast<Integers>();
    indices = rows[1].cast<Integers>();
    values = rows[2].cast<Array<T>>();
    require(
        indptr.size() == n + 1 && indices.size() == values.size() && indptr.at(n) == indices.size(),
        "compressed rows must agree");
    view.indptr = indptr.data();
    view.indices = indices.data();
    view.data = values.data();
  }

  Array<T> emissions, start, stop, values;
  Integers lengths, indptr, indices;
  Trellis<T> view;
};

template <class T>
py::array_t<T> new_array(std::vector<ptrdiff_t> shape) {
  return py::array_t<T>(std::move(shape));
}

double largest_modulus(const py::array& scores) {
  return dispatch_real(scores, [&]<class T>(Type<T>) {
    const auto array = scores.cast<Array<T>>();
    const T* from = array.data();
    const ptrdiff_t n = array.size();
    return static_cast<double>(without_gil([&] { return lattice::largest_modulus(from, n); }));
  });
}

py::tuple viterbi(const py::tuple& parts, int workers) {
  return dispatch_real(parts[0].cast<py::array>(), [&]<class T>(Type<T>) {
    const Model<T> model(parts, workers);
    auto states = new_array<Index>({model.view.batch, model.view.steps});
    auto scores = new_vector<double>(model.view.batch);
    Index* path = states.mutable_data();
    double* score = scores.mutable_data();
    without_gil([&] { lattice::viterbi(model.view, path, score); });
    return py::make_tuple(states, scores);
  });
}

// Five outputs, each None unless asked for: log_partition, forward, backward, marginals and
// transitions.
py::tuple sums(const py::tuple& parts, bool messages, bool marginals, bool transitions,
               int workers) {
  const Model<double> model(parts, workers);
  const Trellis<double>& view = model.view;
  const std::vector<ptrdiff_t> rows{view.batch, view.steps, view.states};
  auto log_partition = new_vector<double>(view.batch);
  lattice::TrellisSums out{log_partition.mutable_data()};
  auto add = [](bool wanted, double*& target, const std::vector<ptrdiff_t>& shape) -> py::object {
    if (!wanted) return py::none();
    auto array = new_array<double>(shape);
    target = array.mutable_data();
    return array;
  };
  const auto forward = add(messages, out.forward, rows);
  const auto backward = add(messages, out.backward, rows);
  const auto states = add(marginals, out.marginals, rows);
  const auto uses =
      add(transitions, out.transitions,
          view.dense != nullptr
              ? std::vector<ptrdiff_t>{view.batch, view.n_matrices, view.states, view.states}
              : std::vector<ptrdiff_t>{view.batch, static_cast<ptrdiff_t>(model.values.size())});
  without_gil([&] { lattice::sums(view, out); });
  return py::make_tuple(log_partition, forward, backward, states, uses);
}

py::array_t<Index> sample_states(const py::tuple& parts, ptrdiff_t size, KeyPair key, int workers) {
  const Model<double> model(parts, workers);
  auto states = new_array<Index>({model.view.batch, size, model.view.steps});
  Index* paths = states.mutable_data();
  without_gil([&] { lattice::sample(model.view, size, {key.first, key.second}, paths); });
  return states;
}

py::tuple kbest_states(const py::tuple& parts, ptrdiff_t k, int workers) {
  const Model<double> model(parts, workers);
  auto states = new_array<Index>({model.view.batch, k, model.view.steps});
  auto scores = new_array<double>({model.view.batch, k});
  Index* paths = states.mutable_data();
  double* score = scores.mutable_data();
  without_gil([&] { lattice::kbest(model.view, k, paths, score); });
  return py::make_tuple(states, scores);
}

// (starts, labels, score), None if no segmentation is possible.
py::object viterbi_semi_markov(const Doubles& scores, const Doubles& transitions) {
  const ptrdiff_t steps = scores.shape(0), longest = scores.shape(1), states = scores.shape(2);
  require(transitions.size() == states * states, "transitions must be a matrix of the states");
  std::vector<Index> starts(static_cast<std::size_t>(steps)), labels(starts);
  double score = 0;
  const double *segment = scores.data(), *a = transitions.data();
  const ptrdiff_t count = without_gil([&] {
    return lattice::viterbi_semi_markov(steps, longest, states, segment, a, starts.data(),
                                        labels.data(), &score);
  });
  if (count < 0) return py::none();
  starts.resize(static_cast<std::size_t>(count));
  labels.resize(static_cast<std::size_t>(count));
  return py::make_tuple(array_of(starts), array_of(labels), score);
}

}  // namespace lattice_faces

void bind_lattice(py::module_& parent) {
  using namespace lattice_faces;
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
  m.def("largest_modulus", &largest_modulus, py::arg("scores"));
  m.def("viterbi", &viterbi, py::arg("model"), py::arg("workers") = 0);
  m.def("sums", &sums, py::arg("model"), py::arg("messages"), py::arg("marginals"),
        py::arg("transitions"), py::arg("workers") = 0);
  m.def("sample_states", &sample_states, py::arg("model"), py::arg("size"), py::arg("key"),
        py::arg("workers") = 0);
  m.def("kbest_states", &kbest_states, py::arg("model"), py::arg("k"), py::arg("workers") = 0);
  m.def("viterbi_semi_markov", &viterbi_semi_markov, py::arg("segment_scores"),
        py::arg("transitions"));
}

}  // namespace kexue::bindings
