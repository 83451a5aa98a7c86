// Projections onto permutahedra by isotonic regression, O(n) a row after sorting.
//
// P(w) is the convex hull of all permutations of w. With z = a / strength sorted to fall and w
// sorted to fall, the projection of z onto P(w) is found by pooling adjacent violators (Best et al.
// 2000; Blondel, Teboul, Berthet & Djolonga 2020): runs B of neighbours are merged while
//
//   l2   mean_B(z) - mean_B(w)                        does not fall from one run to the next, then
//        p_i = (a_i - mean_B(a)) / strength + mean_B(w)
//   kl   log(sum_B e^z) - log(sum_B e^w)              likewise, then
//        e^p_i = e^z_i / sum_B e^z * sum_B e^w        (the KL projection of e^z onto P(e^w))
//
// Written like this a run of one is exactly w_i, whatever the strength: small strengths give the
// hard sort and the hard ranks. Equal entries of z get equal results, bit for bit.
// Sums are in double precision. A row with a NaN or an infinity becomes NaN.
#pragma once

#include <cstddef>

#include "kexue/core/views.hpp"

namespace kexue::simplex {

enum class Regularization { l2, kl };

// The projection of x onto the permutahedron of w, shared by all rows (row stride 0) or one a row.
template <class T>
void project_permutahedron(MatrixView<const T> x, MatrixView<const T> w, MatrixView<T> out,
                           int workers);

// The values of x in falling order, softened: p of a = (n, ..., 1) and w = x. Ascending order is
// the same from back to front.
template <class T>
void soft_sort(MatrixView<const T> x, double strength, Regularization kind, bool descending,
               MatrixView<T> out, int workers);
// out = (d soft_sort / d x)^T g
template <class T>
void soft_sort_vjp(MatrixView<const T> x, MatrixView<const T> g, double strength,
                   Regularization kind, bool descending, MatrixView<T> out, int workers);

// The ranks 1, ..., n of x, softened: p of a = x (-x, if descending) and w = (n, ..., 1); with kl
// e^p of the same a and w = log(n, ..., 1).
template <class T>
void soft_rank(MatrixView<const T> x, double strength, Regularization kind, bool descending,
               MatrixView<T> out, int workers);
template <class T>
void soft_rank_vjp(MatrixView<const T> x, MatrixView<const T> g, double strength,
                   Regularization kind, bool descending, MatrixView<T> out, int workers);

// argmin sum_i w_i (v_i - x_i)^2 / 2 over v that never falls (`increasing`) or never rises. No
// weights: w.data == nullptr.
template <class T>
void isotonic(MatrixView<const T> x, MatrixView<const T> w, bool increasing, MatrixView<T> out,
              int workers);

}  // namespace kexue::simplex
