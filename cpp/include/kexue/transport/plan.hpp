// A plan held as factors: its entries, products, rounding and what it proves about the exact cost.
//
//   P_ij = left_i exp((base_f_i + base_g_j - C_ij) / reg) right_j
//
// Every function takes the kernel that the factors hold or recomputes it in blocks of rows, with
// the rounding of the solver, so that marginals are those the solver reported. O(n m) exponentials
// at most, O(n + m) memory beside the output.
#pragma once

#include "kexue/transport/sinkhorn.hpp"

namespace kexue::transport {

// out (n, m), contiguous rows
void plan_entries(const Costs& costs, const Factors& factors, MatrixView<double> out, int workers);
// out (n, k) = P v for v (m, k); all rows contiguous
void plan_apply(const Costs& costs, const Factors& factors, MatrixView<const double> v,
                MatrixView<double> out, int workers);
// out (m, k) = P^T v for v (n, k)
void plan_apply_transpose(const Costs& costs, const Factors& factors, MatrixView<const double> v,
                          MatrixView<double> out, int workers);

// out (n, d): the derivative of <C, P> with respect to the points x, P held fixed.
void plan_point_gradient(const Costs& costs, const Factors& factors, MatrixView<double> out,
                         int workers);

struct PlanBracket {
  double lower, upper;
};
// Bounds on the least <C, Q> over plans Q with marginals a and b. Below: the potentials' dual value
// after two c-transforms, less its rounding. Above: P rounded onto the marginals (Altschuler, Weed
// & Rigollet 2017), +inf if that needs a forbidden arc. Four passes over the costs.
PlanBracket plan_bracket(const Costs& costs, const Factors& factors, const double* a,
                         const double* b, int workers);

}  // namespace kexue::transport
