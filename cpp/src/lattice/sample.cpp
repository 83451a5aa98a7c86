#include "kexue/lattice/sample.hpp"

#include <algorithm>
#include <cmath>
#include <queue>
#include <utility>

#include "kexue/core/constants.hpp"
#include "kexue/core/pool.hpp"
#include "uniforms.hpp"

namespace kexue::lattice {

using std::ptrdiff_t;

namespace {

// Partial sums of the chances at each node; 1 from the last edge that has any chance, so that a
// search for the first sum above u < 1 finds an edge of positive chance.
std::vector<double> cumulate(const Dag& dag, const Sweep& sweep) {
  std::vector<double> sums(sweep.chance);
  for (Index v = 0; v + 1 < dag.n_nodes(); ++v) {
    Index last = dag.first[v];
    double sum = 0;
    for (Index e = dag.first[v]; e < dag.first[v + 1]; ++e) {
      sum += sweep.chance[e];
      sums[e] = std::min(sum, 1.0);
      if (sweep.chance[e] > 0) last = e;
    }
    std::fill(sums.begin() + last, sums.begin() + dag.first[v + 1], 1.0);
  }
  return sums;
}

constexpr Index kShortList = 16;

void draw_path(const Dag& dag, const std::vector<double>& sums, Key key, std::vector<Index>& out) {
  Uniforms uniforms(key);
  const Index sink = dag.n_nodes() - 1;
  for (Index v = 0; v < sink;) {
    const Index begin = dag.first[v], end = dag.first[v + 1];
    Index e = begin;
    if (end - begin > 1) {
      const double u = uniforms.next();
      if (end - begin <= kShortList) {
        while (sums[e] <= u) ++e;
      } else {
        e = std::upper_bound(sums.begin() + begin, sums.begin() + end, u) - sums.begin();
      }
    }
    out.push_back(dag.edge_id[e]);
    v = dag.to[e];
  }
}

}  // namespace

Paths sample(const Dag& dag, const Sweep& sweep, ptrdiff_t size, Key key, int workers) {
  const std::vector<double> sums = cumulate(dag, sweep);
  // About 2^14 edges of work, at least one path.
  const ptrdiff_t per_chunk =
      std::max<ptrdiff_t>(1, (1 << 14) / std::max<ptrdiff_t>(1, dag.n_nodes()));
  const ptrdiff_t n_chunks = (size + per_chunk - 1) / per_chunk;
  std::vector<Paths> parts(static_cast<std::size_t>(n_chunks));
  parallel_for(
      n_chunks,
      [&](ptrdiff_t chunk, int) {
        Paths& part = parts[static_cast<std::size_t>(chunk)];
        const ptrdiff_t end = std::min(size, (chunk + 1) * per_chunk);
        for (ptrdiff_t j = chunk * per_chunk; j < end; ++j) {
          draw_path(dag, sums, subkey(key, static_cast<std::uint64_t>(j)), part.edges);
          part.offsets.push_back(static_cast<Index>(part.edges.size()));
        }
      },
      workers);
  Paths all;
  all.offsets.reserve(static_cast<std::size_t>(size) + 1);
  std::size_t total = 0;
  for (const Paths& part : parts) total += part.edges.size();
  all.edges.reserve(total);
  for (Paths& part : parts) {
    const auto base = static_cast<Index>(all.edges.size());
    for (std::size_t i = 1; i < part.offsets.size(); ++i) {
      all.offsets.push_back(base + part.offsets[i]);
    }
    all.edges.insert(all.edges.end(), part.edges.begin(), part.edges.end());
    part = Paths{};
  }
  return all;
}

namespace {

// A path from the source to `node`, as its last edge and the prefix before it.
struct Prefix {
  double key;       // the largest key of all paths that begin so
  double log_prob;  // of all of them together
  Index node, edge, parent;
};

// A standard Gumbel number. A uniform 0 stands for the interval around it.
double gumbel(double u) { return -std::log(-std::log(u > 0 ? u : 0x1p-54)); }

// log(1 - exp(x)) for x <= 0.
double log1mexp(double x) {
  return x > -0.693 ? std::log(-std::expm1(x)) : std::log1p(-std::exp(x));
}

// The key of a child among siblings whose largest free key is `most`, given that the largest is
// `target` (Kool et al., appendix B.3).
double condition(double free, double most, double target) {
  if (free == most) return target;
  const double v = target - free + log1mexp(free - most);
  return target - std::max(0.0, v) - std::log1p(std::exp(-std::abs(v)));
}

class Opener {
 public:
  Opener(const Dag& dag, const Sweep& sweep, Key key) : dag_(dag), sweep_(sweep), uniforms_(key) {
    add({gumbel(uniforms_.next()), 0, 0, -1, -1});
  }

