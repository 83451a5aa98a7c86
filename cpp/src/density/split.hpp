// Complex vectors as two real ones, for the kernels.
#pragma once

#include <complex>
#include <cstddef>
#include <vector>

#include "kexue/core/buffer.hpp"
#include "kexue/density/fit.hpp"
#include "kexue/density/transform.hpp"

namespace kexue::density {

struct SplitVector {
  explicit SplitVector(std::ptrdiff_t n) : re(static_cast<std::size_t>(n)), im(re.size()) {}
  explicit SplitVector(const Coefficients& b) : re(b.size()), im(b.size()) {
    for (std::size_t k = 0; k < b.size(); ++k) {
      re[k] = b[k].real();
      im[k] = b[k].imag();
    }
  }
  std::complex<double> operator[](std::ptrdiff_t k) const {
    return {re[static_cast<std::size_t>(k)], im[static_cast<std::size_t>(k)]};
  }
  std::ptrdiff_t size() const { return static_cast<std::ptrdiff_t>(re.size()); }
  std::vector<double> re, im;
};

inline double power(const SplitArray& a, std::ptrdiff_t j) {
  return a.re[j] * a.re[j] + a.im[j] * a.im[j];
}

}  // namespace kexue::density
