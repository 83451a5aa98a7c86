// Vectors of KEXUE_VECTOR_BYTES bytes for kernel files: GCC/Clang vector extensions, and a plain
// structure that the optimiser may or may not vectorise elsewhere. Internal linkage throughout,
// because every instruction set compiles its own copy.
#pragma once

#include <cstddef>

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

#if defined(__GNUC__) || defined(__clang__)

template <class R>
struct VecOf;
template <>
struct VecOf<float> {
  typedef float type __attribute__((vector_size(KEXUE_VECTOR_BYTES)));
};
template <>
struct VecOf<double> {
  typedef double type __attribute__((vector_size(KEXUE_VECTOR_BYTES)));
};
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
  Vec& operator+=(const Vec& o) {
    for (int i = 0; i < kLanes<R>; ++i) lane[i] += o.lane[i];
    return *this;
  }
  friend Vec operator+(Vec a, const Vec& b) { return a += b; }
  friend Vec operator*(Vec a, const Vec& b) {
    for (int i = 0; i < kLanes<R>; ++i) a.lane[i] *= b.lane[i];
    return a;
  }
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

}  // namespace
}  // namespace kexue::KEXUE_ISA
