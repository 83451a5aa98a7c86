// The limits of the machine, measured: what a kernel could reach at best.
//
//   read          sum of x_i                 8 bytes per element
//   triad         a_i = b_i + s c_i          24 bytes per element (the STREAM convention: the
//                                            write-allocate read of a is not counted)
//   multiply-add  x <- f x + a on as many independent chains as hide the latency; 2 flops each
//
// Bandwidths are taken over memory the caller brings (so that its pages are of the kind real arrays
// have), in pieces handed out by the pool. Each figure is the best of several passes, because a
// limit is what the machine does when nothing disturbs it.
//
// Reference: J. D. McCalpin, Memory bandwidth and machine balance in current high performance
// computers, IEEE TCCA Newsletter, 1995.
#pragma once

#include <cstddef>

#include "kexue/core/views.hpp"

namespace kexue {

// One step of a multiply-add kernel advances every chain once.
struct LimitKernels {
  double (*read)(const double* x, std::ptrdiff_t size);
  void (*triad)(double* a, const double* b, const double* c, double s, std::ptrdiff_t size);
  double (*multiply_add_f64)(std::ptrdiff_t steps, double factor, double addend);
  float (*multiply_add_f32)(std::ptrdiff_t steps, float factor, float addend);
  std::ptrdiff_t flops_per_step_f64;
  std::ptrdiff_t flops_per_step_f32;
};
const LimitKernels& limit_kernels();

// Bytes and floating-point operations per second.
struct MachineLimits {
  double read_bandwidth;
  double triad_bandwidth;
  double multiply_add_f64;
  double multiply_add_f32;
};

// Overwrites `memory`, which should be larger than the caches: 24M elements for most machines.
// workers = 0 means the library's setting. Takes about half a second.
MachineLimits measure_limits(VectorView<double> memory, int workers);

}  // namespace kexue
