#include "hankel.hpp"

#include <algorithm>
#include <cmath>

namespace kexue::density {

using std::ptrdiff_t;

namespace {

constexpr ptrdiff_t kLanes = 8;  // the least; the product needs 3 n nodes
constexpr int kMostProducts = 400;

ptrdiff_t rows_for(ptrdiff_t n) {
  ptrdiff_t rows = Transform::kMinRows;
  while (rows < 2 * n - 1) rows *= 2;
  return rows;
}

double inner(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

void hankel_product(const SplitVector& h, std::span<const std::complex<double>> b,
                    SplitVector& out) {
  std::fill(out.re.begin(), out.re.end(), 0.0);
  std::fill(out.im.begin(), out.im.end(), 0.0);
  for (std::size_t l = 0; l < b.size(); ++l) {
    const double re = b[l].real(), im = b[l].imag();
    for (std::size_t k = 0; k < b.size(); ++k) {
      out.re[k] += h.re[k + l] * re + h.im[k + l] * im;
      out.im[k] += h.im[k + l] * re - h.re[k + l] * im;
    }
  }
}

HankelSystem::HankelSystem(ptrdiff_t n)
    : n_(n),
      transform_(Transform::get(rows_for(n), kLanes)),
      h_(transform_->nodes()),
      x_(transform_->nodes()),
      scratch_(transform_->nodes()),
      q_(static_cast<std::size_t>(2 * n)),
      rest_(q_.size()),
      way_(q_.size()),
      image_(q_.size()) {}

void HankelSystem::set(const double* h_re, const double* h_im,
                       std::span<const std::complex<double>> b) {
  transform_->values(h_re, h_im, 2 * n_ - 1, h_, scratch_);
  // The moments of a product on the nodes are their number times its coefficients.
  const double scale = 1 / static_cast<double>(transform_->nodes());
  for (ptrdiff_t j = 0; j < transform_->nodes(); ++j) {
    h_.re[j] *= scale;
    h_.im[j] *= scale;
  }
  for (std::size_t k = 0; k < b.size(); ++k) {
    q_[k] = -b[k].imag();
    q_[k + b.size()] = b[k].real();
  }
}

void HankelSystem::apply(double shift, std::span<const double> d, std::span<double> out) {
  transform_->values(d.data(), d.data() + n_, n_, x_, scratch_);
  for (ptrdiff_t j = 0; j < transform_->nodes(); ++j) {
    const double re = x_.re[j], im = x_.im[j];
    x_.re[j] = h_.re[j] * re + h_.im[j] * im;
    x_.im[j] = h_.im[j] * re - h_.re[j] * im;
  }
  transform_->moments(x_, scratch_, n_, out.data(), out.data() + n_);
  const double along = inner(q_, d);
  for (std::size_t i = 0; i < d.size(); ++i) out[i] += (1 + shift) * d[i] + along * q_[i];
}

void HankelSystem::solve(double shift, double target, std::span<const double> r,
                         std::span<double> d) {
  std::copy(r.begin(), r.end(), rest_.begin());
  std::copy(r.begin(), r.end(), way_.begin());
  std::fill(d.begin(), d.end(), 0.0);
  double square = inner(r, r);
  const double enough = target * target * square;
  for (int product = 0; product < kMostProducts && square > enough; ++product) {
    apply(shift, way_, image_);
    const double curvature = inner(way_, image_);
    if (!(curvature > 1e-12 * inner(way_, way_))) {
      if (product == 0) std::copy(r.begin(), r.end(), d.begin());
      return;
    }
    const double length = square / curvature;
    for (std::size_t i = 0; i < d.size(); ++i) {
      d[i] += length * way_[i];
      rest_[i] -= length * image_[i];
    }
    const double next = inner(rest_, rest_);
    for (std::size_t i = 0; i < d.size(); ++i) way_[i] = rest_[i] + next / square * way_[i];
    square = next;
  }
}

}  // namespace kexue::density
