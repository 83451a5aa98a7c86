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

namespace kexue::lowrank {

// Exchanges columns until no |z_ij| exceeds bound > 1; z follows. Returns the number of exchanges.
template <class T>
std::ptrdiff_t exchange(MatrixView<T> z, std::span<std::ptrdiff_t> indices, double bound,
                        int workers);

// The values but those at the positions, which are valid and may be in any order.
std::vector<std::ptrdiff_t> without(std::span<const std::ptrdiff_t> values,
                                    std::span<const std::ptrdiff_t> positions);

// out (m, k): the first m rows of the columns of a listed in indices; the next ones are fetched.
template <class T>
void gather_columns(MatrixView<const T> a, std::span<const std::ptrdiff_t> indices,
                    MatrixView<T> out, int workers);
// out (k, n): the rows.
template <class T>
void gather_rows(MatrixView<const T> a, std::span<const std::ptrdiff_t> indices, MatrixView<T> out,
                 int workers);

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
