#include "kexue/core/gemm.hpp"

#include <algorithm>

#include "blocks.hpp"
#include "kexue/core/pool.hpp"
#include "narrow_products.hpp"
#include "packing.hpp"

namespace kexue {

namespace {

using std::ptrdiff_t;

// c[0:rows, 0:cols] += A_strip B_strip for one tile; c points at its first entry.
template <class T>
void multiply_tile(const GemmKernels<real_t<T>>& kernels, const PackedRows<T>& a, ptrdiff_t strip,
                   ptrdiff_t k0, ptrdiff_t depth, const real_t<T>* b, ptrdiff_t b_plane,
                   ptrdiff_t ldb, T* c, ptrdiff_t ldc, ptrdiff_t cols) {
  using R = real_t<T>;
  const ptrdiff_t mr = kernels.mr, nr = kernels.nr;
  const ptrdiff_t rows = std::min(mr, a.rows() - strip * mr);
  const ptrdiff_t offset = k0 * mr, computed = rows <= mr / 2 ? mr / 2 : mr;
  const auto micro = computed < mr ? kernels.micro_half : kernels.micro;
  if constexpr (!is_complex_v<T>) {
    if (rows == computed && cols == nr) {
      micro(depth, a.strip(strip) + offset, b, ldb, c, ldc);
      return;
    }
  }
  alignas(64) R re[kMaxTile], im[kMaxTile];
  std::fill_n(re, computed * nr, R(0));
  micro(depth, a.strip(strip) + offset, b, ldb, re, nr);
  if constexpr (is_complex_v<T>) {
    std::fill_n(im, computed * nr, R(0));
    micro(depth, a.strip(strip, 2) + offset, b + b_plane, ldb, re, nr);
    micro(depth, a.strip(strip, 0) + offset, b + b_plane, ldb, im, nr);
    micro(depth, a.strip(strip, 1) + offset, b, ldb, im, nr);
  }
  for (ptrdiff_t i = 0; i < rows; ++i) {
    for (ptrdiff_t j = 0; j < cols; ++j) {
      if constexpr (is_complex_v<T>) {
        c[i * ldc + j] += T(re[i * nr + j], im[i * nr + j]);
      } else {
        c[i * ldc + j] += re[i * nr + j];
      }
    }
  }
}

}  // namespace

template <class T>
void multiply(const PackedRows<T>& a, const ColumnStrips<T>& b, bool accumulate, MatrixView<T> c,
              int workers, ptrdiff_t first_row) {
  const auto& kernels = gemm_kernels<real_t<T>>();
  const ptrdiff_t nr = b.width(), depth = a.depth();
  // Few rows of A: strips of B are read once, each from its beginning to its end.
  const bool streams = a.n_strips() <= 2;
  const ptrdiff_t step = a.n_strips() == 1 ? std::max<ptrdiff_t>(1, depth) : depth_step(depth);
  const ptrdiff_t n_strips = ceil_div(c.cols, nr);
  const double flops = product_flops(a.rows(), depth, c.cols);
  parallel_for(
      ceil_div(n_strips, kGroup),
      [&](ptrdiff_t g, int) {
        const ptrdiff_t first = g * kGroup, last = std::min(n_strips, first + kGroup);
        if (!accumulate) {
          clear_block(c, first * nr, std::min(c.cols, last * nr) - first * nr);
        }
        const auto tile = [&](ptrdiff_t r, ptrdiff_t s, ptrdiff_t k0) {
          multiply_tile<T>(kernels, a, r, k0, std::min(step, depth - k0),
                           b.strip(s) + (first_row + k0) * nr, b.rows() * nr, nr,
                           &c(r * kernels.mr, s * nr), c.row_stride, std::min(nr, c.cols - s * nr));
        };
        if (streams) {
          for (ptrdiff_t s = first; s < last; ++s) {
            for (ptrdiff_t k0 = 0; k0 < depth; k0 += step) {
              for (ptrdiff_t r = 0; r < a.n_strips(); ++r) tile(r, s, k0);
            }
          }
          return;
        }
        for (ptrdiff_t k0 = 0; k0 < depth; k0 += step) {
          for (ptrdiff_t r0 = 0; r0 < a.n_strips(); r0 += kRowStrips) {
            const ptrdiff_t r1 = std::min(a.n_strips(), r0 + kRowStrips);
            for (ptrdiff_t s = first; s < last; ++s) {
              for (ptrdiff_t r = r0; r < r1; ++r) tile(r, s, k0);
            }
          }
        }
      },
      workers_for(flops, workers));
}

template <class T>
void add_product(const PackedRows<T>& a, MatrixView<const T> x, ColumnStrips<T>& b, int workers) {
  using R = real_t<T>;
  const auto& kernels = gemm_kernels<R>();
  const ptrdiff_t nr = b.width(), mr = kernels.mr, depth = a.depth();
  const double flops = product_flops(a.rows(), depth, b.cols());
  const int used = planned_workers(b.n_strips(), workers_for(flops, workers));
  AlignedBuffer<R> scratch(used * depth * nr * ColumnStrips<T>::kPlanes);
  parallel_for(
      b.n_strips(),
      [&](ptrdiff_t s, int slot) {
        R* packed = scratch.data() + slot * depth * nr * ColumnStrips<T>::kPlanes;
        pack_strip<T>(x, 0, depth, s * nr, nr, packed, depth * nr);
        alignas(64) R tile[kMaxTile];
        for (int plane = 0; plane < ColumnStrips<T>::kPlanes; ++plane) {
          for (ptrdiff_t r = 0; r < a.n_strips(); ++r) {
            R* target = b.strip(s, plane) + r * mr * nr;
            const ptrdiff_t rows = std::min(mr, b.rows() - r * mr);
            R* c = rows == mr ? target : tile;
            if (rows < mr) std::fill_n(tile, mr * nr, R(0));
            if constexpr (is_complex_v<T>) {
              // real: re re - im im; imaginary: re im + im re
              const R* im = packed + depth * nr;
              kernels.micro(depth, a.strip(r, plane), packed, nr, c, nr);
              kernels.micro(depth, a.strip(r, plane == 0 ? 2 : 0), im, nr, c, nr);
            } else {
              kernels.micro(depth, a.strip(r), packed, nr, c, nr);
            }
            if (rows < mr) {
              for (ptrdiff_t i = 0; i < rows * nr; ++i) target[i] += tile[i];
            }
          }
        }
      },
      used);
}

namespace {

// What a worker does with a group of strips of B: packs them by blocks of its depth and multiplies.
template <class T>
class Group {
  using R = real_t<T>;

