// Shared by the kernels of the simplex area: careful sums, and short rows turned into columns with
// one row per lane.
#pragma once

#include "kexue/simplex/kernels.hpp"
#include "lanes.hpp"
#include "vector_math.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using simplex::kShortRow;

// ---- Masks --------------------------------------------------------------------------------------

template <class R>
KEXUE_INLINE bool any(Mask<R> mask) {
  return above(select<R>(mask, broadcast<R>(1), broadcast<R>(0)), broadcast<R>(0)) != 0;
}
KEXUE_INLINE Mask<double> first_lanes(ptrdiff_t n) {
  std::int64_t lane[kLanes<double>];
  for (int i = 0; i < kLanes<double>; ++i) lane[i] = i < n ? -1 : 0;
  return load<std::int64_t>(lane);
}
// Bits of the lanes in which a or b is NaN.
#if KEXUE_X86_BYTES == 16
KEXUE_INLINE unsigned unordered(F64 a, F64 b) {
  return (unsigned)_mm_movemask_pd(_mm_cmpunord_pd(a, b));
}
KEXUE_INLINE unsigned unordered(F32 a, F32 b) {
  return (unsigned)_mm_movemask_ps(_mm_cmpunord_ps(a, b));
}
#elif KEXUE_X86_BYTES == 32
KEXUE_INLINE unsigned unordered(F64 a, F64 b) {
  return (unsigned)_mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_UNORD_Q));
}
KEXUE_INLINE unsigned unordered(F32 a, F32 b) {
  return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_UNORD_Q));
}
#elif KEXUE_X86_BYTES == 64
KEXUE_INLINE unsigned unordered(F64 a, F64 b) { return _mm512_cmp_pd_mask(a, b, _CMP_UNORD_Q); }
KEXUE_INLINE unsigned unordered(F32 a, F32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q); }
#else
template <class V>
KEXUE_INLINE unsigned unordered(const V& a, const V& b) {
  unsigned bits = 0;
  for (unsigned i = 0; i < KEXUE_VECTOR_BYTES / sizeof(a[0]); ++i) {
    bits |= a[(int)i] != a[(int)i] || b[(int)i] != b[(int)i] ? 1u << i : 0u;
  }
  return bits;
}
#endif

#if KEXUE_X86_BYTES == 64
// b where either is NaN.
KEXUE_INLINE F64 smaller(F64 a, F64 b) { return _mm512_maskz_min_pd(0xff, a, b); }
KEXUE_INLINE F32 smaller(F32 a, F32 b) { return _mm512_maskz_min_ps(0xffff, a, b); }
#endif

// ---- Sums ---------------------------------------------------------------------------------------

// The upper 26 bits: products with integers below 2^27 are exact.
KEXUE_INLINE F64 upper_half(F64 x) {
  return real(bits(x) & broadcast<std::int64_t>(~(((std::int64_t)1 << 27) - 1)));
}

struct SumPair {
  double high, low;
};

// Plain sums of eight vectors, whose totals are added with their rounding errors: equal terms would
// otherwise round alike, and the sum of a flat row be off by several units.
struct CarefulSum {
  F64 plain = broadcast<double>(0), high = broadcast<double>(0), low = broadcast<double>(0);
  int pending = 0;

  KEXUE_INLINE void add_exactly(F64 v) {
    const F64 next = high + v, back = next - high;
    low += (high - (next - back)) + (v - back);
    high = next;
  }
  KEXUE_INLINE void add(F64 v) {
    plain += v;
    if (++pending == 8) flush();
  }
  KEXUE_INLINE void flush() {
    add_exactly(plain);
    plain = broadcast<double>(0);
    pending = 0;
  }
  // Whose plain total is the sum.
  KEXUE_INLINE F64 lanes() {
    flush();
    return high + low;
  }
  KEXUE_INLINE SumPair total() {
    flush();
    double highs[kLanes<double>], lows[kLanes<double>];
    store<double>(highs, high);
    store<double>(lows, low);
    double sum = 0, rest = 0;
    for (int i = 0; i < kLanes<double>; ++i) {
      const double next = sum + highs[i], back = next - sum;
      rest += (sum - (next - back)) + (highs[i] - back) + lows[i];
      sum = next;
    }
    return {sum, rest};
  }
};

