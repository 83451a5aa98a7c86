// Maximum likelihood over all densities of order N on the circle, to the global optimum.
//
//   maximise  sum_j h_j log p(t_j) - smoothness * integral p'^2,   p = |B|^2 / 2,  ||b|| = 1
//   B(t) = sum_{k <= N} b_k e^{i pi k t}          (all non-negative polynomials: Fejer and Riesz)
//
// Newton's method: log |B|^2 is pluriharmonic in b, so only the mixed block of the Hessian is left,
// a Hankel matrix of the moments of h / conj(B)^2. Steps are damped by a shift until the matrix is
// positive definite and halved until the objective does not fall. From order 400 on they come from
// conjugate gradients with products by the transform, stopped where the curvature is not positive.
//
// Certificate: with the Toeplitz matrix T of the moments of h / r, every density p' of the order
// satisfies sum h log(p'/p) <= log lambda_max(T) + sum h log(r / |B|^2), for any r > 0; for r =
// |B|^2, T b = b at the optimum. r is larger by n epsilon, the weight of n epsilon of the uniform
// density: that costs no more than n epsilon and holds what the rounding of b leaves undetermined
// where p vanishes. `gap` is this bound with log(1 + d), for the smallest d tried for which
// (1 + d) I - T has a Cholesky factor, with room for its rounding. With a penalty T loses
// smoothness times the Toeplitz matrix of its gradient.
//
// If the gap stays open, a Frank-Wolfe step mixes the top eigenvector's density in, a spectral
// factor is taken by the cepstrum and Newton goes on. 8 to 25 steps of O(n N + N^3) for n points; a
// fit without a start takes most of them on an eighth of the cells, and the last ones on all.
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

// Where the samples lie: at points t with weights w (empty: 1), or, without points, in cells by
// their moments (kMoments each, a power of two of cells).
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

// Cells that a fit of the order works on: enough for the certificate, or to compare orders.
std::ptrdiff_t fit_cells(std::ptrdiff_t order, bool certify);
// Cells for a few thousand samples, to compare orders: log p moves by less than 1e-5 on average.
std::ptrdiff_t condensed_cells(std::ptrdiff_t order);

// `start` (empty: the tapered characteristic function of h) may be of a lower order.
FitResult fit(const Measure& measure, std::ptrdiff_t order, const Coefficients& start,
              const FitOptions& options);

// sum h log p under the normalised coefficients b.
double log_likelihood(const Measure& measure, const Coefficients& b);

// All zeros of sum b_k z^k on or outside the unit circle, by Schur's and Cohn's recursion.
bool is_minimum_phase(const Coefficients& b);

}  // namespace kexue::density
