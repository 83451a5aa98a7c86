// Maps of rows onto the probability simplex, each the root of one scalar equation per row.
//
//   softmax       p_i = e^{x_i s} / Z                         s = 1/temperature
//   project_rows  p_i = (x_i - tau)_+,  sum p = radius        (sparsemax: radius 1)
//   entmax        p_i = (1 + (alpha-1)((x_i - max) s - lambda))_+^{1/(alpha-1)}
//   normmax       p ~ (x - tau)_+^{1/(alpha-1)}, the maximiser of <p, x> - ||p||_alpha
//
// The core is one equation. With u_i = 1 + slope (x_i - max) - drop, find drop such that
// sum (u_i)_+^P = 1. For P >= 1 (alpha <= 2) and for P < 0 (alpha < 1), the norm
// h = (sum u^P)^{1/P} is convex or concave in drop in such a way that Newton's iteration on h,
//
//   drop += (S - S^{1-1/P}) / S',   S = sum u^P,  S' = sum u^{P-1},
//
// started at drop = 0 rises monotonically to the root: no bracket, 4 to 6 steps, and Michelot's
// iteration (1986) is the case P = 1. For 0 < P < 1 (alpha > 2) the root is bracketed, and found in
// double-double, because p_i = u_i^P magnifies the error of a small u_i.
//
// Cost: a row is read once for its maximum and once for the entries that can be positive; the
// iteration runs on those; one sweep writes. Rows of at most 128 entries are solved one per vector
// lane; a row beyond 2^18 entries is cut into blocks for the pool, whose sums are added in order.
//
// Special values: -inf is a mask (p = 0). A row with NaN is NaN. +inf entries share the mass. A row
// without finite or +inf entry is filled as `Empty` says and counted in what the function returns.
#pragma once

#include <cstddef>

namespace kexue::simplex {

// n_rows contiguous rows of n >= 1; out is x or disjoint. workers = 0: the library's setting.
template <class T>
struct Batch {
  const T* x;
  T* out;
  std::ptrdiff_t n_rows, n;
  int workers;
};

enum class Empty : int { zero, nan };

// log-sum-exp of x/temperature per row to lse (may be null). Returns the number of empty rows.
template <class T>
std::ptrdiff_t softmax(const Batch<T>& batch, double temperature, Empty empty, double* lse);
// x/temperature - lse; -inf where an empty row follows Empty::zero.
template <class T>
std::ptrdiff_t log_softmax(const Batch<T>& batch, double temperature, Empty empty);
// batch.out is not touched.
template <class T>
std::ptrdiff_t logsumexp(const Batch<T>& batch, double temperature, double* lse);

// sum of the result = scale radius, out = scale (x - tau)_+; radius > 0. tau may be null.
template <class T>
std::ptrdiff_t project_rows(const Batch<T>& batch, double radius, double scale, Empty empty,
                            double* tau);

// alpha > 0, one per row (alpha_step 1) or one for all (alpha_step 0). tau (may be null) is
// such that p_i = ((alpha-1) x_i/temperature - tau)_+^{1/(alpha-1)}; log-sum-exp where alpha = 1.
template <class T>
std::ptrdiff_t entmax(const Batch<T>& batch, const double* alpha, std::ptrdiff_t alpha_step,
                      double temperature, Empty empty, double* tau);
// alpha > 1; tau as in the formula above.
template <class T>
std::ptrdiff_t normmax(const Batch<T>& batch, double alpha, double temperature, Empty empty,
                       double* tau);

}  // namespace kexue::simplex
