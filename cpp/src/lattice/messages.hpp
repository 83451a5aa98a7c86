// Forward and backward messages of one sequence of a trellis, as scaled probabilities or, where
// those could underflow, as logarithms.
//
// In the linear mode a message is at most 2^40 and a nonzero entry at least 1e-150; factors of
// matrices lie in 1e-100..1 and of emissions in 1e-50..1, so no product of three underflows. Any
// number outside makes the sequence start again in the logarithmic mode.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kexue/core/buffer.hpp"
#include "kexue/core/constants.hpp"
#include "kexue/lattice/trellis.hpp"

namespace kexue::lattice {

// The transitions as logarithms and as probabilities relative to each matrix's largest entry.
class Factors {
 public:
  explicit Factors(const Trellis<double>& trellis);

  bool dense() const { return trellis_.dense != nullptr; }
  bool narrow() const { return narrow_; }
  std::ptrdiff_t ld() const { return ld_; }
  double shift(std::ptrdiff_t t) const { return shift_[matrix(t)]; }
  std::ptrdiff_t matrix(std::ptrdiff_t t) const { return trellis_.n_matrices > 1 ? t : 0; }

  // out_j = sum_i f_i a_ij and out_i = sum_j a_ij g_j in the linear mode, for the step after t.
  void push(std::ptrdiff_t t, const double* f, double* out) const;
  void pull(std::ptrdiff_t t, const double* g, double* out) const;

  // The same push of a dense matrix, its columns shared among threads; an odd step reads upwards.
  void push_on(int threads, std::ptrdiff_t t, const double* f, double* out, bool odd) const;

  // Visits (state, log a, entry): the sources of transitions into j, the targets of those from i.
  // `entry` counts within the matrix of step t.
  template <class Visit>
  void sources(std::ptrdiff_t t, std::ptrdiff_t j, Visit&& visit) const {
    const std::ptrdiff_t n = trellis_.states;
    if (dense()) {
      const double* a = trellis_.dense + matrix(t) * n * n + j;
      for (std::ptrdiff_t i = 0; i < n; ++i) visit(i, a[i * n], i * n + j);
    } else {
      for (Index k = first_[j]; k < first_[j + 1]; ++k) {
        visit(source_[k], trellis_.data[entry_[k]], entry_[k]);
      }
    }
  }
  template <class Visit>
  void targets(std::ptrdiff_t t, std::ptrdiff_t i, Visit&& visit) const {
    const std::ptrdiff_t n = trellis_.states;
    if (dense()) {
      const double* a = trellis_.dense + (matrix(t) * n + i) * n;
      for (std::ptrdiff_t j = 0; j < n; ++j) visit(j, a[j], i * n + j);
    } else {
      for (Index k = trellis_.indptr[i]; k < trellis_.indptr[i + 1]; ++k) {
        visit(trellis_.indices[k], trellis_.data[k], k);
      }
    }
  }
  // Dense probabilities of the step after t: row i holds the transitions from i, or those into it;
  // the next step's are `stride` entries further.
  const double* matrix_rows(std::ptrdiff_t t) const { return forward_.data() + t * stride(); }
  const double* matrix_columns(std::ptrdiff_t t) const { return backward_.data() + t * stride(); }
  std::ptrdiff_t stride() const { return trellis_.n_matrices > 1 ? trellis_.states * ld_ : 0; }
  double factor(std::ptrdiff_t t, double log_entry) const { return std::exp(log_entry - shift(t)); }

 private:
  const Trellis<double>& trellis_;
  std::ptrdiff_t ld_;
  bool narrow_ = true;
  std::vector<double> shift_;
  AlignedBuffer<double> forward_, backward_;
  std::vector<double> values_;                 // of compressed rows
  std::vector<Index> first_, source_, entry_;  // compressed columns
};

class Messages {
 public:
  Messages(const Trellis<double>& trellis, const Factors& factors, std::ptrdiff_t sequence);

  // Both throw nothing and switch to logarithms by themselves; backward() implies forward().
  void forward();
  void backward();

  std::ptrdiff_t length() const { return length_; }
  bool logarithmic() const { return logarithmic_; }
  bool possible() const { return log_partition_ > -kInf; }
  double log_partition() const { return log_partition_; }
  // Messages at step t, in the mode's form; the emission at t is part of alpha and not of beta.
  double* alpha(std::ptrdiff_t t) const { return alpha_.data() + t * trellis_.states; }
  double* beta(std::ptrdiff_t t) const { return beta_.data() + t * factors_.ld(); }
  const std::vector<double>& stop() const { return stop_; }
  double alpha_scale(std::ptrdiff_t t) const { return alpha_scale_[t]; }
  double beta_scale(std::ptrdiff_t t) const { return beta_scale_[t]; }
  // emission[t] + beta[t] or their product.
  void arrivals(std::ptrdiff_t t, double* out) const;
  // The posterior of the states at step t.
  void posterior(std::ptrdiff_t t, double* out) const;

 private:
  bool try_forward();
  bool try_backward();
  bool rescale(double* message, double& scale) const;
  void log_forward();
  void log_backward();
  bool advance(std::ptrdiff_t t, std::ptrdiff_t steps);
  void prepare_emissions();

  const Trellis<double>& trellis_;
  const Factors& factors_;
  std::ptrdiff_t sequence_, length_;
  bool logarithmic_ = false;
  double log_partition_ = 0;
  AlignedBuffer<double> alpha_, beta_, emission_;
  AlignedBuffer<double> alpha_scale_;
  std::vector<double> beta_scale_, emission_scale_, stop_;
  double stop_scale_ = 0;
};

}  // namespace kexue::lattice
