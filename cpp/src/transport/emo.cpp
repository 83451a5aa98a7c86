#include "kexue/transport/emo.hpp"

#include <algorithm>

#include "emo_rows.hpp"
#include "kexue/core/gemm.hpp"
#include "kexue/core/index.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/core/vectors.hpp"

namespace kexue::transport {

using std::ptrdiff_t;

namespace {

// Entries that are worth a chunk of work.
constexpr ptrdiff_t kChunkEntries = 1 << 15;

// Sums over one chunk of the vocabulary: of p_i (1 - s_i), p_i s_i and tau_i p_i s_i.
struct Part {
  double cost, similarity, overlap;
};

// Rows that share targets: order[first_token .. last_token) have the targets first_target ..
struct Block {
  ptrdiff_t first_token, last_token, n_targets;
};

template <class T>
class Emo {
 public:
  Emo(const EmoProblem<T>& problem, double* values, MatrixView<T> gradient)
      : problem_(problem),
        values_(values),
        gradient_(gradient),
        n_(problem.logits.rows),
        vocabulary_(problem.logits.cols),
        depth_(problem.embeddings.cols),
        embeddings_(problem.embeddings, problem.workers),
        rows_(n_),
        order_(n_) {}

  Verdict run() {
    if (embeddings_.verdict().fault != Fault::none) return embeddings_.verdict();
    if (const Verdict verdict = read_rows(); verdict.fault != Fault::none) return verdict;
    sort_rows();
    plan_panels();
    for (ptrdiff_t first = 0; first < n_counted_;) first = run_block(first);
    mix();
    if (gradient_.data != nullptr) finish();
    return {};
  }

 private:
  bool counted(ptrdiff_t r) const { return problem_.labels == nullptr || problem_.labels[r] >= 0; }
  ptrdiff_t rows_per_chunk() const {
    return std::max<ptrdiff_t>(1, kChunkEntries / std::max<ptrdiff_t>(1, vocabulary_));
  }
  template <class F>
  void for_rows(F&& f) const {
    const ptrdiff_t per_chunk = rows_per_chunk();
    parallel_for(
        ceil_div(n_, per_chunk),
        [&](ptrdiff_t chunk, int) {
          const ptrdiff_t last = std::min(n_, (chunk + 1) * per_chunk);
          for (ptrdiff_t r = chunk * per_chunk; r < last; ++r) f(r);
        },
        n_ * vocabulary_ < kChunkEntries ? 1 : problem_.workers);
  }

  Verdict read_rows() {
    AlignedBuffer<Fault> faults(n_);
    for_rows([&](ptrdiff_t r) {
      faults[r] = counted(r) ? read_row(problem_, r, rows_[r]) : Fault::none;
    });
    for (ptrdiff_t r = 0; r < n_; ++r) {
      if (faults[r] != Fault::none) return {faults[r], r};
    }
    return {};
  }

  // Counted rows in the order of their targets; distributions are each a target of their own.
  void sort_rows() {
    if (problem_.labels == nullptr) {
      n_counted_ = n_;
      for (ptrdiff_t r = 0; r < n_; ++r) order_[r] = r;
      return;
    }
    AlignedBuffer<ptrdiff_t> next(vocabulary_ + 1);  // place of the next row of each target
    std::fill_n(next.data(), vocabulary_ + 1, 0);
    for (ptrdiff_t r = 0; r < n_; ++r) {
      if (counted(r)) ++next[rows_[r].pivot + 1];
    }
    for (ptrdiff_t t = 0; t < vocabulary_; ++t) next[t + 1] += next[t];
    n_counted_ = next[vocabulary_];
    for (ptrdiff_t r = 0; r < n_; ++r) {
      if (counted(r)) order_[next[rows_[r].pivot]++] = r;
    }
  }

  // Sizes that keep the packed targets, the products of every thread and the parts within 16 MiB.
  void plan_panels() {
    constexpr ptrdiff_t kTargetBytes = 5 << 20, kProductBytes = 6 << 20, kChunks = 96;
    const auto size = static_cast<ptrdiff_t>(sizeof(T));
    width_ = panel_width<T>();
    const ptrdiff_t n_panels = ceil_div(vocabulary_, width_);
    panels_per_chunk_ = ceil_div(n_panels, kChunks);
    n_chunks_ = ceil_div(n_panels, panels_per_chunk_);
    const double work = static_cast<double>(n_counted_) * static_cast<double>(vocabulary_) *
                        static_cast<double>(depth_ + 8);
    workers_ = planned_workers(n_chunks_, work < 2e5 ? 1 : problem_.workers);
    const bool hard = problem_.labels != nullptr;
    const ptrdiff_t copies = hard ? 1 : 2;
    const ptrdiff_t by_targets = kTargetBytes / (copies * depth_ * size);
    const ptrdiff_t by_products = kProductBytes / (workers_ * width_ * size) - kGemmDepth;
    most_targets_ = std::clamp<ptrdiff_t>(std::min(by_targets, by_products), 96, 1024);
    const ptrdiff_t distinct = hard ? std::min(vocabulary_, n_counted_) : n_counted_;
    const ptrdiff_t room = std::min(most_targets_, distinct) + gemm_kernels<T>().mr;
    product_size_ = room * width_;
    slot_size_ = panel_scratch<T>(depth_) + product_size_ + width_;
    scratch_ = AlignedBuffer<T>(workers_ * slot_size_);
    parts_ = AlignedBuffer<Part>(n_chunks_ * std::min(kMostTokens, n_counted_));
  }

