#include "kexue/simplex/box_search.hpp"

#include <bit>
#include <cstdint>
#include <numeric>

#include "kexue/core/constants.hpp"

namespace kexue::simplex {
namespace {

// Newton's steps are monotone without upper bounds and nearly so with them; random and adversarial
// rows take at most 15. What is left bisects: a double has 64 bits. Only the search for a bracket,
// by steps 16 times as long each time, may need more passes.
constexpr int kNewtonPasses = 24;
constexpr int kMaxPasses = 400;
// Sums are right to this share of what they should be, unless the row is extreme.
constexpr double kSettled = 0x1p-49;

BoxRoot advanced(BoxRoot t, double step) {
  const BoxRoot first = sum_of(t.high, step);
  return sum_of(first.high, first.low + t.low);
}

// Doubles in their order, as integers.
std::int64_t rank_of(double x) {
  const auto bits = std::bit_cast<std::int64_t>(x);
  return bits < 0 ? std::numeric_limits<std::int64_t>::min() - bits : bits;
}
// As many doubles lie below as above, so that 64 halvings reach two neighbours.
double middle(double a, double b) {
  const std::int64_t rank = std::midpoint(rank_of(a), rank_of(b));
  return std::bit_cast<double>(rank < 0 ? std::numeric_limits<std::int64_t>::min() - rank : rank);
}

}  // namespace

bool BoxSearch::advance(const BoxSums& sums, BoxRoot rest) {
  const BoxRoot total = sum_of(rest.high, sums.high);
  const double residual = (total.high - radius_) + (total.low + rest.low + sums.low);
  const double size = std::abs(residual);
  const double scale = std::max(std::abs(radius_), std::abs(total.high));
  failed = !std::isfinite(residual);
  settled = size <= std::max(enough_, kSettled) * scale;
  if (failed || ++pass_ >= kMaxPasses || size <= enough_ * scale) return false;
  // What is as small as rounding and does not halve, twice, is rounding: of the sum, and of
  // products with tau.
  const double noise =
      0x1p-46 * scale + (weighted_ ? 0x1p-50 * sums.slope * std::abs(tau.high) : 0.0);
  stalls_ = size <= noise && !(size < last_size_ / 2) ? stalls_ + 1 : 0;
  if (stalls_ == 2) return false;
  last_size_ = size;
  below = residual > 0;
  (below ? low_ : high_) = place();
  if (stage_ == Stage::halved) choose_base();
  return move(sums.slope > 0 ? residual / sums.slope : kInf);
}

// The middle of two neighbours has been tried: distances are now from the end nearer to the root.
void BoxSearch::choose_base() {
  stage_ = Stage::distance;
  if (!below) return;
  tau = {tau.high + gap_, low_ - gap_};
  low_ = tau.low;
  high_ = 0;
}

bool BoxSearch::move(double step) {
  const BoxRoot before = tau;
  const BoxRoot next =
      stage_ == Stage::whole ? advanced(tau, step) : BoxRoot{tau.high, tau.low + step};
  const double there = stage_ == Stage::whole ? next.high : next.low;
  const bool inside = std::isfinite(there) && there >= low_ && there <= high_;
  const bool bracketed = std::isfinite(low_) && std::isfinite(high_);
  const bool wide = bracketed && std::nextafter(low_, high_) < high_;
  if (inside && (pass_ <= kNewtonPasses || (bracketed && !wide))) {
    tau = next;
  } else if (!bracketed) {
    if (inside) {
      tau = next;
    } else {
      set_place(place() + (below ? stride_ : -stride_));
    }
    stride_ *= 16;
    if (!std::isfinite(tau.high)) return false;
  } else if (wide) {
    const double mean = low_ / 2 + high_ / 2;
    const bool halve = pass_ <= kNewtonPasses && mean > low_ && mean < high_;
    set_place(halve ? mean : middle(low_, high_));
  } else if (stage_ == Stage::whole) {
    gap_ = high_ - low_;
    stage_ = Stage::halved;
    tau = {low_, gap_ / 2};
    low_ = 0;
    high_ = gap_;
    return true;
  } else {
    return false;
  }
  return tau.high != before.high || tau.low != before.low;
}

}  // namespace kexue::simplex
