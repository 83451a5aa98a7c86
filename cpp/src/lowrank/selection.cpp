#include "kexue/lowrank/selection.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kexue/core/pool.hpp"
#include "kexue/core/vectors.hpp"
#include "kexue/lowrank/directions.hpp"

namespace kexue::lowrank {

using std::ptrdiff_t;

namespace {

// What every step of osinsky_columns knows about the columns.
template <class T>
class Osinsky {
  using R = real_t<T>;

 public:
  Osinsky(MatrixView<const T> v, MatrixView<const T> e, double penalty, MatrixView<T> w,
          int workers)
      : v_(v),
        e_(e),
        w_(w),
        workers_(workers),
        directions_(v, workers),
        errors_(column_norms(e, workers)),
        shifts_(v.rows * e.rows),
        triangle_(v.rows * v.rows),
        column_(e.rows),
        coefficients_(v.rows),
        products_(v.cols) {
    double total = 0;
    for (double x : errors_) total += x;
    // Some penalty always: where E is zero the longest column of V is the best.
    const double least = std::numeric_limits<double>::min() / std::numeric_limits<R>::epsilon();
    penalty_ =
        std::max(penalty * total / static_cast<double>(std::max<ptrdiff_t>(1, v.cols)), least);
    for (double& x : errors_) x += penalty_;
  }

  std::vector<ptrdiff_t> run() {
    while (directions_.count() < v_.rows) {
      poll_interrupt();
      const ptrdiff_t j = choose();
      if (j < 0) break;
      step(j);
    }
    return directions_.chosen();
  }

 private:
  ptrdiff_t choose() {
    const auto ratio = [&](ptrdiff_t j) {
      return errors_[static_cast<std::size_t>(j)] / directions_.squared_norm(j);
    };
    // The columns left out hold a millionth of ||V||_F^2 = k - t at most.
    const double left = static_cast<double>(v_.rows - directions_.count());
    const double least = 1e-6 * left / static_cast<double>(v_.cols);
    return directions_.best([&](ptrdiff_t j) { return -ratio(j); }, least);
  }

  // Column j is chosen: e_i -= e_j w_i / nu for all i, where w = u^H V and nu = w_j.
  void step(ptrdiff_t j) {
    const ptrdiff_t t = directions_.count() - 1;  // rows of w before this one
    const R nu = directions_.length();
    residual_column(j, t);
    const double own = combine(j, t);
    sweep(t, nu, own);
    for (ptrdiff_t i = 0; i < e_.rows; ++i) shifts_[t * e_.rows + i] = column_[i] / nu;
    for (ptrdiff_t s = 0; s <= t; ++s) triangle_[s * v_.rows + t] = w_(s, j);
  }

  // column_ = e_j as it is now: the original less the shifts so far.
  void residual_column(ptrdiff_t j, ptrdiff_t t) {
    for (ptrdiff_t i = 0; i < e_.rows; ++i) column_[i] = e_(i, j);
    for (ptrdiff_t s = 0; s < t; ++s) coefficients_[s] = w_(s, j);
    subtract_rows<T>(t, coefficients_.data(), shifts_.data(), e_.rows, column_.data(), e_.rows);
  }

  // coefficients_ of the rows of w in e_j^H e_i, penalty included; returns ||e_j||^2.
  // The penalty's part of e_i is sqrt(penalty) times the unit vector i less those of the columns
  // chosen, weighted with their coefficients z = triangle^-1 w_i.
  double combine(ptrdiff_t j, ptrdiff_t t) {
    const ptrdiff_t k = v_.rows;
    std::vector<T> z(static_cast<std::size_t>(t));
    double norm = penalty_;
    for (ptrdiff_t s = t - 1; s >= 0; --s) {
      T sum = w_(s, j);
      for (ptrdiff_t r = s + 1; r < t; ++r) {
        sum -= times(triangle_[s * k + r], z[static_cast<std::size_t>(r)]);
      }
      z[static_cast<std::size_t>(s)] = sum / std::real(triangle_[s * k + s]);
    }
    for (T x : z) norm += penalty_ * squared_modulus(x);
    for (ptrdiff_t i = 0; i < e_.rows; ++i) norm += squared_modulus(column_[i]);
    for (ptrdiff_t s = 0; s < t; ++s) {  // z <- triangle^-H z
      T sum = z[static_cast<std::size_t>(s)];
      for (ptrdiff_t r = 0; r < s; ++r) {
        sum -= times(conjugate(triangle_[r * k + s]), z[static_cast<std::size_t>(r)]);
      }
      z[static_cast<std::size_t>(s)] = sum / std::real(triangle_[s * k + s]);
    }
    for (ptrdiff_t s = 0; s < t; ++s) {
      const T h = inner(column_.data(), shifts_.data() + s * e_.rows, e_.rows);
      coefficients_[s] = h - static_cast<R>(penalty_) * conjugate(z[static_cast<std::size_t>(s)]);
    }
    return norm;
  }

