// What makes dual potentials a bound on the least transport cost.
//
//   min { <C, P> : P >= 0, P 1 = a, P^T 1 = b }  =  max { <a, f> + <b, g> : f_i + g_j <= C_ij }
//
// Any g with its c-transform f_i = min_j (C_ij - g_j) is feasible on the right, so <a, f> + <b, g>
// is a lower bound whatever g is. Costs are finite or +inf (a forbidden arc); a row without a
// finite cost has transform +inf. O(n m) on the pool; minima do not depend on the workers.
#pragma once

#include <cstddef>

#include "kexue/core/views.hpp"

namespace kexue::transport {

// f_i = min_j (C_ij - g_j); C has contiguous rows.
void row_transform(MatrixView<const double> cost, const double* g, double* f, int workers);
// g_j = min_i (C_ij - f_i)
void column_transform(MatrixView<const double> cost, const double* f, double* g, int workers);

// sum x_i y_i, where x_i = 0 counts as 0 whatever y_i is.
struct Sum {
  double value;
  // At least the error of `value` plus sum |x_i y_i| 2^-52: what the rounding of the y_i, one unit
  // in the last place each, and of the sum can change.
  double slack;
};
Sum weighted_sum(const double* x, const double* y, std::ptrdiff_t n);

}  // namespace kexue::transport
