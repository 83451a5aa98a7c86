// Elementary functions over arrays (kexue/core/elementary.hpp): the lane functions in a loop.
#include "kexue/core/elementary.hpp"

#include "vector_math.hpp"

namespace kexue::KEXUE_ISA {
namespace {

// Four vectors a turn keep the multipliers busier than one: the chain of a function is long. The
// last, incomplete vector is padded with zeros.
template <class T, class F>
KEXUE_INLINE void over_array(const T* x, T* y, std::ptrdiff_t n, F function) {
  constexpr std::ptrdiff_t kStep = kLanes<T>, kTurn = 4 * kStep;
  std::ptrdiff_t i = 0;
  for (; i + kTurn <= n; i += kTurn) {
    Vec<T> v[4];
    KEXUE_UNROLL
    for (int u = 0; u < 4; ++u) v[u] = load<T>(x + i + u * kStep);
    KEXUE_UNROLL
    for (int u = 0; u < 4; ++u) store<T>(y + i + u * kStep, function(v[u]));
  }
  for (; i + kStep <= n; i += kStep) store<T>(y + i, function(load<T>(x + i)));
  if (i == n) return;
  T lane[kStep] = {};
  for (std::ptrdiff_t j = i; j < n; ++j) lane[j - i] = x[j];
  store<T>(lane, function(load<T>(lane)));
  for (std::ptrdiff_t j = i; j < n; ++j) y[j] = lane[j - i];
}

#define KEXUE_ARRAY_FUNCTION(function, T)                         \
  void function##_array(const T* x, T* y, std::ptrdiff_t n) {     \
    over_array<T>(x, y, n, [](Vec<T> v) { return function(v); }); \
  }
#define KEXUE_ARRAY_FUNCTIONS(function)  \
  KEXUE_ARRAY_FUNCTION(function, double) \
  KEXUE_ARRAY_FUNCTION(function, float)

KEXUE_ARRAY_FUNCTIONS(exp)
KEXUE_ARRAY_FUNCTIONS(log)
KEXUE_ARRAY_FUNCTIONS(log1p)
KEXUE_ARRAY_FUNCTIONS(expm1)
KEXUE_ARRAY_FUNCTIONS(sin_pi)
KEXUE_ARRAY_FUNCTIONS(cos_pi)

#undef KEXUE_ARRAY_FUNCTIONS
#undef KEXUE_ARRAY_FUNCTION

template <class T>
constexpr ElementaryFunctions<T> kFunctions = {exp_array,   log_array,    log1p_array,
                                               expm1_array, sin_pi_array, cos_pi_array};

}  // namespace

extern const ElementaryKernels elementary_kernels;
const ElementaryKernels elementary_kernels = {kFunctions<double>, kFunctions<float>};

}  // namespace kexue::KEXUE_ISA
