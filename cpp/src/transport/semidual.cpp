#include "semidual.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "kexue/core/constants.hpp"
#include "kexue/core/elementary.hpp"
#include "kexue/core/error.hpp"
#include "kexue/transport/kernels.hpp"

namespace kexue::transport {

namespace {
constexpr std::ptrdiff_t kRescues = 20;

// x is overwritten.
double log_sum_exp(double* x, std::ptrdiff_t n) {
  const double top = *std::max_element(x, x + n);
  for (std::ptrdiff_t i = 0; i < n; ++i) x[i] -= top;
  elementary_kernels().f64.exp(x, x, n);
  return top + std::log(sum_of(x, n));
}
}  // namespace

double sum_of(const double* x, std::ptrdiff_t n) {
  double sum = 0;
  for (std::ptrdiff_t i = 0; i < n; ++i) sum += x[i];
  return sum;
}

double softened(double x, double k) { return k > 0 ? -std::expm1(-k * x) / k : x; }

Semidual::Semidual(const Costs& costs, const SinkhornOptions& o)
    : options(o),
      n(costs.rows()),
      m(costs.cols()),
      padded(padded_row(costs.cols())),
      reach(std::exp(o.single ? kSingleReach : kDoubleReach)),
      kernel(costs, o.single, o.stored_bytes, o.workers),
      a(n),
      f(n),
      u(n),
      s(n),
      d(n),
      logs(std::max(n, padded)),
      log_a(n),
      log_b(m),
      b(padded),
      g(padded),
      v(padded),
      w(padded),
      t(padded),
      c(padded),
      tau(padded),
      next_v(padded),
      r(padded),
      x(padded),
      p(padded),
      q(padded) {}

// ---- One pass ---------------------------------------------------------------------------------

void Semidual::evaluate(bool coarse, double omega) {
  for (std::ptrdiff_t j = 0; j < padded; ++j) w[j] = b[j] * v[j];
  if (coarse && moderate && balanced_rows() && kernel.coarse()) {
    kernel.coarse_pass(w.data(), a.data(), omega, s.data(), u.data(), t.data());
  } else if (balanced_rows()) {
    kernel.balanced_pass(w.data(), a.data(), omega, s.data(), u.data(), t.data());
  } else {
    const double share = 1 / (1 + reg / options.rho_rows);
    kernel.pass(w.data(), t.data(), [&](std::ptrdiff_t i, double sum) {
      const double base = (f[i] + shift) / reg;
      s[i] = sum;
      u[i] = sum > 0 ? std::exp(-share * (std::log(sum) - base) - base) : 1.0;
      return a[i] * u[i];
    });
  }
  ++passes;
  if (balanced_cols()) {
    error = sinkhorn_kernels().column_error(v.data(), t.data(), b.data(), c.data(), padded);
    return;
  }
  for (std::ptrdiff_t j = 0; j < m; ++j) c[j] = v[j] * t[j];
  set_targets();
  error = 0;
  for (std::ptrdiff_t j = 0; j < m; ++j) error += b[j] * std::fabs(tau[j] - c[j]);
}

void Semidual::set_targets() {
  log_of(v, m);
  const double k = reg / options.rho_cols;
  for (std::ptrdiff_t j = 0; j < m; ++j) tau[j] = -k * ((g[j] - shift) / reg + logs[j]);
  elementary_kernels().f64.exp(tau.data(), tau.data(), m);
}

void Semidual::log_of(const Buffer& from, std::ptrdiff_t size) {
  elementary_kernels().f64.log(from.data(), logs.data(), size);
}

double Semidual::dual() {
  double sum = 0;
  log_of(s, n);
  if (balanced_rows()) {
    for (std::ptrdiff_t i = 0; i < n; ++i) sum -= a[i] > 0 ? a[i] * logs[i] : 0;
  } else {
    const double k = reg / options.rho_rows, share = 1 / (1 + k);
    for (std::ptrdiff_t i = 0; i < n; ++i) {
      if (!(a[i] > 0)) continue;
      sum += a[i] * (softened(-share * (logs[i] - (f[i] + shift) / reg), k) - u[i] * s[i]);
    }
  }
  log_of(v, m);
  const double k = balanced_cols() ? 0 : reg / options.rho_cols;
  for (std::ptrdiff_t j = 0; j < m; ++j) {
    if (!(b[j] > 0)) continue;
    sum += b[j] * (k > 0 ? softened((g[j] - shift) / reg + logs[j], k) : logs[j]);
  }
  return sum;
}

// ---- Sums that underflow, factors that grow -----------------------------------------------------

bool Semidual::broken() const {
  const SinkhornKernels& kernels = sinkhorn_kernels();
  return !kernels.extremes(s.data(), a.data(), n).sound ||
         !kernels.extremes(t.data(), b.data(), m).sound;
}

bool Semidual::stretched() const {
  const SinkhornKernels& kernels = sinkhorn_kernels();
  const Extremes rows = kernels.extremes(u.data(), a.data(), n);
  const Extremes cols = kernels.extremes(v.data(), b.data(), m);
  return std::max(rows.high, cols.high) > reach || std::min(rows.low, cols.low) * reach < 1;
}

void Semidual::collect() {
  log_of(u, n);
  for (std::ptrdiff_t i = 0; i < n; ++i) f[i] += shift + reg * logs[i];
  log_of(v, m);
  for (std::ptrdiff_t j = 0; j < m; ++j) g[j] += reg * logs[j] - shift;
  shift = 0;
}

void Semidual::translate() {
  if (balanced_rows() || balanced_cols()) return;
  const double rows = options.rho_rows, cols = options.rho_cols;
  log_of(u, n);
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    logs[i] = a[i] > 0 ? log_a[i] - (f[i] + reg * logs[i]) / rows : -kInf;
  }
  const double left = log_sum_exp(logs.data(), n);
  log_of(v, m);
  for (std::ptrdiff_t j = 0; j < m; ++j) {
    logs[j] = b[j] > 0 ? log_b[j] - (g[j] + reg * logs[j]) / cols : -kInf;
  }
  shift = (left - log_sum_exp(logs.data(), m)) / (1 / rows + 1 / cols);
}

