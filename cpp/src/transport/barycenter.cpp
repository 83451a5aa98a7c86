#include "kexue/transport/barycenter.hpp"

#include <algorithm>
#include <cmath>

#include "barycenter_part.hpp"
#include "kexue/core/constants.hpp"
#include "kexue/core/elementary.hpp"

namespace kexue::transport {

namespace {

using Buffer = AlignedBuffer<double>;
constexpr double kDirect = 0.02, kFirstLevel = 0.05, kShrink = 0.5, kLevelError = 1e-4;
constexpr std::ptrdiff_t kNewtonAfter = 12, kConjugateSteps = 500, kLevelPasses = 1000;
constexpr int kHalvings = 10;
constexpr double kLeast = 1e-300, kLongestStep = 20;

void log_of(const double* x, double* y, std::ptrdiff_t n) { elementary_kernels().f64.log(x, y, n); }

class Solver {
 public:
  Solver(const Costs& costs, MatrixView<const double> masses, const double* weights, bool debiased,
         const SinkhornOptions& options)
      : options_(options),
        weights_(weights),
        n_(costs.rows()),
        m_(costs.cols()),
        mean_(m_),
        log_p_(m_),
        log_d_(m_) {
    for (std::ptrdiff_t k = 0; k < masses.rows; ++k) {
      parts_.push_back(std::make_unique<Part>(costs, options));
      for (std::ptrdiff_t i = 0; i < n_; ++i) parts_.back()->a[i] = masses(k, i);
    }
    if (debiased) self_ = std::make_unique<Part>(costs, options);
    std::fill(log_d_.data(), log_d_.data() + m_, 0.0);
    for (std::ptrdiff_t i = 0; i < n_; ++i) mass_ += masses(0, i);
  }

  BarycenterSolution solve() {
    const CostRange range = range_of(parts_[0]->gibbs.costs(), options_.workers);
    const double width = range.highest - range.lowest;
    for (const auto& part : parts_) std::fill(part->f.data(), part->f.data() + n_, range.lowest);
    double at = options_.reg < kDirect * width ? kFirstLevel * width : options_.reg;
    double before = 0;
    for (;;) {
      const bool last = at <= options_.reg;
      if (before > 0) rescale(at / before);
      reg_ = at;
      absorb();
      level(last ? options_.tol : std::max(options_.tol, kLevelError * mass_),
            last ? options_.max_passes : std::min(options_.max_passes, passes_ + kLevelPasses));
      collect();
      if (last || passes_ >= options_.max_passes) break;
      before = at;
      at = std::max(options_.reg, at * kShrink);
    }
    if (reg_ > options_.reg) {
      reg_ = options_.reg;
      absorb();
      collect();
    }
    return answer();
  }

 private:
  template <class F>
  void each(F&& f) {
    const auto count = static_cast<std::ptrdiff_t>(parts_.size());
    // Whole histograms to each worker if there are enough of them, else the pass is shared.
    const int workers = planned_workers(count, options_.workers);
    parallel_for(
        count, [&](std::ptrdiff_t k, int) { f(*parts_[std::size_t(k)]); },
        count >= 2 * workers ? workers : 1);
  }
  double weight(std::size_t k) const { return weights_[k]; }

  void evaluate() {
    each([](Part& part) { part.evaluate(); });
    ++passes_;
    measure();
  }
  void measure() {
    for (std::ptrdiff_t j = 0; j < m_; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < parts_.size(); ++k) sum += weight(k) * parts_[k]->c[j];
      mean_[j] = sum;
    }
    error_ = 0;
    for (std::size_t k = 0; k < parts_.size(); ++k) {
      double distance = 0;
      for (std::ptrdiff_t j = 0; j < m_; ++j) distance += std::fabs(parts_[k]->c[j] - mean_[j]);
      if (weight(k) > 0) error_ = std::max(error_, distance);
    }
    error_ = std::max(error_, bias_error_);
  }
  void absorb() {
    each([this](Part& part) { part.absorb(reg_); });
    ++passes_;
    if (self_) absorb_self();
    measure();
  }
  void collect() {
    each([this](Part& part) { part.collect(reg_); });
  }
  // Potentials of the last level, kept in units of the costs; those of the bias as log d.
  void rescale(double ratio) {
    for (std::ptrdiff_t j = 0; j < m_; ++j) log_d_[j] /= ratio;
  }
  void settle() {
    bool stretched = false;
    for (const auto& part : parts_) stretched = stretched || part->stretched();
    if (!stretched) return;
    collect();
    absorb();
  }

  // ---- Projections ------------------------------------------------------------------------------

