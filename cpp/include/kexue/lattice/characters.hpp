// The pieces of a model as strings of characters: a trie with one step for each character, and
// which characters stand side by side in a piece.
//
// Characters have small numbers, their codes: the byte + 1 for ASCII, then those of all pieces in
// ascending order, and 0 for the ones that no piece has. Unit x has the base b: the child by code c
// is unit b + c, and it is there if that unit's label is c. No two units share a base, so that this
// one comparison decides; base 0 has no children, and unit 0 is where a walk that failed stands.
// The first step needs no comparison: the root's base is 0, and units 0 .. n_codes() - 1 are its
// children or as good as unit 0.
//
// A unit holds the score of its piece, so that a step touches one cache line: in a vocabulary of
// 32000 pieces most of Chinese text meets units that stay in the second-level cache.
//
// Neighbours. meet(a, b) is false only where a piece has a b nowhere. It is exact for ASCII and, in
// alphabets of up to kExact codes, for all; else a hash may say yes for others.
//
// O(total length) time and memory. Thread-safe once built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace kexue::lattice {

struct CharacterUnit {
  // From the lowest bit: base (24), value of the piece that ends here, 0 if none does (24), label.
  std::uint64_t link;
  double score;  // -inf without a piece

  static constexpr std::uint32_t kMostValue = (1U << 24) - 1;
  std::uint32_t base() const { return static_cast<std::uint32_t>(link) & 0xFFFFFF; }
  std::uint32_t value() const { return static_cast<std::uint32_t>(link >> 24) & 0xFFFFFF; }
  std::uint32_t label() const { return static_cast<std::uint32_t>(link >> 48); }
};

class Characters {
 public:
  // Added to the code of a character that begins a text: no step goes there.
  static constexpr std::uint16_t kBegins = 0x8000;
  static constexpr std::size_t kMostCodes = 0x7FFF;
  static constexpr std::size_t kExact = 4096;

  Characters() = default;
  // Valid UTF-8, different, not empty, in ascending order, with values 1 .. kMostValue.
  Characters(std::span<const std::string_view> pieces, std::span<const std::uint32_t> values);
  // Whether these pieces can be taken.
  static bool can_take(std::span<const std::string_view> pieces);

  // The score of each value.
  void set_scores(std::span<const double> scores);

  const CharacterUnit* units() const { return units_.data(); }
  std::size_t n_codes() const { return n_codes_; }
  std::uint16_t code(std::uint32_t point) const {
    return point < 0x10000 ? narrow_[point] : wide_code(point);
  }
  // Codes by the numbers of characters below 2^16.
  const std::uint16_t* narrow_codes() const { return narrow_.data(); }

  bool meet(std::uint32_t a, std::uint32_t b) const {
    const std::uint32_t bit = pair(a, b);
    return (pairs_[bit / 64] >> (bit % 64) & 1) != 0;
  }

 private:
  std::uint32_t pair(std::uint32_t a, std::uint32_t b) const {
    if (hash_shift_ == 0) return a * static_cast<std::uint32_t>(n_codes_) + b;
    if (a <= kAscii && b <= kAscii) return a * (kAscii + 1) + b;
    return kAsciiPairs + (((a << 16 | b) * 0x9E3779B1U) >> hash_shift_);
  }
  std::uint16_t wide_code(std::uint32_t point) const;
  void number(std::span<const std::string_view> pieces);
  void build(std::span<const std::uint16_t> codes, std::span<const std::size_t> begin,
             std::span<const std::uint32_t> values);
  void join(std::span<const std::uint16_t> codes, std::span<const std::size_t> begin);

  static constexpr std::uint32_t kAscii = 128, kAsciiPairs = (kAscii + 1) * (kAscii + 1);
  std::vector<CharacterUnit> units_;
  std::size_t n_codes_ = 0;
  std::vector<std::uint16_t> narrow_;
  std::vector<std::uint32_t> wide_;  // ascending; their codes are the last ones
  std::vector<std::uint64_t> pairs_;
  int hash_shift_ = 0;
};

}  // namespace kexue::lattice
