// Transport on the line: sum P_ij |x_i - y_j|^p, p >= 1, or max |x_i - y_j| over P_ij > 0 (p =
// inf).
//
// The monotone plan, which sorts both sides and ships from left to right, is optimal for every
// convex cost (Santambrogio 2015, section 2.2), for p = inf too. Its staircase of cells is a basis:
// walking along it with f_i + g_j = c_ij gives potentials that are feasible everywhere, because the
// cost has the Monge property. O((n + m) log) by comparison, O(n + m) by radix sort (sorting.hpp).
// Points are finite, masses finite, >= 0, of equal positive sums. Sums are compensated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kexue/core/views.hpp"

namespace kexue::transport {

// Points of one side, one problem a row; masses: one row each, one row for all (row_stride 0), or
// uniform of sum 1 (data null).
struct LineSide {
  MatrixView<const double> points;
  MatrixView<const double> masses;
};

// cost[k] for every row k of both sides.
void line_costs(const LineSide& x, const LineSide& y, double p, double* cost, int workers);

struct LinePlan {
  std::vector<std::int64_t> rows, cols;  // in the order of the points
  std::vector<double> mass, f, g;
  double value = 0;
  // The potentials of exact arithmetic, which are feasible, have a dual value that is at most
  // `drift` below that of f and g; costs are right to the relative error `cost_error`.
  double drift = 0, cost_error = 0;
};
// One problem, p finite; masses given.
LinePlan line_plan(const LineSide& x, const LineSide& y, double p);

}  // namespace kexue::transport
