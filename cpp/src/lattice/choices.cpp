#include "choices.hpp"

#include "word_cache.hpp"

namespace kexue::lattice {

using std::ptrdiff_t;
using std::size_t;
using std::uint32_t;
using std::uint64_t;
using std::uint8_t;

namespace {

// The least m with m 2^-53 total >= sum as the sampler rounds it; ChoiceBounds::kNone if none is.
uint64_t bound_of(double sum, double total) {
  constexpr uint64_t kNone = ChoiceBounds::kNone;
  const auto reaches = [&](uint64_t m) { return static_cast<double>(m) * 0x1p-53 * total >= sum; };
  auto bound = static_cast<uint64_t>(std::min(1.0, sum / total) * 0x1p53);
  while (bound > 0 && reaches(bound - 1)) --bound;
  while (bound < kNone && !reaches(bound)) ++bound;
  return bound;
}

}  // namespace

bool tabulate(const Unigram& model, const Weights& weights, const Sums& sums, const uint8_t* text,
              ptrdiff_t size, std::vector<uint32_t>& first, Choices& blocks) {
  if (sums.scaled) return false;
  constexpr uint32_t kNone = ~0U;
  first.assign(static_cast<size_t>(size) + 1, kNone);
  // From the right to the left, so that the blocks an edge leads to are known; block b continues in
  // block b - 1.
  blocks.clear();
  bool fits = true;
  first[static_cast<size_t>(size)] = 0;
  for (ptrdiff_t i = size - 1; i >= 0; --i) {
    const double total = sums.value[static_cast<size_t>(i)];
    if (total == 0) continue;
    constexpr int kEdges = Choice::kEdges;
    Choice choice[WordKey::kLongest / kEdges + 1] = {};
    ChoiceBounds bounds[WordKey::kLongest / kEdges + 1];
    int n = 0;
    double sum = 0;
    model.edges(text, size, i, [&](Edge edge) {
      const size_t end = static_cast<size_t>(i) + edge.length;
      const double term = Unigram::weight_of(weights, edge) * sums.value[end];
      if (term == 0) return;
      sum += term;
      fits = fits && edge.piece >= 0 && edge.piece < 1 << kPieceBits;
      bounds[n / kEdges].bound[n % kEdges] = bound_of(sum, total);
      choice[n / kEdges].link[n % kEdges] =
          first[end] << kPieceBits | (static_cast<uint32_t>(edge.piece) & ((1U << kPieceBits) - 1));
      ++n;
    });
    for (int b = (n - 1) / kEdges; b >= 0; --b) {
      choice[b].highest = bounds[b].highest();
      blocks.block.push_back(choice[b]);
      blocks.bounds.push_back(bounds[b]);
    }
    first[static_cast<size_t>(i)] = static_cast<uint32_t>(blocks.size());
  }
  return fits && blocks.size() < kMostBlocks;
}

}  // namespace kexue::lattice
