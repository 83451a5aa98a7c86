// The k best segmentations of a text. Each segment's k best come from lists of the k best from each
// of its places, merged from the right to the left; the text's come from the segments', whose
// scores add up: of the sums of two sorted lists only pairs (i, j) with (i + 1)(j + 1) <= k can be
// among the k best, and most segments cannot contribute more than their best at all.
#include <algorithm>
#include <span>
#include <vector>

#include "batches.hpp"
#include "caches.hpp"
#include "emit.hpp"
#include "kexue/core/constants.hpp"
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
      double most = -kInf;
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
  std::span<const int32_t> ids(size_t a) const { return lists->row(word.first + a); }
};

// One of the best sums up to a segment: by which of the segment's alternatives it came about from
// which of the sums before.
struct Sum {
  double value;
  uint32_t before, alternative;

  bool beats(const Sum& other) const {
    if (value != other.value) return value > other.value;
    return before != other.before ? before < other.before : alternative < other.alternative;
  }
};

// A segment that changed the best sums: sums first .. first + k - 1.
struct Step {
  size_t segment, first;
};

// A segment of a row and which of its alternatives it takes, other than the best.
struct Change {
  size_t segment, alternative;
};

struct NBestScratch {
  NBestScratch(const Unigram& model, const SharedWords<NBestWords>::Call& call)
      : words(call.lend()), segment(model) {}
  SharedWords<NBestWords>::Loan words;
  Line line;
  SegmentBest segment;
  Word group[kGroup];
  WordLists loose;  // of the open line's segments that are not remembered
  std::vector<Alternatives> alternatives;
  std::vector<Step> steps;
  std::vector<Sum> sums, next;  // the k best, relative to the best
  std::vector<Sum> all_sums;    // of the steps
  std::vector<size_t> plain;    // where each segment's ids begin in a row of nothing but the best
  std::vector<Change> changes;  // of a row
};

// Beyond this a segment's lists would be large: it is enumerated lazily.
constexpr ptrdiff_t kMostWays = 1 << 21;

class TextBest {
 public:
  TextBest(const Unigram& model, NBestScratch& scratch, ptrdiff_t k)
      : model_(model), scratch_(scratch), k_(k) {}

  // Appends the rows of each text of the open line, up to the first that has no path; the number of
  // texts.
  ptrdiff_t put(Tokens& out) {
    find_alternatives();
    const std::span<const Index> ends = scratch_.line.ends();
    size_t first = 0;
    ptrdiff_t n_texts = 0;
    for (const Index text_end : scratch_.line.text_ends()) {
      size_t last = first;
      while (last < scratch_.alternatives.size() && ends[last] <= text_end) ++last;
      if ((last == 0 ? 0 : ends[last - 1]) < text_end) return n_texts;
      segments_ = std::span(scratch_.alternatives).subspan(first, last - first);
      put_text(out);
      first = last;
      ++n_texts;
    }
    return n_texts;
  }

 private:
  // Of the segments before the first without a path.
  void find_alternatives() {
    const Line& line = scratch_.line;
    const NBestWords& known = scratch_.words.known();
    NBestWords& own = scratch_.words.own();
    if (own.full()) own.forget();
    scratch_.loose.clear();
    scratch_.alternatives.clear();
    Index begin = 0;
    for (size_t s = 0; s < line.ends().size();) {
      own.table.make_room();
      const size_t n = known.table.look_ahead(line.text(), line.ends(), s, begin, scratch_.group);
      for (const Word& word : std::span(scratch_.group, n)) {
        if (!find(word)) return;
      }
      s += n;
      begin = line.ends()[s - 1];
    }
  }

  void put_text(Tokens& out) {
    add_up();
    const size_t n_rows = scratch_.sums.size();
    const bool joins = !model_.byte_fallback() && model_.unknown_piece() >= 0;
    const ptrdiff_t begin = out.ids.size();
    for (size_t r = 0; r < n_rows; ++r) {
      find_changes(r);
      if (joins) {
        put_joined(out.ids);
      } else if (r == 0) {
        put_first(out.ids);
      } else {
        put_like_first(begin, out.ids);
      }
      out.offsets.push_back(out.ids.size());
      out.scores.push_back(best_ + scratch_.sums[r].value);
    }
    out.counts.push_back(static_cast<Index>(n_rows));
  }

