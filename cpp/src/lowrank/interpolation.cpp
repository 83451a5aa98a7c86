#include "kexue/lowrank/interpolation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kexue/core/index.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/core/vectors.hpp"
#include "kexue/lowrank/triangular.hpp"

namespace kexue::lowrank {
namespace {

using std::ptrdiff_t;

constexpr ptrdiff_t kPanel = 64;  // columns per task

int workers_for(ptrdiff_t operations, int workers) { return operations < 50000 ? 1 : workers; }

// Eight maxima side by side, so that the compiler uses vectors.
template <class T, class Measure>
void add_row(const T* row, ptrdiff_t n, Measure measure, double& value, bool& finite) {
  if constexpr (!is_complex_v<T>) {
    const double x = measure(vector_kernels<T>().largest(row, n));
    finite &= x <= std::numeric_limits<double>::max();
    value = x > value ? x : value;
    return;
  }
  constexpr ptrdiff_t kLanes = 8;
  double top[kLanes] = {}, poison[kLanes] = {};
  for (ptrdiff_t j0 = 0; j0 < n; j0 += kLanes) {
    const ptrdiff_t size = std::min(kLanes, n - j0);
    for (ptrdiff_t l = 0; l < size; ++l) {
      const double x = measure(row[j0 + l]);
      top[l] = x > top[l] ? x : top[l];
      poison[l] += x * 0;  // NaN where x is not finite
    }
  }
  for (ptrdiff_t l = 0; l < kLanes; ++l) {
    finite &= poison[l] == 0;
    value = top[l] > value ? top[l] : value;
  }
}

template <class T, class Measure>
double largest(MatrixView<const T> a, int workers, Measure measure) {
  const ptrdiff_t rows_per_task = std::max<ptrdiff_t>(1, 16384 / std::max<ptrdiff_t>(1, a.cols));
  const ptrdiff_t tasks = ceil_div(a.rows, rows_per_task);
  std::vector<double> results(static_cast<std::size_t>(tasks), 0.0);
  parallel_for(
      tasks,
      [&](ptrdiff_t task, int) {
        double value = 0;
        bool finite = true;
        const ptrdiff_t end = std::min(a.rows, (task + 1) * rows_per_task);
        for (ptrdiff_t i = task * rows_per_task; i < end; ++i) {
          if (a.col_stride == 1) {
            add_row(a.row(i), a.cols, measure, value, finite);
            continue;
          }
          for (ptrdiff_t j = 0; j < a.cols; ++j) {
            const double x = measure(a(i, j));
            finite &= x <= std::numeric_limits<double>::max();
            value = x > value ? x : value;
          }
        }
        results[static_cast<std::size_t>(task)] =
            finite ? value : std::numeric_limits<double>::quiet_NaN();
      },
      workers_for(a.rows * a.cols, workers));
  double value = 0;
  for (double x : results) value = std::isnan(x) || std::isnan(value) ? NAN : std::max(value, x);
  return value;
}

struct Largest {
  double squared = 0;
  ptrdiff_t row = 0, column = 0;
};

// The entry of largest modulus, the first of equals; the first column counts as `first_column`.
template <class T>
Largest largest_of(MatrixView<const T> z, ptrdiff_t first_column) {
  Largest found;
  for (ptrdiff_t i = 0; i < z.rows; ++i) {
    if constexpr (!is_complex_v<T>) {
      const double top = vector_kernels<T>().largest(z.row(i), z.cols);
      if (top * top <= found.squared) continue;  // a row that is not finite is looked at
    }
    for (ptrdiff_t j = 0; j < z.cols; ++j) {
      const double squared = squared_modulus(z(i, j));
      if (squared > found.squared) found = {squared, i, first_column + j};
    }
  }
  return found;
}

}  // namespace

std::vector<ptrdiff_t> without(std::span<const ptrdiff_t> values,
                               std::span<const ptrdiff_t> positions) {
  std::vector<char> dropped(values.size(), 0);
  for (const ptrdiff_t i : positions) dropped[at(i)] = 1;
  std::vector<ptrdiff_t> left;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (dropped[i] == 0) left.push_back(values[i]);
  }
  return left;
}

