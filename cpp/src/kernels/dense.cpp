// Products of contiguous vectors; see kexue/simplex/quadratic.hpp.
#include "kexue/simplex/quadratic.hpp"
#include "simd.hpp"

namespace kexue::KEXUE_ISA {
namespace {

constexpr int kWide = kLanes<double>;
constexpr int kAccumulators = 4;  // hide the latency of the multiply-add

double dot(const double* x, const double* y, std::ptrdiff_t n) {
  F64 sum[kAccumulators];
  for (F64& s : sum) s = zero<double>();
  std::ptrdiff_t i = 0;
  for (; i + kAccumulators * kWide <= n; i += kAccumulators * kWide) {
    KEXUE_UNROLL
    for (int k = 0; k < kAccumulators; ++k) {
      sum[k] =
          multiply_add(load<double>(x + i + k * kWide), load<double>(y + i + k * kWide), sum[k]);
    }
  }
  const F64 all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  double total = 0;
  for (int k = 0; k < kWide; ++k) total += all[k];
  for (; i < n; ++i) total += x[i] * y[i];
  return total;
}

void add_scaled(double a, const double* x, double* y, std::ptrdiff_t n) {
  const F64 factor = broadcast(a);
  std::ptrdiff_t i = 0;
  for (; i + kWide <= n; i += kWide) {
    store<double>(y + i, multiply_add(factor, load<double>(x + i), load<double>(y + i)));
  }
  for (; i < n; ++i) y[i] += a * x[i];
}

}  // namespace

extern const DenseKernels dense_kernels;
const DenseKernels dense_kernels = {&dot, &add_scaled};

}  // namespace kexue::KEXUE_ISA
