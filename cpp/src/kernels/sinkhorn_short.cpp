// Balanced entropic problems whose kernel stays in the nearest caches: the whole solution in one
// call. Both products are sums of rows times numbers, of K and of its transpose, so that no sum
// runs across a vector.
#include "kexue/transport/relaxation.hpp"
#include "kexue/transport/sinkhorn_kernels.hpp"
#include "lanes.hpp"
#include "vector_math.hpp"

namespace kexue::transport::KEXUE_ISA {
namespace {

using namespace kexue::KEXUE_ISA;

constexpr ptrdiff_t kWide = kLanes<double>;
// Passes before the rate is believed, between two looks at it, and after which the work is judged.
constexpr ptrdiff_t kPlainPasses = 3, kLookEvery = 3, kJudgedAfter = 8;

constexpr ptrdiff_t whole(ptrdiff_t n) { return (n + kWide - 1) / kWide * kWide; }

// out_j = sum_i x_i k[i * ld + j] for `vectors` vectors of j.
template <int vectors>
KEXUE_INLINE void sum_of_rows(const double* k, ptrdiff_t rows, ptrdiff_t ld, const double* x,
                              double* out) {
  F64 even[vectors], odd[vectors];
  KEXUE_UNROLL
  for (int h = 0; h < vectors; ++h) even[h] = odd[h] = zero<double>();
  ptrdiff_t i = 0;
  for (; i + 2 <= rows; i += 2) {
    const F64 x0 = broadcast<double>(x[i]), x1 = broadcast<double>(x[i + 1]);
    KEXUE_UNROLL
    for (int h = 0; h < vectors; ++h) {
      even[h] = multiply_add(load<double>(k + i * ld + h * kWide), x0, even[h]);
      odd[h] = multiply_add(load<double>(k + (i + 1) * ld + h * kWide), x1, odd[h]);
    }
  }
  if (i < rows) {
    const F64 x0 = broadcast<double>(x[i]);
    KEXUE_UNROLL
    for (int h = 0; h < vectors; ++h) {
      even[h] = multiply_add(load<double>(k + i * ld + h * kWide), x0, even[h]);
    }
  }
  KEXUE_UNROLL
  for (int h = 0; h < vectors; ++h) store<double>(out + h * kWide, even[h] + odd[h]);
}

KEXUE_INLINE void product(const double* k, ptrdiff_t rows, ptrdiff_t ld, const double* x,
                          double* out) {
  ptrdiff_t j = 0;
  for (; j + 4 * kWide <= ld; j += 4 * kWide) sum_of_rows<4>(k + j, rows, ld, x, out + j);
  for (; j + 2 * kWide <= ld; j += 2 * kWide) sum_of_rows<2>(k + j, rows, ld, x, out + j);
  for (; j < ld; j += kWide) sum_of_rows<1>(k + j, rows, ld, x, out + j);
}

// Scratch and the two orders of the kernel; vectors of length n and m are padded with zero masses.
struct Short {
  ptrdiff_t ld_k, ld_t;
  double *k, *t;             // K (n, ld_k) and its transpose (m, ld_t)
  double *a, *u, *s, *x;     // along ld_t
  double *b, *v, *sums, *w;  // along ld_k
};

Short place(const ShortProblem& p) {
  const ptrdiff_t ld_k = whole(p.m), ld_t = whole(p.n);
  double* const t = p.scratch + ld_t * ld_k;
  double *const rows = t + ld_k * ld_t, *const cols = rows + 4 * ld_t;
  return {ld_k, ld_t,        p.scratch,       t,
          rows, rows + ld_t, rows + 2 * ld_t, rows + 3 * ld_t,
          cols, cols + ld_k, cols + 2 * ld_k, cols + 3 * ld_k};
}

void pad(const double* from, ptrdiff_t n, double* to) {
  for (ptrdiff_t j = 0; j < whole(n); ++j) to[j] = j < n ? from[j] : 0.0;
}

// f_i = min_j c_ij; whether c_ij - f_i stays below `widest`, which no inf or NaN does.
bool lowest_of_rows(const double* c, ptrdiff_t stride, ptrdiff_t n, ptrdiff_t m, double widest,
                    double* f) {
  I64 narrow = less<double>(zero<double>(), broadcast<double>(1));
  for (ptrdiff_t i = 0; i < n; ++i, c += stride) {
    const F64 first = broadcast<double>(c[0]);
    F64 low = first, high = first;
    I64 known = equal<double>(first, first);
    for (ptrdiff_t j = 0; j < m; j += kWide) {
      const F64 x = load_up_to<double>(c + j, m - j, c[0]);
      known = known & equal<double>(x, x);
      low = select<double>(less<double>(x, low), x, low);
      high = select<double>(less<double>(high, x), x, high);
    }
    const double least = -largest<double>(zero<double>() - low);
    f[i] = least;
    narrow =
        narrow & known & less<double>(high - broadcast<double>(least), broadcast<double>(widest));
  }
  for (int h = 0; h < kWide; ++h) {
    if (narrow[h] == 0) return false;
  }
  return true;
}

void fill(const ShortProblem& p, const Short& q) {
  const F64 inverse = broadcast<double>(1 / p.reg), infinite = broadcast<double>(kInfinity<double>);
  for (ptrdiff_t i = 0; i < q.ld_t; i += kWide) {
    for (ptrdiff_t j = 0; j < q.ld_k; j += kWide) {
      F64 block[kWide];
      for (ptrdiff_t r = 0; r < kWide; ++r) {
        block[r] = zero<double>();
        if (i + r < p.n) {
          const F64 c =
              load_up_to<double>(p.c + (i + r) * p.stride + j, p.m - j, kInfinity<double>);
          const F64 y = exp((broadcast<double>(p.base_f[i + r]) - c) * inverse);
          block[r] = select<double>(less<double>(c, infinite), y, zero<double>());
        }
        store<double>(q.k + (i + r) * q.ld_k + j, block[r]);
      }
      transpose<double>(block);
      for (ptrdiff_t r = 0; r < kWide; ++r) store<double>(q.t + (j + r) * q.ld_t + i, block[r]);
    }
  }
}

// sum mass |1 - y sum|
KEXUE_INLINE double off(const double* sum, const double* mass, const double* y, ptrdiff_t padded) {
  F64 error = zero<double>();
  for (ptrdiff_t j = 0; j < padded; j += kWide) {
    const F64 ratio = load<double>(y + j) * load<double>(sum + j);
    const F64 distance = absolute<double>(broadcast<double>(1) - ratio);
    error = multiply_add(load<double>(mass + j), distance, error);
  }
  return total<double>(error);
}

// y = (1 - omega) y + omega / sum, which never falls below a quarter of 1 / sum; product = mass y.
KEXUE_INLINE void relax(const double* sum, const double* mass, double omega, double* y,
                        double* product, ptrdiff_t padded) {
  const F64 one = broadcast<double>(1), none = zero<double>();
  const F64 take = broadcast<double>(omega), keep = broadcast<double>(1 - omega);
  for (ptrdiff_t j = 0; j < padded; j += kWide) {
    const F64 total = load<double>(sum + j), old = load<double>(y + j);
    const F64 weight = load<double>(mass + j);
    const F64 inverse = one / select<double>(less<double>(none, total), total, one);
    const F64 mixed = multiply_add(keep, old, take * inverse);
    const F64 least = broadcast<double>(0.25) * inverse;
    const F64 next =
        omega == 1 ? inverse : select<double>(less<double>(mixed, least), least, mixed);
    store<double>(y + j, next);
    store<double>(product + j, weight * next);
  }
}

struct Pace {
  double omega = 1, at_look = 0, last = 0;
  bool relaxes = true;
  double next(double error, ptrdiff_t pass) {
    if (pass >= kPlainPasses && pass % kLookEvery == 0 && relaxes) {
      const double rate = omega == 1 ? error / last : __builtin_cbrt(error / at_look);
      if (omega > 1 && !(rate < 1)) {
        relaxes = false;  // too bold somewhere: plain steps always descend
        omega = 1;
      } else if (omega == 1) {
        omega = best_relaxation(rate);
      } else {
        omega = better_relaxation(omega, rate);
      }
      at_look = error;
    }
    last = error;
    return omega;
  }
};

// Whether the passes that are left will do, at the rate of the best relaxation.
bool hopeful(double error, double tol, double omega, ptrdiff_t left) {
  const double rate = omega - 1 > 0.05 ? omega - 1 : 0.05;
  for (ptrdiff_t i = 0; i < left && error > tol; ++i) error *= rate;
  return error <= tol;
}

ShortAnswer finish(const ShortProblem& p, const Short& q) {
  ShortAnswer out = {};
  double total_mass = 0, pa = 0, pb = 0, primal = 0, dual = 0;
  const F64 reg = broadcast<double>(p.reg);
  for (ptrdiff_t i = 0; i < q.ld_t; i += kWide) {
    store<double>(q.x + i, log(load<double>(q.u + i)) * reg);
  }
  for (ptrdiff_t j = 0; j < q.ld_k; j += kWide) {
    store<double>(q.w + j, log(load<double>(q.v + j)) * reg);
  }
  for (ptrdiff_t i = 0; i < p.n; ++i) {
    const double f = p.base_f[i] + q.x[i], row = q.a[i] * q.u[i] * q.s[i];
    p.f[i] = f;
    p.left[i] = q.a[i] * q.u[i];
    total_mass += row;
    pa += q.a[i];
    primal += row * f;
    dual += q.a[i] * f;
  }
  for (ptrdiff_t j = 0; j < p.m; ++j) {
    const double col = q.b[j] * q.v[j] * q.sums[j];
    p.g[j] = q.w[j];
    pb += q.b[j];
    primal += col * q.w[j];
    dual += q.b[j] * q.w[j];
    q.w[j] = p.right[j] = q.b[j] * q.v[j];
  }
  for (ptrdiff_t i = 0; i < p.n; ++i) {
    F64 sum = zero<double>();
    for (ptrdiff_t j = 0; j < p.m; j += kWide) {
      const F64 mass = load<double>(q.k + i * q.ld_k + j) * load<double>(q.w + j);
      sum = multiply_add(load_up_to<double>(p.c + i * p.stride + j, p.m - j, 0.0), mass, sum);
    }
    out.value += p.left[i] * total<double>(sum);
  }
  out.objective = primal - p.reg * (total_mass - pa * pb);
  // See Semidual::energies.
  dual -= p.reg * (total_mass - pa * pb);
  out.dual = dual < out.objective ? dual : out.objective;
  return out;
}

ShortAnswer solve_short(const ShortProblem& p) {
  ShortAnswer out = {};
  if (!lowest_of_rows(p.c, p.stride, p.n, p.m, kShortReach * p.reg, p.base_f)) return out;
  const Short q = place(p);
  pad(p.a, p.n, q.a);
  pad(p.b, p.m, q.b);
  fill(p, q);
  for (ptrdiff_t i = 0; i < q.ld_t; ++i) q.u[i] = 1;
  for (ptrdiff_t j = 0; j < q.ld_k; ++j) {
    q.v[j] = 1;
    q.w[j] = q.b[j];
  }
  product(q.t, p.m, q.ld_t, q.w, q.s);
  relax(q.s, q.a, 1, q.u, q.x, q.ld_t);
  Pace pace;
  bool exact = true;  // rows
  for (ptrdiff_t pass = 1; pass <= p.max_passes; ++pass) {
    product(q.k, p.n, q.ld_k, q.x, q.sums);
    out.passes = pass;
    const double error = off(q.sums, q.b, q.v, q.ld_k);
    if (exact && error <= p.tol) {
      const double rows = off(q.s, q.a, q.u, q.ld_t);
      if (!(rows <= p.tol)) break;  // a sum underflowed
      out = finish(p, q);
      out.error = error < rows ? rows : error;
      out.passes = pass;
      out.solved = true;
      break;
    }
    double omega = pace.next(error, pass);
    if (pass == kJudgedAfter && !hopeful(error, p.tol, omega, p.max_passes)) break;
    // The last steps are plain, so that rows are exact.
    if (error <= 2 * p.tol) omega = 1;
    relax(q.sums, q.b, omega, q.v, q.w, q.ld_k);
    product(q.t, p.m, q.ld_t, q.w, q.s);
    relax(q.s, q.a, omega, q.u, q.x, q.ld_t);
    exact = omega == 1;
  }
  return out;
}

void entries(const double* c, ptrdiff_t n, ptrdiff_t m, double reg, const double* base_f,
             const double* base_g, const double* left, const double* right, double* out) {
  const F64 inverse = broadcast<double>(1 / reg);
  const F64 low = broadcast<double>(-708), high = broadcast<double>(720);
  for (ptrdiff_t i = 0; i < n; ++i, c += m, out += m) {
    const F64 f = broadcast<double>(base_f[i]), factor = broadcast<double>(left[i]);
    for (ptrdiff_t j = 0; j < m; j += kWide) {
      const F64 g = load_up_to<double>(base_g + j, m - j, 0.0);
      const F64 w = load_up_to<double>(right + j, m - j, 0.0);
      const F64 x = ((f + g) - load_up_to<double>(c + j, m - j, 0.0)) * inverse;
      const F64 e = exp(clamp(x, low, high));
      const F64 y = (select<double>(less<double>(x, low), zero<double>(), e) * w) * factor;
      if (j + kWide <= m) {
        store<double>(out + j, y);
      } else {
        store_part<double>(out + j, y, m - j);
      }
    }
  }
}

}  // namespace

extern const ShortKernels short_kernels;
const ShortKernels short_kernels = {solve_short, entries};

}  // namespace kexue::transport::KEXUE_ISA
