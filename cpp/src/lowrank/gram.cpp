#include "kexue/lowrank/gram.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kexue/core/pool.hpp"
#include "kexue/core/vectors.hpp"
#include "kexue/lowrank/triangular.hpp"

namespace kexue::lowrank {

using std::ptrdiff_t;

namespace {

// The lower triangle of R R^H.
template <class T>
void lower_gram(MatrixView<const T> r, MatrixView<wide_t<T>> out, int workers) {
  using W = wide_t<T>;
  const ptrdiff_t k = r.rows, n = r.cols;
  AlignedBuffer<W> wide, conjugated;
  MatrixView<const W> a, b;
  if constexpr (std::is_same_v<T, W>) {
    a = r;
  } else {
    wide = AlignedBuffer<W>(k * n);
    for (ptrdiff_t i = 0; i < k; ++i) {
      W* row = wide.data() + i * n;
      for (ptrdiff_t j = 0; j < n; ++j) row[j] = r(i, j);
    }
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
}

// So many columns of so few rows stay in the second-level cache, and of four rows in the first.
constexpr ptrdiff_t kFewRows = 256;
template <class R>
constexpr ptrdiff_t kColumns = 4096 / static_cast<ptrdiff_t>(sizeof(R));

// The lower triangle of R R^T, and some entries above it; `sums` (k, k).
template <class R>
void sum_products(MatrixView<const R> r, double* sums) {
  constexpr ptrdiff_t kTile = kDotTile;
  const ptrdiff_t k = r.rows;
  R memory[kTile * kFewRows];
  for (ptrdiff_t i0 = 0; i0 < k; i0 += kTile) {
    const ptrdiff_t rows = std::min(kTile, k - i0), cols = i0 + rows;
    const auto products = row_major(memory, rows, cols);
    inner_products<R>(r.block(i0, 0, rows, r.cols), r.block(0, 0, cols, r.cols), products);
    for (ptrdiff_t i = 0; i < rows; ++i) std::copy_n(products.row(i), cols, sums + (i0 + i) * k);
  }
}

// The same in the precision of K.
template <class K, class R>
void sum_block(MatrixView<const R> r, double* sums) {
  if constexpr (std::is_same_v<K, R>) {
    if (r.col_stride == 1) return sum_products<R>(r, sums);
  }
  AlignedBuffer<K> memory(r.rows * r.cols);
  for (ptrdiff_t i = 0; i < r.rows; ++i) {
    K* row = memory.data() + i * r.cols;
    if (r.col_stride == 1) {
      std::copy_n(r.row(i), r.cols, row);
    } else {
      for (ptrdiff_t j = 0; j < r.cols; ++j) row[j] = r(i, j);
    }
  }
  sum_products<K>(row_major<const K>(memory.data(), r.rows, r.cols), sums);
}

// Few rows, as they lie: real ones are not packed (122 x 4000: half the time).
template <class T>
void gram_of_columns(MatrixView<const T> r, MatrixView<wide_t<T>> out, bool narrow) {
  if constexpr (is_complex_v<T>) {
    lower_gram<T>(r, out, 1);
  } else if (narrow) {
    sum_block<T>(r, out.data);
  } else {
    sum_block<double>(r, out.data);
  }
}

// A sum for every block of columns, at most 64 of them.
template <class T>
void gram_of_few(MatrixView<const T> r, MatrixView<wide_t<T>> out, int workers, bool narrow) {
  using W = wide_t<T>;
  constexpr ptrdiff_t kSums = 64;
  const ptrdiff_t k = r.rows, n = r.cols;
  const ptrdiff_t least = narrow ? kColumns<real_t<T>> : kColumns<double>;
  const ptrdiff_t step = std::max(least, (n + kSums - 1) / kSums);
  const ptrdiff_t sums = (n + step - 1) / step;
  AlignedBuffer<W> memory(sums * k * k);
  parallel_for(
      sums,
      [&](ptrdiff_t task, int) {
        const ptrdiff_t first = task * step;
        gram_of_columns<T>(r.block(0, first, k, std::min(step, n - first)),
                           row_major(memory.data() + task * k * k, k, k), narrow);
      },
      k * k * n < 250000 ? 1 : workers);
  for (ptrdiff_t i = 0; i < k; ++i) {
    std::copy_n(memory.data() + i * k, i + 1, &out(i, 0));
    for (ptrdiff_t task = 1; task < sums; ++task) {
      const W* part = memory.data() + (task * k + i) * k;
      for (ptrdiff_t j = 0; j <= i; ++j) out(i, j) += part[j];
    }
  }
}

}  // namespace

template <class T>
void gram(MatrixView<const T> r, MatrixView<wide_t<T>> out, int workers, bool narrow) {
  const ptrdiff_t k = r.rows;
  if (k <= kFewRows && r.cols > kColumns<double>) {
    gram_of_few<T>(r, out, workers, narrow);
  } else {
    lower_gram<T>(r, out, workers);
  }
  for (ptrdiff_t i = 0; i < k; ++i) {
    for (ptrdiff_t j = 0; j < i; ++j) out(j, i) = conjugate(out(i, j));
  }
}

template <class T>
void residual_rows(MatrixView<const T> rows, MatrixView<const T> chosen, MatrixView<const T> z,
                   MatrixView<T> out, MatrixView<wide_t<T>> before, MatrixView<wide_t<T>> after,
                   int workers) {
  gram<T>(rows, before, workers);
  for (ptrdiff_t i = 0; i < rows.rows; ++i) {
    for (ptrdiff_t j = 0; j < rows.cols; ++j) out(i, j) = rows(i, j);
  }
  gemm<T>(real_t<T>(-1), chosen, false, z, true, out, workers);
  gram<T>(out, after, workers);
}

template <class T>
bool inverse_root(MatrixView<const T> g, double least, MatrixView<T> x, int workers) {
  const ptrdiff_t n = g.rows;
  AlignedBuffer<T> lower_memory(n * n), upper_memory(n * n);
  const auto lower = row_major(lower_memory.data(), n, n);
  const auto upper = row_major(upper_memory.data(), n, n);
  for (ptrdiff_t i = 0; i < n; ++i) {
    for (ptrdiff_t j = 0; j <= i; ++j) lower(i, j) = g(i, j);
  }
  if (cholesky(lower, workers) < n) return false;
  for (ptrdiff_t i = 0; i < n; ++i) {
    if (!(std::real(lower(i, i)) >= least)) return false;
    for (ptrdiff_t j = 0; j < n; ++j) upper(i, j) = j < i ? T(0) : conjugate(lower(j, i));
  }
  upper_inverse<T>(upper, x, workers);
  return true;
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

#define KEXUE_INSTANTIATE(T)                                                                    \
  template void gram<T>(MatrixView<const T>, MatrixView<wide_t<T>>, int, bool);                 \
  template void residual_rows<T>(MatrixView<const T>, MatrixView<const T>, MatrixView<const T>, \
                                 MatrixView<T>, MatrixView<wide_t<T>>, MatrixView<wide_t<T>>,   \
                                 int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

template ptrdiff_t leading_below<double>(MatrixView<const double>, double, int);
template ptrdiff_t leading_below<std::complex<double>>(MatrixView<const std::complex<double>>,
                                                       double, int);
template bool inverse_root<double>(MatrixView<const double>, double, MatrixView<double>, int);
template bool inverse_root<std::complex<double>>(MatrixView<const std::complex<double>>, double,
                                                 MatrixView<std::complex<double>>, int);
template double rayleigh<double>(MatrixView<const double>);
template double rayleigh<std::complex<double>>(MatrixView<const std::complex<double>>);

}  // namespace kexue::lowrank
