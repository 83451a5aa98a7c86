// The exponential of the softmax kernels: e^{high + low} 2^-power for |high| <= 2048, power
// integral, low a part of high's rounding, and results that are normal numbers
// (kexue/simplex/kernels.hpp, kLift): nothing is spent on gradual underflow, which the last product
// of a softmax brings about.
#pragma once

#include "kexue/simplex/kernels.hpp"
#include "vector_math.hpp"

namespace kexue::KEXUE_ISA {
namespace {

#if KEXUE_X86_BYTES == 64
KEXUE_INLINE unsigned not_less(F32 x, F32 y) { return _mm512_cmp_ps_mask(x, y, _CMP_NLT_UQ); }
KEXUE_INLINE unsigned not_less(F64 x, F64 y) { return _mm512_cmp_pd_mask(x, y, _CMP_NLT_UQ); }
KEXUE_INLINE F32 scale_where(unsigned in, F32 y, F32 k) {
  return (F32)_mm512_maskz_scalef_ps((__mmask16)in, (__m512)y, (__m512)k);
}
KEXUE_INLINE F64 scale_where(unsigned in, F64 y, F64 k) {
  return (F64)_mm512_maskz_scalef_pd((__mmask8)in, (__m512d)y, (__m512d)k);
}
#endif

#if KEXUE_X86_BYTES == 64
// 2^(j/16), correctly rounded.
alignas(64) constexpr float kFloatSixteenths[16] = {
    0x1p0f,        0x1.0b5586p0f, 0x1.172b84p0f, 0x1.2387a6p0f, 0x1.306fe0p0f, 0x1.3dea64p0f,
    0x1.4bfdaep0f, 0x1.5ab07ep0f, 0x1.6a09e6p0f, 0x1.7a1148p0f, 0x1.8ace54p0f, 0x1.9c4918p0f,
    0x1.ae89fap0f, 0x1.c199bep0f, 0x1.d5818ep0f, 0x1.ea4afap0f};

// x = n log(2) + r with n in sixteenths, as in exp_lowered of double: 2^(j/16) in a register and
// three coefficients less; the scaling passes over what n has beyond the point.
template <bool kHasLow>
KEXUE_INLINE F32 exp_lifted(F32 high, F32 low, F32 power, F32 from, F32 lowest) {
  constexpr float kPerUnit = 0x1.715476p0f, kHigh = 0x1.62e43p-1f, kLow = -0x1.05c610p-29f;
  const F32 rounder = broadcast<float>(Format<float>::kRounder / 16);
  const F32 shifted = multiply_add(high, broadcast<float>(kPerUnit), rounder);
  const F32 n = shifted - rounder;
  F32 r = multiply_add(n, broadcast<float>(-kHigh), high);
  if constexpr (kHasLow) r += low;
  r = multiply_add(n, broadcast<float>(-kLow), r);
  const F32 series = multiply_add(r, broadcast<float>(0x1.555556p-3f), broadcast<float>(0.5f));
  const F32 rest = multiply_add(r * r, series, r);
  const F32 root =
      _mm512_maskz_permutexvar_ps(0xffff, (__m512i)bits(shifted), _mm512_load_ps(kFloatSixteenths));
  return scale_where(not_less(from, lowest), multiply_add(root, rest, root), n - power);
}
template <bool kHasLow>
KEXUE_INLINE F64 exp_lifted(F64 high, F64 low, F64 power, F64 from, F64 lowest) {
  const Sixteenths x = to_sixteenths<kHasLow>(high, low);
  const F64 root = sixteenths(bits(x.shifted));
  return scale_where(not_less(from, lowest), multiply_add(root, rest_of(x.r), root), x.n - power);
}
#else
// x = k log 2 + r: the power enters the number that rounds to k, so that its bits are k - power.
template <bool kHasLow, class T>
KEXUE_INLINE Vec<T> lifted_by_series(Vec<T> high, Vec<T> low, Vec<T> power, Vec<T> from,
                                     Vec<T> lowest) {
  using C = ExpConstants<T>;
  // Unfused, the upper part is short enough for exact products.
  constexpr bool kFused = KEXUE_X86_BYTES >= 32, kDouble = sizeof(T) == 8;
  constexpr T kHigh = kDouble ? (T)0x1.62e42fefap-1 : (T)(kFused ? 0x1.62e4p-1 : 0x1.63p-1);
  constexpr T kLow =
      kDouble ? (T)0x1.cf79abc9e3b3ap-40 : (T)(kFused ? 0x1.7f7d1cp-20 : -0x1.bd0106p-13);
  const Vec<T> rounder = broadcast<T>(Format<T>::kRounder) - power;
  const Vec<T> shifted = multiply_add(high, broadcast<T>((T)C::kInverseLn2), rounder);
  const Vec<T> k = shifted - rounder;
  Vec<T> r = multiply_add(k, broadcast<T>(-kHigh), high);
  if constexpr (kHasLow) r += low;
  r = multiply_add(k, broadcast<T>(-kLow), r);
  const Vec<T> rest = multiply_add(r * r, polynomial<T>(r, C::kSeries), r);
  const Mask<T> exponent = shift_left<T>(bits(shifted), Format<T>::kMantissaBits);
  const Mask<T> e = wrap_add<T>(bits(broadcast<T>(1) + rest), exponent);
  return real(e & (less<T>(from, lowest) ^ broadcast<Bits<T> >(-1)));
}

template <bool kHasLow>
KEXUE_INLINE F32 exp_lifted(F32 high, F32 low, F32 power, F32 from, F32 lowest) {
  return lifted_by_series<kHasLow, float>(high, low, power, from, lowest);
}
// Without a permutation of 16 doubles a longer series is faster than a table.
template <bool kHasLow>
KEXUE_INLINE F64 exp_lifted(F64 high, F64 low, F64 power, F64 from, F64 lowest) {
  return lifted_by_series<kHasLow, double>(high, low, power, from, lowest);
}
#endif

// Up to here x scale is reduced as it is; beyond, the caller subtracts the maximum (`shift`).
constexpr double kReach = 2000;
template <class T>
constexpr T kDepth = sizeof(T) == 8 ? T(760) : T(110);  // e^-depth is 0

template <class T>
struct Lowered {
  Vec<T> shift, scale, scale_low, lowest, power;
};

// v scale as high + low
template <class T, bool kUnit>
KEXUE_INLINE void scaled(Vec<T> v, const Lowered<T>& f, Vec<T>& high, Vec<T>& low) {
  if constexpr (kUnit) {
    high = v;
  } else {
    high = v * f.scale;
    low = multiply_add(v, f.scale_low, multiply_add(v, f.scale, zero<T>() - high));
  }
}

template <bool kUnit, class T, bool kShifted = true>
KEXUE_INLINE Vec<T> exponential(Vec<T> x, const Lowered<T>& f) {
  Vec<T> high, low = zero<T>();
  if constexpr (kShifted) x = x - f.shift;
  scaled<T, kUnit>(x, f, high, low);
  return exp_lifted<!kUnit>(high, low, f.power, x, f.lowest);
}

}  // namespace
}  // namespace kexue::KEXUE_ISA
