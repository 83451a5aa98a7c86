#include "kexue/density/fit.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>

#include "hankel.hpp"
#include "kexue/core/blas.hpp"
#include "kexue/core/buffer.hpp"
#include "kexue/core/elementary.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/density/compress.hpp"
#include "kexue/density/kernels.hpp"
#include "kexue/density/transform.hpp"

namespace kexue::density {

using std::ptrdiff_t;

namespace {

constexpr double kPi = std::numbers::pi;
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
// From this order of the real system on LAPACK's Cholesky is the faster one (AVX-512, one thread).
constexpr ptrdiff_t kOwnCholesky = 320;
// From so many coefficients on conjugate gradients are: their products cost O(n log n).
constexpr ptrdiff_t kManyCoefficients = 400;

struct SplitVector {
  explicit SplitVector(ptrdiff_t n) : re(static_cast<std::size_t>(n)), im(re.size()) {}
  std::complex<double> operator[](ptrdiff_t k) const {
    return {re[static_cast<std::size_t>(k)], im[static_cast<std::size_t>(k)]};
  }
  std::vector<double> re, im;
};

void normalize(Coefficients& b) {
  double sum = 0;
  for (const auto& z : b) sum += std::norm(z);
  const double scale = 1 / std::sqrt(sum);
  for (auto& z : b) z *= scale;
}

// The grid of the warm start and of spectral factors.
constexpr ptrdiff_t kLanes = 16;
constexpr ptrdiff_t kFewestCells = 1024;
constexpr double kNegligible = 1e-24;
constexpr ptrdiff_t kLargestOrder = 4096;

ptrdiff_t transform_rows(ptrdiff_t order) {
  require(order >= 0 && order <= kLargestOrder, "the order is out of range");
  ptrdiff_t rows = Transform::kMinRows;
  while (rows < 2 * order + 1) rows *= 2;
  return rows;
}

class Fit {
 public:
  Fit(const Measure& measure, ptrdiff_t order, const FitOptions& options)
      : options_(options),
        n_(order + 1),
        m_(2 * n_),
        stride_((m_ + 7) / 8 * 8),
        transform_(Transform::get(transform_rows(order), kLanes)),
        grid_nodes_(transform_->nodes()),
        points_(load(measure, fit_cells(order, options.certify))),
        nodes_(static_cast<ptrdiff_t>(points_.t.size())),
        sums_(16 * (2 * n_ - 1)),
        values_(std::max(nodes_, grid_nodes_)),
        first_(values_.re.size()),
        second_(values_.re.size()),
        scratch_(values_.re.size()),
        gradient_(n_),
        hankel_(2 * n_ - 1),
        toeplitz_(n_),
        system_(m_ * stride_) {
    std::fill_n(system_.data(), system_.size(), 0.0);
  }

  double log_likelihood(const Coefficients& b) {
    b_ = b;
    normalize(b_);
    return evaluate(b_) + options_.smoothness * roughness_ - std::log(2.0);
  }

