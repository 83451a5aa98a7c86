// Euclidean projection of rows onto a simplex with bounds and weights:
//
//   minimise |p - x|^2 / 2   subject to   l <= p <= u,  sum_i w_i p_i = r,      w > 0
//
// The solution is p_i(tau) = clamp(x_i - tau w_i, l_i, u_i) for the root tau of the decreasing,
// piecewise linear  g(tau) = sum_i w_i p_i(tau) - r.  Newton's method on g is finite (Cominetti,
// Mascarenhas & Silva 2014; for l = 0, u = inf, w = 1 it is Michelot's 1986 algorithm); a bracket
// guards it, and bisection finishes rows that Newton's steps would leave: O(n) a pass, never more
// than a few hundred. The first tau found below the root leaves only the entries above their lower
// bounds to look at: a sparse result takes four passes over the row.
//
// Everything is computed in double precision with tau as a sum of two doubles, so that x - tau w is
// rounded at the scale of the result, and sums are compensated: sum_i w_i p_i = r within 4 units of
// the result's rounding relative to sum_i w_i |p_i| at any n (with weights in double precision,
// where the instruction set has no fused multiply-add: relative to sum_i w_i |x_i| if that is
// more). Equal columns (x, w, l, u) get equal results, bit for bit, wherever they stand.
//
// -inf in x stands for p_i = l_i. A row with NaN or +inf, or without a finite entry, becomes NaN;
// no other row is touched.
#pragma once

#include <cstddef>

#include "kexue/core/views.hpp"

namespace kexue {

// One row. weights == nullptr: all 1. lower == nullptr: the bounds are lowest and highest for every
// entry; else lower and upper are both arrays.
template <class T>
struct BoxRow {
  const T* x;
  const T* weights;
  const T* lower;
  const T* upper;
  double lowest;
  double highest;
  std::ptrdiff_t n;
};

// tau = high + low.
struct BoxRoot {
  double high;
  double low;
};

// sum = high + low of w_i p_i(tau); slope = sum of w_i^2 where l_i < p_i(tau) < u_i; `above` counts
// the entries that are not at their lower bound.
struct BoxSums {
  double high;
  double low;
  double slope;
  double above;
};

// What is left of a row: `count` entries, and the sum high + low of w_i l_i of the others (NaN if
// the row has one).
struct BoxKept {
  std::ptrdiff_t count;
  double high;
  double low;
};

// `single` is the tau at which one entry alone takes the whole slack r - sum w l, the largest over
// the entries looked at: without upper bounds the root is no smaller. all_lower: above it every one
// of those entries is l_i.
struct BoxRange {
  double single;
  double all_lower;
};

template <class T>
struct BoxKernels {
  BoxSums (*sums)(const BoxRow<T>& row, BoxRoot tau);
  // Looks at blocks of kRangeBlock entries, one in `step`.
  BoxRange (*range)(const BoxRow<T>& row, double slack, std::ptrdiff_t step);
  // Copies the entries with p_i(tau) > l_i: at any larger tau the others are l_i. Only the arrays
  // that the row has are written, with room for a vector beyond the last entry.
  BoxKept (*gather)(const BoxRow<T>& row, BoxRoot tau, double* x, double* weights, double* lower,
                    double* upper);
  void (*store)(const BoxRow<T>& row, BoxRoot tau, T* out);
  // n_rows contiguous rows from like.x on, n <= kShortRow, one to a vector lane; they share the
  // weights and bounds of `like`. solved[i] is 0 where a row was copied to out, because it has NaN
  // or an infinite maximum or was not done after a few steps.
  void (*short_rows)(const BoxRow<T>& like, std::ptrdiff_t n_rows, const double* radius,
                     const double* lowest_sum, T* out, unsigned char* solved);
};
inline constexpr std::ptrdiff_t kRangeBlock = 64;

struct BoxTables {
  BoxKernels<float> f32;
  BoxKernels<double> f64;
};
const BoxTables& box_tables();

namespace simplex {

// Rows of x and out are contiguous. weights, lower and upper hold no data or as many columns as x,
// with row stride 0 where the rows share them. radius and lowest_sum (sum_i w_i l_i) have one entry
// a row. The caller has checked sum w l <= r <= sum w u and w > 0.
template <class T>
struct BoxProblem {
  MatrixView<const T> x;
  MatrixView<const T> weights;
  MatrixView<const T> lower;
  MatrixView<const T> upper;
  double lowest;
  double highest;
  VectorView<const double> radius;
  VectorView<const double> lowest_sum;
  MatrixView<T> out;
};

// out may be x.
template <class T>
void project_box_simplex(const BoxProblem<T>& problem, int workers);

// The root for one row, on one thread.
BoxRoot box_root(const BoxRow<double>& row, double radius, double lowest_sum);

// A row whose numbers are too large, too small or too far from one another for double precision,
// without any rounding: the breakpoints of g are sorted and bisected, with sums in long
// accumulators, so that the support is the exact one and every p_i is within 2 units in its last
// place, whatever the weights. O(n log n), about half a microsecond an entry. NaN where the row has
// NaN, an infinity that its bound does not stop, or nothing finite; numerical_error where an entry
// of the result leaves the range of T, or where -inf in x keeps the sum from the radius.
template <class T>
void project_extreme(const BoxRow<T>& row, double radius, T* out);

// The k largest entries of every row (of equal ones the first) projected onto the simplex
// 0 <= p <= highest, sum p = r; zeros elsewhere. That is the nearest point with at most k nonzeros.
template <class T>
void project_sparse_simplex(MatrixView<const T> x, std::ptrdiff_t k, double highest,
                            VectorView<const double> radius, MatrixView<T> out, int workers);

// {sum |p_i| <= r}: sign(x) times the projection of |x| where the sum exceeds r, else x itself.
template <class T>
void project_l1_ball(MatrixView<const T> x, VectorView<const double> radius, MatrixView<T> out,
                     int workers);

}  // namespace simplex
}  // namespace kexue
