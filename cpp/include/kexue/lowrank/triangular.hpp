// Triangular factors of small matrices.
#pragma once

#include <cstddef>

#include "kexue/core/gemm.hpp"

namespace kexue::lowrank {

// The Cholesky factor of g, in place in its lower triangle, as far as g is positive definite.
// Returns the order of the largest leading block that is. O(k^3 / 3), blocked.
template <class T>
std::ptrdiff_t cholesky(MatrixView<T> g, int workers);

// x <- r^-1 for an upper triangular r with contiguous rows, by back substitution. O(k^3 / 3).
template <class T>
void upper_inverse(MatrixView<const T> r, MatrixView<T> x, int workers);

// The lower triangle of c (+)= alpha a b^T: half the work of the whole product.
template <class T>
void add_lower_product(real_t<T> alpha, MatrixView<const T> a, MatrixView<const T> b,
                       MatrixView<T> c, bool accumulate, int workers);

}  // namespace kexue::lowrank
