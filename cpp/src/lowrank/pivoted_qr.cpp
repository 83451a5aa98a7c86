#include "kexue/lowrank/pivoted_qr.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kexue/core/pool.hpp"
#include "kexue/core/vectors.hpp"
#include "kexue/lowrank/gram.hpp"

namespace kexue::lowrank {
namespace {

using std::ptrdiff_t;

constexpr double kPicked = -1.0;  // squared norm that marks a column as taken

template <class R>
constexpr double kEpsilon = std::numeric_limits<R>::epsilon();

template <class T>
double squared_norm(const T* x, ptrdiff_t n) {
  double sum = 0;
  for (ptrdiff_t i = 0; i < n; ++i) sum += squared_modulus(x[i]);
  return sum;
}

// r = inverse * b; the squared norms of columns that are not taken fall by the squares of r.
// Returns the largest norm left.
template <class T>
double take_row(real_t<T> inverse, const T* b, T* r, double* norms, ptrdiff_t n) {
  constexpr ptrdiff_t kLanes = 8;
  double top[kLanes] = {};
  for (ptrdiff_t k0 = 0; k0 < n; k0 += kLanes) {
    const ptrdiff_t size = std::min(kLanes, n - k0);
    for (ptrdiff_t l = 0; l < size; ++l) {
      const ptrdiff_t k = k0 + l;
      r[k] = inverse * b[k];
      const double old = norms[k], rest = old - squared_modulus(r[k]);
      const double left = old < 0 ? old : (rest > 0 ? rest : 0);
      norms[k] = left;
      top[l] = left > top[l] ? left : top[l];
    }
  }
  return *std::max_element(top, top + kLanes);
}

template <class T>
class Factorization {
  using R = real_t<T>;

 public:
  Factorization(ColumnStrips<T> a, ptrdiff_t max_rank, double slack, int workers)
      : a_(std::move(a)),
        m_(a_.rows()),
        n_(a_.cols()),
        max_rank_(max_rank),
        slack_(slack),
        workers_(workers) {
    // Whole strips of the micro-kernel; a larger batch is hardly used better.
    const ptrdiff_t mr = gemm_kernels<R>().mr;
    batch_ = mr * std::max<ptrdiff_t>(1, 24 / mr);
    result_.rows = m_;
    result_.cols = n_;
    result_.q = AlignedBuffer<T>(max_rank_ * m_);
    result_.r = AlignedBuffer<T>(max_rank_ * n_);
    q_strips_ = ColumnStrips<T>(max_rank_, m_);
    norms_.resize(static_cast<std::size_t>(n_));
    compute_norms();
    floor_ = 4 * kEpsilon<R> * std::sqrt(reference_);
  }

  // The given pivots, until one's residual is at rounding level.
  void take_prescribed(std::span<const ptrdiff_t> pivots) {
    ptrdiff_t done = 0;
    while (done < static_cast<ptrdiff_t>(pivots.size())) {
      if (needs_refresh(norms_[static_cast<std::size_t>(pivots[done])])) refresh();
      const auto size = std::min(batch_, static_cast<ptrdiff_t>(pivots.size()) - done);
      const std::vector<ptrdiff_t> candidates(pivots.begin() + done, pivots.begin() + done + size);
      load_batch(candidates);
      ptrdiff_t used = 0;
      while (used < size && norms_[static_cast<std::size_t>(candidates[used])] > floor_ * floor_ &&
             take(candidates[used], used)) {
        ++used;
      }
      if (used == 0) break;
      done += used;
    }
  }

  // Pivots of largest residual until none exceeds `stop` times the norm of the first rows of R.
  void take_largest(double stop) {
    double limit = rank() > 0 ? stop * leading_norm() : 0;
    std::vector<ptrdiff_t> candidates;
    while (rank() < max_rank_) {
      double largest = *std::max_element(norms_.begin(), norms_.end());
      if (needs_refresh(largest)) {
        refresh();
        largest = *std::max_element(norms_.begin(), norms_.end());
      }
      if (!(largest > std::max(limit * limit, floor_ * floor_))) break;
      choose_candidates(candidates);
      load_batch(candidates);
      take_from_batch(candidates, largest, std::max(limit, floor_));
      if (limit == 0 && stop > 0) limit = stop * leading_norm();
    }
  }

