// Sine and cosine of pi x on vectors; errors as vector_math.hpp says.
//
// |x| loses its whole periods exactly, then y = n/2 + r with |r| <= 1/4, also exactly; n mod 4
// chooses sin or cos of pi r and the sign. Integers and half integers therefore give exact values,
// the zeros signed as IEEE 754-2019 asks: sin_pi(+-n) = +-0, cos_pi(n + 1/2) = +0.
#pragma once

#include "vector_pieces.hpp"

namespace kexue::KEXUE_ISA {
namespace {

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

KEXUE_INLINE F64 sin_pi(F64 x) { return sincos_pi_lanes<double>(x).sine; }
KEXUE_INLINE F32 sin_pi(F32 x) { return sincos_pi_lanes<float>(x).sine; }
KEXUE_INLINE F64 cos_pi(F64 x) { return sincos_pi_lanes<double>(x).cosine; }
KEXUE_INLINE F32 cos_pi(F32 x) { return sincos_pi_lanes<float>(x).cosine; }

}  // namespace
}  // namespace kexue::KEXUE_ISA
