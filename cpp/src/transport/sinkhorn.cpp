#include "kexue/transport/sinkhorn.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "gibbs.hpp"
#include "kexue/core/elementary.hpp"
#include "kexue/core/error.hpp"

namespace kexue::transport {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Above this reg / range Sinkhorn starts at reg itself.
constexpr double kDirect = 1e-3;
constexpr double kFirstLevel = 0.05, kShrink = 0.5, kLevelError = 1e-4;
// A level that starts with more than this share of the mass misplaced was too bold.
constexpr double kBold = 0.5;
constexpr std::ptrdiff_t kLevelPasses = 4000, kNewtonAfter = 12, kConjugateSteps = 1000;
constexpr std::ptrdiff_t kRescues = 20, kStalled = 60;
// Bounds of |log u| and |log v|: entries flushed to zero, below e^-87 and e^-708, then weigh at most
// e^-27 and e^-108 of their share.
constexpr double kSingleReach = 30, kDoubleReach = 300;

using Buffer = AlignedBuffer<double>;

double sum_of(const double* x, std::ptrdiff_t n) {
  double sum = 0;
  for (std::ptrdiff_t i = 0; i < n; ++i) sum += x[i];
  return sum;
}

// (1 - e^{-k x}) / k, which is x for k = 0.
double softened(double x, double k) { return k > 0 ? -std::expm1(-k * x) / k : x; }

}  // namespace

struct Sinkhorn::State {
  State(const Costs& costs, const SinkhornOptions& o)
      : options(o),
        n(costs.rows()),
        m(costs.cols()),
        padded(padded_row(costs.cols())),
        kernel(costs, o.single, o.stored_bytes, o.workers),
        a(n), f(n), u(n), s(n), d(n), logs(std::max(n, padded)),
        b(padded), g(padded), v(padded), w(padded), t(padded), c(padded), tau(padded),
        next_v(padded), r(padded), x(padded), p(padded), q(padded) {}

  // ---- One pass ---------------------------------------------------------------------------------

  // u, t, c, tau and the error that belong to v.
  void evaluate() {
    for (std::ptrdiff_t j = 0; j < padded; ++j) w[j] = b[j] * v[j];
    if (balanced_rows()) {
      kernel.pass(w.data(), t.data(), [&](std::ptrdiff_t i, double sum) {
        s[i] = sum;
        u[i] = sum > 0 ? 1 / sum : 1.0;
        return a[i] * u[i];
      });
    } else {
      const double share = 1 / (1 + reg / options.rho_rows);
      kernel.pass(w.data(), t.data(), [&](std::ptrdiff_t i, double sum) {
        const double base = f[i] / reg;
        s[i] = sum;
        u[i] = sum > 0 ? std::exp(-share * (std::log(sum) - base) - base) : 1.0;
        return a[i] * u[i];
      });
    }
    ++passes;
    for (std::ptrdiff_t j = 0; j < m; ++j) c[j] = v[j] * t[j];
    set_targets();
    error = 0;
    for (std::ptrdiff_t j = 0; j < m; ++j) error += b[j] * std::fabs(tau[j] - c[j]);
  }
  // The marginal that the potentials ask for, relative to b.
  void set_targets() {
    if (balanced_cols()) {
      std::fill(tau.data(), tau.data() + m, 1.0);
      return;
    }
    log_of(v, m);
    const double k = reg / options.rho_cols;
    for (std::ptrdiff_t j = 0; j < m; ++j) tau[j] = -k * (g[j] / reg + logs[j]);
    elementary_kernels().f64.exp(tau.data(), tau.data(), m);
  }
  bool balanced_rows() const { return options.rho_rows == kBalanced; }
  bool balanced_cols() const { return options.rho_cols == kBalanced; }
  void log_of(const Buffer& from, std::ptrdiff_t size) {
    elementary_kernels().f64.log(from.data(), logs.data(), size);
  }

  // The dual, divided by reg, up to what does not depend on v.
  double dual() {
    double sum = 0;
    log_of(s, n);
    if (balanced_rows()) {
      for (std::ptrdiff_t i = 0; i < n; ++i) sum -= a[i] > 0 ? a[i] * logs[i] : 0;
    } else {
      const double k = reg / options.rho_rows, share = 1 / (1 + k);
      for (std::ptrdiff_t i = 0; i < n; ++i) {
        if (!(a[i] > 0)) continue;
        sum += a[i] * (softened(-share * (logs[i] - f[i] / reg), k) - u[i] * s[i]);
      }
    }
    log_of(v, m);
    const double k = balanced_cols() ? 0 : reg / options.rho_cols;
    for (std::ptrdiff_t j = 0; j < m; ++j) {
      if (!(b[j] > 0)) continue;
      sum += b[j] * (k > 0 ? softened(g[j] / reg + logs[j], k) : logs[j]);
    }
    return sum;
  }

