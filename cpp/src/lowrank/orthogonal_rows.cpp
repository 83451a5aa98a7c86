#include "kexue/lowrank/orthogonal_rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kexue/core/pool.hpp"
#include "kexue/core/vectors.hpp"

namespace kexue::lowrank {
namespace {

using std::ptrdiff_t;

template <class T>
double squared_length(const T* x, ptrdiff_t n) {
  return std::real(inner(x, x, n));
}

// Makes rows p and q orthogonal, the first the longer one; `squares` are their squared lengths.
// Whether they were not yet.
template <class T>
bool rotate(T* p, T* q, ptrdiff_t n, double& p_squared, double& q_squared, double tolerance) {
  const T product = inner(p, q, n);
  const double size = std::abs(product);
  if (!(size > tolerance * std::sqrt(p_squared) * std::sqrt(q_squared))) return false;
  const double zeta = (q_squared - p_squared) / (2 * size);
  // The larger angle where the second row is the longer one: rows come into falling order.
  const double root = std::sqrt(1 + zeta * zeta);
  const double t = zeta > 0 ? -(zeta + root) : -1 / (root - zeta);
  const double cosine = 1 / std::sqrt(1 + t * t), sine = cosine * t;
  const T phase = conjugate(product) / size;  // makes the product real
  for (ptrdiff_t i = 0; i < n; ++i) {
    const T x = p[i], y = times(phase, q[i]);
    p[i] = cosine * x - sine * y;
    q[i] = sine * x + cosine * y;
  }
  p_squared -= t * size;
  q_squared = std::max(0.0, q_squared + t * size);
  return true;
}

}  // namespace

template <class T>
void orthogonalize_rows(MatrixView<T> x, std::span<double> lengths) {
  constexpr int kSweeps = 40;  // quadratic convergence: what is left then is rounding
  const ptrdiff_t k = x.rows, n = x.cols;
  const double tolerance =
      std::sqrt(static_cast<double>(n)) * std::numeric_limits<real_t<T>>::epsilon();
  const auto square = [&](ptrdiff_t i) -> double& { return lengths[static_cast<std::size_t>(i)]; };
  bool any = true;
  for (int sweep = 0; sweep < kSweeps && any; ++sweep) {
    any = false;
    for (ptrdiff_t i = 0; i < k; ++i) square(i) = squared_length(x.row(i), n);
    for (ptrdiff_t p = 0; p + 1 < k; ++p) {
      poll_interrupt();
      for (ptrdiff_t q = p + 1; q < k; ++q) {
        any |= rotate(&x(p, 0), &x(q, 0), n, square(p), square(q), tolerance);
      }
    }
  }
  for (ptrdiff_t i = 0; i < k; ++i) {
    ptrdiff_t longest = i;
    for (ptrdiff_t j = i; j < k; ++j) {
      square(j) = squared_length(x.row(j), n);
      if (square(j) > square(longest)) longest = j;
    }
    if (longest != i) {
      std::swap_ranges(&x(i, 0), &x(i, 0) + n, &x(longest, 0));
      std::swap(square(i), square(longest));
    }
    square(i) = std::sqrt(square(i));
  }
}

#define KEXUE_INSTANTIATE(T) template void orthogonalize_rows<T>(MatrixView<T>, std::span<double>);
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::lowrank
