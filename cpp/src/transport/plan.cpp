#include "kexue/transport/plan.hpp"

#include <algorithm>
#include <cmath>

#include "gibbs.hpp"
#include "kexue/core/constants.hpp"

namespace kexue::transport {

namespace {

using Buffer = AlignedBuffer<double>;
// Sums of columns that chunks hold at once.
constexpr std::ptrdiff_t kPartialDoubles = std::ptrdiff_t{1} << 23;

class Operator {
 public:
  Operator(const Costs& costs, const Factors& factors, int workers)
      : gibbs(costs, factors.single, 0, workers), right(gibbs.padded()), left(factors.left.data()) {
    if (factors.kernel) gibbs.take(factors.kernel);
    gibbs.absorb(factors.base_f.data(), factors.base_g.data(), factors.reg);
    std::copy(factors.right.begin(), factors.right.end(), right.data());
    std::fill(right.data() + gibbs.cols(), right.data() + gibbs.padded(), 0.0);
  }
  Gibbs gibbs;
  Buffer right;
  const double* left;
};

// Vectors of length cols in padded rows: row l is column l of v times factor.
Buffer columns_of(MatrixView<const double> v, const double* factor, std::ptrdiff_t padded) {
  Buffer out(v.cols * padded);
  std::fill(out.data(), out.data() + v.cols * padded, 0.0);
  for (std::ptrdiff_t j = 0; j < v.rows; ++j) {
    for (std::ptrdiff_t l = 0; l < v.cols; ++l) out[l * padded + j] = factor[j] * v(j, l);
  }
  return out;
}

}  // namespace

void plan_entries(const Costs& costs, const Factors& factors, MatrixView<double> out, int workers) {
  Operator p(costs, factors, workers);
  p.gibbs.each_row([&](std::ptrdiff_t i, const void* k, const double*, int) {
    p.gibbs.scale(k, p.right.data(), p.left[i], out.row(i));
  });
}

void plan_apply(const Costs& costs, const Factors& factors, MatrixView<const double> v,
                MatrixView<double> out, int workers) {
  Operator p(costs, factors, workers);
  const std::ptrdiff_t padded = p.gibbs.padded();
  const Buffer w = columns_of(v, p.right.data(), padded);
  parallel_for(
      p.gibbs.n_chunks(),
      [&](std::ptrdiff_t chunk, int slot) {
        p.gibbs.blocks(chunk, slot, [&](std::ptrdiff_t i, std::ptrdiff_t count, const void* k) {
          for (std::ptrdiff_t l = 0; l < v.cols; ++l) {
            double s[kBlockRows];
            p.gibbs.dots(k, count, w.data() + l * padded, s);
            for (std::ptrdiff_t r = 0; r < count; ++r) out(i + r, l) = p.left[i + r] * s[r];
          }
        });
      },
      p.gibbs.workers());
}

void plan_apply_transpose(const Costs& costs, const Factors& factors, MatrixView<const double> v,
                          MatrixView<double> out, int workers) {
  Operator p(costs, factors, workers);
  const std::ptrdiff_t padded = p.gibbs.padded(), chunks = p.gibbs.n_chunks();
  const std::ptrdiff_t at_once =
      std::clamp<std::ptrdiff_t>(kPartialDoubles / (chunks * padded), 1, v.cols);
  const Buffer partial(chunks * at_once * padded);
  for (std::ptrdiff_t first = 0; first < v.cols; first += at_once) {
    const std::ptrdiff_t many = std::min(at_once, v.cols - first);
    parallel_for(
        chunks,
        [&](std::ptrdiff_t chunk, int slot) {
          double* sums = partial.data() + chunk * at_once * padded;
          std::fill(sums, sums + many * padded, 0.0);
          p.gibbs.blocks(chunk, slot, [&](std::ptrdiff_t i, std::ptrdiff_t count, const void* k) {
            for (std::ptrdiff_t l = 0; l < many; ++l) {
              double s[kBlockRows];
              for (std::ptrdiff_t r = 0; r < count; ++r) s[r] = p.left[i + r] * v(i + r, first + l);
              p.gibbs.add(k, count, s, sums + l * padded);
            }
          });
        },
        p.gibbs.workers());
    for (std::ptrdiff_t l = 0; l < many; ++l) {
      for (std::ptrdiff_t j = 0; j < p.gibbs.cols(); ++j) {
        double sum = 0;
        for (std::ptrdiff_t chunk = 0; chunk < chunks; ++chunk) {
          sum += partial[(chunk * at_once + l) * padded + j];
        }
        out(j, first + l) = p.right[j] * sum;
      }
    }
  }
}

void plan_point_gradient(const Costs& costs, const Factors& factors, MatrixView<double> out,
                         int workers) {
  Operator p(costs, factors, workers);
  const Buffer entries(p.gibbs.padded() * p.gibbs.workers());
  std::fill(entries.data(), entries.data() + entries.size(), 0.0);
  p.gibbs.each_row([&](std::ptrdiff_t i, const void* k, const double* c, int slot) {
    double* row = entries.data() + slot * p.gibbs.padded();
    p.gibbs.scale(k, p.right.data(), p.left[i], row);
    costs.pull(i, c, row, out.row(i));
  });
}

namespace {

// Feasible duals from the potentials, and their value less a bound on its rounding.
double lower_bound(const Costs& costs, const Factors& factors, const double* a, const double* b,
                   int workers) {
  const std::ptrdiff_t n = costs.rows(), m = costs.cols();
  const Buffer f(n), r(n), h(m);
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    const double left = factors.left[std::size_t(i)];
    f[i] = factors.base_f[std::size_t(i)] + (a[i] > 0 ? factors.reg * std::log(left / a[i]) : 0.0);
    if (!std::isfinite(f[i])) f[i] = factors.base_f[std::size_t(i)];
  }
  c_transform(costs, a, b, f.data(), r.data(), h.data(), workers);
  double sum = 0, size = 0;
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    if (!(a[i] > 0)) continue;
    sum += a[i] * r[i];
    size += a[i] * std::fabs(r[i]);
  }
  for (std::ptrdiff_t j = 0; j < m; ++j) {
    if (!(b[j] > 0)) continue;
    sum += b[j] * h[j];
    size += b[j] * std::fabs(h[j]);
  }
  // n + m additions, and a few roundings in each term.
  const double rounding = static_cast<double>(n + m + 8) * 0x1p-53 * size;
  return std::isfinite(sum) ? sum - rounding : -kInf;
}

