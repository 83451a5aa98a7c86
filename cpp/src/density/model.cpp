#include "kexue/density/model.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kexue/core/constants.hpp"
#include "kexue/core/elementary.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"

namespace kexue::density {

using std::ptrdiff_t;

namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kUnderflow = 1e-290;
constexpr ptrdiff_t kBlock = 128;   // points whose quadrature nodes stay in the first-level cache
constexpr ptrdiff_t kChunk = 4096;  // points of a parallel chunk
constexpr int kNodes = kInverseTerms;

// Gauss and Legendre's six nodes and weights on [0, 1].
constexpr double kOffset[3] = {0.46623475710157601391, 0.33060469323313225683,
                               0.11930959304159845432};
constexpr double kWeight[3] = {0.08566224618958517252, 0.18038078652406930379,
                               0.23395696728634552369};
constexpr std::array<double, kNodes> kPlaces = {0.5 - kOffset[0], 0.5 - kOffset[1],
                                                0.5 - kOffset[2], 0.5 + kOffset[2],
                                                0.5 + kOffset[1], 0.5 + kOffset[0]};
constexpr std::array<double, kNodes> kWeights = {kWeight[0], kWeight[1], kWeight[2],
                                                 kWeight[2], kWeight[1], kWeight[0]};

// primitive[i][k]: coefficient of s^(k + 1) in the integral of Lagrange's polynomial of node i.
std::array<std::array<double, kNodes>, kNodes> primitives() {
  std::array<std::array<double, kNodes>, kNodes> result{};
  for (std::size_t i = 0; i < kNodes; ++i) {
    std::array<long double, kNodes> c{1};
    long double denominator = 1;
    std::size_t degree = 0;
    for (std::size_t j = 0; j < kNodes; ++j) {
      if (j == i) continue;
      denominator *= static_cast<long double>(kPlaces[i]) - kPlaces[j];
      ++degree;
      for (std::size_t k = degree; k > 0; --k) c[k] = c[k - 1] - kPlaces[j] * c[k];
      c[0] *= -kPlaces[j];
    }
    for (std::size_t k = 0; k < kNodes; ++k) {
      result[i][k] = static_cast<double>(c[k] / denominator / static_cast<long double>(k + 1));
    }
  }
  return result;
}

template <class Body>
void over_chunks(std::size_t n, int workers, Body&& body) {
  const auto size = static_cast<ptrdiff_t>(n);
  parallel_for((size + kChunk - 1) / kChunk,
               [&](ptrdiff_t chunk, int) {
                 const ptrdiff_t end = std::min(size, (chunk + 1) * kChunk);
                 for (ptrdiff_t i = chunk * kChunk; i < end; i += kBlock) {
                   body(i, std::min(kBlock, end - i));
                 }
               },
               workers);
}

}  // namespace

Model::Model(Chart chart, std::span<const std::complex<double>> b) : chart_(std::move(chart)) {
  require(!b.empty(), "a density needs a coefficient");
  double norm = 0;
  for (const auto& z : b) norm += std::norm(z);
  require(norm > 0 && std::isfinite(norm), "the coefficients must be finite and not all zero");
  const double scale = 1 / std::sqrt(norm);
  for (const auto& z : b) {
    re_.push_back(z.real() * scale);
    sides_[0].im.push_back(z.imag() * scale);
    sides_[1].im.push_back(-z.imag() * scale);
  }
  cells_ = 64;
  while (cells_ < 16 * (order() + 1)) cells_ *= 2;
  width_ = 2 / static_cast<double>(cells_);
  build_side(sides_[0], false);
  build_side(sides_[1], true);
  const double end = 0;
  density_kernels().square(re_.data(), sides_[0].im.data(), order(), &end, &at_end_, 1);
  at_end_ *= 0.5;
  build_alias();
}

double Model::start_of(ptrdiff_t cell) const {
  return width_ * static_cast<double>(cell < cells_ / 2 ? cell : cell - cells_);
}

// The upper half and -0, the upper end, belong to cells from cells_ / 2 on.
ptrdiff_t Model::cell_of(double t) const {
  const auto cell = static_cast<ptrdiff_t>(std::floor(t / width_));
  return std::signbit(t) ? std::clamp(cells_ + cell, cells_ / 2, cells_ - 1)
                         : std::clamp<ptrdiff_t>(cell, 0, cells_ / 2 - 1);
}

