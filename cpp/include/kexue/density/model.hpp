// A fitted density: evaluation, distribution function, inverse, bins and samples.
//
//   q(y) = |B(t)|^2 / 2 * dx/dy,  B(t) = sum_k b_k e^{i pi k t},  ||b|| = 1
//
// Densities are sums of two squares, never negative. Masses are sums of positive terms: the period
// is cut into 16 N cells or more whose masses come from six-point Gauss-Legendre quadrature (exact
// to rounding on |B|^2 at that width), and a part of a cell from the same rule. Both tails are
// therefore right to a few ulp of themselves, as far as B itself is. Quantiles are refined until
// the mass agrees to rounding. Everything runs on the pool; nothing depends on the workers.
#pragma once

#include <complex>
#include <cstddef>
#include <span>
#include <vector>

#include "kexue/core/rng.hpp"
#include "kexue/density/chart.hpp"
#include "kexue/density/kernels.hpp"

namespace kexue::density {

class Model {
 public:
  Model(Chart chart, std::span<const std::complex<double>> b);

  std::ptrdiff_t order() const { return static_cast<std::ptrdiff_t>(re_.size()) - 1; }

  void pdf(std::span<const double> y, std::span<double> out, bool logarithm, int workers) const;
  // The mass below y, or above it.
  void mass(std::span<const double> y, std::span<double> out, bool upper, bool logarithm,
            int workers) const;
  // y with mass q below it, or above it; NaN outside [0, 1].
  void quantile(std::span<const double> q, std::span<double> out, bool upper, int workers) const;
  // The mass between lo <= hi.
  void bins(std::span<const double> lo, std::span<const double> hi, std::span<double> out,
            int workers) const;
  void sample(Key key, std::span<double> out, int workers) const;

  // Positions, slopes dx/dy and B there, for what is rarely computed.
  void positions(std::span<const double> y, std::span<double> t, std::span<double> slope) const;
  void locate(std::span<const double> t, std::span<double> y) const;
  void amplitude(std::span<const double> t, std::span<double> re, std::span<double> im) const;

 private:
  // One end of the period: the distribution function upwards from it. Positions of the upper end
  // are mirrored, which conjugates b.
  struct Side {
    std::vector<double> im;
    std::vector<double> below;   // mass before each cell
    std::vector<double> inside;  // mass of each cell
    std::vector<double> poly;    // rows of SampleTable
  };

  void build_side(Side& side, bool upper);
  void build_alias();
  void part_masses(const Side& side, const double* from, const double* to, std::ptrdiff_t n,
                   double* out) const;
  std::ptrdiff_t cell_of(double t) const;
  double start_of(std::ptrdiff_t cell) const;
  void mass_block(const double* y, std::ptrdiff_t n, bool upper, bool logarithm, double* out) const;
  void quantile_block(const double* q, std::ptrdiff_t n, bool upper, double* out) const;
  void solve_block(const Side& side, const double* q, std::ptrdiff_t n, double* t) const;
  void bin_block(const double* lo, const double* hi, std::ptrdiff_t n, double* out) const;

  Chart chart_;
  std::vector<double> re_;
  std::ptrdiff_t cells_;
  double width_;
  double at_end_;  // density of t at the ends
  Side sides_[2];
  std::vector<double> alias_;
};

}  // namespace kexue::density
