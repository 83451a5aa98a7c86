#include "kexue/density/fit.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "hankel.hpp"
#include "kexue/core/blas.hpp"
#include "kexue/core/buffer.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/density/kernels.hpp"
#include "likelihood.hpp"
#include "roughness.hpp"
#include "spectral_factor.hpp"

namespace kexue::density {

using std::ptrdiff_t;

namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kLog2 = 0.69314718055994530942;
// From this order of the real system on LAPACK's Cholesky is the faster one (AVX-512, one thread).
constexpr ptrdiff_t kOwnCholesky = 320;
// From so many coefficients on conjugate gradients are: their products cost O(n log n).
constexpr ptrdiff_t kManyCoefficients = 400;

// Nats per sample; the next step's gain would be about the square. A start is as good as few cells
// allow, orders are compared by far larger differences.
constexpr double kRoughGain = 1e-8;
constexpr double kComparedGain = 1e-5;

constexpr ptrdiff_t kFewestCells = 1024;
constexpr ptrdiff_t kLargestOrder = 4096;

ptrdiff_t coefficients_of(ptrdiff_t order) {
  require(order >= 0 && order <= kLargestOrder, "the order is out of range");
  return order + 1;
}

class Fit {
 public:
  Fit(const Measure& measure, ptrdiff_t order, const FitOptions& options, ptrdiff_t cells,
      double least_gain)
      : options_(options),
        least_gain_(least_gain),
        n_(coefficients_of(order)),
        m_(2 * n_),
        stride_((m_ + 7) / 8 * 8),
        likelihood_(measure, n_, cells),
        roughness_(options.smoothness),
        gradient_(n_),
        hankel_(2 * n_ - 1),
        toeplitz_(n_),
        system_(m_ * stride_) {
    std::fill_n(system_.data(), system_.size(), 0.0);
  }

  double log_likelihood(const Coefficients& b) {
    b_ = b;
    normalize(b_);
    return evaluate(b_) + roughness_.penalty() - kLog2;
  }

  FitResult run(const Coefficients& start) {
    b_ = start;
    b_.resize(static_cast<std::size_t>(n_));
    if (start.empty()) {
      likelihood_.plain_moments(gradient_);
      b_ = spectral_factor().tapered(gradient_);
    }
    normalize(b_);
    FitResult result;
    newton(result.iterations);
    result.gap = std::numeric_limits<double>::infinity();
    if (options_.certify) close_gap(result);
    result.b = b_;
    result.log_likelihood = objective_ + roughness_.penalty() - kLog2;
    result.converged = !options_.certify || result.gap <= options_.tol;
    return result;
  }

 private:
  // The certificate, and steps of Frank and Wolfe's while it is open.
  void close_gap(FitResult& result) {
    result.gap = certificate();
    for (int round = 0; round < 8 && result.gap > options_.tol; ++round) {
      const double before = objective_;
      const Coefficients kept = b_;
      if (!mix_in_top(result.gap)) break;
      newton(result.iterations);
      if (objective_ < before) {
        b_ = kept;
        objective_ = evaluate(b_);
        break;
      }
      const double gap = certificate();
      const bool stalled = gap > 0.9 * result.gap;
      result.gap = std::min(gap, result.gap);
      if (stalled) break;
    }
  }

  SpectralFactor& spectral_factor() {
    if (!spectral_factor_) spectral_factor_ = std::make_unique<SpectralFactor>(n_);
    return *spectral_factor_;
  }

  // The objective without log 2.
  double evaluate(const Coefficients& b) {
    const double value = likelihood_.evaluate(SplitVector(b));
    roughness_.set(b);
    return value - roughness_.penalty();
  }

  // ---- Newton -----------------------------------------------------------------------------------

