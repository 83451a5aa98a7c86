// Elementary functions over arrays (kexue/core/elementary.hpp): the lane functions in a loop.
#include "kexue/core/elementary.hpp"
#include "vector_math.hpp"

namespace kexue::KEXUE_ISA {
namespace {

// The last, incomplete group of lanes is padded with zeros, where every function but log is cheap
// and none traps.
#define KEXUE_ARRAY_FUNCTION(function, T)                                \
  void function##_array(const T* x, T* y, ptrdiff_t n) {                 \
    constexpr ptrdiff_t kStep = kLanes<T>;                               \
    ptrdiff_t i = 0;                                                     \
    for (; i + kStep <= n; i += kStep) store<T>(y + i, function(load<T>(x + i))); \
    if (i == n) return;                                                  \
    T lane[kStep] = {};                                                  \
    memcpy(lane, x + i, (size_t)(n - i) * sizeof(T));                    \
    store<T>(lane, function(load<T>(lane)));                             \
    memcpy(y + i, lane, (size_t)(n - i) * sizeof(T));                    \
  }
#define KEXUE_ARRAY_FUNCTIONS(function) \
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