template <class T>
ptrdiff_t exchange(MatrixView<T> z, std::span<ptrdiff_t> indices, double bound, int workers) {
  constexpr ptrdiff_t kWidth = 256;  // columns per task: its rows stay in the second-level cache
  const ptrdiff_t k = z.rows, n = z.cols, panels = ceil_div(n, kWidth);
  std::vector<Largest> best(static_cast<std::size_t>(panels));
  std::vector<T> pivot_column(static_cast<std::size_t>(k));
  Largest pivot;
  // Eliminates column pivot.column with row pivot.row (unless no pivot is set: row < 0), then finds
  // the largest entry of every panel.
  const auto sweep = [&](ptrdiff_t panel, int) {
    const ptrdiff_t j0 = panel * kWidth, width = std::min(n - j0, kWidth);
    if (pivot.row >= 0) {
      T* source = &z(pivot.row, j0);
      const T inverse = T(1) / pivot_column[static_cast<std::size_t>(pivot.row)];
      for (ptrdiff_t j = 0; j < width; ++j) source[j] = times(inverse, source[j]);
      for (ptrdiff_t i = 0; i < k; ++i) {
        if (i == pivot.row) continue;
        subtract_rows<T>(1, &pivot_column[static_cast<std::size_t>(i)], source, n, &z(i, j0),
                         width);
      }
    }
    best[static_cast<std::size_t>(panel)] = largest_of<T>(z.block(0, j0, k, width), j0);
  };
  pivot.row = -1;
  for (ptrdiff_t count = 0;; ++count) {
    parallel_for(panels, sweep, workers_for(k * n, workers));
    Largest found;
    for (const Largest& candidate : best) {
      if (candidate.squared > found.squared) found = candidate;
    }
    if (!(found.squared > bound * bound)) return count;
    pivot = found;
    for (ptrdiff_t i = 0; i < k; ++i) {
      pivot_column[static_cast<std::size_t>(i)] = z(i, pivot.column);
    }
    indices[static_cast<std::size_t>(pivot.row)] = pivot.column;
  }
}

template <class T>
void gather_columns(MatrixView<const T> a, std::span<const ptrdiff_t> indices, MatrixView<T> out,
                    int workers) {
  constexpr ptrdiff_t kRows = 32;
  const auto k = static_cast<ptrdiff_t>(indices.size());
  parallel_for(
      ceil_div(out.rows, kRows),
      [&](ptrdiff_t block, int) {
        const ptrdiff_t end = std::min(out.rows, (block + 1) * kRows);
        for (ptrdiff_t i = block * kRows; i < end; ++i) {
          T* row = &out(i, 0);
          [[maybe_unused]] const ptrdiff_t ahead = std::min(i + 4, a.rows - 1);
          for (ptrdiff_t j = 0; j < k; ++j) {
            const ptrdiff_t column = indices[static_cast<std::size_t>(j)];
#if defined(__GNUC__)
            __builtin_prefetch(&a(ahead, column), 0, 2);
#endif
            row[j] = a(i, column);
          }
        }
      },
      workers_for(4 * out.rows * k, workers));
}

template <class T>
void gather_rows(MatrixView<const T> a, std::span<const ptrdiff_t> indices, MatrixView<T> out,
                 int workers) {
  parallel_for(
      out.rows,
      [&](ptrdiff_t i, int) {
        const ptrdiff_t row = indices[static_cast<std::size_t>(i)];
        if (a.col_stride == 1) {
          std::copy_n(a.row(row), a.cols, out.row(i));
        } else {
          for (ptrdiff_t j = 0; j < a.cols; ++j) out(i, j) = a(row, j);
        }
      },
      workers_for(out.rows * a.cols, workers));
}

