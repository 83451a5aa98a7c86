#include <algorithm>
#include <cmath>

#include "kexue/core/pool.hpp"
#include "kexue/core/vectors.hpp"
#include "kexue/lowrank/directions.hpp"
#include "kexue/lowrank/gram.hpp"
#include "kexue/lowrank/selection.hpp"

namespace kexue::lowrank {
namespace {

using std::ptrdiff_t;

// With G = R R^H of the residual, taking column j removes r_j^H G r_j / ||r_j||^2. If q is its
// direction, h = q^H R and f = (G q)^H R, every r_i^H G r_i falls by
// 2 Re(conj(h_i) f_i) - |h_i|^2 q^H G q.
template <class T>
class TotalResidual {
  using R = real_t<T>;

 public:
  TotalResidual(MatrixView<const T> r, int workers)
      : rows_(r.rows),
        n_(r.cols),
        workers_(workers),
        residual_(rows_ * n_),
        products_(rows_ * n_),
        gram_(rows_ * rows_),
        gram_direction_(rows_),
        taken_(rows_ * n_),
        forces_(n_) {
    for (ptrdiff_t i = 0; i < rows_; ++i) std::copy_n(r.row(i), n_, residual_.data() + i * n_);
  }

  std::vector<ptrdiff_t> run(ptrdiff_t count) {
    std::vector<ptrdiff_t> chosen;
    while (static_cast<ptrdiff_t>(chosen.size()) < count) {
      const std::size_t before = chosen.size();
      if (!stretch(count, chosen) || chosen.size() == before) break;
      form_residual(chosen);
    }
    return chosen;
  }

 private:
  MatrixView<T> residual() const { return row_major(residual_.data(), rows_, n_); }

  // Columns until downdates have cancelled too much (true) or nothing is left (false).
  bool stretch(ptrdiff_t count, std::vector<ptrdiff_t>& chosen) {
    prepare();
    Directions<T> directions(residual(), workers_);
    double first = 0;
    for (double x : masses_) first = std::max(first, x);
    // The masses are sums of fourth powers; half of their digits is a quarter of those of a length.
    const double root = std::sqrt(static_cast<double>(std::numeric_limits<R>::epsilon()));
    double longest = 0;
    for (ptrdiff_t j = 0; j < n_; ++j) longest = std::max(longest, directions.squared_norm(j));
    if (base_ < 0) base_ = longest;
    const double rounding = 4 * static_cast<double>(std::numeric_limits<R>::epsilon());
    const double least = std::max(rounding * rounding * base_, 1e-2 * root * longest);
    while (static_cast<ptrdiff_t>(chosen.size()) < count) {
      poll_interrupt();
      double largest = 0;
      for (ptrdiff_t j = 0; j < n_; ++j) {
        if (directions.squared_norm(j) > 0) {
          largest = std::max(largest, masses_[static_cast<std::size_t>(j)]);
        }
      }
      if (directions.count() == rows_) return false;
      if (largest < root * first && directions.count() > 0) break;
      const ptrdiff_t j = directions.best(
          [&](ptrdiff_t i) {
            return masses_[static_cast<std::size_t>(i)] / directions.squared_norm(i);
          },
          least);
      if (j < 0) {
        if (directions.count() == 0) return false;
        break;
      }
      chosen.push_back(j);
      update(directions);
    }
    stretch_rows_ = directions.count();
    basis_ = directions.basis_copy();
    return true;
  }

  // G of the residual held, and r_i^H G r_i.
  void prepare() {
    AlignedBuffer<wide_t<T>> wide(rows_ * rows_);
    gram<T>(residual(), row_major(wide.data(), rows_, rows_), workers_);
    for (ptrdiff_t i = 0; i < rows_ * rows_; ++i) gram_[i] = static_cast<T>(wide[i]);
    gemm<T>(R(1), row_major<const T>(gram_.data(), rows_, rows_), false, residual(), false,
            row_major(products_.data(), rows_, n_), workers_);
    masses_.assign(static_cast<std::size_t>(n_), 0.0);
    for (ptrdiff_t i = 0; i < rows_; ++i) {
      const T *x = residual_.data() + i * n_, *y = products_.data() + i * n_;
      for (ptrdiff_t j = 0; j < n_; ++j) {
        masses_[static_cast<std::size_t>(j)] += std::real(times(conjugate(x[j]), y[j]));
      }
    }
  }

  void update(Directions<T>& directions) {
    const ptrdiff_t t = directions.count() - 1;
    const T* q = directions.last();
    // g = P G q: rows of the residual in the directions taken before do not count.
    for (ptrdiff_t i = 0; i < rows_; ++i) {
      T sum = 0;
      for (ptrdiff_t s = 0; s < rows_; ++s) sum += times(gram_[i * rows_ + s], q[s]);
      gram_direction_[i] = sum;
    }
    for (int pass = 0; pass < 2; ++pass) {
      for (ptrdiff_t s = 0; s < t; ++s) {
        const T* u = directions.basis().row(s);
        const T h = inner(u, gram_direction_.data(), rows_);
        subtract_rows<T>(1, &h, u, rows_, gram_direction_.data(), rows_);
      }
    }
    const double own = std::real(inner(q, gram_direction_.data(), rows_));
    for (ptrdiff_t i = 0; i < rows_; ++i) gram_direction_[i] = -conjugate(gram_direction_[i]);
    directions.sweep([&](ptrdiff_t j0, ptrdiff_t width) {
      T* h = taken_.data() + t * n_ + j0;
      T* f = forces_.data() + j0;
      directions.last_row(j0, width, h);
      std::fill_n(f, width, T(0));
      subtract_rows<T>(rows_, gram_direction_.data(), residual_.data() + j0, n_, f, width);
      for (ptrdiff_t i = 0; i < width; ++i) {
        double& mass = masses_[static_cast<std::size_t>(j0 + i)];
        mass += squared_modulus(h[i]) * own - 2 * std::real(times(conjugate(h[i]), f[i]));
        mass = std::max(mass, 0.0);
      }
    });
  }

  // The residual less the directions of the last stretch; chosen columns become zero.
  void form_residual(const std::vector<ptrdiff_t>& chosen) {
    const auto basis = row_major<const T>(basis_.data(), stretch_rows_, rows_);
    const auto taken = row_major<const T>(taken_.data(), stretch_rows_, n_);
    gemm<T>(R(-1), basis.transposed(), false, taken, true, residual(), workers_);
    for (ptrdiff_t i = 0; i < rows_; ++i) {
      for (ptrdiff_t j : chosen) residual_[i * n_ + j] = T(0);
    }
  }

  ptrdiff_t rows_, n_, stretch_rows_ = 0;
  int workers_;
  double base_ = -1;  // the longest column of all, squared
  AlignedBuffer<T> residual_, products_, gram_, gram_direction_;
  AlignedBuffer<T> taken_;  // rows of the residual in the directions of a stretch
  AlignedBuffer<T> forces_, basis_;
  std::vector<double> masses_;
};

}  // namespace

template <class T>
std::vector<ptrdiff_t> total_residual_columns(MatrixView<const T> r, ptrdiff_t count, int workers) {
  return TotalResidual<T>(r, workers).run(count);
}

#define KEXUE_INSTANTIATE(T) \
  template std::vector<ptrdiff_t> total_residual_columns<T>(MatrixView<const T>, ptrdiff_t, int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::lowrank
