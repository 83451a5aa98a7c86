// Exact samples of paths, P(path) = exp(alpha score) / Z.
//
// With replacement: backward filtering, forward sampling. From each node one uniform number picks
// an edge by the chances of the backward sweep; sample j draws from subkey(key, first_index + j),
// number t for its t-th edge, so that it depends on nothing but the key, j and the lattice.
//
// Without replacement: the first k paths of a random order, drawn one after the other without
// putting back (Kool, van Hoof and Welling 2019): path i has the key log P_i + Gumbel noise and
// the largest keys win. The maximum over all paths below a prefix is known in advance, so prefixes
// are opened best first and no other path is ever looked at: O(k length degree) time and memory.
//
// References: Carter and Kohn, Biometrika 81 (1994); Scott, JASA 97 (2002); W. Kool, H. van Hoof
// and M. Welling, Stochastic beams and where to find them, ICML 2019.
#pragma once

#include <cstddef>
#include <vector>

#include "kexue/core/rng.hpp"
#include "kexue/lattice/dag.hpp"
#include "kexue/lattice/sweep.hpp"

namespace kexue::lattice {

// Path i is edges[offsets[i]] .. edges[offsets[i + 1] - 1], the caller's edges.
struct Paths {
  std::vector<Index> edges;
  std::vector<Index> offsets{0};
};

// workers = 0 means the library's setting.
Paths sample(const Dag& dag, const Sweep& sweep, std::ptrdiff_t size, Key key, int workers = 0);

struct WeightedPaths {
  Paths paths;
  std::vector<double> log_prob;
  // log of the chance that the path's key exceeds the (k+1)-th largest of all, which is given the
  // other keys: the inverses are Horvitz and Thompson's weights. 0 if there were no more paths.
  std::vector<double> log_inclusion;
};

WeightedPaths sample_without_replacement(const Dag& dag, const Sweep& sweep, std::ptrdiff_t size,
                                         Key key);

}  // namespace kexue::lattice
