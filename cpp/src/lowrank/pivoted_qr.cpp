#include "kexue/lowrank/pivoted_qr.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "candidate_pool.hpp"
#include "foresight.hpp"
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
class Factorization {
  using R = real_t<T>;

 public:
  Factorization(ColumnStrips<T> a, ptrdiff_t max_rank, double slack, int workers)
      : a_(std::move(a)),
        m_(a_.rows()),
        n_(a_.cols()),
        max_rank_(max_rank),
        slack_(slack),
        workers_(workers),
        batch_(batch_size()),
        dozens_(std::max<ptrdiff_t>(12, batch_)),
        pool_(2 * batch_, m_, n_) {
    result_.rows = m_;
    result_.cols = n_;
    result_.q = AlignedBuffer<T>(max_rank_ * m_);
    result_.r = AlignedBuffer<T>(max_rank_ * n_);
    q_strips_ = ColumnStrips<T>(std::min<ptrdiff_t>(max_rank_, 256), m_);
    norms_.resize(static_cast<std::size_t>(n_));
    compute_norms();
    floor_ = 4 * kEpsilon<R> * std::sqrt(reference_);
  }

  // The given pivots, until one's residual is at rounding level.
  void take_prescribed(std::span<const ptrdiff_t> pivots) {
    ptrdiff_t done = 0;
    while (done < static_cast<ptrdiff_t>(pivots.size())) {
      if (needs_refresh(norm(pivots[static_cast<std::size_t>(done)]))) refresh();
      const auto size = std::min(dozens_, static_cast<ptrdiff_t>(pivots.size()) - done);
      const auto candidates =
          pivots.subspan(static_cast<std::size_t>(done)).first(static_cast<std::size_t>(size));
      pool_.clear();
      load_batch(candidates);
      ptrdiff_t used = 0;
      while (used < size && norm(candidates[static_cast<std::size_t>(used)]) > floor_ * floor_ &&
             take(used)) {
        ++used;
      }
      if (used == 0) break;
      done += used;
    }
  }

  // Pivots of largest residual until none exceeds `stop` times the norm of the first rows of R.
  void take_largest(double stop) {
    double limit = rank() > 0 ? stop * leading_norm() : 0;
    certain_ = slack_ == 1 && stop == 0;
    pool_.clear();
    while (rank() < max_rank_) {
      double largest = *longest();
      if (needs_refresh(largest)) {
        refresh();
        largest = *longest();
      }
      if (!(largest > std::max(limit * limit, floor_ * floor_))) break;
      load_batch(choose_candidates());
      take_from_pool(std::max(limit, floor_));
      if (limit == 0 && stop > 0) limit = stop * leading_norm();
    }
  }

  PivotedQr<T> finish() { return std::move(result_); }

 private:
  ptrdiff_t rank() const { return result_.rank(); }
  T* q_row(ptrdiff_t i) { return result_.q.data() + i * m_; }
  T* r_row(ptrdiff_t i) { return result_.r.data() + i * n_; }
  double norm(ptrdiff_t j) const { return norms_[static_cast<std::size_t>(j)]; }
  auto longest() const { return std::max_element(norms_.begin(), norms_.end()); }
  ptrdiff_t argmax() const { return longest() - norms_.begin(); }
  // Of six candidates 3.6 become pivots, of twelve 5.6 (1000 x 1000, slow decay): six, half a strip
  // of the widest micro-kernel, are less work, twelve are fewer passes over a matrix that lies in
  // no cache. With slack more of them are taken.
  ptrdiff_t batch_size() const {
    constexpr double kCache = 16 << 20;
    const double bytes = static_cast<double>(m_) * static_cast<double>(n_) * sizeof(T);
    return slack_ < 1 ? 24 : bytes > kCache ? 12 : 6;
  }

