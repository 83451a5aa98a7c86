// Euclidean projection of rows onto a simplex with bounds and weights:
//
//   minimise |p - x|^2 / 2   subject to   l <= p <= u,  sum_i w_i p_i = r,      w > 0
//
// The solution is p_i(tau) = clamp(x_i - tau w_i, l_i, u_i) for the root tau of the decreasing,
// piecewise linear  g(tau) = sum_i w_i p_i(tau) - r.  Newton's method on g is finite (Cominetti,
// Mascarenhas & Silva 2014; for l = 0, u = inf, w = 1 it is Michelot's 1986 algorithm); a bracket
// guards it, and bisection finishes rows that Newton's steps would leave: at most kMaxPasses
// passes of O(n).
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

// sum = high + low of w_i p_i(tau); slope = sum of w_i^2 where l_i < p_i(tau) < u_i.
struct BoxSums {
  double high;
  double low;
  double slope;
};

// Where tau can lie: below `all_upper` every p_i is u_i, above `all_lower` every p_i is l_i.
// `single` is the tau at which one entry alone takes the whole slack r - sum w l, the largest over
// the entries; the other two give the tau of all entries free, (sum w x - r) / sum w^2.
struct BoxRange {
  double all_upper;
  double all_lower;
  double single;
  double weighted_sum;
  double weight_squares;
};

template <class T>
struct BoxKernels {
  BoxSums (*sums)(const BoxRow<T>& row, BoxRoot tau);
  BoxRange (*range)(const BoxRow<T>& row, double slack);
  void (*store)(const BoxRow<T>& row, BoxRoot tau, T* out);
};

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
template <class T>
BoxRoot box_root(const BoxRow<T>& row, double radius, double lowest_sum);

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
