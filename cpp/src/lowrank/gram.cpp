#include "kexue/lowrank/gram.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kexue/core/pool.hpp"

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

// The lower triangle of c (+)= alpha a b^T; every task takes a block of rows, the longest first.
template <class T>
void add_lower_product(real_t<T> alpha, MatrixView<const T> a, MatrixView<const T> b,
                       MatrixView<T> c, bool accumulate, int workers) {
  const ColumnStrips<T> strips(b.transposed(), workers);
  const ptrdiff_t blocks = (a.rows + kBlock - 1) / kBlock;
  const bool small = a.rows * a.rows * a.cols < 250000;  // about 20 microseconds
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

}  // namespace

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
void gram(MatrixView<const T> r, MatrixView<wide_t<T>> out, int workers) {
  using W = wide_t<T>;
  const ptrdiff_t k = r.rows, n = r.cols;
  AlignedBuffer<W> wide, conjugated;
  MatrixView<const W> a, b;
  if constexpr (std::is_same_v<T, W>) {
    a = r;
  } else {
    wide = AlignedBuffer<W>(k * n);
    for (ptrdiff_t i = 0; i < k; ++i) std::copy_n(r.row(i), n, wide.data() + i * n);
    a = row_major<const W>(wide.data(), k, n);
  }
  b = a;
  if constexpr (is_complex_v<W>) {
    conjugated = AlignedBuffer<W>(k * n);
    for (ptrdiff_t i = 0; i < k; ++i) {
      for (ptrdiff_t j = 0; j < n; ++j) conjugated[i * n + j] = std::conj(a(i, j));
    }
    b = row_major<const W>(conjugated.data(), k, n);
  }
  add_lower_product<W>(1, a, b, out, false, workers);
  for (ptrdiff_t i = 0; i < k; ++i) {
    for (ptrdiff_t j = 0; j < i; ++j) out(j, i) = conjugate(out(i, j));
  }
}

template <class T>
ptrdiff_t leading_below(MatrixView<const T> g, double limit, int workers) {
  const ptrdiff_t n = g.rows;
  AlignedBuffer<T> memory(n * n);
  const auto shifted = row_major(memory.data(), n, n);
  for (ptrdiff_t i = 0; i < n; ++i) {
    for (ptrdiff_t j = 0; j < i; ++j) shifted(i, j) = -g(i, j);
    shifted(i, i) = real_t<T>(limit * limit) - g(i, i);
  }
  return cholesky(shifted, workers);
}

template <class T>
double rayleigh(MatrixView<const T> g) {
  const ptrdiff_t n = g.rows;
  if (n == 0) return 0;
  ptrdiff_t start = 0;
  for (ptrdiff_t i = 1; i < n; ++i) {
    if (std::real(g(i, i)) > std::real(g(start, start))) start = i;
  }
  std::vector<T> x(static_cast<std::size_t>(n)), y(x.size());
  for (ptrdiff_t i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] = g(i, start);
  double value = 0;
  for (int step = 0; step < 30; ++step) {
    double squared = 0;
    for (T v : x) squared += squared_modulus(v);
    if (!(squared > 0)) break;
    const double inverse = 1 / std::sqrt(squared);
    for (T& v : x) v *= real_t<T>(inverse);
    // y = g x as a sum of columns, which are conjugated rows.
    std::fill(y.begin(), y.end(), T(0));
    for (ptrdiff_t i = 0; i < n; ++i) {
      const T h = x[static_cast<std::size_t>(i)];
      for (ptrdiff_t j = 0; j < n; ++j) {
        y[static_cast<std::size_t>(j)] += times(h, conjugate(g(i, j)));
      }
    }
    double quotient = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      quotient += std::real(times(conjugate(x[i]), y[i]));
    }
    const double last = value;
    value = quotient;
    x.swap(y);
    if (value - last <= 1e-4 * value) break;
  }
  return value;
}

#define KEXUE_INSTANTIATE(T)                          \
  template ptrdiff_t cholesky<T>(MatrixView<T>, int); \
  template void gram<T>(MatrixView<const T>, MatrixView<wide_t<T>>, int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

template ptrdiff_t leading_below<double>(MatrixView<const double>, double, int);
template ptrdiff_t leading_below<std::complex<double>>(MatrixView<const std::complex<double>>,
                                                       double, int);
template double rayleigh<double>(MatrixView<const double>);
template double rayleigh<std::complex<double>>(MatrixView<const std::complex<double>>);

}  // namespace kexue::lowrank
