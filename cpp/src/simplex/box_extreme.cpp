// Extreme rows of the projection onto a simplex with bounds (kexue/simplex/box_projection.hpp).
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kexue/core/constants.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/simplex/box_projection.hpp"
#include "kexue/simplex/box_search.hpp"
#include "kexue/simplex/exact.hpp"

namespace kexue::simplex {
namespace {

using std::ptrdiff_t;

// Entries between two looks for Ctrl-C.
constexpr ptrdiff_t kPatience = 4096;
// Bounds that cannot be met but for the rounding of their sum are.
constexpr double kRoom = 0x1p-18;

// Weights between 1 / kFar and kFar do not bring sums out of the range of a double, nor does a
// radius of at least kTiny beside them.
constexpr double kFar = 0x1p100, kTiny = 0x1p-900;
// Rounding of a sum of entries of both signs, relative to the sum of their sizes.
constexpr double kCancelled = 0x1p-50;
// What that may do to an entry of the result, relative to the largest.
constexpr double kForward = 0x1p-44;
// Weights so far apart, with bounds: a heavy entry at its bound hides in its rounding what light
// ones do.
constexpr double kHidden = 0x1p10;

struct Column {
  double x, w, l, u;
};

template <class T>
Column column_of(const BoxRow<T>& row, ptrdiff_t i) {
  const bool arrays = row.lower != nullptr;
  return {static_cast<double>(row.x[i]),
          row.weights == nullptr ? 1.0 : static_cast<double>(row.weights[i]),
          arrays ? static_cast<double>(row.lower[i]) : row.lowest,
          arrays ? static_cast<double>(row.upper[i]) : row.highest};
}

// Where a column meets a bound: tau = (x - bound) / w, roughly value 2^exponent with
// 1/2 <= |value| < 1.
struct Event {
  ptrdiff_t column;
  bool at_lower;
  double value;
  int exponent;
};

template <class T>
class ExactRow {
 public:
  ExactRow(const BoxRow<T>& row, double radius) : row_(row), radius_(radius) {}

  // False if infinite entries of x keep the sum from the radius.
  bool project(T* out) {
    list_events();
    // The first event where the sum is the radius or less: the root lies before it or there.
    ptrdiff_t first = 0, last = count_;
    while (first < last) {
      const ptrdiff_t middle = first + (last - first) / 2;
      if (exceeds_at(middle)) {
        first = middle + 1;
      } else {
        last = middle;
      }
    }
    const Line line = line_after(first - 1);
    if (line.slope.sign() == 0 && !meets_radius(first - 1)) return false;
    for (ptrdiff_t i = 0; i < row_.n; ++i) {
      if (i % kPatience == 0) poll_interrupt();
      const Column c = column_of(row_, i);
      const Part part = part_of(i, first - 1);
      double p = part == Part::lower ? c.l : c.u;
      if (part == Part::free) {
        Exact numerator;
        numerator.add(line.slope, c.x);
        numerator.add(line.excess, -c.w);
        p = std::clamp(numerator.over(line.slope), c.l, c.u);
      }
      out[i] = static_cast<T>(p + 0.0);
      if (!std::isfinite(out[i])) fail();
    }
    return true;
  }

  [[noreturn]] static void fail() {
    throw numerical_error(
        "project_simplex: 'x', 'weights' and bounds must have a solution within the range of the "
        "result's dtype, got numbers too far from one another");
  }

 private:
  enum class Part { lower, free, upper };
  // sum w p - r = excess - slope tau between two events.
  struct Line {
    Exact excess, slope;
  };

