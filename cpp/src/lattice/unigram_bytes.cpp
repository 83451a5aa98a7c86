// The sweeps over segments whose pieces may begin and end within characters, or that are no UTF-8.
//
// As in the sweeps over characters, the first steps of the walks from a block of places are made
// without a branch, all first steps, then all second ones: their waits for memory overlap, and
// where a walk ends, which nobody can foresee, costs nothing within the first kSteps bytes. Places
// come in blocks that begin at multiples of kBlock, so that a block can be made again alone.
#include <algorithm>
#include <bit>

#include "kexue/core/constants.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/unigram.hpp"

namespace kexue::lattice {

namespace {

using std::int32_t;
using std::ptrdiff_t;
using std::size_t;
using std::uint32_t;
using std::uint64_t;
using std::uint8_t;

constexpr ptrdiff_t kSteps = ByteChoice::kSteps;
constexpr ptrdiff_t kLongSteps = 8;  // made together by the walks that get beyond kSteps
constexpr ptrdiff_t kBlock = 32;
constexpr ptrdiff_t kPoll = 1 << 14;  // bytes, a multiple of kBlock
static_assert(Sums::kWindow % kBlock == 0);

}  // namespace

// Where the walks from a block of places stand after each of their bytes, as the units they are at:
// the value of the piece that ends there, 0 if none does, and where to go on from. Of places whose
// byte stands alone only the first value is there; of those whose walk has ended after kSteps
// bytes, only the units up to there.
struct Unigram::ByteWalks {
  TrieUnit unit[kLongSteps][kBlock];

