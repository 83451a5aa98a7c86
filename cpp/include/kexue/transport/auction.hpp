// Approximate dual prices by auction with eps-scaling, to start exact solvers from.
//
// Sources bid for the mass of sinks: a source takes mass at the sink j with the least c_ij - v_j
// and pays until its second best is as good, less eps; mass bought at a better price goes back to
// its former holder, who bids again. eps falls from a quarter of the range of costs by a constant
// factor, each time with the prices found before. A phase ends when all but a small share of the
// mass is placed: the last bids are the price wars, and exact solvers settle those faster.
//
// Bertsekas and Castanon, "The auction algorithm for the transportation problem", Ann. Oper. Res.
// 20 (1989). One thread, float32: prices need no more. What comes back is any finite v: a start,
// never an answer. O(bids m), memory O(n + m) beside the costs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kexue/core/views.hpp"

namespace kexue::transport {

struct AuctionOptions {
  float first_step = 0.1f;  // relative to the range of the costs
  float last_step = 1e-5f;
  float factor = 5.0f;
  // Share of the mass that the last phase may leave unplaced, and those before it. Half of it costs
  // the auction more than the simplex saves, twice of it triples the pivots (n = 2000 and 5000).
  double unplaced = 0.003;
  double unplaced_before = 0.005;
  double bids_per_row = 300;  // of a phase, at most
};

// Units of mass that a row sends to a column.
struct Shipment {
  std::int32_t row, col;
  std::int64_t units;
};

// cost: contiguous rows, least entry of a row 0, largest finite entry at most 1, or +inf; masses in
// positive units, of equal sums below 2^62. v (m): the prices to start from, then those found.
// Returns what the last phase placed: nothing twice, each within the masses.
std::vector<Shipment> auction(MatrixView<const float> cost, const std::int64_t* a,
                              const std::int64_t* b, const AuctionOptions& options, float* v);

}  // namespace kexue::transport
