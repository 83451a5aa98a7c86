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
// `width` is how far below the largest entry the support reaches, `tau_of_move` what tau gains
// where the entries gain `move`.

struct Linear {
  double radius, scale;

  template <class T>
  T cut(double max) const {
    return floor_to<T>(max - radius - 4e-16 * std::abs(max));
  }
  template <class T>
  auto solve(const Candidates<T>& candidates, double max, double& tau) const {
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

  template <class T>
  T cut(double max) const {
    return power_cut<T>(Power{max, slope, 0, power});
  }
  // p_i = (slope x_i - tau)_+^power, so tau = slope max + drop - 1.
  template <class T>
  auto solve(const Candidates<T>& candidates, double max, double& tau) const {
    Power f{max, slope, 0, power};
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
  T cut(double max) const {
    return power_cut<T>(Power{max, slope, 0, power});
  }
  template <class T>
  auto solve(const Candidates<T>& candidates, double max, double& tau) const {
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
  T cut(double max) const {
    return std::nextafter(static_cast<T>(max), -std::numeric_limits<T>::infinity());
  }
  template <class T>
  auto solve(const Candidates<T>& candidates, double max, double& tau) const {
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
