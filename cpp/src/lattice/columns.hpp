// The columns of one step of a large trellis, shared among threads: each has the same columns in
// every step, so that its cache keeps a part of them (1000 states, two threads, AVX-512: 2.1x).
#pragma once

#include <cstddef>

#include "kexue/core/pool.hpp"
#include "kexue/lattice/trellis.hpp"

namespace kexue::lattice {

// Threads for a step of a dense trellis with rows of ld entries, each with enough of the matrix to
// be worth it. Several sequences are shared among threads instead.
template <class T>
int step_threads(const Trellis<T>& trellis, std::ptrdiff_t ld) {
  constexpr std::ptrdiff_t kShare = std::ptrdiff_t{1} << 17;
  const std::ptrdiff_t shares = trellis.states * ld / kShare;
  if (trellis.dense == nullptr || trellis.batch > 1 || shares < 2) return 1;
  return planned_workers(shares, trellis.workers);
}

// step(begin, width) for each share of a row of ld entries, in whole cache lines.
template <class T, class Step>
void share_columns(int threads, std::ptrdiff_t ld, Step&& step) {
  constexpr auto kLine = static_cast<std::ptrdiff_t>(64 / sizeof(T));
  const std::ptrdiff_t lines = ld / kLine;
  parallel_for(
      threads,
      [&](std::ptrdiff_t k, int) {
        const std::ptrdiff_t begin = lines * k / threads * kLine;
        step(begin, lines * (k + 1) / threads * kLine - begin);
      },
      threads);
}

}  // namespace kexue::lattice
