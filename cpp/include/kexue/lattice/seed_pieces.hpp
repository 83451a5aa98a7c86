// Substrings of counted chunks that might become pieces.
//
// The suffixes of all chunks are sorted (by two bytes with counting, then bucket by bucket); every
// longest common prefix of neighbours, and every suffix that is common itself, is a candidate whose
// count is the sum of the counts of its occurrences. Shorter substrings with the same occurrences
// are no candidates. The best by count times characters are kept, and every character.
//
// O(n log n) time for n characters of distinct chunks, 8 n bytes and the candidates of memory.
// Ties go to the smaller text, so that the result does not depend on the number of workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kexue/lattice/chunks.hpp"

namespace kexue::lattice {

struct SeedRules {
  std::ptrdiff_t longest = 16;  // characters
  double min_count = 2;
  std::ptrdiff_t size = 100000;  // pieces of several characters
  bool whitespace_as_suffix = false;
  bool whitespace_only = false;  // runs of spaces may be pieces
};

// In descending order of count times characters; characters come first, by count.
Chunks seed_pieces(std::string_view text, std::span<const Index> begin,
                   std::span<const double> counts, const SeedRules& rules, int workers = 0);

}  // namespace kexue::lattice
