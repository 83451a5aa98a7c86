#include "kexue/simplex/box_projection.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <type_traits>

#include "kexue/core/buffer.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/simplex/row_loop.hpp"

namespace kexue::simplex {
namespace {

using std::ptrdiff_t;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Newton's steps are monotone without upper bounds and nearly so with them; random and adversarial
// rows take at most 15. What is left bisects: a double has 64 bits.
constexpr int kNewtonPasses = 24;
constexpr int kMaxPasses = kNewtonPasses + 72;
// A residual that the rounding of the result hides, relative to the sum.
template <class T>
constexpr double kEnough = std::is_same_v<T, float> ? 0x1p-30 : 0x1p-56;
// A longer row is worked on in pieces of this size, by all workers.
constexpr ptrdiff_t kPiece = 1 << 16;

template <class T>
const BoxKernels<T>& kernels() {
  if constexpr (std::is_same_v<T, float>) {
    return box_tables().f32;
  } else {
    return box_tables().f64;
  }
}

BoxRoot sum_of(double a, double b) {
  const double sum = a + b, part = sum - a;
  return {sum, (a - (sum - part)) + (b - part)};
}
BoxRoot advanced(BoxRoot t, double step) {
  const BoxRoot first = sum_of(t.high, step);
  return sum_of(first.high, first.low + t.low);
}

// The passes over a row, a long one in pieces on the pool. Sums are added in the order of pieces.
template <class T>
class Passes {
 public:
  Passes(const BoxRow<T>& row, int workers) : row_(row), workers_(workers) {
    pieces_ = row.n <= 2 * kPiece ? 1 : (row.n + kPiece - 1) / kPiece;
    if (pieces_ > 1) {
      sums_ = AlignedBuffer<BoxSums>(pieces_);
      ranges_ = AlignedBuffer<BoxRange>(pieces_);
    }
  }

  BoxSums sums(BoxRoot tau) const {
    if (pieces_ == 1) return kernels<T>().sums(row_, tau);
    for_pieces([&](ptrdiff_t p) { sums_[p] = kernels<T>().sums(piece(p), tau); });
    BoxSums total{0, 0, 0};
    for (ptrdiff_t p = 0; p < pieces_; ++p) {
      const BoxRoot sum = sum_of(total.high, sums_[p].high);
      total = {sum.high, total.low + sum.low + sums_[p].low, total.slope + sums_[p].slope};
    }
    return total;
  }
  BoxRange range(double slack) const {
    if (pieces_ == 1) return kernels<T>().range(row_, slack);
    for_pieces([&](ptrdiff_t p) { ranges_[p] = kernels<T>().range(piece(p), slack); });
    BoxRange total = ranges_[0];
    for (ptrdiff_t p = 1; p < pieces_; ++p) {
      total.all_upper = std::min(total.all_upper, ranges_[p].all_upper);
      total.all_lower = std::max(total.all_lower, ranges_[p].all_lower);
      total.single = std::max(total.single, ranges_[p].single);
      total.weighted_sum += ranges_[p].weighted_sum;
      total.weight_squares += ranges_[p].weight_squares;
    }
    return total;
  }
  void store(BoxRoot tau, T* out) const {
    for_pieces([&](ptrdiff_t p) { kernels<T>().store(piece(p), tau, out + p * kPiece); });
  }

 private:
  BoxRow<T> piece(ptrdiff_t p) const {
    if (pieces_ == 1) return row_;
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
    parallel_for(pieces_, [&](ptrdiff_t p, int) { f(p); }, pieces_ == 1 ? 1 : workers_);
  }

