#include "kexue/lattice/tokenizer.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "batches.hpp"
#include "caches.hpp"
#include "emit.hpp"
#include "kexue/core/constants.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"

namespace kexue::lattice {

using std::int32_t;
using std::ptrdiff_t;
using std::size_t;
using std::uint8_t;

namespace {

struct BestScratch {
  explicit BestScratch(const SharedWords<BestWords>::Call& call) : words(call.lend()) {}
  SharedWords<BestWords>::Loan words;
  Line line;
  Best best;
  Word group[kGroup];
  // Of each word of a group: its ids, if they are remembered, or else where its ids were put; with
  // characters, where the word's begin among all `codes`.
  struct Known {
    const int32_t* ids;
    std::ptrdiff_t count;
    size_t first, n_codes;
  };
  Known known[kGroup];
  std::vector<std::uint16_t> codes;
  std::vector<Steps> steps;
  std::vector<double> after;
  std::vector<Move> moves;
};

// Segments of a line to ids, a group at a time. What is found is remembered once the group is done,
// so that what is remembered keeps its place until then.
class BestWriter {
 public:
  BestWriter(const Unigram& model, BestScratch& scratch)
      : model_(model),
        scratch_(scratch),
        known_(scratch.words.known()),
        own_(scratch.words.own()) {}

  // The group of segments from number s on, which begins at `begin`; its number of segments.
  size_t look_up(size_t s, Index begin) {
    if ((++groups_ & 0xFF) == 0) poll_interrupt();
    own_.table.make_room();
    own_.phrases.make_room();
    const Line& line = scratch_.line;
    n_ = known_.table.look_ahead(line.text(), line.ends(), s, begin, scratch_.group);
    first_ = n_;
    return n_;
  }

  // Writes the ids of the group's segment number w; null if they are not known.
  int32_t* put_known(size_t w, int32_t* to) const {
    const Word& word = scratch_.group[w];
    if (known_.table.is_short(word)) {
      const BestShort* found = known_.table.find_short(word);
      if (found == nullptr) return nullptr;
      std::memcpy(to, found->id, sizeof *found);
      return to + found->count;
    }
    BestScratch::Known known;
    find(word, known);
    return known.ids == nullptr ? nullptr : copy(known, to);
  }

  // Finds out what is remembered of the group's segments from number w on, number s of the line,
  // and begins the walks of the others.
  void find_from(size_t w, size_t s) {
    first_ = w;
    n_codes_ = 0;
    for (; w < n_; ++w, ++s) {
      BestScratch::Known& known = scratch_.known[w];
      find(scratch_.group[w], known);
      if (known.ids == nullptr) copy_codes(s, scratch_.group[w], known);
    }
    if (n_codes_ == 0) return;
    if (scratch_.steps.size() < n_codes_) scratch_.steps.resize(2 * n_codes_);
    model_.begin_words(std::span(scratch_.codes).first(n_codes_), scratch_.steps.data());
  }

  // After find_from(): writes the ids of segment number w; null if it has no path.
  int32_t* put(size_t w, const Emitter& emit, int32_t* to) {
    BestScratch::Known& known = scratch_.known[w];
    return known.ids == nullptr ? put_new(scratch_.group[w], known, emit, to) : copy(known, to);
  }

  // `base`: what the ids are counted from.
  void remember_group(const int32_t* base) {
    if (n_new_ == 0) return;
    for (size_t w = first_; w < n_; ++w) {
      const BestScratch::Known& known = scratch_.known[w];
      const Word& word = scratch_.group[w];
      if (known.ids != nullptr || word.size > PhraseKey::kLongest) continue;
      const std::span<const int32_t> ids(base + known.first, static_cast<size_t>(known.count));
      if (word.size <= ShortKey::kLongest) {
        remember(word.key, word.place, ids, own_.table.shorts);
      } else if (word.size <= WordKey::kLongest) {
        remember(WordKey::of(word.text, word.size), word.place, ids, own_.table.longs);
      } else {
        const PhraseKey key = PhraseKey::of(word.text, word.size);
        remember(key, own_.phrases.place(key), ids, own_.phrases);
      }
    }
    n_new_ = 0;
  }