void Model::build_side(Side& side, bool upper) {
  static const auto kPrimitive = primitives();
  const auto cells = static_cast<std::size_t>(cells_);
  side.inside.resize(cells);
  side.below.resize(cells + 1);
  side.poly.resize(cells * kCellRow);
  std::vector<double> t(cells * kNodes), p(cells * kNodes);
  for (std::size_t c = 0; c < cells; ++c) {
    for (std::size_t i = 0; i < kNodes; ++i) {
      t[c * kNodes + i] = start_of(static_cast<ptrdiff_t>(c)) + width_ * kPlaces[i];
    }
  }
  density_kernels().square(re_.data(), side.im.data(), order(), t.data(), p.data(),
                           static_cast<ptrdiff_t>(t.size()));
  for (std::size_t c = 0; c < cells; ++c) {
    double mass = 0;
    for (std::size_t i = 0; i < kNodes; ++i) mass += kWeights[i] * p[c * kNodes + i];
    side.inside[c] = 0.5 * width_ * mass;
    for (std::size_t k = 0; k < kNodes; ++k) {
      double sum = 0;
      for (std::size_t i = 0; i < kNodes; ++i) sum += kPrimitive[i][k] * p[c * kNodes + i];
      side.poly[c * kCellRow + k] = mass > 0 ? sum / mass : (k == 0 ? 1.0 : 0.0);
    }
    side.poly[c * kCellRow + kCellStart] = start_of(static_cast<ptrdiff_t>(c));
  }
  // Both sides use the same masses, so that they agree on the total.
  if (upper) {
    std::reverse_copy(sides_[0].inside.begin(), sides_[0].inside.end(), side.inside.begin());
  }
  double high = 0, low = 0;
  for (std::size_t c = 0; c < cells; ++c) {
    side.below[c] = std::min(high + low, 1.0);
    const double sum = high + side.inside[c];
    low += (high - sum) + side.inside[c];
    high = sum;
  }
  side.below[cells] = 1;
}

// Walker's alias table, filled as Vose (1991) does.
void Model::build_alias() {
  const auto cells = static_cast<std::size_t>(cells_);
  alias_.resize(2 * cells);
  std::vector<double> weight(cells);
  std::vector<std::size_t> small, large;
  for (std::size_t c = 0; c < cells; ++c) {
    alias_[2 * c] = 1;
    alias_[2 * c + 1] = static_cast<double>(c);
    weight[c] = sides_[0].inside[c] * static_cast<double>(cells_);
    (weight[c] < 1 ? small : large).push_back(c);
  }
  while (!small.empty() && !large.empty()) {
    const std::size_t low = small.back(), high = large.back();
    small.pop_back();
    alias_[2 * low] = weight[low];
    alias_[2 * low + 1] = static_cast<double>(high);
    weight[high] -= 1 - weight[low];
    if (weight[high] < 1) {
      large.pop_back();
      small.push_back(high);
    }
  }
}

void Model::pdf(std::span<const double> y, std::span<double> out, bool logarithm,
                int workers) const {
  const DensityKernels& kernels = density_kernels();
  over_chunks(y.size(), workers, [&](ptrdiff_t at, ptrdiff_t n) {
    const double* from = y.data() + at;
    double* to = out.data() + at;
    double t[kBlock], slope[kBlock];
    chart_.forward(from, n, t, slope);
    kernels.square(re_.data(), sides_[0].im.data(), order(), t, to, n);
    if (!logarithm) {
      for (ptrdiff_t i = 0; i < n; ++i) to[i] = slope[i] == 0 ? 0.0 : 0.5 * to[i] * slope[i];
      return;
    }
    for (ptrdiff_t i = 0; i < n; ++i) to[i] *= 0.5;
    elementary_kernels().f64.log(to, to, n);
    double log_slope[kBlock];
    elementary_kernels().f64.log(slope, log_slope, n);
    for (ptrdiff_t i = 0; i < n; ++i) {
      if (slope[i] < kUnderflow && chart_.inside(from[i])) {
        log_slope[i] = chart_.log_slope(from[i]);
      }
      to[i] = log_slope[i] == -kInf ? -kInf : to[i] + log_slope[i];
    }
  });
}

void Model::part_masses(const Side& side, const double* from, const double* to, ptrdiff_t n,
                        double* out) const {
  double t[kBlock * kNodes], p[kBlock * kNodes];
  for (int i = 0; i < kNodes; ++i) {
    const double place = kPlaces[static_cast<std::size_t>(i)];
    for (ptrdiff_t j = 0; j < n; ++j) t[i * n + j] = from[j] + place * (to[j] - from[j]);
  }
  density_kernels().square(re_.data(), side.im.data(), order(), t, p, n * kNodes);
  std::fill_n(out, n, 0.0);
  for (int i = 0; i < kNodes; ++i) {
    const double weight = 0.5 * kWeights[static_cast<std::size_t>(i)];
    for (ptrdiff_t j = 0; j < n; ++j) out[j] += weight * p[i * n + j];
  }
  for (ptrdiff_t j = 0; j < n; ++j) out[j] *= to[j] - from[j];
}

