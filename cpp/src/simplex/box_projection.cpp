#include "kexue/simplex/box_projection.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "kexue/core/buffer.hpp"
#include "kexue/core/constants.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/simplex/box_search.hpp"
#include "kexue/simplex/kernels.hpp"
#include "kexue/simplex/row_loop.hpp"
#include "kexue/simplex/sorting.hpp"

namespace kexue::simplex {
namespace {

using std::ptrdiff_t;

// A residual that the rounding of the result hides, relative to the sum.
template <class T>
constexpr double kEnough = std::is_same_v<T, float> ? 0x1p-30 : 0x1p-56;
// A longer row is worked on in pieces of this size, by all workers.
constexpr ptrdiff_t kPiece = 1 << 16;
// Rows at least so long look for their start in one block of eight, and leave behind what is at
// its lower bound.
constexpr ptrdiff_t kLong = 512;
constexpr ptrdiff_t kRangeStep = 8;
// Room that gathering needs beyond the last entry: a vector.
constexpr ptrdiff_t kRoom = 8;

template <class T>
const BoxKernels<T>& kernels() {
  if constexpr (std::is_same_v<T, float>) {
    return box_tables().f32;
  } else {
    return box_tables().f64;
  }
}

// Memory for the gathered entries of a row: x and the arrays it has.
struct Gathered {
  AlignedBuffer<double> memory;

  // As BoxRow of `count` entries, arrays a stride apart.
  template <class T>
  BoxRow<double> row_like(const BoxRow<T>& row, ptrdiff_t stride, ptrdiff_t count) const {
    double* x = memory.data();
    double* w = row.weights == nullptr ? nullptr : x + stride;
    double* l = row.lower == nullptr ? nullptr : x + 2 * stride;
    return {x, w, l, l == nullptr ? nullptr : l + stride, row.lowest, row.highest, count};
  }
  void reserve(ptrdiff_t size) {
    if (memory.size() < size) memory = AlignedBuffer<double>(size);
  }
};

// The passes over a row, a long one in pieces on the pool. Sums are added in the order of pieces.
template <class T>
class Passes {
 public:
  Passes(const BoxRow<T>& row, int workers) : row_(row), workers_(workers) {
    pieces_ = row.n <= 2 * kPiece ? 1 : (row.n + kPiece - 1) / kPiece;
    if (pieces_ > 1) {
      sums_ = AlignedBuffer<BoxSums>(pieces_);
      ranges_ = AlignedBuffer<BoxRange>(pieces_);
      kept_ = AlignedBuffer<BoxKept>(pieces_);
    }
  }
  ptrdiff_t size() const { return row_.n; }
  bool in_one_piece() const { return pieces_ == 1; }
  bool weighted() const { return row_.weights != nullptr; }
  bool bounded_above() const { return row_.lower != nullptr || row_.highest < kInf; }

