// Linear and power families (kexue/simplex/kernels.hpp), one row: sparsemax, entmax, normmax.
#include "kexue/simplex/kernels.hpp"
#include "lanes.hpp"
#include "simplex_lanes.hpp"
#include "vector_math.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using simplex::Extremes;
using simplex::Kept;
using simplex::LinearRow;
using simplex::Power;
using simplex::PowerSums;

// ---- One row: looking ---------------------------------------------------------------------------

// The maxima of the lanes of four vectors.
template <class T>
KEXUE_INLINE bool lane_maxima(const T* x, ptrdiff_t n, Vec<T>* max) {
  constexpr ptrdiff_t kStep = kLanes<T>;
  for (int j = 0; j < 4; ++j) max[j] = broadcast<T>(-kInfinity<T>);
  unsigned nan = 0;
  ptrdiff_t i = 0;
  for (; i + 4 * kStep <= n; i += 4 * kStep) {
    Vec<T> v[4];
    KEXUE_UNROLL
    for (int j = 0; j < 4; ++j) {
      v[j] = load<T>(x + i + j * kStep);
      max[j] = maximum(max[j], v[j]);
    }
    nan |= unordered(v[0], v[1]) | unordered(v[2], v[3]);
  }
  for (; i < n; i += kStep) {
    const Vec<T> v = load_up_to<T>(x + i, n - i, -kInfinity<T>);
    max[0] = maximum(max[0], v);
    nan |= unordered(v, v);
  }
  return nan != 0;
}
template <class T>
Extremes<T> extremes(const T* x, ptrdiff_t n) {
  Vec<T> max[4];
  const bool nan = lane_maxima(x, n, max);
  return {largest<T>(maximum(maximum(max[0], max[1]), maximum(max[2], max[3]))), nan};
}
template <class T>
Extremes<T> tops(const T* x, ptrdiff_t n, T* each) {
  Vec<T> max[4];
  const bool nan = lane_maxima(x, n, max);
  static_assert(4 * kLanes<T> <= simplex::kTops);
  for (ptrdiff_t i = 0; i < simplex::kTops; ++i) each[i] = -kInfinity<T>;
  for (int j = 0; j < 4; ++j) store<T>(each + j * kLanes<T>, max[j]);
  return {largest<T>(maximum(maximum(max[0], max[1]), maximum(max[2], max[3]))), nan};
}

template <class T>
ptrdiff_t filter(const T* x, ptrdiff_t n, T limit, T* kept) {
  constexpr ptrdiff_t kStep = kLanes<T>;
  const Vec<T> t = broadcast<T>(limit);
  ptrdiff_t count = 0, i = 0;
  for (; i + 4 * kStep <= n; i += 4 * kStep) {
    Vec<T> v[4];
    unsigned bits[4];
    KEXUE_UNROLL
    for (int j = 0; j < 4; ++j) {
      v[j] = load<T>(x + i + j * kStep);
      bits[j] = above(v[j], t);
    }
    if ((bits[0] | bits[1] | bits[2] | bits[3]) == 0) continue;
    KEXUE_UNROLL
    for (int j = 0; j < 4; ++j) count += append<T>(kept + count, v[j], bits[j]);
  }
  for (; i < n; i += kStep) {
    const Vec<T> v = load_up_to<T>(x + i, n - i, -kInfinity<T>);
    count += append<T>(kept + count, v, above(v, t));
  }
  return count;
}

template <class T>
Kept filter_sum(const T* x, ptrdiff_t n, T limit, T* kept) {
  constexpr ptrdiff_t kStep = kLanes<T>;
  const Vec<T> t = broadcast<T>(limit), none = broadcast<T>(0);
  ptrdiff_t count = 0;
  CarefulSum sum;
  for (ptrdiff_t i = 0; i < n; i += kStep) {
    const Vec<T> v = load_up_to<T>(x + i, n - i, -kInfinity<T>);
    const Vec<T> part = select<T>(less<T>(t, v), v, none);
    count += append<T>(kept + count, v, above(v, t));
    if constexpr (sizeof(T) == 8) {
      sum.add_exactly(part);
    } else {
      F64 wide[2];
      widen(part, wide);
      // 29 bits to spare: 2^20 terms of one magnitude are summed without error.
      sum.add(wide[0] + wide[1]);
    }
  }
  const SumPair pair = sum.total();
  return {pair.high, pair.low, count};
}

