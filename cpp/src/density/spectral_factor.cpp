#include "spectral_factor.hpp"

#include <algorithm>
#include <cmath>

#include "kexue/core/elementary.hpp"

namespace kexue::density {

using std::ptrdiff_t;

namespace {

constexpr ptrdiff_t kLanes = 16;

ptrdiff_t transform_rows(ptrdiff_t n) {
  ptrdiff_t rows = Transform::kMinRows;
  while (rows < 2 * n - 1) rows *= 2;
  return rows;
}

}  // namespace

void normalize(Coefficients& b) {
  double sum = 0;
  for (const auto& z : b) sum += std::norm(z);
  const double scale = 1 / std::sqrt(sum);
  for (auto& z : b) z *= scale;
}

SpectralFactor::SpectralFactor(ptrdiff_t n)
    : n_(n),
      transform_(Transform::get(transform_rows(n), kLanes)),
      nodes_(transform_->nodes()),
      values_(nodes_),
      others_(nodes_),
      scratch_(nodes_) {}

Coefficients SpectralFactor::tapered(SplitVector& moments) {
  for (ptrdiff_t k = 0; k < n_; ++k) {
    const double taper =
        (k == 0 ? 0.5 : 1.0) * (1 - static_cast<double>(k) / static_cast<double>(n_));
    moments.re[static_cast<std::size_t>(k)] *= taper;
    moments.im[static_cast<std::size_t>(k)] *= taper;
  }
  transform_->values(moments.re.data(), moments.im.data(), n_, values_, scratch_);
  // The mean of 2 Re is 1.
  std::vector<double> p(static_cast<std::size_t>(nodes_));
  for (ptrdiff_t j = 0; j < nodes_; ++j) {
    p[static_cast<std::size_t>(j)] = std::max(2 * values_.re[j], 1e-3);
  }
  return factor(p);
}

Coefficients SpectralFactor::mixture(const SplitVector& b, const SplitVector& top, double share) {
  transform_->values(b.re.data(), b.im.data(), n_, values_, scratch_);
  transform_->values(top.re.data(), top.im.data(), n_, others_, scratch_);
  std::vector<double> p(static_cast<std::size_t>(nodes_));
  for (ptrdiff_t j = 0; j < nodes_; ++j) {
    p[static_cast<std::size_t>(j)] =
        (1 - share) * power(values_, j) + share * power(others_, j) + 1e-14;
  }
  return factor(p);
}

Coefficients SpectralFactor::factor(const std::vector<double>& p) {
  const ptrdiff_t m = std::min(transform_->rows(), 4 * n_);
  std::copy_n(p.data(), nodes_, others_.re.data());
  elementary_kernels().f64.log(others_.re.data(), others_.re.data(), nodes_);
  std::fill_n(others_.im.data(), nodes_, 0.0);
  SplitVector cepstrum(m);
  transform_->moments(others_, scratch_, m, cepstrum.re.data(), cepstrum.im.data());
  for (ptrdiff_t k = 0; k < m; ++k) {
    const double scale = (k == 0 ? 0.5 : 1.0) / static_cast<double>(nodes_);
    cepstrum.re[static_cast<std::size_t>(k)] *= scale;
    cepstrum.im[static_cast<std::size_t>(k)] *= scale;
  }
  transform_->values(cepstrum.re.data(), cepstrum.im.data(), m, others_, scratch_);
  elementary_kernels().f64.exp(others_.re.data(), others_.re.data(), nodes_);
  for (ptrdiff_t j = 0; j < nodes_; ++j) {
    const double size = others_.re[j], angle = others_.im[j];
    others_.re[j] = size * std::cos(angle);
    others_.im[j] = size * std::sin(angle);
  }
  SplitVector parts(n_);
  transform_->moments(others_, scratch_, n_, parts.re.data(), parts.im.data());
  Coefficients b(static_cast<std::size_t>(n_));
  for (ptrdiff_t k = 0; k < n_; ++k) b[static_cast<std::size_t>(k)] = parts[k];
  normalize(b);
  return b;
}

bool is_minimum_phase(const Coefficients& b) {
  // b(z) and its reciprocal polynomial: a zero inside shows as |last| > |first|.
  Coefficients p = b;
  while (p.size() > 1) {
    const auto first = p.front(), last = p.back();
    if (std::norm(last) > std::norm(first)) return false;
    Coefficients next(p.size() - 1);
    for (std::size_t k = 0; k < next.size(); ++k) {
      next[k] = std::conj(first) * p[k] - last * std::conj(p[p.size() - 1 - k]);
    }
    const double size = std::abs(next[0]);
    if (!(size > 0)) return true;
    for (auto& z : next) z /= size;
    p = next;
  }
  return true;
}

}  // namespace kexue::density
