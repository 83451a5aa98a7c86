// The k best segmentations of a text. Each segment's k best come from lists of the k best from each
// of its places, merged from the right to the left; the text's come from the segments', whose
// scores add up: of the sums of two sorted lists only pairs (i, j) with (i + 1)(j + 1) <= k can be
// among the k best, and most segments cannot contribute more than their best at all.
#include <algorithm>
#include <limits>
#include <span>
#include <vector>

#include "caches.hpp"
#include "emit.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/best.hpp"
#include "kexue/lattice/tokenizer.hpp"

namespace kexue::lattice {

using std::int32_t;
using std::ptrdiff_t;
using std::size_t;
using std::uint32_t;
using std::uint8_t;

namespace {

// The r-th best way on from a place: an edge, then the rank-th best from its end.
struct Way {
  double score;
  Edge edge;
  uint32_t rank;
};

class SegmentBest {
 public:
  explicit SegmentBest(const Unigram& model) : model_(model) {}

  // False if there is no path.
  bool find(const uint8_t* text, ptrdiff_t size, ptrdiff_t k) {
    first_.assign(static_cast<size_t>(size) + 2, 0);
    ways_.clear();
    // Places from the right to the left: those of place i are first_[i + 1] .. first_[i] - 1.
    ways_.push_back({0, {-1, 0}, 0});
    first_[static_cast<size_t>(size)] = 1;
    for (ptrdiff_t i = size - 1; i >= 0; --i) {
      if ((i & 0xFFF) == 0) poll_interrupt();
      heads_.clear();
      model_.edges(text, size, i, [&](Edge edge) {
        const size_t end = static_cast<size_t>(i) + edge.length;
        if (first_[end] > first_[end + 1]) heads_.push_back({edge, end, 0});
      });
      merge(k);
      first_[static_cast<size_t>(i)] = ways_.size();
    }
    n_ = static_cast<ptrdiff_t>(first_[0] - first_[1]);
    return n_ > 0;
  }

  ptrdiff_t count() const { return n_; }
  double score(ptrdiff_t r) const { return way(0, static_cast<uint32_t>(r)).score; }

  int32_t* put(ptrdiff_t r, const uint8_t* text, ptrdiff_t size, const Emitter& emit,
               int32_t* to) const {
    auto rank = static_cast<uint32_t>(r);
    for (ptrdiff_t i = 0; i < size;) {
      const Way& here = way(i, rank);
      to = emit.put(here.edge, text + i, to);
      i += here.edge.length;
      rank = here.rank;
    }
    return to;
  }

 private:
  struct Head {
    Edge edge;
    size_t end;
    uint32_t rank;
  };

  const Way& way(ptrdiff_t i, uint32_t rank) const {
    return ways_[first_[static_cast<size_t>(i) + 1] + rank];
  }

  // The k best of the heads' lists; of equal ones the longer edge, as in the best path.
  void merge(ptrdiff_t k) {
    for (ptrdiff_t r = 0; r < k && !heads_.empty(); ++r) {
      size_t best = 0;
      double most = -std::numeric_limits<double>::infinity();
      for (size_t h = 0; h < heads_.size(); ++h) {
        const Head& head = heads_[h];
        const double score = model_.edge_score(head.edge.piece) +
                             way(static_cast<ptrdiff_t>(head.end), head.rank).score;
        const bool prefer = head.edge.piece >= 0 ? score >= most : score > most;
        if (prefer) {
          most = score;
          best = h;
        }
      }
      Head& head = heads_[best];
      ways_.push_back({most, head.edge, head.rank});
      if (first_[head.end + 1] + ++head.rank == first_[head.end]) {
        heads_.erase(heads_.begin() + static_cast<ptrdiff_t>(best));
      }
    }
  }