  void newton(int& iterations) {
    objective_ = evaluate(b_);
    double shift = 0, best_residual = std::numeric_limits<double>::infinity();
    int stalled = 0;
    const int last = iterations + options_.max_iter;
    while (iterations < last) {
      poll_interrupt();
      const double residual = derivatives();
      if (residual < kEpsilon * std::sqrt(static_cast<double>(m_))) break;
      stalled = residual < 0.5 * best_residual ? 0 : stalled + 1;
      best_residual = std::min(best_residual, residual);
      if (residual < 1e-11 && stalled > 0) break;
      const double gain = solve(shift);
      ++iterations;
      const bool moved = line_search();
      if (!moved || (gain < 1e-15 && stalled > 6)) break;
      if (gain < least_gain_) break;
    }
    roughness_.set(b_);
  }

  // The residual r = g - b (without a penalty) and the Hankel moments; returns ||r||.
  double derivatives() {
    likelihood_.hankel_moments(hankel_);
    hankel_product(hankel_, b_, gradient_);
    complex_residual_.resize(b_.size());
    for (ptrdiff_t k = 0; k < n_; ++k) {
      const auto at = static_cast<std::size_t>(k);
      complex_residual_[at] = gradient_[k] - b_[at];
    }
    if (roughness_.active()) {
      roughness_.set(b_);
      roughness_.subtract_gradient(b_, complex_residual_);
    }
    residual_.resize(static_cast<std::size_t>(m_));
    double sum = 0;
    for (std::size_t k = 0; k < b_.size(); ++k) {
      residual_[k] = complex_residual_[k].real();
      residual_[k + b_.size()] = complex_residual_[k].imag();
      sum += std::norm(complex_residual_[k]);
    }
    return std::sqrt(sum);
  }

  // Upper triangle of [[I + Re H, Im H], [Im H, I - Re H]] + shift I plus the projector on i b,
  // along which nothing changes.
  void assemble(double shift) {
    double* a = system_.data();
    const double *re = hankel_.re.data(), *im = hankel_.im.data();
    for (ptrdiff_t i = 0; i < n_; ++i) {
      const double p = -b_[static_cast<std::size_t>(i)].imag();
      const double q = b_[static_cast<std::size_t>(i)].real();
      double *upper = a + i * stride_, *lower = a + (n_ + i) * stride_;
      for (ptrdiff_t j = 0; j < n_; ++j) {
        const double pj = -b_[static_cast<std::size_t>(j)].imag();
        const double qj = b_[static_cast<std::size_t>(j)].real();
        upper[j] = re[i + j] + p * pj;
        upper[n_ + j] = im[i + j] + p * qj;
        lower[n_ + j] = -re[i + j] + q * qj;
      }
      upper[i] += 1 + shift;
      lower[n_ + i] += 1 + shift;
    }
    if (roughness_.active()) roughness_.add_hessian(b_, a, stride_);
  }

  bool factor() {
    if (m_ <= kOwnCholesky) return fit_kernels().cholesky(system_.data(), m_, stride_);
    return lapack::potrf<double>(lapack::Uplo::lower, m_, system_.data(), stride_) == m_;
  }

  // Solves for the step; returns the gain it predicts.
  double solve(double& shift) {
    if (n_ >= kManyCoefficients && !roughness_.active()) return solve_iteratively();
    double trial = shift;
    for (int attempt = 0; attempt < 60; ++attempt) {
      assemble(trial);
      if (factor()) break;
      trial = std::max(4 * trial, 1e-4);
    }
    shift = trial < 1e-5 ? 0 : 0.1 * trial;
    step_ = residual_;
    back_substitute(step_);
    double gain = 0;
    for (std::size_t i = 0; i < step_.size(); ++i) gain += step_[i] * residual_[i];
    return gain;
  }

  // The step to as many digits as the residual has: Newton's method stays quadratic.
  double solve_iteratively() {
    if (!hankel_system_) hankel_system_ = std::make_unique<HankelSystem>(n_);
    hankel_system_->set(hankel_.re.data(), hankel_.im.data(), b_);
    double square = 0;
    for (const double r : residual_) square += r * r;
    const double target = std::clamp(std::sqrt(square), 1e-6, 1e-2);
    step_.resize(residual_.size());
    hankel_system_->solve(0, target, residual_, step_);
    double gain = 0;
    for (std::size_t i = 0; i < step_.size(); ++i) gain += step_[i] * residual_[i];
    return gain;
  }

