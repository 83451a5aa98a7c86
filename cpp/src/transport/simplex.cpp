#include "kexue/transport/simplex.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kexue/core/constants.hpp"
#include "kexue/core/index.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/transport/auction.hpp"
#include "kexue/transport/certificate.hpp"
#include "kexue/transport/kernels.hpp"
#include "kexue/transport/start.hpp"
#include "kexue/transport/tree.hpp"

namespace kexue::transport {

using std::int32_t;
using std::int64_t;
using std::ptrdiff_t;
using std::size_t;

namespace {

constexpr ptrdiff_t kChunk = ptrdiff_t{1} << 17;
// Candidates per row: 8 leave more to dense passes, 32 cost more to price.
constexpr int kPerRow = 16;
// Below this many entries the auction costs more than the pivots it saves.
constexpr ptrdiff_t kSmall = 2048;

class Simplex {
 public:
  Simplex(MatrixView<const double> cost, const double* a, const double* b,
          const SimplexOptions& options)
      : cost_(cost), a_(a), b_(b), options_(options), tree_(start()) {}

  SimplexResult run();

 private:
  BasisTree start();
  bool price_candidates();
  bool price_all();
  void refresh();
  void raise_forbidden(double factor);
  void extract();
  double true_flows(std::vector<double>& flow);

