// The exponential family (kexue/simplex/kernels.hpp): softmax, log_softmax, logsumexp.
//
// No maximum is subtracted: x = k log 2 + r is reduced as it is and the row's own power of two goes
// into the scaling by 2^(k - power), after Dukhan and Ablavatski (The two-pass softmax algorithm,
// 2020). So no rounding of x - max enters, which in float32 costs 16 ulp at a distance of 50.
#include "kexue/simplex/kernels.hpp"
#include "lanes.hpp"
#include "simplex_exponential.hpp"
#include "simplex_lanes.hpp"
#include "simplex_short_softmax.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using simplex::Beside;
using simplex::Exponential;

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

template <class T>
constexpr simplex::SoftmaxKernels<T> kKernels = {exponentials<T>, scale<T>, write<T>, write_log<T>,
                                                 short_rows<T>};

}  // namespace

extern const simplex::SimplexSoftmaxKernels simplex_softmax_kernels;
const simplex::SimplexSoftmaxKernels simplex_softmax_kernels = {kKernels<double>, kKernels<float>};

}  // namespace kexue::KEXUE_ISA
