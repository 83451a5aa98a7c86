// Sums over the samples that a fit of one order asks for: the mean of log |B|^2, B = sum_k b_k
// e^{i pi k t}, and the moments of h / conj(B), h / conj(B)^2 and h / |B|^2. O(points n) each.
#pragma once

#include <cstddef>
#include <vector>

#include "kexue/core/buffer.hpp"
#include "kexue/density/compress.hpp"
#include "kexue/density/fit.hpp"
#include "split.hpp"

namespace kexue::density {

class Likelihood {
 public:
  // Points, or those of the moments coarsened to `cells`, made of weight 1 in all.
  Likelihood(const Measure& measure, std::ptrdiff_t n, std::ptrdiff_t cells);

  // sum h log |B|^2 for norm(b) = 1; the sums below are for this b.
  double evaluate(const SplitVector& b);
  // Moments of h / conj(B)^2, 2 n - 1 of them.
  void hankel_moments(SplitVector& out);
  // Moments of h / r for r = |B|^2 + margin; returns a bound on sum h log(r / |B|^2).
  double toeplitz_moments(double margin, SplitVector& out);
  // Moments of h alone.
  void plain_moments(SplitVector& out);
  // The best share in 0..1/2 of |top|^2 in a mixture with |B|^2; 0 if none gains.
  double best_share(const SplitVector& top);

 private:
  void amplitude(const SplitVector& b, SplitArray& out) const;
  void moments(const SplitArray& u, SplitVector& out);

  Points points_;
  std::ptrdiff_t nodes_;
  AlignedBuffer<double> sums_;
  SplitArray values_, weights_;
};

}  // namespace kexue::density
