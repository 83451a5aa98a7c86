#include "kexue/density/chart.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base_tails.hpp"
#include "kexue/core/constants.hpp"
#include "kexue/core/elementary.hpp"
#include "kexue/core/error.hpp"
#include "kexue/density/kernels.hpp"

namespace kexue::density {

using std::ptrdiff_t;

namespace {

// Below this 2 tail masses and slopes are taken from their logarithms.
constexpr double kUnderflow = 1e-290;

Tail tail_of(Base base) {
  return base == Base::normal ? Tail::normal : base == Base::t3 ? Tail::t3 : Tail::cauchy;
}

}  // namespace

Base base_from_name(std::string_view name) {
  constexpr std::string_view kNames[] = {"interval", "circle", "logistic", "normal",
                                         "t3",       "cauchy", "warp"};
  for (int i = 0; i < 7; ++i) {
    if (name == kNames[i]) return static_cast<Base>(i);
  }
  throw std::invalid_argument("unknown base");
}

Chart::Chart(Base base, double loc, double scale, bool logarithmic)
    : base_(base), loc_(loc), scale_(scale), logarithmic_(logarithmic) {
  require(scale > 0 && std::isfinite(scale) && std::isfinite(loc), "'scale' must be positive");
  require(base != Base::warp, "a warp needs its table");
}

void Chart::forward_interval(const double* y, ptrdiff_t n, double* t, double* slope) const {
  const double last = loc_ + scale_;
  // The upper end that the caller meant may differ from this sum by its rounding.
  const double slack = 4 * std::numeric_limits<double>::epsilon() * (1 + std::abs(loc_) / scale_);
  for (ptrdiff_t i = 0; i < n; ++i) {
    double v = y[i];
    if (base_ == Base::circle && !(v >= loc_ && v <= last)) {
      v -= scale_ * std::floor((v - loc_) / scale_);
      v = std::min(std::max(v, loc_), last);
      if (std::isnan(y[i]) || std::isinf(y[i])) v = kNaN;
    }
    double low = 2 * (v - loc_) / scale_, high = 2 * (last - v) / scale_;
    const bool inside = low >= -slack && high >= -slack;
    if (inside) {
      low = std::max(low, 0.0);
      high = std::max(high, 0.0);
    }
    t[i] = inside ? (low <= 1 ? low : -high) : low < 0 ? 0.0 : -0.0;
    slope[i] = inside ? 2 / scale_ : 0.0;
    if (std::isnan(v)) t[i] = slope[i] = kNaN;
  }
}

void Chart::forward_base(const double* y, ptrdiff_t n, double* t, double* slope) const {
  switch (base_) {
    case Base::interval:
    case Base::circle:
      return forward_interval(y, n, t, slope);
    case Base::logistic:
      return density_kernels().logistic(y, loc_, 1 / scale_, t, slope, n);
    case Base::warp:
      return chart_kernels().warp(table(), y, t, slope, n);
    default:
      return chart_kernels().tails(tail_of(base_), y, loc_, 1 / scale_, t, slope, n);
  }
}

void Chart::forward(const double* y, ptrdiff_t n, double* t, double* slope) const {
  if (!logarithmic_) return forward_base(y, n, t, slope);
  double z[kBlock];
  elementary_kernels().f64.log(y, z, n);
  forward_base(z, n, t, slope);
  for (ptrdiff_t i = 0; i < n; ++i) {
    if (y[i] > 0) {
      slope[i] /= y[i];
      if (std::isinf(y[i])) slope[i] = 0;
    } else if (y[i] <= 0) {
      t[i] = slope[i] = 0;
    }
  }
}

// The far tails, and what is no mass at all, one by one.
void Chart::inverse_base(const double* t, ptrdiff_t n, double* y) const {
  switch (base_) {
    case Base::interval:
    case Base::circle: {
      // Looked up, not branched on: the halves of samples are as random as they are.
      const double ends[2] = {loc_, loc_ + scale_};
      for (ptrdiff_t i = 0; i < n; ++i) {
        y[i] = ends[std::signbit(t[i]) ? 1 : 0] + 0.5 * scale_ * t[i];
      }
      return;
    }
    case Base::logistic:
      return density_kernels().logistic_inverse(t, loc_, scale_, y, n);
    case Base::warp:
      return inverse_warp(t, n, y);
    default:
      break;
  }
  double from[kBlock];
  std::copy_n(t, n, from);
  chart_kernels().inverse(tail_of(base_), from, loc_, scale_, y, n);
  const double least = base_ == Base::normal ? kLeastNormal : kLeastStudent;
  for (ptrdiff_t i = 0; i < n; ++i) {
    if (std::abs(from[i]) >= least) continue;
    const double z = inverse_upper_tail(base_, 0.5 * std::abs(from[i]));
    y[i] = loc_ + scale_ * std::copysign(z, -from[i]);
  }
}

void Chart::inverse(const double* t, ptrdiff_t n, double* y) const {
  inverse_base(t, n, y);
  if (logarithmic_) elementary_kernels().f64.exp(y, y, n);
}

bool Chart::inside(double y) const {
  if (!std::isfinite(y) || (logarithmic_ && !(y > 0))) return false;
  return base_ != Base::interval || std::abs(2 * (y - loc_) / scale_ - 1) <= 1 + 1e-14;
}

double Chart::log_slope(double y) const {
  const double v = logarithmic_ ? std::log(y) : y;
  const double z = std::abs(v - loc_) / scale_;
  double result;
  if (base_ == Base::interval || base_ == Base::circle) {
    result = std::log(2 / scale_);
  } else if (base_ == Base::warp) {
    const double density = 2 * warp(v).density;
    result = density > kUnderflow ? std::log(density)
                                  : std::log(2 * spill_ / scale_) + log_base_density(Base::t3, z);
  } else {
    const double density = 2 * base_density(base_, z) / scale_;
    result = density > kUnderflow ? std::log(density)
                                  : std::log(2 / scale_) + log_base_density(base_, z);
  }
  return logarithmic_ ? result - v : result;
}

double Chart::log_distance(double y) const {
  const double v = logarithmic_ ? std::log(y) : y;
  const double z = std::abs(v - loc_) / scale_;
  if (base_ == Base::warp) return std::log(2 * spill_) + log_upper_tail(Base::t3, z);
  return std::log(2.0) + log_upper_tail(base_, z);
}

}  // namespace kexue::density
