// What row kernels need beside simd.hpp: maxima, horizontal sums, comparisons as bits, compaction,
// transposition of small blocks, widening to double and stores past the cache.
#pragma once

#include "simd.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using std::ptrdiff_t;

template <class R>
constexpr R kInfinity = static_cast<R>(__builtin_inf());

// ---- Whole vectors ------------------------------------------------------------------------------

// The larger of both; a NaN in x is passed over.
#if KEXUE_X86_BYTES == 16
KEXUE_INLINE F64 maximum(F64 a, F64 x) { return _mm_max_pd(x, a); }
KEXUE_INLINE F32 maximum(F32 a, F32 x) { return _mm_max_ps(x, a); }
#elif KEXUE_X86_BYTES == 32
KEXUE_INLINE F64 maximum(F64 a, F64 x) { return _mm256_max_pd(x, a); }
KEXUE_INLINE F32 maximum(F32 a, F32 x) { return _mm256_max_ps(x, a); }
#elif KEXUE_X86_BYTES == 64
KEXUE_INLINE F64 maximum(F64 a, F64 x) { return _mm512_maskz_max_pd(0xff, x, a); }
KEXUE_INLINE F32 maximum(F32 a, F32 x) { return _mm512_maskz_max_ps(0xffff, x, a); }
#else
KEXUE_INLINE F64 maximum(F64 a, F64 x) { return select<double>(less<double>(a, x), x, a); }
KEXUE_INLINE F32 maximum(F32 a, F32 x) { return select<float>(less<float>(a, x), x, a); }
#endif

// Lanes folded in halves, always in the same order.
template <class R>
KEXUE_INLINE R total(Vec<R> v) {
  R lane[kLanes<R>];
  store<R>(lane, v);
  for (int half = kLanes<R> / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
  }
  return lane[0];
}
template <class R>
KEXUE_INLINE R largest(Vec<R> v) {
  R lane[kLanes<R>];
  store<R>(lane, v);
  for (int half = kLanes<R> / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lane[i] = lane[i] < lane[i + half] ? lane[i + half] : lane[i];
  }
  return lane[0];
}
template <class R>
KEXUE_INLINE R smallest(Vec<R> v) {
  R lane[kLanes<R>];
  store<R>(lane, v);
  for (int half = kLanes<R> / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lane[i] = lane[i + half] < lane[i] ? lane[i + half] : lane[i];
  }
  return lane[0];
}

// The first n lanes of memory; the others are `rest`.
template <class R>
KEXUE_INLINE Vec<R> load_part(const R* p, ptrdiff_t n, R rest) {
  R lane[kLanes<R>];
  for (int i = 0; i < kLanes<R>; ++i) lane[i] = rest;
  for (ptrdiff_t i = 0; i < n; ++i) lane[i] = p[i];
  return load<R>(lane);
}
template <class R>
KEXUE_INLINE void store_part(R* p, Vec<R> v, ptrdiff_t n) {
  R lane[kLanes<R>];
  store<R>(lane, v);
  for (ptrdiff_t i = 0; i < n; ++i) p[i] = lane[i];
}
#if KEXUE_X86_BYTES == 64
KEXUE_INLINE unsigned first_bits(ptrdiff_t n) { return (1u << n) - 1u; }
template <>
KEXUE_INLINE F64 load_part<double>(const double* p, ptrdiff_t n, double rest) {
  return _mm512_mask_loadu_pd(broadcast<double>(rest), (__mmask8)first_bits(n), p);
}
template <>
KEXUE_INLINE F32 load_part<float>(const float* p, ptrdiff_t n, float rest) {
  return _mm512_mask_loadu_ps(broadcast<float>(rest), (__mmask16)first_bits(n), p);
}
template <>
KEXUE_INLINE void store_part<double>(double* p, F64 v, ptrdiff_t n) {
  _mm512_mask_storeu_pd(p, (__mmask8)first_bits(n), v);
}
template <>
KEXUE_INLINE void store_part<float>(float* p, F32 v, ptrdiff_t n) {
  _mm512_mask_storeu_ps(p, (__mmask16)first_bits(n), v);
}
#endif

// The first n lanes of memory, all if n reaches so far.
template <class R>
KEXUE_INLINE Vec<R> load_up_to(const R* p, ptrdiff_t n, R rest) {
  return n >= kLanes<R> ? load<R>(p) : load_part<R>(p, n, rest);
}

// Past the cache; p is aligned to a vector.
template <class R>
KEXUE_INLINE void store_past(R* p, Vec<R> v) {
#if KEXUE_X86_BYTES == 64
  if constexpr (sizeof(R) == 8) {
    _mm512_stream_pd(p, v);
  } else {
    _mm512_stream_ps(p, v);
  }
#elif KEXUE_X86_BYTES == 32
  if constexpr (sizeof(R) == 8) {
    _mm256_stream_pd(p, v);
  } else {
    _mm256_stream_ps(p, v);
  }
#elif KEXUE_X86_BYTES == 16
  if constexpr (sizeof(R) == 8) {
    _mm_stream_pd(p, v);
  } else {
    _mm_stream_ps(p, v);
  }
#else
  store<R>(p, v);
#endif
}

