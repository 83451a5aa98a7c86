// The texts of a batch on the pool.
//
// Blocks of texts are handed out one after the other. A worker appends all that it writes to tokens
// of its own, and looks at the texts itself: memory that one processor has written and another
// reads, or writes next, costs as much as the work on it where they share no cache.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "choices.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/tokenizer.hpp"

namespace kexue::lattice {

// What one worker writes.
struct alignas(64) Part {
  Tokens tokens;
};

// The rows of a block within its worker's.
struct Piece {
  std::size_t part = 0, row = 0, n_rows = 0, count = 0, n_counts = 0;
  std::ptrdiff_t id = 0, n_ids = 0;

  static Piece beginning(std::size_t part, const Tokens& tokens) {
    return {part, tokens.offsets.size() - 1, 0, tokens.counts.size(), 0, tokens.ids.size(), 0};
  }
  void end(const Tokens& tokens) {
    n_rows = tokens.offsets.size() - 1 - row;
    n_counts = tokens.counts.size() - count;
    n_ids = tokens.ids.size() - id;
  }
};

// The rows of the pieces one after the other, or the fault of the first text that has one. The
// parts are used up; a single one needs no pieces.
Tokens gather(std::vector<Part>& parts, std::span<const Piece> pieces);

// So many blocks for each worker, unless they would be too large: nobody waits long for the last.
constexpr std::ptrdiff_t kBlocksEach = 64;
// Ids that a worker's first block makes it reserve; the first text may be the only long one.
constexpr std::ptrdiff_t kMostExpected = std::ptrdiff_t{1} << 22;

// work(scratch, begin, end, tokens) appends what becomes of begin .. end - 1 of 0 .. n - 1, in
// blocks of at most `most`; make_scratch() once for each worker. `n_rows`: how many rows all have.
template <class MakeScratch, class Work>
Tokens in_blocks(std::ptrdiff_t n, std::ptrdiff_t most, std::ptrdiff_t n_rows, int workers,
                 MakeScratch&& make_scratch, Work&& work) {
  workers = planned_workers(n, workers);
  const std::ptrdiff_t block =
      workers == 1 ? most : std::clamp<std::ptrdiff_t>(n / (kBlocksEach * workers), 1, most);
  const std::ptrdiff_t n_blocks = (n + block - 1) / block;
  using Scratch = decltype(make_scratch());
  std::vector<Scratch> scratch;
  scratch.reserve(static_cast<std::size_t>(workers));
  for (int slot = 0; slot < workers; ++slot) scratch.push_back(make_scratch());
  std::vector<Part> parts(static_cast<std::size_t>(workers));
  std::vector<Piece> pieces(static_cast<std::size_t>(workers == 1 ? 0 : n_blocks));
  parallel_for(
      n_blocks,
      [&](std::ptrdiff_t number, int slot) {
        const auto s = static_cast<std::size_t>(slot);
        Tokens& part = parts[s].tokens;
        if (part.fault.kind != TextFault::kNone) return;
        const bool first = part.offsets.size() == 1;
        if (first)
          part.offsets.reserve(static_cast<std::size_t>(n_rows / workers + n_rows / 16) + 2);
        Piece piece = Piece::beginning(s, part);
        work(scratch[s], number * block, std::min(n, (number + 1) * block), part);
        if (first) part.ids.expect(std::min(kMostExpected, part.ids.size() * (n_blocks / workers)));
        if (workers == 1) return;
        piece.end(part);
        pieces[static_cast<std::size_t>(number)] = piece;
      },
      workers);
  return gather(parts, pieces);
}

// Looks at one text; false if it is none.
inline bool look(const TextSource& texts, std::ptrdiff_t i, TextView& view, Fault& fault) {
  if (texts.view(texts.items, i, i + 1, &view) == i + 1) return true;
  fault = {TextFault::kNoText, i, 0};
  return false;
}

// Those of kTogether rows in which `size` rows of a text are made.
inline std::ptrdiff_t steps_of(std::ptrdiff_t size) {
  return std::max<std::ptrdiff_t>(1, (size + kTogether - 1) / kTogether);
}

// work(scratch, text, i, begin, end, tokens) appends the rows begin .. end - 1 of `size` of text i,
// or sets tokens.fault.
template <class MakeScratch, class Work>
Tokens for_each_row(const TextSource& texts, std::ptrdiff_t size, int workers,
                    MakeScratch&& make_scratch, Work&& work) {
  constexpr std::ptrdiff_t kMost = 64;  // of the steps of kTogether rows
  const std::ptrdiff_t each = steps_of(size);
  return in_blocks(texts.size * each, kMost, texts.size * size, workers, make_scratch,
                   [&](auto& scratch, std::ptrdiff_t begin, std::ptrdiff_t end, Tokens& out) {
                     for (std::ptrdiff_t step = begin; step < end;) {
                       const std::ptrdiff_t i = step / each, stop = std::min(end, (i + 1) * each);
                       const std::ptrdiff_t row = (step - i * each) * kTogether;
                       const std::ptrdiff_t last = std::min(size, (stop - i * each) * kTogether);
                       TextView text;
                       if (!look(texts, i, text, out.fault)) return;
                       if (row < last) work(scratch, text, i, row, last, out);
                       if (out.fault.kind != TextFault::kNone) {
                         out.fault.text = i;
                         return;
                       }
                       step = stop;
                     }
                   });
}

constexpr std::ptrdiff_t kBatchBytes = 1 << 14;  // of text, about

// work(scratch, views, first, tokens) appends the rows of some texts, the first of which has this
// number, or sets tokens.fault; each text has about `rows` rows.
template <class MakeScratch, class Work>
Tokens for_each_batch(const TextSource& texts, std::ptrdiff_t rows, int workers,
                      MakeScratch&& make_scratch, Work&& work) {
  constexpr std::ptrdiff_t kMost = 128;
  return in_blocks(
      texts.size, kMost, texts.size * rows, workers, make_scratch,
      [&](auto& scratch, std::ptrdiff_t begin, std::ptrdiff_t end, Tokens& out) {
        TextView views[kMost];
        const std::ptrdiff_t n = texts.view(texts.items, begin, end, views) - begin;
        for (std::ptrdiff_t i = 0, j = 0; i < n && out.fault.kind == TextFault::kNone; i = j) {
          for (std::ptrdiff_t bytes = 0; j < n && bytes < kBatchBytes; ++j) {
            bytes += views[j].size * (views[j].storage < Storage::kUcs2 ? 1 : 3) + 16;
          }
          work(scratch, std::span<const TextView>(views + i, views + j), begin + i, out);
        }
        if (begin + n < end && out.fault.kind == TextFault::kNone) {
          out.fault = {TextFault::kNoText, begin + n, 0};
        }
      });
}

// Opens the texts together, up to the first that is refused; put() appends the rows of each up to
// the first that has no path and returns their number. `first` is the number of the first text.
template <class Put>
void put_texts(const Unigram& model, const Normalizer* normalizer, std::span<const TextView> texts,
               std::ptrdiff_t first, Line& line, Tokens& out, Put&& put) {
  Fault refused;
  const std::ptrdiff_t opened = line.open(model, normalizer, texts, refused);
  const std::ptrdiff_t put_down = put();
  if (put_down < opened) {
    out.fault = line.uncovered(model, normalizer, texts[static_cast<std::size_t>(put_down)]);
    out.fault.text = first + put_down;
  } else if (opened < std::ssize(texts)) {
    out.fault = refused;
    out.fault.text = first + opened;
  }
}

}  // namespace kexue::lattice
