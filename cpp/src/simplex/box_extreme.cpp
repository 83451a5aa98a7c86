// Extreme rows of the projection onto a simplex with bounds (kexue/simplex/box_projection.hpp).
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/simplex/box_projection.hpp"

namespace kexue::simplex {
namespace {

using std::ptrdiff_t;
using Doubles = std::vector<double>;

// Every move gains the bits of a double: 2098 bits of exponents in all.
constexpr int kMaxMoves = 64;
// Weights are scaled so that the largest is near 1; those 2^-kSpan of it and less are solved apart
// from it. Squares of the others need not be representable: the search then halves.
constexpr int kSpan = 1000;

constexpr double kBound = 0x1p1010;

// Entries with weights of one magnitude. solve() leaves p in x.
struct Group {
  Doubles x, w, l, u;
  std::vector<ptrdiff_t> place;

  double sum_of(const Doubles& values) const {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) sum += w[i] * values[i];
    return sum;
  }
  double at(std::size_t i, BoxRoot tau) const {
    return std::fma(-tau.low, w[i], std::fma(-tau.high, w[i], x[i]));
  }
  // x clipped to the bounds: p for a tau that these weights do not notice.
  Doubles clipped() const {
    Doubles p(x);
    for (std::size_t i = 0; i < p.size(); ++i) p[i] = std::clamp(p[i], l[i], u[i]);
    return p;
  }
  void scale(double by) {
    for (Doubles* values : {&x, &l, &u}) {
      for (double& v : *values) v *= by;
    }
  }
  // x and the bounds are in units of 1 / unit; the radius and p are not.
  bool solve(double radius, double unit) {
    const auto n = static_cast<ptrdiff_t>(x.size());
    for (int move = 0;; ++move) {
      poll_interrupt();
      const BoxRow<double> row{x.data(), w.data(), l.data(), u.data(), 0, 0, n};
      bool settled = false;
      const double target = std::clamp(radius * unit, sum_of(l), sum_of(u));
      const BoxRoot tau = box_root(row, target, sum_of(l), &settled);
      if (!std::isfinite(tau.high)) return false;
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = at(i, tau);
      // Unless p is large itself, what matters is small after a move: what is large now is at a
      // bound.
      if (unit != 1 && radius < 0x1p900) {
        scale(1 / unit);
        for (double& v : x) v = std::clamp(v, -kBound, kBound);
        unit = 1;
      } else if (settled || move == kMaxMoves || (tau.high == 0 && tau.low == 0)) {
        break;
      }
    }
    x = clipped();
    for (double& v : x) v /= unit;
    return true;
  }
};

template <class T>
bool can_be_solved(const BoxRow<T>& row) {
  bool finite = false;
  for (ptrdiff_t i = 0; i < row.n; ++i) {
    const double upper = row.lower == nullptr ? row.highest : static_cast<double>(row.upper[i]);
    if (std::isnan(row.x[i]) || (row.x[i] > 0 && std::isinf(row.x[i]) && std::isinf(upper))) {
      return false;
    }
    finite = finite || std::isfinite(row.x[i]);
  }
  return finite;
}

// Powers of two for x, the bounds and p: no sum of them overflows.
template <class T>
double unit_of(const BoxRow<T>& row) {
  double largest = 0;
  const auto see = [&](double v) {
    if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
  };
  for (ptrdiff_t i = 0; i < row.n; ++i) {
    see(static_cast<double>(row.x[i]));
    if (row.lower != nullptr) see(static_cast<double>(row.lower[i]));
    if (row.lower != nullptr) see(static_cast<double>(row.upper[i]));
  }
  if (row.lower == nullptr) see(row.lowest), see(row.highest);
  return largest < 0x1p960 ? 1 : 0x1p-600;
}

// heavy takes what the radius leaves above light, which does not notice heavy's tau, unless heavy
// is all at one of its bounds. ratio: of the units of light's weights to those of heavy's.
bool solve_both(Group& heavy, Group& light, double radius, double radius_for_light, int ratio,
                double unit) {
  const double lowest = heavy.sum_of(heavy.l) / unit, highest = heavy.sum_of(heavy.u) / unit;
  const double noise = 0x1p-46 * (std::abs(radius) + std::abs(lowest));
  const double left = lowest == 0 ? radius_for_light : std::scalbn(radius - lowest, ratio);
  const Doubles untouched = light.clipped();
  if (left <= light.sum_of(untouched) / unit && radius - lowest <= noise) {
    heavy.x = heavy.l;
    heavy.scale(1 / unit);
    return light.solve(left, unit);
  }
  if (radius >= highest) {
    heavy.x = heavy.u;
    heavy.scale(1 / unit);
    return light.solve(std::scalbn(radius - highest, ratio), unit);
  }
  const double rest = radius - std::scalbn(light.sum_of(untouched) / unit, -ratio);
  light.x = untouched;
  light.scale(1 / unit);
  return heavy.solve(rest, unit);
}

// Whether sum w p is the radius, in units of the heavier weights; p may underflow.
bool meets(const Group* groups, const int* exponents, double radius) {
  double sum = 0, size = std::scalbn(radius, exponents[0]);
  const double goal = size;
  for (int which = 0; which < 2; ++which) {
    const Group& group = groups[which];
    for (std::size_t i = 0; i < group.x.size(); ++i) {
      const double term = std::scalbn(group.w[i] * group.x[i], exponents[0] - exponents[which]);
      sum += term;
      size = std::max(size, std::abs(term));
    }
  }
  return std::abs(sum - goal) <= 0x1p-30 * size + 0x1p-1000;
}

}  // namespace