  // The new row of w, the products e_j^H e_i and the norms that follow from them.
  void sweep(ptrdiff_t t, R nu, double own) {
    for (ptrdiff_t i = 0; i < e_.rows; ++i) column_[i] = -conjugate(column_[i]);
    directions_.sweep([&](ptrdiff_t j0, ptrdiff_t width) {
      T* w = &w_(t, j0);
      T* d = products_.data() + j0;
      directions_.last_row(j0, width, w);
      std::fill_n(d, width, T(0));
      subtract_rows<T>(e_.rows, column_.data(), e_.data + j0, e_.row_stride, d, width);
      subtract_rows<T>(t, coefficients_.data(), w_.data + j0, w_.row_stride, d, width);
      const double inverse = 1 / static_cast<double>(nu);
      for (ptrdiff_t i = 0; i < width; ++i) {
        const double cross = std::real(times(conjugate(d[i]), w[i]));
        double& x = errors_[static_cast<std::size_t>(j0 + i)];
        x += inverse * (inverse * squared_modulus(w[i]) * own - 2 * cross);
        x = std::max(x, penalty_);
      }
    });
    for (ptrdiff_t i = 0; i < e_.rows; ++i) column_[i] = -conjugate(column_[i]);
  }

  MatrixView<const T> v_, e_;
  MatrixView<T> w_;
  int workers_;
  double penalty_ = 0;
  Directions<T> directions_;
  std::vector<double> errors_;  // ||e_i||^2, penalty included
  AlignedBuffer<T> shifts_;     // (k, rows of e): e_j / nu of every step
  AlignedBuffer<T> triangle_;   // w[:, S]
  AlignedBuffer<T> column_, coefficients_, products_;
};

}  // namespace

template <class T>
std::vector<ptrdiff_t> osinsky_columns(MatrixView<const T> v, MatrixView<const T> e, double penalty,
                                       MatrixView<T> w, int workers) {
  return Osinsky<T>(v, e, penalty, w, workers).run();
}

template <class T>
std::vector<ptrdiff_t> adaptive_columns(MatrixView<const T> v, Key key, int workers) {
  Directions<T> directions(v, workers);
  AlignedBuffer<T> row(v.cols);
  for (std::uint64_t draw = 0; directions.count() < v.rows; ++draw) {
    poll_interrupt();
    double total = 0;
    for (ptrdiff_t j = 0; j < v.cols; ++j) total += directions.squared_norm(j);
    const double target = uniform(key, draw) * total;
    double sum = 0;
    ptrdiff_t j = -1;
    for (ptrdiff_t i = 0; i < v.cols && (j < 0 || sum <= target); ++i) {
      if (directions.squared_norm(i) > 0) j = i;
      sum += directions.squared_norm(i);
    }
    if (j < 0) break;
    if (!directions.take(j)) continue;
    directions.sweep(
        [&](ptrdiff_t j0, ptrdiff_t width) { directions.last_row(j0, width, row.data() + j0); });
  }
  return directions.chosen();
}

template <class T>
std::vector<ptrdiff_t> elimination_pivots(MatrixView<const T> v, int workers) {
  const ptrdiff_t k = v.rows, n = v.cols, panels = (n + kSelectionPanel - 1) / kSelectionPanel;
  struct Largest {
    double squared = 0;
    ptrdiff_t column = -1;
  };
  std::vector<ptrdiff_t> pivots;
  std::vector<Largest> best(static_cast<std::size_t>(panels));
  std::vector<T> multiples;
  AlignedBuffer<T> rows(k * n);
  for (ptrdiff_t i = 0; i < k; ++i) {
    poll_interrupt();
    const auto t = static_cast<ptrdiff_t>(pivots.size());
    multiples.assign(static_cast<std::size_t>(t), T(0));
    for (ptrdiff_t s = 0; s < t; ++s) {
      const ptrdiff_t p = pivots[static_cast<std::size_t>(s)];
      T sum = v(i, p);
      for (ptrdiff_t r = 0; r < s; ++r) {
        sum -= times(multiples[static_cast<std::size_t>(r)], rows[r * n + p]);
      }
      multiples[static_cast<std::size_t>(s)] = sum / rows[s * n + p];
    }
    double original = 0;
    for (ptrdiff_t j = 0; j < n; ++j) original = std::max(original, squared_modulus(v(i, j)));
    T* row = rows.data() + t * n;
    parallel_for(
        panels,
        [&](ptrdiff_t panel, int) {
          const ptrdiff_t j0 = panel * kSelectionPanel;
          const ptrdiff_t width = std::min(kSelectionPanel, n - j0);
          for (ptrdiff_t j = j0; j < j0 + width; ++j) row[j] = v(i, j);
          subtract_rows<T>(t, multiples.data(), rows.data() + j0, n, row + j0, width);
          for (ptrdiff_t p : pivots) {
            if (p >= j0 && p < j0 + width) row[p] = T(0);
          }
          Largest found;
          for (ptrdiff_t j = j0; j < j0 + width; ++j) {
            const double squared = squared_modulus(row[j]);
            if (squared > found.squared) found = {squared, j};
          }
          best[static_cast<std::size_t>(panel)] = found;
        },
        t * n < 50000 ? 1 : workers);
    Largest found;
    for (const Largest& candidate : best) {
      if (candidate.squared > found.squared) found = candidate;
    }
    const double rounding = static_cast<double>(k) * std::numeric_limits<real_t<T>>::epsilon();
    if (found.squared > rounding * rounding * original) pivots.push_back(found.column);
  }
  return pivots;
}

template <class T>
std::vector<ptrdiff_t> cholesky_steps(MatrixView<const T> candidate_columns,
                                      std::span<const ptrdiff_t> candidates,
                                      std::span<const double> uniforms, ptrdiff_t rank,
                                      MatrixView<T> f, std::span<double> diagonal, int workers) {
  using R = real_t<T>;
  const ptrdiff_t n = f.cols, panels = (n + kSelectionPanel - 1) / kSelectionPanel;
  const std::vector<double> before(diagonal.begin(), diagonal.end());
  std::vector<ptrdiff_t> accepted;
  std::vector<T> multiples;
  for (std::size_t c = 0; c < candidates.size() && rank < f.rows; ++c) {
    poll_interrupt();
    const ptrdiff_t p = candidates[c];
    const auto place = static_cast<std::size_t>(p);
    if (!(uniforms[c] * before[place] < diagonal[place])) continue;
    multiples.resize(static_cast<std::size_t>(rank));
    const auto column = static_cast<ptrdiff_t>(c);
    T own = candidate_columns(p, column);
    for (ptrdiff_t s = 0; s < rank; ++s) {
      multiples[static_cast<std::size_t>(s)] = conjugate(f(s, p));
      own -= static_cast<R>(squared_modulus(f(s, p)));
    }
    if (!(std::real(own) > 0)) {  // rounding: nothing is left of it
      diagonal[place] = 0;
      continue;
    }
    const R inverse = R(1) / std::sqrt(std::real(own));
    T* row = &f(rank, 0);
    parallel_for(
        panels,
        [&](ptrdiff_t panel, int) {
          const ptrdiff_t j0 = panel * kSelectionPanel;
          const ptrdiff_t width = std::min(kSelectionPanel, n - j0);
          for (ptrdiff_t j = j0; j < j0 + width; ++j) {
            row[j] = conjugate(candidate_columns(j, column));
          }
          subtract_rows<T>(rank, multiples.data(), f.data + j0, f.row_stride, row + j0, width);
          for (ptrdiff_t j = j0; j < j0 + width; ++j) {
            row[j] *= inverse;
            diagonal[static_cast<std::size_t>(j)] -= squared_modulus(row[j]);
          }
        },
        rank * n < 50000 ? 1 : workers);
    diagonal[place] = 0;
    accepted.push_back(p);
    ++rank;
  }
  return accepted;
}

#define KEXUE_INSTANTIATE(T)                                                                   \
  template std::vector<ptrdiff_t> osinsky_columns<T>(MatrixView<const T>, MatrixView<const T>, \
                                                     double, MatrixView<T>, int);              \
  template std::vector<ptrdiff_t> adaptive_columns<T>(MatrixView<const T>, Key, int);          \
  template std::vector<ptrdiff_t> elimination_pivots<T>(MatrixView<const T>, int);             \
  template std::vector<ptrdiff_t> cholesky_steps<T>(                                           \
      MatrixView<const T>, std::span<const ptrdiff_t>, std::span<const double>, ptrdiff_t,     \
      MatrixView<T>, std::span<double>, int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::lowrank
