// Words as tables of choices: which edge a uniform number picks at each place.
//
// The products of the sampler are replaced by the least uniform number that does not pick an edge,
// found by trying them, so that a table and the sums agree for every number.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
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
  // Some of the choices of another one.
  void append(const Choices& more, std::ptrdiff_t begin, std::ptrdiff_t n) {
    const auto first = more.block.begin() + begin;
    block.insert(block.end(), first, first + n);
    const auto exact = more.bounds.begin() + begin;
    bounds.insert(bounds.end(), exact, exact + n);
  }
};

// Tabulates a summed word of at most 32 bytes: its last block is the first to draw from. False if
// it cannot be. `first` is scratch.
bool tabulate(const Unigram& model, const Weights& weights, const Sums& sums,
              const std::uint8_t* text, std::ptrdiff_t size, std::vector<std::uint32_t>& first,
              Choices& blocks);

// Where a word's choices are: its blocks begin at `base`, its first piece is drawn from number
// `first` of them, counted from 1; 0 if it has none.
struct WordChoices {
  const Choices* store;
  std::uint32_t base, first;
};

// The link of the edge that m picks from a block of a word, or from those that it continues in.
inline std::uint32_t pick(const WordChoices& word, std::uint32_t block, std::uint64_t m) {
  const Choice* const blocks = word.store->block.data() + word.base;
  const std::uint64_t highest = (m >> ChoiceBounds::kShift) * Choice::kOnes;
  for (;; --block) {
    // The mark of an edge stays where its bits are not below those of m.
    const std::uint64_t above = (blocks[block - 1].highest - highest) & Choice::kMarks;
    int passed = std::countr_zero(above) / 16;
    const std::uint64_t equal = (blocks[block - 1].highest ^ highest ^ Choice::kMarks);
    if (above != 0 && (equal >> (16 * passed) & 0xFFFF) == 0) {
      const std::uint64_t* exact = word.store->bounds[word.base + block - 1].bound;
      while (passed < Choice::kEdges && exact[passed] <= m) ++passed;
    }
    if (passed < Choice::kEdges) return blocks[block - 1].link[passed];
  }
}
inline std::int32_t piece_of(std::uint32_t link) {
  return static_cast<std::int32_t>(link & ((1U << kPieceBits) - 1));
}

// Draws a word and writes the pieces at `to`; their end.
inline std::int32_t* draw_word(WordChoices word, Uniforms& uniforms, std::int32_t* to) {
  for (std::uint32_t block = word.first; block != 0;) {
    const std::uint32_t link = pick(word, block, uniforms.next_integer());
    *to++ = piece_of(link);
    block = link >> kPieceBits;
  }
  return to;
}

// Samples of one text that share a sweep.
constexpr std::ptrdiff_t kTogether = 32;

// The same for several samples, at most kTogether: a piece of each in turn, so that their waits
// overlap and the end of a word is foreseen but for the last of them. Sample j is written at to[j].
inline void draw_words(WordChoices word, std::span<Uniforms> uniforms, std::int32_t** to) {
  std::uint32_t sample[kTogether], block[kTogether];
  std::size_t n = uniforms.size();
  for (std::size_t j = 0; j < n; ++j) {
    sample[j] = static_cast<std::uint32_t>(j);
    block[j] = word.first;
  }
  while (n > 0) {
    std::size_t left = 0;
    for (std::size_t k = 0; k < n; ++k) {
      const std::uint32_t j = sample[k];
      const std::uint32_t link = pick(word, block[k], uniforms[j].next_integer());
      *to[j]++ = piece_of(link);
      sample[left] = j;
      block[left] = link >> kPieceBits;
      left += static_cast<std::size_t>(block[left] != 0);
    }
    n = left;
  }
}

}  // namespace kexue::lattice
