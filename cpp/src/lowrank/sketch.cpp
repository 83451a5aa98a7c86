#include "kexue/lowrank/sketch.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kexue/core/pool.hpp"

namespace kexue::lowrank {
namespace {

using std::ptrdiff_t;

// Rows of A per tile: with rows of 512 bytes a tile fills 192 KB of the second-level cache.
constexpr ptrdiff_t kTileRows = 384;
constexpr ptrdiff_t kProbeRows = 64;
// Rows of A per partial sum when there are too few column panels to share out.
constexpr ptrdiff_t kSplitRows = 4096;
constexpr ptrdiff_t kEnoughPanels = 64;

ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

// Streams of one key.
Key sign_key(Key key) { return subkey(key, 0); }
Key probe_key(Key key) { return subkey(key, 1); }

struct Block {
  ptrdiff_t first, size;
};
Block block_of(ptrdiff_t n_rows, ptrdiff_t q) {
  const ptrdiff_t first = n_rows * q / kSketchBlocks;
  return {first, n_rows * (q + 1) / kSketchBlocks - first};
}

// Row i of A: its target row and sign in block q.
struct Target {
  std::int32_t row;
  bool negative;
};
Target target_of(std::uint32_t word, Block block) {
  const auto position = (static_cast<std::uint64_t>(word >> 1) * block.size) >> 31;
  return {static_cast<std::int32_t>(block.first + static_cast<ptrdiff_t>(position)),
          (word & 1) != 0};
}

// The nonzeros of S for one tile of rows, sorted by target row.
template <class R>
struct TileLists {
  std::vector<std::int32_t> offsets;  // n_tiles * (n_rows + 1)
  std::vector<std::int32_t> rows;     // n_tiles * kTileRows * kSketchBlocks
  std::vector<R> signs;

