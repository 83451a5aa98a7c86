// What happens to a text before its segmentation: a chain of steps, each byte traced to its source.
//
// The result is bytes and, if asked for, where in the input each of them comes from. With
// `escape`, the space and the mark U+2581 that models write for it are one thing: both become the
// byte 0x20, and pieces are stored with 0x20 in place of the mark. Bytes that are no UTF-8 pass
// through every step unchanged.
//
//   sentencepiece     the longest rule of a map of characters wherever one matches, then: spaces at
//                     both ends dropped and runs of spaces joined (remove_extra_whitespaces), one
//                     space put in front or behind (add_dummy_prefix, whitespace_as_suffix); pieces
//                     defined by the user stay as they are
//   HuggingFace       any sequence of maps of characters, Unicode forms, strips, replacements, then
//                     words begin with a mark; added tokens become a character each
//
// Linear in the text times the longest key. O(1) memory per byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kexue/lattice/charsmap.hpp"
#include "kexue/lattice/dag.hpp"
#include "kexue/lattice/text.hpp"
#include "kexue/lattice/unicode_forms.hpp"

namespace kexue::lattice {

struct Normalized {
  std::string text;
  bool trace = false;         // whether `source` is wanted
  std::vector<Index> source;  // of each byte of `text`, and of its end; empty unless wanted
  void clear() {
    text.clear();
    source.clear();
  }
  void put(char byte, Index from) {
    text.push_back(byte);
    if (trace) source.push_back(from);
  }
  void put(std::string_view bytes, Index from) {
    text.append(bytes);
    if (trace) source.insert(source.end(), bytes.size(), from);
  }
};

struct NormalizerStep {
  enum Kind {
    kMap,      // the rules of `map`
    kForm,     // the Unicode form of `form`
    kStrip,    // whitespace (spaces only if `text` is not empty) at the `left` and `right` end
    kJoin,     // runs of at least two spaces become `text`
    kPrepend,  // `text` in front of a text that is not empty
    kPieces,   // sentencepiece's: `map`, protected pieces and all flags below
    kMark,     // HuggingFace's Metaspace: `prefix`; with `words`, whitespace separates words
  };
  enum Prefix { kNever, kFirst, kAlways };

  Kind kind = kPieces;
  Charsmap map;
  std::shared_ptr<const UnicodeForms> forms;
  UnicodeForm form = UnicodeForm::kNfc;
  std::string text;
  bool left = false, right = false;
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, whitespace_as_suffix = false;
  Prefix prefix = kAlways;
  bool words = false;
};

class NormalizerChain : public Normalizer {
 public:
  // A text that is cut out, the longest first, with whitespace at its sides if asked: before all
  // steps, or, if `normalized`, between the last step that normalises and kMark. In the result
  // it is one character of its own, kFirstAdded + its place in the list, which the model knows as
  // a piece: nothing else can be there. Such characters of the input become U+FFFD.
  struct Added {
    std::string text;
    bool left = false, right = false, normalized = false, special = false;
  };
  static constexpr std::uint32_t kFirstAdded = 0x100000;
  static constexpr std::size_t kMostAdded = 0xFFFE;

  // Spaces that restore() drops in front.
  enum Lead { kKeep, kDropOne, kDropAll };

  // `escape`: spaces and marks are one. `protect`: pieces that kPieces leaves as they are.
  NormalizerChain(std::vector<NormalizerStep> steps, bool escape, Lead lead,
                  std::span<const std::string> protect, std::vector<Added> added);
  void normalize(std::string_view text, bool with_origin, Bytes& out) const override;
  bool plain(Plain& out) const override;
  // Drops spaces in front, writes added tokens out, special ones as nothing.
  void restore(std::vector<std::uint8_t>& text) const override;

  // `out.trace` says whether sources are wanted. Const and free of shared state.
  void run(std::string_view text, Normalized& out) const;

  bool escape() const { return escape_; }
  bool identity() const { return steps_.empty() && added_.empty() && !escape_; }

 private:
  template <class Gap>
  void cut(const Charsmap& find, Normalized&& line, Normalized& out, Gap&& gap) const;
  void apply(const NormalizerStep& step, const Normalized& in, Normalized& out) const;
  bool copy_plain(std::string_view text, std::vector<std::uint8_t>& out) const;
  void free_added(std::string& text) const;
  void pieces(const NormalizerStep& step, const Normalized& in, Normalized& out) const;

  std::vector<NormalizerStep> steps_;
  std::size_t n_normalizing_ = 0;  // the steps before the first kMark
  bool escape_ = true;
  bool needs_source_ = false;  // a step asks where a word begins
  Lead lead_ = kKeep;
  Charsmap protect_;
  std::vector<Added> added_;
  Charsmap find_raw_, find_normalized_;  // values are decimal places in added_
};

}  // namespace kexue::lattice
