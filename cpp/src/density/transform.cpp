#include "kexue/density/transform.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <numbers>
#include <utility>

#include "kexue/core/error.hpp"
#include "kexue/density/kernels.hpp"

namespace kexue::density {

using std::ptrdiff_t;

namespace {

// e^{2 pi i k / n}: the angle is reduced to an eighth of the circle, where it is exact.
void unit_root(ptrdiff_t k, ptrdiff_t n, double& re, double& im) {
  k %= n;
  const ptrdiff_t quarter = (4 * k) / n;
  ptrdiff_t rest = 4 * k - quarter * n;  // in quarters of n: angle = (pi/2) rest / n
  const bool mirrored = 2 * rest > n;
  if (mirrored) rest = n - rest;
  const double angle = std::numbers::pi / 2 * static_cast<double>(rest) / static_cast<double>(n);
  double c = std::cos(angle), s = std::sin(angle);
  if (mirrored) std::swap(c, s);
  const double table[4][2] = {{c, s}, {-s, c}, {-c, -s}, {s, -c}};
  re = table[quarter][0];
  im = table[quarter][1];
}

}  // namespace

Transform::Transform(ptrdiff_t rows, ptrdiff_t lanes)
    : rows_(rows), lanes_(lanes), root_(rows), turn_(rows * lanes) {
  require(rows >= 2 && (rows & (rows - 1)) == 0 && lanes % 8 == 0,
          "a transform needs a power of two of rows and eights of lanes");
  for (ptrdiff_t k = 0; k < rows; ++k) {
    unit_root(rows - k, rows, root_.re[k], root_.im[k]);
    for (ptrdiff_t r = 0; r < lanes; ++r) {
      unit_root(k * r, rows * lanes, turn_.re[k * lanes + r], turn_.im[k * lanes + r]);
    }
  }
}

std::shared_ptr<const Transform> Transform::get(ptrdiff_t rows, ptrdiff_t lanes) {
  static std::mutex mutex;
  static std::map<std::pair<ptrdiff_t, ptrdiff_t>, std::shared_ptr<const Transform>> cache;
  constexpr ptrdiff_t kLargest = ptrdiff_t{1} << 18;  // 4 MiB
  if (rows * lanes > kLargest) return std::make_shared<const Transform>(rows, lanes);
  const std::lock_guard lock(mutex);
  auto& entry = cache[{rows, lanes}];
  if (!entry) entry = std::make_shared<const Transform>(rows, lanes);
  return entry;
}

void Transform::values(const double* b_re, const double* b_im, ptrdiff_t m, SplitArray& out,
                       SplitArray& scratch) const {
  const FitKernels& kernels = fit_kernels();
  kernels.spread(b_re, b_im, m, lanes_, turn_.re.data(), turn_.im.data(), out.re.data(),
                 out.im.data());
  std::fill(out.re.data() + m * lanes_, out.re.data() + nodes(), 0.0);
  std::fill(out.im.data() + m * lanes_, out.im.data() + nodes(), 0.0);
  // The inverse transform is the forward one with the parts exchanged.
  if (!kernels.transform(rows_, lanes_, root_.re.data(), root_.im.data(), out.im.data(),
                         out.re.data(), scratch.im.data(), scratch.re.data())) {
    std::swap(out, scratch);
  }
}

void Transform::moments(SplitArray& v, SplitArray& scratch, ptrdiff_t m, double* out_re,
                        double* out_im) const {
  const FitKernels& kernels = fit_kernels();
  const bool in_v = kernels.transform(rows_, lanes_, root_.re.data(), root_.im.data(), v.re.data(),
                                      v.im.data(), scratch.re.data(), scratch.im.data());
  const SplitArray& from = in_v ? v : scratch;
  kernels.gather(from.re.data(), from.im.data(), m, lanes_, turn_.re.data(), turn_.im.data(),
                 out_re, out_im);
}

}  // namespace kexue::density
