#include "kexue/lowrank/sketch.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>
#include <vector>

#include "kexue/core/index.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/core/vectors.hpp"

namespace kexue::lowrank {
namespace {

using std::ptrdiff_t;

// Rows of A per tile: it fills 192 KB of the second-level cache, a strip 24 KB of the first.
constexpr ptrdiff_t kTileRows = 384;
constexpr ptrdiff_t kProbeRows = 64;
// Rows of A per partial sum when there are too few column panels to share out.
constexpr ptrdiff_t kSplitRows = 4096;
constexpr ptrdiff_t kEnoughPanels = 64;

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

// W, its rows padded to a multiple of what the kernel takes, and the nonzeros of S, for every tile
// of rows of A sorted by target row. Places are those of a strip.
template <class R>
class Weights {
 public:
  Weights(ptrdiff_t m, ptrdiff_t n_rows, ptrdiff_t n_probes, ptrdiff_t padded, Key key, int workers)
      : n_rows_(n_rows),
        padded_(padded),
        offsets_(ceil_div(m, kTileRows) * (n_rows + 1)),
        rows_(ceil_div(m, kTileRows) * kEntries),
        signs_(rows_.size()),
        probes_(m * padded) {
    const ptrdiff_t n_tiles = ceil_div(m, kTileRows);
    parallel_for(
        n_tiles,
        [&](ptrdiff_t t, int) {
          const ptrdiff_t begin = t * kTileRows, end = std::min(m, begin + kTileRows);
          build(t, begin, end, sign_key(key));
          draw(begin, end, n_probes, probe_key(key));
        },
        n_tiles < 4 ? 1 : workers);
  }

  const std::int32_t* offsets(ptrdiff_t t) const { return offsets_.data() + t * (n_rows_ + 1); }
  const std::int32_t* rows(ptrdiff_t t) const { return rows_.data() + t * kEntries; }
  const R* signs(ptrdiff_t t) const { return signs_.data() + t * kEntries; }
  // Of row i of A.
  const R* probes(ptrdiff_t i) const { return probes_.data() + i * padded_; }

 private:
  static constexpr ptrdiff_t kEntries = kTileRows * kSketchBlocks;

  void draw(ptrdiff_t begin, ptrdiff_t end, ptrdiff_t n_probes, Key key) {
    R* rows = probes_.data() + begin * padded_;
    const auto size = at((end - begin) * n_probes);
    fill_normal(key, static_cast<std::uint64_t>(begin * n_probes), std::span<R>(rows, size), 1);
    if (padded_ == n_probes) return;
    for (ptrdiff_t i = end - begin; i-- > 0;) {
      std::copy_backward(rows + i * n_probes, rows + (i + 1) * n_probes,
                         rows + i * padded_ + n_probes);
      std::fill_n(rows + i * padded_ + n_probes, padded_ - n_probes, R(0));
    }
  }

  void build(ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end, Key key) {
    std::int32_t* offset = offsets_.data() + t * (n_rows_ + 1);
    std::fill_n(offset, n_rows_ + 1, 0);
    Target targets[kEntries];
    for (ptrdiff_t i = begin; i < end; ++i) {
      const PhiloxBlock words = philox(key, static_cast<std::uint64_t>(i));
      for (ptrdiff_t q = 0; q < kSketchBlocks; ++q) {
        const Target target = target_of(words.word[q], block_of(n_rows_, q));
        targets[(i - begin) * kSketchBlocks + q] = target;
        ++offset[target.row + 1];
      }
    }
    for (ptrdiff_t j = 0; j < n_rows_; ++j) offset[j + 1] += offset[j];
    std::vector<std::int32_t> next(offset, offset + n_rows_);
    for (ptrdiff_t e = 0; e < (end - begin) * kSketchBlocks; ++e) {
      const ptrdiff_t place = t * kEntries + next[at(targets[e].row)]++;
      rows_[place] = static_cast<std::int32_t>(e / kSketchBlocks * kSketchStrip<R>);
      signs_[place] = targets[e].negative ? R(-0.5) : R(0.5);
    }
  }

