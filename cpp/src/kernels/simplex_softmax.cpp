// The exponential family (kexue/simplex/kernels.hpp): softmax, log_softmax, logsumexp.
//
// No maximum is subtracted: x = k log 2 + r is reduced as it is and the row's own power of two goes
// into the scaling by 2^(k - power), after Dukhan and Ablavatski (The two-pass softmax algorithm,
// 2020). So no rounding of x - max enters, which in float32 costs 16 ulp at a distance of 50.
#include "kexue/simplex/kernels.hpp"
#include "lanes.hpp"
#include "simplex_lanes.hpp"
#include "vector_math.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using simplex::Exponential;

constexpr bool kFused = KEXUE_X86_BYTES >= 32;

// |x scale| <= 2048, beyond it the caller subtracts the maximum (`shift`): k has at most 12 bits
// (f32) or 16 (f64, in sixteenths), and k times the upper part of log 2 is exact.
constexpr double kReach = 2000;
template <class T>
constexpr T kDepth = sizeof(T) == 8 ? T(760) : T(110);  // e^-depth is 0

template <class T>
struct Lowered {
  Vec<T> shift, scale, scale_low, lowest, power;
};

// v scale as high + low
template <class T, bool kUnit>
KEXUE_INLINE void scaled(Vec<T> v, const Lowered<T>& f, Vec<T>& high, Vec<T>& low) {
  if constexpr (kUnit) {
    high = v;
  } else {
    high = v * f.scale;
    low = multiply_add(v, f.scale_low, multiply_add(v, f.scale, zero<T>() - high));
  }
}

template <bool kUnit>
KEXUE_INLINE F64 exponential(F64 x, const Lowered<double>& f) {
  using C = SixteenthConstants;
  const F64 v = maximum(x - f.shift, f.lowest);
  F64 high, low;
  scaled<double, kUnit>(v, f, high, low);
  const F64 rounder = broadcast<double>(Format<double>::kRounder);
  const F64 shifted = multiply_add(high, broadcast<double>(C::kPerUnit), rounder);
  const F64 n = shifted - rounder;
  F64 r = multiply_add(n, broadcast<double>(-C::kHigh), high);
  if constexpr (!kUnit) r += low;
  r = multiply_add(n, broadcast<double>(-C::kLow), r);
  return exp_from_sixteenths(shifted, n, r, f.power);
}
template <bool kUnit>
KEXUE_INLINE F32 exponential(F32 x, const Lowered<float>& f) {
  using C = ExpConstants<float>;
  // Unfused, the upper part is short enough for exact products.
  constexpr float kHigh = kFused ? 0x1.62e4p-1f : 0x1.63p-1f;
  constexpr float kLow = kFused ? 0x1.7f7d1cp-20f : -0x1.bd0106p-13f;
  const F32 v = maximum(x - f.shift, f.lowest);
  F32 high, low;
  scaled<float, kUnit>(v, f, high, low);
  const F32 rounder = broadcast<float>(Format<float>::kRounder);
  const F32 k = multiply_add(high, broadcast<float>(C::kInverseLn2), rounder) - rounder;
  F32 r = multiply_add(k, broadcast<float>(-kHigh), high);
  if constexpr (!kUnit) r += low;
  r = multiply_add(k, broadcast<float>(-kLow), r);
  const F32 rest = multiply_add(r * r, polynomial<float>(r, C::kSeries), r);
  return scale_by_power(broadcast<float>(1) + rest, k - f.power);
}

template <class T>
Lowered<T> lowered(const Exponential<T>& f) {
  return {broadcast<T>(f.shift), broadcast<T>(f.scale), broadcast<T>(f.scale_low),
          broadcast<T>(f.lowest), broadcast<T>((T)f.power)};
}
template <class T>
bool unit(const Exponential<T>& f) {
  return f.scale == 1 && f.scale_low == 0;
}

// ---- One row ------------------------------------------------------------------------------------

// Float vectors are summed eight at a time before they become double.
template <class T>
KEXUE_INLINE void add_block(CarefulSum& sum, Vec<T> v) {
  if constexpr (sizeof(T) == 8) {
    sum.add(v);
  } else {
    F64 wide[2];
    widen(v, wide);
    sum.add(wide[0] + wide[1]);
  }
}

template <bool kUnit, bool kKeep, class T>
double exponentials_of(const T* x, T* out, ptrdiff_t n, const Exponential<T>& f) {
  constexpr ptrdiff_t kStep = kLanes<T>, kBlock = 8;
  const Lowered<T> constants = lowered(f);
  CarefulSum sum;
  ptrdiff_t i = 0;
  for (; i + kBlock * kStep <= n; i += kBlock * kStep) {
    Vec<T> e[kBlock];
    KEXUE_UNROLL
    for (int j = 0; j < kBlock; ++j) {
      e[j] = exponential<kUnit>(load<T>(x + i + j * kStep), constants);
      if constexpr (kKeep) store<T>(out + i + j * kStep, e[j]);
    }
    add_block<T>(sum, ((e[0] + e[1]) + (e[2] + e[3])) + ((e[4] + e[5]) + (e[6] + e[7])));
  }
  for (; i < n; i += kStep) {
    const Vec<T> e = exponential<kUnit>(load_up_to<T>(x + i, n - i, -kInfinity<T>), constants);
    if constexpr (kKeep) {
      if (n - i >= kStep) {
        store<T>(out + i, e);
      } else {
        store_part<T>(out + i, e, n - i);
      }
    }
    add_block<T>(sum, e);
  }
  const SumPair pair = sum.total();
  return pair.high + pair.low;
}
template <class T>
double exponentials(const T* x, T* out, ptrdiff_t n, const Exponential<T>& f) {
  if (out != nullptr) {
    return unit(f) ? exponentials_of<true, true>(x, out, n, f)
                   : exponentials_of<false, true>(x, out, n, f);
  }
  return unit(f) ? exponentials_of<true, false>(x, out, n, f)
                 : exponentials_of<false, false>(x, out, n, f);
}

