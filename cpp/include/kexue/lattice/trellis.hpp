// Chains of states: hidden Markov models and linear-chain conditional random fields.
//
// A sequence of L steps over S states scores a path z as
//
//   start[z_0] + sum_t emission[t, z_t] + sum_t A_t[z_t, z_{t+1}] + stop[z_{L-1}],
//
// all in the log domain, -inf where something is impossible. A is one matrix or one for each step,
// dense or compressed by rows.
//
//   viterbi    max-plus steps keep values only; the argument of the maximum is found again along
//              the best path, O(L S) more instead of an index for every cell. Ties go to the
//              smaller state, from the last step on. Of a large matrix a step reads, for each
//              block of columns, only the rows whose bound reaches what others gave already.
//   sums       forward and backward messages as probabilities, rescaled at every step. A sequence
//              whose numbers leave the range in which products cannot underflow is done again in
//              the log domain, so that no score is too large or too small.
//
// Dense steps cost S^2 multiply-adds (or add-max) each; sequences go to the workers in parallel, of
// a single one the columns of each step if they are long, and results do not depend on how.
// References: Rabiner, Proc. IEEE 77 (1989); Scott, JASA 97 (2002).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kexue/core/rng.hpp"
#include "kexue/lattice/dag.hpp"

namespace kexue::lattice {

// Contiguous arrays. `dense` holds n_matrices S x S matrices (1, or steps - 1); otherwise the
// compressed rows are read. Scores are below +inf and not NaN.
template <class T>
struct Trellis {
  std::ptrdiff_t batch = 0, steps = 0, states = 0;
  const T* emissions = nullptr;    // (batch, steps, states)
  const Index* lengths = nullptr;  // (batch), each at most steps
  const T* start = nullptr;        // (states)
  const T* stop = nullptr;         // (states)
  const T* dense = nullptr;        // (n_matrices, states, states)
  std::ptrdiff_t n_matrices = 1;
  const Index* indptr = nullptr;
  const Index* indices = nullptr;
  const T* data = nullptr;
  int workers = 0;

  const T* emission(std::ptrdiff_t sequence, std::ptrdiff_t t) const {
    return emissions + (sequence * steps + t) * states;
  }
};

// The largest modulus of n scores, 0 for none; NaN where one is not finite.
template <class T>
T largest_modulus(const T* scores, std::ptrdiff_t n);

// The best states (batch, steps), -1 beyond the length, and scores (batch), summed in float64:
// -inf and states of -1 where nothing is possible, 0 for length 0.
template <class T>
void viterbi(const Trellis<T>& trellis, Index* states, double* scores);

// Null outputs are not computed. Sequences of length 0 have log_partition 0 and empty rows; where
// nothing is possible log_partition is -inf and the rest NaN. Rows beyond the length are 0 (NaN for
// forward and backward).
struct TrellisSums {
  double* log_partition = nullptr;  // (batch)
  double* forward = nullptr;        // (batch, steps, states): log alpha
  double* backward = nullptr;       // (batch, steps, states): log beta
  double* marginals = nullptr;      // (batch, steps, states)
  double* transitions = nullptr;    // expected uses: (batch, n_matrices, states, states), or
                                    // (batch, entries) of compressed rows
};
void sums(const Trellis<double>& trellis, const TrellisSums& out);

// Paths by their probabilities, states (batch, size, steps), -1 beyond the length. Sample j of
// sequence i draws from subkey(subkey(key, i), j).
void sample(const Trellis<double>& trellis, std::ptrdiff_t size, Key key, Index* states);

// The k best of each sequence: states (batch, k, steps) and scores (batch, k); where there are
// fewer paths, states of -1 and scores of -inf.
void kbest(const Trellis<double>& trellis, std::ptrdiff_t k, Index* states, double* scores);

// Segments: scores (steps, longest, states), entry (t, d, s) for a segment of state s and length
// d + 1 that ends at t; transitions (states, states) between the states of neighbouring segments.
// starts and labels (steps) receive the segments, whose number is returned; -1 if none fit.
std::ptrdiff_t viterbi_semi_markov(std::ptrdiff_t steps, std::ptrdiff_t longest,
                                   std::ptrdiff_t states, const double* scores,
                                   const double* transitions, Index* starts, Index* labels,
                                   double* score);

}  // namespace kexue::lattice
