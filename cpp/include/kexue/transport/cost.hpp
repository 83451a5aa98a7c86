// Costs as rows: a matrix in memory, or distances between points, computed row by row.
#pragma once

#include <cstddef>

#include "kexue/core/buffer.hpp"
#include "kexue/core/views.hpp"
#include "kexue/transport/sinkhorn_kernels.hpp"

namespace kexue::transport {

inline std::ptrdiff_t padded_row(std::ptrdiff_t m) {
  return (m + kRowPadding - 1) / kRowPadding * kRowPadding;
}

class Costs {
 public:
  // Contiguous rows; entries are finite or +inf, a forbidden arc.
  explicit Costs(MatrixView<const double> matrix);
  // Rows of x against rows of y, both contiguous and finite; y is copied, transposed.
  Costs(MatrixView<const double> x, MatrixView<const double> y, PointCost kind);

  std::ptrdiff_t rows() const { return rows_; }
  std::ptrdiff_t cols() const { return cols_; }
  bool points() const { return matrix_.data == nullptr; }
  // Doubles of scratch that row() needs.
  std::ptrdiff_t scratch() const { return points() ? padded_row(cols_) : 0; }
  const double* row(std::ptrdiff_t i, double* scratch) const;
  // pull (d) = sum_j p_j dC_ij / dx_i of points; c is row(i), p is padded.
  void pull(std::ptrdiff_t i, const double* c, const double* p, double* pull) const;
  std::ptrdiff_t dimension() const { return x_.cols; }

 private:
  std::ptrdiff_t rows_ = 0, cols_ = 0;
  MatrixView<const double> matrix_;
  MatrixView<const double> x_;
  AlignedBuffer<double> y_;
  PointCost kind_ = PointCost::sqeuclidean;
};

struct CostRange {
  double lowest, highest;  // of the finite entries; lowest > highest if there are none
  bool invalid;            // a NaN or -inf
  bool forbidden;          // an entry that is not finite
};
CostRange range_of(const Costs& costs, int workers = 0);

// h_j = min_i C_ij - f_i over the rows with mass a_i > 0, +inf where no arc ends; then
// r_i = min_j C_ij - h_j over the columns with mass b_j > 0. (r, h) are feasible duals of the
// exact problem, the best ones for f and for h.
void c_transform(const Costs& costs, const double* a, const double* b, const double* f, double* r,
                 double* h, int workers = 0);

// f_i = min_j C_ij and g_j = min_i C_ij - f_i over what has mass: every such row and column has an
// entry C_ij - f_i - g_j = 0, and none is negative. Returns the largest finite one.
double hard_start(const Costs& costs, const double* a, const double* b, double* f, double* g,
                  int workers = 0);

}  // namespace kexue::transport
