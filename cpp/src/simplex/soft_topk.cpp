// Smooth selections of k entries (kexue/simplex/select.hpp).
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kexue/simplex/root.hpp"
#include "kexue/simplex/rows.hpp"
#include "kexue/simplex/select.hpp"

namespace kexue::simplex {

using std::ptrdiff_t;

namespace {

using Doubles = std::vector<double>;

double sigmoid(double u) {
  const double e = std::exp(-std::abs(u));
  return (u < 0 ? e : 1) / (1 + e);
}

// Policies: f, its derivative, and the u at which f(u) = share.
struct Sigmoid {
  static double value(double u) { return sigmoid(u); }
  static double slope(double u) { return sigmoid(u) * sigmoid(-u); }
  static double inverse(double share) { return std::log(share) - std::log1p(-share); }
  static double slope_of(double p) { return p * (1 - p); }
};
struct Exp {
  static double value(double u) { return u < 0 ? std::exp(u) : 1; }
  static double slope(double u) { return u < 0 ? std::exp(u) : 0; }
  static double inverse(double share) { return std::log(share); }
  static double slope_of(double p) { return p < 1 ? p : 0; }
};
struct Laplace {
  static double value(double u) { return u < 0 ? std::exp(u) / 2 : 1 - std::exp(-u) / 2; }
  static double slope(double u) { return std::exp(-std::abs(u)) / 2; }
  static double inverse(double share) {
    return share < 0.5 ? std::log(2 * share) : -std::log(2 * (1 - share));
  }
  static double slope_of(double p) { return std::min(p, 1 - p); }
};
struct Sparse {
  static double value(double u) { return std::clamp(u, 0.0, 1.0); }
  static double slope(double u) { return u > 0 && u < 1 ? 1 : 0; }
  static double inverse(double share) { return share; }
  static double slope_of(double p) { return p > 0 && p < 1 ? 1 : 0; }
};

// The root of sum f(x_i - tau) = k for finite x, 0 < k < size. Between the values that it would
// have if all entries were the largest or the smallest one.
template <class F>
double selection_root(const Doubles& x, double k) {
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const double middle = F::inverse(k / static_cast<double>(x.size()));
  const double spread = 1e-12 * (1 + std::abs(*low) + std::abs(*high) + std::abs(middle));
  const double tau =
      -bracketed_newton(middle - *high - spread, middle - *low + spread, [&](double lifted) {
        double sum = -k, slope = 0;
        for (const double v : x) {
          sum += F::value(v + lifted);
          slope += F::slope(v + lifted);
        }
        return std::pair{sum, slope};
      });
  return tau;
}

// The ramp's and the exponential's root in closed form once it is known who is saturated.
double polish(const Doubles& x, double k, double tau, Selection kind) {
  double saturated = 0, inside = 0, sum = 0;
  for (const double v : x) {
    if (v - tau >= 1 || (kind == Selection::exp && v >= tau)) {
      ++saturated;
    } else if (v > tau || kind == Selection::exp) {
      ++inside;
      sum += kind == Selection::exp ? std::exp(v - tau) : v - tau;
    }
  }
  if (inside == 0 || k <= saturated) return tau;
  if (kind == Selection::exp) return tau + std::log(sum / (k - saturated));
  return tau + (sum - (k - saturated)) / inside;
}

template <class F>
void select(const Doubles& x, double k, Selection kind, Doubles& p) {
  double tau = selection_root<F>(x, k);
  if (kind == Selection::exp || kind == Selection::sparse) tau = polish(x, k, tau, kind);
  for (std::size_t i = 0; i < x.size(); ++i) p[i] = F::value(x[i] - tau);
}

// ---- GradTopK -----------------------------------------------------------------------------------

// A number and its derivative in one direction.
struct Dual {
  double value, slope;
};
Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.slope + b.slope}; }
Dual operator*(Dual a, Dual b) {
  return {a.value * b.value, a.value * b.slope + a.slope * b.value};
}
Dual operator/(Dual a, Dual b) {
  const double q = a.value / b.value;
  return {q, (a.slope - q * b.slope) / b.value};
}
Dual number(Dual, double value, double slope) { return {value, slope}; }
double number(double, double value, double) { return value; }

