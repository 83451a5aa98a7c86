// Single steps of a trellis (kexue/lattice/trellis.hpp), one table for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kexue::lattice {

// Sequences advanced together, so that a matrix is read once for all of them.
inline constexpr int kMaxTogether = 4;
// So many states or fewer keep the origin of every maximum, a byte each, in place of the values.
inline constexpr int kFewStates = 16;

template <class T>
struct TrellisKernel {
  // out[r][j] = max_i (d[r][i] + a[i * ld + j]) for j < ld: a multiple of 64 bytes per row, padded
  // with -inf; r < together.
  void (*max_step)(int together, std::ptrdiff_t n, std::ptrdiff_t ld, const T* a, const T* const* d,
                   T* const* out);
  // One sequence, the columns j < width, a multiple of 64 bytes; `upwards` from the last row on.
  void (*max_columns)(std::ptrdiff_t n, std::ptrdiff_t ld, std::ptrdiff_t width, const T* a,
                      const T* d, T* out, bool upwards);
  // One sequence: value[t + 1] from value[t] (rows of ld) and the emissions at t (rows of n, one
  // more row than steps, ld <= 2 n), a matrix every `stride` entries; d holds ld entries.
  void (*max_steps)(std::ptrdiff_t steps, std::ptrdiff_t n, std::ptrdiff_t ld, const T* a,
                    std::ptrdiff_t stride, const T* emissions, T* d, T* value);
  // One sequence of n <= kFewStates states: `value` holds a row of ld entries, -inf beyond n, and
  // is brought `steps` steps further; origin[t * kFewStates + j] is the first state before j that
  // attains the maximum. A row of emissions, every ld_emissions entries, may be read up to ld.
  void (*few_steps)(std::ptrdiff_t steps, std::ptrdiff_t n, const T* a, std::ptrdiff_t stride,
                    const T* emissions, std::ptrdiff_t ld_emissions, T* value,
                    std::uint8_t* origin);
  // Back along the best path: path[steps] is known; path[t] is the first state that attains
  // value[t + 1][path[t + 1]]. Row j of `a` holds the transitions into j, padded with -inf.
  void (*trace)(std::ptrdiff_t steps, std::ptrdiff_t n, std::ptrdiff_t ld, const T* a,
                std::ptrdiff_t stride, const T* emissions, const T* value, std::int64_t* path);
};
struct TrellisKernels {
  TrellisKernel<float> f32;
  TrellisKernel<double> f64;
};

// Columns whose sums have a common bound: the narrower, the fewer rows reach it.
inline constexpr std::ptrdiff_t kBlockColumns = 64;

// Steps of one sequence that read what can win alone. Row i gives nothing to a block of columns
// whose least maximum so far reaches d[i] plus the row's largest entry there, tops[block * ld + i];
// rounding is monotonic, so that the maxima are those of all rows to the last bit. d, tops, `a` and
// out have rows of ld entries, -inf beyond n.
template <class T>
struct TrellisBoundKernel {
  std::ptrdiff_t shortest_row;  // bytes; whole steps are faster through shorter ones
  // Rows begin <= i < end of tops.
  void (*block_tops)(std::ptrdiff_t ld, std::ptrdiff_t begin, std::ptrdiff_t end, const T* a,
                     T* tops);
  // out[j] = max_i (d[i] + a[i * ld + j]) in the blocks first <= block < last; returns how many
  // rows were read, summed over these. gap[block] is how far the least maximum lay below the
  // largest bound in the step before: where to look first. `places` holds ld + 32 numbers,
  // `bounds` ld.
  std::ptrdiff_t (*max_blocks)(std::ptrdiff_t n, std::ptrdiff_t ld, std::ptrdiff_t first,
                               std::ptrdiff_t last, const T* a, const T* d, const T* tops, T* gap,
                               std::int32_t* places, T* bounds, T* out);
};
struct TrellisBoundKernels {
  TrellisBoundKernel<float> f32;
  TrellisBoundKernel<double> f64;
};

// In the linear domain a message is at most 2^40 and a nonzero entry at least kLeastMessage;
// factors of emissions lie in exp(-kEmissionRange)..1.
inline constexpr double kLeastMessage = 1e-150, kEmissionRange = 115;

struct Weighed {
  double scale;  // natural logarithm of what was divided by
  bool within;   // false if a number left its range
};

// Matrices have rows of ld entries, a multiple of 8, padded with zeros. Messages are rows of n
// entries without gaps; a whole row of ld is written, what is beyond n before its own row is.
struct TrellisSumKernels {
  // out[j] = sum_i f[i] a[i * ld + j] for j < ld.
  void (*sum_step)(std::ptrdiff_t n, std::ptrdiff_t ld, const double* a, const double* f,
                   double* out);
  // The same for j < width, a multiple of 8; `upwards` from the last row on.
  void (*sum_columns)(std::ptrdiff_t n, std::ptrdiff_t ld, std::ptrdiff_t width, const double* a,
                      const double* f, double* out, bool upwards);
  // message *= exp(emission), scaled; ld entries, those beyond n become 0.
  Weighed (*weigh)(std::ptrdiff_t n, std::ptrdiff_t ld, const double* emissions, double* message);
  // alpha[t + 1] = (alpha[t] a_t) exp(emission[t]), scaled, with a matrix every `stride` entries;
  // false if a number leaves its range.
  bool (*forward_steps)(std::ptrdiff_t steps, std::ptrdiff_t n, std::ptrdiff_t ld, const double* a,
                        std::ptrdiff_t stride, const double* emissions, double* alpha,
                        double* scale);
  // A state by its weight, none of zero; the ld weights are overwritten.
  std::ptrdiff_t (*draw)(std::ptrdiff_t ld, double* weights, double u);
  // Backwards from path[steps]: path[t] is drawn by alpha[t][i] columns_t[path[t + 1]][i], where
  // row j of `columns` holds the transitions into j; `sums` holds ld entries.
  void (*draw_steps)(std::ptrdiff_t steps, std::ptrdiff_t n, std::ptrdiff_t ld,
                     const double* columns, std::ptrdiff_t stride, const double* alpha,
                     const double* uniform, double* sums, std::int64_t* path);
};
}  // namespace kexue::lattice

namespace kexue {
const lattice::TrellisKernels& trellis_kernels();
const lattice::TrellisBoundKernels& trellis_bound_kernels();
const lattice::TrellisSumKernels& trellis_sum_kernels();
}  // namespace kexue
