#include "kexue/core/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kexue/core/pool.hpp"

namespace kexue {
namespace {

using std::ptrdiff_t;

constexpr double kParallelFlops = 5e5;  // about 20 microseconds of one core

ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

double product_flops(ptrdiff_t m, ptrdiff_t depth, ptrdiff_t n) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(depth) * static_cast<double>(n);
}

int workers_for(double flops, int workers) { return flops < kParallelFlops ? 1 : workers; }

// Splits x into the planes a packed operand holds.
template <class T>
void put(real_t<T>* plane0, ptrdiff_t plane_stride, T x) {
  if constexpr (is_complex_v<T>) {
    plane0[0] = x.real();
    plane0[plane_stride] = x.imag();
  } else {
    plane0[0] = x;
  }
}

// Packs b[k0:k0+depth, j0:j0+width] into (depth, nr) planes; columns beyond the matrix are zero.
template <class T>
void pack_strip(MatrixView<const T> b, ptrdiff_t k0, ptrdiff_t depth, ptrdiff_t j0, ptrdiff_t nr,
                real_t<T>* out, ptrdiff_t plane_stride) {
  const ptrdiff_t width = std::min(nr, b.cols - j0);
  if (width < nr) {
    for (int p = 0; p < ColumnStrips<T>::kPlanes; ++p) {
      std::fill_n(out + p * plane_stride, depth * nr, real_t<T>(0));
    }
  }
  if (b.col_stride == 1 && !is_complex_v<T>) {
    for (ptrdiff_t k = 0; k < depth; ++k) {
      std::memcpy(out + k * nr, &b(k0 + k, j0), static_cast<std::size_t>(width) * sizeof(T));
    }
  } else if (b.row_stride == 1) {
    // Reads nr streams and writes one.
    const T* columns = &b(k0, j0);
    for (ptrdiff_t k = 0; k < depth; ++k) {
      for (ptrdiff_t j = 0; j < width; ++j) {
        put<T>(out + k * nr + j, plane_stride, columns[j * b.col_stride + k]);
      }
    }
  } else {
    for (ptrdiff_t k = 0; k < depth; ++k) {
      for (ptrdiff_t j = 0; j < width; ++j) {
        put<T>(out + k * nr + j, plane_stride, b(k0 + k, j0 + j));
      }
    }
  }
}

// Packs strips first..last-1, the s-th to out + (s - first) * strip_stride. Rows of full strips are
// read in one piece: a strip's part of a row is one cache line, its neighbours are in the same
// page.
template <class T>
void pack_strips(MatrixView<const T> b, ptrdiff_t k0, ptrdiff_t depth, ptrdiff_t first,
                 ptrdiff_t last, ptrdiff_t nr, real_t<T>* out, ptrdiff_t plane_stride,
                 ptrdiff_t strip_stride) {
  ptrdiff_t full = first;
  if (b.col_stride == 1 && !is_complex_v<T>) {
    full = std::max(first, std::min(last, b.cols / nr));
    const auto bytes = static_cast<std::size_t>(nr) * sizeof(T);
    for (ptrdiff_t k = 0; k < depth; ++k) {
      const T* row = &b(k0 + k, first * nr);
#if defined(__GNUC__)
      const char* ahead =
          reinterpret_cast<const char*>(&b(std::min(k0 + k + 16, b.rows - 1), first * nr));
      for (ptrdiff_t s = first; s < full; ++s) __builtin_prefetch(ahead + (s - first) * 64);
#endif
      for (ptrdiff_t s = first; s < full; ++s) {
        std::memcpy(out + (s - first) * strip_stride + k * nr, row + (s - first) * nr, bytes);
      }
    }
  }
  for (ptrdiff_t s = full; s < last; ++s) {
    pack_strip<T>(b, k0, depth, s * nr, nr, out + (s - first) * strip_stride, plane_stride);
  }
}

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

// Strips of B that one chunk multiplies: 512 bytes of columns, so that a depth block of them and
// the matching part of A stay in the second-level cache.
constexpr ptrdiff_t kGroup = 8;

}  // namespace