// Entries before the first that a vector past the cache can be written to.
template <class T>
KEXUE_INLINE ptrdiff_t aligned_from(const T* out, ptrdiff_t n) {
  const auto misplaced = reinterpret_cast<std::uintptr_t>(out) % KEXUE_VECTOR_BYTES;
  const auto head =
      static_cast<ptrdiff_t>((KEXUE_VECTOR_BYTES - misplaced) % KEXUE_VECTOR_BYTES / sizeof(T));
  return head < n ? head : n;
}

// ---- Float vectors as two of double -------------------------------------------------------------

#if KEXUE_X86_BYTES == 64
KEXUE_INLINE void widen(F32 v, F64* wide) {
  wide[0] = _mm512_maskz_cvtps_pd(0xff, _mm512_maskz_extractf32x8_ps(0xff, v, 0));
  wide[1] = _mm512_maskz_cvtps_pd(0xff, _mm512_maskz_extractf32x8_ps(0xff, v, 1));
}
KEXUE_INLINE F32 narrow(F64 first, F64 second) {
  const __m512 low =
      _mm512_maskz_insertf32x8(0xffff, _mm512_setzero_ps(), _mm512_maskz_cvtpd_ps(0xff, first), 0);
  return _mm512_maskz_insertf32x8(0xffff, low, _mm512_maskz_cvtpd_ps(0xff, second), 1);
}
#else
KEXUE_INLINE void widen(F32 v, F64* wide) {
  float lane[kLanes<float>];
  store<float>(lane, v);
  wide[0] = load_wide(lane);
  wide[1] = load_wide(lane + kLanes<double>);
}
KEXUE_INLINE F32 narrow(F64 first, F64 second) {
  float lane[kLanes<float>];
  store_narrow(lane, first);
  store_narrow(lane + kLanes<double>, second);
  return load<float>(lane);
}
#endif
// f applied in double.
template <class T, class F>
KEXUE_INLINE Vec<T> through_wide(Vec<T> v, F&& f) {
  if constexpr (sizeof(T) == 8) {
    return f(v);
  } else {
    F64 wide[2];
    widen(v, wide);
    return narrow(f(wide[0]), f(wide[1]));
  }
}
template <class T, class F>
KEXUE_INLINE Vec<T> through_wide(Vec<T> v, Vec<T> w, F&& f) {
  if constexpr (sizeof(T) == 8) {
    return f(v, w);
  } else {
    F64 wide[2], wide_w[2];
    widen(v, wide);
    widen(w, wide_w);
    return narrow(f(wide[0], wide_w[0]), f(wide[1], wide_w[1]));
  }
}

// Powers 1 and 2 need no logarithm.
enum class Kind { plain, square, general };
// u^exponent for u = 1 + w > 0
KEXUE_INLINE F64 power_of(F64 w, F64 exponent) { return exp(exponent * log1p(w)); }
KEXUE_INLINE F32 power_of(F32 w, F32 exponent) { return exp(exponent * log1p(w)); }

// ---- Short rows ---------------------------------------------------------------------------------

template <class R>
struct ShortRows {
  Vec<R> max;
  Mask<R> ordinary;  // finite maximum, no NaN
  Vec<R> nan;
};

// -1 where v is NaN.
template <class R>
KEXUE_INLINE Mask<R> differs(Vec<R> v) {
#if KEXUE_VECTOR_EXTENSIONS
  return (Mask<R>)(v != v);
#else
  Mask<R> mask;
  for (int i = 0; i < kLanes<R>; ++i) mask.lane[i] = v[i] != v[i] ? -1 : 0;
  return mask;
#endif
}

template <class R>
KEXUE_INLINE ShortRows<R> look_at(const Vec<R>* columns, ptrdiff_t n) {
  const Vec<R> infinite = broadcast<R>(kInfinity<R>), none = broadcast<R>(0);
  const Vec<R> lowest = broadcast<R>(-kInfinity<R>);
  Vec<R> max = lowest, other = lowest;
  Mask<R> strange = zero<Bits<R>>();
  ptrdiff_t j = 0;
  for (; j + 1 < n; j += 2) {  // two chains hide the latency of the comparison
    max = maximum(max, columns[j]);
    other = maximum(other, columns[j + 1]);
    strange = strange | differs<R>(columns[j]) | differs<R>(columns[j + 1]);
  }
  if (j < n) {
    max = maximum(max, columns[j]);
    strange = strange | differs<R>(columns[j]);
  }
  max = maximum(max, other);
  const Mask<R> finite = less<R>(max, infinite) & less<R>(lowest, max);
  return {select<R>(finite, max, none), finite & (strange ^ broadcast<Bits<R>>(-1)),
          real(broadcast<Bits<R>>(Format<R>::kNaN))};
}

