#include "kexue/lowrank/elimination.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "kexue/core/pool.hpp"
#include "kexue/core/vectors.hpp"
#include "kexue/lowrank/interpolation.hpp"
#include "kexue/lowrank/triangular.hpp"

namespace kexue::lowrank {
namespace {

using std::ptrdiff_t;

template <class T>
void gather_triangle(MatrixView<const T> r, std::span<const ptrdiff_t> pivots, MatrixView<T> r11) {
  for (ptrdiff_t i = 0; i < r.rows; ++i) {
    for (ptrdiff_t j = 0; j < r.rows; ++j) r11(i, j) = j < i ? T(0) : r(i, pivots[j]);
  }
}

// conj(a) a^T = conj(a a^H)
template <class T>
void conjugate_gram(MatrixView<const T> a, MatrixView<T> out, int workers) {
  gemm<T>(real_t<T>(1), a, true, a.transposed(), false, out, workers);
}

// f(row) for the first `count` rows, in parallel if they do `operations` each.
template <class F>
void share_rows(ptrdiff_t count, ptrdiff_t operations, int workers, F&& f) {
  constexpr ptrdiff_t kRows = 16;
  parallel_for((count + kRows - 1) / kRows,
               [&](ptrdiff_t block, int) {
                 const ptrdiff_t end = std::min(count, (block + 1) * kRows);
                 for (ptrdiff_t row = block * kRows; row < end; ++row) f(row);
               },
               count * operations < 50000 ? 1 : workers);
}

// Symmetric exchange of index p and q in the leading block of Hermitian g.
template <class T>
void swap_symmetric(MatrixView<T> g, ptrdiff_t p, ptrdiff_t q, ptrdiff_t size) {
  if (p == q) return;
  std::swap_ranges(&g(p, 0), &g(p, 0) + size, &g(q, 0));
  for (ptrdiff_t i = 0; i < size; ++i) std::swap(g(i, p), g(i, q));
}

// The pseudo-inverse W of columns in an orthonormal basis, while columns are dropped. Dropping
// column p takes the multiple M_qp / M_pp of its row from row q of W, where M = W W^H: Gaussian
// elimination of M. Only M is updated, over the columns still there, which come first in it.
template <class T>
class ShrinkingInverse {
  using R = real_t<T>;

 public:
  // From the triangular factor of all columns; at most directions.rows may be dropped. Row t of
  // directions becomes the unit vector along the row of W that drop t removes.
  ShrinkingInverse(MatrixView<const T> r11, MatrixView<T> directions, int workers)
      : size_(r11.rows),
        left_(r11.rows),
        workers_(workers),
        directions_(directions),
        w_(size_ * size_),
        m_(size_ * size_),
        multiples_(directions.rows * size_),
        shares_(size_) {
    upper_inverse<T>(r11, inverse(), workers);
    conjugate_gram<T>(inverse(), m(), workers);
    for (ptrdiff_t i = 0; i < size_; ++i) columns_.push_back(i);
  }

  ptrdiff_t left() const { return left_; }
  ptrdiff_t column(ptrdiff_t place) const { return columns_[static_cast<std::size_t>(place)]; }
  ptrdiff_t place(ptrdiff_t column) const {
    return std::find(columns_.begin(), columns_.end(), column) - columns_.begin();
  }
  MatrixView<T> inverse() const { return row_major(w_.data(), size_, size_); }
  MatrixView<T> m() const { return row_major(m_.data(), size_, size_); }  // conj(W W^H)
  // The multiple of the last row dropped that every row left has lost.
  const T* shares() const { return shares_.data(); }

  // Drops the column at a place; the last one left takes that place.
  void drop(ptrdiff_t place) {
    const ptrdiff_t last = --left_, t = dropped_++;
    swap_symmetric(m(), place, last, last + 1);
    std::swap(columns_[static_cast<std::size_t>(place)], columns_[static_cast<std::size_t>(last)]);
    const R diagonal = std::real(m()(last, last)), norm = std::sqrt(diagonal);
    remove_direction(column(last), t, norm);
    for (ptrdiff_t q = 0; q < last; ++q) {
      shares_[q] = conjugate(m()(q, last)) / diagonal;
      multiples_[t * size_ + column(q)] = shares_[q] * norm;
    }
    share_rows(last, 2 * last, workers_, [&](ptrdiff_t q) {
      const T h = conjugate(shares_[q]);
      subtract_rows<T>(1, &h, &m()(last, 0), 0, &m()(q, 0), last);
    });
  }

