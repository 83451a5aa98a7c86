// Rounding onto the transport polytope (Altschuler, Weed, Rigollet, NeurIPS 2017, Algorithm 2).
//
// Rows that hold more than a_i are scaled down to it, then columns that hold more than b_j; what is
// missing, r = a - P 1 and c = b - P^T 1, is added as r c^T / |r|_1. The result has the marginals a
// and b up to rounding and lies within 2 (|P 1 - a|_1 + |P^T 1 - b|_1) of P. Masses have equal
// sums. O(n m) on the pool, sums in double and in an order that does not depend on the workers.
#pragma once

#include "kexue/core/views.hpp"

namespace kexue::transport {

// plan: contiguous rows, finite, >= 0; out: contiguous, plan.rows x plan.cols, may be plan's
// memory.
template <class T>
void round_plan(MatrixView<const T> plan, const double* a, const double* b, T* out, int workers);

}  // namespace kexue::transport
