// Samples of segmentations. A uniform number u = m 2^-53 picks the first edge whose partial sum of
// w B exceeds u B; words that are remembered have tables that agree with this for every u.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "batches.hpp"
#include "caches.hpp"
#include "emit.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/core/rng.hpp"
#include "kexue/lattice/tokenizer.hpp"
#include "streaming.hpp"
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
  explicit SampleScratch(const SharedWords<SampleWords>::Call& call) : words(call.lend()) {}
  SharedWords<SampleWords>::Loan words;
  Line line;
  Sums sums;
  Choices blocks;
  std::vector<uint32_t> first;  // of tabulate()
  std::vector<Uniforms> uniforms;
  std::vector<Ids> rows;
  std::vector<Ids*> targets;  // where sample j goes: one alone to the output itself
  std::vector<Emitter> emitters;
  std::array<int32_t*, kTogether> ends{};  // of what is written of each sample
  Word group[kGroup];
  WordChoices found[kGroup];

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
    if (n > 1) {
      for (Uniforms& more : uniforms) more.prepare();
    }
  }
  void finish(Tokens& out) const {
    for (const Ids* row : targets) {
      if (row != &out.ids) out.ids.append(row->data(), row->size());
      out.offsets.push_back(out.ids.size());
    }
  }
};

// ---- Segments without a table

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

int32_t* draw_segment(const Unigram& model, const Weights& weights, Sums& sums, const uint8_t* text,
                      ptrdiff_t size, Uniforms& uniforms, const Emitter& emit, int32_t* to) {
  ptrdiff_t n_edges = 0;
  for (ptrdiff_t i = 0; i < size;) {
    if ((++n_edges & 0xFFF) == 0) poll_interrupt();
    const Edge edge = draw_edge(model, weights, sums, text, size, i, uniforms.next());
    to = emit.put(edge, text + i, to);
    i += edge.length;
  }
  return to;
}

// The same of sums that are chosen: a place's first pieces at once.
int32_t* draw_bytes(const Unigram& model, const Weights& weights, Sums& sums, const uint8_t* text,
                    ptrdiff_t size, Uniforms& uniforms, const Emitter& emit, int32_t* to) {
  ptrdiff_t n_edges = 0;
  for (ptrdiff_t i = 0; i < size;) {
    if ((++n_edges & 0xFFF) == 0) poll_interrupt();
    if (i < sums.first_choice || i >= sums.first_choice + Sums::kWindow) {
      model.choose_from(text, size, i, weights, sums);
    }
    const ByteChoice& choice = sums.choice[static_cast<size_t>(i - sums.first_choice)];
    const double u = uniforms.next(), target = u * sums.value[static_cast<size_t>(i)];
    const int passed = (choice.sum[0] <= target) + (choice.sum[1] <= target) +
                       (choice.sum[2] <= target) + (choice.sum[3] <= target);
    if (passed < ByteChoice::kSteps) {
      *to++ = choice.piece[passed];
      i += passed + 1;
    } else {
      Edge edge = model.longer_edge(choice, text, i, weights, sums, target);
      if (edge.length == 0) edge = draw_edge(model, weights, sums, text, size, i, u);
      to = emit.put(edge, text + i, to);
      i += edge.length;
    }
  }
  return to;
}

// ---- Texts

// Samples of one text, row after row of `rows`, whose uniform numbers come from `uniforms`.
class TextSampler {
 public:
  TextSampler(const Unigram& model, const Weights& weights, SampleScratch& scratch)
      : model_(model), weights_(weights), scratch_(scratch) {}

  // Rows of the open line of one text; false if it has no path.
  bool draw() {
    const Line& line = scratch_.line;
    Index begin = 0;
    for (size_t s = 0; s < line.ends().size();) {
      const size_t n = look_up(s, begin);
      const Index end = line.ends()[s + n - 1];
      make_room(end - begin);
      for (size_t k = 0; k < n; ++k) {
        if (!draw_rows(k)) return false;
      }
      close_rows();
      begin = end;
      s += n;
    }
    return true;
  }

