// Groups of lanes, and elementary functions on them, for the kernel files.
//
// F64 and F32 hold KEXUE_VECTOR_BYTES bytes of lanes; I64 and I32 are the integers of the same
// shape, and also the masks that comparisons return (-1 where true). One source serves every width.
// GCC and Clang map the types onto registers; elsewhere they are plain arrays with loops.
//
//   exp log log1p expm1 sin_pi cos_pi sincos_pi        F64 -> F64, F32 -> F32
//
// Errors are in units in the last place (ulp), measured against correctly rounded results over every
// exponent with and without fused multiply-add; each function states its own. Subnormal inputs and
// results are exact to the same bound. Nothing here branches on data, except where it says so.
//
// Everything has internal linkage: a kernel file is compiled once per instruction set, and a shared
// copy could be the wide one.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if (defined(__GNUC__) || defined(__clang__)) && !defined(KEXUE_PORTABLE_LANES)
#define KEXUE_NATIVE_LANES 1
#else
#include <math.h>
#define KEXUE_NATIVE_LANES 0
#endif

#if KEXUE_NATIVE_LANES && (defined(__x86_64__) || defined(__i386__))
#include <immintrin.h>
#endif
#if KEXUE_NATIVE_LANES && defined(__AVX512F__) && KEXUE_VECTOR_BYTES == 64
#define KEXUE_LANES_AVX512 1
#else
#define KEXUE_LANES_AVX512 0
#endif

#if defined(__GNUC__) || defined(__clang__)
#define KEXUE_INLINE static inline __attribute__((always_inline, unused))
#else
#define KEXUE_INLINE static inline
#endif