  BoxSums sums(BoxRoot tau) const {
    if (pieces_ == 1) return kernels<T>().sums(row_, tau);
    for_pieces([&](ptrdiff_t p) { sums_[p] = kernels<T>().sums(piece(p), tau); });
    BoxSums total{0, 0, 0, 0};
    for (ptrdiff_t p = 0; p < pieces_; ++p) {
      const BoxRoot sum = sum_of(total.high, sums_[p].high);
      total = {sum.high, total.low + sum.low + sums_[p].low, total.slope + sums_[p].slope,
               total.above + sums_[p].above};
    }
    return total;
  }
  BoxRange range(double slack, ptrdiff_t step) const {
    if (pieces_ == 1) return kernels<T>().range(row_, slack, step);
    for_pieces([&](ptrdiff_t p) { ranges_[p] = kernels<T>().range(piece(p), slack, step); });
    BoxRange total = ranges_[0];
    for (ptrdiff_t p = 1; p < pieces_; ++p) {
      total.single = std::max(total.single, ranges_[p].single);
      total.all_lower = std::max(total.all_lower, ranges_[p].all_lower);
    }
    return total;
  }
  // The entries above their lower bounds at tau; `rest` is the sum of the others.
  BoxRow<double> gather(BoxRoot tau, Gathered& memory, BoxRoot& rest) const {
    const bool arrays = row_.weights != nullptr || row_.lower != nullptr;
    const auto gather_to = [&](const BoxRow<T>& from, double* x, ptrdiff_t stride) {
      return kernels<T>().gather(from, tau, x, x + stride, x + 2 * stride, x + 3 * stride);
    };
    if (pieces_ == 1) {
      const ptrdiff_t stride = row_.n + kRoom;
      memory.reserve(stride * (arrays ? 4 : 1));
      const BoxKept kept = gather_to(row_, memory.memory.data(), stride);
      rest = {kept.high, kept.low};
      return memory.row_like(row_, stride, kept.count);
    }
    // Each piece through a buffer of its thread, so that memory is touched only for what is kept.
    const ptrdiff_t stride = kPiece + kRoom, n_arrays = arrays ? 4 : 1;
    const int n_slots = planned_workers(pieces_, workers_);
    AlignedBuffer<double> buffers(n_slots * n_arrays * stride);
    std::vector<std::vector<double>> found(static_cast<std::size_t>(pieces_));
    parallel_for(
        pieces_,
        [&](ptrdiff_t p, int slot) {
          const double* buffer = buffers.data() + slot * n_arrays * stride;
          kept_[p] = gather_to(piece(p), buffers.data() + slot * n_arrays * stride, stride);
          auto& mine = found[static_cast<std::size_t>(p)];
          for (ptrdiff_t a = 0; a < n_arrays; ++a) {
            if (has_array(a)) {
              mine.insert(mine.end(), buffer + a * stride, buffer + a * stride + kept_[p].count);
            }
          }
        },
        n_slots);
    ptrdiff_t total = 0, count = 0;
    for (ptrdiff_t p = 0; p < pieces_; ++p) total += kept_[p].count;
    memory.reserve(n_arrays * (total + kRoom));
    rest = {0, 0};
    for (ptrdiff_t p = 0; p < pieces_; ++p) {
      const double* from = found[static_cast<std::size_t>(p)].data();
      for (ptrdiff_t a = 0; a < n_arrays; ++a) {
        if (!has_array(a)) continue;
        std::copy_n(from, kept_[p].count, memory.memory.data() + a * (total + kRoom) + count);
        from += kept_[p].count;
      }
      count += kept_[p].count;
      const BoxRoot sum = sum_of(rest.high, kept_[p].high);
      rest = {sum.high, rest.low + sum.low + kept_[p].low};
    }
    return memory.row_like(row_, total + kRoom, total);
  }
  void store(BoxRoot tau, T* out) const {
    if (pieces_ == 1) return kernels<T>().store(row_, tau, out);
    for_pieces([&](ptrdiff_t p) { kernels<T>().store(piece(p), tau, out + p * kPiece); });
  }

 private:
  // Of x, weights, lower, upper.
  bool has_array(ptrdiff_t a) const {
    return a == 0 || (a == 1 ? row_.weights : row_.lower) != nullptr;
  }
  BoxRow<T> piece(ptrdiff_t p) const {
    const ptrdiff_t begin = p * kPiece;
    BoxRow<T> part = row_;
    part.x += begin;
    if (part.weights != nullptr) part.weights += begin;
    if (part.lower != nullptr) part.lower += begin, part.upper += begin;
    part.n = std::min(kPiece, row_.n - begin);
    return part;
  }
  template <class F>
  void for_pieces(F&& f) const {
    parallel_for(pieces_, [&](ptrdiff_t p, int) { f(p); }, workers_);
  }

