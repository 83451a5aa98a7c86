#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lowrank/column_row.hpp"

namespace kexue::lowrank {
namespace {

using std::ptrdiff_t;
using Sizes = std::span<const double>;

ptrdiff_t count_of(Sizes sizes) { return static_cast<ptrdiff_t>(sizes.size()); }

Terms largest_terms(Sizes sizes, ptrdiff_t wanted) {
  Terms terms;
  std::vector<ptrdiff_t> order(sizes.size());
  std::iota(order.begin(), order.end(), ptrdiff_t{0});
  const auto before = [&](ptrdiff_t i, ptrdiff_t j) {
    const double a = sizes[static_cast<std::size_t>(i)], b = sizes[static_cast<std::size_t>(j)];
    return a != b ? a > b : i < j;
  };
  if (wanted < count_of(sizes)) {
    std::nth_element(order.begin(), order.begin() + wanted, order.end(), before);
  }
  terms.indices.assign(order.begin(), order.begin() + wanted);
  std::sort(terms.indices.begin(), terms.indices.end());
  terms.weights.assign(terms.indices.size(), 1.0);
  return terms;
}

Terms independent_terms(Sizes sizes, ptrdiff_t wanted, Key key) {
  Terms terms;
  const ptrdiff_t l = count_of(sizes);
  std::vector<double> cumulated(sizes.begin(), sizes.end());
  if (std::all_of(sizes.begin(), sizes.end(), [](double s) { return s == 0; })) {
    std::fill(cumulated.begin(), cumulated.end(), 1.0);
  }
  const std::vector<double> masses = cumulated;
  std::partial_sum(cumulated.begin(), cumulated.end(), cumulated.begin());
  const double total = cumulated.back();
  // The first place where the whole is reached: a term of positive size.
  const auto last = std::lower_bound(cumulated.begin(), cumulated.end(), total);
  for (ptrdiff_t t = 0; t < wanted; ++t) {
    const double point = uniform(key, static_cast<std::uint64_t>(t)) * total;
    const auto place = std::min(std::upper_bound(cumulated.begin(), cumulated.end(), point), last);
    terms.indices.push_back(std::min<ptrdiff_t>(place - cumulated.begin(), l - 1));
  }
  std::sort(terms.indices.begin(), terms.indices.end());
  for (ptrdiff_t i : terms.indices) {
    const double mass = masses[static_cast<std::size_t>(i)];
    terms.weights.push_back(total / (static_cast<double>(wanted) * mass));
  }
  return terms;
}

Terms bernoulli_terms(Sizes pi, Key key) {
  Terms terms;
  for (ptrdiff_t i = 0; i < count_of(pi); ++i) {
    const double p = pi[static_cast<std::size_t>(i)];
    if (uniform(key, static_cast<std::uint64_t>(i)) < p) {
      terms.indices.push_back(i);
      terms.weights.push_back(1 / p);
    }
  }
  return terms;
}

// The terms with pi < 1, one from every interval [k, k + 1) of the cumulated pi.
std::vector<ptrdiff_t> one_per_interval(Sizes pi, ptrdiff_t intervals, Key key) {
  std::vector<ptrdiff_t> open, chosen;
  for (ptrdiff_t i = 0; i < count_of(pi); ++i) {
    const double p = pi[static_cast<std::size_t>(i)];
    if (p > 0 && p < 1) open.push_back(i);
  }
  std::size_t at = 0;      // the first term that ends beyond the interval's begin
  double end = 0;          // where it ends
  double before = 0;       // its part in the interval before
  bool was_taken = false;  // whether it was taken there
  if (!open.empty()) end = pi[static_cast<std::size_t>(open[0])];
  for (ptrdiff_t k = 0; k < intervals && at < open.size(); ++k) {
    const double begin = static_cast<double>(k);
    const double u = uniform(key, static_cast<std::uint64_t>(k));
    // The term that reaches in from before, with the rest of its probability.
    const double inside = before > 0 ? std::clamp(end - begin, 0.0, 1.0) : 0.0;
    const double again = was_taken ? 0.0 : std::min(1.0, inside / (1 - before));
    ptrdiff_t taken = -1;
    double point = begin + u;
    if (before > 0) {
      if (u < again) {
        taken = open[at];
      } else {
        point = begin + inside + (u - again) / (1 - again) * (1 - inside);
        if (++at < open.size()) end += pi[static_cast<std::size_t>(open[at])];
      }
    }
    while (taken < 0 && at < open.size()) {
      if (end > point) {
        taken = open[at];
      } else if (++at < open.size()) {
        end += pi[static_cast<std::size_t>(open[at])];
      }
    }
    // Rounding may let the last interval end early: its last term is the one.
    if (taken < 0 && !(was_taken && chosen.back() == open.back())) taken = open.back();
    if (taken >= 0) chosen.push_back(taken);
    // On to the term at the next interval's begin.
    while (at < open.size() && end <= begin + 1) {
      if (++at < open.size()) end += pi[static_cast<std::size_t>(open[at])];
    }
    if (at >= open.size()) break;
    before = std::clamp(pi[static_cast<std::size_t>(open[at])] - (end - begin - 1), 0.0, 1.0);
    was_taken = before > 0 && taken == open[at];
  }
  return chosen;
}

Terms systematic_terms(Sizes pi, ptrdiff_t wanted, Key key) {
  Terms terms;
  for (ptrdiff_t i = 0; i < count_of(pi); ++i) {
    if (pi[static_cast<std::size_t>(i)] >= 1) terms.indices.push_back(i);
  }
  const ptrdiff_t certain = static_cast<ptrdiff_t>(terms.indices.size());
  const auto drawn = one_per_interval(pi, wanted - certain, key);
  terms.indices.insert(terms.indices.end(), drawn.begin(), drawn.end());
  // Rounding of the cumulated sums by less than 1e-12 of an interval may leave out the last draw.
  for (ptrdiff_t i = count_of(pi); static_cast<ptrdiff_t>(terms.indices.size()) < wanted;) {
    --i;
    if (pi[static_cast<std::size_t>(i)] > 0 &&
        std::find(terms.indices.begin(), terms.indices.end(), i) == terms.indices.end()) {
      terms.indices.push_back(i);
    }
  }
  std::sort(terms.indices.begin(), terms.indices.end());
  for (ptrdiff_t i : terms.indices) terms.weights.push_back(1 / pi[static_cast<std::size_t>(i)]);
  return terms;
}

// ---- greedy deletion --------------------------------------------------------------------------

// Positions among `alive` of the `size` terms whose sum has the least squared norm.
struct LeastSum {
  MatrixView<const double> gram;
  const std::vector<ptrdiff_t>& alive;
  std::vector<std::size_t> current, best;
  double least = std::numeric_limits<double>::infinity();

