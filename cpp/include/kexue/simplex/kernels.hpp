// Kernels of the simplex area: one row, or a few short rows at once, on one thread.
//
// Every map is p_i = f(x_i - tau) with one root tau per row. Three families of f cover them:
//
//   exponential   p_i = e^{(x_i - shift) s} / Z
//   linear        p_i = (x_i - tau)_+
//   power         u_i = 1 + slope (x_i - max) - drop,  p_i ~ (u_i)_+^power
//
// The driver (maps.hpp) finds the root from the sums that these kernels return; rows of at most
// kShortRow entries are solved whole, a vector of rows at once.
//
// x and out are the same memory or disjoint. Sums are kept in double, in blocks whose totals are
// added with their rounding errors (two-sum), so that they are right to a few units whatever n is.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kexue::simplex {

inline constexpr std::ptrdiff_t kShortRow = 128;
// Elements of room a kernel may use beyond the last one it keeps.
inline constexpr std::ptrdiff_t kRoom = 64;
// Parts of a row whose largest entries SparseKernels::tops tells.
inline constexpr std::ptrdiff_t kTops = 64;
// A row is far whose maximum exceeds this many widths of its support: rounding begins to blur where
// the support ends.
inline constexpr double kFar = 0x1p20;

template <class T>
struct Extremes {
  T max;     // -inf for no entries; NaN is passed over
  bool nan;  // whether there is one
};

// Sum of the entries kept, as sum + low.
struct Kept {
  double sum, low;
  std::ptrdiff_t count;
};

// Exponentials are kept 2^kLift larger than their ratio to the row's largest: the smallest that
// count are normal numbers then, and so is the sum of the largest.
template <class T>
inline constexpr int kLift = sizeof(T) == 8 ? 512 : 60;

// e^{(x - shift) (scale + scale_low)} 2^{-power}, power = (log2 of the row's largest) - kLift
template <class T>
struct Exponential {
  T shift, scale, scale_low;
  T lowest;  // x is raised to at least this, where the result has long been zero
  double power;
};

struct Power {
  double max, slope, drop;
  double power;  // p_i ~ u_i^power
};
// sum u_i^power and sum u_i^(power - 1) over u_i > 0
struct PowerSums {
  double sum, slope_sum;
};

// What a row of the linear family is written with: out = scale ((x - tau) - tau_low)_+
template <class T>
struct LinearRow {
  T tau, tau_low, scale;
};

// What is done beside the exponentials of a row, whose arithmetic leaves the memory idle: the row
// before is written, out_i = factor done_i, past the cache (done may be null, or where the
// exponentials are kept), and n entries from `ahead` on are fetched.
template <class T>
struct Beside {
  const T* done;
  T* out;
  T factor;
  const T* ahead;
};

template <class T>
struct SoftmaxKernels {
  // sum of the exponentials; with out, they are kept there
  double (*exponentials)(const T* x, T* out, std::ptrdiff_t n, const Exponential<T>& f,
                         const Beside<T>* beside);
  // out_i = factor e_i: past the cache if told
  void (*scale)(const T* x, T* out, std::ptrdiff_t n, T factor, bool past);
  // out_i = factor e^{...}
  void (*write)(const T* x, T* out, std::ptrdiff_t n, const Exponential<T>& f, T factor, bool past);
  // out_i = (x_i (scale + scale_low) - level) - level_low
  void (*write_log)(const T* x, T* out, std::ptrdiff_t n, const Exponential<T>& f, T level,
                    T level_low, bool past);
  // n_rows rows of n <= kShortRow; lse[r] (may be null) their log-sum-exp. Rows with NaN, +inf or
  // no finite entry are copied to out, their lse is NaN; returns how many there are.
  std::ptrdiff_t (*short_rows)(const T* x, T* out, std::ptrdiff_t n_rows, std::ptrdiff_t n, T scale,
                               T scale_low, double* lse);
};

template <class T>
struct SparseKernels {
  Extremes<T> (*extremes)(const T* x, std::ptrdiff_t n);
  // The same, and the largest entry of each of kTops interleaved parts, -inf of an empty one.
  Extremes<T> (*tops)(const T* x, std::ptrdiff_t n, T* largest);
  // kept <- the entries > above, in order; x and kept may be the same. kRoom beyond the last.
  std::ptrdiff_t (*filter)(const T* x, std::ptrdiff_t n, T above, T* kept);
  // The same with the sum of what is kept.
  Kept (*filter_sum)(const T* x, std::ptrdiff_t n, T above, T* kept);
  PowerSums (*power_sums)(const T* x, std::ptrdiff_t n, const Power& f);
  void (*write_linear)(const T* x, T* out, std::ptrdiff_t n, const LinearRow<T>& row, bool past);
  void (*write_power)(const T* x, T* out, std::ptrdiff_t n, const Power& f, double factor,
                      bool past);
  void (*zero)(T* out, std::ptrdiff_t n);
};

template <class T>
struct ShortKernels {
  // n_rows rows of n <= kShortRow. tau[r]: the root, NaN where the row was copied to out because
  // it has NaN, +inf or no finite entry, or is far. linear: sum (x - tau)_+ = radius, out = scale
  // (x - tau)_+. power: u_i^power with slope given, tau is the drop; `derivative` writes
  // u^(power-1) / sum.
  void (*short_linear)(const T* x, T* out, std::ptrdiff_t n_rows, std::ptrdiff_t n, double radius,
                       double scale, double* tau);
  void (*short_power)(const T* x, T* out, std::ptrdiff_t n_rows, std::ptrdiff_t n, double slope,
                      double power, bool derivative, double* tau);
};

// Gradients: dx_i = scale w_i (g_i - <w, g> / sum w)
enum class Weight : int { probability, support, root, power };
struct VjpSums {
  double product, weight;  // <w, g>, sum w
};
template <class T>
struct GradientKernels {
  // w_i = p_i, [p_i > 0], sqrt(p_i) or p_i^exponent where p_i > 0; n_rows rows of n, long ones
  // past the cache if told
  void (*vjp)(const T* p, const T* g, T* dx, std::ptrdiff_t n_rows, std::ptrdiff_t n, Weight weight,
              double exponent, double scale, bool past);
  // The two halves for w_i = p_i^exponent, on a part of a row.
  VjpSums (*power_sums)(const T* p, const T* g, std::ptrdiff_t n, double exponent);
  void (*power_product)(const T* p, const T* g, T* dx, std::ptrdiff_t n, double exponent,
                        double scale, double mean, bool past);
};

struct SimplexSoftmaxKernels {
  SoftmaxKernels<double> f64;
  SoftmaxKernels<float> f32;
};
struct SimplexSparseKernels {
  SparseKernels<double> f64;
  SparseKernels<float> f32;
};
struct SimplexShortKernels {
  ShortKernels<double> f64;
  ShortKernels<float> f32;
};
struct SimplexGradientKernels {
  GradientKernels<double> f64;
  GradientKernels<float> f32;
};

}  // namespace kexue::simplex

namespace kexue {

const simplex::SimplexSoftmaxKernels& simplex_softmax_kernels();
const simplex::SimplexSparseKernels& simplex_sparse_kernels();
const simplex::SimplexShortKernels& simplex_short_kernels();
const simplex::SimplexGradientKernels& simplex_gradient_kernels();

}  // namespace kexue
