#include "kexue/transport/sinkhorn_batch.hpp"

#include <algorithm>
#include <memory>
#include <string>

#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"

namespace kexue::transport {

namespace {

// Problems handed out together: about half a million entries.
std::ptrdiff_t problems_at_once(std::ptrdiff_t n, std::ptrdiff_t m) {
  return std::clamp<std::ptrdiff_t>((std::ptrdiff_t{1} << 17) / (n * m), 1, 64);
}

Costs costs_of(const SinkhornBatch& batch, std::ptrdiff_t p) {
  const double* c = batch.costs + (batch.shared_costs ? 0 : p * batch.n * batch.m);
  return Costs(row_major(c, batch.n, batch.m));
}

void copy_to(double* to, const std::vector<double>& from, std::ptrdiff_t p) {
  const auto size = static_cast<std::ptrdiff_t>(from.size());
  if (to != nullptr) std::copy(from.begin(), from.end(), to + p * size);
}

void store(const SinkhornBatch& batch, std::ptrdiff_t p, const SinkhornSolution& s) {
  copy_to(batch.f, s.f, p);
  copy_to(batch.g, s.g, p);
  copy_to(batch.base_f, s.plan.base_f, p);
  copy_to(batch.base_g, s.plan.base_g, p);
  copy_to(batch.left, s.plan.left, p);
  copy_to(batch.right, s.plan.right, p);
  batch.error[p] = s.error;
  if (batch.value != nullptr) batch.value[p] = s.value;
  if (batch.objective != nullptr) batch.objective[p] = s.objective;
  if (batch.dual != nullptr) batch.dual[p] = s.dual;
  if (batch.passes != nullptr) batch.passes[p] = s.passes;
}

}  // namespace

void sinkhorn_batch(const SinkhornBatch& batch, const SinkhornOptions& options) {
  const std::ptrdiff_t step = problems_at_once(batch.n, batch.m);
  const std::ptrdiff_t chunks = (batch.count + step - 1) / step;
  const int slots = planned_workers(chunks, options.workers);
  SinkhornOptions one = options;
  one.workers = 1;
  std::vector<std::unique_ptr<Sinkhorn>> solvers(static_cast<std::size_t>(slots));
  parallel_for(
      chunks,
      [&](std::ptrdiff_t chunk, int slot) {
        std::unique_ptr<Sinkhorn>& solver = solvers[static_cast<std::size_t>(slot)];
        const std::ptrdiff_t end = std::min(batch.count, (chunk + 1) * step);
        for (std::ptrdiff_t p = chunk * step; p < end; ++p) {
          const Costs costs = costs_of(batch, p);
          if (!solver) solver = std::make_unique<Sinkhorn>(costs, one);
          try {
            store(batch, p, solver->solve(costs, batch.a + p * batch.n, batch.b + p * batch.m));
          } catch (const numerical_error& error) {
            throw numerical_error("problem " + std::to_string(p) + ": " + error.what());
          }
        }
      },
      slots);
}

void batch_plans(const SinkhornBatch& batch, double reg, double* out, int workers) {
  const std::ptrdiff_t n = batch.n, m = batch.m, padded = padded_row(m);
  const std::ptrdiff_t step = problems_at_once(n, m);
  const std::ptrdiff_t chunks = (batch.count + step - 1) / step;
  const int slots = planned_workers(chunks, workers);
  const AlignedBuffer<double> scratch(3 * padded * slots);
  const GibbsKernels<double>& kernels = sinkhorn_kernels().f64;
  parallel_for(
      chunks,
      [&](std::ptrdiff_t chunk, int slot) {
        double* g = scratch.data() + 3 * padded * slot;
        double *w = g + padded, *k = w + padded;
        std::fill(g, g + 2 * padded, 0.0);
        const std::ptrdiff_t end = std::min(batch.count, (chunk + 1) * step);
        for (std::ptrdiff_t p = chunk * step; p < end; ++p) {
          const Costs costs = costs_of(batch, p);
          std::copy_n(batch.base_g + p * m, m, g);
          std::copy_n(batch.right + p * m, m, w);
          for (std::ptrdiff_t i = 0; i < n; ++i) {
            kernels.exponentials(costs.row(i, nullptr), m, batch.base_f[p * n + i], g, 1 / reg, k,
                                 padded);
            kernels.scale(k, w, batch.left[p * n + i], out + (p * n + i) * m, m);
          }
        }
      },
      slots);
}

}  // namespace kexue::transport
