// The EMO loss of language models (Ren, Wu, Liu 2023; kexue.fm post 9797), with its gradient.
//
// With p = softmax z, a target t (or a distribution tau) and unit embeddings e_i, the cost of
// turning p into the target under the cosine cost is, exactly for one target and as the upper
// bound of the product coupling for tau,
//
//   D = sum_i p_i (1 - s_i),  s_i = <e_i, c>,  c = e_t or sum_j tau_j e_j,
//   dD/dz_i = p_i (1 - s_i - D).
//
// Value and gradient need one product, S = C E^T with one row per distinct target. It is made panel
// by panel of the vocabulary and used while it lies in the cache: the gradient holds
// p_i (1 - s_i), one last pass turns it into the gradient of the mixture
//
//   w_ce (p - tau) + w_D p (1 - s - D).
//
// Cost: 2 U V h for U distinct targets (distributions: twice n V h), two reads of the logits and
// one more for the gradient. Memory beside the gradient: at most about 16 MiB up to 16 threads.
//
// Accuracy: no term is negative and the target's own cost is an exact zero, so D keeps its relative
// accuracy as p_t -> 1. So does the cross-entropy: exponentials are summed without the largest, of
// which the logarithm is taken by log1p; 1 - p_t is the sum of the others. With K the largest tau
// the entry of K has the cost |tau'| - <e_K, E^T tau'>, tau' being tau without it.
//
// Sums are taken in an order that depends on the shapes alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kexue/core/views.hpp"
#include "kexue/transport/embedding.hpp"

namespace kexue::transport {

// CE = cross-entropy, [.] a constant for the gradient, D' = D + [sum_i p_i tau_i s_i]:
//   emo      D
//   paper    (CE + [CE / (D + 1e-10)] D) / 2
//   patch1   (CE + [CE / (D' + 1e-10)] D') / 2
//   patch2   [D' / (CE + 1e-10)] CE + D'
//   wheel1   (CE + [min(CE / (D + 1e-10), 3)] D) / 2
//   wheel2   [D / (CE + 1e-10)] CE + D
enum class Mixture : int { emo, paper, patch1, patch2, wheel1, wheel2 };

template <class T>
struct EmoProblem {
  MatrixView<const T> logits;            // n x V, unit column stride
  const std::int64_t* labels = nullptr;  // n; a negative one leaves its row out
  MatrixView<const T> soft;              // n x V, unit column stride, if there are no labels
  MatrixView<const T> embeddings;        // V x h, unit column stride
  Mixture mixture = Mixture::emo;
  double sum_tolerance = 0;  // of the rows of `soft`
  double weight = 1;         // of the gradient
  int workers = 0;
};

// values: n. gradient: n x V with unit column stride, or without data. Inputs are checked before
// the product; a verdict other than none leaves the outputs unspecified.
template <class T>
Verdict emo_loss(const EmoProblem<T>& problem, double* values, MatrixView<T> gradient);

}  // namespace kexue::transport
