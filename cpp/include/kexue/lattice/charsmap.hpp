// Rules that rewrite text: the longest key that matches at a place is replaced by its value.
//
// The blob is that of sentencepiece's `precompiled_charsmap`: the size of a double array in bytes
// (32 bits, little-endian), the array, and the values, each ended by a NUL. A unit of the array
// (the layout of darts-clone) holds in bits 0..7 its label, in bit 8 whether a key ends at it, in
// bits 10..30 its offset (times 256 if bit 9 is set); the child of node p by byte c is unit
// p ^ offset(p) ^ c if that unit's label is c. The unit p ^ offset(p) of a key's end has bit 31 set
// and holds in the others where the value begins.
//
// Reading takes O(256); every look-up checks its bounds, so that a blob made by an enemy gives
// wrong values at worst. Building takes about O(bytes of the keys).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kexue::lattice {

struct Rule {
  std::string_view key;
  std::string_view value;
};

class Charsmap {
 public:
  Charsmap() = default;
  // std::invalid_argument if the blob cannot be one. An empty blob has no rules.
  explicit Charsmap(std::string_view blob);

  bool empty() const { return units_.empty(); }

  // The number of bytes of the longest key that `text` begins with, 0 if there is none; its value.
  std::ptrdiff_t longest(std::string_view text, std::string_view& value) const;

  // Whether no key begins with this ASCII byte followed by the end or by another ASCII byte: such
  // a byte stays as it is if what follows is ASCII.
  bool plain(unsigned char byte) const { return plain_[byte]; }
  // The same for any byte: false from 0x80 on and for the space.
  bool ordinary(unsigned char byte) const { return plain_[byte] && byte != 0x20; }

 private:
  static std::array<bool, 256> ascii() {
    std::array<bool, 256> found{};
    for (std::size_t byte = 0; byte < 128; ++byte) found[byte] = true;
    return found;
  }

  std::vector<std::uint32_t> units_;
  std::string values_;
  std::array<bool, 256> plain_ = ascii();
};

// The blob of the rules; keys have 1 to 1000 bytes, are different, free of NUL, in ascending
// order of their bytes; values are free of NUL. std::invalid_argument otherwise, or if there are
// more than about two million nodes.
std::string build_charsmap(std::span<const Rule> rules);

}  // namespace kexue::lattice