  void list_events() {
    for (ptrdiff_t i = 0; i < row_.n; ++i) {
      const Column c = column_of(row_, i);
      if (!std::isfinite(c.x)) continue;
      if (std::isfinite(c.u)) events_.push_back(event_of(i, false, c, c.u));
      if (std::isfinite(c.l)) events_.push_back(event_of(i, true, c, c.l));
    }
    std::sort(events_.begin(), events_.end(), [this](const Event& a, const Event& b) {
      if (++n_compared_ % kPatience == 0) poll_interrupt();
      return precedes(a, b);
    });
    // A bound that is not met at any tau is behind or ahead of all events.
    count_ = static_cast<ptrdiff_t>(events_.size());
    const auto n = static_cast<std::size_t>(row_.n);
    free_from_.assign(n, -1);
    lower_from_.assign(n, count_);
    for (ptrdiff_t i = 0; i < row_.n; ++i) {
      const auto at = static_cast<std::size_t>(i);
      if (row_.x[i] > 0 && std::isinf(row_.x[i])) free_from_[at] = count_;
      if (row_.x[i] < 0 && std::isinf(row_.x[i])) lower_from_[at] = -1;
    }
    for (ptrdiff_t k = 0; k < count_; ++k) {
      const Event& e = events_[static_cast<std::size_t>(k)];
      (e.at_lower ? lower_from_ : free_from_)[static_cast<std::size_t>(e.column)] = k;
    }
  }

  static Event event_of(ptrdiff_t i, bool at_lower, const Column& c, double bound) {
    const bool large = std::max(std::abs(c.x), std::abs(bound)) > 0x1p1000;
    const double above = large ? c.x / 4 - bound / 4 : c.x - bound;
    int exponent = 0, of_weight = 0, of_quotient = 0;
    const double size = std::frexp(above, &exponent);
    const double value = std::frexp(size / std::frexp(c.w, &of_weight), &of_quotient);
    return {i, at_lower, value, exponent - of_weight + of_quotient + (large ? 2 : 0)};
  }

  double bound_of(const Event& e) const {
    const Column c = column_of(row_, e.column);
    return e.at_lower ? c.l : c.u;
  }

  // By their rough places, if these are apart; else exactly.
  bool precedes(const Event& a, const Event& b) const {
    if (a.value == 0 || b.value == 0 || (a.value < 0) != (b.value < 0)) return a.value < b.value;
    const int apart = a.exponent - b.exponent;
    if (std::abs(apart) > 1) return (apart < 0) == (a.value > 0);
    const double difference = std::scalbn(a.value, apart) - b.value;
    if (std::abs(difference) > 0x1p-48) return difference < 0;
    const Column p = column_of(row_, a.column), q = column_of(row_, b.column);
    const double first = bound_of(a), second = bound_of(b);
    if (p.x == q.x && p.w == q.w && first == second) return false;
    Exact order;
    order.add(p.x, q.w);
    order.add(first, -q.w);
    order.add(q.x, -p.w);
    order.add(second, p.w);
    return order.sign() < 0;
  }

  // Of column i where tau has passed the events up to k.
  Part part_of(ptrdiff_t i, ptrdiff_t k) const {
    const auto at = static_cast<std::size_t>(i);
    if (lower_from_[at] <= k) return Part::lower;
    return free_from_[at] <= k ? Part::free : Part::upper;
  }

  Line line_after(ptrdiff_t k) const {
    Line line;
    line.excess.add(radius_, -1);
    for (ptrdiff_t i = 0; i < row_.n; ++i) {
      if (i % kPatience == 0) poll_interrupt();
      const Column c = column_of(row_, i);
      const Part part = part_of(i, k);
      line.excess.add(c.w, part == Part::free ? c.x : part == Part::lower ? c.l : c.u);
      if (part == Part::free) line.slope.add(c.w, c.w);
    }
    return line;
  }

  // Whether the sum exceeds the radius where tau is at event k.
  bool exceeds_at(ptrdiff_t k) const {
    const Event& e = events_[static_cast<std::size_t>(k)];
    const Column c = column_of(row_, e.column);
    const Line line = line_after(k);
    Exact value;
    value.add(line.excess, c.w);
    value.add(line.slope, -c.x);
    value.add(line.slope, bound_of(e));
    return value.sign() > 0;
  }

  // Where every entry is at a bound: whether these sum to the radius, up to rounding.
  bool meets_radius(ptrdiff_t k) const {
    Exact size, above, below;
    size.add(radius_, 1);
    above.add(radius_, -1);
    below.add(radius_, 1);
    for (ptrdiff_t i = 0; i < row_.n; ++i) {
      const Column c = column_of(row_, i);
      const double p = part_of(i, k) == Part::lower ? c.l : c.u;
      size.add(c.w, std::abs(p));
      above.add(c.w, p);
      below.add(c.w, -p);
    }
    above.add(size, -kRoom);
    below.add(size, -kRoom);
    return above.sign() <= 0 && below.sign() <= 0;
  }

