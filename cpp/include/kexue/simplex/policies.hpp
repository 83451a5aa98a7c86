// The linear and power families as policies of one solver (src/simplex/sparse.cpp).
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "kexue/simplex/kernels.hpp"
#include "kexue/simplex/root.hpp"
#include "kexue/simplex/rows.hpp"

namespace kexue::simplex {

// Policies: what a map needs to know where a row's candidates are, to find its root and to write.
// `bound` is where to begin, from the row's maximum alone or, if the row has `topped` entries, from
// some of them, the largest among these: their root is not above that of the row. They may be
// overwritten, with kRoom beyond. `width` is how far below the largest entry the support reaches,
// `tau_of_move` what tau gains where the entries gain `move`.

struct Linear {
  double radius, scale;

  template <class T>
  Bound<T> bound(double max) const {
    return {floor_to<T>(max - radius - 4e-16 * std::abs(max)), 0};
  }
  template <class T>
  auto solve(const Candidates<T>& candidates, double max, double, double& tau) const {
    const LinearRoot root = linear_root(candidates, max, radius);
    tau = root.tau;
    const T high = static_cast<T>(root.tau);
    const double rest = (root.tau - static_cast<double>(high)) + root.low;
    const LinearRow<T> row{high, static_cast<T>(rest), static_cast<T>(scale)};
    return [row](const T* x, T* out, std::ptrdiff_t n, bool past) {
      sparse_kernels<T>().write_linear(x, out, n, row, past);
    };
  }
  template <class T>
  bool short_rows(const T* x, T* out, std::ptrdiff_t n_rows, std::ptrdiff_t n, double* tau) const {
    short_kernels<T>().short_linear(x, out, n_rows, n, radius, scale, tau);
    return true;
  }
  double mass() const { return radius * scale; }
  double width() const { return radius; }
  static double tau_of_move(double move) { return move; }
};

struct PowerMap {
  double slope, power;
  bool derivative = false;  // normmax: u^{P-1} over its sum

  // Of normal rows hardly more than the support is left: of 50257 entries of float32 that takes a
  // quarter of the time of entmax15 and a third of that for alpha = 1.3; rows too short for it
  // lose.
  std::ptrdiff_t topped() const { return power == 2 ? 4096 : 1024; }

  template <class T>
  Bound<T> bound(double max) const {
    return {power_cut<T>(Power{max, slope, 0, power}), 0};
  }
  template <class T>
  Bound<T> bound(Segment<T> some, double max) const {
    const Power f{max, slope, 0, power};
    if (!(slope > 0)) return bound<T>(max);
    const double start = power_root(Candidates<T>{{&some, 1}, 1}, f, false, 0.05).drop - 1e-12;
    if (!(start > 0)) return bound<T>(max);
    return {power_cut<T>(Power{max, slope, start, power}), start};
  }
  // p_i = (slope x_i - tau)_+^power, so tau = slope max + drop - 1.
  template <class T>
  auto solve(const Candidates<T>& candidates, double max, double start, double& tau) const {
    Power f{max, slope, start, power};
    const PowerRoot root = power_root(candidates, f, derivative);
    f.drop = root.drop;
    if (derivative) f.power -= 1;
    tau = slope * max + (root.drop - 1);
    return [f, factor = root.factor](const T* x, T* out, std::ptrdiff_t n, bool past) {
      sparse_kernels<T>().write_power(x, out, n, f, factor, past);
    };
  }
  template <class T>
  bool short_rows(const T* x, T* out, std::ptrdiff_t n_rows, std::ptrdiff_t n, double* tau) const {
    short_kernels<T>().short_power(x, out, n_rows, n, slope, power, derivative, tau);
    return false;
  }
  double mass() const { return 1; }
  double width() const { return 1 / std::abs(slope); }
  double tau_of_move(double move) const { return slope * move; }
};

struct Steep {
  double slope, power;

  template <class T>
  Bound<T> bound(double max) const {
    return {power_cut<T>(Power{max, slope, 0, power}), 0};
  }
  template <class T>
  auto solve(const Candidates<T>& candidates, double max, double, double& tau) const {
    std::vector<T> entries;
    for (const Segment<T>& s : candidates.segments) {
      entries.insert(entries.end(), s.data, s.data + s.count);
    }
    const SteepRoot root = steep_root(std::span<const T>(entries), max, slope, power);
    tau = slope * max - root.high;
    return [root, max, f = *this](const T* x, T* out, std::ptrdiff_t n, bool) {
      write_steep(x, out, n, max, f.slope, f.power, root);
    };
  }
  double mass() const { return 1; }
  double width() const { return 1 / std::abs(slope); }
  double tau_of_move(double move) const { return slope * move; }
};

// Rows whose alpha is infinite: uniform over the largest entries.
struct ArgMax {
  template <class T>
  Bound<T> bound(double max) const {
    return {std::nextafter(static_cast<T>(max), -std::numeric_limits<T>::infinity()), 0};
  }
  template <class T>
  auto solve(const Candidates<T>& candidates, double max, double, double& tau) const {
    tau = max;
    const T top = static_cast<T>(max);
    const T share = static_cast<T>(1 / static_cast<double>(candidates.count()));
    return [top, share](const T* x, T* out, std::ptrdiff_t n, bool) {
      for (std::ptrdiff_t i = 0; i < n; ++i) out[i] = x[i] == top ? share : T(0);
    };
  }
  double mass() const { return 1; }
  static double width() { return std::numeric_limits<double>::infinity(); }
  static double tau_of_move(double move) { return move; }
};

}  // namespace kexue::simplex
