// Best steps of a dense trellis by what can win alone (TrellisBoundKernel): where most rows of the
// matrix can, whole steps are taken for a while.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "columns.hpp"
#include "kexue/core/buffer.hpp"
#include "kexue/core/constants.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/trellis.hpp"
#include "kexue/lattice/trellis_kernels.hpp"

namespace kexue::lattice {

template <class T>
const TrellisBoundKernel<T>& bound_kernel() {
  if constexpr (std::is_same_v<T, float>) {
    return trellis_bound_kernels().f32;
  } else {
    return trellis_bound_kernels().f64;
  }
}

inline std::ptrdiff_t n_blocks(std::ptrdiff_t ld) {
  return (ld + kBlockColumns - 1) / kBlockColumns;
}

// The largest entry of each row in each block of columns; empty where it would not pay.
template <class T>
AlignedBuffer<T> block_tops(const Trellis<T>& trellis, const T* rows, std::ptrdiff_t ld) {
  constexpr std::ptrdiff_t kFewestSteps = 16, kRows = 64;
  // Several sequences share what whole steps read.
  const std::ptrdiff_t shortest =
      std::max<std::ptrdiff_t>(trellis.batch > 1 ? 2560 : 0, bound_kernel<T>().shortest_row);
  const std::ptrdiff_t n = trellis.states;
  if (trellis.n_matrices > 1 || trellis.batch * trellis.steps < kFewestSteps ||
      ld * static_cast<std::ptrdiff_t>(sizeof(T)) < shortest) {
    return {};
  }
  AlignedBuffer<T> tops(n_blocks(ld) * ld);
  std::fill(tops.data(), tops.data() + tops.size(), static_cast<T>(-kInf));
  parallel_for((n + kRows - 1) / kRows,
               [&](std::ptrdiff_t k, int) {
                 bound_kernel<T>().block_tops(ld, k * kRows, std::min(n, (k + 1) * kRows), rows,
                                              tops.data());
               },
               trellis.workers);
  return tops;
}

// The steps of one sequence.
template <class T>
class BoundedSteps {
 public:
  BoundedSteps(std::ptrdiff_t states, std::ptrdiff_t ld, int threads)
      : states_(states),
        ld_(ld),
        threads_(threads),
        gap_(static_cast<std::size_t>(n_blocks(ld))),
        scratch_(static_cast<std::size_t>(threads)) {
    for (Scratch& scratch : scratch_) {
      scratch.places.resize(static_cast<std::size_t>(ld) + 32);
      scratch.bounds = AlignedBuffer<T>(ld);
    }
  }

  // Whether the next step is one of these.
  bool due() {
    if (wait_ == 0) return true;
    --wait_;
    return false;
  }

  // to = max_i (from[i] + rows[i]).
  void step(const T* rows, const T* tops, const T* from, T* to) {
    const std::ptrdiff_t blocks = n_blocks(ld_);
    parallel_for(
        threads_,
        [&](std::ptrdiff_t k, int) {
          Scratch& scratch = scratch_[static_cast<std::size_t>(k)];
          scratch.looked = bound_kernel<T>().max_blocks(
              states_, ld_, blocks * k / threads_, blocks * (k + 1) / threads_, rows, from, tops,
              gap_.data(), scratch.places.data(), scratch.bounds.data(), to);
        },
        threads_);
    std::ptrdiff_t looked = 0;
    for (const Scratch& scratch : scratch_) looked += scratch.looked;
    const bool most = 4 * looked > 3 * states_ * blocks;
    pause_ = most ? std::min<std::ptrdiff_t>(4 * pause_ + 3, 63) : 0;
    wait_ = pause_;
  }

 private:
  // Of a thread.
  struct Scratch {
    std::vector<std::int32_t> places;
    AlignedBuffer<T> bounds;
    std::ptrdiff_t looked = 0;
  };

  std::ptrdiff_t states_, ld_;
  int threads_;
  std::vector<T> gap_;
  std::vector<Scratch> scratch_;
  std::ptrdiff_t pause_ = 0, wait_ = 0;
};

}  // namespace kexue::lattice