template <class T>
double max_component(MatrixView<const T> a, int workers) {
  return largest(a, workers, [](T x) {
    if constexpr (is_complex_v<T>) {
      const double re = std::abs(x.real()), im = std::abs(x.imag());
      return re > im || re != re ? re : im;
    } else {
      return static_cast<double>(std::abs(x));
    }
  });
}

template <class T>
double max_modulus(MatrixView<const T> a, int workers) {
  return std::sqrt(largest(a, workers, [](T x) { return squared_modulus(x); }));
}

template <class T>
void whiten(MatrixView<const T> c, real_t<T> scale, MatrixView<const T> r11, MatrixView<T> w,
            int workers) {
  const ptrdiff_t k = c.cols;
  AlignedBuffer<T> memory(k * k);
  const auto inverse = row_major(memory.data(), k, k);
  upper_inverse<T>(r11, inverse, workers);
  for (ptrdiff_t i = 0; i < k * k; ++i) memory[i] *= scale;
  gemm<T>(real_t<T>(1), c, false, inverse, false, w, workers);
}

template <class T>
bool orthogonalize(MatrixView<T> v, std::span<const ptrdiff_t> indices, MatrixView<const T> r11,
                   int workers) {
  using R = real_t<T>;
  const ptrdiff_t k = v.rows, n = v.cols;
  AlignedBuffer<T> inverse_memory(k * k), gram_memory(k * k), product_memory(k * k);
  const auto inverse = row_major(inverse_memory.data(), k, k);
  const auto gram = row_major(gram_memory.data(), k, k);
  const auto chosen = row_major(product_memory.data(), k, k);
  gather_columns<T>(v, indices, chosen, workers);
  upper_inverse<T>(r11, inverse, workers);
  gemm<T>(R(1), chosen, false, inverse, false, gram, workers);
  if (cholesky(gram, workers) < k) return false;
  // The diagonal lies in [0.6, 2.4] when the sketch embeds the columns; far below, it did not.
  for (ptrdiff_t i = 0; i < k; ++i) {
    if (!(std::real(gram(i, i)) > R(0.05))) return false;
  }
  // L^-1 = ((L^H)^-1)^H
  for (ptrdiff_t i = 0; i < k; ++i) {
    for (ptrdiff_t j = 0; j < k; ++j) chosen(i, j) = j < i ? T(0) : conjugate(gram(j, i));
  }
  upper_inverse<T>(chosen, inverse, workers);
  // Panels of columns by the rows of L^-1, each from a copy that stays in the second-level cache.
  const PackedRows<T> rows(MatrixView<const T>(inverse).transposed(), true, R(1), workers);
  parallel_for(
      ceil_div(n, kPanel),
      [&](ptrdiff_t panel, int) {
        const ptrdiff_t j0 = panel * kPanel;
        const MatrixView<T> block = v.block(0, j0, k, std::min(kPanel, n - j0));
        multiply<T>(rows, ColumnStrips<T>(block, 1), false, block, 1);
      },
      workers_for(k * k * n, workers));
  return true;
}

#define KEXUE_INSTANTIATE(T)                                                                      \
  template ptrdiff_t exchange<T>(MatrixView<T>, std::span<ptrdiff_t>, double, int);               \
  template void gather_columns<T>(MatrixView<const T>, std::span<const ptrdiff_t>, MatrixView<T>, \
                                  int);                                                           \
  template void gather_rows<T>(MatrixView<const T>, std::span<const ptrdiff_t>, MatrixView<T>,    \
                               int);                                                              \
  template double max_component<T>(MatrixView<const T>, int);                                     \
  template double max_modulus<T>(MatrixView<const T>, int);                                       \
  template void whiten<T>(MatrixView<const T>, real_t<T>, MatrixView<const T>, MatrixView<T>,     \
                          int);                                                                   \
  template bool orthogonalize<T>(MatrixView<T>, std::span<const ptrdiff_t>, MatrixView<const T>,  \
                                 int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::lowrank