template <class T>
PackedRows<T>::PackedRows(MatrixView<const T> a, bool conjugate_entries, real_t<T> alpha,
                          int workers)
    : rows_(a.rows), depth_(a.cols), mr_(gemm_kernels<real_t<T>>().mr) {
  using R = real_t<T>;
  n_strips_ = ceil_div(rows_, mr_);
  const ptrdiff_t plane = n_strips_ * depth_ * mr_;
  data_ = AlignedBuffer<R>(plane * (is_complex_v<T> ? 3 : 1));
  const double entries = static_cast<double>(rows_) * static_cast<double>(depth_);
  parallel_for(
      n_strips_,
      [&](ptrdiff_t s, int) {
        R* out = data_.data() + s * depth_ * mr_;
        const ptrdiff_t rows = std::min(mr_, rows_ - s * mr_);
        if (rows < mr_) {
          for (int p = 0; p < (is_complex_v<T> ? 3 : 1); ++p) {
            std::fill_n(out + p * plane, depth_ * mr_, R(0));
          }
        }
        const auto put_entry = [&](R* place, T x) {
          if constexpr (is_complex_v<T>) {
            const R im = conjugate_entries ? -x.imag() : x.imag();
            place[0] = alpha * x.real();
            place[plane] = alpha * im;
            place[2 * plane] = -alpha * im;
          } else {
            *place = alpha * x;
          }
        };
        // In the order in which a lies in memory.
        const MatrixView<const T> block = a.block(s * mr_, 0, rows, depth_);
        if (a.row_stride == 1) {
          for (ptrdiff_t k = 0; k < depth_; ++k) {
            const T* column = &block(0, k);
            for (ptrdiff_t r = 0; r < rows; ++r) put_entry(out + k * mr_ + r, column[r]);
          }
        } else {
          for (ptrdiff_t k = 0; k < depth_; ++k) {
            for (ptrdiff_t r = 0; r < rows; ++r) put_entry(out + k * mr_ + r, block(r, k));
          }
        }
      },
      workers_for(8 * entries, workers));
}

template <class T>
ColumnStrips<T>::ColumnStrips(ptrdiff_t rows, ptrdiff_t cols)
    : rows_(rows), cols_(cols), nr_(gemm_kernels<real_t<T>>().nr), n_strips_(ceil_div(cols, nr_)) {
  data_ = AlignedBuffer<real_t<T>>(n_strips_ * kPlanes * rows_ * nr_);
}

template <class T>
ColumnStrips<T>::ColumnStrips(MatrixView<const T> a, int workers) : ColumnStrips(a.rows, a.cols) {
  // Row blocks outside, strips inside: a block of rows is read in full cache lines and pages.
  const ptrdiff_t groups = ceil_div(n_strips_, kGroup);
  const double entries = static_cast<double>(rows_) * static_cast<double>(cols_);
  parallel_for(
      groups,
      [&](ptrdiff_t g, int) {
        const ptrdiff_t last = std::min(n_strips_, (g + 1) * kGroup);
        for (ptrdiff_t k0 = 0; k0 < rows_; k0 += 64) {
          const ptrdiff_t depth = std::min<ptrdiff_t>(64, rows_ - k0);
          pack_strips<T>(a, k0, depth, g * kGroup, last, nr_, strip(g * kGroup) + k0 * nr_,
                         rows_ * nr_, kPlanes * rows_ * nr_);
        }
      },
      workers_for(8 * entries, workers));
}

template <class T>
double ColumnStrips<T>::max_component(int workers) const {
  using R = real_t<T>;
  const ptrdiff_t size = kPlanes * rows_ * nr_;
  AlignedBuffer<double> largest(n_strips_);
  parallel_for(
      n_strips_,
      [&](ptrdiff_t s, int) {
        // Sixteen running maxima, and sums that turn NaN, let the compiler use vectors.
        R top[16] = {}, poison[16] = {};
        const R* x = strip(s);
        for (ptrdiff_t i = 0; i < size; i += 16) {
          const ptrdiff_t n = std::min<ptrdiff_t>(16, size - i);
          for (ptrdiff_t j = 0; j < n; ++j) {
            const R value = std::abs(x[i + j]);
            top[j] = value > top[j] ? value : top[j];
            poison[j] += value * R(0);
          }
        }
        double value = 0;
        for (int j = 0; j < 16; ++j) value = std::max(value, static_cast<double>(top[j]));
        for (int j = 0; j < 16; ++j) value += static_cast<double>(poison[j]);
        largest[s] = value;
      },
      workers_for(4.0 * static_cast<double>(size) * static_cast<double>(n_strips_), workers));
  double value = 0;
  for (ptrdiff_t s = 0; s < n_strips_; ++s) {
    if (std::isnan(largest[s])) return largest[s];
    value = std::max(value, largest[s]);
  }
  return value;
}

template <class T>
void ColumnStrips<T>::scale(real_t<T> factor, int workers) const {
  const ptrdiff_t size = kPlanes * rows_ * nr_;
  parallel_for(
      n_strips_,
      [&](ptrdiff_t s, int) {
        real_t<T>* x = strip(s);
        for (ptrdiff_t i = 0; i < size; ++i) x[i] *= factor;
      },
      workers);
}

template <class T>
void ColumnStrips<T>::gather_column(ptrdiff_t j, T* out) const {
  const real_t<T>* re = strip(j / nr_) + j % nr_;
  if constexpr (is_complex_v<T>) {
    const real_t<T>* im = strip(j / nr_, 1) + j % nr_;
    for (ptrdiff_t i = 0; i < rows_; ++i) out[i] = T(re[i * nr_], im[i * nr_]);
  } else {
    for (ptrdiff_t i = 0; i < rows_; ++i) out[i] = re[i * nr_];
  }
}

