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

#include "kexue/core/views.hpp"

namespace kexue::transport {

struct AuctionOptions {
  float first_step = 0.25f;  // relative to the range of the costs
  float last_step = 1e-5f;
  float factor = 5.0f;
  double unplaced = 0.02;     // share of the mass that may stay unplaced
  double bids_per_row = 100;  // of a phase, at most
};

// cost: contiguous rows, least entry of a row 0, largest finite entry at most 1, or +inf; masses
// positive. v (m): the prices to start from, then those found. Returns the number of bids.
std::ptrdiff_t auction(MatrixView<const float> cost, const double* a, const double* b,
                       const AuctionOptions& options, float* v);

}  // namespace kexue::transport
