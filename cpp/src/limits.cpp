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

// A third of the working set per triad array; reading runs through all three.
constexpr std::ptrdiff_t kPiecesPerArray =
    kLimitWorkingSet / 3 / static_cast<std::ptrdiff_t>(sizeof(double)) / kPiece;

double measure_read(const double* x, int workers) {
  constexpr std::ptrdiff_t kPieces = 3 * kPiecesPerArray;
  AlignedBuffer<double> sums(kPieces);
  const double rate = best_rate(static_cast<double>(kPieces * kPiece) * sizeof(double), [&] {
    parallel_for(
        kPieces,
        [&](std::ptrdiff_t i, int) { sums[i] = limit_kernels().read(x + i * kPiece, kPiece); },
        workers);
  });
  double total = 0;
  for (std::ptrdiff_t i = 0; i < kPieces; ++i) total += sums[i];
  require(total == static_cast<double>(kPieces * kPiece), "the read kernel skipped memory");
  return rate;
}

double measure_triad(double* x, int workers) {
  constexpr std::ptrdiff_t kSize = kPiecesPerArray * kPiece;
  return best_rate(static_cast<double>(3 * kSize) * sizeof(double), [&] {
    parallel_for(
        kPiecesPerArray,
        [&](std::ptrdiff_t i, int) {
          double* a = x + i * kPiece;
          limit_kernels().triad(a, a + kSize, a + 2 * kSize, 0.5, kPiece);
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

MachineLimits measure_limits(int workers) {
  constexpr std::ptrdiff_t kPieces = 3 * kPiecesPerArray;
  AlignedBuffer<double> memory(kPieces * kPiece);
  parallel_for(
      kPieces,
      [&](std::ptrdiff_t i, int) {
        std::fill_n(memory.data() + i * kPiece, kPiece, 1.0);
      },
      workers);
  const LimitKernels& kernels = limit_kernels();
  MachineLimits limits{};
  limits.read_bandwidth = measure_read(memory.data(), workers);
  limits.triad_bandwidth = measure_triad(memory.data(), workers);
  limits.multiply_add_f64 =
      measure_multiply_add(kernels.multiply_add_f64, kernels.flops_per_step_f64, workers);
  limits.multiply_add_f32 =
      measure_multiply_add(kernels.multiply_add_f32, kernels.flops_per_step_f32, workers);
  return limits;
}

}  // namespace kexue
