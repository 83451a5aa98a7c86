// Elementary functions on vectors (simd.hpp), for kernel files to inline.
//
//   exp log log1p expm1 sin_pi cos_pi      F64 -> F64, F32 -> F32
//   sincos_pi<R>, sincos_pi_in_period<R>, log_of_normal<R>
//
// Errors are in units in the last place (ulp): the largest seen over every exponent, dense samples
// where the function bends and the neighbours of every breakpoint, with and without fused
// multiply-add. Subnormal arguments and results are right to the same bound. No branches on data.
#pragma once

#include "vector_angle.hpp"
#include "vector_exp.hpp"
#include "vector_log.hpp"
