#include "kexue/lattice/best.hpp"

#include <algorithm>

#include "kexue/core/constants.hpp"
#include "kexue/core/pool.hpp"

namespace kexue::lattice {

namespace {

constexpr Index kPollMask = (1 << 16) - 1;

// The best score from each node to the sink.
std::vector<double> best_scores(const Dag& dag) {
  std::vector<double> best(static_cast<std::size_t>(dag.n_nodes()), 0);
  for (Index v = dag.n_nodes() - 1; v-- > 0;) {
    if ((v & kPollMask) == 0) poll_interrupt();
    double most = -kInf;
    for (Index e = dag.first[v]; e < dag.first[v + 1]; ++e) {
      most = std::max(most, dag.score[e] + best[dag.to[e]]);
    }
    best[v] = most;
  }
  return best;
}

// The first edge that attains the best score: the same sum as in the sweep, so equal to the bit.
Index best_edge(const Dag& dag, const std::vector<double>& best, Index v) {
  Index e = dag.first[v];
  while (dag.score[e] + best[dag.to[e]] != best[v]) ++e;
  return e;
}

}  // namespace

BestPath best_path(const Dag& dag) {
  const std::vector<double> best = best_scores(dag);
  BestPath path;
  path.score = best[0];
  for (Index v = 0; v + 1 < dag.n_nodes();) {
    const Index e = best_edge(dag, best, v);
    path.edges.push_back(dag.edge_id[e]);
    v = dag.to[e];
  }
  return path;
}

BestPaths::BestPaths(const Dag& dag)
    : dag_(dag), best_(best_scores(dag)), nodes_(static_cast<std::size_t>(dag.n_nodes())) {}

bool BestPaths::worse(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score < b.score;
  return a.edge != b.edge ? a.edge > b.edge : a.rank > b.rank;
}

// Rank 0 comes from the sweep; the heap holds the best path over every other edge.
void BestPaths::start(Index v) {
  Node& node = nodes_[v];
  node.started = true;
  if (v + 1 == dag_.n_nodes()) return;
  const Index best = best_edge(dag_, best_, v);
  node.found.push_back({best_[v], best, 0});
  for (Index e = dag_.first[v]; e < dag_.first[v + 1]; ++e) {
    if (e != best) node.heap.push_back({dag_.score[e] + best_[dag_.to[e]], e, 0});
  }
  std::make_heap(node.heap.begin(), node.heap.end(), worse);
}

double BestPaths::score_of(Index v, Index rank) const {
  return rank == 0 ? best_[v] : nodes_[v].found[rank].score;
}

// Finds one more path from v: down along the last one until a node that has its next path already
// (or the sink, which has none), then up again, offering each new path to the node before.
bool BestPaths::extend(Index v) {
  std::vector<Index> stack;
  for (Index at = v;;) {
    if (!nodes_[at].started) start(at);
    stack.push_back(at);
    if (at + 1 == dag_.n_nodes()) break;
    const Candidate last = nodes_[at].found.back();
    at = dag_.to[last.edge];
    if (static_cast<Index>(nodes_[at].found.size()) > last.rank + 1) break;
  }
  bool grown = false;
  for (; !stack.empty(); stack.pop_back()) {
    const Index at = stack.back();
    Node& node = nodes_[at];
    grown = false;
    if (at + 1 == dag_.n_nodes()) continue;
    const Candidate last = node.found.back();
    const Index rest = dag_.to[last.edge];
    if (static_cast<Index>(nodes_[rest].found.size()) > last.rank + 1) {
      const double score = dag_.score[last.edge] + score_of(rest, last.rank + 1);
      node.heap.push_back({score, last.edge, last.rank + 1});
      std::push_heap(node.heap.begin(), node.heap.end(), worse);
    }
    if (!node.heap.empty()) {
      std::pop_heap(node.heap.begin(), node.heap.end(), worse);
      node.found.push_back(node.heap.back());
      node.heap.pop_back();
      grown = true;
    }
  }
  return grown;
}

bool BestPaths::next(BestPath& path) {
  poll_interrupt();
  if (rank_ < 0) return false;
  if (dag_.n_nodes() == 1) {
    rank_ = -1;
    path = {};
    return true;
  }
  if (!nodes_[0].started) {
    start(0);
  } else if (!extend(0)) {
    rank_ = -1;
    return false;
  }
  path.score = score_of(0, rank_);
  path.edges.clear();
  for (Index v = 0, rank = rank_++; v + 1 < dag_.n_nodes();) {
    const Node& node = nodes_[v];
    // A node never started is on its best path.
    const Index e = node.started ? node.found[rank].edge : best_edge(dag_, best_, v);
    rank = node.started ? node.found[rank].rank : 0;
    path.edges.push_back(dag_.edge_id[e]);
    v = dag_.to[e];
  }
  return true;
}

}  // namespace kexue::lattice
