// Kernels of the charts (chart.hpp): tails of the bases and their inverses, one table per
// instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kexue::density {

// Bases whose tails have a closed form, apart from the logistic one.
enum class Tail { normal, t3, cauchy };

// |t| from which `inverse` may be used, two times the mass of a tail.
inline constexpr double kLeastNormal = 1e-3, kLeastStudent = 1e-290;

// A density on equispaced knots, mixed with a t3 base by `spill`; masses left and right of a knot.
struct WarpTable {
  double loc, inverse_scale, spill;
  double first, step, inverse_step;
  std::ptrdiff_t knots;
  const double* density;
  const double* left;
  const double* right;
};

// Both halves of a warp, each counted from its end of the table: four coefficients a cell, first
// those of the lower half. The mass from the end to place d of a cell is c_0 + d (c_1 + d (c_2 + d
// c_3)). A row with an infinite c_0 ends each half. guide[g] is the cell in which the share g of
// kWarpShares of a half begins, g = 0..kWarpShares, of either half.
inline constexpr std::ptrdiff_t kWarpShares = 8192;
struct WarpInverse {
  double edge[2];  // ends of the table
  double step;
  std::ptrdiff_t cells;
  const double* cubics;
  const std::int32_t* guide;
};

struct ChartKernels {
  // t and dx/dy at y; z = (y - loc) inverse_scale.
  void (*tails)(Tail base, const double* y, double loc, double inverse_scale, double* t,
                double* slope, std::ptrdiff_t n);
  // y at t where |t| is at least kLeastNormal or kLeastStudent, anything elsewhere.
  void (*inverse)(Tail base, const double* t, double loc, double scale, double* y,
                  std::ptrdiff_t n);
  void (*warp)(const WarpTable& table, const double* y, double* t, double* slope, std::ptrdiff_t n);
  // y at t in [-1, 1] or NaN, which it may replace.
  void (*warp_inverse)(const WarpInverse& table, const double* t, double* y, std::ptrdiff_t n);
};
const ChartKernels& chart_kernels();

}  // namespace kexue::density
