#include "kexue/lattice/unigram_counts.hpp"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "kexue/core/constants.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"

namespace kexue::lattice {

using std::ptrdiff_t;
using std::size_t;
using std::uint8_t;

namespace {

constexpr ptrdiff_t kBlocks = 16;

// Counts a text at a time into a block's own counts.
class Counter {
 public:
  Counter(const Unigram& model, PieceCounts& out) : model_(model), out_(out) {}

  // A copy of the text with margins; its segments.
  void open(std::span<const uint8_t> text) {
    const auto margin = static_cast<size_t>(model_.margin());
    padded_.assign(text.size() + 2 * margin, 0);
    std::copy(text.begin(), text.end(), padded_.begin() + margin);
    text_ = padded_.data() + margin;
    valid_ =
        model_.whole_characters() && first_invalid(text_, std::ssize(text)) == std::ssize(text);
    model_.segment(text_, std::ssize(text), valid_, {}, segments_);
  }

  bool expect(double multiplicity, const Weights& weights) {
    Index begin = 0;
    for (const Index end : segments_.ends()) {
      const uint8_t* text = text_ + begin;
      const Index size = end - begin;
      begin = end;
      if (!model_.sum(text, size, valid_, weights, sums_)) return false;
      out_.total += multiplicity * Unigram::log_partition(sums_, weights, size);
      place_.assign(static_cast<size_t>(size) + 1, 0.0);
      place_[0] = multiplicity;
      for (Index i = 0; i < size; ++i) {
        const double here = place_[static_cast<size_t>(i)];
        if (here == 0) continue;
        model_.edges(text, size, i, [&](Edge edge) {
          const double count = here * Unigram::chance(sums_, weights, i, edge);
          place_[static_cast<size_t>(i) + edge.length] += count;
          count_of(edge) += count;
        });
      }
    }
    return true;
  }

  bool best(double multiplicity) {
    Index begin = 0;
    for (const Index end : segments_.ends()) {
      const Index size = end - begin;
      const double score = model_.best(text_ + begin, size, valid_, best_);
      begin = end;
      if (score == -kInf) return false;
      out_.total += multiplicity * score;
      for (Index i = 0; i < size; i += best_.edge[static_cast<size_t>(i)].length) {
        count_of(best_.edge[static_cast<size_t>(i)]) += multiplicity;
      }
    }
    return true;
  }

 private:
  double& count_of(Edge edge) {
    const size_t unknown = out_.counts.size() - 1;
    return out_.counts[edge.piece < 0 ? unknown : static_cast<size_t>(edge.piece)];
  }

  const Unigram& model_;
  PieceCounts& out_;
  std::vector<uint8_t> padded_;
  const uint8_t* text_ = nullptr;
  bool valid_ = false;
  Segments segments_;
  std::vector<double> place_;
  Sums sums_;
  Best best_;
};

// The sum of parts that come in any order, added in theirs: a part waits until all before it are
// there, so that few are held and the sum does not depend on the number of workers. The memory of
// one that has been added is used again.
class OrderedSum {
 public:
  OrderedSum(ptrdiff_t n_pieces, ptrdiff_t n_parts)
      : size_(static_cast<size_t>(n_pieces) + 1), parts_(static_cast<size_t>(n_parts)) {}

  // An empty part.
  PieceCounts begin() {
    PieceCounts part;
    {
      const std::scoped_lock lock(mutex_);
      if (!spare_.empty()) {
        part.counts = std::move(spare_.back());
        spare_.pop_back();
      }
    }
    part.counts.assign(size_, 0.0);
    return part;
  }
  void put(ptrdiff_t number, PieceCounts&& part) {
    const std::scoped_lock lock(mutex_);
    parts_[static_cast<size_t>(number)] = std::move(part);
    for (; next_ < parts_.size() && !parts_[next_].counts.empty(); ++next_) {
      if (next_ == 0) {
        all_ = std::move(parts_[0]);
      } else {
        add(parts_[next_]);
        spare_.push_back(std::move(parts_[next_].counts));
      }
      parts_[next_].counts.clear();
    }
  }
  PieceCounts take() { return std::move(all_); }

 private:
  void add(const PieceCounts& part) {
    for (size_t i = 0; i < size_; ++i) all_.counts[i] += part.counts[i];
    all_.total += part.total;
    if (all_.pathless < 0) all_.pathless = part.pathless;
  }

  std::mutex mutex_;
  size_t size_;
  std::vector<PieceCounts> parts_;
  std::vector<std::vector<double>> spare_;
  size_t next_ = 0;
  PieceCounts all_;
};

template <class Count>
PieceCounts count(const Unigram& model, const Corpus& corpus, int workers, Count&& count_text) {
  require(!corpus.begin.empty() && corpus.begin.size() == corpus.multiplicity.size() + 1,
          "one multiplicity per text");
  require(corpus.begin.front() == 0 && corpus.begin.back() == std::ssize(corpus.text) &&
              std::is_sorted(corpus.begin.begin(), corpus.begin.end()),
          "texts must lie one after the other");
  const ptrdiff_t n_texts = std::ssize(corpus.multiplicity);
  const ptrdiff_t n_blocks = std::min(kBlocks, n_texts);
  // Blocks of about as many bytes: they take as long, and few parts wait for an earlier one.
  const auto first_text = [&](ptrdiff_t block) {
    if (block == n_blocks) return n_texts;
    const Index place = corpus.begin.back() / n_blocks * block;
    return std::lower_bound(corpus.begin.begin(), corpus.begin.end(), place) - corpus.begin.begin();
  };
  OrderedSum sum(model.n_pieces(), n_blocks);
  parallel_for(
      n_blocks,
      [&](ptrdiff_t block, int) {
        PieceCounts part = sum.begin();
        Counter counter(model, part);
        const ptrdiff_t end = first_text(block + 1);
        for (ptrdiff_t i = first_text(block); i < end; ++i) {
          if ((i & 255) == 0) poll_interrupt();
          const auto at = static_cast<size_t>(i);
          const auto begin = static_cast<size_t>(corpus.begin[at]);
          counter.open(
              corpus.text.subspan(begin, static_cast<size_t>(corpus.begin[at + 1]) - begin));
          const bool found = count_text(counter, corpus.multiplicity[at]);
          if (!found && part.pathless < 0) part.pathless = i;
        }
        sum.put(block, std::move(part));
      },
      workers);
  return n_blocks == 0 ? sum.begin() : sum.take();
}

}  // namespace

PieceCounts expected_counts(const Unigram& model, const Corpus& corpus, double alpha, int workers) {
  const Weights weights = model.weights(alpha);
  return count(model, corpus, workers, [&](Counter& counter, double multiplicity) {
    return counter.expect(multiplicity, weights);
  });
}

PieceCounts best_counts(const Unigram& model, const Corpus& corpus, int workers) {
  return count(model, corpus, workers,
               [](Counter& counter, double multiplicity) { return counter.best(multiplicity); });
}

}  // namespace kexue::lattice
