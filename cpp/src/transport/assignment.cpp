#include "kexue/transport/assignment.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kexue/core/buffer.hpp"
#include "kexue/core/constants.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/index.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/transport/auction.hpp"
#include "kexue/transport/certificate.hpp"
#include "kexue/transport/kernels.hpp"
#include "kexue/transport/start.hpp"

namespace kexue::transport {

using std::int64_t;
using std::ptrdiff_t;
using std::size_t;

namespace {

constexpr ptrdiff_t kSmall = 1024;  // entries below which the auction does not pay
constexpr int kReductions = 4;      // bids without eps for each row, at most, on average

class Assigner {
 public:
  Assigner(MatrixView<const double> cost, const double* start, int workers)
      : cost_(cost),
        n_(cost.rows),
        m_(cost.cols),
        v_(at(m_), 0.0),
        open_v_(m_),
        distance_(m_),
        from_(m_),
        column_(at(n_), -1),
        row_(at(m_), -1) {
    prices(start, workers);
  }
  AssignmentResult run();

 private:
  void prices(const double* start, int workers);
  void take_best();
  void reduce();
  bool augment(ptrdiff_t row);
  ptrdiff_t free_column_within(double bound) const;
  void match(ptrdiff_t row, ptrdiff_t col) {
    column_[at(row)] = col;
    row_[at(col)] = row;
  }

