// Samples of segmentations. A uniform number u = m 2^-53 picks the first edge whose partial sum of
// w B exceeds u B; for words that are remembered the products are replaced by the least u that does
// not pick the edge, found by trying them, so that both ways agree for every u.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "caches.hpp"
#include "emit.hpp"
#include "kexue/core/rng.hpp"
#include "kexue/lattice/tokenizer.hpp"
#include "uniforms.hpp"

namespace kexue::lattice {

using std::int32_t;
using std::ptrdiff_t;
using std::size_t;
using std::uint32_t;
using std::uint64_t;
using std::uint8_t;

namespace {

struct SampleScratch {
  explicit SampleScratch(CachePool<SampleWords>& pool) : words(pool) {}
  CachePool<SampleWords>::Loan words;
  Line line;
  Sums sums;
  std::vector<Choice> blocks;
  std::vector<uint32_t> first;  // block of each place
  std::vector<Uniforms> uniforms;
  std::vector<Ids> rows;
  std::vector<Ids*> targets;  // where sample j goes: one alone to the output itself
  std::vector<Emitter> emitters;
  std::array<int32_t*, kTogether> ends{};  // of what is written of each sample
  Word group[kGroup];
  SampleWord found[kGroup];

  void start(const Unigram& model, Key key, ptrdiff_t number, size_t n, Ids& out) {
    if (n > 1 && rows.size() < n) rows.resize(n);
    uniforms.clear();
    targets.clear();
    emitters.clear();
    for (size_t j = 0; j < n; ++j) {
      Ids* const row = n == 1 ? &out : &rows[j];
      if (n > 1) row->clear();
      uniforms.emplace_back(subkey(key, static_cast<uint64_t>(number) + j));
      targets.push_back(row);
      emitters.emplace_back(model, *row);
    }
  }
  void finish(Tokens& out) const {
    for (const Ids* row : targets) {
      if (row != &out.ids) out.ids.append(row->data(), row->size());
      out.offsets.push_back(out.ids.size());
    }
  }
};

// ---- Words as tables of choices

// The least multiple T of 2^-53 with T total >= sum as the sampler rounds it; above 1 if none is.
double bound_of(double sum, double total) {
  constexpr double kStep = 0x1p-53;
  double bound = std::min(1.0, std::floor(sum / total * 0x1p53) * kStep);
  while (bound > 0 && (bound - kStep) * total >= sum) bound -= kStep;
  while (bound < 1 && bound * total < sum) bound += kStep;
  return bound < 1 ? bound : 2;
}

// Tabulates a summed word into scratch.blocks; false if it cannot be.
bool tabulate(const Unigram& model, const Weights& weights, const uint8_t* text, ptrdiff_t size,
              SampleScratch& scratch) {
  const Sums& sums = scratch.sums;
  if (sums.scaled) return false;
  constexpr uint32_t kNone = ~0U;
  std::vector<Choice>& blocks = scratch.blocks;
  scratch.first.assign(static_cast<size_t>(size) + 1, kNone);
  // From the right to the left, so that the blocks an edge leads to are known; block b continues in
  // block b - 1.
  blocks.clear();
  bool fits = true;
  scratch.first[static_cast<size_t>(size)] = 0;
  for (ptrdiff_t i = size - 1; i >= 0; --i) {
    const double total = sums.value[static_cast<size_t>(i)];
    if (total == 0) continue;
    Choice choice[kLongestWord / 4 + 1];
    int n = 0;
    double sum = 0;
    model.edges(text, size, i, [&](Edge edge) {
      const size_t end = static_cast<size_t>(i) + edge.length;
      const double term = Unigram::weight_of(weights, edge) * sums.value[end];
      if (term == 0) return;
      sum += term;
      fits = fits && edge.piece >= 0 && edge.piece < 1 << kPieceBits;
      if (n % 4 == 0) choice[n / 4] = {{2, 2, 2, 2}, {0, 0, 0, 0}};
      choice[n / 4].bound[n % 4] = bound_of(sum, total);
      choice[n / 4].link[n % 4] = scratch.first[end] << kPieceBits |
                                  (static_cast<uint32_t>(edge.piece) & ((1U << kPieceBits) - 1));
      ++n;
    });
    for (int b = (n - 1) / 4; b >= 0; --b) blocks.push_back(choice[b]);
    scratch.first[static_cast<size_t>(i)] = static_cast<uint32_t>(blocks.size());
  }
  return fits && std::ssize(blocks) < kMostBlocks;
}

int32_t* draw_word(const Choice* blocks, uint32_t block, Uniforms& uniforms, int32_t* to) {
  do {
    const double u = uniforms.next();
    int passed;
    for (;; --block) {
      const double* bound = blocks[block - 1].bound;
      passed = (bound[0] <= u) + (bound[1] <= u) + (bound[2] <= u) + (bound[3] <= u);
      if (passed < 4) break;
    }
    const uint32_t link = blocks[block - 1].link[passed];
    *to++ = static_cast<int32_t>(link & ((1U << kPieceBits) - 1));
    block = link >> kPieceBits;
  } while (block != 0);
  return to;
}

// ---- Other segments

// The edge at place i that the partial sums reach u B(i) with.
Edge draw_edge(const Unigram& model, const Weights& weights, const Sums& sums, const uint8_t* text,
               ptrdiff_t size, ptrdiff_t i, double u) {
  const double target = u * sums.value[static_cast<size_t>(i)];
  double sum = 0;
  Edge drawn{-1, 0}, last{-1, 0};
  model.edges(text, size, i, [&](Edge edge) {
    if (drawn.length != 0) return;
    const size_t end = static_cast<size_t>(i) + edge.length;
    double term = Unigram::weight_of(weights, edge) * sums.value[end];
    if (term == 0) return;
    if (sums.scaled) term *= Unigram::scale_of(sums, weights, i, edge);
    sum += term;
    last = edge;
    if (sum > target) drawn = edge;
  });
  return drawn.length != 0 ? drawn : last;
}

int32_t* draw_segment(const Unigram& model, const Weights& weights, const Sums& sums,
                      const uint8_t* text, ptrdiff_t size, Uniforms& uniforms, const Emitter& emit,
                      int32_t* to) {
  for (ptrdiff_t i = 0; i < size;) {
    const Edge edge = draw_edge(model, weights, sums, text, size, i, uniforms.next());
    to = emit.put(edge, text + i, to);
    i += edge.length;
  }
  return to;
}

// ---- The two methods of one pass

double log_add(double a, double b) {
  const double most = std::max(a, b);
  return most + std::log1p(std::exp(std::min(a, b) - most));
}

// False if there is no path.
bool draw_streaming(const Unigram& model, const Line& line, double alpha, bool exact,
                    Uniforms& uniforms, Emitter& emit) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const ptrdiff_t size = line.size();
  // The weight of all that leads to a place, as a logarithm, or the score of the survivor; and the
  // survivor's last edge.
  std::vector<double> value(static_cast<size_t>(size) + 1, -kInf);
  std::vector<Edge> last(static_cast<size_t>(size) + 1, Edge{-1, 0});
  value[0] = 0;
  for (ptrdiff_t i = 0; i < size; ++i) {
    const double here = value[static_cast<size_t>(i)];
    if (here == -kInf) continue;
    model.edges(line.text(), size, i, [&](Edge edge) {
      const size_t end = static_cast<size_t>(i) + edge.length;
      const double score = model.edge_score(edge.piece);
      const double contender = here + (exact ? alpha * score : score), before = value[end];
      const bool first = before == -kInf;
      double chance = 1;
      if (exact) {
        value[end] = first ? contender : log_add(before, contender);
        chance = std::exp(contender - value[end]);
      } else if (!first) {
        chance = 1 / (1 + std::exp(-alpha * (contender - before)));
      }
      if (!first && uniforms.next() >= chance) return;
      last[end] = edge;
      if (!exact) value[end] = contender;
    });
  }
  if (value[static_cast<size_t>(size)] == -kInf) return false;
  std::vector<ptrdiff_t> starts;
  for (ptrdiff_t end = size; end > 0; end -= last[static_cast<size_t>(end)].length) {
    starts.push_back(end);
  }
  int32_t* to = emit.room(size);
  for (size_t k = starts.size(); k-- > 0;) {
    const Edge edge = last[static_cast<size_t>(starts[k])];
    to = emit.put(edge, line.text() + starts[k] - edge.length, to);
  }
  emit.close(to);
  return true;
}

// Samples of one text, row after row of `rows`, whose uniform numbers come from `uniforms`.
class TextSampler {
 public:
  TextSampler(const Unigram& model, const Weights& weights, SampleScratch& scratch)
      : model_(model), weights_(weights), scratch_(scratch) {}