  // One orthogonalisation leaves parts of size eps / ratio in a candidate, where `ratio` is how far
  // the norms have fallen since the last refresh, and its row of R then errs by eps / ratio^2 of
  // what is left: 2e-12 in double; 2e-4 in single precision, where most sketches then need no
  // refresh and choose the same columns. Two leave eps, and the row errs like the norms: sqrt(eps).
  // A classical pivot is certain without one while no rival comes within the rounding of the norms.
  bool needs_refresh(double largest) const {
    const double root = std::sqrt(kEpsilon<R>), fallen = largest / reference_;
    if (!(largest >= 0 && base_ < rank())) return false;
    if (fallen >= (slack_ == 1 ? root : std::min(std::sqrt(root), 7e-4))) return false;
    const double rounding = 2 * kEpsilon<R> * static_cast<double>(rank() - base_) * reference_;
    return !certain_ || fallen < std::sqrt(root) * root || rivals(norms_, largest - rounding) > 1;
  }

  // Squared column norms of the residual held in a_; picked columns stay marked.
  void compute_norms() {
    parallel_for(
        a_.n_strips(),
        [&](ptrdiff_t s, int) {
          const ptrdiff_t nr = a_.width();
          double sums[64] = {};
          for (int plane = 0; plane < ColumnStrips<T>::kPlanes; ++plane) {
            square_kernels<R>().down(a_.strip(s, plane), nr, m_, nr, sums);
          }
          for (ptrdiff_t j = 0; j < std::min(nr, n_ - s * nr); ++j) {
            double& norm = norms_[static_cast<std::size_t>(s * nr + j)];
            if (norm != kPicked) norm = sums[j];
          }
        },
        m_ * n_ < 50000 ? 1 : workers_);
    reference_ = norms_.empty() ? 0 : *longest();
  }

  // a_ <- a_ - Q R over the pivots since the last refresh.
  void refresh() {
    const ptrdiff_t fresh = rank() - base_;
    const auto q = row_major<const T>(q_row(base_), fresh, m_).transposed();
    add_product<T>(PackedRows<T>(q, false, R(-1), workers_),
                   row_major<const T>(r_row(base_), fresh, n_), a_, workers_);
    base_ = rank();
    pool_.clear();
    compute_norms();
  }

  // A sketch's first columns are much alike: a batch takes twice as many as the last one found
  // pivots, by the dozen (4000 x 4000, slow decay: 186 candidates for 122 pivots against 216).
  ptrdiff_t next_size() const {
    if (slack_ == 1) return batch_;
    const ptrdiff_t found = rank() - batch_start_;
    return found == 0 ? 6 : std::clamp<ptrdiff_t>((2 * found + 11) / 12 * 12, 12, batch_);
  }

  // Whether a dozen pivots have halved the norms: then the longest columns are much alike.
  bool is_steep() {
    const auto length = [&](ptrdiff_t i) {
      return std::abs(r_row(i)[result_.pivots[static_cast<std::size_t>(i)]]);
    };
    return rank() > 12 && length(rank() - 1) < R(0.5) * length(rank() - 13);
  }

  // Columns that are likely to be the next pivots, none of the pool, which makes room for them.
  std::vector<ptrdiff_t> choose_candidates() {
    const ptrdiff_t size = std::min({next_size(), n_ - rank(), max_rank_ - rank() + 8});
    pool_.keep(pool_.capacity() - size, LongerFirst{norms_});
    const bool steep = slack_ == 1 && is_steep();
    if (slack_ > kForeseen && !steep) return longest_columns(norms_, pool_.columns(), size);
    auto columns =
        longest_columns(norms_, {}, std::max(steep ? kSteepShortlist : kShortlist, size));
    std::sort(columns.begin(), columns.end());
    const ptrdiff_t n = std::ssize(columns);
    const ptrdiff_t fresh = rank() - base_;
    const auto rows = residual_rows<T>(
        a_, columns, std::min(m_, steep ? kSteepForesight : kForesight),
        row_major<const T>(q_row(base_), fresh, m_), row_major<const T>(r_row(base_), fresh, n_));
    const auto z = row_major<const T>(rows.data(), rows.size() / n, n);
    return foreseen_pivots<T>(z, columns, norms_, pool_.marks(n_), size);
  }

