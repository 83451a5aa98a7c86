// Entropic optimal transport, balanced and unbalanced.
//
//   minimise over P >= 0   <C, P> + reg KL(P | a b^T) + rho1 KL(P 1 | a) + rho2 KL(P^T 1 | b),
//   KL(p | q) = sum p log(p / q) - p + q;   rho = infinity asks for the marginal itself.
//
// The solution is P_ij = a_i b_j exp((f_i + g_j - C_ij) / reg). Potentials are relative to a b^T,
// so that masses of any size, zero included, need no special case. f is the best one for the
// current g at all times: rows are exact, and the error is that of the columns.
//
// Algorithm. Sinkhorn's iteration on the absorbed kernel (Cuturi 2013; Schmitzer 2019), of which
// one pass (src/transport/gibbs.hpp) is one iteration. As soon as the observed rate promises more
// passes than a dozen, Newton's method on the concave dual in g takes over: the Hessian's product
// is the same pass with another rule for the rows, its system is solved by conjugate gradients,
// preconditioned by the column sums, to the accuracy that the step deserves (Brauer et al. 2017),
// and a step is taken only if the dual grows or the error falls. Small reg is reached by halving it
// from a twentieth of the width of the reduced costs; potentials are extrapolated linearly in reg
// from one level to the next (Schmitzer 2019 scales without extrapolating). Measured, two Gaussian
// clouds of 1000 points, passes to 1e-9: reg/range 1e-2: 34 (Sinkhorn 62); 1e-3: 113 (650); 1e-4:
// 440; 1e-5: 1700, where Sinkhorn's error stays above 1e-1.
// Small problems of moderate costs are over-relaxed in the nearest caches (kernels/sinkhorn_short).
//
// Guarantees: `error` is the L1 error of the plan that plan.hpp rebuilds; what a kernel held in
// float32 leaves out is below 2e-12 of the mass; no NaN, and no zero column or row with mass:
// where a sum underflows the potentials start again from hard c-transforms. +inf is a forbidden
// arc. Cost: one pass reads n m entries of 4 or 8 bytes; memory `stored_bytes` and O(n + m).
#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <vector>

#include "kexue/core/buffer.hpp"
#include "kexue/transport/cost.hpp"

namespace kexue::transport {

inline constexpr double kBalanced = std::numeric_limits<double>::infinity();

struct SinkhornOptions {
  double reg = 0;
  double rho_rows = kBalanced, rho_cols = kBalanced;
  double tol = 1e-9;                   // of the L1 error
  std::ptrdiff_t max_passes = 50'000;  // over the kernel
  bool single = false;                 // K in float32
  std::ptrdiff_t stored_bytes = std::numeric_limits<std::ptrdiff_t>::max();
  // At least every |C_ij|; a finite one says that all are finite, and saves a look at them.
  double largest_cost = std::numeric_limits<double>::infinity();
  int workers = 0;
  bool keeps_kernel = false;  // with the solution, if it is small; the solver then solves no more
};

// P_ij = left_i exp((base_f_i + base_g_j - C_ij) / reg) right_j, rebuilt with the same rounding
// where `kernel` does not hold the exponentials.
struct Factors {
  double reg = 0;
  bool single = false;
  std::vector<double> base_f, base_g, left, right;
  std::shared_ptr<const AlignedBuffer<char>> kernel;  // rows as the solver stores them
};

struct SinkhornSolution {
  Factors plan;
  std::vector<double> f, g;
  double value = 0;      // <C, P>
  double objective = 0;  // of P
  double dual = 0;       // of f and g
  double error = 0;
  std::ptrdiff_t passes = 0, builds = 0;
  bool converged = false;
};

class Sinkhorn {
 public:
  Sinkhorn(const Costs& costs, const SinkhornOptions& options);
  ~Sinkhorn();
  Sinkhorn(const Sinkhorn&) = delete;
  Sinkhorn& operator=(const Sinkhorn&) = delete;

  // Masses >= 0 of equal sums if balanced. init_f, init_g null or a start. May be called again with
  // other costs of the same shape and kind. Throws numerical_error if a row or a column has mass
  // but no arc that ends in mass.
  SinkhornSolution solve(const Costs& costs, const double* a, const double* b,
                         const double* init_f = nullptr, const double* init_g = nullptr);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kexue::transport