double upper_bound(const Costs& costs, const Factors& factors, const double* a, const double* b,
                   int workers) {
  Operator p(costs, factors, workers);
  const std::ptrdiff_t n = costs.rows(), m = costs.cols(), padded = p.gibbs.padded();
  const Buffer x(n), lack(n), t(padded), w(padded), rest(padded), part(n);
  p.gibbs.pass(p.right.data(), t.data(), [&](std::ptrdiff_t i, double sum) {
    const double row = p.left[i] * sum;
    x[i] = row > a[i] ? p.left[i] * (a[i] / row) : p.left[i];
    return x[i];
  });
  for (std::ptrdiff_t j = 0; j < padded; ++j) {
    const double col = j < m ? p.right[j] * t[j] : 0.0;
    w[j] = j < m && col > b[j] ? p.right[j] * (b[j] / col) : p.right[j];
  }
  // What is missing after rows and columns were scaled down, and the cost of what is there.
  p.gibbs.pass(w.data(), t.data(), [&](std::ptrdiff_t i, double sum) {
    lack[i] = std::max(0.0, a[i] - x[i] * sum);
    return x[i];
  });
  double missing = 0;
  for (std::ptrdiff_t j = 0; j < padded; ++j) {
    rest[j] = j < m ? std::max(0.0, b[j] - w[j] * t[j]) : 0.0;
    missing += rest[j];
  }
  p.gibbs.each_row([&](std::ptrdiff_t i, const void* k, const double* c, int) {
    part[i] = x[i] * p.gibbs.cost(c, k, w.data());
    if (!(lack[i] > 0 && missing > 0)) return;
    double sum = 0;
    for (std::ptrdiff_t j = 0; j < m; ++j) sum += rest[j] > 0 ? rest[j] * c[j] : 0.0;
    part[i] += lack[i] / missing * sum;
  });
  double sum = 0, size = 0;
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    sum += part[i];
    size += std::fabs(part[i]);
  }
  return sum + static_cast<double>(n + m + 8) * 0x1p-53 * size;
}

}  // namespace

PlanBracket plan_bracket(const Costs& costs, const Factors& factors, const double* a,
                         const double* b, int workers) {
  return {lower_bound(costs, factors, a, b, workers), upper_bound(costs, factors, a, b, workers)};
}

}  // namespace kexue::transport
