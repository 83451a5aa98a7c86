// The chance that an entry plus noise is the largest (kexue/simplex/select.hpp), by quadrature:
//
//   p_i = integral of phi(t - x_i) prod_{j != i} Phi(t - x_j) dt.
//
//   normal       trapezoidal rule in t, which for these smooth integrands converges like
//                e^{-c/step^2}; the sum over i is the rule applied to a derivative
//   exponential  with v = e^{max - t} the integrand is a polynomial in v on [0, 1]: Gauss-Legendre,
//                exact for n <= 2 n_nodes
//   uniform      piecewise a polynomial in t on [max, max + 1]: Gauss-Legendre between breakpoints
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "kexue/simplex/rows.hpp"
#include "kexue/simplex/select.hpp"

namespace kexue::simplex {

using std::ptrdiff_t;

namespace {

using Doubles = std::vector<double>;

struct Rule {
  Doubles node, weight;  // on [0, 1]
};

// Newton's iteration on the Legendre polynomial from Tricomi's guess.
Rule gauss_legendre(int n) {
  Rule rule{Doubles(static_cast<std::size_t>(n)), Doubles(static_cast<std::size_t>(n))};
  for (int i = 0; i < n; ++i) {
    double x = std::cos(std::numbers::pi * (i + 0.75) / (n + 0.5)), slope = 1;
    for (int step = 0; step < 100; ++step) {
      double before = 0, value = 1;
      for (int j = 0; j < n; ++j) {
        const double next = ((2 * j + 1) * x * value - j * before) / (j + 1);
        before = value;
        value = next;
      }
      slope = n * (x * value - before) / (x * x - 1);
      const double move = value / slope;
      x -= move;
      if (std::abs(move) < 1e-16) break;
    }
    rule.node[static_cast<std::size_t>(i)] = (1 - x) / 2;
    rule.weight[static_cast<std::size_t>(i)] = 1 / ((1 - x * x) * slope * slope);
  }
  return rule;
}

// gap_i = max - x_i >= 0, infinite where masked; p is added to.
void normal(const Doubles& gap, int n_nodes, Doubles& p) {
  // Outside, the chance that the largest lies there is below 1e-17 for n <= 1e7.
  constexpr double kBelow = 9, kAbove = 10.5, kNegligible = 9;
  const double step = (kBelow + kAbove) / std::max(1, n_nodes - 1);
  Doubles tail(gap.size());
  for (int node = 0; node < n_nodes; ++node) {
    if (node % 16 == 0) poll_interrupt();
    const double t = -kBelow + step * node;
    double log_all = 0;
    for (std::size_t i = 0; i < gap.size(); ++i) {
      const double s = t + gap[i];
      tail[i] = s > kNegligible ? 1 : std::erfc(-s / std::numbers::sqrt2) / 2;
      if (s <= kNegligible) log_all += std::log(tail[i]);
    }
    for (std::size_t i = 0; i < gap.size(); ++i) {
      const double s = t + gap[i];
      if (s < 40) p[i] += std::exp(log_all - s * s / 2) / tail[i];
    }
  }
}

void exponential(const Doubles& gap, const Rule& rule, Doubles& p) {
  Doubles a(gap.size());
  std::transform(gap.begin(), gap.end(), a.begin(), [](double d) { return std::exp(-d); });
  for (std::size_t node = 0; node < rule.node.size(); ++node) {
    if (node % 16 == 0) poll_interrupt();
    const double v = rule.node[node];
    double log_all = 0;
    for (const double each : a) log_all += std::log1p(-each * v);
    const double all = rule.weight[node] * std::exp(log_all);
    for (std::size_t i = 0; i < a.size(); ++i) p[i] += all * a[i] / (1 - a[i] * v);
  }
}

void uniform(const Doubles& gap, int n_nodes, Doubles& p) {
  Doubles sorted;
  std::copy_if(gap.begin(), gap.end(), std::back_inserter(sorted), [](double d) { return d < 1; });
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  Doubles inside(sorted.size(), 0.0);  // integrals of the sorted entries
  double begin = 0;
  for (std::size_t first = 0; first < sorted.size(); ++first) {
    // On [begin, end] the entries from `first` on are below their upper end.
    const double end = 1 - sorted[first];
    if (!(end > begin)) continue;
    if (first % 16 == 0) poll_interrupt();
    const auto active = static_cast<double>(sorted.size() - first);
    const double enough = std::min(active / 2 + 1, 16 + active * (end - begin));
    const Rule rule = gauss_legendre(static_cast<int>(std::min<double>(n_nodes, enough)));
    for (std::size_t node = 0; node < rule.node.size(); ++node) {
      const double s = begin + (end - begin) * rule.node[node];
      double all = rule.weight[node] * (end - begin);
      for (std::size_t j = first; j < sorted.size(); ++j) all *= s + sorted[j];
      for (std::size_t j = first; j < sorted.size(); ++j) inside[j] += all / (s + sorted[j]);
    }
    begin = end;
  }
  for (std::size_t i = 0; i < gap.size(); ++i) {
    if (!(gap[i] < 1)) continue;
    const auto place = std::lower_bound(sorted.begin(), sorted.end(), gap[i], std::greater<>());
    p[i] = inside[static_cast<std::size_t>(place - sorted.begin())];
  }
}

}  // namespace

template <class T>
ptrdiff_t perturbmax(const Batch<T>& batch, Noise noise, int n_nodes, double temperature,
                     Empty empty) {
  const ptrdiff_t n = batch.n;
  const Rule rule = noise == Noise::exponential ? gauss_legendre(n_nodes) : Rule{};
  std::vector<ptrdiff_t> counts(kMaxWorkers);
  for_row_chunks(batch.n_rows, n, batch.workers, [&](ptrdiff_t first, ptrdiff_t rows, int slot) {
    Doubles gap(static_cast<std::size_t>(n)), p(static_cast<std::size_t>(n));
    for (ptrdiff_t r = first; r < first + rows; ++r) {
      const T* x = batch.x + r * n;
      T* out = batch.out + r * n;
      const Extremes<T> seen = sparse_kernels<T>().extremes(x, n);
      if (seen.nan || !std::isfinite(seen.max)) {
        counts[static_cast<std::size_t>(slot)] += special_row(x, out, n, empty, T(0), false);
        continue;
      }
      for (ptrdiff_t i = 0; i < n; ++i) {
        gap[static_cast<std::size_t>(i)] =
            (static_cast<double>(seen.max) - static_cast<double>(x[i])) / temperature;
      }
      std::fill(p.begin(), p.end(), 0.0);
      if (noise == Noise::normal) {
        normal(gap, n_nodes, p);
      } else if (noise == Noise::exponential) {
        exponential(gap, rule, p);
      } else {
        uniform(gap, n_nodes, p);
      }
      double sum = 0;
      for (const double v : p) sum += v;
      for (ptrdiff_t i = 0; i < n; ++i) {
        out[i] = static_cast<T>(p[static_cast<std::size_t>(i)] / sum);
      }
    }
  });
  ptrdiff_t sum = 0;
  for (ptrdiff_t c : counts) sum += c;
  return sum;
}

#define KEXUE_INSTANTIATE(T) \
  template ptrdiff_t perturbmax<T>(const Batch<T>&, Noise, int, double, Empty);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