  PivotedQr<T> finish() { return std::move(result_); }

 private:
  ptrdiff_t rank() const { return result_.rank(); }
  T* q_row(ptrdiff_t i) { return result_.q.data() + i * m_; }
  T* r_row(ptrdiff_t i) { return result_.r.data() + i * n_; }
  T* candidate(ptrdiff_t t) { return candidates_.data() + t * m_; }
  T* product(ptrdiff_t t) { return products_.data() + t * n_; }

  // One orthogonalisation leaves parts of size eps / ratio in a candidate, where `ratio` is how far
  // the norms have fallen since the last refresh, and its row of R then errs by eps / ratio^2: by
  // eps^(3/4) at most. Two leave eps, and the row errs by as much as the norms: sqrt(eps).
  bool needs_refresh(double largest) const {
    const double root = std::sqrt(kEpsilon<R>);
    const double least = slack_ == 1 ? root : std::sqrt(root);
    return largest >= 0 && largest < least * reference_ && base_ < rank();
  }

  // Squared column norms of the residual held in a_; picked columns stay marked.
  void compute_norms() {
    parallel_for(
        a_.n_strips(),
        [&](ptrdiff_t s, int) {
          const ptrdiff_t nr = a_.width();
          double sums[64] = {};
          for (int plane = 0; plane < ColumnStrips<T>::kPlanes; ++plane) {
            const R* x = a_.strip(s, plane);
            for (ptrdiff_t i = 0; i < m_; ++i) {
              for (ptrdiff_t j = 0; j < nr; ++j) {
                const double v = x[i * nr + j];
                sums[j] += v * v;
              }
            }
          }
          for (ptrdiff_t j = 0; j < std::min(nr, n_ - s * nr); ++j) {
            double& norm = norms_[static_cast<std::size_t>(s * nr + j)];
            if (norm != kPicked) norm = sums[j];
          }
        },
        m_ * n_ < 50000 ? 1 : workers_);
    const auto largest = std::max_element(norms_.begin(), norms_.end());
    reference_ = largest == norms_.end() ? 0 : *largest;
  }

  // a_ <- a_ - Q R over the pivots since the last refresh.
  void refresh() {
    const ptrdiff_t fresh = rank() - base_;
    const auto q = row_major<const T>(q_row(base_), fresh, m_).transposed();
    add_product<T>(PackedRows<T>(q, false, R(-1), workers_),
                   row_major<const T>(r_row(base_), fresh, n_), a_, workers_);
    base_ = rank();
    compute_norms();
  }

  // The columns of largest residual norm; which of equal ones does not matter.
  void choose_candidates(std::vector<ptrdiff_t>& candidates) {
    candidates.resize(static_cast<std::size_t>(n_));
    std::iota(candidates.begin(), candidates.end(), ptrdiff_t(0));
    const auto size = static_cast<std::size_t>(std::min({batch_, n_, max_rank_ - rank() + 8}));
    const auto larger = [&](ptrdiff_t i, ptrdiff_t j) {
      const double a = norms_[static_cast<std::size_t>(i)], b = norms_[static_cast<std::size_t>(j)];
      return a > b || (a == b && i < j);
    };
    std::nth_element(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(size) - 1,
                     candidates.end(), larger);
    candidates.resize(size);
    std::erase_if(candidates, [&](ptrdiff_t j) { return norms_[static_cast<std::size_t>(j)] < 0; });
  }

  // A lower bound of ||A||_2 from the first rows of R, all of it but for rounding.
  double leading_norm() {
    const ptrdiff_t rows = std::min(rank(), batch_);
    AlignedBuffer<wide_t<T>> memory(rows * rows);
    const auto g = row_major(memory.data(), rows, rows);
    gram<T>(row_major<const T>(r_row(0), rows, n_), g, workers_);
    return std::sqrt(rayleigh<wide_t<T>>(g));
  }

