// Short rows of the exponential family (kexue/simplex/kernels.hpp).
#pragma once

#include "kexue/simplex/kernels.hpp"
#include "simplex_exponential.hpp"
#include "simplex_lanes.hpp"

namespace kexue::KEXUE_ISA {
namespace {

// The units of every lane's row, from its maximum.
template <class T>
KEXUE_INLINE Lowered<T> lowered_below(Vec<T> max, T scale, T scale_low) {
  Lowered<T> f;
  f.scale = broadcast<T>(scale);
  f.scale_low = broadcast<T>(scale_low);
  const Mask<T> near = less<T>(absolute<T>(max) * f.scale, broadcast<T>((T)kReach));
  f.shift = select<T>(near, zero<T>(), max);
  const Vec<T> top = (max - f.shift) * f.scale;
  const Vec<T> rounder = broadcast<T>(Format<T>::kRounder);
  f.power = multiply_add(top, broadcast<T>((T)ExpConstants<T>::kInverseLn2), rounder) - rounder -
            broadcast<T>((T)simplex::kLift<T>);
  constexpr T kLeast = sizeof(T) == 8 ? (T)-0x1.fffffffffffffp1023 : (T)-0x1.fffffep127;
  f.lowest = maximum(broadcast<T>(kLeast), (max - f.shift) - broadcast<T>(kDepth<T>) / f.scale);
  return f;
}

// Log-sum-exps of `rows` lanes.
template <class T>
KEXUE_INLINE void write_levels(Vec<T> sum, const Lowered<T>& f, double scale, ptrdiff_t rows,
                               double* lse) {
  T high[kLanes<T>], base[kLanes<T>], power[kLanes<T>];
  store<T>(high, sum);
  store<T>(base, f.shift);
  store<T>(power, f.power);
  constexpr int kHalf = kLanes<double>;
  for (int part = 0; part < kLanes<T> && part < rows; part += kHalf) {
    constexpr double kLift = simplex::kLift<T>, kUnit = sizeof(T) == 8 ? 0x1p-512 : 0x1p-60;
    const F64 top = load_wide(power + part) + broadcast<double>(kLift);
    const F64 level = multiply_add(top, broadcast<double>(0x1.62e42fefa39efp-1),
                                   load_wide(base + part) * broadcast<double>(scale));
    const F64 value = level + log(load_wide(high + part) * broadcast<double>(kUnit));
    store_part<double>(lse + part, value, rows - part < kHalf ? rows - part : kHalf);
  }
}

// Bits of the first `rows` lanes that are not in the mask.
template <class T>
KEXUE_INLINE unsigned others(Mask<T> mask, ptrdiff_t rows) {
  const Vec<T> out = select<T>(mask, zero<T>(), broadcast<T>(1));
  return above(out, zero<T>()) & ((1u << rows) - 1u);
}

// One row per lane, by transposition: where a partial vector costs a loop over its lanes.
template <bool kUnit, class T>
ptrdiff_t rows_in_lanes(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, T scale, T scale_low,
                        double* lse) {
  ptrdiff_t left = 0;
  for_short_rows<T>(x, out, n_rows, n, [&](Vec<T>* columns, ptrdiff_t first, ptrdiff_t rows) {
    const ShortRows<T> look = look_at<T>(columns, n);
    const Lowered<T> f = lowered_below<T>(look.max, scale, scale_low);
    // Fours are added with their rounding errors: a plain sum of 128 would cost several ulp.
    Vec<T> sum = zero<T>(), low = zero<T>();
    Vec<T> e[simplex::kShortRow + 4];
    for (ptrdiff_t c = 0; c < n; c += 4) {
      KEXUE_UNROLL
      for (int j = 0; j < 4; ++j) {
        e[c + j] = c + j < n ? exponential<kUnit, T>(columns[c + j], f) : zero<T>();
      }
      const Vec<T> part = (e[c] + e[c + 1]) + (e[c + 2] + e[c + 3]);
      const Vec<T> next = sum + part, back = next - sum;
      low += (sum - (next - back)) + (part - back);
      sum = next;
    }
    sum += low;
    const Vec<T> inverse = broadcast<T>(1) / sum;
    for (ptrdiff_t j = 0; j < n; ++j) {
      columns[j] = select<T>(look.ordinary, e[j] * inverse, columns[j]);
    }
    left += count_bits(others<T>(look.ordinary, rows));
    if (lse == nullptr) return;
    write_levels<T>(select<T>(look.ordinary, sum, look.nan), f, (double)scale + (double)scale_low,
                    rows, lse + first);
  });
  return left;
}

#if KEXUE_X86_BYTES == 64
// Units in which rows need not be looked at first, and the sums from which these are known to have
// served: nothing that counts fell below the normal numbers, nothing overflowed. Sums of the row's
// own units differ by a power of two, and with it nothing of the results.
template <class T>
KEXUE_INLINE Lowered<T> common_units(T scale, T scale_low) {
  constexpr bool kDouble = sizeof(T) == 8;
  return {zero<T>(), broadcast<T>(scale), broadcast<T>(scale_low),
          broadcast<T>(kDouble ? (T)-1060 : (T)-128) / broadcast<T>(scale),
          broadcast<T>((T)-simplex::kLift<T>)};
}
template <class T>
KEXUE_INLINE Vec<T> common_top(T scale) {
  return broadcast<T>(sizeof(T) == 8 ? (T)800 : (T)200) / broadcast<T>(scale);
}
template <class T>
constexpr T kLeastSum = sizeof(T) == 8 ? (T)0x1p100 : (T)0x1p28;
template <class T>
constexpr T kMostSum = sizeof(T) == 8 ? (T)0x1p1000 : (T)0x1p120;

// Exponentials of a row of `count` vectors, the last one of `rest` entries; returns their sum.
template <bool kUnit, bool kCommon, class T>
KEXUE_INLINE Vec<T> exponentials_of_row(const T* from, ptrdiff_t count, ptrdiff_t rest,
                                        const Lowered<T>& f, Vec<T> top, Vec<T>* kept) {
  constexpr int kLane = kLanes<T>;
  const auto one = [&](Vec<T> v) {
    if constexpr (kCommon) v = smaller(top, v);  // NaN stays
    return exponential<kUnit, T, !kCommon>(v, f);
  };
  const ptrdiff_t whole = count - 1;
  // Four chains: equal terms stay exact powers of two times as long as possible.
  Vec<T> sum[4] = {zero<T>(), zero<T>(), zero<T>(), zero<T>()};
  ptrdiff_t j = 0;
  for (; j + 4 <= whole; j += 4) {
    KEXUE_UNROLL
    for (int c = 0; c < 4; ++c) {
      kept[j + c] = one(load<T>(from + (j + c) * kLane));
      sum[c] += kept[j + c];
    }
  }
  KEXUE_UNROLL
  for (int c = 0; c < 3; ++c) {
    if (j + c >= whole) break;
    kept[j + c] = one(load<T>(from + (j + c) * kLane));
    sum[c] += kept[j + c];
  }
  kept[whole] = one(load_part<T>(from + whole * kLane, rest, -kInfinity<T>));
  sum[3] += kept[whole];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// Rows as they lie in memory, kLanes<T> at a time: what belongs to a row is folded to one lane.
// kPerRow vectors make a row; 0: as many as it takes.
template <int kPerRow, bool kUnit, class T>
ptrdiff_t rows_in_vectors(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, T scale, T scale_low,
                          double* lse) {
  constexpr int kLane = kLanes<T>;
  const ptrdiff_t count = kPerRow > 0 ? kPerRow : (n + kLane - 1) / kLane;
  const ptrdiff_t tail = (count - 1) * kLane, rest = n - tail;
  const Vec<T> lowest = broadcast<T>(-kInfinity<T>);
  const Lowered<T> common = common_units<T>(scale, scale_low);
  const Vec<T> top = common_top<T>(scale);
  const auto plus = [](Vec<T> a, Vec<T> b) { return a + b; };
  Vec<T> e[simplex::kShortRow], each[kLane];
  T inverse[kLane];
  ptrdiff_t left = 0;
  for (ptrdiff_t first = 0; first < n_rows; first += kLane) {
    const ptrdiff_t rows = n_rows - first < kLane ? n_rows - first : kLane;
    const auto row = [&](ptrdiff_t r) { return x + (first + (r < rows ? r : rows - 1)) * n; };
    for (int r = 0; r < kLane; ++r) {
      each[r] =
          exponentials_of_row<kUnit, true, T>(row(r), count, rest, common, top, e + r * count);
    }
    Vec<T> sum = fold<T>(each, plus);
    Lowered<T> units = common;
    unsigned special = 0;
    constexpr unsigned kAll = (1u << kLane) - 1u;
    if ((above(sum, broadcast<T>(kLeastSum<T>)) & above(broadcast<T>(kMostSum<T>), sum)) != kAll) {
      KEXUE_UNROLL
      for (int r = 0; r < kLane; ++r) {
        each[r] = maximum(lowest, load_part<T>(row(r) + tail, rest, -kInfinity<T>));
        for (ptrdiff_t j = 0; j < tail; j += kLane) each[r] = maximum(each[r], load<T>(row(r) + j));
      }
      const Vec<T> max = fold<T>(each, [](Vec<T> a, Vec<T> b) { return maximum(a, b); });
      const Mask<T> finite = less<T>(max, zero<T>() - lowest) & less<T>(lowest, max);
      units = lowered_below<T>(select<T>(finite, max, zero<T>()), scale, scale_low);
      T shift[kLane], lowest_of[kLane], power[kLane];
      store<T>(shift, units.shift);
      store<T>(lowest_of, units.lowest);
      store<T>(power, units.power);
      Lowered<T> f = units;
      for (int r = 0; r < kLane; ++r) {
        f.shift = broadcast<T>(shift[r]);
        f.lowest = broadcast<T>(lowest_of[r]);
        f.power = broadcast<T>(power[r]);
        each[r] = exponentials_of_row<kUnit, false, T>(row(r), count, rest, f, top, e + r * count);
      }
      sum = fold<T>(each, plus);
      // A NaN of the row is one of its sum.
      const Mask<T> ordinary = finite & (differs<T>(sum) ^ broadcast<Bits<T>>(-1));
      special = others<T>(ordinary, rows);
      sum = select<T>(ordinary, sum, real(broadcast<Bits<T>>(Format<T>::kNaN)));
    }
    store<T>(inverse, broadcast<T>(1) / sum);
    for (ptrdiff_t r = 0; r < rows; ++r) {
      T* to = out + (first + r) * n;
      if (special >> r & 1u) {
        if (out != x) copy<T>(x + (first + r) * n, to, n);
        continue;
      }
      const Vec<T> by = broadcast<T>(inverse[r]);
      const Vec<T>* kept = e + r * count;
      for (ptrdiff_t j = 0; j < count - 1; ++j) store<T>(to + j * kLane, kept[j] * by);
      store_part<T>(to + tail, kept[count - 1] * by, rest);
    }
    left += count_bits(special);
    if (lse == nullptr) continue;
    write_levels<T>(sum, units, (double)scale + (double)scale_low, rows, lse + first);
  }
  return left;
}
#endif

template <bool kUnit, class T>
ptrdiff_t short_rows_of(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, T scale, T scale_low,
                        double* lse) {
#if KEXUE_X86_BYTES < 64
  return rows_in_lanes<kUnit>(x, out, n_rows, n, scale, scale_low, lse);
#else
  if (n <= kLanes<T>) {
    return rows_in_vectors<1, kUnit>(x, out, n_rows, n, scale, scale_low, lse);
  }
  return rows_in_vectors<0, kUnit>(x, out, n_rows, n, scale, scale_low, lse);
#endif
}
template <class T>
ptrdiff_t short_rows(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, T scale, T scale_low,
                     double* lse) {
  if (scale == 1 && scale_low == 0) {
    return short_rows_of<true>(x, out, n_rows, n, scale, scale_low, lse);
  }
  return short_rows_of<false>(x, out, n_rows, n, scale, scale_low, lse);
}

}  // namespace
}  // namespace kexue::KEXUE_ISA
