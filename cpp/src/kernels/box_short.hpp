// Passes over short rows of the projection onto a simplex with bounds, one row to a lane; see
// kexue/simplex/box_projection.hpp.
#pragma once

#include "kexue/simplex/box_projection.hpp"
#include "lanes.hpp"
#include "simd.hpp"
#include "simplex_lanes.hpp"

namespace kexue::KEXUE_ISA {
namespace {

constexpr int kWide = kLanes<double>;

// kWide columns of a row.
struct Columns {
  F64 x, w, l, u;
};

// x - tau w.
template <bool kWeighted>
KEXUE_INLINE F64 shifted(const Columns& c, F64 minus_high, F64 minus_low) {
  if constexpr (kWeighted) {
    return multiply_add(minus_low, c.w, multiply_add(minus_high, c.w, c.x));
  } else {
    return (c.x + minus_high) + minus_low;
  }
}

// high + low += x without error.
KEXUE_INLINE void two_sum(F64& high, F64& low, F64 x) {
  const F64 sum = high + x;
  const F64 part = sum - high;
  low += (high - (sum - part)) + (x - part);
  high = sum;
}
KEXUE_INLINE void two_sum(double& high, double& low, double x) {
  const double sum = high + x;
  const double part = sum - high;
  low += (high - (sum - part)) + (x - part);
  high = sum;
}

// Newton steps after which a lane is left to the general method.
constexpr int kShortPasses = 24;

// What a column of short rows has in common.
struct SharedColumn {
  double w, inverse, l, u;
};

struct LaneRoots {
  F64 high, low;  // tau
  Mask<double> solved;
};

KEXUE_INLINE Mask<double> negated(const Mask<double>& mask) {
  return mask ^ broadcast<std::int64_t>(-1);
}

template <bool kWeighted>
KEXUE_INLINE F64 shifted_lane(F64 x, const SharedColumn& c, F64 high, F64 low) {
  const F64 none = zero<double>();
  return shifted<kWeighted>({x, broadcast(c.w), none, none}, none - high, none - low);
}

// Newton's method in a bracket for every lane; `idle` lanes are not waited for.
template <bool kWeighted>
LaneRoots lane_roots(const F64* x, const SharedColumn* columns, std::ptrdiff_t n, F64 radius,
                     F64 slack, const Mask<double>& idle, double relative) {
  const F64 none = zero<double>(), infinite = broadcast(kInfinity<double>);
  const F64 smallest = broadcast(0x1p-1074);
  const F64 half = broadcast(0.5), sixteen = broadcast(16.0), enough = broadcast(relative);
  F64 high = none - infinite, low = none, left = none - infinite, right = infinite;
  for (std::ptrdiff_t j = 0; j < n; ++j) {
    const F64 inverse = broadcast(columns[j].inverse);
    high = maximum(high, (x[j] - broadcast(columns[j].l) - slack * inverse) * inverse);
  }
  F64 stride = maximum(slack, broadcast(0x1p-10));
  Mask<double> done = idle;
  for (int pass = 0; pass < kShortPasses && any<double>(negated(done)); ++pass) {
    F64 sum = none, slope = none;
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      const F64 w = broadcast(columns[j].w), l = broadcast(columns[j].l);
      const F64 u = broadcast(columns[j].u);
      const F64 v = shifted_lane<kWeighted>(x[j], columns[j], high, low);
      sum = multiply_add(w, clamp(v, l, u), sum);
      slope += select<double>(less<double>(l, v) & less<double>(v, u), w * w, none);
    }
    const F64 residual = sum - radius;
    const Mask<double> is_left = less<double>(none, residual);
    left = select<double>(is_left, high, left);
    right = select<double>(is_left, right, high);
    const F64 step = residual / slope, newton = high + step, part = newton - high;
    const F64 lost = (high - (newton - part)) + (step - part);
    const Mask<double> usable = less<double>(none, slope) & negated(less<double>(newton, left)) &
                                negated(less<double>(right, newton));
    const Mask<double> bracketed =
        less<double>(none - infinite, left) & less<double>(right, infinite);
    const F64 outward = select<double>(is_left, high + stride, high - stride);
    const F64 other = select<double>(bracketed, left * half + right * half, outward);
    stride = stride * sixteen;
    const F64 scale = maximum(maximum(radius, none - radius), maximum(sum, none - sum));
    // A residual of exactly zero is small even where the scale is zero; NaN never is.
    const F64 size = maximum(residual, none - residual);
    const Mask<double> small = less<double>(size, multiply_add(enough, scale, smallest));
    // A lane that is done takes its last step too, if it is Newton's.
    const Mask<double> moves = negated(done) & (usable | negated(small));
    low = select<double>(moves, select<double>(usable, low + lost, none), low);
    high = select<double>(moves, select<double>(usable, newton, other), high);
    done = done | small;
  }
  return {high, low, done & negated(idle)};
}

// Where an entry lies so near a bound that the rounding of tau decides on which side.
KEXUE_INLINE Mask<double> is_close(F64 v, const SharedColumn& c, F64 margin) {
  const F64 to_lower = absolute<double>(v - broadcast(c.l));
  const F64 to_upper = absolute<double>(v - broadcast(c.u));
  return less<double>(to_lower, margin) | less<double>(to_upper, margin);
}

// x - bound - tau, whose sign is right wherever it is small.
KEXUE_INLINE F64 excess_over(F64 x, double bound, F64 tau, F64 tau_low) {
  constexpr double kMost = 0x1p1000;  // differences from infinity would be lost
  const F64 b = broadcast(bound < kMost ? (bound > -kMost ? bound : -kMost) : kMost);
  const F64 d = x - b, part = d - x;
  return (d - tau) + (((x - (d - part)) - (b + part)) - tau_low);
}

// Without weights: tau <- the root for the support that it has, and again while that changes, in
// `close` lanes that come to rest. Supports on either side are nested, so that those of the same
// sizes are the same.
KEXUE_INLINE void settle_lanes(const F64* x, const SharedColumn* columns, std::ptrdiff_t n,
                               F64 radius, const Mask<double>& close, F64& high, F64& low) {
  constexpr int kPasses = 8;
  const F64 none = zero<double>(), one = broadcast(1.0);
  F64 tau = high, tau_low = low, free = none, raised = none;
  F64 left = none - broadcast(kInfinity<double>), left_low = none;
  F64 right = broadcast(kInfinity<double>), right_low = none;
  Mask<double> open = close;
  for (int pass = 0; pass < kPasses; ++pass) {
    F64 sum = none - radius, rest = none, free_now = none, raised_now = none;
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      const F64 l = broadcast(columns[j].l), u = broadcast(columns[j].u);
      const Mask<double> above = less<double>(none, excess_over(x[j], columns[j].l, tau, tau_low));
      const Mask<double> below = less<double>(excess_over(x[j], columns[j].u, tau, tau_low), none);
      raised_now += select<double>(above, one, none);
      free_now += select<double>(above & below, one, none);
      two_sum(sum, rest, select<double>(above, select<double>(below, x[j], u), l));
    }
    const Mask<double> some = less<double>(none, free_now);
    const Mask<double> changed = less<double>(free, free_now) | less<double>(free_now, free) |
                                 less<double>(raised, raised_now) |
                                 less<double>(raised_now, raised);
    // With every entry at a bound the sum is the radius or not, whatever tau is.
    const F64 excess = sum + rest;
    const Mask<double> met = negated(less<double>(none, excess) | less<double>(excess, none));
    const Mask<double> rests = open & ((some & negated(changed)) | (negated(some) & met));
    high = select<double>(rests, tau, high);
    low = select<double>(rests, tau_low, low);
    open = open & some & changed;
    if (!any<double>(open)) return;
    free = free_now;
    raised = raised_now;
    const F64 near = (sum + rest) / free, upper = upper_half(near);
    const F64 lost = (((sum - free * upper) - free * (near - upper)) + rest) / free;
    const F64 next = near + lost, next_low = lost - (next - near);
    // Newton's steps may go to and fro between two supports that leave out the one in between.
    const F64 step = (next - tau) + (next_low - tau_low);
    const Mask<double> ahead = less<double>(none, step),
                       stays = negated(ahead | less<double>(step, none));
    left = select<double>(ahead, tau, left);
    left_low = select<double>(ahead, tau_low, left_low);
    right = select<double>(ahead, right, tau);
    right_low = select<double>(ahead, right_low, tau_low);
    const Mask<double> inside =
        stays | (less<double>(none, (next - left) + (next_low - left_low)) &
                 less<double>(none, (right - next) + (right_low - next_low)));
    const F64 half = left_low + broadcast(0.5) * ((right - left) + (right_low - left_low));
    const F64 middle = left + half;
    tau = select<double>(inside, next, middle);
    tau_low = select<double>(inside, next_low, half - (middle - left));
  }
}

