// Inner products and combinations of vectors; see kexue/core/vectors.hpp.
#include "kexue/core/vectors.hpp"

#include "simd.hpp"

namespace kexue::KEXUE_ISA {
namespace {

constexpr int kUnroll = 4;  // independent sums: the latency of a multiply-add over its throughput

template <class R>
R dot(const R* x, const R* y, std::ptrdiff_t n) {
  constexpr std::ptrdiff_t kStep = kUnroll * kLanes<R>;
  Vec<R> acc[kUnroll];
  KEXUE_UNROLL
  for (int u = 0; u < kUnroll; ++u) acc[u] = zero<R>();
  std::ptrdiff_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    KEXUE_UNROLL
    for (int u = 0; u < kUnroll; ++u) {
      acc[u] += load<R>(x + i + u * kLanes<R>) * load<R>(y + i + u * kLanes<R>);
    }
  }
  R lanes[kLanes<R>];
  store<R>(lanes, (acc[0] + acc[1]) + (acc[2] + acc[3]));
  R tail = 0;
  for (; i < n; ++i) tail += x[i] * y[i];
  for (int l = 0; l < kLanes<R>; ++l) tail += lanes[l];
  return tail;
}

template <class R>
void subtract_rows(std::ptrdiff_t count, const R* h, const R* x, std::ptrdiff_t ld, R* y,
                   std::ptrdiff_t n) {
  constexpr std::ptrdiff_t kStep = kUnroll * kLanes<R>;
  std::ptrdiff_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    Vec<R> acc[kUnroll];
    KEXUE_UNROLL
    for (int u = 0; u < kUnroll; ++u) acc[u] = load<R>(y + i + u * kLanes<R>);
    for (std::ptrdiff_t s = 0; s < count; ++s) {
      const Vec<R> c = broadcast<R>(-h[s]);
      KEXUE_UNROLL
      for (int u = 0; u < kUnroll; ++u) acc[u] += c * load<R>(x + s * ld + i + u * kLanes<R>);
    }
    KEXUE_UNROLL
    for (int u = 0; u < kUnroll; ++u) store<R>(y + i + u * kLanes<R>, acc[u]);
  }
  for (std::ptrdiff_t s = 0; s < count; ++s) {
    for (std::ptrdiff_t j = i; j < n; ++j) y[j] -= h[s] * x[s * ld + j];
  }
}

}  // namespace

extern const VectorTables vector_tables;
const VectorTables vector_tables = {
    {&dot<float>, &subtract_rows<float>},
    {&dot<double>, &subtract_rows<double>},
};

}  // namespace kexue::KEXUE_ISA
