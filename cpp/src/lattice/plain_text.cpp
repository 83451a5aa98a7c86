// Most texts are in normal form already, up to a space in front: they are copied.
#include "kexue/lattice/normalizer.hpp"

namespace kexue::lattice {

using std::size_t;
using std::uint8_t;

namespace {

// A run of spaces, or U+2581. Without branches, so that the loop runs in vector registers.
bool has_gap(const uint8_t* text, size_t size) {
  unsigned found = 0;
  for (size_t i = 0; i + 2 < size; ++i) {
    const unsigned spaces = (text[i] == 0x20) & (text[i + 1] == 0x20);
    const unsigned mark = (text[i] == 0xE2) & (text[i + 1] == 0x96) & (text[i + 2] == 0x81);
    found |= spaces | mark;
  }
  return found != 0;
}

}  // namespace

bool NormalizerChain::plain(Plain& out) const {
  if (steps_.size() != 1 || !added_.empty() || !protect_.empty()) return false;
  const NormalizerStep& step = steps_[0];
  if (step.kind != NormalizerStep::kPieces || !step.map.empty()) return false;
  out.space_in_front = step.add_dummy_prefix && !step.whitespace_as_suffix;
  out.space_behind = step.add_dummy_prefix && step.whitespace_as_suffix;
  out.gaps = out.marks = false;
  return true;
}

// Appends what sentencepiece's rules or a Unicode form make of a text that they leave as it is;
// false if this is not plain to see.
bool NormalizerChain::copy_plain(std::string_view text, std::vector<uint8_t>& out) const {
  if (steps_.size() != 1 || !added_.empty() || !protect_.empty() || text.empty()) return false;
  const NormalizerStep& step = steps_[0];
  if (step.kind == NormalizerStep::kForm && step.forms->settled(step.form, text) == text.size()) {
    out.insert(out.end(), text.begin(), text.end());
    return true;
  }
  if (step.kind != NormalizerStep::kPieces) return false;
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  if (text.front() == ' ' || text.back() == ' ' || has_gap(bytes, text.size())) return false;
  if (!step.map.empty()) {
    bool plain = true;
    for (size_t i = 0; i < text.size() && plain; ++i) {
      plain = bytes[i] < 0x80 && step.map.plain(bytes[i]);
    }
    if (!plain) return false;
  }
  const bool in_front = step.add_dummy_prefix && !step.whitespace_as_suffix;
  if (in_front) out.push_back(' ');
  out.insert(out.end(), bytes, bytes + text.size());
  if (step.add_dummy_prefix && !in_front) out.push_back(' ');
  return true;
}

}  // namespace kexue::lattice
