#include "kexue/simplex/mixed_ball.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kexue/core/buffer.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/simplex/sorting.hpp"

namespace kexue::simplex {
namespace {

using std::ptrdiff_t;

constexpr int kMaxSteps = 200;

// high + low. Where the radius is small beside X, all of a double's digits would be lost in
// differences of sums and theta.
struct Pair {
  double high, low;

  Pair operator+(double x) const {
    const double sum = high + x, part = sum - high;
    return {sum, low + ((high - (sum - part)) + (x - part))};
  }
  Pair operator-(const Pair& other) const {
    const Pair difference = *this + -other.high;
    return {difference.high, difference.low - other.low};
  }
  double value() const { return high + low; }
};

// A row of |X| from the largest entry down, and its running sums.
struct SortedRow {
  const double* value;
  const Pair* sum;  // sum[k] of the k largest
  ptrdiff_t n;
};

// left - k value, whose sign is right where the two are close: products of k < 2^26 with half of
// the digits of value are exact.
double minus_multiple(const Pair& left, ptrdiff_t k, double value) {
  constexpr std::uint64_t kLower = (std::uint64_t{1} << 27) - 1;
  const auto upper = std::bit_cast<double>(std::bit_cast<std::uint64_t>(value) & ~kLower);
  const auto times = static_cast<double>(k);
  return ((left.high - times * upper) - times * (value - upper)) + left.low;
}

// The level mu at which the row is cut by theta, and the number of entries above it.
struct Level {
  double mu;
  ptrdiff_t count;
};
Level level_at(const SortedRow& row, Pair theta) {
  if (!((row.sum[row.n] - theta).value() > 0)) return {0, row.n};
  // The first k such that cutting down to the next entry takes theta or more.
  ptrdiff_t low = 1, high = row.n;
  while (low < high) {
    const ptrdiff_t k = low + (high - low) / 2;
    const Pair left = row.sum[k] - theta;
    const bool enough = minus_multiple(left, k, row.value[k]) >= 0;
    (enough ? high : low) = enough ? k : k + 1;
  }
  return {std::max(0.0, (row.sum[low] - theta).value() / static_cast<double>(low)), low};
}

class Matrix {
 public:
  template <class T>
  Matrix(const T* x, ptrdiff_t m, ptrdiff_t n, double unit, int workers)
      : m_(m), n_(n), values_(m * n), sums_(m * (n + 1)) {
    const int slots = planned_workers(m, m * n < 20000 ? 1 : workers);
    std::vector<FallingOrder<T>> orders;
    orders.reserve(static_cast<std::size_t>(slots));
    for (int s = 0; s < slots; ++s) orders.emplace_back(n);
    AlignedBuffer<T> magnitudes(slots * n);
    parallel_for(
        m,
        [&](ptrdiff_t i, int slot) {
          T* magnitude = magnitudes.data() + slot * n;
          for (ptrdiff_t j = 0; j < n; ++j) magnitude[j] = std::abs(x[i * n + j]);
          auto& order = orders[static_cast<std::size_t>(slot)];
          order.sort(magnitude, n);
          Pair* sum = sums_.data() + i * (n + 1);
          Pair total{0, 0};
          sum[0] = total;
          for (ptrdiff_t k = 0; k < n; ++k) {
            values_[i * n + k] = unit * static_cast<double>(magnitude[order[k]]);
            sum[k + 1] = total = total + values_[i * n + k];
          }
        },
        slots);
  }

  double norm() const {
    double total = 0;
    for (ptrdiff_t i = 0; i < m_; ++i) total += values_[i * n_];
    return total;
  }
  Level level(ptrdiff_t i, Pair theta) const {
    return level_at({values_.data() + i * n_, sums_.data() + i * (n_ + 1), n_}, theta);
  }
  // The excess falls until only its rounding is left; that of a step may carry theta past the root.
  Pair cut(double radius) const {
    Pair theta{0, 0};
    double before = std::numeric_limits<double>::infinity();
    for (int step = 0; step < kMaxSteps; ++step) {
      Pair excess{-radius, 0};
      double slope = 0;
      for (ptrdiff_t i = 0; i < m_; ++i) {
        const Level level = this->level(i, theta);
        excess = excess + level.mu;
        if (level.mu > 0) slope += 1 / static_cast<double>(level.count);
      }
      const double more = excess.value();
      if (!(std::abs(more) < before) || more == 0 || slope == 0) break;
      before = std::abs(more);
      theta = theta + more / slope;
      if (before <= 0x1p-52 * radius) break;
    }
    return theta;
  }

 private:
  ptrdiff_t m_, n_;
  AlignedBuffer<double> values_;
  AlignedBuffer<Pair> sums_;
};

template <class T>
void project(const T* x, ptrdiff_t m, ptrdiff_t n, double radius, T* out, int workers) {
  if (!std::all_of(x, x + m * n, [](T v) { return std::isfinite(v); })) {
    std::fill_n(out, m * n, std::numeric_limits<T>::quiet_NaN());
    return;
  }
  // A power of two in which no sum overflows.
  double largest = radius;
  for (ptrdiff_t i = 0; i < m * n; ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(x[i])));
  }
  const double unit = largest < 0x1p960 ? 1 : 0x1p-64;
  const Matrix matrix(x, m, n, unit, workers);
  if (matrix.norm() <= radius * unit) {
    if (out != x) std::copy_n(x, m * n, out);
    return;
  }
  const Pair theta = matrix.cut(radius * unit);
  for (ptrdiff_t i = 0; i < m; ++i) {
    const T mu = radius == 0 ? T(0) : static_cast<T>(matrix.level(i, theta).mu / unit);
    for (ptrdiff_t j = 0; j < n; ++j) out[i * n + j] = std::clamp(x[i * n + j], -mu, mu);
  }
}

}  // namespace

template <class T>
void project_l1inf_ball(MatrixView<const T> x, ptrdiff_t m, VectorView<const double> radius,
                        MatrixView<T> out, int workers) {
  const ptrdiff_t n = x.cols / m;
  // Of several matrices each is one thread's work; regions inside a region run serially.
  parallel_for(
      x.rows, [&](ptrdiff_t b, int) { project(x.row(b), m, n, radius[b], out.row(b), workers); },
      x.rows == 1 ? 1 : workers);
}

#define KEXUE_INSTANTIATE(T)                                                                    \
  template void project_l1inf_ball<T>(MatrixView<const T>, ptrdiff_t, VectorView<const double>, \
                                      MatrixView<T>, int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