  ptrdiff_t n_rows_, padded_;
  AlignedBuffer<std::int32_t> offsets_, rows_;
  AlignedBuffer<R> signs_, probes_;
};

template <class R>
constexpr ptrdiff_t kStripSize = kTileRows * kSketchStrip<R>;

// A tile can be packed from the rows of a block as they lie.
template <class T>
bool is_whole(MatrixView<const T> a) {
  return a.col_stride == 1 && a.cols * (is_complex_v<T> ? 2 : 1) == kSketchWidth<real_t<T>>;
}

// Copies any other block of A (a complex row is its interleaved reals) into a tile, from its column
// `first` on. The columns before and after it stay.
template <class T>
void pack_tile(MatrixView<const T> a, ptrdiff_t first, real_t<T>* tile) {
  using R = real_t<T>;
  constexpr ptrdiff_t kReals = is_complex_v<T> ? 2 : 1, kStrip = kSketchStrip<R>;
  // A strip at a time, so that its cache lines are filled together.
  constexpr ptrdiff_t kColumns = kStrip / kReals;
  for (ptrdiff_t j0 = 0; j0 < a.cols;) {
    const ptrdiff_t place = first + j0, cols = std::min(kColumns - place % kColumns, a.cols - j0);
    T* strip = reinterpret_cast<T*>(tile + place / kColumns * kStripSize<R>) + place % kColumns;
    for (ptrdiff_t i = 0; i < a.rows; ++i) {
      if (a.col_stride == 1) {
        std::copy_n(&a(i, j0), cols, strip + i * kColumns);
      } else {
        for (ptrdiff_t j = 0; j < cols; ++j) strip[i * kColumns + j] = a(i, j0 + j);
      }
    }
    j0 += cols;
  }
}

// Sums for one panel of kSketchWidth reals: strips of the rows of S A, then of the probes.
template <class T>
class Panels {
  using R = real_t<T>;
  static constexpr ptrdiff_t kReals = is_complex_v<T> ? 2 : 1, kStrip = kSketchStrip<R>;

 public:
  static constexpr ptrdiff_t kColumns = kSketchWidth<R> / kReals;

  Panels(MatrixView<const T> a, ptrdiff_t n_rows, Key key, MatrixView<T> probes, int workers)
      : a_(a),
        shift_(shift_of(a)),
        n_rows_(n_rows),
        probes_(probes),
        y_(n_rows, a.cols),
        largest_(at(count())),
        probe_rows_(ceil_div(probes.rows, kernels_.n_probes) * kernels_.n_probes),
        weights_(a.rows, n_rows, probes.rows, probe_rows_, key, workers) {}

  ptrdiff_t sum_strip() const { return (n_rows_ + probe_rows_) * kStrip; }
  ptrdiff_t sum_size() const { return kSketchStrips * sum_strip(); }
  static constexpr ptrdiff_t tile_size() { return kSketchStrips * kStripSize<R>; }
  ptrdiff_t n_tiles() const { return ceil_div(a_.rows, kTileRows); }
  ptrdiff_t count() const { return ceil_div(a_.cols + shift_, kColumns); }
  Sketched<T> result() {
    double value = 0;
    for (const double x : largest_) value = larger(x, value);
    return {std::move(y_), value};
  }

