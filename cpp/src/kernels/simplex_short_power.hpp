// Short rows of the power family (kexue/simplex/kernels.hpp), one per lane.
#pragma once

#include "kexue/simplex/kernels.hpp"
#include "simplex_lanes.hpp"
#include "simplex_short_sorted.hpp"

namespace kexue::KEXUE_ISA {
namespace {

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
// u^exponent for u > 0: to about 2^-23 and 2^-30 of the result, for the iteration and for results
// in single precision. No division; a third of the work of exp and log (AVX-512).
#if KEXUE_X86_BYTES == 64
KEXUE_INLINE F32 quick_power(F32 u, F32 exponent) {
  // log2(1 + t) / t on [-1/4, 1/2], 2^f on [-1/2, 1/2]
  constexpr float kLog[] = {0x1.715476p+0f,  -0x1.715494p-1f, 0x1.ec71fep-2f,
                            -0x1.713c8cp-2f, 0x1.270e12p-2f,  -0x1.f0a6aap-3f,
                            0x1.bbb8f8p-3f,  -0x1.6939c2p-3f, 0x1.488fcap-4f};
  constexpr float kPower[] = {0x1.000002p+0f, 0x1.62e432p-1f, 0x1.ebf906p-3f,
                              0x1.c6ae2cp-5f, 0x1.3d107ap-7f, 0x1.5f8906p-10f};
  const F32 e = _mm512_maskz_getexp_ps(0xffff, u * broadcast<float>(4.0f / 3));
  const F32 t = scale_by_power(u, zero<float>() - e) - broadcast<float>(1);
  const F32 y = exponent * multiply_add(t, polynomial<float>(t, kLog), e);
  const F32 k = _mm512_maskz_roundscale_ps(0xffff, y, 0);
  return scale_by_power(polynomial<float>(y - k, kPower), k);
}
KEXUE_INLINE F64 quick_power(F64 u, F64 exponent) {
  // 1/c and log2 c for c in the middle of sixteenths of [1, 2); log2(1 + r)/r on |r| <= 1/32
  alignas(64) static constexpr double kInverse[16] = {
      0x1.f07c1f07c1f08p-1, 0x1.d41d41d41d41dp-1, 0x1.bacf914c1bad0p-1, 0x1.a41a41a41a41ap-1,
      0x1.8f9c18f9c18fap-1, 0x1.7d05f417d05f4p-1, 0x1.6c16c16c16c17p-1, 0x1.5c9882b931057p-1,
      0x1.4e5e0a72f0539p-1, 0x1.4141414141414p-1, 0x1.3521cfb2b78c1p-1, 0x1.29e4129e4129ep-1,
      0x1.1f7047dc11f70p-1, 0x1.15b1e5f75270dp-1, 0x1.0c9714fbcda3bp-1, 0x1.0410410410410p-1};
  alignas(64) static constexpr double kLogs[16] = {
      0x1.6bad3758efd81p-5, 0x1.08c588cda79e5p-3, 0x1.acf5e2db4ec91p-3, 0x1.24407ab0e073ap-2,
      0x1.6e221cd9d0cddp-2, 0x1.b47ebf73882a1p-2, 0x1.f7a8568cb06cep-2, 0x1.1bf311e95d00ep-1,
      0x1.3abb3faa02168p-1, 0x1.5848226989d34p-1, 0x1.74b1fd64e0754p-1, 0x1.900e6160002cep-1,
      0x1.aa708f58014d4p-1, 0x1.c3e9ca2e1a055p-1, 0x1.dc899ab3ff56cp-1, 0x1.f45e08bcf0656p-1};
  constexpr double kLog[] = {0x1.71547652c82bdp+0, -0x1.715473970d1c7p-1, 0x1.ec70919408cf2p-2,
                             -0x1.71a68475ee050p-2, 0x1.27d942c6f50e2p-2};
  constexpr double kPower[] = {1, 0x1.62e42fefa39efp-1, 0x1.ebfbdff82c58fp-3, 0x1.c6b08d704a0c0p-5,
                               0x1.3b2ab6fba4e77p-7};
  const F64 e = _mm512_maskz_getexp_pd(0xff, u);
  const F64 m = scale_by_power(u, zero<double>() - e);
  const __m512i index = (__m512i)shift_right<double>(bits(m), 48);
  const F64 inverse =
      _mm512_permutex2var_pd(_mm512_load_pd(kInverse), index, _mm512_load_pd(kInverse + 8));
  const F64 base = _mm512_permutex2var_pd(_mm512_load_pd(kLogs), index, _mm512_load_pd(kLogs + 8));
  const F64 r = multiply_add(m, inverse, broadcast<double>(-1));
  const F64 y = exponent * multiply_add(r, polynomial<double>(r, kLog), e + base);
  const F64 shifted = y + broadcast<double>(Format<double>::kRounder * 0.0625);
  const F64 k = shifted - broadcast<double>(Format<double>::kRounder * 0.0625);
  const F64 part = polynomial<double>(y - k, kPower) * sixteenths(bits(shifted));
  return scale_by_power(part, _mm512_maskz_roundscale_pd(0xff, k, _MM_FROUND_FLOOR));
}
#else
KEXUE_INLINE F32 quick_power(F32 u, F32 exponent) {
  return exp(exponent * log_of_normal<float>(maximum(broadcast<float>(1e-37f), u)));
}
KEXUE_INLINE F64 quick_power(F64 u, F64 exponent) {
  return exp(exponent * log_of_normal<double>(maximum(broadcast<double>(1e-300), u)));
}
#endif

// The sums to single precision: a vector of float holds two columns.
KEXUE_INLINE LaneSums rough_sums(const F32* w, ptrdiff_t n_pairs, double power, F64 drop) {
  const F32 none = broadcast<float>(0), one = broadcast<float>(1);
  const F32 exponent = broadcast<float>((float)(power - 1));
  float lane[kLanes<float>];
  store_narrow(lane, drop);
  store_narrow(lane + kLanes<double>, drop);
  const F32 both = load<float>(lane);
  F32 sum = none, slope_sum = none;
  for (ptrdiff_t j = 0; j < n_pairs; ++j) {
    const F32 u = one + (w[j] - both);
    const Mask<float> inside = less<float>(none, u);
    const F32 t = select<float>(inside, quick_power(u, exponent), none);
    sum += select<float>(inside, t * u, none);
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
  if (rough) drop = rough_drop(w, n, power, 1.001);
  LaneSums at = lane_sums<kind>(w, n, power, drop);
  // The first step may go back.
  drop += select<double>(less<double>(none, at.slope_sum), norm_step<kind>(at, power), none);
  // An entry where the support ends is zero only if the drop is right to the last digit.
  const F64 limit = broadcast<double>(1 + (kSingle && kind != Kind::square ? 1e-11 : 4e-16));
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

// Results in single precision for 2 <= power < 20 (alpha from 1.05 to 1.5): p to about 1e-9, from
// t = u^{P-1} before the last step of Newton's iteration, (u - step)^P = t (u - P step) to first
// order in a step of 1e-6.
F64 solve_single(const F64* w, ptrdiff_t n, double power, F64* p) {
  const F64 none = broadcast<double>(0), one = broadcast<double>(1);
  const F64 exponent = broadcast<double>(power - 1);
  F64 t[kShortRow], step = none;
  F64 drop = rough_drop(w, n, power, 1 + 4e-6);
  for (int iteration = 0; iteration < 60; ++iteration) {
    LaneSums at{none, none};
    for (ptrdiff_t j = 0; j < n; ++j) {
      p[j] = one + (w[j] - drop);
      const Mask<double> inside = less<double>(none, p[j]);
      t[j] = select<double>(inside, quick_power(p[j], exponent), none);
      at.sum += select<double>(inside, t[j] * p[j], none);
      at.slope_sum += t[j];
    }
    step =
        select<double>(less<double>(none, at.slope_sum), norm_step<Kind::general>(at, power), none);
    drop += step;
    if (above(at.sum, broadcast<double>(1 + 1e-5)) == 0) break;
  }
  const F64 whole = step * broadcast<double>(power);
  const F64 near = maximum(step, none - step) * broadcast<double>(64);
  for (ptrdiff_t j = 0; j < n; ++j) {
    const F64 u = p[j], after = u - step;
    // Not far from where the support ends, the power itself.
    const Mask<double> edge = less<double>(u, near) & less<double>(none, after);
    p[j] = t[j] * (u - whole);
    if (any<double>(edge)) {
      const F64 exact = quick_power(maximum(broadcast<double>(1e-300), after), exponent) * after;
      p[j] = select<double>(edge, exact, p[j]);
    }
    p[j] = select<double>(less<double>(none, after), p[j], none);
  }
  return drop;
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
    if (kSingle && kind == Kind::general && power >= 2 && power < 20 && !derivative) {
      F64 p[kShortRow];
      drop = solve_single(w, n, power, p);
      for (ptrdiff_t j = 0; j < n; ++j) {
        columns[j] = select<double>(look.ordinary, p[j], columns[j]);
      }
      store_part<double>(tau + first, select<double>(look.ordinary, drop, look.nan), rows);
      return;
    }
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
#if KEXUE_X86_BYTES == 64
  if (power == 2 && !derivative && n <= kSortedRow) {
    return with_columns(
        n, [&](auto columns) { square_sorted_of<columns.value>(x, out, n_rows, n, slope, tau); });
  }
#endif
  if (power == 2) {
    short_power_of<Kind::square>(x, out, n_rows, n, slope, power, derivative, tau);
  } else {
    short_power_of<Kind::general>(x, out, n_rows, n, slope, power, derivative, tau);
  }
}

}  // namespace
}  // namespace kexue::KEXUE_ISA
