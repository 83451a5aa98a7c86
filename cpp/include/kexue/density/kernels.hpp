// Kernels of the Fourier densities, one table per instruction set.
//
// Positions t in [-1, 1] have period 2 and count from the ends of the support: t > 0 is the
// distance from the lower end, -t > 0 that from the upper one, so that tails keep their digits.
// Complex numbers are split into real and imaginary arrays.
#pragma once

#include <cstddef>

namespace kexue::density {

// Polynomials on cells for sampling. Of a cell's share of a uniform the part below `split` is its
// own, the rest is that of the cell `other`: alias holds both, cell by cell. A row of `poly` is
// that of a cell: kInverseTerms coefficients, of s, s^2, ..., and at kCellStart where it begins.
inline constexpr int kInverseTerms = 6, kCellStart = 6, kCellRow = 8;
struct SampleTable {
  std::ptrdiff_t cells;  // a power of two
  double width;
  const double* alias;
  const double* poly;
};

// `sum_of_logs` takes only what is larger.
inline constexpr double kLeastLog = 1e-300;

struct DensityKernels {
  // out = |sum_k b_k e^{i pi k t}|^2, k = 0..order: a sum of two squares, never negative.
  void (*square)(const double* re, const double* im, std::ptrdiff_t order, const double* t,
                 double* out, std::ptrdiff_t n);
  // The same sum itself.
  void (*amplitude)(const double* re, const double* im, std::ptrdiff_t order, const double* t,
                    double* out_re, double* out_im, std::ptrdiff_t n);
  // z = (y - loc) inverse_scale; t from the ends of tanh z, and slope = sech^2(z) inverse_scale.
  void (*logistic)(const double* y, double loc, double inverse_scale, double* t, double* slope,
                   std::ptrdiff_t n);
  // y = loc + scale atanh(x) for the position t of x.
  void (*logistic_inverse)(const double* t, double loc, double scale, double* y, std::ptrdiff_t n);
  // Adds w d^k, k = 0..3, to moments[4 cell + k] of the cell in which t lies, d in [0, 1) its place
  // there; even samples to `even`, odd ones to `odd`. w null means 1. cells is a power of two.
  void (*bin)(const double* t, const double* w, std::ptrdiff_t n, std::ptrdiff_t cells,
              double* even, double* odd);
  // sum log x; NaN unless every x is finite and above kLeastLog.
  double (*sum_of_logs)(const double* x, std::ptrdiff_t n);
  // Positions from uniforms in [0, 1).
  void (*sample)(const SampleTable& table, const double* uniform, double* t, std::ptrdiff_t n);
};
const DensityKernels& density_kernels();

struct FitKernels {
  // Rows of `lanes` numbers, `rows` of them (a power of two): y_m = sum_q x_q e^{-2 pi i q m /
  // rows} in every lane. The result lies in x or in y; returns true for x. root[k] = e^{-2 pi i
  // k/rows}.
  bool (*transform)(std::ptrdiff_t rows, std::ptrdiff_t lanes, const double* root_re,
                    const double* root_im, double* x_re, double* x_im, double* y_re, double* y_im);
  // out_k[r] = b_k w_k[r] in row k: coefficients times a table, broadcast over lanes.
  void (*spread)(const double* b_re, const double* b_im, std::ptrdiff_t rows, std::ptrdiff_t lanes,
                 const double* w_re, const double* w_im, double* out_re, double* out_im);
  // out_k = sum_r x_k[r] conj(w_k[r])
  void (*gather)(const double* x_re, const double* x_im, std::ptrdiff_t rows, std::ptrdiff_t lanes,
                 const double* w_re, const double* w_im, double* out_re, double* out_im);
  // out_k = sum_j u_j e^{-i pi k t_j}, k < m; n is a multiple of eight, `sum` scratch of
  // 16 (m + 1).
  void (*point_moments)(const double* t, const double* u_re, const double* u_im, std::ptrdiff_t n,
                        std::ptrdiff_t m, double* sum, double* out_re, double* out_im);
  // sum h log |B|^2 over h != 0
  double (*log_likelihood)(const double* h, const double* re, const double* im, std::ptrdiff_t n);
  // v = h / conj(B)^2, zero where h is
  void (*newton_weights)(const double* h, const double* re, const double* im, double* v_re,
                         double* v_im, std::ptrdiff_t n);
  // The upper triangle of the row-major a = U^T U, in place; false if a pivot is not positive.
  bool (*cholesky)(double* a, std::ptrdiff_t n, std::ptrdiff_t stride);
};
const FitKernels& fit_kernels();

}  // namespace kexue::density
