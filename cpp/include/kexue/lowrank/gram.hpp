// Norms of residuals, read off Gram matrices.
//
// Of a residual E whose rows come one by one, G = E E^H tells ||E[:t]||_2 for every t at once:
// l^2 I - G[:t, :t] is positive definite exactly if ||E[:t]||_2 < l, and one Cholesky factorisation
// finds the first t for which it is not.
#pragma once

#include <complex>
#include <cstddef>
#include <type_traits>

#include "kexue/core/gemm.hpp"

namespace kexue::lowrank {

// T in double precision.
template <class T>
using wide_t = std::conditional_t<is_complex_v<T>, std::complex<double>, double>;

// out = R R^H in double precision. Half the work of a general product. If `narrow`, products of
// real numbers, and sums of a thousand of them, in their own: each entry to some eps ||r_i||
// ||r_j||.
template <class T>
void gram(MatrixView<const T> r, MatrixView<wide_t<T>> out, int workers, bool narrow = false);

// out = rows - chosen z, and the Gram matrices of rows and of out.
template <class T>
void residual_rows(MatrixView<const T> rows, MatrixView<const T> chosen, MatrixView<const T> z,
                   MatrixView<T> out, MatrixView<wide_t<T>> before, MatrixView<wide_t<T>> after,
                   int workers);

// The upper triangular x with x^H g x = I (the inverse of the Cholesky factor L^H). False where g
// is not positive definite or a diagonal entry of L is below `least`. O(k^3).
template <class T>
bool inverse_root(MatrixView<const T> g, double least, MatrixView<T> x, int workers);

// The largest t for which the leading t x t block of g has no eigenvalue of limit^2 or more.
template <class T>
std::ptrdiff_t leading_below(MatrixView<const T> g, double limit, int workers);

// A lower bound of the largest eigenvalue of a positive semidefinite g: a Rayleigh quotient, by
// power iteration until it grows by less than one part in 10^4.
template <class T>
double rayleigh(MatrixView<const T> g);

// The largest eigenvalue of g (n, n), Hermitian and positive semidefinite, to rounding: Householder
// reduction to tridiagonal form and bisection of Sturm counts. O(n^3); n = 12 takes 5 us, a tenth
// of what LAPACK takes when its code is not in the cache. Zero for n = 0, NaN where the diagonal is
// not finite.
template <class T>
double largest_eigenvalue(MatrixView<const T> g);

}  // namespace kexue::lowrank
