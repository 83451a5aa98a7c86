// Entropic transport: exponentials of rows, their products with vectors, extents of costs.
#include "kexue/transport/sinkhorn_kernels.hpp"
#include "lanes.hpp"
#include "sinkhorn_rows.hpp"

namespace kexue::transport::KEXUE_ISA {
namespace {

using namespace kexue::KEXUE_ISA;

// ---- Products -----------------------------------------------------------------------------------

template <class R, int rows>
KEXUE_INLINE void dots_of(const R* k, ptrdiff_t stride, const double* w, ptrdiff_t padded,
                          double* sums) {
  F64 even[rows], odd[rows];
  for (int r = 0; r < rows; ++r) even[r] = odd[r] = zero<double>();
  for (ptrdiff_t j = 0; j < padded; j += 2 * kWide) {
    const F64 w0 = load<double>(w + j), w1 = load<double>(w + j + kWide);
    KEXUE_UNROLL
    for (int r = 0; r < rows; ++r) {
      even[r] = multiply_add(load_wide(k + r * stride + j), w0, even[r]);
      odd[r] = multiply_add(load_wide(k + r * stride + j + kWide), w1, odd[r]);
    }
  }
  for (int r = 0; r < rows; ++r) sums[r] = total<double>(even[r] + odd[r]);
}

template <class R>
void dots(const R* k, ptrdiff_t stride, ptrdiff_t rows, const double* w, ptrdiff_t padded,
          double* sums) {
  if (rows == kBlockRows) {
    dots_of<R, kBlockRows>(k, stride, w, padded, sums);
  } else {
    for (ptrdiff_t r = 0; r < rows; ++r) dots_of<R, 1>(k + r * stride, 0, w, padded, sums + r);
  }
}

template <class R, int rows>
KEXUE_INLINE void add_of(const R* k, ptrdiff_t stride, const double* coefficients, double* t,
                         ptrdiff_t padded) {
  F64 factor[rows];
  for (int r = 0; r < rows; ++r) factor[r] = broadcast<double>(coefficients[r]);
  for (ptrdiff_t j = 0; j < padded; j += 2 * kWide) {
    F64 t0 = load<double>(t + j), t1 = load<double>(t + j + kWide);
    KEXUE_UNROLL
    for (int r = 0; r < rows; ++r) {
      t0 = multiply_add(load_wide(k + r * stride + j), factor[r], t0);
      t1 = multiply_add(load_wide(k + r * stride + j + kWide), factor[r], t1);
    }
    store<double>(t + j, t0);
    store<double>(t + j + kWide, t1);
  }
}

template <class R>
void add(const R* k, ptrdiff_t stride, ptrdiff_t rows, const double* coefficients, double* t,
         ptrdiff_t padded) {
  if (rows == kBlockRows) {
    add_of<R, kBlockRows>(k, stride, coefficients, t, padded);
  } else {
    for (ptrdiff_t r = 0; r < rows; ++r) {
      add_of<R, 1>(k + r * stride, 0, coefficients + r, t, padded);
    }
  }
}

// A relaxed step never falls below a quarter of the plain one.
void relax(const double* x, double omega, double* y, ptrdiff_t n) {
  const F64 none = zero<double>(), one = broadcast<double>(1);
  const F64 take = broadcast<double>(omega), keep = broadcast<double>(1 - omega);
  for (ptrdiff_t j = 0; j < n; j += kWide) {
    const F64 value = load_up_to<double>(x + j, n - j, 1.0);
    F64 next = one / select<double>(less<double>(none, value), value, one);
    if (omega != 1) {
      const F64 old = load_up_to<double>(y + j, n - j, 1.0), least = broadcast<double>(0.25) * next;
      next = maximum(multiply_add(keep, old, take * next), least);
    }
    if (j + kWide <= n) {
      store<double>(y + j, next);
    } else {
      store_part<double>(y + j, next, n - j);
    }
  }
}

// Rows that fit into the first-level cache together: their sums do not wait for one another.
constexpr ptrdiff_t kResidentBytes = 24 * 1024;

template <class R>
KEXUE_INLINE ptrdiff_t resident_rows(ptrdiff_t padded) {
  const ptrdiff_t row_bytes = padded * static_cast<ptrdiff_t>(sizeof(R));
  const ptrdiff_t rows = kResidentBytes / row_bytes / kBlockRows * kBlockRows;
  return rows < kBlockRows ? kBlockRows : rows;
}

template <class R>
void balanced(const R* k, ptrdiff_t stride, ptrdiff_t rows, const double* w, const double* a,
              double omega, double* s, double* u, double* t, ptrdiff_t padded) {
  const ptrdiff_t at_once = resident_rows<R>(padded);
  for (ptrdiff_t begin = 0; begin < rows; begin += at_once) {
    const ptrdiff_t end = begin + at_once < rows ? begin + at_once : rows;
    ptrdiff_t i = begin;
    for (; i + kBlockRows <= end; i += kBlockRows) {
      dots_of<R, kBlockRows>(k + i * stride, stride, w, padded, s + i);
    }
    for (; i < end; ++i) dots_of<R, 1>(k + i * stride, 0, w, padded, s + i);
    relax(s + begin, omega, u + begin, end - begin);
    for (i = begin; i < end; i += kBlockRows) {
      const ptrdiff_t count = end - i < kBlockRows ? end - i : kBlockRows;
      double coefficients[kBlockRows];
      for (ptrdiff_t r = 0; r < count; ++r) coefficients[r] = a[i + r] * u[i + r];
      add(k + i * stride, stride, count, coefficients, t, padded);
    }
  }
}

template <int rows>  // in float32: relative errors of about 1e-6
KEXUE_INLINE void coarse_dots(const float* k, ptrdiff_t stride, const float* w, ptrdiff_t padded,
                              double* sums) {
  F32 sum[rows];
  for (int r = 0; r < rows; ++r) sum[r] = zero<float>();
  for (ptrdiff_t j = 0; j < padded; j += kLanes<float>) {
    const F32 x = load<float>(w + j);
    KEXUE_UNROLL
    for (int r = 0; r < rows; ++r) {
      sum[r] = multiply_add(load<float>(k + r * stride + j), x, sum[r]);
    }
  }
  for (int r = 0; r < rows; ++r) sums[r] = static_cast<double>(total<float>(sum[r]));
}

template <int rows>
KEXUE_INLINE void coarse_add(const float* k, ptrdiff_t stride, const double* a, const double* u,
                             float* t, ptrdiff_t padded) {
  F32 factor[rows];
  for (int r = 0; r < rows; ++r) factor[r] = broadcast<float>(static_cast<float>(a[r] * u[r]));
  for (ptrdiff_t j = 0; j < padded; j += kLanes<float>) {
    F32 sum = load<float>(t + j);
    KEXUE_UNROLL
    for (int r = 0; r < rows; ++r) {
      sum = multiply_add(load<float>(k + r * stride + j), factor[r], sum);
    }
    store<float>(t + j, sum);
  }
}

void coarse(const float* k, ptrdiff_t stride, ptrdiff_t rows, const float* w, const double* a,
            double omega, double* s, double* u, float* t, ptrdiff_t padded) {
  const ptrdiff_t at_once = resident_rows<float>(padded);
  for (ptrdiff_t begin = 0; begin < rows; begin += at_once) {
    const ptrdiff_t end = begin + at_once < rows ? begin + at_once : rows;
    ptrdiff_t i = begin;
    for (; i + kBlockRows <= end; i += kBlockRows) {
      coarse_dots<kBlockRows>(k + i * stride, stride, w, padded, s + i);
    }
    for (; i < end; ++i) coarse_dots<1>(k + i * stride, 0, w, padded, s + i);
    relax(s + begin, omega, u + begin, end - begin);
    i = begin;
    for (; i + kBlockRows <= end; i += kBlockRows) {
      coarse_add<kBlockRows>(k + i * stride, stride, a + i, u + i, t, padded);
    }
    for (; i < end; ++i) coarse_add<1>(k + i * stride, 0, a + i, u + i, t, padded);
  }
}

template <class R>
double cost(const double* c, const R* k, const double* w, ptrdiff_t m) {
  F64 sum = zero<double>();
  for (ptrdiff_t j = 0; j < m; j += kWide) {
    const F64 mass = load_wide(k + j) * load<double>(w + j);
    const F64 value = load_up_to<double>(c + j, m - j, 0.0);
    const F64 term = select<double>(less<double>(zero<double>(), mass), value, zero<double>());
    sum = multiply_add(term, mass, sum);
  }
  return total<double>(sum);
}

template <class R>
void scale(const R* k, const double* w, double coefficient, double* out, ptrdiff_t m) {
  const F64 factor = broadcast<double>(coefficient);
  for (ptrdiff_t j = 0; j < m; j += kWide) {
    const F64 product = (load_wide(k + j) * load<double>(w + j)) * factor;
    if (j + kWide <= m) {
      store<double>(out + j, product);
    } else {
      store_part<double>(out + j, product, m - j);
    }
  }
}

// ---- Costs --------------------------------------------------------------------------------------

CostExtent extent(const double* c, ptrdiff_t m) {
  const F64 infinite = broadcast<double>(kInfinity<double>);
  const F64 lowest_normal = broadcast<double>(-kInfinity<double>);
  F64 lowest = infinite, highest = lowest_normal;
  I64 finite = zero<std::int64_t>(), allowed = zero<std::int64_t>();
  for (ptrdiff_t j = 0; j < m; j += kWide) {
    const F64 x = load_up_to<double>(c + j, m - j, kInfinity<double>);
    const I64 below = less<double>(x, infinite);
    const I64 ordinary = below & less<double>(lowest_normal, x);
    finite = finite + ordinary;
    allowed = allowed + (ordinary | less<double>(broadcast<double>(1.7e308), x));
    lowest = select<double>(less<double>(x, lowest), x, lowest);
    highest = select<double>(ordinary & less<double>(highest, x), x, highest);
  }
  CostExtent result = {kInfinity<double>, -kInfinity<double>, 0, false};
  std::int64_t n_finite = 0, n_allowed = 0;
  for (int i = 0; i < kWide; ++i) {
    result.lowest = lowest[i] < result.lowest ? lowest[i] : result.lowest;
    result.highest = highest[i] > result.highest ? highest[i] : result.highest;
    n_finite -= finite[i];
    n_allowed -= allowed[i];
  }
  result.finite = static_cast<ptrdiff_t>(n_finite);
  result.invalid = n_allowed != (m + kWide - 1) / kWide * kWide;
  return result;
}

void lower(const double* c, double f, double* h, ptrdiff_t m) {
  const F64 vf = broadcast<double>(f);
  for (ptrdiff_t j = 0; j < m; j += kWide) {
    const F64 x = load_up_to<double>(c + j, m - j, kInfinity<double>) - vf;
    const F64 old = load<double>(h + j);
    store<double>(h + j, select<double>(less<double>(x, old), x, old));
  }
}

void lower_and_raise(const double* c, double f, double* h, double* top, ptrdiff_t m) {
  const F64 vf = broadcast<double>(f), infinite = broadcast<double>(kInfinity<double>);
  for (ptrdiff_t j = 0; j < m; j += kWide) {
    const F64 x = load_up_to<double>(c + j, m - j, kInfinity<double>) - vf;
    const F64 low = load<double>(h + j), high = load<double>(top + j);
    store<double>(h + j, select<double>(less<double>(x, low), x, low));
    const I64 raised = less<double>(high, x) & less<double>(x, infinite);
    store<double>(top + j, select<double>(raised, x, high));
  }
}

Extremes extremes(const double* x, const double* weight, ptrdiff_t n) {
  const F64 none = zero<double>(), one = broadcast<double>(1);
  const F64 infinite = broadcast<double>(kInfinity<double>);
  F64 low = one, high = one;
  I64 sound = less<double>(none, one);
  for (ptrdiff_t i = 0; i < n; i += kWide) {
    const F64 value = load_up_to<double>(x + i, n - i, 1.0);
    const I64 counts = less<double>(none, load_up_to<double>(weight + i, n - i, 0.0));
    const F64 y = select<double>(counts, value, one);
    low = select<double>(less<double>(y, low), y, low);
    high = select<double>(less<double>(high, y), y, high);
    sound = sound & less<double>(none, y) & less<double>(y, infinite);
  }
  Extremes result = {1, 1, true};
  for (int i = 0; i < kWide; ++i) {
    result.low = low[i] < result.low ? low[i] : result.low;
    result.high = high[i] > result.high ? high[i] : result.high;
    result.sound = result.sound && sound[i] != 0;
  }
  return result;
}

double column_error(const double* v, const double* t, const double* b, double* c,
                    ptrdiff_t padded) {
  F64 sum = zero<double>();
  for (ptrdiff_t j = 0; j < padded; j += kWide) {
    const F64 ratio = load<double>(v + j) * load<double>(t + j);
    store<double>(c + j, ratio);
    const F64 distance = absolute<double>(broadcast<double>(1) - ratio);
    sum = multiply_add(load<double>(b + j), distance, sum);
  }
  return total<double>(sum);
}

void point_costs(const double* x, ptrdiff_t d, const double* y, ptrdiff_t padded, PointCost kind,
                 double* out) {
  for (ptrdiff_t j = 0; j < padded; j += kWide) {
    F64 sum = zero<double>();
    if (kind == PointCost::cityblock) {
      for (ptrdiff_t k = 0; k < d; ++k) {
        sum += absolute<double>(broadcast<double>(x[k]) - load<double>(y + k * padded + j));
      }
    } else {
      for (ptrdiff_t k = 0; k < d; ++k) {
        const F64 step = broadcast<double>(x[k]) - load<double>(y + k * padded + j);
        sum = multiply_add(step, step, sum);
      }
      if (kind == PointCost::euclidean) sum = square_root<double>(sum);
    }
    store<double>(out + j, sum);
  }
}

void point_pull(const double* x, ptrdiff_t d, const double* y, ptrdiff_t padded, PointCost kind,
                const double* c, const double* p, double* pull) {
  const F64 none = zero<double>(), one = broadcast<double>(1);
  for (ptrdiff_t k = 0; k < d; ++k) {
    const F64 at = broadcast<double>(x[k]);
    F64 sum = none;
    for (ptrdiff_t j = 0; j < padded; j += kWide) {
      F64 slope = at - load<double>(y + k * padded + j);
      if (kind == PointCost::sqeuclidean) {
        slope = slope + slope;
      } else if (kind == PointCost::euclidean) {
        const F64 length = load<double>(c + j);
        const I64 apart = less<double>(none, length);
        slope = select<double>(apart, slope / select<double>(apart, length, one), none);
      } else {
        slope = select<double>(less<double>(none, slope), one,
                               select<double>(less<double>(slope, none), none - one, none));
      }
      sum = multiply_add(slope, load<double>(p + j), sum);
    }
    pull[k] = total<double>(sum);
  }
}

}  // namespace

extern const SinkhornKernels sinkhorn_kernels;
const SinkhornKernels sinkhorn_kernels = {
    {exponentials_f32, dots<float>, add<float>, balanced<float>, cost<float>, scale<float>},
    {exponentials_f64, dots<double>, add<double>, balanced<double>, cost<double>, scale<double>},
    extent,
    lower,
    lower_and_raise,
    extremes,
    column_error,
    relax,
    coarse,
    point_costs,
    point_pull};

}  // namespace kexue::transport::KEXUE_ISA
