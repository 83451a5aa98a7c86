#include "kexue/simplex/gradients.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kexue/core/constants.hpp"
#include "kexue/simplex/row_loop.hpp"
#include "kexue/simplex/rows.hpp"

namespace kexue::simplex {

using std::ptrdiff_t;

namespace {

Weight weight_of(double alpha) {
  if (alpha == 1) return Weight::probability;
  if (alpha == 2) return Weight::support;
  return alpha == 1.5 ? Weight::root : Weight::power;
}

// f(i) where p_i > 0, in order, Ctrl-C honoured.
template <class T, class F>
void for_positive(const T* p, ptrdiff_t n, F&& f) {
  for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t i = begin; i < end; ++i) {
      if (p[i] > 0) f(i);
    }
  });
}

// e^t - 1 - t without cancellation.
double exp_remainder(double t) {
  if (std::abs(t) > 0.5) return std::expm1(t) - t;
  double term = t * t / 2, sum = 0;
  for (int k = 3; k < 20 && sum + term != sum; ++k) {
    sum += term;
    term *= t / k;
  }
  return sum;
}

// p^{2 - alpha} cannot overflow up to this alpha, whatever p is.
constexpr double kModerate = 2.75;
// From e^{-b l} = e^kSteep on, 1 - b l is negligible beside it.
constexpr double kSteep = 40;

// alpha_derivative in terms of e_i = e^{-b (l_i - least)}, which does not overflow: with
// q_i = (1 - b l_i) / b,  dp_i/dalpha = p_i (q_i - e_i sum p q / sum p e) / b.
template <class T>
double steep_alpha_derivative(const T* p, const T* g, ptrdiff_t n, double b, double least) {
  double numerator = 0, denominator = 0, sum = 0;
  for_positive(p, n, [&](ptrdiff_t i) {
    const double v = p[i], l = std::log(v);
    numerator += v * (1 / b - l);
    denominator += v * std::exp(b * (least - l));
  });
  const double kappa = numerator / denominator;
  for_positive(p, n, [&](ptrdiff_t i) {
    const double v = p[i], l = std::log(v);
    const double e = std::exp(b * (least - l));
    sum += static_cast<double>(g[i]) * (v * ((1 / b - l) - kappa * e));
  });
  return sum / b;
}

// With b = alpha - 1 and l_i = log p_i: dp_i/dalpha = p_i (kappa e^{-b l_i} - E_i) / b^2, where
// E_i = e^{-b l_i} - 1 + b l_i and kappa = sum p E / sum p e^{-b l}; at b = 0 its limit
// p_i (sum p l^2 - l_i^2) / 2.
template <class T>
double alpha_derivative(const T* p, const T* g, ptrdiff_t n, double alpha) {
  const double b = alpha - 1;
  const bool limit = std::abs(b) < 1e-9;
  const auto remainder = [&](double l) {
    return limit ? l * l / 2 : exp_remainder(-b * l) / (b * b);
  };
  bool nan = false;
  T lowest = 1;
  for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t i = begin; i < end; ++i) {
      nan = nan || std::isnan(p[i]);
      if (p[i] > 0) lowest = std::min(lowest, p[i]);
    }
  });
  const double least = std::log(static_cast<double>(lowest));
  if (nan) return kNaN;
  if (std::isinf(b)) return 0;  // constant but for its jumps
  if (-b * least > kSteep) return steep_alpha_derivative(p, g, n, b, least);
  double numerator = 0, denominator = 0;
  for_positive(p, n, [&](ptrdiff_t i) {
    const double v = p[i], l = std::log(v);
    numerator += v * remainder(l);
    denominator += v * std::exp(-b * l);
  });
  if (denominator == 0) return 0;
  const double kappa = numerator / denominator;
  double sum = 0;
  for_positive(p, n, [&](ptrdiff_t i) {
    const double v = p[i], l = std::log(v);
    sum += static_cast<double>(g[i]) * v * (kappa * std::exp(-b * l) - remainder(l));
  });
  return sum;
}