 private:
  // More than is needed, so that there is little to foresee: the room allows for it.
  static int32_t* copy(const BestScratch::Known& known, int32_t* to) {
    constexpr ptrdiff_t kFew = BestShort::kMostIds, kSome = BestWord::kMostIds;
    std::memcpy(to, known.ids, sizeof(BestShort));
    if (known.count > kFew) std::memcpy(to + 4, known.ids + 4, sizeof(BestWord) - 16);
    if (known.count > kSome) std::memcpy(to + 8, known.ids + 8, sizeof(BestPhrase) - 32);
    return to + known.count;
  }

  void find(const Word& word, BestScratch::Known& known) const {
    known = {nullptr, 0, 0, 0};
    const auto take = [&](const auto* found) {
      if (found != nullptr) known = {found->id, found->count, 0, 0};
      return found != nullptr || &known_ == &own_;
    };
    if (known_.table.is_short(word)) {
      if (!take(known_.table.find_short(word))) take(own_.table.find_new_short(word));
    } else if (word.size <= WordKey::kLongest) {
      if (!take(known_.table.find_long(word))) take(own_.table.find_new_long(word));
    } else if (word.size <= PhraseKey::kLongest) {
      const PhraseKey key = PhraseKey::of(word.text, word.size);
      const size_t place = own_.phrases.place(key);
      if (!take(known_.phrases.find(key, place))) take(own_.phrases.find(key, place));
    }
  }

  // The characters of the segment number s; none if it is long, or no UTF-8.
  void copy_codes(size_t s, const Word& word, BestScratch::Known& known) {
    const Line& line = scratch_.line;
    known.n_codes = 0;
    if (!line.valid() || !model_.has_words() || word.size > PhraseKey::kLongest) return;
    const size_t most = n_codes_ + static_cast<size_t>(word.size) + Steps::kSteps;
    if (scratch_.codes.size() < most) scratch_.codes.resize(2 * most);
    std::uint16_t* const to = scratch_.codes.data() + n_codes_;
    const Segments& segments = line.segments();
    size_t n = 0;
    if (segments.coded()) {
      const size_t first = s == 0 ? 0 : segments.last()[s - 1];
      n = segments.last()[s] - first;
      std::copy_n(segments.codes() + first, n, to);
      to[0] &= Characters::kBegins - 1;
    } else {
      n = static_cast<size_t>(word.size);
      for (size_t k = 0; k < n; ++k) to[k] = static_cast<std::uint16_t>(word.text[k] + 1);
    }
    std::fill_n(to + n, Steps::kSteps, std::uint16_t{0});
    known.first = n_codes_;
    known.n_codes = n;
    n_codes_ += n + 1;
  }

  int32_t* put_new(const Word& word, BestScratch::Known& known, const Emitter& emit, int32_t* to) {
    int32_t* const first = to;
    to = known.n_codes > 0 ? put_characters(word, known, emit, to) : put_bytes(word, emit, to);
    if (to == nullptr) return nullptr;
    known.first = static_cast<size_t>(emit.count(first));
    known.count = to - first;
    ++n_new_;
    return to;
  }

  int32_t* put_bytes(const Word& word, const Emitter& emit, int32_t* to) const {
    Best& best = scratch_.best;
    if (model_.best(word.text, word.size, scratch_.line.valid(), best) == -kInf) return nullptr;
    for (ptrdiff_t j = 0; j < word.size;) {
      const Edge edge = best.edge[static_cast<size_t>(j)];
      to = emit.put(edge, word.text + j, to);
      j += edge.length;
    }
    return to;
  }