  // The rows of W for the columns left, in their original order.
  AlignedBuffer<T> rows_left() {
    std::sort(columns_.begin(), columns_.begin() + left_);
    AlignedBuffer<T> rows(left_ * size_), lost(left_ * dropped_);
    for (ptrdiff_t q = 0; q < left_; ++q) {
      std::copy_n(&inverse()(column(q), 0), size_, rows.data() + q * size_);
      for (ptrdiff_t t = 0; t < dropped_; ++t) {
        lost[q * dropped_ + t] = multiples_[t * size_ + column(q)];
      }
    }
    gemm<T>(R(-1), row_major<const T>(lost.data(), left_, dropped_), false,
            directions_.block(0, 0, dropped_, size_), true, row_major(rows.data(), left_, size_),
            workers_);
    return rows;
  }

 private:
  // The row of W for that column as it is now, over its norm.
  void remove_direction(ptrdiff_t column, ptrdiff_t t, R norm) {
    std::vector<T> lost(static_cast<std::size_t>(t));
    for (ptrdiff_t s = 0; s < t; ++s) {
      lost[static_cast<std::size_t>(s)] = multiples_[s * size_ + column];
    }
    T* row = &directions_(t, 0);
    std::copy_n(&inverse()(column, 0), size_, row);
    subtract_rows<T>(t, lost.data(), directions_.data, size_, row, size_);
    for (ptrdiff_t k = 0; k < size_; ++k) row[k] /= norm;
  }

