// Short rows of the linear family (kexue/simplex/kernels.hpp).
#pragma once

#include "kexue/simplex/kernels.hpp"
#include "simplex_lanes.hpp"
#include "simplex_short_rows.hpp"

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
// and only the entries that can be positive are moved into columns and solved one row per lane;
// rows are written as they lie. Of normal rows of 100 some 7 entries are candidates of sparsemax.

#if KEXUE_X86_BYTES == 64
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
  for (int r = 0; r < kLane; ++r) {
    // NaN is not seen here but among the candidates.
    Vec<T> max = lowest, other = lowest;
    const T* row = x + (r < rows ? r : rows - 1) * n;
    const ptrdiff_t lead = lead_of(row);
    ptrdiff_t number;
    const Vec<T> last = for_row_vectors<T>(row - lead, lead, n, number, [&](Vec<T> v, int c) {
      Vec<T>& chain = c % 2 == 0 ? max : other;
      chain = maximum(chain, v);
    });
    each[r] = maximum(maximum(max, other), last);
  }
  transpose<T>(each);
  Vec<T> max = each[0];
  KEXUE_UNROLL
  for (int j = 1; j < kLane; ++j) max = maximum(max, each[j]);
  Group<T> group = group_of<T>(max, 0, rows, width);
  const Vec<T> reach = broadcast<T>((T)width);
  const Vec<T> slack = (max - reach) - group.cut;
  for (int step = 0; step < 2; ++step) {
    Vec<T> count;
    group.cut = michelot_step<T>(each, kLane, max, reach, group.cut, count) - slack;
  }
  return group;
}
// Those not at or below the limit: NaN is among them.
KEXUE_INLINE unsigned not_below(F64 x, F64 t) { return _mm512_cmp_pd_mask(x, t, _CMP_NLE_UQ); }
KEXUE_INLINE unsigned not_below(F32 x, F32 t) { return _mm512_cmp_ps_mask(x, t, _CMP_NLE_UQ); }

// Of n entries from `from + lead` on: the bits of those that are candidates, from `from` on.
constexpr int kWords = kShortRow / 64 + 1;
template <class T>
KEXUE_INLINE int candidate_bits(const T* from, ptrdiff_t lead, ptrdiff_t n, T limit,
                                std::uint64_t* words) {
  constexpr int kLane = kLanes<T>;
  const Vec<T> cut = broadcast<T>(limit);
  std::uint64_t bits[kWords] = {};
  ptrdiff_t number;
  const Vec<T> last = for_row_vectors<T>(from, lead, n, number, [&](Vec<T> v, int c) {
    bits[c * kLane / 64] |= (std::uint64_t)not_below(v, cut) << (c * kLane % 64);
  });
  const ptrdiff_t place = number * kLane;
  const std::uint64_t rest = (std::uint64_t)not_below(last, cut) << (place % 64);
  int count = 0;
  for (int w = 0; w < kWords; ++w) {
    words[w] = bits[w] | (place / 64 == w ? rest : 0);
    count += __builtin_popcountll(words[w]);
  }
  return count;
}

// The entries that the words name, of `end` ones from `from` on, one below the other in a lane of
// columns, and kAtOnce times -inf below them. So many of each word are moved whatever their number,
// what is too much is overwritten: branches on whether there is one more are mispredicted about
// twice a row (AVX-512, float32, normal rows of 100: a sixth of the whole time).
constexpr int kAtOnce = 4;
template <class T>
KEXUE_INLINE void move_candidates(const T* from, ptrdiff_t end, const std::uint64_t* words, T* to) {
  constexpr int kLane = kLanes<T>;
  for (int w = 0; w < kWords && w * 64 < end; ++w, from += 64) {
    const ptrdiff_t last = end - w * 64 < 64 ? end - w * 64 - 1 : 63;
    const std::uint64_t some = (std::uint64_t)1 << last;
    std::uint64_t bits = words[w];
    T* at = to;
    KEXUE_UNROLL
    for (int i = 0; i < kAtOnce; ++i, bits &= bits - 1, at += kLane) {
      *at = from[__builtin_ctzll(bits | some)];
    }
    for (; bits != 0; bits &= bits - 1, at += kLane) *at = from[__builtin_ctzll(bits)];
    to += __builtin_popcountll(words[w]) * kLane;
  }
  for (int i = 0; i < kAtOnce; ++i) to[i * kLane] = -kInfinity<T>;
}

// The candidates of the rows of a group as columns, one row per lane; returns their number. They
// are moved one by one, as most of the time a row has fewer of them than vectors. Each row asks for
// the one of the next group, of `ahead` rows: asked for all together, before anything is computed,
// they take a fifth of the whole time more.
template <class T>
KEXUE_INLINE ptrdiff_t candidate_columns(const T* x, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t ahead,
                                         Group<T>& group, Vec<T>* columns) {
  constexpr int kLane = kLanes<T>, kStep = 2 * kAtOnce;
  T cut[kLane];
  store<T>(cut, group.cut);
  int most = 0, filled = 0;
  for (int r = 0; r < kLane; ++r) {
    const T* row = x + r * n;
    if (r < ahead) prefetch(row + kLane * n, n);
    if (r >= rows || (group.special >> r & 1u) != 0) continue;
    const ptrdiff_t lead = lead_of(row);
    std::uint64_t words[kWords];
    const int count = candidate_bits(row - lead, lead, n, cut[r], words);
    most = count > most ? count : most;
    for (; filled < count + kAtOnce; filled += kStep) {
      for (int j = 0; j < kStep; ++j) columns[filled + j] = broadcast<T>(-kInfinity<T>);
    }
    move_candidates(row - lead, lead + n, words, (T*)columns + r);
  }
  const ptrdiff_t count = (most + kChains - 1) / kChains * kChains;
  unsigned nan = 0;
  for (ptrdiff_t j = 0; j < count; j += 2) nan |= unordered(columns[j], columns[j + 1]);
  group.special |= nan & first_bits(rows);
  return count;
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

template <class T>
void linear_by_candidates(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, double radius,
                          double scale, double* tau) {
  constexpr int kLane = kLanes<T>;
  for (ptrdiff_t first = 0; first < n_rows; first += kLane, x += kLane * n, out += kLane * n) {
    const ptrdiff_t rows = n_rows - first < kLane ? n_rows - first : kLane;
    Vec<T> columns[kShortRow + kLane];
    Group<T> group = look_at_group(x, rows, n, radius);
    const ptrdiff_t count = candidate_columns(x, rows, n, n_rows - first - rows, group, columns);
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
    if (group.special == 0) {
      write_run<T>(x, out, rows, n, high, low, scale);
      copy<double>(root, tau + first, rows);
    } else {
      write_group<T>(x, out, rows, n, group, root, high, low, scale, tau + first);
    }
  }
}
#endif

}  // namespace
}  // namespace kexue::KEXUE_ISA
