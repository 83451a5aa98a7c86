// Words as tables of choices: which edge a uniform number picks at each place.
//
// The products of the sampler are replaced by the least uniform number that does not pick an edge,
// found by trying them, so that a table and the sums agree for every number.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kexue/lattice/unigram.hpp"
#include "uniforms.hpp"

namespace kexue::lattice {

// Which edge a uniform number u = m 2^-53 picks at one place of a word: the first whose bound, an
// integer, exceeds m. If none of them does, block b continues in block b - 1. Bounds ascend. The
// highest bits of m and of the bounds decide nearly always: those of all edges are compared at
// once, while the bounds themselves (ChoiceBounds) lie elsewhere.
struct Choice {
  static constexpr int kEdges = 4, kBits = 15;
  static constexpr std::uint64_t kOnes = 0x0001'0001'0001'0001, kMarks = kOnes << kBits;
  std::uint64_t highest;       // 16 bits for each edge, the uppermost of which is set
  std::uint32_t link[kEdges];  // next block << 22 | piece; next 0: the word ends
};
struct ChoiceBounds {
  static constexpr int kShift = 53 - Choice::kBits;
  static constexpr std::uint64_t kNone = std::uint64_t{1} << 53;  // exceeds every m
  std::uint64_t bound[Choice::kEdges] = {kNone, kNone, kNone, kNone};

  // kNone is cut to 15 bits that decide nothing either.
  std::uint64_t highest() const {
    std::uint64_t all = Choice::kMarks;
    for (int k = 0; k < Choice::kEdges; ++k) {
      all |= std::min(bound[k], kNone - 1) >> kShift << (16 * k);
    }
    return all;
  }
};
constexpr int kPieceBits = 22;
constexpr std::ptrdiff_t kMostBlocks = 1 << (32 - kPieceBits);

// Choices and their bounds, one for one.
struct Choices {
  std::vector<Choice> block;
  std::vector<ChoiceBounds> bounds;

  std::ptrdiff_t size() const { return std::ssize(block); }
  void clear() {
    block.clear();
    bounds.clear();
  }
  void append(const Choices& more) {
    block.insert(block.end(), more.block.begin(), more.block.end());
    bounds.insert(bounds.end(), more.bounds.begin(), more.bounds.end());
  }
};

// Tabulates a summed word of at most 32 bytes: its last block is the first to draw from. False if
// it cannot be. `first` is scratch.
bool tabulate(const Unigram& model, const Weights& weights, const Sums& sums,
              const std::uint8_t* text, std::ptrdiff_t size, std::vector<std::uint32_t>& first,
              Choices& blocks);

// Draws from the blocks base .. base + first - 1, and writes the pieces at `to`; their end.
inline std::int32_t* draw_word(const Choices& choices, std::size_t base, std::uint32_t first,
                               Uniforms& uniforms, std::int32_t* to) {
  const Choice* const blocks = choices.block.data() + base;
  std::uint32_t block = first;
  do {
    const auto m = static_cast<std::uint64_t>(uniforms.next() * 0x1p53);
    const std::uint64_t highest = (m >> ChoiceBounds::kShift) * Choice::kOnes;
    int passed;
    for (;; --block) {
      // The mark of an edge stays where its bits are not below those of m.
      const std::uint64_t above = (blocks[block - 1].highest - highest) & Choice::kMarks;
      passed = std::countr_zero(above) / 16;
      const std::uint64_t equal = (blocks[block - 1].highest ^ highest ^ Choice::kMarks);
      if (above != 0 && (equal >> (16 * passed) & 0xFFFF) == 0) {
        const std::uint64_t* exact = choices.bounds[base + block - 1].bound;
        while (passed < Choice::kEdges && exact[passed] <= m) ++passed;
      }
      if (passed < Choice::kEdges) break;
    }
    const std::uint32_t link = blocks[block - 1].link[passed];
    *to++ = static_cast<std::int32_t>(link & ((1U << kPieceBits) - 1));
    block = link >> kPieceBits;
  } while (block != 0);
  return to;
}

}  // namespace kexue::lattice
