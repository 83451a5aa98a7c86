#include "base_tails.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kexue/core/constants.hpp"

namespace kexue::density {

namespace {

constexpr double kPi = std::numbers::pi;
constexpr double kSqrt3 = std::numbers::sqrt3;

// f - sin f without cancellation.
double excess_over_sine(double f) {
  if (f > 0.6) return f - std::sin(f);
  const double f2 = f * f;
  double sum = 1;
  for (int k = 10; k >= 2; --k) sum = 1 - sum * f2 / (2.0 * k * (2 * k + 1));
  return f * f2 / 6 * sum;
}

}  // namespace

double upper_tail_of_t3(double z) {
  return excess_over_sine(2 * std::atan(kSqrt3 / z)) / (2 * kPi);
}

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

namespace {

// z >= 0 with mass q in (0, 1/2] above it.
double inverse_normal(double q) {
  if (q == 0.5) return 0;
  // Abramowitz and Stegun 26.2.23 to 4.5e-4, then Halley's method on log tails.
  const double r = std::sqrt(-2 * std::log(q));
  double z = r - (2.515517 + r * (0.802853 + r * 0.010328)) /
                     (1 + r * (1.432788 + r * (0.189269 + r * 0.001308)));
  for (int i = 0; i < 3; ++i) {
    const double tail = 0.5 * std::erfc(z * std::numbers::sqrt2 / 2);
    const double density = base_density(Base::normal, z);
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

}  // namespace

double inverse_upper_tail(Base base, double q) {
  if (!(q > 0)) return q == 0 ? kInf : kNaN;
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

}  // namespace kexue::density
