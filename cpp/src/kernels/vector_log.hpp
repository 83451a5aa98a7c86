// Logarithms on vectors; errors as vector_math.hpp says.
//
// x = 2^k m with m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f):
//   log m = 2 atanh(s) = f - f^2/2 + s (f^2/2 + R(s^2)),   R(z) = 2/3 z + 2/5 z^2 + ...
// R is a minimax fit on s^2 <= (3 - 2 sqrt 2)^2; the arrangement around f^2/2 is fdlibm's (1993).
// k log 2 is split so that k * kLn2High is exact, and k * kLn2High + f is summed without error.
#pragma once

#include "vector_pieces.hpp"

namespace kexue::KEXUE_ISA {
namespace {

template <class T>
struct LogConstants;
template <>
struct LogConstants<double> {
  static constexpr double kLn2High = 0x1.62e42fefa3800p-1, kLn2Low = 0x1.ef35793c76730p-45;
  static constexpr double kSmallestNormal = 0x1p-1022, kScale = 0x1p54, kScaleLog2 = 54;
  static constexpr double kTailMatters = 0x1p60;
  static constexpr std::int64_t kSqrtHalf = 0x3fe6a09e667f3bcd;  // the bits of sqrt(1/2)
  static constexpr double kSeries[] = {
      0x1.5555555555592p-1, 0x1.999999997fd7ap-2, 0x1.24924941f4e05p-2, 0x1.c71c520615de0p-3,
      0x1.74663fa07a01fp-3, 0x1.39a1a70c4652ap-3, 0x1.2f0634596ccf8p-3};
};
template <>
struct LogConstants<float> {
  static constexpr float kLn2High = 0x1.62e4p-1f, kLn2Low = 0x1.7f7d1cp-20f;
  static constexpr float kSmallestNormal = 0x1p-126f, kScale = 0x1p25f, kScaleLog2 = 25;
  static constexpr float kTailMatters = 0x1p30f;
  static constexpr std::int32_t kSqrtHalf = 0x3f3504f3;
  static constexpr float kSeries[] = {0x1.555554p-1f, 0x1.999a7ap-2f, 0x1.2438d2p-2f,
                                      0x1.e2f724p-3f};
};

// x = 2^k (1 + f) for positive normal x; power is 2^-k, meaningless for the largest k.
template <class T>
struct PowerSplit {
  Vec<T> f, k, power;
};
template <class T>
KEXUE_INLINE PowerSplit<T> split_power(Vec<T> x) {
  using B = Bits<T>;
  constexpr int kShift = Format<T>::kMantissaBits;
  constexpr B kOne = Format<T>::kBias << kShift;
  constexpr B kSqrtHalf = LogConstants<T>::kSqrtHalf;
  // k + bias stays positive: a logical shift serves, and AVX2 has no other for 64 bits.
  const Mask<T> shifted = wrap_add<T>(bits(x), broadcast<Bits<T>>(kOne - kSqrtHalf));
  const Mask<T> biased = shift_right<T>(shifted, kShift);
  const Mask<T> mantissa = shifted & broadcast<Bits<T>>(((B)1 << kShift) - 1);
  const Vec<T> m = real(wrap_add<T>(mantissa, broadcast<Bits<T>>(kSqrtHalf)));
  const Vec<T> k = real(biased | broadcast<Bits<T>>(Format<T>::kIntegerBits)) -
                   broadcast<T>(Format<T>::kIntegers + (T)Format<T>::kBias);
  const Mask<T> negated = broadcast<Bits<T>>(2 * Format<T>::kBias) - biased;
  return {m - broadcast<T>(1), k, real(shift_left<T>(negated, kShift))};
}

// k log 2 + log(1 + f) + tail with s = f / (2 + f), where tail is small beside the sum.
template <class T>
KEXUE_INLINE Vec<T> log_of_split(Vec<T> k, Vec<T> f, Vec<T> s, Vec<T> tail) {
  using C = LogConstants<T>;
  const Vec<T> z = s * s;
  const Vec<T> half = broadcast<T>((T)0.5) * f * f;
  const Vec<T> half_and_series = multiply_add(z, polynomial<T>(z, C::kSeries), half);
  const Vec<T> small = multiply_add(k, broadcast<T>(C::kLn2Low), tail);
  const Vec<T> scaled = k * broadcast<T>(C::kLn2High);
  const Vec<T> high = scaled + f;
  const Vec<T> low = (scaled - high) + f;
  return high + (low - (half - multiply_add(s, half_and_series, small)));
}

// The logarithm's special values: -inf at 0, NaN below, +inf and NaN themselves.
template <class T>
KEXUE_INLINE Vec<T> log_special(Vec<T> x, Vec<T> result) {
  const Vec<T> zero = broadcast<T>(0);
  const Vec<T> infinity = real(broadcast<Bits<T>>(Format<T>::kInfinity));
  const Vec<T> nan = real(broadcast<Bits<T>>(Format<T>::kNaN));
  const Vec<T> not_positive = select<T>(less<T>(x, zero), nan, zero - infinity);
  return select<T>(less<T>(x, infinity), select<T>(less<T>(zero, x), result, not_positive), x + x);
}

// log x for positive normal x.
template <class T>
KEXUE_INLINE Vec<T> log_of_normal(Vec<T> x) {
  const PowerSplit<T> p = split_power<T>(x);
  return log_of_split<T>(p.k, p.f, p.f / (broadcast<T>(2) + p.f), broadcast<T>(0));
}

// At most 0.82 ulp (float64), 0.83 ulp (float32), for all x.
template <class T>
KEXUE_INLINE Vec<T> log_lanes(Vec<T> x) {
  using C = LogConstants<T>;
  const Mask<T> subnormal = less<T>(x, broadcast<T>(C::kSmallestNormal));
  const PowerSplit<T> p = split_power<T>(select<T>(subnormal, x * broadcast<T>(C::kScale), x));
  const Vec<T> k = select<T>(subnormal, p.k - broadcast<T>(C::kScaleLog2), p.k);
  const Vec<T> s = p.f / (broadcast<T>(2) + p.f);
  return log_special<T>(x, log_of_split<T>(k, p.f, s, broadcast<T>(0)));
}

// With u = fl(1 + x) and c its rounding error, log(1 + x) = log u + c/u to first order, which is
// enough. 1/(1 + f) = (1 - s)/(1 + s), of which c needs only a few bits.
// At most 0.88 ulp (float64), 0.88 ulp (float32), for all x.
template <class T>
KEXUE_INLINE Vec<T> log1p_lanes(Vec<T> x) {
  const Vec<T> one = broadcast<T>(1);
  const Vec<T> u = one + x;
  const Vec<T> rounded = u - one;
  const Vec<T> error = (one - (u - rounded)) + (x - rounded);
  const Mask<T> matters = less<T>(x, broadcast<T>(LogConstants<T>::kTailMatters));
  const Vec<T> c = select<T>(matters, error, broadcast<T>(0));
  const PowerSplit<T> p = split_power<T>(u);
  const Vec<T> s = p.f / (broadcast<T>(2) + p.f);
  const Vec<T> inverse = (one - s) * multiply_add(s, s, one - s);
  const Vec<T> tail = (c * select<T>(matters, p.power, broadcast<T>(0))) * inverse;
  const Vec<T> result = log_special<T>(u, log_of_split<T>(p.k, p.f, s, tail));
  return real(bits(result) | sign_bit<T>(x));
}

KEXUE_INLINE F64 log(F64 x) { return log_lanes<double>(x); }
KEXUE_INLINE F32 log(F32 x) { return log_lanes<float>(x); }
KEXUE_INLINE F64 log1p(F64 x) { return log1p_lanes<double>(x); }
KEXUE_INLINE F32 log1p(F32 x) { return log1p_lanes<float>(x); }

}  // namespace
}  // namespace kexue::KEXUE_ISA
