// The sweeps over a segment. Scalar code: what they wait for is the walk through the trie.
#include <algorithm>
#include <cmath>

#include "kexue/core/constants.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/unigram.hpp"

namespace kexue::lattice {

namespace {

using std::ptrdiff_t;
using std::size_t;
using std::uint32_t;
using std::uint8_t;

constexpr double kLog2 = 0.693147180559945309417;
// Walks look at three characters, all but the first of which may lie behind the segment.
constexpr ptrdiff_t kThreeCharacters = 12;

bool of_three(uint8_t lead) { return (lead & 0xF0) == 0xE0; }
bool continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

// Of a valid character.
uint32_t length_of(uint8_t lead) { return lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4; }

// 2^d for multiples d <= kScaleStep of kScaleStep; 0 where nothing of a sum would be left.
double power(double d) {
  if (d == 0) return 1;
  if (d == kScaleStep) return 0x1p256;
  if (d == -kScaleStep) return 0x1p-256;
  if (d == -2 * kScaleStep) return 0x1p-512;
  if (d == -3 * kScaleStep) return 0x1p-768;
  return d == -4 * kScaleStep ? 0x1p-1024 : 0;
}

template <class T>
void grow(std::vector<T>& v, ptrdiff_t size) {
  if (std::ssize(v) < size) v.resize(static_cast<size_t>(size + size / 2));
}

}  // namespace

// With single bytes, where there are few places within characters to pass over, the bytes are
// faster.
bool Unigram::by_characters(const uint8_t* text, ptrdiff_t size, bool valid) const {
  if (!valid || !single_bytes_) return valid;
  ptrdiff_t inside = 0;
  for (ptrdiff_t i = 0; i < size; ++i) inside += continues(text[i]) ? 1 : 0;
  return 4 * inside > size;
}

// ---- The first three characters of walks

// From a base over one character.
inline TrieUnit Unigram::over(uint32_t base, const uint8_t* at, uint32_t length) const {
  const TrieUnit* units = trie_.units();
  const uint32_t nowhere = trie_.nowhere();
  uint32_t value = 0;
  // Masks: compilers make a branch of a choice, which nobody could foresee.
  const auto step = [&](uint8_t byte) {
    const TrieUnit unit = units[base ^ byte];
    const uint32_t found = 0 - static_cast<uint32_t>((unit.link & 255) == byte);
    base = nowhere ^ ((nowhere ^ unit.link >> 8) & found);
    value = unit.value & found;
  };
  if (length == 3) {  // foreseen in what script a text is
    step(at[0]);
    step(at[1]);
    step(at[2]);
  } else {
    for (uint32_t k = 0; k < length; ++k) step(at[k]);
  }
  return {base << 8, value};
}

size_t Unigram::begin_walks(const uint8_t* text, ptrdiff_t end, size_t most, Walk* walks) const {
  size_t n = 0;
  for (ptrdiff_t i = end; i > 0 && n < most;) {
    const uint8_t lead = text[--i];
    if (continues(lead)) continue;
    const uint32_t length = length_of(lead);
    const TrieUnit one =
        of_three(lead) ? after_three(text + i) : over(trie_.root(), text + i, length);
    walks[n++] = {text + i, length, length, length, one, {0, 0}, {0, 0}};
  }
  return n;
}

void Unigram::follow_walks(std::span<Walk> walks) const {
  for (Walk& walk : walks) {
    const uint8_t* next = walk.at + walk.first;
    const uint32_t length = length_of(*next);
    walk.two = over(walk.one.link >> 8, next, length);
    walk.both += length;
#if defined(__GNUC__)
    __builtin_prefetch(score_.data() + (walk.one.value & kEntry));
    __builtin_prefetch(score_.data() + (walk.two.value & kEntry));
    __builtin_prefetch(trie_.units() + (walk.two.link >> 8 ^ next[length]));
#endif
  }
  for (Walk& walk : walks) {
    const uint8_t* next = walk.at + walk.both;
    const uint32_t length = length_of(*next);
    walk.three = over(walk.two.link >> 8, next, length);
    walk.all = walk.both + length;
#if defined(__GNUC__)
    __builtin_prefetch(score_.data() + (walk.three.value & kEntry));
    __builtin_prefetch(trie_.units() + (walk.three.link >> 8 ^ next[length]));
#endif
  }
}

// ---- The best path

template <bool kSingleBytes>
inline void Unigram::best_from(const Walk& walk, double* after, Edge* best) const {
  const TrieUnit* units = trie_.units();
  const double* scores = score_.data();
  double most = scores[walk.one.value & kEntry] + after[walk.first];
  uint32_t value = walk.one.value, length = walk.first;
  if constexpr (kSingleBytes) {
    for (uint32_t k = walk.first; k-- > 1;) {
      const uint32_t entry = one_byte(walk.at[k]);
      after[k] = scores[entry] + after[k + 1];
      best[k] = {static_cast<std::int32_t>(entry - 1), 1};
    }
    const uint32_t lead = one_byte(walk.at[0]);
    if (const double total = scores[lead] + after[1]; walk.first > 1 && total > most) {
      most = total;
      value = lead;
      length = 1;
    }
  }
  const auto contend = [&](uint32_t other, uint32_t bytes) {
    const double total = scores[other & kEntry] + after[bytes];
    // Masks: compilers make a branch of a choice, which nobody could foresee.
    const uint32_t better = 0 - static_cast<uint32_t>(total >= most);
    most = most > total ? most : total;
    value ^= (value ^ other) & better;
    length ^= (length ^ bytes) & better;
  };
  contend(walk.two.value, walk.both);
  contend(walk.three.value, walk.all);
  uint32_t base = walk.three.link >> 8;
  for (uint32_t k = walk.all;; ++k) {
    const TrieUnit unit = units[base ^ walk.at[k]];
    if ((unit.link & 255) != walk.at[k]) break;
    contend(unit.value, k + 1);
    base = unit.link >> 8;
  }
  *best = {static_cast<std::int32_t>((value & kEntry) - 1), length};
  if (unknown_edges_ && (walk.one.value & kOneUnit) == 0) {
    const double total = unknown_score_ + after[walk.first];
    if (total > most) {
      most = total;
      *best = {-1, walk.first};
    }
  }
  *after = most;
}

template <bool kSingleBytes>
double Unigram::best_characters(const uint8_t* text, ptrdiff_t size, Best& out) const {
  Walk walks[kWalks];
  unsigned batches = 0;
  for (ptrdiff_t end = size; end > 0;) {
    if ((++batches & 0x3FF) == 0) poll_interrupt();
    const size_t n = begin_walks(text, end, kWalks, walks);
    follow_walks({walks, n});
    for (const Walk& walk : std::span(walks, n)) {
      const ptrdiff_t i = walk.at - text;
      best_from<kSingleBytes>(walk, out.score.data() + i, out.edge.data() + i);
    }
    end = walks[n - 1].at - text;
  }
  return out.score[0];
}

void Unigram::prepare(ptrdiff_t size, Best& out) const {
  const ptrdiff_t beyond = std::max(longest(), kThreeCharacters);
  grow(out.score, size + 1 + beyond);
  grow(out.edge, size + 1);
  out.score[static_cast<size_t>(size)] = 0;
  std::fill_n(out.score.data() + size + 1, beyond, -kInf);
}

double Unigram::best(const uint8_t* text, ptrdiff_t size, bool valid, Best& out) const {
  prepare(size, out);
  if (!by_characters(text, size, valid)) return best_bytes(text, size, out);
  return single_bytes_ ? best_characters<true>(text, size, out)
                       : best_characters<false>(text, size, out);
}

// ---- Sums

// False once B leaves its range. Terms are added in the order of the lengths of their pieces.
template <bool kSingleBytes>
inline bool Unigram::sum_from(const Walk& walk, const Weights& weights, double* here) const {
  const TrieUnit* units = trie_.units();
  const double* weight = weights.weight.data();
  double total = weight[walk.one.value & kEntry] * here[walk.first];
  bool fits = true;
  if constexpr (kSingleBytes) {
    for (uint32_t k = walk.first; k-- > 1;) {
      here[k] = weight[one_byte(walk.at[k])] * here[k + 1];
      fits &= fits_range(here[k]);
    }
    if (walk.first > 1) total += weight[one_byte(walk.at[0])] * here[1];
  } else {
    std::fill_n(here + 1, walk.first - 1, 0.0);
  }
  total += weight[walk.two.value & kEntry] * here[walk.both];
  total += weight[walk.three.value & kEntry] * here[walk.all];
  uint32_t base = walk.three.link >> 8;
  for (uint32_t k = walk.all;; ++k) {
    const TrieUnit unit = units[base ^ walk.at[k]];
    if ((unit.link & 255) != walk.at[k]) break;
    total += weight[unit.value & kEntry] * here[k + 1];
    base = unit.link >> 8;
  }
  if (unknown_edges_ && (walk.one.value & kOneUnit) == 0) {
    total += weights.unknown[walk.first] * here[walk.first];
  }
  *here = total;
  return fits && fits_range(total);
}

template <bool kSingleBytes>
bool Unigram::sum_characters(const uint8_t* text, ptrdiff_t size, const Weights& weights,
                             Sums& out) const {
  Walk walks[kWalks];
  unsigned batches = 0;
  for (ptrdiff_t end = size; end > 0;) {
    if ((++batches & 0x3FF) == 0) poll_interrupt();
    const size_t n = begin_walks(text, end, kWalks, walks);
    follow_walks({walks, n});
    for (const Walk& walk : std::span(walks, n)) {
      if (!sum_from<kSingleBytes>(walk, weights, out.value.data() + (walk.at - text))) return false;
    }
    end = walks[n - 1].at - text;
  }
  return true;
}

// Each place with an exponent of its own.
void Unigram::sum_scaled(const uint8_t* text, ptrdiff_t size, const Weights& weights,
                         Sums& out) const {
  grow(out.exponent, size + 1 + longest());
  double *value = out.value.data(), *exponent = out.exponent.data();
  std::fill_n(exponent + size, longest() + 1, 0.0);
  for (ptrdiff_t i = size - 1; i >= 0; --i) {
    if ((i & 0xFFF) == 0xFFF) poll_interrupt();
    double total = 0, scale = exponent[i + 1];
    edges(text, size, i, [&](Edge edge) {
      const ptrdiff_t j = i + edge.length;
      const double term = weight_of(weights, edge) * value[j];
      if (term == 0) return;
      const double above = exponent[j] + exponent_of(weights, edge) - scale;
      if (above > 0 || total == 0) {
        total = total * power(-above) + term;
        scale += above;
      } else {
        total += term * power(above);
      }
    });
    for (; total > 0x1p128; scale += kScaleStep) total *= 0x1p-256;
    for (; total > 0 && total < 0x1p-128; scale -= kScaleStep) total *= 0x1p256;
    value[i] = total;
    exponent[i] = scale;
  }
}

void Unigram::prepare(ptrdiff_t size, const Weights& weights, Sums& out) const {
  const ptrdiff_t beyond = std::max(longest(), kThreeCharacters);
  grow(out.value, size + 1 + beyond);
  out.value[static_cast<size_t>(size)] = 1;
  std::fill_n(out.value.data() + size + 1, beyond, 0.0);
  out.scaled = !weights.exponent.empty();
  out.chosen = false;
}

bool Unigram::sum(const uint8_t* text, ptrdiff_t size, bool valid, const Weights& weights,
                  Sums& out) const {
  prepare(size, weights, out);
  if (!out.scaled) {
    const bool by_bytes = !by_characters(text, size, valid);
    const bool fits = by_bytes        ? sum_bytes(text, size, weights, out)
                      : single_bytes_ ? sum_characters<true>(text, size, weights, out)
                                      : sum_characters<false>(text, size, weights, out);
    out.scaled = !fits;
    out.chosen = fits && by_bytes;
  }
  if (out.scaled) sum_scaled(text, size, weights, out);
  return out.value[0] > 0;
}

double Unigram::log_partition(const Sums& sums, const Weights& weights, ptrdiff_t size) {
  int bits = 0;
  const double mantissa = std::frexp(sums.value[0], &bits);
  const double scale = sums.scaled ? sums.exponent[0] : 0;
  return std::log(2 * mantissa) +
         (scale + bits - 1 - weights.tilt * static_cast<double>(size)) * kLog2;
}

double Unigram::scale_of(const Sums& sums, const Weights& weights, ptrdiff_t i, Edge edge) {
  if (!sums.scaled) return 1;
  const auto from = static_cast<size_t>(i), to = static_cast<size_t>(i) + edge.length;
  const double above = sums.exponent[to] + exponent_of(weights, edge) - sums.exponent[from];
  return power(std::min(above, kScaleStep));
}

double Unigram::chance(const Sums& sums, const Weights& weights, ptrdiff_t i, Edge edge) {
  const auto from = static_cast<size_t>(i), to = static_cast<size_t>(i) + edge.length;
  return weight_of(weights, edge) * sums.value[to] * scale_of(sums, weights, i, edge) /
         sums.value[from];
}

// ---- Reachability

ptrdiff_t Unigram::reach(const uint8_t* text, ptrdiff_t size) const {
  std::vector<bool> reached(static_cast<size_t>(size) + 1, false);
  reached[0] = true;
  ptrdiff_t last = 0;
  for (ptrdiff_t i = 0; i < size; ++i) {
    if (!reached[static_cast<size_t>(i)]) continue;
    last = i;
    edges(text, size, i, [&](Edge edge) { reached[static_cast<size_t>(i) + edge.length] = true; });
  }
  return reached[static_cast<size_t>(size)] ? size : last;
}

}  // namespace kexue::lattice
