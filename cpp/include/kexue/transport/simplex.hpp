// Exact transport by the transportation simplex.
//
//   minimise sum P_ij C_ij over P >= 0 with P 1 = a, P^T 1 = b
//
// 1. prices and shipments by auction (auction.hpp), 2. candidate arcs and a basis near the
// shipments (start.hpp), 3. pivots on candidates, the best of a block each time, 4. a pass over all
// arcs, whose violated ones become candidates, until there is none: that pass is the certificate.
// Pivots cost a walk along a cycle and over the smaller side of a cut (tree.hpp); perturbed integer
// flows end degenerate problems.
//
// Costs are finite or +inf; forbidden arcs of the first basis carry a cost that grows until none
// has flow, or the pattern is found infeasible. Any scale of costs up to 1e300; tolerances are
// relative to the potentials and costs of the basis. Memory: 4 n m bytes and O(n + m + candidates).
// Worst case exponential, as for every simplex; in practice about 3 (n + m) pivots. Results do not
// depend on the workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kexue/core/views.hpp"

namespace kexue::transport {

struct SimplexOptions {
  // On reduced costs, relative to the largest potential or cost of the basis, at most to `scale`.
  double tolerance;
  double scale;       // largest finite |C_ij|
  double negligible;  // share of the mass that may stay on forbidden arcs
  std::int64_t max_pivots;
  const double* start = nullptr;  // column potentials to start from (m), or null
  int workers = 0;
};

struct SimplexResult {
  std::vector<std::int64_t> rows, cols;  // of arcs with flow, sorted by row
  std::vector<double> mass;
  std::vector<double> v;  // column potentials; the row's are their transform
  double value = 0;
  double marginal_error = 0;
  double forbidden_mass = 0;  // on forbidden arcs: above negligible, there is no plan
  std::int64_t pivots = 0, passes = 0;
  bool optimal = false;
};

// Masses positive, of equal sums.
SimplexResult solve(MatrixView<const double> cost, const double* a, const double* b,
                    const SimplexOptions& options);

}  // namespace kexue::transport
