// Draws of states by the messages of a trellis; included by trellis_sums.cpp alone. States are
// dealt to eight lanes on every instruction set, so that draws agree.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using std::ptrdiff_t;

// The state that u falls to, by the sums of each of eight lanes over the groups of a row: first the
// lane, then the group. All sums only grow, so a weight of zero is never drawn.
KEXUE_INLINE ptrdiff_t pick(const double* sums, ptrdiff_t groups, double u) {
  const double* c = sums + (groups - 1) * 8;
  const double c01 = c[0] + c[1], c23 = c[2] + c[3], c45 = c[4] + c[5], c67 = c[6] + c[7];
  const double c03 = c01 + c23, c47 = c45 + c67;
  const double upto[9] = {
      0, c[0], c01, c01 + c[2], c03, c03 + c[4], c03 + c45, c03 + (c45 + c[6]), c03 + c47};
  const double target = u * upto[8];
  int lane = 0;
  for (int k = 1; k < 8; ++k) lane += upto[k] <= target;
  const double rest = target - upto[lane], top = c[lane];
  // The first group whose sum exceeds the rest; by rounding none may: then the last that adds.
  ptrdiff_t group = 0;
  if (groups <= 8) {
    for (ptrdiff_t g = 0; g + 1 < groups; ++g) {
      const double sum = sums[g * 8 + lane];
      group += (sum <= rest) & (sum < top);
    }
  } else {
    ptrdiff_t size = groups;
    while (size > 1) {
      const ptrdiff_t half = size / 2;
      const double sum = sums[(group + half - 1) * 8 + lane];
      group = ((sum <= rest) & (sum < top)) ? group + half : group;
      size -= half;
    }
  }
  return group * 8 + lane;
}

ptrdiff_t draw(ptrdiff_t ld, double* weights, double u) {
  for (ptrdiff_t j = 8; j < ld; j += kLanes<double>) {
    store<double>(weights + j, load<double>(weights + j - 8) + load<double>(weights + j));
  }
  return pick(weights, ld / 8, u);
}

template <int groups>  // 0: any
KEXUE_INLINE void draw_steps_of(ptrdiff_t steps, ptrdiff_t n, ptrdiff_t ld, const double* columns,
                                ptrdiff_t stride, const double* alpha, const double* uniform,
                                double* sums, std::int64_t* path) {
  constexpr int kParts = 8 / kLanes<double>;
  const ptrdiff_t n_groups = groups > 0 ? groups : ld / 8;
  for (ptrdiff_t t = steps; t-- > 0;) {
    const double *column = columns + t * stride + path[t + 1] * (groups > 0 ? groups * 8 : ld),
                 *message = alpha + t * n;
    F64 total[kParts] = {};
    for (ptrdiff_t j = 0; j < n_groups * 8; j += 8) {
      KEXUE_UNROLL
      for (int q = 0; q < kParts; ++q) {
        const ptrdiff_t at = j + q * kLanes<double>;
        total[q] = total[q] + load<double>(message + at) * load<double>(column + at);
        store<double>(sums + at, total[q]);
      }
    }
    path[t] = pick(sums, n_groups, uniform[t]);
  }
}

