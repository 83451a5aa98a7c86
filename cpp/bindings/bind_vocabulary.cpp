// Vocabularies of tokenizers: normalisers, model files.
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "kexue/core/error.hpp"
#include "kexue/lattice/charsmap.hpp"
#include "kexue/lattice/model_file.hpp"
#include "kexue/lattice/normalizer.hpp"
#include "kexue/lattice/unicode_forms.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace vocabulary_faces {

using lattice::Charsmap;
using lattice::Index;
using lattice::ModelFile;
using lattice::Normalized;
using lattice::NormalizerChain;
using lattice::NormalizerStep;
using lattice::UnicodeForms;

using BytesPair = std::pair<py::bytes, py::bytes>;
using Codes = std::vector<std::uint32_t>;
using Rows = std::tuple<Codes, Codes, Codes>;  // see UnicodeForms::Decompositions

std::string_view view_of(const py::bytes& bytes) { return bytes; }

py::bytes build_charsmap(const std::vector<BytesPair>& rules) {
  std::vector<lattice::Rule> views(rules.size());
  std::transform(rules.begin(), rules.end(), views.begin(), [](const BytesPair& rule) {
    return lattice::Rule{view_of(rule.first), view_of(rule.second)};
  });
  return without_gil([&] { return lattice::build_charsmap(views); });
}

std::shared_ptr<UnicodeForms> unicode_forms(const Rows& canonical, const Rows& compatible,
                                            Codes mark, std::vector<std::uint8_t> mark_class,
                                            std::vector<std::uint64_t> pair, Codes composed) {
  const auto table = [](const Rows& rows) {
    return UnicodeForms::Decompositions{std::get<0>(rows), std::get<1>(rows), std::get<2>(rows)};
  };
  return std::make_shared<UnicodeForms>(table(canonical), table(compatible), std::move(mark),
                                        std::move(mark_class), std::move(pair),
                                        std::move(composed));
}

// kind, form and prefix count the values of the core's enumerations.
NormalizerStep normalizer_step(int kind, const py::bytes& rules, const py::bytes& text,
                               const std::optional<std::shared_ptr<UnicodeForms>>& forms, int form,
                               bool left, bool right, bool add_dummy_prefix,
                               bool remove_extra_whitespaces, bool whitespace_as_suffix, int prefix,
                               bool words) {
  require(kind >= 0 && kind <= NormalizerStep::kMark && form >= 0 && form <= 3 && prefix >= 0 &&
              prefix <= 2,
          "a step has no such kind, form or prefix");
  NormalizerStep step;
  step.kind = static_cast<NormalizerStep::Kind>(kind);
  step.map = Charsmap(view_of(rules));
  step.text = view_of(text);
  if (forms) step.forms = *forms;
  require(step.kind != NormalizerStep::kForm || step.forms, "a form needs its tables");
  step.form = static_cast<lattice::UnicodeForm>(form);
  step.left = left;
  step.right = right;
  step.add_dummy_prefix = add_dummy_prefix;
  step.remove_extra_whitespaces = remove_extra_whitespaces;
  step.whitespace_as_suffix = whitespace_as_suffix;
  step.prefix = static_cast<NormalizerStep::Prefix>(prefix);
  step.words = words;
  return step;
}

std::shared_ptr<NormalizerChain> normalizer_chain(std::vector<NormalizerStep> steps, bool escape,
                                                  int drops, const std::vector<py::bytes>& protect,
                                                  std::vector<NormalizerChain::Added> added) {
  const auto lead = static_cast<NormalizerChain::Lead>(std::clamp(drops, 0, 2));
  const std::vector<std::string> pieces(protect.begin(), protect.end());
  return std::make_shared<NormalizerChain>(std::move(steps), escape, lead, pieces,
                                           std::move(added));
}

// (bytes, sources or None).
py::tuple normalize(const NormalizerChain& normalizer, const py::bytes& bytes, bool trace) {
  const std::string_view text = view_of(bytes);
  Normalized out;
  out.trace = trace;
  without_gil([&] { normalizer.run(text, out); });
  py::object source = py::none();
  if (trace) {
    auto array = new_vector<Index>(static_cast<std::ptrdiff_t>(out.source.size()));
    std::copy(out.source.begin(), out.source.end(), array.mutable_data());
    source = std::move(array);
  }
  return py::make_tuple(py::bytes(out.text), source);
}