  TileLists(ptrdiff_t m, ptrdiff_t n_rows, Key key, int workers) {
    const ptrdiff_t n_tiles = ceil_div(m, kTileRows);
    constexpr ptrdiff_t kEntries = kTileRows * kSketchBlocks;
    offsets.resize(static_cast<std::size_t>(n_tiles * (n_rows + 1)));
    rows.resize(static_cast<std::size_t>(n_tiles * kEntries));
    signs.resize(static_cast<std::size_t>(n_tiles * kEntries));
    const Key signs_key = sign_key(key);
    const auto build = [&](ptrdiff_t t, int) {
      std::int32_t* offset = offsets.data() + t * (n_rows + 1);
      const ptrdiff_t begin = t * kTileRows, end = std::min(m, begin + kTileRows);
      Target targets[kEntries];
      std::fill_n(offset, n_rows + 1, 0);
      for (ptrdiff_t i = begin; i < end; ++i) {
        const PhiloxBlock words = philox(signs_key, static_cast<std::uint64_t>(i));
        for (ptrdiff_t q = 0; q < kSketchBlocks; ++q) {
          const Target target = target_of(words.word[q], block_of(n_rows, q));
          targets[(i - begin) * kSketchBlocks + q] = target;
          ++offset[target.row + 1];
        }
      }
      for (ptrdiff_t j = 0; j < n_rows; ++j) offset[j + 1] += offset[j];
      std::vector<std::int32_t> next(offset, offset + n_rows);
      for (ptrdiff_t e = 0; e < (end - begin) * kSketchBlocks; ++e) {
        const ptrdiff_t place = t * kEntries + next[static_cast<std::size_t>(targets[e].row)]++;
        rows[static_cast<std::size_t>(place)] = static_cast<std::int32_t>(e / kSketchBlocks);
        signs[static_cast<std::size_t>(place)] = targets[e].negative ? R(-0.5) : R(0.5);
      }
    };
    parallel_for(n_tiles, build, n_tiles < 4 ? 1 : workers);
  }
};

template <class R>
AlignedBuffer<R> probe_weights(ptrdiff_t m, ptrdiff_t n_probes, Key key, int workers) {
  AlignedBuffer<R> weights(m * n_probes);
  fill_normal(probe_key(key), 0,
              std::span<R>(weights.data(), static_cast<std::size_t>(m * n_probes)), workers);
  return weights;
}

// Copies a block of A (a complex row is its interleaved reals) into a tile of `width` reals a row.
template <class T>
void pack_tile(MatrixView<const T> a, real_t<T>* tile, ptrdiff_t width) {
  constexpr ptrdiff_t kReals = is_complex_v<T> ? 2 : 1;
  const ptrdiff_t used = a.cols * kReals;
  T* out = reinterpret_cast<T*>(tile);
  const ptrdiff_t stride = width / kReals;
  if (used < width) {
    for (ptrdiff_t i = 0; i < a.rows; ++i) std::fill_n(tile + i * width + used, width - used, 0);
  }
  if (a.col_stride == 1) {
    for (ptrdiff_t i = 0; i < a.rows; ++i) {
#if defined(__GNUC__)
      // The pieces lie a matrix row apart: no hardware prefetcher follows them.
      const char* ahead = reinterpret_cast<const char*>(a.row(std::min(i + 16, a.rows - 1)));
      for (int line = 0; line < 8; ++line) __builtin_prefetch(ahead + 64 * line);
#endif
      std::memcpy(static_cast<void*>(out + i * stride), a.row(i),
                  static_cast<std::size_t>(a.cols) * sizeof(T));
    }
  } else {
    // Columns in groups of 8, so that a group's cache lines of the tile are filled together.
    for (ptrdiff_t j0 = 0; j0 < a.cols; j0 += 8) {
      const ptrdiff_t j1 = std::min(a.cols, j0 + 8);
      for (ptrdiff_t i = 0; i < a.rows; ++i) {
        for (ptrdiff_t j = j0; j < j1; ++j) out[i * stride + j] = a(i, j);
      }
    }
  }
}

}  // namespace

template <class T>
ColumnStrips<T> sparse_sign_sketch(MatrixView<const T> a, ptrdiff_t n_rows, Key key,
                                   MatrixView<T> probes, int workers) {
  using R = real_t<T>;
  constexpr ptrdiff_t kReals = is_complex_v<T> ? 2 : 1;
  constexpr ptrdiff_t kWidth = kSketchWidth<R>, kColumns = kWidth / kReals;
  const auto& gather = [] {
    if constexpr (std::is_same_v<R, float>) return sketch_tables().f32.gather;
    if constexpr (std::is_same_v<R, double>) return sketch_tables().f64.gather;
  }();
  const auto& kernels = gemm_kernels<R>();
  const ptrdiff_t m = a.rows, n = a.cols, n_probes = probes.rows;
  ColumnStrips<T> y(n_rows, n);
  const TileLists<R> lists(m, n_rows, key, workers);
  const auto weights = probe_weights<R>(m, n_probes, key, workers);
  const PackedRows<R> packed_weights(row_major<const R>(weights.data(), m, n_probes).transposed(),
                                     false, R(1), workers);

  const ptrdiff_t panels = ceil_div(n, kColumns);
  const ptrdiff_t splits = std::clamp<ptrdiff_t>(kEnoughPanels / std::max<ptrdiff_t>(panels, 1), 1,
                                                 std::max<ptrdiff_t>(1, m / kSplitRows));
  const ptrdiff_t probe_rows = packed_weights.n_strips() * kernels.mr;
  const ptrdiff_t panel_size = (n_rows + probe_rows) * kWidth;
  // With one split a worker's panel goes straight to the output, else all are kept and summed.
  const int used = planned_workers(panels * splits, m * n < 20000 ? 1 : workers);
  AlignedBuffer<R> sums((splits > 1 ? panels * splits : used) * panel_size);
  AlignedBuffer<R> tiles(used * kTileRows * kWidth);

  const auto store = [&](ptrdiff_t panel, const R* sum) {
    const ptrdiff_t j0 = panel * kColumns, cols = std::min(kColumns, n - j0), nr = y.width();
    // Columns beyond the matrix are zero in the tile too.
    for (ptrdiff_t c = 0; c < kColumns && j0 + c < n; c += nr) {
      const R* from = sum + c * kReals;
      R* to = y.strip((j0 + c) / nr);
      for (ptrdiff_t i = 0; i < n_rows; ++i) {
        for (ptrdiff_t j = 0; j < nr; ++j) {
          for (ptrdiff_t plane = 0; plane < kReals; ++plane) {
            to[(plane * n_rows + i) * nr + j] = from[i * kWidth + kReals * j + plane];
          }
        }
      }
    }
    for (ptrdiff_t i = 0; i < n_probes; ++i) {
      std::memcpy(static_cast<void*>(&probes(i, j0)), sum + (n_rows + i) * kWidth,
                  static_cast<std::size_t>(cols) * sizeof(T));
    }
  };

  parallel_for(
      panels * splits,
      [&](ptrdiff_t chunk, int slot) {
        const ptrdiff_t panel = chunk / splits, split = chunk % splits;
        const ptrdiff_t j0 = panel * kColumns, cols = std::min(kColumns, n - j0);
        R* tile = tiles.data() + slot * kTileRows * kWidth;
        R* sum = sums.data() + (splits > 1 ? chunk : slot) * panel_size;
        std::fill_n(sum, panel_size, R(0));
        const ptrdiff_t n_tiles = ceil_div(m, kTileRows);
        for (ptrdiff_t t = n_tiles * split / splits; t < n_tiles * (split + 1) / splits; ++t) {
          const ptrdiff_t i0 = t * kTileRows, rows = std::min(kTileRows, m - i0);
          pack_tile<T>(a.block(i0, j0, rows, cols), tile, kWidth);
          // Blocks of rows that stay in the first-level cache, for every strip of the probes.
          for (ptrdiff_t k0 = 0; k0 < rows; k0 += kProbeRows) {
            const ptrdiff_t depth = std::min(kProbeRows, rows - k0);
            for (ptrdiff_t c = 0; c < kWidth; c += kernels.nr) {
              for (ptrdiff_t s = 0; s < packed_weights.n_strips(); ++s) {
                kernels.micro(depth, packed_weights.strip(s) + (i0 + k0) * kernels.mr,
                              tile + k0 * kWidth + c, kWidth,
                              sum + (n_rows + s * kernels.mr) * kWidth + c, kWidth);
              }
            }
          }
          const auto entries = static_cast<std::size_t>(t * kTileRows * kSketchBlocks);
          gather(tile, kWidth, n_rows, lists.offsets.data() + t * (n_rows + 1),
                 lists.rows.data() + entries, lists.signs.data() + entries, sum);
        }
        if (splits == 1) store(panel, sum);
      },
      used);
  if (splits == 1) return y;
  parallel_for(
      panels,
      [&](ptrdiff_t panel, int) {
        R* total = sums.data() + panel * splits * panel_size;
        for (ptrdiff_t s = 1; s < splits; ++s) {
          const R* part = total + s * panel_size;
          for (ptrdiff_t i = 0; i < panel_size; ++i) total[i] += part[i];
        }
        store(panel, total);
      },
      used);
  return y;
}

template <class T, class Index>
ColumnStrips<T> sparse_sign_sketch_csr(ptrdiff_t m, const Index* indptr, const Index* indices,
                                       const T* data, ptrdiff_t n_rows, Key key,
                                       MatrixView<T> probes, int workers) {
  using R = real_t<T>;
  const ptrdiff_t n_probes = probes.rows;
  const auto weights = probe_weights<R>(m, n_probes, key, workers);
  const Key signs_key = sign_key(key);
  AlignedBuffer<T> rows(n_rows * probes.cols);
  const auto y = row_major(rows.data(), n_rows, probes.cols);
  // Each block of S, and each probe, is a task of its own: no two write the same row.
  parallel_for(
      kSketchBlocks + n_probes,
      [&](ptrdiff_t task, int) {
        if (task >= kSketchBlocks) {
          const ptrdiff_t p = task - kSketchBlocks;
          T* out = probes.row(p);
          std::fill_n(out, probes.cols, T(0));
          for (ptrdiff_t i = 0; i < m; ++i) {
            const R weight = weights[i * n_probes + p];
            for (Index e = indptr[i]; e < indptr[i + 1]; ++e) out[indices[e]] += weight * data[e];
          }
          return;
        }
        const Block block = block_of(y.rows, task);
        for (ptrdiff_t j = 0; j < block.size; ++j)
          std::fill_n(y.row(block.first + j), y.cols, T(0));
        for (ptrdiff_t i = 0; i < m; ++i) {
          if (indptr[i] == indptr[i + 1]) continue;
          const PhiloxBlock words = philox(signs_key, static_cast<std::uint64_t>(i));
          const Target target = target_of(words.word[task], block);
          const R sign = target.negative ? R(-0.5) : R(0.5);
          T* out = y.row(target.row);
          for (Index e = indptr[i]; e < indptr[i + 1]; ++e) out[indices[e]] += sign * data[e];
        }
      },
      workers);
  return ColumnStrips<T>(y, workers);
}

#define KEXUE_INSTANTIATE(T)                                                          \
  template ColumnStrips<T> sparse_sign_sketch<T>(MatrixView<const T>, ptrdiff_t, Key, \
                                                 MatrixView<T>, int);                 \
  template ColumnStrips<T> sparse_sign_sketch_csr<T, std::int32_t>(                   \
      ptrdiff_t, const std::int32_t*, const std::int32_t*, const T*, ptrdiff_t, Key,  \
      MatrixView<T>, int);                                                            \
  template ColumnStrips<T> sparse_sign_sketch_csr<T, std::int64_t>(                   \
      ptrdiff_t, const std::int64_t*, const std::int64_t*, const T*, ptrdiff_t, Key,  \
      MatrixView<T>, int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::lowrank
