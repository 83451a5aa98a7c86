// Formats of the two types, polynomials and signs: what the functions of vector_math.hpp share.
#pragma once

#include "simd.hpp"

namespace kexue::KEXUE_ISA {
namespace {

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

}  // namespace
}  // namespace kexue::KEXUE_ISA
