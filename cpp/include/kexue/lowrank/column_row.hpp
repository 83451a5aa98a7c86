// Products rebuilt from a few of their rank-one terms (CR decomposition).
//
//   X Y = sum_i x_i y_i,   x_i column i of X (n x l), y_i row i of Y (l x m)
//   X Y ~ sum_{i in S} weight_i x_i y_i = C diag(weights) R
//
// What decides is the size ||x_i|| ||y_i|| of every term. With the inclusion probabilities
// pi_i = min(1, tau size_i) that sum to the number of terms wanted ("water-filled": terms that
// would be taken more than once on average are taken for certain), the weights 1 / pi_i make the
// sum unbiased, and no other probabilities of that sum give a smaller sum of size_i^2 / pi_i.
//
// Batches are stacks of matrices at a constant step. Random numbers depend on the key and the place
// in the batch alone.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kexue/core/gemm.hpp"
#include "kexue/core/rng.hpp"

namespace kexue::lowrank {

// `count` matrices, `step` elements apart.
template <class T>
struct Batch {
  MatrixView<T> first;
  std::ptrdiff_t count = 1, step = 0;

  MatrixView<T> operator[](std::ptrdiff_t b) const {
    MatrixView<T> view = first;
    view.data += b * step;
    return view;
  }
};

// out (count, cols): the Euclidean norms of all columns, to 1e-15 relative whatever their scale;
// not finite where an entry of the column is not. One pass over rows or columns as they lie, and
// further passes only over columns whose squares overflow or underflow.
template <class T>
void column_norms(Batch<const T> a, MatrixView<double> out, int workers);

// out = a diag(weights) b for every matrix of the batch; weights may be empty (all one). out has
// unit column stride.
template <class T>
void weighted_products(Batch<const T> a, MatrixView<const T> weights, Batch<const T> b,
                       Batch<T> out, int workers);

// ---- Which terms ------------------------------------------------------------------------------

enum class Draw { largest, systematic, independent, bernoulli };

struct Terms {
  std::vector<std::ptrdiff_t> indices;  // increasing
  std::vector<double> weights;          // that make the sum unbiased; 1 for `largest`
};

// pi_i = min(1, tau size_i), sum pi_i = wanted <= sizes.size(). Where fewer sizes than wanted are
// positive, the zeros share what is left.
void inclusion_probabilities(std::span<const double> sizes, std::ptrdiff_t wanted,
                             std::span<double> pi);

// The same for every row of sizes, which is contiguous as those of pi are.
void inclusion_probabilities(MatrixView<const double> sizes, std::ptrdiff_t wanted,
                             MatrixView<double> pi, int workers);

// Terms by their sizes, finite and >= 0.
//   largest      the `wanted` largest, the first of equals
//   systematic   without replacement, each with probability pi_i, `wanted` in all
//   independent  `wanted` draws with replacement, p_i = size_i / sum
//   bernoulli    each by itself with probability pi_i, `wanted` on average
//
// `systematic` cuts the cumulated pi into intervals of length one and takes one term from each.
// A term that reaches into the next interval and was taken is not taken there again; the others of
// that interval keep their probabilities (Deville 1998). Its variance is never above that of
// independent draws: see kexue_num/lowrank/_column_row.py.
Terms choose_terms(std::span<const double> sizes, std::ptrdiff_t wanted, Draw draw, Key key);

// The same for every row of sizes, with subkey(key, row).
std::vector<Terms> choose_terms(MatrixView<const double> sizes, std::ptrdiff_t wanted, Draw draw,
                                Key key, int workers);

// Greedy deletion: while more than `keep` terms are left, drop the set of `tuple_size` of them (of
// fewer at the end) whose sum has the least norm. gram holds Re <M_i, M_j> of the terms. Returns
// the terms kept, increasing. O(l^2) and O(l) per round for pairs, up to O(l^2) per round in bad
// cases; O(binomial(l, tuple_size)) per round for larger sets.
std::vector<std::ptrdiff_t> greedy_deletion(MatrixView<const double> gram, std::ptrdiff_t keep,
                                            std::ptrdiff_t tuple_size);

// The same for every matrix of a batch: kept (count, keep).
void greedy_deletion(Batch<const double> grams, std::ptrdiff_t keep, std::ptrdiff_t tuple_size,
                     MatrixView<std::ptrdiff_t> kept, int workers);

}  // namespace kexue::lowrank
