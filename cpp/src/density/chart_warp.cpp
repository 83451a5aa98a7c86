// The warp of a chart: a table of a density with a t3 base, and its inverse.
#include <algorithm>
#include <cmath>

#include "base_tails.hpp"
#include "kexue/core/constants.hpp"
#include "kexue/core/error.hpp"
#include "kexue/density/chart.hpp"

namespace kexue::density {

using std::ptrdiff_t;

namespace {

// |t| below which the inverse is refined on its tail.
constexpr double kLeastWarp = 2e-4;

}  // namespace

Chart::Chart(double loc, double scale, bool logarithmic, double spill, double first, double last,
             std::span<const double> knots)
    : base_(Base::warp),
      loc_(loc),
      scale_(scale),
      logarithmic_(logarithmic),
      spill_(spill),
      first_(first),
      step_((last - first) / static_cast<double>(knots.size() - 1)),
      density_(knots.begin(), knots.end()) {
  require(knots.size() >= 2 && last > first && scale > 0, "a warp needs increasing knots");
  const std::size_t n = knots.size();
  left_.assign(n, 0);
  right_.assign(n, 0);
  for (std::size_t k = 1; k < n; ++k) {
    left_[k] = left_[k - 1] + 0.5 * step_ * (density_[k - 1] + density_[k]);
  }
  for (std::size_t k = n - 1; k-- > 0;) {
    right_[k] = right_[k + 1] + 0.5 * step_ * (density_[k] + density_[k + 1]);
  }
  require(left_[n - 1] > 0, "the table of a warp must have mass");
  const double norm = (1 - spill_) / left_[n - 1];
  for (std::size_t k = 0; k < n; ++k) {
    density_[k] *= norm;
    left_[k] *= norm;
    right_[k] *= norm;
  }
  build_inverse();
}

WarpTable Chart::table() const {
  return {loc_,
          1 / scale_,
          spill_,
          first_,
          step_,
          1 / step_,
          static_cast<ptrdiff_t>(density_.size()),
          density_.data(),
          left_.data(),
          right_.data()};
}

// Hermite's cubics of the mass between knots: those of the table are exact, the base's share of a
// cell is right to its fourth power.
void Chart::build_inverse() {
  const std::size_t knots = density_.size(), cells = knots - 1;
  std::vector<double> tail[2] = {std::vector<double>(knots), std::vector<double>(knots)};
  std::vector<double> total(knots), y(knots), t(knots);
  for (std::size_t k = 0; k < knots; ++k) y[k] = first_ + step_ * static_cast<double>(k);
  chart_kernels().tails(Tail::t3, y.data(), loc_, 1 / scale_, t.data(), total.data(),
                        static_cast<ptrdiff_t>(knots));
  for (std::size_t k = 0; k < knots; ++k) {
    const double near = 0.5 * spill_ * std::abs(t[k]);
    tail[0][k] = std::signbit(t[k]) ? spill_ - near : near;
    tail[1][k] = std::signbit(t[k]) ? near : spill_ - near;
    total[k] = density_[k] + 0.5 * spill_ * total[k];
  }
  constexpr auto kShares = static_cast<std::size_t>(kWarpShares);
  cubics_.assign(8 * (cells + 1), 0.0);
  guide_.resize(2 * (kShares + 1));
  for (std::size_t half = 0; half < 2; ++half) {
    const std::vector<double>& mass = half == 0 ? left_ : right_;
    double* cubic = cubics_.data() + 4 * half * (cells + 1);
    cubic[4 * cells] = kInf;
    for (std::size_t j = 0; j < cells; ++j) {
      const std::size_t k = half == 0 ? j : knots - 1 - j, next = half == 0 ? k + 1 : k - 1;
      const double rise =
          0.5 * step_ * (density_[k] + density_[next]) + (tail[half][next] - tail[half][k]);
      const double from = step_ * total[k], to = step_ * total[next];
      cubic[4 * j] = mass[k] + tail[half][k];
      cubic[4 * j + 1] = from;
      cubic[4 * j + 2] = 3 * rise - 2 * from - to;
      cubic[4 * j + 3] = from + to - 2 * rise;
    }
    std::size_t cell = 0;
    for (std::size_t g = 0; g <= kShares; ++g) {
      const double share = 0.5 * static_cast<double>(g) / static_cast<double>(kShares);
      while (cubic[4 * (cell + 1)] <= share) ++cell;
      guide_[half * (kShares + 1) + g] = static_cast<std::int32_t>(cell);
    }
  }
}

Chart::Tails Chart::warp(double y) const {
  const double z = (y - loc_) / scale_;
  const double tail = spill_ * upper_tail_of_t3(std::abs(z));
  Tails result{z < 0 ? tail : spill_ - tail, z < 0 ? spill_ - tail : tail,
               spill_ * base_density(Base::t3, std::abs(z)) / scale_};
  const double place = (y - first_) / step_;
  const auto last = static_cast<double>(density_.size() - 1);
  if (place <= 0 || place >= last) {
    (place <= 0 ? result.upper : result.lower) += 1 - spill_;
    return result;
  }
  const auto k = std::min(static_cast<std::size_t>(place), density_.size() - 2);
  const double d = place - static_cast<double>(k), rise = density_[k + 1] - density_[k];
  result.lower += left_[k] + step_ * d * (density_[k] + 0.5 * d * rise);
  result.upper += right_[k + 1] + step_ * (1 - d) * (density_[k + 1] - 0.5 * (1 - d) * rise);
  result.density += density_[k] + d * rise;
  return result;
}

void Chart::inverse_warp(const double* t, ptrdiff_t n, double* y) const {
  const std::size_t knots = density_.size();
  // Beyond the table, and where the base's share counts, the tail is solved one by one.
  const double least[2] = {std::max(kLeastWarp, 2 * cubics_[0]),
                           std::max(kLeastWarp, 2 * cubics_[4 * knots])};
  const double farther = std::max(least[0], least[1]);
  std::int64_t some_outer = 0;
  for (ptrdiff_t i = 0; i < n; ++i) some_outer |= std::abs(t[i]) >= farther ? 0 : 1;
  const WarpInverse inverse{{first_, first_ + step_ * static_cast<double>(knots - 1)},
                            step_,
                            static_cast<ptrdiff_t>(knots - 1),
                            cubics_.data(),
                            guide_.data()};
  if (some_outer == 0) return chart_kernels().warp_inverse(inverse, t, y, n);
  // y may be t.
  double given[kBlock];
  std::copy_n(t, n, given);
  chart_kernels().warp_inverse(inverse, given, y, n);
  for (ptrdiff_t i = 0; i < n; ++i) {
    const double v = given[i];
    if (std::abs(v) >= least[v < 0 ? 1 : 0]) continue;
    y[i] = std::isnan(v) ? kNaN : inverse_warp(v);
  }
}

// Safeguarded Newton for the nearer tail; the bracket shrinks every step.
double Chart::inverse_warp(double t) const {
  const bool low = t > 0;
  const double mass = 0.5 * std::abs(t);
  if (mass == 0) return std::signbit(t) ? kInf : -kInf;
  const auto tail = [&](double y) {
    const Tails tails = warp(y);
    return low ? tails.lower : tails.upper;
  };
  double width = std::max(scale_, step_ * static_cast<double>(density_.size()));
  double from = std::min(first_, loc_), to = std::max(first_ + width, loc_);
  for (; (low ? tail(from) : 1 - tail(from)) > (low ? mass : 1 - mass); width *= 2) from -= width;
  for (; (low ? tail(to) : -tail(to)) < (low ? mass : -mass); width *= 2) to += width;
  double y = 0.5 * (from + to);
  for (int i = 0; i < 200; ++i) {
    const double excess = (tail(y) - mass) * (low ? 1 : -1);
    if (excess == 0) break;
    (excess > 0 ? to : from) = y;
    const double density = warp(y).density;
    double next = y - excess / density;
    // Twice per four steps halve, so that the worst case stays short.
    if (!(next > from && next < to) || i % 4 == 3) next = 0.5 * (from + to);
    if (next == y || std::abs(next - y) <= 1e-16 * std::abs(y)) break;
    y = next;
  }
  return y;
}

}  // namespace kexue::density
