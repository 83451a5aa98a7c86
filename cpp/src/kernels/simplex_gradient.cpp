// Vector-Jacobian products of the simplex area (kexue/simplex/kernels.hpp).
#include "kexue/simplex/kernels.hpp"
#include "lanes.hpp"
#include "simplex_lanes.hpp"
#include "vector_math.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using simplex::Weight;

template <Weight kind>
KEXUE_INLINE F64 weight_of(F64 p, F64 exponent) {
  const F64 none = broadcast<double>(0), one = broadcast<double>(1);
  if constexpr (kind == Weight::probability) return p;
  const Mask<double> inside = less<double>(none, p);
  if constexpr (kind == Weight::support) return select<double>(inside, one, none);
  if constexpr (kind == Weight::root) return square_root<double>(p);
  const F64 w = exp(exponent * log(select<double>(inside, p, one)));
  return select<double>(inside, w, none);
}

// <w, g> and sum w. Outside the support g is not read as a number: 0 times an infinite g is 0.
// With kSkip vectors without support are passed over.
struct Moments {
  CarefulSum product, weight;
};
template <Weight kind, bool kSkip = true, class T>
KEXUE_INLINE void add_moments(Moments& sums, const T* p, const T* g, ptrdiff_t n, F64 exponent) {
  constexpr ptrdiff_t kStep = kLanes<T>;
  const Vec<T> none = broadcast<T>(0);
  const F64 zeros = broadcast<double>(0);
  const auto add = [&](F64 pw, F64 gw) {
    const F64 w = weight_of<kind>(pw, exponent);
    sums.product.add(select<double>(less<double>(zeros, pw), w * gw, pw * zeros));
    sums.weight.add(w);
  };
  for (ptrdiff_t i = 0; i < n; i += kStep) {
    const Vec<T> pv = load_up_to<T>(p + i, n - i, T(0));
    if (kSkip && above(pv, none) == 0 && unordered(pv, pv) == 0) continue;
    const Vec<T> gv = load_up_to<T>(g + i, n - i, T(0));
    if constexpr (sizeof(T) == 8) {
      add(pv, gv);
    } else {
      F64 pw[2], gw[2];
      widen(pv, pw);
      widen(gv, gw);
      add(pw[0], gw[0]);
      add(pw[1], gw[1]);
    }
  }
}

// A row's product once its mean is known.
template <Weight kind, class T>
struct Product {
  F64 exponent, middle, by;
  Vec<T> special;
  bool nan;

  Product(F64 power, double scale, double mean)
      : exponent(power),
        middle(broadcast<double>(mean)),
        by(broadcast<double>(scale)),
        special(broadcast<T>((T)mean)),
        nan(mean != mean) {}

  // Of n entries. Past the cache dx is aligned, but for a part of a vector.
  template <bool kSkip = true>
  KEXUE_INLINE void write(const T* p, const T* g, T* dx, ptrdiff_t n, bool past) const {
    constexpr ptrdiff_t kStep = kLanes<T>;
    const F64 zeros = broadcast<double>(0);
    for (ptrdiff_t i = 0; i < n; i += kStep) {
      const Vec<T> pv = load_up_to<T>(p + i, n - i, T(0));
      Vec<T> v = zero<T>();
      if (nan) {
        v = special;
      } else if (!kSkip || above(pv, v) != 0) {
        const Vec<T> gv = load_up_to<T>(g + i, n - i, T(0));
        v = through_wide<T>(pv, gv, [&](F64 pw, F64 gw) {
          const F64 w = weight_of<kind>(pw, exponent);
          return select<double>(less<double>(zeros, pw), by * (w * (gw - middle)), pw * zeros);
        });
      }
      if (n - i < kStep) {
        store_part<T>(dx + i, v, n - i);
      } else if (past) {
        store_past<T>(dx + i, v);
      } else {
        store<T>(dx + i, v);
      }
    }
  }
};

KEXUE_INLINE double mean_of(double sum, double total) {
  return sum != sum ? sum : (total == 0 ? 0 : sum / total);
}

#if KEXUE_X86_BYTES == 64
KEXUE_INLINE F64 keep_where(unsigned bits, F64 v) { return _mm512_maskz_mov_pd((__mmask8)bits, v); }
KEXUE_INLINE F32 keep_where(unsigned bits, F32 v) {
  return _mm512_maskz_mov_ps((__mmask16)bits, v);
}
KEXUE_INLINE F64 root_of(F64 v) { return _mm512_maskz_sqrt_pd(0xff, v); }
KEXUE_INLINE F32 root_of(F32 v) { return _mm512_maskz_sqrt_ps(0xffff, v); }
// The sum of w over each of kLanes<double> rows of one vector, in double.
template <class T>
KEXUE_INLINE F64 row_sums(const Vec<T>* v) {
  F64 each[kLanes<double>];
  KEXUE_UNROLL
  for (int r = 0; r < kLanes<double>; ++r) {
    if constexpr (sizeof(T) == 8) {
      each[r] = v[r];
    } else {
      F64 wide[2];
      widen(v[r], wide);
      each[r] = wide[0] + wide[1];
    }
  }
  return fold<double>(each, [](F64 a, F64 b) { return a + b; });
}

