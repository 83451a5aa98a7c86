// The first basis of the simplex: from shipments with cycles and gaps to a feasible spanning tree.
#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "kexue/core/constants.hpp"
#include "kexue/core/index.hpp"
#include "kexue/transport/kernels.hpp"
#include "kexue/transport/start.hpp"

namespace kexue::transport {

using std::int32_t;
using std::int64_t;
using std::ptrdiff_t;
using std::size_t;

namespace {

// Arcs with positive flow and no cycle. Nodes are rows, then columns; links lead to some root of
// each component and are turned when components join.
class FlowForest {
 public:
  FlowForest(ptrdiff_t n, ptrdiff_t m)
      : rows_(n),
        parent_(at(n + m), -1),
        mark_(at(n + m), 0),
        units_(at(n + m), 0),
        cost_(at(n + m), 0) {}

  // Adds flow on an arc; a cycle is cancelled in the direction that does not raise the cost.
  void add(int32_t row, int32_t col, double cost, int64_t units);
  int32_t root(int32_t node) const {
    while (parent_[at(node)] >= 0) node = parent_[at(node)];
    return node;
  }
  std::vector<Arc> arcs() const;

 private:
  void reroot(int32_t node);
  void link(int32_t node, int32_t to, double cost, int64_t units) {
    reroot(node);
    parent_[at(node)] = to;
    cost_[at(node)] = cost;
    units_[at(node)] = units;
  }
  int32_t meet(int32_t x, int32_t y);

  ptrdiff_t rows_;
  std::vector<int32_t> parent_, mark_;
  std::vector<int64_t> units_;
  std::vector<double> cost_;
  int32_t stamp_ = 0;
};

// Turns the links between the node and its root.
void FlowForest::reroot(int32_t node) {
  int32_t below = -1;
  int64_t units = 0;
  double cost = 0;
  while (node >= 0) {
    const int32_t up = std::exchange(parent_[at(node)], below);
    std::swap(units_[at(node)], units);
    std::swap(cost_[at(node)], cost);
    below = node;
    node = up;
  }
}

// The first node that lies above both, or -1.
int32_t FlowForest::meet(int32_t x, int32_t y) {
  ++stamp_;
  for (int32_t z = x; z >= 0; z = parent_[at(z)]) mark_[at(z)] = stamp_;
  for (int32_t z = y; z >= 0; z = parent_[at(z)]) {
    if (mark_[at(z)] == stamp_) return z;
  }
  return -1;
}

void FlowForest::add(int32_t row, int32_t col, double cost, int64_t units) {
  const auto i = row, j = static_cast<int32_t>(rows_ + col);
  const int32_t top = meet(i, j);
  if (top < 0) return link(i, j, cost, units);
  // More on (i, j) means less on the arcs of rows above i and of columns above j, and more on the
  // others; `sign` is -1 where less is better.
  double change = cost;
  int64_t most_forward = std::numeric_limits<int64_t>::max(), most_backward = units;
  auto visit = [&](int32_t from, bool loses, auto&& work) {
    for (int32_t z = from; z != top;) {
      const int32_t up = parent_[at(z)];
      work(z, (z < rows_) == loses);
      z = up;
    }
  };
  auto measure = [&](int32_t z, bool loses) {
    change += loses ? -cost_[at(z)] : cost_[at(z)];
    int64_t& most = loses ? most_forward : most_backward;
    most = std::min(most, units_[at(z)]);
  };
  visit(i, true, measure);
  visit(j, false, measure);
  const int64_t step = change <= 0 ? most_forward : -most_backward;
  const int64_t left = units + step;
  bool cut = false;
  // All arcs that run empty go: the others must carry flow.
  auto push = [&](int32_t z, bool loses) {
    units_[at(z)] += loses ? -step : step;
    if (units_[at(z)] == 0) {
      parent_[at(z)] = -1;
      cut = true;
    }
  };
  visit(i, true, push);
  visit(j, false, push);
  if (left > 0 && cut) link(i, j, cost, left);
}

std::vector<Arc> FlowForest::arcs() const {
  std::vector<Arc> all;
  all.reserve(parent_.size());
  for (size_t z = 0; z < parent_.size(); ++z) {
    if (parent_[z] < 0) continue;
    const auto x = static_cast<int32_t>(z), y = parent_[z];
    const int32_t row = x < rows_ ? x : y, col = x < rows_ ? y : x;
    all.push_back({row, static_cast<int32_t>(col - rows_), cost_[z]});
  }
  return all;
}

// What rows still have, columns still lack, and the arcs that place it.
class Placement {
 public:
  Placement(MatrixView<const double> cost, const Masses& masses, double forbidden)
      : cost_(cost), forbidden_(forbidden), forest_(cost.rows, cost.cols) {
    for (const Mass& mass : masses.rows) supply_.push_back(mass.units);
    for (const Mass& mass : masses.cols) demand_.push_back(mass.units);
  }

