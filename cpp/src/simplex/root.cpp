#include "kexue/simplex/root.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <vector>

#include "kexue/core/pool.hpp"
#include "kexue/simplex/rows.hpp"

namespace kexue::simplex {

using std::ptrdiff_t;

namespace {

// Bracketing begins after this many Newton steps, which inputs made to mislead them reach.
constexpr int kPatience = 16;
// Candidates from which the sums of a row are shared among threads.
constexpr ptrdiff_t kShared = 2 * kBlock;

// reduce(f(segment, index)) over the segments, in order.
template <class Sum, class T, class F, class Add>
Sum over_segments(const Candidates<T>& candidates, F&& f, Add&& add) {
  const auto n = static_cast<ptrdiff_t>(candidates.segments.size());
  if (n == 1) return f(candidates.segments[0]);
  std::vector<Sum> parts(static_cast<std::size_t>(n));
  const int workers = candidates.count() < kShared ? 1 : candidates.workers;
  parallel_for(
      n,
      [&](ptrdiff_t i, int) {
        parts[static_cast<std::size_t>(i)] = f(candidates.segments[static_cast<std::size_t>(i)]);
      },
      workers);
  Sum sum = parts[0];
  for (std::size_t i = 1; i < parts.size(); ++i) sum = add(sum, parts[i]);
  return sum;
}

// a + b with what rounding takes from it added to low.
double add_exactly(double a, double b, double& low) {
  const double next = a + b, back = next - a;
  low += (a - (next - back)) + (b - back);
  return next;
}

template <class T>
Kept keep_above(const Candidates<T>& candidates, T limit) {
  return over_segments<Kept>(
      candidates,
      [&](Segment<T>& s) {
        const Kept kept = sparse_kernels<T>().filter_sum(s.data, s.count, limit, s.data);
        s.count = kept.count;
        return kept;
      },
      [](const Kept& a, const Kept& b) {
        double low = a.low + b.low;
        const double sum = add_exactly(a.sum, b.sum, low);
        return Kept{sum, low, a.count + b.count};
      });
}

template <class T>
PowerSums sums_at(const Candidates<T>& candidates, const Power& f) {
  struct Pair {
    double sum, low, slope_sum, slope_low;
  };
  const Pair pair = over_segments<Pair>(
      candidates,
      [&](const Segment<T>& s) {
        const PowerSums sums = sparse_kernels<T>().power_sums(s.data, s.count, f);
        return Pair{sums.sum, 0, sums.slope_sum, 0};
      },
      [](const Pair& a, const Pair& b) {
        Pair c{0, a.low + b.low, 0, a.slope_low + b.slope_low};
        c.sum = add_exactly(a.sum, b.sum, c.low);
        c.slope_sum = add_exactly(a.slope_sum, b.slope_sum, c.slope_low);
        return c;
      });
  return {pair.sum + pair.low, pair.slope_sum + pair.slope_low};
}

template <class T>
void drop_below(const Candidates<T>& candidates, T limit) {
  over_segments<int>(
      candidates,
      [&](Segment<T>& s) {
        s.count = sparse_kernels<T>().filter(s.data, s.count, limit, s.data);
        return 0;
      },
      [](int a, int) { return a; });
}

// (sum - radius) / count as high + low
LinearRoot mean_excess(const Kept& kept, double radius) {
  const auto count = static_cast<double>(kept.count);
  double low = kept.low;
  const double excess = add_exactly(kept.sum, -radius, low);
  const double tau = (excess + low) / count;
  return {tau, (std::fma(-tau, count, excess) + low) / count, kept.count};
}

}  // namespace

template <class T>
T floor_to(double value) {
  const T nearest = static_cast<T>(value);
  if (static_cast<double>(nearest) <= value) return nearest;
  return std::nextafter(nearest, -std::numeric_limits<T>::infinity());
}

// x > tau + low and x > floor_to<T>(root) agree for every x of T.
template <class T>
T floor_to(const LinearRoot& root) {
  const T floor = floor_to<T>(root.tau);
  if (root.low < 0 && static_cast<double>(floor) == root.tau) {
    return std::nextafter(floor, -std::numeric_limits<T>::infinity());
  }
  return floor;
}

template <class T>
LinearRoot linear_root(const Candidates<T>& candidates, double max, double radius) {
  double highest = max - radius / static_cast<double>(candidates.count());  // tau is not above
  // The support is never empty, however coarse the numbers near the maximum.
  const T below = std::nextafter(static_cast<T>(max), -std::numeric_limits<T>::infinity());
  LinearRoot root{0, 0, -1};
  root.tau = add_exactly(max, -radius, root.low);
  for (int step = 0;; ++step) {
    if (step % 64 == 0) poll_interrupt();
    const Kept kept = keep_above(candidates, std::min(floor_to<T>(root), below));
    const ptrdiff_t before = root.support;
    const LinearRoot next = mean_excess(kept, radius);
    if (kept.count == before) return next;
    root = next;
    if (step < kPatience) continue;
    // Halve [tau, highest]: whatever the input, the support is settled in a few dozen steps.
    const double middle = root.tau + (highest - root.tau) / 2;
    if (!(middle > root.tau && middle < highest)) continue;
    double excess = 0;
    for (const Segment<T>& s : candidates.segments) {
      for (ptrdiff_t i = 0; i < s.count; ++i) excess += std::max(0.0, s.data[i] - middle);
    }
    if (excess > radius * (1 + 1e-9)) {
      root = {middle, 0, -1};
    } else {
      highest = middle;
    }
  }
}

template <class T>
T power_cut(const Power& f) {
  if (!(f.slope > 0)) return -std::numeric_limits<T>::infinity();
  const double width = (1 - f.drop) / f.slope, cut = f.max - width;
  return floor_to<T>(cut - 4e-16 * (std::abs(cut) + width));
}

template <class T>
PowerRoot power_root(const Candidates<T>& candidates, Power f, bool derivative, double excess) {
  const double tolerance = std::max(excess, sizeof(T) == 8 ? 4e-16 : 1e-10);
  const auto count = static_cast<double>(candidates.count());
  double highest = -std::expm1(-std::log(count) / f.power);  // drop is not above, if power > 0
  double before = std::numeric_limits<double>::infinity();
  PowerSums sums{};
  for (int step = 0; step < 400; ++step) {
    if (step % 16 == 15) poll_interrupt();
    sums = sums_at(candidates, f);
    if (!(sums.sum > 1 + tolerance && sums.sum < before)) break;
    before = sums.sum;
    const double back = f.power == 2 ? std::sqrt(sums.sum) - sums.sum
                                     : sums.sum * std::expm1(-std::log(sums.sum) / f.power);
    f.drop -= back / sums.slope_sum;
    if (f.slope > 0 && step < 3) drop_below(candidates, power_cut<T>(f));
    if (step < kPatience || !(f.slope > 0)) continue;
    Power middle = f;
    middle.drop = f.drop + (highest - f.drop) / 2;
    if (!(middle.drop > f.drop && middle.drop < highest)) continue;
    const PowerSums there = sums_at(candidates, middle);
    if (there.sum > 1 + 1e-9) {
      f.drop = middle.drop;
      before = there.sum;
    } else if (there.sum < 1 - 1e-9) {
      highest = middle.drop;
    }
  }
  return {f.drop, 1 / (derivative ? sums.slope_sum : sums.sum)};
}

// ---- alpha > 2 ----------------------------------------------------------------------------------

namespace {

struct DoubleDouble {
  double high, low;
};

// slope (max - x) with its rounding error.
DoubleDouble depth(double x, double max, double slope) {
  const double gap = max - x, back = gap - max;
  const double gap_low = (max - (gap - back)) + (-x - back);
  const double high = slope * gap;
  return {high, std::fma(slope, gap, -high) + slope * gap_low};
}

}  // namespace

namespace {

// u_i of the entry at depth d.
double height(const SteepRoot& root, const DoubleDouble& d) {
  return (root.high - d.high) + (root.low - d.low);
}

// Two doubles resolve u to 1e-32, but u^P of that is 3e-5 at alpha = 8 and 0.08 at alpha = 30.
// Where the shallowest u of the support may be so small, the root is told from that entry's p =
// `least` instead: u_i = D_i + least^(1/P), D_i being the depth between the two, and sum u_i^P = 1
// is convex in `least` with slopes that do not vanish.
void tell_by_least(std::span<const DoubleDouble> depths, double power, SteepRoot& root) {
  constexpr double kNear = 0x1p-60;
  std::vector<DoubleDouble> near;
  std::copy_if(depths.begin(), depths.end(), std::back_inserter(near),
               [&](const DoubleDouble& d) { return std::abs(height(root, d)) < kNear; });
  if (near.empty()) return;
  // Deepest first: the deepest that leaves something for itself is the last of the support.
  std::sort(near.begin(), near.end(), [](const DoubleDouble& a, const DoubleDouble& b) {
    return a.high > b.high || (a.high == b.high && a.low > b.low);
  });
  for (const DoubleDouble& last : near) {
    root = {last.high, last.low, root.factor, 0};
    std::vector<double> above;
    double sum = 0, low = 0, ties = 0;
    for (const DoubleDouble& d : depths) {
      const double u = height(root, d);
      if (u > 0) above.push_back(u), sum = add_exactly(sum, std::pow(u, power), low);
      if (u == 0) ++ties;
    }
    const double left = (1 - sum) - low;
    if (!(left > 0)) continue;
    root.least = bracketed_newton(0.0, left / ties, [&](double q) {
      const double rise = std::pow(q, 1 / power);
      double total = ties * q, rest = 0, slope = 0;
      for (const double u : above) {
        const double p = std::pow(u + rise, power);
        total = add_exactly(total, p, rest);
        slope += p / (u + rise);
      }
      return std::pair{(total - 1) + rest, ties + slope * rise / std::max(q, 0x1p-1000)};
    });
    return;
  }
}

double steep_value(const SteepRoot& root, double rise, double power, const DoubleDouble& d) {
  const double u = height(root, d);
  return u > 0 ? std::pow(u + rise, power) : (u == 0 ? root.least : 0);
}

}  // namespace

template <class T>
SteepRoot steep_root(std::span<const T> candidates, double max, double slope, double power) {
  std::vector<DoubleDouble> depths(candidates.size());
  std::transform(candidates.begin(), candidates.end(), depths.begin(),
                 [&](T x) { return depth(x, max, slope); });
  const auto newton = [&](double high, double low) {
    const SteepRoot at{high, low, 1, 0};
    double sum = 0, rest = 0, derivative = 0;
    for (const DoubleDouble& d : depths) {
      const double u = height(at, d);
      if (!(u > 0)) continue;
      const double p = std::pow(u, power);
      sum = add_exactly(sum, p, rest);
      derivative += p / u;
    }
    return std::pair{(sum - 1) + rest, power * derivative};
  };
  const double least = std::pow(static_cast<double>(candidates.size()), -1 / power);
  const double high =
      bracketed_newton(least / 2, 1.0, [&](double peak) { return newton(peak, 0.0); });
  const double unit = 4 * std::numeric_limits<double>::epsilon() * high;
  const double low = bracketed_newton(-unit, unit, [&](double rest) { return newton(high, rest); });
  SteepRoot root{high, low, 1, 0};
  tell_by_least(depths, power, root);
  const double rise = std::pow(root.least, 1 / power);
  double sum = 0, rest = 0;
  for (const DoubleDouble& d : depths) {
    sum = add_exactly(sum, steep_value(root, rise, power, d), rest);
  }
  root.factor = sum + rest > 0 ? 1 / (sum + rest) : 0;
  return root;
}

template <class T>
void write_steep(const T* x, T* out, ptrdiff_t n, double max, double slope, double power,
                 const SteepRoot& root) {
  const double cut = max - 1.000001 / slope, rise = std::pow(root.least, 1 / power);
  for (ptrdiff_t i = 0; i < n; ++i) {
    double p = 0;
    if (static_cast<double>(x[i]) > cut) {
      p = root.factor * steep_value(root, rise, power, depth(x[i], max, slope));
    }
    out[i] = static_cast<T>(p);
  }
}

#define KEXUE_INSTANTIATE(T)                                                    \
  template T floor_to<T>(double);                                               \
  template T power_cut<T>(const Power&);                                        \
  template LinearRoot linear_root<T>(const Candidates<T>&, double, double);     \
  template PowerRoot power_root<T>(const Candidates<T>&, Power, bool, double);  \
  template SteepRoot steep_root<T>(std::span<const T>, double, double, double); \
  template void write_steep<T>(const T*, T*, ptrdiff_t, double, double, double, const SteepRoot&);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
