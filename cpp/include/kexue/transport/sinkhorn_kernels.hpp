// Kernels of entropic transport, one table per instruction set.
//
// Rows of the Gibbs kernel K_ij = exp((f_i + g_j - C_ij) / reg) are padded with zeros to a multiple
// of kRowPadding entries, and so are the vectors g, w and t that run along a row. Sums are float64.
#pragma once

#include <cstddef>
#include <type_traits>

namespace kexue::transport {

inline constexpr std::ptrdiff_t kRowPadding = 16;
// Rows a block kernel takes at once: each vector of w or t is loaded once for all of them.
inline constexpr std::ptrdiff_t kBlockRows = 4;

enum class PointCost : int { sqeuclidean = 0, euclidean = 1, cityblock = 2 };

// What one row of costs holds; +inf is a forbidden arc.
struct CostExtent {
  double lowest, highest;  // of the finite entries
  std::ptrdiff_t finite;
  bool invalid;  // a NaN or -inf
};

// Of the entries whose weight is positive, and 1.
struct Extremes {
  double low, high;
  bool sound;  // all are positive and finite
};

template <class R>
struct GibbsKernels {
  // k_j = exp((f + g_j - c_j) * inverse), relative error a few units in the last place of R;
  // below the smallest normal number of R zero, above the largest one +inf; f and g_j may be -inf.
  void (*exponentials)(const double* c, std::ptrdiff_t m, double f, const double* g, double inverse,
                       R* k, std::ptrdiff_t padded);
  // sums[r] = sum_j k[r * stride + j] w_j for r < rows <= kBlockRows
  void (*dots)(const R* k, std::ptrdiff_t stride, std::ptrdiff_t rows, const double* w,
               std::ptrdiff_t padded, double* sums);
  // t_j += sum_r coefficients[r] k[r * stride + j]
  void (*add)(const R* k, std::ptrdiff_t stride, std::ptrdiff_t rows, const double* coefficients,
              double* t, std::ptrdiff_t padded);
  // One balanced pass over any number of rows: s_i = sum_j k_ij w_j, `relax` of u_i by s_i, t_j +=
  // sum_i k_ij a_i u_i.
  void (*balanced)(const R* k, std::ptrdiff_t stride, std::ptrdiff_t rows, const double* w,
                   const double* a, double omega, double* s, double* u, double* t,
                   std::ptrdiff_t padded);
  // sum_j c_j k_j w_j over the entries with k_j w_j > 0
  double (*cost)(const double* c, const R* k, const double* w, std::ptrdiff_t m);
  // out_j = coefficient k_j w_j
  void (*scale)(const R* k, const double* w, double coefficient, double* out, std::ptrdiff_t m);
};

struct SinkhornKernels {
  GibbsKernels<float> f32;
  GibbsKernels<double> f64;
  CostExtent (*extent)(const double* c, std::ptrdiff_t m);
  // h_j = min(h_j, c_j - f)
  void (*lower)(const double* c, double f, double* h, std::ptrdiff_t m);
  // The same, and top_j = max(top_j, c_j - f) over finite c_j.
  void (*lower_and_raise)(const double* c, double f, double* h, double* top, std::ptrdiff_t m);
  Extremes (*extremes)(const double* x, const double* weight, std::ptrdiff_t n);
  // c_j = v_j t_j; returns sum_j b_j |1 - c_j|. Vectors are padded.
  double (*column_error)(const double* v, const double* t, const double* b, double* c,
                         std::ptrdiff_t padded);
  // y_j = (1 - omega) y_j + omega / x_j, where 1 / x_j is 1 if x_j is not positive
  void (*relax)(const double* x, double omega, double* y, std::ptrdiff_t n);
  // GibbsKernels<float>::balanced with float32 vectors w and t, and float32 sums.
  void (*coarse)(const float* k, std::ptrdiff_t stride, std::ptrdiff_t rows, const float* w,
                 const double* a, double omega, double* s, double* u, float* t,
                 std::ptrdiff_t padded);
  // out_j = cost(x, y_j) where y lies as d rows of `padded` coordinates
  void (*point_costs)(const double* x, std::ptrdiff_t d, const double* y, std::ptrdiff_t padded,
                      PointCost kind, double* out);
  // pull_k = sum_j p_j d cost(x, y_j) / d x_k with costs c_j; where it has no derivative, 0.
  void (*point_pull)(const double* x, std::ptrdiff_t d, const double* y, std::ptrdiff_t padded,
                     PointCost kind, const double* c, const double* p, double* pull);
};
const SinkhornKernels& sinkhorn_kernels();

// Problems of at most kShortSide rows and columns and kShortEntries entries, whose costs in a row
// lie within kShortReach reg, are solved by one call; others, and those that would take long, are
// left unsolved.
inline constexpr std::ptrdiff_t kShortSide = 64, kShortEntries = 4096, kShortPasses = 64;
inline constexpr double kShortReach = 125;

constexpr bool short_shape(std::ptrdiff_t n, std::ptrdiff_t m) {
  return n <= kShortSide && m <= kShortSide && n * m <= kShortEntries;
}
constexpr std::ptrdiff_t short_scratch(std::ptrdiff_t n, std::ptrdiff_t m) {
  constexpr std::ptrdiff_t kMost = 8;  // lanes of a vector
  const std::ptrdiff_t rows = n + kMost, cols = m + kMost;
  return 2 * rows * cols + 4 * (rows + cols);
}

struct ShortProblem {
  std::ptrdiff_t n, m, stride;  // of the rows of c
  const double *c, *a, *b;
  double reg, tol;
  std::ptrdiff_t max_passes;
  double* scratch;  // short_scratch(n, m)
  // P_ij = left_i exp((base_f_i - c_ij) / reg) right_j
  double *f, *g, *base_f, *left, *right;
};
struct ShortAnswer {
  double value, objective, dual, error;
  std::ptrdiff_t passes;
  bool solved;
};
struct ShortKernels {
  ShortAnswer (*solve)(const ShortProblem& problem);
  // out_ij = left_i exp((base_f_i + base_g_j - c_ij) / reg) right_j; rows one after the other
  void (*entries)(const double* c, std::ptrdiff_t n, std::ptrdiff_t m, double reg,
                  const double* base_f, const double* base_g, const double* left,
                  const double* right, double* out);
};
const ShortKernels& short_kernels();

template <class R>
const GibbsKernels<R>& gibbs_kernels() {
  if constexpr (std::is_same_v<R, float>) {
    return sinkhorn_kernels().f32;
  } else {
    return sinkhorn_kernels().f64;
  }
}

}  // namespace kexue::transport
