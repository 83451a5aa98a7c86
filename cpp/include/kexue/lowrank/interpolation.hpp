// From a pivoted factorisation to interpolation coefficients that are bounded for certain.
//
//   A ~ A[:, S] Z,   Z = R11^-1 R,   R = Q^H A,   R11 = R[:, S]
//
// Z is the identity at the columns S, bit for bit. `exchange` makes max |Z_ij| <= f a guarantee:
// exchanging chosen column i for column j multiplies the volume |det R11| by |Z_ij|, so while an
// entry above f > 1 exists the volume grows by more than f, and the volume is bounded (Gu &
// Eisenstat 1996; Goreinov & Tyrtyshnikov 2001). The exchange works within the span of Q, on Z
// alone, at 2 k n operations each; the volume of A[:, S] itself grows at least as much, so that
// refactoring with the new columns and exchanging again ends too.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kexue/core/gemm.hpp"
#include "kexue/lowrank/gram.hpp"

namespace kexue::lowrank {

// z (k, n) for k = indices.size(): R11^-1 R in the first rank rows, where r is (rank, n) with
// R[:, indices] upper triangular up to rounding; rows beyond the rank are zero; identity at
// indices. What `dropped` lists (positions in the first rank indices) is left out: z has the rows
// and the identity of the others only, and is the least-squares solution for them.
template <class T>
void interpolation_coefficients(MatrixView<const T> r, std::span<const std::ptrdiff_t> indices,
                                std::span<const std::ptrdiff_t> dropped, MatrixView<T> z,
                                int workers);

// The order in which backward elimination drops columns: from factors R (rank, n) of `pivots`, more
// columns than wanted, drop down to `keep` of them, each time the one whose loss raises the squared
// Frobenius error least. With W the pseudo-inverse of the chosen columns in the basis Q that loss
// is ||(W R)_i||^2 / ||W_i||^2, and W follows by a rank-one update. The columns kept are better
// than as many pivots (on the 1/r kernel, rank 60 of 72: half the error) because what a column
// explains is judged on all columns, and together with the others. Returns positions in `pivots`.
// directions (rank - keep, rank): row t is the unit vector, in the basis Q, that drop t adds to the
// residual; so the residual of the columns left after t drops is that of all plus
// directions[:t] R. r_gram = R R^H. O(rank^3) and O(rank^2) per column dropped.
template <class T>
std::vector<std::ptrdiff_t> elimination_order(MatrixView<const T> r,
                                              std::span<const std::ptrdiff_t> pivots,
                                              MatrixView<const wide_t<T>> r_gram,
                                              MatrixView<T> directions, int workers);

// Exchanges columns until no |z_ij| exceeds bound > 1; z follows. Returns the number of exchanges.
template <class T>
std::ptrdiff_t exchange(MatrixView<T> z, std::span<std::ptrdiff_t> indices, double bound,
                        int workers);

// out (m, k): the columns of a listed in indices.
template <class T>
void gather_columns(MatrixView<const T> a, std::span<const std::ptrdiff_t> indices,
                    MatrixView<T> out, int workers);

// Largest |Re| or |Im| of the entries; NaN if one is not finite.
template <class T>
double max_component(MatrixView<const T> a, int workers);
// Largest modulus.
template <class T>
double max_modulus(MatrixView<const T> a, int workers);

// w (m, k): the columns c, scaled by `scale`, times R11^-1, where r11 is the triangular factor of a
// sketch of the scaled c. Its singular values are near 1 (Rokhlin & Tygert 2008).
template <class T>
void whiten(MatrixView<const T> c, real_t<T> scale, MatrixView<const T> r11, MatrixView<T> w,
            int workers);

// v (k, n) = W^H A, for W whitened from the columns `indices` of A, becomes Q^H A for the
// orthonormal basis Q = W L^-H, by one Cholesky factorisation of W^H W = v[:, indices] R11^-1. One
// is as good as Householder's because W is well conditioned (Fan, Guo & Lin 2021). False if it is
// not: then the columns are not numerically independent.
template <class T>
bool orthogonalize(MatrixView<T> v, std::span<const std::ptrdiff_t> indices,
                   MatrixView<const T> r11, int workers);

}  // namespace kexue::lowrank
