#include "kexue/core/gemm.hpp"

#include <algorithm>

#include "kexue/core/pool.hpp"
#include "packing.hpp"

namespace kexue {

namespace {

using std::ptrdiff_t;

// Depths of equal size, none above kGemmDepth: a short last one would cost as many passes over C.
ptrdiff_t depth_step(ptrdiff_t depth) {
  return ceil_div(depth, std::max<ptrdiff_t>(1, ceil_div(depth, kGemmDepth)));
}

// 12 strips of 12 rows and 256 columns are 288 KB of doubles: a part of the second-level cache.
constexpr ptrdiff_t kRowStrips = 12;

// c[0:rows, 0:cols] += A_strip B_strip for one tile; c points at its first entry.
template <class T>
void multiply_tile(const GemmKernels<real_t<T>>& kernels, const PackedRows<T>& a, ptrdiff_t strip,
                   ptrdiff_t k0, ptrdiff_t depth, const real_t<T>* b, ptrdiff_t b_plane,
                   ptrdiff_t ldb, T* c, ptrdiff_t ldc, ptrdiff_t cols) {
  using R = real_t<T>;
  const ptrdiff_t mr = kernels.mr, nr = kernels.nr;
  const ptrdiff_t rows = std::min(mr, a.rows() - strip * mr);
  const ptrdiff_t offset = k0 * mr;
  if constexpr (!is_complex_v<T>) {
    if (rows == mr && cols == nr) {
      kernels.micro(depth, a.strip(strip) + offset, b, ldb, c, ldc);
      return;
    }
  }
  alignas(64) R re[kMaxTile], im[kMaxTile];
  std::fill_n(re, mr * nr, R(0));
  kernels.micro(depth, a.strip(strip) + offset, b, ldb, re, nr);
  if constexpr (is_complex_v<T>) {
    std::fill_n(im, mr * nr, R(0));
    kernels.micro(depth, a.strip(strip, 2) + offset, b + b_plane, ldb, re, nr);
    kernels.micro(depth, a.strip(strip, 0) + offset, b + b_plane, ldb, im, nr);
    kernels.micro(depth, a.strip(strip, 1) + offset, b, ldb, im, nr);
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

template <class T>
void clear_block(MatrixView<T> c, ptrdiff_t j0, ptrdiff_t cols) {
  for (ptrdiff_t i = 0; i < c.rows; ++i) std::fill_n(&c(i, j0), cols, T(0));
}

}  // namespace

template <class T>
void multiply(const PackedRows<T>& a, const ColumnStrips<T>& b, bool accumulate, MatrixView<T> c,
              int workers, ptrdiff_t first_row) {
  const auto& kernels = gemm_kernels<real_t<T>>();
  const ptrdiff_t nr = b.width(), depth = a.depth(), step = depth_step(depth);
  const ptrdiff_t n_strips = ceil_div(c.cols, nr);
  const double flops = product_flops(a.rows(), depth, c.cols);
  parallel_for(
      ceil_div(n_strips, kGroup),
      [&](ptrdiff_t g, int) {
        const ptrdiff_t first = g * kGroup, last = std::min(n_strips, first + kGroup);
        if (!accumulate) {
          clear_block(c, first * nr, std::min(c.cols, last * nr) - first * nr);
        }
        for (ptrdiff_t k0 = 0; k0 < depth; k0 += step) {
          const ptrdiff_t kc = std::min(step, depth - k0);
          // Strips of A that stay in the second-level cache for all strips of B.
          for (ptrdiff_t r0 = 0; r0 < a.n_strips(); r0 += kRowStrips) {
            const ptrdiff_t r1 = std::min(a.n_strips(), r0 + kRowStrips);
            for (ptrdiff_t s = first; s < last; ++s) {
              for (ptrdiff_t r = r0; r < r1; ++r) {
                multiply_tile<T>(kernels, a, r, k0, kc, b.strip(s) + (first_row + k0) * nr,
                                 b.rows() * nr, nr, &c(r * kernels.mr, s * nr), c.row_stride,
                                 std::min(nr, c.cols - s * nr));
              }
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

// Adds the (mr, nr) tile that `micro(tile, ld)` fills in to the part of c that exists.
template <class R, class Micro>
void add_tile(const GemmKernels<R>& kernels, R* c, ptrdiff_t ldc, ptrdiff_t rows, ptrdiff_t cols,
              Micro&& micro) {
  if (rows == kernels.mr && cols == kernels.nr) return micro(c, ldc);
  alignas(64) R tile[kMaxTile];
  std::fill_n(tile, kernels.mr * kernels.nr, R(0));
  micro(tile, kernels.nr);
  for (ptrdiff_t i = 0; i < rows; ++i) {
    for (ptrdiff_t j = 0; j < cols; ++j) c[i * ldc + j] += tile[i * kernels.nr + j];
  }
}

// C (+)= alpha A B for a B of few columns, packed whole, and A with rows as they lie: A is read
// once, in order, and not copied, unless its rows lie so that they compete for the same places of
// the first-level cache.
template <class R>
void gemm_small_b(R alpha, MatrixView<const R> a, MatrixView<const R> b, bool accumulate,
                  MatrixView<R> c, int workers) {
  constexpr ptrdiff_t kRows = 96;
  const auto& kernels = gemm_kernels<R>();
  const ptrdiff_t mr = kernels.mr, nr = kernels.nr, depth = b.rows;
  const ColumnStrips<R> packed(b, workers);
  if (alpha != 1) packed.scale(alpha, workers);
  const bool copies = a.row_stride * static_cast<ptrdiff_t>(sizeof(R)) % 4096 == 0;
  parallel_for(
      ceil_div(a.rows, kRows),
      [&](ptrdiff_t task, int) {
        const ptrdiff_t first = task * kRows, last = std::min(a.rows, first + kRows);
        if (!accumulate) clear_block(c.block(first, 0, last - first, c.cols), 0, c.cols);
        AlignedBuffer<R> tail;
        for (ptrdiff_t k0 = 0; k0 < depth; k0 += kGemmDepth) {
          const ptrdiff_t kc = std::min(kGemmDepth, depth - k0);
          for (ptrdiff_t i = first; i < last; i += mr) {
            const ptrdiff_t rows = std::min(mr, last - i);
            const R* source = &a(i, k0);
            ptrdiff_t lda = a.row_stride;
            if (rows < mr || copies) {
              if (tail.size() == 0) tail = AlignedBuffer<R>(mr * kGemmDepth);
              if (rows < mr) std::fill_n(tail.data(), mr * kGemmDepth, R(0));
              for (ptrdiff_t r = 0; r < rows; ++r) {
                std::copy_n(source + r * lda, kc, tail.data() + r * kGemmDepth);
              }
              source = tail.data();
              lda = kGemmDepth;
            }
            for (ptrdiff_t s = 0; s < packed.n_strips(); ++s) {
              add_tile(kernels, &c(i, s * nr), c.row_stride, rows, std::min(nr, c.cols - s * nr),
                       [&](R* target, ptrdiff_t ldc) {
                         kernels.micro_rows(kc, source, lda, packed.strip(s) + k0 * nr, target,
                                            ldc);
                       });
            }
          }
        }
      },
      workers);
}

// C (+)= alpha A B for an A of few rows and B with rows as they lie: B is read once and not copied.
// Eight rows at a time are as many streams as the hardware follows (12 x 2000 x 2000: 2.3 ms
// against 5 ms with 32).
template <class R>
void gemm_small_a(const PackedRows<R>& a, MatrixView<const R> b, bool accumulate, MatrixView<R> c,
                  int workers) {
  constexpr ptrdiff_t kWide = 32, kDepth = 8;
  const auto& kernels = gemm_kernels<R>();
  const ptrdiff_t mr = kernels.mr, nr = kernels.nr, depth = b.rows;
  const ptrdiff_t n_strips = ceil_div(c.cols, nr);
  parallel_for(
      ceil_div(n_strips, kWide),
      [&](ptrdiff_t g, int) {
        const ptrdiff_t first = g * kWide, last = std::min(n_strips, first + kWide);
        if (!accumulate) clear_block(c, first * nr, std::min(c.cols, last * nr) - first * nr);
        AlignedBuffer<R> tail;
        for (ptrdiff_t k0 = 0; k0 < depth; k0 += kDepth) {
          const ptrdiff_t kc = std::min(kDepth, depth - k0);
          for (ptrdiff_t s = first; s < last; ++s) {
            const ptrdiff_t cols = std::min(nr, c.cols - s * nr);
            const R* source = &b(k0, s * nr);
            ptrdiff_t ldb = b.row_stride;
            if (cols < nr) {
              if (tail.size() == 0) tail = AlignedBuffer<R>(kDepth * nr);
              pack_strip<R>(b, k0, kc, s * nr, nr, tail.data(), 0);
              source = tail.data();
              ldb = nr;
            }
            for (ptrdiff_t r = 0; r < a.n_strips(); ++r) {
              add_tile(kernels, &c(r * mr, s * nr), c.row_stride, std::min(mr, c.rows - r * mr),
                       cols, [&](R* target, ptrdiff_t ldc) {
                         kernels.micro(kc, a.strip(r) + k0 * mr, source, ldb, target, ldc);
                       });
            }
          }
        }
      },
      workers);
}

// Brings the next depth block of B into the second-level cache, a few rows with every tile: its
// rows lie too far apart for the hardware to follow.
template <class T>
class Ahead {
 public:
  Ahead(MatrixView<const T> b, ptrdiff_t k0, ptrdiff_t rows, ptrdiff_t j0, ptrdiff_t j1,
        ptrdiff_t tiles)
      : b_(b), k0_(k0), rows_(b.col_stride == 1 ? rows : 0), j0_(j0), tiles_(tiles) {
    bytes_ = (std::min(j1, b.cols) - j0) * static_cast<ptrdiff_t>(sizeof(T));
  }
  void fetch() {
#if defined(__GNUC__)
    const ptrdiff_t end = rows_ * ++tile_ / tiles_;
    for (; row_ < end; ++row_) {
      const char* line = reinterpret_cast<const char*>(&b_(k0_ + row_, j0_));
      for (ptrdiff_t i = 0; i < bytes_; i += 64) __builtin_prefetch(line + i, 0, 2);
    }
#endif
  }

 private:
  MatrixView<const T> b_;
  ptrdiff_t k0_, rows_, j0_, tiles_, bytes_, row_ = 0, tile_ = 0;
};

}  // namespace

template <class T>
void gemm(real_t<T> alpha, MatrixView<const T> a, bool conjugate_a, MatrixView<const T> b,
          bool accumulate, MatrixView<T> c, int workers) {
  using R = real_t<T>;
  constexpr ptrdiff_t kWide = 4;
  const auto& kernels = gemm_kernels<R>();
  const ptrdiff_t nr = kernels.nr, depth = b.rows, step = depth_step(depth);
  const ptrdiff_t n_strips = ceil_div(c.cols, nr), groups = ceil_div(n_strips, kWide);
  const double flops = product_flops(a.rows, depth, c.cols);
  // Bytes of a depth block of B: half of a second-level cache.
  constexpr ptrdiff_t kSmall = 512 << 10;
  if constexpr (!is_complex_v<T>) {
    if (a.col_stride == 1 && a.rows >= 2 * kernels.mr &&
        n_strips * nr * std::min(depth, kGemmDepth) * static_cast<ptrdiff_t>(sizeof(R)) <= kSmall) {
      return gemm_small_b<R>(alpha, a, b, accumulate, c, workers_for(flops, workers));
    }
  }
  const PackedRows<T> packed_a(a, conjugate_a, alpha, workers);
  if constexpr (!is_complex_v<T>) {
    if (packed_a.n_strips() <= 2 && b.col_stride == 1) {
      return gemm_small_a<R>(packed_a, b, accumulate, c, workers_for(flops, workers));
    }
  }
  const int used = planned_workers(groups, workers_for(flops, workers));
  // Strips a power of two apart would compete for the same places of the first-level cache.
  constexpr ptrdiff_t kPadding = 5 * 64 / static_cast<ptrdiff_t>(sizeof(R));
  const ptrdiff_t block = kGemmDepth * nr * ColumnStrips<T>::kPlanes + kPadding;
  AlignedBuffer<R> scratch(used * kWide * block);
  parallel_for(
      groups,
      [&](ptrdiff_t g, int slot) {
        R* packed = scratch.data() + slot * kWide * block;
        const ptrdiff_t first = g * kWide, last = std::min(n_strips, first + kWide);
        if (!accumulate) clear_block(c, first * nr, std::min(c.cols, last * nr) - first * nr);
        for (ptrdiff_t k0 = 0; k0 < depth; k0 += step) {
          const ptrdiff_t kc = std::min(step, depth - k0);
          pack_strips<T>(b, k0, kc, first, last, nr, packed, kGemmDepth * nr, block);
          Ahead<T> ahead(b, k0 + kc, std::min(step, depth - k0 - kc), first * nr, last * nr,
                         (last - first) * packed_a.n_strips());
          for (ptrdiff_t r0 = 0; r0 < packed_a.n_strips(); r0 += kRowStrips) {
            const ptrdiff_t r1 = std::min(packed_a.n_strips(), r0 + kRowStrips);
            for (ptrdiff_t s = first; s < last; ++s) {
              for (ptrdiff_t r = r0; r < r1; ++r) {
                ahead.fetch();
                multiply_tile<T>(kernels, packed_a, r, k0, kc, packed + (s - first) * block,
                                 kGemmDepth * nr, nr, &c(r * kernels.mr, s * nr), c.row_stride,
                                 std::min(nr, c.cols - s * nr));
              }
            }
          }
        }
      },
      used);
}

#define KEXUE_INSTANTIATE(T)                                                                      \
  template void multiply<T>(const PackedRows<T>&, const ColumnStrips<T>&, bool, MatrixView<T>,    \
                            int, ptrdiff_t);                                                      \
  template void add_product<T>(const PackedRows<T>&, MatrixView<const T>, ColumnStrips<T>&, int); \
  template void gemm<T>(real_t<T>, MatrixView<const T>, bool, MatrixView<const T>, bool,          \
                        MatrixView<T>, int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue
