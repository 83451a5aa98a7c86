#include "kexue/transport/sinkhorn.hpp"

#include <algorithm>
#include <cmath>

#include "kexue/core/constants.hpp"
#include "kexue/core/elementary.hpp"
#include "kexue/core/error.hpp"
#include "kexue/transport/relaxation.hpp"
#include "semidual.hpp"

namespace kexue::transport {

namespace {

// Above this reg / width Sinkhorn starts at reg itself; the width is that of C_ij - f_i - g_j for
// the hard potentials of hard_start.
constexpr double kDirect = 8e-3;
// Below this largest cost / reg the kernel of no potentials is within e^-30..e^30.
constexpr double kPlainReach = 30;
constexpr double kFirstLevel = 0.05, kShrink = 0.5, kLevelError = 1e-3;
// A level that starts with more than this share of the mass misplaced was too bold.
constexpr double kBold = 0.5;
constexpr std::ptrdiff_t kLevelPasses = 4000, kNewtonAfter = 12, kConjugateSteps = 1000;
constexpr std::ptrdiff_t kStalled = 60, kCheckEvery = 4;
constexpr int kHalvings = 10;
constexpr double kWorthRelaxing = 3;
constexpr double kMostRelaxed = 40;  // passes; then Newton's method takes fewer
constexpr double kLongestStep = 20;  // in log v
// Sums in float32, whose errors are about 1e-7 of the mass, do while the error is above the first
// of these, or falls fast to no less than the second.
constexpr double kCoarseError = 1e-4, kCoarseNext = 2e-7, kFast = 0.2;

struct Relaxation {
  double omega = 1, look = 0;

  // False if the passes that this promises are too many.
  bool start(double rate, double error, double target) {
    if (!(rate < 1)) return false;
    omega = best_relaxation(rate);
    look = error;
    if (std::log(target / error) > kMostRelaxed * std::log(omega - 1)) return true;
    omega = 1;
    return false;
  }
  // A look at the error every fourth step; false if it does not fall.
  bool follow(double error, std::ptrdiff_t step) {
    if (step % 4 != 0) return true;
    const double rate = std::sqrt(std::sqrt(error / look));
    look = error;
    if (!(rate < 1)) return false;
    omega = better_relaxation(omega, rate);
    return true;
  }
};

}  // namespace

struct Sinkhorn::State : Semidual {
  using Semidual::Semidual;

  Buffer short_space;
  double last_error = kInf;  // before the last step

  // ---- Steps ------------------------------------------------------------------------------------

  // Over-relaxed by omega if all marginals are balanced.
  void sinkhorn_step(double omega = 1) {
    if (balanced_cols()) {
      sinkhorn_kernels().relax(t.data(), omega, v.data(), padded);
    } else {
      const double share = 1 / (1 + reg / options.rho_cols);
      log_of(t, m);
      for (std::ptrdiff_t j = 0; j < m; ++j) {
        const double base = (g[j] - shift) / reg;
        v[j] = t[j] > 0 ? -share * (logs[j] - base) - base : 0.0;
      }
      elementary_kernels().f64.exp(v.data(), v.data(), m);
    }
    translate();
    const double ratio = error / last_error;
    last_error = error;
    evaluate(error > kCoarseError * mass || (ratio < kFast && error * ratio > kCoarseNext * mass),
             omega);
  }

  // Newton's direction x in log v: (diag(c + k tau) - K-part) x = tau - c, weighted by b.
  void conjugate_gradients() {
    const double rows = balanced_rows() ? 1 : 1 / (1 + reg / options.rho_rows);
    const double k = balanced_cols() ? 0 : reg / options.rho_cols;
    for (std::ptrdiff_t i = 0; i < n; ++i) d[i] = s[i] > 0 ? rows * a[i] * u[i] / s[i] : 0.0;
    double size = 0;
    for (std::ptrdiff_t j = 0; j < m; ++j) {
      r[j] = b[j] > 0 ? tau[j] - c[j] : 0.0;
      x[j] = 0;
      p[j] = b[j] > 0 ? r[j] / (c[j] + k * tau[j]) : 0.0;
      size += b[j] * r[j] * p[j];
    }
    const double forcing = std::min(0.1, std::max(std::sqrt(error), 0.2 * tol / error)) * error;
    for (std::ptrdiff_t step = 0; step < kConjugateSteps && passes < options.max_passes; ++step) {
      for (std::ptrdiff_t j = 0; j < padded; ++j) w[j] = b[j] * v[j] * p[j];
      kernel.pass(w.data(), q.data(), [&](std::ptrdiff_t i, double sum) { return d[i] * sum; });
      ++passes;
      double curvature = 0;
      for (std::ptrdiff_t j = 0; j < m; ++j) {
        q[j] = (c[j] + k * tau[j]) * p[j] - v[j] * q[j];
        curvature += b[j] * p[j] * q[j];
      }
      // Flat to rounding: the masses fall apart into pieces that hardly exchange any. Without a
      // direction the next steps are Sinkhorn's.
      if (!(curvature > 0)) break;
      const double length = size / curvature;
      double rest = 0, next = 0;
      for (std::ptrdiff_t j = 0; j < m; ++j) {
        x[j] += length * p[j];
        r[j] -= length * q[j];
        rest += b[j] * std::fabs(r[j]);
        q[j] = b[j] > 0 ? r[j] / (c[j] + k * tau[j]) : 0.0;
        next += b[j] * r[j] * q[j];
      }
      if (rest < forcing) break;
      for (std::ptrdiff_t j = 0; j < m; ++j) p[j] = q[j] + next / size * p[j];
      size = next;
    }
  }

