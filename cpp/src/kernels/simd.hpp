// Vectors of KEXUE_VECTOR_BYTES bytes for kernel files: GCC/Clang vector extensions, and a plain
// structure that the optimiser may or may not vectorise elsewhere. Internal linkage throughout,
// because every instruction set compiles its own copy.
//
// Vec<R> holds float, double, int32_t or int64_t; Mask<R> is the integer vector of R's width, the
// type of R's bits and of comparisons (-1 where true).
#pragma once

#include <cstddef>
#include <cstdint>

#if (defined(__GNUC__) || defined(__clang__)) && !defined(KEXUE_PORTABLE_VECTORS)
#define KEXUE_VECTOR_EXTENSIONS 1
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#define KEXUE_X86_BYTES KEXUE_VECTOR_BYTES
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
#else
#include <math.h>
#define KEXUE_VECTOR_EXTENSIONS 0
#endif
#ifndef KEXUE_X86_BYTES
#define KEXUE_X86_BYTES 0
#endif

#if defined(__GNUC__) || defined(__clang__)
#define KEXUE_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define KEXUE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define KEXUE_UNROLL _Pragma("GCC unroll 16")
#endif
#else
#define KEXUE_INLINE inline
#define KEXUE_UNROLL
#endif

namespace kexue::KEXUE_ISA {
namespace {

template <class R>
constexpr int kLanes = KEXUE_VECTOR_BYTES / static_cast<int>(sizeof(R));

// The integers of a real type's width.
template <class R>
struct BitsOf {
  using type = std::int32_t;
  using unsigned_type = std::uint32_t;
};
template <>
struct BitsOf<double> {
  using type = std::int64_t;
  using unsigned_type = std::uint64_t;
};
template <>
struct BitsOf<std::int64_t> : BitsOf<double> {};
template <class R>
using Bits = typename BitsOf<R>::type;

#if KEXUE_VECTOR_EXTENSIONS

template <class R>
struct VecOf;
#define KEXUE_VECTOR_TYPE(R)                                         \
  template <>                                                        \
  struct VecOf<R> {                                                  \
    typedef R type __attribute__((vector_size(KEXUE_VECTOR_BYTES))); \
  };
KEXUE_VECTOR_TYPE(float)
KEXUE_VECTOR_TYPE(double)
KEXUE_VECTOR_TYPE(std::int32_t)
KEXUE_VECTOR_TYPE(std::int64_t)
KEXUE_VECTOR_TYPE(std::uint32_t)
KEXUE_VECTOR_TYPE(std::uint64_t)
#undef KEXUE_VECTOR_TYPE
template <class R>
using Vec = typename VecOf<R>::type;

template <class R>
KEXUE_INLINE Vec<R> load(const R* p) {
  Vec<R> v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
template <class R>
KEXUE_INLINE void store(R* p, Vec<R> v) {
  __builtin_memcpy(p, &v, sizeof(v));
}
template <class R>
KEXUE_INLINE Vec<R> broadcast(R x) {
  return x - Vec<R>{};
}
template <class R>
KEXUE_INLINE Vec<R> zero() {
  return Vec<R>{};
}

#else

template <class R>
struct Vec {
  R lane[kLanes<R>];
  R operator[](int i) const { return lane[i]; }
  Vec& operator+=(const Vec& o) { return *this = *this + o; }
#define KEXUE_VECTOR_OPERATOR(op)                                           \
  friend Vec operator op(Vec a, const Vec& b) {                             \
    for (int i = 0; i < kLanes<R>; ++i) a.lane[i] = a.lane[i] op b.lane[i]; \
    return a;                                                               \
  }
  KEXUE_VECTOR_OPERATOR(+)
  KEXUE_VECTOR_OPERATOR(-)
  KEXUE_VECTOR_OPERATOR(*)
  KEXUE_VECTOR_OPERATOR(/)
  KEXUE_VECTOR_OPERATOR(&)
  KEXUE_VECTOR_OPERATOR(|)
  KEXUE_VECTOR_OPERATOR(^)
#undef KEXUE_VECTOR_OPERATOR
};
template <class R>
KEXUE_INLINE Vec<R> load(const R* p) {
  Vec<R> v;
  for (int i = 0; i < kLanes<R>; ++i) v.lane[i] = p[i];
  return v;
}
template <class R>
KEXUE_INLINE void store(R* p, const Vec<R>& v) {
  for (int i = 0; i < kLanes<R>; ++i) p[i] = v.lane[i];
}
template <class R>
KEXUE_INLINE Vec<R> broadcast(R x) {
  Vec<R> v;
  for (int i = 0; i < kLanes<R>; ++i) v.lane[i] = x;
  return v;
}
template <class R>
KEXUE_INLINE Vec<R> zero() {
  return broadcast<R>(R(0));
}

#endif

template <class R>
using Mask = Vec<Bits<R>>;
using F64 = Vec<double>;
using F32 = Vec<float>;
using I64 = Vec<std::int64_t>;
using I32 = Vec<std::int32_t>;

// Below, R is named by the caller: vectors do not tell their element type to templates.
#if KEXUE_VECTOR_EXTENSIONS

template <class To>
KEXUE_INLINE Vec<To> reinterpret(I64 x) {
  return (Vec<To>)x;
}
KEXUE_INLINE I64 bits(F64 x) { return (I64)x; }
KEXUE_INLINE I32 bits(F32 x) { return (I32)x; }
KEXUE_INLINE F64 real(I64 x) { return (F64)x; }
KEXUE_INLINE F32 real(I32 x) { return (F32)x; }
KEXUE_INLINE F32 to_float(I32 x) { return __builtin_convertvector(x, F32); }

// a < b and a == b; where mask is -1 the first, where it is 0 the second.
template <class R>
KEXUE_INLINE Mask<R> less(Vec<R> a, Vec<R> b) {
  return (Mask<R>)(a < b);
}
template <class R>
KEXUE_INLINE Mask<R> equal(Vec<R> a, Vec<R> b) {
  return (Mask<R>)(a == b);
}
template <class R>
KEXUE_INLINE Vec<R> select(Mask<R> mask, Vec<R> a, Vec<R> b) {
  return mask ? a : b;
}
// Integers of R's width, modulo 2^32 or 2^64; shifts fill with zeros.
template <class R>
KEXUE_INLINE Mask<R> wrap_add(Mask<R> a, Mask<R> b) {
  using U = Vec<typename BitsOf<R>::unsigned_type>;
  return (Mask<R>)((U)a + (U)b);
}
template <class R>
KEXUE_INLINE Mask<R> shift_left(Mask<R> x, int n) {
  return (Mask<R>)((Vec<typename BitsOf<R>::unsigned_type>)x << n);
}
template <class R>
KEXUE_INLINE Mask<R> shift_right(Mask<R> x, int n) {
  return (Mask<R>)((Vec<typename BitsOf<R>::unsigned_type>)x >> n);
}

#else

template <class To, class From>
KEXUE_INLINE Vec<To> reinterpret(const Vec<From>& x) {
  Vec<To> r;
  const unsigned char* from = reinterpret_cast<const unsigned char*>(&x);
  unsigned char* to = reinterpret_cast<unsigned char*>(&r);
  for (int i = 0; i < KEXUE_VECTOR_BYTES; ++i) to[i] = from[i];
  return r;
}
KEXUE_INLINE I64 bits(F64 x) { return reinterpret<std::int64_t>(x); }
KEXUE_INLINE I32 bits(F32 x) { return reinterpret<std::int32_t>(x); }
KEXUE_INLINE F64 real(I64 x) { return reinterpret<double>(x); }
KEXUE_INLINE F32 real(I32 x) { return reinterpret<float>(x); }
KEXUE_INLINE F32 to_float(I32 x) {
  F32 r;
  for (int i = 0; i < kLanes<float>; ++i) r.lane[i] = static_cast<float>(x[i]);
  return r;
}
template <class R>
KEXUE_INLINE Mask<R> less(Vec<R> a, Vec<R> b) {
  Mask<R> r;
  for (int i = 0; i < kLanes<R>; ++i) r.lane[i] = a[i] < b[i] ? -1 : 0;
  return r;
}
template <class R>
KEXUE_INLINE Mask<R> equal(Vec<R> a, Vec<R> b) {
  Mask<R> r;
  for (int i = 0; i < kLanes<R>; ++i) r.lane[i] = a[i] == b[i] ? -1 : 0;
  return r;
}
template <class R>
KEXUE_INLINE Vec<R> select(Mask<R> mask, Vec<R> a, Vec<R> b) {
  for (int i = 0; i < kLanes<R>; ++i) a.lane[i] = mask[i] != 0 ? a[i] : b[i];
  return a;
}
template <class R>
KEXUE_INLINE Mask<R> wrap_add(Mask<R> a, Mask<R> b) {
  using U = typename BitsOf<R>::unsigned_type;
  for (int i = 0; i < kLanes<R>; ++i) {
    a.lane[i] = static_cast<Bits<R>>(static_cast<U>(a[i]) + static_cast<U>(b[i]));
  }
  return a;
}
template <class R>
KEXUE_INLINE Mask<R> shift_left(Mask<R> x, int n) {
  using U = typename BitsOf<R>::unsigned_type;
  for (auto& lane : x.lane) lane = static_cast<Bits<R>>(static_cast<U>(lane) << n);
  return x;
}
template <class R>
KEXUE_INLINE Mask<R> shift_right(Mask<R> x, int n) {
  using U = typename BitsOf<R>::unsigned_type;
  for (auto& lane : x.lane) lane = static_cast<Bits<R>>(static_cast<U>(lane) >> n);
  return x;
}

#endif

template <class R>
KEXUE_INLINE Vec<R> square_root(Vec<R> x) {
  R lane[kLanes<R>];
  store<R>(lane, x);
#if KEXUE_VECTOR_EXTENSIONS
  for (R& v : lane) v = sizeof(R) == 8 ? (R)__builtin_sqrt(v) : (R)__builtin_sqrtf((float)v);
#else
  for (R& v : lane) v = sizeof(R) == 8 ? (R)sqrt(v) : (R)sqrtf((float)v);
#endif
  return load<R>(lane);
}

// a b + c: fused where the instruction set has it, unless the file defines KEXUE_NO_FMA. Fusing is
// spelled out because a compiler that may choose chooses differently in a loop and in its tail.
#if !defined(KEXUE_NO_FMA) && KEXUE_X86_BYTES == 32
KEXUE_INLINE F64 multiply_add(F64 a, F64 b, F64 c) { return _mm256_fmadd_pd(a, b, c); }
KEXUE_INLINE F32 multiply_add(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
#elif !defined(KEXUE_NO_FMA) && KEXUE_X86_BYTES == 64
KEXUE_INLINE F64 multiply_add(F64 a, F64 b, F64 c) { return _mm512_fmadd_pd(a, b, c); }
KEXUE_INLINE F32 multiply_add(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
#elif !defined(KEXUE_NO_FMA) && KEXUE_VECTOR_EXTENSIONS && defined(__aarch64__)
KEXUE_INLINE F64 multiply_add(F64 a, F64 b, F64 c) {
  return (F64)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
KEXUE_INLINE F32 multiply_add(F32 a, F32 b, F32 c) {
  return (F32)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
#else
KEXUE_INLINE F64 multiply_add(F64 a, F64 b, F64 c) { return a * b + c; }
KEXUE_INLINE F32 multiply_add(F32 a, F32 b, F32 c) { return a * b + c; }
#endif

// low <= x <= high; NaN stays. The instructions are a tenth of exp faster than compare and blend
// (AVX2, n = 4096), which compilers keep for the sake of NaN and -0.
template <class R>
KEXUE_INLINE Vec<R> clamp_by_selection(Vec<R> x, Vec<R> low, Vec<R> high) {
  const Vec<R> bounded = select<R>(less<R>(high, x), high, x);
  return select<R>(less<R>(bounded, low), low, bounded);
}
#if KEXUE_X86_BYTES == 16
KEXUE_INLINE F64 clamp(F64 x, F64 low, F64 high) { return _mm_max_pd(low, _mm_min_pd(high, x)); }
KEXUE_INLINE F32 clamp(F32 x, F32 low, F32 high) { return _mm_max_ps(low, _mm_min_ps(high, x)); }
#elif KEXUE_X86_BYTES == 32 && defined(__AVX__)
KEXUE_INLINE F64 clamp(F64 x, F64 low, F64 high) {
  return _mm256_max_pd(low, _mm256_min_pd(high, x));
}
KEXUE_INLINE F32 clamp(F32 x, F32 low, F32 high) {
  return _mm256_max_ps(low, _mm256_min_ps(high, x));
}
#elif KEXUE_X86_BYTES == 64
// Zero-masked: GCC 12 warns about the undefined register inside the plain forms.
KEXUE_INLINE F64 clamp(F64 x, F64 low, F64 high) {
  return (F64)_mm512_maskz_max_pd(0xff, low, _mm512_maskz_min_pd(0xff, high, x));
}
KEXUE_INLINE F32 clamp(F32 x, F32 low, F32 high) {
  return (F32)_mm512_maskz_max_ps(0xffff, low, _mm512_maskz_min_ps(0xffff, high, x));
}
#else
KEXUE_INLINE F64 clamp(F64 x, F64 low, F64 high) {
  return clamp_by_selection<double>(x, low, high);
}
KEXUE_INLINE F32 clamp(F32 x, F32 low, F32 high) { return clamp_by_selection<float>(x, low, high); }
#endif

}  // namespace
}  // namespace kexue::KEXUE_ISA