  // A lower bound of ||A||_2 from the first rows of R, all of it but for rounding.
  double leading_norm() {
    const ptrdiff_t rows = std::min(rank(), dozens_);
    AlignedBuffer<wide_t<T>> memory(rows * rows);
    const auto g = row_major(memory.data(), rows, rows);
    gram<T>(row_major<const T>(r_row(0), rows, n_), g, workers_);
    return std::sqrt(rayleigh<wide_t<T>>(g));
  }

  // Adds columns to the pool: what is left of them, orthogonal to Q, and its products with a_. The
  // older members follow the pivots since the last batch.
  void load_batch(std::span<const ptrdiff_t> columns) {
    if (inner_.size() == 0) inner_ = AlignedBuffer<T>(pool_.capacity() * max_rank_);
    const ptrdiff_t old = pool_.size(), fresh = rank() - base_, size = std::ssize(columns);
    for (ptrdiff_t t = 0; t < size; ++t) {
      const ptrdiff_t j = columns[static_cast<std::size_t>(t)];
      pool_.add(j);
      a_.gather_column(j, pool_.column(old + t));
      // What Q says of a column since the last refresh, R holds.
      for (ptrdiff_t i = 0; i < fresh; ++i) inner_[t * fresh + i] = r_row(base_ + i)[j];
    }
    const auto added = row_major<T>(pool_.column(old), size, m_);
    const auto known = row_major<const T>(inner_.data(), size, fresh);
    multiply<T>(PackedRows<T>(known, false, R(-1), workers_), q_strips_, true, added, workers_,
                base_);
    for (ptrdiff_t t = 0; t < pool_.size(); ++t) pool_[t].loaded = pool_.squared_length(t);
    // Classical pivots want the last digit; those of a sketch do without, as the residual is formed
    // anew before cancellation has cost half of the digits.
    const bool twice = slack_ == 1;
    orthogonalize(twice ? pool_.size() : old, twice ? 0 : batch_start_, old);
    batch_start_ = rank();
    for (ptrdiff_t t = 0; t < pool_.size(); ++t) {
      pool_[t].start = pool_.squared_length(t);
      if (t < old) continue;
      pool_[t].first = pool_[t].start;
      // What the norm counted may have been rounding errors along Q.
      double& counted = norms_[static_cast<std::size_t>(pool_[t].column)];
      if (pool_[t].start < 0.5 * counted) counted = pool_[t].start;
    }
    multiply<T>(PackedRows<T>(added, true, R(1), workers_), a_, false,
                row_major<T>(pool_.product(old), size, n_), workers_);
  }

  // The first `count` candidates less their parts along the rows of Q from `begin` on, and the
  // products of the first `old` less what a_ holds of those. In blocks of rows of Q, whose number
  // depends on the rank alone.
  void orthogonalize(ptrdiff_t count, ptrdiff_t begin, ptrdiff_t old) {
    const ptrdiff_t rows = rank() - begin;
    if (count == 0 || rows == 0) return;
    const auto c = row_major<T>(pool_.column(0), count, m_);
    const auto h = row_major<T>(inner_.data(), rows, count);
    const auto q = row_major<const T>(q_row(begin), rows, m_);
    const ptrdiff_t step = 2 * gemm_kernels<R>().mr;
    parallel_for((rows + step - 1) / step,
                 [&](ptrdiff_t block, int) {
                   const ptrdiff_t i = block * step, size = std::min(step, rows - i);
                   const auto products = h.block(i, 0, size, count);
                   if constexpr (is_complex_v<T>) {
                     gemm<T>(R(1), q.block(i, 0, size, m_), true, as_const(c).transposed(), false,
                             products, 1);
                   } else {
                     inner_products<T>(q.block(i, 0, size, m_), c, products);
                   }
                 },
                 count * rows * m_ < 100000 ? 1 : workers_);
    multiply<T>(PackedRows<T>(as_const(h).transposed(), false, R(-1), workers_), q_strips_, true, c,
                workers_, begin);
    const ptrdiff_t from = std::max(base_, begin), held = rank() - from;
    if (old == 0 || held == 0) return;
    gemm<T>(R(-1), as_const(h).block(from - begin, 0, held, old).transposed(), true,
            row_major<const T>(r_row(from), held, n_), true,
            row_major<T>(pool_.product(0), old, n_), workers_);
  }

