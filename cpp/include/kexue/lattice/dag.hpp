// A directed acyclic graph between a source and a sink, ready for sweeps.
//
// Every path from the source to the sink has the score sum_e s_e. Building keeps what lies on such
// a path and nothing else: edges of score -inf, dead ends and unreachable nodes are dropped, nodes
// are renumbered in topological order, so that every sweep below is one loop over contiguous
// memory. Within a node edges keep the caller's order, which is the order that settles ties.
//
// O(nodes + edges) time and memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace kexue::lattice {

using Index = std::int64_t;

struct Dag {
  // The live nodes 0 .. n - 1 in topological order: 0 is the source, n - 1 the sink.
  std::vector<Index> first;  // n + 1: edges of node v are first[v] .. first[v + 1] - 1
  std::vector<Index> to;     // live target of each live edge
  std::vector<Index> from;   // live source of each live edge
  std::vector<double> score;
  std::vector<Index> node_id;  // the caller's number of each live node
  std::vector<Index> edge_id;  // the caller's number of each live edge
  std::vector<Index> live;     // live number of each edge of the caller's, -1 if dropped
  Index n_caller_nodes = 0;
  // What went wrong, empty and -1 when nothing did: the caller's nodes along a cycle (its first
  // node once), or the last node in topological order that the source reaches.
  std::vector<Index> cycle;
  Index stuck = -1;

  std::ptrdiff_t n_nodes() const { return static_cast<std::ptrdiff_t>(node_id.size()); }
  std::ptrdiff_t n_edges() const { return static_cast<std::ptrdiff_t>(to.size()); }
};

// indptr (n_nodes + 1, from 0, not decreasing), targets in [0, n_nodes), scores without NaN or
// +inf: std::invalid_argument otherwise. Edge i of the CSR rows is edge order[i] of targets and
// scores, or edge i if `order` is empty. Node 0 is the source, node n_nodes - 1 the sink.
Dag build_dag(std::span<const Index> indptr, std::span<const Index> targets,
              std::span<const double> scores, std::span<const Index> order = {});

// The number of source-sink paths, little-endian words of 64 bits; O(edges * words) time.
std::vector<std::uint64_t> count_paths(const Dag& dag);

// The caller's numbers of the nodes that every source-sink path visits, in path order.
std::vector<Index> cut_vertices(const Dag& dag);

}  // namespace kexue::lattice