template <class T>
void project_extreme(const BoxRow<T>& row, double radius, T* out) {
  if (!can_be_solved(row)) {
    std::fill_n(out, row.n, std::numeric_limits<T>::quiet_NaN());
    return;
  }
  const double unit = unit_of(row);
  const auto weight = [&](ptrdiff_t i) {
    return row.weights == nullptr ? 1.0 : static_cast<double>(row.weights[i]);
  };
  double heaviest = 0, heaviest_light = 0;
  for (ptrdiff_t i = 0; i < row.n; ++i) heaviest = std::max(heaviest, weight(i));
  const int top = std::ilogb(heaviest);
  const auto is_light = [&](double w) { return std::ilogb(w) < top - kSpan; };
  for (ptrdiff_t i = 0; i < row.n; ++i) {
    if (is_light(weight(i))) heaviest_light = std::max(heaviest_light, weight(i));
  }
  Group groups[2];
  const int exponents[2] = {-top, heaviest_light > 0 ? -std::ilogb(heaviest_light) : 0};
  for (ptrdiff_t i = 0; i < row.n; ++i) {
    const int which = is_light(weight(i)) ? 1 : 0;
    Group& group = groups[which];
    const bool arrays = row.lower != nullptr;
    group.x.push_back(static_cast<double>(row.x[i]) * unit);
    group.w.push_back(std::scalbn(weight(i), exponents[which]));
    group.l.push_back((arrays ? static_cast<double>(row.lower[i]) : row.lowest) * unit);
    group.u.push_back((arrays ? static_cast<double>(row.upper[i]) : row.highest) * unit);
    group.place.push_back(i);
  }
  const double target = std::scalbn(radius, exponents[0]);
  bool solved = false;
  if (groups[1].x.empty()) {
    solved = groups[0].solve(target, unit);
  } else {
    solved = solve_both(groups[0], groups[1], target, std::scalbn(radius, exponents[1]),
                        exponents[1] - exponents[0], unit);
  }
  solved = solved && meets(groups, exponents, radius);
  for (const Group& group : groups) {
    for (std::size_t i = 0; solved && i < group.x.size(); ++i) {
      out[group.place[i]] = static_cast<T>(group.x[i] + 0.0);
    }
  }
  if (!solved && std::any_of(row.x, row.x + row.n, [](T v) { return v > 0 && std::isinf(v); })) {
    std::fill_n(out, row.n, std::numeric_limits<T>::quiet_NaN());
  } else if (!solved) {
    throw numerical_error(
        "project_simplex: 'x', 'weights' and bounds must have a solution within the range of a "
        "double, got numbers too far from one another");
  }
}

#define KEXUE_INSTANTIATE(T) template void project_extreme<T>(const BoxRow<T>&, double, T*);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
