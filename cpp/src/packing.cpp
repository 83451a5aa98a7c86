#include "packing.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kexue/core/pool.hpp"
#include "kexue/core/vectors.hpp"

namespace kexue {
namespace {

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

}  // namespace

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

// Rows of full strips are read in one piece: a strip's part of a row is one cache line, its
// neighbours are in the same page.
template <class T>
void pack_strips(MatrixView<const T> b, ptrdiff_t k0, ptrdiff_t depth, ptrdiff_t first,
                 ptrdiff_t last, ptrdiff_t nr, real_t<T>* out, ptrdiff_t plane_stride,
                 ptrdiff_t strip_stride) {
  ptrdiff_t full = first;
  if constexpr (!is_complex_v<T>) {
    if (b.col_stride == 1) {
      full = std::max(first, std::min(last, b.cols / nr));
      gemm_kernels<T>().pack(depth, b.row(k0) + first * nr, b.row_stride, full - first, out,
                             strip_stride);
    }
  }
  for (ptrdiff_t s = full; s < last; ++s) {
    pack_strip<T>(b, k0, depth, s * nr, nr, out + (s - first) * strip_stride, plane_stride);
  }
}

template <class T>
PackedRows<T>::PackedRows(MatrixView<const T> a, bool conjugate_entries, real_t<T> alpha,
                          int workers, const T* weights)
    : rows_(a.rows), depth_(a.cols), mr_(gemm_kernels<real_t<T>>().mr) {
  using R = real_t<T>;
  n_strips_ = ceil_div(rows_, mr_);
  const ptrdiff_t plane = n_strips_ * depth_ * mr_;
  data_ = AlignedBuffer<R>(plane * (is_complex_v<T> ? 3 : 1));
  const double entries = static_cast<double>(rows_) * static_cast<double>(depth_);
  if constexpr (!is_complex_v<T>) {
    if (a.row_stride == 1) {
      // Columns of a as they lie, each to all strips.
      constexpr ptrdiff_t kColumns = 128;
      parallel_for(
          ceil_div(depth_, kColumns),
          [&](ptrdiff_t block, int) {
            const ptrdiff_t end = std::min(depth_, (block + 1) * kColumns);
            for (ptrdiff_t k = block * kColumns; k < end; ++k) {
              const T* column = &a(0, k);
              const T factor = weights == nullptr ? alpha : alpha * weights[k];
              for (ptrdiff_t s = 0; s < n_strips_; ++s) {
                R* out = data_.data() + (s * depth_ + k) * mr_;
                const ptrdiff_t rows = std::min(mr_, rows_ - s * mr_);
                for (ptrdiff_t r = 0; r < rows; ++r) out[r] = factor * column[s * mr_ + r];
                for (ptrdiff_t r = rows; r < mr_; ++r) out[r] = R(0);
              }
            }
          },
          workers_for(8 * entries, workers));
      return;
    }
  }
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
        if (weights != nullptr) {
          for (ptrdiff_t k = 0; k < depth_; ++k) {
            for (ptrdiff_t r = 0; r < rows; ++r) {
              put_entry(out + k * mr_ + r, times(weights[k], block(r, k)));
            }
          }
        } else if (a.row_stride == 1) {
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
        largest[s] = static_cast<double>(vector_kernels<R>().largest(strip(s), size));
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
void ColumnStrips<T>::copy_to(MatrixView<T> out, int workers) const {
  const double entries = static_cast<double>(rows_) * static_cast<double>(cols_);
  parallel_for(
      rows_,
      [&](ptrdiff_t i, int) {
        for (ptrdiff_t s = 0; s < n_strips_; ++s) {
          const ptrdiff_t j0 = s * nr_, width = std::min(nr_, cols_ - j0);
          const real_t<T>* from = strip(s) + i * nr_;
          if constexpr (is_complex_v<T>) {
            const real_t<T>* imaginary = strip(s, 1) + i * nr_;
            for (ptrdiff_t j = 0; j < width; ++j) out(i, j0 + j) = {from[j], imaginary[j]};
          } else {
            std::copy_n(from, width, &out(i, j0));
          }
        }
      },
      workers_for(4 * entries, workers));
}

template <class T>
void ColumnStrips<T>::set_row(ptrdiff_t i, const T* row) {
  for (ptrdiff_t s = 0; s < n_strips_; ++s) {
    pack_strip<T>(row_major(row, 1, cols_), 0, 1, s * nr_, nr_, strip(s) + i * nr_, rows_ * nr_);
  }
}

// Strips of single precision are twice as wide.
ColumnStrips<float> rounded(const ColumnStrips<double>& b, int workers) {
  ColumnStrips<float> out(b.rows(), b.cols());
  const ptrdiff_t wide = out.width(), nr = b.width();
  parallel_for(
      b.n_strips(),
      [&](ptrdiff_t s, int) {
        const double* from = b.strip(s);
        float* to = out.strip(s * nr / wide) + s * nr % wide;
        for (ptrdiff_t i = 0; i < b.rows(); ++i, from += nr, to += wide) {
          for (ptrdiff_t j = 0; j < nr; ++j) to[j] = static_cast<float>(from[j]);
        }
      },
      workers_for(4 * product_flops(1, b.rows(), b.cols()), workers));
  return out;
}

#define KEXUE_INSTANTIATE(T)                                                                    \
  template class PackedRows<T>;                                                                 \
  template class ColumnStrips<T>;                                                               \
  template void pack_strip<T>(MatrixView<const T>, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t,  \
                              real_t<T>*, ptrdiff_t);                                           \
  template void pack_strips<T>(MatrixView<const T>, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, \
                               ptrdiff_t, real_t<T>*, ptrdiff_t, ptrdiff_t);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue
