// Maximum likelihood over all densities of order N on the circle, to the global optimum.
//
//   maximise  sum_j h_j log p(t_j) - smoothness * integral p'^2,   p = |B|^2 / 2,  ||b|| = 1
//   B(t) = sum_{k <= N} b_k e^{i pi k t}          (all non-negative polynomials: Fejer and Riesz)
//
// Newton's method: log |B|^2 is pluriharmonic in b, so only the mixed block of the Hessian is left,
// a Hankel matrix of the moments of h / conj(B)^2. Steps are damped by a shift until the matrix is
// positive definite and halved until the objective does not fall.
//
// Certificate: with the Toeplitz matrix T of the moments of h / |B|^2, every density p' of the
// order satisfies sum h log(p'/p) <= log lambda_max(T), and T b = b at the optimum. `gap` is
// log(1 + d) for the smallest d tried for which (1 + d) I - T has a Cholesky factor, with room for
// its rounding. With a penalty T loses smoothness times the Toeplitz matrix of its gradient.
//
// If the gap stays open, a Frank-Wolfe step mixes the top eigenvector's density in, a spectral
// factor is taken by the cepstrum and Newton goes on. 8 to 25 steps of O(G log N + N^3).
#pragma once

#include <complex>
#include <cstddef>
#include <span>
#include <vector>

namespace kexue::density {

using Coefficients = std::vector<std::complex<double>>;

struct FitOptions {
  double tol = 1e-10;     // on the gap, nats per sample
  double smoothness = 0;  // weight of the integral of p'^2 over the period
  int max_iter = 200;
  bool certify = true;
};

// Where the samples lie: at points t with weights w, or on cells by their moments (kMoments each,
// a power of two of at least grid_rows(order) * lanes cells).
struct Measure {
  std::span<const double> t, w;
  std::span<const double> moments;
};

struct FitResult {
  Coefficients b;
  double log_likelihood = 0;  // sum h log p
  double gap = 0;
  int iterations = 0;
  bool converged = false;
};

// Rows and lanes of the grid for an order; G = rows * lanes nodes.
std::ptrdiff_t grid_rows(std::ptrdiff_t order);
inline constexpr std::ptrdiff_t kFitLanes = 32, kPathLanes = 16;

// `start` (empty: the tapered characteristic function of h) may be of a lower order.
FitResult fit(const Measure& measure, std::ptrdiff_t order, std::ptrdiff_t lanes,
              const Coefficients& start, const FitOptions& options);

// sum h log p under the normalised coefficients b.
double log_likelihood(const Measure& measure, const Coefficients& b, std::ptrdiff_t lanes);

// All zeros of sum b_k z^k on or outside the unit circle, by Schur's and Cohn's recursion.
bool is_minimum_phase(const Coefficients& b);

}  // namespace kexue::density
