#include "kexue/simplex/quadratic.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kexue/core/blas.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/index.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/core/vectors.hpp"
#include "kexue/simplex/box_projection.hpp"

namespace kexue::simplex {
namespace {

using std::ptrdiff_t;
using Vector = std::vector<double>;
using Indices = std::vector<ptrdiff_t>;

// Columns of a gradient that one chunk computes.
constexpr ptrdiff_t kColumns = 2048;
// A reduced matrix that needs more than this on its diagonal, relative to it, is not convex.
constexpr double kMaxJitter = 1e-7;

ptrdiff_t size_of(const auto& v) { return static_cast<ptrdiff_t>(v.size()); }

// y = sum_k coefficients[k] rows[indices[k]], columns shared among the workers.
void combine(MatrixView<const double> rows, const Indices& indices, const Vector& coefficients,
             Vector& y, int workers) {
  const ptrdiff_t n = rows.cols;
  parallel_for((n + kColumns - 1) / kColumns,
               [&](ptrdiff_t chunk, int) {
                 const ptrdiff_t j = chunk * kColumns, width = std::min(kColumns, n - j);
                 std::fill_n(y.data() + j, width, 0.0);
                 for (ptrdiff_t k = 0; k < size_of(indices); ++k) {
                   const double minus = -coefficients[at(k)];
                   subtract_rows(1, &minus, rows.row(indices[at(k)]) + j, width, y.data() + j,
                                 width);
                 }
               },
               n * size_of(indices) < 50000 ? 1 : workers);
}

// The two objectives: gradient at the point with entries `part` on `face`, a bound on its terms
// (times the radius), the value, and entries of the Hessian.
struct Quadratic {
  MatrixView<const double> q;
  std::span<const double> c;
  int workers;
  static constexpr bool kConvex = false;

  ptrdiff_t n() const { return q.rows; }
  double hessian(ptrdiff_t i, ptrdiff_t j) const { return q(i, j); }
  double linear(ptrdiff_t i) const { return c[at(i)]; }
  void gradient(const Indices& face, const Vector& part, Vector& g) const {
    combine(q, face, part, g, workers);
    for (ptrdiff_t i = 0; i < n(); ++i) g[at(i)] += c[at(i)];
  }
  double scale(double radius) const {
    double largest = 0, linear = 0;
    for (ptrdiff_t i = 0; i < n(); ++i) {
      for (ptrdiff_t j = 0; j <= i; ++j) largest = std::max(largest, std::abs(q(i, j)));
      linear = std::max(linear, std::abs(c[at(i)]));
    }
    return radius * (radius * largest + linear);
  }
  double value(const Indices& face, const Vector& part, const Vector& g) const {
    double f = 0;
    for (ptrdiff_t k = 0; k < size_of(face); ++k) {
      f += part[at(k)] * (g[at(face[at(k)])] + c[at(face[at(k)])]) / 2;
    }
    return f;
  }
};

struct LeastSquares {
  MatrixView<const double> columns;
  std::span<const double> b;
  int workers;
  Vector linear_term, residual, fitted;
  double longest = 0;  // column
  static constexpr bool kConvex = true;

  LeastSquares(MatrixView<const double> a, std::span<const double> target, int n_workers)
      : columns(a),
        b(target),
        workers(n_workers),
        linear_term(at(a.rows)),
        residual(at(a.cols)),
        fitted(at(a.cols)) {
    for (ptrdiff_t i = 0; i < a.rows; ++i) {
      linear_term[at(i)] = -inner(a.row(i), b.data(), a.cols);
      longest = std::max(longest, hessian(i, i));
    }
    longest = std::sqrt(longest);
  }