void Semidual::absorb(double at) {
  reg = at;
  for (std::ptrdiff_t i = 0; i < n; ++i) d[i] = a[i] > 0 ? f[i] : -kInf;
  for (std::ptrdiff_t j = 0; j < m; ++j) q[j] = b[j] > 0 ? g[j] : -kInf;
  kernel.absorb(d.data(), q.data(), reg);
  ++builds;
  std::fill(u.data(), u.data() + n, 1.0);
  std::fill(v.data(), v.data() + m, 1.0);
  std::fill(v.data() + m, v.data() + padded, 0.0);
  translate();
  evaluate();
}

void Semidual::harden(const double* from) {
  c_transform(kernel.costs(), a.data(), b.data(), from, f.data(), g.data(), kernel.workers());
  check_arcs();
}

void Semidual::check_arcs() {
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    if (f[i] < kInf) continue;
    if (a[i] > 0) throw numerical_error("row " + std::to_string(i) + no_arc());
    f[i] = 0;
  }
  for (std::ptrdiff_t j = 0; j < m; ++j) {
    if (g[j] < kInf) continue;
    if (b[j] > 0) throw numerical_error("column " + std::to_string(j) + no_arc());
    g[j] = 0;
  }
}

bool Semidual::settle() {
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

// ---- The answer ---------------------------------------------------------------------------------

SinkhornSolution Semidual::answer() {
  if (broken()) settle();
  SinkhornSolution out;
  out.plan = {reg, options.single, {f.data(), f.data() + n}, {g.data(), g.data() + m}, {},
              {},  nullptr};
  out.plan.left.resize(std::size_t(n));
  out.plan.right.resize(std::size_t(m));
  for (std::ptrdiff_t i = 0; i < n; ++i) out.plan.left[std::size_t(i)] = a[i] * u[i];
  for (std::ptrdiff_t j = 0; j < padded; ++j) w[j] = b[j] * v[j];
  for (std::ptrdiff_t j = 0; j < m; ++j) out.plan.right[std::size_t(j)] = w[j];
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    if (!(a[i] > 0)) out.plan.base_f[std::size_t(i)] = -kInf;
  }
  for (std::ptrdiff_t j = 0; j < m; ++j) {
    if (!(b[j] > 0)) out.plan.base_g[std::size_t(j)] = -kInf;
  }
  kernel.each_row([&](std::ptrdiff_t i, const void* k, const double* cost, int) {
    d[i] = a[i] * u[i] * kernel.cost(cost, k, w.data());
  });
  ++passes;
  if (options.keeps_kernel) out.plan.kernel = kernel.give();
  out.value = sum_of(d.data(), n);
  collect();
  extend_rows();
  extend_cols();
  out.f.assign(f.data(), f.data() + n);
  out.g.assign(g.data(), g.data() + m);
  energies(out);
  out.error = std::max(error, row_error());
  out.passes = passes;
  out.builds = builds;
  out.converged = error <= options.tol && row_error() <= std::max(options.tol, 1e-12 * mass);
  return out;
}