  BoxRow<T> row_;
  int workers_;
  ptrdiff_t pieces_;
  AlignedBuffer<BoxSums> sums_;
  AlignedBuffer<BoxRange> ranges_;
  AlignedBuffer<BoxKept> kept_;
};

template <class T>
BoxRoot solve(const Passes<T>& row, double radius, double lowest_sum, Gathered& memory,
              bool& settled) {
  settled = false;
  const BoxRoot none{std::numeric_limits<double>::quiet_NaN(), 0};
  const double slack = radius - lowest_sum;
  const bool is_long = row.size() >= kLong;
  BoxRange range = row.range(slack, is_long ? kRangeStep : 1);
  if (is_long && !std::isfinite(range.single)) range = row.range(slack, 1);
  double start = std::isfinite(range.single) ? range.single : range.all_lower;
  if (!std::isfinite(start)) {
    if (start < 0) return none;
    start = 0;
  }
  // Without upper bounds the start lies below the root, but for its rounding: a row in the cache
  // leaves all but the candidates behind at once.
  const bool at_once = is_long && row.in_one_piece() && !row.bounded_above();
  if (at_once) start -= 0x1p-48 * std::max(std::abs(start), std::abs(range.all_lower));
  BoxSearch search(start, radius, slack, kEnough<T>, row.weighted());
  BoxRoot rest{0, 0}, at = search.tau;
  // Else on the row itself, until it is known what can be left behind.
  while (!at_once) {
    at = search.tau;
    const BoxSums sums = row.sums(at);
    const bool moved = search.advance(sums, rest);
    settled = search.settled;
    if (!moved) return search.failed ? none : search.tau;
    if (is_long && search.below && sums.above <= static_cast<double>(row.size()) / 2) break;
  }
  for (BoxRow<double> kept = row.gather(at, memory, rest);;) {
    at = search.tau;
    const bool moved = search.advance(kernels<double>().sums(kept, at), rest);
    settled = search.settled;
    if (!moved) return search.failed ? none : search.tau;
  }
}

template <class T>
BoxRow<T> row_of(const BoxProblem<T>& p, ptrdiff_t i) {
  return {p.x.row(i),
          p.weights.data == nullptr ? nullptr : p.weights.row(i),
          p.lower.data == nullptr ? nullptr : p.lower.row(i),
          p.lower.data == nullptr ? nullptr : p.upper.row(i),
          p.lowest,
          p.highest,
          p.x.cols};
}

template <class T>
void project_row(const BoxRow<T>& row, double radius, double lowest_sum, T* out, Gathered& memory,
                 int workers, const BoxReach& reach) {
  if (reach.is_exceeded(radius)) return project_extreme(row, radius, out);
  const Passes<T> passes(row, workers);
  bool settled = false;
  const BoxRoot tau = solve(passes, radius, lowest_sum, memory, settled);
  const bool right =
      (settled && !reach.may_hide()) ||
      (std::isfinite(tau.high) && is_within_rounding(row, tau, passes.sums(tau), radius));
  if (right) {
    passes.store(tau, out);
  } else {
    project_extreme(row, radius, out);
  }
}

// f(i, slot) for every row, many short rows or one long row at a time.
template <class F>
void for_rows(ptrdiff_t rows, ptrdiff_t cols, int workers, F&& f) {
  if (cols > 2 * kPiece) {
    for (ptrdiff_t i = 0; i < rows; ++i) f(i, 0, workers);
    return;
  }
  for_each_row(rows, cols, workers, [&](ptrdiff_t i, int slot) { f(i, slot, 1); });
}

// Slots that for_rows can use at most, `workers` being their number.
int slots(ptrdiff_t cols, int workers) { return cols > 2 * kPiece ? 1 : workers; }

// Whether rows follow one another in memory and have weights and bounds in common.
template <class T>
bool shares_columns(const BoxProblem<T>& p) {
  const ptrdiff_t n = p.x.cols;
  const auto shared = [](const MatrixView<const T>& a) {
    return a.data == nullptr || a.row_stride == 0;
  };
  const bool contiguous = p.x.rows <= 1 || (p.x.row_stride == n && p.out.row_stride == n &&
                                            p.radius.stride == 1 && p.lowest_sum.stride == 1);
  return contiguous && shared(p.weights) && shared(p.lower) && shared(p.upper);
}

template <class T>
void project_short_rows(const BoxProblem<T>& problem, int workers) {
  const ptrdiff_t n = problem.x.cols, rows = problem.x.rows;
  const BoxReach reach = reach_of(row_of(problem, 0));
  const ptrdiff_t per_chunk = std::max<ptrdiff_t>(1, kChunkEntries / n);
  parallel_for((rows + per_chunk - 1) / per_chunk,
               [&](ptrdiff_t chunk, int) {
                 const ptrdiff_t first = chunk * per_chunk,
                                 count = std::min(per_chunk, rows - first);
                 std::vector<unsigned char> solved(static_cast<std::size_t>(count));
                 bool ordinary = !reach.may_hide();
                 for (ptrdiff_t i = first; i < first + count && ordinary; ++i) {
                   ordinary = !reach.is_exceeded(problem.radius[i]);
                 }
                 if (ordinary) {
                   kernels<T>().short_rows(row_of(problem, first), count, &problem.radius[first],
                                           &problem.lowest_sum[first], problem.out.row(first),
                                           solved.data());
                 }
                 Gathered memory;
                 for (ptrdiff_t i = 0; i < count; ++i) {
                   if (solved[static_cast<std::size_t>(i)] != 0) continue;
                   BoxRow<T> row = row_of(problem, first + i);
                   if (ordinary) row.x = problem.out.row(first + i);
                   project_row(row, problem.radius[first + i], problem.lowest_sum[first + i],
                               problem.out.row(first + i), memory, 1, reach);
                 }
               },
               workers);
}

}  // namespace

BoxRoot box_root(const BoxRow<double>& row, double radius, double lowest_sum) {
  Gathered memory;
  bool settled = false;
  return solve(Passes<double>(row, 1), radius, lowest_sum, memory, settled);
}

template <class T>
void project_box_simplex(const BoxProblem<T>& problem, int workers) {
  workers = planned_workers(kMaxWorkers, workers);
  if (problem.x.rows == 0) return;
  if (problem.x.cols <= kShortRow && shares_columns(problem)) {
    return project_short_rows(problem, workers);
  }
  const int n_slots = slots(problem.x.cols, workers);
  std::vector<Gathered> memory(static_cast<std::size_t>(n_slots));
  const bool shared = problem.weights.row_stride == 0 && problem.lower.row_stride == 0;
  const BoxReach common = reach_of(row_of(problem, 0));
  for_rows(problem.x.rows, problem.x.cols, workers, [&](ptrdiff_t i, int slot, int row_workers) {
    const BoxRow<T> row = row_of(problem, i);
    project_row(row, problem.radius[i], problem.lowest_sum[i], problem.out.row(i),
                memory[static_cast<std::size_t>(slot)], row_workers,
                shared ? common : reach_of(row));
  });
}

template <class T>
void project_sparse_simplex(MatrixView<const T> x, ptrdiff_t k, double highest,
                            VectorView<const double> radius, MatrixView<T> out, int workers) {
  const ptrdiff_t n = x.cols;
  workers = planned_workers(kMaxWorkers, workers);
  const int n_slots = slots(n, workers);
  AlignedBuffer<ptrdiff_t> orders(n_slots * k);
  AlignedBuffer<T> values(n_slots * k), scratch(n_slots * n);
  std::vector<Gathered> memory(static_cast<std::size_t>(n_slots));
  for_rows(x.rows, n, workers, [&](ptrdiff_t i, int slot, int row_workers) {
    const T* row = x.row(i);
    ptrdiff_t* order = orders.data() + slot * k;
    T* largest = values.data() + slot * k;
    const auto fill = [&](T value) {
      for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
        std::fill(out.row(i) + begin, out.row(i) + end, value);
      });
    };
    bool nan = false;
    for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
      nan = nan || std::any_of(row + begin, row + end, [](T v) { return std::isnan(v); });
    });
    if (nan) return fill(std::numeric_limits<T>::quiet_NaN());
    const T least = kth_largest(row, n, k, scratch.data() + slot * n);
    ptrdiff_t above = 0;
    for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
      above += std::count_if(row + begin, row + end, [=](T v) { return v > least; });
    });
    // In the order of places, in which they are summed; of equal ones the first.
    ptrdiff_t ties = k - above, count = 0;
    for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
      for (ptrdiff_t j = begin; j < end; ++j) {
        if (row[j] > least || (row[j] == least && ties-- > 0)) {
          order[count] = j;
          largest[count++] = row[j];
        }
      }
    });
    const BoxRow<T> chosen{largest, nullptr, nullptr, nullptr, 0.0, highest, k};
    project_row(chosen, radius[i], 0.0, largest, memory[static_cast<std::size_t>(slot)],
                row_workers, reach_of(chosen));
    fill(std::isnan(largest[0]) ? largest[0] : T(0));
    for (ptrdiff_t j = 0; j < k; ++j) out(i, order[j]) = largest[j];
  });
}

#define KEXUE_INSTANTIATE(T)                                                      \
  template void project_box_simplex<T>(const BoxProblem<T>&, int);                \
  template void project_sparse_simplex<T>(MatrixView<const T>, ptrdiff_t, double, \
                                          VectorView<const double>, MatrixView<T>, int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
