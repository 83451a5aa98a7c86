// How a large product is cut into blocks that fit the caches; for gemm.cpp and rounded_product.cpp
// alone.
#pragma once

#include <algorithm>

#include "packing.hpp"

namespace kexue {

// Each block of the depth is a pass over C, whose tiles come from memory: what a pass costs
// outweighs strips of A and B that are read from the second-level cache, as deep ones are.
inline constexpr ptrdiff_t kBlockDepth = 400;

// Depths of equal size, none above `most`: a short last one would cost as many passes over C.
inline ptrdiff_t depth_step(ptrdiff_t depth, ptrdiff_t most = kBlockDepth) {
  return ceil_div(depth, std::max<ptrdiff_t>(1, ceil_div(depth, most)));
}

// Strips of A that meet one strip of B after another; the tiles of C lie side by side then. So few
// that the hardware follows all their rows (Sapphire Rapids, 2000 x 800 x 2000 doubles: 7 % over 12
// strips).
inline constexpr ptrdiff_t kRowStrips = 4;

// Brings rows of B, which lie too far apart for the hardware to follow, into the second-level cache
// before they are needed, a piece with every tile.
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
