// Kernels of the sparse-sign sketch; see kexue/lowrank/sketch.hpp.
#include "kexue/lowrank/sketch.hpp"

#include "simd.hpp"

namespace kexue::KEXUE_ISA {
namespace {

template <class R>
constexpr std::ptrdiff_t kStrip = kSketchStrip<R>;
// Vectors in a row of a strip.
template <class R>
constexpr int kVectors = static_cast<int>(kStrip<R>) / kLanes<R>;

// Rows of A lie far apart: no hardware prefetcher follows them.
KEXUE_INLINE void prefetch([[maybe_unused]] const void* p) {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(p, 0, 2);
#endif
}

template <class R>
void pack(const R* a, std::ptrdiff_t stride, std::ptrdiff_t n_rows, R* tile,
          std::ptrdiff_t strip_size) {
  constexpr std::ptrdiff_t kRowsAhead = 16;
  for (std::ptrdiff_t i = 0; i < n_rows; ++i) {
    const R* row = a + i * stride;
    const R* ahead = a + (i + kRowsAhead < n_rows ? i + kRowsAhead : n_rows - 1) * stride;
    KEXUE_UNROLL
    for (int s = 0; s < kSketchStrips; ++s) {
      prefetch(ahead + s * kStrip<R>);
      R* out = tile + s * strip_size + i * kStrip<R>;
      KEXUE_UNROLL
      for (int v = 0; v < kVectors<R>; ++v) {
        store<R>(out + v * kLanes<R>, load<R>(row + s * kStrip<R> + v * kLanes<R>));
      }
    }
  }
}

template <class R>
void gather(const R* tile, std::ptrdiff_t n_rows, const std::int32_t* offsets,
            const std::int32_t* rows, const R* signs, R* y) {
  for (std::ptrdiff_t j = 0; j < n_rows; ++j) {
    R* out = y + j * kStrip<R>;
    Vec<R> acc[kVectors<R>];
    KEXUE_UNROLL
    for (int v = 0; v < kVectors<R>; ++v) acc[v] = load<R>(out + v * kLanes<R>);
    for (std::int32_t e = offsets[j], end = offsets[j + 1]; e < end; ++e) {
      const R* row = tile + rows[e];
      const Vec<R> sign = broadcast<R>(signs[e]);
      KEXUE_UNROLL
      for (int v = 0; v < kVectors<R>; ++v) acc[v] += sign * load<R>(row + v * kLanes<R>);
    }
    KEXUE_UNROLL
    for (int v = 0; v < kVectors<R>; ++v) store<R>(out + v * kLanes<R>, acc[v]);
  }
}

// Two vectors of every row and as many probes as there are registers for.
constexpr int kProbes = KEXUE_VECTOR_BYTES == 64 ? 12 : 6;

// The rows come from the tile, or, on their way into it, from `a`, of which `ahead` rows are left.
// Copying is free beside the products, which leave the ports of loads and stores idle; and the rows
// of the next block have the time of this one to arrive.
template <bool kPacks, class R>
KEXUE_INLINE void probe_rows(std::ptrdiff_t depth, const R* weights, std::ptrdiff_t stride,
                             const R* a, std::ptrdiff_t a_stride, std::ptrdiff_t ahead, R* tile,
                             std::ptrdiff_t strip_size, R* y, std::ptrdiff_t y_strip_size) {
  using V = Vec<R>;
  for (int first = 0; first < kSketchStrips * kVectors<R>; first += 2) {
    const auto place = [first](int v, std::ptrdiff_t strip) {
      return (first + v) / kVectors<R> * strip + (first + v) % kVectors<R> * kLanes<R>;
    };
    R* b0 = tile + place(0, strip_size);
    R* b1 = tile + place(1, strip_size);
    R* c0 = y + place(0, y_strip_size);
    R* c1 = y + place(1, y_strip_size);
    V acc[kProbes][2];
    KEXUE_UNROLL
    for (int i = 0; i < kProbes; ++i) {
      acc[i][0] = load<R>(c0 + i * kStrip<R>);
      acc[i][1] = load<R>(c1 + i * kStrip<R>);
    }
    for (std::ptrdiff_t k = 0; k < depth; ++k) {
      V x0, x1;
      if constexpr (kPacks) {
        const R* row = a + k * a_stride + first * kLanes<R>;
        const R* next = row + (k + depth < ahead ? depth : 0) * a_stride;
        x0 = load<R>(row);
        x1 = load<R>(row + kLanes<R>);
        prefetch(next);
        prefetch(next + kLanes<R>);
        store<R>(b0 + k * kStrip<R>, x0);
        store<R>(b1 + k * kStrip<R>, x1);
      } else {
        x0 = load<R>(b0 + k * kStrip<R>);
        x1 = load<R>(b1 + k * kStrip<R>);
      }
      KEXUE_UNROLL
      for (int i = 0; i < kProbes; ++i) {
        const V weight = broadcast<R>(weights[k * stride + i]);
        acc[i][0] += weight * x0;
        acc[i][1] += weight * x1;
      }
    }
    KEXUE_UNROLL
    for (int i = 0; i < kProbes; ++i) {
      store<R>(c0 + i * kStrip<R>, acc[i][0]);
      store<R>(c1 + i * kStrip<R>, acc[i][1]);
    }
  }
}

template <class R>
void probe(std::ptrdiff_t depth, const R* weights, std::ptrdiff_t stride, const R* a,
           std::ptrdiff_t a_stride, std::ptrdiff_t ahead, R* tile, std::ptrdiff_t strip_size, R* y,
           std::ptrdiff_t y_strip_size) {
  if (a != nullptr) {
    probe_rows<true, R>(depth, weights, stride, a, a_stride, ahead, tile, strip_size, y,
                        y_strip_size);
  } else {
    probe_rows<false, R>(depth, weights, stride, a, a_stride, ahead, tile, strip_size, y,
                         y_strip_size);
  }
}

}  // namespace

extern const SketchTables sketch_tables;
const SketchTables sketch_tables = {{kProbes, &pack<float>, &gather<float>, &probe<float>},
                                    {kProbes, &pack<double>, &gather<double>, &probe<double>}};

}  // namespace kexue::KEXUE_ISA
