// Which of a few columns pivoted QR would take first, foreseen from some of their rows.
//
// The longest columns of a matrix are often neighbours: once one is a pivot, the others are short.
// Pivoted QR of the rows, with columns scaled to the lengths that are known, tells them apart: the
// rows of a sketch are random combinations (Duersch & Gu 2017 choose all pivots so).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "candidate_pool.hpp"
#include "kexue/core/vectors.hpp"

namespace kexue::lowrank {

// Where a pivot may be half as long as the longest column, pivots are foreseen: of 256 columns by
// 32 of their rows (1 / r kernel: 10 batches for 22). A nearer one is mostly among the longest.
inline constexpr double kForeseen = 0.5;
inline constexpr std::ptrdiff_t kShortlist = 256, kForesight = 32;
// Classical pivots of steep spectra, of 96 columns by 64 rows (1000 x 1000, 10^(-i / 20), rank 100:
// 180 candidates for 258).
inline constexpr std::ptrdiff_t kSteepShortlist = 96, kSteepForesight = 64;

// How many norms reach `least`.
inline std::ptrdiff_t rivals(std::span<const double> norms, double least) {
  return std::count_if(norms.begin(), norms.end(), [&](double x) { return x >= least; });
}

// l rows of A - Q^H R, evenly spaced, at some columns; q (k, rows), r (k, columns).
template <class T>
AlignedBuffer<T> residual_rows(const ColumnStrips<T>& a, std::span<const std::ptrdiff_t> columns,
                               std::ptrdiff_t l, MatrixView<const T> q, MatrixView<const T> r) {
  using std::ptrdiff_t;
  const ptrdiff_t n = std::ssize(columns);
  AlignedBuffer<T> z(l * n), at_columns(r.rows * n), h(r.rows);
  for (ptrdiff_t s = 0; s < r.rows; ++s) {
    for (ptrdiff_t k = 0; k < n; ++k) {
      at_columns[s * n + k] = r.row(s)[columns[static_cast<std::size_t>(k)]];
    }
  }
  for (ptrdiff_t t = 0; t < l; ++t) {
    const ptrdiff_t i = t * a.rows() / l;
    for (ptrdiff_t k = 0; k < n; ++k) {
      z[t * n + k] = a.at(i, columns[static_cast<std::size_t>(k)]);
    }
    for (ptrdiff_t s = 0; s < r.rows; ++s) h[s] = q.row(s)[i];
    subtract_rows(r.rows, h.data(), at_columns.data(), n, &z[t * n], n);
  }
  return z;
}

// At most `size` of the columns that are not `known`; z (rows, columns), contiguous, holds rows of
// them, `squares` their squared lengths by index. First the longest, then the one longest without
// its part along that, and so on, as many as rows can tell, where known ones take part; then the
// longest others. O(rows^2 columns).
template <class T>
std::vector<std::ptrdiff_t> foreseen_pivots(MatrixView<const T> z,
                                            std::span<const std::ptrdiff_t> columns,
                                            std::span<const double> squares,
                                            std::span<const char> known, std::ptrdiff_t size) {
  using std::ptrdiff_t;
  constexpr double kTaken = -1;
  const ptrdiff_t l = z.rows, n = z.cols;
  const auto column = [&](ptrdiff_t k) {
    return static_cast<std::size_t>(columns[static_cast<std::size_t>(k)]);
  };
  std::vector<double> left(columns.size()), scales(columns.size(), 0.0);
  for (ptrdiff_t i = 0; i < l; ++i) {
    for (std::size_t k = 0; k < scales.size(); ++k) {
      scales[k] += squared_modulus(z.row(i)[k]);
    }
  }
  for (std::size_t k = 0; k < scales.size(); ++k) {
    left[k] = squares[column(static_cast<ptrdiff_t>(k))];
    scales[k] = scales[k] > 0 ? left[k] / scales[k] : 0;
  }
  AlignedBuffer<T> directions(l * l), r(l * n), products(l);
  std::vector<ptrdiff_t> chosen;
  for (ptrdiff_t rank = 0; rank + 1 < l && std::ssize(chosen) < size; ++rank) {
    const auto longest = std::max_element(left.begin(), left.end());
    if (!(*longest > 0)) break;
    *longest = kTaken;
    const ptrdiff_t c = longest - left.begin();
    if (known[column(c)] == 0) chosen.push_back(columns[static_cast<std::size_t>(c)]);
    // What is left of the column is the next direction; its products with all columns are a row.
    T* q = directions.data() + rank * l;
    T* row = r.data() + rank * n;
    for (ptrdiff_t i = 0; i < l; ++i) q[i] = z(i, c);
    for (ptrdiff_t s = 0; s < rank; ++s) products[s] = r[s * n + c];
    subtract_rows(rank, products.data(), directions.data(), l, q, l);
    const double square = std::real(inner(q, q, l));
    const auto inverse = static_cast<real_t<T>>(square > 0 ? 1 / std::sqrt(square) : 0);
    for (ptrdiff_t i = 0; i < l; ++i) {
      q[i] *= inverse;
      products[i] = -conjugate(q[i]);
    }
    std::fill_n(row, n, T(0));
    subtract_rows(l, products.data(), z.data, n, row, n);
    for (std::size_t k = 0; k < left.size(); ++k) {
      if (left[k] != kTaken) left[k] = std::max(0.0, left[k] - scales[k] * squared_modulus(row[k]));
    }
  }
  std::vector<ptrdiff_t> others;
  for (ptrdiff_t k = 0; k < n; ++k) {
    if (left[static_cast<std::size_t>(k)] != kTaken && known[column(k)] == 0) {
      others.push_back(columns[static_cast<std::size_t>(k)]);
    }
  }
  const ptrdiff_t room = std::min(size - std::ssize(chosen), std::ssize(others));
  std::partial_sort(others.begin(), others.begin() + room, others.end(), LongerFirst{squares});
  chosen.insert(chosen.end(), others.begin(), others.begin() + room);
  return chosen;
}

}  // namespace kexue::lowrank
