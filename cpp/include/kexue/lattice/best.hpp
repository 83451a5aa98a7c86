// The best paths of a Dag, in order of score.
//
// The first costs one backward sweep, O(nodes + edges). The k-th is found from the (k-1)-th by the
// recursive enumeration of Jimenez and Marzal (WAE 1999): each node keeps a heap of candidates
// "edge e, then the r-th best path from there", and only nodes along the previous path need a next
// one. O(edges + k length log degree) in all for k paths, without recursion on the stack; memory
// grows with the candidates that were looked at. Exact for any k; equal scores come in the order
// of the edges.
//
// References: V. M. Jimenez and A. Marzal, Computing the k shortest paths, WAE 1999; L. Huang and
// D. Chiang, Better k-best parsing, IWPT 2005.
#pragma once

#include <cstddef>
#include <vector>

#include "kexue/lattice/dag.hpp"

namespace kexue::lattice {

struct BestPath {
  std::vector<Index> edges;  // the caller's
  double score = 0;
};

BestPath best_path(const Dag& dag);

class BestPaths {
 public:
  // The Dag must outlive the enumeration.
  explicit BestPaths(const Dag& dag);

  // The next path; false when there is none.
  bool next(BestPath& path);

 private:
  struct Candidate {
    double score;
    Index edge;  // live
    Index rank;  // of the rest of the path, among those from the edge's target
  };
  struct Node {
    std::vector<Candidate> found;  // in order
    std::vector<Candidate> heap;
    bool started = false;
  };

  static bool worse(const Candidate& a, const Candidate& b);
  void start(Index v);
  bool extend(Index v);
  double score_of(Index v, Index rank) const;

  const Dag& dag_;
  std::vector<double> best_;
  std::vector<Node> nodes_;
  Index rank_ = 0;
};

}  // namespace kexue::lattice