  const Unigram& model_;
  std::vector<size_t> first_;
  std::vector<Way> ways_;
  std::vector<Head> heads_;
  ptrdiff_t n_ = 0;
};

// Of one segment: where its alternatives lie.
struct Alternatives {
  const WordLists* lists;
  NBestWord word;

  double score(size_t a) const { return lists->score[word.first + a]; }
  std::span<const int32_t> ids(size_t a) const {
    const size_t i = word.first + a, begin = i == 0 ? 0 : lists->end[i - 1];
    return std::span(lists->ids).subspan(begin, lists->end[i] - begin);
  }
};

// How the best sums up to a segment came about: from which of the sums before, by which of the
// segment's alternatives.
struct Step {
  size_t segment;
  std::vector<uint32_t> before, alternative;
};

struct NBestScratch {
  NBestScratch(const Unigram& model, CachePool<NBestWords>& pool) : words(pool), segment(model) {}
  CachePool<NBestWords>::Loan words;
  Line line;
  SegmentBest segment;
  Word group[kGroup];
  WordLists loose;  // of the open line's segments that are not remembered
  std::vector<Alternatives> alternatives;
  std::vector<Step> steps;
  std::vector<double> sums;  // of the k best, relative to the best
  struct Sum {
    double value;
    uint32_t before, alternative;
  };
  std::vector<Sum> candidates;
  std::vector<uint32_t> chosen;
};

// Beyond this a segment's lists would be large: it is enumerated lazily.
constexpr ptrdiff_t kMostWays = 1 << 21;

class TextBest {
 public:
  TextBest(const Unigram& model, NBestScratch& scratch, ptrdiff_t k)
      : model_(model), scratch_(scratch), k_(k) {}

  // The rows of the open line; false if it has no path.
  bool put(Tokens& out) {
    if (!find_alternatives()) return false;
    add_up();
    const size_t n_rows = scratch_.sums.size();
    for (size_t r = 0; r < n_rows; ++r) {
      put_row(r, out);
      out.scores.push_back(best_ + scratch_.sums[r]);
    }
    out.counts.push_back(static_cast<Index>(n_rows));
    return true;
  }

 private:
  bool find_alternatives() {
    const Line& line = scratch_.line;
    NBestWords& words = *scratch_.words;
    if (words.full()) words.forget();
    scratch_.loose.clear();
    scratch_.alternatives.clear();
    Index begin = 0;
    for (size_t s = 0; s < line.ends().size();) {
      words.table.make_room();
      const size_t n = look_ahead(words.table, line.text(), line.ends(), s, begin, scratch_.group);
      for (const Word& word : std::span(scratch_.group, n)) {
        if (!find(word, words)) return false;
      }
      s += n;
      begin = line.ends()[s - 1];
    }
    return true;
  }

  bool find(const Word& word, NBestWords& words) {
    const bool is_short = word.size <= kLongestWord && k_ <= NBestWords::kMostRows;
    if (is_short) {
      const NBestWord* known = words.table.find(word.key, word.size, word.place);
      if (known != nullptr) {
        scratch_.alternatives.push_back({&words.lists, *known});
        return true;
      }
    }
    const bool remembers = is_short && !words.full();
    WordLists& lists = remembers ? words.lists : scratch_.loose;
    const size_t first = lists.score.size();
    const ptrdiff_t rows = remembers ? NBestWords::kMostRows : k_;
    if (!list(word, rows, lists)) return false;
    const NBestWord found{static_cast<uint32_t>(first),
                          static_cast<uint32_t>(lists.score.size() - first)};
    scratch_.alternatives.push_back({&lists, found});
    if (remembers) words.table.insert(word.key, word.size, word.place, found);
    return true;
  }

