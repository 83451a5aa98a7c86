#include "kexue/lattice/tokenizer.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

#include "caches.hpp"
#include "emit.hpp"
#include "kexue/core/error.hpp"

namespace kexue::lattice {

using std::int32_t;
using std::ptrdiff_t;
using std::size_t;
using std::uint8_t;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

struct BestScratch {
  explicit BestScratch(CachePool<BestWords>& pool) : words(pool) {}
  CachePool<BestWords>::Loan words;
  Line line;
  Best best;
  Word group[kGroup];
};

// Writes the ids of a segment; null if it has no path.
int32_t* put_best(const Unigram& model, const Word& word, bool valid, Best& best,
                  const Emitter& emit, int32_t* to) {
  if (model.best(word.text, word.size, valid, best) == -kInf) return nullptr;
  for (ptrdiff_t j = 0; j < word.size;) {
    const Edge edge = best.edge[static_cast<size_t>(j)];
    to = emit.put(edge, word.text + j, to);
    j += edge.length;
  }
  return to;
}

void remember(const Unigram& model, const Word& word, const int32_t* ids, const int32_t* end,
              BestWords& words) {
  const ptrdiff_t count = end - ids;
  if (count == 0 || count > BestWords::kMostIds) return;
  // Whether an unknown piece stands alone depends on what is before it.
  const int32_t unknown = model.unknown_piece();
  if (unknown >= 0 && std::find(ids, end, unknown) != end) return;
  BestWord found{static_cast<uint8_t>(count), {}};
  std::copy(ids, end, found.id);
  words.table.insert(word.key, word.size, word.place, found);
}

// Appends the rows of an open line; a row whose text has no path ends the work.
void put_rows(const Unigram& model, BestScratch& scratch, Tokens& out) {
  const Line& line = scratch.line;
  BestWords& words = *scratch.words;
  Emitter emit(model, out.ids);
  const Index* text_end = line.text_ends().data();
  const Index* const last = text_end + line.text_ends().size();
  const auto close_rows = [&](Index place, Index n_ids) {
    for (; text_end < last && *text_end == place; ++text_end) out.offsets.push_back(n_ids);
  };
  close_rows(0, out.ids.size());
  Index begin = 0;
  for (size_t s = 0; s < line.ends().size();) {
    words.table.make_room();
    const size_t n = look_ahead(words.table, line.text(), line.ends(), s, begin, scratch.group);
    const Index end = line.ends()[s + n - 1];
    int32_t* to = emit.room(end - begin);
    for (size_t w = 0; w < n; ++w) {
      const Word& word = scratch.group[w];
      const bool is_short = word.size <= kLongestWord;
      const BestWord* known =
          is_short ? words.table.find(word.key, word.size, word.place) : nullptr;
      if (known != nullptr) {
        std::memcpy(to, known->id, sizeof known->id);
        to += known->count;
      } else {
        const int32_t* first = to;
        to = put_best(model, word, line.valid(), scratch.best, emit, to);
        if (to == nullptr) return;
        if (is_short) remember(model, word, first, to, words);
      }
      const Index place = line.ends()[s + w];
      if (place == *text_end) {
        close_rows(place, to - out.ids.data());
        emit.restart(to);
      }
    }
    emit.close(to);
    begin = end;
    s += n;
  }
}

}  // namespace

Tokenizer::Tokenizer(std::shared_ptr<const Unigram> model,
                     std::shared_ptr<const Normalizer> normalizer)
    : model_(std::move(model)),
      normalizer_(std::move(normalizer)),
      caches_(std::make_unique<Caches>()) {}
Tokenizer::~Tokenizer() = default;

void Tokenizer::forget() const {
  caches_->best.clear();
  caches_->nbest.clear();
  const std::scoped_lock lock(caches_->mutex);
  caches_->samplers.clear();
}

Tokens Tokenizer::encode(std::span<const TextView> texts, int workers) const {
  const Normalizer* normalizer = normalizer_.get();
  return for_each_chunk(
      texts, workers, [&] { return BestScratch(caches_->best); },
      [&](BestScratch& scratch, ptrdiff_t begin, ptrdiff_t end, Tokens& out) {
        Line& line = scratch.line;
        Fault refused;
        line.begin(*model_);
        ptrdiff_t i = begin;
        while (i < end &&
               line.append(*model_, normalizer, texts[static_cast<size_t>(i)], false, refused)) {
          ++i;
        }
        line.close(*model_);
        put_rows(*model_, scratch, out);
        const ptrdiff_t n_rows = std::ssize(out.offsets) - 1;
        if (n_rows < i - begin) {
          const TextView& text = texts[static_cast<size_t>(begin + n_rows)];
          out.fault = line.uncovered(*model_, normalizer, text);
          out.fault.text = begin + n_rows;
        } else if (i < end) {
          out.fault = refused;
          out.fault.text = i;
        }
      });
}

Tokens Tokenizer::encode(const TextView& text, Spans& spans) const {
  Tokens out;
  Line line;
  if (!line.open(*model_, normalizer_.get(), text, true, out.fault)) return out;
  Best best;
  Emitter emit(*model_, out.ids);
  Index begin = 0;
  for (const Index end : line.ends()) {
    if (model_->best(line.text() + begin, end - begin, line.valid(), best) == -kInf) {
      out.fault = line.uncovered(*model_, normalizer_.get(), text);
      return out;
    }
    for (Index j = begin; j < end;) {
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

Tokens join(std::vector<Tokens>& parts) {
  Tokens all;
  ptrdiff_t n_ids = 0;
  size_t n_rows = 0;
  for (const Tokens& part : parts) {
    if (part.fault.kind != TextFault::kNone) {
      all.fault = part.fault;
      return all;
    }
    n_ids += part.ids.size();
    n_rows += part.offsets.size() - 1;
  }
  if (parts.size() == 1) return std::move(parts.front());
  all.ids.room(n_ids);
  all.offsets.reserve(n_rows + 1);
  for (Tokens& part : parts) {
    const Index base = all.ids.size();
    for (size_t r = 1; r < part.offsets.size(); ++r) all.offsets.push_back(base + part.offsets[r]);
    all.ids.append(part.ids.data(), part.ids.size());
    all.scores.insert(all.scores.end(), part.scores.begin(), part.scores.end());
    all.counts.insert(all.counts.end(), part.counts.begin(), part.counts.end());
    part = Tokens{};
  }
  return all;
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
