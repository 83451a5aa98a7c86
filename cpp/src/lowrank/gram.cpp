#include "kexue/lowrank/gram.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "kexue/core/index.hpp"
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

// Whether to sum products of rows as they lie, a block of columns at a time.
template <class T>
bool has_few_rows(MatrixView<const T> r) {
  return r.rows <= kFewRows && r.cols > kColumns<double>;
}

// Gram matrices of blocks of columns, at most 64 of them.
template <class T>
class GramParts {
  using W = wide_t<T>;

 public:
  GramParts(ptrdiff_t rows, ptrdiff_t cols, bool narrow)
      : rows_(rows),
        cols_(cols),
        step_(std::max(narrow ? kColumns<real_t<T>> : kColumns<double>, ceil_div(cols, kMost))),
        narrow_(narrow),
        memory_(count() * rows * rows) {}

  ptrdiff_t count() const { return ceil_div(cols_, step_); }
  template <class U>
  MatrixView<U> block(MatrixView<U> r, ptrdiff_t b) const {
    return r.block(0, b * step_, r.rows, std::min(step_, cols_ - b * step_));
  }
  void set(ptrdiff_t b, MatrixView<const T> columns) const {
    gram_of_columns<T>(columns, row_major(memory_.data() + b * rows_ * rows_, rows_, rows_),
                       narrow_);
  }
  // The lower triangle of their sum.
  void add_up(MatrixView<W> out) const {
    for (ptrdiff_t i = 0; i < rows_; ++i) {
      std::copy_n(memory_.data() + i * rows_, i + 1, &out(i, 0));
      for (ptrdiff_t b = 1; b < count(); ++b) {
        const W* part = memory_.data() + (b * rows_ + i) * rows_;
        for (ptrdiff_t j = 0; j <= i; ++j) out(i, j) += part[j];
      }
    }
  }

 private:
  static constexpr ptrdiff_t kMost = 64;

  ptrdiff_t rows_, cols_, step_;
  bool narrow_;
  AlignedBuffer<W> memory_;
};

template <class T>
void mirror(MatrixView<T> g) {
  for (ptrdiff_t i = 0; i < g.rows; ++i) {
    for (ptrdiff_t j = 0; j < i; ++j) g(j, i) = conjugate(g(i, j));
  }
}

}  // namespace

template <class T>
void gram(MatrixView<const T> r, MatrixView<wide_t<T>> out, int workers, bool narrow) {
  if (has_few_rows(r)) {
    const GramParts<T> parts(r.rows, r.cols, narrow);
    parallel_for(
        parts.count(), [&](ptrdiff_t b, int) { parts.set(b, parts.block(r, b)); },
        r.rows * r.rows * r.cols < 250000 ? 1 : workers);
    parts.add_up(out);
  } else {
    lower_gram<T>(r, out, workers);
  }
  mirror(out);
}