 public:
  // Strips of B that stay in the second-level cache for all of A: half a megabyte.
  static constexpr ptrdiff_t kMost = 10 / ColumnStrips<T>::kPlanes;
  // Strips a power of two apart would compete for the same places of the first-level cache.
  static ptrdiff_t block_size() {
    return kBlockDepth * gemm_kernels<R>().nr * ColumnStrips<T>::kPlanes +
           5 * 64 / static_cast<ptrdiff_t>(sizeof(R));
  }

  Group(const PackedRows<T>& a, MatrixView<const T> b, MatrixView<T> c, ptrdiff_t first,
        ptrdiff_t last, R* packed)
      : a_(a), b_(b), c_(c), first_(first), last_(last), packed_(packed) {}

  // Of one block of the depth; `clears` where C is not to be added to.
  void multiply(ptrdiff_t k0, ptrdiff_t kc, ptrdiff_t next_kc, bool clears) const {
    const ptrdiff_t n = a_.n_strips(), width = last_ - first_;
    const ptrdiff_t cols = std::min(b_.cols, last_ * kernels_.nr) - first_ * kernels_.nr;
    constexpr auto kSize = static_cast<ptrdiff_t>(sizeof(T));
    Ahead rows(
        reinterpret_cast<const char*>(next_kc > 0 ? &b_(k0 + kc, first_ * kernels_.nr) : b_.data),
        b_.col_stride == 1 ? next_kc : 0, b_.row_stride * kSize, cols * kSize, width * n);
    for (ptrdiff_t r0 = 0; r0 < n; r0 += kRowStrips) {
      const ptrdiff_t r1 = std::min(n, r0 + kRowStrips);
      for (ptrdiff_t s = first_; s < last_; ++s) {
        if (r0 == 0 && !packs_by_itself(s)) pack(s, k0, kc);
        for (ptrdiff_t r = r0; r < r1; ++r) {
          rows.fetch();
          tile(r, s, k0, kc, clears);
        }
      }
    }
  }

 private:
  R* block(ptrdiff_t s) const { return packed_ + (s - first_) * size_; }
  ptrdiff_t columns(ptrdiff_t s) const { return std::min(kernels_.nr, c_.cols - s * kernels_.nr); }
  // The first tile of the strip packs it on the way.
  bool packs_by_itself(ptrdiff_t s) const {
    return !is_complex_v<T> && b_.col_stride == 1 && columns(s) == kernels_.nr &&
           a_.rows() >= kernels_.mr;
  }
  void pack(ptrdiff_t s, ptrdiff_t k0, ptrdiff_t kc) const {
    pack_strips<T>(b_, k0, kc, s, s + 1, kernels_.nr, block(s), kBlockDepth * kernels_.nr, 0);
  }
  void tile(ptrdiff_t r, ptrdiff_t s, ptrdiff_t k0, ptrdiff_t kc, bool clears) const {
    T* c = &c_(r * kernels_.mr, s * kernels_.nr);
    if (clears) {  // while it is on its way into the first-level cache
      const ptrdiff_t i = r * kernels_.mr, rows = std::min(kernels_.mr, c_.rows - i);
      clear_block(c_.block(i, 0, rows, c_.cols), s * kernels_.nr, columns(s));
    }
    if constexpr (!is_complex_v<T>) {
      if (r == 0 && packs_by_itself(s)) {
        kernels_.micro_packs(kc, a_.strip(0) + k0 * kernels_.mr, &b_(k0, s * kernels_.nr),
                             b_.row_stride, block(s), c, c_.row_stride);
        return;
      }
    }
    multiply_tile<T>(kernels_, a_, r, k0, kc, block(s), kBlockDepth * kernels_.nr, kernels_.nr, c,
                     c_.row_stride, columns(s));
  }

