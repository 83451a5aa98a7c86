// Rows of embeddings as points of the unit sphere, and the cosine cost between them:
//
//   c_ij = 1 - <e_i, e_j> / (|e_i| |e_j|)
//
// No normalised copy is made: rows are scaled while they are packed for the product. Norms are
// taken in double, of any finite row; a zero row has no direction and is refused.
//
// Half the squared distance of unit vectors, c is not a metric. Costs are never negative, zero on
// the diagonal; below 1/32 `embedding_cost` takes them from differences of the two rows, so that
// near copies have a relative accuracy (float32: 6e-6, float64: 1e-14).
#pragma once

#include <cstddef>

#include "kexue/core/buffer.hpp"
#include "kexue/core/views.hpp"
#include "kexue/transport/emo_kernels.hpp"

namespace kexue::transport {

// What is wrong with an input, and in which row.
enum class Fault : int {
  none,
  embedding_not_finite,
  embedding_zero,
  logits_not_finite,  // NaN or +inf
  logits_masked,      // no finite entry
  label_masked,       // -inf where the target has mass
  target_negative,    // or NaN
  target_sum,
};
struct Verdict {
  Fault fault = Fault::none;
  std::ptrdiff_t row = 0;
};

// Rows of a matrix with unit column stride, divided by their norms as they are read.
template <class T>
class UnitRows {
 public:
  UnitRows(MatrixView<const T> rows, int workers);

  std::ptrdiff_t rows() const { return rows_.rows; }
  std::ptrdiff_t depth() const { return rows_.cols; }
  const Verdict& verdict() const { return verdict_; }
  // The first row that is not finite or zero ends up in the verdict; the rest assumes none.
  void copy(std::ptrdiff_t row, T* out) const;
  // out[k * width + j] = entry first_column + k of row first_row + j, zero beyond the last row.
  void pack(std::ptrdiff_t first_row, std::ptrdiff_t first_column, std::ptrdiff_t depth,
            std::ptrdiff_t width, T* out) const;
  // |e_i - e_j|^2 / 2, symmetric to the last bit.
  double half_distance(std::ptrdiff_t i, std::ptrdiff_t j) const;

 private:
  MatrixView<const T> rows_;
  AlignedBuffer<UnitScale<T>> scale_;
  Verdict verdict_;
};

// Left operands of products with unit rows: strips of mr rows, depth-major.
template <class T>
class PackedTargets {
 public:
  PackedTargets(std::ptrdiff_t rows, std::ptrdiff_t depth);
  void set_row(std::ptrdiff_t i, const T* row);

  std::ptrdiff_t depth() const { return depth_; }
  std::ptrdiff_t n_strips() const { return n_strips_; }
  // Rows of a product, a multiple of the strip's.
  std::ptrdiff_t padded_rows() const { return n_strips_ * mr_; }
  const T* strip(std::ptrdiff_t index) const { return data_.data() + index * depth_ * mr_; }

 private:
  std::ptrdiff_t depth_, mr_, n_strips_;
  AlignedBuffer<T> data_;
};

// Columns of a panel: as many unit rows are multiplied at once.
template <class T>
std::ptrdiff_t panel_width();
// Scratch a panel needs beside its products, in entries.
template <class T>
std::ptrdiff_t panel_scratch(std::ptrdiff_t depth);

// s[u * panel_width() + j] = <target u, unit row first + j>, for j < panel_width().
template <class T>
void multiply_panel(const PackedTargets<T>& targets, const UnitRows<T>& rows, std::ptrdiff_t first,
                    T* scratch, T* s);

// The full matrix of costs, one row per embedding. `cost` has unit column stride.
template <class T>
Verdict embedding_cost(MatrixView<const T> embeddings, MatrixView<T> cost, int workers);

// sum_ij p_i tau_j c_ij for every row of p and tau, each of sum one. With k the largest tau and
// p', tau' without entry k,
//
//   sum p_i tau_j c_ij = p_k (|tau'| - <e_k, E^T tau'>) + (|p'| - <E^T p', E^T tau>),
//
// which keeps its accuracy when both sit on one entry. Cost: two products of n x V x h.
template <class T>
Verdict demd(MatrixView<const T> p, MatrixView<const T> tau, MatrixView<const T> embeddings,
             double* values, int workers);

// context[r, :] = sum_{j != pivot[r]} factor[r] weights[r, j] e_j, in blocks of rows of e.
template <class T>
void contexts(const UnitRows<T>& rows, MatrixView<const T> weights, const std::ptrdiff_t* pivot,
              const double* factor, MatrixView<T> context, int workers);

// A row of weights: its largest entry, and the sum without it. `sound`: none is negative or NaN.
struct RowMass {
  std::ptrdiff_t pivot = 0;
  double rest = 0;
  double peak = 0;
  bool sound = true;

  double sum() const { return rest + peak; }
};
template <class T>
RowMass mass_of(VectorView<const T> weights);

}  // namespace kexue::transport
