// Minimum-phase factors b of densities on an equispaced grid, |sum_k b_k e^{i pi k t}|^2 = p, by
// the cepstrum: the logarithm's analytic part, exponentiated and cut to n coefficients.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "kexue/density/fit.hpp"
#include "split.hpp"

namespace kexue::density {

class SpectralFactor {
 public:
  explicit SpectralFactor(std::ptrdiff_t n);

  // Of the density with these moments under Fejer's taper, clipped; moments are destroyed.
  Coefficients tapered(SplitVector& moments);
  // Of (1 - share) |b|^2 + share |top|^2.
  Coefficients mixture(const SplitVector& b, const SplitVector& top, double share);

 private:
  Coefficients factor(const std::vector<double>& p);

  std::ptrdiff_t n_;
  std::shared_ptr<const Transform> transform_;
  std::ptrdiff_t nodes_;
  SplitArray values_, others_, scratch_;
};

// b / norm(b)
void normalize(Coefficients& b);

}  // namespace kexue::density
