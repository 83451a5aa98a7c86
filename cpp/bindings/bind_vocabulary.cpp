// Vocabularies of tokenizers: normalisers, model files.
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kexue/core/error.hpp"
#include "kexue/lattice/charsmap.hpp"
#include "kexue/lattice/model_file.hpp"
#include "kexue/lattice/normalizer.hpp"
#include "kexue/lattice/unicode_forms.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace {

using lattice::Charsmap;
using lattice::Index;
using lattice::ModelFile;
using lattice::Normalized;
using lattice::NormalizerChain;
using lattice::NormalizerStep;
using lattice::UnicodeForms;

py::bytes build_charsmap(const std::vector<std::pair<std::string, std::string>>& rules) {
  std::vector<lattice::Rule> views(rules.size());
  std::transform(rules.begin(), rules.end(), views.begin(),
                 [](const auto& rule) { return lattice::Rule{rule.first, rule.second}; });
  return without_gil([&] { return lattice::build_charsmap(views); });
}

// (bytes, sources or None).
py::tuple normalize(const NormalizerChain& normalizer, std::string_view text, bool trace) {
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
  file.*member = value;
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
  py::class_<ModelFile>(m, "ModelFile")
      .def(py::init<>())
      .def_property(
          "pieces", &piece_bytes,
          [](ModelFile& file, std::vector<std::string> pieces) { file.pieces = std::move(pieces); })
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
  m.def("read_model", &lattice::read_model, py::arg("bytes"),
        py::call_guard<py::gil_scoped_release>());
  m.def("write_model", &write_model, py::arg("file"));
}

}  // namespace

void bind_vocabulary(py::module_& parent) {
  auto m = parent.attr("lattice").cast<py::module_>();
  m.def("build_charsmap", &build_charsmap, py::arg("rules"));
  bind_model_file(m);

  using Forms = UnicodeForms;
  py::class_<Forms::Decompositions>(m, "Decompositions")
      .def(py::init<>())
      .def_readwrite("code", &Forms::Decompositions::code)
      .def_readwrite("first", &Forms::Decompositions::first)
      .def_readwrite("characters", &Forms::Decompositions::characters);
  py::class_<Forms, std::shared_ptr<Forms>>(m, "UnicodeForms")
      .def(py::init<>())
      .def_readwrite("canonical", &Forms::canonical)
      .def_readwrite("compatible", &Forms::compatible)
      .def_readwrite("mark", &Forms::mark)
      .def_readwrite("mark_class", &Forms::mark_class)
      .def_readwrite("pair", &Forms::pair)
      .def_readwrite("composed", &Forms::composed);
  py::enum_<lattice::UnicodeForm>(m, "UnicodeForm")
      .value("NFC", lattice::UnicodeForm::kNfc)
      .value("NFD", lattice::UnicodeForm::kNfd)
      .value("NFKC", lattice::UnicodeForm::kNfkc)
      .value("NFKD", lattice::UnicodeForm::kNfkd);

  auto step = py::class_<NormalizerStep>(m, "NormalizerStep");
  py::enum_<NormalizerStep::Kind>(step, "Kind")
      .value("MAP", NormalizerStep::kMap)
      .value("FORM", NormalizerStep::kForm)
      .value("STRIP", NormalizerStep::kStrip)
      .value("JOIN", NormalizerStep::kJoin)
      .value("PREPEND", NormalizerStep::kPrepend)
      .value("PIECES", NormalizerStep::kPieces)
      .value("MARK", NormalizerStep::kMark);
  py::enum_<NormalizerStep::Prefix>(step, "Prefix")
      .value("NEVER", NormalizerStep::kNever)
      .value("FIRST", NormalizerStep::kFirst)
      .value("ALWAYS", NormalizerStep::kAlways);
  step.def(py::init([](NormalizerStep::Kind kind) {
             NormalizerStep made;
             made.kind = kind;
             return made;
           }),
           py::arg("kind"))
      .def("set_map",
           [](NormalizerStep& self, std::string_view blob) { self.map = Charsmap(blob); })
      .def("set_forms", [](NormalizerStep& self,
                           std::shared_ptr<Forms> forms) { self.forms = std::move(forms); })
      .def("set_text", [](NormalizerStep& self, py::bytes text) { self.text = text; })
      .def_readwrite("form", &NormalizerStep::form)
      .def_readwrite("left", &NormalizerStep::left)
      .def_readwrite("right", &NormalizerStep::right)
      .def_readwrite("add_dummy_prefix", &NormalizerStep::add_dummy_prefix)
      .def_readwrite("remove_extra_whitespaces", &NormalizerStep::remove_extra_whitespaces)
      .def_readwrite("whitespace_as_suffix", &NormalizerStep::whitespace_as_suffix)
      .def_readwrite("prefix", &NormalizerStep::prefix)
      .def_readwrite("words", &NormalizerStep::words);

  using Added = NormalizerChain::Added;
  py::class_<Added>(m, "AddedToken")
      .def(py::init([](const py::bytes& text, bool left, bool right, bool normalized,
                       bool special) { return Added{text, left, right, normalized, special}; }),
           py::arg("text"), py::arg("left"), py::arg("right"), py::arg("normalized"),
           py::arg("special"));
  py::class_<NormalizerChain, lattice::Normalizer, std::shared_ptr<NormalizerChain>>(
      m, "NormalizerChain")
      .def(py::init([](std::vector<NormalizerStep> steps, bool escape, int drops,
                       const std::vector<std::string>& protect, std::vector<Added> added) {
             const auto lead = static_cast<NormalizerChain::Lead>(std::clamp(drops, 0, 2));
             return std::make_shared<NormalizerChain>(std::move(steps), escape, lead, protect,
                                                      std::move(added));
           }),
           py::arg("steps"), py::arg("escape"), py::arg("drops"), py::arg("protect"),
           py::arg("added"))
      .def_property_readonly("escape", &NormalizerChain::escape)
      .def("normalize", &normalize, py::arg("text"), py::arg("trace"));
}

}  // namespace kexue::bindings
