#include "kexue/transport/sinkhorn_batch.hpp"

#include <algorithm>
#include <memory>
#include <string>

#include "kexue/core/buffer.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/transport/sinkhorn_kernels.hpp"

namespace kexue::transport {

namespace {

// Problems of so many entries are solved one after the other, each by all workers: an interrupt
// does not wait for the end of one.
constexpr std::ptrdiff_t kAloneEntries = std::ptrdiff_t{1} << 17;

// Problems handed out together: about half a million entries.
std::ptrdiff_t problems_at_once(std::ptrdiff_t n, std::ptrdiff_t m) {
  return std::clamp<std::ptrdiff_t>((std::ptrdiff_t{1} << 17) / (n * m), 1, 64);
}

const double* costs_of(const SinkhornBatch& batch, std::ptrdiff_t p) {
  return batch.costs + (batch.shared_costs ? 0 : p * batch.n * batch.m);
}

void copy_to(double* to, const std::vector<double>& from, std::ptrdiff_t p) {
  const auto size = static_cast<std::ptrdiff_t>(from.size());
  std::copy(from.begin(), from.end(), to + p * size);
}

void store(const SinkhornBatch& batch, std::ptrdiff_t p, const SinkhornSolution& s) {
  copy_to(batch.f, s.f, p);
  copy_to(batch.g, s.g, p);
  copy_to(batch.base_f, s.plan.base_f, p);
  copy_to(batch.base_g, s.plan.base_g, p);
  copy_to(batch.left, s.plan.left, p);
  copy_to(batch.right, s.plan.right, p);
  batch.error[p] = s.error;
  batch.value[p] = s.value;
  batch.objective[p] = s.objective;
  batch.dual[p] = s.dual;
  batch.passes[p] = s.passes;
}

bool fits_short(const SinkhornBatch& batch, const SinkhornOptions& options) {
  return short_shape(batch.n, batch.m) && options.max_passes >= kShortPasses;
}

// True when that was enough.
bool solve_short(const SinkhornBatch& batch, const SinkhornOptions& options, std::ptrdiff_t p,
                 double* scratch) {
  const std::ptrdiff_t row = p * batch.n, col = p * batch.m;
  const ShortAnswer found = short_kernels().solve(
      {batch.n, batch.m, batch.m, costs_of(batch, p), batch.a + row, batch.b + col, options.reg,
       options.tol, kShortPasses, scratch, batch.f + row, batch.g + col, batch.base_f + row,
       batch.left + row, batch.right + col});
  if (!found.solved) return false;
  std::fill(batch.base_g + col, batch.base_g + col + batch.m, 0.0);
  batch.value[p] = found.value;
  batch.objective[p] = found.objective;
  batch.dual[p] = found.dual;
  batch.error[p] = found.error;
  batch.passes[p] = found.passes;
  return true;
}

void solve_one(const SinkhornBatch& batch, const SinkhornOptions& options, std::ptrdiff_t p,
               std::unique_ptr<Sinkhorn>& solver) {
  const Costs costs(row_major(costs_of(batch, p), batch.n, batch.m));
  if (range_of(costs, options.workers).invalid) {
    batch.passes[p] = -1;
    return;
  }
  if (!solver) solver = std::make_unique<Sinkhorn>(costs, options);
  try {
    store(batch, p, solver->solve(costs, batch.a + p * batch.n, batch.b + p * batch.m));
  } catch (const numerical_error& error) {
    throw numerical_error("problem " + std::to_string(p) + ": " + error.what());
  }
}

}  // namespace

void sinkhorn_batch(const SinkhornBatch& batch, const SinkhornOptions& options) {
  if (batch.n * batch.m >= kAloneEntries) {
    std::unique_ptr<Sinkhorn> solver;
    for (std::ptrdiff_t p = 0; p < batch.count; ++p) solve_one(batch, options, p, solver);
    return;
  }
  const std::ptrdiff_t step = problems_at_once(batch.n, batch.m);
  const std::ptrdiff_t chunks = (batch.count + step - 1) / step;
  const int slots = planned_workers(chunks, options.workers);
  SinkhornOptions one = options;
  one.workers = 1;
  std::vector<std::unique_ptr<Sinkhorn>> solvers(static_cast<std::size_t>(slots));
  const bool shorts = fits_short(batch, options);
  const std::ptrdiff_t space = shorts ? short_scratch(batch.n, batch.m) : 0;
  const AlignedBuffer<double> scratch(space * slots);
  parallel_for(
      chunks,
      [&](std::ptrdiff_t chunk, int slot) {
        std::unique_ptr<Sinkhorn>& solver = solvers[static_cast<std::size_t>(slot)];
        const std::ptrdiff_t end = std::min(batch.count, (chunk + 1) * step);
        for (std::ptrdiff_t p = chunk * step; p < end; ++p) {
          if (shorts && solve_short(batch, options, p, scratch.data() + space * slot)) continue;
          solve_one(batch, one, p, solver);
        }
      },
      slots);
}

void batch_plans(const SinkhornBatch& batch, double reg, double* out, int workers) {
  const std::ptrdiff_t n = batch.n, m = batch.m, step = problems_at_once(n, m);
  parallel_for((batch.count + step - 1) / step,
               [&](std::ptrdiff_t chunk, int) {
                 const std::ptrdiff_t end = std::min(batch.count, (chunk + 1) * step);
                 for (std::ptrdiff_t p = chunk * step; p < end; ++p) {
                   short_kernels().entries(costs_of(batch, p), n, m, reg, batch.base_f + p * n,
                                           batch.base_g + p * m, batch.left + p * n,
                                           batch.right + p * m, out + p * n * m);
                 }
               },
               workers);
}

}  // namespace kexue::transport