  MatrixView<const double> cost_;
  const double *a_, *b_;
  SimplexOptions options_;
  SimplexResult result_;
  std::vector<Arc> arcs_;
  double range_ = 0, forbidden_ = 0, tolerance_ = 0;
  BasisTree tree_;
  size_t next_ = 0;
};

BasisTree Simplex::start() {
  const ptrdiff_t n = cost_.rows, m = cost_.cols;
  const ScaledCosts scaled(cost_, options_.workers);
  const Masses masses = integer_masses(a_, n, b_, m);
  range_ = scaled.range;
  std::vector<float> v(at(m), 0.0f);
  AuctionOptions auction_options;
  if (options_.start != nullptr) {
    auction_options.first_step = auction_options.last_step;
    for (ptrdiff_t j = 0; j < m; ++j) {
      const double price = range_ > 0 ? options_.start[j] / range_ : 0;
      v[at(j)] = static_cast<float>(std::clamp(price, -1e30, 1e30));
    }
  }
  std::vector<Shipment> shipments;
  if (n * m >= kSmall) {
    std::vector<int64_t> rows(at(n)), cols(at(m));
    for (ptrdiff_t i = 0; i < n; ++i) rows[at(i)] = masses.rows[at(i)].units;
    for (ptrdiff_t j = 0; j < m; ++j) cols[at(j)] = masses.cols[at(j)].units;
    shipments = auction(scaled.view(), rows.data(), cols.data(), auction_options, v.data());
  }
  arcs_ = candidate_arcs(cost_, scaled, v.data(), kPerRow, options_.workers);
  forbidden_ = 4 * std::max(range_, options_.scale) + std::numeric_limits<double>::min();
  std::vector<double> prices(at(m));
  for (ptrdiff_t j = 0; j < m; ++j) prices[at(j)] = static_cast<double>(v[at(j)]) * range_;
  const auto basis = first_basis(cost_, shipments, arcs_, prices, masses, forbidden_);
  return BasisTree(masses, basis);
}

// Pivots on the best of a block of candidates until none is violated; false at the pivot limit.
bool Simplex::price_candidates() {
  const size_t size = arcs_.size();
  const auto block =
      std::max<size_t>(32, static_cast<size_t>(std::sqrt(static_cast<double>(size))));
  const double *u = tree_.u(), *v = tree_.v();
  size_t clean = 0;
  while (clean < size) {
    if (next_ >= size) next_ = 0;
    const size_t end = std::min(size, next_ + block);
    double least = -tolerance_;
    size_t best = size;
    for (size_t k = next_; k < end; ++k) {
      const double reduced = arcs_[k].cost - u[arcs_[k].row] - v[arcs_[k].col];
      if (reduced < least) {
        least = reduced;
        best = k;
      }
    }
    clean += end - next_;
    next_ = end;
    if (best == size) continue;
    if (result_.pivots >= options_.max_pivots) return false;
    tree_.pivot(arcs_[best].row, arcs_[best].col, arcs_[best].cost, least);
    clean = 0;
    if (++result_.pivots % 64 == 0) poll_interrupt();
  }
  return true;
}

// Adds the violated arcs of all rows to the candidates, the worst few of each; whether there are
// any.
bool Simplex::price_all() {
  constexpr size_t kMost = 4;
  const ptrdiff_t n = cost_.rows, m = cost_.cols;
  const ptrdiff_t block = std::max<ptrdiff_t>(1, kChunk / m), chunks = (n + block - 1) / block;
  const auto& kernel = row_kernels().f64;
  const double *u = tree_.u(), *v = tree_.v();
  std::vector<std::vector<Arc>> found(at(chunks));
  ++result_.passes;
  parallel_for(
      chunks,
      [&](ptrdiff_t chunk, int) {
        std::vector<int32_t> indices;
        auto& list = found[at(chunk)];
        for (ptrdiff_t i = chunk * block; i < std::min(n, (chunk + 1) * block); ++i) {
          const double* c = cost_.row(i);
          const auto best = kernel.minimum(c, v, m);
          if (!(best.value - u[i] < -tolerance_)) continue;
          indices.resize(at(m));
          const double below = 0.5 * (best.value + u[i] - tolerance_);
          const auto count = at(kernel.select_below(c, v, below, indices.data(), m));
          list.push_back(
              {static_cast<int32_t>(i), static_cast<int32_t>(best.index), c[best.index]});
          for (size_t k = 0, kept = 1; k < count && kept < kMost; ++k) {
            const int32_t j = indices[k];
            if (j == best.index) continue;
            list.push_back({static_cast<int32_t>(i), j, c[j]});
            ++kept;
          }
        }
      },
      options_.workers);
  const size_t before = arcs_.size();
  for (const auto& list : found) arcs_.insert(arcs_.end(), list.begin(), list.end());
  next_ = before;
  return arcs_.size() > before;
}

// Potentials afresh, and what their rounding can make of a reduced cost: a lone huge cost that the
// basis does not use has no part in it.
void Simplex::refresh() {
  tree_.recompute();
  double size = 0;
  const ptrdiff_t nodes = cost_.rows + cost_.cols;
  for (ptrdiff_t node = 0; node < nodes; ++node) {
    size = std::max({size, std::abs(tree_.u()[node]), std::abs(tree_.arc_cost(node))});
  }
  tolerance_ = options_.tolerance * std::min(size, options_.scale);
}

double Simplex::true_flows(std::vector<double>& flow) {
  // Leaves first: what a node does not pass on to its children comes from, or goes to, its parent.
  const auto& order = tree_.order();
  const ptrdiff_t n = cost_.rows, m = cost_.cols;
  flow.assign(at(n + m), 0);
  std::copy(a_, a_ + n, flow.begin());
  std::copy(b_, b_ + m, flow.begin() + n);
  double forbidden = 0;
  for (size_t k = order.size(); k-- > 1;) {
    const int32_t node = order[k];
    double& mass = flow[at(node)];
    flow[at(tree_.parent(node))] -= mass;
    if (mass < 0) mass = 0;
    const int32_t other = tree_.parent(node);
    const ptrdiff_t i = tree_.is_row(node) ? node : other, j = tree_.is_row(node) ? other : node;
    if (!(cost_(i, j - n) < kInf)) forbidden += mass;
  }
  flow[at(order[0])] = 0;
  return forbidden;
}

void Simplex::raise_forbidden(double factor) {
  forbidden_ *= factor;
  const ptrdiff_t n = cost_.rows;
  for (const int32_t node : tree_.order()) {
    const int32_t other = tree_.parent(node);
    if (other < 0) continue;
    const ptrdiff_t i = tree_.is_row(node) ? node : other, j = tree_.is_row(node) ? other : node;
    if (!(cost_(i, j - n) < kInf)) tree_.set_arc_cost(node, forbidden_);
  }
  refresh();
}

void Simplex::extract() {
  const ptrdiff_t n = cost_.rows, m = cost_.cols;
  std::vector<double> flow;
  result_.forbidden_mass = true_flows(flow);
  std::vector<std::pair<int64_t, double>> entries;
  std::vector<double> rows(a_, a_ + n), cols(b_, b_ + m);
  for (const int32_t node : tree_.order()) {
    const double mass = flow[at(node)];
    if (!(mass > 0)) continue;
    const int32_t other = tree_.parent(node);
    const ptrdiff_t i = tree_.is_row(node) ? node : other;
    const ptrdiff_t j = (tree_.is_row(node) ? other : node) - n;
    if (!(cost_(i, j) < kInf)) continue;
    rows[at(i)] -= mass;
    cols[at(j)] -= mass;
    entries.push_back({i * m + j, mass});
  }
  double row_error = 0, col_error = 0;
  for (double x : rows) row_error += std::abs(x);
  for (double x : cols) col_error += std::abs(x);
  result_.marginal_error = std::max(row_error, col_error);
  std::sort(entries.begin(), entries.end());
  std::vector<double> used;
  for (const auto& [place, mass] : entries) {
    result_.rows.push_back(place / m);
    result_.cols.push_back(place % m);
    result_.mass.push_back(mass);
    used.push_back(cost_(place / m, place % m));
  }
  result_.value =
      weighted_sum(result_.mass.data(), used.data(), static_cast<ptrdiff_t>(used.size())).value;
  result_.v.assign(tree_.v(), tree_.v() + m);
}

SimplexResult Simplex::run() {
  double total = 0;
  for (ptrdiff_t i = 0; i < cost_.rows; ++i) total += a_[i];
  const double largest_forbidden =
      4 * static_cast<double>(cost_.rows + cost_.cols) * std::max(range_, options_.scale);
  refresh();
  for (;;) {
    bool finished = price_candidates();
    if (finished) {
      refresh();
      poll_interrupt();
      if (price_all()) continue;
      std::vector<double> flow;
      if (true_flows(flow) > options_.negligible * total && forbidden_ < largest_forbidden) {
        raise_forbidden(64);
        continue;
      }
      result_.optimal = true;
    }
    extract();
    return std::move(result_);
  }
}

}  // namespace

SimplexResult solve(MatrixView<const double> cost, const double* a, const double* b,
                    const SimplexOptions& options) {
  return Simplex(cost, a, b, options).run();
}

}  // namespace kexue::transport
