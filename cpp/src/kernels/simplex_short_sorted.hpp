// Rows of at most kSortedRow entries (kexue/simplex/kernels.hpp), one per lane, sorted by a
// network.
//
// Of a row in falling order the first k entries are the support up to the first k at which
//
//   linear   sum_{j<k} (x_j - x_k) >= radius
//   square   sum_{j<k} (w_j - w_k)^2 >= 1,   w = slope (x - max)
//
// so that one sweep finds it without a division, and the root follows in closed form. The sums are
// double, and exact for the small integers and fractions at which an entry is at the edge. Against
// Michelot's and Newton's iterations a third of the time of rows of 10 is left (AVX-512, float32).
#pragma once

#include "kexue/simplex/kernels.hpp"
#include "simplex_short_linear.hpp"

namespace kexue::KEXUE_ISA {
namespace {

constexpr ptrdiff_t kSortedRow = 16;

#if KEXUE_X86_BYTES == 64

// Batcher's odd-even merge sort, without the exchanges that the missing entries beyond n would take
// part in: they are the smallest.
template <int n>
struct Network {
  int size = 0, first[64] = {}, second[64] = {};

  constexpr Network() {
    for (int sorted = 1; sorted < n; sorted *= 2) {
      for (int step = sorted; step >= 1; step /= 2) {
        for (int from = step % sorted; from + step < n; from += 2 * step) {
          for (int i = from; i < from + step && i + step < n; ++i) {
            if (i / (2 * sorted) != (i + step) / (2 * sorted)) continue;
            first[size] = i;
            second[size++] = i + step;
          }
        }
      }
    }
  }
};

// Falling in every lane.
template <class T, int n, int kFrom = 0>
KEXUE_INLINE void sort_columns(Vec<T>* x) {
  constexpr Network<n> kNetwork;
  if constexpr (kFrom < kNetwork.size) {
    Vec<T>&a = x[kNetwork.first[kFrom]], &b = x[kNetwork.second[kFrom]];
    const Vec<T> large = maximum(a, b);
    b = smaller(a, b);
    a = large;
    sort_columns<T, n, kFrom + 1>(x);
  }
}

// The rows of a group as n columns, n even; beyond a row's end there is -inf.
template <class T, int n>
struct Columns {
  static constexpr int kLane = kLanes<T>, kBlocks = (n + kLane - 1) / kLane;
  Vec<T> column[kBlocks * kLane];

