#include "kexue/simplex/birkhoff.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <type_traits>
#include <vector>

#include "kexue/core/constants.hpp"
#include "kexue/core/index.hpp"
#include "kexue/core/pool.hpp"

namespace kexue::simplex {
namespace {

using std::ptrdiff_t;
using Vector = std::vector<double>;

// Entries beyond this make project_large.
constexpr double kNear = 64;
constexpr int kMaxHalvings = 50;
constexpr int kMaxConjugateSteps = 500;

double dot(const Vector& x, const Vector& y) {
  return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
}
double largest(const Vector& x) {
  double most = 0;
  for (const double v : x) most = std::max(most, std::abs(v));
  return most;
}

// phi, its gradient (row and column sums less 1) and the pattern of P at potentials (a, b).
template <class T>
class Dual {
 public:
  Dual(const T* x, ptrdiff_t n) : x_(x), n_(n), rows_(static_cast<std::size_t>(n) + 1) {}

  double evaluate(const Vector& potentials, Vector& gradient, bool with_pattern) {
    const double* a = potentials.data();
    const double* b = a + n_;
    std::fill(gradient.begin(), gradient.end(), -1.0);
    double* columns = gradient.data() + n_;
    double squares = 0;
    if (with_pattern) pattern_.clear();
    for (ptrdiff_t i = 0; i < n_; ++i) {
      const T* row = x_ + i * n_;
      rows_[static_cast<std::size_t>(i)] = static_cast<ptrdiff_t>(pattern_.size());
      double sum = 0, square = 0;
      for (ptrdiff_t j = 0; j < n_; ++j) {
        const double v = static_cast<double>(row[j]) + a[i] + b[j];
        if (v <= 0) continue;
        sum += v;
        square += v * v;
        columns[j] += v;
        if (with_pattern) pattern_.push_back(static_cast<std::int32_t>(j));
      }
      gradient[static_cast<std::size_t>(i)] += sum;
      squares += square;
    }
    rows_[static_cast<std::size_t>(n_)] = static_cast<ptrdiff_t>(pattern_.size());
    return squares / 2 - std::accumulate(potentials.begin(), potentials.end(), 0.0);
  }

  // y = (H + shift I) v, and the diagonal of it.
  void apply(const Vector& v, double shift, Vector& y) const {
    for (std::size_t k = 0; k < y.size(); ++k) y[k] = shift * v[k];
    for_pattern([&](ptrdiff_t i, ptrdiff_t j) {
      const double sum = v[at(i)] + v[at(n_ + j)];
      y[at(i)] += sum;
      y[at(n_ + j)] += sum;
    });
  }
  void diagonal(double shift, Vector& d) const {
    std::fill(d.begin(), d.end(), shift);
    for_pattern([&](ptrdiff_t i, ptrdiff_t j) {
      d[at(i)] += 1;
      d[at(n_ + j)] += 1;
    });
  }

 private:
  template <class F>
  void for_pattern(F&& f) const {
    for (ptrdiff_t i = 0; i < n_; ++i) {
      for (ptrdiff_t e = rows_[at(i)]; e < rows_[at(i + 1)]; ++e) f(i, pattern_[at(e)]);
    }
  }

