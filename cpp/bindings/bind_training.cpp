// Training of tokenizers: counted chunks, seed pieces, byte n-grams.
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/byte_ngrams.hpp"
#include "kexue/lattice/chunks.hpp"
#include "kexue/lattice/normalizer.hpp"
#include "kexue/lattice/seed_pieces.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace {

using lattice::ByteNgrams;
using lattice::ChunkCounter;
using lattice::ChunkRules;
using lattice::Chunks;
using lattice::CountedStrings;
using lattice::Index;
using lattice::Normalized;
using lattice::NormalizerChain;
using lattice::SeedRules;
using std::ptrdiff_t;
using KeyPair = std::pair<std::uint64_t, std::uint64_t>;

template <class T>
py::array_t<T> array_of(std::span<const T> values) {
  auto array = new_vector<T>(static_cast<ptrdiff_t>(values.size()));
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

void add_texts(ChunkCounter& counter, const NormalizerChain& chain,
               const std::vector<std::string_view>& texts) {
  without_gil([&] {
    Normalized line;
    std::for_each(texts.begin(), texts.end(), [&](std::string_view text) {
      poll_interrupt();
      chain.run(text, line);
      counter.add(line.text);
    });
  });
}

Chunks take(const CountedStrings& strings) {
  return {std::string(strings.text()),
          {strings.begin().begin(), strings.begin().end()},
          {strings.counts().begin(), strings.counts().end()}};
}

py::list strings_of(const Chunks& chunks) {
  py::list list;
  const std::string_view text = chunks.text;
  std::for_each(chunks.begin.begin() + 1, chunks.begin.end(), [&](const Index& end) {
    const auto start = static_cast<std::size_t>(*(&end - 1));
    const std::string_view one = text.substr(start, static_cast<std::size_t>(end) - start);
    list.append(py::bytes(one.data(), one.size()));
  });
  return list;
}

py::tuple characters(const Chunks& chunks) {
  const auto found = without_gil(
      [&] { return lattice::count_characters(chunks.text, chunks.begin, chunks.counts); });
  return py::make_tuple(array_of(std::span(found.code)), array_of(std::span(found.count)));
}

Chunks keep(const Chunks& chunks, const std::vector<std::uint32_t>& kept) {
  return lattice::keep_characters(chunks.text, chunks.begin, chunks.counts, kept);
}

void bind_counting(py::module_& m) {
  py::class_<Chunks>(m, "Chunks")
      .def_property_readonly("strings", &strings_of)
      .def_property_readonly("counts",
                             [](const Chunks& c) { return array_of(std::span(c.counts)); })
      .def_property_readonly("begin", [](const Chunks& c) { return array_of(std::span(c.begin)); })
      .def_property_readonly("n_bytes", [](const Chunks& c) { return c.text.size(); })
      .def("__len__", [](const Chunks& c) { return c.counts.size(); })
      .def("characters", &characters)
      .def("keep_characters", &keep, py::arg("kept"), py::call_guard<py::gil_scoped_release>());
  py::class_<ChunkRules>(m, "ChunkRules")
      .def(py::init<>())
      .def_readwrite("split_by_whitespace", &ChunkRules::split_by_whitespace)
      .def_readwrite("split_by_script", &ChunkRules::split_by_script)
      .def_readwrite("split_by_number", &ChunkRules::split_by_number)
      .def_readwrite("split_digits", &ChunkRules::split_digits)
      .def_readwrite("whitespace_as_suffix", &ChunkRules::whitespace_as_suffix)
      .def_readwrite("join_spaces", &ChunkRules::join_spaces)
      .def_readwrite("lines", &ChunkRules::lines)
      .def_readwrite("beyond", &ChunkRules::beyond)
      .def("set_script",
           [](ChunkRules& rules, const py::array_t<std::uint8_t, py::array::c_style>& script) {
             rules.script.assign(script.data(), script.data() + script.size());
           })
      .def("set_symbols", [](ChunkRules& rules, std::string_view blob) {
        rules.symbols = lattice::Charsmap(blob);
      });
  py::class_<ChunkCounter>(m, "ChunkCounter")
      .def(py::init([](const ChunkRules& rules, std::size_t max_bytes, KeyPair key) {
             return ChunkCounter(rules, max_bytes, {key.first, key.second});
           }),
           py::arg("rules"), py::arg("max_bytes"), py::arg("key"))
      .def("add", &add_texts, py::arg("chain"), py::arg("texts"))
      .def_property_readonly("n_texts", &ChunkCounter::n_texts)
      .def_property_readonly("n_bytes", &ChunkCounter::n_bytes)
      .def_property_readonly("threshold", &ChunkCounter::threshold)
      .def("chunks", [](const ChunkCounter& counter) { return take(counter.chunks()); });
}

}  // namespace

void bind_training(py::module_& parent) {
  auto m = parent.attr("lattice").cast<py::module_>();
  bind_counting(m);
  py::class_<SeedRules>(m, "SeedRules")
      .def(py::init<>())
      .def_readwrite("longest", &SeedRules::longest)
      .def_readwrite("min_count", &SeedRules::min_count)
      .def_readwrite("size", &SeedRules::size)
      .def_readwrite("whitespace_as_suffix", &SeedRules::whitespace_as_suffix)
      .def_readwrite("whitespace_only", &SeedRules::whitespace_only);
  m.def(
      "seed_pieces",
      [](const Chunks& c, const SeedRules& rules, int workers) {
        return lattice::seed_pieces(c.text, c.begin, c.counts, rules, workers);
      },
      py::arg("chunks"), py::arg("rules"), py::arg("workers") = 0,
      py::call_guard<py::gil_scoped_release>());
  py::class_<ByteNgrams>(m, "ByteNgrams")
      .def(py::init([](const Chunks& c, int order, double min_count) {
             return ByteNgrams(c.text, c.begin, c.counts, order, min_count);
           }),
           py::arg("chunks"), py::arg("order"), py::arg("min_count"),
           py::call_guard<py::gil_scoped_release>())
      .def("__len__", &ByteNgrams::size)
      .def("log_probability", &ByteNgrams::log_probability, py::arg("ngram"))
      .def(
          "segment",
          [](const ByteNgrams& ngrams, const Chunks& c, bool unicode, int workers) {
            return ngrams.segment(c.text, c.begin, c.counts, unicode, workers);
          },
          py::arg("chunks"), py::arg("unicode"), py::arg("workers") = 0,
          py::call_guard<py::gil_scoped_release>());
}

}  // namespace kexue::bindings
