// Projection onto the doubly stochastic matrices (Birkhoff polytope):
//
//   minimise |P - X|_F^2 / 2   subject to   P >= 0,  P 1 = 1,  P' 1 = 1
//
// P = (X + a 1' + 1 b')_+, where (a, b) minimise the convex  phi = |P|_F^2 / 2 - sum a - sum b. Its
// gradient is the error of the marginals, its generalised Hessian that of a bipartite graph, the
// pattern of positive entries: [diag(row counts) M; M' diag(column counts)]. Semi-smooth Newton
// steps by conjugate gradients on the pattern, with Armijo's rule (Li, Sun & Toh 2020).
#pragma once

#include <cstddef>

#include "kexue/core/views.hpp"

namespace kexue::simplex {

// gap: |P' - X|^2 / 2 of the repaired P' (exact marginals, by scaling rows and columns down and a
// rank-one addition) less the dual value, summed from terms of one sign:
//   gap = sum over P_ij = 0 of -(X_ij + a_i + b_j) E_ij + |E|^2 / 2,   E = P' - P
// error_bound = |E| + sqrt(2 gap) bounds |P - projection|, because the objective is strongly
// convex.
struct BirkhoffReport {
  double gap;
  double error_bound;
  double marginal_error;
  std::ptrdiff_t n_iter;
};

// x (n x n, contiguous, finite), p likewise; potentials = (a, b), 2 n. Stops at a largest error of
// a marginal of tol min(64, max(1, max |x|)), however large x is. Without `certify` gap and
// error_bound are NaN.
template <class T>
BirkhoffReport project_birkhoff(const T* x, std::ptrdiff_t n, double tol, std::ptrdiff_t max_iter,
                                bool certify, T* p, double* potentials);

// Every row of x is a matrix; report has four columns: gap, error_bound, marginal_error, n_iter.
template <class T>
void project_birkhoff_batch(MatrixView<const T> x, std::ptrdiff_t n, double tol,
                            std::ptrdiff_t max_iter, bool certify, MatrixView<T> p,
                            MatrixView<double> potentials, MatrixView<double> report, int workers);

}  // namespace kexue::simplex