  const GemmKernels<R>& kernels_ = gemm_kernels<R>();
  const PackedRows<T>& a_;
  MatrixView<const T> b_;
  MatrixView<T> c_;
  ptrdiff_t first_, last_;
  R* packed_;
  ptrdiff_t size_ = block_size();
};

}  // namespace

template <class T>
void gemm(real_t<T> alpha, MatrixView<const T> a, bool conjugate_a, MatrixView<const T> b,
          bool accumulate, MatrixView<T> c, int workers, const T* weights) {
  using R = real_t<T>;
  const auto& kernels = gemm_kernels<R>();
  constexpr ptrdiff_t kPlanes = ColumnStrips<T>::kPlanes;
  const ptrdiff_t nr = kernels.nr, depth = b.rows, step = depth_step(depth);
  const ptrdiff_t n_strips = ceil_div(c.cols, nr);
  const double flops = product_flops(a.rows, depth, c.cols);
  // Bytes of a depth block of B: half of a second-level cache.
  constexpr ptrdiff_t kSmall = 512 << 10;
  if constexpr (!is_complex_v<T>) {
    if (weights == nullptr && a.col_stride == 1 && a.rows >= 2 * kernels.mr &&
        n_strips * nr * std::min(depth, kBlockDepth) * static_cast<ptrdiff_t>(sizeof(R)) <=
            kSmall) {
      return gemm_small_b<R>(alpha, a, b, accumulate, c, workers_for(flops, workers));
    }
  }
  if (depth == 0 && !accumulate) return clear_block(c, 0, c.cols);
  // Ctrl-C waits for a group of columns: so many rows of A that one takes a twentieth of a second.
  const double column = product_flops(kPlanes * kPlanes, depth, Group<T>::kMost * nr);
  const auto most_rows = std::max<ptrdiff_t>(384, static_cast<ptrdiff_t>(3e9 / column));
  if (a.rows > most_rows) {
    const ptrdiff_t parts = ceil_div(a.rows, most_rows);
    const ptrdiff_t rows = ceil_div(ceil_div(a.rows, parts), kernels.mr) * kernels.mr;
    for (ptrdiff_t i = 0; i < a.rows; i += rows) {
      const ptrdiff_t size = std::min(rows, a.rows - i);
      gemm<T>(alpha, a.block(i, 0, size, depth), conjugate_a, b, accumulate,
              c.block(i, 0, size, c.cols), workers, weights);
    }
    return;
  }
  const PackedRows<T> packed_a(a, conjugate_a, alpha, workers, weights);
  if constexpr (!is_complex_v<T>) {
    if (packed_a.n_strips() <= 2 && b.col_stride == 1) {
      return gemm_small_a<R>(packed_a, b, accumulate, c, workers_for(flops, workers));
    }
  }
  // An A too large for the second-level cache is read again with every group: wide ones then
  // (2000 x 800 x 2000: 1.15x).
  const ptrdiff_t most = packed_a.n_strips() > 24 ? Group<T>::kMost : 4;
  const int shares = std::max(1, planned_workers(n_strips, workers_for(flops, workers)));
  // As many groups for each worker, all alike.
  const ptrdiff_t rounds = std::max<ptrdiff_t>(1, ceil_div(n_strips, shares * most));
  const ptrdiff_t wide = std::max<ptrdiff_t>(1, ceil_div(n_strips, shares * rounds));
  const ptrdiff_t groups = ceil_div(n_strips, wide);
  const int used = planned_workers(groups, shares);
  AlignedBuffer<R> scratch(used * wide * Group<T>::block_size());
  parallel_for(
      groups,
      [&](ptrdiff_t g, int slot) {
        const ptrdiff_t first = g * wide, last = std::min(n_strips, first + wide);
        const Group<T> group(packed_a, b, c, first, last,
                             scratch.data() + slot * wide * Group<T>::block_size());
        for (ptrdiff_t k0 = 0; k0 < depth; k0 += step) {
          const ptrdiff_t kc = std::min(step, depth - k0);
          group.multiply(k0, kc, std::min(step, depth - k0 - kc), k0 == 0 && !accumulate);
        }
      },
      used);
}

#define KEXUE_INSTANTIATE(T)                                                                      \
  template void multiply<T>(const PackedRows<T>&, const ColumnStrips<T>&, bool, MatrixView<T>,    \
                            int, ptrdiff_t);                                                      \
  template void add_product<T>(const PackedRows<T>&, MatrixView<const T>, ColumnStrips<T>&, int); \
  template void gemm<T>(real_t<T>, MatrixView<const T>, bool, MatrixView<const T>, bool,          \
                        MatrixView<T>, int, const T*);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue
