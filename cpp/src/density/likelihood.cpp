#include "likelihood.hpp"

#include <algorithm>
#include <cmath>

#include "kexue/core/error.hpp"
#include "kexue/density/kernels.hpp"

namespace kexue::density {

using std::ptrdiff_t;

namespace {

constexpr double kNegligible = 1e-24;

// Points, eights of them, of weight 1 in all.
Points load(const Measure& measure, ptrdiff_t cells) {
  Points points;
  if (!measure.t.empty()) {
    require(measure.w.empty() || measure.w.size() == measure.t.size(), "one weight per point");
    points.t.assign(measure.t.begin(), measure.t.end());
    points.w.assign(measure.w.begin(), measure.w.end());
    if (points.w.empty()) points.w.assign(points.t.size(), 1.0);
  } else if (const auto size = static_cast<std::size_t>(kMoments * cells);
             size < measure.moments.size()) {
    std::vector<double> coarse(size);
    coarsen(measure.moments, coarse);
    points = gauss_points(coarse);
  } else {
    points = gauss_points(measure.moments);
  }
  double total = 0;
  for (const double w : points.w) total += w;
  require(total > 0, "the samples hold no mass");
  // log p is above -80 in doubles: what is dropped moves no likelihood by more than 1e-20.
  for (double& w : points.w) w = w > kNegligible * total ? w / total : 0.0;
  const std::size_t padded = (points.t.size() + 7) / 8 * 8;
  points.t.resize(padded, 0.0);
  points.w.resize(padded, 0.0);
  return points;
}

}  // namespace

Likelihood::Likelihood(const Measure& measure, ptrdiff_t n, ptrdiff_t cells)
    : points_(load(measure, cells)),
      nodes_(static_cast<ptrdiff_t>(points_.t.size())),
      sums_(16 * (2 * n)),
      values_(nodes_),
      weights_(nodes_) {}

void Likelihood::amplitude(const SplitVector& b, SplitArray& out) const {
  density_kernels().amplitude(b.re.data(), b.im.data(), b.size() - 1, points_.t.data(),
                              out.re.data(), out.im.data(), nodes_);
}

// sum_j u_j e^{-i pi k t_j}
void Likelihood::moments(const SplitArray& u, SplitVector& out) {
  fit_kernels().point_moments(points_.t.data(), u.re.data(), u.im.data(), nodes_, out.size(),
                              sums_.data(), out.re.data(), out.im.data());
}

double Likelihood::evaluate(const SplitVector& b) {
  amplitude(b, values_);
  return fit_kernels().log_likelihood(points_.w.data(), values_.re.data(), values_.im.data(),
                                      nodes_);
}

void Likelihood::hankel_moments(SplitVector& out) {
  fit_kernels().newton_weights(points_.w.data(), values_.re.data(), values_.im.data(),
                               weights_.re.data(), weights_.im.data(), nodes_);
  moments(weights_, out);
}

double Likelihood::toeplitz_moments(double margin, SplitVector& out) {
  double inverse = 0;
  for (ptrdiff_t j = 0; j < nodes_; ++j) {
    const double w = points_.w[static_cast<std::size_t>(j)];
    const double square = power(values_, j);
    weights_.re[j] = w == 0 ? 0 : w / (square + margin);
    inverse += w == 0 ? 0 : w / square;
  }
  std::fill_n(weights_.im.data(), nodes_, 0.0);
  moments(weights_, out);
  return margin * inverse;
}

void Likelihood::plain_moments(SplitVector& out) {
  std::copy_n(points_.w.data(), nodes_, weights_.re.data());
  std::fill_n(weights_.im.data(), nodes_, 0.0);
  moments(weights_, out);
}

double Likelihood::best_share(const SplitVector& top) {
  amplitude(top, weights_);
  double best_value = 0, best = 0, share = 0.5;
  for (int trial = 0; trial < 15; ++trial, share *= 0.4) {
    double value = 0;
    for (ptrdiff_t j = 0; j < nodes_; ++j) {
      const double w = points_.w[static_cast<std::size_t>(j)];
      if (w == 0) continue;
      value += w * std::log1p(share * (power(weights_, j) / power(values_, j) - 1));
    }
    if (value > best_value) {
      best_value = value;
      best = share;
    }
  }
  return best;
}

}  // namespace kexue::density
