// Elementary functions on vectors (simd.hpp), for kernel files to inline.
//
//   exp log log1p expm1 sin_pi cos_pi      F64 -> F64, F32 -> F32
//   sincos_pi<R>, sincos_pi_in_period<R>, log_of_normal<R>
//
// Errors are in units in the last place (ulp): the largest seen over every exponent, dense samples
// where the function bends and the neighbours of every breakpoint, with and without fused
// multiply-add. Subnormal arguments and results are right to the same bound. No branches on data.
#pragma once

#include "simd.hpp"

namespace kexue::KEXUE_ISA {
namespace {

// ---- Pieces the functions share ---------------------------------------------------------------

template <class T>
struct Format;
template <>
struct Format<double> {
  static constexpr int kMantissaBits = 52;
  static constexpr std::int64_t kBias = 1023;
  static constexpr std::int64_t kSign = INT64_MIN;
  static constexpr std::int64_t kInfinity = 0x7ff0000000000000, kNaN = 0x7ff8000000000000;
  static constexpr double kRounder = 0x1.8p52;  // x + kRounder - kRounder rounds to an integer
  static constexpr double kIntegers = 0x1p52;   // its bits | n = the bits of kIntegers + n
  static constexpr std::int64_t kIntegerBits = 0x4330000000000000;
};
template <>
struct Format<float> {
  static constexpr int kMantissaBits = 23;
  static constexpr std::int32_t kBias = 127;
  static constexpr std::int32_t kSign = INT32_MIN;
  static constexpr std::int32_t kInfinity = 0x7f800000, kNaN = 0x7fc00000;
  static constexpr float kRounder = 0x1.8p23f;
  static constexpr float kIntegers = 0x1p23f;
  static constexpr std::int32_t kIntegerBits = 0x4b000000;
};

// c[0] + c[1] x + ... + c[n-1] x^(n-1), Horner's rule.
template <class T, int n>
KEXUE_INLINE Vec<T> polynomial(Vec<T> x, const T (&c)[n]) {
  Vec<T> y = broadcast<T>(c[n - 1]);
  for (int i = n - 2; i >= 0; --i) y = multiply_add(y, x, broadcast<T>(c[i]));
  return y;
}

template <class T>
KEXUE_INLINE Vec<T> absolute(Vec<T> x) {
  return real(bits(x) & broadcast<Bits<T>>(~Format<T>::kSign));
}
template <class T>
KEXUE_INLINE Mask<T> sign_bit(Vec<T> x) {
  return bits(x) & broadcast<Bits<T>>(Format<T>::kSign);
}

// ---- Logarithms -------------------------------------------------------------------------------
//
// x = 2^k m with m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f):
//   log m = 2 atanh(s) = f - f^2/2 + s (f^2/2 + R(s^2)),   R(z) = 2/3 z + 2/5 z^2 + ...
// R is a minimax fit on s^2 <= (3 - 2 sqrt 2)^2; the arrangement around f^2/2 is fdlibm's (1993).
// k log 2 is split so that k * kLn2High is exact, and k * kLn2High + f is summed without error.

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

// ---- Exponentials -----------------------------------------------------------------------------

template <class T>
struct ExpConstants;
template <>
struct ExpConstants<double> {
  static constexpr double kInverseLn2 = 0x1.71547652b82fep0;
  static constexpr double kHighest = 710, kLowest = -746;  // beyond: inf, 0
  // (e^r - 1 - r)/r^2 on |r| <= log(2)/2, relative to e^r - 1.
  static constexpr double kSeries[] = {
      0x1.0000000000005p-1,  0x1.555555555555cp-3,  0x1.55555555520f3p-5,  0x1.111111110e6e6p-7,
      0x1.6c16c17f378d1p-10, 0x1.a01a01b5d1b08p-13, 0x1.a019a685a727ep-16, 0x1.71ddea14af46cp-19,
      0x1.28a2ab9cabe5cp-22, 0x1.af7692a9c622dp-26};
};
template <>
struct ExpConstants<float> {
  static constexpr float kInverseLn2 = 0x1.715476p0f;
  static constexpr float kHighest = 89, kLowest = -104;
  static constexpr float kSeries[] = {0x1p-1f, 0x1.5554b0p-3f, 0x1.555486p-5f, 0x1.1227fep-7f,
                                      0x1.6d991cp-10f};
};

// y 2^k for integral k in [-2000, 1100] (float32: [-250, 150]), rounded once. The zero-masked forms
// are the plain ones; GCC 12 warns about the undefined register inside those.
#if KEXUE_X86_BYTES == 64
KEXUE_INLINE F64 scale_by_power(F64 y, F64 k) {
  return (F64)_mm512_maskz_scalef_pd(0xff, (__m512d)y, (__m512d)k);
}
KEXUE_INLINE F32 scale_by_power(F32 y, F32 k) {
  return (F32)_mm512_maskz_scalef_ps(0xffff, (__m512)y, (__m512)k);
}
#else
// 2^k for k within the normal exponents: the bias is added while rounding to an integer.
template <class T>
KEXUE_INLINE Vec<T> normal_power(Vec<T> k) {
  const Vec<T> biased = k + broadcast<T>(Format<T>::kRounder + (T)Format<T>::kBias);
  return real(shift_left<T>(bits(biased), Format<T>::kMantissaBits));
}
template <class T>
KEXUE_INLINE Vec<T> scale_in_halves(Vec<T> y, Vec<T> k) {
  const Vec<T> rounder = broadcast<T>(Format<T>::kRounder);
  const Vec<T> half = multiply_add(k, broadcast<T>((T)0.5), rounder) - rounder;
  return y * normal_power<T>(half) * normal_power<T>(k - half);
}
KEXUE_INLINE F64 scale_by_power(F64 y, F64 k) { return scale_in_halves<double>(y, k); }
KEXUE_INLINE F32 scale_by_power(F32 y, F32 k) { return scale_in_halves<float>(y, k); }
#endif

// With a = 1 - 2^-k: e^x - 1 = 2^k (a + r + r^2 q(r)). a + r is summed without error, and what
// rounding took from r comes back.
// At most 1.19 ulp (float64), 1.20 ulp (float32), for all x.
template <class T>
KEXUE_INLINE Vec<T> expm1_lanes(Vec<T> x) {
  using C = ExpConstants<T>;
  using L = LogConstants<T>;
  const Vec<T> rounder = broadcast<T>(Format<T>::kRounder);
  const Vec<T> bounded = clamp(x, broadcast<T>(-45), broadcast<T>(C::kHighest));
  const Vec<T> k = multiply_add(bounded, broadcast<T>(C::kInverseLn2), rounder) - rounder;
  const Vec<T> high = multiply_add(k, broadcast<T>(-L::kLn2High), bounded);
  const Vec<T> low = k * broadcast<T>(L::kLn2Low);
  const Vec<T> r = high - low;
  const Vec<T> r_error = (high - r) - low;
  const Vec<T> rest = r * r * polynomial<T>(r, C::kSeries);
  const Vec<T> a = broadcast<T>(1) - scale_by_power(broadcast<T>(1), broadcast<T>(0) - k);
  const Vec<T> sum = a + r;
  const Vec<T> sum_error = (a - sum) + r;
  const Vec<T> result = scale_by_power(sum + (sum_error + (r_error + rest)), k);
  return real(bits(result) | sign_bit<T>(x));
}

// At most 1.05 ulp for all x.
KEXUE_INLINE F32 exp(F32 x) {
  using C = ExpConstants<float>;
  using L = LogConstants<float>;
  const F32 rounder = broadcast<float>(Format<float>::kRounder);
  const F32 bounded = clamp(x, broadcast<float>(C::kLowest), broadcast<float>(C::kHighest));
  const F32 k = multiply_add(bounded, broadcast<float>(C::kInverseLn2), rounder) - rounder;
  const F32 high = multiply_add(k, broadcast<float>(-L::kLn2High), bounded);
  const F32 r = multiply_add(k, broadcast<float>(-L::kLn2Low), high);
  const F32 rest = multiply_add(r * r, polynomial<float>(r, C::kSeries), r);
  return scale_by_power(broadcast<float>(1) + rest, k);
}

// 2^(j/16), correctly rounded.
alignas(64) constexpr double kSixteenths[16] = {0x1p0,
                                                0x1.0b5586cf9890fp0,
                                                0x1.172b83c7d517bp0,
                                                0x1.2387a6e756238p0,
                                                0x1.306fe0a31b715p0,
                                                0x1.3dea64c123422p0,
                                                0x1.4bfdad5362a27p0,
                                                0x1.5ab07dd485429p0,
                                                0x1.6a09e667f3bcdp0,
                                                0x1.7a11473eb0187p0,
                                                0x1.8ace5422aa0dbp0,
                                                0x1.9c49182a3f090p0,
                                                0x1.ae89f995ad3adp0,
                                                0x1.c199bdd85529cp0,
                                                0x1.d5818dcfba487p0,
                                                0x1.ea4afa2a490dap0};

// kSixteenths[j mod 16]
KEXUE_INLINE F64 sixteenths(I64 j) {
#if KEXUE_X86_BYTES == 64
  return (F64)_mm512_permutex2var_pd(_mm512_load_pd(kSixteenths), (__m512i)j,
                                     _mm512_load_pd(kSixteenths + 8));
#else
  double value[kLanes<double>];
  for (int i = 0; i < (int)kLanes<double>; ++i) value[i] = kSixteenths[j[i] & 15];
  return load<double>(value);
#endif
}

// x = n log(2)/16 + r and n = 16 k + j: e^x = 2^k 2^(j/16) (1 + r + r^2 q(r)), |r| <= log(2)/32.
struct SixteenthConstants {
  static constexpr double kPerUnit = 0x1.71547652b82fep4;
  static constexpr double kHigh = 0x1.62e42fefa0000p-5, kLow = 0x1.cf79abc9e3b3ap-44;
  static constexpr double kSeries[] = {0x1.0000000000005p-1, 0x1.555555548f728p-3,
                                       0x1.555555545e93dp-5, 0x1.11123abf04506p-7,
                                       0x1.6c185e05b7a2bp-10};
};
// e^x 2^-lowered for x = n log(2)/16 + r, shifted = n + kRounder, lowered integral: the exponent
// of the result lies in [-2000, 1024].
KEXUE_INLINE F64 exp_from_sixteenths(F64 shifted, F64 n, F64 r, F64 lowered) {
  const F64 rest = multiply_add(r * r, polynomial<double>(r, SixteenthConstants::kSeries), r);
  const F64 root = sixteenths(bits(shifted));
#if KEXUE_X86_BYTES == 64
  (void)shifted;
  return scale_by_power(multiply_add(root, rest, root),
                        multiply_add(n, broadcast<double>(0.0625), zero<double>() - lowered));
#else
  (void)n;
  // k in two halves, modulo 2^12 in the exponent's field: the first into the root's exponent.
  const I64 down = bits(broadcast<double>(Format<double>::kRounder) - lowered);
  const I64 k = wrap_add<double>(shift_right<double>(bits(shifted), 4), down);
  const I64 half = shift_right<double>(k, 1);
  const F64 scaled = real(wrap_add<double>(bits(root), shift_left<double>(half, 52)));
  const I64 other = wrap_add<double>(k - half, broadcast<std::int64_t>(Format<double>::kBias));
  return multiply_add(scaled, rest, scaled) * real(shift_left<double>(other, 52));
#endif
}

// At most 1.13 ulp for all x.
KEXUE_INLINE F64 exp(F64 x) {
  using C = SixteenthConstants;
  const F64 rounder = broadcast<double>(Format<double>::kRounder);
  const F64 bounded = clamp(x, broadcast<double>(-746), broadcast<double>(710));
  const F64 shifted = multiply_add(bounded, broadcast<double>(C::kPerUnit), rounder);
  const F64 n = shifted - rounder;
  const F64 high = multiply_add(n, broadcast<double>(-C::kHigh), bounded);
  const F64 r = multiply_add(n, broadcast<double>(-C::kLow), high);
  return exp_from_sixteenths(shifted, n, r, zero<double>());
}

// e^(high + low) 2^-power for |high| <= 2048, integral power and a low part of high's rounding:
// no maximum is subtracted from what is raised, the power of two of a whole row goes into the
// scaling. k has at most 12 bits (f32) or 16 (f64, in sixteenths), so that k times the upper part
// of log 2 is exact.
template <bool kHasLow>
KEXUE_INLINE F64 exp_lowered(F64 high, F64 low, F64 power) {
  using C = SixteenthConstants;
  const F64 rounder = broadcast<double>(Format<double>::kRounder);
  const F64 shifted = multiply_add(high, broadcast<double>(C::kPerUnit), rounder);
  const F64 n = shifted - rounder;
  F64 r = multiply_add(n, broadcast<double>(-C::kHigh), high);
  if constexpr (kHasLow) r += low;
  r = multiply_add(n, broadcast<double>(-C::kLow), r);
  return exp_from_sixteenths(shifted, n, r, power);
}
template <bool kHasLow>
KEXUE_INLINE F32 exp_lowered(F32 high, F32 low, F32 power) {
  using C = ExpConstants<float>;
  // Unfused, the upper part is short enough for exact products.
  constexpr bool kFused = KEXUE_X86_BYTES >= 32;
  constexpr float kHigh = kFused ? 0x1.62e4p-1f : 0x1.63p-1f;
  constexpr float kLow = kFused ? 0x1.7f7d1cp-20f : -0x1.bd0106p-13f;
  const F32 rounder = broadcast<float>(Format<float>::kRounder);
  const F32 k = multiply_add(high, broadcast<float>(C::kInverseLn2), rounder) - rounder;
  F32 r = multiply_add(k, broadcast<float>(-kHigh), high);
  if constexpr (kHasLow) r += low;
  r = multiply_add(k, broadcast<float>(-kLow), r);
  const F32 rest = multiply_add(r * r, polynomial<float>(r, C::kSeries), r);
  return scale_by_power(broadcast<float>(1) + rest, k - power);
}

// ---- Sine and cosine of pi x --------------------------------------------------------------------
//
// |x| loses its whole periods exactly, then y = n/2 + r with |r| <= 1/4, also exactly; n mod 4
// chooses sin or cos of pi r and the sign. Integers and half integers therefore give exact values,
// the zeros signed as IEEE 754-2019 asks: sin_pi(+-n) = +-0, cos_pi(n + 1/2) = +0.

template <class T>
struct PiConstants;
template <>
struct PiConstants<double> {
  static constexpr double kPiHigh = 0x1.921fb58p1, kPiLow = -0x1.dde973dcb3b3ap-26;
  static constexpr std::int64_t kUpperHalf = ~(((std::int64_t)1 << 27) - 1);
  static constexpr double kFours = 0x1.8p54;  // adding it rounds to a multiple of 4
  static constexpr double kAllEven = 0x1p53;  // from here on every number is an even integer
  // sin(pi r) = pi r + r^3 S(r^2), cos(pi r) = 1 + r^2 C(r^2) on |r| <= 1/4.
  static constexpr double kSine[] = {-0x1.4abbce625be47p2,  0x1.466bc67758d85p1,
                                     -0x1.32d2cce3332ccp-1, 0x1.5078301b61792p-4,
                                     -0x1.e300a6598bfb7p-8, 0x1.e403d056e4915p-12};
  static constexpr double kCosine[] = {
      -0x1.3bd3cc9be45dep2,  0x1.03c1f081b5ab0p2,   -0x1.55d3c7e3c95bcp0,  0x1.e1f50683b42d0p-3,
      -0x1.a6d1ecb740509p-6, 0x1.f9cc6acff3cc6p-10, -0x1.b26fe86abf9f6p-14};
};
template <>
struct PiConstants<float> {
  static constexpr float kPiHigh = 0x1.922p1f, kPiLow = -0x1.2aeef4p-17f;
  static constexpr std::int32_t kUpperHalf = ~(((std::int32_t)1 << 12) - 1);
  static constexpr float kFours = 0x1.8p25f, kAllEven = 0x1p24f;
  static constexpr float kSine[] = {-0x1.4abbcep2f, 0x1.466bbcp1f, -0x1.32cb24p-1f, 0x1.4be68ep-4f};
  static constexpr float kCosine[] = {-0x1.3bd3ccp2f, 0x1.03c1dep2f, -0x1.55c664p0f,
                                      0x1.d9f7bcp-3f};
};

template <class T>
struct SineCosine {
  Vec<T> sine, cosine;
};

// sin(pi y) and cos(pi y) for |y| <= 2; no zero is negative.
template <class T>
KEXUE_INLINE SineCosine<T> sincos_pi_in_period(Vec<T> y) {
  using C = PiConstants<T>;
  const Vec<T> rounder = broadcast<T>(Format<T>::kRounder);
  const Vec<T> shifted = (y + y) + rounder;
  const Mask<T> quadrant = bits(shifted);
  const Vec<T> r = multiply_add(shifted - rounder, broadcast<T>((T)-0.5), y);
  const Vec<T> z = r * r;
  // The upper half of r times that of pi is exact.
  const Vec<T> upper = real(bits(r) & broadcast<Bits<T>>(C::kUpperHalf));
  const Vec<T> lower = (r - upper) * broadcast<T>(C::kPiHigh + C::kPiLow);
  const Vec<T> rest = multiply_add(upper, broadcast<T>(C::kPiLow), lower);
  const Vec<T> bend = multiply_add(z * r, polynomial<T>(z, C::kSine), rest);
  const Vec<T> sine = multiply_add(upper, broadcast<T>(C::kPiHigh), bend);
  const Vec<T> cosine = multiply_add(z, polynomial<T>(z, C::kCosine), broadcast<T>(1));
  // Bit 0 of n swaps the two; bit 1 of n negates sin, bit 1 of n + 1 negates cos.
  constexpr int kToSign = 8 * (int)sizeof(T) - 2;
  const Mask<T> one = broadcast<Bits<T>>(1);
  const Mask<T> swap = zero<Bits<T>>() - (quadrant & one);
  const Mask<T> sign = broadcast<Bits<T>>(Format<T>::kSign);
  const Mask<T> sine_sign = shift_left<T>(quadrant, kToSign) & sign;
  const Mask<T> cosine_sign = shift_left<T>(wrap_add<T>(quadrant, one), kToSign) & sign;
  const Vec<T> zero = broadcast<T>(0);  // -0 + 0 = +0
  return {real(bits(select<T>(swap, cosine, sine)) ^ sine_sign) + zero,
          real(bits(select<T>(swap, sine, cosine)) ^ cosine_sign) + zero};
}

// sin: at most 1.26 ulp (float64), 1.24 ulp (float32); cos: 1.25, 1.21; with fused
// multiply-add 1.03 each; for all x.
template <class T>
KEXUE_INLINE SineCosine<T> sincos_pi_lanes(Vec<T> x) {
  using C = PiConstants<T>;
  const Vec<T> magnitude = absolute<T>(x);
  const Vec<T> fours = broadcast<T>(C::kFours);
  const Vec<T> whole = (magnitude + fours) - fours;
  const Vec<T> y =
      magnitude - select<T>(less<T>(magnitude, broadcast<T>(C::kAllEven)), whole, magnitude);
  const SineCosine<T> both = sincos_pi_in_period<T>(y);
  return {real(bits(both.sine) ^ sign_bit<T>(x)), both.cosine};
}

KEXUE_INLINE F64 expm1(F64 x) { return expm1_lanes<double>(x); }
KEXUE_INLINE F32 expm1(F32 x) { return expm1_lanes<float>(x); }
KEXUE_INLINE F64 log(F64 x) { return log_lanes<double>(x); }
KEXUE_INLINE F32 log(F32 x) { return log_lanes<float>(x); }
KEXUE_INLINE F64 log1p(F64 x) { return log1p_lanes<double>(x); }
KEXUE_INLINE F32 log1p(F32 x) { return log1p_lanes<float>(x); }
KEXUE_INLINE F64 sin_pi(F64 x) { return sincos_pi_lanes<double>(x).sine; }
KEXUE_INLINE F32 sin_pi(F32 x) { return sincos_pi_lanes<float>(x).sine; }
KEXUE_INLINE F64 cos_pi(F64 x) { return sincos_pi_lanes<double>(x).cosine; }
KEXUE_INLINE F32 cos_pi(F32 x) { return sincos_pi_lanes<float>(x).cosine; }

}  // namespace
}  // namespace kexue::KEXUE_ISA
