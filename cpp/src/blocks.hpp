// How a large product is cut into blocks that fit the caches; for gemm.cpp and rounded_product.cpp
// alone.
#pragma once

#include <algorithm>

#include "packing.hpp"

namespace kexue {

// Depths of equal size, none above kBlockDepth: a short last one would cost as many passes over C.
inline constexpr ptrdiff_t kBlockDepth = 320;
inline ptrdiff_t depth_step(ptrdiff_t depth) {
  return ceil_div(depth, std::max<ptrdiff_t>(1, ceil_div(depth, kBlockDepth)));
}

// 12 strips of 12 rows and 256 columns are 288 KB of doubles: a part of the second-level cache.
inline constexpr ptrdiff_t kRowStrips = 12;

// Brings what is needed next into the second-level cache, a piece with every tile: rows of B, which
// lie too far apart for the hardware to follow, and strips of A.
class Ahead {
 public:
  Ahead(const char* first, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t bytes, ptrdiff_t tiles)
      : next_(first), rows_(rows), stride_(stride), bytes_(bytes), tiles_(tiles) {}

  void fetch() {
#if defined(__GNUC__)
    const ptrdiff_t lines = ceil_div(bytes_, kLine), end = rows_ * lines * ++tile_ / tiles_;
    for (; line_ < end; ++line_) {
      __builtin_prefetch(next_ + place_, 0, 2);
      place_ += kLine;
      if (place_ >= bytes_) {
        place_ = 0;
        next_ += stride_;
      }
    }
#endif
  }

 private:
  static constexpr ptrdiff_t kLine = 64;
  const char* next_;
  ptrdiff_t rows_, stride_, bytes_, tiles_, line_ = 0, tile_ = 0, place_ = 0;
};

}  // namespace kexue