  // Targets of the rows from `first` on, as many as fit; returns the first row beyond.
  ptrdiff_t run_block(ptrdiff_t first) {
    const bool hard = problem_.labels != nullptr;
    ptrdiff_t last = first, n_targets = 0;
    while (last < n_counted_ && last - first < kMostTokens) {
      const bool fresh =
          !hard || last == first || rows_[order_[last]].pivot != rows_[order_[last - 1]].pivot;
      if (fresh && n_targets == most_targets_) break;
      n_targets += fresh ? 1 : 0;
      ++last;
    }
    const Block block{first, last, n_targets};
    PackedTargets<T> targets(n_targets, depth_);
    if (hard) {
      pack_labels(block, targets);
    } else {
      pack_distributions(block, targets);
    }
    parallel_for(
        n_chunks_, [&](ptrdiff_t chunk, int slot) { run_chunk(block, targets, chunk, slot); },
        workers_);
    const ptrdiff_t n_tokens = last - first;
    for (ptrdiff_t i = 0; i < n_tokens; ++i) {
      Part sum{};
      for (ptrdiff_t chunk = 0; chunk < n_chunks_; ++chunk) {
        sum.cost += parts_[chunk * n_tokens + i].cost;
        sum.similarity += parts_[chunk * n_tokens + i].similarity;
        sum.overlap += parts_[chunk * n_tokens + i].overlap;
      }
      Row<T>& row = rows_[order_[first + i]];
      row.cost = sum.cost;
      row.similarity = sum.cost < 0.5 ? 1 - sum.cost : sum.similarity;
      row.overlap = sum.overlap;
    }
    return last;
  }

  void pack_labels(const Block& block, PackedTargets<T>& targets) {
    AlignedBuffer<T> unit(depth_);
    ptrdiff_t u = 0;
    for (ptrdiff_t i = block.first_token; i < block.last_token; ++i) {
      const ptrdiff_t t = rows_[order_[i]].pivot;
      if (i > block.first_token && t == rows_[order_[i - 1]].pivot) continue;
      embeddings_.copy(t, unit.data());
      targets.set_row(u++, unit.data());
    }
  }
  // c = tau_K e_K + E^T tau', and the cost of the entry K.
  void pack_distributions(const Block& block, PackedTargets<T>& targets) {
    const ptrdiff_t n = block.n_targets, row0 = order_[block.first_token];
    AlignedBuffer<T> context(n * depth_), unit(depth_);
    AlignedBuffer<ptrdiff_t> pivots(n);
    AlignedBuffer<double> factors(n);
    for (ptrdiff_t i = 0; i < n; ++i) {
      pivots[i] = rows_[row0 + i].pivot;
      factors[i] = rows_[row0 + i].target_scale;
    }
    contexts(embeddings_, problem_.soft.block(row0, 0, n, vocabulary_), pivots.data(),
             factors.data(), row_major(context.data(), n, depth_), problem_.workers);
    for (ptrdiff_t i = 0; i < n; ++i) {
      Row<T>& row = rows_[row0 + i];
      T* c = context.data() + i * depth_;
      embeddings_.copy(row.pivot, unit.data());
      const T mass = static_cast<T>(1 - row.target_rest);
      double similarity = 0;
      for (ptrdiff_t k = 0; k < depth_; ++k) {
        similarity += static_cast<double>(unit[k]) * static_cast<double>(c[k]);
        c[k] += mass * unit[k];
      }
      row.pivot_cost = std::max(0.0, row.target_rest - similarity);
      targets.set_row(i, c);
    }
  }

  void run_chunk(const Block& block, const PackedTargets<T>& targets, ptrdiff_t chunk, int slot) {
    T* s = scratch_.data() + slot * slot_size_;
    T* spare = s + product_size_;  // where the weighed row goes without a gradient
    T* packed = spare + width_;
    Part* parts = parts_.data() + chunk * (block.last_token - block.first_token);
    std::fill_n(parts, block.last_token - block.first_token, Part{});
    const ptrdiff_t end = std::min(vocabulary_, (chunk + 1) * panels_per_chunk_ * width_);
    for (ptrdiff_t v0 = chunk * panels_per_chunk_ * width_; v0 < end; v0 += width_) {
      multiply_panel(targets, embeddings_, v0, packed, s);
      ptrdiff_t u = -1, target = -1;
      for (ptrdiff_t i = block.first_token; i < block.last_token; ++i) {
        const ptrdiff_t r = order_[i];
        const bool fresh = problem_.labels == nullptr || rows_[r].pivot != target;
        if (fresh) {
          ++u;
          target = rows_[r].pivot;
          // The target's own cost is an exact zero, or known.
          if (target >= v0 && target < v0 + width_) s[u * width_ + target - v0] = 1;
        }
        use_products(r, s + u * width_, v0, spare, parts[i - block.first_token]);
      }
    }
  }