  BoxRow<T> row_;
  int workers_;
  ptrdiff_t pieces_;
  AlignedBuffer<BoxSums> sums_;
  AlignedBuffer<BoxRange> ranges_;
};

// Doubles in their order, as integers.
std::int64_t rank_of(double x) {
  const auto bits = std::bit_cast<std::int64_t>(x);
  return bits < 0 ? std::numeric_limits<std::int64_t>::min() - bits : bits;
}
// As many doubles lie below as above, so that 64 halvings reach two neighbours.
double middle(double a, double b) {
  const std::int64_t rank = std::midpoint(rank_of(a), rank_of(b));
  return std::bit_cast<double>(rank < 0 ? std::numeric_limits<std::int64_t>::min() - rank : rank);
}

template <class T>
BoxRoot solve(const Passes<T>& passes, double radius, double lowest_sum) {
  const BoxRange range = passes.range(radius - lowest_sum);
  const BoxRoot none{std::numeric_limits<double>::quiet_NaN(), 0};
  if (!(range.weighted_sum < kInfinity) || !(range.all_lower > -kInfinity)) return none;
  double low = range.all_upper, high = range.all_lower;
  const double free = (range.weighted_sum - radius) / range.weight_squares;
  double start = std::max(free, range.single);
  if (!(start > low)) start = low;
  if (!(start < high)) start = high;
  BoxRoot tau{start, 0};
  const double scale = std::isfinite(high) ? std::abs(high) : 0.0;
  double last_size = kInfinity;
  for (int pass = 0; pass < kMaxPasses; ++pass) {
    if (!std::isfinite(tau.high)) tau = {middle(low, high), 0};
    const BoxSums sums = passes.sums(tau);
    const double residual = (sums.high - radius) + sums.low, size = std::abs(residual);
    if (std::isnan(residual)) return none;
    const double enough = kEnough<T> * std::max(std::abs(radius), std::abs(sums.high));
    // Steps this short stay on one linear piece: what does not halve there is rounding.
    const bool is_short = size <= 0x1p-40 * sums.slope * std::max(std::abs(tau.high), scale);
    if (size <= enough || (is_short && !(size < last_size / 2))) break;
    last_size = size;
    (residual > 0 ? low : high) = tau.high;
    BoxRoot next = sums.slope > 0 ? advanced(tau, residual / sums.slope) : none;
    const bool inside = next.high >= low && next.high <= high;
    if (!inside || pass >= kNewtonPasses) {
      // Adjacent doubles, or one: nothing between them to try.
      if (!(std::nextafter(low, high) < high)) {
        if (!inside) break;
      } else {
        const double mean = low / 2 + high / 2;
        const bool halve = pass < kNewtonPasses && mean > low && mean < high;
        next = {halve ? mean : middle(low, high), 0};
      }
    }
    if (next.high == tau.high && next.low == tau.low) break;
    tau = next;
  }
  return tau;
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
void project_row(const BoxRow<T>& row, double radius, double lowest_sum, T* out, int workers) {
  const Passes<T> passes(row, workers);
  const BoxRoot tau = solve(passes, radius, lowest_sum);
  if (std::isnan(tau.high)) {
    std::fill_n(out, row.n, std::numeric_limits<T>::quiet_NaN());
  } else {
    passes.store(tau, out);
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

// Slots that for_rows uses.
int slots(ptrdiff_t rows, ptrdiff_t cols, int workers) {
  return cols > 2 * kPiece ? 1 : planned_workers(rows, workers);
}

}  // namespace

template <class T>
BoxRoot box_root(const BoxRow<T>& row, double radius, double lowest_sum) {
  return solve(Passes<T>(row, 1), radius, lowest_sum);
}

template <class T>
void project_box_simplex(const BoxProblem<T>& problem, int workers) {
  for_rows(problem.x.rows, problem.x.cols, workers, [&](ptrdiff_t i, int, int row_workers) {
    project_row(row_of(problem, i), problem.radius[i], problem.lowest_sum[i], problem.out.row(i),
                row_workers);
  });
}

template <class T>
void project_sparse_simplex(MatrixView<const T> x, ptrdiff_t k, double highest,
                            VectorView<const double> radius, MatrixView<T> out, int workers) {
  const ptrdiff_t n = x.cols;
  workers = slots(x.rows, n, workers);
  AlignedBuffer<ptrdiff_t> orders(workers * n);
  AlignedBuffer<T> values(workers * k);
  for_rows(x.rows, n, workers, [&](ptrdiff_t i, int slot, int row_workers) {
    const T* row = x.row(i);
    ptrdiff_t* order = orders.data() + slot * n;
    T* largest = values.data() + slot * k;
    if (std::any_of(row, row + n, [](T v) { return std::isnan(v); })) {
      std::fill_n(out.row(i), n, std::numeric_limits<T>::quiet_NaN());
      return;
    }
    for (ptrdiff_t j = 0; j < n; ++j) order[j] = j;
    std::nth_element(order, order + k - 1, order + n, [row](ptrdiff_t a, ptrdiff_t b) {
      return row[a] > row[b] || (row[a] == row[b] && a < b);
    });
    // Summed in the order of places, whatever order selection left.
    std::sort(order, order + k);
    for (ptrdiff_t j = 0; j < k; ++j) largest[j] = row[order[j]];
    const BoxRow<T> chosen{largest, nullptr, nullptr, nullptr, 0.0, highest, k};
    project_row(chosen, radius[i], 0.0, largest, row_workers);
    std::fill_n(out.row(i), n, largest[0] == largest[0] ? T(0) : largest[0]);
    for (ptrdiff_t j = 0; j < k; ++j) out(i, order[j]) = largest[j];
  });
}

template <class T>
void project_l1_ball(MatrixView<const T> x, VectorView<const double> radius, MatrixView<T> out,
                     int workers) {
  const ptrdiff_t n = x.cols;
  workers = slots(x.rows, n, workers);
  AlignedBuffer<T> magnitudes(workers * n);
  for_rows(x.rows, n, workers, [&](ptrdiff_t i, int slot, int row_workers) {
    const T* row = x.row(i);
    T* magnitude = magnitudes.data() + slot * n;
    for (ptrdiff_t j = 0; j < n; ++j) magnitude[j] = std::abs(row[j]);
    const BoxRow<T> positive{magnitude, nullptr, nullptr, nullptr, 0.0, kInfinity, n};
    const Passes<T> passes(positive, row_workers);
    const BoxSums norm = passes.sums({0, 0});
    if (norm.high + norm.low <= radius[i]) {
      if (out.row(i) != row) std::copy_n(row, n, out.row(i));
      return;
    }
    const BoxRoot tau = solve(passes, radius[i], 0.0);
    if (std::isnan(tau.high)) {
      std::fill_n(out.row(i), n, std::numeric_limits<T>::quiet_NaN());
      return;
    }
    passes.store(tau, magnitude);
    for (ptrdiff_t j = 0; j < n; ++j) out(i, j) = std::copysign(magnitude[j], row[j]);
  });
}

#define KEXUE_INSTANTIATE(T)                                                                     \
  template BoxRoot box_root<T>(const BoxRow<T>&, double, double);                                \
  template void project_box_simplex<T>(const BoxProblem<T>&, int);                               \
  template void project_sparse_simplex<T>(MatrixView<const T>, ptrdiff_t, double,                \
                                          VectorView<const double>, MatrixView<T>, int);         \
  template void project_l1_ball<T>(MatrixView<const T>, VectorView<const double>, MatrixView<T>, \
                                   int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
