// The cheapest assignment of n rows to n of m >= n columns, a column at most once.
//
//   minimise sum_i C[i, x_i]  =  maximise sum u_i + sum v_j over u_i + v_j <= C_ij
//   (v_j <= 0, and 0 where the column stays free, if m > n)
//
// Square: prices by auction (auction.hpp) first. Then, in double, rows take their best columns,
// rows that lost theirs bid without eps (Jonker and Volgenant 1987, augmenting row reduction), and
// the rest is settled by shortest augmenting paths (Dijkstra on reduced costs, dense, one vector
// scan per column reached). Exact: every step keeps u and v feasible and the assigned arcs tight.
//
// Costs finite or +inf (a forbidden pair). O(n^2 m) in the worst case, memory 4 n m bytes for the
// auction and O(n + m). One thread but for the scaling of the costs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kexue/core/views.hpp"

namespace kexue::transport {

struct AssignmentResult {
  std::vector<std::int64_t> column;  // of each row
  std::vector<double> v;
  double value = 0;
  std::int64_t augmentations = 0;
  // Rows that can only reach fewer columns than they are; empty if there is an assignment.
  std::vector<std::int64_t> stuck;
};

// n <= m; start: column potentials to start from (m, square problems only), or null.
AssignmentResult assign(MatrixView<const double> cost, const double* start, int workers);

}  // namespace kexue::transport
