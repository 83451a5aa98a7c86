// Many entropic problems of one shape, one worker for each: see sinkhorn.hpp.
#pragma once

#include "kexue/transport/sinkhorn.hpp"

namespace kexue::transport {

// Arrays of `count` problems, row-major; costs have one matrix for all if shared_costs, and masses
// likewise.
struct SinkhornBatch {
  std::ptrdiff_t count = 0, n = 0, m = 0;
  const double* costs = nullptr;
  bool shared_costs = false;
  const double* a = nullptr;  // (count, n)
  const double* b = nullptr;  // (count, m)
  double *f = nullptr, *g = nullptr;
  double *value = nullptr, *objective = nullptr, *dual = nullptr, *error = nullptr;
  std::ptrdiff_t* passes = nullptr;  // -1 where a cost is NaN or -inf; then nothing else is set
  // Factors of the plans: base_f, left (count, n) and base_g, right (count, m).
  double *base_f = nullptr, *base_g = nullptr, *left = nullptr, *right = nullptr;
};

// Problem p's answer is the same whatever the others are.
void sinkhorn_batch(const SinkhornBatch& batch, const SinkhornOptions& options);
// out (count, n, m)
void batch_plans(const SinkhornBatch& batch, double reg, double* out, int workers);

}  // namespace kexue::transport
