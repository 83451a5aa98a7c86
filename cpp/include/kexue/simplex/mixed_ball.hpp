// Projection of matrices onto the ball of the mixed norm  sum_i max_j |P_ij| <= r.
//
// Outside the ball P_ij = clamp(X_ij, -mu_i, mu_i), where every row with mu_i > 0 is cut by the
// same amount theta = sum_j (|X_ij| - mu_i)_+ and sum_i mu_i = r. The mu_i are convex, falling and
// piecewise linear in theta, so Newton's method from theta = 0 is monotone and finite (Chau,
// Wohlberg & Rodriguez 2019). Rows are sorted once: O(m n + steps m log n) with radix sort.
#pragma once

#include <cstddef>

#include "kexue/core/views.hpp"

namespace kexue::simplex {

// Every row of x is a contiguous matrix of `m` rows. out may be x. A matrix with a NaN or an
// infinity becomes NaN.
template <class T>
void project_l1inf_ball(MatrixView<const T> x, std::ptrdiff_t m, VectorView<const double> radius,
                        MatrixView<T> out, int workers);

}  // namespace kexue::simplex
