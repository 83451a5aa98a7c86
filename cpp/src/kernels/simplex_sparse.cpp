// Linear and power families (kexue/simplex/kernels.hpp): sparsemax, entmax, normmax.
#include "kexue/simplex/kernels.hpp"
#include "lanes.hpp"
#include "simplex_lanes.hpp"
#include "vector_math.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using simplex::Extremes;
using simplex::Kept;
using simplex::kShortRow;
using simplex::LinearRow;
using simplex::Power;
using simplex::PowerSums;

// ---- One row: looking ---------------------------------------------------------------------------

template <class T>
Extremes<T> extremes(const T* x, ptrdiff_t n) {
  constexpr ptrdiff_t kStep = kLanes<T>;
  Vec<T> max[4];
  for (auto& v : max) v = broadcast<T>(-kInfinity<T>);
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
  return {largest<T>(maximum(maximum(max[0], max[1]), maximum(max[2], max[3]))), nan != 0};
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

// Powers 1 and 2 need no logarithm.
enum class Kind { plain, square, general };
// u^exponent for u = 1 + w > 0
KEXUE_INLINE F64 power_of(F64 w, F64 exponent) { return exp(exponent * log1p(w)); }
KEXUE_INLINE F32 power_of(F32 w, F32 exponent) { return exp(exponent * log1p(w)); }

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

// ---- Short rows: one per lane -------------------------------------------------------------------

KEXUE_INLINE F64 minimum(F64 a, F64 b) { return select<double>(less<double>(b, a), b, a); }

// Michelot's iteration: tau <- the root if the support were {x > tau}; from the left, until the
// support stays. The last sum carries its rounding errors, so that tau is right to an ulp.
template <bool kSingle>
void solve_linear(const F64* x, ptrdiff_t n, F64 max, F64 radius, F64& tau, F64& tau_low) {
  const F64 none = broadcast<double>(0), one = broadcast<double>(1);
  // Below the maximum however large it is: the support is never empty.
  const F64 below = max - multiply_add(absolute<double>(max), broadcast<double>(0x1p-52),
                                       broadcast<double>(0x1p-1074));
  F64 count = none;
  tau = minimum(max - radius, below);
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
  if constexpr (kSingle) return;  // a double is precise enough
  F64 sum = none - radius, low = none;
  for (ptrdiff_t j = 0; j < n; ++j) {
    const F64 v = select<double>(less<double>(tau, x[j]), x[j], none);
    const F64 next = sum + v, back = next - sum;
    low += (sum - (next - back)) + (v - back);
    sum = next;
  }
  tau = (sum + low) / count;
  const F64 upper = upper_half(tau);
  tau_low = (((sum - count * upper) - count * (tau - upper)) + low) / count;
}

// Up to this power the rounding of u = 1 + v costs at most two units, and its logarithm will do:
// one division instead of two.
constexpr double kModerate = 5;
KEXUE_INLINE F64 power_of_lane(F64 v, F64 u, F64 exponent, double power) {
  if (power > 0 && power <= kModerate) {
    return exp(exponent * log_of_normal<double>(maximum(broadcast<double>(1e-300), u)));
  }
  return power_of(maximum(broadcast<double>(0x1p-53 - 1), v), exponent);
}

// sum u^P and sum u^{P-1} of every row for its drop.
struct LaneSums {
  F64 sum, slope_sum;
};
template <Kind kind>
KEXUE_INLINE LaneSums lane_sums(const F64* w, ptrdiff_t n, double power, F64 drop) {
  const F64 none = broadcast<double>(0), one = broadcast<double>(1);
  const F64 exponent = broadcast<double>(power - 1);
  LaneSums even{none, none}, odd{none, none};
  const auto add = [&](LaneSums& to, F64 v) {
    const F64 u = one + v;
    if constexpr (kind == Kind::square) {
      const F64 t = maximum(none, u);
      to.sum = multiply_add(t, t, to.sum);
      to.slope_sum += t;
    } else {
      const Mask<double> inside = less<double>(none, u);
      const F64 t = select<double>(inside, power_of_lane(v, u, exponent, power), none);
      to.sum += select<double>(inside, t * u, none);
      to.slope_sum += t;
    }
  };
  ptrdiff_t j = 0;
  for (; j + 1 < n; j += 2) {
    add(even, w[j] - drop);
    add(odd, w[j + 1] - drop);
  }
  if (j < n) add(even, w[j] - drop);
  return {even.sum + odd.sum, even.slope_sum + odd.slope_sum};
}
// The same to single precision: a vector of float holds two columns.
KEXUE_INLINE LaneSums rough_sums(const F32* w, ptrdiff_t n_pairs, double power, F64 drop) {
  const F32 none = broadcast<float>(0), one = broadcast<float>(1);
  const F32 exponent = broadcast<float>((float)(power - 1));
  float lane[kLanes<float>];
  store_narrow(lane, drop);
  store_narrow(lane + kLanes<double>, drop);
  const F32 both = load<float>(lane);
  F32 sum = none, slope_sum = none;
  for (ptrdiff_t j = 0; j < n_pairs; ++j) {
    const F32 v = w[j] - both;
    const Mask<float> inside = less<float>(none - one, v);
    const F32 t = select<float>(inside, power_of(select<float>(inside, v, none), exponent), none);
    sum += t * select<float>(inside, one + v, none);
    slope_sum += t;
  }
  F64 wide[2], wide_slope[2];
  widen(sum, wide);
  widen(slope_sum, wide_slope);
  return {wide[0] + wide[1], wide_slope[0] + wide_slope[1]};
}

// The step of Newton's iteration on the P-norm of u (maps.hpp).
template <Kind kind>
KEXUE_INLINE F64 norm_step(const LaneSums& at, double power) {
  F64 excess;
  if constexpr (kind == Kind::square) {
    excess = at.sum - square_root<double>(at.sum);
  } else {
    excess = broadcast<double>(0) - at.sum * expm1(broadcast<double>(-1 / power) * log(at.sum));
  }
  return excess / at.slope_sum;
}

// Single precision until the sum is at most `limit`. Left of the root or a rounding error to the
// right of it, from where the next step returns.
F64 rough_drop(const F64* w, ptrdiff_t n, double power, double least) {
  const F64 none = broadcast<double>(0);
  F32 pairs[kShortRow / 2 + 1];
  const F64 nowhere = broadcast<double>(-1e30);
  for (ptrdiff_t j = 0; j < n; j += 2) {
    float lane[kLanes<float>];
    store_narrow(lane, w[j]);
    store_narrow(lane + kLanes<double>, j + 1 < n ? w[j + 1] : nowhere);
    pairs[j / 2] = load<float>(lane);
  }
  const F64 limit = broadcast<double>(least);
  F64 drop = none;
  for (int iteration = 0; iteration < 30; ++iteration) {
    const LaneSums at = rough_sums(pairs, (n + 1) / 2, power, drop);
    const Mask<double> moving = less<double>(limit, at.sum);
    if (!any<double>(moving)) break;
    drop += select<double>(moving, norm_step<Kind::general>(at, power), none);
  }
  return drop;
}

// Returns the factor that makes the sum one.
template <Kind kind, bool kSingle>
F64 solve_power(const F64* w, ptrdiff_t n, double power, bool derivative, F64& drop) {
  const F64 none = broadcast<double>(0), one = broadcast<double>(1);
  // For small |alpha - 1| or heavy tails single precision cannot resolve u - 1.
  const bool rough = kind == Kind::general && power > 0 && power < 20;
  drop = none;
  if (rough) drop = rough_drop(w, n, power, kSingle ? 1 + 4e-6 : 1.001);
  LaneSums at = lane_sums<kind>(w, n, power, drop);
  // The first step may go back.
  drop += select<double>(less<double>(none, at.slope_sum), norm_step<kind>(at, power), none);
  if (kSingle && rough && !derivative) {
    // One step from 10^-5 squares the error.
    const F64 far = broadcast<double>(1 + 1e-5);
    if (!any<double>(less<double>(far, at.sum))) return one;
  }
  const F64 limit = broadcast<double>(1 + (kSingle ? 1e-11 : 4e-16));
  F64 before = broadcast<double>(kInfinity<double>);
  for (int iteration = 0; iteration < 200; ++iteration) {
    at = lane_sums<kind>(w, n, power, drop);
    // A lane rests once its sum is one or has stopped falling.
    const Mask<double> moving = less<double>(limit, at.sum) & less<double>(at.sum, before);
    if (!any<double>(moving)) break;
    before = at.sum;
    drop += select<double>(moving, norm_step<kind>(at, power), none);
  }
  return one / (derivative ? at.slope_sum : at.sum);
}

// u^exponent where u = 1 + v > 0.
template <Kind kind>
KEXUE_INLINE F64 lane_result(F64 v, F64 exponent, double power, bool derivative) {
  const F64 none = broadcast<double>(0), u = broadcast<double>(1) + v;
  if constexpr (kind == Kind::square) {
    const F64 t = maximum(none, u);
    return derivative ? t : t * t;
  }
  return select<double>(less<double>(none, u) & less<double>(v, broadcast<double>(1e299)),
                        power_of_lane(v, u, exponent, power), none);
}

// Rows for the short kernels, far ones not among them.
KEXUE_INLINE ShortRows<double> look_near(const F64* columns, ptrdiff_t n, double width) {
  ShortRows<double> look = look_at<double>(columns, n);
  const F64 far = broadcast<double>(simplex::kFar * width);
  look.ordinary = look.ordinary & less<double>(look.max, far) &
                  less<double>(broadcast<double>(0) - far, look.max);
  return look;
}

template <class T>
void short_linear(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, double radius, double scale,
                  double* tau) {
  for_short_rows<double>(x, out, n_rows, n, [&](F64* columns, ptrdiff_t first, ptrdiff_t rows) {
    const ShortRows<double> look = look_near(columns, n, radius);
    F64 root, low;
    solve_linear<sizeof(T) == 4>(columns, n, look.max, broadcast<double>(radius), root, low);
    const F64 none = broadcast<double>(0), factor = broadcast<double>(scale);
    for (ptrdiff_t j = 0; j < n; ++j) {
      const F64 p = factor * maximum(none, (columns[j] - root) - low);
      columns[j] = select<double>(look.ordinary, p, columns[j]);
    }
    store_part<double>(tau + first, select<double>(look.ordinary, root, look.nan), rows);
  });
}

template <Kind kind, class T>
void short_power_of(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, double slope, double power,
                    bool derivative, double* tau) {
  for_short_rows<double>(x, out, n_rows, n, [&](F64* columns, ptrdiff_t first, ptrdiff_t rows) {
    const ShortRows<double> look = look_near(columns, n, slope > 0 ? 1 / slope : -1 / slope);
    F64 w[kShortRow];
    const F64 nowhere = broadcast<double>(slope > 0 ? -kInfinity<double> : 1e300);
    for (ptrdiff_t j = 0; j < n; ++j) {
      const F64 v = broadcast<double>(slope) * (columns[j] - look.max);
      w[j] = select<double>(less<double>(broadcast<double>(-kInfinity<double>), columns[j]), v,
                            nowhere);
    }
    F64 drop;
    constexpr bool kSingle = sizeof(T) == 4;
    const F64 factor = solve_power<kind, kSingle>(w, n, power, derivative, drop);
    const F64 exponent = broadcast<double>(derivative ? power - 1 : power);
    for (ptrdiff_t j = 0; j < n; ++j) {
      const F64 p = factor * lane_result<kind>(w[j] - drop, exponent, power, derivative);
      columns[j] = select<double>(look.ordinary, p, columns[j]);
    }
    store_part<double>(tau + first, select<double>(look.ordinary, drop, look.nan), rows);
  });
}
template <class T>
void short_power(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, double slope, double power,
                 bool derivative, double* tau) {
  if (power == 2) {
    short_power_of<Kind::square>(x, out, n_rows, n, slope, power, derivative, tau);
  } else {
    short_power_of<Kind::general>(x, out, n_rows, n, slope, power, derivative, tau);
  }
}

template <class T>
constexpr simplex::SparseKernels<T> kKernels = {extremes<T>,   filter<T>,       filter_sum<T>,
                                                power_sums<T>, write_linear<T>, write_power<T>,
                                                zero_past<T>,  short_linear<T>, short_power<T>};

}  // namespace

extern const simplex::SimplexSparseKernels simplex_sparse_kernels;
const simplex::SimplexSparseKernels simplex_sparse_kernels = {kKernels<double>, kKernels<float>};

}  // namespace kexue::KEXUE_ISA
