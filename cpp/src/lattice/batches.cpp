#include "batches.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace kexue::lattice {

using std::ptrdiff_t;
using std::size_t;

Tokens gather(std::vector<Part>& parts, std::span<const Piece> pieces) {
  // More than one worker copies only what is worth waking one.
  constexpr ptrdiff_t kManyIds = 1 << 16;
  Tokens all;
  ptrdiff_t n_ids = 0;
  size_t n_rows = 0, n_counts = 0;
  for (const Part& part : parts) {
    const Fault& fault = part.tokens.fault;
    const bool earlier = all.fault.kind == TextFault::kNone || fault.text < all.fault.text;
    if (fault.kind != TextFault::kNone && earlier) all.fault = fault;
    n_ids += part.tokens.ids.size();
    n_rows += part.tokens.offsets.size() - 1;
    n_counts += part.tokens.counts.size();
  }
  if (all.fault.kind != TextFault::kNone) return all;
  if (parts.size() == 1) return std::move(parts[0].tokens);
  std::int32_t* const ids = all.ids.room(n_ids);
  all.ids.close(ids + n_ids);
  all.offsets.resize(n_rows + 1);
  const bool scored = std::any_of(parts.begin(), parts.end(),
                                  [](const Part& part) { return !part.tokens.scores.empty(); });
  all.scores.resize(scored ? n_rows : 0);
  all.counts.resize(n_counts);
  const auto copy = [&](ptrdiff_t number, int) {
    const auto p = static_cast<size_t>(number);
    const Tokens& part = parts[p].tokens;
    Piece to;
    for (const Piece& from : pieces) {
      if (from.part == p) {
        std::copy_n(part.ids.data() + from.id, from.n_ids, ids + to.id);
        const Index* const offset = part.offsets.data() + from.row + 1;
        for (size_t r = 0; r < from.n_rows; ++r) {
          all.offsets[to.row + r + 1] = offset[r] + to.id - from.id;
        }
        if (scored) std::copy_n(part.scores.data() + from.row, from.n_rows, &all.scores[to.row]);
        std::copy_n(part.counts.data() + from.count, from.n_counts, all.counts.data() + to.count);
      }
      to.id += from.n_ids;
      to.row += from.n_rows;
      to.count += from.n_counts;
    }
  };
  parallel_for(std::ssize(parts), copy, n_ids < kManyIds ? 1 : static_cast<int>(parts.size()));
  // In this order the next call's workers get the memory they have now.
  while (!parts.empty()) parts.pop_back();
  return all;
}

}  // namespace kexue::lattice