  // Residual columns of the candidates, orthogonal to Q, and their products with a_.
  void load_batch(const std::vector<ptrdiff_t>& columns) {
    const auto size = static_cast<ptrdiff_t>(columns.size());
    if (candidates_.size() == 0) {
      candidates_ = AlignedBuffer<T>(batch_ * m_);
      products_ = AlignedBuffer<T>(batch_ * n_);
      inner_ = AlignedBuffer<T>(batch_ * max_rank_);
    }
    for (ptrdiff_t t = 0; t < size; ++t) a_.gather_column(columns[t], candidate(t));
    const auto c = row_major<T>(candidates_.data(), size, m_);
    // What Q says of a column since the last refresh, R holds.
    const ptrdiff_t fresh = rank() - base_;
    for (ptrdiff_t t = 0; t < size; ++t) {
      for (ptrdiff_t i = 0; i < fresh; ++i) inner_[t * fresh + i] = r_row(base_ + i)[columns[t]];
    }
    const auto known = row_major<const T>(inner_.data(), size, fresh);
    multiply<T>(PackedRows<T>(known, false, R(-1), workers_), q_strips_, true, c, workers_, base_);
    // Classical pivots want the last digit; those of a sketch do without, as the residual is formed
    // anew before cancellation has cost half of the digits.
    loaded_norms_.assign(static_cast<std::size_t>(size), 0.0);
    if (slack_ == 1 && rank() > 0) {
      for (ptrdiff_t t = 0; t < size; ++t) {
        loaded_norms_[static_cast<std::size_t>(t)] =
            std::real(inner(candidate(t), candidate(t), m_));
      }
      const auto h = row_major<T>(inner_.data(), size, rank());
      const auto q = row_major<const T>(result_.q.data(), rank(), m_);
      gemm<T>(R(1), c, true, q.transposed(), false, h, workers_);
      multiply<T>(PackedRows<T>(h, true, R(-1), workers_), q_strips_, true, c, workers_);
    }
    batch_start_ = rank();
    batch_norms_.resize(static_cast<std::size_t>(size));
    for (ptrdiff_t t = 0; t < size; ++t) {
      batch_norms_[static_cast<std::size_t>(t)] = std::real(inner(candidate(t), candidate(t), m_));
    }
    multiply<T>(PackedRows<T>(c, true, R(1), workers_), a_, false,
                row_major<T>(products_.data(), size, n_), workers_);
  }

  void take_from_batch(const std::vector<ptrdiff_t>& candidates, double largest, double stop) {
    const auto norm = [&](ptrdiff_t j) { return norms_[static_cast<std::size_t>(j)]; };
    while (rank() < max_rank_ && largest > stop * stop && !needs_refresh(largest)) {
      const auto place = slack_ == 1
                             ? std::find(candidates.begin(), candidates.end(), argmax())
                             : std::max_element(candidates.begin(), candidates.end(),
                                                [&](auto i, auto j) { return norm(i) < norm(j); });
      if (place == candidates.end() || !(norm(*place) >= slack_ * slack_ * largest)) return;
      if (!take(*place, place - candidates.begin())) return;
      largest = largest_;
    }
  }

  ptrdiff_t argmax() const {
    return std::max_element(norms_.begin(), norms_.end()) - norms_.begin();
  }

  // A candidate is orthogonal to the Q before its batch to the rounding of its length before; where
  // it has become shorter since, that is more than the rounding of its length now. What a_ still
  // holds of those directions is taken from its row of R, too.
  void orthogonalize_again(T* c, T* b) {
    T* h = inner_.data();
    for (ptrdiff_t s = 0; s < rank(); ++s) h[s] = inner(q_row(s), c, m_);
    subtract_rows(rank(), h, q_row(0), m_, c, m_);
    for (ptrdiff_t s = 0; s < rank(); ++s) h[s] = conjugate(h[s]);
    subtract_rows(rank() - base_, h + base_, r_row(base_), n_, b, n_);
  }

