// Training of tokenizers: counted chunks, seed pieces, byte n-grams.
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/alternatives.hpp"
#include "kexue/lattice/byte_ngrams.hpp"
#include "kexue/lattice/chunks.hpp"
#include "kexue/lattice/normalizer.hpp"
#include "kexue/lattice/seed_pieces.hpp"
#include "kexue/lattice/unigram.hpp"
#include "kexue/lattice/unigram_counts.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace training_faces {

using lattice::ByteNgrams;
using lattice::ChunkCounter;
using lattice::ChunkRules;
using lattice::Chunks;
using lattice::CountedStrings;
using lattice::Index;
using lattice::Normalized;
using lattice::NormalizerChain;
using lattice::SeedRules;
using lattice::Unigram;
using std::ptrdiff_t;
using KeyPair = std::pair<std::uint64_t, std::uint64_t>;

template <class T>
py::array_t<T> array_of(std::span<const T> values) {
  auto array = new_vector<T>(static_cast<ptrdiff_t>(values.size()));
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

void add_texts(ChunkCounter& counter, const NormalizerChain& chain,
               const std::vector<py::bytes>& list) {
  const std::vector<std::string_view> texts(list.begin(), list.end());
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

using Doubles = py::array_t<double, py::array::c_style>;

// The strings of the given numbers, with these counts.
Chunks select(const Chunks& chunks, const py::array_t<Index, py::array::c_style>& numbers,
              const Doubles& counts) {
  require(numbers.size() == counts.size(), "one count for each string");
  Chunks out;
  const std::string_view text = chunks.text;
  std::for_each(numbers.data(), numbers.data() + numbers.size(), [&](Index i) {
    require(i >= 0 && i < std::ssize(chunks.counts), "numbers of strings");
    const auto start = static_cast<std::size_t>(chunks.begin[static_cast<std::size_t>(i)]);
    const auto end = static_cast<std::size_t>(chunks.begin[static_cast<std::size_t>(i) + 1]);
    out.text.append(text.substr(start, end - start));
    out.begin.push_back(static_cast<Index>(out.text.size()));
  });
  out.counts.assign(counts.data(), counts.data() + counts.size());
  return out;
}

Chunks join(const Chunks& a, const Chunks& b) {
  Chunks out = a;
  const auto shift = static_cast<Index>(a.text.size());
  out.text += b.text;
  out.counts.insert(out.counts.end(), b.counts.begin(), b.counts.end());
  std::transform(b.begin.begin() + 1, b.begin.end(), std::back_inserter(out.begin),
                 [&](Index end) { return end + shift; });
  return out;
}

std::shared_ptr<Unigram> unigram_of(const Chunks& pieces, const Doubles& scores) {
  const std::span<const double> values(scores.data(), static_cast<std::size_t>(scores.size()));
  lattice::UnigramOptions options;
  options.alphabet = false;  // made anew in each round, only for sums and counts
  return without_gil(
      [&] { return std::make_shared<Unigram>(pieces.text, pieces.begin, values, options); });
}

lattice::Corpus corpus_of(const Chunks& chunks) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(chunks.text.data());
  return {{bytes, chunks.text.size()}, chunks.begin, chunks.counts};
}
// (counts of the pieces, log-likelihood).
py::tuple expected_counts(const Unigram& model, const Chunks& chunks, int workers) {
  auto found =
      without_gil([&] { return lattice::expected_counts(model, corpus_of(chunks), 1.0, workers); });
  require(found.pathless < 0, "the pieces do not cover the chunks");
  found.counts.pop_back();
  return py::make_tuple(array_of(std::span<const double>(found.counts)), found.total);
}
py::tuple best_counts(const Unigram& model, const Chunks& chunks, int workers) {
  auto found = without_gil([&] { return lattice::best_counts(model, corpus_of(chunks), workers); });
  require(found.pathless < 0, "the pieces do not cover the chunks");
  found.counts.pop_back();
  return py::make_tuple(array_of(std::span<const double>(found.counts)), found.total);
}
py::array_t<double> log_alternatives(const Unigram& model, int workers) {
  auto out = new_vector<double>(model.n_pieces());
  const std::span<double> view(out.mutable_data(), static_cast<std::size_t>(out.size()));
  without_gil([&] { lattice::log_alternatives(model, view, workers); });
  return out;
}

void bind_counting(py::module_& m) {
  using namespace training_faces;
  py::class_<Chunks>(m, "Chunks")
      .def_property_readonly("strings", &strings_of)
      .def_property_readonly("counts",
                             [](const Chunks& c) { return array_of(std::span(c.counts)); })
      .def_property_readonly("begin", [](const Chunks& c) { return array_of(std::span(c.begin)); })
      .def_property_readonly("n_bytes", [](const Chunks& c) { return c.text.size(); })
      .def("__len__", [](const Chunks& c) { return c.counts.size(); })
      .def("characters", &characters);
  m.def("keep_characters", &keep, py::arg("chunks"), py::arg("kept"),
        py::call_guard<py::gil_scoped_release>());
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
      .def("set_symbols", [](ChunkRules& rules, const py::bytes& blob) {
        rules.symbols = lattice::Charsmap(std::string_view(blob));
      });
  py::class_<ChunkCounter>(m, "ChunkCounter")
      .def_property_readonly("n_texts", &ChunkCounter::n_texts)
      .def_property_readonly("n_bytes", &ChunkCounter::n_bytes)
      .def_property_readonly("threshold", &ChunkCounter::threshold);
  m.def(
      "chunk_counter",
      [](const ChunkRules& rules, std::size_t max_bytes, KeyPair key) {
        return ChunkCounter(rules, max_bytes, {key.first, key.second});
      },
      py::arg("rules"), py::arg("max_bytes"), py::arg("key"));
  m.def("count_texts", &add_texts, py::arg("counter"), py::arg("normalizer"), py::arg("texts"));
  m.def(
      "counted_chunks", [](const ChunkCounter& counter) { return take(counter.chunks()); },
      py::arg("counter"));
}

}  // namespace training_faces

