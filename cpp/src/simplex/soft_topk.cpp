// Smooth selections of k entries (kexue/simplex/select.hpp).
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kexue/simplex/root.hpp"
#include "kexue/simplex/row_loop.hpp"
#include "kexue/simplex/rows.hpp"
#include "kexue/simplex/select.hpp"
#include "kexue/simplex/sorting.hpp"

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
  double low = x[0], high = x[0];
  Poll poll;
  for (const double v : x) {
    poll();
    low = std::min(low, v);
    high = std::max(high, v);
  }
  const double middle = F::inverse(k / static_cast<double>(x.size()));
  const double spread = 1e-12 * (1 + std::abs(low) + std::abs(high) + std::abs(middle));
  const double tau =
      -bracketed_newton(middle - high - spread, middle - low + spread, [&](double lifted) {
        double sum = -k, slope = 0;
        for (const double v : x) {
          poll();
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
  Poll poll;
  for (const double v : x) {
    poll();
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
  Poll poll;
  for (std::size_t i = 0; i < x.size(); ++i) {
    poll();
    p[i] = F::value(x[i] - tau);
  }
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

// Variables whose distributions are kept at once: all, or about the square root of their number,
// with as many starts of blocks, which costs one more way ahead.
std::size_t block_of(std::size_t n, std::size_t width) {
  constexpr std::size_t kAll = std::size_t{1} << 22;
  if (n * width <= kAll) return n;
  return static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(n))));
}

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
  // ahead(i): the distribution of the first i variables; kept at the start of every block, made
  // again within a block when the way back comes to it.
  const std::size_t block = block_of(n, width), n_blocks = (n + block - 1) / block;
  const auto step = [&](const N* from, std::size_t i, N* to) {
    to[0] = from[0] * no[i];
    for (std::size_t j = 1; j < width; ++j) to[j] = from[j] * no[i] + from[j - 1] * yes[i];
  };
  std::vector<N> starts(n_blocks * width, number(N{}, 0, 0)), within(block * width), last(width);
  starts[0] = number(N{}, 1, 0);
  // Fills `within` from the block's start; what follows its last variable goes to `after`.
  const auto advance = [&](std::size_t b, N* after) {
    const std::size_t first = b * block, count = std::min(block, n - first);
    std::copy_n(&starts[b * width], width, within.data());
    for (std::size_t i = 0; i < count; ++i) {
      if (i % 64 == 0) poll_interrupt();
      step(&within[i * width], first + i, i + 1 < count ? &within[(i + 1) * width] : after);
    }
  };
  for (std::size_t b = 0; b < n_blocks; ++b) {
    advance(b, b + 1 < n_blocks ? &starts[(b + 1) * width] : last.data());
  }
  const N whole = last[k];
  std::vector<N> behind(width, number(N{}, 0, 0));
  behind[0] = number(N{}, 1, 0);
  for (std::size_t b = n_blocks; b-- > 0;) {
    if (b + 1 < n_blocks) advance(b, last.data());
    for (std::size_t i = std::min(n, (b + 1) * block); i-- > b * block;) {
      if (i % 64 == 0) poll_interrupt();
      const N* ahead = &within[(i - b * block) * width];
      N others = number(N{}, 0, 0);
      for (std::size_t j = 0; j < k; ++j) others = others + ahead[j] * behind[k - 1 - j];
      p[i] = yes[i] * others / whole;
      for (std::size_t j = width; j-- > 1;) behind[j] = behind[j] * no[i] + behind[j - 1] * yes[i];
      behind[0] = behind[0] * no[i];
    }
  }
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
    case Selection::gradtopk:
      return subset_marginals<double>(x, {}, static_cast<std::size_t>(k), p);
    default:
      return select<Sparse>(x, k, kind, p);
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

// The finite entries of a row and where they are; +inf entries are selected first.
struct Entries {
  Doubles x;
  std::vector<ptrdiff_t> place;
  double infinite = 0;
  bool nan = false;
};
template <class T>
Entries entries_of(const T* x, ptrdiff_t n) {
  Entries entries;
  std::size_t finite = 0;
  for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t i = begin; i < end; ++i) {
      finite += std::isfinite(x[i]) ? 1 : 0;
      entries.infinite += x[i] == std::numeric_limits<T>::infinity() ? 1 : 0;
      entries.nan = entries.nan || std::isnan(x[i]);
    }
  });
  if (entries.nan) return entries;
  entries.x.reserve(finite);
  entries.place.reserve(finite);
  for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t i = begin; i < end; ++i) {
      if (!std::isfinite(x[i])) continue;
      entries.x.push_back(static_cast<double>(x[i]));
      entries.place.push_back(i);
    }
  });
  return entries;
}