#if KEXUE_X86_BYTES == 64
// The same draw without leaving the registers: the next step waits for its outcome. The sums of
// lanes are a scan, which may fall by a rounding: lanes without weight are left out by name.
template <int groups>
KEXUE_INLINE std::int64_t draw_in_registers(const double* column, const double* message, double u) {
  const __m512i last = _mm512_set1_epi64(7), zeros = _mm512_setzero_si512();
  const F64 first = load<double>(message) * load<double>(column);
  F64 all = first;
  if constexpr (groups == 2) all = first + load<double>(message + 8) * load<double>(column + 8);
  F64 upto = all;
  upto = upto + (F64)_mm512_alignr_epi64((__m512i)upto, zeros, 7);
  upto = upto + (F64)_mm512_alignr_epi64((__m512i)upto, zeros, 6);
  upto = upto + (F64)_mm512_alignr_epi64((__m512i)upto, zeros, 4);
  const F64 target = broadcast<double>(u) * (F64)_mm512_permutexvar_pd(last, upto);
  const unsigned possible = _mm512_cmp_pd_mask(all, F64{}, _CMP_GT_OQ);
  const unsigned beyond = _mm512_mask_cmp_pd_mask((__mmask8)possible, upto, target, _CMP_GT_OQ);
  const int lane = beyond != 0 ? __builtin_ctz(beyond) : 31 - __builtin_clz(possible | 1);
  ptrdiff_t group = 0;
  if constexpr (groups == 2) {
    const F64 rest = target - (F64)_mm512_alignr_epi64((__m512i)upto, zeros, 7);
    const __mmask8 within = _mm512_cmp_pd_mask(first, all, _CMP_LT_OQ);
    const unsigned second = _mm512_mask_cmp_pd_mask(within, first, rest, _CMP_LE_OQ);
    // A first entry of zero cannot be meant, whatever the rounding of the rest.
    const unsigned only = _mm512_cmp_pd_mask(first, F64{}, _CMP_EQ_OQ);
    group = ((second | only) >> lane) & 1;
  }
  return group * 8 + lane;
}

// A step waits for the one after it. Therefore four stretches are drawn at once, three of them from
// a guess of the state after them, and then, from the state that it turns out to be, drawn again
// until the two agree: from there on they are one. Chains that share their uniform numbers soon
// meet (10 states, AVX-512: 2.2x over one stretch); where they never do, a step is drawn twice.
template <int groups>
void draw_narrow_steps(ptrdiff_t steps, ptrdiff_t n, const double* columns, ptrdiff_t stride,
                       const double* alpha, const double* uniform, std::int64_t* path) {
  const auto draw_at = [&](ptrdiff_t t, std::int64_t after) {
    return draw_in_registers<groups>(columns + t * stride + after * (groups * 8), alpha + t * n,
                                     uniform[t]);
  };
  constexpr int kStretches = 4;
  const ptrdiff_t length = steps < 16 * kStretches ? 0 : steps / kStretches;
  for (ptrdiff_t t = steps; t-- > length * kStretches;) path[t] = draw_at(t, path[t + 1]);
  if (length == 0) return;
  std::int64_t state[kStretches] = {};
  state[kStretches - 1] = path[length * kStretches];
  for (ptrdiff_t k = length; k-- > 0;) {
    KEXUE_UNROLL
    for (int c = 0; c < kStretches; ++c) {
      const ptrdiff_t t = c * length + k;
      path[t] = state[c] = draw_at(t, state[c]);
    }
  }
  for (ptrdiff_t c = kStretches - 1; c-- > 0;) {
    for (ptrdiff_t t = (c + 1) * length; t-- > c * length;) {
      const std::int64_t drawn = draw_at(t, path[t + 1]);
      if (drawn == path[t]) break;
      path[t] = drawn;
    }
  }
}
#endif

void draw_steps(ptrdiff_t steps, ptrdiff_t n, ptrdiff_t ld, const double* columns, ptrdiff_t stride,
                const double* alpha, const double* uniform, double* sums, std::int64_t* path) {
#if KEXUE_X86_BYTES == 64
  if (ld == 8) return draw_narrow_steps<1>(steps, n, columns, stride, alpha, uniform, path);
  if (ld == 16) return draw_narrow_steps<2>(steps, n, columns, stride, alpha, uniform, path);
#endif
  if (ld == 8) return draw_steps_of<1>(steps, n, ld, columns, stride, alpha, uniform, sums, path);
  if (ld == 16) return draw_steps_of<2>(steps, n, ld, columns, stride, alpha, uniform, sums, path);
  draw_steps_of<0>(steps, n, ld, columns, stride, alpha, uniform, sums, path);
}

}  // namespace
}  // namespace kexue::KEXUE_ISA
