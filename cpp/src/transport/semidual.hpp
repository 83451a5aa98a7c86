// The dual of entropic transport as a function of g alone, with f the best one for it, and the plan
// that belongs to it: what the steps of sinkhorn.cpp climb on.
//
//   P_ij = a_i u_i K_ij b_j v_j,  K_ij = exp((f_i + g_j - C_ij) / reg),  s = K (b v),  t = K^T (a
//   u)
//
// with f and g the absorbed potentials. c_j = v_j t_j is the plan's column sum over b_j and tau_j
// the one that the potentials ask for, 1 if balanced.
#pragma once

#include "gibbs.hpp"
#include "kexue/transport/sinkhorn.hpp"

namespace kexue::transport {

struct Semidual {
  using Buffer = AlignedBuffer<double>;
  // Bounds of |log u| and |log v|: entries flushed to zero, below e^-87 and e^-708, then weigh at
  // most e^-27 and e^-108 of their share.
  static constexpr double kSingleReach = 30, kDoubleReach = 300;

  Semidual(const Costs& costs, const SinkhornOptions& o);

  // u, t, c, tau and the error that belong to v; roughly if `coarse` and the kernel can. Balanced
  // rows are over-relaxed by omega, and exact for 1.
  void evaluate(bool coarse = false, double omega = 1);
  // The marginal that the potentials ask for, relative to b.
  void set_targets();
  bool balanced_rows() const { return options.rho_rows == kBalanced; }
  bool balanced_cols() const { return options.rho_cols == kBalanced; }
  void log_of(const Buffer& from, std::ptrdiff_t size);
  // The dual, divided by reg, up to what does not depend on v.
  double dual();

  bool broken() const;
  bool stretched() const;
  // f and g of u, v and the shift.
  void collect();
  // The shift of f against g that is best for the two marginals, which the plan does not see
  // (Sejourne, Vialard & Peyre 2022). u follows at the next evaluation.
  void translate();
  // Rows and columns without mass are left out of the kernel.
  void absorb(double at);
  void harden(const double* from);
  void check_arcs();
  static const char* no_arc() { return " has mass but every arc to other mass is forbidden"; }
  // True when the sums are sound.
  bool settle();

  SinkhornSolution answer();
  // What f and g would be where there is no mass.
  void extend_rows();
  void extend_cols();
  double row_error() const;
  // log(P_ij / (a_i b_j)) = (f_i + g_j - C_ij) / reg turns KL into sums over rows and columns.
  void energies(SinkhornSolution& out) const;

  SinkhornOptions options;
  std::ptrdiff_t n, m, padded;
  double reach;
  Gibbs kernel;
  Buffer a, f, u, s, d, logs;
  Buffer b, g, v, w, t, c, tau, next_v, r, x, p, q;
  double shift = 0;  // f + shift and g - shift are meant where rho is finite
  double reg = 0, error = 0, mass = 0, tol = 0;
  bool moderate = false;  // no mass beyond 1e-12..1e12
  std::ptrdiff_t passes = 0, builds = 0, rescues = 0;
};

// (1 - e^{-k x}) / k, which is x for k = 0.
double softened(double x, double k);
double sum_of(const double* x, std::ptrdiff_t n);

}  // namespace kexue::transport