  ptrdiff_t size_, left_, dropped_ = 0;
  int workers_;
  MatrixView<T> directions_;
  AlignedBuffer<T> w_, m_, multiples_, shares_;
  std::vector<ptrdiff_t> columns_;  // those left, then those dropped, last first
};

}  // namespace

template <class T>
std::vector<ptrdiff_t> elimination_order(MatrixView<const T> r, std::span<const ptrdiff_t> pivots,
                                         MatrixView<const wide_t<T>> r_gram,
                                         MatrixView<T> directions, MatrixView<T> rows,
                                         int workers) {
  const ptrdiff_t size = r.rows;
  // Products this small gain less from a second worker than waking it costs (122 columns, single
  // precision: 0.37 ms against 0.54).
  if (size * size * size < 4000000) workers = 1;
  AlignedBuffer<T> triangle(size * size), gram(size * size), product(size * size);
  const auto r11 = row_major(triangle.data(), size, size);
  gather_triangle<T>(r, pivots, r11);
  ShrinkingInverse<T> inverse(r11, directions, workers);
  // g = conj(W R R^H W^H)
  const auto g = row_major(gram.data(), size, size), h = row_major(product.data(), size, size);
  const MatrixView<const T> w = inverse.inverse();
  for (ptrdiff_t i = 0; i < size; ++i) {
    for (ptrdiff_t j = 0; j < size; ++j) h(i, j) = conjugate(static_cast<T>(r_gram(i, j)));
  }
  gemm<T>(real_t<T>(1), w, true, h, false, r11, workers);
  gemm<T>(real_t<T>(1), r11, false, w.transposed(), false, g, workers);

  std::vector<ptrdiff_t> order;
  AlignedBuffer<T> pair(2 * size);
  T *row = pair.data(), *shares = row + size;
  for (ptrdiff_t t = 0; t < directions.rows; ++t) {
    poll_interrupt();
    ptrdiff_t least = 0;
    real_t<T> least_loss = std::numeric_limits<real_t<T>>::infinity();
    for (ptrdiff_t i = 0; i < inverse.left(); ++i) {
      const real_t<T> loss = std::real(g(i, i)) / std::real(inverse.m()(i, i));
      if (loss < least_loss || (loss == least_loss && inverse.column(i) < inverse.column(least))) {
        least = i;
        least_loss = loss;
      }
    }
    order.push_back(inverse.column(least));
    inverse.drop(least);
    const ptrdiff_t last = inverse.left();
    swap_symmetric(g, least, last, last + 1);
    // Row q of W R has lost shares[q] times the last row.
    std::copy_n(&g(last, 0), last, row);
    std::copy_n(inverse.shares(), last, shares);
    const T own = g(last, last);
    share_rows(last, 4 * last, workers, [&](ptrdiff_t q) {
      const T c = conjugate(shares[q]);
      const T multiples[2] = {c, conjugate(row[q]) - times(c, own)};
      subtract_rows<T>(2, multiples, row, size, &g(q, 0), last);
    });
  }
  if (rows.rows > 0) std::copy_n(inverse.rows_left().data(), rows.rows * size, rows.data);
  return order;
}

template <class T>
double coefficients_of_rows(MatrixView<const T> rows, MatrixView<const T> r,
                            std::span<const ptrdiff_t> kept, MatrixView<T> z, MatrixView<const T> a,
                            MatrixView<T> columns, int workers) {
  constexpr ptrdiff_t kPanel = 256, kBlock = 64;
  const ptrdiff_t k = z.rows, live = rows.rows, n = z.cols;
  const ptrdiff_t panels = (n + kPanel - 1) / kPanel, blocks = (columns.rows + kBlock - 1) / kBlock;
  std::atomic<ptrdiff_t> panel = 0, block = 0;
  std::vector<double> largest(static_cast<std::size_t>(panels), 0.0);
  // Every other worker begins with A. One of the two kinds is left as long as a chunk is.
  const auto multiply_next = [&] {
    const ptrdiff_t p = panel.fetch_add(1), j0 = kPanel * p, width = std::min(kPanel, n - j0);
    if (width <= 0) return false;
    const auto part = z.block(0, j0, k, width);
    gemm<T>(real_t<T>(1), rows, false, r.block(0, j0, r.rows, width), false,
            part.block(0, 0, live, width), 1);
    for (ptrdiff_t i = live; i < k; ++i) std::fill_n(&part(i, 0), width, T(0));
    for (ptrdiff_t s = 0; s < k; ++s) {
      const ptrdiff_t j = kept[static_cast<std::size_t>(s)] - j0;
      if (j < 0 || j >= width) continue;
      for (ptrdiff_t i = 0; i < k; ++i) part(i, j) = T(i == s ? 1 : 0);
    }
    largest[static_cast<std::size_t>(p)] = max_modulus<T>(part, 1);
    return true;
  };
  const auto gather_next = [&] {
    const ptrdiff_t i0 = kBlock * block.fetch_add(1), size = std::min(kBlock, columns.rows - i0);
    if (size <= 0) return false;
    gather_columns<T>(a.block(i0, 0, a.rows - i0, a.cols), kept,
                      columns.block(i0, 0, size, columns.cols), 1);
    return true;
  };
  parallel_for(
      panels + blocks,
      [&](ptrdiff_t, int slot) {
        if (slot % 2 == 0) {
          if (!gather_next()) multiply_next();
        } else if (!multiply_next()) {
          gather_next();
        }
      },
      k * (live * n + 4 * columns.rows) < 100000 ? 1 : workers);
  double value = 0;
  for (const double x : largest)
    value = std::isnan(x) || std::isnan(value) ? NAN : std::max(value, x);
  return value;
}

template <class T>
void interpolation_coefficients(MatrixView<const T> r, std::span<const ptrdiff_t> indices,
                                std::span<const ptrdiff_t> dropped, MatrixView<T> z, int workers) {
  const ptrdiff_t rank = r.rows, drops = static_cast<ptrdiff_t>(dropped.size());
  AlignedBuffer<T> triangle(rank * rank), directions(drops * rank);
  const auto r11 = row_major(triangle.data(), rank, rank);
  gather_triangle<T>(r, indices, r11);
  ShrinkingInverse<T> inverse(r11, row_major(directions.data(), drops, rank), workers);
  for (ptrdiff_t i : dropped) inverse.drop(inverse.place(i));
  const AlignedBuffer<T> rows = inverse.rows_left();
  const ptrdiff_t live = inverse.left();
  std::vector<ptrdiff_t> kept;
  kept.reserve(static_cast<std::size_t>(live));
  for (ptrdiff_t i = 0; i < live; ++i) {
    kept.push_back(indices[static_cast<std::size_t>(inverse.column(i))]);
  }
  for (auto j : indices.subspan(static_cast<std::size_t>(rank))) kept.push_back(j);
  coefficients_of_rows<T>(row_major<const T>(rows.data(), live, rank), r, kept, z, {}, {}, workers);
}

#define KEXUE_INSTANTIATE(T)                                                                       \
  template std::vector<ptrdiff_t> elimination_order<T>(                                            \
      MatrixView<const T>, std::span<const ptrdiff_t>, MatrixView<const wide_t<T>>, MatrixView<T>, \
      MatrixView<T>, int);                                                                         \
  template double coefficients_of_rows<T>(MatrixView<const T>, MatrixView<const T>,                \
                                          std::span<const ptrdiff_t>, MatrixView<T>,               \
                                          MatrixView<const T>, MatrixView<T>, int);                \
  template void interpolation_coefficients<T>(MatrixView<const T>, std::span<const ptrdiff_t>,     \
                                              std::span<const ptrdiff_t>, MatrixView<T>, int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::lowrank