  // ---- Sums that underflow, factors that grow -----------------------------------------------------

  bool broken() const {
    for (std::ptrdiff_t i = 0; i < n; ++i) {
      if (a[i] > 0 && !(s[i] > 0 && s[i] < kInfinity)) return true;
    }
    for (std::ptrdiff_t j = 0; j < m; ++j) {
      if (b[j] > 0 && !(t[j] > 0 && t[j] < kInfinity)) return true;
    }
    return false;
  }
  bool stretched() const {
    const double reach = std::exp(options.single ? kSingleReach : kDoubleReach);
    double low = 1, high = 1;
    for (std::ptrdiff_t i = 0; i < n; ++i) {
      low = std::min(low, u[i]);
      high = std::max(high, u[i]);
    }
    for (std::ptrdiff_t j = 0; j < m; ++j) {
      low = std::min(low, v[j]);
      high = std::max(high, v[j]);
    }
    return high > reach || low < 1 / reach;
  }
  // f and g of u and v.
  void collect() {
    log_of(u, n);
    for (std::ptrdiff_t i = 0; i < n; ++i) f[i] += reg * logs[i];
    log_of(v, m);
    for (std::ptrdiff_t j = 0; j < m; ++j) g[j] += reg * logs[j];
  }
  void absorb(double at) {
    reg = at;
    kernel.absorb(f.data(), g.data(), reg);
    ++builds;
    std::fill(v.data(), v.data() + m, 1.0);
    std::fill(v.data() + m, v.data() + padded, 0.0);
    evaluate();
  }
  void harden(const double* from) {
    c_transform(kernel.costs(), a.data(), b.data(), from, f.data(), g.data(), kernel.workers());
    check_arcs();
  }
  void check_arcs() {
    for (std::ptrdiff_t i = 0; i < n; ++i) {
      if (f[i] < kInfinity) continue;
      if (a[i] > 0) throw numerical_error("row " + std::to_string(i) + no_arc());
      f[i] = 0;
    }
    for (std::ptrdiff_t j = 0; j < m; ++j) {
      if (g[j] < kInfinity) continue;
      if (b[j] > 0) throw numerical_error("column " + std::to_string(j) + no_arc());
      g[j] = 0;
    }
  }
  static const char* no_arc() { return " has mass but every arc to other mass is forbidden"; }
  // True when the sums are sound.
  bool settle() {
    while (broken()) {
      if (++rescues > kRescues) return false;
      std::copy(f.data(), f.data() + n, d.data());
      harden(d.data());
      absorb(reg);
    }
    if (stretched()) {
      collect();
      absorb(reg);
      return !broken() || settle();
    }
    return true;
  }

  // ---- Steps ------------------------------------------------------------------------------------

  void sinkhorn_step() {
    if (balanced_cols()) {
      for (std::ptrdiff_t j = 0; j < m; ++j) v[j] = t[j] > 0 ? 1 / t[j] : 1.0;
    } else {
      const double share = 1 / (1 + reg / options.rho_cols);
      log_of(t, m);
      for (std::ptrdiff_t j = 0; j < m; ++j) {
        const double base = g[j] / reg;
        v[j] = t[j] > 0 ? std::exp(-share * (logs[j] - base) - base) : 1.0;
      }
    }
    evaluate();
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
    double slope = 0;
    for (std::ptrdiff_t j = 0; j < m; ++j) slope += b[j] * (tau[j] - c[j]) * x[j];
    std::copy(v.data(), v.data() + m, next_v.data());
    for (double length = 1; length > 1e-3; length *= 0.5) {
      for (std::ptrdiff_t j = 0; j < m; ++j) {
        q[j] = std::clamp(length * x[j], -kSingleReach, kSingleReach);
      }
      elementary_kernels().f64.exp(q.data(), q.data(), m);
      for (std::ptrdiff_t j = 0; j < m; ++j) v[j] = next_v[j] * q[j];
      evaluate();
      if (error < 0.5 * error_before) return true;
      const double after = dual();
      if (after >= before + 1e-4 * length * slope) return true;
    }
    std::copy(next_v.data(), next_v.data() + m, v.data());
    evaluate();
    return false;
  }

