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
};

// Appends the ids of a segment; false if it has no path.
bool put_best(const Unigram& model, const uint8_t* text, ptrdiff_t size, bool valid, Best& best,
              Emitter& emit) {
  if (model.best(text, size, valid, best) == -kInf) return false;
  int32_t* to = emit.room(size);
  for (ptrdiff_t j = 0; j < size;) {
    const Edge edge = best.edge[static_cast<size_t>(j)];
    to = emit.put(edge, text + j, to);
    j += edge.length;
  }
  emit.close(to);
  return true;
}

// The same by way of the remembered words.
bool put_word(const Unigram& model, const uint8_t* text, ptrdiff_t size, BestScratch& scratch,
              Emitter& emit, Ids& ids) {
  WordTable<BestWord>& table = (*scratch.words).table;
  const WordKey key = WordKey::of(text, size);
  size_t place = 0;
  const BestWord* word = table.find(key, size, place);
  if (word != nullptr) {
    int32_t* to = emit.room(size);
    std::memcpy(to, word->id, sizeof word->id);
    emit.close(to + word->count);
    return true;
  }
  const ptrdiff_t before = ids.size();
  if (!put_best(model, text, size, scratch.line.valid(), scratch.best, emit)) return false;
  const ptrdiff_t count = ids.size() - before;
  if (count == 0 || count > BestWords::kMostIds) return true;
  // Whether an unknown piece stands alone depends on what is before it.
  const int32_t* first = ids.data() + before;
  const int32_t unknown = model.unknown_piece();
  if (unknown >= 0 && std::find(first, first + count, unknown) != first + count) return true;
  BestWord found{static_cast<uint8_t>(count), {}};
  std::copy(first, first + count, found.id);
  table.insert(key, size, place, found);
  return true;
}

}  // namespace

Tokenizer::Tokenizer(std::shared_ptr<const Unigram> model,
                     std::shared_ptr<const Normalizer> normalizer)
    : model_(std::move(model)),
      normalizer_(std::move(normalizer)),
      caches_(std::make_unique<Caches>()) {}
Tokenizer::~Tokenizer() = default;

Tokens Tokenizer::encode(std::span<const TextView> texts, int workers) const {
  return for_each_row(
      texts, 1, workers, [&] { return BestScratch(caches_->best); },
      [&](BestScratch& scratch, ptrdiff_t i, ptrdiff_t, ptrdiff_t, Tokens& out) {
        const TextView& text = texts[static_cast<size_t>(i)];
        Line& line = scratch.line;
        if (!line.open(*model_, normalizer_.get(), text, false, out.fault)) return;
        Emitter emit(*model_, out.ids);
        Index begin = 0;
        for (const Index end : line.ends()) {
          const uint8_t* at = line.text() + begin;
          const ptrdiff_t size = end - begin;
          begin = end;
          const bool found = size <= kLongestWord
                                 ? put_word(*model_, at, size, scratch, emit, out.ids)
                                 : put_best(*model_, at, size, line.valid(), scratch.best, emit);
          if (!found) {
            out.fault = line.uncovered(*model_, normalizer_.get(), text);
            return;
          }
        }
        out.offsets.push_back(out.ids.size());
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