  // Tiles first..last of a panel.
  void add(ptrdiff_t panel, ptrdiff_t first, ptrdiff_t last, R* tile, R* sum) const {
    const ptrdiff_t j0 = begin(panel), cols = begin(panel + 1) - j0;
    std::fill_n(sum, sum_size(), R(0));
    if (cols < kColumns) std::fill_n(tile, tile_size(), R(0));
    for (ptrdiff_t t = first; t < last; ++t) {
      const ptrdiff_t i0 = t * kTileRows, rows = std::min(kTileRows, a_.rows - i0);
      const auto block = a_.block(i0, j0, rows, cols);
      const bool whole = is_whole(block);
      const R* source = reinterpret_cast<const R*>(block.data);
      const ptrdiff_t stride = a_.row_stride * kReals;
      if (!whole) pack_tile<T>(block, panel == 0 ? shift_ : 0, tile);
      if (whole && probe_rows_ == 0) kernels_.pack(source, stride, rows, tile, kStripSize<R>);
      for (ptrdiff_t p = 0; p < probe_rows_; p += kernels_.n_probes) {
        // Blocks of rows whose weights stay in the first-level cache.
        for (ptrdiff_t k0 = 0; k0 < rows; k0 += kProbeRows) {
          kernels_.probe(std::min(kProbeRows, rows - k0), weights_.probes(i0 + k0) + p, probe_rows_,
                         whole && p == 0 ? source + k0 * stride : nullptr, stride,
                         a_.rows - i0 - k0, tile + k0 * kStrip, kStripSize<R>,
                         sum + (n_rows_ + p) * kStrip, sum_strip());
        }
      }
      for (ptrdiff_t s = 0; s < kSketchStrips; ++s) {
        kernels_.gather(tile + s * kStripSize<R>, n_rows_, weights_.offsets(t), weights_.rows(t),
                        weights_.signs(t), sum + s * sum_strip());
      }
    }
  }

  void store(ptrdiff_t panel, const R* sum) {
    double& largest = largest_[at(panel)];
    for (ptrdiff_t s = 0; s < kSketchStrips; ++s) {
      largest =
          larger(vector_kernels<R>().largest(sum + s * sum_strip(), n_rows_ * kStrip), largest);
    }
    const ptrdiff_t j0 = begin(panel), j1 = begin(panel + 1), nr = y_.width();
    const ptrdiff_t origin = panel * kColumns - shift_;
    for (ptrdiff_t j = j0; j < j1;) {
      // Reals that lie together in the sums and in the result.
      const ptrdiff_t r0 = (j - origin) * kReals, place = r0 % kStrip;
      const ptrdiff_t run = std::min({kStrip - place, (nr - j % nr) * kReals, (j1 - j) * kReals});
      const R* from = sum + r0 / kStrip * sum_strip() + place;
      R* to = y_.strip(j / nr) + j % nr;
      store_rows(from, run, to, nr);
      for (ptrdiff_t i = 0; i < probes_.rows; ++i) {
        std::copy_n(from + (n_rows_ + i) * kStrip, run, reinterpret_cast<R*>(&probes_(i, j)));
      }
      j += run / kReals;
    }
    if (j1 < a_.cols || a_.cols % nr == 0) return;
    R* last = y_.strip(y_.n_strips() - 1);
    for (ptrdiff_t i = 0; i < kReals * n_rows_; ++i) {
      std::fill(last + i * nr + a_.cols % nr, last + (i + 1) * nr, R(0));
    }
  }

 private:
  // NaN stays.
  static double larger(double x, double value) { return x > value || std::isnan(x) ? x : value; }

  // n_rows_ times `run` reals, from rows of a strip to rows of nr columns; complex numbers to two
  // planes.
  void store_rows(const R* from, ptrdiff_t run, R* to, ptrdiff_t nr) const {
    constexpr ptrdiff_t kPiece = 16 / static_cast<ptrdiff_t>(sizeof(R));
    if (kReals == 1 && run % kPiece == 0) {
      for (ptrdiff_t i = 0; i < n_rows_; ++i) {
        for (ptrdiff_t r = 0; r < run; r += kPiece) {
          std::copy_n(from + i * kStrip + r, kPiece, to + i * nr + r);
        }
      }
      return;
    }
    for (ptrdiff_t i = 0; i < n_rows_; ++i) {
      for (ptrdiff_t r = 0; r < run; ++r) {
        to[(r % kReals * n_rows_ + i) * nr + r / kReals] = from[i * kStrip + r];
      }
    }
  }

  // Panels begin where cache lines do: a load across two lines costs two (4000 x 4000: 1.3x).
  static ptrdiff_t shift_of(MatrixView<const T> a) {
    const auto size = static_cast<ptrdiff_t>(sizeof(T));
    const auto before = static_cast<ptrdiff_t>(reinterpret_cast<std::uintptr_t>(a.data) % 64);
    const bool same_for_all = a.col_stride == 1 && a.row_stride * size % 64 == 0;
    return same_for_all && before % size == 0 && a.cols > kColumns ? before / size : 0;
  }
  // Panel 0 lacks the first shift_ columns, the last one those beyond the matrix.
  ptrdiff_t begin(ptrdiff_t panel) const {
    return std::clamp<ptrdiff_t>(panel * kColumns - shift_, 0, a_.cols);
  }

  static const SketchKernels<R>& kernels() {
    if constexpr (std::is_same_v<R, float>) {
      return sketch_tables().f32;
    } else {
      return sketch_tables().f64;
    }
  }

  const SketchKernels<R>& kernels_ = kernels();
  MatrixView<const T> a_;
  ptrdiff_t shift_;
  ptrdiff_t n_rows_;
  MatrixView<T> probes_;
  ColumnStrips<T> y_;
  std::vector<double> largest_;  // of every panel of Y
  ptrdiff_t probe_rows_;
  Weights<R> weights_;
};

}  // namespace

template <class T>
Sketched<T> sparse_sign_sketch(MatrixView<const T> a, ptrdiff_t n_rows, Key key,
                               MatrixView<T> probes, int workers) {
  using R = real_t<T>;
  Panels<T> panels(a, n_rows, key, probes, workers);
  const ptrdiff_t count = panels.count(), n_tiles = panels.n_tiles();
  const ptrdiff_t splits = std::clamp<ptrdiff_t>(kEnoughPanels / std::max<ptrdiff_t>(count, 1), 1,
                                                 std::max<ptrdiff_t>(1, a.rows / kSplitRows));
  // With one split a worker's panel goes straight to the output, else all are kept and summed.
  const int used = planned_workers(count * splits, a.rows * a.cols < 20000 ? 1 : workers);
  const ptrdiff_t size = panels.sum_size();
  AlignedBuffer<R> sums((splits > 1 ? count * splits : used) * size);
  AlignedBuffer<R> tiles(used * panels.tile_size());
  parallel_for(
      count * splits,
      [&](ptrdiff_t chunk, int slot) {
        const ptrdiff_t panel = chunk / splits, split = chunk % splits;
        R* sum = sums.data() + (splits > 1 ? chunk : slot) * size;
        panels.add(panel, n_tiles * split / splits, n_tiles * (split + 1) / splits,
                   tiles.data() + slot * panels.tile_size(), sum);
        if (splits == 1) panels.store(panel, sum);
      },
      used);
  if (splits > 1) {
    parallel_for(
        count,
        [&](ptrdiff_t panel, int) {
          R* total = sums.data() + panel * splits * size;
          for (ptrdiff_t s = 1; s < splits; ++s) {
            const R* part = total + s * size;
            for (ptrdiff_t i = 0; i < size; ++i) total[i] += part[i];
          }
          panels.store(panel, total);
        },
        used);
  }
  return panels.result();
}

template <class T, class Index>
ColumnStrips<T> sparse_sign_sketch_csr(ptrdiff_t m, const Index* indptr, const Index* indices,
                                       const T* data, ptrdiff_t n_rows, Key key,
                                       MatrixView<T> probes, int workers) {
  using R = real_t<T>;
  const ptrdiff_t n_probes = probes.rows;
  const AlignedBuffer<R> weights(m * n_probes);
  fill_normal(probe_key(key), 0, std::span<R>(weights.data(), at(weights.size())), workers);
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

#define KEXUE_INSTANTIATE(T)                                                                     \
  template Sketched<T> sparse_sign_sketch<T>(MatrixView<const T>, ptrdiff_t, Key, MatrixView<T>, \
                                             int);                                               \
  template ColumnStrips<T> sparse_sign_sketch_csr<T, std::int32_t>(                              \
      ptrdiff_t, const std::int32_t*, const std::int32_t*, const T*, ptrdiff_t, Key,             \
      MatrixView<T>, int);                                                                       \
  template ColumnStrips<T> sparse_sign_sketch_csr<T, std::int64_t>(                              \
      ptrdiff_t, const std::int64_t*, const std::int64_t*, const T*, ptrdiff_t, Key,             \
      MatrixView<T>, int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::lowrank
