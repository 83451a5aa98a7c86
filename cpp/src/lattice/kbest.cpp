// The k best paths of a trellis: a Dag of what is possible in each sequence, and its enumeration.
#include <algorithm>
#include <vector>

#include "kexue/core/constants.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/best.hpp"
#include "messages.hpp"

namespace kexue::lattice {

using std::ptrdiff_t;

namespace {

// Node 1 + t S + s is state s at step t; node 0 the source, the last the sink.
Dag build(const Trellis<double>& trellis, const Factors& factors, ptrdiff_t sequence) {
  const ptrdiff_t n = trellis.states, length = trellis.lengths[sequence];
  std::vector<Index> indptr{0}, targets;
  std::vector<double> scores;
  auto add = [&](Index target, double score) {
    if (score == -kInf) return;
    targets.push_back(target);
    scores.push_back(score);
  };
  const double* first = trellis.emission(sequence, 0);
  for (ptrdiff_t s = 0; s < n; ++s) add(1 + s, trellis.start[s] + first[s]);
  indptr.push_back(static_cast<Index>(targets.size()));
  for (ptrdiff_t t = 0; t < length; ++t) {
    if ((t & 15) == 0) poll_interrupt();
    for (ptrdiff_t s = 0; s < n; ++s) {
      if (t + 1 == length) {
        add(1 + length * n, trellis.stop[s]);
      } else {
        const double* next = trellis.emission(sequence, t + 1);
        factors.targets(t, s,
                        [&](Index j, double a, Index) { add(1 + (t + 1) * n + j, a + next[j]); });
      }
      indptr.push_back(static_cast<Index>(targets.size()));
    }
  }
  indptr.push_back(static_cast<Index>(targets.size()));
  Dag dag = build_dag(indptr, targets, scores);
  // Edges are named by the state they lead to; the last edge of a path is dropped.
  for (Index& edge : dag.edge_id) edge = (targets[edge] - 1) % n;
  return dag;
}

void enumerate(const Dag& dag, ptrdiff_t k, ptrdiff_t steps, Index* states, double* scores) {
  BestPaths paths(dag);
  BestPath path;
  for (ptrdiff_t i = 0; i < k && paths.next(path); ++i) {
    scores[i] = path.score;
    if (!path.edges.empty())
      std::copy(path.edges.begin(), path.edges.end() - 1, states + i * steps);
  }
}

}  // namespace

void kbest(const Trellis<double>& trellis, ptrdiff_t k, Index* states, double* scores) {
  const Factors factors(trellis);
  std::fill(states, states + trellis.batch * k * trellis.steps, Index{-1});
  std::fill(scores, scores + trellis.batch * k, -kInf);
  parallel_for(
      trellis.batch,
      [&](ptrdiff_t sequence, int) {
        if (trellis.lengths[sequence] == 0) {
          scores[sequence * k] = 0;
          return;
        }
        const Dag dag = build(trellis, factors, sequence);
        if (dag.stuck >= 0) return;
        enumerate(dag, k, trellis.steps, states + sequence * k * trellis.steps,
                  scores + sequence * k);
      },
      trellis.workers);
}

}  // namespace kexue::lattice