template <class T>
void scale(const T* x, T* out, ptrdiff_t n, T factor, bool past) {
  const Vec<T> by = broadcast<T>(factor);
  map_vectors<T>(x, out, n, T(0), past, [&](Vec<T> v) { return v * by; });
}

template <class T>
void write(const T* x, T* out, ptrdiff_t n, const Exponential<T>& f, T factor, bool past) {
  const Lowered<T> constants = lowered(f);
  const Vec<T> by = broadcast<T>(factor);
  if (unit(f)) {
    map_vectors<T>(x, out, n, -kInfinity<T>, past,
                   [&](Vec<T> v) { return by * exponential<true>(v, constants); });
  } else {
    map_vectors<T>(x, out, n, -kInfinity<T>, past,
                   [&](Vec<T> v) { return by * exponential<false>(v, constants); });
  }
}

// The logarithm of a probability: rounding may have carried it past zero.
template <class T>
KEXUE_INLINE Vec<T> not_positive(Vec<T> v) {
  return select<T>(less<T>(zero<T>(), v), zero<T>(), v);
}
template <class T>
void write_log(const T* x, T* out, ptrdiff_t n, const Exponential<T>& f, T level, T level_low,
               bool past) {
  const Vec<T> scale = broadcast<T>(f.scale), scale_low = broadcast<T>(f.scale_low);
  const Vec<T> high = broadcast<T>(level), low = broadcast<T>(level_low);
  if (unit(f)) {
    map_vectors<T>(x, out, n, -kInfinity<T>, past,
                   [&](Vec<T> v) { return not_positive<T>((v - high) - low); });
    return;
  }
  const Vec<T> lowest = broadcast<T>(-kInfinity<T>);
  map_vectors<T>(x, out, n, -kInfinity<T>, past, [&](Vec<T> v) {
    const Vec<T> y = multiply_add(v, scale, zero<T>() - high);
    // -inf times scale_low would be NaN.
    return not_positive<T>(select<T>(less<T>(lowest, v), multiply_add(v, scale_low, y - low), v));
  });
}

// ---- Short rows: one per lane -------------------------------------------------------------------

template <bool kUnit, class T>
void short_rows_of(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, T scale, T scale_low,
                   double* lse) {
  for_short_rows<T>(x, out, n_rows, n, [&](Vec<T>* columns, ptrdiff_t first, ptrdiff_t rows) {
    const ShortRows<T> look = look_at<T>(columns, n);
    Lowered<T> f;
    f.scale = broadcast<T>(scale);
    f.scale_low = broadcast<T>(scale_low);
    const Mask<T> near = less<T>(absolute<T>(look.max) * f.scale, broadcast<T>((T)kReach));
    f.shift = select<T>(near, zero<T>(), look.max);
    const Vec<T> top = (look.max - f.shift) * f.scale;
    const Vec<T> rounder = broadcast<T>(Format<T>::kRounder);
    f.power = multiply_add(top, broadcast<T>((T)ExpConstants<T>::kInverseLn2), rounder) - rounder;
    f.lowest = (look.max - f.shift) - broadcast<T>(kDepth<T>) / f.scale;
    // Fours are added with their rounding errors: a plain sum of 128 would cost several ulp.
    Vec<T> sum = zero<T>(), low = zero<T>();
    Vec<T> e[simplex::kShortRow + 4];
    for (ptrdiff_t c = 0; c < n; c += 4) {
      KEXUE_UNROLL
      for (int j = 0; j < 4; ++j) {
        e[c + j] = c + j < n ? exponential<kUnit>(columns[c + j], f) : zero<T>();
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
    if (lse == nullptr) return;
    T high[kLanes<T>], base[kLanes<T>], power[kLanes<T>];
    store<T>(high, select<T>(look.ordinary, sum, look.nan));
    store<T>(base, f.shift);
    store<T>(power, f.power);
    constexpr int kHalf = kLanes<double>;
    for (int part = 0; part < kLanes<T> && part < rows; part += kHalf) {
      const F64 by = broadcast<double>((double)scale + (double)scale_low);
      const F64 level =
          multiply_add(load_wide(power + part), broadcast<double>(0x1.62e42fefa39efp-1),
                       load_wide(base + part) * by);
      const F64 value = level + log(load_wide(high + part));
      store_part<double>(lse + first + part, value, rows - part < kHalf ? rows - part : kHalf);
    }
  });
}
template <class T>
void short_rows(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, T scale, T scale_low,
                double* lse) {
  if (scale == 1 && scale_low == 0) {
    short_rows_of<true>(x, out, n_rows, n, scale, scale_low, lse);
  } else {
    short_rows_of<false>(x, out, n_rows, n, scale, scale_low, lse);
  }
}

template <class T>
constexpr simplex::SoftmaxKernels<T> kKernels = {exponentials<T>, scale<T>, write<T>, write_log<T>,
                                                 short_rows<T>};

}  // namespace

extern const simplex::SimplexSoftmaxKernels simplex_softmax_kernels;
const simplex::SimplexSoftmaxKernels simplex_softmax_kernels = {kKernels<double>, kKernels<float>};

}  // namespace kexue::KEXUE_ISA