template <Kind kind, class T>
PowerSums power_sums_of(const T* x, ptrdiff_t n, const Power& f) {
  constexpr ptrdiff_t kStep = kLanes<double>;
  const F64 max = broadcast<double>(f.max), slope = broadcast<double>(f.slope);
  const F64 drop = broadcast<double>(f.drop), exponent = broadcast<double>(f.power - 1);
  const F64 one = broadcast<double>(1), none = broadcast<double>(0);
  CarefulSum sum, slope_sum;
  for (ptrdiff_t i = 0; i < n; i += kStep) {
    const F64 v = n - i < kStep ? load_wide_part(x + i, n - i, f.max) : load_wide(x + i);
    const F64 w = multiply_add(slope, v - max, none - drop);
    Mask<double> inside = less<double>(none - one, w);
    if (n - i < kStep) inside = inside & first_lanes(n - i);
    F64 t;
    if constexpr (kind == Kind::square) {
      t = one + w;
    } else {
      t = power_of(select<double>(inside, w, none), exponent);
    }
    t = select<double>(inside, t, none);
    slope_sum.add(t);
    sum.add(t * select<double>(inside, one + w, none));
  }
  const SumPair s = sum.total(), s1 = slope_sum.total();
  return {s.high + s.low, s1.high + s1.low};
}
template <class T>
PowerSums power_sums(const T* x, ptrdiff_t n, const Power& f) {
  return f.power == 2 ? power_sums_of<Kind::square>(x, n, f)
                      : power_sums_of<Kind::general>(x, n, f);
}

// ---- One row: writing ---------------------------------------------------------------------------

template <class T>
void write_linear(const T* x, T* out, ptrdiff_t n, const LinearRow<T>& row, bool past) {
  const Vec<T> tau = broadcast<T>(row.tau), low = broadcast<T>(row.tau_low);
  const Vec<T> none = broadcast<T>(0), scale = broadcast<T>(row.scale);
  if (row.scale == 1) {
    map_vectors<T>(x, out, n, -kInfinity<T>, past,
                   [&](Vec<T> v) { return maximum(none, (v - tau) - low); });
  } else {
    map_vectors<T>(x, out, n, -kInfinity<T>, past,
                   [&](Vec<T> v) { return scale * maximum(none, (v - tau) - low); });
  }
}

// Vectors without support cost a comparison.
template <Kind kind, class T>
void write_power_of(const T* x, T* out, ptrdiff_t n, const Power& f, double factor, bool past) {
  const F64 max = broadcast<double>(f.max), slope = broadcast<double>(f.slope);
  const F64 drop = broadcast<double>(f.drop), exponent = broadcast<double>(f.power);
  const F64 one = broadcast<double>(1), none = broadcast<double>(0);
  const F64 scale = broadcast<double>(factor);
  // x > cut wherever u > 0: one part in 10^5 of slack for the rounding of cut to T.
  const double exact_cut = f.slope > 0 ? f.max + (f.drop - 1) / f.slope : -kInfinity<double>;
  const double slack = 1e-5 * ((exact_cut < 0 ? -exact_cut : exact_cut) + f.max - exact_cut);
  const Vec<T> cut = broadcast<T>(f.slope > 0 ? (T)(exact_cut - slack) : -kInfinity<T>);
  const auto wide = [&](F64 v) {
    const F64 w = multiply_add(slope, v - max, none - drop);
    const Mask<double> inside = less<double>(none - one, w);
    const F64 u = one + w;
    F64 p;
    if constexpr (kind == Kind::plain) {
      p = u;
    } else if constexpr (kind == Kind::square) {
      p = u * u;
    } else {
      p = power_of(select<double>(inside, w, none), exponent);
    }
    return select<double>(inside, scale * p, none);
  };
  map_vectors<T>(x, out, n, -kInfinity<T>, past, [&](Vec<T> v) {
    if (above(v, cut) == 0) return broadcast<T>(0);
    return through_wide<T>(v, wide);
  });
}
template <class T>
void write_power(const T* x, T* out, ptrdiff_t n, const Power& f, double factor, bool past) {
  if (f.power == 1) {
    write_power_of<Kind::plain>(x, out, n, f, factor, past);
  } else if (f.power == 2) {
    write_power_of<Kind::square>(x, out, n, f, factor, past);
  } else {
    write_power_of<Kind::general>(x, out, n, f, factor, past);
  }
}

template <class T>
void zero_past(T* out, ptrdiff_t n) {
  map_vectors<T>(out, out, n, T(0), true, [](Vec<T>) { return broadcast<T>(0); });
}

template <class T>
constexpr simplex::SparseKernels<T> kKernels = {extremes<T>,    tops<T>,       filter<T>,
                                                filter_sum<T>,  power_sums<T>, write_linear<T>,
                                                write_power<T>, zero_past<T>};

}  // namespace

extern const simplex::SimplexSparseKernels simplex_sparse_kernels;
const simplex::SimplexSparseKernels simplex_sparse_kernels = {kKernels<double>, kKernels<float>};

}  // namespace kexue::KEXUE_ISA