  // x = (U^T U)^-1 x by rows of U.
  void back_substitute(std::vector<double>& x) const {
    const double* a = system_.data();
    for (ptrdiff_t i = 0; i < m_; ++i) {
      const double* row = a + i * stride_;
      const double value = x[static_cast<std::size_t>(i)] /= row[i];
      for (ptrdiff_t j = i + 1; j < m_; ++j) x[static_cast<std::size_t>(j)] -= value * row[j];
    }
    for (ptrdiff_t i = m_ - 1; i >= 0; --i) {
      const double* row = a + i * stride_;
      double sum = x[static_cast<std::size_t>(i)];
      for (ptrdiff_t j = i + 1; j < m_; ++j) sum -= row[j] * x[static_cast<std::size_t>(j)];
      x[static_cast<std::size_t>(i)] = sum / row[i];
    }
  }

  // Halves the step until the objective does not fall; false if it never does.
  bool line_search() {
    const double slack = 4 * kEpsilon * (1 + std::abs(objective_));
    Coefficients trial(b_.size());
    double length = 1;
    for (int halvings = 0; halvings < 24; ++halvings, length *= 0.5) {
      for (std::size_t k = 0; k < b_.size(); ++k) {
        trial[k] = b_[k] + length * std::complex(step_[k], step_[k + b_.size()]);
      }
      normalize(trial);
      const double value = evaluate(trial);
      if (value >= objective_ - slack) {
        b_ = trial;
        objective_ = value;
        return true;
      }
    }
    objective_ = evaluate(b_);
    return false;
  }

  // ---- certificate ------------------------------------------------------------------------------

  // Returns what the margin costs the gap.
  double toeplitz_moments() {
    const double margin = kEpsilon * static_cast<double>(n_);
    const double cost = likelihood_.toeplitz_moments(margin, toeplitz_);
    if (!roughness_.active()) return cost;
    roughness_.set(b_);
    for (ptrdiff_t k = 0; k < n_; ++k) {
      const std::complex<double> s = roughness_.entry(k);
      toeplitz_.re[static_cast<std::size_t>(k)] -= s.real();
      toeplitz_.im[static_cast<std::size_t>(k)] -= s.imag();
    }
    return cost;
  }

  // T(i, j) = t_{i - j}
  std::complex<double> toeplitz(ptrdiff_t i, ptrdiff_t j) const {
    return i >= j ? toeplitz_[i - j] : std::conj(toeplitz_[j - i]);
  }

  // Whether bound I - T has a Cholesky factor.
  bool dominated(double bound) {
    double* a = system_.data();
    for (ptrdiff_t i = 0; i < n_; ++i) {
      for (ptrdiff_t j = 0; j < n_; ++j) {
        const std::complex<double> t = toeplitz(i, j);
        a[i * stride_ + j] = -t.real();
        a[i * stride_ + n_ + j] = t.imag();
        a[(n_ + i) * stride_ + n_ + j] = -t.real();
      }
      a[i * stride_ + i] += bound;
      a[(n_ + i) * stride_ + n_ + i] += bound;
    }
    return factor();
  }

  double certificate() {
    const double cost = toeplitz_moments();
    const double floor = 4 * kEpsilon * static_cast<double>(m_);
    // <gradient of the penalty, p> is 2 roughness: the concave bound starts from there.
    const double base = 1 - 2 * roughness_.penalty();
    double d = floor;
    while (d < 1e8 && !dominated(base + d)) d *= 3;
    if (d >= 1e8) return std::numeric_limits<double>::infinity();
    // The steps are coarse: the certificate is the least of d / 2, 3 d / 4 and d that holds.
    for (const double part : {0.5, 0.75}) {
      if (d > floor && dominated(base + part * d)) {
        d *= part;
        break;
      }
    }
    return cost + (roughness_.active() ? d + floor : std::log1p(d + floor));
  }

