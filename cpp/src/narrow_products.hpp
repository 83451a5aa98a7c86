// Products in which one operand is so narrow that the other is read once, as it lies; for gemm.cpp
// alone.
#pragma once

#include <algorithm>

#include "kexue/core/pool.hpp"
#include "packing.hpp"

namespace kexue {

template <class T>
void clear_block(MatrixView<T> c, ptrdiff_t j0, ptrdiff_t cols) {
  for (ptrdiff_t i = 0; i < c.rows; ++i) std::fill_n(&c(i, j0), cols, T(0));
}

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

// Brings a piece of some rows into the second-level cache: what the hardware follows ends with a
// page.
template <class R>
void fetch_rows([[maybe_unused]] MatrixView<const R> b, [[maybe_unused]] ptrdiff_t first,
                [[maybe_unused]] ptrdiff_t last, [[maybe_unused]] ptrdiff_t j,
                [[maybe_unused]] ptrdiff_t cols) {
#if defined(__GNUC__)
  constexpr ptrdiff_t kLine = 64 / static_cast<ptrdiff_t>(sizeof(R));
  for (ptrdiff_t k = first; k < last; ++k) {
    for (ptrdiff_t i = 0; i < cols; i += kLine) __builtin_prefetch(&b(k, j + i), 0, 2);
  }
#endif
}

// C (+)= alpha A B for an A of few rows and B with rows as they lie: B is read once and not copied.
// The next block of its rows is fetched meanwhile. Longer blocks read and write C less often, but
// need more of the first-level cache (on one thread, 12 rows by 4000 x 4000: 13 ms with 16, 15 ms
// with 32 and 17 ms with 8 and nothing fetched). One length for all: the sums of a row of A must
// not depend on how many there are.
template <class R>
void gemm_small_a(const PackedRows<R>& a, MatrixView<const R> b, bool accumulate, MatrixView<R> c,
                  int workers) {
  constexpr ptrdiff_t kWide = 32, kDepth = 16;
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
            fetch_rows(b, k0 + kc, std::min(k0 + kc + kDepth, depth), s * nr, cols);
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

}  // namespace kexue