  // Appends a row for each text of the open line, the first of which has number `number`, up to the
  // first that has no path; their number. Groups of words go on from text to text.
  ptrdiff_t draw_texts(Key key, uint64_t number, Tokens& out) {
    const Line& line = scratch_.line;
    const Index* text_end = line.text_ends().data();
    const Index* const last = text_end + line.text_ends().size();
    const ptrdiff_t n_before = std::ssize(out.offsets);
    Emitter emit(model_, out.ids);
    Uniforms uniforms(text_key(key, number));
    const auto close_rows = [&](Index place, const int32_t* here) {
      for (; text_end < last && *text_end == place; ++text_end) {
        out.offsets.push_back(emit.count(here));
        uniforms.restart(text_key(key, ++number));
      }
    };
    close_rows(0, emit.room(0));
    Index begin = 0;
    for (size_t s = 0; s < line.ends().size();) {
      const size_t n = look_up(s, begin);
      const Index end = line.ends()[s + n - 1];
      int32_t* to = emit.room(end - begin);
      for (size_t k = 0; k < n; ++k) {
        if (!prepared(k)) return std::ssize(out.offsets) - n_before;
        to = draw_prepared(k, uniforms, emit, to);
        const Index place = line.ends()[s + k];
        if (place != *text_end) continue;
        close_rows(place, to);
        emit.restart(to);
      }
      emit.close(to);
      begin = end;
      s += n;
    }
    return std::ssize(out.offsets) - n_before;
  }

  // The same with n rows for each text, 1 < n <= kTogether.
  ptrdiff_t draw_texts(Key key, uint64_t number, size_t n, Tokens& out) {
    const Line& line = scratch_.line;
    const std::span<const Index> text_ends = line.text_ends();
    size_t done = 0;
    const auto start_text = [&](ptrdiff_t bytes) {
      scratch_.start(model_, subkey(key, number + done), 0, n, out.ids);
      make_room(bytes);
    };
    // Texts that end here; `bytes` are left of the group.
    const auto close_texts = [&](Index place, ptrdiff_t bytes) {
      while (done < text_ends.size() && text_ends[done] == place) {
        close_rows();
        scratch_.finish(out);
        if (++done < text_ends.size()) start_text(bytes);
      }
    };
    if (!text_ends.empty()) start_text(0);
    close_texts(0, 0);
    Index begin = 0;
    for (size_t s = 0; s < line.ends().size();) {
      const size_t n_words = look_up(s, begin);
      const Index end = line.ends()[s + n_words - 1];
      make_room(end - begin);
      for (size_t k = 0; k < n_words; ++k) {
        if (!draw_rows(k)) return static_cast<ptrdiff_t>(done);
        const Index place = line.ends()[s + k];
        if (place == text_ends[done]) close_texts(place, end - place);
      }
      close_rows();
      begin = end;
      s += n_words;
    }
    return static_cast<ptrdiff_t>(done);
  }

 private:
  // Of the only sample of a text.
  static Key text_key(Key key, uint64_t number) { return subkey(subkey(key, number), 0); }

  // The group of segments from number s on, which begins at `begin`; its number of segments.
  size_t look_up(size_t s, Index begin) {
    if ((++groups_ & 0x3F) == 0) poll_interrupt();
    SampleWords& own = scratch_.words.own();
    if (own.full()) own.forget();
    own.table.make_room();
    const Line& line = scratch_.line;
    const size_t n =
        scratch_.words.known().table.look_ahead(line.text(), line.ends(), s, begin, scratch_.group);
    for (size_t k = 0; k < n; ++k) find(scratch_.group[k], scratch_.found[k]);
    return n;
  }

  // The table of a word, made if need be.
  void find(const Word& word, WordChoices& found) {
    found.first = 0;
    if (word.size > WordKey::kLongest) return;
    if (const auto [words, at] = scratch_.words.find(word); at != nullptr) {
      found = {&words->store, at->base, at->first};
      prefetch(words->store.block.data() + found.base, found.first);
      return;
    }
    SampleWords& own = scratch_.words.own();
    Choices& blocks = scratch_.blocks;
    if (own.full() || !sum(word)) return;
    if (!tabulate(model_, weights_, scratch_.sums, word.text, word.size, scratch_.first, blocks)) {
      return;
    }
    const auto n = static_cast<uint32_t>(blocks.size());
    found = {&own.store, static_cast<uint32_t>(own.store.size()), n};
    own.store.append(blocks, 0, n);
    own.table.insert(word, {found.base, n, {}});
  }

