// The unigram tokenizer. What a text is refused for comes back as (kind, text, position): kind 0 is
// no fault, 1 a lone surrogate, 2 invalid UTF-8, 3 no path, 4 an item that is no text.
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kexue/core/error.hpp"
#include "kexue/lattice/tokenizer.hpp"
#include "kexue/lattice/unigram.hpp"
#include "kexue/lattice/unigram_counts.hpp"
#include "texts.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace tokenizer_faces {

using lattice::Corpus;
using lattice::Fault;
using lattice::Ids;
using lattice::Index;
using lattice::Normalizer;
using lattice::PieceCounts;
using lattice::PieceType;
using lattice::SampleMethod;
using lattice::Spans;
using lattice::TextEdges;
using lattice::Tokenizer;
using lattice::Tokens;
using lattice::Unigram;
using lattice::UnigramOptions;
using lattice::WeightedRows;
using std::ptrdiff_t;
template <class T>
using Array = py::array_t<T, py::array::c_style>;
using KeyPair = std::pair<std::uint64_t, std::uint64_t>;

template <class T>
std::span<const T> span_of(const Array<T>& a) {
  return {a.data(), static_cast<std::size_t>(a.size())};
}
template <class T>
py::array_t<T> array_of(const std::vector<T>& values) {
  auto array = new_vector<T>(static_cast<ptrdiff_t>(values.size()));
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}
py::tuple tuple_of(const Fault& fault) {
  return py::make_tuple(static_cast<int>(fault.kind), fault.text, fault.position);
}
py::tuple no_text(ptrdiff_t item) { return tuple_of(Fault{lattice::TextFault::kNoText, item, 0}); }

std::shared_ptr<Unigram> make_unigram(const std::vector<py::bytes>& pieces,
                                      const Array<double>& scores, const Array<std::uint8_t>& types,
                                      bool space_mark, bool unicode, double unknown_score) {
  const std::vector<std::string_view> texts(pieces.begin(), pieces.end());
  const auto values = span_of(scores);
  const auto* kinds = reinterpret_cast<const PieceType*>(types.data());
  const std::span<const PieceType> kind(kinds, static_cast<std::size_t>(types.size()));
  return without_gil([&] {
    return std::make_shared<Unigram>(
        texts, values, kind,
        UnigramOptions{
            .space_mark = space_mark, .unicode = unicode, .unknown_score = unknown_score});
  });
}

// (counts of the pieces and of unknown characters, total, first text without a path or -1).
py::tuple tuple_of(const PieceCounts& counts) {
  return py::make_tuple(array_of(counts.counts), counts.total, counts.pathless);
}
py::tuple expected_counts(const Unigram& model, const Array<std::uint8_t>& text,
                          const Array<Index>& begin, const Array<double>& multiplicity,
                          double alpha, int workers) {
  const Corpus corpus{span_of(text), span_of(begin), span_of(multiplicity)};
  return tuple_of(
      without_gil([&] { return lattice::expected_counts(model, corpus, alpha, workers); }));
}
py::tuple best_counts(const Unigram& model, const Array<std::uint8_t>& text,
                      const Array<Index>& begin, const Array<double>& multiplicity, int workers) {
  const Corpus corpus{span_of(text), span_of(begin), span_of(multiplicity)};
  return tuple_of(without_gil([&] { return lattice::best_counts(model, corpus, workers); }));
}

py::array_t<std::int32_t> array_of(Ids& ids) {
  const ptrdiff_t size = ids.size();
  AlignedBuffer<std::int32_t> memory = ids.release();
  const std::int32_t* data = memory.data();
  return py::array_t<std::int32_t>(size, data, owner_of(std::move(memory)));
}
// An array that comes to own the values.
template <class T>
py::array_t<T> array_of(std::vector<T>&& values) {
  auto memory = std::make_unique<std::vector<T>>(std::move(values));
  const auto size = static_cast<ptrdiff_t>(memory->size());
  const T* data = memory->data();
  const py::capsule owner(memory.get(), [](void* p) { delete static_cast<std::vector<T>*>(p); });
  memory.release();
  return py::array_t<T>(size, data, owner);
}
py::tuple tuple_of(Tokens&& tokens) {
  return py::make_tuple(array_of(tokens.ids), array_of(std::move(tokens.offsets)),
                        tuple_of(tokens.fault));
}
// (ids, offsets, fault).
py::tuple encode(const Tokenizer& tokenizer, const py::tuple& texts, int workers) {
  const Texts all(texts, workers);
  return tuple_of(without_gil([&] { return tokenizer.encode(all.source(), workers); }));
}
py::tuple sample(const Tokenizer& tokenizer, const py::tuple& texts, double alpha, ptrdiff_t size,
                 KeyPair key, std::uint64_t first_index, int method, int workers) {
  const Texts all(texts, workers);
  return tuple_of(without_gil([&] {
    return tokenizer.sample(all.source(), alpha, size, {key.first, key.second}, first_index,
                            static_cast<SampleMethod>(method), workers);
  }));
}
// (ids, bounds, fault).
py::tuple encode_with_bounds(const Tokenizer& tokenizer, const py::object& text) {
  TextView view;
  if (!view_text(text, view)) return py::make_tuple(py::none(), py::none(), no_text(0));
  Spans spans;
  Tokens tokens = without_gil([&] { return tokenizer.encode(view, spans); });
  return py::make_tuple(array_of(tokens.ids), array_of(spans.bounds), tuple_of(tokens.fault));
}
// (begin, end, piece, score, size, fault).
py::tuple edges(const Tokenizer& tokenizer, const py::object& text) {
  TextView view;
  TextEdges found;
  if (!view_text(text, view)) {
    return py::make_tuple(py::none(), py::none(), py::none(), py::none(), 0, no_text(0));
  }
  found = without_gil([&] { return tokenizer.edges(view); });
  return py::make_tuple(array_of(found.begin), array_of(found.end), array_of(found.piece),
                        array_of(found.score), found.bytes.size(), tuple_of(found.fault));
}
// (log Z, fault).
py::tuple log_partition(const Tokenizer& tokenizer, const py::object& text, double alpha) {
  TextView view;
  if (!view_text(text, view)) return py::make_tuple(0.0, no_text(0));
  Fault fault;
  const double value = without_gil([&] { return tokenizer.log_partition(view, alpha, fault); });
  return py::make_tuple(value, tuple_of(fault));
}