  // Until the error is below `target`, or nothing helps.
  void level(double target, std::ptrdiff_t last_pass) {
    tol = target;
    double older[3] = {kInfinity, kInfinity, kInfinity};
    double best = error;
    std::ptrdiff_t since_best = 0, plain = 0;
    bool newton = false;
    while (error > target && passes < last_pass) {
      if (!settle()) return;
      if (error <= target) return;
      if (newton) {
        newton = newton_step();
        plain = newton ? 0 : -kNewtonAfter;
      } else {
        const double three_ago = older[0];
        older[0] = older[1];
        older[1] = older[2];
        older[2] = error;
        sinkhorn_step();
        if (++plain >= 4) newton = slow(three_ago, target);
      }
      // Rounding ends every descent.
      since_best = error < 0.9 * best ? 0 : since_best + 1;
      best = std::min(best, error);
      if (since_best > kStalled && error < 1e-10 * mass) return;
    }
  }
  bool slow(double before, double target) const {
    const double rate = std::cbrt(error / before);
    return !(rate < 1) || std::log(target / error) < double(kNewtonAfter) * std::log(rate);
  }

  // ---- Levels of reg ------------------------------------------------------------------------------

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

  void start(const double* init_f, const double* init_g) {
    passes = builds = rescues = 0;
    mass = sum_of(b.data(), m);
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
    harden(nullptr);
    const CostRange range = range_of(kernel.costs(), kernel.workers());
    const double width = range.highest - range.lowest;
    descend(options.reg < kDirect * width ? kFirstLevel * width : options.reg);
  }

  // ---- The answer ---------------------------------------------------------------------------------

  SinkhornSolution answer() {
    if (broken()) settle();
    SinkhornSolution out;
    out.plan = {reg, options.single, {f.data(), f.data() + n}, {g.data(), g.data() + m}, {}, {}};
    out.plan.left.resize(std::size_t(n));
    out.plan.right.resize(std::size_t(m));
    for (std::ptrdiff_t i = 0; i < n; ++i) out.plan.left[std::size_t(i)] = a[i] * u[i];
    for (std::ptrdiff_t j = 0; j < padded; ++j) w[j] = b[j] * v[j];
    for (std::ptrdiff_t j = 0; j < m; ++j) out.plan.right[std::size_t(j)] = w[j];
    kernel.each_row([&](std::ptrdiff_t i, const void* k, const double* cost, int) {
      d[i] = a[i] * u[i] * kernel.cost(cost, k, w.data());
    });
    ++passes;
    out.value = sum_of(d.data(), n);
    collect();
    out.f.assign(f.data(), f.data() + n);
    out.g.assign(g.data(), g.data() + m);
    energies(out);
    out.error = std::max(error, row_error());
    out.passes = passes;
    out.builds = builds;
    out.converged = error <= options.tol && row_error() <= std::max(options.tol, 1e-12 * mass);
    return out;
  }
  double row_error() const {
    if (!balanced_rows()) return 0;
    double sum = 0;
    for (std::ptrdiff_t i = 0; i < n; ++i) sum += a[i] * std::fabs(u[i] * s[i] - 1);
    return sum;
  }
  // log(P_ij / (a_i b_j)) = (f_i + g_j - C_ij) / reg turns KL into sums over rows and columns.
  void energies(SinkhornSolution& out) const {
    double total = 0, primal = 0, dual = 0, pa = 0, pb = 0;
    for (std::ptrdiff_t i = 0; i < n; ++i) {
      const double row = a[i] * u[i] * s[i];
      const double k = balanced_rows() ? 0 : 1 / options.rho_rows;
      total += row;
      pa += a[i];
      primal += row * f[i];
      dual += a[i] * softened(f[i], k);
      if (k > 0 && row > 0) primal += options.rho_rows * (row * std::log(u[i] * s[i]) - row + a[i]);
      if (k > 0 && !(row > 0)) primal += options.rho_rows * a[i];
    }
    for (std::ptrdiff_t j = 0; j < m; ++j) {
      const double col = b[j] * c[j];
      const double k = balanced_cols() ? 0 : 1 / options.rho_cols;
      pb += b[j];
      primal += col * g[j];
      dual += b[j] * softened(g[j], k);
      if (k > 0 && col > 0) primal += options.rho_cols * (col * std::log(c[j]) - col + b[j]);
      if (k > 0 && !(col > 0)) primal += options.rho_cols * b[j];
    }
    out.objective = primal - reg * (total - pa * pb);
    out.dual = dual - reg * (total - pa * pb);
  }

  SinkhornOptions options;
  std::ptrdiff_t n, m, padded;
  Gibbs kernel;
  Buffer a, f, u, s, d, logs;
  Buffer b, g, v, w, t, c, tau, next_v, r, x, p, q;
  double reg = 0, error = 0, mass = 0, tol = 0;
  std::ptrdiff_t passes = 0, builds = 0, rescues = 0;
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
  std::fill(s.b.data() + s.m, s.b.data() + s.padded, 0.0);
  for (Buffer* buffer : {&s.v, &s.p, &s.t, &s.q}) {
    std::fill(buffer->data(), buffer->data() + s.padded, 0.0);
  }
  s.start(init_f, init_g);
  return s.answer();
}

}  // namespace kexue::transport
