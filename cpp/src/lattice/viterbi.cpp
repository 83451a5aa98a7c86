#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "bounded_steps.hpp"
#include "columns.hpp"
#include "kexue/core/buffer.hpp"
#include "kexue/core/constants.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/core/vectors.hpp"
#include "kexue/lattice/trellis.hpp"
#include "kexue/lattice/trellis_kernels.hpp"
#include "transposed.hpp"

namespace kexue::lattice {

using std::ptrdiff_t;

namespace {

template <class T>
constexpr T kNever = static_cast<T>(-kInf);

template <class T>
const TrellisKernel<T>& kernel() {
  if constexpr (std::is_same_v<T, float>) {
    return trellis_kernels().f32;
  } else {
    return trellis_kernels().f64;
  }
}

// Matrices with rows of whole cache lines, padded with -inf, as they are and transposed; or the
// entries of compressed rows, sorted by target.
template <class T>
struct Transitions {
  explicit Transitions(const Trellis<T>& trellis)
      : states(trellis.states),
        ld((trellis.states * static_cast<ptrdiff_t>(sizeof(T)) + 63) / 64 * 64 /
           static_cast<ptrdiff_t>(sizeof(T))),
        step(trellis.n_matrices > 1 ? states * ld : 0) {
    if (trellis.dense == nullptr) {
      sort_by_target(trellis);
      return;
    }
    rows = ld == states ? trellis.dense : nullptr;  // as they lie, without a copy
    if (rows == nullptr) {
      forward = padded(trellis.n_matrices);
      rows = forward.data();
    }
    // Few looks at a large matrix are cheaper down its columns than a transposed copy.
    const bool few_looks = trellis.batch * trellis.steps <= states * trellis.n_matrices;
    if (states > kFewStates && (states <= kSmall || !few_looks))
      backward = padded(trellis.n_matrices);
    for (ptrdiff_t m = 0; m < trellis.n_matrices; ++m) {
      const T* a = trellis.dense + m * states * states;
      if (forward.size() > 0) copy_rows(a, forward.data() + m * states * ld);
      if (backward.size() > 0) transpose(states, a, states, backward.data() + m * states * ld, ld);
    }
    tops = block_tops(trellis, rows, ld);
  }

  AlignedBuffer<T> padded(ptrdiff_t n_matrices) const {
    AlignedBuffer<T> buffer(n_matrices * states * ld);
    if (ld > states) std::fill(buffer.data(), buffer.data() + buffer.size(), kNever<T>);
    return buffer;
  }

  void copy_rows(const T* a, T* out) const {
    for (ptrdiff_t i = 0; i < states; ++i)
      std::copy(a + i * states, a + (i + 1) * states, out + i * ld);
  }

  void sort_by_target(const Trellis<T>& trellis) {
    first.assign(static_cast<std::size_t>(states) + 1, 0);
    const Index n = trellis.indptr[states];
    for (Index k = 0; k < n; ++k) ++first[trellis.indices[k] + 1];
    for (ptrdiff_t j = 0; j < states; ++j) first[j + 1] += first[j];
    std::vector<Index> next(first.begin(), first.end() - 1);
    source.resize(static_cast<std::size_t>(n));
    entry.resize(static_cast<std::size_t>(n));
    for (ptrdiff_t i = 0; i < states; ++i) {
      for (Index k = trellis.indptr[i]; k < trellis.indptr[i + 1]; ++k) {
        const Index at = next[trellis.indices[k]]++;
        source[at] = i;
        entry[at] = trellis.data[k];
      }
    }
  }

  static constexpr ptrdiff_t kSmall = 64;

  T entry_at(const Trellis<T>& trellis, ptrdiff_t t, Index i, Index j) const {
    if (!sparse()) {
      return trellis.dense[((trellis.n_matrices > 1 ? t : 0) * states + i) * states + j];
    }
    Index k = first[j];
    while (source[k] != i) ++k;
    return entry[k];
  }

  bool sparse() const { return !first.empty(); }

  ptrdiff_t states, ld, step;
  const T* rows = nullptr;
  AlignedBuffer<T> forward, backward, tops;
  std::vector<Index> first, source;
  std::vector<T> entry;
};

// Up to kMaxTogether sequences. value[t] is the best score up to step t without the emission at t.
template <class T>
class Group {
 public:
  Group(const Trellis<T>& trellis, const Transitions<T>& transitions, ptrdiff_t first,
        ptrdiff_t count)
      : trellis_(trellis), a_(transitions), first_(first), count_(count) {
    longest_ = *std::max_element(trellis.lengths + first, trellis.lengths + first + count);
    reached_ = AlignedBuffer<T>(count * a_.ld);
    std::fill(reached_.data(), reached_.data() + reached_.size(), kNever<T>);
    if (!few()) value_ = AlignedBuffer<T>(count * longest_ * a_.ld);
  }