  KEXUE_INLINE void read(const T* x, ptrdiff_t rows, ptrdiff_t size) {
    KEXUE_UNROLL
    for (int c = 0; c < kBlocks; ++c) {
      KEXUE_UNROLL
      for (int r = 0; r < kLane; ++r) {
        column[c * kLane + r] = row_part(x + (r < rows ? r : rows - 1) * size, c * kLane, size);
      }
      transpose<T>(column + c * kLane);
    }
  }
  // Sorts a copy.
  KEXUE_INLINE Group<T> sort(Vec<T>* sorted, ptrdiff_t rows, double width) const {
    unsigned special = 0;
    KEXUE_UNROLL
    for (int j = 0; j < n; j += 2) special |= unordered(column[j], column[j + 1]);
    KEXUE_UNROLL
    for (int j = 0; j < n; ++j) sorted[j] = column[j];
    sort_columns<T, n>(sorted);
    return group_of<T>(sorted[0], special, rows, width);
  }
};

// tau as high + low.
template <int n>
KEXUE_INLINE void linear_root(const F64* x, double radius, F64& high, F64& low) {
  const F64 none = broadcast<double>(0), one = broadcast<double>(1);
  const F64 limit = broadcast<double>(radius);
  F64 drop = none, count = none, sum = none - limit, rest = none;
  for (int k = 0; k < n; ++k) {
    const F64 y = x[k] - x[0];
    const unsigned in = above(limit, multiply_add(none - count, y, drop));
    if (in == 0) break;
    drop = add_where(in, drop, y);
    count = add_where(in, count, one);
    const F64 next = add_where(in, sum, x[k]), back = next - sum;
    rest += (sum - (next - back)) + (add_where(in, none, x[k]) - back);
    sum = next;
  }
  high = (sum + rest) / count;
  const F64 upper = upper_half(high);
  low = (((sum - count * upper) - count * (high - upper)) + rest) / count;
}

// Sums over the support, in double, of float columns.
struct Half {
  F64 sum, square, count, least;
};
template <bool kSquare, int n>
KEXUE_INLINE void support_sums(const F32* x, const F64* top, double limit, double slope,
                               Half* half) {
  const F64 none = broadcast<double>(0), one = broadcast<double>(1);
  const F64 bound = broadcast<double>(limit), by = broadcast<double>(slope);
  half[0] = half[1] = {none, none, none, none};
  for (int k = 0; k < n; ++k) {
    F64 wide[2];
    widen(x[k], wide);
    unsigned any_in = 0;
    KEXUE_UNROLL
    for (int h = 0; h < 2; ++h) {
      Half& s = half[h];
      F64 w = wide[h] - top[h];
      if constexpr (kSquare) w = by * w;
      F64 reached;
      if constexpr (kSquare) {
        reached = multiply_add(w, multiply_add(s.count, w, none - (s.sum + s.sum)), s.square);
      } else {
        reached = multiply_add(none - s.count, w, s.sum);
      }
      const unsigned in = above(bound, reached);
      s.sum = add_where(in, s.sum, w);
      s.count = add_where(in, s.count, one);
      if constexpr (kSquare) {
        s.square = add_where(in, s.square, w * w);
        s.least = _mm512_mask_mov_pd(s.least, (__mmask8)in, w);
      }
      any_in |= in;
    }
    if (any_in == 0) break;
  }
}

template <class T, int kColumns>
void linear_sorted_of(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, double radius,
                      double scale, double* tau) {
  constexpr int kLane = kLanes<T>;
  for (ptrdiff_t first = 0; first < n_rows; first += kLane, x += kLane * n, out += kLane * n) {
    const ptrdiff_t rows = n_rows - first < kLane ? n_rows - first : kLane;
    if (n_rows - first >= 2 * kLane) prefetch(x + kLane * n, kLane * n);
    Columns<T, kColumns> columns;
    columns.read(x, rows, n);
    Vec<T> sorted[kColumns];
    const Group<T> group = columns.sort(sorted, rows, radius);
    double root[kLane];
    T high[kLane], low[kLane];
    if constexpr (sizeof(T) == 8) {
      F64 t, rest;
      linear_root<kColumns>(sorted, radius, t, rest);
      store<double>(root, t);
      store<T>(high, t);
      store<T>(low, rest);
    } else {
      F64 top[2], t[2], upper[2];
      Half half[2];
      widen(group.max, top);
      support_sums<false, kColumns>(sorted, top, radius, 1, half);
      KEXUE_UNROLL
      for (int h = 0; h < 2; ++h) {
        t[h] = top[h] + (half[h].sum - broadcast<double>(radius)) / half[h].count;
        store<double>(root + h * kLanes<double>, t[h]);
      }
      const F32 rounded = narrow(t[0], t[1]);
      widen(rounded, upper);
      store<T>(high, rounded);
      store<T>(low, narrow(t[0] - upper[0], t[1] - upper[1]));
    }
    write_group<T>(x, out, rows, n, group, root, high, low, scale, tau + first);
  }
}

// p = (w - t)^2 over the support, in double until it is rounded once. tau is the drop 1 + t.
template <int kColumns>
void square_sorted_of(const float* x, float* out, ptrdiff_t n_rows, ptrdiff_t n, double slope,
                      double* tau) {
  constexpr int kLane = kLanes<float>;
  const F64 one = broadcast<double>(1), by = broadcast<double>(slope);
  for (ptrdiff_t first = 0; first < n_rows; first += kLane, x += kLane * n, out += kLane * n) {
    const ptrdiff_t rows = n_rows - first < kLane ? n_rows - first : kLane;
    if (n_rows - first >= 2 * kLane) prefetch(x + kLane * n, kLane * n);
    Columns<float, kColumns> columns;
    columns.read(x, rows, n);
    F32 sorted[kColumns];
    const Group<float> group = columns.sort(sorted, rows, 1 / slope);
    F64 top[2], t[2];
    Half half[2];
    widen(group.max, top);
    support_sums<true, kColumns>(sorted, top, 1, slope, half);
    double drop[kLane];
    KEXUE_UNROLL
    for (int h = 0; h < 2; ++h) {
      const Half& s = half[h];
      const F64 inside = s.sum * s.sum - s.count * (s.square - one);
      t[h] = (s.sum - _mm512_maskz_sqrt_pd(0xff, inside)) / s.count;
      store<double>(drop + h * kLanes<double>, one + t[h]);
    }
    KEXUE_UNROLL
    for (int j = 0; j < kColumns; ++j) {
      F64 wide[2];
      widen(columns.column[j], wide);
      KEXUE_UNROLL
      for (int h = 0; h < 2; ++h) {
        const F64 w = by * (wide[h] - top[h]), u = w - t[h];
        const __mmask8 in = _mm512_cmp_pd_mask(w, half[h].least, _CMP_GE_OQ);
        wide[h] = _mm512_maskz_mul_pd(in, u, u);
      }
      columns.column[j] = narrow(wide[0], wide[1]);
    }
    transpose<float>(columns.column);
    for (ptrdiff_t r = 0; r < rows; ++r) {
      const bool special = (group.special >> r & 1u) != 0;
      tau[first + r] = special ? __builtin_nan("") : drop[r];
      if (!special) {
        store_part<float>(out + r * n, columns.column[r], n);
      } else if (out != x) {
        copy<float>(x + r * n, out + r * n, n);
      }
    }
  }
}

// In double one step of Newton's iteration takes the rounding errors from the root, and a factor
// those of the squares from their sum. Without branches: the latencies of the two sums that are
// carried along and of three quotients and roots are what a group of rows takes.
template <int kColumns>
void square_sorted_of(const double* x, double* out, ptrdiff_t n_rows, ptrdiff_t n, double slope,
                      double* tau) {
  constexpr int kLane = kLanes<double>;
  using Block = Columns<double, kColumns>;
  const F64 none = broadcast<double>(0), one = broadcast<double>(1), by = broadcast<double>(slope);
  for (ptrdiff_t first = 0; first < n_rows; first += kLane, x += kLane * n, out += kLane * n) {
    const ptrdiff_t rows = n_rows - first < kLane ? n_rows - first : kLane;
    if (n_rows - first >= 2 * kLane) prefetch(x + kLane * n, kLane * n);
    Block columns;
    columns.read(x, rows, n);
    F64 sorted[kColumns];
    const Group<double> group = columns.sort(sorted, rows, 1 / slope);
    // Sums before and after every entry; the last in the support keeps its own. What is -inf or NaN
    // once entries are -inf is not in.
    F64 count = none, sum = none, square = none, least = none;
    F64 before = none, squares = none, k = none;
    KEXUE_UNROLL
    for (int j = 0; j < kColumns; ++j) {
      const F64 w = sorted[j] = by * (sorted[j] - group.max);
      const F64 reached = multiply_add(w, multiply_add(k, w, none - (before + before)), squares);
      const auto in = (__mmask8)above(one, reached);
      before += w;
      squares = multiply_add(w, w, squares);
      k += one;
      sum = _mm512_mask_mov_pd(sum, in, before);
      square = _mm512_mask_mov_pd(square, in, squares);
      count = _mm512_mask_mov_pd(count, in, k);
      least = _mm512_mask_mov_pd(least, in, w);
    }
    const F64 inside = multiply_add(sum, sum, count * (one - square));
    F64 t = (sum - _mm512_maskz_sqrt_pd(0xff, inside)) / count;
    F64 total = none, slope_total = none;
    KEXUE_UNROLL
    for (int j = 0; j < kColumns; ++j) {
      const F64 u = maximum(none, sorted[j] - t);
      total = multiply_add(u, u, total);
      slope_total += u;
    }
    t += broadcast<double>(0.5) * (total - one) / slope_total;
    total = none;
    KEXUE_UNROLL
    for (int j = 0; j < kColumns; ++j) {
      const F64 w = by * (columns.column[j] - group.max), u = w - t;
      const __mmask8 in = _mm512_cmp_pd_mask(w, least, _CMP_GE_OQ);
      columns.column[j] = _mm512_maskz_mul_pd(in, u, u);
      total += columns.column[j];
    }
    const F64 factor = (one + one) - total;  // 1 / total to twice the digits
    KEXUE_UNROLL
    for (int j = 0; j < kColumns; ++j) columns.column[j] = factor * columns.column[j];
    KEXUE_UNROLL
    for (int c = 0; c < Block::kBlocks; ++c) transpose<double>(columns.column + c * kLane);
    double drop[kLane];
    store<double>(drop, one + t);
    for (ptrdiff_t r = 0; r < rows; ++r) {
      const bool special = (group.special >> r & 1u) != 0;
      tau[first + r] = special ? __builtin_nan("") : drop[r];
      if (special) {
        if (out != x) copy<double>(x + r * n, out + r * n, n);
        continue;
      }
      KEXUE_UNROLL
      for (int c = 0; c < Block::kBlocks; ++c) {
        const ptrdiff_t left = n - c * kLane;
        store_part<double>(out + r * n + c * kLane, columns.column[c * kLane + r],
                           left < kLane ? left : kLane);
      }
    }
  }
}

// f(columns) with the number of columns of rows of n <= kSortedRow, as a constant's type.
template <int k>
struct Count {
  static constexpr int value = k;
};
template <class F>
KEXUE_INLINE void with_columns(ptrdiff_t n, F&& f) {
  switch ((n + 1) / 2) {
    case 1:
      return f(Count<2>{});
    case 2:
      return f(Count<4>{});
    case 3:
      return f(Count<6>{});
    case 4:
      return f(Count<8>{});
    case 5:
      return f(Count<10>{});
    case 6:
      return f(Count<12>{});
    case 7:
      return f(Count<14>{});
    default:
      return f(Count<16>{});
  }
}
#endif

template <class T>
void short_linear(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, double radius, double scale,
                  double* tau) {
#if KEXUE_X86_BYTES == 64
  if (n <= kSortedRow) {
    return with_columns(n, [&](auto columns) {
      linear_sorted_of<T, columns.value>(x, out, n_rows, n, radius, scale, tau);
    });
  }
  linear_by_candidates(x, out, n_rows, n, radius, scale, tau);
#else
  linear_in_lanes(x, out, n_rows, n, radius, scale, tau);
#endif
}

}  // namespace
}  // namespace kexue::KEXUE_ISA