namespace kexue::KEXUE_ISA {
namespace {

// ---- Lanes ----------------------------------------------------------------------------------

#if KEXUE_NATIVE_LANES

typedef double F64 __attribute__((vector_size(KEXUE_VECTOR_BYTES)));
typedef float F32 __attribute__((vector_size(KEXUE_VECTOR_BYTES)));
typedef int64_t I64 __attribute__((vector_size(KEXUE_VECTOR_BYTES)));
typedef int32_t I32 __attribute__((vector_size(KEXUE_VECTOR_BYTES)));
typedef uint64_t U64 __attribute__((vector_size(KEXUE_VECTOR_BYTES)));
typedef uint32_t U32 __attribute__((vector_size(KEXUE_VECTOR_BYTES)));

KEXUE_INLINE I64 bits(F64 x) { return (I64)x; }
KEXUE_INLINE I32 bits(F32 x) { return (I32)x; }
KEXUE_INLINE F64 real(I64 x) { return (F64)x; }
KEXUE_INLINE F32 real(I32 x) { return (F32)x; }
KEXUE_INLINE F32 to_real(I32 x) { return __builtin_convertvector(x, F32); }
KEXUE_INLINE I32 as_32_bit_lanes(I64 x) { return (I32)x; }

KEXUE_INLINE I64 less(F64 a, F64 b) { return (I64)(a < b); }
KEXUE_INLINE I32 less(F32 a, F32 b) { return (I32)(a < b); }
KEXUE_INLINE F64 select(I64 mask, F64 a, F64 b) { return mask ? a : b; }
KEXUE_INLINE F32 select(I32 mask, F32 a, F32 b) { return mask ? a : b; }
KEXUE_INLINE I64 shift_right_logical(I64 x, int n) { return (I64)((U64)x >> n); }
KEXUE_INLINE I32 shift_right_logical(I32 x, int n) { return (I32)((U32)x >> n); }
KEXUE_INLINE I64 wrap_add(I64 a, I64 b) { return (I64)((U64)a + (U64)b); }
KEXUE_INLINE I32 wrap_add(I32 a, I32 b) { return (I32)((U32)a + (U32)b); }
KEXUE_INLINE I64 shift_left(I64 x, int n) { return (I64)((U64)x << n); }
KEXUE_INLINE I32 shift_left(I32 x, int n) { return (I32)((U32)x << n); }

#else

template <class T>
struct Pack {
  T lane[KEXUE_VECTOR_BYTES / sizeof(T)];
  T operator[](int i) const { return lane[i]; }
};
using F64 = Pack<double>;
using F32 = Pack<float>;
using I64 = Pack<int64_t>;
using I32 = Pack<int32_t>;

#define KEXUE_PACK_OPERATOR(op)                                                           \
  template <class T>                                                                      \
  KEXUE_INLINE Pack<T> operator op(Pack<T> a, Pack<T> b) {                                \
    Pack<T> r;                                                                            \
    for (size_t i = 0; i < sizeof(r) / sizeof(T); ++i) r.lane[i] = a.lane[i] op b.lane[i]; \
    return r;                                                                             \
  }
KEXUE_PACK_OPERATOR(+)
KEXUE_PACK_OPERATOR(-)
KEXUE_PACK_OPERATOR(*)
KEXUE_PACK_OPERATOR(/)
KEXUE_PACK_OPERATOR(&)
KEXUE_PACK_OPERATOR(|)
KEXUE_PACK_OPERATOR(^)
#undef KEXUE_PACK_OPERATOR

template <class To, class From>
KEXUE_INLINE Pack<To> same_bits(Pack<From> x) {
  Pack<To> r;
  const unsigned char* from = reinterpret_cast<const unsigned char*>(&x);
  unsigned char* to = reinterpret_cast<unsigned char*>(&r);
  for (size_t i = 0; i < sizeof(r); ++i) to[i] = from[i];
  return r;
}
// f applied lane by lane.
template <class R, class T, class F>
KEXUE_INLINE Pack<R> per_lane(Pack<T> a, Pack<T> b, F f) {
  Pack<R> r;
  for (size_t i = 0; i < sizeof(r) / sizeof(R); ++i) r.lane[i] = f(a.lane[i], b.lane[i]);
  return r;
}
template <class I, class T>
KEXUE_INLINE Pack<T> pick(Pack<I> mask, Pack<T> a, Pack<T> b) {
  Pack<T> r;
  for (size_t i = 0; i < sizeof(r) / sizeof(T); ++i) r.lane[i] = mask.lane[i] ? a.lane[i] : b.lane[i];
  return r;
}

KEXUE_INLINE I64 bits(F64 x) { return same_bits<int64_t>(x); }
KEXUE_INLINE I32 bits(F32 x) { return same_bits<int32_t>(x); }
KEXUE_INLINE F64 real(I64 x) { return same_bits<double>(x); }
KEXUE_INLINE F32 real(I32 x) { return same_bits<float>(x); }
KEXUE_INLINE I32 as_32_bit_lanes(I64 x) { return same_bits<int32_t>(x); }
KEXUE_INLINE F32 to_real(I32 x) {
  return per_lane<float>(x, x, [](int32_t a, int32_t) { return (float)a; });
}
KEXUE_INLINE I64 less(F64 a, F64 b) {
  return per_lane<int64_t>(a, b, [](double p, double q) { return (int64_t)(p < q ? -1 : 0); });
}
KEXUE_INLINE I32 less(F32 a, F32 b) {
  return per_lane<int32_t>(a, b, [](float p, float q) { return p < q ? -1 : 0; });
}
KEXUE_INLINE F64 select(I64 mask, F64 a, F64 b) { return pick(mask, a, b); }
KEXUE_INLINE F32 select(I32 mask, F32 a, F32 b) { return pick(mask, a, b); }
KEXUE_INLINE I64 shift_right_logical(I64 x, int n) {
  return per_lane<int64_t>(x, x, [n](int64_t a, int64_t) { return (int64_t)((uint64_t)a >> n); });
}
KEXUE_INLINE I32 shift_right_logical(I32 x, int n) {
  return per_lane<int32_t>(x, x, [n](int32_t a, int32_t) { return (int32_t)((uint32_t)a >> n); });
}
KEXUE_INLINE I64 wrap_add(I64 a, I64 b) {
  return per_lane<int64_t>(
      a, b, [](int64_t p, int64_t q) { return (int64_t)((uint64_t)p + (uint64_t)q); });
}
KEXUE_INLINE I32 wrap_add(I32 a, I32 b) {
  return per_lane<int32_t>(
      a, b, [](int32_t p, int32_t q) { return (int32_t)((uint32_t)p + (uint32_t)q); });
}
KEXUE_INLINE I64 shift_left(I64 x, int n) {
  return per_lane<int64_t>(x, x, [n](int64_t a, int64_t) { return (int64_t)((uint64_t)a << n); });
}
KEXUE_INLINE I32 shift_left(I32 x, int n) {
  return per_lane<int32_t>(x, x, [n](int32_t a, int32_t) { return (int32_t)((uint32_t)a << n); });
}

#endif

// The types that belong to one real type.
template <class T>
struct LaneTypes;
template <>
struct LaneTypes<double> {
  using Real = F64;
  using Int = I64;
  using Bits = int64_t;
};
template <>
struct LaneTypes<float> {
  using Real = F32;
  using Int = I32;
  using Bits = int32_t;
};
template <class T>
using Lanes = typename LaneTypes<T>::Real;
template <class T>
using Masks = typename LaneTypes<T>::Int;
template <class T>
inline constexpr ptrdiff_t kLanes = KEXUE_VECTOR_BYTES / (ptrdiff_t)sizeof(T);

template <class T>
KEXUE_INLINE Lanes<T> load(const T* p) {
  Lanes<T> x;
  memcpy(&x, p, sizeof x);
  return x;
}
template <class T>
KEXUE_INLINE void store(T* p, Lanes<T> x) {
  memcpy(p, &x, sizeof x);
}
KEXUE_INLINE I64 load_bits(const int64_t* p) {
  I64 x;
  memcpy(&x, p, sizeof x);
  return x;
}
KEXUE_INLINE void store_bits(int64_t* p, I64 x) { memcpy(p, &x, sizeof x); }

template <class T>
KEXUE_INLINE Lanes<T> splat(T value) {
#if KEXUE_NATIVE_LANES
  return Lanes<T>{} + value;
#else
  Lanes<T> x;
  for (T& lane : x.lane) lane = value;
  return x;
#endif
}
template <class T>
KEXUE_INLINE Masks<T> splat_bits(typename LaneTypes<T>::Bits value) {
#if KEXUE_NATIVE_LANES
  return Masks<T>{} + value;
#else
  Masks<T> x;
  for (auto& lane : x.lane) lane = value;
  return x;
#endif
}

template <class T>
KEXUE_INLINE Lanes<T> square_root_lanes(Lanes<T> x) {
  T lane[kLanes<T>];
  store<T>(lane, x);
#if KEXUE_NATIVE_LANES
  for (T& v : lane) v = sizeof(T) == 8 ? (T)__builtin_sqrt((double)v) : (T)__builtin_sqrtf((float)v);
#else
  for (T& v : lane) v = sizeof(T) == 8 ? (T)sqrt((double)v) : (T)sqrtf((float)v);
#endif
  return load<T>(lane);
}
KEXUE_INLINE F64 square_root(F64 x) { return square_root_lanes<double>(x); }
KEXUE_INLINE F32 square_root(F32 x) { return square_root_lanes<float>(x); }

// ---- Pieces the functions share ---------------------------------------------------------------

template <class T>
struct Format;
template <>
struct Format<double> {
  static constexpr int kMantissaBits = 52;
  static constexpr int64_t kBias = 1023;
  static constexpr int64_t kSign = INT64_MIN;
  static constexpr int64_t kInfinity = 0x7ff0000000000000, kNaN = 0x7ff8000000000000;
  static constexpr double kRounder = 0x1.8p52;  // x + kRounder - kRounder rounds to an integer
  static constexpr double kIntegers = 0x1p52;   // its bits | n = the bits of kIntegers + n
  static constexpr int64_t kIntegerBits = 0x4330000000000000;
};
template <>
struct Format<float> {
  static constexpr int kMantissaBits = 23;
  static constexpr int32_t kBias = 127;
  static constexpr int32_t kSign = INT32_MIN;
  static constexpr int32_t kInfinity = 0x7f800000, kNaN = 0x7fc00000;
  static constexpr float kRounder = 0x1.8p23f;
  static constexpr float kIntegers = 0x1p23f;
  static constexpr int32_t kIntegerBits = 0x4b000000;
};

// c[0] + c[1] x + ... + c[n-1] x^(n-1), Horner's rule.
template <class T, int n>
KEXUE_INLINE Lanes<T> polynomial(Lanes<T> x, const T (&c)[n]) {
  Lanes<T> y = splat<T>(c[n - 1]);
  for (int i = n - 2; i >= 0; --i) y = y * x + splat<T>(c[i]);
  return y;
}

template <class T>
KEXUE_INLINE Lanes<T> absolute(Lanes<T> x) {
  return real(bits(x) & splat_bits<T>(~Format<T>::kSign));
}
template <class T>
KEXUE_INLINE Masks<T> sign_bit(Lanes<T> x) {
  return bits(x) & splat_bits<T>(Format<T>::kSign);
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
  static constexpr int64_t kSqrtHalf = 0x3fe6a09e667f3bcd;  // the bits of sqrt(1/2)
  static constexpr double kSeries[] = {0x1.5555555555592p-1, 0x1.999999997fd7ap-2,
                                       0x1.24924941f4e05p-2, 0x1.c71c520615de0p-3,
                                       0x1.74663fa07a01fp-3, 0x1.39a1a70c4652ap-3,
                                       0x1.2f0634596ccf8p-3};
};
template <>
struct LogConstants<float> {
  static constexpr float kLn2High = 0x1.62e4p-1f, kLn2Low = 0x1.7f7d1cp-20f;
  static constexpr float kSmallestNormal = 0x1p-126f, kScale = 0x1p25f, kScaleLog2 = 25;
  static constexpr float kTailMatters = 0x1p30f;
  static constexpr int32_t kSqrtHalf = 0x3f3504f3;
  static constexpr float kSeries[] = {0x1.555554p-1f, 0x1.999a7ap-2f, 0x1.2438d2p-2f,
                                      0x1.e2f724p-3f};
};

// x = 2^k (1 + f) for positive normal x; power is 2^-k, meaningless for the largest k.
template <class T>
struct PowerSplit {
  Lanes<T> f, k, power;
};
template <class T>
KEXUE_INLINE PowerSplit<T> split_power(Lanes<T> x) {
  using B = typename LaneTypes<T>::Bits;
  constexpr int kShift = Format<T>::kMantissaBits;
  constexpr B kOne = Format<T>::kBias << kShift;
  constexpr B kSqrtHalf = LogConstants<T>::kSqrtHalf;
  // k + bias stays positive: a logical shift serves, and AVX2 has no other for 64 bits.
  const Masks<T> shifted = wrap_add(bits(x), splat_bits<T>(kOne - kSqrtHalf));
  const Masks<T> biased = shift_right_logical(shifted, kShift);
  const Masks<T> mantissa = shifted & splat_bits<T>(((B)1 << kShift) - 1);
  const Lanes<T> m = real(wrap_add(mantissa, splat_bits<T>(kSqrtHalf)));
  const Lanes<T> k = real(biased | splat_bits<T>(Format<T>::kIntegerBits)) -
                     splat<T>(Format<T>::kIntegers + (T)Format<T>::kBias);
  const Masks<T> negated = splat_bits<T>(2 * Format<T>::kBias) - biased;
  return {m - splat<T>(1), k, real(shift_left(negated, kShift))};
}

// k log 2 + log(1 + f) + tail with s = f / (2 + f), where tail is small beside the sum.
template <class T>
KEXUE_INLINE Lanes<T> log_of_split(Lanes<T> k, Lanes<T> f, Lanes<T> s, Lanes<T> tail) {
  using C = LogConstants<T>;
  const Lanes<T> z = s * s;
  const Lanes<T> half = splat<T>((T)0.5) * f * f;
  const Lanes<T> series = z * polynomial<T>(z, C::kSeries);
  const Lanes<T> scaled = k * splat<T>(C::kLn2High);
  const Lanes<T> high = scaled + f;
  const Lanes<T> low = (scaled - high) + f;
  return high + (low - (half - (s * (half + series) + (k * splat<T>(C::kLn2Low) + tail))));
}

// The logarithm's special values: -inf at 0, NaN below, +inf and NaN themselves.
template <class T>
KEXUE_INLINE Lanes<T> log_special(Lanes<T> x, Lanes<T> result) {
  const Lanes<T> zero = splat<T>(0);
  const Lanes<T> infinity = real(splat_bits<T>(Format<T>::kInfinity));
  const Lanes<T> nan = real(splat_bits<T>(Format<T>::kNaN));
  const Lanes<T> not_positive = select(less(x, zero), nan, zero - infinity);
  return select(less(x, infinity), select(less(zero, x), result, not_positive), x + x);
}

// log x for positive normal x.
template <class T>
KEXUE_INLINE Lanes<T> log_of_normal(Lanes<T> x) {
  const PowerSplit<T> p = split_power<T>(x);
  return log_of_split<T>(p.k, p.f, p.f / (splat<T>(2) + p.f), splat<T>(0));
}

// At most @LOG64@ ulp (float64), @LOG32@ ulp (float32), for all x.
template <class T>
KEXUE_INLINE Lanes<T> log_lanes(Lanes<T> x) {
  using C = LogConstants<T>;
  const Masks<T> subnormal = less(x, splat<T>(C::kSmallestNormal));
  const PowerSplit<T> p = split_power<T>(select(subnormal, x * splat<T>(C::kScale), x));
  const Lanes<T> k = select(subnormal, p.k - splat<T>(C::kScaleLog2), p.k);
  const Lanes<T> s = p.f / (splat<T>(2) + p.f);
  return log_special<T>(x, log_of_split<T>(k, p.f, s, splat<T>(0)));
}

// With u = fl(1 + x) and c its rounding error, log(1 + x) = log u + c/u to first order, which is
// enough. 1/(1 + f) = (1 - s)/(1 + s), of which c needs only a few bits.
// At most @LOG1P64@ ulp (float64), @LOG1P32@ ulp (float32), for all x.
template <class T>
KEXUE_INLINE Lanes<T> log1p_lanes(Lanes<T> x) {
  const Lanes<T> one = splat<T>(1);
  const Lanes<T> u = one + x;
  const Lanes<T> rounded = u - one;
  const Lanes<T> error = (one - (u - rounded)) + (x - rounded);
  const Masks<T> matters = less(x, splat<T>(LogConstants<T>::kTailMatters));
  const Lanes<T> c = select(matters, error, splat<T>(0));
  const PowerSplit<T> p = split_power<T>(u);
  const Lanes<T> s = p.f / (splat<T>(2) + p.f);
  const Lanes<T> inverse = (one - s) * ((one - s) + s * s);
  const Lanes<T> tail = (c * select(matters, p.power, splat<T>(0))) * inverse;
  const Lanes<T> result = log_special<T>(u, log_of_split<T>(p.k, p.f, s, tail));
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
#if KEXUE_LANES_AVX512
KEXUE_INLINE F64 scale_by_power(F64 y, F64 k) {
  return (F64)_mm512_maskz_scalef_pd(0xff, (__m512d)y, (__m512d)k);
}
KEXUE_INLINE F32 scale_by_power(F32 y, F32 k) {
  return (F32)_mm512_maskz_scalef_ps(0xffff, (__m512)y, (__m512)k);
}
#else
// 2^k for k within the normal exponents: the bias is added while rounding to an integer.
template <class T>
KEXUE_INLINE Lanes<T> normal_power(Lanes<T> k) {
  const Lanes<T> biased = k + splat<T>(Format<T>::kRounder + (T)Format<T>::kBias);
  return real(shift_left(bits(biased), Format<T>::kMantissaBits));
}
template <class T>
KEXUE_INLINE Lanes<T> scale_in_halves(Lanes<T> y, Lanes<T> k) {
  const Lanes<T> rounder = splat<T>(Format<T>::kRounder);
  const Lanes<T> half = (k * splat<T>((T)0.5) + rounder) - rounder;
  return y * normal_power<T>(half) * normal_power<T>(k - half);
}
KEXUE_INLINE F64 scale_by_power(F64 y, F64 k) { return scale_in_halves<double>(y, k); }
KEXUE_INLINE F32 scale_by_power(F32 y, F32 k) { return scale_in_halves<float>(y, k); }
#endif

// NaN stays NaN.
template <class T>
KEXUE_INLINE Lanes<T> clamp(Lanes<T> x, T lowest, T highest) {
  const Lanes<T> bounded = select(less(splat<T>(highest), x), splat<T>(highest), x);
  return select(less(bounded, splat<T>(lowest)), splat<T>(lowest), bounded);
}

// With a = 1 - 2^-k: e^x - 1 = 2^k (a + r + r^2 q(r)). a + r is summed without error, and what
// rounding took from r comes back.
// At most @EXPM164@ ulp (float64), @EXPM132@ ulp (float32), for all x.
template <class T>
KEXUE_INLINE Lanes<T> expm1_lanes(Lanes<T> x) {
  using C = ExpConstants<T>;
  using L = LogConstants<T>;
  const Lanes<T> rounder = splat<T>(Format<T>::kRounder);
  const Lanes<T> bounded = clamp<T>(x, -45, C::kHighest);
  const Lanes<T> k = (bounded * splat<T>(C::kInverseLn2) + rounder) - rounder;
  const Lanes<T> high = bounded - k * splat<T>(L::kLn2High);
  const Lanes<T> low = k * splat<T>(L::kLn2Low);
  const Lanes<T> r = high - low;
  const Lanes<T> r_error = (high - r) - low;
  const Lanes<T> rest = r * r * polynomial<T>(r, C::kSeries);
  const Lanes<T> a = splat<T>(1) - scale_by_power(splat<T>(1), splat<T>(0) - k);
  const Lanes<T> sum = a + r;
  const Lanes<T> sum_error = (a - sum) + r;
  const Lanes<T> result = scale_by_power(sum + (sum_error + (r_error + rest)), k);
  return real(bits(result) | sign_bit<T>(x));
}

// At most @EXP32@ ulp for all x.
KEXUE_INLINE F32 exp(F32 x) {
  using C = ExpConstants<float>;
  using L = LogConstants<float>;
  const F32 rounder = splat<float>(Format<float>::kRounder);
  const F32 bounded = clamp<float>(x, C::kLowest, C::kHighest);
  const F32 k = (bounded * splat<float>(C::kInverseLn2) + rounder) - rounder;
  const F32 r = (bounded - k * splat<float>(L::kLn2High)) - k * splat<float>(L::kLn2Low);
  const F32 rest = r * r * polynomial<float>(r, C::kSeries);
  return scale_by_power(splat<float>(1) + (r + rest), k);
}

// 2^(j/16), correctly rounded.
alignas(64) constexpr double kSixteenths[16] = {
    0x1p0,                0x1.0b5586cf9890fp0, 0x1.172b83c7d517bp0, 0x1.2387a6e756238p0,
    0x1.306fe0a31b715p0, 0x1.3dea64c123422p0, 0x1.4bfdad5362a27p0, 0x1.5ab07dd485429p0,
    0x1.6a09e667f3bcdp0, 0x1.7a11473eb0187p0, 0x1.8ace5422aa0dbp0, 0x1.9c49182a3f090p0,
    0x1.ae89f995ad3adp0, 0x1.c199bdd85529cp0, 0x1.d5818dcfba487p0, 0x1.ea4afa2a490dap0};

// kSixteenths[j mod 16]
KEXUE_INLINE F64 sixteenths(I64 j) {
#if KEXUE_LANES_AVX512
  return (F64)_mm512_permutex2var_pd(_mm512_load_pd(kSixteenths), (__m512i)j,
                                     _mm512_load_pd(kSixteenths + 8));
#else
  double value[kLanes<double>];
  for (int i = 0; i < (int)kLanes<double>; ++i) value[i] = kSixteenths[j[i] & 15];
  return load<double>(value);
#endif
}

// x = n log(2)/16 + r and n = 16 k + j: e^x = 2^k 2^(j/16) (1 + r + r^2 q(r)), |r| <= log(2)/32.
// At most @EXP64@ ulp for all x.
KEXUE_INLINE F64 exp(F64 x) {
  constexpr double kSixteenthsPerUnit = 0x1.71547652b82fep4;
  constexpr double kHigh = 0x1.62e42fefa0000p-5, kLow = 0x1.cf79abc9e3b3ap-44;
  constexpr double kSeries[] = {0x1.0000000000005p-1, 0x1.555555548f728p-3, 0x1.555555545e93dp-5,
                                0x1.11123abf04506p-7, 0x1.6c185e05b7a2bp-10};
  const F64 rounder = splat<double>(Format<double>::kRounder);
  const F64 bounded = clamp<double>(x, -746, 710);
  const F64 shifted = bounded * splat<double>(kSixteenthsPerUnit) + rounder;
  const F64 n = shifted - rounder;
  const F64 r = (bounded - n * splat<double>(kHigh)) - n * splat<double>(kLow);
  const F64 rest = r + r * r * polynomial<double>(r, kSeries);
  const F64 root = sixteenths(bits(shifted));
#if KEXUE_LANES_AVX512
  return scale_by_power(root + root * rest, n * splat<double>(0.0625));
#else
  // k in two halves, modulo 2^12 in the exponent's field: the first into the root's exponent.
  const I64 k = shift_right_logical(bits(shifted), 4);
  const I64 half = shift_right_logical(k, 1);
  const F64 scaled = real(wrap_add(bits(root), shift_left(half, 52)));
  const I64 other = wrap_add(k - half, splat_bits<double>(Format<double>::kBias));
  return (scaled + scaled * rest) * real(shift_left(other, 52));
#endif
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
  static constexpr int64_t kUpperHalf = ~(((int64_t)1 << 27) - 1);
  static constexpr double kFours = 0x1.8p54;  // adding it rounds to a multiple of 4
  static constexpr double kAllEven = 0x1p53;  // from here on every number is an even integer
  // sin(pi r) = pi r + r^3 S(r^2), cos(pi r) = 1 + r^2 C(r^2) on |r| <= 1/4.
  static constexpr double kSine[] = {-0x1.4abbce625be47p2,  0x1.466bc67758d85p1,
                                     -0x1.32d2cce3332ccp-1, 0x1.5078301b61792p-4,
                                     -0x1.e300a6598bfb7p-8, 0x1.e403d056e4915p-12};
  static constexpr double kCosine[] = {-0x1.3bd3cc9be45dep2, 0x1.03c1f081b5ab0p2,
                                       -0x1.55d3c7e3c95bcp0, 0x1.e1f50683b42d0p-3,
                                       -0x1.a6d1ecb740509p-6, 0x1.f9cc6acff3cc6p-10,
                                       -0x1.b26fe86abf9f6p-14};
};
template <>
struct PiConstants<float> {
  static constexpr float kPiHigh = 0x1.922p1f, kPiLow = -0x1.2aeef4p-17f;
  static constexpr int32_t kUpperHalf = ~(((int32_t)1 << 12) - 1);
  static constexpr float kFours = 0x1.8p25f, kAllEven = 0x1p24f;
  static constexpr float kSine[] = {-0x1.4abbcep2f, 0x1.466bbcp1f, -0x1.32cb24p-1f,
                                    0x1.4be68ep-4f};
  static constexpr float kCosine[] = {-0x1.3bd3ccp2f, 0x1.03c1dep2f, -0x1.55c664p0f,
                                      0x1.d9f7bcp-3f};
};

template <class T>
struct SineCosine {
  Lanes<T> sine, cosine;
};

// sin(pi y) and cos(pi y) for |y| <= 2; no zero is negative.
template <class T>
KEXUE_INLINE SineCosine<T> sincos_pi_in_period(Lanes<T> y) {
  using C = PiConstants<T>;
  const Lanes<T> rounder = splat<T>(Format<T>::kRounder);
  const Lanes<T> shifted = (y + y) + rounder;
  const Masks<T> quadrant = bits(shifted);
  const Lanes<T> r = y - splat<T>((T)0.5) * (shifted - rounder);
  const Lanes<T> z = r * r;
  // The upper half of r times that of pi is exact.
  const Lanes<T> upper = real(bits(r) & splat_bits<T>(C::kUpperHalf));
  const Lanes<T> rest =
      upper * splat<T>(C::kPiLow) + (r - upper) * splat<T>(C::kPiHigh + C::kPiLow);
  const Lanes<T> sine =
      upper * splat<T>(C::kPiHigh) + (rest + z * r * polynomial<T>(z, C::kSine));
  const Lanes<T> cosine = splat<T>(1) + z * polynomial<T>(z, C::kCosine);
  // Bit 0 of n swaps the two; bit 1 of n negates sin, bit 1 of n + 1 negates cos.
  constexpr int kToSign = 8 * (int)sizeof(T) - 2;
  const Masks<T> one = splat_bits<T>(1);
  const Masks<T> swap = Masks<T>{} - (quadrant & one);
  const Masks<T> sign = splat_bits<T>(Format<T>::kSign);
  const Masks<T> sine_sign = shift_left(quadrant, kToSign) & sign;
  const Masks<T> cosine_sign = shift_left(wrap_add(quadrant, one), kToSign) & sign;
  const Lanes<T> zero = splat<T>(0);  // -0 + 0 = +0
  return {real(bits(select(swap, cosine, sine)) ^ sine_sign) + zero,
          real(bits(select(swap, sine, cosine)) ^ cosine_sign) + zero};
}

// sin: at most @SIN64@ ulp (float64), @SIN32@ ulp (float32); cos: @COS64@, @COS32@; for all x.
template <class T>
KEXUE_INLINE SineCosine<T> sincos_pi_lanes(Lanes<T> x) {
  using C = PiConstants<T>;
  const Lanes<T> magnitude = absolute<T>(x);
  const Lanes<T> fours = splat<T>(C::kFours);
  const Lanes<T> whole = (magnitude + fours) - fours;
  const Lanes<T> y =
      magnitude - select(less(magnitude, splat<T>(C::kAllEven)), whole, magnitude);
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