// f(vector) for every vector of x[0, n), stored to y; the tail's lanes hold `rest`. With `past` the
// stores go past the cache. x and y are the same array or disjoint.
template <class R, class F>
KEXUE_INLINE void map_vectors(const R* x, R* y, ptrdiff_t n, R rest, bool past, F&& f) {
  constexpr ptrdiff_t kStep = kLanes<R>;
  ptrdiff_t i = 0;
  if (past) {
    const auto misplaced = reinterpret_cast<std::uintptr_t>(y) % KEXUE_VECTOR_BYTES;
    ptrdiff_t head =
        misplaced == 0 ? 0 : static_cast<ptrdiff_t>((KEXUE_VECTOR_BYTES - misplaced) / sizeof(R));
    if (head > n) head = n;
    if (head > 0) store_part<R>(y, f(load_part<R>(x, head, rest)), head);
    for (i = head; i + kStep <= n; i += kStep) store_past<R>(y + i, f(load<R>(x + i)));
  } else {
    for (; i + kStep <= n; i += kStep) store<R>(y + i, f(load<R>(x + i)));
  }
  if (i < n) store_part<R>(y + i, f(load_part<R>(x + i, n - i, rest)), n - i);
}

// ---- Comparisons as bits, compaction ------------------------------------------------------------

// Bit i: x[i] > t[i].
#if KEXUE_X86_BYTES == 16
KEXUE_INLINE unsigned above(F64 x, F64 t) { return (unsigned)_mm_movemask_pd(_mm_cmpgt_pd(x, t)); }
KEXUE_INLINE unsigned above(F32 x, F32 t) { return (unsigned)_mm_movemask_ps(_mm_cmpgt_ps(x, t)); }
#elif KEXUE_X86_BYTES == 32
KEXUE_INLINE unsigned above(F64 x, F64 t) {
  return (unsigned)_mm256_movemask_pd(_mm256_cmp_pd(x, t, _CMP_GT_OQ));
}
KEXUE_INLINE unsigned above(F32 x, F32 t) {
  return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x, t, _CMP_GT_OQ));
}
#elif KEXUE_X86_BYTES == 64
KEXUE_INLINE unsigned above(F64 x, F64 t) { return _mm512_cmp_pd_mask(x, t, _CMP_GT_OQ); }
KEXUE_INLINE unsigned above(F32 x, F32 t) { return _mm512_cmp_ps_mask(x, t, _CMP_GT_OQ); }
#else
KEXUE_INLINE unsigned above(F64 x, F64 t) {
  unsigned bits = 0;
  for (int i = 0; i < kLanes<double>; ++i) bits |= x[i] > t[i] ? 1u << i : 0u;
  return bits;
}
KEXUE_INLINE unsigned above(F32 x, F32 t) {
  unsigned bits = 0;
  for (int i = 0; i < kLanes<float>; ++i) bits |= x[i] > t[i] ? 1u << i : 0u;
  return bits;
}
#endif

// Of bits that are not all zero.
KEXUE_INLINE int lowest_bit(unsigned bits) {
#if defined(__GNUC__) || defined(__clang__)
  return __builtin_ctz(bits);
#else
  int i = 0;
  for (; (bits & 1u) == 0; bits >>= 1) ++i;
  return i;
#endif
}
KEXUE_INLINE int count_bits(unsigned bits) {
#if defined(__GNUC__) || defined(__clang__)
  return __builtin_popcount(bits);
#else
  int n = 0;
  for (; bits != 0; bits &= bits - 1) ++n;
  return n;
#endif
}

// Lanes of x whose bit is set, in order, to p; a whole vector of room is needed. Returns how many.
// AVX-512 compresses into a register: the form that compresses into memory is microcoded on Zen 4.
template <class R>
KEXUE_INLINE int append(R* p, Vec<R> x, unsigned bits) {
#if KEXUE_X86_BYTES == 64
  if constexpr (sizeof(R) == 8) {
    store<R>(p, _mm512_maskz_compress_pd((__mmask8)bits, x));
  } else {
    store<R>(p, _mm512_maskz_compress_ps((__mmask16)bits, x));
  }
  return count_bits(bits);
#else
  R lane[kLanes<R>];
  store<R>(lane, x);
  int n = 0;
  for (int i = 0; i < kLanes<R>; ++i) {
    p[n] = lane[i];
    n += static_cast<int>(bits >> i & 1u);
  }
  return n;
#endif
}

// Places of the bits that are set, the first being `first`, to p; a whole vector of room is needed.
// Without branches where AVX-512 compresses: which bits are set is hard to predict.
template <class R>
KEXUE_INLINE int append_places(std::int32_t* p, std::int32_t first, unsigned bits) {
#if KEXUE_X86_BYTES == 64
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i places = _mm512_add_epi32(lanes, _mm512_set1_epi32(first));
  const __m512i kept = _mm512_maskz_compress_epi32((__mmask16)bits, places);
  __builtin_memcpy(p, &kept, sizeof(std::int32_t) * kLanes<R>);
  return count_bits(bits);
#else
  int n = 0;
  for (; bits != 0; bits &= bits - 1) p[n++] = first + lowest_bit(bits);
  return n;
#endif
}

