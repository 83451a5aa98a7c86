// Short rows of the linear family (kexue/simplex/kernels.hpp).
#pragma once

#include "kexue/simplex/kernels.hpp"
#include "simplex_lanes.hpp"

namespace kexue::KEXUE_ISA {
namespace {

KEXUE_INLINE F64 minimum(F64 a, F64 b) { return select<double>(less<double>(b, a), b, a); }

// f(entry, chain) for n entries; two chains hide the latency of the additions.
template <class F>
KEXUE_INLINE void in_two_chains(const F64* x, ptrdiff_t n, F f) {
  ptrdiff_t j = 0;
  for (; j + 1 < n; j += 2) {
    f(x[j], 0);
    f(x[j + 1], 1);
  }
  if (j < n) f(x[j], 0);
}

// The root as tau + tau_low for the support {x > tau}, and again while that changes the support:
// where an entry lies within a rounding of tau, only this tells whether it belongs. Supports are
// nested, so that those of one size are the same. A second pass is rare, a third one rarer still.
KEXUE_INLINE void refine(const F64* x, ptrdiff_t n, F64 radius, F64& tau, F64& tau_low) {
  constexpr int kPasses = 8;
  const F64 none = broadcast<double>(0), one = broadcast<double>(1);
  F64 floor = tau;
  for (int pass = 0; pass < kPasses; ++pass) {
    F64 sum[2] = {none - radius, none}, rest[2] = {none, none}, size[2] = {none, none};
    in_two_chains(x, n, [&](F64 entry, int c) {
      const Mask<double> in = less<double>(floor, entry);
      const F64 v = select<double>(in, entry, none);
      const F64 next = sum[c] + v, back = next - sum[c];
      rest[c] += (sum[c] - (next - back)) + (v - back);
      sum[c] = next;
      size[c] += select<double>(in, one, none);
    });
    const F64 whole = sum[0] + sum[1], back = whole - sum[0], count = size[0] + size[1];
    const F64 tail = ((sum[0] - (whole - back)) + (sum[1] - back)) + (rest[0] + rest[1]);
    const F64 near = (whole + tail) / count, upper = upper_half(near);
    const F64 lost = (((whole - count * upper) - count * (near - upper)) + tail) / count;
    tau = near + lost;
    tau_low = lost - (tau - near);
    // v exceeds tau + tau_low just where it exceeds tau, or the number before it.
    const F64 before = (tau - absolute<double>(tau) * broadcast<double>(0x1.0000000000001p-53)) -
                       broadcast<double>(0x1p-1074);
    floor = select<double>(less<double>(tau_low, none), before, tau);
    F64 now[2] = {none, none};
    in_two_chains(
        x, n, [&](F64 v, int c) { now[c] += select<double>(less<double>(floor, v), one, none); });
    const F64 after = now[0] + now[1];
    if (!any<double>(less<double>(after, count) | less<double>(count, after))) return;
  }
}

// Michelot's iteration from a tau that is not above the root: tau <- the root if the support were
// {x > tau}; from the left, until the support stays. A tau that rounding has carried past an entry
// may come and go for ever.
template <bool kSingle>
void solve_linear(const F64* x, ptrdiff_t n, F64 max, F64 radius, F64& tau, F64& tau_low) {
  const F64 none = broadcast<double>(0), one = broadcast<double>(1);
  // Below the maximum however large it is: the support is never empty.
  const F64 below = max - multiply_add(absolute<double>(max), broadcast<double>(0x1p-52),
                                       broadcast<double>(0x1p-1074));
  F64 count = none;
  tau = minimum(tau, below);
  for (ptrdiff_t iteration = 0; iteration <= n + 1; ++iteration) {
    F64 sum = none, inside = none, sum2 = none, inside2 = none;
    ptrdiff_t j = 0;
    for (; j + 1 < n; j += 2) {  // two chains hide the latency of the additions
      const Mask<double> in = less<double>(tau, x[j]), in2 = less<double>(tau, x[j + 1]);
      sum += select<double>(in, x[j], none);
      sum2 += select<double>(in2, x[j + 1], none);
      inside += select<double>(in, one, none);
      inside2 += select<double>(in2, one, none);
    }
    if (j < n) {
      const Mask<double> in = less<double>(tau, x[j]);
      sum += select<double>(in, x[j], none);
      inside += select<double>(in, one, none);
    }
    sum += sum2;
    inside += inside2;
    if (!any<double>(less<double>(inside, count) | less<double>(count, inside))) break;
    count = inside;
    tau = minimum((sum - radius) / count, below);
  }
  tau_low = none;
  if constexpr (!kSingle) refine(x, n, radius, tau, tau_low);  // else a double is precise enough
}

// Where a lane is a row only from its candidates on: see candidate_rows.
template <class T>
void linear_in_lanes(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, double radius, double scale,
                     double* tau) {
  for_short_rows<double>(x, out, n_rows, n, [&](F64* columns, ptrdiff_t first, ptrdiff_t rows) {
    const ShortRows<double> look = look_near(columns, n, radius);
    F64 root, low;
    root = look.max - broadcast<double>(radius);
    solve_linear<sizeof(T) == 4>(columns, n, look.max, broadcast<double>(radius), root, low);
    const F64 none = broadcast<double>(0), factor = broadcast<double>(scale);
    for (ptrdiff_t j = 0; j < n; ++j) {
      const F64 p = factor * maximum(none, (columns[j] - root) - low);
      columns[j] = select<double>(look.ordinary, p, columns[j]);
    }
    store_part<double>(tau + first, select<double>(look.ordinary, root, look.nan), rows);
  });
}

// ---- Short rows by their candidates -------------------------------------------------------------
//
// kLanes<T> rows at a time, read as they lie in memory: their maxima are folded into one vector,
// the entries that can be positive are compressed, a register at a time, to the front of a block,
// and only these blocks are transposed and solved one row per lane; rows are written as they lie.
// Of normal rows of 100 some 7 entries are candidates of sparsemax.

#if KEXUE_X86_BYTES == 64
KEXUE_INLINE F64 add_where(unsigned bits, F64 a, F64 b) {
  return _mm512_mask_add_pd(a, (__mmask8)bits, a, b);
}
KEXUE_INLINE F32 add_where(unsigned bits, F32 a, F32 b) {
  return _mm512_mask_add_ps(a, (__mmask16)bits, a, b);
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

// The mean excess over `radius` of those above `tau`, at most max; whatever tau is, the result is
// not above the root. `count` <- how many they are.
template <class T>
KEXUE_INLINE Vec<T> michelot_step(const Vec<T>* x, ptrdiff_t n, Vec<T> max, Vec<T> radius,
                                  Vec<T> tau, Vec<T>& count) {
  const Vec<T> none = broadcast<T>(0), one = broadcast<T>(1);
  Vec<T> sum[kChains] = {none, none, none, none}, inside[kChains] = {none, none, none, none};
  for (ptrdiff_t j = 0; j < n; j += kChains) {
    KEXUE_UNROLL
    for (int c = 0; c < kChains; ++c) {
      const auto in = above(x[j + c], tau);
      // Differences: far from zero a sum would lose what tells tau.
      sum[c] = add_where(in, sum[c], x[j + c] - max);
      inside[c] = add_where(in, inside[c], one);
    }
  }
  count = (inside[0] + inside[1]) + (inside[2] + inside[3]);
  return max + (((sum[0] + sum[1]) + (sum[2] + sum[3])) - radius) / count;
}

// Two steps of Michelot's iteration on the maxima of the lanes of each row leave of normal rows of
// 100 hardly more than the support: 4 candidates instead of 8.
template <class T>
KEXUE_INLINE Group<T> look_at_group(const T* x, ptrdiff_t rows, ptrdiff_t n, double width) {
  constexpr int kLane = kLanes<T>;
  const Vec<T> lowest = broadcast<T>(-kInfinity<T>);
  Vec<T> each[kLane];
  unsigned special = 0;
  for (int r = 0; r < kLane; ++r) {
    const T* row = x + (r < rows ? r : rows - 1) * n;
    Vec<T> max = lowest, other = lowest;
    unsigned nan = 0;
    ptrdiff_t i = 0;
    for (; i + 2 * kLane <= n; i += 2 * kLane) {
      const Vec<T> a = load<T>(row + i), b = load<T>(row + i + kLane);
      nan |= unordered(a, b);
      max = maximum(max, a);
      other = maximum(other, b);
    }
    for (; i < n; i += kLane) {
      const Vec<T> a = row_part(row, i, n);
      nan |= unordered(a, a);
      max = maximum(max, a);
    }
    each[r] = maximum(max, other);
    special |= (nan != 0 ? 1u : 0u) << r;
  }
  transpose<T>(each);
  Vec<T> max = each[0];
  KEXUE_UNROLL
  for (int j = 1; j < kLane; ++j) max = maximum(max, each[j]);
  Group<T> group = group_of<T>(max, special, rows, width);
  const Vec<T> reach = broadcast<T>((T)width);
  const Vec<T> slack = (max - reach) - group.cut;
  for (int step = 0; step < 2; ++step) {
    Vec<T> count;
    group.cut = michelot_step<T>(each, kLane, max, reach, group.cut, count) - slack;
  }
  return group;
}
// The entries above the row's cut, then a vector of `rest`; returns how many.
template <class T>
KEXUE_INLINE ptrdiff_t compress_row(const T* row, ptrdiff_t n, T limit, T rest, T* kept) {
  constexpr int kLane = kLanes<T>;
  const Vec<T> cut = broadcast<T>(limit);
  ptrdiff_t count = 0, i = 0;
  for (; i + kLane <= n; i += kLane) {
    const Vec<T> v = load<T>(row + i);
    count += append<T>(kept + count, v, above(v, cut));
  }
  if (i < n) {
    const Vec<T> v = row_part(row, i, n);
    count += append<T>(kept + count, v, above(v, cut));
  }
  store<T>(kept + count, broadcast<T>(rest));
  return count;
}

// The candidates of the rows of a group as columns, one row per lane; returns their number.
template <class T>
KEXUE_INLINE ptrdiff_t candidate_columns(const T* x, ptrdiff_t rows, ptrdiff_t n,
                                         const Group<T>& group, Vec<T>* columns) {
  constexpr int kLane = kLanes<T>, kStride = kShortRow + kLane;
  const Vec<T> lowest = broadcast<T>(-kInfinity<T>);
  alignas(64) T kept[kLane * kStride];
  T cut[kLane];
  store<T>(cut, group.cut);
  ptrdiff_t counts[kLane], most = 0;
  for (int r = 0; r < kLane; ++r) {
    const bool missing = r >= rows || (group.special >> r & 1u) != 0;
    counts[r] = missing ? 0 : compress_row(x + r * n, n, cut[r], -kInfinity<T>, kept + r * kStride);
    most = counts[r] > most ? counts[r] : most;
  }
  for (ptrdiff_t c = 0; c < most; c += kLane) {
    KEXUE_UNROLL
    for (int r = 0; r < kLane; ++r) {
      columns[c + r] = c < counts[r] ? load<T>(kept + r * kStride + c) : lowest;
    }
    transpose<T>(columns + c);
  }
  return (most + kChains - 1) / kChains * kChains;
}

// Michelot's iteration in the precision of the rows, from a tau that is not above the root. A tau
// beyond the root comes back by itself, because none of its supports has a larger one; where it
// comes and goes for ever, it is still the one that `count` entries exceed.
template <class T>
KEXUE_INLINE Vec<T> rough_tau(const Vec<T>* x, ptrdiff_t n, const Group<T>& group, T radius,
                              Vec<T>& count) {
  constexpr T kUnit = sizeof(T) == 8 ? (T)0x1p-52 : (T)0x1p-23;
  constexpr int kMost = 40;
  const Vec<T> max = group.max, r = broadcast<T>(radius);
  const Vec<T> below = max - multiply_add(absolute<T>(max), broadcast<T>(kUnit), broadcast<T>(0));
  Vec<T> tau = select<T>(less<T>(group.cut, below), group.cut, below), next;
  next = michelot_step<T>(x, n, max, r, tau, count);
  for (int iteration = 0; iteration < kMost; ++iteration) {
    const Vec<T> before = count;
    tau = select<T>(less<T>(next, below), next, below);
    next = michelot_step<T>(x, n, max, r, tau, count);
    if ((above(before, count) | above(count, before)) == 0) break;
  }
  return tau;
}

// Of rows of float, in double. Whether the support is that of the result is seen in single
// precision: x > tau and x > (tau rounded down) agree.
KEXUE_INLINE void solve_columns(const F32* x, ptrdiff_t n, const Group<float>& group, double radius,
                                double* tau) {
  F32 count;
  const F32 rough = rough_tau<float>(x, n, group, (float)radius, count);
  const F64 none = broadcast<double>(0), radii = broadcast<double>(radius);
  F64 sum[2][2] = {{none, none}, {none, none}}, counts[2], root[2];
  for (ptrdiff_t j = 0; j < n; j += 2) {
    KEXUE_UNROLL
    for (int c = 0; c < 2; ++c) {
      const unsigned in = above(x[j + c], rough);
      F64 wide[2];
      widen(x[j + c], wide);
      sum[c][0] = add_where(in & 0xff, sum[c][0], wide[0]);
      sum[c][1] = add_where(in >> 8, sum[c][1], wide[1]);
    }
  }
  widen(count, counts);
  KEXUE_UNROLL
  for (int half = 0; half < 2; ++half) {
    root[half] = (sum[0][half] + sum[1][half] - radii) / counts[half];
    store<double>(tau + half * kLanes<double>, root[half]);
  }
  const F32 floor = narrow_down(root[0], root[1]), one = broadcast<float>(1);
  F32 inside[kChains] = {};
  for (ptrdiff_t j = 0; j < n; j += kChains) {
    KEXUE_UNROLL
    for (int c = 0; c < kChains; ++c) {
      inside[c] = add_where(above(x[j + c], floor), inside[c], one);
    }
  }
  const F32 there = (inside[0] + inside[1]) + (inside[2] + inside[3]);
  if ((above(there, count) | above(count, there)) == 0) return;
  F64 column[kShortRow + kLanes<float>], top[2];
  widen(group.max, top);
  for (int half = 0; half < 2; ++half) {
    for (ptrdiff_t j = 0; j < n; ++j) {
      F64 wide[2];
      widen(x[j], wide);
      column[j] = wide[half];
    }
    F64 low;
    root[half] = top[half] - radii;
    solve_linear<true>(column, n, top[half], radii, root[half], low);
    store<double>(tau + half * kLanes<double>, root[half]);
  }
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

template <class T>
void linear_by_candidates(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, double radius,
                          double scale, double* tau) {
  constexpr int kLane = kLanes<T>;
  for (ptrdiff_t first = 0; first < n_rows; first += kLane, x += kLane * n, out += kLane * n) {
    const ptrdiff_t rows = n_rows - first < kLane ? n_rows - first : kLane;
    if (n_rows - first >= 2 * kLane) prefetch(x + kLane * n, kLane * n);
    Vec<T> columns[kShortRow + kLane];
    const Group<T> group = look_at_group(x, rows, n, radius);
    const ptrdiff_t count = candidate_columns(x, rows, n, group, columns);
    double root[kLane];
    T high[kLane], low[kLane];
    if constexpr (sizeof(T) == 8) {
      F64 size, rest, t = rough_tau<double>(columns, count, group, radius, size);
      refine(columns, count, broadcast<double>(radius), t, rest);
      store<double>(root, t);
      store<T>(high, t);
      store<T>(low, rest);
    } else {
      solve_columns(columns, count, group, radius, root);
      for (int r = 0; r < kLane; ++r) {
        high[r] = (T)root[r];
        low[r] = (T)(root[r] - (double)high[r]);
      }
    }
    write_group<T>(x, out, rows, n, group, root, high, low, scale, tau + first);
  }
}
#endif

}  // namespace
}  // namespace kexue::KEXUE_ISA