void Semidual::extend_rows() {
  const GibbsKernels<double>& kernels = sinkhorn_kernels().f64;
  const double share = balanced_rows() ? 1 : 1 / (1 + reg / options.rho_rows);
  for (std::ptrdiff_t j = 0; j < padded; ++j) q[j] = j < m && b[j] > 0 ? g[j] : -kInf;
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    if (a[i] > 0) continue;
    const double* cost = kernel.costs().row(i, kernel.cost_scratch(0));
    const double nearest = row_kernels().f64.minimum(cost, q.data(), m).value;
    f[i] = 0;
    if (!(nearest < kInf)) continue;
    double sum = 0;
    kernels.exponentials(cost, m, nearest, q.data(), 1 / reg, x.data(), padded);
    kernels.dots(x.data(), padded, 1, b.data(), padded, &sum);
    f[i] = share * (nearest - reg * std::log(sum));
  }
}

void Semidual::extend_cols() {
  bool any = false;
  for (std::ptrdiff_t j = 0; j < m; ++j) any = any || !(b[j] > 0);
  if (!any) return;
  const SinkhornKernels& kernels = sinkhorn_kernels();
  const double share = balanced_cols() ? 1 : 1 / (1 + reg / options.rho_cols);
  std::fill(q.data(), q.data() + padded, kInf);
  std::fill(t.data(), t.data() + padded, 0.0);
  const auto each_row = [&](auto&& body) {
    for (std::ptrdiff_t i = 0; i < n; ++i) {
      if (a[i] > 0) body(i, kernel.costs().row(i, kernel.cost_scratch(0)));
    }
  };
  each_row([&](std::ptrdiff_t i, const double* cost) { kernels.lower(cost, f[i], q.data(), m); });
  for (std::ptrdiff_t j = 0; j < padded; ++j) {
    if (j >= m || b[j] > 0 || !(q[j] < kInf)) q[j] = -kInf;
  }
  each_row([&](std::ptrdiff_t i, const double* cost) {
    kernels.f64.exponentials(cost, m, f[i], q.data(), 1 / reg, x.data(), padded);
    kernels.f64.add(x.data(), padded, 1, a.data() + i, t.data(), padded);
  });
  for (std::ptrdiff_t j = 0; j < m; ++j) {
    if (b[j] > 0) continue;
    g[j] = q[j] > -kInf ? share * (q[j] - reg * std::log(t[j])) : 0.0;
  }
}

double Semidual::row_error() const {
  if (!balanced_rows()) return 0;
  double sum = 0;
  for (std::ptrdiff_t i = 0; i < n; ++i) sum += a[i] * std::fabs(u[i] * s[i] - 1);
  return sum;
}

void Semidual::energies(SinkhornSolution& out) const {
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
  // The plan misses its marginals by up to `error`, so that its objective can fall below the dual;
  // a lower dual bounds the optimum as well.
  out.dual = std::min(dual - reg * (total - pa * pb), out.objective);
}

}  // namespace kexue::transport
