// Gradients of the entmax family from its values: with w_i = p_i^{2-alpha} on the support,
//
//   dp/dx = (diag(w) - w w^T / sum w) / temperature
//
// is symmetric: the same product serves forward and backward. The probabilities alone decide. Where
// w exceeds the range of a double its quotients are kept, and only a true overflow gives
// infinities. For infinite alpha the map is constant but for its jumps: zero.
#pragma once

#include <cstddef>

#include "kexue/simplex/maps.hpp"

namespace kexue::simplex {

// batch.x = p, batch.out = the product with g; out may be p or g.
template <class T>
void entmax_vjp(const Batch<T>& batch, const T* g, const double* alpha, std::ptrdiff_t alpha_step,
                double temperature);
// sum_i g_i dp_i/dalpha per row, stable through alpha = 1 (where it is the limit).
template <class T>
void entmax_alpha_vjp(const Batch<T>& batch, const T* g, const double* alpha,
                      std::ptrdiff_t alpha_step, double* derivative);

}  // namespace kexue::simplex