  ptrdiff_t n() const { return columns.rows; }
  double hessian(ptrdiff_t i, ptrdiff_t j) const {
    return inner(columns.row(i), columns.row(j), columns.cols);
  }
  double linear(ptrdiff_t i) const { return linear_term[at(i)]; }
  void gradient(const Indices& face, const Vector& part, Vector& g) {
    const ptrdiff_t m = columns.cols;
    combine(columns, face, part, fitted, workers);
    for (ptrdiff_t k = 0; k < m; ++k) residual[at(k)] = fitted[at(k)] - b[at(k)];
    constexpr ptrdiff_t kRows = 64;
    parallel_for((n() + kRows - 1) / kRows,
                 [&](ptrdiff_t chunk, int) {
                   const ptrdiff_t end = std::min(n(), (chunk + 1) * kRows);
                   for (ptrdiff_t i = chunk * kRows; i < end; ++i) {
                     g[at(i)] = inner(columns.row(i), residual.data(), m);
                   }
                 },
                 n() * m < 50000 ? 1 : workers);
  }
  double scale(double radius) const {
    return radius * longest *
           (radius * longest + std::sqrt(inner(b.data(), b.data(), columns.cols)));
  }
  double value(const Indices&, const Vector&, const Vector&) const {
    return inner(residual.data(), residual.data(), columns.cols) / 2;
  }
};

// The quadratic on a face: entries S of p, the others zero.
class Face {
 public:
  Indices indices;
  Vector part;  // p on the face

  template <class Objective>
  void add(const Objective& f, const Indices& more) {
    const ptrdiff_t old = size_of(indices), s = old + size_of(more);
    Vector grown(at(s * s));
    for (ptrdiff_t i = 0; i < old; ++i) {
      std::copy_n(hessian_.data() + i * old, old, grown.data() + i * s);
    }
    indices.insert(indices.end(), more.begin(), more.end());
    part.resize(at(s), 0.0);
    for (ptrdiff_t i = old; i < s; ++i) {
      for (ptrdiff_t j = 0; j <= i; ++j) {
        grown[at(i * s + j)] = grown[at(j * s + i)] = f.hessian(indices[at(i)], indices[at(j)]);
      }
      linear_.push_back(f.linear(indices[at(i)]));
    }
    hessian_ = std::move(grown);
    factored_ = false;
  }

  // Keeps the entries for which keep[k] holds.
  void keep_only(const std::vector<char>& keep) {
    const ptrdiff_t s = size_of(indices);
    ptrdiff_t t = 0;
    for (ptrdiff_t i = 0, to = 0; i < s; ++i) {
      if (!keep[at(i)]) continue;
      for (ptrdiff_t j = 0; j < s; ++j) {
        if (keep[at(j)]) hessian_[at(to++)] = hessian_[at(i * s + j)];
      }
      indices[at(t)] = indices[at(i)];
      part[at(t)] = part[at(i)];
      linear_[at(t++)] = linear_[at(i)];
    }
    indices.resize(at(t));
    part.resize(at(t));
    linear_.resize(at(t));
    hessian_.resize(at(t * t));
    factored_ = false;
  }

  Vector gradient(const Vector& point) const {
    Vector g = linear_;
    const ptrdiff_t s = size_of(indices);
    for (ptrdiff_t i = 0; i < s; ++i) {
      g[at(i)] += inner(hessian_.data() + i * s, point.data(), s);
    }
    return g;
  }
  // f(point) - f(part): no difference of large numbers.
  double change(const Vector& point, const Vector& g) const {
    Vector d = point;
    for (ptrdiff_t i = 0; i < size_of(d); ++i) d[at(i)] -= part[at(i)];
    const Vector curved = gradient(d);
    double total = 0;
    for (ptrdiff_t i = 0; i < size_of(d); ++i) {
      total += d[at(i)] * (g[at(i)] + (curved[at(i)] - linear_[at(i)]) / 2);
    }
    return total;
  }

  // The Newton step of sum zero for the gradient g on the face.
  Vector step(const Vector& g, bool convex) {
    const ptrdiff_t s = size_of(indices);
    Vector d(at(s), 0.0);
    if (s == 1) return d;
    if (!factored_) factor(convex);
    Vector right(at(s - 1));
    for (ptrdiff_t i = 0; i < s - 1; ++i) right[at(i)] = g[at(pivot_)] - g[at(other(i))];
    using blas::Op;
    for (const Op op : {Op::none, Op::transpose}) {
      blas::trsm<double>(blas::Side::left, blas::Uplo::lower, op, blas::Diag::general, s - 1, 1,
                         1.0, factor_.data(), s - 1, right.data(), s - 1);
    }
    for (ptrdiff_t i = 0; i < s - 1; ++i) {
      d[at(other(i))] = right[at(i)];
      d[at(pivot_)] -= right[at(i)];
    }
    return d;
  }
  bool jittered() const { return jitter_ > 0; }