// (ids, offsets, scores, rows of each text, fault).
py::tuple nbest(const Tokenizer& tokenizer, const py::tuple& texts, ptrdiff_t k, int workers) {
  const Texts all(texts, workers);
  Tokens rows = without_gil([&] { return tokenizer.best(all.source(), k, workers); });
  return py::make_tuple(array_of(rows.ids), array_of(rows.offsets), array_of(rows.scores),
                        array_of(rows.counts), tuple_of(rows.fault));
}
// (ids, offsets, log probabilities, log inclusions, fault).
py::tuple sample_without_replacement(const Tokenizer& tokenizer, const py::object& text,
                                     ptrdiff_t size, double alpha, KeyPair key) {
  TextView view;
  if (!view_text(text, view)) {
    return py::make_tuple(py::none(), py::none(), py::none(), py::none(), no_text(0));
  }
  WeightedRows rows = without_gil([&] {
    return tokenizer.sample_without_replacement(view, size, alpha, {key.first, key.second});
  });
  return py::make_tuple(array_of(rows.tokens.ids), array_of(rows.tokens.offsets),
                        array_of(rows.log_prob), array_of(rows.log_inclusion),
                        tuple_of(rows.tokens.fault));
}

// Rows of ids -> a list of bytes (errors = None) or str.
py::list decode(const Tokenizer& tokenizer, const Array<std::int32_t>& ids,
                const Array<Index>& offsets, const std::optional<std::string>& errors) {
  const auto view = span_of(ids);
  const auto rows = span_of(offsets);
  const auto decoded = without_gil([&] { return tokenizer.decode(view, rows); });
  return list_of_rows(decoded.bytes.data(), decoded.offsets, errors ? errors->c_str() : nullptr);
}

}  // namespace tokenizer_faces

void bind_tokenizer(py::module_& parent) {
  using namespace tokenizer_faces;
  auto m = parent.attr("lattice").cast<py::module_>();
  py::class_<Normalizer, std::shared_ptr<Normalizer>>(m, "Normalizer");
  py::class_<Unigram, std::shared_ptr<Unigram>>(m, "Unigram")
      .def(py::init(&make_unigram), py::arg("pieces"), py::arg("scores"), py::arg("types"),
           py::arg("space_mark") = false, py::arg("unicode") = false,
           py::arg("unknown_score") = std::numeric_limits<double>::quiet_NaN())
      .def_property_readonly("n_pieces", &Unigram::n_pieces)
      .def_property_readonly("longest", &Unigram::longest)
      .def_property_readonly("unknown_piece", &Unigram::unknown_piece)
      .def_property_readonly("unknown_score", &Unigram::unknown_score)
      .def_property_readonly("byte_fallback", &Unigram::byte_fallback)
      .def("expected_counts", &expected_counts, py::arg("text"), py::arg("begin"),
           py::arg("multiplicity"), py::arg("alpha") = 1.0, py::arg("workers") = 0)
      .def("best_counts", &best_counts, py::arg("text"), py::arg("begin"), py::arg("multiplicity"),
           py::arg("workers") = 0);
  py::class_<Tokenizer>(m, "Tokenizer")
      .def("encode", &encode, py::arg("texts"), py::arg("workers") = 0)
      .def("sample", &sample, py::arg("texts"), py::arg("alpha"), py::arg("size"), py::arg("key"),
           py::arg("first_index"), py::arg("method"), py::arg("workers") = 0)
      .def("encode_with_bounds", &encode_with_bounds, py::arg("text"))
      .def("edges", &edges, py::arg("text"))
      .def("forget", &Tokenizer::forget, py::call_guard<py::gil_scoped_release>())
      .def("largest_score",
           [](const Tokenizer& tokenizer) { return tokenizer.model().largest_score(); })
      .def("log_partition", &log_partition, py::arg("text"), py::arg("alpha"))
      .def("nbest", &nbest, py::arg("texts"), py::arg("k"), py::arg("workers") = 0)
      .def("sample_without_replacement", &sample_without_replacement, py::arg("text"),
           py::arg("size"), py::arg("alpha"), py::arg("key"))
      .def("decode", &decode, py::arg("ids"), py::arg("offsets"), py::arg("errors"));
  m.def(
      "tokenizer",
      [](std::shared_ptr<Unigram> model, std::shared_ptr<Normalizer> normalizer) {
        return std::make_unique<Tokenizer>(std::move(model), std::move(normalizer));
      },
      py::arg("model"), py::arg("normalizer").none(true));
}

}  // namespace kexue::bindings
