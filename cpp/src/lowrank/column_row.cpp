#include "kexue/lowrank/column_row.hpp"

#include <algorithm>
#include <cmath>

#include "kexue/core/index.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lowrank/squares.hpp"

namespace kexue::lowrank {
namespace {

using std::ptrdiff_t;

int workers_for(ptrdiff_t operations, int workers) { return operations < 50000 ? 1 : workers; }

// f(b, workers) for every matrix: matrices in parallel where they are many, else one by one, each
// in parallel.
template <class F>
void for_each_matrix(ptrdiff_t count, ptrdiff_t operations, int workers, F&& f) {
  if (count < 2 * planned_workers(count, workers)) {
    for (ptrdiff_t b = 0; b < count; ++b) f(b, workers);
    return;
  }
  parallel_for(count, [&](ptrdiff_t b, int) { f(b, 1); }, workers_for(count * operations, workers));
}

// Squares between these sums lose nothing to overflow or underflow.
constexpr double kLeastSquares = 1e-280, kMostSquares = 1e300;

template <class T>
double modulus(T x) {
  return static_cast<double>(std::abs(x));
}
template <>
double modulus(std::complex<double> x) {
  return std::hypot(x.real(), x.imag());
}

// The norms of the columns whose plain sums of squares are out of range, by their largest modulus.
// Row by row, because a column of a row-major matrix lies on as many pages as it has rows.
template <class T>
void scaled_norms(MatrixView<const T> a, const std::vector<ptrdiff_t>& columns, double* out) {
  std::vector<double> largest(columns.size(), 0.0), sums(columns.size(), 0.0);
  for (ptrdiff_t i = 0; i < a.rows; ++i) {
    for (std::size_t c = 0; c < columns.size(); ++c) {
      const double x = modulus(a(i, columns[c]));
      if (!(x <= largest[c])) largest[c] = x;
    }
  }
  for (std::size_t c = 0; c < columns.size(); ++c) {
    if (std::isnan(largest[c]) || std::isinf(largest[c])) largest[c] = HUGE_VAL;
  }
  for (ptrdiff_t i = 0; i < a.rows; ++i) {
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (!(largest[c] > 0) || std::isinf(largest[c])) continue;
      const double x = modulus(a(i, columns[c])) / largest[c];
      sums[c] += x * x;
    }
  }
  for (std::size_t c = 0; c < columns.size(); ++c) {
    out[columns[c]] = std::isinf(largest[c]) ? HUGE_VAL : largest[c] * std::sqrt(sums[c]);
  }
}

// Rows as they lie: partial sums of fixed groups of rows, added in order.
template <class T>
void square_rows(MatrixView<const T> a, double* out, int workers) {
  using R = real_t<T>;
  constexpr ptrdiff_t kReals = is_complex_v<T> ? 2 : 1, kGroups = 64, kLeastRows = 32;
  const ptrdiff_t width = a.cols * kReals;
  const ptrdiff_t rows = std::max(kLeastRows, 8 * ceil_div(a.rows, 8 * kGroups));
  const ptrdiff_t groups = std::max<ptrdiff_t>(1, ceil_div(a.rows, rows));
  AlignedBuffer<double> sums(groups * width);
  const auto& kernels = square_kernels<R>();
  const int used = workers_for(a.rows * width, workers);
  parallel_for(
      groups,
      [&](ptrdiff_t g, int) {
        double* acc = sums.data() + g * width;
        std::fill_n(acc, width, 0.0);
        const ptrdiff_t first = g * rows, last = std::min(a.rows, first + rows);
        kernels.down(reinterpret_cast<const R*>(a.row(first)), a.row_stride * kReals, last - first,
                     width, acc);
      },
      used);
  for (ptrdiff_t g = 1; g < groups; ++g) {
    for (ptrdiff_t j = 0; j < width; ++j) sums[j] += sums[g * width + j];
  }
  for (ptrdiff_t j = 0; j < a.cols; ++j) {
    out[j] = kReals == 2 ? sums[2 * j] + sums[2 * j + 1] : sums[j];
  }
}

template <class T>
void square_columns(MatrixView<const T> a, double* out, int workers) {
  using R = real_t<T>;
  constexpr ptrdiff_t kReals = is_complex_v<T> ? 2 : 1;
  const ptrdiff_t columns = std::max<ptrdiff_t>(1, 32768 / std::max<ptrdiff_t>(1, a.rows));
  const auto& kernels = square_kernels<R>();
  parallel_for(
      ceil_div(a.cols, columns),
      [&](ptrdiff_t g, int) {
        const ptrdiff_t last = std::min(a.cols, (g + 1) * columns);
        for (ptrdiff_t j = g * columns; j < last; ++j) {
          if (a.row_stride == 1 || a.rows <= 1) {
            out[j] = kernels.sum(reinterpret_cast<const R*>(&a(0, j)), a.rows * kReals);
          } else {
            double sum = 0;
            for (ptrdiff_t i = 0; i < a.rows; ++i) sum += squared_modulus(a(i, j));
            out[j] = sum;
          }
        }
      },
      workers_for(a.rows * a.cols, workers));
}

template <class T>
void norms_of_one(MatrixView<const T> a, double* out, int workers) {
  if (a.col_stride == 1 && a.row_stride != 1 && a.rows > 0) {
    square_rows(a, out, workers);
  } else {
    square_columns(a, out, workers);
  }
  std::vector<ptrdiff_t> rest;
  for (ptrdiff_t j = 0; j < a.cols; ++j) {
    const bool in_range = out[j] >= kLeastSquares && out[j] <= kMostSquares;
    // In single precision no square underflows, so zero is zero.
    const bool is_zero = out[j] == 0 && sizeof(real_t<T>) == 4;
    if (in_range || is_zero) {
      out[j] = std::sqrt(out[j]);
    } else {
      rest.push_back(j);
    }
  }
  if (!rest.empty()) scaled_norms(a, rest, out);
}

}  // namespace

template <class T>
void column_norms(Batch<const T> a, MatrixView<double> out, int workers) {
  for_each_matrix(a.count, a.first.rows * a.first.cols, workers,
                  [&](ptrdiff_t b, int used) { norms_of_one<T>(a[b], out.row(b), used); });
}

template <class T>
void weighted_products(Batch<const T> a, MatrixView<const T> weights, Batch<const T> b,
                       Batch<T> out, int workers) {
  const ptrdiff_t depth = b.first.rows, cols = b.first.cols;
  for_each_matrix(a.count, a.first.rows * depth * cols, workers, [&](ptrdiff_t index, int used) {
    const T* factors = weights.data == nullptr ? nullptr : weights.row(index);
    gemm<T>(1, a[index], false, b[index], false, out[index], used, factors);
  });
}

#define KEXUE_INSTANTIATE(T)                                                              \
  template void column_norms<T>(Batch<const T>, MatrixView<double>, int);                 \
  template void weighted_products<T>(Batch<const T>, MatrixView<const T>, Batch<const T>, \
                                     Batch<T>, int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::lowrank
