#include "kexue/density/chart.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "kexue/core/elementary.hpp"
#include "kexue/core/error.hpp"
#include "kexue/density/kernels.hpp"

namespace kexue::density {

using std::ptrdiff_t;

namespace {

constexpr double kPi = std::numbers::pi;
constexpr double kSqrt3 = std::numbers::sqrt3;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Below this 2 tail masses and slopes are taken from their logarithms.
constexpr double kUnderflow = 1e-290;

// f - sin f without cancellation.
double excess_over_sine(double f) {
  if (f > 0.6) return f - std::sin(f);
  const double f2 = f * f;
  double sum = 1;
  for (int k = 10; k >= 2; --k) sum = 1 - sum * f2 / (2.0 * k * (2 * k + 1));
  return f * f2 / 6 * sum;
}

// Mass above z >= 0 of the standard base.
double upper_tail(Base base, double z) {
  switch (base) {
    case Base::normal:
      return 0.5 * std::erfc(z * std::numbers::sqrt2 / 2);
    case Base::t3:
      return excess_over_sine(2 * std::atan(kSqrt3 / z)) / (2 * kPi);
    case Base::cauchy:
      return std::atan(1 / z) / kPi;
    default: {
      const double e = std::exp(-2 * z);
      return e / (1 + e);
    }
  }
}

// Density of the standard base at z >= 0.
double base_density(Base base, double z) {
  switch (base) {
    case Base::normal:
      return std::exp(-0.5 * z * z) / std::sqrt(2 * kPi);
    case Base::t3: {
      const double u = 1 / (1 + z * z / 3);
      return 2 / (kPi * kSqrt3) * u * u;
    }
    case Base::cauchy:
      return 1 / (kPi * (1 + z * z));
    default: {
      const double e = std::exp(-2 * z);
      return 2 * e / ((1 + e) * (1 + e));
    }
  }
}

double log_upper_tail(Base base, double z) {
  if (base == Base::logistic) return -2 * z;
  if (base == Base::normal) {
    const double r = 1 / (z * z);
    const double series = 1 - r * (1 - 3 * r * (1 - 5 * r * (1 - 7 * r)));
    return -0.5 * z * z - std::log(z) - 0.5 * std::log(2 * kPi) + std::log(series);
  }
  if (base == Base::cauchy) return -std::log(kPi) - std::log(z);
  return std::log(2 * kSqrt3 / kPi) - 3 * std::log(z);
}

double log_base_density(Base base, double z) {
  if (base == Base::logistic) return std::log(2.0) - 2 * z;
  if (base == Base::normal) return -0.5 * z * z - 0.5 * std::log(2 * kPi);
  if (base == Base::cauchy) return -std::log(kPi) - 2 * std::log(z);
  return std::log(6 * kSqrt3 / kPi) - 4 * std::log(z);
}

// z >= 0 with mass q in (0, 1/2] above it.
double inverse_normal(double q) {
  if (q == 0.5) return 0;
  // Abramowitz and Stegun 26.2.23 to 4.5e-4, then Halley's method on log tails.
  const double r = std::sqrt(-2 * std::log(q));
  double z = r - (2.515517 + r * (0.802853 + r * 0.010328)) /
                     (1 + r * (1.432788 + r * (0.189269 + r * 0.001308)));
  for (int i = 0; i < 3; ++i) {
    const double tail = upper_tail(Base::normal, z), density = base_density(Base::normal, z);
    if (!(density > 0)) break;
    const double step = (tail - q) / density;
    z += step / (1 + 0.5 * z * step);
  }
  return std::max(z, 0.0);
}

double inverse_t3(double q) {
  // f - sin f = 2 pi q, from f^3 / 6 at the tail and Newton with Halley's correction.
  const double target = 2 * kPi * q;
  double f = std::min(std::cbrt(6 * target), kPi);
  for (int i = 0; i < 6; ++i) {
    const double value = excess_over_sine(f) - target;
    const double half = std::sin(f / 2), slope = 2 * half * half;
    if (slope == 0) break;
    const double step = value / slope;
    f = std::min(f - step / (1 - 0.5 * step * std::sin(f) / slope), kPi);
  }
  return kSqrt3 / std::tan(f / 2);
}

double inverse_upper_tail(Base base, double q) {
  if (!(q > 0)) return q == 0 ? kInfinity : kNaN;
  if (q >= 0.5) return 0;
  switch (base) {
    case Base::normal:
      return inverse_normal(q);
    case Base::t3:
      return inverse_t3(q);
    case Base::cauchy:
      return 1 / std::tan(kPi * q);
    default:
      return 0.5 * std::log((1 - q) / q);
  }
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

Chart::Chart(double loc, double scale, bool logarithmic, double spill, double first, double last,
             std::span<const double> knots)
    : base_(Base::warp),
      loc_(loc),
      scale_(scale),
      logarithmic_(logarithmic),
      spill_(spill),
      first_(first),
      step_((last - first) / static_cast<double>(knots.size() - 1)),
      density_(knots.begin(), knots.end()) {
  require(knots.size() >= 2 && last > first && scale > 0, "a warp needs increasing knots");
  const std::size_t n = knots.size();
  left_.assign(n, 0);
  right_.assign(n, 0);
  for (std::size_t k = 1; k < n; ++k) {
    left_[k] = left_[k - 1] + 0.5 * step_ * (density_[k - 1] + density_[k]);
  }
  for (std::size_t k = n - 1; k-- > 0;) {
    right_[k] = right_[k + 1] + 0.5 * step_ * (density_[k] + density_[k + 1]);
  }
  require(left_[n - 1] > 0, "the table of a warp must have mass");
  const double norm = (1 - spill_) / left_[n - 1];
  for (std::size_t k = 0; k < n; ++k) {
    density_[k] *= norm;
    left_[k] *= norm;
    right_[k] *= norm;
  }
}

Chart::Tails Chart::warp(double y) const {
  const double z = (y - loc_) / scale_;
  const double tail = spill_ * upper_tail(Base::t3, std::abs(z));
  Tails result{z < 0 ? tail : spill_ - tail, z < 0 ? spill_ - tail : tail,
               spill_ * base_density(Base::t3, std::abs(z)) / scale_};
  const double place = (y - first_) / step_;
  const auto last = static_cast<double>(density_.size() - 1);
  if (place <= 0 || place >= last) {
    (place <= 0 ? result.upper : result.lower) += 1 - spill_;
    return result;
  }
  const auto k = std::min(static_cast<std::size_t>(place), density_.size() - 2);
  const double d = place - static_cast<double>(k), rise = density_[k + 1] - density_[k];
  result.lower += left_[k] + step_ * d * (density_[k] + 0.5 * d * rise);
  result.upper += right_[k + 1] + step_ * (1 - d) * (density_[k + 1] - 0.5 * (1 - d) * rise);
  result.density += density_[k] + d * rise;
  return result;
}

// Safeguarded Newton for the nearer tail; the bracket shrinks every step.
double Chart::inverse_warp(double t) const {
  const bool low = t > 0;
  const double mass = 0.5 * std::abs(t);
  if (mass == 0) return std::signbit(t) ? kInfinity : -kInfinity;
  const auto tail = [&](double y) {
    const Tails tails = warp(y);
    return low ? tails.lower : tails.upper;
  };
  double width = std::max(scale_, step_ * static_cast<double>(density_.size()));
  double from = std::min(first_, loc_), to = std::max(first_ + width, loc_);
  for (; (low ? tail(from) : 1 - tail(from)) > (low ? mass : 1 - mass); width *= 2) from -= width;
  for (; (low ? tail(to) : -tail(to)) < (low ? mass : -mass); width *= 2) to += width;
  double y = 0.5 * (from + to);
  for (int i = 0; i < 200; ++i) {
    const double excess = (tail(y) - mass) * (low ? 1 : -1);
    if (excess == 0) break;
    (excess > 0 ? to : from) = y;
    const double density = warp(y).density;
    double next = y - excess / density;
    // Twice per four steps halve, so that the worst case stays short.
    if (!(next > from && next < to) || i % 4 == 3) next = 0.5 * (from + to);
    if (next == y || std::abs(next - y) <= 1e-16 * std::abs(y)) break;
    y = next;
  }
  return y;
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
      for (ptrdiff_t i = 0; i < n; ++i) {
        const Tails tails = warp(y[i]);
        t[i] = tails.lower <= tails.upper ? 2 * tails.lower : -2 * tails.upper;
        slope[i] = 2 * tails.density;
        if (std::isnan(y[i])) t[i] = slope[i] = kNaN;
      }
      return;
    default:
      for (ptrdiff_t i = 0; i < n; ++i) {
        const double z = (y[i] - loc_) / scale_, size = std::abs(z);
        t[i] = std::copysign(2 * upper_tail(base_, size), -z);
        slope[i] = 2 * base_density(base_, size) / scale_;
      }
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

void Chart::inverse_base(const double* t, ptrdiff_t n, double* y) const {
  switch (base_) {
    case Base::interval:
    case Base::circle:
      for (ptrdiff_t i = 0; i < n; ++i) {
        const double place = 0.5 * scale_ * t[i];
        y[i] = std::signbit(t[i]) ? loc_ + scale_ + place : loc_ + place;
      }
      return;
    case Base::logistic:
      return density_kernels().logistic_inverse(t, loc_, scale_, y, n);
    case Base::warp:
      for (ptrdiff_t i = 0; i < n; ++i) y[i] = std::isnan(t[i]) ? kNaN : inverse_warp(t[i]);
      return;
    default:
      for (ptrdiff_t i = 0; i < n; ++i) {
        const double z = inverse_upper_tail(base_, 0.5 * std::abs(t[i]));
        y[i] = loc_ + scale_ * std::copysign(z, -t[i]);
      }
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
