// Over-relaxation of both marginals of Sinkhorn's iteration, y = (1 - omega) y + omega / sum (Young
// 1954; Thibault, Chizat, Dossal & Papadakis 2021): if plain passes shrink the error by `rate`, the
// best omega is 2 / (1 + sqrt(1 - rate)), and passes then shrink it by omega - 1 in the end.
// Of internal linkage, because kernels include this.
#pragma once

#include <cmath>

namespace kexue::transport {

[[maybe_unused]] static double best_relaxation(double rate) {
  constexpr double kFastest = 1e-6, kSlowest = 0.9999;
  rate = rate > kFastest ? rate : kFastest;
  rate = rate < kSlowest ? rate : kSlowest;
  return 2 / (1 + std::sqrt(1 - rate));
}

// The omega to go on with where relaxed passes shrink the error by `rate`: if that is above
// omega - 1, the best for the plain rate behind it, but never less.
[[maybe_unused]] static double better_relaxation(double omega, double rate) {
  if (!(rate > omega - 1)) return omega;
  const double root = rate + omega - 1;
  const double better = best_relaxation(root * root / (rate * omega * omega));
  return better > omega ? better : omega;
}

}  // namespace kexue::transport