  void run(Index* states, double* scores) {
    if (few()) {
      origin_ = AlignedBuffer<std::uint8_t>(longest_ * kFewStates);
    } else {
      forward();
    }
    for (ptrdiff_t r = 0; r < count_; ++r) {
      Index* path = states + (first_ + r) * trellis_.steps;
      std::fill(path + length(r), path + trellis_.steps, Index{-1});
      const bool possible = few() ? few_path(r, path) : trace(r, path);
      if (!possible) std::fill(path, path + length(r), Index{-1});
      scores[first_ + r] = possible ? score_of(r, path) : -kInf;
    }
  }

 private:
  // Vectors of a padded row of emissions end before the next row does.
  bool readable() const { return !a_.sparse() && a_.ld <= 2 * a_.states; }

  bool few() const { return !a_.sparse() && a_.states <= kFewStates; }

  // Rows of emissions that a vector would read beyond are copied, a stretch at a time.
  bool few_path(ptrdiff_t r, Index* path) const {
    constexpr ptrdiff_t kPiece = 1024;
    const ptrdiff_t last = length(r) - 1, n = a_.states;
    if (last < 0) return true;
    T* value = reached(r);
    std::copy(trellis_.start, trellis_.start + n, value);
    AlignedBuffer<T> copy(readable() ? 0 : std::min(kPiece, last) * a_.ld);
    std::fill(copy.data(), copy.data() + copy.size(), T{0});
    for (ptrdiff_t t = 0; t < last; t += kPiece) {
      poll_interrupt();
      const ptrdiff_t steps = std::min(kPiece, last - t);
      const T* emissions = trellis_.emission(first_ + r, t);
      if (!readable()) {
        for (ptrdiff_t k = 0; k < steps; ++k) {
          std::copy(emissions + k * n, emissions + (k + 1) * n, copy.data() + k * a_.ld);
        }
      }
      kernel<T>().few_steps(steps, n, a_.rows + t * a_.step, a_.step,
                            readable() ? emissions : copy.data(), readable() ? n : a_.ld, value,
                            origin_.data() + t * kFewStates);
    }
    Index state = final_state(r, last, value);
    if (state < 0) return false;
    path[last] = state;
    for (ptrdiff_t t = last; t-- > 0;) path[t] = state = origin_[t * kFewStates + state];
    return true;
  }

  // The best last state, -1 if none is possible; `row` holds the values at step t.
  Index final_state(ptrdiff_t r, ptrdiff_t t, const T* row) const {
    const T* emission = trellis_.emission(first_ + r, t);
    Index state = -1;
    T best = kNever<T>;
    for (ptrdiff_t s = 0; s < a_.states; ++s) {
      const T sum = row[s] + emission[s] + trellis_.stop[s];
      if (sum > best) {
        best = sum;
        state = s;
      }
    }
    return state;
  }

  static constexpr ptrdiff_t kStretch = 64, kPolled = 1 << 20;  // steps, entries between polls

  T* value(ptrdiff_t r, ptrdiff_t t) const { return value_.data() + (r * longest_ + t) * a_.ld; }
  T* reached(ptrdiff_t r) const { return reached_.data() + r * a_.ld; }
  Index length(ptrdiff_t r) const { return trellis_.lengths[first_ + r]; }

  // reached = value[t] + emission[t].
  void reach(ptrdiff_t r, ptrdiff_t t) const {
    const T* emission = trellis_.emission(first_ + r, t);
    const T* before = value(r, t);
    T* sum = reached(r);
    for (ptrdiff_t s = 0; s < a_.states; ++s) sum[s] = before[s] + emission[s];
  }

  void forward() const {
    for (ptrdiff_t r = 0; r < count_; ++r) {
      if (length(r) > 0) std::copy(trellis_.start, trellis_.start + a_.states, value(r, 0));
    }
    const int threads = step_threads(trellis_, a_.ld);
    if (threads == 1 && count_ == 1 && readable() && a_.tops.size() == 0) return stretches();
    std::vector<BoundedSteps<T>> bounded;
    for (ptrdiff_t r = 0; r < count_ && a_.tops.size() > 0; ++r) {
      bounded.emplace_back(a_.states, a_.ld, threads);
    }
    const ptrdiff_t unpolled = std::max<ptrdiff_t>(1, kPolled / (a_.states * a_.ld));
    for (ptrdiff_t t = 1; t < longest_; ++t) {
      if (t % unpolled == 0) poll_interrupt();
      const T* from[kMaxTogether];
      T* to[kMaxTogether];
      int together = 0;
      for (ptrdiff_t r = 0; r < count_; ++r) {
        if (length(r) <= t) continue;
        reach(r, t - 1);
        const auto sequence = static_cast<std::size_t>(r);
        if (!bounded.empty() && bounded[sequence].due()) {
          bounded[sequence].step(a_.rows, a_.tops.data(), reached(r), value(r, t));
          continue;
        }
        from[together] = reached(r);
        to[together++] = value(r, t);
      }
      if (together > 0) whole_step(threads, t, together, from, to);
    }
  }