  void ship(ptrdiff_t i, ptrdiff_t j, double cost, int64_t units) {
    units = std::min({units, supply_[at(i)], demand_[at(j)]});
    if (units == 0) return;
    supply_[at(i)] -= units;
    demand_[at(j)] -= units;
    forest_.add(static_cast<int32_t>(i), static_cast<int32_t>(j), cost, units);
  }
  void place_along(const std::vector<Arc>& arcs, const std::vector<double>& v);
  void place_rest(const std::vector<double>& v);
  std::vector<Arc> connect(const std::vector<double>& v, const Masses& masses);

 private:
  double cost(ptrdiff_t i, ptrdiff_t j) const {
    const double c = cost_(i, j);
    return c < kInf ? c : forbidden_;
  }

  MatrixView<const double> cost_;
  double forbidden_;
  std::vector<int64_t> supply_, demand_;
  FlowForest forest_;
};

// Ships along the arcs of open rows and columns in the order of their reduced costs.
void Placement::place_along(const std::vector<Arc>& arcs, const std::vector<double>& v) {
  struct Choice {
    double reduced;
    size_t arc;
  };
  std::vector<double> low(supply_.size(), kInf);
  std::vector<Choice> choices;
  for (size_t k = 0; k < arcs.size(); ++k) {
    const size_t i = at(arcs[k].row), j = at(arcs[k].col);
    if (supply_[i] == 0) continue;
    const double reduced = arcs[k].cost - v[j];
    low[i] = std::min(low[i], reduced);
    if (demand_[j] > 0) choices.push_back({reduced, k});
  }
  for (auto& choice : choices) choice.reduced -= low[at(arcs[choice.arc].row)];
  std::sort(choices.begin(), choices.end(), [](const Choice& x, const Choice& y) {
    return x.reduced < y.reduced || (x.reduced == y.reduced && x.arc < y.arc);
  });
  for (const auto& choice : choices) {
    const Arc& arc = arcs[choice.arc];
    ship(arc.row, arc.col, arc.cost, std::numeric_limits<int64_t>::max());
  }
}

// Rows ship what they still have along their best open arcs.
void Placement::place_rest(const std::vector<double>& v) {
  std::vector<ptrdiff_t> open;
  for (ptrdiff_t j = 0; j < cost_.cols; ++j) {
    if (demand_[at(j)] > 0) open.push_back(j);
  }
  for (ptrdiff_t i = 0; i < cost_.rows; ++i) {
    while (supply_[at(i)] > 0 && !open.empty()) {
      double best = kInf;
      size_t chosen = 0;
      for (size_t k = 0; k < open.size(); ++k) {
        const double reduced = cost_(i, open[k]) - v[at(open[k])];
        if (reduced < best) {
          best = reduced;
          chosen = k;
        }
      }
      const ptrdiff_t j = open[chosen];
      ship(i, j, cost(i, j), supply_[at(i)]);
      if (demand_[at(j)] == 0) {
        open[chosen] = open.back();
        open.pop_back();
      }
    }
  }
}

// Components are joined without units, each by an arc from one of its rows towards the component of
// the column that takes the infinitesimals: their surplus flows that way, so all flows are
// positive.
std::vector<Arc> Placement::connect(const std::vector<double>& v, const Masses& masses) {
  const ptrdiff_t n = cost_.rows, m = cost_.cols;
  std::vector<Arc> arcs = forest_.arcs();
  std::vector<int32_t> component(at(n + m));
  for (ptrdiff_t z = 0; z < n + m; ++z) component[at(z)] = forest_.root(static_cast<int32_t>(z));
  std::vector<std::vector<int32_t>> columns(at(n + m));
  ptrdiff_t sink = 0;
  for (ptrdiff_t j = 0; j < m; ++j) {
    columns[at(component[at(n + j)])].push_back(static_cast<int32_t>(j));
    if (masses.cols[at(j)].infinitesimal > 0) sink = j;
  }
  // Columns not yet connected have v = -inf, out of reach.
  std::vector<double> reach(at(m), -kInf);
  std::vector<char> joined(at(n + m), 0);
  auto join = [&](int32_t which) {
    joined[at(which)] = 1;
    for (const int32_t j : columns[at(which)]) reach[at(j)] = v[at(j)];
  };
  join(component[at(n + sink)]);
  const auto& kernel = row_kernels().f64;
  for (ptrdiff_t i = 0; i < n; ++i) {
    if (joined[at(component[at(i)])]) continue;
    const auto best = kernel.minimum(cost_.row(i), reach.data(), m);
    const ptrdiff_t j = best.value < kInf ? best.index : sink;
    arcs.push_back({static_cast<int32_t>(i), static_cast<int32_t>(j), cost(i, j)});
    join(component[at(i)]);
  }
  return arcs;
}

}  // namespace

std::vector<Arc> first_basis(MatrixView<const double> cost, const std::vector<Shipment>& shipments,
                             const std::vector<Arc>& arcs, const std::vector<double>& v,
                             const Masses& masses, double forbidden) {
  Placement placement(cost, masses, forbidden);
  for (const auto& s : shipments) placement.ship(s.row, s.col, cost(s.row, s.col), s.units);
  placement.place_along(arcs, v);
  placement.place_rest(v);
  return placement.connect(v, masses);
}

}  // namespace kexue::transport
