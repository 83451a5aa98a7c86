// Edges to ids, and the loop over the texts of a batch.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "kexue/core/pool.hpp"
#include "kexue/lattice/tokenizer.hpp"

namespace kexue::lattice {

// The ids of one text's edges.
class Emitter {
 public:
  Emitter(const Unigram& model, Ids& ids) : model_(model), ids_(ids), begin_(ids.size()) {}

  // Ids from here on belong to another text.
  void restart(const std::int32_t* here) { begin_ = count(here); }
  // Room for the ids of `bytes` bytes of text: at most 3 for each.
  std::int32_t* room(std::ptrdiff_t bytes) { return ids_.room(3 * bytes); }
  void close(const std::int32_t* end) { ids_.close(end); }
  std::ptrdiff_t count(const std::int32_t* end) const { return end - ids_.data(); }

  // Writes the ids of an edge over these bytes and returns their end.
  std::int32_t* put(Edge edge, const std::uint8_t* text, std::int32_t* to) const {
    if (edge.piece < 0) return put_unknown(edge, text, to);
    *to = edge.piece;
    return to + 1;
  }

 private:
  std::int32_t* put_unknown(Edge edge, const std::uint8_t* text, std::int32_t* to) const {
    if (!model_.byte_fallback()) {
      const std::int32_t id = model_.unknown_piece();
      const bool again = to > ids_.data() + begin_ && to[-1] == id;
      if (!again) *to++ = id;
      return to;
    }
    if (model_.options().space_mark && *text == ' ') {
      for (const int byte : {0xE2, 0x96, 0x81}) {
        *to++ = model_.byte_piece(static_cast<std::uint8_t>(byte));
      }
      return to;
    }
    for (std::uint32_t k = 0; k < edge.length; ++k) *to++ = model_.byte_piece(text[k]);
    return to;
  }

  const Unigram& model_;
  Ids& ids_;
  std::ptrdiff_t begin_;
};

// Samples of one text that share a sweep.
constexpr std::ptrdiff_t kTogether = 32;

constexpr std::ptrdiff_t kChunkBytes = 1 << 14;  // of text, about

// work(scratch, chunk, tokens) on the pool, joined in the order of the chunks; make_scratch() once
// for each worker.
template <class MakeScratch, class Work>
Tokens join_chunks(std::ptrdiff_t n_chunks, int workers, MakeScratch&& make_scratch, Work&& work) {
  workers = planned_workers(n_chunks, workers);
  using Scratch = decltype(make_scratch());
  std::vector<Scratch> scratch;
  scratch.reserve(static_cast<std::size_t>(workers));
  for (int slot = 0; slot < workers; ++slot) scratch.push_back(make_scratch());
  std::vector<Tokens> parts(static_cast<std::size_t>(n_chunks));
  parallel_for(
      n_chunks,
      [&](std::ptrdiff_t chunk, int slot) {
        const auto c = static_cast<std::size_t>(chunk);
        work(scratch[static_cast<std::size_t>(slot)], c, parts[c]);
      },
      workers);
  return join(parts);
}

// work(scratch, i, begin, end, tokens) appends the rows begin .. end - 1 of `size` of text i, or
// sets tokens.fault.
template <class MakeScratch, class Work>
Tokens for_each_row(std::span<const TextView> texts, std::ptrdiff_t size, int workers,
                    MakeScratch&& make_scratch, Work&& work) {
  struct Place {
    std::ptrdiff_t text, row;
  };
  const std::ptrdiff_t n_texts = std::ssize(texts);
  std::vector<Place> first{{0, 0}};  // of each chunk
  std::ptrdiff_t bytes = 0;
  for (std::ptrdiff_t i = 0; i < n_texts; ++i) {
    const std::ptrdiff_t length = texts[static_cast<std::size_t>(i)].size + 16;
    for (std::ptrdiff_t row = 0; row < size; row += kTogether) {
      if (bytes >= kChunkBytes) {
        first.push_back({i, row});
        bytes = 0;
      }
      bytes += length * std::min(kTogether, size - row);
    }
  }
  first.push_back({n_texts, 0});
  return join_chunks(std::ssize(first) - 1, workers, make_scratch,
                     [&](auto& scratch, std::size_t chunk, Tokens& part) {
                       const Place begin = first[chunk], end = first[chunk + 1];
                       for (std::ptrdiff_t i = begin.text; i <= end.text && i < n_texts; ++i) {
                         const std::ptrdiff_t from = i == begin.text ? begin.row : 0;
                         const std::ptrdiff_t to = i == end.text ? end.row : size;
                         if (from == to) continue;
                         work(scratch, i, from, to, part);
                         if (part.fault.kind == TextFault::kNone) continue;
                         part.fault.text = i;
                         return;
                       }
                     });
}

// work(scratch, begin, end, tokens) appends the rows of the texts begin .. end - 1, or sets
// tokens.fault.
template <class MakeScratch, class Work>
Tokens for_each_chunk(std::span<const TextView> texts, int workers, MakeScratch&& make_scratch,
                      Work&& work) {
  std::vector<std::ptrdiff_t> first{0};  // of each chunk
  std::ptrdiff_t bytes = 0;
  for (std::ptrdiff_t i = 0; i < std::ssize(texts); ++i) {
    if (bytes >= kChunkBytes) {
      first.push_back(i);
      bytes = 0;
    }
    const TextView& text = texts[static_cast<std::size_t>(i)];
    bytes += text.size * (text.storage < Storage::kUcs2 ? 1 : 3) + 16;
  }
  first.push_back(std::ssize(texts));
  return join_chunks(std::ssize(first) - 1, workers, make_scratch,
                     [&](auto& scratch, std::size_t chunk, Tokens& part) {
                       work(scratch, first[chunk], first[chunk + 1], part);
                     });
}

// Opens the texts begin .. end - 1 together, up to the first that is refused; put() appends the
// rows of each up to the first that has no path and returns their number.
template <class Put>
void put_texts(const Unigram& model, const Normalizer* normalizer, std::span<const TextView> texts,
               std::ptrdiff_t begin, std::ptrdiff_t end, Line& line, Tokens& out, Put&& put) {
  Fault refused;
  const auto n = static_cast<std::size_t>(end - begin);
  const std::ptrdiff_t i =
      begin +
      line.open(model, normalizer, texts.subspan(static_cast<std::size_t>(begin), n), refused);
  const std::ptrdiff_t pathless = begin + put();
  if (pathless < i) {
    out.fault = line.uncovered(model, normalizer, texts[static_cast<std::size_t>(pathless)]);
    out.fault.text = pathless;
  } else if (i < end) {
    out.fault = refused;
    out.fault.text = i;
  }
}

}  // namespace kexue::lattice
