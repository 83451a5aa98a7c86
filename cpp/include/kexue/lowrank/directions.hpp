// Orthonormal directions picked one by one from the columns of a matrix, and what they leave.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "kexue/core/pool.hpp"
#include "kexue/core/vectors.hpp"

namespace kexue::lowrank {

// Columns per task: the rows of a panel of a few hundred rows stay in the second-level cache.
inline constexpr std::ptrdiff_t kSelectionPanel = 256;

// Squared norms of the columns of x, whose rows are contiguous.
template <class T>
std::vector<double> column_norms(MatrixView<const T> x, int workers) {
  std::vector<double> norms(static_cast<std::size_t>(x.cols), 0.0);
  parallel_for((x.cols + kSelectionPanel - 1) / kSelectionPanel,
               [&](std::ptrdiff_t panel, int) {
                 const std::ptrdiff_t j0 = panel * kSelectionPanel;
                 const std::ptrdiff_t j1 = std::min(x.cols, j0 + kSelectionPanel);
                 for (std::ptrdiff_t i = 0; i < x.rows; ++i) {
                   for (std::ptrdiff_t j = j0; j < j1; ++j) {
                     norms[static_cast<std::size_t>(j)] += squared_modulus(x(i, j));
                   }
                 }
               },
               x.rows * x.cols < 50000 ? 1 : workers);
  return norms;
}

// Projections of the columns of x (r, n; rows contiguous) away from the columns chosen so far. x is
// not touched: a chosen column is projected when it is taken, the norms of all are downdated.
template <class T>
class Directions {
  using R = real_t<T>;

 public:
  Directions(MatrixView<const T> x, int workers)
      : x_(x),
        workers_(workers),
        norms_(column_norms(x, workers)),
        basis_(x.rows * x.rows),
        next_(x.rows),
        weights_(x.rows) {}

  const std::vector<std::ptrdiff_t>& chosen() const { return chosen_; }
  std::ptrdiff_t count() const { return static_cast<std::ptrdiff_t>(chosen_.size()); }
  // ||x_j||^2 of what is left of column j; zero once it is chosen.
  double squared_norm(std::ptrdiff_t j) const { return norms_[static_cast<std::size_t>(j)]; }
  // The direction taken last, and the length of its column before that.
  const T* last() const { return basis_.data() + (count() - 1) * x_.rows; }
  R length() const { return length_; }
  MatrixView<const T> basis() const { return row_major<const T>(basis_.data(), count(), x_.rows); }

  AlignedBuffer<T> basis_copy() const {
    AlignedBuffer<T> copy(count() * x_.rows);
    std::copy_n(basis_.data(), copy.size(), copy.data());
    return copy;
  }

  // Makes the projected column j the next direction. False, and its norm is set right, if hardly
  // anything of it was left. The rows of all columns in that direction are then swept.
  bool take(std::ptrdiff_t j) {
    const std::ptrdiff_t r = x_.rows;
    double& norm = norms_[static_cast<std::size_t>(j)];
    for (std::ptrdiff_t i = 0; i < r; ++i) next_[i] = x_(i, j);
    for (int pass = 0; pass < 2; ++pass) {
      for (std::ptrdiff_t s = 0; s < count(); ++s) {
        const T* u = basis_.data() + s * r;
        const T h = inner(u, next_.data(), r);
        subtract_rows<T>(1, &h, u, r, next_.data(), r);
      }
    }
    double squared = 0;
    for (std::ptrdiff_t i = 0; i < r; ++i) squared += squared_modulus(next_[i]);
    if (!(squared > 0) || squared < 0.25 * norm) {
      norm = squared < 0.25 * norm ? squared : 0;
      return false;
    }
    length_ = static_cast<R>(std::sqrt(squared));
    T* u = basis_.data() + count() * r;
    for (std::ptrdiff_t i = 0; i < r; ++i) u[i] = next_[i] / length_;
    for (std::ptrdiff_t i = 0; i < r; ++i) weights_[i] = -conjugate(u[i]);
    norm = 0;
    chosen_.push_back(j);
    return true;
  }

  // Takes the column of largest score, the first of equals, among those with a squared norm of at
  // least `least`. -1 if there is none.
  template <class Score>
  std::ptrdiff_t best(Score&& score, double least) {
    for (;;) {
      std::ptrdiff_t place = -1;
      double largest = -std::numeric_limits<double>::infinity();
      for (std::ptrdiff_t j = 0; j < x_.cols; ++j) {
        if (!(squared_norm(j) >= least && squared_norm(j) > 0)) continue;
        const double value = score(j);
        if (value > largest) {
          largest = value;
          place = j;
        }
      }
      if (place < 0 || take(place)) return place;
    }
  }

  // out = u^H x for the direction taken last, over a panel, whose norms fall by its squares.
  void last_row(std::ptrdiff_t j0, std::ptrdiff_t width, T* out) {
    std::fill_n(out, width, T(0));
    subtract_rows<T>(x_.rows, weights_.data(), x_.data + j0, x_.row_stride, out, width);
    for (std::ptrdiff_t i = 0; i < width; ++i) {
      double& norm = norms_[static_cast<std::size_t>(j0 + i)];
      norm = std::max(0.0, norm - squared_modulus(out[i]));
    }
  }

  // f(first column, width) for every panel.
  template <class F>
  void sweep(F&& f) const {
    parallel_for((x_.cols + kSelectionPanel - 1) / kSelectionPanel,
                 [&](std::ptrdiff_t panel, int) {
                   const std::ptrdiff_t j0 = panel * kSelectionPanel;
                   f(j0, std::min(kSelectionPanel, x_.cols - j0));
                 },
                 x_.rows * x_.cols < 50000 ? 1 : workers_);
  }

 private:
  MatrixView<const T> x_;
  int workers_;
  std::vector<double> norms_;
  std::vector<std::ptrdiff_t> chosen_;
  AlignedBuffer<T> basis_, next_, weights_;
  R length_ = 0;
};

}  // namespace kexue::lowrank
