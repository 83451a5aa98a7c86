#include "roughness.hpp"

#include <cstdlib>
#include <numbers>

namespace kexue::density {

using std::ptrdiff_t;

namespace {

constexpr double kPi = std::numbers::pi;

}  // namespace

void Roughness::set(const Coefficients& b) {
  if (!active()) return;
  c_.assign(b.size(), 0);
  value_ = 0;
  for (std::size_t n = 0; n < b.size(); ++n) {
    for (std::size_t k = 0; k + n < b.size(); ++k) c_[n] += b[k + n] * std::conj(b[k]);
    value_ += kPi * kPi * static_cast<double>(n * n) * std::norm(c_[n]);
  }
}

std::complex<double> Roughness::entry(ptrdiff_t n) const {
  const double factor = weight_ * kPi * kPi * static_cast<double>(n * n);
  const auto c = c_[static_cast<std::size_t>(std::abs(n))];
  return factor * (n >= 0 ? c : std::conj(c));
}

void Roughness::subtract_gradient(const Coefficients& b,
                                  std::vector<std::complex<double>>& r) const {
  const auto n = static_cast<ptrdiff_t>(b.size());
  for (ptrdiff_t j = 0; j < n; ++j) {
    std::complex<double> sum = 0;
    for (ptrdiff_t k = 0; k < n; ++k) sum += entry(j - k) * b[static_cast<std::size_t>(k)];
    const auto at = static_cast<std::size_t>(j);
    r[at] -= sum - 2 * penalty() * b[at];
  }
}

void Roughness::add_hessian(const Coefficients& b, double* a, ptrdiff_t stride) const {
  const auto size = static_cast<ptrdiff_t>(b.size());
  const ptrdiff_t m = 2 * size;
  for (ptrdiff_t i = 0; i < size; ++i) {
    for (ptrdiff_t j = 0; j < size; ++j) {
      const std::complex<double> s = entry(i - j);
      a[i * stride + j] += s.real();
      a[i * stride + size + j] -= s.imag();
      a[(size + i) * stride + size + j] += s.real();
    }
    a[i * stride + i] -= 2 * penalty();
    a[(size + i) * stride + size + i] -= 2 * penalty();
  }
  // Gauss and Newton's part: the gradients of Re c_n and Im c_n.
  std::vector<double> u(static_cast<std::size_t>(m)), v(u.size());
  for (ptrdiff_t n = 1; n < size; ++n) {
    const double factor = weight_ * kPi * kPi * static_cast<double>(n * n);
    for (ptrdiff_t k = 0; k < size; ++k) {
      const auto up = k + n < size ? b[static_cast<std::size_t>(k + n)] : 0.0;
      const auto down = k >= n ? b[static_cast<std::size_t>(k - n)] : 0.0;
      const auto re = static_cast<std::size_t>(k), im = static_cast<std::size_t>(size + k);
      u[re] = up.real() + down.real();
      u[im] = up.imag() + down.imag();
      v[re] = up.imag() - down.imag();
      v[im] = down.real() - up.real();
    }
    for (ptrdiff_t i = 0; i < m; ++i) {
      const double ui = factor * u[static_cast<std::size_t>(i)];
      const double vi = factor * v[static_cast<std::size_t>(i)];
      for (ptrdiff_t j = i; j < m; ++j) {
        a[i * stride + j] +=
            ui * u[static_cast<std::size_t>(j)] + vi * v[static_cast<std::size_t>(j)];
      }
    }
  }
}

}  // namespace kexue::density
