// Segments of texts, and best paths through words of characters.
#include <algorithm>
#include <bit>
#include <cstring>

#include "kexue/core/constants.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/unigram.hpp"
#include "kexue/lattice/utf8.hpp"

namespace kexue::lattice {

namespace {

using std::ptrdiff_t;
using std::size_t;
using std::uint16_t;
using std::uint32_t;
using std::uint64_t;
using std::uint8_t;

bool is_ascii(const uint8_t* text, ptrdiff_t size) {
  uint8_t all = 0;
  for (ptrdiff_t i = 0; i < size; ++i) all |= text[i];
  return all < 0x80;
}

// Of valid UTF-8, moving `at` on.
uint32_t next_point(const uint8_t*& at) {
  const uint32_t lead = *at++;
  if (lead < 0x80) return lead;
  const auto more = [&](uint32_t bits) { return bits << 6 | (*at++ & 0x3FU); };
  if (lead < 0xE0) return more(lead & 0x1F);
  if (lead < 0xF0) return more(more(lead & 0x0F));
  return more(more(more(lead & 0x07)));
}

}  // namespace

// ---- Segments

// Bit i of 64: a segment ends before text[i]. Pairs never part a character.
uint64_t Unigram::cuts(const uint8_t* text) const {
  const uint8_t* const pairs = pair_.data();
  uint64_t found = 0;
  for (int k = 0; k < 64; k += 8) {
    uint32_t eight = 0;
    for (int b = 0; b < 8; ++b) {
      uint16_t pair;
      std::memcpy(&pair, text + k + b - 1, sizeof pair);
      eight |= uint32_t{pairs[pair]} << b;
    }
    found |= uint64_t{eight} << k;
  }
  return found;
}

void Segments::make_room(size_t n) {
  // What is not used is not there to begin with, if it is much.
  const size_t more = std::min(n / 2, size_t{1} << 18);
  if (place_.size() < n + 1) place_.resize(n + more + 1);
  poll_interrupt();
  if (code_.size() < n + 2) code_.resize(n + more + 2);
}

void Segments::make_room_for_ends(size_t n, bool coded) {
  if (end_.size() < n) end_.resize(n + n / 2);
  if (coded && last_.size() < n) last_.resize(n + n / 2);
}

void Unigram::segment(const uint8_t* text, ptrdiff_t size, bool valid,
                      std::span<const Index> breaks, Segments& out) const {
  const bool numbers_fit = size < ptrdiff_t{std::numeric_limits<uint32_t>::max()};
  if (options_.alphabet && valid && numbers_fit && !is_ascii(text, size))
    return segment(encode(text, size, breaks, out), out);
  out.coded_ = false;
  const size_t n_blocks = static_cast<size_t>(size + 63) / 64;
  out.cut_.assign(n_blocks + 1, 0);
  for (const Index end : breaks) out.cut_[static_cast<size_t>(end / 64)] |= uint64_t{1} << end % 64;
  size_t n = 0;
  for (size_t k = 0; k < n_blocks; ++k) {
    if ((k & 0x3FF) == 0x3FF) poll_interrupt();
    const auto block = static_cast<ptrdiff_t>(64 * k);
    uint64_t found = out.cut_[k] | cuts(text + block);
    if (k == 0) found &= ~uint64_t{1};
    if (size - block < 64) found &= ~(~uint64_t{0} << (size - block));
    out.make_room_for_ends(n + 65, false);
    for (; found != 0; found &= found - 1) out.end_[n++] = block + std::countr_zero(found);
  }
  out.make_room_for_ends(n + 1, false);
  if (size > 0) out.end_[n++] = size;
  out.n_segments_ = n;
}

// The number of characters.
size_t Unigram::encode(const uint8_t* text, ptrdiff_t size, std::span<const Index> breaks,
                       Segments& out) const {
  out.make_room(static_cast<size_t>(size));
  size_t n = 0;
  const uint8_t* at = text;
  const auto encode_to = [&](ptrdiff_t end) {
    uint32_t mark = Characters::kBegins;
    for (; at < text + end; ++n) {
      if ((n & 0xFFFF) == 0xFFFF) poll_interrupt();
      out.place_[n] = static_cast<uint32_t>(at - text);
      out.code_[n] = static_cast<uint16_t>(alphabet_.code(next_point(at)) | mark);
      mark = 0;
    }
  };
  for (const Index end : breaks) encode_to(end);
  encode_to(size);
  out.place_[n] = static_cast<uint32_t>(size);
  return n;
}

void Unigram::segment(size_t n, Segments& out) const {
  constexpr uint32_t kCode = Characters::kBegins - 1;
  constexpr size_t kBlock = 1 << 16;
  out.coded_ = true;
  const uint32_t* place = out.place_.data();
  out.code_[n] = out.code_[n + 1] = 0;
  const uint16_t* code = out.code_.data();
  size_t found = 0;
  uint32_t before = n == 0 ? 0 : code[0] & kCode;
  for (size_t begin = 1; begin < n; begin += kBlock) {
    if (begin > 1) poll_interrupt();
    const size_t stop = std::min(begin + kBlock, n);
    out.make_room_for_ends(found + stop - begin + 1, true);
    Index* end = out.end_.data();
    uint32_t* last = out.last_.data();
    for (size_t i = begin; i < stop; ++i) {
      const uint32_t here = code[i] & kCode;
      end[found] = place[i];
      last[found] = static_cast<uint32_t>(i);
      found += static_cast<size_t>(!alphabet_.meet(before, here)) | code[i] >> 15;
      before = here;
    }
  }
  out.make_room_for_ends(found + 1, true);
  if (n > 0) {
    out.end_[found] = place[n];
    out.last_[found++] = static_cast<uint32_t>(n);
  }
  out.n_segments_ = found;
}

// ---- Words

void Unigram::begin_words(std::span<const uint16_t> codes, Steps* steps) const {
  const CharacterUnit* units = alphabet_.units();
  const size_t n = codes.size();
  const uint16_t* code = codes.data();
  // Masks: compilers make a branch of a choice, which nobody could foresee.
  const auto step = [&](uint64_t from, uint32_t label, uint64_t& link, double& score) {
    const uint32_t base = static_cast<uint32_t>(from) & 0xFFFFFF;
    const uint32_t place = (base + label) & (0 - static_cast<uint32_t>(base != 0));
    const uint64_t there = units[place].link;
    const uint64_t found = 0 - static_cast<uint64_t>(there >> 48 == label);
    link = there & found;
    score = units[place & found].score;
  };
  for (size_t i = 0; i < n; ++i) {
    steps[i].link[0] = units[code[i]].link;
    steps[i].score[0] = units[code[i]].score;
  }
  for (uint32_t k = 1; k < Steps::kSteps; ++k) {
    for (size_t i = 0; i < n; ++i) {
      step(steps[i].link[k - 1], code[i + k], steps[i].link[k], steps[i].score[k]);
    }
  }
}

double Unigram::best_word(const uint16_t* codes, const Steps* steps, size_t n, double* after,
                          Move* moves) const {
  const CharacterUnit* units = alphabet_.units();
  after[n] = 0;
  for (size_t i = n; i-- > 0;) {
    const Steps& walk = steps[i];
    double most = walk.score[0] + after[i + 1];
    uint64_t link = walk.link[0];
    uint32_t length = 1;
    const auto contend = [&](uint64_t other, double score, uint32_t characters) {
      const double total = score + after[i + characters];
      const uint64_t better = 0 - static_cast<uint64_t>(total >= most);
      most = most > total ? most : total;
      link ^= (link ^ other) & better;
      length ^= (length ^ characters) & static_cast<uint32_t>(better);
    };
    for (uint32_t k = 1; k < Steps::kSteps; ++k) contend(walk.link[k], walk.score[k], k + 1);
    uint32_t base = static_cast<uint32_t>(walk.link[Steps::kSteps - 1]) & 0xFFFFFF;
    for (uint32_t k = Steps::kSteps; base != 0; ++k) {
      const CharacterUnit& unit = units[base + codes[i + k]];
      if (unit.label() != codes[i + k]) break;
      contend(unit.link, unit.score, k + 1);
      base = unit.base();
    }
    moves[i] = {static_cast<uint32_t>(link >> 24) & 0xFFFFFF, length};
    if (unknown_edges_ && walk.score[0] == -kInf) {
      const double total = unknown_score_ + after[i + 1];
      if (total > most) {
        most = total;
        moves[i] = {0, 1};
      }
    }
    after[i] = most;
  }
  return after[0];
}

}  // namespace kexue::lattice