 private:
  ptrdiff_t other(ptrdiff_t i) const { return i < pivot_ ? i : i + 1; }

  // Cholesky of the Hessian with the largest entry of p eliminated.
  void factor(bool convex) {
    const ptrdiff_t s = size_of(indices), r = s - 1;
    pivot_ = std::max_element(part.begin(), part.end()) - part.begin();
    const auto h = [&](ptrdiff_t i, ptrdiff_t j) { return hessian_[at(i * s + j)]; };
    Vector reduced(at(r * r));
    double largest = 0;
    for (ptrdiff_t i = 0; i < r; ++i) {
      const ptrdiff_t a = other(i);
      for (ptrdiff_t j = 0; j <= i; ++j) {
        const ptrdiff_t b = other(j);
        reduced[at(j * r + i)] = (h(a, b) - h(a, pivot_)) - (h(pivot_, b) - h(pivot_, pivot_));
      }
      largest = std::max({largest, std::abs(h(a, a)), std::abs(h(pivot_, pivot_)),
                          std::abs(reduced[at(i * r + i)])});
    }
    for (jitter_ = 0;; jitter_ = std::max(100 * jitter_, 1e-15 * static_cast<double>(s))) {
      if (jitter_ > kMaxJitter && !convex) {
        throw numerical_error("the quadratic has negative curvature on the simplex");
      }
      factor_ = reduced;
      // A zero matrix is factored as the identity: steps go until a bound.
      const double shift = jitter_ * (largest > 0 ? largest : 1.0);
      for (ptrdiff_t i = 0; i < r; ++i) factor_[at(i * r + i)] += shift;
      if (lapack::potrf<double>(blas::Uplo::lower, r, factor_.data(), r) == r) break;
    }
    factored_ = true;
  }