  // Rows of the open line; false if it has no path.
  bool draw() {
    const Line& line = scratch_.line;
    if ((*scratch_.words).full()) (*scratch_.words).forget();
    Index begin = 0;
    for (size_t s = 0; s < line.ends().size();) {
      (*scratch_.words).table.make_room();
      const size_t n =
          look_ahead((*scratch_.words).table, line.text(), line.ends(), s, begin, scratch_.group);
      for (size_t k = 0; k < n; ++k) {
        if (!find(scratch_.group[k], scratch_.found[k])) return false;
      }
      const Index end = line.ends()[s + n - 1];
      if (!draw_group(n, end - begin)) return false;
      begin = end;
      s += n;
    }
    return true;
  }

 private:
  // The table of a word, made if need be; found.first is 0 if it has none. False if it has no path.
  bool find(const Word& word, SampleWord& found) {
    found.first = 0;
    if (word.size > kLongestWord) return true;
    SampleWords& words = *scratch_.words;
    const SampleWord* known = words.table.find(word.key, word.size, word.place);
    if (known != nullptr) {
      found = *known;
      prefetch(words.store.data() + found.base, found.first);
      return true;
    }
    if (!sum(word)) return false;
    std::vector<Choice>& blocks = scratch_.blocks;
    if (words.full() || !tabulate(model_, weights_, word.text, word.size, scratch_)) return true;
    found = {static_cast<uint32_t>(words.store.size()), static_cast<uint32_t>(blocks.size()), {}};
    words.store.insert(words.store.end(), blocks.begin(), blocks.end());
    words.table.insert(word.key, word.size, word.place, found);
    return true;
  }

