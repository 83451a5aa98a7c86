// The sweeps over segments whose pieces may begin and end within characters, or that are no UTF-8.
//
// As in the sweeps over characters, the first steps of the walks from a block of places are made
// without a branch, all first steps, then all second ones: their waits for memory overlap, and
// where a walk ends, which nobody can foresee, costs nothing within the first kSteps bytes. Places
// come in blocks that begin at multiples of kBlock, so that a block can be made again alone.
#include <algorithm>
#include <bit>

#include "kexue/core/pool.hpp"
#include "kexue/lattice/unigram.hpp"

namespace kexue::lattice {

namespace {

using std::int32_t;
using std::ptrdiff_t;
using std::size_t;
using std::uint32_t;
using std::uint8_t;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr ptrdiff_t kSteps = ByteChoice::kSteps;
constexpr ptrdiff_t kBlock = 32;
constexpr ptrdiff_t kPoll = 1 << 14;  // bytes, a multiple of kBlock
static_assert(Sums::kWindow % kBlock == 0);

}  // namespace

struct Unigram::ByteWalks {
  uint32_t value[kSteps][kBlock];  // of the piece that ends there, 0 if none does
  uint32_t base[kBlock];           // where the walk stands after kSteps bytes
};

void Unigram::walk_bytes(const uint8_t* text, ptrdiff_t n, ByteWalks& walks) const {
  const TrieUnit* units = trie_.units();
  const uint32_t nowhere = trie_.nowhere();
  std::fill_n(walks.base, n, trie_.root());
  for (ptrdiff_t k = 0; k < kSteps; ++k) {
    for (ptrdiff_t j = 0; j < n; ++j) {
      const uint8_t byte = text[j + k];
      const TrieUnit unit = units[walks.base[j] ^ byte];
      // Masks: compilers make a branch of a choice.
      const uint32_t found = 0 - static_cast<uint32_t>((unit.link & 255) == byte);
      walks.base[j] = nowhere ^ ((nowhere ^ unit.link >> 8) & found);
      walks.value[k][j] = unit.value & found;
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
    for (ptrdiff_t k = 0; k < kSteps; ++k) contend(walks.value[k][j], static_cast<uint32_t>(k + 1));
    uint32_t base = walks.base[j];
    for (uint32_t k = kSteps; base != trie_.nowhere(); ++k) {
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
  for (ptrdiff_t j = n; j-- > 0;) {
    const uint8_t* at = text + begin + j;
    double* const here = value + begin + j;
    ByteChoice& choice = choices[j];
    double total = 0;
    uint32_t seen = 0;
    for (ptrdiff_t k = 0; k < kSteps; ++k) {
      const uint32_t entry = walks.value[k][j];
      total += weight[entry & kEntry] * here[k + 1];
      choice.sum[k] = total;
      choice.piece[k] = static_cast<int32_t>((entry & kEntry) - 1);
      seen |= entry;
    }
    uint32_t base = walks.base[j];
    for (ptrdiff_t k = kSteps; base != nowhere; ++k) {
      const TrieUnit unit = units[base ^ at[k]];
      if ((unit.link & 255) != at[k]) break;
      total += weight[unit.value & kEntry] * here[k + 1];
      base = unit.link >> 8;
    }
    if (unknown_edges_ && (seen & kOneUnit) == 0) {
      const uint32_t unit = unit_length(at, size - begin - j);
      total += weights.unknown[unit] * here[unit];
    }
    *here = total;
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
