// The EMO loss beside its matrix product; see kexue/transport/emo_kernels.hpp.
#include "kexue/transport/emo_kernels.hpp"
#include "lanes.hpp"
#include "vector_math.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using transport::RowUnits;
using transport::UnitScale;
using transport::WeighedSums;

template <class T>
struct Units {
  Vec<T> shift, power, lowest, factor;

  explicit Units(const RowUnits<T>& u)
      : shift(broadcast<T>(u.shift)),
        power(broadcast<T>(u.power)),
        lowest(broadcast<T>(u.lowest)),
        factor(broadcast<T>(u.factor)) {}
  // NaN stays NaN.
  KEXUE_INLINE Vec<T> exponential(Vec<T> z) const {
    return exp_lowered<false>(maximum(z - shift, lowest), zero<T>(), power);
  }
  KEXUE_INLINE Vec<T> probability(Vec<T> z) const { return factor * exponential(z); }
};

// The sum of the lanes in double, in a fixed order.
template <class T>
KEXUE_INLINE double wide_total(Vec<T> v) {
  T lane[kLanes<T>];
  store<T>(lane, v);
  double sum = 0;
  for (int i = 0; i < kLanes<T>; ++i) sum += static_cast<double>(lane[i]);
  return sum;
}

template <class T>
T largest_of(const T* z, ptrdiff_t n) {
  constexpr ptrdiff_t kStep = kLanes<T>;
  Vec<T> top[4];
  for (auto& v : top) v = broadcast<T>(-kInfinity<T>);
  ptrdiff_t i = 0;
  for (; i + 4 * kStep <= n; i += 4 * kStep) {
    KEXUE_UNROLL
    for (int u = 0; u < 4; ++u) top[u] = maximum(top[u], load<T>(z + i + u * kStep));
  }
  for (; i < n; i += kStep) {
    top[0] = maximum(top[0], load_up_to<T>(z + i, n - i, -kInfinity<T>));
  }
  return largest<T>(maximum(maximum(top[0], top[1]), maximum(top[2], top[3])));
}

template <class T>
double exponentials(const T* z, ptrdiff_t n, const RowUnits<T>& row) {
  constexpr ptrdiff_t kStep = kLanes<T>, kUnroll = 4, kBlock = 16 * kUnroll * kStep;
  const Units<T> units(row);
  double sum = 0;
  for (ptrdiff_t first = 0; first < n; first += kBlock) {
    const ptrdiff_t last = n - first < kBlock ? n : first + kBlock;
    Vec<T> part[kUnroll];
    KEXUE_UNROLL
    for (int u = 0; u < kUnroll; ++u) part[u] = zero<T>();
    ptrdiff_t i = first;
    for (; i + kUnroll * kStep <= last; i += kUnroll * kStep) {
      KEXUE_UNROLL
      for (int u = 0; u < kUnroll; ++u) part[u] += units.exponential(load<T>(z + i + u * kStep));
    }
    for (; i < last; i += kStep) {
      part[0] += units.exponential(load_up_to<T>(z + i, last - i, -kInfinity<T>));
    }
    sum += wide_total<T>((part[0] + part[1]) + (part[2] + part[3]));
  }
  return sum;
}

// f(i, count) for every vector of [0, n); count lanes of it are there.
template <class T, class F>
KEXUE_INLINE void for_vectors(ptrdiff_t n, F&& f) {
  constexpr ptrdiff_t kStep = kLanes<T>;
  ptrdiff_t i = 0;
  for (; i + kStep <= n; i += kStep) f(i, kStep);
  if (i < n) f(i, n - i);
}
template <class T>
KEXUE_INLINE void store_up_to(T* p, Vec<T> v, ptrdiff_t n) {
  if (n >= kLanes<T>) {
    store<T>(p, v);
  } else {
    store_part<T>(p, v, n);
  }
}

template <class T>
WeighedSums weigh(const T* z, const T* s, T* g, ptrdiff_t n, const RowUnits<T>& row) {
  const Units<T> units(row);
  Vec<T> cost = zero<T>(), similarity = zero<T>();
  for_vectors<T>(n, [&](ptrdiff_t i, ptrdiff_t count) {
    const Vec<T> p = units.probability(load_up_to<T>(z + i, count, -kInfinity<T>));
    const Vec<T> similar = load_up_to<T>(s + i, count, T(1));
    const Vec<T> weighed = p * similar;
    store_up_to<T>(g + i, weighed, count);
    similarity += weighed;
    cost = multiply_add(p, maximum(zero<T>(), broadcast<T>(1) - similar), cost);
  });
  return {wide_total<T>(cost), wide_total<T>(similarity)};
}

template <class T>
void combine(const T* z, const T* tau, T* g, ptrdiff_t n, const RowUnits<T>& row, T a, T b, T c) {
  const Units<T> units(row);
  const Vec<T> va = broadcast<T>(a), vb = broadcast<T>(b), vc = broadcast<T>(-c);
  for_vectors<T>(n, [&](ptrdiff_t i, ptrdiff_t count) {
    const Vec<T> p = units.probability(load_up_to<T>(z + i, count, -kInfinity<T>));
    Vec<T> v = multiply_add(va, load_up_to<T>(g + i, count, T(0)), vb * p);
    if (tau != nullptr) v = multiply_add(vc, load_up_to<T>(tau + i, count, T(0)), v);
    store_up_to<T>(g + i, v, count);
  });
}

// ---- Rows of embeddings -------------------------------------------------------------------------

template <class T>
KEXUE_INLINE F64 load_wide_up_to(const T* p, ptrdiff_t n) {
  return n >= kLanes<double> ? load_wide(p) : load_wide_part<T>(p, n, 0.0);
}

template <class T>
double squares(const T* x, ptrdiff_t n) {
  constexpr ptrdiff_t kStep = kLanes<double>;
  F64 sum[4];
  for (auto& v : sum) v = zero<double>();
  ptrdiff_t i = 0;
  for (; i + 4 * kStep <= n; i += 4 * kStep) {
    KEXUE_UNROLL
    for (int u = 0; u < 4; ++u) {
      const F64 v = load_wide(x + i + u * kStep);
      sum[u] = multiply_add(v, v, sum[u]);
    }
  }
  for (; i < n; i += kStep) {
    const F64 v = load_wide_up_to<T>(x + i, n - i);
    sum[0] = multiply_add(v, v, sum[0]);
  }
  return total<double>((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

template <class T>
double half_distance(const T* x, UnitScale<double> a, const T* y, UnitScale<double> b,
                     ptrdiff_t n) {
  const F64 ap = broadcast<double>(a.power), af = broadcast<double>(a.factor);
  const F64 bp = broadcast<double>(b.power), bf = broadcast<double>(b.factor);
  F64 sum = zero<double>();
  for_vectors<double>(n, [&](ptrdiff_t i, ptrdiff_t count) {
    const F64 left = load_wide_up_to<T>(x + i, count) * ap * af;
    const F64 right = load_wide_up_to<T>(y + i, count) * bp * bf;
    const F64 d = left - right;
    sum = multiply_add(d, d, sum);
  });
  return 0.5 * total<double>(sum);
}

template <class T>
void scale(const T* x, UnitScale<T> by, T* out, ptrdiff_t n) {
  const Vec<T> power = broadcast<T>(by.power), factor = broadcast<T>(by.factor);
  for_vectors<T>(n, [&](ptrdiff_t i, ptrdiff_t count) {
    store_up_to<T>(out + i, load_up_to<T>(x + i, count, T(0)) * power * factor, count);
  });
}

// Square blocks of a vector's length are turned in registers.
template <class T>
void pack(const T* x, ptrdiff_t stride, const UnitScale<T>* by, ptrdiff_t n_rows, ptrdiff_t depth,
          ptrdiff_t width, T* out) {
  constexpr ptrdiff_t kLane = kLanes<T>;
  for (ptrdiff_t j = 0; j < width; j += kLane) {
    for_vectors<T>(depth, [&](ptrdiff_t k, ptrdiff_t count) {
      Vec<T> block[kLane];
      KEXUE_UNROLL
      for (int r = 0; r < kLane; ++r) {
        block[r] = zero<T>();
        if (j + r < n_rows) {
          const UnitScale<T> s = by[j + r];
          block[r] = load_up_to<T>(x + (j + r) * stride + k, count, T(0)) * broadcast<T>(s.power) *
                     broadcast<T>(s.factor);
        }
      }
      transpose<T>(block);
      for (ptrdiff_t r = 0; r < count; ++r) store<T>(out + (k + r) * width + j, block[r]);
    });
  }
}

template <class T>
constexpr transport::EmoKernels<T> table() {
  return {&largest_of<T>, &exponentials<T>,  &weigh<T>, &combine<T>,
          &squares<T>,    &half_distance<T>, &scale<T>, &pack<T>};
}

}  // namespace

extern const transport::EmoTables emo_tables;
const transport::EmoTables emo_tables = {table<float>(), table<double>()};

}  // namespace kexue::KEXUE_ISA