  uint32_t value(ptrdiff_t step, ptrdiff_t place) const { return unit[step][place].value; }
  uint32_t base_after(ptrdiff_t steps, ptrdiff_t place) const {
    return unit[steps - 1][place].link >> 8;
  }
};

void Unigram::walk_bytes(const uint8_t* text, ptrdiff_t n, ByteWalks& walks) const {
  const TrieUnit* units = trie_.units();
  const uint32_t nowhere = trie_.nowhere();
  const auto ended = std::bit_cast<uint64_t>(TrieUnit{nowhere << 8, 0});
  // Masks: compilers make a branch of a choice.
  const auto step = [&](uint32_t base, uint8_t byte) {
    const auto next = std::bit_cast<uint64_t>(units[base ^ byte]);
    const uint32_t label = std::bit_cast<TrieUnit>(next).link & 255;
    const uint64_t found = 0 - static_cast<uint64_t>(label == byte);
    return std::bit_cast<TrieUnit>(ended ^ ((ended ^ next) & found));
  };
  uint32_t places[kBlock];  // whose walks go on
  ptrdiff_t m = 0;
  for (ptrdiff_t j = 0; j < n; ++j) {
    places[m] = static_cast<uint32_t>(j);
    m += alone_[text[j]] ? 0 : 1;
  }
  ptrdiff_t begin = 1;
  if (after_two_.empty()) {
    for (ptrdiff_t j = 0; j < n; ++j) walks.unit[0][j] = step(trie_.root(), text[j]);
  } else {
    for (ptrdiff_t j = 0; j < n; ++j) walks.unit[0][j].value = one_byte_[text[j]];
    for (const uint32_t j : std::span(places, static_cast<size_t>(m))) {
      walks.unit[1][j] = after_two_[static_cast<size_t>(text[j + 1] << 8 | text[j])];
    }
    begin = 2;
  }
  for (ptrdiff_t k = begin; k < kSteps; ++k) {
    for (const uint32_t j : std::span(places, static_cast<size_t>(m))) {
      walks.unit[k][j] = step(walks.base_after(k, j), text[static_cast<ptrdiff_t>(j) + k]);
    }
  }
  ptrdiff_t n_long = 0;
  for (ptrdiff_t i = 0; i < m; ++i) {
    const uint32_t j = places[i];
    places[n_long] = j;
    n_long += walks.base_after(kSteps, j) == nowhere ? 0 : 1;
  }
  for (ptrdiff_t k = kSteps; k < kLongSteps; ++k) {
    for (const uint32_t j : std::span(places, static_cast<size_t>(n_long))) {
      walks.unit[k][j] = step(walks.base_after(k, j), text[static_cast<ptrdiff_t>(j) + k]);
    }
  }
}

void Unigram::walk_two_bytes() {
  const TrieUnit* units = trie_.units();
  const auto step = [&](uint32_t base, uint32_t byte) {
    const TrieUnit unit = units[base ^ byte];
    return (unit.link & 255) == byte ? unit : TrieUnit{trie_.nowhere() << 8, 0};
  };
  one_byte_.resize(256);
  after_two_.resize(1 << 16);
  for (uint32_t first = 0; first < 256; ++first) {
    const TrieUnit one = step(trie_.root(), first);
    one_byte_[first] = one.value;
    alone_[first] = one.link >> 8 == trie_.nowhere();
    for (uint32_t second = 0; second < 256; ++second) {
      after_two_[second << 8 | first] = step(one.link >> 8, second);
    }
  }
}

// ---- The best path

void Unigram::best_block(const uint8_t* text, ptrdiff_t begin, ptrdiff_t n, ptrdiff_t size,
                         Best& out) const {
  ByteWalks walks;
  walk_bytes(text + begin, n, walks);
  const TrieUnit* units = trie_.units();
  const double* scores = score_.data();
  for (ptrdiff_t j = n; j-- > 0;) {
    const uint8_t* at = text + begin + j;
    double* const here = out.score.data() + begin + j;
    double most = -kInf;
    uint32_t value = 0, length = 1, seen = 0;
    const auto contend = [&](uint32_t other, uint32_t bytes) {
      const double total = scores[other & kEntry] + here[bytes];
      const uint32_t better = 0 - static_cast<uint32_t>(total >= most);
      most = most > total ? most : total;
      value ^= (value ^ other) & better;
      length ^= (length ^ bytes) & better;
      seen |= other;
    };
    contend(walks.value(0, j), 1);
    uint32_t base = trie_.nowhere();
    if (!alone_[*at]) {
      for (ptrdiff_t k = 1; k < kSteps; ++k) {
        contend(walks.value(k, j), static_cast<uint32_t>(k + 1));
      }
      base = walks.base_after(kSteps, j);
    }
    if (base != trie_.nowhere()) {
      for (ptrdiff_t k = kSteps; k < kLongSteps; ++k) {
        contend(walks.value(k, j), static_cast<uint32_t>(k + 1));
      }
      base = walks.base_after(kLongSteps, j);
    }
    for (uint32_t k = kLongSteps; base != trie_.nowhere(); ++k) {
      const TrieUnit unit = units[base ^ at[k]];
      if ((unit.link & 255) != at[k]) break;
      contend(unit.value, k + 1);
      base = unit.link >> 8;
    }
    Edge edge{static_cast<int32_t>((value & kEntry) - 1), length};
    if (unknown_edges_ && (seen & kOneUnit) == 0) {
      const uint32_t unit = unit_length(at, size - begin - j);
      const double total = unknown_score_ + here[unit];
      if (total > most) {
        most = total;
        edge = {-1, unit};
      }
    }
    *here = most;
    out.edge[static_cast<size_t>(begin + j)] = edge;
  }
}

double Unigram::best_bytes(const uint8_t* text, ptrdiff_t size, Best& out) const {
  for (ptrdiff_t end = size; end > 0;) {
    const ptrdiff_t begin = (end - 1) / kBlock * kBlock;
    if (begin % kPoll == 0 && begin > 0) poll_interrupt();
    best_block(text, begin, end - begin, size, out);
    end = begin;
  }
  return out.score[0];
}

// ---- Sums

// The sums and the choices of a block; the sums behind it are there. False once B leaves its range.
bool Unigram::sum_block(const uint8_t* text, ptrdiff_t begin, ptrdiff_t n, ptrdiff_t size,
                        const Weights& weights, double* value, ByteChoice* choices) const {
  ByteWalks walks;
  walk_bytes(text + begin, n, walks);
  const TrieUnit* units = trie_.units();
  const double* weight = weights.weight.data();
  const uint32_t nowhere = trie_.nowhere();
  bool fits = true;
  // The sums of the next places, in registers: each place waits for the one behind it.
  static_assert(kSteps == 4);
  const double* const behind = value + begin + n;
  double after[kSteps] = {behind[0], behind[1], behind[2], behind[3]};
  for (ptrdiff_t j = n; j-- > 0;) {
    const uint8_t* at = text + begin + j;
    double* const here = value + begin + j;
    ByteChoice& choice = choices[j];
    uint32_t seen = walks.value(0, j);
    double total = weight[seen & kEntry] * after[0];
    choice.sum[0] = total;
    choice.piece[0] = static_cast<int32_t>((seen & kEntry) - 1);
    if (alone_[*at]) {
      for (ptrdiff_t k = 1; k < kSteps; ++k) choice.sum[k] = total;
      choice.base = nowhere;
    } else {
      for (ptrdiff_t k = 1; k < kSteps; ++k) {
        const uint32_t entry = walks.value(k, j);
        total += weight[entry & kEntry] * after[k];
        choice.sum[k] = total;
        choice.piece[k] = static_cast<int32_t>((entry & kEntry) - 1);
        seen |= entry;
      }
      uint32_t base = choice.base = walks.base_after(kSteps, j);
      if (base != nowhere) {
        for (ptrdiff_t k = kSteps; k < kLongSteps; ++k) {
          total += weight[walks.value(k, j) & kEntry] * here[k + 1];
        }
        base = walks.base_after(kLongSteps, j);
      }
      for (ptrdiff_t k = kLongSteps; base != nowhere; ++k) {
        const TrieUnit unit = units[base ^ at[k]];
        if ((unit.link & 255) != at[k]) break;
        total += weight[unit.value & kEntry] * here[k + 1];
        base = unit.link >> 8;
      }
    }
    if (unknown_edges_ && (seen & kOneUnit) == 0) {
      const uint32_t unit = unit_length(at, size - begin - j);
      total += weights.unknown[unit] * here[unit];
    }
    *here = total;
    for (ptrdiff_t k = kSteps - 1; k > 0; --k) after[k] = after[k - 1];
    after[0] = total;
    fits &= fits_range(total);
  }
  return fits;
}

bool Unigram::sum_bytes(const uint8_t* text, ptrdiff_t size, const Weights& weights,
                        Sums& out) const {
  ByteChoice other[kBlock];
  const ptrdiff_t kept = std::min(size, Sums::kWindow);
  if (std::ssize(out.choice) < kept) out.choice.resize(static_cast<size_t>(kept + kBlock));
  for (ptrdiff_t end = size; end > 0;) {
    const ptrdiff_t begin = (end - 1) / kBlock * kBlock;
    if (begin % kPoll == 0 && begin > 0) poll_interrupt();
    ByteChoice* const choices = begin < Sums::kWindow ? out.choice.data() + begin : other;
    if (!sum_block(text, begin, end - begin, size, weights, out.value.data(), choices)) {
      return false;
    }
    end = begin;
  }
  out.first_choice = 0;
  return true;
}

Edge Unigram::longer_edge(const ByteChoice& choice, const uint8_t* text, ptrdiff_t place,
                          const Weights& weights, const Sums& sums, double target) const {
  const TrieUnit* units = trie_.units();
  const uint8_t* at = text + place;
  const double* here = sums.value.data() + place;
  double total = choice.sum[kSteps - 1];
  uint32_t base = choice.base;
  for (uint32_t k = kSteps; base != trie_.nowhere(); ++k) {
    const TrieUnit unit = units[base ^ at[k]];
    if ((unit.link & 255) != at[k]) break;
    total += weights.weight[unit.value & kEntry] * here[k + 1];
    if (total > target) return {static_cast<int32_t>((unit.value & kEntry) - 1), k + 1};
    base = unit.link >> 8;
  }
  return {-1, 0};
}

void Unigram::choose_from(const uint8_t* text, ptrdiff_t size, ptrdiff_t place,
                          const Weights& weights, Sums& sums) const {
  sums.first_choice = place / kBlock * kBlock;
  const ptrdiff_t end = std::min(size, sums.first_choice + Sums::kWindow);
  for (ptrdiff_t begin = sums.first_choice; begin < end; begin += kBlock) {
    sum_block(text, begin, std::min(kBlock, end - begin), size, weights, sums.value.data(),
              sums.choice.data() + (begin - sums.first_choice));
  }
}

}  // namespace kexue::lattice
