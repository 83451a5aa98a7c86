#include "kexue/density/compress.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kexue/core/buffer.hpp"
#include "kexue/core/elementary.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/density/kernels.hpp"

namespace kexue::density {

using std::ptrdiff_t;

namespace {

constexpr ptrdiff_t kSmallestPart = ptrdiff_t{1} << 16;
constexpr ptrdiff_t kParts = 32;  // bounds the memory of the partial sums

// sum w log s. Where no product of eight leaves the range, one logarithm serves eight slopes.
double sum_of_logs(double* s, const double* w, ptrdiff_t n) {
  constexpr ptrdiff_t kFold = 8;
  if (w == nullptr && n % kFold == 0) {
    const auto [low, high] = std::minmax_element(s, s + n);
    if (*low > 1e-35 && *high < 1e35) {
      const ptrdiff_t m = n / kFold;
      for (ptrdiff_t k = 1; k < kFold; ++k) {
        for (ptrdiff_t i = 0; i < m; ++i) s[i] *= s[k * m + i];
      }
      n = m;
    }
  }
  elementary_kernels().f64.log(s, s, n);
  double sum = 0;
  if (w == nullptr) {
    for (ptrdiff_t i = 0; i < n; ++i) sum += s[i];
  } else {
    for (ptrdiff_t i = 0; i < n; ++i) sum += w[i] > 0 ? w[i] * s[i] : 0.0;
  }
  return sum;
}

// sum w log(dx/dy) of a block whose slopes are given, and destroyed.
double block_log_slope(const Chart& chart, const double* y, const double* w, ptrdiff_t n,
                       double* slope) {
  for (ptrdiff_t j = 0; j < n; ++j) {
    if (!(slope[j] > 1e-300)) slope[j] = std::max(std::exp(chart.log_slope(y[j])), 1e-300);
  }
  return sum_of_logs(slope, w, n);
}

struct Partial {
  AlignedBuffer<double> moments;  // even samples, then odd ones
  double log_slope = 0;
};

void compress_part(const Chart& chart, std::span<const double> y, std::span<const double> w,
                   ptrdiff_t cells, Partial& part) {
  part.moments = AlignedBuffer<double>(2 * kMoments * cells);
  std::fill_n(part.moments.data(), part.moments.size(), 0.0);
  const auto n = static_cast<ptrdiff_t>(y.size());
  double t[Chart::kBlock], slope[Chart::kBlock];
  for (ptrdiff_t i = 0; i < n; i += Chart::kBlock) {
    const ptrdiff_t count = std::min(Chart::kBlock, n - i);
    const double* weights = w.empty() ? nullptr : w.data() + i;
    chart.forward(y.data() + i, count, t, slope);
    density_kernels().bin(t, weights, count, cells, part.moments.data(),
                          part.moments.data() + kMoments * cells);
    part.log_slope += block_log_slope(chart, y.data() + i, weights, count, slope);
  }
}

}  // namespace

double compress(const Chart& chart, std::span<const double> y, std::span<const double> w,
                std::span<double> moments, int workers) {
  const auto n = static_cast<ptrdiff_t>(y.size());
  const auto cells = static_cast<ptrdiff_t>(moments.size()) / kMoments;
  require(cells >= 4 && (cells & (cells - 1)) == 0, "the number of cells must be a power of two");
  require(w.empty() || w.size() == y.size(), "one weight per sample");
  const ptrdiff_t part = std::max(kSmallestPart, ((n / kParts) / 4096 + 1) * 4096);
  const ptrdiff_t parts = (n + part - 1) / part;
  std::vector<Partial> partial(static_cast<std::size_t>(parts));
  parallel_for(
      parts,
      [&](ptrdiff_t p, int) {
        const auto from = static_cast<std::size_t>(p * part);
        const auto count = static_cast<std::size_t>(std::min(part, n - p * part));
        compress_part(chart, y.subspan(from, count), w.empty() ? w : w.subspan(from, count), cells,
                      partial[static_cast<std::size_t>(p)]);
      },
      workers);
  double log_slope = 0;
  for (const Partial& one : partial) {
    const double* even = one.moments.data();
    const double* odd = even + kMoments * cells;
    for (ptrdiff_t i = 0; i < kMoments * cells; ++i) {
      moments[static_cast<std::size_t>(i)] += even[i] + odd[i];
    }
    log_slope += one.log_slope;
  }
  return log_slope;
}

void coarsen(std::span<const double> fine, std::span<double> coarse) {
  require(!coarse.empty() && fine.size() % coarse.size() == 0, "cells must divide");
  const std::size_t factor = fine.size() / coarse.size();
  const double scale = 1.0 / static_cast<double>(factor);
  for (std::size_t cell = 0; cell < coarse.size() / kMoments; ++cell) {
    double sum[kMoments] = {};
    for (std::size_t part = 0; part < factor; ++part) {
      const double* m = fine.data() + kMoments * (cell * factor + part);
      // Place d in the part becomes (part + d) / factor.
      const double a = static_cast<double>(part);
      sum[0] += m[0];
      sum[1] += scale * (a * m[0] + m[1]);
      sum[2] += scale * scale * (a * a * m[0] + 2 * a * m[1] + m[2]);
      sum[3] += scale * scale * scale * (a * a * a * m[0] + 3 * a * a * m[1] + 3 * a * m[2] + m[3]);
    }
    std::copy_n(sum, kMoments, coarse.data() + kMoments * cell);
  }
}

double positions(const Chart& chart, std::span<const double> y, std::span<const double> w,
                 std::span<double> t) {
  require(t.size() == y.size() && (w.empty() || w.size() == y.size()), "one position per sample");
  const auto n = static_cast<ptrdiff_t>(y.size());
  double slope[Chart::kBlock], sum = 0;
  for (ptrdiff_t i = 0; i < n; i += Chart::kBlock) {
    const ptrdiff_t count = std::min(Chart::kBlock, n - i);
    chart.forward(y.data() + i, count, t.data() + i, slope);
    sum += block_log_slope(chart, y.data() + i, w.empty() ? nullptr : w.data() + i, count, slope);
  }
  return sum;
}

namespace {

void add_cubic(const double* m, std::size_t cell, std::span<double> nodes) {
  const std::size_t n = nodes.size();
  nodes[(cell + n - 1) % n] += (-2 * m[1] + 3 * m[2] - m[3]) / 6;
  nodes[cell] += (2 * m[0] - m[1] - 2 * m[2] + m[3]) / 2;
  nodes[(cell + 1) % n] += (2 * m[1] + m[2] - m[3]) / 2;
  nodes[(cell + 2) % n] += (m[3] - m[1]) / 6;
}

// What cancellation left of larger terms, and weights too small to matter: log p is above -80 at
// doubles, so that they move no likelihood by more than 1e-22.
constexpr double kNegligible = 1e-24;

void drop_noise(std::span<const double> moments, std::span<double> nodes, double least) {
  const std::size_t n = nodes.size();
  constexpr double kRounding = 16 * std::numeric_limits<double>::epsilon();
  for (std::size_t node = 0; node < n; ++node) {
    double reached = 0;
    for (std::size_t k : {n - 2, n - 1, std::size_t{0}, std::size_t{1}}) {
      reached += moments[kMoments * ((node + k) % n)];
    }
    if (std::abs(nodes[node]) <= std::max(least, kRounding * reached)) nodes[node] = 0;
  }
}

// Gauss's rule of two points for the moments of one cell.
void add_points(const double* m, std::size_t cell, std::size_t cells, Points& points) {
  const double width = 2 / static_cast<double>(cells);
  const double mean = m[1] / m[0], second = m[2] / m[0], third = m[3] / m[0];
  const auto add = [&](double d, double w) {
    const double t = width * (static_cast<double>(cell) + std::clamp(d, 0.0, 1.0));
    points.t.push_back(t > 1 ? t - 2 : t);
    points.w.push_back(w);
  };
  const double variance = second - mean * mean;
  if (!(variance > 1e-13)) return add(mean, m[0]);
  const double skewness = (third - 3 * mean * second + 2 * mean * mean * mean) / variance;
  const double root = std::sqrt(skewness * skewness + 4 * variance);
  const double low = 0.5 * (skewness - root), high = 0.5 * (skewness + root);
  add(mean + low, m[0] * high / root);
  add(mean + high, -m[0] * low / root);
}

// Marks the cells that reach a negative node; false if there is none.
bool mark_negative(std::span<const double> nodes, std::vector<char>& sparse) {
  const std::size_t n = nodes.size();
  bool changed = false;
  for (std::size_t node = 0; node < n; ++node) {
    if (nodes[node] >= 0) continue;
    for (std::size_t k : {n - 2, n - 1, std::size_t{0}, std::size_t{1}}) {
      char& flag = sparse[(node + k) % n];
      changed |= flag == 0;
      flag = 1;
    }
  }
  return changed;
}

}  // namespace

Points node_weights(std::span<const double> moments, std::span<double> nodes) {
  const std::size_t n = nodes.size();
  require(moments.size() == kMoments * n, "four moments for every node");
  double total = 0;
  for (std::size_t cell = 0; cell < n; ++cell) total += moments[kMoments * cell];
  require(total > 0, "the moments hold no mass");
  std::vector<char> sparse(n, 0);
  do {
    std::fill(nodes.begin(), nodes.end(), 0.0);
    for (std::size_t cell = 0; cell < n; ++cell) {
      const double* m = moments.data() + kMoments * cell;
      if (m[0] > 0 && sparse[cell] == 0) add_cubic(m, cell, nodes);
    }
    drop_noise(moments, nodes, kNegligible * total);
  } while (mark_negative(nodes, sparse));
  Points points;
  for (std::size_t cell = 0; cell < n; ++cell) {
    const double* m = moments.data() + kMoments * cell;
    if (sparse[cell] != 0 && m[0] > kNegligible * total) add_points(m, cell, n, points);
  }
  total = 0;
  for (const double w : nodes) total += w;
  for (const double w : points.w) total += w;
  for (double& w : nodes) w /= total;
  for (double& w : points.w) w /= total;
  return points;
}

}  // namespace kexue::density
