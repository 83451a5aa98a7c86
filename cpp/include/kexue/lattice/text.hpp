// Text on its way into a tokenizer: what Python holds, its UTF-8, and what a normaliser makes of
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "kexue/core/text_view.hpp"

namespace kexue::lattice {

enum class TextFault : std::uint8_t { kNone, kSurrogate, kInvalidUtf8, kUncovered, kNoText };

// Bytes, and where each came from: byte i was made from the source's bytes from origin[i] on, and
// origin[size] is the size of the source. An empty `origin` is the identity.
struct Bytes {
  std::vector<std::uint8_t> bytes;
  std::vector<std::ptrdiff_t> origin;
};

// What a normaliser does to texts that it leaves as they are but for one space.
struct Plain {
  bool space_in_front = false, space_behind = false;
  bool gaps = true, marks = true;  // texts may have spaces at their ends or side by side; U+2581
};

// What stands between a text and the trie. The output goes to the trie as it is: with a space mark
// it has the byte 0x20 where the pieces have U+2581. Called from several threads at once.
class Normalizer {
 public:
  Normalizer() = default;
  Normalizer(const Normalizer&) = delete;
  Normalizer& operator=(const Normalizer&) = delete;
  virtual ~Normalizer() = default;

  // Appends to out.bytes the normal form of `text`, and to out.origin size + 1 entries if asked to.
  // Valid UTF-8 comes out of valid UTF-8.
  virtual void normalize(std::string_view text, bool with_origin, Bytes& out) const = 0;

  // Whether texts without what `out` excludes are plain; false if it is not known.
  virtual bool plain(Plain& out) const {
    static_cast<void>(out);
    return false;
  }

  // Undoes in decoded text what can be undone, such as a space that was added in front.
  virtual void restore(std::vector<std::uint8_t>& text) const { static_cast<void>(text); }
};

// The length of the valid UTF-8 sequence at the start of a non-empty text, 0 if there is none:
// no overlong forms, no surrogates, nothing above U+10FFFF.
std::ptrdiff_t utf8_length(const std::uint8_t* text, std::ptrdiff_t size);
// The first byte that begins no valid sequence, `size` if all is valid.
std::ptrdiff_t first_invalid(const std::uint8_t* text, std::ptrdiff_t size);

// Writes the UTF-8 of a text to the front of `out`, which grows as needed, and its length to
// `size`. Returns -1, or the place of the first lone surrogate.
std::ptrdiff_t write_utf8(const TextView& text, std::vector<std::uint8_t>& out,
                          std::ptrdiff_t& size);

}  // namespace kexue::lattice
