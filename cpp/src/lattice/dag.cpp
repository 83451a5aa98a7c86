#include "kexue/lattice/dag.hpp"

#include <algorithm>
#include <iterator>

#include "kexue/core/constants.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"

namespace kexue::lattice {

using std::ptrdiff_t;

namespace {

constexpr Index kPollMask = (1 << 16) - 1;

struct Input {
  std::span<const Index> indptr, targets;
  std::span<const double> scores;
  std::span<const Index> order;
  Index n_nodes;

  template <class Visit>
  void for_edges_of(Index v, Visit&& visit) const {
    for (Index i = indptr[v]; i < indptr[v + 1]; ++i) {
      const Index e = order.empty() ? i : order[i];
      if (scores[e] != -kInf) visit(e, targets[e]);
    }
  }
};

void check(const Input& in) {
  require(in.n_nodes >= 1, "a lattice needs a node");
  require(in.targets.size() == in.scores.size(), "one score per edge");
  require(in.order.empty() || in.order.size() == in.targets.size(), "order must list the edges");
  for (Index e : in.order) {
    require(e >= 0 && e < static_cast<Index>(in.targets.size()), "order must list the edges");
  }
  require(in.indptr[0] == 0 && in.indptr[in.n_nodes] == static_cast<Index>(in.targets.size()),
          "indptr must run from 0 to the number of edges");
  for (Index v = 0; v < in.n_nodes; ++v) {
    require(in.indptr[v] <= in.indptr[v + 1], "indptr must not decrease");
  }
  for (std::size_t e = 0; e < in.targets.size(); ++e) {
    require(in.targets[e] >= 0 && in.targets[e] < in.n_nodes, "targets must be nodes");
    require(in.scores[e] < kInf, "scores below infinity");
  }
}

bool is_ordered(const Input& in) {
  bool ordered = true;
  for (Index v = 0; v < in.n_nodes && ordered; ++v) {
    if ((v & kPollMask) == 0) poll_interrupt();
    in.for_edges_of(v, [&](Index, Index w) { ordered = ordered && w > v; });
  }
  return ordered;
}

// The order of A. B. Kahn; shorter than n_nodes where there is a cycle. `waiting` is left positive
// at the nodes that found no place.
std::vector<Index> sort_topologically(const Input& in, std::vector<Index>& waiting) {
  waiting.assign(static_cast<std::size_t>(in.n_nodes), 0);
  for (Index v = 0; v < in.n_nodes; ++v) {
    if ((v & kPollMask) == 0) poll_interrupt();
    in.for_edges_of(v, [&](Index, Index w) { ++waiting[w]; });
  }
  std::vector<Index> order;
  order.reserve(static_cast<std::size_t>(in.n_nodes));
  for (Index v = 0; v < in.n_nodes; ++v) {
    if (waiting[v] == 0) order.push_back(v);
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    if ((i & kPollMask) == 0) poll_interrupt();
    in.for_edges_of(order[i], [&](Index, Index w) {
      if (--waiting[w] == 0) order.push_back(w);
    });
  }
  return order;
}

// Each waiting node has a waiting predecessor: following those must come round.
std::vector<Index> find_cycle(const Input& in, const std::vector<Index>& waiting) {
  std::vector<Index> before(waiting.size(), -1), seen(waiting.size(), -1), path;
  Index at = -1;
  for (Index v = 0; v < in.n_nodes; ++v) {
    if (waiting[v] == 0) continue;
    at = v;
    in.for_edges_of(v, [&](Index, Index w) {
      if (waiting[w] > 0 && before[w] < 0) before[w] = v;
    });
  }
  for (; seen[at] < 0; at = before[at]) {
    seen[at] = static_cast<Index>(path.size());
    path.push_back(at);
  }
  std::vector<Index> cycle(path.begin() + seen[at], path.end());
  std::reverse(cycle.begin(), cycle.end());
  std::rotate(cycle.begin(), std::min_element(cycle.begin(), cycle.end()), cycle.end());
  return cycle;
}

// Live edges of the nodes in `kept`, which is in topological order.
void collect(const Input& in, const std::vector<Index>& kept, Dag& dag) {
  std::vector<Index> number(static_cast<std::size_t>(in.n_nodes), -1);
  for (std::size_t i = 0; i < kept.size(); ++i) number[kept[i]] = static_cast<Index>(i);
  dag.node_id = kept;
  dag.live.assign(in.targets.size(), -1);
  dag.first.push_back(0);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if ((i & kPollMask) == 0) poll_interrupt();
    in.for_edges_of(kept[i], [&](Index e, Index w) {
      if (number[w] < 0) return;
      dag.live[e] = static_cast<Index>(dag.to.size());
      dag.edge_id.push_back(e);
      dag.from.push_back(static_cast<Index>(i));
      dag.to.push_back(number[w]);
      dag.score.push_back(in.scores[e]);
    });
    dag.first.push_back(static_cast<Index>(dag.to.size()));
  }
}

}  // namespace

