// Fenchel-Young losses of rows: L(x, t) = Omega*(x) + Omega(t) - <t, x>, gradient p - t, where p is
// the map of Omega. Omega is the negative Shannon entropy (alpha = 1) or Tsallis' of order alpha,
//
//   Omega(p) = (sum p^alpha - 1) / (alpha (alpha - 1)),
//
// zero at the corners of the simplex: a class label costs nothing to describe. With
// top-k, softmax runs over the k largest entries, and the loss is their log-sum-exp less <t, x>.
//
// Cost: the map, and one sweep. Value and gradient come from one pass; p is made where the gradient
// goes. -inf is a mask: it contributes nothing, unless it is a target, when the loss is +inf.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kexue::simplex {

// One of three: class ids (ids), rows of weights (dense), compressed rows (indptr, indices, data).
template <class T>
struct Targets {
  const std::int64_t* ids = nullptr;
  const T* dense = nullptr;
  const std::int64_t* indptr = nullptr;
  const std::int64_t* indices = nullptr;
  const double* data = nullptr;
};

struct LossOptions {
  double alpha = 1;
  std::ptrdiff_t k = 0;  // top-k softmax if positive
  double margin = 0;     // taken from the entries of the target
  double temperature = 1;
  double weight = 1;  // of the gradient
  int workers = 0;
};

// values: one per row. gradient: n_rows x n, or null. A negative id is a row to leave out: zero.
template <class T>
void fenchel_young(const T* x, std::ptrdiff_t n_rows, std::ptrdiff_t n, const Targets<T>& targets,
                   const LossOptions& options, double* values, T* gradient);

// log(1 + sum_{negative} e^{gamma (s + margin)}) + log(1 + sum_{positive} e^{-gamma (s - margin)})
// with s = x - threshold; `threshold_class`: the threshold is x_0 and takes part in the gradient.
// labels: n_rows x (n - threshold_class), nonzero where positive.
template <class T>
void multilabel(const T* x, const std::uint8_t* labels, std::ptrdiff_t n_rows, std::ptrdiff_t n,
                double gamma, double margin, bool threshold_class, double weight, int workers,
                double* values, T* gradient);

}  // namespace kexue::simplex