// p_i = pi_i R_{-i}(k-1) / R(k); R counts at most k successes. N is double or Dual.
template <class N>
void subset_marginals(const Doubles& x, const Doubles& direction, std::size_t k,
                      std::vector<N>& p) {
  const std::size_t n = x.size(), width = k + 1;
  const double tau = selection_root<Sigmoid>(x, static_cast<double>(k));
  std::vector<N> yes(n), no(n);
  for (std::size_t i = 0; i < n; ++i) {
    const double in = sigmoid(x[i] - tau), out = sigmoid(tau - x[i]);
    const double slope = in * out * (direction.empty() ? 0 : direction[i]);
    yes[i] = number(N{}, in, slope);
    no[i] = number(N{}, out, -slope);
  }
  // ahead[i]: the distribution of the first i variables
  std::vector<N> ahead((n + 1) * width, number(N{}, 0, 0));
  ahead[0] = number(N{}, 1, 0);
  for (std::size_t i = 0; i < n; ++i) {
    if (i % 256 == 0) poll_interrupt();
    const N* from = &ahead[i * width];
    N* to = &ahead[(i + 1) * width];
    to[0] = from[0] * no[i];
    for (std::size_t j = 1; j < width; ++j) to[j] = from[j] * no[i] + from[j - 1] * yes[i];
  }
  const N whole = ahead[n * width + k];
  std::vector<N> behind(width, number(N{}, 0, 0));
  behind[0] = number(N{}, 1, 0);
  for (std::size_t i = n; i-- > 0;) {
    if (i % 256 == 0) poll_interrupt();
    N others = number(N{}, 0, 0);
    for (std::size_t j = 0; j < k; ++j) {
      others = others + ahead[i * width + j] * behind[k - 1 - j];
    }
    p[i] = yes[i] * others / whole;
    for (std::size_t j = width; j-- > 1;) behind[j] = behind[j] * no[i] + behind[j - 1] * yes[i];
    behind[0] = behind[0] * no[i];
  }
}

// ---- Iterative ----------------------------------------------------------------------------------

void softmax_of(const Doubles& z, Doubles& s) {
  const double max = *std::max_element(z.begin(), z.end());
  double sum = 0;
  for (std::size_t i = 0; i < z.size(); ++i) sum += s[i] = std::exp(z[i] - max);
  for (double& v : s) v /= sum;
}

// The p before each round, and after the last.
std::vector<Doubles> rounds(const Doubles& y, std::size_t k) {
  std::vector<Doubles> p(1, Doubles(y.size(), 0.0));
  Doubles z(y.size()), s(y.size());
  for (std::size_t round = 0; round < k; ++round) {
    for (std::size_t i = 0; i < y.size(); ++i) z[i] = (1 - p.back()[i]) * y[i];
    softmax_of(z, s);
    Doubles next = p.back();
    for (std::size_t i = 0; i < y.size(); ++i) next[i] += s[i];
    p.push_back(std::move(next));
  }
  return p;
}

void iterative_vjp(const Doubles& x, std::size_t k, Doubles& g, Doubles& dx) {
  const auto least = std::min_element(x.begin(), x.end()) - x.begin();
  Doubles y = x, z(x.size()), s(x.size());
  for (double& v : y) v -= x[static_cast<std::size_t>(least)];
  const std::vector<Doubles> p = rounds(y, k);
  std::fill(dx.begin(), dx.end(), 0.0);
  for (std::size_t round = k; round-- > 0;) {
    for (std::size_t i = 0; i < y.size(); ++i) z[i] = (1 - p[round][i]) * y[i];
    softmax_of(z, s);
    double mean = 0;
    for (std::size_t i = 0; i < y.size(); ++i) mean += s[i] * g[i];
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double h = s[i] * (g[i] - mean);
      dx[i] += (1 - p[round][i]) * h;
      g[i] -= y[i] * h;
    }
  }
  double total = 0;
  for (const double v : dx) total += v;
  dx[static_cast<std::size_t>(least)] -= total;
}

// ---- Rows ---------------------------------------------------------------------------------------

void select_any(const Doubles& x, double k, Selection kind, Doubles& p) {
  switch (kind) {
    case Selection::sigmoid:
      return select<Sigmoid>(x, k, kind, p);
    case Selection::exp:
      return select<Exp>(x, k, kind, p);
    case Selection::laplace:
      return select<Laplace>(x, k, kind, p);
    case Selection::sparse:
      return select<Sparse>(x, k, kind, p);
    case Selection::gradtopk:
      return subset_marginals<double>(x, {}, static_cast<std::size_t>(k), p);
    case Selection::iterative: {
      Doubles y = x;
      const double least = *std::min_element(x.begin(), x.end());
      for (double& v : y) v -= least;
      p = rounds(y, static_cast<std::size_t>(k)).back();
      return;
    }
  }
}

double slope_of(double p, Selection kind) {
  switch (kind) {
    case Selection::sigmoid:
      return Sigmoid::slope_of(p);
    case Selection::exp:
      return Exp::slope_of(p);
    case Selection::laplace:
      return Laplace::slope_of(p);
    default:
      return Sparse::slope_of(p);
  }
}