  bool find(const Word& word) {
    const bool is_word = word.size <= WordKey::kLongest && k_ <= NBestWords::kMostRows;
    if (is_word) {
      if (const auto [words, at] = scratch_.words.find(word); at != nullptr) {
        scratch_.alternatives.push_back({&words->lists, *at});
        return true;
      }
    }
    NBestWords& own = scratch_.words.own();
    const bool remembers = is_word && !own.full();
    WordLists& lists = remembers ? own.lists : scratch_.loose;
    const auto first = static_cast<uint32_t>(lists.score.size());
    const ptrdiff_t rows = remembers ? NBestWords::kMostRows : k_;
    if (!list(word, rows, lists)) return false;
    const NBestWord found{first, static_cast<uint32_t>(lists.score.size()) - first, {}};
    scratch_.alternatives.push_back({&lists, found});
    if (remembers) own.table.insert(word, found);
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
    std::vector<Sum>& sums = scratch_.sums;
    sums.assign(1, {0, 0, 0});
    scratch_.steps.clear();
    scratch_.all_sums.clear();
    best_ = 0;
    const auto k = static_cast<size_t>(k_);
    for (size_t s = 0; s < segments_.size(); ++s) {
      const Alternatives& more = segments_[s];
      const double top = more.score(0);
      best_ += top;
      if (more.word.n == 1) continue;
      const bool full = sums.size() == k;
      if (full && more.score(1) - top <= sums.back().value) continue;
      std::vector<Sum>& next = scratch_.next;
      next.clear();
      for (size_t i = 0; i < sums.size(); ++i) {
        next.push_back({sums[i].value, static_cast<uint32_t>(i), 0});
      }
      for (size_t j = 1; j < more.word.n && j < k; ++j) {
        const double less = more.score(j) - top;
        for (size_t i = 0; i < sums.size() && (i + 1) * (j + 1) <= k; ++i) {
          const double value = sums[i].value + less;
          if (full && value <= sums.back().value) break;
          insert({value, static_cast<uint32_t>(i), static_cast<uint32_t>(j)}, next);
        }
      }
      scratch_.steps.push_back({s, scratch_.all_sums.size()});
      scratch_.all_sums.insert(scratch_.all_sums.end(), next.begin(), next.end());
      std::swap(sums, next);
    }
  }

  // Into the k best in their order.
  void insert(const Sum& sum, std::vector<Sum>& best) const {
    if (std::ssize(best) < k_) {
      best.push_back(sum);
    } else if (!sum.beats(best.back())) {
      return;
    }
    size_t place = best.size() - 1;
    for (; place > 0 && sum.beats(best[place - 1]); --place) best[place] = best[place - 1];
    best[place] = sum;
  }

  // The segments of row r that do not take their best, in their order.
  void find_changes(size_t r) {
    std::vector<Change>& changes = scratch_.changes;
    changes.clear();
    for (size_t t = scratch_.steps.size(); t-- > 0;) {
      const Step& step = scratch_.steps[t];
      const Sum& sum = scratch_.all_sums[step.first + r];
      if (sum.alternative != 0) changes.push_back({step.segment, sum.alternative});
      r = sum.before;
    }
    std::reverse(changes.begin(), changes.end());
  }

  // The row of the bests, which is the first.
  void put_first(Ids& ids) {
    std::vector<size_t>& plain = scratch_.plain;
    plain.clear();
    const ptrdiff_t begin = ids.size();
    for (const Alternatives& segment : segments_) {
      plain.push_back(static_cast<size_t>(ids.size() - begin));
      ids.append(segment.ids(0).data(), std::ssize(segment.ids(0)));
    }
    plain.push_back(static_cast<size_t>(ids.size() - begin));
  }

  // Another row: what it has in common with the first, which begins at `first`, in few pieces.
  void put_like_first(ptrdiff_t first, Ids& ids) {
    size_t copied = 0;
    const auto copy_until = [&](size_t end) {
      const auto n = static_cast<ptrdiff_t>(end - copied);
      int32_t* const to = ids.room(n);
      std::copy_n(ids.data() + first + static_cast<ptrdiff_t>(copied), n, to);
      ids.close(to + n);
    };
    for (const Change& change : scratch_.changes) {
      copy_until(scratch_.plain[change.segment]);
      const std::span<const int32_t> other = segments_[change.segment].ids(change.alternative);
      ids.append(other.data(), std::ssize(other));
      copied = scratch_.plain[change.segment + 1];
    }
    copy_until(scratch_.plain.back());
  }

  // A row where neighbouring unknown pieces are one.
  void put_joined(Ids& ids) const {
    const ptrdiff_t begin = ids.size();
    const int32_t unknown = model_.unknown_piece();
    size_t change = 0;
    for (size_t s = 0; s < segments_.size(); ++s) {
      const bool changed =
          change < scratch_.changes.size() && scratch_.changes[change].segment == s;
      std::span<const int32_t> some =
          segments_[s].ids(changed ? scratch_.changes[change].alternative : 0);
      change += changed ? 1 : 0;
      const bool again = !some.empty() && some[0] == unknown && ids.size() > begin &&
                         ids.data()[ids.size() - 1] == unknown;
      if (again) some = some.subspan(1);
      ids.append(some.data(), std::ssize(some));
    }
  }

  const Unigram& model_;
  NBestScratch& scratch_;
  ptrdiff_t k_;
  std::span<const Alternatives> segments_;  // of the text at hand
  double best_ = 0;
  Ids row_;
};

}  // namespace

Tokens Tokenizer::best(const TextSource& texts, ptrdiff_t k, int workers) const {
  // Where k is large each text's lists are done with before the next one's begin.
  const bool together = k <= NBestWords::kMostRows;
  workers = planned_workers(texts.size, workers);
  const SharedWords<NBestWords>::Call call(caches_->at(caches_->nbest), workers);
  return for_each_batch(
      texts, 1, workers, [&] { return NBestScratch(*model_, call); },
      [&](NBestScratch& scratch, std::span<const TextView> views, ptrdiff_t first, Tokens& out) {
        const size_t step = together ? views.size() : 1;
        for (size_t i = 0; i < views.size() && out.fault.kind == TextFault::kNone; i += step) {
          put_texts(*model_, normalizer_.get(), views.subspan(i, step),
                    first + static_cast<ptrdiff_t>(i), scratch.line, out,
                    [&] { return TextBest(*model_, scratch, k).put(out); });
        }
      });
}

}  // namespace kexue::lattice
