// Fewer columns than were factored: which to do without, and the coefficients of the others.
//
//   A ~ A[:, S] Z,   Z = W R,   R = Q^H A,   W = the pseudo-inverse of R[:, S]
#pragma once

#include <cstddef>
#include <span>
#include <vector>

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

// The same where elimination has left `rows` of W: z = rows R, for the columns `kept` (those left,
// then any others; as many as z has rows). If `columns` is not empty it becomes a[:, kept]: reading
// single entries of A waits for memory, so that the products cost little beside it. Returns
// max_modulus(z).
template <class T>
double coefficients_of_rows(MatrixView<const T> rows, MatrixView<const T> r,
                            std::span<const std::ptrdiff_t> kept, MatrixView<T> z,
                            MatrixView<const T> a, MatrixView<T> columns, int workers);

// The order in which backward elimination drops columns: from factors R (rank, n) of `pivots`, more
// columns than wanted, drop down to `keep` of them, each time the one whose loss raises the squared
// Frobenius error least. With W the pseudo-inverse of the chosen columns in the basis Q that loss
// is ||(W R)_i||^2 / ||W_i||^2, and W follows by a rank-one update. The columns kept are better
// than as many pivots (on the 1/r kernel, rank 60 of 72: half the error) because what a column
// explains is judged on all columns, and together with the others. Returns positions in `pivots`.
// directions (rank - keep, rank): row t is the unit vector, in the basis Q, that drop t adds to the
// residual; so the residual of the columns left after t drops is that of all plus
// directions[:t] R. r_gram = R R^H. O(rank^3) and O(rank^2) per column dropped. rows (keep, rank),
// if it is not empty, becomes W for the columns left, in the order of their positions.
template <class T>
std::vector<std::ptrdiff_t> elimination_order(MatrixView<const T> r,
                                              std::span<const std::ptrdiff_t> pivots,
                                              MatrixView<const wide_t<T>> r_gram,
                                              MatrixView<T> directions, MatrixView<T> rows,
                                              int workers);

}  // namespace kexue::lowrank