  // Makes candidate t, which is column j, the next pivot. False if its residual has cancelled.
  bool take(ptrdiff_t j, ptrdiff_t t) {
    const ptrdiff_t i = rank();
    T* c = candidate(t);
    T* b = product(t);
    const double original = batch_norms_[static_cast<std::size_t>(t)];
    const double negligible = kEpsilon<R> * kEpsilon<R> * original;
    const ptrdiff_t before = i - batch_start_;
    T* h = inner_.data();
    for (int pass = 0; pass < 2; ++pass) {
      bool any = false;
      for (ptrdiff_t s = 0; s < before; ++s) {
        h[s] = inner(q_row(batch_start_ + s), c, m_);
        any |= squared_modulus(h[s]) > negligible;
      }
      if (!any) break;
      subtract_rows(before, h, q_row(batch_start_), m_, c, m_);
      for (ptrdiff_t s = 0; s < before; ++s) h[s] = conjugate(h[s]);
      subtract_rows(before, h, r_row(batch_start_), n_, b, n_);
    }
    double squared = std::real(inner(c, c, m_));
    const double longest = std::max(original, loaded_norms_[static_cast<std::size_t>(t)]);
    if (slack_ == 1 && squared < 0.25 * longest) {
      orthogonalize_again(c, b);
      squared = std::real(inner(c, c, m_));
    }
    // Three lost digits are borne; the first of a batch has lost none.
    if (i > batch_start_ && squared < 1e-6 * original) return false;
    if (!(squared > 0)) return false;
    const R norm = static_cast<R>(std::sqrt(squared));
    const R inverse = R(1) / norm;
    T* q = q_row(i);
    T* r = r_row(i);
    for (ptrdiff_t k = 0; k < m_; ++k) q[k] = inverse * c[k];
    largest_ = take_row(inverse, b, r, norms_.data(), n_);
    for (ptrdiff_t p : result_.pivots) r[p] = T(0);
    r[j] = norm;
    norms_[static_cast<std::size_t>(j)] = kPicked;
    q_strips_.set_row(i, q);
    result_.pivots.push_back(j);
    return true;
  }

  ColumnStrips<T> a_;         // the residual with respect to the first base_ pivots
  ColumnStrips<T> q_strips_;  // the rows of q, packed as they come
  ptrdiff_t m_, n_, max_rank_;
  double slack_;
  double largest_ = 0;  // largest squared norm after the last pivot
  int workers_;
  ptrdiff_t batch_ = 0;
  ptrdiff_t base_ = 0;
  ptrdiff_t batch_start_ = 0;
  double reference_ = 0;  // largest squared norm at the last refresh
  double floor_ = 0;
  std::vector<double> norms_;
  std::vector<double> batch_norms_, loaded_norms_;
  AlignedBuffer<T> candidates_, products_, inner_;
  PivotedQr<T> result_;
};

}  // namespace

template <class T>
PivotedQr<T> pivoted_qr(ColumnStrips<T> a, std::span<const ptrdiff_t> first, ptrdiff_t max_rank,
                        double stop, double slack, int workers) {
  max_rank = std::min({max_rank, a.rows(), a.cols()});
  Factorization<T> factorization(std::move(a), max_rank, slack, workers);
  factorization.take_prescribed(
      first.first(std::min(first.size(), static_cast<std::size_t>(max_rank))));
  factorization.take_largest(stop);
  return factorization.finish();
}

template <class T>
PivotedQr<T> prescribed_qr(ColumnStrips<T> a, std::span<const ptrdiff_t> pivots, int workers) {
  const auto size = static_cast<ptrdiff_t>(pivots.size());
  Factorization<T> factorization(std::move(a), size, 1, workers);
  factorization.take_prescribed(pivots);
  return factorization.finish();
}

#define KEXUE_INSTANTIATE(T)                                                                  \
  template PivotedQr<T> pivoted_qr<T>(ColumnStrips<T>, std::span<const ptrdiff_t>, ptrdiff_t, \
                                      double, double, int);                                   \
  template PivotedQr<T> prescribed_qr<T>(ColumnStrips<T>, std::span<const ptrdiff_t>, int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::lowrank