void Model::mass_block(const double* y, ptrdiff_t n, bool upper, bool logarithm,
                       double* out) const {
  const Side& side = sides_[upper ? 1 : 0];
  double t[kBlock], slope[kBlock], from[kBlock] = {};
  ptrdiff_t cell[kBlock];
  chart_.forward(y, n, t, slope);
  for (ptrdiff_t i = 0; i < n; ++i) {
    if (upper) t[i] = -t[i];
    cell[i] = std::isnan(t[i]) ? 0 : cell_of(t[i]);
    from[i] = start_of(cell[i]);
  }
  part_masses(side, from, t, n, out);
  for (ptrdiff_t i = 0; i < n; ++i) {
    const auto c = static_cast<std::size_t>(cell[i]);
    const double part = std::isnan(t[i]) ? kNaN : std::min(out[i], side.inside[c]);
    // The far end itself: exactly one.
    out[i] = t[i] == 0 && std::signbit(t[i]) ? 1.0 : std::min(side.below[c] + part, 1.0);
    if (!logarithm) continue;
    out[i] = out[i] < kUnderflow && !chart_.bounded() && chart_.inside(y[i])
                 ? chart_.log_distance(y[i]) + std::log(at_end_)
                 : std::log(out[i]);
  }
}

void Model::mass(std::span<const double> y, std::span<double> out, bool upper, bool logarithm,
                 int workers) const {
  over_chunks(y.size(), workers, [&](ptrdiff_t at, ptrdiff_t n) {
    mass_block(y.data() + at, n, upper, logarithm, out.data() + at);
  });
}

// t with mass q in [0, 1] before it, seen from the side: the cell by bisection, the place in it by
// the cell's polynomial, then Newton on the quadrature inside a shrinking bracket.
void Model::solve_block(const Side& side, const double* q, ptrdiff_t n, double* t) const {
  double start[kBlock] = {}, low[kBlock], high[kBlock], rest[kBlock], part[kBlock], density[kBlock];
  for (ptrdiff_t i = 0; i < n; ++i) {
    const auto above = std::upper_bound(side.below.begin(), side.below.end() - 1, q[i]);
    const ptrdiff_t cell = std::max<ptrdiff_t>(0, above - side.below.begin() - 1);
    const auto c = static_cast<std::size_t>(cell);
    start[i] = low[i] = start_of(cell);
    high[i] = low[i] + width_;
    rest[i] = std::max(q[i] - side.below[c], 0.0);
    const double v = side.inside[c] > 0 ? std::min(rest[i] / side.inside[c], 1.0) : 0.0;
    double s = v;
    for (int step = 0; step < 3; ++step) {
      double value = 0, slope = 0;
      for (int k = kNodes - 1; k >= 0; --k) {
        slope = slope * s + value;
        value = value * s + side.poly[c * kCellRow + static_cast<std::size_t>(k)];
      }
      slope = slope * s + value;
      if (!(slope > 0)) break;
      s = std::clamp(s - (value * s - v) / slope, 0.0, 1.0);
    }
    t[i] = start[i] + width_ * s;
  }
  for (int round = 0; round < 60; ++round) {
    part_masses(side, start, t, n, part);
    density_kernels().square(re_.data(), side.im.data(), order(), t, density, n);
    bool done = true;
    for (ptrdiff_t i = 0; i < n; ++i) {
      const double excess = part[i] - rest[i];
      if (std::abs(excess) <= kEpsilon * (0.5 * q[i] + 2 * part[i])) continue;
      (excess > 0 ? high : low)[i] = t[i];
      double next = t[i] - 2 * excess / density[i];
      if (std::abs(next - t[i]) <= kEpsilon * std::abs(t[i])) continue;
      if (!(next > low[i] && next < high[i])) next = 0.5 * (low[i] + high[i]);
      t[i] = next;
      done = false;
    }
    if (done) return;
  }
}