// x becomes (x - the k-th largest entry) / temperature: exact where rows are far from zero, and tau
// is never far from zero. Beyond kDecided (plus the logarithm of any n) every f is 0 or 1.
void center(Doubles& x, double k, double temperature) {
  constexpr double kDecided = 2000;
  const auto rank = static_cast<ptrdiff_t>(std::ceil(k));
  Doubles scratch(x.size());
  const double middle =
      kth_largest(x.data(), static_cast<ptrdiff_t>(x.size()), rank, scratch.data());
  Poll poll;
  for (double& v : x) {
    poll();
    v = std::clamp((v - middle) / temperature, -kDecided, kDecided);
  }
}

// Less than this to share among the entries is none: what it would give them underflows.
constexpr double kLeastRest = 1e-290;

template <class T>
void soft_topk_row(const T* x, T* out, ptrdiff_t n, double k, Selection kind, double temperature) {
  Entries entries = entries_of(x, n);
  if (entries.nan) {
    std::fill_n(out, n, std::numeric_limits<T>::quiet_NaN());
    return;
  }
  const double share = entries.infinite > 0 ? std::min(1.0, k / entries.infinite) : 0;
  for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t i = begin; i < end; ++i) {
      out[i] = static_cast<T>(x[i] == std::numeric_limits<T>::infinity() ? share : 0);
    }
  });
  const double rest = k - entries.infinite;
  if (rest < kLeastRest || entries.x.empty()) return;
  Doubles p(entries.x.size(), 1.0);
  if (kind == Selection::iterative) {
    iterative_topk(entries.x, static_cast<std::size_t>(rest), temperature, p);
  } else if (rest < static_cast<double>(entries.x.size())) {
    center(entries.x, rest, temperature);
    select_any(entries.x, rest, kind, p);
  }
  Poll poll;
  for (std::size_t i = 0; i < p.size(); ++i) {
    poll();
    out[entries.place[i]] = static_cast<T>(p[i]);
  }
}

template <class T>
void soft_topk_vjp_row(const T* x, const T* p, const T* g, T* out, ptrdiff_t n, double k,
                       Selection kind, double temperature) {
  Entries entries = entries_of(x, n);
  std::fill_n(out, n, entries.nan ? std::numeric_limits<T>::quiet_NaN() : T(0));
  const double rest = k - entries.infinite;
  const auto size = static_cast<double>(entries.x.size());
  if (entries.nan || rest < kLeastRest || entries.x.empty()) return;
  if (kind != Selection::iterative && rest >= size) return;
  Doubles up(entries.x.size()), dx(entries.x.size());
  for (std::size_t i = 0; i < up.size(); ++i) up[i] = static_cast<double>(g[entries.place[i]]);
  if (kind == Selection::iterative) {
    iterative_topk_vjp(entries.x, static_cast<std::size_t>(rest), temperature, up, dx);
  } else if (kind == Selection::gradtopk) {
    center(entries.x, rest, temperature);
    std::vector<Dual> both(up.size());
    subset_marginals<Dual>(entries.x, up, static_cast<std::size_t>(rest), both);
    std::transform(both.begin(), both.end(), dx.begin(),
                   [=](Dual d) { return d.slope / temperature; });
  } else {
    double total = 0, mean = 0;
    for (std::size_t i = 0; i < up.size(); ++i) {
      dx[i] = slope_of(static_cast<double>(p[entries.place[i]]), kind);
      total += dx[i];
      mean += dx[i] * up[i];
    }
    if (total > 0) mean /= total;
    for (std::size_t i = 0; i < up.size(); ++i) dx[i] *= (up[i] - mean) / temperature;
  }
  for (std::size_t i = 0; i < up.size(); ++i) {
    out[entries.place[i]] = static_cast<T>(dx[i]);
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
