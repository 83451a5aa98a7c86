// Rows as they lie in memory, for the short rows of the linear family (AVX-512): their vectors,
// what is known of a group of rows, and writing them.
#pragma once

#include "kexue/simplex/kernels.hpp"
#include "simplex_lanes.hpp"

#if KEXUE_X86_BYTES == 64
namespace kexue::KEXUE_ISA {
namespace {

KEXUE_INLINE F64 add_where(unsigned bits, F64 a, F64 b) {
  return _mm512_mask_add_pd(a, (__mmask8)bits, a, b);
}
KEXUE_INLINE F32 add_where(unsigned bits, F32 a, F32 b) {
  return _mm512_mask_add_ps(a, (__mmask16)bits, a, b);
}
// a where the bits are set, else b.
KEXUE_INLINE F64 where(unsigned bits, F64 a, F64 b) {
  return _mm512_mask_mov_pd(b, (__mmask8)bits, a);
}
KEXUE_INLINE F32 where(unsigned bits, F32 a, F32 b) {
  return _mm512_mask_mov_ps(b, (__mmask16)bits, a);
}
// Rounded down to float.
KEXUE_INLINE F32 narrow_down(F64 first, F64 second) {
  constexpr int kDown = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
  const __m512 low = _mm512_castps256_ps512(_mm512_cvt_roundpd_ps(first, kDown));
  return _mm512_insertf32x8(low, _mm512_cvt_roundpd_ps(second, kDown), 1);
}
// Columns come in fours, the last ones filled up with -inf: four chains hide the latency of the
// additions.
constexpr ptrdiff_t kChains = 4;

// What is known of kLanes<T> rows before they are solved.
template <class T>
struct Group {
  Vec<T> max, cut;
  unsigned special;  // bits of rows that are left alone
};

template <class T>
KEXUE_INLINE Vec<T> row_part(const T* row, ptrdiff_t i, ptrdiff_t n) {
  return load_up_to<T>(row + i, n - i, -kInfinity<T>);
}

// A run of n entries in vectors that begin where memory has its own, `lead` entries before the run:
// one that crosses a cache line takes twice the time, and arrays of NumPy begin 16 bytes after one.
template <class T>
KEXUE_INLINE ptrdiff_t lead_of(const T* p) {
  const auto place = reinterpret_cast<std::uintptr_t>(p);
  return place % sizeof(T) == 0 ? (ptrdiff_t)(place % KEXUE_VECTOR_BYTES / sizeof(T)) : 0;
}
KEXUE_INLINE F64 load_where(unsigned bits, const double* p, double rest) {
  return _mm512_mask_loadu_pd(broadcast<double>(rest), (__mmask8)bits, p);
}
KEXUE_INLINE F32 load_where(unsigned bits, const float* p, float rest) {
  return _mm512_mask_loadu_ps(broadcast<float>(rest), (__mmask16)bits, p);
}
KEXUE_INLINE void store_where(unsigned bits, double* p, F64 v) {
  _mm512_mask_storeu_pd(p, (__mmask8)bits, v);
}
KEXUE_INLINE void store_where(unsigned bits, float* p, F32 v) {
  _mm512_mask_storeu_ps(p, (__mmask16)bits, v);
}
// f(vector, its number) on all but the last of the vectors of a row of n > kLanes<T> entries from
// `from + lead` on, -inf before them; returns the last one and -inf beyond it, as `number`.
// Unrolled, so that f knows the number.
template <class T, class F>
KEXUE_INLINE Vec<T> for_row_vectors(const T* from, ptrdiff_t lead, ptrdiff_t n, ptrdiff_t& number,
                                    F&& f) {
  constexpr int kLane = kLanes<T>, kMost = kShortRow / kLane + 1;
  const ptrdiff_t end = lead + n;
  number = (end - 1) / kLane;
  f(load_where(~first_bits(lead), from, -kInfinity<T>), 0);
  KEXUE_UNROLL
  for (int c = 1; c < kMost; ++c) {
    if (c >= number) break;
    f(load<T>(from + c * kLane), c);
  }
  return load_up_to<T>(from + number * kLane, end - number * kLane, -kInfinity<T>);
}

template <class T>
KEXUE_INLINE Group<T> group_of(Vec<T> max, unsigned special, ptrdiff_t rows, double width) {
  Group<T> group;
  group.max = max;
  const Vec<T> size = absolute<T>(group.max), reach = broadcast<T>((T)width);
  // Not below far: infinite ones, too.
  special |= ~above(broadcast<T>((T)(simplex::kFar * width)), size);
  group.special = special & ((1u << rows) - 1u);
  // Rounded down, by a few units of what it is made of.
  const Vec<T> units = broadcast<T>(sizeof(T) == 8 ? (T)0x1p-49 : (T)0x1p-20);
  group.cut = (group.max - reach) - units * (size + reach);
  return group;
}

// scale (x - tau)_+ of the rows that are not special, and their roots; high + low is tau.
template <class T>
KEXUE_INLINE void write_group(const T* x, T* out, ptrdiff_t rows, ptrdiff_t n,
                              const Group<T>& group, const double* root, const T* high,
                              const T* low, double scale, double* tau) {
  constexpr int kLane = kLanes<T>;
  const Vec<T> none = broadcast<T>(0), factor = broadcast<T>((T)scale);
  for (ptrdiff_t r = 0; r < rows; ++r) {
    const T* row = x + r * n;
    T* to = out + r * n;
    if ((group.special >> r & 1u) != 0) {
      if (to != row) copy<T>(row, to, n);
      tau[r] = __builtin_nan("");
      continue;
    }
    tau[r] = root[r];
    const Vec<T> t = broadcast<T>(high[r]), rest = broadcast<T>(low[r]);
    ptrdiff_t i = 0;
    for (; i + kLane <= n; i += kLane) {
      store<T>(to + i, factor * maximum(none, (load<T>(row + i) - t) - rest));
    }
    if (i < n) {
      store_part<T>(to + i, factor * maximum(none, (row_part(row, i, n) - t) - rest), n - i);
    }
  }
}

// 0 or v, of numbers: as integers, for additions and maxima of reals share the same units (Zen 4:
// two thirds of the time).
KEXUE_INLINE F64 positive_part(F64 v) {
  return (F64)_mm512_maskz_max_epi64(0xff, (__m512i)v, _mm512_setzero_si512());
}
KEXUE_INLINE F32 positive_part(F32 v) {
  return (F32)_mm512_maskz_max_epi32(0xffff, (__m512i)v, _mm512_setzero_si512());
}

// The same where no row is special, as one run: a vector may hold the end of a row and the
// beginning of the next.
template <class T>
KEXUE_INLINE void write_run(const T* x, T* out, ptrdiff_t rows, ptrdiff_t n, const T* high,
                            const T* low, double scale) {
  constexpr int kLane = kLanes<T>;
  const Vec<T> factor = broadcast<T>((T)scale);
  const ptrdiff_t lead = lead_of(out);
  const T* from = x - lead;
  T* to = out - lead;
  Vec<T> t = broadcast<T>(high[0]), rest = broadcast<T>(low[0]);
  const auto map = [&](Vec<T> v) { return factor * positive_part((v - t) - rest); };
  const unsigned first = ~first_bits(lead);
  store_where(first, to, map(load_where(first, from, T(0))));
  ptrdiff_t i = kLane;
  for (ptrdiff_t r = 0; r < rows; ++r) {
    const ptrdiff_t end = lead + (r + 1) * n;
    for (; i + kLane <= end; i += kLane) store<T>(to + i, map(load<T>(from + i)));
    if (r + 1 == rows) {
      if (i < end) {
        store_part<T>(to + i, map(load_part<T>(from + i, end - i, T(0))), end - i);
      }
      break;
    }
    const Vec<T> next = broadcast<T>(high[r + 1]), next_rest = broadcast<T>(low[r + 1]);
    if (i < end) {
      const unsigned mine = first_bits(end - i);
      t = where(mine, t, next);
      rest = where(mine, rest, next_rest);
      store<T>(to + i, map(load<T>(from + i)));
      i += kLane;
    }
    t = next;
    rest = next_rest;
  }
}

}  // namespace
}  // namespace kexue::KEXUE_ISA
#endif
