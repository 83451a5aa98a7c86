#include "kexue/simplex/gradients.hpp"

#include <cmath>

#include "kexue/simplex/rows.hpp"

namespace kexue::simplex {

using std::ptrdiff_t;

namespace {

Weight weight_of(double alpha) {
  if (alpha == 1) return Weight::probability;
  if (alpha == 2) return Weight::support;
  return alpha == 1.5 ? Weight::root : Weight::power;
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
  double numerator = 0, denominator = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    if (!(p[i] > 0)) {
      if (std::isnan(p[i])) return std::numeric_limits<double>::quiet_NaN();
      continue;
    }
    const double v = p[i], l = std::log(v);
    numerator += v * remainder(l);
    denominator += v * std::exp(-b * l);
  }
  if (denominator == 0) return 0;
  const double kappa = numerator / denominator;
  double sum = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    if (!(p[i] > 0)) continue;
    const double v = p[i], l = std::log(v);
    sum += static_cast<double>(g[i]) * v * (kappa * std::exp(-b * l) - remainder(l));
  }
  return sum;
}

}  // namespace

template <class T>
void entmax_vjp(const Batch<T>& batch, const T* g, const double* alpha, ptrdiff_t alpha_step,
                double temperature) {
  const ptrdiff_t n = batch.n;
  for_row_chunks(batch.n_rows, n, batch.workers, [&](ptrdiff_t first, ptrdiff_t rows, int) {
    const ptrdiff_t at_once = alpha_step == 0 ? rows : 1;
    for (ptrdiff_t r = first; r < first + rows; r += at_once) {
      const double a = alpha[r * alpha_step];
      gradient_kernels<T>().vjp(batch.x + r * n, g + r * n, batch.out + r * n, at_once, n,
                                weight_of(a), 2 - a, 1 / temperature);
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