  // A single sequence of few states or with matrices for each step.
  void stretches() const {
    for (ptrdiff_t t = 1; t < longest_; t += kStretch) {
      poll_interrupt();
      kernel<T>().max_steps(std::min(kStretch, longest_ - t), a_.states, a_.ld,
                            a_.rows + (t - 1) * a_.step, a_.step, trellis_.emission(first_, t - 1),
                            reached(0), value(0, t - 1));
    }
  }

  void whole_step(int threads, ptrdiff_t t, int together, const T* const* from,
                  T* const* to) const {
    const T* rows = a_.rows + (t - 1) * a_.step;
    if (a_.sparse()) {
      for (int r = 0; r < together; ++r) sparse_step(from[r], to[r]);
    } else if (together > 1) {
      kernel<T>().max_step(together, a_.states, a_.ld, rows, from, to);
    } else {
      share_columns<T>(threads, a_.ld, [&](ptrdiff_t begin, ptrdiff_t width) {
        kernel<T>().max_columns(a_.states, a_.ld, width, rows + begin, from[0], to[0] + begin,
                                a_.step == 0 && t % 2 != 0);
      });
    }
  }

  void sparse_step(const T* from, T* to) const {
    for (ptrdiff_t j = 0; j < a_.states; ++j) {
      T best = kNever<T>;
      for (Index k = a_.first[j]; k < a_.first[j + 1]; ++k) {
        best = std::max(best, from[a_.source[k]] + a_.entry[k]);
      }
      to[j] = best;
    }
  }

  // The smallest state before `state` at step t + 1 that attains its value.
  Index step_back(ptrdiff_t r, ptrdiff_t t, ptrdiff_t state) const {
    reach(r, t);
    const T* sum = reached(r);
    const T target = value(r, t + 1)[state];
    if (!a_.sparse()) {
      const T* column = a_.rows + t * a_.step + state;
      Index i = 0;
      while (sum[i] + column[i * a_.ld] != target) ++i;
      return i;
    }
    Index k = a_.first[state];
    while (sum[a_.source[k]] + a_.entry[k] != target) ++k;
    return a_.source[k];
  }

  bool trace(ptrdiff_t r, Index* path) const {
    const ptrdiff_t last = length(r) - 1;
    if (last < 0) return true;
    const Index state = final_state(r, last, value(r, last));
    if (state < 0) return false;
    path[last] = state;
    if (readable() && a_.backward.size() > 0) {
      kernel<T>().trace(last, a_.states, a_.ld, a_.backward.data(), a_.step,
                        trellis_.emission(first_ + r, 0), value(r, 0), path);
    } else {
      for (ptrdiff_t t = last; t-- > 0;) path[t] = step_back(r, t, path[t + 1]);
    }
    return true;
  }

  double score_of(ptrdiff_t r, const Index* path) const {
    const ptrdiff_t last = length(r) - 1;
    if (last < 0) return 0;
    const T* emission = trellis_.emission(first_ + r, 0);
    double nodes = static_cast<double>(trellis_.start[path[0]]) +
                   static_cast<double>(trellis_.stop[path[last]]) +
                   static_cast<double>(emission[last * a_.states + path[last]]);
    double edges = 0;
    for (ptrdiff_t t = 0; t < last; ++t) {
      nodes += static_cast<double>(emission[t * a_.states + path[t]]);
      edges += static_cast<double>(a_.entry_at(trellis_, t, path[t], path[t + 1]));
    }
    return nodes + edges;
  }

  const Trellis<T>& trellis_;
  const Transitions<T>& a_;
  ptrdiff_t first_, count_, longest_ = 0;
  AlignedBuffer<T> value_, reached_;
  AlignedBuffer<std::uint8_t> origin_;
};

}  // namespace

template <class T>
T largest_modulus(const T* scores, ptrdiff_t n) {
  constexpr ptrdiff_t kPiece = 1 << 20;  // between polls
  T top = 0;
  for (ptrdiff_t begin = 0; begin < n; begin += kPiece) {
    poll_interrupt();
    const T found = vector_kernels<T>().largest(scores + begin, std::min(kPiece, n - begin));
    if (std::isnan(found)) return found;
    top = std::max(top, found);
  }
  return top;
}

template float largest_modulus(const float*, ptrdiff_t);
template double largest_modulus(const double*, ptrdiff_t);

template <class T>
void viterbi(const Trellis<T>& trellis, Index* states, double* scores) {
  const Transitions<T> transitions(trellis);
  const ptrdiff_t n_groups = (trellis.batch + kMaxTogether - 1) / kMaxTogether;
  parallel_for(
      n_groups,
      [&](ptrdiff_t group, int) {
        const ptrdiff_t first = group * kMaxTogether;
        const ptrdiff_t count = std::min<ptrdiff_t>(kMaxTogether, trellis.batch - first);
        Group<T>(trellis, transitions, first, count).run(states, scores);
      },
      trellis.workers);
}

template void viterbi(const Trellis<float>&, Index*, double*);
template void viterbi(const Trellis<double>&, Index*, double*);

}  // namespace kexue::lattice