  // One row's part of a panel: p_i s_i and the sum of the costs.
  void use_products(ptrdiff_t r, const T* s, ptrdiff_t v0, T* spare, Part& part) {
    const Row<T>& row = rows_[r];
    const ptrdiff_t count = std::min(width_, vocabulary_ - v0);
    const T* z = problem_.logits.row(r) + v0;
    T* g = gradient_.data != nullptr ? gradient_.row(r) + v0 : spare;
    const WeighedSums sums = emo_kernels<T>().weigh(z, s, g, count, row.units);
    part.cost += sums.cost;
    part.similarity += sums.similarity;
    if (row.pivot_cost != 0 && row.pivot >= v0 && row.pivot < v0 + count) {
      g[row.pivot - v0] = static_cast<T>(row.p * (1 - row.pivot_cost));
      part.cost += row.p * row.pivot_cost;
      part.similarity -= row.p * row.pivot_cost;
    }
    if (problem_.labels == nullptr && overlaps()) {
      const T* tau = problem_.soft.row(r) + v0;
      part.overlap += row.target_scale * static_cast<double>(inner(tau, g, count));
    }
  }
  bool overlaps() const {
    return problem_.mixture == Mixture::patch1 || problem_.mixture == Mixture::patch2;
  }

  // Values, and the weights of both gradients.
  void mix() {
    constexpr double kTiny = 1e-10;  // as published
    for (ptrdiff_t r = 0; r < n_; ++r) {
      if (!counted(r)) {
        values_[r] = 0;
        continue;
      }
      Row<T>& row = rows_[r];
      const double entropy = row.entropy;
      double cost = row.cost;
      if (overlaps()) cost += problem_.labels != nullptr ? row.p : row.overlap;
      switch (problem_.mixture) {
        case Mixture::emo:
          row.w_entropy = 0;
          row.w_cost = 1;
          values_[r] = cost;
          continue;
        case Mixture::paper:
        case Mixture::patch1:
        case Mixture::wheel1: {
          const double ratio = entropy / (cost + kTiny);
          const double bounded = problem_.mixture == Mixture::wheel1 ? std::min(ratio, 3.0) : ratio;
          row.w_entropy = 0.5;
          row.w_cost = 0.5 * bounded;
          break;
        }
        case Mixture::patch2:
        case Mixture::wheel2:
          row.w_entropy = cost / (entropy + kTiny);
          row.w_cost = 1;
          break;
      }
      values_[r] = row.w_entropy * entropy + row.w_cost * cost;
    }
  }

  void finish() {
    for_rows([&](ptrdiff_t r) {
      T* g = gradient_.row(r);
      if (!counted(r)) {
        std::fill_n(g, vocabulary_, T(0));
        return;
      }
      const Row<T>& row = rows_[r];
      const double w_entropy = row.w_entropy * problem_.weight;
      const double w_cost = row.w_cost * problem_.weight;
      const bool soft = problem_.labels == nullptr && w_entropy != 0;
      emo_kernels<T>().combine(problem_.logits.row(r), soft ? problem_.soft.row(r) : nullptr, g,
                               vocabulary_, row.units, static_cast<T>(-w_cost),
                               static_cast<T>(w_entropy + w_cost * row.similarity),
                               static_cast<T>(w_entropy * row.target_scale));
      g[row.pivot] = static_cast<T>(w_entropy * (row.target_rest - row.rest) +
                                    w_cost * row.p * (row.pivot_cost - row.cost));
    });
  }

  static constexpr ptrdiff_t kMostTokens = 1024;

  const EmoProblem<T>& problem_;
  double* values_;
  MatrixView<T> gradient_;
  ptrdiff_t n_, vocabulary_, depth_;
  UnitRows<T> embeddings_;
  AlignedBuffer<Row<T>> rows_;
  AlignedBuffer<ptrdiff_t> order_;
  ptrdiff_t n_counted_ = 0;
  ptrdiff_t width_ = 0, panels_per_chunk_ = 0, n_chunks_ = 0, most_targets_ = 0;
  ptrdiff_t product_size_ = 0, slot_size_ = 0;
  int workers_ = 1;
  AlignedBuffer<T> scratch_;
  AlignedBuffer<Part> parts_;
};

}  // namespace

template <class T>
Verdict emo_loss(const EmoProblem<T>& problem, double* values, MatrixView<T> gradient) {
  return Emo<T>(problem, values, gradient).run();
}

template Verdict emo_loss<float>(const EmoProblem<float>&, double*, MatrixView<float>);
template Verdict emo_loss<double>(const EmoProblem<double>&, double*, MatrixView<double>);

}  // namespace kexue::transport
