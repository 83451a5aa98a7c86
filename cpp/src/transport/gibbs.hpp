// The Gibbs kernel K_ij = exp((f_i + g_j - C_ij) / reg) as an operator, and one pass over it.
//
//   pass(w, t, rule):   s_i = sum_j K_ij w_j,   t_j = sum_i K_ij rule(i, s_i)
//
// One pass is one iteration of Sinkhorn's algorithm or one product of the second-order step: the
// rows are still in the first-level cache when they are added to t, so K is read once. Rows that do
// not fit into `stored_bytes` are recomputed at every pass. Chunks of rows are fixed by the shape
// and their sums are added in order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "kexue/core/buffer.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/transport/cost.hpp"

namespace kexue::transport {

class Gibbs {
 public:
  // `single` holds K in float32. K then is the exact kernel of costs that differ from C by less
  // than reg 2^-22, and every sum over it is float64.
  Gibbs(const Costs& costs, bool single, std::ptrdiff_t stored_bytes, int workers);

  std::ptrdiff_t rows() const { return costs_->rows(); }
  std::ptrdiff_t cols() const { return costs_->cols(); }
  std::ptrdiff_t padded() const { return padded_; }
  const Costs& costs() const { return *costs_; }
  // Other costs of the same shape and kind.
  void use(const Costs& costs) { costs_ = &costs; }
  bool single() const { return single_; }
  std::ptrdiff_t n_chunks() const { return n_chunks_; }
  int slots() const { return slots_; }
  int workers() const { return slots_; }
  // The potentials are copied; g has cols() entries.
  void absorb(const double* f, const double* g, double reg);
  // The stored kernel, which is this one's no more, if all rows are and it is worth keeping; null
  // otherwise.
  std::shared_ptr<const AlignedBuffer<char>> give();
  // The rows that another of the same shape and rounding gave; before absorb().
  void take(std::shared_ptr<const AlignedBuffer<char>> kernel);

  template <class Rule>
  void pass(const double* w, double* t, Rule&& rule) {
    parallel_for(
        n_chunks_,
        [&](std::ptrdiff_t chunk, int slot) {
          double* sum = n_chunks_ == 1 ? t : partial_.data() + chunk * padded_;
          std::fill(sum, sum + padded_, 0.0);
          blocks(chunk, slot, [&](std::ptrdiff_t i, std::ptrdiff_t count, const void* k) {
            double s[kBlockRows];
            dots(k, count, w, s);
            for (std::ptrdiff_t r = 0; r < count; ++r) s[r] = rule(i + r, s[r]);
            add(k, count, s, sum);
          });
        },
        slots_);
    if (n_chunks_ > 1) reduce(t);
  }
  // The pass with u_i = (1 - omega) u_i + omega / s_i (1 where s_i is not positive) and the rule
  // a_i u_i.
  void balanced_pass(const double* w, const double* a, double omega, double* s, double* u,
                     double* t);
  // The same with sums in float32, while errors are far larger than those. Only where coarse()
  // says so, for w and a u that float32 holds.
  void coarse_pass(const double* w, const double* a, double omega, double* s, double* u, double* t);
  bool coarse() const { return coarse_.size() > 0; }
  // body(i, k, c): row i of K and of C.
  template <class Body>
  void each_row(Body&& body) {
    parallel_for(
        n_chunks_,
        [&](std::ptrdiff_t chunk, int slot) {
          blocks(chunk, slot, [&](std::ptrdiff_t i, std::ptrdiff_t count, const void* k) {
            for (std::ptrdiff_t r = 0; r < count; ++r) {
              body(i + r, row_of(k, r), costs_->row(i + r, cost_scratch(slot)), slot);
            }
          });
        },
        slots_);
  }
  // body(i, count, k) for blocks of at most kBlockRows rows of a chunk.
  template <class Body>
  void blocks(std::ptrdiff_t chunk, int slot, Body&& body) {
    const std::ptrdiff_t end = std::min(rows(), (chunk + 1) * chunk_rows_);
    for (std::ptrdiff_t i = chunk * chunk_rows_; i < end; i += kBlockRows) {
      const std::ptrdiff_t count = std::min(kBlockRows, end - i);
      body(i, count, block(i, count, slot));
    }
  }

  void dots(const void* k, std::ptrdiff_t count, const double* w, double* s) const;
  void add(const void* k, std::ptrdiff_t count, const double* coefficients, double* t) const;
  double cost(const double* c, const void* k, const double* w) const;
  void scale(const void* k, const double* w, double coefficient, double* out) const;
  // A cache line apart for every slot; valid until the next block of that slot.
  double* cost_scratch(int slot) const {
    return cost_rows_.size() > 0 ? cost_rows_.data() + slot * padded_ : nullptr;
  }

 private:
  const void* row_of(const void* k, std::ptrdiff_t r) const {
    return static_cast<const char*>(k) + r * padded_ * entry_bytes();
  }
  std::ptrdiff_t entry_bytes() const { return single_ ? sizeof(float) : sizeof(double); }
  const void* block(std::ptrdiff_t i, std::ptrdiff_t count, int slot);
  void fill(std::ptrdiff_t i, std::ptrdiff_t count, int slot, void* to) const;
  void reduce(double* t);

  const Costs* costs_;
  bool single_;
  std::ptrdiff_t padded_, chunk_rows_, n_chunks_, stored_rows_;
  int slots_;
  double inverse_reg_ = 0;
  std::vector<double> f_;
  AlignedBuffer<double> g_, partial_, cost_rows_;
  AlignedBuffer<char> stored_, fresh_;
  std::shared_ptr<const AlignedBuffer<char>> taken_;
  AlignedBuffer<float> coarse_;  // w, and t of every slot
};

}  // namespace kexue::transport
