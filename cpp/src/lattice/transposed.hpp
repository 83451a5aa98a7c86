// Transposed copies of matrices.
#pragma once

#include <algorithm>
#include <cstddef>

#include "kexue/core/pool.hpp"

namespace kexue::lattice {

// out_ji = a_ij for i, j < n, in blocks whose lines all stay in the first-level cache.
template <class T>
void transpose(std::ptrdiff_t n, const T* a, std::ptrdiff_t ld_a, T* out, std::ptrdiff_t ld_out) {
  constexpr std::ptrdiff_t kBlock = 16;
  poll_interrupt();
  for (std::ptrdiff_t i0 = 0; i0 < n; i0 += kBlock) {
    for (std::ptrdiff_t j0 = 0; j0 < n; j0 += kBlock) {
      const std::ptrdiff_t i1 = std::min(n, i0 + kBlock), j1 = std::min(n, j0 + kBlock);
      for (std::ptrdiff_t j = j0; j < j1; ++j) {
        for (std::ptrdiff_t i = i0; i < i1; ++i) out[j * ld_out + i] = a[i * ld_a + j];
      }
    }
  }
}

}  // namespace kexue::lattice
