// The penalty of a fit: the integral of p'^2 over the period, p = |sum b_k e^{i pi k t}|^2 / 2.
//
//   R(b) = pi^2 sum_{n >= 1} n^2 |c_n|^2,   c_n = sum_k b_{k+n} conj(b_k),   norm(b) = 1
//
// Half its gradient by conj(b) is a Toeplitz matrix times b, with entries pi^2 n^2 c_n.
#pragma once

#include <complex>
#include <cstddef>
#include <vector>

#include "kexue/density/fit.hpp"

namespace kexue::density {

class Roughness {
 public:
  explicit Roughness(double weight) : weight_(weight) {}

  bool active() const { return weight_ > 0; }
  // weight R of the last b.
  double penalty() const { return weight_ * value_; }

  // Takes b; O(n^2), and nothing without weight.
  void set(const Coefficients& b);
  // weight times the Toeplitz entry n of the half gradient.
  std::complex<double> entry(std::ptrdiff_t n) const;
  // r -= weight times half the gradient on the sphere.
  void subtract_gradient(const Coefficients& b, std::vector<std::complex<double>>& r) const;
  // Adds weight times half the Hessian, Gauss and Newton's part included, to the upper triangle of
  // a system in real parts, then imaginary ones, with rows `stride` apart.
  void add_hessian(const Coefficients& b, double* a, std::ptrdiff_t stride) const;

 private:
  double weight_, value_ = 0;
  Coefficients c_;
};

}  // namespace kexue::density
