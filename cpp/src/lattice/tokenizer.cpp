#include "kexue/lattice/tokenizer.hpp"

#include <algorithm>
#include <limits>
#include <string_view>

#include "emit.hpp"
#include "kexue/core/error.hpp"

namespace kexue::lattice {

using std::int32_t;
using std::ptrdiff_t;
using std::size_t;
using std::uint8_t;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

}  // namespace

Tokens Tokenizer::encode(std::span<const TextView> texts, int workers) const {
  return for_each_text(
      texts, 1, workers, [&] { return Line(); },
      [&](Line& line, ptrdiff_t i, Tokens& out) {
        const TextView& text = texts[static_cast<size_t>(i)];
        if (!line.open(*model_, normalizer_.get(), text, false, out.fault)) return;
        Best best;
        Emitter emit(*model_, out.ids);
        Index begin = 0;
        for (const Index end : line.ends()) {
          const uint8_t* at = line.text() + begin;
          if (model_->best(at, end - begin, line.valid(), best) == -kInf) {
            out.fault = line.uncovered(*model_, normalizer_.get(), text);
            return;
          }
          for (Index j = 0; j < end - begin;) {
            const Edge edge = best.edge[static_cast<size_t>(j)];
            emit(edge, at + j);
            j += edge.length;
          }
          begin = end;
        }
        out.offsets.push_back(std::ssize(out.ids));
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
      const ptrdiff_t before = std::ssize(out.ids);
      emit(edge, line.text() + j);
      const ptrdiff_t added = std::ssize(out.ids) - before;
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
  out.offsets.push_back(std::ssize(out.ids));
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