  void search(std::size_t from, ptrdiff_t missing, double norm) {
    if (missing == 0) {
      if (norm < least) {
        least = norm;
        best = current;
      }
      return;
    }
    for (std::size_t p = from; p + static_cast<std::size_t>(missing) <= alive.size(); ++p) {
      double next = norm + gram(alive[p], alive[p]);
      for (std::size_t q : current) next += 2 * gram(alive[q], alive[p]);
      current.push_back(p);
      search(p + 1, missing - 1, next);
      current.pop_back();
    }
  }
};

// Rounds of pairs: every term remembers its best partner behind it.
class PairDeletion {
 public:
  explicit PairDeletion(MatrixView<const double> gram)
      : gram_(gram),
        is_alive_(static_cast<std::size_t>(gram.rows), 1),
        partner_(is_alive_.size(), -1),
        least_(is_alive_.size(), std::numeric_limits<double>::infinity()) {
    for (ptrdiff_t i = 0; i < gram.rows; ++i) find_partner(i);
  }

  void drop_pair() {
    const auto i = std::min_element(least_.begin(), least_.end()) - least_.begin();
    const ptrdiff_t j = partner_[static_cast<std::size_t>(i)];
    remove(i);
    remove(j);
    for (ptrdiff_t t = 0; t < gram_.rows; ++t) {
      const ptrdiff_t partner = partner_[static_cast<std::size_t>(t)];
      if (is_alive_[static_cast<std::size_t>(t)] && (partner == i || partner == j)) find_partner(t);
    }
  }

  std::vector<ptrdiff_t> alive() const {
    std::vector<ptrdiff_t> result;
    for (ptrdiff_t i = 0; i < gram_.rows; ++i) {
      if (is_alive_[static_cast<std::size_t>(i)]) result.push_back(i);
    }
    return result;
  }

 private:
  void remove(ptrdiff_t i) {
    is_alive_[static_cast<std::size_t>(i)] = 0;
    least_[static_cast<std::size_t>(i)] = std::numeric_limits<double>::infinity();
  }
  void find_partner(ptrdiff_t i) {
    double least = std::numeric_limits<double>::infinity();
    ptrdiff_t partner = -1;
    for (ptrdiff_t j = i + 1; j < gram_.rows; ++j) {
      if (!is_alive_[static_cast<std::size_t>(j)]) continue;
      const double norm = gram_(i, i) + gram_(j, j) + 2 * gram_(i, j);
      if (partner < 0 || norm < least) {
        least = norm;
        partner = j;
      }
    }
    least_[static_cast<std::size_t>(i)] = least;
    partner_[static_cast<std::size_t>(i)] = partner;
  }

