// The Unicode normalisation forms (UAX 15) over tables that the caller brings.
//
// Decompose every character in full, sort each run of combining marks by class, and for NFC and
// NFKC compose each mark with the last starter before it unless a mark of the same or a higher
// class stands between. Hangul is arithmetic. O(n log longest run of marks) time.
//
// Nearly all characters of nearly all texts are settled: they are their own form, and nothing that
// stands before them composes with them or changes places with them. A text falls into parts that
// begin with a settled character and are independent of each other, of which those without a second
// character are copied (the quick check of UAX 15, by parts).
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace kexue::lattice {

struct Normalized;

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

class UnicodeForms {
 public:
  // One row (code, size, characters ...) per character with a full decomposition, ascending.
  struct Decompositions {
    std::vector<std::uint32_t> code, first, characters;  // first has one entry more
    void find(std::uint32_t character, const std::uint32_t*& begin,
              const std::uint32_t*& end) const;
  };
  // `pair`: starter << 32 | mark, ascending, and what they compose to. `mark`: the characters of
  // class > 0, ascending, and their classes.
  UnicodeForms(Decompositions canonical, Decompositions compatible, std::vector<std::uint32_t> mark,
               std::vector<std::uint8_t> mark_class, std::vector<std::uint64_t> pair,
               std::vector<std::uint32_t> composed);

  // Appends the form of in.text to out.text, with the sources that `in` has.
  void apply(UnicodeForm form, const Normalized& in, Normalized& out) const;
  // The form of `text` begins with so many of its bytes, whatever the others are: with all of them
  // if its characters are settled, else with those before the last settled one.
  std::size_t settled(UnicodeForm form, std::string_view text) const;

 private:
  struct Character;
  std::uint8_t class_of(std::uint32_t character) const;
  std::uint32_t compose(std::uint32_t starter, std::uint32_t character) const;
  bool is_settled(UnicodeForm form, std::uint32_t character) const {
    const std::vector<bool>& known = settled_[static_cast<std::size_t>(form)];
    return character < known.size() && known[character];
  }
  bool in_settled_block(UnicodeForm form, const char* three) const;
  void find_settled(UnicodeForm form);
  void apply_part(UnicodeForm form, const Normalized& in, std::size_t begin, std::size_t end,
                  std::vector<Character>& line, Normalized& out) const;

  Decompositions canonical_, compatible_;
  std::vector<std::uint32_t> mark_;
  std::vector<std::uint8_t> mark_class_;
  std::vector<std::uint64_t> pair_;
  std::vector<std::uint32_t> composed_;
  // By form, of the characters below kMostSettled, and of whole blocks of them.
  static constexpr std::size_t kMostSettled = 0x10000, kBlock = 64;
  std::array<std::vector<bool>, 4> settled_;
  std::array<std::bitset<kMostSettled / kBlock>, 4> settled_blocks_;
};

}  // namespace kexue::lattice