// A string of Python's for bytes that may be no UTF-8.
template <std::string ModelFile::* member>
py::bytes get_bytes(const ModelFile& file) {
  return file.*member;
}
template <std::string ModelFile::* member>
void set_bytes(ModelFile& file, const py::bytes& value) {
  file.*member = view_of(value);
}
py::list piece_bytes(const ModelFile& file) {
  py::list pieces;
  std::for_each(file.pieces.begin(), file.pieces.end(),
                [&](const std::string& piece) { pieces.append(py::bytes(piece)); });
  return pieces;
}
py::bytes write_model(const ModelFile& file) {
  require(file.scores.size() == file.pieces.size() && file.types.size() == file.pieces.size(),
          "one score and one type for each piece");
  return without_gil([&] { return lattice::write_model(file); });
}

void bind_model_file(py::module_& m) {
  using namespace vocabulary_faces;
  py::class_<ModelFile>(m, "ModelFile")
      .def(py::init<>())
      .def_property("pieces", &piece_bytes,
                    [](ModelFile& file, const std::vector<py::bytes>& pieces) {
                      file.pieces.assign(pieces.begin(), pieces.end());
                    })
      .def_readwrite("scores", &ModelFile::scores)
      .def_readwrite("types", &ModelFile::types)
      .def_readwrite("model_type", &ModelFile::model_type)
      .def_readwrite("whitespace_as_suffix", &ModelFile::whitespace_as_suffix)
      .def_readwrite("byte_fallback", &ModelFile::byte_fallback)
      .def_readwrite("unk_id", &ModelFile::unk_id)
      .def_readwrite("bos_id", &ModelFile::bos_id)
      .def_readwrite("eos_id", &ModelFile::eos_id)
      .def_readwrite("pad_id", &ModelFile::pad_id)
      .def_property("unk_surface", &get_bytes<&ModelFile::unk_surface>,
                    &set_bytes<&ModelFile::unk_surface>)
      .def_property("unk_piece", &get_bytes<&ModelFile::unk_piece>,
                    &set_bytes<&ModelFile::unk_piece>)
      .def_property("bos_piece", &get_bytes<&ModelFile::bos_piece>,
                    &set_bytes<&ModelFile::bos_piece>)
      .def_property("eos_piece", &get_bytes<&ModelFile::eos_piece>,
                    &set_bytes<&ModelFile::eos_piece>)
      .def_property("pad_piece", &get_bytes<&ModelFile::pad_piece>,
                    &set_bytes<&ModelFile::pad_piece>)
      .def_property("rule_name", &get_bytes<&ModelFile::rule_name>,
                    &set_bytes<&ModelFile::rule_name>)
      .def_property("charsmap", &get_bytes<&ModelFile::charsmap>, &set_bytes<&ModelFile::charsmap>)
      .def_readwrite("add_dummy_prefix", &ModelFile::add_dummy_prefix)
      .def_readwrite("remove_extra_whitespaces", &ModelFile::remove_extra_whitespaces)
      .def_readwrite("escape_whitespaces", &ModelFile::escape_whitespaces);
  m.def(
      "read_model", [](const py::bytes& bytes) { return lattice::read_model(view_of(bytes)); },
      py::arg("data"));
  m.def("write_model", &write_model, py::arg("file"));
}

}  // namespace vocabulary_faces

void bind_vocabulary(py::module_& parent) {
  using namespace vocabulary_faces;
  auto m = parent.attr("lattice").cast<py::module_>();
  m.def("build_charsmap", &build_charsmap, py::arg("rules"));
  bind_model_file(m);
  py::class_<UnicodeForms, std::shared_ptr<UnicodeForms>>(m, "UnicodeForms");
  m.def("unicode_forms", &unicode_forms, py::arg("canonical"), py::arg("compatible"),
        py::arg("mark"), py::arg("mark_class"), py::arg("pair"), py::arg("composed"));
  py::class_<NormalizerStep>(m, "NormalizerStep");
  m.def("normalizer_step", &normalizer_step, py::arg("kind"), py::arg("rules"), py::arg("text"),
        py::arg("forms"), py::arg("form"), py::arg("left"), py::arg("right"),
        py::arg("add_dummy_prefix"), py::arg("remove_extra_whitespaces"),
        py::arg("whitespace_as_suffix"), py::arg("prefix"), py::arg("words"));
  using Added = NormalizerChain::Added;
  py::class_<Added>(m, "AddedToken")
      .def(py::init([](const py::bytes& text, bool left, bool right, bool normalized,
                       bool special) { return Added{text, left, right, normalized, special}; }),
           py::arg("text"), py::arg("left"), py::arg("right"), py::arg("normalized"),
           py::arg("special"));
  py::class_<NormalizerChain, lattice::Normalizer, std::shared_ptr<NormalizerChain>>(
      m, "NormalizerChain")
      .def("normalize", &normalize, py::arg("text"), py::arg("trace"));
  m.def("normalizer_chain", &normalizer_chain, py::arg("steps"), py::arg("escape"),
        py::arg("drops"), py::arg("protect"), py::arg("added"));
}

}  // namespace kexue::bindings