void Model::quantile_block(const double* q, ptrdiff_t n, bool upper, double* out) const {
  double share[2][kBlock], t[kBlock], solved[kBlock];
  ptrdiff_t place[2][kBlock], count[2] = {};
  for (ptrdiff_t i = 0; i < n; ++i) {
    if (!(q[i] >= 0 && q[i] <= 1)) {
      t[i] = kNaN;
      continue;
    }
    // 1 - q is exact in the farther half.
    const bool far = q[i] > 0.5;
    const int side = upper != far ? 1 : 0;
    place[side][count[side]] = i;
    share[side][count[side]++] = far ? 1 - q[i] : q[i];
  }
  for (int side = 0; side < 2; ++side) {
    if (count[side] == 0) continue;
    solve_block(sides_[side], share[side], count[side], solved);
    for (ptrdiff_t j = 0; j < count[side]; ++j) {
      const double value = share[side][j] == 0 ? 0.0 : solved[j];
      t[place[side][j]] = side == 1 ? -value : value;
    }
  }
  chart_.inverse(t, n, out);
}

void Model::quantile(std::span<const double> q, std::span<double> out, bool upper,
                     int workers) const {
  over_chunks(q.size(), workers, [&](ptrdiff_t at, ptrdiff_t n) {
    quantile_block(q.data() + at, n, upper, out.data() + at);
  });
}

void Model::bin_block(const double* lo, const double* hi, ptrdiff_t n, double* out) const {
  const Side& side = sides_[0];
  double from[kBlock], to[kBlock], slope[kBlock], stop[kBlock] = {}, begin[kBlock] = {};
  double tail[kBlock];
  double between[kBlock];
  chart_.forward(lo, n, from, slope);
  chart_.forward(hi, n, to, slope);
  for (ptrdiff_t i = 0; i < n; ++i) {
    stop[i] = begin[i] = to[i];
    between[i] = 0;
    if (std::isnan(from[i]) || std::isnan(to[i])) continue;
    const ptrdiff_t first = cell_of(from[i]), last = cell_of(to[i]);
    if (first >= last) continue;
    stop[i] = start_of(first) + width_;
    begin[i] = start_of(last);
    const double difference = side.below[static_cast<std::size_t>(last)] -
                              side.below[static_cast<std::size_t>(first + 1)];
    if (difference > 0.5 * side.below[static_cast<std::size_t>(last)]) {
      between[i] = difference;
    } else {
      for (ptrdiff_t c = first + 1; c < last; ++c) {
        between[i] += side.inside[static_cast<std::size_t>(c)];
      }
    }
  }
  part_masses(side, from, stop, n, out);
  part_masses(side, begin, to, n, tail);
  for (ptrdiff_t i = 0; i < n; ++i) {
    out[i] = std::isnan(out[i]) ? out[i] : std::clamp(out[i] + between[i] + tail[i], 0.0, 1.0);
  }
}

void Model::bins(std::span<const double> lo, std::span<const double> hi, std::span<double> out,
                 int workers) const {
  over_chunks(lo.size(), workers, [&](ptrdiff_t at, ptrdiff_t n) {
    bin_block(lo.data() + at, hi.data() + at, n, out.data() + at);
  });
}

void Model::sample(Key key, std::span<double> out, int workers) const {
  const SampleTable table = {cells_, width_, alias_.data(), sides_[0].poly.data()};
  const auto n = static_cast<ptrdiff_t>(out.size());
  parallel_for((n + kChunk - 1) / kChunk,
               [&](ptrdiff_t chunk, int) {
                 const ptrdiff_t begin = chunk * kChunk, count = std::min(kChunk, n - begin);
                 double* to = out.data() + begin;
                 random_kernels().uniform_f64(key, static_cast<std::uint64_t>(begin), count, to);
                 for (ptrdiff_t i = 0; i < count; i += Chart::kBlock) {
                   const ptrdiff_t some = std::min(Chart::kBlock, count - i);
                   double t[Chart::kBlock];
                   density_kernels().sample(table, to + i, t, some);
                   chart_.inverse(t, some, to + i);
                 }
               },
               workers);
}

void Model::positions(std::span<const double> y, std::span<double> t,
                      std::span<double> slope) const {
  over_chunks(y.size(), 1, [&](ptrdiff_t at, ptrdiff_t n) {
    chart_.forward(y.data() + at, n, t.data() + at, slope.data() + at);
  });
}

void Model::locate(std::span<const double> t, std::span<double> y) const {
  over_chunks(t.size(), 1,
              [&](ptrdiff_t at, ptrdiff_t n) { chart_.inverse(t.data() + at, n, y.data() + at); });
}

void Model::amplitude(std::span<const double> t, std::span<double> re, std::span<double> im) const {
  density_kernels().amplitude(re_.data(), sides_[0].im.data(), order(), t.data(), re.data(),
                              im.data(), static_cast<ptrdiff_t>(t.size()));
}

}  // namespace kexue::density
