// Batches of rows on the pool.
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

}  // namespace kexue::simplex