  // A step that grows the dual or halves the error; false if none was found and v is as before.
  bool newton_step() {
    const double before = dual(), error_before = error;
    conjugate_gradients();
    // Columns of little mass may ask for enormous steps; they must not shorten those of the others.
    double slope = 0;
    for (std::ptrdiff_t j = 0; j < m; ++j) {
      x[j] = std::clamp(x[j], -kLongestStep, kLongestStep);
      slope += b[j] * (tau[j] - c[j]) * x[j];
    }
    if (!(slope > 0)) return false;
    std::copy(v.data(), v.data() + m, next_v.data());
    double length = 1;
    for (int halving = 0; halving < kHalvings; ++halving, length *= 0.5) {
      for (std::ptrdiff_t j = 0; j < m; ++j) q[j] = length * x[j];
      elementary_kernels().f64.exp(q.data(), q.data(), m);
      for (std::ptrdiff_t j = 0; j < m; ++j) v[j] = next_v[j] * q[j];
      evaluate();
      if (error < 0.5 * error_before) return true;
      if (dual() >= before + 1e-4 * length * slope) return true;
    }
    std::copy(next_v.data(), next_v.data() + m, v.data());
    evaluate();
    return false;
  }

  // Until the error is below `target`, or nothing helps.
  void level(double target, std::ptrdiff_t last_pass) {
    tol = target;
    last_error = kInf;
    double older[3] = {kInf, kInf, kInf};
    double best = error;
    std::ptrdiff_t since_best = 0, plain = 0, relaxed = 0;
    bool newton = false, exact = true;
    Relaxation pace;
    while (passes < last_pass) {
      // Sums are checked now and then, and whenever something looks wrong or is about to be used.
      const bool done = error <= target && exact;
      if (done || newton || plain % kCheckEvery == 0 || !(error < kInf)) {
        if (!settle()) return;
        if (done && error <= target) return;
        best = std::min(best, error);
      }
      if (newton) {
        // A dual that creeps is left to Sinkhorn's steps for a while.
        const double before = error;
        newton = newton_step() && error < 0.9 * before;
        plain = newton ? 0 : -kNewtonAfter;
      } else {
        const double three_ago = older[0];
        older[0] = older[1];
        older[1] = older[2];
        older[2] = error;
        // The last steps are plain, so that rows are exact.
        const double omega = error <= 2 * target ? 1 : pace.omega;
        sinkhorn_step(omega);
        exact = omega == 1;
        ++plain;
        if (pace.omega > 1) {
          ++relaxed;
          if (!pace.follow(error, relaxed) || double(relaxed) > kMostRelaxed) {
            pace.omega = 1;
            newton = true;
            sinkhorn_step();
            exact = true;
          }
        } else if (plain >= 4) {
          const double rate = std::cbrt(error / three_ago);
          const bool relaxes = relaxed == 0 && balanced_rows() && balanced_cols() &&
                               promised(rate, target) > kWorthRelaxing &&
                               pace.start(rate, error, target);
          newton = !relaxes && promised(rate, target) > kNewtonAfter;
        }
      }
      // Rounding ends every descent.
      since_best = error < 0.9 * best ? 0 : since_best + 1;
      best = std::min(best, error);
      if (since_best > kStalled && error < 1e-10 * mass && exact) return;
    }
    if (!exact) evaluate();
  }
  // Plain passes to the target.
  double promised(double rate, double target) const {
    return rate < 1 ? std::log(target / error) / std::log(rate) : kInf;
  }

  // ---- Levels of reg
  // ------------------------------------------------------------------------------

  struct Level {
    double reg = 0;
    std::vector<double> f, g;
  };

  // Potentials at `at` on the line through the last two levels, or those of the last one.
  void extrapolate(double at, const Level& first, const Level& second) {
    const double w1 = first.reg > 0 ? (at - second.reg) / (first.reg - second.reg) : 0;
    for (std::ptrdiff_t i = 0; i < n; ++i) {
      const double last = second.f[std::size_t(i)];
      f[i] = first.reg > 0 ? last + w1 * (first.f[std::size_t(i)] - last) : last;
    }
    for (std::ptrdiff_t j = 0; j < m; ++j) {
      const double last = second.g[std::size_t(j)];
      g[j] = first.reg > 0 ? last + w1 * (first.g[std::size_t(j)] - last) : last;
    }
  }
  void descend(double start) {
    Level first, second;
    double at = start;
    for (;;) {
      if (second.reg > 0) extrapolate(at, first, second);
      absorb(at);
      const bool bold = second.reg > 0 && error > kBold * mass && at < 0.8 * second.reg;
      if (bold && passes < options.max_passes) {
        at = std::sqrt(at * second.reg);
        continue;
      }
      const bool last = at <= options.reg;
      level(last ? options.tol : std::max(options.tol, kLevelError * mass),
            last ? options.max_passes : std::min(options.max_passes, passes + kLevelPasses));
      if (last || passes >= options.max_passes) break;
      if (!settle()) break;
      collect();
      first = std::move(second);
      second = {at, {f.data(), f.data() + n}, {g.data(), g.data() + m}};
      at = std::max(options.reg, at * kShrink);
    }
    if (reg > options.reg) {  // the passes ran out on the way
      collect();
      absorb(options.reg);
    }
  }

  // Small balanced problems that need no care, in the nearest caches.
  bool solve_short(SinkhornSolution& out) {
    const Costs& costs = kernel.costs();
    if (!short_shape(n, m) || costs.points() || !balanced_rows() || !balanced_cols() ||
        options.single) {
      return false;
    }
    if (options.max_passes < kShortPasses) return false;
    if (short_space.size() == 0) short_space = Buffer(short_scratch(n, m));
    out.plan.reg = options.reg;
    for (auto* vector : {&out.f, &out.plan.base_f, &out.plan.left}) vector->resize(std::size_t(n));
    for (auto* vector : {&out.g, &out.plan.base_g, &out.plan.right}) vector->resize(std::size_t(m));
    const ShortAnswer found = short_kernels().solve(
        {n, m, n > 1 ? costs.row(1, nullptr) - costs.row(0, nullptr) : m, costs.row(0, nullptr),
         a.data(), b.data(), options.reg, options.tol, kShortPasses, short_space.data(),
         out.f.data(), out.g.data(), out.plan.base_f.data(), out.plan.left.data(),
         out.plan.right.data()});
    out.value = found.value;
    out.objective = found.objective;
    out.dual = found.dual;
    out.error = found.error;
    out.passes = passes = found.passes;
    out.converged = found.solved;
    return found.solved;
  }

  void start(const double* init_f, const double* init_g) {
    builds = rescues = 0;
    mass = sum_of(b.data(), m);
    elementary_kernels().f64.log(a.data(), log_a.data(), n);
    elementary_kernels().f64.log(b.data(), log_b.data(), m);
    moderate = mass < 1e12;
    for (std::ptrdiff_t i = 0; i < n; ++i) moderate = moderate && (!(a[i] > 0) || a[i] > 1e-12);
    for (std::ptrdiff_t j = 0; j < m; ++j) moderate = moderate && (!(b[j] > 0) || b[j] > 1e-12);
    tol = options.tol;
    if (init_f != nullptr) {
      std::copy(init_f, init_f + n, f.data());
      std::copy(init_g, init_g + m, g.data());
      absorb(options.reg);
      if (!broken() && error < kBold * mass) {
        level(options.tol, options.max_passes);
        return;
      }
    }
    if (options.largest_cost <= kPlainReach * options.reg) {
      std::fill(f.data(), f.data() + n, 0.0);
      std::fill(g.data(), g.data() + m, 0.0);
      descend(options.reg);
      return;
    }
    const double width =
        hard_start(kernel.costs(), a.data(), b.data(), f.data(), g.data(), kernel.workers());
    check_arcs();
    descend(options.reg < kDirect * width ? kFirstLevel * width : options.reg);
  }
};

Sinkhorn::Sinkhorn(const Costs& costs, const SinkhornOptions& options)
    : state_(std::make_unique<State>(costs, options)) {}
Sinkhorn::~Sinkhorn() = default;

SinkhornSolution Sinkhorn::solve(const Costs& costs, const double* a, const double* b,
                                 const double* init_f, const double* init_g) {
  State& s = *state_;
  require(costs.rows() == s.n && costs.cols() == s.m, "costs of another shape");
  s.kernel.use(costs);
  std::copy(a, a + s.n, s.a.data());
  std::copy(b, b + s.m, s.b.data());
  std::fill(s.tau.data(), s.tau.data() + s.padded, 1.0);
  std::fill(s.b.data() + s.m, s.b.data() + s.padded, 0.0);
  for (Semidual::Buffer* buffer : {&s.v, &s.p, &s.t, &s.q}) {
    std::fill(buffer->data(), buffer->data() + s.padded, 0.0);
  }
  s.passes = 0;
  if (init_f == nullptr) {
    SinkhornSolution out;
    if (s.solve_short(out)) return out;
  }
  s.start(init_f, init_g);
  return s.answer();
}

}  // namespace kexue::transport