  // Appends the best alternatives of a segment to the lists.
  bool list(const Word& word, ptrdiff_t rows, WordLists& lists) {
    row_.clear();
    if (word.size > kMostWays / rows) {
      return lattice::best_of_segment(model_, word.text, word.size, rows, lists);
    }
    SegmentBest& segment = scratch_.segment;
    if (!segment.find(word.text, word.size, rows)) return false;
    for (ptrdiff_t r = 0; r < segment.count(); ++r) {
      row_.clear();
      const Emitter emit(model_, row_);
      int32_t* const to = row_.room(3 * word.size);
      lists.add(segment.score(r), to, segment.put(r, word.text, word.size, emit, to));
    }
    return true;
  }

  void add_up() {
    std::vector<double>& sums = scratch_.sums;
    sums.assign(1, 0.0);
    scratch_.steps.clear();
    best_ = 0;
    const auto k = static_cast<size_t>(k_);
    for (size_t s = 0; s < scratch_.alternatives.size(); ++s) {
      const Alternatives& more = scratch_.alternatives[s];
      const double top = more.score(0);
      best_ += top;
      const bool full = sums.size() == k;
      if (more.word.n == 1 || (full && more.score(1) - top <= sums.back())) continue;
      std::vector<NBestScratch::Sum>& candidates = scratch_.candidates;
      candidates.clear();
      for (size_t i = 0; i < sums.size(); ++i) {
        for (size_t j = 0; j < more.word.n && (i + 1) * (j + 1) <= k; ++j) {
          const double value = sums[i] + (more.score(j) - top);
          if (full && j > 0 && value <= sums.back()) break;
          candidates.push_back({value, static_cast<uint32_t>(i), static_cast<uint32_t>(j)});
        }
      }
      std::sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
        if (a.value != b.value) return a.value > b.value;
        return a.before != b.before ? a.before < b.before : a.alternative < b.alternative;
      });
      if (candidates.size() > k) candidates.resize(k);
      Step& step = scratch_.steps.emplace_back();
      step.segment = s;
      sums.clear();
      for (const NBestScratch::Sum& sum : candidates) {
        sums.push_back(sum.value);
        step.before.push_back(sum.before);
        step.alternative.push_back(sum.alternative);
      }
    }
  }

  void put_row(size_t r, Tokens& out) {
    std::vector<uint32_t>& chosen = scratch_.chosen;
    chosen.assign(scratch_.alternatives.size(), 0);
    for (size_t t = scratch_.steps.size(); t-- > 0;) {
      const Step& step = scratch_.steps[t];
      chosen[step.segment] = step.alternative[r];
      r = step.before[r];
    }
    const ptrdiff_t begin = out.ids.size();
    const int32_t unknown = model_.byte_fallback() ? -1 : model_.unknown_piece();
    for (size_t s = 0; s < chosen.size(); ++s) {
      std::span<const int32_t> ids = scratch_.alternatives[s].ids(chosen[s]);
      const bool again = unknown >= 0 && !ids.empty() && ids[0] == unknown &&
                         out.ids.size() > begin && out.ids.data()[out.ids.size() - 1] == unknown;
      if (again) ids = ids.subspan(1);
      out.ids.append(ids.data(), std::ssize(ids));
    }
    out.offsets.push_back(out.ids.size());
  }

  const Unigram& model_;
  NBestScratch& scratch_;
  ptrdiff_t k_;
  double best_ = 0;
  Ids row_;
};

}  // namespace

Tokens Tokenizer::best(std::span<const TextView> texts, ptrdiff_t k, int workers) const {
  return for_each_row(
      texts, 1, workers, [&] { return NBestScratch(*model_, caches_->nbest); },
      [&](NBestScratch& scratch, ptrdiff_t i, ptrdiff_t, ptrdiff_t, Tokens& out) {
        const TextView& text = texts[static_cast<size_t>(i)];
        if (!scratch.line.open(*model_, normalizer_.get(), text, false, out.fault)) return;
        if (!TextBest(*model_, scratch, k).put(out)) {
          out.fault = scratch.line.uncovered(*model_, normalizer_.get(), text);
        }
      });
}

}  // namespace kexue::lattice