template <class T>
void residual_rows(MatrixView<const T> rows, MatrixView<const T> chosen, MatrixView<const T> z,
                   MatrixView<T> out, MatrixView<wide_t<T>> before, MatrixView<wide_t<T>> after,
                   int workers) {
  const auto subtract = [&](MatrixView<const T> from, MatrixView<const T> part, MatrixView<T> to,
                            int threads) {
    for (ptrdiff_t i = 0; i < from.rows; ++i) {
      for (ptrdiff_t j = 0; j < from.cols; ++j) to(i, j) = from(i, j);
    }
    gemm<T>(real_t<T>(-1), chosen, false, part, true, to, threads);
  };
  if (!has_few_rows(rows)) {
    gram<T>(rows, before, workers);
    subtract(rows, z, out, workers);
    gram<T>(out, after, workers);
    return;
  }
  // All of a block of columns while it is in the cache.
  const GramParts<T> whole(rows.rows, rows.cols, false), rest(rows.rows, rows.cols, false);
  parallel_for(
      whole.count(),
      [&](ptrdiff_t b, int) {
        const auto from = whole.block(rows, b);
        const auto to = whole.block(out, b);
        whole.set(b, from);
        subtract(from, whole.block(z, b), to, 1);
        rest.set(b, to);
      },
      rows.rows * chosen.cols * rows.cols < 250000 ? 1 : workers);
  whole.add_up(before);
  rest.add_up(after);
  mirror(before);
  mirror(after);
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

namespace {

// Tridiagonal form of Hermitian a, which is used up: the diagonal, the squared moduli beside it.
template <class T>
void tridiagonalize(MatrixView<T> a, std::span<double> diagonal, std::span<double> squares) {
  const ptrdiff_t n = a.rows;
  std::vector<T> v(at(n)), w(at(n));
  for (ptrdiff_t j = 0; j < n; ++j) {
    diagonal[at(j)] = std::real(a(j, j));
    if (j + 1 == n) break;
    double squared = 0;
    for (ptrdiff_t i = j + 1; i < n; ++i) squared += squared_modulus(a(i, j));
    squares[at(j)] = squared;
    const double norm = std::sqrt(squared), first = std::abs(a(j + 1, j));
    if (!(first < norm)) continue;
    // The reflection 1 - v v^H takes the column to a multiple of the first unit vector.
    const double scale = 1 / std::sqrt(norm * (norm + first));
    for (ptrdiff_t i = j + 1; i < n; ++i) v[at(i)] = scale * a(i, j);
    v[at(j + 1)] += scale * norm * (first > 0 ? a(j + 1, j) / first : T(1));
    T share = 0;
    for (ptrdiff_t i = j + 1; i < n; ++i) {
      w[at(i)] = 0;
      for (ptrdiff_t k = j + 1; k < n; ++k) w[at(i)] += times(a(i, k), v[at(k)]);
      share += times(conjugate(v[at(i)]), w[at(i)]);
    }
    for (ptrdiff_t i = j + 1; i < n; ++i) w[at(i)] -= 0.5 * share * v[at(i)];
    for (ptrdiff_t i = j + 1; i < n; ++i) {
      for (ptrdiff_t k = j + 1; k < n; ++k) {
        a(i, k) -= times(v[at(i)], conjugate(w[at(k)])) + times(w[at(i)], conjugate(v[at(k)]));
      }
    }
  }
}

}  // namespace

template <class T>
double largest_eigenvalue(MatrixView<const T> g) {
  const ptrdiff_t n = g.rows;
  double top = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    const double x = std::real(g(i, i));
    if (!(x <= std::numeric_limits<double>::max())) return std::numeric_limits<double>::quiet_NaN();
    top = std::max(top, x);
  }
  if (top == 0) return 0;
  AlignedBuffer<T> memory(n * n);
  const auto a = row_major(memory.data(), n, n);
  // Squares must not overflow.
  const int exponent = std::ilogb(top);
  for (ptrdiff_t i = 0; i < n; ++i) {
    for (ptrdiff_t j = 0; j < n; ++j) a(i, j) = g(i, j) * std::ldexp(1.0, -exponent);
  }
  std::vector<double> diagonal(at(n)), squares(at(n), 0.0);
  tridiagonalize(a, diagonal, squares);
  double low = *std::max_element(diagonal.begin(), diagonal.end());
  double high = 2 * static_cast<double>(n);
  for (;;) {
    const double middle = 0.5 * (low + high);
    if (!(low < middle && middle < high)) return std::ldexp(high, exponent);
    // All eigenvalues lie below the middle if elimination of (a - middle) finds negative pivots.
    double pivot = diagonal[0] - middle;
    for (ptrdiff_t i = 1; i < n && pivot < 0; ++i) {
      pivot = diagonal[at(i)] - middle - squares[at(i - 1)] / pivot;
    }
    (pivot < 0 ? high : low) = middle;
  }
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
template double largest_eigenvalue<double>(MatrixView<const double>);
template double largest_eigenvalue<std::complex<double>>(MatrixView<const std::complex<double>>);
template double rayleigh<double>(MatrixView<const double>);
template double rayleigh<std::complex<double>>(MatrixView<const std::complex<double>>);

}  // namespace kexue::lowrank
