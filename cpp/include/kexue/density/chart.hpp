// Charts: how the support of a density is laid onto the period [-1, 1] of its Fourier factor.
//
//   q(y) = p(x) dx/dy,   x = 2 F(z) - 1,   z = (y - loc) / scale
//
// F is the distribution function of the base, so the base itself is the density of order 0. A
// position is given from the ends of the period (kexue/density/kernels.hpp): t = 1 + x in the lower
// half, t = -(1 - x) in the upper one, each with full relative accuracy.
//
//   interval  x runs once over [loc, loc + scale]        circle    the same, y modulo scale
//   logistic  x = tanh z         normal  F = Phi         t3, cauchy  Student's t, 3 and 1 degrees
//   warp      F = a table of a density, piecewise linear, mixed with the t3 base by `spill`
// With `logarithmic` the base lies on log y: a half line, with slope(y) = slope(log y) / y.
//
// Outside the support the slope is 0 and t is +0 below it, -0 above it; NaN stays NaN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kexue/density/chart_kernels.hpp"

namespace kexue::density {

enum class Base { interval, circle, logistic, normal, t3, cauchy, warp };
Base base_from_name(std::string_view name);

class Chart {
 public:
  static constexpr std::ptrdiff_t kBlock = 512;

  Chart(Base base, double loc, double scale, bool logarithmic = false);
  // A density on equispaced knots from first to last, zero outside; normalised here.
  Chart(double loc, double scale, bool logarithmic, double spill, double first, double last,
        std::span<const double> knots);

  // n <= kBlock. slope = dx/dy.
  void forward(const double* y, std::ptrdiff_t n, double* t, double* slope) const;
  void inverse(const double* t, std::ptrdiff_t n, double* y) const;
  bool bounded() const { return base_ == Base::interval || base_ == Base::circle; }
  // Finite and within the support.
  bool inside(double y) const;
  // log(dx/dy) and log |t| where they underflow, for y far out on the side of its sign.
  double log_slope(double y) const;
  double log_distance(double y) const;

 private:
  struct Tails {
    double lower, upper, density;  // F, 1 - F and dF/dz
  };
  void forward_base(const double* y, std::ptrdiff_t n, double* t, double* slope) const;
  void forward_interval(const double* y, std::ptrdiff_t n, double* t, double* slope) const;
  void inverse_base(const double* t, std::ptrdiff_t n, double* y) const;
  void build_inverse();
  WarpTable table() const;
  Tails warp(double y) const;
  void inverse_warp(const double* t, std::ptrdiff_t n, double* y) const;
  double inverse_warp(double t) const;

  Base base_;
  double loc_, scale_;
  bool logarithmic_;
  // The table of the warp: density, mass to the left and to the right of every knot.
  double spill_ = 1, first_ = 0, step_ = 0;
  std::vector<double> density_, left_, right_;
  // Its inverse: WarpInverse.
  std::vector<double> cubics_;
  std::vector<std::int32_t> guide_;
};

}  // namespace kexue::density