  MatrixView<const double> gram_;
  std::vector<char> is_alive_;
  std::vector<ptrdiff_t> partner_;
  std::vector<double> least_;
};

}  // namespace

void inclusion_probabilities(Sizes sizes, ptrdiff_t wanted, std::span<double> pi) {
  const ptrdiff_t l = count_of(sizes);
  require(wanted >= 0 && wanted <= l, "more terms than there are");
  std::fill(pi.begin(), pi.end(), 0.0);
  const ptrdiff_t positive =
      std::count_if(sizes.begin(), sizes.end(), [](double s) { return s > 0; });
  if (wanted >= positive) {
    const double rest =
        positive < l ? static_cast<double>(wanted - positive) / static_cast<double>(l - positive)
                     : 0.0;
    for (std::size_t i = 0; i < pi.size(); ++i) pi[i] = sizes[i] > 0 ? 1.0 : rest;
    return;
  }
  // Terms that the present tau takes for certain leave more for the others: tau only grows.
  std::vector<std::size_t> open(sizes.size());
  std::iota(open.begin(), open.end(), std::size_t{0});
  ptrdiff_t left = wanted;
  while (left > 0) {
    double sum = 0;
    for (std::size_t i : open) sum += sizes[i];
    const double tau = static_cast<double>(left) / sum;
    std::size_t kept = 0;
    for (std::size_t i : open) {
      if (sizes[i] * tau >= 1) {
        pi[i] = 1;
        --left;
      } else {
        pi[i] = sizes[i] * tau;
        open[kept++] = i;
      }
    }
    if (kept == open.size()) return;
    open.resize(kept);
  }
  for (std::size_t i : open) pi[i] = 0;
}

void inclusion_probabilities(MatrixView<const double> sizes, ptrdiff_t wanted,
                             MatrixView<double> pi, int workers) {
  require(sizes.rows_contiguous(), "sizes must be contiguous rows");
  const auto length = static_cast<std::size_t>(sizes.cols);
  parallel_for(
      sizes.rows,
      [&](ptrdiff_t b, int) {
        inclusion_probabilities(Sizes{sizes.row(b), length}, wanted, {pi.row(b), length});
      },
      sizes.rows * sizes.cols < 20000 ? 1 : workers);
}

Terms choose_terms(Sizes sizes, ptrdiff_t wanted, Draw draw, Key key) {
  if (sizes.empty() || wanted == 0) return {};
  if (draw == Draw::largest) return largest_terms(sizes, wanted);
  if (draw == Draw::independent) return independent_terms(sizes, wanted, key);
  std::vector<double> pi(sizes.size());
  inclusion_probabilities(sizes, wanted, pi);
  return draw == Draw::bernoulli ? bernoulli_terms(pi, key) : systematic_terms(pi, wanted, key);
}

std::vector<Terms> choose_terms(MatrixView<const double> sizes, ptrdiff_t wanted, Draw draw,
                                Key key, int workers) {
  std::vector<Terms> terms(static_cast<std::size_t>(sizes.rows));
  parallel_for(
      sizes.rows,
      [&](ptrdiff_t b, int) {
        const Sizes row(sizes.row(b), static_cast<std::size_t>(sizes.cols));
        terms[static_cast<std::size_t>(b)] =
            choose_terms(row, wanted, draw, subkey(key, static_cast<std::uint64_t>(b)));
      },
      sizes.rows * sizes.cols < 20000 ? 1 : workers);
  return terms;
}

std::vector<ptrdiff_t> greedy_deletion(MatrixView<const double> gram, ptrdiff_t keep,
                                       ptrdiff_t tuple_size) {
  const ptrdiff_t rounds = (gram.rows - keep) / tuple_size;
  std::vector<ptrdiff_t> alive(static_cast<std::size_t>(gram.rows));
  std::iota(alive.begin(), alive.end(), ptrdiff_t{0});
  ptrdiff_t done = 0;
  if (tuple_size == 2 && rounds > 0) {
    PairDeletion pairs(gram);
    for (; done < rounds; ++done) {
      pairs.drop_pair();
      poll_interrupt();
    }
    alive = pairs.alive();
  }
  while (static_cast<ptrdiff_t>(alive.size()) > keep) {
    const ptrdiff_t excess = static_cast<ptrdiff_t>(alive.size()) - keep;
    LeastSum least{gram, alive, {}, {}};
    least.search(0, std::min(tuple_size, excess), 0);
    for (auto p = least.best.rbegin(); p != least.best.rend(); ++p) {
      alive.erase(alive.begin() + static_cast<ptrdiff_t>(*p));
    }
    poll_interrupt();
  }
  return alive;
}

void greedy_deletion(Batch<const double> grams, ptrdiff_t keep, ptrdiff_t tuple_size,
                     MatrixView<ptrdiff_t> kept, int workers) {
  const auto work = grams.count * grams.first.rows * grams.first.rows;
  parallel_for(
      grams.count,
      [&](ptrdiff_t b, int) {
        const auto terms = greedy_deletion(grams[b], keep, tuple_size);
        std::copy(terms.begin(), terms.end(), kept.row(b));
      },
      work < 20000 ? 1 : workers);
}

}  // namespace kexue::lowrank
