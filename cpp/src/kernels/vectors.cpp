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

#if KEXUE_X86_BYTES == 64
KEXUE_INLINE float sum_lanes(F32 v) { return _mm512_reduce_add_ps(v); }
KEXUE_INLINE double sum_lanes(F64 v) { return _mm512_reduce_add_pd(v); }
#else
template <class R>
KEXUE_INLINE R sum_of(Vec<R> v) {
  R lanes[kLanes<R>];
  store<R>(lanes, v);
  KEXUE_UNROLL
  for (int half = kLanes<R> / 2; half > 0; half /= 2) {
    KEXUE_UNROLL
    for (int l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  return lanes[0];
}
KEXUE_INLINE float sum_lanes(F32 v) { return sum_of<float>(v); }
KEXUE_INLINE double sum_lanes(F64 v) { return sum_of<double>(v); }
#endif

// As many sums as there are registers for: all columns of a tile at once, or half of them.
template <class R>
void dot_tile(const R* const* x, const R* const* y, std::ptrdiff_t n, R* sums) {
  constexpr int kRows = kDotTile, kCols = KEXUE_VECTOR_BYTES == 64 ? kRows : kRows / 2;
  for (int first = 0; first < kRows; first += kCols) {
    Vec<R> acc[kRows][kCols];
    KEXUE_UNROLL
    for (int i = 0; i < kRows; ++i) {
      KEXUE_UNROLL
      for (int j = 0; j < kCols; ++j) acc[i][j] = zero<R>();
    }
    std::ptrdiff_t k = 0;
    for (; k + kLanes<R> <= n; k += kLanes<R>) {
      Vec<R> row[kRows];
      KEXUE_UNROLL
      for (int i = 0; i < kRows; ++i) row[i] = load<R>(x[i] + k);
      KEXUE_UNROLL
      for (int j = 0; j < kCols; ++j) {
        const Vec<R> column = load<R>(y[first + j] + k);
        KEXUE_UNROLL
        for (int i = 0; i < kRows; ++i) acc[i][j] = multiply_add(row[i], column, acc[i][j]);
      }
    }
    KEXUE_UNROLL
    for (int i = 0; i < kRows; ++i) {
      KEXUE_UNROLL
      for (int j = 0; j < kCols; ++j) {
        R sum = sum_lanes(acc[i][j]);
        for (std::ptrdiff_t t = k; t < n; ++t) sum += x[i][t] * y[first + j][t];
        sums[i * kRows + first + j] = sum;
      }
    }
  }
}

template <class R>
R largest(const R* x, std::ptrdiff_t n) {
  constexpr std::ptrdiff_t kStep = kUnroll * kLanes<R>;
  Vec<R> tops[kUnroll], poison[kUnroll];  // a poison turns NaN where an entry is not finite
  KEXUE_UNROLL
  for (int u = 0; u < kUnroll; ++u) tops[u] = poison[u] = zero<R>();
  std::ptrdiff_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    KEXUE_UNROLL
    for (int u = 0; u < kUnroll; ++u) {
      const Vec<R> v = load<R>(x + i + u * kLanes<R>);
      const Vec<R> size = select<R>(less<R>(v, zero<R>()), zero<R>() - v, v);
      tops[u] = select<R>(less<R>(tops[u], size), size, tops[u]);
      poison[u] += v * zero<R>();
    }
  }
  R top = 0, spoiled = 0;
  for (; i < n; ++i) {
    const R size = x[i] < 0 ? -x[i] : x[i];
    top = size > top ? size : top;
    spoiled += x[i] * R(0);
  }
  R lanes[kStep];
  KEXUE_UNROLL
  for (int u = 0; u < kUnroll; ++u) {
    store<R>(lanes + u * kLanes<R>, tops[u]);
    spoiled += sum_lanes(poison[u]);
  }
  for (const R lane : lanes) top = lane > top ? lane : top;
  return top + spoiled;
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
    {&dot<float>, &dot_tile<float>, &largest<float>, &subtract_rows<float>},
    {&dot<double>, &dot_tile<double>, &largest<double>, &subtract_rows<double>},
};

}  // namespace kexue::KEXUE_ISA
