// Passes over one row of the projection onto a simplex with bounds; see
// kexue/simplex/box_projection.hpp.
#include "kexue/simplex/box_projection.hpp"

#include <limits>

#include "simd.hpp"

namespace kexue::KEXUE_ISA {
namespace {

constexpr int kWide = kLanes<double>;
// Vectors of one accumulator before its sum moves on to the compensated total.
constexpr int kBlock = 32;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// kWide numbers as doubles.
KEXUE_INLINE F64 widen(const double* p) { return load<double>(p); }
KEXUE_INLINE void narrow(double* p, F64 v) { store<double>(p, v); }
#if KEXUE_VECTOR_EXTENSIONS
typedef float HalfVector __attribute__((vector_size(KEXUE_VECTOR_BYTES / 2)));
KEXUE_INLINE F64 widen(const float* p) {
  HalfVector v;
  __builtin_memcpy(&v, p, sizeof(v));
  return __builtin_convertvector(v, F64);
}
KEXUE_INLINE void narrow(float* p, F64 v) {
  const HalfVector half = __builtin_convertvector(v, HalfVector);
  __builtin_memcpy(p, &half, sizeof(half));
}
#else
KEXUE_INLINE F64 widen(const float* p) {
  F64 v;
  for (int i = 0; i < kWide; ++i) v.lane[i] = p[i];
  return v;
}
KEXUE_INLINE void narrow(float* p, F64 v) {
  for (int i = 0; i < kWide; ++i) p[i] = static_cast<float>(v[i]);
}
#endif

// True in the first `count` lanes.
KEXUE_INLINE Mask<double> first_lanes(int count) {
  double lane[kWide];
  for (int k = 0; k < kWide; ++k) lane[k] = k < count ? 1 : 0;
  return less<double>(zero<double>(), load<double>(lane));
}

// kWide columns of a row.
struct Columns {
  F64 x, w, l, u;
};

template <class T, bool kWeighted, bool kArrays>
struct Reader {
  const BoxRow<T>& row;
  F64 lowest, highest;

  KEXUE_INLINE explicit Reader(const BoxRow<T>& r)
      : row(r), lowest(broadcast(r.lowest)), highest(broadcast(r.highest)) {}

  KEXUE_INLINE Columns at(std::ptrdiff_t i) const {
    return {widen(row.x + i), kWeighted ? widen(row.weights + i) : broadcast(1.0),
            kArrays ? widen(row.lower + i) : lowest, kArrays ? widen(row.upper + i) : highest};
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
    Columns c{widen(x), broadcast(1.0), lowest, highest};
    if constexpr (kWeighted) c.w = widen(w);
    if constexpr (kArrays) c.l = widen(l), c.u = widen(u);
    return c;
  }
};

// x - tau w.
template <bool kWeighted>
KEXUE_INLINE F64 shifted(const Columns& c, F64 minus_high, F64 minus_low) {
  if constexpr (kWeighted) {
    return multiply_add(minus_low, c.w, multiply_add(minus_high, c.w, c.x));
  } else {
    return (c.x + minus_high) + minus_low;
  }
}

// high + low += x without error.
KEXUE_INLINE void two_sum(F64& high, F64& low, F64 x) {
  const F64 sum = high + x;
  const F64 part = sum - high;
  low += (high - (sum - part)) + (x - part);
  high = sum;
}
KEXUE_INLINE void two_sum(double& high, double& low, double x) {
  const double sum = high + x;
  const double part = sum - high;
  low += (high - (sum - part)) + (x - part);
  high = sum;
}

template <class T, bool kWeighted, bool kArrays>
BoxSums sums_of(const BoxRow<T>& row, BoxRoot tau) {
  const Reader<T, kWeighted, kArrays> reader(row);
  const F64 minus_high = broadcast(-tau.high), minus_low = broadcast(-tau.low);
  F64 high = zero<double>(), low = zero<double>(), sum[2], slope[2] = {high, high};
  const auto add = [&](const Columns& c, int k, Mask<double> valid) {
    const F64 v = shifted<kWeighted>(c, minus_high, minus_low);
    const F64 p = clamp(v, c.l, c.u);
    const Mask<double> free = less<double>(c.l, v) & less<double>(v, c.u);
    if constexpr (kWeighted) {
      sum[k] = multiply_add(select<double>(valid, c.w, zero<double>()), p, sum[k]);
      slope[k] += select<double>(free & valid, c.w * c.w, zero<double>());
    } else {
      sum[k] += select<double>(valid, p, zero<double>());
      slope[k] += select<double>(free & valid, c.w, zero<double>());
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
  BoxSums total{0, 0, 0};
  const F64 slopes = slope[0] + slope[1];
  for (int k = 0; k < kWide; ++k) {
    two_sum(total.high, total.low, high[k]);
    total.low += low[k];
    total.slope += slopes[k];
  }
  return total;
}

template <class T, bool kWeighted, bool kArrays>
BoxRange range_of(const BoxRow<T>& row, double slack) {
  const Reader<T, kWeighted, kArrays> reader(row);
  const F64 everything = broadcast(slack);
  F64 upper = broadcast(kInfinity), lower = broadcast(-kInfinity), single = lower;
  F64 sum = zero<double>(), squares = zero<double>();
  const auto add = [&](const Columns& c, Mask<double> valid) {
    F64 above = c.x - c.l, below = c.x - c.u, alone = above - everything;
    if constexpr (kWeighted) {
      const F64 inverse = broadcast(1.0) / c.w;
      alone = (above - everything * inverse) * inverse;
      above = above * inverse;
      below = below * inverse;
    }
    squares += select<double>(valid, c.w * c.w, zero<double>());
    upper = select<double>(less<double>(below, upper), below, upper);
    lower = select<double>(less<double>(lower, above), above, lower);
    single = select<double>(less<double>(single, alone), alone, single);
    sum += select<double>(valid, c.x * c.w, zero<double>());
  };
  std::ptrdiff_t i = 0;
  for (; i + kWide <= row.n; i += kWide) add(reader.at(i), first_lanes(kWide));
  if (i < row.n) {
    const int count = static_cast<int>(row.n - i);
    add(reader.tail(i, count), first_lanes(count));
  }
  BoxRange range{kInfinity, -kInfinity, -kInfinity, 0, 0};
  for (int k = 0; k < kWide; ++k) {
    if (upper[k] < range.all_upper) range.all_upper = upper[k];
    if (lower[k] > range.all_lower) range.all_lower = lower[k];
    if (single[k] > range.single) range.single = single[k];
    range.weighted_sum += sum[k];
    range.weight_squares += squares[k];
  }
  return range;
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
  for (; i + kWide <= row.n; i += kWide) narrow(out + i, point(reader.at(i)));
  if (i == row.n) return;
  T last[kWide];
  narrow(last, point(reader.tail(i, static_cast<int>(row.n - i))));
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
BoxRange range(const BoxRow<T>& row, double slack) {
  return for_arrays_of(row, [&]<bool kW, bool kA>() { return range_of<T, kW, kA>(row, slack); });
}
template <class T>
void store_row(const BoxRow<T>& row, BoxRoot tau, T* out) {
  for_arrays_of(row, [&]<bool kW, bool kA>() { store_points<T, kW, kA>(row, tau, out); });
}

template <class T>
constexpr BoxKernels<T> kKernels = {&sums<T>, &range<T>, &store_row<T>};

}  // namespace

extern const BoxTables box_tables;
const BoxTables box_tables = {kKernels<float>, kKernels<double>};

}  // namespace kexue::KEXUE_ISA
