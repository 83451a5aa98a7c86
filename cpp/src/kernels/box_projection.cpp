// Passes over one row of the projection onto a simplex with bounds; see
// kexue/simplex/box_projection.hpp.
#include "kexue/simplex/box_projection.hpp"

#include "box_short.hpp"

namespace kexue::KEXUE_ISA {
namespace {

// Pairs of vectors that one accumulator takes before its sum moves on to the compensated total.
constexpr int kBlock = 32;

template <class T, bool kWeighted, bool kArrays>
struct Reader {
  const BoxRow<T>& row;
  F64 lowest, highest;

  KEXUE_INLINE explicit Reader(const BoxRow<T>& r)
      : row(r), lowest(broadcast(r.lowest)), highest(broadcast(r.highest)) {}

  KEXUE_INLINE Columns at(std::ptrdiff_t i) const {
    return {load_wide(row.x + i), kWeighted ? load_wide(row.weights + i) : broadcast(1.0),
            kArrays ? load_wide(row.lower + i) : lowest,
            kArrays ? load_wide(row.upper + i) : highest};
  }
  // The last `count` columns, repeated to the full width.
  KEXUE_INLINE Columns tail(std::ptrdiff_t i, int count) const {
    T x[kWide], w[kWide], l[kWide], u[kWide];
    for (int k = 0; k < kWide; ++k) {
      const std::ptrdiff_t j = i + (k < count ? k : 0);
      x[k] = row.x[j];
      if constexpr (kWeighted) w[k] = row.weights[j];
      if constexpr (kArrays) l[k] = row.lower[j], u[k] = row.upper[j];
    }
    Columns c{load_wide(x), broadcast(1.0), lowest, highest};
    if constexpr (kWeighted) c.w = load_wide(w);
    if constexpr (kArrays) c.l = load_wide(l), c.u = load_wide(u);
    return c;
  }
};

template <class T, bool kWeighted, bool kArrays>
BoxSums sums_of(const BoxRow<T>& row, BoxRoot tau) {
  const Reader<T, kWeighted, kArrays> reader(row);
  const F64 minus_high = broadcast(-tau.high), minus_low = broadcast(-tau.low);
  F64 high = zero<double>(), low = zero<double>(), sum[2], slope[2] = {high, high};
  F64 above_count = high;
  const F64 one = broadcast(1.0);
  const auto add = [&](const Columns& c, int k, Mask<double> valid) {
    const F64 v = shifted<kWeighted>(c, minus_high, minus_low);
    const F64 p = clamp(v, c.l, c.u);
    const Mask<double> above_lower = less<double>(c.l, v) & valid;
    const Mask<double> free = above_lower & less<double>(v, c.u);
    above_count += select<double>(above_lower, one, zero<double>());
    if constexpr (kWeighted) {
      sum[k] = multiply_add(select<double>(valid, c.w, zero<double>()), p, sum[k]);
      slope[k] += select<double>(free, c.w * c.w, zero<double>());
    } else {
      sum[k] += select<double>(valid, p, zero<double>());
      slope[k] += select<double>(free, c.w, zero<double>());
    }
  };
  const Mask<double> all = first_lanes(kWide);
  std::ptrdiff_t i = 0;
  const std::ptrdiff_t pairs = row.n / (2 * kWide) * (2 * kWide);
  while (i < pairs) {
    const std::ptrdiff_t stop = i + 2 * kWide * kBlock < pairs ? i + 2 * kWide * kBlock : pairs;
    sum[0] = sum[1] = zero<double>();
    for (; i < stop; i += 2 * kWide) {
      add(reader.at(i), 0, all);
      add(reader.at(i + kWide), 1, all);
    }
    two_sum(high, low, sum[0]);
    two_sum(high, low, sum[1]);
  }
  for (; i < row.n; i += kWide) {
    const int count = row.n - i < kWide ? static_cast<int>(row.n - i) : kWide;
    sum[0] = zero<double>();
    add(reader.tail(i, count), 0, first_lanes(count));
    two_sum(high, low, sum[0]);
  }
  BoxSums total{0, 0, 0, 0};
  const F64 slopes = slope[0] + slope[1];
  for (int k = 0; k < kWide; ++k) {
    two_sum(total.high, total.low, high[k]);
    total.low += low[k];
    total.slope += slopes[k];
    total.above += above_count[k];
  }
  return total;
}

template <class T, bool kWeighted, bool kArrays>
BoxRange range_of(const BoxRow<T>& row, double slack, std::ptrdiff_t step) {
  const Reader<T, kWeighted, kArrays> reader(row);
  const F64 everything = broadcast(slack);
  F64 lower = broadcast(-kInfinity<double>), single = lower;
  const auto look = [&](const Columns& c) {
    F64 above = c.x - c.l, alone = above - everything;
    if constexpr (kWeighted) {
      const F64 inverse = broadcast(1.0) / c.w;
      alone = (above - everything * inverse) * inverse;
      above = above * inverse;
    }
    lower = maximum(lower, above);
    single = maximum(single, alone);
  };
  for (std::ptrdiff_t block = 0; block < row.n; block += kRangeBlock * step) {
    const std::ptrdiff_t stop = block + kRangeBlock < row.n ? block + kRangeBlock : row.n;
    std::ptrdiff_t i = block;
    for (; i + kWide <= stop; i += kWide) look(reader.at(i));
    if (i < stop) look(reader.tail(i, static_cast<int>(stop - i)));
  }
  return {largest<double>(single), largest<double>(lower)};
}

template <class T, bool kWeighted, bool kArrays>
BoxKept gather_above(const BoxRow<T>& row, BoxRoot tau, double* x, double* weights, double* lower,
                     double* upper) {
  const Reader<T, kWeighted, kArrays> reader(row);
  const F64 minus_high = broadcast(-tau.high), minus_low = broadcast(-tau.low);
  F64 high = zero<double>(), low = zero<double>();
  BoxKept kept{0, 0, 0};
  const bool rest_matters = kArrays || row.lowest != 0;
  const F64 none = zero<double>();
  F64 probe = none;  // becomes NaN if an entry is
  const auto look = [&](const Columns& c) {
    const F64 v = shifted<kWeighted>(c, minus_high, minus_low);
    probe += clamp(v, none, none);
    return above(v, c.l);
  };
  const auto keep = [&](const Columns& c, unsigned bits, unsigned valid) {
    bits &= valid;
    const int count = append<double>(x + kept.count, c.x, bits);
    if constexpr (kWeighted) append<double>(weights + kept.count, c.w, bits);
    if constexpr (kArrays) append<double>(lower + kept.count, c.l, bits);
    if constexpr (kArrays) append<double>(upper + kept.count, c.u, bits);
    kept.count += count;
  };
  const auto leave = [&](const Columns& c, const Mask<double>& valid) {
    const F64 v = shifted<kWeighted>(c, minus_high, minus_low);
    const F64 rest = select<double>(less<double>(c.l, v), zero<double>(), c.w * c.l);
    two_sum(high, low, select<double>(valid, rest, zero<double>()));
  };
  constexpr unsigned kAll = (1u << kWide) - 1;
  std::ptrdiff_t i = 0;
  for (; i + 4 * kWide <= row.n; i += 4 * kWide) {
    unsigned bits[4];
    KEXUE_UNROLL
    for (int k = 0; k < 4; ++k) bits[k] = look(reader.at(i + k * kWide));
    if (rest_matters) {
      for (int k = 0; k < 4; ++k) leave(reader.at(i + k * kWide), first_lanes(kWide));
    }
    if ((bits[0] | bits[1] | bits[2] | bits[3]) == 0) continue;
    for (int k = 0; k < 4; ++k) keep(reader.at(i + k * kWide), bits[k], kAll);
  }
  for (; i < row.n; i += kWide) {
    const int count = row.n - i < kWide ? static_cast<int>(row.n - i) : kWide;
    const Columns c = reader.tail(i, count);
    if (rest_matters) leave(c, first_lanes(count));
    keep(c, look(c), count == kWide ? kAll : (1u << count) - 1);
  }
  for (int k = 0; k < kWide; ++k) {
    two_sum(kept.high, kept.low, high[k]);
    kept.low += low[k] + probe[k];
  }
  return kept;
}

template <class T, bool kWeighted, bool kArrays>
void store_points(const BoxRow<T>& row, BoxRoot tau, T* out) {
  const Reader<T, kWeighted, kArrays> reader(row);
  const F64 minus_high = broadcast(-tau.high), minus_low = broadcast(-tau.low);
  const auto point = [&](const Columns& c) {
    // The sum with zero turns -0 into 0.
    return clamp(shifted<kWeighted>(c, minus_high, minus_low), c.l, c.u) + zero<double>();
  };
  std::ptrdiff_t i = 0;
  for (; i + kWide <= row.n; i += kWide) store_narrow(out + i, point(reader.at(i)));
  if (i == row.n) return;
  T last[kWide];
  store_narrow(last, point(reader.tail(i, static_cast<int>(row.n - i))));
  for (std::ptrdiff_t j = i; j < row.n; ++j) out[j] = last[j - i];
}

// f<weighted, arrays>() for what the row has.
template <class T, class F>
KEXUE_INLINE auto for_arrays_of(const BoxRow<T>& row, F f) {
  if (row.weights == nullptr) {
    return row.lower == nullptr ? f.template operator()<false, false>()
                                : f.template operator()<false, true>();
  }
  return row.lower == nullptr ? f.template operator()<true, false>()
                              : f.template operator()<true, true>();
}
template <class T>
BoxSums sums(const BoxRow<T>& row, BoxRoot tau) {
  return for_arrays_of(row, [&]<bool kW, bool kA>() { return sums_of<T, kW, kA>(row, tau); });
}
template <class T>
BoxRange range(const BoxRow<T>& row, double slack, std::ptrdiff_t step) {
  return for_arrays_of(row,
                       [&]<bool kW, bool kA>() { return range_of<T, kW, kA>(row, slack, step); });
}
template <class T>
BoxKept gather(const BoxRow<T>& row, BoxRoot tau, double* x, double* weights, double* lower,
               double* upper) {
  return for_arrays_of(row, [&]<bool kW, bool kA>() {
    return gather_above<T, kW, kA>(row, tau, x, weights, lower, upper);
  });
}
template <class T>
void store_row(const BoxRow<T>& row, BoxRoot tau, T* out) {
  for_arrays_of(row, [&]<bool kW, bool kA>() { store_points<T, kW, kA>(row, tau, out); });
}

template <class T>
void short_rows(const BoxRow<T>& like, std::ptrdiff_t n_rows, const double* radius,
                const double* lowest_sum, T* out, unsigned char* solved) {
  const auto run = like.weights == nullptr ? &short_rows_of<T, false> : &short_rows_of<T, true>;
  run(like, n_rows, radius, lowest_sum, out, solved);
}

template <class T>
constexpr BoxKernels<T> kKernels = {&sums<T>, &range<T>, &gather<T>, &store_row<T>, &short_rows<T>};

}  // namespace

extern const BoxTables box_tables;
const BoxTables box_tables = {kKernels<float>, kKernels<double>};

}  // namespace kexue::KEXUE_ISA
