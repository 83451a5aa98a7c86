#include "kexue/transport/tree.hpp"

#include <limits>
#include <utility>

#include "kexue/core/error.hpp"

namespace kexue::transport {

using std::int32_t;
using std::ptrdiff_t;
using std::size_t;

BasisTree::BasisTree(const Masses& masses, const std::vector<Arc>& arcs)
    : rows_(static_cast<ptrdiff_t>(masses.rows.size())) {
  const ptrdiff_t n = rows_;
  const size_t nodes = masses.rows.size() + masses.cols.size();
  require(arcs.size() + 1 == nodes, "a basis has one arc less than nodes");
  nodes_.assign(nodes, {-1, -1, -1, -1, 1});
  potential_.assign(nodes, 0);
  cost_.assign(nodes, 0);
  flow_ = masses.rows;
  flow_.insert(flow_.end(), masses.cols.begin(), masses.cols.end());
  std::vector<int32_t> first(nodes + 1, 0), around(2 * arcs.size());
  for (const auto& arc : arcs) {
    ++first[at(arc.row) + 1];
    ++first[at(n + arc.col) + 1];
  }
  for (size_t k = 0; k < nodes; ++k) {
    if (first[k + 1] > first[at(root_) + 1]) root_ = static_cast<int32_t>(k);
  }
  for (size_t k = 0; k < nodes; ++k) first[k + 1] += first[k];
  std::vector<int32_t> place(first.begin(), first.end() - 1);
  for (size_t e = 0; e < arcs.size(); ++e) {
    around[at(place[at(arcs[e].row)]++)] = static_cast<int32_t>(e);
    around[at(place[at(n + arcs[e].col)]++)] = static_cast<int32_t>(e);
  }
  // From the root outwards.
  std::vector<char> seen(nodes, 0);
  order_.reserve(nodes);
  order_.push_back(root_);
  seen[at(root_)] = 1;
  for (size_t k = 0; k < order_.size(); ++k) {
    const int32_t x = order_[k];
    for (int32_t p = first[at(x)]; p < first[at(x) + 1]; ++p) {
      const auto& arc = arcs[at(around[at(p)])];
      const int32_t y = x < n ? static_cast<int32_t>(n + arc.col) : arc.row;
      if (seen[at(y)]) continue;
      seen[at(y)] = 1;
      attach(y, x);
      cost_[at(y)] = arc.cost;
      potential_[at(y)] = arc.cost - potential_[at(x)];
      order_.push_back(y);
    }
  }
  require(order_.size() == nodes, "a basis must be connected");
  // From the leaves inwards: what a node does not pass on goes to, or comes from, its parent.
  for (size_t k = nodes; k-- > 1;) {
    const size_t node = at(order_[k]), parent = at(nodes_[node].parent);
    nodes_[parent].size += nodes_[node].size;
    flow_[parent] -= flow_[node];
    require(Mass{0, 0} < flow_[node], "a basis must be feasible");
  }
  flow_[at(root_)] = {0, 0};
}

void BasisTree::detach(int32_t node) {
  auto& x = nodes_[at(node)];
  (x.previous >= 0 ? nodes_[at(x.previous)].next : nodes_[at(x.parent)].child) = x.next;
  if (x.next >= 0) nodes_[at(x.next)].previous = x.previous;
}

void BasisTree::attach(int32_t node, int32_t parent) {
  auto& x = nodes_[at(node)];
  auto& p = nodes_[at(parent)];
  x.parent = parent;
  x.next = p.child;
  x.previous = -1;
  if (p.child >= 0) nodes_[at(p.child)].previous = node;
  p.child = node;
}

// Turns the subtree below the arc of `leaving` so that `top` becomes its root, and hangs it below
// `below` by the new arc. Sizes above the cut are corrected by the caller.
void BasisTree::hang(int32_t top, int32_t below, int32_t leaving, Mass flow, double cost) {
  const int32_t whole = nodes_[at(leaving)].size;
  int32_t node = top, parent = below, inside = 0;
  for (;;) {
    auto& x = nodes_[at(node)];
    const int32_t up = x.parent, size = x.size;
    detach(node);
    attach(node, parent);
    std::swap(flow_[at(node)], flow);
    std::swap(cost_[at(node)], cost);
    x.size = whole - inside;
    inside = size;
    if (node == leaving) return;
    parent = node;
    node = up;
  }
}

// Rows of the subtree by `rows_by`, columns by its opposite; the subtree of `skip` is left out.
void BasisTree::shift_subtree(int32_t top, int32_t skip, double rows_by) {
  if (top == skip) return;
  int32_t node = top;
  for (;;) {
    potential_[at(node)] += node < rows_ ? rows_by : -rows_by;
    int32_t next = nodes_[at(node)].child;
    if (next == skip && next >= 0) next = nodes_[at(next)].next;
    while (next < 0) {
      if (node == top) return;
      next = nodes_[at(node)].next;
      if (next == skip && next >= 0) next = nodes_[at(next)].next;
      node = nodes_[at(node)].parent;
    }
    node = next;
  }
}

void BasisTree::pivot(ptrdiff_t row, ptrdiff_t col, double cost, double reduced) {
  const auto i = static_cast<int32_t>(row), j = static_cast<int32_t>(rows_ + col);
  // Where the two paths to the root meet, and the arc that blocks first. Mass goes from i to j and
  // back through the tree: arcs whose lower node is a row lose on i's path and gain on j's.
  int32_t x = i, y = j, leaving = -1;
  bool on_row_side = true;
  Mass step{std::numeric_limits<std::int64_t>::max(), 0};
  while (x != y) {
    if (nodes_[at(x)].size <= nodes_[at(y)].size) {
      if (x < rows_ && flow_[at(x)] < step) {
        step = flow_[at(x)];
        leaving = x;
        on_row_side = true;
      }
      x = nodes_[at(x)].parent;
    } else {
      if (y >= rows_ && flow_[at(y)] < step) {
        step = flow_[at(y)];
        leaving = y;
        on_row_side = false;
      }
      y = nodes_[at(y)].parent;
    }
  }
  const int32_t join = x;
  const int32_t moved = nodes_[at(leaving)].size;
  // Flows; and sizes between the cut and the meeting point, which loses nothing.
  const int32_t gain_i = on_row_side ? 0 : moved, gain_j = on_row_side ? moved : 0;
  bool above = !on_row_side;
  for (int32_t z = i; z != join; z = nodes_[at(z)].parent) {
    z < rows_ ? flow_[at(z)] -= step : flow_[at(z)] += step;
    if (above) nodes_[at(z)].size += on_row_side ? -moved : gain_i;
    if (z == leaving) above = true;
  }
  above = on_row_side;
  for (int32_t z = j; z != join; z = nodes_[at(z)].parent) {
    z >= rows_ ? flow_[at(z)] -= step : flow_[at(z)] += step;
    if (above) nodes_[at(z)].size += on_row_side ? gain_j : -moved;
    if (z == leaving) above = true;
  }
  const int32_t top = on_row_side ? i : j, below = on_row_side ? j : i;
  hang(top, below, leaving, step, cost);
  // The moved part takes u + v = c on the new arc; or the rest moves the other way.
  const double rows_by = on_row_side ? reduced : -reduced;
  if (2 * moved <= static_cast<int32_t>(nodes_.size())) {
    shift_subtree(top, -1, rows_by);
  } else {
    shift_subtree(root_, top, -rows_by);
  }
}

const std::vector<int32_t>& BasisTree::order() {
  order_.clear();
  order_.push_back(root_);
  for (size_t k = 0; k < order_.size(); ++k) {
    for (int32_t c = nodes_[at(order_[k])].child; c >= 0; c = nodes_[at(c)].next) {
      order_.push_back(c);
    }
  }
  return order_;
}

void BasisTree::recompute() {
  potential_[at(root_)] = 0;
  for (const int32_t node : order()) {
    if (node == root_) continue;
    potential_[at(node)] = cost_[at(node)] - potential_[at(nodes_[at(node)].parent)];
  }
}

}  // namespace kexue::transport