  FitResult run(const Coefficients& start) {
    b_.assign(start.begin(), start.end());
    b_.resize(static_cast<std::size_t>(n_));
    if (start.empty()) warm_start();
    normalize(b_);
    FitResult result;
    newton(result.iterations);
    result.gap = std::numeric_limits<double>::infinity();
    if (options_.certify) {
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
    result.b = b_;
    result.log_likelihood = objective_ + options_.smoothness * roughness_ - std::log(2.0);
    result.converged = !options_.certify || result.gap <= options_.tol;
    return result;
  }

 private:
  // ---- the measure ------------------------------------------------------------------------------

  // Points, eights of them, of weight 1 in all.
  static Points load(const Measure& measure, ptrdiff_t cells) {
    Points points;
    if (!measure.t.empty()) {
      require(measure.w.empty() || measure.w.size() == measure.t.size(), "one weight per point");
      points.t.assign(measure.t.begin(), measure.t.end());
      points.w.assign(measure.w.begin(), measure.w.end());
      if (points.w.empty()) points.w.assign(points.t.size(), 1.0);
    } else if (const auto size = static_cast<std::size_t>(kMoments * cells);
               size < measure.moments.size()) {
      std::vector<double> coarse(size);
      coarsen(measure.moments, coarse);
      points = gauss_points(coarse);
    } else {
      points = gauss_points(measure.moments);
    }
    double total = 0;
    for (const double w : points.w) total += w;
    require(total > 0, "the samples hold no mass");
    // log p is above -80 in doubles: what is dropped moves no likelihood by more than 1e-20.
    for (double& w : points.w) w = w > kNegligible * total ? w / total : 0.0;
    const std::size_t padded = (points.t.size() + 7) / 8 * 8;
    points.t.resize(padded, 0.0);
    points.w.resize(padded, 0.0);
    return points;
  }

  // sum_k b_k e^{i pi k t} at the points.
  void values_at_points(const SplitVector& b, SplitArray& out) const {
    density_kernels().amplitude(b.re.data(), b.im.data(), n_ - 1, points_.t.data(), out.re.data(),
                                out.im.data(), nodes_);
  }

  // sum_j u_j e^{-i pi k t_j} over the points, k < m.
  void moments_of_points(const SplitArray& u, ptrdiff_t m, SplitVector& out) {
    fit_kernels().point_moments(points_.t.data(), u.re.data(), u.im.data(), nodes_, m, sums_.data(),
                                out.re.data(), out.im.data());
  }

  // ---- objective --------------------------------------------------------------------------------

  // Values of B on the grid and the objective without log 2.
  double evaluate(const Coefficients& b) {
    values_at_points(split(b), values_);
    double value = fit_kernels().log_likelihood(points_.w.data(), values_.re.data(),
                                                values_.im.data(), nodes_);
    if (options_.smoothness > 0) {
      correlate(b);
      value -= options_.smoothness * roughness_;
    }
    return value;
  }

  // c_n = sum_k b_{k+n} conj(b_k) and the integral of p'^2 = pi^2 sum n^2 |c_n|^2.
  void correlate(const Coefficients& b) {
    c_.assign(b.size(), 0);
    roughness_ = 0;
    for (std::size_t n = 0; n < b.size(); ++n) {
      for (std::size_t k = 0; k + n < b.size(); ++k) c_[n] += b[k + n] * std::conj(b[k]);
      roughness_ += kPi * kPi * static_cast<double>(n * n) * std::norm(c_[n]);
    }
  }

  // Half the gradient of the roughness with respect to conj(b): a Toeplitz matrix times b.
  std::complex<double> roughness_gradient(ptrdiff_t j) const {
    std::complex<double> sum = 0;
    for (ptrdiff_t k = 0; k < n_; ++k) sum += penalty(j - k) * b_[static_cast<std::size_t>(k)];
    return sum;
  }
  std::complex<double> penalty(ptrdiff_t n) const {
    const double factor = kPi * kPi * static_cast<double>(n * n);
    const auto c = c_[static_cast<std::size_t>(std::abs(n))];
    return factor * (n >= 0 ? c : std::conj(c));
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
      if (residual < 2 * kEpsilon) break;
      stalled = residual < 0.5 * best_residual ? 0 : stalled + 1;
      best_residual = std::min(best_residual, residual);
      if (residual < 1e-11 && stalled > 0) break;
      const double gain = solve(shift);
      ++iterations;
      const bool moved = line_search();
      if (!moved || (gain < 1e-15 && stalled > 6)) break;
      // The next gain would be about the square of this one.
      if (!options_.certify && gain < 1e-7) break;
    }
    if (options_.smoothness > 0) correlate(b_);
  }

  // The residual r = g - b (without a penalty) and the Hankel moments; returns ||r||.
  double derivatives() {
    fit_kernels().newton_weights(points_.w.data(), values_.re.data(), values_.im.data(),
                                 first_.re.data(), first_.im.data(), second_.re.data(),
                                 second_.im.data(), nodes_);
    moments_of_points(first_, n_, gradient_);
    moments_of_points(second_, 2 * n_ - 1, hankel_);
    if (options_.smoothness > 0) correlate(b_);
    residual_.resize(static_cast<std::size_t>(m_));
    double sum = 0;
    for (ptrdiff_t k = 0; k < n_; ++k) {
      const auto at = static_cast<std::size_t>(k);
      std::complex<double> r = gradient_[k] - b_[at];
      if (options_.smoothness > 0) {
        r -= options_.smoothness * (roughness_gradient(k) - 2 * roughness_ * b_[at]);
      }
      residual_[at] = r.real();
      residual_[at + static_cast<std::size_t>(n_)] = r.imag();
      sum += std::norm(r);
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
    if (options_.smoothness > 0) add_penalty();
  }

  void add_penalty() {
    double* a = system_.data();
    const double weight = options_.smoothness;
    for (ptrdiff_t i = 0; i < n_; ++i) {
      for (ptrdiff_t j = 0; j < n_; ++j) {
        const std::complex<double> s = weight * penalty(i - j);
        a[i * stride_ + j] += s.real();
        a[i * stride_ + n_ + j] -= s.imag();
        a[(n_ + i) * stride_ + n_ + j] += s.real();
      }
      a[i * stride_ + i] -= 2 * weight * roughness_;
      a[(n_ + i) * stride_ + n_ + i] -= 2 * weight * roughness_;
    }
    // Gauss and Newton's part: the gradients of Re c_n and Im c_n.
    std::vector<double> u(static_cast<std::size_t>(m_)), v(u.size());
    for (ptrdiff_t n = 1; n < n_; ++n) {
      const double factor = weight * kPi * kPi * static_cast<double>(n * n);
      for (ptrdiff_t k = 0; k < n_; ++k) {
        const auto up = k + n < n_ ? b_[static_cast<std::size_t>(k + n)] : 0.0;
        const auto down = k >= n ? b_[static_cast<std::size_t>(k - n)] : 0.0;
        const auto re = static_cast<std::size_t>(k), im = static_cast<std::size_t>(n_ + k);
        u[re] = up.real() + down.real();
        u[im] = up.imag() + down.imag();
        v[re] = up.imag() - down.imag();
        v[im] = down.real() - up.real();
      }
      for (ptrdiff_t i = 0; i < m_; ++i) {
        const double ui = factor * u[static_cast<std::size_t>(i)];
        const double vi = factor * v[static_cast<std::size_t>(i)];
        for (ptrdiff_t j = i; j < m_; ++j) {
          a[i * stride_ + j] +=
              ui * u[static_cast<std::size_t>(j)] + vi * v[static_cast<std::size_t>(j)];
        }
      }
    }
  }

  bool factor() {
    if (m_ <= kOwnCholesky) return fit_kernels().cholesky(system_.data(), m_, stride_);
    return lapack::potrf<double>(lapack::Uplo::lower, m_, system_.data(), stride_) == m_;
  }

  // Solves for the step; returns the gain it predicts.
  double solve(double& shift) {
    if (n_ >= kManyCoefficients && options_.smoothness <= 0) return solve_iteratively();
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

  // ---- start ------------------------------------------------------------------------------------

  // Minimum-phase factor of the non-negative values p on the grid, by the cepstrum.
  void factor_values(const std::vector<double>& p) {
    const ptrdiff_t m = std::min(transform_->rows(), 4 * n_);
    for (ptrdiff_t j = 0; j < grid_nodes_; ++j) first_.re[j] = p[static_cast<std::size_t>(j)];
    elementary_kernels().f64.log(first_.re.data(), first_.re.data(), grid_nodes_);
    std::fill_n(first_.im.data(), grid_nodes_, 0.0);
    SplitVector cepstrum(m);
    transform_->moments(first_, scratch_, m, cepstrum.re.data(), cepstrum.im.data());
    for (ptrdiff_t k = 0; k < m; ++k) {
      const double scale = (k == 0 ? 0.5 : 1.0) / static_cast<double>(grid_nodes_);
      cepstrum.re[static_cast<std::size_t>(k)] *= scale;
      cepstrum.im[static_cast<std::size_t>(k)] *= scale;
    }
    transform_->values(cepstrum.re.data(), cepstrum.im.data(), m, first_, scratch_);
    elementary_kernels().f64.exp(first_.re.data(), first_.re.data(), grid_nodes_);
    for (ptrdiff_t j = 0; j < grid_nodes_; ++j) {
      const double size = first_.re[j], angle = first_.im[j];
      first_.re[j] = size * std::cos(angle);
      first_.im[j] = size * std::sin(angle);
    }
    SplitVector b(n_);
    transform_->moments(first_, scratch_, n_, b.re.data(), b.im.data());
    for (ptrdiff_t k = 0; k < n_; ++k) b_[static_cast<std::size_t>(k)] = b[k];
    normalize(b_);
  }

  // The characteristic function of h under Fejer's taper, clipped.
  void warm_start() {
    std::copy_n(points_.w.data(), nodes_, first_.re.data());
    std::fill_n(first_.im.data(), nodes_, 0.0);
    SplitVector moments(n_);
    moments_of_points(first_, n_, moments);
    for (ptrdiff_t k = 0; k < n_; ++k) {
      const double taper =
          (k == 0 ? 0.5 : 1.0) * (1 - static_cast<double>(k) / static_cast<double>(n_));
      moments.re[static_cast<std::size_t>(k)] *= taper;
      moments.im[static_cast<std::size_t>(k)] *= taper;
    }
    transform_->values(moments.re.data(), moments.im.data(), n_, values_, scratch_);
    // The mean of 2 Re is 1.
    std::vector<double> p(static_cast<std::size_t>(grid_nodes_));
    for (ptrdiff_t j = 0; j < grid_nodes_; ++j) {
      p[static_cast<std::size_t>(j)] = std::max(2 * values_.re[j], 1e-3);
    }
    factor_values(p);
  }

  // ---- certificate ------------------------------------------------------------------------------

  void toeplitz_moments() {
    for (ptrdiff_t j = 0; j < nodes_; ++j) {
      first_.re[j] = weight(j) == 0 ? 0 : weight(j) / power(values_, j);
    }
    std::fill_n(first_.im.data(), nodes_, 0.0);
    moments_of_points(first_, n_, toeplitz_);
    if (options_.smoothness <= 0) return;
    correlate(b_);
    for (ptrdiff_t k = 0; k < n_; ++k) {
      const std::complex<double> s = options_.smoothness * penalty(k);
      toeplitz_.re[static_cast<std::size_t>(k)] -= s.real();
      toeplitz_.im[static_cast<std::size_t>(k)] -= s.imag();
    }
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
    toeplitz_moments();
    const double floor = 4 * kEpsilon * static_cast<double>(m_);
    // <gradient of the penalty, p> is 2 roughness: the concave bound starts from there.
    const double base = 1 - (options_.smoothness > 0 ? 2 * options_.smoothness * roughness_ : 0);
    double d = floor;
    while (d < 1e8 && !dominated(base + d)) d *= 3;
    if (d >= 1e8) return std::numeric_limits<double>::infinity();
    return options_.smoothness > 0 ? d + floor : std::log1p(d + floor);
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
    values_at_points(top, first_);
    double best_value = 0, best_share = 0;
    double share = 0.5;
    for (int trial = 0; trial < 15; ++trial, share *= 0.4) {
      double value = 0;
      for (ptrdiff_t j = 0; j < nodes_; ++j) {
        if (weight(j) == 0) continue;
        value += weight(j) * std::log1p(share * (power(first_, j) / power(values_, j) - 1));
      }
      if (value > best_value) {
        best_value = value;
        best_share = share;
      }
    }
    if (best_share == 0) return false;
    const SplitVector old = split(b_);
    transform_->values(old.re.data(), old.im.data(), n_, values_, scratch_);
    transform_->values(top.re.data(), top.im.data(), n_, first_, scratch_);
    std::vector<double> mixed(static_cast<std::size_t>(grid_nodes_));
    for (ptrdiff_t j = 0; j < grid_nodes_; ++j) {
      mixed[static_cast<std::size_t>(j)] =
          (1 - best_share) * power(values_, j) + best_share * power(first_, j) + 1e-14;
    }
    factor_values(mixed);
    return true;
  }

  double weight(ptrdiff_t j) const { return points_.w[static_cast<std::size_t>(j)]; }
  static double power(const SplitArray& a, ptrdiff_t j) {
    return a.re[j] * a.re[j] + a.im[j] * a.im[j];
  }
  static SplitVector split(const Coefficients& b) {
    SplitVector parts(static_cast<ptrdiff_t>(b.size()));
    for (std::size_t k = 0; k < b.size(); ++k) {
      parts.re[k] = b[k].real();
      parts.im[k] = b[k].imag();
    }
    return parts;
  }

  FitOptions options_;
  ptrdiff_t n_, m_, stride_;
  std::shared_ptr<const Transform> transform_;
  ptrdiff_t grid_nodes_;
  Points points_;
  ptrdiff_t nodes_;
  AlignedBuffer<double> sums_;
  SplitArray values_, first_, second_, scratch_;
  SplitVector gradient_, hankel_, toeplitz_;
  AlignedBuffer<double> system_;
  std::unique_ptr<HankelSystem> hankel_system_;
  Coefficients b_, c_;
  std::vector<double> residual_, step_;
  double objective_ = 0, roughness_ = 0;
};

}  // namespace

ptrdiff_t fit_cells(ptrdiff_t order, bool certify) {
  ptrdiff_t cells = certify ? kFewestCells : kFewestCells / 2;
  while (cells < (certify ? 64 : 32) * (order + 1)) cells *= 2;
  return cells;
}

FitResult fit(const Measure& measure, ptrdiff_t order, const Coefficients& start,
              const FitOptions& options) {
  require(static_cast<ptrdiff_t>(start.size()) <= order + 1, "the start has too high an order");
  return Fit(measure, order, options).run(start);
}

double log_likelihood(const Measure& measure, const Coefficients& b) {
  require(!b.empty(), "a density needs a coefficient");
  return Fit(measure, static_cast<ptrdiff_t>(b.size()) - 1, {}).log_likelihood(b);
}

bool is_minimum_phase(const Coefficients& b) {
  // b(z) and its reciprocal polynomial: a zero inside shows as |last| > |first|.
  Coefficients p = b;
  while (p.size() > 1) {
    const auto first = p.front(), last = p.back();
    if (std::norm(last) > std::norm(first)) return false;
    Coefficients next(p.size() - 1);
    for (std::size_t k = 0; k < next.size(); ++k) {
      next[k] = std::conj(first) * p[k] - last * std::conj(p[p.size() - 1 - k]);
    }
    const double size = std::abs(next[0]);
    if (!(size > 0)) return true;
    for (auto& z : next) z /= size;
    p = next;
  }
  return true;
}

}  // namespace kexue::density