template <class T>
void ColumnStrips<T>::set_row(ptrdiff_t i, const T* row) {
  for (ptrdiff_t s = 0; s < n_strips_; ++s) {
    pack_strip<T>(row_major(row, 1, cols_), 0, 1, s * nr_, nr_, strip(s) + i * nr_, rows_ * nr_);
  }
}

template <class T>
void multiply(const PackedRows<T>& a, const ColumnStrips<T>& b, bool accumulate, MatrixView<T> c,
              int workers, ptrdiff_t first_row) {
  const auto& kernels = gemm_kernels<real_t<T>>();
  const ptrdiff_t nr = b.width(), depth = a.depth();
  const ptrdiff_t n_strips = ceil_div(c.cols, nr);
  const double flops = product_flops(a.rows(), depth, c.cols);
  parallel_for(
      ceil_div(n_strips, kGroup),
      [&](ptrdiff_t g, int) {
        const ptrdiff_t first = g * kGroup, last = std::min(n_strips, first + kGroup);
        if (!accumulate) {
          clear_block(c, first * nr, std::min(c.cols, last * nr) - first * nr);
        }
        for (ptrdiff_t k0 = 0; k0 < depth; k0 += kGemmDepth) {
          const ptrdiff_t kc = std::min(kGemmDepth, depth - k0);
          for (ptrdiff_t s = first; s < last; ++s) {
            for (ptrdiff_t r = 0; r < a.n_strips(); ++r) {
              multiply_tile<T>(kernels, a, r, k0, kc, b.strip(s) + (first_row + k0) * nr,
                               b.rows() * nr, nr, &c(r * kernels.mr, s * nr), c.row_stride,
                               std::min(nr, c.cols - s * nr));
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

// C (+)= alpha A B for a small B, packed whole, and A with rows as they lie: A is read once, in
// order, and not copied.
template <class R>
void gemm_small_b(R alpha, MatrixView<const R> a, MatrixView<const R> b, bool accumulate,
                  MatrixView<R> c, int workers) {
  constexpr ptrdiff_t kRows = 96;
  const auto& kernels = gemm_kernels<R>();
  const ptrdiff_t mr = kernels.mr, nr = kernels.nr, depth = b.rows;
  const ColumnStrips<R> packed(b, 1);
  if (alpha != 1) packed.scale(alpha, 1);
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
            if (rows < mr) {
              if (tail.size() == 0) tail = AlignedBuffer<R>(mr * kGemmDepth);
              std::fill_n(tail.data(), mr * kGemmDepth, R(0));
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

}  // namespace

template <class T>
void gemm(real_t<T> alpha, MatrixView<const T> a, bool conjugate_a, MatrixView<const T> b,
          bool accumulate, MatrixView<T> c, int workers) {
  using R = real_t<T>;
  const auto& kernels = gemm_kernels<R>();
  const ptrdiff_t nr = kernels.nr, depth = b.rows;
  const ptrdiff_t n_strips = ceil_div(c.cols, nr), groups = ceil_div(n_strips, kGroup);
  const double flops = product_flops(a.rows, depth, c.cols);
  constexpr ptrdiff_t kSmall = 512 << 10;  // bytes: half of a second-level cache
  if constexpr (!is_complex_v<T>) {
    if (a.col_stride == 1 && a.rows >= 2 * kernels.mr &&
        n_strips * nr * depth * static_cast<ptrdiff_t>(sizeof(R)) <= kSmall) {
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
  const ptrdiff_t block = kGemmDepth * nr * ColumnStrips<T>::kPlanes;
  AlignedBuffer<R> scratch(used * kGroup * block);
  parallel_for(
      groups,
      [&](ptrdiff_t g, int slot) {
        R* packed = scratch.data() + slot * kGroup * block;
        const ptrdiff_t first = g * kGroup, last = std::min(n_strips, first + kGroup);
        if (!accumulate) clear_block(c, first * nr, std::min(c.cols, last * nr) - first * nr);
        for (ptrdiff_t k0 = 0; k0 < depth; k0 += kGemmDepth) {
          const ptrdiff_t kc = std::min(kGemmDepth, depth - k0);
          pack_strips<T>(b, k0, kc, first, last, nr, packed, kGemmDepth * nr, block);
          for (ptrdiff_t s = first; s < last; ++s) {
            for (ptrdiff_t r = 0; r < packed_a.n_strips(); ++r) {
              multiply_tile<T>(kernels, packed_a, r, k0, kc, packed + (s - first) * block,
                               kGemmDepth * nr, nr, &c(r * kernels.mr, s * nr), c.row_stride,
                               std::min(nr, c.cols - s * nr));
            }
          }
        }
      },
      used);
}

#define KEXUE_INSTANTIATE(T)                                                                      \
  template class PackedRows<T>;                                                                   \
  template class ColumnStrips<T>;                                                                 \
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
