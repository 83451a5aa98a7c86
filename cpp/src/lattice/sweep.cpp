#include "kexue/lattice/sweep.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kexue/core/constants.hpp"
#include "kexue/core/pool.hpp"

namespace kexue::lattice {

using std::ptrdiff_t;

namespace {

constexpr double kLog2e = 1.44269504088896340736;
// log 2 in two parts; the first has 32 bits, so that its products with |k| < 2^21 are exact.
constexpr double kLog2High = 0x1.62e42feep-1, kLog2Low = 0x1.a39ef35793c76p-33;
constexpr double kAllIntegers = 0x1p53;
constexpr Index kPollMask = (1 << 16) - 1;

// 2^k for integers k <= 0; 0 below the normal range.
double power_of_two(double k) {
  if (k < -1022) return 0;
  return std::bit_cast<double>(static_cast<std::uint64_t>(1023 + static_cast<std::int64_t>(k))
                               << 52);
}

// exp(x) with a mantissa in [0.7, 1.42].
Scaled exponential(double x) {
  const double k = std::nearbyint(x * kLog2e);
  if (std::abs(k) >= kAllIntegers) return {1, k};
  return {std::exp((x - k * kLog2High) - k * kLog2Low), k};
}

Scaled normalised(Scaled x) {
  int shift = 0;
  const double mantissa = std::frexp(x.mantissa, &shift);
  return {mantissa, x.exponent + shift};
}

double log_of(Scaled x) {
  return x.exponent * kLog2High + (x.exponent * kLog2Low + std::log(x.mantissa));
}

// M(v) = mean of the values still to come from v.
std::vector<double> means(const Dag& dag, const Sweep& sweep, std::span<const double> values) {
  std::vector<double> mean(static_cast<std::size_t>(dag.n_nodes()), 0);
  for (Index v = dag.n_nodes() - 1; v-- > 0;) {
    if ((v & kPollMask) == 0) poll_interrupt();
    for (Index e = dag.first[v]; e < dag.first[v + 1]; ++e) {
      if (sweep.chance[e] > 0) {
        mean[v] += sweep.chance[e] * (values[dag.edge_id[e]] + mean[dag.to[e]]);
      }
    }
  }
  return mean;
}

}  // namespace

Sweep sweep_backward(const Dag& dag, double alpha) {
  const Index n = dag.n_nodes();
  Sweep sweep{alpha, std::vector<Scaled>(static_cast<std::size_t>(n)),
              std::vector<double>(static_cast<std::size_t>(dag.n_edges()))};
  std::vector<double> exponent;
  sweep.total[n - 1] = {1, 0};
  for (Index v = n - 1; v-- > 0;) {
    if ((v & kPollMask) == 0) poll_interrupt();
    const Index begin = dag.first[v], degree = dag.first[v + 1] - begin;
    double* chance = sweep.chance.data() + begin;
    exponent.resize(static_cast<std::size_t>(degree));
    double largest = -kInf;
    for (Index i = 0; i < degree; ++i) {
      const Scaled weight = exponential(alpha * dag.score[begin + i]);
      const Scaled rest = sweep.total[dag.to[begin + i]];
      chance[i] = weight.mantissa * rest.mantissa;
      exponent[i] = weight.exponent + rest.exponent;
      largest = std::max(largest, exponent[i]);
    }
    double sum = 0;
    for (Index i = 0; i < degree; ++i) {
      chance[i] *= power_of_two(exponent[i] - largest);
      sum += chance[i];
    }
    for (Index i = 0; i < degree; ++i) chance[i] /= sum;
    sweep.total[v] = normalised({sum, largest});
  }
  return sweep;
}

double log_partition(const Sweep& sweep) { return log_of(sweep.total[0]); }

std::vector<double> node_probabilities(const Dag& dag, const Sweep& sweep) {
  std::vector<double> probability(static_cast<std::size_t>(dag.n_nodes()), 0);
  probability[0] = 1;
  for (Index v = 0; v + 1 < dag.n_nodes(); ++v) {
    if ((v & kPollMask) == 0) poll_interrupt();
    for (Index e = dag.first[v]; e < dag.first[v + 1]; ++e) {
      probability[dag.to[e]] += probability[v] * sweep.chance[e];
    }
  }
  return probability;
}

void edge_marginals(const Dag& dag, const Sweep& sweep, std::span<double> out) {
  const std::vector<double> probability = node_probabilities(dag, sweep);
  std::fill(out.begin(), out.end(), 0.0);
  for (Index e = 0; e < dag.n_edges(); ++e) {
    out[dag.edge_id[e]] = probability[dag.from[e]] * sweep.chance[e];
  }
}

void node_marginals(const Dag& dag, const Sweep& sweep, std::span<double> out) {
  const std::vector<double> probability = node_probabilities(dag, sweep);
  std::fill(out.begin(), out.end(), 0.0);
  for (Index v = 0; v < dag.n_nodes(); ++v) out[dag.node_id[v]] = probability[v];
}

double log_chance(const Dag& dag, const Sweep& sweep, Index edge) {
  if (sweep.chance[edge] > 1e-290) return std::log(sweep.chance[edge]);
  const Scaled rest = sweep.total[dag.to[edge]], all = sweep.total[dag.from[edge]];
  return sweep.alpha * dag.score[edge] +
         log_of({rest.mantissa / all.mantissa, rest.exponent - all.exponent});
}

double entropy(const Dag& dag, const Sweep& sweep) {
  const std::vector<double> probability = node_probabilities(dag, sweep);
  double sum = 0;
  for (Index v = 0; v + 1 < dag.n_nodes(); ++v) {
    double local = 0;
    for (Index e = dag.first[v]; e < dag.first[v + 1]; ++e) {
      const double p = sweep.chance[e];
      // Among edges of one node, log p near 1 is the loss of the others.
      if (p > 0 && p < 1) local -= p * std::log(p);
    }
    sum += probability[v] * local;
  }
  return sum;
}

void moments(const Dag& dag, const Sweep& sweep, MatrixView<const double> values,
             std::span<double> mean, std::span<double> variance) {
  const std::vector<double> probability = node_probabilities(dag, sweep);
  for (ptrdiff_t i = 0; i < values.rows; ++i) {
    const std::span<const double> row(values.row(i), static_cast<std::size_t>(values.cols));
    const std::vector<double> rest = means(dag, sweep, row);
    mean[i] = rest[0];
    variance[i] = 0;
    for (Index v = 0; v + 1 < dag.n_nodes(); ++v) {
      double local = 0;
      for (Index e = dag.first[v]; e < dag.first[v + 1]; ++e) {
        if (sweep.chance[e] == 0) continue;
        const double step = row[dag.edge_id[e]] + rest[dag.to[e]] - rest[v];
        local += sweep.chance[e] * step * step;
      }
      variance[i] += probability[v] * local;
    }
  }
}

// With M(v) the mean of the direction over what follows v: dp(e) = alpha p (d_e + M(to) - M(from)),
// and dP(v) goes forward by the product rule.
void differentiate_marginals(const Dag& dag, const Sweep& sweep, std::span<const double> direction,
                             std::span<double> out) {
  const std::vector<double> mean = means(dag, sweep, direction);
  const auto n = static_cast<std::size_t>(dag.n_nodes());
  std::vector<double> probability(n, 0), slope(n, 0);
  probability[0] = 1;
  std::fill(out.begin(), out.end(), 0.0);
  for (Index v = 0; v + 1 < dag.n_nodes(); ++v) {
    if ((v & kPollMask) == 0) poll_interrupt();
    for (Index e = dag.first[v]; e < dag.first[v + 1]; ++e) {
      const double p = sweep.chance[e];
      if (p == 0) continue;
      const double step = direction[dag.edge_id[e]] + mean[dag.to[e]] - mean[v];
      const double change = slope[v] * p + probability[v] * (sweep.alpha * p * step);
      out[dag.edge_id[e]] = change;
      probability[dag.to[e]] += probability[v] * p;
      slope[dag.to[e]] += change;
    }
  }
}

ptrdiff_t log_probabilities(const Dag& dag, const Sweep& sweep, std::span<const Index> edges,
                            std::span<const Index> offsets, std::span<double> out) {
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    if ((i & 1023) == 0) poll_interrupt();
    Index at = 0;
    double sum = 0;
    for (Index j = offsets[i]; j < offsets[i + 1]; ++j) {
      const Index edge = dag.live[edges[j]];
      if (edge < 0 || dag.from[edge] != at) return static_cast<ptrdiff_t>(i);
      sum += log_chance(dag, sweep, edge);
      at = dag.to[edge];
    }
    if (at + 1 != dag.n_nodes()) return static_cast<ptrdiff_t>(i);
    out[i] = sum;
  }
  return -1;
}

}  // namespace kexue::lattice