  // The number of the complete path with the next largest key, -1 if there is none.
  Index next() {
    while (!queue_.empty()) {
      const Index i = queue_.top().second;
      queue_.pop();
      if (prefixes_[i].node + 1 == dag_.n_nodes()) return i;
      open(i);
    }
    return -1;
  }
  const Prefix& operator[](Index i) const { return prefixes_[i]; }

 private:
  void add(const Prefix& prefix) {
    queue_.emplace(prefix.key, static_cast<Index>(prefixes_.size()));
    prefixes_.push_back(prefix);
  }

  void open(Index i) {
    if ((++opened_ & 4095) == 0) poll_interrupt();
    const Prefix prefix = prefixes_[i];
    const Index begin = dag_.first[prefix.node], end = dag_.first[prefix.node + 1];
    log_prob_.clear();
    free_.clear();
    double most = -kInf;
    for (Index e = begin; e < end; ++e) {
      log_prob_.push_back(prefix.log_prob + log_chance(dag_, sweep_, e));
      free_.push_back(log_prob_.back() + (end - begin > 1 ? gumbel(uniforms_.next()) : 0));
      most = std::max(most, free_.back());
    }
    for (Index e = begin; e < end; ++e) {
      const auto j = static_cast<std::size_t>(e - begin);
      add({condition(free_[j], most, prefix.key), log_prob_[j], dag_.to[e], e, i});
    }
  }

  const Dag& dag_;
  const Sweep& sweep_;
  Uniforms uniforms_;
  std::vector<Prefix> prefixes_;
  std::priority_queue<std::pair<double, Index>> queue_;
  std::vector<double> log_prob_, free_;
  std::uint64_t opened_ = 0;
};

}  // namespace

WeightedPaths sample_without_replacement(const Dag& dag, const Sweep& sweep, ptrdiff_t size,
                                         Key key) {
  Opener opener(dag, sweep, key);
  WeightedPaths result;
  std::vector<double> keys;
  double threshold = -kInf;
  for (ptrdiff_t k = 0; k <= size; ++k) {
    const Index found = opener.next();
    if (found < 0) break;
    if (k == size) {
      threshold = opener[found].key;
      break;
    }
    result.log_prob.push_back(opener[found].log_prob);
    std::vector<Index>& edges = result.paths.edges;
    const auto begin = static_cast<ptrdiff_t>(edges.size());
    for (Index i = found; opener[i].parent >= 0; i = opener[i].parent) {
      edges.push_back(dag.edge_id[opener[i].edge]);
    }
    std::reverse(edges.begin() + begin, edges.end());
    result.paths.offsets.push_back(static_cast<Index>(edges.size()));
  }
  // P(key > threshold) = 1 - exp(-exp(log P - threshold)), which is close to the inner exponential
  // where that is small.
  for (double log_prob : result.log_prob) {
    const double margin = log_prob - threshold;
    result.log_inclusion.push_back(margin < -40 ? margin : log1mexp(-std::exp(margin)));
  }
  return result;
}

}  // namespace kexue::lattice