  const BoxRow<T>& row_;
  double radius_;
  std::vector<Event> events_;
  ptrdiff_t count_ = 0, n_compared_ = 0;
  // The events after which a column is free, and at its lower bound.
  std::vector<ptrdiff_t> free_from_, lower_from_;
};

template <class T>
bool can_be_solved(const BoxRow<T>& row) {
  bool finite = false;
  for (ptrdiff_t i = 0; i < row.n; ++i) {
    const Column c = column_of(row, i);
    if (std::isnan(c.x) || (c.x == kInf && c.u == kInf) || (c.x == -kInf && c.l == -kInf)) {
      return false;
    }
    finite = finite || std::isfinite(c.x);
  }
  return finite;
}

}  // namespace

bool BoxReach::is_exceeded(double radius) const {
  if (lightest < 1 / kFar || heaviest > kFar || radius / lightest > greatest) return true;
  return radius == 0 ? lowest > 0 && lowest < kTiny : std::abs(radius) < kTiny;
}

template <class T>
BoxReach reach_of(const BoxRow<T>& row) {
  const bool bounded = row.lower != nullptr || row.lowest != 0 || row.highest < kInf;
  const double first = row.weights == nullptr ? 1 : static_cast<double>(row.weights[0]);
  BoxReach reach{first, first, std::abs(row.lowest), std::numeric_limits<T>::max(), bounded};
  for (ptrdiff_t i = 0; row.weights != nullptr && i < row.n; ++i) {
    if (i % kPatience == 0) poll_interrupt();
    const auto w = static_cast<double>(row.weights[i]);
    reach.lightest = std::min(reach.lightest, w);
    reach.heaviest = std::max(reach.heaviest, w);
  }
  for (ptrdiff_t i = 0; row.lower != nullptr && i < row.n; ++i) {
    if (i % kPatience == 0) poll_interrupt();
    reach.lowest = std::max(reach.lowest, std::abs(static_cast<double>(row.lower[i])));
  }
  return reach;
}

bool BoxReach::may_hide() const { return bounded && heaviest > kHidden * lightest; }

template <class T>
bool is_within_rounding(const BoxRow<T>& row, BoxRoot tau, const BoxSums& sums, double radius) {
  double total = 0, largest = 0, heaviest_free = 0;
  for (ptrdiff_t i = 0; i < row.n; ++i) {
    if (i % kPatience == 0) poll_interrupt();
    const Column c = column_of(row, i);
    const double at = std::fma(-tau.low, c.w, std::fma(-tau.high, c.w, c.x));
    const double p = std::abs(std::clamp(at, c.l, c.u));
    total += c.w * p;
    largest = std::max(largest, p);
    if (c.l < at && at < c.u) heaviest_free = std::max(heaviest_free, c.w);
  }
  // tau, moved by error / slope, moves p by w times as much.
  const double residual = std::abs((sums.high - radius) + sums.low);
  const double error = residual + 0x1p-53 * total;
  return residual <= kCancelled * total &&
         (row.weights == nullptr || error * heaviest_free < kForward * largest * sums.slope);
}

template <class T>
void project_extreme(const BoxRow<T>& row, double radius, T* out) {
  if (!can_be_solved(row)) {
    std::fill_n(out, row.n, std::numeric_limits<T>::quiet_NaN());
    return;
  }
  if (ExactRow<T>(row, radius).project(out)) return;
  if (std::none_of(row.x, row.x + row.n, [](T v) { return v > 0 && std::isinf(v); })) {
    ExactRow<T>::fail();
  }
  std::fill_n(out, row.n, std::numeric_limits<T>::quiet_NaN());
}

#define KEXUE_INSTANTIATE(T)                                                              \
  template BoxReach reach_of<T>(const BoxRow<T>&);                                        \
  template bool is_within_rounding<T>(const BoxRow<T>&, BoxRoot, const BoxSums&, double); \
  template void project_extreme<T>(const BoxRow<T>&, double, T*);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
