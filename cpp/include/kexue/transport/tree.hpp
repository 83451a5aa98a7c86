// The basis of the transportation simplex: a spanning tree of rows and columns with its flows.
//
// Nodes 0 .. n-1 are rows, n .. n+m-1 columns; the arc of a node leads to its parent and joins a
// row to a column. Flows are exact: masses are integers (about 2^60 units in all), and to every
// row's mass one and to one column's mass n infinitesimal units are added (Orden 1956), counted
// apart. Then no basic flow is ever zero, every pivot lowers the perturbed cost, and degenerate
// problems end.
//
// A pivot costs O(cycle) for flows and links; potentials change on one side of the cut, and the
// smaller side is taken, since adding a constant to all u and subtracting it from all v changes
// nothing (Goldfarb and Hao 1990 keep subtree sizes for the same end).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kexue/core/index.hpp"

namespace kexue::transport {

// units + infinitesimal, ordered lexicographically
struct Mass {
  std::int64_t units;
  std::int64_t infinitesimal;
  friend bool operator<(const Mass& x, const Mass& y) {
    return x.units < y.units || (x.units == y.units && x.infinitesimal < y.infinitesimal);
  }
  Mass& operator+=(const Mass& x) {
    units += x.units;
    infinitesimal += x.infinitesimal;
    return *this;
  }
  Mass& operator-=(const Mass& x) {
    units -= x.units;
    infinitesimal -= x.infinitesimal;
    return *this;
  }
};

struct Arc {
  std::int32_t row, col;
  double cost;
};

// What rows send and columns take; the sums agree, infinitesimals too.
struct Masses {
  std::vector<Mass> rows, cols;
};

class BasisTree {
 public:
  // Of a spanning tree's arcs, whose flows follow from the masses and must be positive.
  BasisTree(const Masses& masses, const std::vector<Arc>& arcs);

  // The arc (row, col) of this cost, whose reduced cost is `reduced` < 0, enters.
  void pivot(std::ptrdiff_t row, std::ptrdiff_t col, double cost, double reduced);
  // Potentials afresh from the costs: forgets the rounding of updates. u[root] = 0 if a row.
  void recompute();

  const double* u() const { return potential_.data(); }
  const double* v() const { return potential_.data() + rows_; }
  // Nodes so that parents come before their children.
  const std::vector<std::int32_t>& order();
  // -1 for the root.
  std::int32_t parent(std::ptrdiff_t node) const { return nodes_[at(node)].parent; }
  double arc_cost(std::ptrdiff_t node) const { return cost_[at(node)]; }
  void set_arc_cost(std::ptrdiff_t node, double cost) { cost_[at(node)] = cost; }
  const Mass& flow(std::ptrdiff_t node) const { return flow_[at(node)]; }
  bool is_row(std::ptrdiff_t node) const { return node < rows_; }

 private:
  struct Node {
    std::int32_t parent, child, next, previous, size;
  };
  void detach(std::int32_t node);
  void attach(std::int32_t node, std::int32_t parent);
  void hang(std::int32_t top, std::int32_t below, std::int32_t leaving, Mass flow, double cost);
  void shift_subtree(std::int32_t top, std::int32_t skip, double rows_by);

  std::ptrdiff_t rows_;
  std::int32_t root_ = 0;
  std::vector<Node> nodes_;
  std::vector<double> potential_, cost_;
  std::vector<Mass> flow_;
  std::vector<std::int32_t> order_;
};

}  // namespace kexue::transport
