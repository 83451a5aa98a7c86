// The Unicode normalisation forms (UAX 15) over tables that the caller brings.
//
// Decompose every character in full, sort each run of combining marks by class, and for NFC and
// NFKC compose each mark with the last starter before it unless a mark of the same or a higher
// class stands between. Hangul is arithmetic. O(n log longest run of marks) time.
#pragma once

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
  Decompositions canonical, compatible;
  std::vector<std::uint32_t> mark;       // characters of class > 0, ascending
  std::vector<std::uint8_t> mark_class;  // their classes
  // starter << 32 | mark, ascending, and what they compose to.
  std::vector<std::uint64_t> pair;
  std::vector<std::uint32_t> composed;

  // Appends the form of in.text to out.text, with the sources that `in` has.
  void apply(UnicodeForm form, const Normalized& in, Normalized& out) const;

 private:
  std::uint8_t class_of(std::uint32_t character) const;
  std::uint32_t compose(std::uint32_t starter, std::uint32_t character) const;
};

}  // namespace kexue::lattice
