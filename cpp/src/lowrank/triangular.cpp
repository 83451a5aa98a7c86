#include "kexue/lowrank/triangular.hpp"

#include <algorithm>
#include <cmath>

#include "kexue/core/pool.hpp"
#include "kexue/core/vectors.hpp"

namespace kexue::lowrank {
namespace {

using std::ptrdiff_t;

constexpr ptrdiff_t kBlock = 48;  // four strips of the widest micro-kernel

// Cholesky factor of a small g, row by row; returns the number of rows that succeeded.
template <class T>
ptrdiff_t small_cholesky(MatrixView<T> g) {
  for (ptrdiff_t i = 0; i < g.rows; ++i) {
    for (ptrdiff_t j = 0; j <= i; ++j) {
      T sum = g(i, j);
      for (ptrdiff_t s = 0; s < j; ++s) sum -= times(g(i, s), conjugate(g(j, s)));
      if (j < i) {
        g(i, j) = sum / std::real(g(j, j));
      } else {
        if (!(std::real(sum) > 0)) return i;
        g(i, i) = std::sqrt(std::real(sum));
      }
    }
  }
  return g.rows;
}

// x = l^-1 for a small lower triangular l; above the diagonal x is zero.
template <class T>
void lower_inverse(MatrixView<const T> l, MatrixView<T> x) {
  for (ptrdiff_t i = 0; i < l.rows; ++i) {
    std::fill_n(&x(i, 0), l.rows, T(0));
    x(i, i) = T(1);
    for (ptrdiff_t s = 0; s < i; ++s) {
      const T h = l(i, s);
      for (ptrdiff_t j = 0; j <= s; ++j) x(i, j) -= times(h, x(s, j));
    }
    const real_t<T> inverse = real_t<T>(1) / std::real(l(i, i));
    for (ptrdiff_t j = 0; j <= i; ++j) x(i, j) *= inverse;
  }
}

}  // namespace

template <class T>
void add_lower_product(real_t<T> alpha, MatrixView<const T> a, MatrixView<const T> b,
                       MatrixView<T> c, bool accumulate, int workers) {
  const ColumnStrips<T> strips(b.transposed(), workers);
  const ptrdiff_t blocks = (a.rows + kBlock - 1) / kBlock;
  const bool small = a.rows * a.rows * a.cols < 250000;  // about 20 microseconds
  // Every task takes a block of rows, the longest first.
  parallel_for(
      blocks,
      [&](ptrdiff_t task, int) {
        const ptrdiff_t first = (blocks - 1 - task) * kBlock;
        const ptrdiff_t rows = std::min(kBlock, a.rows - first);
        const PackedRows<T> block(a.block(first, 0, rows, a.cols), false, alpha, 1);
        multiply<T>(block, strips, accumulate, c.block(first, 0, rows, first + rows), 1);
      },
      small ? 1 : workers);
}

template <class T>
ptrdiff_t cholesky(MatrixView<T> g, int workers) {
  using R = real_t<T>;
  const ptrdiff_t n = g.rows;
  AlignedBuffer<T> inverse_memory(kBlock * kBlock), below_memory(n * kBlock);
  AlignedBuffer<T> conjugate_memory(n * kBlock);
  for (ptrdiff_t k = 0; k < n; k += kBlock) {
    const ptrdiff_t size = std::min(kBlock, n - k), rest = n - k - size;
    const MatrixView<T> corner = g.block(k, k, size, size);
    const ptrdiff_t done = small_cholesky(corner);
    if (done < size) return k + done;
    if (rest == 0) break;
    // L21 = G21 L11^-H, then G22 <- G22 - L21 L21^H.
    const auto inverse = row_major(inverse_memory.data(), size, size);
    lower_inverse<T>(corner, inverse);
    const auto below = row_major(below_memory.data(), rest, size);
    const auto conjugate_below = row_major(conjugate_memory.data(), rest, size);
    const MatrixView<T> source = g.block(k + size, k, rest, size);
    // conj(L21) = conj(G21) (L11^-1)^T
    gemm<T>(R(1), source, true, MatrixView<const T>(inverse).transposed(), false, conjugate_below,
            workers);
    for (ptrdiff_t i = 0; i < rest; ++i) {
      for (ptrdiff_t j = 0; j < size; ++j) {
        source(i, j) = below(i, j) = conjugate(conjugate_below(i, j));
      }
    }
    add_lower_product<T>(R(-1), below, conjugate_below, g.block(k + size, k + size, rest, rest),
                         true, workers);
  }
  return n;
}

template <class T>
void upper_inverse(MatrixView<const T> r, MatrixView<T> x, int workers) {
  constexpr ptrdiff_t kPanel = 64;  // columns per task
  const ptrdiff_t k = r.rows;
  parallel_for((k + kPanel - 1) / kPanel,
               [&](ptrdiff_t panel, int) {
                 const ptrdiff_t j0 = panel * kPanel, j1 = std::min(k, j0 + kPanel);
                 for (ptrdiff_t i = 0; i < k; ++i)
                   std::fill(&x(i, j0), &x(i, j0) + (j1 - j0), T(0));
                 for (ptrdiff_t i = j1 - 1; i >= 0; --i) {
                   T* xi = &x(i, j0);
                   if (i >= j0) xi[i - j0] = T(1);
                   if (i + 1 < j1) {
                     subtract_rows<T>(j1 - i - 1, &r(i, i + 1), &x(i + 1, j0), x.row_stride, xi,
                                      j1 - j0);
                   }
                   const T inverse = T(1) / r(i, i);
                   for (ptrdiff_t j = 0; j < j1 - j0; ++j) xi[j] = times(inverse, xi[j]);
                 }
               },
               k * k * k < 300000 ? 1 : workers);
}

#define KEXUE_INSTANTIATE(T)                                                              \
  template ptrdiff_t cholesky<T>(MatrixView<T>, int);                                     \
  template void upper_inverse<T>(MatrixView<const T>, MatrixView<T>, int);                \
  template void add_lower_product<T>(real_t<T>, MatrixView<const T>, MatrixView<const T>, \
                                     MatrixView<T>, bool, int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::lowrank