  void project() {
    each([this](Part& part) {
      for (std::ptrdiff_t j = 0; j < m_; ++j) part.next[j] = std::max(part.t[j], kLeast);
      log_of(part.next.data(), part.logs.data(), m_);
    });
    for (std::ptrdiff_t j = 0; j < m_; ++j) {
      double sum = log_d_[j];
      for (std::size_t k = 0; k < parts_.size(); ++k) {
        sum += weight(k) * (parts_[k]->logs[j] - parts_[k]->g[j] / reg_);
      }
      log_p_[j] = sum;
    }
    // In total units v_k = p / t_k; here relative to the absorbed g_k.
    each([this](Part& part) {
      for (std::ptrdiff_t j = 0; j < m_; ++j) {
        part.q[j] = std::clamp(log_p_[j] - part.logs[j], -2 * Part::kReach, 2 * Part::kReach);
      }
      elementary_kernels().f64.exp(part.q.data(), part.v.data(), m_);
    });
    if (self_) update_bias();
    evaluate();
  }

  // ---- The bias: log d = (log d + log p - log K d) / 2
  // -----------------------------------------------

  void absorb_self() {
    for (std::ptrdiff_t j = 0; j < m_; ++j) self_->f[j] = self_->g[j] = reg_ * log_d_[j];
    self_->gibbs.absorb(self_->f.data(), self_->g.data(), reg_);
  }
  void update_bias() {
    Part& self = *self_;
    double furthest = 0;
    for (std::ptrdiff_t j = 0; j < m_; ++j) {
      self.v[j] = std::exp(log_d_[j] - self.g[j] / reg_);
      furthest = std::max(furthest, std::fabs(log_d_[j] - self.g[j] / reg_));
    }
    if (furthest > Part::kReach) {
      absorb_self();
      std::fill(self.v.data(), self.v.data() + m_, 1.0);
    }
    self.gibbs.pass(self.v.data(), self.t.data(), [&](std::ptrdiff_t i, double sum) {
      self.s[i] = std::max(sum, kLeast);
      return 0.0;
    });
    log_of(self.s.data(), self.logs.data(), m_);
    bias_error_ = 0;
    for (std::ptrdiff_t j = 0; j < m_; ++j) {
      const double image = self.logs[j] - self.g[j] / reg_;
      const double step = 0.5 * (log_p_[j] - image - log_d_[j]);
      bias_error_ += mean_[j] * std::fabs(std::expm1(std::clamp(2 * step, -50.0, 50.0)));
      log_d_[j] += step;
    }
  }

  // ---- Newton's method
  // ----------------------------------------------------------------------------

  // z_k = (r_k + mu) / c_k with sum_k w_k z_k = 0, to q; returns sum_k w_k <r_k, z_k>.
  double precondition() {
    double product = 0;
    for (std::ptrdiff_t j = 0; j < m_; ++j) {
      double up = 0, down = 0;
      for (std::size_t k = 0; k < parts_.size(); ++k) {
        const double c = std::max(parts_[k]->c[j], kLeast);
        up += weight(k) * parts_[k]->r[j] / c;
        down += weight(k) / c;
      }
      const double mu = -up / down;
      for (std::size_t k = 0; k < parts_.size(); ++k) {
        Part& part = *parts_[k];
        part.q[j] = (part.r[j] + mu) / std::max(part.c[j], kLeast);
        product += weight(k) * part.r[j] * part.q[j];
      }
    }
    return product;
  }
  double dual() const {
    double sum = 0;
    for (std::size_t k = 0; k < parts_.size(); ++k) sum += weight(k) * parts_[k]->dual();
    return sum;
  }
  double dot(Buffer Part::* first, Buffer Part::* second) const {
    double sum = 0;
    for (std::size_t k = 0; k < parts_.size(); ++k) {
      const Part& part = *parts_[k];
      double own = 0;
      for (std::ptrdiff_t j = 0; j < m_; ++j) own += (part.*first)[j] * (part.*second)[j];
      sum += weight(k) * own;
    }
    return sum;
  }
  void conjugate_gradients() {
    for (auto& part : parts_) {
      for (std::ptrdiff_t j = 0; j < m_; ++j) {
        part->r[j] = mean_[j] - part->c[j];
        part->x[j] = 0;
      }
    }
    double size = precondition();
    const double forcing = std::min(0.1, std::max(std::sqrt(error_), 0.2 * tol_ / error_));
    const double enough = forcing * forcing * size;
    for (auto& part : parts_) std::copy(part->q.data(), part->q.data() + m_, part->p.data());
    for (std::ptrdiff_t step = 0; step < kConjugateSteps; ++step) {
      each([](Part& part) {
        const std::ptrdiff_t m = part.gibbs.cols();
        for (std::ptrdiff_t j = 0; j < m; ++j) part.w[j] = part.v[j] * part.p[j];
        part.gibbs.pass(part.w.data(), part.q.data(), [&](std::ptrdiff_t i, double sum) {
          return part.s[i] > 0 ? part.a[i] * part.u[i] / part.s[i] * sum : 0.0;
        });
        for (std::ptrdiff_t j = 0; j < m; ++j) {
          part.q[j] = part.c[j] * part.p[j] - part.v[j] * part.q[j];
        }
      });
      ++passes_;
      const double curvature = dot(&Part::p, &Part::q);
      if (!(curvature > 0)) {
        for (auto& part : parts_) {
          if (step == 0) std::copy(part->p.data(), part->p.data() + m_, part->x.data());
        }
        break;
      }
      const double length = size / curvature;
      for (auto& part : parts_) {
        for (std::ptrdiff_t j = 0; j < m_; ++j) {
          part->x[j] += length * part->p[j];
          part->r[j] -= length * part->q[j];
        }
      }
      const double next = precondition();
      if (!(next > enough) || passes_ >= options_.max_passes) break;
      for (auto& part : parts_) {
        for (std::ptrdiff_t j = 0; j < m_; ++j) {
          part->p[j] = part->q[j] + next / size * part->p[j];
        }
      }
      size = next;
    }
  }
  // Rounding in columns where the plans differ by many orders breaks sum_k w_k x_k = 0; the plan
  // with the least mass there, whose x means least, takes it up.
  void restore_constraint() {
    for (std::ptrdiff_t j = 0; j < m_; ++j) {
      double sum = 0;
      std::size_t least = 0;
      for (std::size_t k = 0; k < parts_.size(); ++k) {
        sum += weight(k) * parts_[k]->x[j];
        const bool less = parts_[k]->c[j] < parts_[least]->c[j] || !(weight(least) > 0);
        if (weight(k) > 0 && less) least = k;
      }
      parts_[least]->x[j] -= sum / weight(least);
    }
  }
  bool newton_step() {
    const double before = dual(), error_before = error_;
    conjugate_gradients();
    restore_constraint();
    // Columns of little mass may ask for enormous steps; they must not shorten those of the others.
    double slope = 0;
    for (std::ptrdiff_t j = 0; j < m_; ++j) {
      double longest = 0;
      for (auto& part : parts_) longest = std::max(longest, std::fabs(part->x[j]));
      const double share = longest > kLongestStep ? kLongestStep / longest : 1.0;
      for (std::size_t k = 0; k < parts_.size(); ++k) {
        Part& part = *parts_[k];
        part.x[j] *= share;
        slope += weight(k) * (mean_[j] - part.c[j]) * part.x[j];
      }
    }
    if (!(slope > 0)) return false;
    for (auto& part : parts_) std::copy(part->v.data(), part->v.data() + m_, part->next.data());
    double length = 1;
    for (int halving = 0; halving < kHalvings; ++halving, length *= 0.5) {
      for (auto& part : parts_) {
        for (std::ptrdiff_t j = 0; j < m_; ++j) part->q[j] = length * part->x[j];
        elementary_kernels().f64.exp(part->q.data(), part->q.data(), m_);
        for (std::ptrdiff_t j = 0; j < m_; ++j) part->v[j] = part->next[j] * part->q[j];
      }
      evaluate();
      if (error_ < 0.5 * error_before || dual() >= before + 1e-4 * length * slope) return true;
    }
    for (auto& part : parts_) std::copy(part->next.data(), part->next.data() + m_, part->v.data());
    evaluate();
    return false;
  }

  void level(double target, std::ptrdiff_t last_pass) {
    tol_ = target;
    double older[3] = {kInf, kInf, kInf}, best = error_;
    std::ptrdiff_t plain = 0, since_best = 0;
    bool newton = false;
    if (self_) bias_error_ = kInf;
    while ((error_ > target || (self_ && plain < 2)) && passes_ < last_pass) {
      settle();
      if (newton) {
        newton = newton_step();
        plain = newton ? 0 : -kNewtonAfter;
      } else {
        const double before = older[0];
        older[0] = older[1];
        older[1] = older[2];
        older[2] = error_;
        project();
        if (++plain >= 4 && !self_) {
          const double rate = std::cbrt(error_ / before);
          newton = !(rate < 1) ||
                   std::log(target / error_) < static_cast<double>(kNewtonAfter) * std::log(rate);
        }
      }
      since_best = error_ < 0.9 * best ? 0 : since_best + 1;
      best = std::min(best, error_);
      if (since_best > 60 && error_ < 1e-10 * mass_) return;
    }
  }

  BarycenterSolution answer() const {
    BarycenterSolution out;
    out.histogram.assign(mean_.data(), mean_.data() + m_);
    for (const auto& part : parts_) {
      out.f.insert(out.f.end(), part->f.data(), part->f.data() + n_);
      out.g.insert(out.g.end(), part->g.data(), part->g.data() + m_);
    }
    out.error = error_;
    out.passes = passes_;
    out.converged = error_ <= options_.tol;
    return out;
  }

  SinkhornOptions options_;
  const double* weights_;
  std::ptrdiff_t n_, m_;
  std::vector<std::unique_ptr<Part>> parts_;
  std::unique_ptr<Part> self_;
  Buffer mean_, log_p_, log_d_;
  double reg_ = 0, error_ = 0, bias_error_ = 0, mass_ = 0, tol_ = 0;
  std::ptrdiff_t passes_ = 0;
};

}  // namespace

BarycenterSolution barycenter(const Costs& costs, MatrixView<const double> masses,
                              const double* weights, bool debiased,
                              const SinkhornOptions& options) {
  return Solver(costs, masses, weights, debiased, options).solve();
}

}  // namespace kexue::transport
