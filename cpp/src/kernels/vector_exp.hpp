// Exponentials on vectors; errors as vector_math.hpp says.
#pragma once

#include "vector_log.hpp"

namespace kexue::KEXUE_ISA {
namespace {

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

// x = n log(2) + r and n = k + j/16: e^x = 2^k 2^(j/16) (1 + r + r^2 q(r)), |r| <= log(2)/32.
struct SixteenthConstants {
  static constexpr double kRounder = Format<double>::kRounder / 16;  // rounds to sixteenths
  static constexpr double kHigh = 0x1.62e42fefa0000p-1, kLow = 0x1.cf79abc9e3b3ap-40;
  static constexpr double kSeries[] = {0x1.0000000000005p-1, 0x1.555555548f728p-3,
                                       0x1.555555545e93dp-5, 0x1.11123abf04506p-7,
                                       0x1.6c185e05b7a2bp-10};
};
// x = high + low as above; `shifted` is n + kRounder, low a part of high's rounding. Its bits end
// in 16 k + j.
struct Sixteenths {
  F64 shifted, n, r;
};
template <bool kHasLow>
KEXUE_INLINE Sixteenths to_sixteenths(F64 high, F64 low) {
  using C = SixteenthConstants;
  const F64 rounder = broadcast<double>(C::kRounder);
  const F64 shifted =
      multiply_add(high, broadcast<double>(ExpConstants<double>::kInverseLn2), rounder);
  const F64 n = shifted - rounder;
  F64 r = multiply_add(n, broadcast<double>(-C::kHigh), high);
  if constexpr (kHasLow) r += low;
  return {shifted, n, multiply_add(n, broadcast<double>(-C::kLow), r)};
}
// e^r - 1, with a shorter chain of products than Horner's.
KEXUE_INLINE F64 rest_of(F64 r) {
  constexpr auto& c = SixteenthConstants::kSeries;
  const F64 square = r * r;
  const F64 low = multiply_add(broadcast<double>(c[1]), r, broadcast<double>(c[0]));
  const F64 high = multiply_add(broadcast<double>(c[3]), r, broadcast<double>(c[2]));
  const F64 series = multiply_add(multiply_add(broadcast<double>(c[4]), square, high), square, low);
  return multiply_add(square, series, r);
}
// e^x 2^-lowered, lowered integral: the exponent of the result lies in [-2000, 1024].
KEXUE_INLINE F64 exp_from_sixteenths(const Sixteenths& x, F64 lowered) {
  const F64 rest = rest_of(x.r), root = sixteenths(bits(x.shifted));
#if KEXUE_X86_BYTES == 64
  return scale_by_power(multiply_add(root, rest, root), x.n - lowered);  // floor(n - lowered)
#else
  // k in two halves, modulo 2^12 in the exponent's field: the first into the root's exponent.
  const I64 down = bits(broadcast<double>(Format<double>::kRounder) - lowered);
  const I64 k = wrap_add<double>(shift_right<double>(bits(x.shifted), 4), down);
  const I64 half = shift_right<double>(k, 1);
  const F64 scaled = real(wrap_add<double>(bits(root), shift_left<double>(half, 52)));
  const I64 other = wrap_add<double>(k - half, broadcast<std::int64_t>(Format<double>::kBias));
  return multiply_add(scaled, rest, scaled) * real(shift_left<double>(other, 52));
#endif
}

// At most 1.13 ulp for all x.
KEXUE_INLINE F64 exp(F64 x) {
  const F64 bounded = clamp(x, broadcast<double>(-746), broadcast<double>(710));
  return exp_from_sixteenths(to_sixteenths<false>(bounded, zero<double>()), zero<double>());
}

// e^(high + low) 2^-power for |high| <= 2048, integral power and a low part of high's rounding:
// no maximum is subtracted from what is raised, the power of two of a whole row goes into the
// scaling. k has at most 12 bits (f32) or 16 (f64, in sixteenths), so that k times the upper part
// of log 2 is exact.
template <bool kHasLow>
KEXUE_INLINE F64 exp_lowered(F64 high, F64 low, F64 power) {
  return exp_from_sixteenths(to_sixteenths<kHasLow>(high, low), power);
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

KEXUE_INLINE F64 expm1(F64 x) { return expm1_lanes<double>(x); }
KEXUE_INLINE F32 expm1(F32 x) { return expm1_lanes<float>(x); }

}  // namespace
}  // namespace kexue::KEXUE_ISA