// Rows of kVectors vectors: read once, and kept until their sums are known.
template <Weight kind, int kVectors, class T>
void vjp_of_vectors(const T* p, const T* g, T* dx, ptrdiff_t n_rows, ptrdiff_t n, double scale) {
  constexpr int kRows = kLanes<double>, kLane = kLanes<T>;
  const Vec<T> none = broadcast<T>(0), one = broadcast<T>(1), by = broadcast<T>((T)scale);
  const F64 zeros = broadcast<double>(0);
  for (ptrdiff_t first = 0; first < n_rows; first += kRows) {
    const ptrdiff_t rows = n_rows - first < kRows ? n_rows - first : kRows;
    Vec<T> w[kVectors][kRows], direction[kVectors][kRows];
    F64 sum = zeros, total = zeros;
    unsigned inside[kVectors][kRows];
    KEXUE_UNROLL
    for (int c = 0; c < kVectors; ++c) {
      Vec<T> product[kRows];
      KEXUE_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const ptrdiff_t at = (first + (r < rows ? r : rows - 1)) * n + c * kLane;
        const Vec<T> pv = load_up_to<T>(p + at, n - c * kLane, T(0));
        const Vec<T> gv = load_up_to<T>(g + at, n - c * kLane, T(0));
        inside[c][r] = above(pv, none);
        const Mask<T> support = less<T>(none, pv);
        Vec<T>&weight = w[c][r], &towards = direction[c][r];
        weight = kind == Weight::probability ? pv : select<T>(support, one, pv * none);
        if constexpr (kind == Weight::root) weight = root_of(pv);
        towards = select<T>(support, gv, pv * none);  // g counts inside, but NaN stays
        product[r] = kind == Weight::support ? towards : weight * towards;
      }
      sum += row_sums<T>(product);
      total += row_sums<T>(w[c]);
    }
    const F64 mean =
        select<double>(differs<double>(sum) | less<double>(zeros, total), sum / total, zeros);
    double means[kRows];
    store<double>(means, mean);
    for (ptrdiff_t r = 0; r < rows; ++r) {
      const T high = (T)means[r], low = (T)(means[r] - (double)high);
      KEXUE_UNROLL
      for (int c = 0; c < kVectors; ++c) {
        Vec<T> v = (direction[c][r] - broadcast<T>(high)) - broadcast<T>(low);
        if constexpr (kind != Weight::support) v = w[c][r] * v;
        v = means[r] != means[r] ? broadcast<T>(high) : keep_where(inside[c][r], by * v);
        const ptrdiff_t left = n - c * kLane;
        store_part<T>(dx + (first + r) * n + c * kLane, v, left < kLane ? left : kLane);
      }
    }
  }
}
#endif

// While a long row is summed, its vectors without support, most of a sparse map's, are written:
// only the others, which are noted, are visited again (128 rows of 50257, float32, sparsemax: 0.26
// ns an entry, against 0.40 in two passes through the cache; AVX-512).
template <Weight kind, class T>
void vjp_of_row(const T* p, const T* g, T* dx, ptrdiff_t n, F64 exponent, double scale, bool past) {
  constexpr ptrdiff_t kStep = kLanes<T>, kTile = 2048, kNotes = 512;
  ptrdiff_t notes[kNotes], noted = 0;
  const ptrdiff_t head = past ? aligned_from(dx, n) : 0;
  ptrdiff_t done = head;  // zero or noted from the head to here
  const Vec<T> none = zero<T>();
  Moments sums;
  for (ptrdiff_t begin = 0; begin < n; begin += kTile) {
    const ptrdiff_t end = begin + kTile < n ? begin + kTile : n;
    add_moments<kind>(sums, p + begin, g + begin, end - begin, exponent);
    if constexpr (kind == Weight::probability) continue;  // nothing is zero
    for (; done + kStep <= end && noted < kNotes; done += kStep) {
      const Vec<T> v = load<T>(p + done);
      if (above(v, none) != 0 || unordered(v, v) != 0) {
        notes[noted++] = done;
      } else if (past) {
        store_past<T>(dx + done, none);
      } else {
        store<T>(dx + done, none);
      }
    }
  }
  const SumPair a = sums.product.total(), b = sums.weight.total();
  const Product<kind, T> product(exponent, scale, mean_of(a.high + a.low, b.high + b.low));
  product.write(p, g, dx, head, false);
  if (product.nan) {
    done = head;
  } else {
    for (ptrdiff_t i = 0; i < noted; ++i) {
      product.write(p + notes[i], g + notes[i], dx + notes[i], kStep, past);
    }
  }
  product.write(p + done, g + done, dx + done, n - done, past);
}

