#include "kexue/transport/start.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kexue/core/constants.hpp"
#include "kexue/core/index.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/transport/kernels.hpp"

namespace kexue::transport {

using std::int32_t;
using std::ptrdiff_t;
using std::size_t;

namespace {

// Entries of a chunk of work: tens of microseconds.
constexpr ptrdiff_t kChunk = ptrdiff_t{1} << 17;

// Calls work(first, end, chunk) for blocks of rows on the pool.
template <class Work>
void for_row_blocks(ptrdiff_t rows, ptrdiff_t cols, int workers, Work&& work) {
  const ptrdiff_t block = std::max<ptrdiff_t>(1, kChunk / cols);
  parallel_for((rows + block - 1) / block,
               [&](ptrdiff_t chunk, int) {
                 work(chunk * block, std::min(rows, (chunk + 1) * block), chunk);
               },
               workers);
}

struct Candidate {
  float reduced;
  int32_t row, col;
};

// The reduced cost that about `rank` arcs of a row stay below: the median over some rows.
float typical_bound(MatrixView<const float> cost, const float* v, ptrdiff_t rank) {
  const ptrdiff_t sampled = std::min<ptrdiff_t>(cost.rows, 32);
  std::vector<float> bounds, row(at(cost.cols));
  for (ptrdiff_t s = 0; s < sampled; ++s) {
    const float* c = cost.row(s * cost.rows / sampled);
    for (ptrdiff_t j = 0; j < cost.cols; ++j) row[at(j)] = c[j] - v[j];
    const float low = *std::min_element(row.begin(), row.end());
    const auto nth = row.begin() + std::min(rank, cost.cols - 1);
    std::nth_element(row.begin(), nth, row.end());
    if (*nth < 3e38f) bounds.push_back(*nth - low);
  }
  if (bounds.empty()) return std::numeric_limits<float>::infinity();
  const auto middle = bounds.begin() + static_cast<ptrdiff_t>(bounds.size() / 2);
  std::nth_element(bounds.begin(), middle, bounds.end());
  return *middle;
}

// What costs of another order of magnitude are measured by: 2^12 times the sixteenth part of a row
// that is closest to its least entry, the median over some rows; 0 if that says nothing.
double usual_range(MatrixView<const double> cost) {
  const ptrdiff_t sampled = std::min<ptrdiff_t>(cost.rows, 32);
  std::vector<double> row, quantiles;
  for (ptrdiff_t s = 0; s < sampled; ++s) {
    const double* c = cost.row(s * cost.rows / sampled);
    row.assign(c, c + cost.cols);
    const auto nth = row.begin() + cost.cols / 16;
    std::nth_element(row.begin(), nth, row.end());
    const double low = *std::min_element(row.begin(), nth + 1);
    if (*nth > low && *nth < kInf) quantiles.push_back(*nth - low);
  }
  if (quantiles.empty()) return 0;
  const auto middle = quantiles.begin() + static_cast<ptrdiff_t>(quantiles.size() / 2);
  std::nth_element(quantiles.begin(), middle, quantiles.end());
  return 0x1p12 * *middle;
}

}  // namespace

ScaledCosts::ScaledCosts(MatrixView<const double> cost, int workers)
    : rows(cost.rows), cols(cost.cols), data(cost.rows * cost.cols) {
  std::vector<double> low(at(rows)), high(at(rows)), zero(at(cols), 0.0);
  const auto& kernel = row_kernels().f64;
  for_row_blocks(rows, cols, workers, [&](ptrdiff_t first, ptrdiff_t end, ptrdiff_t) {
    for (ptrdiff_t i = first; i < end; ++i) {
      const double* c = cost.row(i);
      low[at(i)] = kernel.minimum(c, zero.data(), cols).value;
      double top = low[at(i)] < kInf ? low[at(i)] : 0;
      for (ptrdiff_t j = 0; j < cols; ++j) top = c[j] > top && c[j] < kInf ? c[j] : top;
      if (!(low[at(i)] < kInf)) low[at(i)] = 0;
      high[at(i)] = top - low[at(i)];
    }
  });
  range = *std::max_element(high.begin(), high.end());
  const double usual = usual_range(cost);
  if (usual > 0) range = std::min(range, usual);
  const double factor = range > 0 ? 1 / range : 1;
  // 1 / range overflows for subnormal ranges; such costs count as equal here.
  const double usable = std::isfinite(factor) ? factor : 0;
  for_row_blocks(rows, cols, workers, [&](ptrdiff_t first, ptrdiff_t end, ptrdiff_t) {
    for (ptrdiff_t i = first; i < end; ++i) {
      const double *c = cost.row(i), shift = low[at(i)];
      float* to = data.data() + i * cols;
      for (ptrdiff_t j = 0; j < cols; ++j) {
        const double x = c[j] - shift;
        to[j] = static_cast<float>(x <= range ? x * usable : kInf);
      }
    }
  });
}

std::vector<Arc> candidate_arcs(MatrixView<const double> cost, const ScaledCosts& scaled,
                                const float* v, int per_row, int workers) {
  const auto view = scaled.view();
  const auto& kernel = row_kernels().f32;
  const ptrdiff_t n = view.rows, m = view.cols;
  const float bound = typical_bound(view, v, per_row);
  const ptrdiff_t most = 4 * static_cast<ptrdiff_t>(per_row);
  const ptrdiff_t block = std::max<ptrdiff_t>(1, kChunk / m), chunks = (n + block - 1) / block;
  std::vector<std::vector<Candidate>> found(at(chunks));
  std::vector<float> low(at(n));
  for_row_blocks(n, m, workers, [&](ptrdiff_t first, ptrdiff_t end, ptrdiff_t chunk) {
    auto& list = found[at(chunk)];
    std::vector<int32_t> indices(at(m));
    for (ptrdiff_t i = first; i < end; ++i) {
      const float* c = view.row(i);
      const auto best = kernel.minimum(c, v, m);
      low[at(i)] = best.value;
      if (!(best.value < 3e38f)) continue;
      const float below = std::nextafter(best.value + bound, 3e38f);
      const ptrdiff_t count = kernel.select_below(c, v, below, indices.data(), m);
      const size_t begin = list.size();
      for (ptrdiff_t k = 0; k < count; ++k) {
        const int32_t j = indices[at(k)];
        list.push_back({c[j] - v[j] - best.value, static_cast<int32_t>(i), j});
      }
      if (count > most) {
        const auto from = list.begin() + static_cast<ptrdiff_t>(begin);
        std::nth_element(from, from + most, list.end(),
                         [](const auto& x, const auto& y) { return x.reduced < y.reduced; });
        list.resize(begin + at(most));
      }
    }
  });
  std::vector<float> best(at(m), std::numeric_limits<float>::infinity());
  std::vector<int32_t> from(at(m), -1);
  for (ptrdiff_t i = 0; i < n; ++i) {
    if (low[at(i)] < 3e38f) {
      kernel.lower_columns(view.row(i), low[at(i)], i, best.data(), from.data(), m);
    }
  }
  std::vector<Arc> arcs;
  arcs.reserve(at(m + n * per_row));
  auto add = [&](int32_t i, int32_t j) { arcs.push_back({i, j, cost(i, j)}); };
  for (const auto& list : found) {
    for (const auto& candidate : list) add(candidate.row, candidate.col);
  }
  for (ptrdiff_t j = 0; j < m; ++j) {
    if (from[at(j)] >= 0) add(from[at(j)], static_cast<int32_t>(j));
  }
  return arcs;
}

Masses integer_masses(const double* a, ptrdiff_t n, const double* b, ptrdiff_t m) {
  double total = 0;
  for (ptrdiff_t i = 0; i < n; ++i) total += a[i];
  int exponent = 0;
  std::frexp(total, &exponent);
  auto units = [&](double mass) {
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ldexp(mass, 60 - exponent)));
  };
  Masses masses;
  masses.rows.resize(at(n));
  masses.cols.resize(at(m));
  std::int64_t difference = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    masses.rows[at(i)] = {units(a[i]), 1};
    difference += masses.rows[at(i)].units;
  }
  ptrdiff_t largest = 0;
  for (ptrdiff_t j = 0; j < m; ++j) {
    masses.cols[at(j)] = {units(b[j]), 0};
    difference -= masses.cols[at(j)].units;
    if (b[j] > b[largest]) largest = j;
  }
  masses.cols[at(largest)] += Mass{difference, n};
  return masses;
}

}  // namespace kexue::transport
