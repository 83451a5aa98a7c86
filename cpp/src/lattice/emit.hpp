// Edges to ids, and the loop over the texts of a batch.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kexue/core/pool.hpp"
#include "kexue/lattice/tokenizer.hpp"

namespace kexue::lattice {

// Appends the ids of one text's edges.
class Emitter {
 public:
  Emitter(const Unigram& model, std::vector<std::int32_t>& ids)
      : model_(model), ids_(ids), begin_(ids.size()) {}

  // `text`: the bytes of the edge.
  void operator()(Edge edge, const std::uint8_t* text) {
    if (edge.piece >= 0) {
      ids_.push_back(edge.piece);
      return;
    }
    unknown(edge, text);
  }

 private:
  void unknown(Edge edge, const std::uint8_t* text) {
    if (!model_.byte_fallback()) {
      const std::int32_t id = model_.unknown_piece();
      const bool again = ids_.size() > begin_ && ids_.back() == id;
      if (!again) ids_.push_back(id);
      return;
    }
    if (model_.options().space_mark && *text == ' ') {
      for (const int byte : {0xE2, 0x96, 0x81}) {
        ids_.push_back(model_.byte_piece(static_cast<std::uint8_t>(byte)));
      }
      return;
    }
    for (std::uint32_t k = 0; k < edge.length; ++k) ids_.push_back(model_.byte_piece(text[k]));
  }

  const Unigram& model_;
  std::vector<std::int32_t>& ids_;
  std::size_t begin_;
};

// work(scratch, i, tokens) appends the rows of text i, `rows` each, or sets tokens.fault. Texts go
// to the pool in chunks of about 2^14 bytes; make_scratch() once for each worker.
template <class MakeScratch, class Work>
Tokens for_each_text(std::span<const TextView> texts, std::ptrdiff_t rows, int workers,
                     MakeScratch&& make_scratch, Work&& work) {
  constexpr std::ptrdiff_t kChunk = 1 << 14;
  std::vector<std::ptrdiff_t> first{0};  // the first text of each chunk
  std::ptrdiff_t bytes = 0;
  for (std::ptrdiff_t i = 0; i < std::ssize(texts); ++i) {
    bytes += (texts[static_cast<std::size_t>(i)].size + 16) * rows;
    if (bytes < kChunk && i + 1 < std::ssize(texts)) continue;
    first.push_back(i + 1);
    bytes = 0;
  }
  const std::ptrdiff_t n_chunks = std::ssize(first) - 1;
  workers = planned_workers(n_chunks, workers);
  using Scratch = decltype(make_scratch());
  std::vector<Scratch> scratch;
  for (int slot = 0; slot < workers; ++slot) scratch.push_back(make_scratch());
  std::vector<Tokens> parts(static_cast<std::size_t>(n_chunks));
  parallel_for(
      n_chunks,
      [&](std::ptrdiff_t chunk, int slot) {
        Tokens& part = parts[static_cast<std::size_t>(chunk)];
        const auto at = static_cast<std::size_t>(chunk);
        for (std::ptrdiff_t i = first[at]; i < first[at + 1]; ++i) {
          work(scratch[static_cast<std::size_t>(slot)], i, part);
          if (part.fault.kind == TextFault::kNone) continue;
          part.fault.text = i;
          return;
        }
      },
      workers);
  Tokens all;
  std::size_t n_ids = 0, n_rows = 0;
  for (const Tokens& part : parts) {
    if (part.fault.kind != TextFault::kNone) {
      all.fault = part.fault;
      return all;
    }
    n_ids += part.ids.size();
    n_rows += part.offsets.size() - 1;
  }
  if (parts.size() == 1) return std::move(parts.front());
  all.ids.reserve(n_ids);
  all.offsets.reserve(n_rows + 1);
  for (Tokens& part : parts) {
    const Index base = std::ssize(all.ids);
    for (std::size_t r = 1; r < part.offsets.size(); ++r) {
      all.offsets.push_back(base + part.offsets[r]);
    }
    all.ids.insert(all.ids.end(), part.ids.begin(), part.ids.end());
    part = Tokens{};
  }
  return all;
}

}  // namespace kexue::lattice
