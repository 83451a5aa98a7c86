// One histogram of a barycenter: its kernel, and the plan diag(a u) K diag(v) with rows that are
// always right. s = K v, t = K^T (a u), c = v t.
#pragma once

#include <algorithm>
#include <cmath>

#include "gibbs.hpp"
#include "kexue/transport/sinkhorn.hpp"

namespace kexue::transport {

// One histogram: its kernel and everything that belongs to its plan.
struct Part {
  using Buffer = AlignedBuffer<double>;
  static constexpr double kReach = 30;  // of |log u|, |log v| before they are absorbed

  Part(const Costs& costs, const SinkhornOptions& o)
      : gibbs(costs, o.single, o.stored_bytes, o.workers),
        a(gibbs.rows()),
        f(gibbs.rows()),
        u(gibbs.rows()),
        s(gibbs.rows()),
        g(gibbs.padded()),
        v(gibbs.padded()),
        w(gibbs.padded()),
        t(gibbs.padded()),
        c(gibbs.padded()),
        logs(gibbs.padded()),
        next(gibbs.padded()),
        x(gibbs.padded()),
        r(gibbs.padded()),
        p(gibbs.padded()),
        q(gibbs.padded()) {
    for (Buffer* b : {&g, &v, &w, &t, &c, &logs, &next, &x, &r, &p, &q}) {
      std::fill(b->data(), b->data() + gibbs.padded(), 0.0);
    }
    std::fill(f.data(), f.data() + gibbs.rows(), 0.0);
  }
  void evaluate() {
    gibbs.pass(v.data(), t.data(), [&](std::ptrdiff_t i, double sum) {
      s[i] = sum;
      u[i] = sum > 0 ? 1 / sum : 1.0;
      return a[i] * u[i];
    });
    for (std::ptrdiff_t j = 0; j < gibbs.cols(); ++j) c[j] = v[j] * t[j];
  }
  void absorb(double reg) {
    gibbs.absorb(f.data(), g.data(), reg);
    std::fill(v.data(), v.data() + gibbs.cols(), 1.0);
    evaluate();
  }
  void collect(double reg) {
    for (std::ptrdiff_t i = 0; i < gibbs.rows(); ++i) f[i] += reg * std::log(u[i]);
    for (std::ptrdiff_t j = 0; j < gibbs.cols(); ++j) g[j] += reg * std::log(v[j]);
  }
  bool stretched() const {
    double low = 1, high = 1;
    for (std::ptrdiff_t i = 0; i < gibbs.rows(); ++i) {
      low = std::min(low, u[i]);
      high = std::max(high, u[i]);
    }
    for (std::ptrdiff_t j = 0; j < gibbs.cols(); ++j) {
      low = std::min(low, v[j]);
      high = std::max(high, v[j]);
    }
    return high > std::exp(kReach) || low < std::exp(-kReach);
  }
  double dual() const {
    double sum = 0;
    for (std::ptrdiff_t i = 0; i < gibbs.rows(); ++i) {
      if (a[i] > 0) sum -= a[i] * std::log(s[i]);
    }
    return sum;
  }

  Gibbs gibbs;
  Buffer a, f, u, s;
  Buffer g, v, w, t, c, logs, next, x, r, p, q;
};

}  // namespace kexue::transport