  int32_t* put_characters(const Word& word, const BestScratch::Known& known, const Emitter& emit,
                          int32_t* to) const {
    const std::uint16_t* codes = scratch_.codes.data() + known.first;
    if (scratch_.after.size() < known.n_codes + Steps::kSteps) {
      scratch_.after.resize(2 * known.n_codes + Steps::kSteps);
    }
    if (scratch_.moves.size() < known.n_codes) scratch_.moves.resize(2 * known.n_codes);
    const double score = model_.best_word(codes, scratch_.steps.data() + known.first, known.n_codes,
                                          scratch_.after.data(), scratch_.moves.data());
    if (score == -kInf) return nullptr;
    for (size_t j = 0; j < known.n_codes;) {
      const Move move = scratch_.moves[j];
      if (move.value != 0) {
        *to++ = static_cast<int32_t>(move.value - 1);
      } else {
        to = put_unknown(word, j, emit, to);
      }
      j += move.characters;
    }
    return to;
  }

  // Character number j of a word.
  static int32_t* put_unknown(const Word& word, size_t j, const Emitter& emit, int32_t* to) {
    const uint8_t* at = word.text;
    for (; j > 0; --j) at += utf8_length(at, 4);
    return emit.put({-1, static_cast<std::uint32_t>(utf8_length(at, 4))}, at, to);
  }

  template <class Key, class Value>
  void remember(const Key& key, size_t place, std::span<const int32_t> ids,
                WordTable<Value, Key>& table) const {
    if (ids.empty() || std::ssize(ids) > Value::kMostIds) return;
    // Whether an unknown piece stands alone depends on what is before it.
    const int32_t unknown = model_.unknown_piece();
    if (unknown >= 0 && std::find(ids.begin(), ids.end(), unknown) != ids.end()) return;
    if (table.find(key, place) != nullptr) return;
    Value found{{}, static_cast<int32_t>(ids.size())};
    std::copy(ids.begin(), ids.end(), found.id);
    table.insert(key, place, found);
  }

