// The scalar root of one row, from the entries that can be positive (see maps.hpp).
#pragma once

#include <cstddef>
#include <span>

#include "kexue/simplex/kernels.hpp"

namespace kexue::simplex {

// The root of an increasing f in [low, high] by Newton's iteration kept inside a shrinking bracket;
// f(x) returns {value, derivative}.
template <class F>
double bracketed_newton(double low, double high, F&& f) {
  double x = high;
  for (int step = 0; step < 200; ++step) {
    const auto [value, slope] = f(x);
    if (value == 0) return x;
    (value > 0 ? high : low) = x;
    double next = x - value / slope;
    if (!(next > low && next < high) || step % 8 == 7) next = low + (high - low) / 2;
    if (next == x || !(next > low && next < high)) break;
    x = next;
  }
  return x;
}

// Entries of a row in memory that may be overwritten, with kRoom beyond each segment.
template <class T>
struct Segment {
  T* data;
  std::ptrdiff_t count;
};
template <class T>
struct Candidates {
  std::span<Segment<T>> segments;
  int workers;

  std::ptrdiff_t count() const {
    std::ptrdiff_t total = 0;
    for (const Segment<T>& s : segments) total += s.count;
    return total;
  }
};

// Where a row's search begins: candidates are the entries > cut; the drop of the power family is
// not below `start`.
template <class T>
struct Bound {
  T cut;
  double start;
};

// tau + low with sum (x - tau)_+ = radius; `support` entries lie above.
struct LinearRoot {
  double tau, low;
  std::ptrdiff_t support;
};
template <class T>
LinearRoot linear_root(const Candidates<T>& candidates, double max, double radius);

// `drop` of the power family, not below f.drop, to the precision of T, or from below where the sum
// is at most 1 + `excess`; `factor` = 1/sum u^P (1/sum u^{P-1} with `derivative`).
struct PowerRoot {
  double drop, factor;
};
template <class T>
PowerRoot power_root(const Candidates<T>& candidates, Power f, bool derivative, double excess = 0);

// The largest T at or below `value`: x > value and x > floor_to<T>(value) agree for every x of T.
template <class T>
T floor_to(double value);

// Where a row of the power family can be positive: x > cut. Everywhere but -inf for slope < 0.
template <class T>
T power_cut(const Power& f);

// alpha > 2: u_i = peak - slope (max - x_i) with peak = high + low, p_i = factor u_i^P. least > 0:
// the entries at the depth of the peak have p = factor least, and u_i is more by least^(1/P).
struct SteepRoot {
  double high, low, factor, least;
};
template <class T>
SteepRoot steep_root(std::span<const T> candidates, double max, double slope, double power);
template <class T>
void write_steep(const T* x, T* out, std::ptrdiff_t n, double max, double slope, double power,
                 const SteepRoot& root);

}  // namespace kexue::simplex