// Rows for the short kernels, far ones not among them.
KEXUE_INLINE ShortRows<double> look_near(const F64* columns, ptrdiff_t n, double width) {
  ShortRows<double> look = look_at<double>(columns, n);
  const F64 far = broadcast<double>(simplex::kFar * width);
  look.ordinary = look.ordinary & less<double>(look.max, far) &
                  less<double>(broadcast<double>(0) - far, look.max);
  return look;
}

template <class R, class T>
KEXUE_INLINE Vec<R> load_column(const T* p) {
  if constexpr (sizeof(R) == sizeof(T)) {
    return load<R>(p);
  } else {
    return load_wide(p);
  }
}
template <class R, class T>
KEXUE_INLINE void store_column(T* p, Vec<R> v) {
  if constexpr (sizeof(R) == sizeof(T)) {
    store<R>(p, v);
  } else {
    store_narrow(p, v);
  }
}

// Lane i of the result: the lanes of each[i], folded in halves by f.
template <class R, class F>
KEXUE_INLINE Vec<R> fold(Vec<R>* each, F&& f) {
  KEXUE_UNROLL
  for (int half = kLanes<R> / 2; half > 0; half /= 2) {
    KEXUE_UNROLL
    for (int i = 0; i < half; ++i) {
      each[i] =
          f(interleave<R, 0>(each[i], each[i + half]), interleave<R, 1>(each[i], each[i + half]));
    }
  }
  return each[0];
}

template <class T>
KEXUE_INLINE void copy(const T* from, T* to, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; ++i) to[i] = from[i];
}

// Asks for n entries that the next group needs: rows side by side are too many streams for the
// hardware to foresee.
template <class T>
KEXUE_INLINE void prefetch(const T* p, ptrdiff_t n) {
#if defined(__GNUC__) || defined(__clang__)
  for (ptrdiff_t i = 0; i < n; i += 64 / (ptrdiff_t)sizeof(T)) __builtin_prefetch(p + i);
#else
  (void)p;
  (void)n;
#endif
}

// f(columns, first row, number of rows) on groups of kLanes<R> rows held as n columns of R, one row
// per lane; what f leaves in the columns is written to out. Lanes without a row hold numbers.
template <class R, class T, class F>
KEXUE_INLINE void for_short_rows(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, F&& f) {
  constexpr int kLane = kLanes<R>;
  Vec<R> columns[kShortRow + kLane];
  T edge[kLane];
  for (ptrdiff_t first = 0; first < n_rows; first += kLane) {
    const ptrdiff_t rows = n_rows - first < kLane ? n_rows - first : kLane;
    // Vectors may reach beyond the group into rows that are read, or written, later.
    const ptrdiff_t ahead = (n_rows - first) * n;
    const ptrdiff_t behind = x == out ? rows * n : ahead;
    const T* from = x + first * n;
    if (ahead >= 2 * kLane * n) {
      prefetch(from + kLane * n, kLane * n);
      if (x != out) prefetch(out + first * n + kLane * n, kLane * n);
    }
    for (ptrdiff_t c = 0; c < n; c += kLane) {
      KEXUE_UNROLL
      for (int r = 0; r < kLane; ++r) {
        const ptrdiff_t place = r * n + c;
        if (place + kLane <= ahead) {
          columns[c + r] = load_column<R>(from + place);
        } else {
          for (int i = 0; i < kLane; ++i) edge[i] = place + i < ahead ? from[place + i] : T(0);
          columns[c + r] = load_column<R>(edge);
        }
      }
      transpose<R>(columns + c);
    }
    f(columns, first, rows);
    for (ptrdiff_t c = 0; c < n; c += kLane) transpose<R>(columns + c);
    // Rows in order: what a vector writes beyond its row is the next row's to overwrite.
    T* to = out + first * n;
    for (ptrdiff_t r = 0; r < rows; ++r) {
      for (ptrdiff_t c = 0; c < n; c += kLane) {
        const ptrdiff_t place = r * n + c;
        if (place + kLane <= behind) {
          store_column<R>(to + place, columns[c + r]);
        } else {
          store_column<R>(edge, columns[c + r]);
          for (int i = 0; c + i < n && i < kLane; ++i) to[place + i] = edge[i];
        }
      }
    }
  }
}

}  // namespace
}  // namespace kexue::KEXUE_ISA
