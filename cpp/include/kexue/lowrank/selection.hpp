// Which columns to keep, given the rows of a factorisation: the greedy and the random choices.
//
//   A ~ A[:, S] Z,   A = U V + residual,   V (k x n) with orthonormal rows,   E ~ residual
//
// All of them look at V, at E or at R = Q^H A, whose columns have the geometry of those of A; none
// looks at A. A step costs O((rows of what it looks at + k) n) and is one sweep over panels of
// columns; the sums of a column do not depend on the workers. Entries must be finite and their
// squares must neither overflow nor underflow. Fewer than k columns come back where the others are
// numerically dependent on those chosen.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kexue/core/gemm.hpp"
#include "kexue/core/rng.hpp"

namespace kexue::lowrank {

// Osinsky (2023): columns S with ||A - A[:, S] Z||_F^2 <= (k + 1) ||E||_F^2 for Z = V[:, S]^-1 V.
// The error is E - E[:, S] Z; each step takes the column of least ||e_j||^2 / ||v_j||^2, what is
// left of it in V and in the error, which at most multiplies ||E||_F^2 by 1 + 1 / (k - t).
//
// penalty = c > 0 adds c ||E||_F^2 / n times the identity below E: the choice then weighs
// ||E[:, S] Z||_F^2 + c ||E||_F^2 ||Z||_F^2 / n, which keeps the coefficients small, and the bound
// above grows by the factor 1 + c at most. Without it the 1/r kernel (rank 50) gives coefficients
// of 15 to 40 and loses its gain of accuracy to exchanges.
//
// w (k, n) becomes an orthonormal basis of the rows of V with w[:, S] upper triangular, as far as
// columns were found. O(k (k + rows of E) n).
template <class T>
std::vector<std::ptrdiff_t> osinsky_columns(MatrixView<const T> v, MatrixView<const T> e,
                                            double penalty, MatrixView<T> w, int workers);

// Adaptive randomised pivoting (Cortinovis & Kressner 2024): each column is drawn with the
// probability ||v_j||^2 / (k - t) of what is left of it; the bound of osinsky_columns holds in
// expectation. O(k^2 n).
template <class T>
std::vector<std::ptrdiff_t> adaptive_columns(MatrixView<const T> v, Key key, int workers);

// At each step the column whose projection takes most of the squared Frobenius norm of the whole
// residual, ||R^H r_j||^2 / ||r_j||^2 (column pivoting takes the longest). O(rows n) per step; the
// residual is formed anew, at O(rows^2 n), when downdates have cancelled half of the digits.
template <class T>
std::vector<std::ptrdiff_t> total_residual_columns(MatrixView<const T> r, std::ptrdiff_t count,
                                                   int workers);

// The pivots of Gaussian elimination of the rows of v, in order, by their largest entries: those of
// LU with partial pivoting of its transpose, and, for singular vectors, the points of the discrete
// empirical interpolation method (Sorensen & Embree 2016). Rows that depend on earlier ones have
// none. O(k^2 n).
template <class T>
std::vector<std::ptrdiff_t> elimination_pivots(MatrixView<const T> v, int workers);

// Steps of randomly pivoted Cholesky (Chen, Epperly, Tropp & Webber 2024) of a Hermitian positive
// semidefinite A ~ F^H F, of which only columns and the diagonal are read. The candidates were
// drawn with probabilities proportional to `diagonal` as it comes; one is accepted if its uniform
// number is below the part of its diagonal that those accepted before have left (the accelerated
// form, with the same law). Each accepted candidate adds a row to f, of which `rank` are there, and
// its squares are taken from the diagonal; stops when f is full. candidate_columns (n, b). Returns
// the candidates accepted. O(rank n) each.
template <class T>
std::vector<std::ptrdiff_t> cholesky_steps(MatrixView<const T> candidate_columns,
                                           std::span<const std::ptrdiff_t> candidates,
                                           std::span<const double> uniforms, std::ptrdiff_t rank,
                                           MatrixView<T> f, std::span<double> diagonal,
                                           int workers);

}  // namespace kexue::lowrank