template <class T, bool kWeighted>
void short_rows_of(const BoxRow<T>& like, std::ptrdiff_t n_rows, const double* radius,
                   const double* lowest_sum, T* out, unsigned char* solved) {
  const std::ptrdiff_t n = like.n;
  SharedColumn columns[simplex::kShortRow];
  for (std::ptrdiff_t j = 0; j < n; ++j) {
    const double w = kWeighted ? static_cast<double>(like.weights[j]) : 1.0;
    columns[j] = {w, 1 / w,
                  like.lower == nullptr ? like.lowest : static_cast<double>(like.lower[j]),
                  like.lower == nullptr ? like.highest : static_cast<double>(like.upper[j])};
  }
  for_short_rows<double>(
      like.x, out, n_rows, n, [&](F64* x, std::ptrdiff_t first, std::ptrdiff_t rows) {
        const F64 radii = load_wide_part(radius + first, rows, 1.0);
        const F64 lowest = load_wide_part(lowest_sum + first, rows, 0.0);
        const Mask<double> idle = negated(look_at<double>(x, n).ordinary & first_lanes(rows));
        constexpr double kEnough = sizeof(T) == 4 ? 0x1p-30 : 0x1p-50;
        LaneRoots root = lane_roots<kWeighted>(x, columns, n, radii, radii - lowest, idle, kEnough);
        if constexpr (!kWeighted) {
          const F64 margin =
              broadcast(4 * kEnough) * (absolute<double>(root.high) + absolute<double>(radii));
          Mask<double> close = root.solved ^ root.solved;
          for (std::ptrdiff_t j = 0; j < n; ++j) {
            const F64 v = shifted_lane<false>(x[j], columns[j], root.high, root.low);
            close = close | is_close(v, columns[j], margin);
          }
          close = close & root.solved;
          if (any<double>(close)) settle_lanes(x, columns, n, radii, close, root.high, root.low);
        }
        for (std::ptrdiff_t j = 0; j < n; ++j) {
          const F64 v = shifted_lane<kWeighted>(x[j], columns[j], root.high, root.low);
          const F64 p = clamp(v, broadcast(columns[j].l), broadcast(columns[j].u));
          x[j] = select<double>(root.solved, p + zero<double>(), x[j]);
        }
        const F64 one = select<double>(root.solved, broadcast(1.0), zero<double>());
        for (std::ptrdiff_t r = 0; r < rows; ++r) {
          solved[first + r] = one[static_cast<int>(r)] != 0 ? 1 : 0;
        }
      });
}

}  // namespace
}  // namespace kexue::KEXUE_ISA
