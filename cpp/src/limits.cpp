#include "kexue/core/limits.hpp"

#include <algorithm>
#include <chrono>

#include "kexue/core/buffer.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"

namespace kexue {
namespace {

constexpr int kMinPasses = 5;
constexpr double kMinSeconds = 0.1;
constexpr std::ptrdiff_t kPiece = std::ptrdiff_t{1} << 16;         // elements: 512 KiB
constexpr std::ptrdiff_t kSteps = std::ptrdiff_t{1} << 13;         // about 50 microseconds
constexpr std::ptrdiff_t kMultiplyAddChunks = std::ptrdiff_t{64};  // per worker

// The work of one pass over the time of the fastest one.
template <class Pass>
double best_rate(double work, Pass pass) {
  using Seconds = std::chrono::duration<double>;
  double best = 0;
  double total = 0;
  for (int i = 0; i < kMinPasses || total < kMinSeconds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    pass();
    const double elapsed = Seconds(std::chrono::steady_clock::now() - start).count();
    best = i == 0 ? elapsed : std::min(best, elapsed);
    total += elapsed;
  }
  return work / best;
}

double measure_read(VectorView<double> memory, int workers) {
  const std::ptrdiff_t pieces = memory.size / kPiece;
  AlignedBuffer<double> sums(pieces);
  const double rate = best_rate(static_cast<double>(pieces * kPiece) * sizeof(double), [&] {
    parallel_for(
        pieces,
        [&](std::ptrdiff_t i, int) {
          sums[i] = limit_kernels().read(memory.data + i * kPiece, kPiece);
        },
        workers);
  });
  double total = 0;
  for (std::ptrdiff_t i = 0; i < pieces; ++i) total += sums[i];
  require(total == static_cast<double>(pieces * kPiece), "the read kernel skipped memory");
  return rate;
}

double measure_triad(VectorView<double> memory, int workers) {
  const std::ptrdiff_t pieces = memory.size / 3 / kPiece;
  const std::ptrdiff_t size = pieces * kPiece;
  return best_rate(static_cast<double>(3 * size) * sizeof(double), [&] {
    parallel_for(
        pieces,
        [&](std::ptrdiff_t i, int) {
          double* a = memory.data + i * kPiece;
          limit_kernels().triad(a, a + size, a + 2 * size, 0.5, kPiece);
        },
        workers);
  });
}

template <class T>
double measure_multiply_add(T (*kernel)(std::ptrdiff_t, T, T), std::ptrdiff_t flops_per_step,
                            int workers) {
  const std::ptrdiff_t chunks =
      kMultiplyAddChunks * (workers > 0 ? workers : static_cast<std::ptrdiff_t>(get_workers()));
  AlignedBuffer<T> results(chunks);
  return best_rate(static_cast<double>(chunks * kSteps * flops_per_step), [&] {
    parallel_for(
        chunks, [&](std::ptrdiff_t i, int) { results[i] = kernel(kSteps, T(0.5), T(1)); }, workers);
  });
}

}  // namespace

MachineLimits measure_limits(VectorView<double> memory, int workers) {
  require(memory.contiguous() && memory.size >= 3 * kPiece, "memory must be contiguous and large");
  parallel_for(
      memory.size / kPiece,
      [&](std::ptrdiff_t i, int) { std::fill_n(memory.data + i * kPiece, kPiece, 1.0); }, workers);
  const LimitKernels& kernels = limit_kernels();
  MachineLimits limits{};
  limits.read_bandwidth = measure_read(memory, workers);
  limits.triad_bandwidth = measure_triad(memory, workers);
  limits.multiply_add_f64 =
      measure_multiply_add(kernels.multiply_add_f64, kernels.flops_per_step_f64, workers);
  limits.multiply_add_f32 =
      measure_multiply_add(kernels.multiply_add_f32, kernels.flops_per_step_f32, workers);
  return limits;
}

}  // namespace kexue