  const T* x_;
  ptrdiff_t n_;
  std::vector<ptrdiff_t> rows_;
  std::vector<std::int32_t> pattern_;
};

// d with (H + shift I) d = -g up to `accuracy` |g|, by preconditioned conjugate gradients.
template <class T>
void newton_step(const Dual<T>& dual, const Vector& g, double shift, double accuracy, Vector& d) {
  const std::size_t size = g.size();
  Vector scale(size), residual(size), direction(size), image(size), z(size);
  dual.diagonal(shift, scale);
  std::fill(d.begin(), d.end(), 0.0);
  for (std::size_t k = 0; k < size; ++k) {
    residual[k] = -g[k];
    direction[k] = z[k] = residual[k] / scale[k];
  }
  const double enough = accuracy * std::sqrt(dot(g, g));
  double product = dot(residual, z);
  for (int step = 0; step < kMaxConjugateSteps && product > 0; ++step) {
    dual.apply(direction, shift, image);
    const double length = product / dot(direction, image);
    for (std::size_t k = 0; k < size; ++k) {
      d[k] += length * direction[k];
      residual[k] -= length * image[k];
      z[k] = residual[k] / scale[k];
    }
    if (std::sqrt(dot(residual, residual)) <= enough) break;
    const double next = dot(residual, z);
    for (std::size_t k = 0; k < size; ++k) direction[k] = z[k] + next / product * direction[k];
    product = next;
  }
}

// The potentials for which X + a + b has unit marginals, P >= 0 aside.
template <class T>
Vector affine_potentials(const T* x, ptrdiff_t n) {
  Vector potentials(static_cast<std::size_t>(2 * n), 0.0);
  double total = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    for (ptrdiff_t j = 0; j < n; ++j) {
      const auto v = static_cast<double>(x[i * n + j]);
      potentials[static_cast<std::size_t>(i)] -= v;
      potentials[static_cast<std::size_t>(n + j)] -= v;
      total += v;
    }
  }
  const auto size = static_cast<double>(n);
  for (std::size_t k = 0; k < potentials.size(); ++k) {
    potentials[k] = (potentials[k] + total / (2 * size) + 0.5) / size;
  }
  return potentials;
}

template <class T>
void certificate(const T* x, ptrdiff_t n, const Vector& potentials, const Vector& gradient,
                 BirkhoffReport& report) {
  const auto at = [](ptrdiff_t i) { return static_cast<std::size_t>(i); };
  const auto entry = [&](ptrdiff_t i, ptrdiff_t j) {
    return static_cast<double>(x[i * n + j]) + potentials[at(i)] + potentials[at(n + j)];
  };
  // Rows scaled down to at most 1, then columns, then what is missing is spread.
  Vector row_scale(at(n)), column(at(n), 0.0), missing_row(at(n), 1.0), missing_column(at(n), 1.0);
  for (ptrdiff_t i = 0; i < n; ++i) {
    row_scale[at(i)] = 1 / std::max(1.0, 1 + gradient[at(i)]);
    for (ptrdiff_t j = 0; j < n; ++j) {
      column[at(j)] += row_scale[at(i)] * std::max(0.0, entry(i, j));
    }
  }
  for (double& sum : column) sum = 1 / std::max(1.0, sum);
  for (ptrdiff_t i = 0; i < n; ++i) {
    for (ptrdiff_t j = 0; j < n; ++j) {
      const double scaled = row_scale[at(i)] * column[at(j)] * std::max(0.0, entry(i, j));
      missing_row[at(i)] -= scaled;
      missing_column[at(j)] -= scaled;
    }
  }
  double missing = 0;
  for (double& part : missing_row) missing += part = std::max(0.0, part);
  double squares = 0, gap = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    for (ptrdiff_t j = 0; j < n; ++j) {
      const double v = entry(i, j), p = std::max(0.0, v);
      double change = (row_scale[at(i)] * column[at(j)] - 1) * p;
      if (missing > 0)
        change += missing_row[at(i)] * std::max(0.0, missing_column[at(j)]) / missing;
      squares += change * change;
      if (v < 0) gap -= v * change;
    }
  }
  report.gap = gap + squares / 2;
  report.error_bound = std::sqrt(squares) + std::sqrt(2 * report.gap);
}

// Newton's method from the potentials `at`, until no marginal is more than `enough` off, for at
// most `steps` steps; report.n_iter grows by what they were. g is the gradient there.
template <class T>
void minimise(Dual<T>& dual, double enough, ptrdiff_t steps, Vector& at, Vector& g,
              BirkhoffReport& report) {
  Vector next = at, trial_g(at.size()), d(at.size());
  double phi = dual.evaluate(at, g, true);
  report.marginal_error = largest(g);
  for (; report.marginal_error > enough && steps > 0; --steps) {
    poll_interrupt();
    const double error = report.marginal_error;
    // The shift vanishes with the error: steps stay quadratically convergent.
    newton_step(dual, g, 1e-4 * std::min(1.0, error), std::min(0.01, error), d);
    const double slope = dot(g, d);
    double length = 1, trial = phi;
    for (int halving = 0; halving < kMaxHalvings; ++halving, length /= 2) {
      for (std::size_t k = 0; k < at.size(); ++k) next[k] = at[k] + length * d[k];
      trial = dual.evaluate(next, trial_g, true);
      // Near the end phi cannot tell, but the marginals can.
      if (trial <= phi + 1e-4 * length * slope || largest(trial_g) < 0.5 * error) break;
    }
    ++report.n_iter;
    const double reached = largest(trial_g);
    // Rounding: phi no longer falls, and the marginals do not improve.
    if (!(trial < phi) && !(reached < error)) break;
    std::swap(at, next);
    std::swap(g, trial_g);
    phi = trial;
    report.marginal_error = reached;
  }
}