// Short rows are summed as many at once as a vector has lanes, and their sums folded together.
template <Weight kind, class T>
void vjp_of(const T* p, const T* g, T* dx, ptrdiff_t n_rows, ptrdiff_t n, double power,
            double scale, bool past) {
  constexpr int kLane = kLanes<double>;
  // Which vectors of a short row have support is hard to predict: where the weight costs nothing,
  // and widening no way through memory, all of them take 0.4 to 0.75 of the time (sparsemax of
  // normal rows of 40 and 100), up to a fourth more in rows of 100 that have one or two entries.
  constexpr bool kSkip = kind != Weight::support || (sizeof(T) == 4 && KEXUE_VECTOR_BYTES != 64);
#if KEXUE_X86_BYTES == 64
  if constexpr (kind != Weight::power) {
    if (n <= kLanes<T>) return vjp_of_vectors<kind, 1>(p, g, dx, n_rows, n, scale);
    if (n <= 2 * kLanes<T>) return vjp_of_vectors<kind, 2>(p, g, dx, n_rows, n, scale);
  }
#endif
  const F64 exponent = broadcast<double>(power);
  if (n > simplex::kShortRow) {
    for (ptrdiff_t r = 0; r < n_rows; ++r) {
      vjp_of_row<kind>(p + r * n, g + r * n, dx + r * n, n, exponent, scale, past);
    }
    return;
  }
  for (ptrdiff_t first = 0; first < n_rows; first += kLane) {
    const ptrdiff_t rows = n_rows - first < kLane ? n_rows - first : kLane;
    F64 product[kLane], weight[kLane];
    for (F64& v : product) v = broadcast<double>(0);
    for (F64& v : weight) v = broadcast<double>(0);
    for (ptrdiff_t r = 0; r < rows; ++r) {
      const ptrdiff_t at = (first + r) * n;
      Moments sums;
      add_moments<kind, kSkip>(sums, p + at, g + at, n, exponent);
      product[r] = sums.product.lanes();
      weight[r] = sums.weight.lanes();
    }
    const auto plus = [](F64 a, F64 b) { return a + b; };
    double sum[kLane], total[kLane];
    store<double>(sum, fold<double>(product, plus));
    store<double>(total, fold<double>(weight, plus));
    for (ptrdiff_t r = 0; r < rows; ++r) {
      const ptrdiff_t at = (first + r) * n;
      const Product<kind, T> row(exponent, scale, mean_of(sum[r], total[r]));
      row.template write<kSkip>(p + at, g + at, dx + at, n, false);
    }
  }
}

template <class T>
void vjp(const T* p, const T* g, T* dx, ptrdiff_t n_rows, ptrdiff_t n, Weight weight,
         double exponent, double scale, bool past) {
  switch (weight) {
    case Weight::probability:
      return vjp_of<Weight::probability>(p, g, dx, n_rows, n, exponent, scale, past);
    case Weight::support:
      return vjp_of<Weight::support>(p, g, dx, n_rows, n, exponent, scale, past);
    case Weight::root:
      return vjp_of<Weight::root>(p, g, dx, n_rows, n, exponent, scale, past);
    default:
      return vjp_of<Weight::power>(p, g, dx, n_rows, n, exponent, scale, past);
  }
}

template <class T>
simplex::VjpSums power_sums(const T* p, const T* g, ptrdiff_t n, double exponent) {
  Moments sums;
  add_moments<Weight::power>(sums, p, g, n, broadcast<double>(exponent));
  const SumPair a = sums.product.total(), b = sums.weight.total();
  return {a.high + a.low, b.high + b.low};
}
template <class T>
void power_product(const T* p, const T* g, T* dx, ptrdiff_t n, double exponent, double scale,
                   double mean, bool past) {
  const Product<Weight::power, T> product(broadcast<double>(exponent), scale, mean);
  const ptrdiff_t head = past ? aligned_from(dx, n) : 0;
  product.write(p, g, dx, head, false);
  product.write(p + head, g + head, dx + head, n - head, past);
}

template <class T>
constexpr simplex::GradientKernels<T> kKernels = {vjp<T>, power_sums<T>, power_product<T>};

}  // namespace

extern const simplex::SimplexGradientKernels simplex_gradient_kernels;
const simplex::SimplexGradientKernels simplex_gradient_kernels = {kKernels<double>,
                                                                  kKernels<float>};

}  // namespace kexue::KEXUE_ISA