  const Unigram& model_;
  BestScratch& scratch_;
  const BestWords& known_;
  BestWords& own_;
  size_t n_ = 0, first_ = 0, n_codes_ = 0, n_new_ = 0, groups_ = 0;
};

// Appends a row for each text of an open line, up to the first that has no path; their number.
ptrdiff_t put_rows(const Unigram& model, BestScratch& scratch, Tokens& out) {
  const Line& line = scratch.line;
  BestWriter writer(model, scratch);
  Emitter emit(model, out.ids);
  const Index* text_end = line.text_ends().data();
  const Index* const last = text_end + line.text_ends().size();
  const ptrdiff_t n_before = std::ssize(out.offsets);
  const auto close_rows = [&](Index place, Index n_ids) {
    for (; text_end < last && *text_end == place; ++text_end) out.offsets.push_back(n_ids);
  };
  close_rows(0, out.ids.size());
  Index begin = 0;
  for (size_t s = 0; s < line.ends().size();) {
    const size_t n = writer.look_up(s, begin);
    const Index end = line.ends()[s + n - 1];
    int32_t* to = emit.room(end - begin);
    const auto close = [&](size_t w) {
      const Index place = line.ends()[s + w];
      if (place != *text_end) return;
      close_rows(place, emit.count(to));
      emit.restart(to);
    };
    size_t w = 0;
    for (int32_t* next = to; w < n; ++w) {
      next = writer.put_known(w, to);
      if (next == nullptr) break;
      to = next;
      close(w);
    }
    if (w < n) writer.find_from(w, s + w);
    for (; w < n; ++w) {
      to = writer.put(w, emit, to);
      if (to == nullptr) return std::ssize(out.offsets) - n_before;
      close(w);
    }
    emit.close(to);
    writer.remember_group(out.ids.data());
    begin = end;
    s += n;
  }
  return std::ssize(out.offsets) - n_before;
}

}  // namespace

Tokenizer::Tokenizer(std::shared_ptr<const Unigram> model,
                     std::shared_ptr<const Normalizer> normalizer)
    : model_(std::move(model)),
      normalizer_(std::move(normalizer)),
      caches_(std::make_unique<Caches>()) {}
Tokenizer::~Tokenizer() = default;

void Tokenizer::forget() const {
  const std::scoped_lock lock(caches_->mutex);
  caches_->best = std::make_shared<SharedWords<BestWords>>();
  caches_->nbest = std::make_shared<SharedWords<NBestWords>>();
  caches_->samplers.clear();
}

Tokens Tokenizer::encode(const TextSource& texts, int workers) const {
  const Normalizer* normalizer = normalizer_.get();
  workers = planned_workers(texts.size, workers);
  const SharedWords<BestWords>::Call call(caches_->at(caches_->best), workers);
  return for_each_batch(
      texts, 1, workers, [&] { return BestScratch(call); },
      [&](BestScratch& scratch, std::span<const TextView> views, ptrdiff_t first, Tokens& out) {
        put_texts(*model_, normalizer, views, first, scratch.line, out,
                  [&] { return put_rows(*model_, scratch, out); });
      });
}

Tokens Tokenizer::encode(const TextView& text, Spans& spans) const {
  Tokens out;
  Line line;
  if (!line.open(*model_, normalizer_.get(), text, true, out.fault)) return out;
  Best best;
  Emitter emit(*model_, out.ids);
  Index begin = 0, n_edges = 0;
  for (const Index end : line.ends()) {
    if (model_->best(line.text() + begin, end - begin, line.valid(), best) == -kInf) {
      out.fault = line.uncovered(*model_, normalizer_.get(), text);
      return out;
    }
    for (Index j = begin; j < end;) {
      if ((++n_edges & 0xFFF) == 0) poll_interrupt();
      const Edge edge = best.edge[static_cast<size_t>(j - begin)];
      int32_t* const to = emit.room(edge.length);
      const ptrdiff_t added = emit.put(edge, line.text() + j, to) - to;
      emit.close(to + added);
      if (added == 0) {  // one unknown piece with the one before
        spans.bounds.back() = line.source(j + edge.length, true);
      }
      // The byte pieces of a character, or the one piece.
      for (ptrdiff_t k = 0; k < added; ++k) {
        const bool bytes = edge.piece < 0 && model_->byte_fallback();
        const Index first = bytes ? std::min<Index>(j + k, j + edge.length - 1) : j;
        const Index last = bytes ? first + 1 : j + edge.length;
        spans.bounds.push_back(line.source(first, false));
        spans.bounds.push_back(line.source(last, true));
      }
      j += edge.length;
    }
    begin = end;
  }
  out.offsets.push_back(out.ids.size());
  return out;
}

std::vector<uint8_t> Tokenizer::decode(std::span<const int32_t> ids) const {
  constexpr std::string_view kUnknown = " \xE2\x81\x87 ";
  std::vector<uint8_t> out;
  for (const int32_t id : ids) {
    require(id >= 0 && id < model_->n_pieces(), "ids must be pieces");
    const PieceType type = model_->type(id);
    if (type == PieceType::kControl) continue;
    if (type == PieceType::kByte) {
      out.push_back(model_->named_byte(id));
      continue;
    }
    const std::string_view text = type == PieceType::kUnknown ? kUnknown : model_->text(id);
    out.insert(out.end(), text.begin(), text.end());
  }
  if (normalizer_ != nullptr) normalizer_->restore(out);
  return out;
}

Tokenizer::Decoded Tokenizer::decode(std::span<const int32_t> ids,
                                     std::span<const Index> offsets) const {
  Decoded out;
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const auto begin = static_cast<size_t>(offsets[i]), end = static_cast<size_t>(offsets[i + 1]);
    const std::vector<uint8_t> row = decode(ids.subspan(begin, end - begin));
    out.bytes.insert(out.bytes.end(), row.begin(), row.end());
    out.offsets.push_back(std::ssize(out.bytes));
  }
  return out;
}

}  // namespace kexue::lattice
