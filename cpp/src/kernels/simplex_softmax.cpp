// The exponential family (kexue/simplex/kernels.hpp): softmax, log_softmax, logsumexp.
//
// No maximum is subtracted: x = k log 2 + r is reduced as it is and the row's own power of two goes
// into the scaling by 2^(k - power), after Dukhan and Ablavatski (The two-pass softmax algorithm,
// 2020). So no rounding of x - max enters, which in float32 costs 16 ulp at a distance of 50.
#include "kexue/simplex/kernels.hpp"
#include "lanes.hpp"
#include "simplex_exponential.hpp"
#include "simplex_lanes.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using simplex::Beside;
using simplex::Exponential;

// Up to here x scale is reduced as it is; beyond, the caller subtracts the maximum (`shift`).
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

template <bool kUnit, class T, bool kShifted = true>
KEXUE_INLINE Vec<T> exponential(Vec<T> x, const Lowered<T>& f) {
  Vec<T> high, low = zero<T>();
  if constexpr (kShifted) x = x - f.shift;
  scaled<T, kUnit>(x, f, high, low);
  return exp_lifted<!kUnit>(high, low, f.power, x, f.lowest);
}

template <class T>
Lowered<T> lowered(const Exponential<T>& f) {
  return {broadcast<T>(f.shift), broadcast<T>(f.scale), broadcast<T>(f.scale_low),
          broadcast<T>(f.lowest), broadcast<T>((T)f.power)};
}
template <class T>
bool unit(const Exponential<T>& f) {
  return f.scale == 1 && f.scale_low == 0 && f.shift == 0;
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

// Entries before the first that a vector past the cache can be written to.
template <class T>
KEXUE_INLINE ptrdiff_t aligned_from(const T* out, ptrdiff_t n) {
  const auto misplaced = reinterpret_cast<std::uintptr_t>(out) % KEXUE_VECTOR_BYTES;
  const auto head =
      static_cast<ptrdiff_t>((KEXUE_VECTOR_BYTES - misplaced) % KEXUE_VECTOR_BYTES / sizeof(T));
  return head < n ? head : n;
}

template <class T>
void scale(const T* x, T* out, ptrdiff_t n, T factor, bool past) {
  const Vec<T> by = broadcast<T>(factor);
  map_vectors<T>(x, out, n, T(0), past, [&](Vec<T> v) { return v * by; });
}

// Rows up to here are fetched while the one before is in work: with what is kept of that, they fit
// a second-level cache of 1 MiB.
template <class T>
constexpr ptrdiff_t kFetched = (ptrdiff_t{1} << 18) / (ptrdiff_t)sizeof(T);
// To the second level: the first has room for few lines that are on their way, and the rows in work
// fill it (AVX-512, float32, rows of 4096: 0.42 ns an entry with the first, 0.29 with the second).
template <class T>
KEXUE_INLINE void prefetch_far(const T* p, ptrdiff_t n) {
#if defined(__GNUC__) || defined(__clang__)
  for (ptrdiff_t i = 0; i < n; i += 64 / (ptrdiff_t)sizeof(T)) __builtin_prefetch(p + i, 0, 2);
#else
  (void)p;
  (void)n;
#endif
}

template <bool kUnit, bool kKeep, bool kBeside, class T>
double exponentials_of(const T* x, T* out, ptrdiff_t n, const Exponential<T>& f,
                       const Beside<T>& beside) {
  constexpr ptrdiff_t kStep = kLanes<T>, kBlock = 8;
  const Lowered<T> constants = lowered(f);
  const Vec<T> factor = broadcast<T>(beside.factor);
  CarefulSum sum;
  ptrdiff_t i = 0, written = kBeside && beside.done != nullptr ? aligned_from(beside.out, n) : n;
  if (kBeside && beside.done != nullptr)
    scale(beside.done, beside.out, written, beside.factor, false);
  const bool fetch = kBeside && n <= kFetched<T>;
  for (; i + kBlock * kStep <= n; i += kBlock * kStep) {
    if constexpr (kBeside) {
      if (fetch) prefetch_far(beside.ahead + i, kBlock * kStep);
      // First, because out may be what is done.
      if (written + kBlock * kStep <= n) {
        KEXUE_UNROLL
        for (int j = 0; j < kBlock; ++j) {
          store_past<T>(beside.out + written, factor * load<T>(beside.done + written));
          written += kStep;
        }
      } else if (written < n) {
        scale(beside.done + written, beside.out + written, n - written, beside.factor, false);
        written = n;
      }
    }
    Vec<T> e[kBlock];
    KEXUE_UNROLL
    for (int j = 0; j < kBlock; ++j) {
      e[j] = exponential<kUnit, T, !kUnit>(load<T>(x + i + j * kStep), constants);
      if constexpr (kKeep) store<T>(out + i + j * kStep, e[j]);
    }
    add_block<T>(sum, ((e[0] + e[1]) + (e[2] + e[3])) + ((e[4] + e[5]) + (e[6] + e[7])));
  }
  if (written < n) {
    scale(beside.done + written, beside.out + written, n - written, beside.factor, false);
  }
  for (; i < n; i += kStep) {
    const Vec<T> v = load_up_to<T>(x + i, n - i, -kInfinity<T>);
    const Vec<T> e = exponential<kUnit, T, !kUnit>(v, constants);
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
template <bool kKeep, bool kBeside, class T>
double exponentials_like(const T* x, T* out, ptrdiff_t n, const Exponential<T>& f,
                         const Beside<T>& beside) {
  return unit(f) ? exponentials_of<true, kKeep, kBeside>(x, out, n, f, beside)
                 : exponentials_of<false, kKeep, kBeside>(x, out, n, f, beside);
}
template <class T>
double exponentials(const T* x, T* out, ptrdiff_t n, const Exponential<T>& f,
                    const Beside<T>* beside) {
  const Beside<T> nothing{nullptr, nullptr, T(0), nullptr};
  if (beside != nullptr) {
    return out != nullptr ? exponentials_like<true, true>(x, out, n, f, *beside)
                          : exponentials_like<false, true>(x, out, n, f, *beside);
  }
  return out != nullptr ? exponentials_like<true, false>(x, out, n, f, nothing)
                        : exponentials_like<false, false>(x, out, n, f, nothing);
}

template <class T>
void write(const T* x, T* out, ptrdiff_t n, const Exponential<T>& f, T factor, bool past) {
  const Lowered<T> constants = lowered(f);
  const Vec<T> by = broadcast<T>(factor);
  if (unit(f)) {
    map_vectors<T>(x, out, n, -kInfinity<T>, past,
                   [&](Vec<T> v) { return by * exponential<true, T, false>(v, constants); });
  } else {
    map_vectors<T>(x, out, n, -kInfinity<T>, past,
                   [&](Vec<T> v) { return by * exponential<false, T>(v, constants); });
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

// ---- Short rows ---------------------------------------------------------------------------------

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

// Rows as they lie in memory, kLanes<T> at a time: what belongs to a row is folded to one lane.
// kPerRow vectors make a row; 0: as many as it takes.
template <int kPerRow, bool kUnit, class T>
ptrdiff_t rows_in_vectors(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, T scale, T scale_low,
                          double* lse) {
  constexpr int kLane = kLanes<T>;
  const ptrdiff_t count = kPerRow > 0 ? kPerRow : (n + kLane - 1) / kLane;
  const ptrdiff_t tail = (count - 1) * kLane, rest = n - tail;
  const Vec<T> lowest = broadcast<T>(-kInfinity<T>);
  Vec<T> e[simplex::kShortRow], each[kLane];
  T shift[kLane], lowest_of[kLane], power[kLane], inverse[kLane];
  ptrdiff_t left = 0;
  for (ptrdiff_t first = 0; first < n_rows; first += kLane) {
    const ptrdiff_t rows = n_rows - first < kLane ? n_rows - first : kLane;
    const auto row = [&](ptrdiff_t r) { return (first + (r < rows ? r : rows - 1)) * n; };
    KEXUE_UNROLL
    for (int r = 0; r < kLane; ++r) {
      const T* from = x + row(r);
      each[r] = maximum(lowest, load_part<T>(from + tail, rest, -kInfinity<T>));
      for (ptrdiff_t j = 0; j < tail; j += kLane) each[r] = maximum(each[r], load<T>(from + j));
    }
    const Vec<T> max = fold<T>(each, [](Vec<T> a, Vec<T> b) { return maximum(a, b); });
    const Mask<T> finite = less<T>(max, zero<T>() - lowest) & less<T>(lowest, max);
    Lowered<T> f = lowered_below<T>(select<T>(finite, max, zero<T>()), scale, scale_low);
    const Lowered<T> units = f;
    store<T>(shift, f.shift);
    store<T>(lowest_of, f.lowest);
    store<T>(power, f.power);
    for (int r = 0; r < kLane; ++r) {
      const T* from = x + row(r);
      Vec<T>* kept = e + r * count;
      f.shift = broadcast<T>(shift[r]);
      f.lowest = broadcast<T>(lowest_of[r]);
      f.power = broadcast<T>(power[r]);
      kept[count - 1] = exponential<kUnit, T>(load_part<T>(from + tail, rest, -kInfinity<T>), f);
      // Four chains: equal terms stay exact powers of two times as long as possible.
      Vec<T> sum[4] = {kept[count - 1], zero<T>(), zero<T>(), zero<T>()};
      for (ptrdiff_t j = 0; j < count - 1; ++j) {
        kept[j] = exponential<kUnit, T>(load<T>(from + j * kLane), f);
        sum[(j + 1) % 4] += kept[j];
      }
      each[r] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
    const Vec<T> sum = fold<T>(each, [](Vec<T> a, Vec<T> b) { return a + b; });
    // A NaN of the row is one of its sum.
    const Mask<T> ordinary = finite & (differs<T>(sum) ^ broadcast<Bits<T>>(-1));
    const unsigned special = others<T>(ordinary, rows);
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
    const Vec<T> nan = real(broadcast<Bits<T>>(Format<T>::kNaN));
    write_levels<T>(select<T>(ordinary, sum, nan), units, (double)scale + (double)scale_low, rows,
                    lse + first);
  }
  return left;
}

template <bool kUnit, class T>
ptrdiff_t short_rows_of(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, T scale, T scale_low,
                        double* lse) {
  if constexpr (KEXUE_X86_BYTES < 64) {
    return rows_in_lanes<kUnit>(x, out, n_rows, n, scale, scale_low, lse);
  } else if (n <= kLanes<T>) {
    return rows_in_vectors<1, kUnit>(x, out, n_rows, n, scale, scale_low, lse);
  } else {
    return rows_in_vectors<0, kUnit>(x, out, n_rows, n, scale, scale_low, lse);
  }
}
template <class T>
ptrdiff_t short_rows(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n, T scale, T scale_low,
                     double* lse) {
  if (scale == 1 && scale_low == 0) {
    return short_rows_of<true>(x, out, n_rows, n, scale, scale_low, lse);
  }
  return short_rows_of<false>(x, out, n_rows, n, scale, scale_low, lse);
}

template <class T>
constexpr simplex::SoftmaxKernels<T> kKernels = {exponentials<T>, scale<T>, write<T>, write_log<T>,
                                                 short_rows<T>};

}  // namespace

extern const simplex::SimplexSoftmaxKernels simplex_softmax_kernels;
const simplex::SimplexSoftmaxKernels simplex_softmax_kernels = {kKernels<double>, kKernels<float>};

}  // namespace kexue::KEXUE_ISA
