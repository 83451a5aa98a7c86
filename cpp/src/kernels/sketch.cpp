// Gather kernel of the sparse-sign sketch; see kexue/lowrank/sketch.hpp.
#include "kexue/lowrank/sketch.hpp"

#include "simd.hpp"

namespace kexue::KEXUE_ISA {
namespace {

// Eight accumulators hide the latency of the multiply-add; they are a part of the tile's row.
constexpr int kVectors = 8;

template <class R>
void gather(const R* tile, std::ptrdiff_t width, std::ptrdiff_t n_rows, const std::int32_t* offsets,
            const std::int32_t* rows, const R* signs, R* y) {
  constexpr int kLane = kLanes<R>;
  for (std::ptrdiff_t c = 0; c < width; c += kVectors * kLane) {
    for (std::ptrdiff_t j = 0; j < n_rows; ++j) {
      const std::int32_t begin = offsets[j], end = offsets[j + 1];
      if (begin == end) continue;
      R* out = y + j * width + c;
      Vec<R> acc[kVectors];
      KEXUE_UNROLL
      for (int v = 0; v < kVectors; ++v) acc[v] = load<R>(out + v * kLane);
      for (std::int32_t e = begin; e < end; ++e) {
        const R* row = tile + rows[e] * width + c;
        const Vec<R> sign = broadcast<R>(signs[e]);
        KEXUE_UNROLL
        for (int v = 0; v < kVectors; ++v) acc[v] += sign * load<R>(row + v * kLane);
      }
      KEXUE_UNROLL
      for (int v = 0; v < kVectors; ++v) store<R>(out + v * kLane, acc[v]);
    }
  }
}

}  // namespace

extern const SketchTables sketch_tables;
const SketchTables sketch_tables = {{&gather<float>}, {&gather<double>}};

}  // namespace kexue::KEXUE_ISA