// The finite entries of a row, scaled, and where they are; +inf entries are selected first.
struct Entries {
  Doubles x;
  std::vector<ptrdiff_t> place;
  double infinite = 0;
  bool nan = false;
};
template <class T>
Entries entries_of(const T* x, ptrdiff_t n, double temperature) {
  Entries entries;
  for (ptrdiff_t i = 0; i < n; ++i) {
    entries.nan = entries.nan || std::isnan(x[i]);
    if (std::isfinite(x[i])) {
      entries.x.push_back(static_cast<double>(x[i]) / temperature);
      entries.place.push_back(i);
    } else if (x[i] > 0) {
      ++entries.infinite;
    }
  }
  return entries;
}

template <class T>
void soft_topk_row(const T* x, T* out, ptrdiff_t n, double k, Selection kind, double temperature) {
  const Entries entries = entries_of(x, n, temperature);
  if (entries.nan) {
    std::fill_n(out, n, std::numeric_limits<T>::quiet_NaN());
    return;
  }
  const double share = entries.infinite > 0 ? std::min(1.0, k / entries.infinite) : 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    out[i] = static_cast<T>(x[i] == std::numeric_limits<T>::infinity() ? share : 0);
  }
  const double rest = k - entries.infinite;
  if (rest <= 0 || entries.x.empty()) return;
  Doubles p(entries.x.size(), 1.0);
  if (kind == Selection::iterative || rest < static_cast<double>(entries.x.size())) {
    select_any(entries.x, rest, kind, p);
  }
  for (std::size_t i = 0; i < p.size(); ++i) out[entries.place[i]] = static_cast<T>(p[i]);
}

template <class T>
void soft_topk_vjp_row(const T* x, const T* p, const T* g, T* out, ptrdiff_t n, double k,
                       Selection kind, double temperature) {
  const Entries entries = entries_of(x, n, temperature);
  std::fill_n(out, n, entries.nan ? std::numeric_limits<T>::quiet_NaN() : T(0));
  const double rest = k - entries.infinite;
  const auto size = static_cast<double>(entries.x.size());
  if (entries.nan || rest <= 0 || entries.x.empty()) return;
  if (kind != Selection::iterative && rest >= size) return;
  Doubles up(entries.x.size()), dx(entries.x.size());
  for (std::size_t i = 0; i < up.size(); ++i) up[i] = static_cast<double>(g[entries.place[i]]);
  if (kind == Selection::gradtopk) {
    std::vector<Dual> both(up.size());
    subset_marginals<Dual>(entries.x, up, static_cast<std::size_t>(rest), both);
    std::transform(both.begin(), both.end(), dx.begin(), [](Dual d) { return d.slope; });
  } else if (kind == Selection::iterative) {
    iterative_vjp(entries.x, static_cast<std::size_t>(rest), up, dx);
  } else {
    double total = 0, mean = 0;
    for (std::size_t i = 0; i < up.size(); ++i) {
      dx[i] = slope_of(static_cast<double>(p[entries.place[i]]), kind);
      total += dx[i];
      mean += dx[i] * up[i];
    }
    if (total > 0) mean /= total;
    for (std::size_t i = 0; i < up.size(); ++i) dx[i] *= up[i] - mean;
  }
  for (std::size_t i = 0; i < up.size(); ++i) {
    out[entries.place[i]] = static_cast<T>(dx[i] / temperature);
  }
}

}  // namespace

template <class T>
void soft_topk(const Batch<T>& batch, double k, Selection kind, double temperature) {
  const ptrdiff_t n = batch.n;
  for_row_chunks(batch.n_rows, n, batch.workers, [&](ptrdiff_t first, ptrdiff_t rows, int) {
    for (ptrdiff_t r = first; r < first + rows; ++r) {
      soft_topk_row(batch.x + r * n, batch.out + r * n, n, k, kind, temperature);
    }
  });
}

template <class T>
void soft_topk_vjp(const Batch<T>& batch, const T* p, const T* g, double k, Selection kind,
                   double temperature) {
  const ptrdiff_t n = batch.n;
  for_row_chunks(batch.n_rows, n, batch.workers, [&](ptrdiff_t first, ptrdiff_t rows, int) {
    for (ptrdiff_t r = first; r < first + rows; ++r) {
      soft_topk_vjp_row(batch.x + r * n, p + r * n, g + r * n, batch.out + r * n, n, k, kind,
                        temperature);
    }
  });
}

#define KEXUE_INSTANTIATE(T)                                              \
  template void soft_topk<T>(const Batch<T>&, double, Selection, double); \
  template void soft_topk_vjp<T>(const Batch<T>&, const T*, const T*, double, Selection, double);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
