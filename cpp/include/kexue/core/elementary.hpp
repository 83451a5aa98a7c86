// Elementary functions of arrays: y[i] = f(x[i]) for i in [0, n), on one thread.
//
//   exp log log1p expm1            sin_pi(x) = sin(pi x), cos_pi(x) = cos(pi x)
//
// At most 1.5 ulp each, for every float32 and float64 including subnormal arguments and results
// (the measured errors stand beside the functions in cpp/src/kernels/vector_math.hpp). Special
// values are those of C and IEEE 754-2019: NaN stays NaN, log(0) = -inf, log of a negative number
// NaN, exp overflows to inf and underflows gradually, sin_pi and cos_pi are exact at multiples of
// 1/2. x and y are the same array or do not overlap. Results may differ in the last place between
// instruction sets, and do not depend on an element's position.
//
// Kernels that work on lanes include vector_math.hpp and inline the functions instead.
#pragma once

#include <cstddef>

namespace kexue {

template <class T>
using ElementaryFunction = void (*)(const T* x, T* y, std::ptrdiff_t n);

template <class T>
struct ElementaryFunctions {
  ElementaryFunction<T> exp, log, log1p, expm1, sin_pi, cos_pi;
};

struct ElementaryKernels {
  ElementaryFunctions<double> f64;
  ElementaryFunctions<float> f32;
};
const ElementaryKernels& elementary_kernels();

}  // namespace kexue
