#include "kexue/density/compress.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>
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
// At most so many parts, and partial sums of 64 MiB in all.
constexpr ptrdiff_t kMostParts = 32, kMostSums = ptrdiff_t{1} << 23;

// sum w log(dx/dy) of a block whose slopes are given, and destroyed.
double block_log_slope(const Chart& chart, const double* y, const double* w, ptrdiff_t n,
                       double* slope) {
  if (w == nullptr) {
    const double sum = density_kernels().sum_of_logs(slope, n);
    if (!std::isnan(sum)) return sum;
  }
  for (ptrdiff_t j = 0; j < n; ++j) {
    if (!(slope[j] > kLeastLog)) slope[j] = std::max(std::exp(chart.log_slope(y[j])), kLeastLog);
  }
  elementary_kernels().f64.log(slope, slope, n);
  double sum = 0;
  for (ptrdiff_t j = 0; j < n; ++j) {
    const double weight = w != nullptr ? w[j] : 1.0;
    sum += weight > 0 ? weight * slope[j] : 0.0;
  }
  return sum;
}

struct Partial {
  AlignedBuffer<double> moments;  // even samples, then odd ones
  double log_slope = 0;
};

void prefetch([[maybe_unused]] const double* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p);
#endif
}

// Moments of the positions t, a few at a time: between them the next block, at `next`, is asked
// for. A block is a page, at whose end the hardware's prefetch stops, and no more lines than some
// sixteen can be under way (AVX-512, n = 10^7: a quarter of the time of the pass).
void add_block(const double* t, const double* w, ptrdiff_t n, const double* next, ptrdiff_t n_next,
               ptrdiff_t cells, double* even, double* odd) {
  constexpr ptrdiff_t kPiece = 128, kLine = 8;
  for (ptrdiff_t i = 0; i < n; i += kPiece) {
    const ptrdiff_t count = std::min(kPiece, n - i), ahead = std::min(i + kPiece, n_next);
    for (ptrdiff_t j = i; j < ahead; j += kLine) prefetch(next + j);
    density_kernels().bin(t + i, w == nullptr ? w : w + i, count, cells, even, odd);
  }
}

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
    add_block(t, weights, count, y.data() + i + count, std::min(Chart::kBlock, n - i - count),
              cells, part.moments.data(), part.moments.data() + kMoments * cells);
    part.log_slope += block_log_slope(chart, y.data() + i, weights, count, slope);
  }
}

void add_partial(Partial part, std::span<double> sums, double& log_slope) {
  const double* even = part.moments.data();
  const double* odd = even + sums.size();
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += even[i] + odd[i];
  log_slope += part.log_slope;
}

}  // namespace

double compress(const Chart& chart, std::span<const double> y, std::span<const double> w,
                std::span<double> moments, int workers) {
  const auto n = static_cast<ptrdiff_t>(y.size());
  const auto cells = static_cast<ptrdiff_t>(moments.size()) / kMoments;
  require(cells >= 4 && (cells & (cells - 1)) == 0, "the number of cells must be a power of two");
  require(w.empty() || w.size() == y.size(), "one weight per sample");
  const ptrdiff_t most = std::clamp<ptrdiff_t>(kMostSums / (2 * kMoments * cells), 1, kMostParts);
  const ptrdiff_t part = std::max(kSmallestPart, ((n / most) / 4096 + 1) * 4096);
  const ptrdiff_t parts = (n + part - 1) / part;
  std::vector<Partial> partial(static_cast<std::size_t>(parts));
  std::mutex adding;
  std::size_t next = 0;
  std::vector<double> sums(moments.size());
  double log_slope = 0;
  parallel_for(
      parts,
      [&](ptrdiff_t p, int) {
        const auto from = static_cast<std::size_t>(p * part);
        const auto count = static_cast<std::size_t>(std::min(part, n - p * part));
        Partial done;
        compress_part(chart, y.subspan(from, count), w.empty() ? w : w.subspan(from, count), cells,
                      done);
        // Added in order, and as soon as those before are: few are kept, and in the cache.
        const std::lock_guard lock(adding);
        partial[static_cast<std::size_t>(p)] = std::move(done);
        for (; next < partial.size() && partial[next].moments.size() > 0; ++next) {
          add_partial(std::move(partial[next]), sums, log_slope);
        }
      },
      workers);
  for (std::size_t i = 0; i < sums.size(); ++i) moments[i] += sums[i];
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

}  // namespace

Points gauss_points(std::span<const double> moments) {
  const std::size_t cells = moments.size() / kMoments;
  Points points;
  for (std::size_t cell = 0; cell < cells; ++cell) {
    const double* m = moments.data() + kMoments * cell;
    if (m[0] > 0) add_points(m, cell, cells, points);
  }
  return points;
}

Points condense(std::span<const double> t, std::span<const double> w, ptrdiff_t cells) {
  require(t.size() == w.size(), "one weight per point");
  require(cells >= 4 && (cells & (cells - 1)) == 0, "the number of cells must be a power of two");
  AlignedBuffer<double> sums(2 * kMoments * cells);
  std::fill_n(sums.data(), sums.size(), 0.0);
  double *even = sums.data(), *odd = even + kMoments * cells;
  density_kernels().bin(t.data(), w.data(), static_cast<ptrdiff_t>(t.size()), cells, even, odd);
  for (ptrdiff_t i = 0; i < kMoments * cells; ++i) even[i] += odd[i];
  return gauss_points({even, static_cast<std::size_t>(kMoments * cells)});
}

}  // namespace kexue::density