  // Sums the group's segment number k unless it has a table; false if it has no path.
  bool prepared(size_t k) { return scratch_.found[k].first != 0 || sum(scratch_.group[k]); }

  // One sample of it, written at `to`; its end.
  int32_t* draw_prepared(size_t k, Uniforms& uniforms, const Emitter& emit, int32_t* to) {
    if (scratch_.found[k].first != 0) return draw_word(scratch_.found[k], uniforms, to);
    const Word& word = scratch_.group[k];
    Sums& sums = scratch_.sums;
    const auto draw = sums.chosen ? draw_bytes : draw_segment;
    return draw(model_, weights_, sums, word.text, word.size, uniforms, emit, to);
  }

  bool sum(const Word& word) {
    return model_.sum(word.text, word.size, scratch_.line.valid(), weights_, scratch_.sums);
  }

  // The blocks that a word begins with: as far as most go.
  static void prefetch(const Choice* blocks, uint32_t first) {
#if defined(__GNUC__)
    __builtin_prefetch(blocks + first - 1);
    if (first > 2) __builtin_prefetch(blocks + first - 3);
    if (first > 4) __builtin_prefetch(blocks + first - 5);
    if (first > 6) __builtin_prefetch(blocks + first - 7);
#endif
  }

  // Of all rows, for the ids of so many bytes.
  void make_room(ptrdiff_t bytes) {
    for (size_t j = 0; j < scratch_.emitters.size(); ++j) {
      scratch_.ends[j] = scratch_.emitters[j].room(bytes);
    }
  }
  void close_rows() {
    for (size_t j = 0; j < scratch_.emitters.size(); ++j) {
      scratch_.emitters[j].close(scratch_.ends[j]);
    }
  }

  // Samples of the group's segment number k in all rows; false if it has no path.
  bool draw_rows(size_t k) {
    if (!prepared(k)) return false;
    if (scratch_.found[k].first != 0) {
      draw_words(scratch_.found[k], scratch_.uniforms, scratch_.ends.data());
      return true;
    }
    for (size_t j = 0; j < scratch_.emitters.size(); ++j) {
      int32_t*& to = scratch_.ends[j];
      to = draw_prepared(k, scratch_.uniforms[j], scratch_.emitters[j], to);
    }
    return true;
  }

  const Unigram& model_;
  const Weights& weights_;
  SampleScratch& scratch_;
  size_t groups_ = 0;
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

Tokens Tokenizer::sample(const TextSource& texts, double alpha, ptrdiff_t size, Key key,
                         uint64_t first_index, SampleMethod method, int workers) const {
  const std::shared_ptr<Sampler> shared = sampler(alpha);
  const Weights& weights = shared->weights;
  workers = planned_workers(texts.size * steps_of(size), workers);
  const SharedWords<SampleWords>::Call call(shared->words, workers);
  const auto make_scratch = [&] { return SampleScratch(call); };
  if (method == SampleMethod::kExact && size > 0 && size <= kTogether) {
    return for_each_batch(
        texts, size, workers, make_scratch,
        [&](SampleScratch& scratch, std::span<const TextView> views, ptrdiff_t first, Tokens& out) {
          put_texts(*model_, normalizer_.get(), views, first, scratch.line, out, [&] {
            TextSampler sampler(*model_, weights, scratch);
            const uint64_t number = first_index + static_cast<uint64_t>(first);
            return size == 1 ? sampler.draw_texts(key, number, out)
                             : sampler.draw_texts(key, number, static_cast<size_t>(size), out);
          });
        });
  }
  const auto work = [&](SampleScratch& scratch, const TextView& text, ptrdiff_t i, ptrdiff_t begin,
                        ptrdiff_t end, Tokens& out) {
    Line& line = scratch.line;
    if (line.open(*model_, normalizer_.get(), std::span(&text, 1), out.fault) == 0) return;
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
  return for_each_row(texts, size, workers, make_scratch, work);
}

}  // namespace kexue::lattice
