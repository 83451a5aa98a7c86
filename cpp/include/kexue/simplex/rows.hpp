// Work on batches of rows: chunks for the pool, rows with special values, block sizes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <vector>

#include "kexue/core/buffer.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/simplex/kernels.hpp"
#include "kexue/simplex/maps.hpp"

namespace kexue::simplex {

// A row of at least this many entries is cut into blocks; a smaller one stays in the second-level
// cache between its sweeps.
inline constexpr std::ptrdiff_t kHugeRow = std::ptrdiff_t{1} << 18;
inline constexpr std::ptrdiff_t kBlock = std::ptrdiff_t{1} << 16;
// Blocks are read in tiles that stay in the first-level cache.
inline constexpr std::ptrdiff_t kTile = 4096;
// Outputs of more bytes than this are written past the cache: half of a third-level cache of
// 32 MiB. Below, plain stores are up to twice as fast (AVX-512, 10000 rows of 100).
inline constexpr std::ptrdiff_t kPastBytes = std::ptrdiff_t{16} << 20;
// Elements of one chunk of rows: some 20 microseconds of work.
inline constexpr std::ptrdiff_t kChunk = std::ptrdiff_t{1} << 15;

template <class T>
const SoftmaxKernels<T>& softmax_kernels() {
  if constexpr (std::is_same_v<T, double>) {
    return simplex_softmax_kernels().f64;
  } else {
    return simplex_softmax_kernels().f32;
  }
}
template <class T>
const SparseKernels<T>& sparse_kernels() {
  if constexpr (std::is_same_v<T, double>) {
    return simplex_sparse_kernels().f64;
  } else {
    return simplex_sparse_kernels().f32;
  }
}
template <class T>
const ShortKernels<T>& short_kernels() {
  if constexpr (std::is_same_v<T, double>) {
    return simplex_short_kernels().f64;
  } else {
    return simplex_short_kernels().f32;
  }
}
template <class T>
const GradientKernels<T>& gradient_kernels() {
  if constexpr (std::is_same_v<T, double>) {
    return simplex_gradient_kernels().f64;
  } else {
    return simplex_gradient_kernels().f32;
  }
}

template <class T>
bool write_past(const Batch<T>& batch) {
  return batch.n_rows * batch.n * static_cast<std::ptrdiff_t>(sizeof(T)) > kPastBytes;
}

// Of short rows whole groups: as many as there are lanes, part of a group takes as long as one.
inline std::ptrdiff_t rows_per_chunk(std::ptrdiff_t n) {
  constexpr std::ptrdiff_t kGroup = 16;
  const std::ptrdiff_t rows = std::max<std::ptrdiff_t>(1, kChunk / n);
  return n <= kShortRow ? rows / kGroup * kGroup : rows;
}

// f(first row, number of rows, slot) on chunks of rows, on the pool: of `together` rows at least,
// but four chunks a worker.
template <class F>
void for_row_chunks(std::ptrdiff_t n_rows, std::ptrdiff_t n, int workers, F&& f,
                    std::ptrdiff_t together = 1) {
  const std::ptrdiff_t share = n_rows / (4 * planned_workers(n_rows, workers));
  const std::ptrdiff_t rows = std::max(rows_per_chunk(n), std::min(together, share));
  const std::ptrdiff_t n_chunks = (n_rows + rows - 1) / rows;
  parallel_for(
      n_chunks,
      [&](std::ptrdiff_t chunk, int slot) {
        const std::ptrdiff_t first = chunk * rows;
        f(first, std::min(rows, n_rows - first), slot);
      },
      workers);
}
inline std::ptrdiff_t planned_row_chunks(std::ptrdiff_t n_rows, std::ptrdiff_t n) {
  const std::ptrdiff_t rows = rows_per_chunk(n);
  return (n_rows + rows - 1) / rows;
}

// One buffer of `size` elements per thread, made when first asked for.
template <class T>
class SlotBuffers {
 public:
  SlotBuffers(int n_slots, std::ptrdiff_t size)
      : size_(size), buffers_(static_cast<std::size_t>(n_slots)) {}
  T* operator[](int slot) {
    AlignedBuffer<T>& buffer = buffers_[static_cast<std::size_t>(slot)];
    if (buffer.data() == nullptr) buffer = AlignedBuffer<T>(size_);
    return buffer.data();
  }

 private:
  std::ptrdiff_t size_;
  std::vector<AlignedBuffer<T>> buffers_;
};

// A row with NaN, +inf or nothing finite. `shared` is what the value of each of `count` +inf
// entries is, `rest` that of the others. Returns whether the row is empty.
template <class T>
bool special_row(const T* x, T* out, std::ptrdiff_t n, Empty empty, T empty_value, bool logarithm,
                 T mass = T(1)) {
  constexpr T kInf = std::numeric_limits<T>::infinity();
  constexpr T kNaN = std::numeric_limits<T>::quiet_NaN();
  std::ptrdiff_t infinite = 0;
  bool nan = false;
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    nan = nan || std::isnan(x[i]);
    infinite += x[i] == kInf ? 1 : 0;
  }
  if (nan || infinite == 0) {
    std::fill_n(out, n, nan || empty == Empty::nan ? kNaN : empty_value);
    return !nan;
  }
  const T share = static_cast<T>(1.0 / static_cast<double>(infinite));
  const T inside = logarithm ? std::log(share) : share * mass, outside = logarithm ? -kInf : T(0);
  for (std::ptrdiff_t i = 0; i < n; ++i) out[i] = x[i] == kInf ? inside : outside;
  return false;
}

}  // namespace kexue::simplex
