// Kernels of the EMO loss: parts of one row of logits, and rows of embeddings, on one thread.
//
// Probabilities are p_i = factor e^{z_i - shift} 2^-power. Sums over vectors are taken in T for at
// most a few hundred entries and in double beyond.
#pragma once

#include <cstddef>
#include <type_traits>

namespace kexue::transport {

// The units in which the exponentials of a row are counted.
template <class T>
struct RowUnits {
  T shift, power;
  T lowest;  // z - shift is raised to at least this, where the exponential is zero
  T factor;
};

// What a row of embeddings is multiplied by: a power of two first, so that neither factor leaves
// the normal numbers.
template <class T>
struct UnitScale {
  T power, factor;
};

// sum p_i (1 - s_i)_+ and sum p_i s_i
struct WeighedSums {
  double cost, similarity;
};

template <class T>
struct EmoKernels {
  // The largest entry, -inf for none; NaN is passed over.
  T (*largest)(const T* z, std::ptrdiff_t n);
  // sum e^{z_i - shift} 2^-power; NaN if there is one.
  double (*exponentials)(const T* z, std::ptrdiff_t n, const RowUnits<T>& units);
  // g_i = p_i s_i, and the sums.
  WeighedSums (*weigh)(const T* z, const T* s, T* g, std::ptrdiff_t n, const RowUnits<T>& units);
  // g_i = a g_i + b p_i - c tau_i; tau may be null.
  void (*combine)(const T* z, const T* tau, T* g, std::ptrdiff_t n, const RowUnits<T>& units, T a,
                  T b, T c);

  double (*squares)(const T* x, std::ptrdiff_t n);
  // |x a - y b|^2 / 2
  double (*half_distance)(const T* x, UnitScale<double> a, const T* y, UnitScale<double> b,
                          std::ptrdiff_t n);
  void (*scale)(const T* x, UnitScale<T> scale, T* out, std::ptrdiff_t n);
  // out[k * width + j] = x[j * stride + k] scale_j for j < n_rows, zero for the other j < width.
  // width is a multiple of the vector.
  void (*pack)(const T* x, std::ptrdiff_t stride, const UnitScale<T>* scale, std::ptrdiff_t n_rows,
               std::ptrdiff_t depth, std::ptrdiff_t width, T* out);
};

struct EmoTables {
  EmoKernels<float> f32;
  EmoKernels<double> f64;
};

}  // namespace kexue::transport

namespace kexue {

const transport::EmoTables& emo_tables();

template <class T>
const transport::EmoKernels<T>& emo_kernels() {
  if constexpr (std::is_same_v<T, float>) {
    return emo_tables().f32;
  } else {
    return emo_tables().f64;
  }
}

}  // namespace kexue