  MatrixView<const double> cost_;
  ptrdiff_t n_, m_;
  std::vector<double> v_;
  AlignedBuffer<double> open_v_, distance_;
  AlignedBuffer<int64_t> from_;
  std::vector<int64_t> column_, row_;
  std::vector<ptrdiff_t> waiting_, free_, settled_;
  AssignmentResult result_;
};

void Assigner::prices(const double* start, int workers) {
  if (n_ < m_) return;  // columns that stay free must keep v = 0
  if (start != nullptr) {
    std::copy(start, start + m_, v_.begin());
    return;
  }
  if (n_ * m_ < kSmall) return;
  const ScaledCosts scaled(cost_, workers);
  const std::vector<int64_t> ones(at(m_), 1);
  std::vector<float> v(at(m_), 0.0f);
  AuctionOptions options;
  options.last_step = 2e-6f;
  auction(scaled.view(), ones.data(), ones.data(), options, v.data());
  for (ptrdiff_t j = 0; j < m_; ++j) v_[at(j)] = static_cast<double>(v[at(j)]) * scaled.range;
}

// Each row takes its best column, or another that is as good, if it is free.
void Assigner::take_best() {
  const auto& kernel = row_kernels().f64;
  std::vector<std::int32_t> ties(at(m_));
  for (ptrdiff_t i = 0; i < n_; ++i) {
    if (i % 256 == 0) poll_interrupt();
    const double* c = cost_.row(i);
    const auto best = kernel.minimum(c, v_.data(), m_);
    ptrdiff_t col = best.value < kInf ? best.index : -1;
    if (col >= 0 && row_[at(col)] >= 0) {
      col = -1;
      const double above = std::nextafter(best.value, kInf);
      const ptrdiff_t count = kernel.select_below(c, v_.data(), above, ties.data(), m_);
      for (ptrdiff_t k = 0; k < count && col < 0; ++k) {
        if (row_[at(ties[at(k)])] < 0) col = ties[at(k)];
      }
    }
    if (col >= 0) {
      match(i, col);
    } else {
      waiting_.push_back(i);
    }
  }
}

// Bids without eps: the price of a column rises until its row's second best is as good.
void Assigner::reduce() {
  const auto& kernel = row_kernels().f64;
  ptrdiff_t left = kReductions * n_;
  std::vector<ptrdiff_t> later;
  for (size_t next = 0; next < waiting_.size(); ++next) {
    ptrdiff_t row = waiting_[next];
    while (row >= 0) {
      if (left-- <= 0) {
        later.push_back(row);
        break;
      }
      if (left % 256 == 0) poll_interrupt();
      const auto best = kernel.two_minima(cost_.row(row), v_.data(), m_);
      const ptrdiff_t holder = row_[at(best.index)];
      // No column; or a tie, or nothing to outbid, which would only take the column away.
      const bool bids = best.second < kInf && best.second > best.value;
      if (!(best.value < kInf) || (!bids && holder >= 0)) {
        later.push_back(row);
        break;
      }
      if (bids) v_[at(best.index)] -= best.second - best.value;
      match(row, best.index);
      row = holder;
      if (holder >= 0) column_[at(holder)] = -1;
    }
  }
  waiting_ = std::move(later);
}

// A free column that is not farther than the bound, or -1.
ptrdiff_t Assigner::free_column_within(double bound) const {
  for (const ptrdiff_t j : free_) {
    if (row_[at(j)] < 0 && distance_[j] <= bound) return j;
  }
  return -1;
}

// The shortest path from a row to a free column, along which the assignment is changed.
bool Assigner::augment(ptrdiff_t start) {
  const auto& relax = row_kernels().relax;
  std::copy(v_.begin(), v_.end(), open_v_.data());
  std::fill(distance_.data(), distance_.data() + m_, kInf);
  std::fill(from_.data(), from_.data() + m_, start);
  settled_.clear();
  std::vector<double> reached;  // the distances of the settled columns
  ptrdiff_t row = start, end = -1;
  double head = 0, length = 0;
  for (;;) {
    const auto best =
        relax(cost_.row(row), open_v_.data(), head, row, distance_.data(), from_.data(), m_);
    if (!(best.value < kInf)) {
      result_.stuck.push_back(start);
      for (const ptrdiff_t j : settled_) result_.stuck.push_back(row_[at(j)]);
      std::sort(result_.stuck.begin(), result_.stuck.end());
      return false;
    }
    length = best.value;
    end = row_[at(best.index)] < 0 ? best.index : free_column_within(length);
    if (end >= 0) break;
    const ptrdiff_t j = best.index;
    settled_.push_back(j);
    reached.push_back(length);
    row = row_[at(j)];
    head = length - (cost_(row, j) - v_[at(j)]);
    distance_[j] = kInf;  // and never lowered again:
    open_v_[j] = -kInf;
    if (settled_.size() % 256 == 0) poll_interrupt();
  }
  for (size_t k = 0; k < settled_.size(); ++k) v_[at(settled_[k])] += reached[k] - length;
  for (;;) {
    const ptrdiff_t through = from_[end], next = column_[at(through)];
    match(through, end);
    if (through == start) return true;
    end = next;
  }
}

AssignmentResult Assigner::run() {
  require(n_ <= m_, "an assignment needs a column for every row");
  take_best();
  for (int round = 0; round < 2; ++round) reduce();
  for (ptrdiff_t j = 0; j < m_; ++j) {
    if (row_[at(j)] < 0) free_.push_back(j);
  }
  for (const ptrdiff_t row : waiting_) {
    poll_interrupt();
    if (!augment(row)) return std::move(result_);
    ++result_.augmentations;
    if (free_.size() > 2 * waiting_.size() + 16) continue;
    std::erase_if(free_, [&](ptrdiff_t j) { return row_[at(j)] >= 0; });
  }
  std::vector<double> used(at(n_)), ones(at(n_), 1.0);
  for (ptrdiff_t i = 0; i < n_; ++i) used[at(i)] = cost_(i, column_[at(i)]);
  result_.value = weighted_sum(ones.data(), used.data(), n_).value;
  result_.column = std::move(column_);
  result_.v = std::move(v_);
  return std::move(result_);
}

}  // namespace

AssignmentResult assign(MatrixView<const double> cost, const double* start, int workers) {
  return Assigner(cost, start, workers).run();
}

}  // namespace kexue::transport
