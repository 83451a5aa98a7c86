// Batches of rows on the pool, and long loops over one row.
#pragma once

#include <algorithm>
#include <cstddef>

#include "kexue/core/pool.hpp"

namespace kexue::simplex {

// Entries of a chunk of rows: 20 microseconds or more of any projection.
inline constexpr std::ptrdiff_t kChunkEntries = 1 << 14;

// f(i, slot) for every row i, several short rows to a chunk.
template <class F>
void for_each_row(std::ptrdiff_t rows, std::ptrdiff_t cols, int workers, F&& f) {
  const std::ptrdiff_t per_chunk =
      std::max<std::ptrdiff_t>(1, kChunkEntries / std::max<std::ptrdiff_t>(1, cols));
  parallel_for((rows + per_chunk - 1) / per_chunk,
               [&](std::ptrdiff_t chunk, int slot) {
                 const std::ptrdiff_t end = std::min(rows, (chunk + 1) * per_chunk);
                 for (std::ptrdiff_t i = chunk * per_chunk; i < end; ++i) f(i, slot);
               },
               workers);
}

// f(begin, end) on consecutive pieces of [0, n), Ctrl-C honoured between them: some milliseconds.
inline constexpr std::ptrdiff_t kPollEntries = 1 << 18;
template <class F>
void for_polled(std::ptrdiff_t n, F&& f) {
  for (std::ptrdiff_t i = 0; i < n; i += kPollEntries) {
    poll_interrupt();
    f(i, std::min(n, i + kPollEntries));
  }
}

// Called once an entry, where a loop cannot be cut into pieces.
class Poll {
 public:
  void operator()() {
    if (++count_ % kEvery == 0) poll_interrupt();
  }

 private:
  static constexpr unsigned kEvery = 1 << 16;
  unsigned count_ = 0;
};

}  // namespace kexue::simplex