  static MatrixView<const T> as_const(MatrixView<T> a) { return a; }

  void take_from_pool(double stop) {
    double largest = norm(argmax());
    while (rank() < max_rank_ && largest > stop * stop && !needs_refresh(largest)) {
      ptrdiff_t place = pool_.kGone;
      if (slack_ == 1) {
        place = pool_.place_of(argmax());
      } else {
        double least = slack_ * slack_ * largest;
        for (ptrdiff_t t = 0; t < pool_.size(); ++t) {
          const ptrdiff_t j = pool_[t].column;
          if (j == pool_.kGone || !(norm(j) >= least)) continue;
          if (place == pool_.kGone || norm(j) > least) place = t;
          least = norm(j);
        }
      }
      if (place == pool_.kGone || !take(place)) return;
      largest = largest_;
    }
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

  // A row of Q lies in all strips: all that there is of them comes into memory with the first.
  void grow_q_strips() {
    const ptrdiff_t rows = q_strips_.rows(), nr = q_strips_.width();
    ColumnStrips<T> grown(std::min(max_rank_, 2 * rows), m_);
    parallel_for(
        grown.n_strips(),
        [&](ptrdiff_t s, int) {
          for (int plane = 0; plane < ColumnStrips<T>::kPlanes; ++plane) {
            std::copy_n(q_strips_.strip(s, plane), rows * nr, grown.strip(s, plane));
          }
        },
        workers_);
    q_strips_ = std::move(grown);
  }

  // Makes candidate t the next pivot. False if its residual has cancelled: it leaves the pool.
  bool take(ptrdiff_t t) {
    const auto member = pool_[t];
    const ptrdiff_t i = rank(), j = member.column;
    pool_[t].column = pool_.kGone;
    T* c = pool_.column(t);
    T* b = pool_.product(t);
    const double negligible = kEpsilon<R> * kEpsilon<R> * member.start;
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
    if (slack_ == 1 && squared < 0.25 * std::max(member.start, member.loaded)) {
      orthogonalize_again(c, b);
      squared = std::real(inner(c, c, m_));
    }
    // Three lost digits are borne within a batch, half of one from batch to batch.
    if (i > batch_start_ && squared < 1e-6 * member.start) return false;
    if (member.start != member.first && squared < 0.1 * member.first) return false;
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
    if (i == q_strips_.rows()) grow_q_strips();
    q_strips_.set_row(i, q);
    result_.pivots.push_back(j);
    return true;
  }

  ColumnStrips<T> a_;         // the residual with respect to the first base_ pivots
  ColumnStrips<T> q_strips_;  // the rows of q, packed as they come
  ptrdiff_t m_, n_, max_rank_;
  double slack_;
  double largest_ = 0;  // largest squared norm after the last pivot
  bool certain_ = false;
  int workers_;
  ptrdiff_t batch_;   // candidates at a time
  ptrdiff_t dozens_;  // given pivots at a time, which are all taken
  ptrdiff_t base_ = 0, batch_start_ = 0;
  double reference_ = 0;  // largest squared norm at the last refresh
  double floor_ = 0;
  std::vector<double> norms_;
  CandidatePool<T> pool_;
  AlignedBuffer<T> inner_;
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
