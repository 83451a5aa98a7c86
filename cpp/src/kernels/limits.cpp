// Kernels that run at the machine's limits (kexue/core/limits.hpp).
#include "kexue/core/limits.hpp"

namespace kexue::KEXUE_ISA {
namespace {

template <class T>
constexpr std::ptrdiff_t kLanes = KEXUE_VECTOR_BYTES / static_cast<std::ptrdiff_t>(sizeof(T));

#if defined(__GNUC__)
template <class T>
struct PackOf {
  typedef T type __attribute__((vector_size(KEXUE_VECTOR_BYTES)));
};
#else
template <class T>
struct PackOf {
  struct type {
    T lane[kLanes<T>];
    T& operator[](std::ptrdiff_t i) { return lane[i]; }
    friend type operator*(type a, type b) {
      for (std::ptrdiff_t i = 0; i < kLanes<T>; ++i) a.lane[i] *= b.lane[i];
      return a;
    }
    friend type operator+(type a, type b) {
      for (std::ptrdiff_t i = 0; i < kLanes<T>; ++i) a.lane[i] += b.lane[i];
      return a;
    }
  };
};
#endif
template <class T>
using Pack = typename PackOf<T>::type;

// Enough chains to hide the latency (4 cycles x 2 pipes on x86, 4 x 4 on wide aarch64 cores), few
// enough to stay in registers beside the factor and the addend.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kChains = 24;
#else
constexpr int kChains = 12;
#endif

template <class T>
Pack<T> broadcast(T value) {
  Pack<T> pack;
  for (std::ptrdiff_t i = 0; i < kLanes<T>; ++i) pack[i] = value;
  return pack;
}

// Four streams a quarter apart keep more hardware prefetchers busy than one.
double read(const double* x, std::ptrdiff_t size) {
  constexpr int kStreams = 4;
  constexpr std::ptrdiff_t kBlock = 2 * kLanes<double>;
  const std::ptrdiff_t quarter = size / kStreams;
  double sums[kStreams][kBlock] = {};
  std::ptrdiff_t i = 0;
  for (; i + kBlock <= quarter; i += kBlock) {
    for (int stream = 0; stream < kStreams; ++stream) {
      const double* piece = x + stream * quarter + i;
      for (std::ptrdiff_t j = 0; j < kBlock; ++j) sums[stream][j] += piece[j];
    }
  }
  double total = 0;
  for (int stream = 0; stream < kStreams; ++stream) {
    for (std::ptrdiff_t j = i; j < quarter; ++j) total += x[stream * quarter + j];
    for (double sum : sums[stream]) total += sum;
  }
  for (std::ptrdiff_t j = kStreams * quarter; j < size; ++j) total += x[j];
  return total;
}

void triad(double* a, const double* b, const double* c, double s, std::ptrdiff_t size) {
  for (std::ptrdiff_t i = 0; i < size; ++i) a[i] = b[i] + s * c[i];
}

template <class T>
T multiply_add(std::ptrdiff_t steps, T factor, T addend) {
  const Pack<T> f = broadcast(factor);
  const Pack<T> a = broadcast(addend);
  Pack<T> chain[kChains];
  for (int c = 0; c < kChains; ++c) chain[c] = broadcast(static_cast<T>(c));
  for (std::ptrdiff_t step = 0; step < steps; ++step) {
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 24
#endif
    for (int c = 0; c < kChains; ++c) chain[c] = chain[c] * f + a;
  }
  T total = 0;
  for (int c = 0; c < kChains; ++c) {
    for (std::ptrdiff_t i = 0; i < kLanes<T>; ++i) total += chain[c][i];
  }
  return total;
}

}  // namespace

extern const LimitKernels limit_kernels;
const LimitKernels limit_kernels = {
    read,
    triad,
    multiply_add<double>,
    multiply_add<float>,
    2 * kChains * kLanes<double>,
    2 * kChains * kLanes<float>,
};

}  // namespace kexue::KEXUE_ISA