  // p <- (1 - s) p + s |top|^2 with the best s of a few; false if none gains.
  bool mix_in_top(double gap) {
    if (!std::isfinite(gap)) return false;
    std::vector<std::complex<double>> matrix(static_cast<std::size_t>(n_ * n_));
    for (ptrdiff_t j = 0; j < n_; ++j) {
      for (ptrdiff_t i = 0; i < n_; ++i)
        matrix[static_cast<std::size_t>(j * n_ + i)] = toeplitz(i, j);
    }
    std::vector<double> eigenvalues(static_cast<std::size_t>(n_));
    lapack::heevd(true, lapack::Uplo::lower, n_, matrix.data(), n_, eigenvalues.data());
    SplitVector top(n_);
    for (ptrdiff_t k = 0; k < n_; ++k) {
      const auto z = matrix[static_cast<std::size_t>((n_ - 1) * n_ + k)];
      top.re[static_cast<std::size_t>(k)] = z.real();
      top.im[static_cast<std::size_t>(k)] = z.imag();
    }
    const double share = likelihood_.best_share(top);
    if (share == 0) return false;
    b_ = spectral_factor().mixture(SplitVector(b_), top, share);
    return true;
  }

  FitOptions options_;
  double least_gain_;
  ptrdiff_t n_, m_, stride_;
  Likelihood likelihood_;
  Roughness roughness_;
  std::unique_ptr<SpectralFactor> spectral_factor_;
  SplitVector gradient_, hankel_, toeplitz_;
  AlignedBuffer<double> system_;
  std::unique_ptr<HankelSystem> hankel_system_;
  Coefficients b_, complex_residual_;
  std::vector<double> residual_, step_;
  double objective_ = 0;
};

// The optimum for the few cells that comparing orders takes, near that for all of them: most steps
// of a fit without a start cost a fraction. Nothing where the measure has few points anyway.
FitResult rough_fit(const Measure& measure, ptrdiff_t order, const FitOptions& options) {
  const ptrdiff_t cells = condensed_cells(order);
  FitOptions rough = options;
  rough.certify = false;
  if (measure.t.empty()) {
    if (measure.moments.size() <= static_cast<std::size_t>(2 * kMoments * cells)) return {};
    return Fit(measure, order, rough, cells, kRoughGain).run({});
  }
  if (measure.t.size() <= static_cast<std::size_t>(4 * cells)) return {};
  const Points few = condense(measure.t, measure.w, cells);
  return Fit({few.t, few.w, {}}, order, rough, cells, kRoughGain).run({});
}

}  // namespace

ptrdiff_t condensed_cells(ptrdiff_t order) {
  ptrdiff_t cells = kFewestCells / 16;
  while (cells < 8 * (order + 1)) cells *= 2;
  return cells;
}

ptrdiff_t fit_cells(ptrdiff_t order, bool certify) {
  ptrdiff_t cells = certify ? kFewestCells : kFewestCells / 2;
  while (cells < (certify ? 64 : 32) * (order + 1)) cells *= 2;
  return cells;
}

FitResult fit(const Measure& measure, ptrdiff_t order, const Coefficients& start,
              const FitOptions& options) {
  require(static_cast<ptrdiff_t>(start.size()) <= order + 1, "the start has too high an order");
  const FitResult rough =
      start.empty() && options.certify ? rough_fit(measure, order, options) : FitResult{};
  Fit last(measure, order, options, fit_cells(order, options.certify),
           options.certify ? 0 : kComparedGain);
  FitResult result = last.run(rough.b.empty() ? start : rough.b);
  result.iterations += rough.iterations;
  return result;
}

double log_likelihood(const Measure& measure, const Coefficients& b) {
  require(!b.empty(), "a density needs a coefficient");
  const auto order = static_cast<ptrdiff_t>(b.size()) - 1;
  return Fit(measure, order, {}, fit_cells(order, true), 0).log_likelihood(b);
}

}  // namespace kexue::density