  Vector linear_, hessian_, factor_;
  ptrdiff_t pivot_ = 0;
  double jitter_ = 0;
  bool factored_ = false;
};

// Moves to the minimum of the face, dropping entries on the way. Returns the number of steps.
ptrdiff_t minimize_on_face(Face& face, double radius, bool convex, ptrdiff_t max_steps) {
  int refinements = 0;
  for (ptrdiff_t count = 1;; ++count) {
    poll_interrupt();
    const ptrdiff_t s = size_of(face.indices);
    const Vector g = face.gradient(face.part);
    const Vector d = face.step(g, convex);
    Vector target = face.part;
    double length = 1, size = 0;
    for (ptrdiff_t i = 0; i < s; ++i) {
      target[at(i)] += d[at(i)];
      size = std::max(size, std::abs(d[at(i)]));
      if (target[at(i)] < 0) length = std::min(length, face.part[at(i)] / -d[at(i)]);
    }
    if (count >= max_steps || size <= 0x1p-53 * radius) return count;
    if (length >= 1) {
      face.part = target;
      // A second step takes rounding back; a jittered factor needs more of them.
      if (++refinements >= (face.jittered() ? 30 : 2)) return count;
      continue;
    }
    const BoxRow<double> row{
        target.data(), nullptr, nullptr, nullptr, 0.0, std::numeric_limits<double>::infinity(), s};
    const BoxRoot root = box_root(row, radius, 0.0);
    Vector clipped(at(s));
    std::vector<char> keep(at(s), 1);
    for (ptrdiff_t i = 0; i < s; ++i) {
      clipped[at(i)] = std::max(0.0, (target[at(i)] - root.high) - root.low);
    }
    if (face.change(clipped, g) < 0) {
      face.part = clipped;
    } else {
      for (ptrdiff_t i = 0; i < s; ++i) {
        const bool blocks = target[at(i)] < 0 && face.part[at(i)] / -d[at(i)] <= length;
        face.part[at(i)] = blocks ? 0 : std::max(0.0, face.part[at(i)] + length * d[at(i)]);
      }
    }
    // Entries that have just joined, and cannot move yet, stay.
    for (ptrdiff_t i = 0; i < s; ++i) {
      keep[at(i)] = face.part[at(i)] > 0 || (length == 0 && target[at(i)] >= 0);
    }
    face.keep_only(keep);
    refinements = 0;
  }
}

template <class Objective>
QuadraticMinimum minimize(Objective& f, double radius, double tol, ptrdiff_t max_iter, double* p) {
  const ptrdiff_t n = f.n();
  Face face;
  ptrdiff_t best = 0;
  double best_value = std::numeric_limits<double>::infinity();
  for (ptrdiff_t i = 0; i < n; ++i) {
    const double value = radius * (radius * f.hessian(i, i) / 2 + f.linear(i));
    if (value < best_value) best = i, best_value = value;
  }
  face.add(f, {best});
  face.part[0] = radius;
  Vector g(at(n));
  QuadraticMinimum result{};
  result.scale = f.scale(radius);
  double last_value = std::numeric_limits<double>::infinity();
  bool one_at_a_time = false;
  while (true) {
    poll_interrupt();
    f.gradient(face.indices, face.part, g);
    const double lowest = *std::min_element(g.begin(), g.end());
    result.gap = 0;
    for (ptrdiff_t k = 0; k < size_of(face.indices); ++k) {
      result.gap += face.part[at(k)] * (g[at(face.indices[at(k)])] - lowest);
    }
    result.value = f.value(face.indices, face.part, g);
    result.converged = result.gap <= tol * result.scale;
    if (result.converged || result.n_iter >= max_iter) break;
    // Without progress the lowest entry alone must join; without progress after that, rounding.
    const bool progress = result.value < last_value;
    if (!progress && one_at_a_time) break;
    one_at_a_time = !progress;
    last_value = std::min(last_value, result.value);
    // The entries below the mean gradient of the support, the lowest first.
    std::vector<char> inside(at(n), 0);
    for (const ptrdiff_t i : face.indices) inside[at(i)] = 1;
    const double mean = lowest + result.gap / radius;
    Indices below;
    for (ptrdiff_t i = 0; i < n; ++i) {
      if (!inside[at(i)] && g[at(i)] < mean) below.push_back(i);
    }
    const ptrdiff_t most = one_at_a_time ? 1 : std::max<ptrdiff_t>(4, size_of(face.indices));
    if (size_of(below) > most) {
      std::nth_element(below.begin(), below.begin() + (most - 1), below.end(),
                       [&](ptrdiff_t i, ptrdiff_t j) {
                         return g[at(i)] < g[at(j)] || (g[at(i)] == g[at(j)] && i < j);
                       });
      below.resize(at(most));
    }
    face.add(f, below);
    result.n_iter += minimize_on_face(face, radius, Objective::kConvex, max_iter - result.n_iter);
    std::vector<char> keep(face.part.size());
    for (std::size_t i = 0; i < keep.size(); ++i) keep[i] = face.part[i] > 0;
    face.keep_only(keep);
    const double sum = std::accumulate(face.part.begin(), face.part.end(), 0.0);
    for (double& entry : face.part) entry *= radius / sum;
  }
  std::fill_n(p, n, 0.0);
  for (ptrdiff_t k = 0; k < size_of(face.indices); ++k) p[face.indices[at(k)]] = face.part[at(k)];
  return result;
}

}  // namespace

QuadraticMinimum minimize_quadratic(MatrixView<const double> q, std::span<const double> c,
                                    double radius, double tol, ptrdiff_t max_iter, double* p,
                                    int workers) {
  Quadratic f{q, c, workers};
  return minimize(f, radius, tol, max_iter, p);
}

QuadraticMinimum minimize_least_squares(MatrixView<const double> columns, std::span<const double> b,
                                        double radius, double tol, ptrdiff_t max_iter, double* p,
                                        int workers) {
  LeastSquares f(columns, b, workers);
  return minimize(f, radius, tol, max_iter, p);
}

}  // namespace kexue::simplex
