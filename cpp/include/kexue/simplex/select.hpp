// Softmax over the largest entries, smooth selections of k entries, Taylor and perturbed maxima.
//
//   topk_softmax   softmax over the entries not below the k-th largest
//   topp_softmax   softmax over the fewest largest entries whose probabilities reach p
//                  (entries equal to the last one chosen are chosen too: equal in, equal out)
//   soft_topk      0 <= p_i <= 1, sum p = k, p_i = f(x_i - tau) with one root tau:
//                    sigmoid  f = 1/(1 + e^-u)       exp     f = min(1, e^u)
//                    laplace  f = the distribution   sparse  f = min(1, max(0, u))
//                             function of Laplace
//                  and gradtopk = grad log e_k(e^x), e_k the elementary symmetric polynomial: the
//                  chance that i is in a random k-subset drawn with weight prod e^{x_i}.
//                  iterative: k rounds of p += softmax((1 - p) x); it may leave [0, 1].
//   taylor         p ~ sum_{j <= order} x^j/j!, order even, so that every term is positive
//   perturbed      p_i = P(x_i + e_i is the largest), e_i independent with a given distribution
//
// gradtopk is a Poisson-binomial problem (Chen, Dempster and Liu, Biometrika 1994): with tau such
// that sum sigmoid(x - tau) = k and pi = sigmoid(x - tau), p_i = pi_i R_{-i}(k-1) / R(k), where R
// is the distribution of a sum of independent Bernoulli variables, by forward and backward
// recursion. All terms are positive: nothing cancels. O(n k) time, O(k sqrt(n)) memory from
// 4 million numbers on. All kinds but the iterative one take the k-th largest entry from x first,
// which is exact where rows are far from zero.
#pragma once

#include <cstddef>
#include <vector>

#include "kexue/simplex/maps.hpp"

namespace kexue::simplex {

template <class T>
std::ptrdiff_t topk_softmax(const Batch<T>& batch, std::ptrdiff_t k, double temperature,
                            Empty empty, double* lse);
template <class T>
std::ptrdiff_t topp_softmax(const Batch<T>& batch, double p, double temperature, Empty empty);

enum class Selection : int { sigmoid, exp, laplace, sparse, gradtopk, iterative };
// x is divided by the temperature first. Masked (-inf) entries are 0; with fewer than k others,
// those are 1.
template <class T>
void soft_topk(const Batch<T>& batch, double k, Selection kind, double temperature);
// The product of the Jacobian's transpose with g; p is what soft_topk gave.
template <class T>
void soft_topk_vjp(const Batch<T>& batch, const T* p, const T* g, double k, Selection kind,
                   double temperature);

// One row of finite numbers of the iterative kind, and the product of its Jacobian's transpose with
// g, which is overwritten. Memory of the latter: 2 sqrt(k) rows.
void iterative_topk(const std::vector<double>& x, std::size_t k, double temperature,
                    std::vector<double>& p);
void iterative_topk_vjp(const std::vector<double>& x, std::size_t k, double temperature,
                        std::vector<double>& g, std::vector<double>& dx);

template <class T>
std::ptrdiff_t taylor_softmax(const Batch<T>& batch, int order, double temperature, Empty empty);
template <class T>
void taylor_softmax_vjp(const Batch<T>& batch, const T* g, int order, double temperature);

enum class Noise : int { normal, uniform, exponential };
template <class T>
std::ptrdiff_t perturbmax(const Batch<T>& batch, Noise noise, int n_nodes, double temperature,
                          Empty empty);

}  // namespace kexue::simplex