template <class T>
void write_points(const T* x, ptrdiff_t n, const Vector& at, auto* p) {
  using P = std::remove_pointer_t<decltype(p)>;
  for (ptrdiff_t i = 0; i < n; ++i) {
    const double a = at[static_cast<std::size_t>(i)];
    for (ptrdiff_t j = 0; j < n; ++j) {
      const double v = static_cast<double>(x[i * n + j]) + a + at[static_cast<std::size_t>(n + j)];
      p[i * n + j] = v > 0 ? static_cast<P>(v) : P(0);
    }
  }
}

// A matrix of large numbers, whose projection is near a vertex: solved for 2^-k X from k = log2|X|
// down to 0. Each solution moves the matrix, X <- X + a 1' + 1 b', and so starts the next.
// Potentials are cut to kKept bits and X is as large as they: the sums that matter are exact.
constexpr int kZoom = 6, kKept = 26;
template <class T>
BirkhoffReport project_large(const T* x, ptrdiff_t n, double size, double tol, ptrdiff_t max_iter,
                             bool certify, T* p, double* potentials) {
  constexpr double kLowest = -0x1p900;  // of entries long out of the pattern
  int k = std::ilogb(size) + 1;
  Vector moved(static_cast<std::size_t>(n * n));
  std::transform(x, x + n * n, moved.begin(),
                 [=](T v) { return std::scalbn(static_cast<double>(v), -k); });
  Vector at = affine_potentials(moved.data(), n), g(at.size());
  std::fill_n(potentials, 2 * n, 0.0);
  BirkhoffReport report{kNaN, kNaN, 0, 0};
  for (;; std::fill(at.begin(), at.end(), 0.0)) {
    Dual<double> dual(moved.data(), n);
    minimise(dual, k > 0 ? 1e-3 : tol, max_iter, at, g, report);
    if (k > 0) {
      for (double& v : at) v = std::scalbn(std::nearbyint(std::scalbn(v, kKept)), -kKept);
    }
    for (std::size_t i = 0; i < at.size(); ++i) potentials[i] += std::scalbn(at[i], k);
    if (k == 0) break;
    const int zoom = std::min(k, kZoom);
    k -= zoom;
    for (ptrdiff_t e = 0; e < n * n; ++e) {
      double& v = moved[static_cast<std::size_t>(e)];
      v = (v + at[static_cast<std::size_t>(e / n)]) + at[static_cast<std::size_t>(n + e % n)];
      v = std::max(std::scalbn(v, zoom), kLowest);
    }
  }
  write_points(moved.data(), n, at, p);
  if (certify) certificate(moved.data(), n, at, g, report);
  return report;
}

}  // namespace

template <class T>
BirkhoffReport project_birkhoff(const T* x, ptrdiff_t n, double tol, ptrdiff_t max_iter,
                                bool certify, T* p, double* potentials) {
  double size = 1;
  for (ptrdiff_t k = 0; k < n * n; ++k) size = std::max(size, std::abs(static_cast<double>(x[k])));
  if (size > kNear) return project_large(x, n, size, tol, max_iter, certify, p, potentials);
  Dual<T> dual(x, n);
  Vector at = affine_potentials(x, n), g(at.size());
  BirkhoffReport report{kNaN, kNaN, 0, 0};
  minimise(dual, tol * size, max_iter, at, g, report);
  write_points(x, n, at, p);
  if (certify) certificate(x, n, at, g, report);
  std::copy(at.begin(), at.end(), potentials);
  return report;
}

template <class T>
void project_birkhoff_batch(MatrixView<const T> x, ptrdiff_t n, double tol, ptrdiff_t max_iter,
                            bool certify, MatrixView<T> p, MatrixView<double> potentials,
                            MatrixView<double> report, int workers) {
  parallel_for(
      x.rows,
      [&](ptrdiff_t k, int) {
        const BirkhoffReport found =
            project_birkhoff(x.row(k), n, tol, max_iter, certify, p.row(k), potentials.row(k));
        report(k, 0) = found.gap;
        report(k, 1) = found.error_bound;
        report(k, 2) = found.marginal_error;
        report(k, 3) = static_cast<double>(found.n_iter);
      },
      x.rows * n * n < 2000 ? 1 : workers);
}

#define KEXUE_INSTANTIATE(T)                                                                       \
  template BirkhoffReport project_birkhoff<T>(const T*, ptrdiff_t, double, ptrdiff_t, bool, T*,    \
                                              double*);                                            \
  template void project_birkhoff_batch<T>(MatrixView<const T>, ptrdiff_t, double, ptrdiff_t, bool, \
                                          MatrixView<T>, MatrixView<double>, MatrixView<double>,   \
                                          int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
