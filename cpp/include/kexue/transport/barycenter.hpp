// Entropic barycenters on a common support.
//
//   minimise over p and P_k >= 0, P_k 1 = a_k, P_k^T 1 = p:
//     sum_k w_k (<C, P_k> + reg sum P_k (log P_k - 1))          (Benamou et al. 2015)
//
// P_k = diag(u_k) K diag(v_k) with prod_k v_k^{w_k} = 1. Iterative Bregman projections on one
// absorbed kernel for each histogram, so that no reg underflows; once their rate is slow, Newton's
// method on the dual in v under the constraint, by projected conjugate gradients (Gould, Hribar &
// Nocedal 2001) on the same passes. Small reg is reached by halving, as in sinkhorn.hpp.
//
// Debiased (Janati, Cuturi & Gramfort 2020): less half the entropic cost of p onto itself, which
// removes the blur of width sqrt(reg); C must be symmetric. Projections only: the problem in all
// variables is not concave.
//
// Cost: a pass reads K n m entries, memory 4 or 8 bytes for each.
#pragma once

#include "kexue/transport/sinkhorn.hpp"

namespace kexue::transport {

struct BarycenterSolution {
  std::vector<double> histogram;  // (m): the mean of the plans' column sums
  std::vector<double> f, g;       // (K, n) and (K, m): P_k = a_k exp((f_k + g_k - C) / reg)
  double error = 0;               // the largest L1 distance of a plan's column sums from it
  std::ptrdiff_t passes = 0;      // over all kernels
  bool converged = false;
};

// masses (count, n), each row of one sum; weights (count) of sum 1, none negative. Reads reg, tol,
// max_passes, single and workers of the options.
BarycenterSolution barycenter(const Costs& costs, MatrixView<const double> masses,
                              const double* weights, bool debiased, const SinkhornOptions& options);

}  // namespace kexue::transport
