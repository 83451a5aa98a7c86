// Texts made ready for a Unigram: UTF-8, normalised, one after the other with margins around them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kexue/lattice/text.hpp"
#include "kexue/lattice/unigram.hpp"

namespace kexue::lattice {

// Why a text cannot be taken: `position` counts the units of its storage.
struct Fault {
  TextFault kind = TextFault::kNone;
  std::ptrdiff_t text = -1;
  std::ptrdiff_t position = -1;
};

// Scratch for one text at a time, or for several.
class Line {
 public:
  // Several: begin(), append() each, close(). False, with a fault but for its text, if a text is
  // refused; then close() leaves it out.
  void begin(const Unigram& model);
  bool append(const Unigram& model, const Normalizer* normalizer, const TextView& text,
              bool with_origin, Fault& fault);
  void close(const Unigram& model);
  // All of them, up to the first that is refused; their number.
  std::ptrdiff_t open(const Unigram& model, const Normalizer* normalizer,
                      std::span<const TextView> texts, Fault& fault);
  // One.
  // `normalizer` may be null.
  bool open(const Unigram& model, const Normalizer* normalizer, const TextView& text,
            bool with_origin, Fault& fault);

  const std::uint8_t* text() const { return out_.bytes.data() + margin_; }
  std::ptrdiff_t size() const { return size_; }
  // See Unigram: `valid` of its sweeps.
  bool valid() const { return valid_; }
  // Where the segments end, and where the texts do: the latter are among the former.
  std::span<const Index> ends() const { return segments_.ends(); }
  const Segments& segments() const { return segments_; }
  const std::vector<Index>& text_ends() const { return text_ends_; }

  // For a line opened with its origin: where byte i of the line was made from, in the units of the
  // text's storage; `up` rounds to the end of a code point.
  std::ptrdiff_t source(std::ptrdiff_t i, bool up);
  // The fault of a line without a path.
  Fault uncovered(const Unigram& model, const Normalizer* normalizer, const TextView& text);

 private:
  bool take(const Unigram& model, const Normalizer* normalizer, std::span<const TextView> texts);
  bool take_ascii(const Unigram& model, const Plain& plain, std::span<const TextView> texts,
                  std::ptrdiff_t most);
  bool encode(const TextView& text, Fault& fault);
  void replace_space_marks(std::size_t begin, bool with_origin);
  void number_points();

  std::ptrdiff_t margin_ = 0, size_ = 0;
  bool valid_ = false, points_ = false;
  TextView view_;
  std::vector<std::uint8_t> utf8_;  // of the source, unless it is bytes already; and more
  const std::uint8_t* source_ = nullptr;
  std::ptrdiff_t source_size_ = 0;
  Bytes out_;
  std::vector<std::ptrdiff_t> point_;  // code points before each byte of the source
  Segments segments_;
  std::vector<Index> text_ends_;
  std::vector<std::uint16_t> narrow_;  // characters of several texts
};

}  // namespace kexue::lattice