  bool sum(const Word& word) {
    return model_.sum(word.text, word.size, scratch_.line.valid(), weights_, scratch_.sums);
  }

  static void prefetch(const Choice* blocks, uint32_t first) {
#if defined(__GNUC__)
    __builtin_prefetch(blocks + first - 1);
    if (first > 2) __builtin_prefetch(blocks + first - 3);
#endif
  }

  bool draw_group(size_t n, ptrdiff_t bytes) {
    const size_t n_rows = scratch_.emitters.size();
    const Choice* store = (*scratch_.words).store.data();
    for (size_t j = 0; j < n_rows; ++j) scratch_.ends[j] = scratch_.emitters[j].room(bytes);
    for (size_t k = 0; k < n; ++k) {
      const Word& word = scratch_.group[k];
      const SampleWord found = scratch_.found[k];
      if (found.first == 0 && !sum(word)) return false;
      for (size_t j = 0; j < n_rows; ++j) {
        Uniforms& uniforms = scratch_.uniforms[j];
        int32_t*& to = scratch_.ends[j];
        to = found.first != 0 ? draw_word(store + found.base, found.first, uniforms, to)
                              : draw_segment(model_, weights_, scratch_.sums, word.text, word.size,
                                             uniforms, scratch_.emitters[j], to);
      }
    }
    for (size_t j = 0; j < n_rows; ++j) scratch_.emitters[j].close(scratch_.ends[j]);
    return true;
  }

  const Unigram& model_;
  const Weights& weights_;
  SampleScratch& scratch_;
};

}  // namespace

std::shared_ptr<Tokenizer::Sampler> Tokenizer::sampler(double alpha) const {
  constexpr size_t kMost = 3;
  std::vector<std::shared_ptr<Sampler>>& known = caches_->samplers;
  {
    const std::scoped_lock lock(caches_->mutex);
    const auto at = std::find_if(known.begin(), known.end(), [&](const auto& sampler) {
      return sampler->weights.alpha == alpha;
    });
    if (at != known.end()) {
      std::rotate(known.begin(), at, at + 1);
      return known.front();
    }
  }
  auto fresh = std::make_shared<Sampler>(*model_, alpha);
  const std::scoped_lock lock(caches_->mutex);
  known.insert(known.begin(), fresh);
  if (known.size() > kMost) known.pop_back();
  return fresh;
}

Tokens Tokenizer::sample(std::span<const TextView> texts, double alpha, ptrdiff_t size, Key key,
                         uint64_t first_index, SampleMethod method, int workers) const {
  const std::shared_ptr<Sampler> shared = sampler(alpha);
  const Weights& weights = shared->weights;
  const auto work = [&](SampleScratch& scratch, ptrdiff_t i, ptrdiff_t begin, ptrdiff_t end,
                        Tokens& out) {
    const TextView& text = texts[static_cast<size_t>(i)];
    Line& line = scratch.line;
    if (!line.open(*model_, normalizer_.get(), text, false, out.fault)) return;
    const Key line_key = subkey(key, first_index + static_cast<uint64_t>(i));
    TextSampler sampler(*model_, weights, scratch);
    for (ptrdiff_t j = begin; j < end; j += kTogether) {
      if (j > begin) poll_interrupt();
      const auto n = static_cast<size_t>(std::min(kTogether, end - j));
      scratch.start(*model_, line_key, j, n, out.ids);
      bool found = true;
      if (method == SampleMethod::kExact) {
        found = sampler.draw();
      } else {
        for (size_t r = 0; r < n && found; ++r) {
          found = draw_streaming(*model_, line, alpha, method == SampleMethod::kStreaming,
                                 scratch.uniforms[r], scratch.emitters[r]);
        }
      }
      if (!found) {
        out.fault = line.uncovered(*model_, normalizer_.get(), text);
        return;
      }
      scratch.finish(out);
    }
  };
  return for_each_row(texts, size, workers, [&] { return SampleScratch(shared->words); }, work);
}

}  // namespace kexue::lattice
