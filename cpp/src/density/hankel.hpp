// Newton's system of large orders, without its matrix; for fit.cpp alone.
//
//   (K + shift) d = r,   K d = d + H conj(d) + q <q, d>,   H_jk = h_{j+k},  q = i b
//
// over complex d taken as pairs of reals, where K is symmetric. H is applied by the transform:
// sum_k h_{j+k} conj(d_k) are coefficients of the product of sum h_m e^{i pi m t} with the
// conjugate of sum d_k e^{i pi k t}. O(n log n) a product; near an optimum all but a few
// eigenvalues of K are close to one, so that 10 to 50 products do.
#pragma once

#include <complex>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kexue/density/transform.hpp"
#include "split.hpp"

namespace kexue::density {

// out_k = sum_l h_{k+l} conj(b_l): the moments of w / conj(B) from those of w / conj(B)^2.
void hankel_product(const SplitVector& h, std::span<const std::complex<double>> b,
                    SplitVector& out);

class HankelSystem {
 public:
  explicit HankelSystem(std::ptrdiff_t n);

  // The 2 n - 1 numbers h, and b.
  void set(const double* h_re, const double* h_im, std::span<const std::complex<double>> b);

  // Conjugate gradients from 0 until the rest is `target` of r; where the curvature is not positive
  // they stop with what they have, an ascent direction in any case. r and d: real parts, then
  // imaginary ones.
  void solve(double shift, double target, std::span<const double> r, std::span<double> d);

 private:
  void apply(double shift, std::span<const double> d, std::span<double> out);

  std::ptrdiff_t n_;
  std::shared_ptr<const Transform> transform_;
  SplitArray h_, x_, scratch_;
  std::vector<double> q_, rest_, way_, image_;
};

}  // namespace kexue::density