void bind_training(py::module_& parent) {
  using namespace training_faces;
  auto m = parent.attr("lattice").cast<py::module_>();
  bind_counting(m);
  m.def("select_chunks", &select, py::arg("chunks"), py::arg("numbers"), py::arg("counts"));
  m.def("join_chunks", &join, py::arg("first"), py::arg("second"));
  m.def("unigram_of", &unigram_of, py::arg("pieces"), py::arg("scores"));
  m.def("expected_counts", &expected_counts, py::arg("model"), py::arg("chunks"),
        py::arg("workers") = 0);
  m.def("best_counts", &best_counts, py::arg("model"), py::arg("chunks"), py::arg("workers") = 0);
  m.def("log_alternatives", &log_alternatives, py::arg("model"), py::arg("workers") = 0);
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
      .def("__len__", &ByteNgrams::size)
      .def(
          "log_probability",
          [](const ByteNgrams& ngrams, const py::bytes& ngram) {
            return ngrams.log_probability(std::string_view(ngram));
          },
          py::arg("ngram"));
  m.def(
      "byte_ngrams",
      [](const Chunks& c, int order, double min_count) {
        return ByteNgrams(c.text, c.begin, c.counts, order, min_count);
      },
      py::arg("chunks"), py::arg("order"), py::arg("min_count"),
      py::call_guard<py::gil_scoped_release>());
  m.def(
      "segment_by_ngrams",
      [](const ByteNgrams& ngrams, const Chunks& c, bool unicode, int workers) {
        return ngrams.segment(c.text, c.begin, c.counts, unicode, workers);
      },
      py::arg("ngrams"), py::arg("chunks"), py::arg("unicode"), py::arg("workers") = 0,
      py::call_guard<py::gil_scoped_release>());
}

}  // namespace kexue::bindings