// ---- Widening -----------------------------------------------------------------------------------

// kLanes<double> reals from p, as double.
KEXUE_INLINE F64 load_wide(const double* p) { return load<double>(p); }
KEXUE_INLINE F64 load_wide(const float* p) {
#if KEXUE_X86_BYTES == 64
  return _mm512_maskz_cvtps_pd(0xff, _mm256_loadu_ps(p));
#elif KEXUE_X86_BYTES == 32
  return _mm256_cvtps_pd(_mm_loadu_ps(p));
#else
  double lane[kLanes<double>];
  for (int i = 0; i < kLanes<double>; ++i) lane[i] = p[i];
  return load<double>(lane);
#endif
}
KEXUE_INLINE void store_narrow(double* p, F64 v) { store<double>(p, v); }
KEXUE_INLINE void store_narrow(float* p, F64 v) {
#if KEXUE_X86_BYTES == 64
  _mm256_storeu_ps(p, _mm512_maskz_cvtpd_ps(0xff, v));
#elif KEXUE_X86_BYTES == 32
  _mm_storeu_ps(p, _mm256_cvtpd_ps(v));
#else
  double lane[kLanes<double>];
  store<double>(lane, v);
  for (int i = 0; i < kLanes<double>; ++i) p[i] = static_cast<float>(lane[i]);
#endif
}
template <class R>
KEXUE_INLINE F64 load_wide_part(const R* p, ptrdiff_t n, double rest) {
  double lane[kLanes<double>];
  for (int i = 0; i < kLanes<double>; ++i) lane[i] = i < n ? static_cast<double>(p[i]) : rest;
  return load<double>(lane);
}
template <class R>
KEXUE_INLINE void store_narrow_part(R* p, F64 v, ptrdiff_t n) {
  double lane[kLanes<double>];
  store<double>(lane, v);
  for (ptrdiff_t i = 0; i < n; ++i) p[i] = static_cast<R>(lane[i]);
}

// ---- Transposition ------------------------------------------------------------------------------

#if KEXUE_VECTOR_EXTENSIONS
template <class R, int kHigh>
KEXUE_INLINE Vec<R> interleave(Vec<R> a, Vec<R> b) {
  constexpr int kLane = kLanes<R>, kFrom = kHigh * kLane / 2;
  Mask<R> order;
  for (int i = 0; i < kLane; ++i) order[i] = static_cast<Bits<R>>(kFrom + i / 2 + i % 2 * kLane);
#if defined(__clang__)
  R from[2 * kLane], to[kLane];
  store<R>(from, a);
  store<R>(from + kLane, b);
  for (int i = 0; i < kLane; ++i) to[i] = from[kFrom + i / 2 + i % 2 * kLane];
  (void)order;
  return load<R>(to);
#else
  return __builtin_shuffle(a, b, order);
#endif
}
#else
template <class R, int kHigh>
KEXUE_INLINE Vec<R> interleave(Vec<R> a, Vec<R> b) {
  Vec<R> v;
  for (int i = 0; i < kLanes<R>; ++i) {
    const int j = kHigh * kLanes<R> / 2 + i / 2;
    v.lane[i] = i % 2 == 0 ? a[j] : b[j];
  }
  return v;
}
#endif

// A square block in place. Interleaving vector i with vector i + L/2 rotates the bits of a place's
// (row, column) by one; log2 L times exchange row and column.
template <class R>
KEXUE_INLINE void transpose(Vec<R>* block) {
  constexpr int kLane = kLanes<R>;
  KEXUE_UNROLL
  for (int width = 1; width < kLane; width *= 2) {
    Vec<R> next[kLane];
    KEXUE_UNROLL
    for (int i = 0; i < kLane / 2; ++i) {
      next[2 * i] = interleave<R, 0>(block[i], block[i + kLane / 2]);
      next[2 * i + 1] = interleave<R, 1>(block[i], block[i + kLane / 2]);
    }
    KEXUE_UNROLL
    for (int i = 0; i < kLane; ++i) block[i] = next[i];
  }
}

// Lane j of column[k] is number k of the row that begins at table + stride index[j]: vectors are
// loaded and turned. With gathers samples of densities took a quarter more time (AVX-512, Zen 4).
template <int kWidth>
KEXUE_INLINE void load_rows(const double* table, ptrdiff_t stride, I64 index, F64* column) {
  constexpr int kLane = kLanes<double>;
  static_assert(kWidth % kLane == 0);
  std::int64_t at[kLane];
  store<std::int64_t>(at, index);
  KEXUE_UNROLL
  for (int first = 0; first < kWidth; first += kLane) {
    KEXUE_UNROLL
    for (int j = 0; j < kLane; ++j) {
      column[first + j] = load<double>(table + stride * at[j] + first);
    }
    transpose<double>(column + first);
  }
}

}  // namespace
}  // namespace kexue::KEXUE_ISA