// Whether p^exponent, exponent < 0, may leave the range of a double.
template <class T>
bool overflows(const T* p, ptrdiff_t n, double exponent) {
  T least = 1;
  for (ptrdiff_t i = 0; i < n; ++i) least = p[i] > 0 && p[i] < least ? p[i] : least;
  return !(exponent * std::log(static_cast<double>(least)) <= 600);  // NaN for an infinite one
}
// The product for such a row, in units of the largest weight, with g less its value there, from
// which the mean would otherwise not be told. out may be p or g.
template <class T>
void steep_vjp(const T* p, const T* g, T* out, ptrdiff_t n, double exponent, double scale) {
  double least = 0, base = 0, sum = 0, total = 0;
  bool nan = false, found = false;
  for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t i = begin; i < end; ++i) {
      nan = nan || std::isnan(p[i]) || (p[i] > 0 && std::isnan(g[i]));
      if (!(p[i] > 0)) continue;
      const double l = std::log(static_cast<double>(p[i]));
      if (found && l >= least) continue;
      found = true;
      least = l;
      base = static_cast<double>(g[i]);
    }
  });
  const auto weight = [&](T v) {
    return std::exp(exponent * (std::log(static_cast<double>(v)) - least));
  };
  if (!std::isinf(exponent)) {
    for_positive(p, n, [&](ptrdiff_t i) {
      const double w = weight(p[i]);
      if (w == 0) return;  // times an infinite g would be NaN
      sum += w * (static_cast<double>(g[i]) - base);
      total += w;
    });
  }
  const double mean = total > 0 ? sum / total : 0, unit = std::exp(exponent * least);
  for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t i = begin; i < end; ++i) {
      double v = 0;
      if (p[i] > 0 && !std::isinf(exponent)) {
        const double w = weight(p[i]);
        if (w > 0) v = scale * (w * ((static_cast<double>(g[i]) - base) - mean));
        if (v != 0) v *= unit;
      }
      out[i] = static_cast<T>(nan ? kNaN : v);
    }
  });
}

// A huge row whose weights cost a logarithm and an exponential each, in blocks on the pool.
template <class T>
void huge_power_vjp(const Batch<T>& row, const T* g, double exponent, double scale, bool past) {
  const ptrdiff_t n = row.n, n_blocks = (n + kBlock - 1) / kBlock;
  const auto size = [&](ptrdiff_t b) { return std::min(kBlock, n - b * kBlock); };
  std::vector<VjpSums> parts(static_cast<std::size_t>(n_blocks));
  parallel_for(
      n_blocks,
      [&](ptrdiff_t b, int) {
        parts[static_cast<std::size_t>(b)] =
            gradient_kernels<T>().power_sums(row.x + b * kBlock, g + b * kBlock, size(b), exponent);
      },
      row.workers);
  VjpSums whole{};
  for (const VjpSums& part : parts) {
    whole.product += part.product;
    whole.weight += part.weight;
  }
  const double mean = whole.product / (whole.weight == 0 ? 1 : whole.weight);
  parallel_for(
      n_blocks,
      [&](ptrdiff_t b, int) {
        const ptrdiff_t i = b * kBlock;
        gradient_kernels<T>().power_product(row.x + i, g + i, row.out + i, size(b), exponent, scale,
                                            mean, past);
      },
      row.workers);
}

}  // namespace

template <class T>
void entmax_vjp(const Batch<T>& batch, const T* g, const double* alpha, ptrdiff_t alpha_step,
                double temperature) {
  const ptrdiff_t n = batch.n;
  const bool past = write_past(batch);
  if (n >= kHugeRow) {
    for (ptrdiff_t r = 0; r < batch.n_rows; ++r) {
      const double a = alpha[r * alpha_step];
      const Batch<T> row{batch.x + r * n, batch.out + r * n, 1, n, batch.workers};
      if (a > kModerate && overflows(row.x, n, 2 - a)) {
        steep_vjp(row.x, g + r * n, row.out, n, 2 - a, 1 / temperature);
      } else if (weight_of(a) == Weight::power) {
        huge_power_vjp(row, g + r * n, 2 - a, 1 / temperature, past);
      } else {
        gradient_kernels<T>().vjp(row.x, g + r * n, row.out, 1, n, weight_of(a), 2 - a,
                                  1 / temperature, past);
      }
    }
    return;
  }
  for_row_chunks(batch.n_rows, n, batch.workers, [&](ptrdiff_t first, ptrdiff_t rows, int) {
    const bool alike = alpha_step == 0 && *alpha <= kModerate;
    const ptrdiff_t at_once = alike ? rows : 1;
    for (ptrdiff_t r = first; r < first + rows; r += at_once) {
      const double a = alpha[r * alpha_step];
      if (a > kModerate && overflows(batch.x + r * n, n, 2 - a)) {
        steep_vjp(batch.x + r * n, g + r * n, batch.out + r * n, n, 2 - a, 1 / temperature);
        continue;
      }
      gradient_kernels<T>().vjp(batch.x + r * n, g + r * n, batch.out + r * n, at_once, n,
                                weight_of(a), 2 - a, 1 / temperature, past);
    }
  });
}

template <class T>
void entmax_alpha_vjp(const Batch<T>& batch, const T* g, const double* alpha, ptrdiff_t alpha_step,
                      double* derivative) {
  const ptrdiff_t n = batch.n;
  for_row_chunks(batch.n_rows, n, batch.workers, [&](ptrdiff_t first, ptrdiff_t rows, int) {
    for (ptrdiff_t r = first; r < first + rows; ++r) {
      derivative[r] = alpha_derivative(batch.x + r * n, g + r * n, n, alpha[r * alpha_step]);
    }
  });
}

#define KEXUE_INSTANTIATE(T)                                                                \
  template void entmax_vjp<T>(const Batch<T>&, const T*, const double*, ptrdiff_t, double); \
  template void entmax_alpha_vjp<T>(const Batch<T>&, const T*, const double*, ptrdiff_t, double*);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