Dag build_dag(std::span<const Index> indptr, std::span<const Index> targets,
              std::span<const double> scores, std::span<const Index> order_of_edges) {
  const Input in{indptr, targets, scores, order_of_edges, static_cast<Index>(indptr.size()) - 1};
  check(in);
  Dag dag;
  dag.n_caller_nodes = in.n_nodes;
  const auto n = static_cast<std::size_t>(in.n_nodes);
  std::vector<Index> order(n);
  if (is_ordered(in)) {
    for (std::size_t i = 0; i < n; ++i) order[i] = static_cast<Index>(i);
  } else {
    std::vector<Index> waiting;
    order = sort_topologically(in, waiting);
    if (order.size() < n) {
      dag.cycle = find_cycle(in, waiting);
      return dag;
    }
  }
  std::vector<char> reached(n, 0), finishes(n, 0);
  reached[0] = 1;
  finishes[n - 1] = 1;
  Index last = 0;
  for (Index v : order) {
    if (reached[v] == 0) continue;
    last = v;
    in.for_edges_of(v, [&](Index, Index w) { reached[w] = 1; });
  }
  if (reached[n - 1] == 0) {
    dag.stuck = last;
    return dag;
  }
  for (std::size_t i = n; i-- > 0;) {
    const Index v = order[i];
    in.for_edges_of(v, [&](Index, Index w) { finishes[v] |= finishes[w]; });
  }
  std::vector<Index> kept;
  std::copy_if(order.begin(), order.end(), std::back_inserter(kept),
               [&](Index v) { return reached[v] != 0 && finishes[v] != 0; });
  collect(in, kept, dag);
  return dag;
}

std::vector<std::uint64_t> count_paths(const Dag& dag) {
  using Words = std::vector<std::uint64_t>;
  const ptrdiff_t n = dag.n_nodes();
  // A count is forgotten after the first node, in topological order, that leads to it.
  std::vector<Index> first_use(static_cast<std::size_t>(n), -1);
  for (ptrdiff_t e = dag.n_edges(); e-- > 0;) first_use[dag.to[e]] = dag.from[e];
  std::vector<Words> count(static_cast<std::size_t>(n));
  count[n - 1] = {1};
  for (ptrdiff_t v = n - 1; v-- > 0;) {
    if ((v & 63) == 0) poll_interrupt();
    Words& sum = count[v];
    for (Index e = dag.first[v]; e < dag.first[v + 1]; ++e) {
      const Words& term = count[dag.to[e]];
      if (sum.size() < term.size()) sum.resize(term.size(), 0);
      std::uint64_t carry = 0;
      for (std::size_t i = 0; i < sum.size() && (i < term.size() || carry != 0); ++i) {
        const std::uint64_t addend = i < term.size() ? term[i] : 0;
        const std::uint64_t partial = sum[i] + addend;
        sum[i] = partial + carry;
        carry = static_cast<std::uint64_t>(partial < addend) |
                static_cast<std::uint64_t>(sum[i] < partial);
      }
      if (carry != 0) sum.push_back(carry);
    }
    for (Index e = dag.first[v]; e < dag.first[v + 1]; ++e) {
      if (first_use[dag.to[e]] == v) Words().swap(count[dag.to[e]]);
    }
  }
  return count[0];
}

std::vector<Index> cut_vertices(const Dag& dag) {
  std::vector<Index> cuts;
  Index farthest = 0;  // the last node that an edge from an earlier node leads to
  for (Index v = 0; v < dag.n_nodes(); ++v) {
    if ((v & kPollMask) == 0) poll_interrupt();
    if (farthest <= v) cuts.push_back(dag.node_id[v]);
    for (Index e = dag.first[v]; e < dag.first[v + 1]; ++e) {
      farthest = std::max(farthest, dag.to[e]);
    }
  }
  return cuts;
}

}  // namespace kexue::lattice
