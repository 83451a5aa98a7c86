// Columns that may become pivots soon, with their products with the whole matrix; of pivoted QR.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "kexue/core/vectors.hpp"
#include "kexue/lowrank/squares.hpp"

namespace kexue::lowrank {

// Columns by squared length, then by index.
struct LongerFirst {
  std::span<const double> squares;

  double of(std::ptrdiff_t j) const { return squares[static_cast<std::size_t>(j)]; }
  bool operator()(std::ptrdiff_t i, std::ptrdiff_t j) const {
    return of(i) > of(j) || (of(i) == of(j) && i < j);
  }
};

// The `size` longest columns in any order; none of negative square, none that is `skipped`. They
// lie in blocks whose longest columns are among the longest: most blocks are left aside as a whole.
inline std::vector<std::ptrdiff_t> longest_columns(std::span<const double> squares,
                                                   std::span<const std::ptrdiff_t> skipped,
                                                   std::ptrdiff_t size) {
  constexpr std::size_t kBlock = 16, kLanes = 4;
  const std::size_t n = squares.size(), blocks = (n + kBlock - 1) / kBlock;
  std::vector<double> lengths(blocks * kBlock, -1.0), tops(blocks);
  std::copy(squares.begin(), squares.end(), lengths.begin());
  for (const std::ptrdiff_t j : skipped) lengths[static_cast<std::size_t>(j)] = -1;
  for (std::size_t b = 0; b < blocks; ++b) {
    const double* block = lengths.data() + b * kBlock;
    // Maxima side by side wait for one another less.
    double top[kLanes] = {-1, -1, -1, -1};
    for (std::size_t j = 0; j < kBlock; j += kLanes) {
      for (std::size_t l = 0; l < kLanes; ++l) top[l] = std::max(top[l], block[j + l]);
    }
    tops[b] = std::max(std::max(top[0], top[1]), std::max(top[2], top[3]));
  }
  double least = 0;
  if (static_cast<std::size_t>(size) < blocks) {
    std::vector<double> sorted(tops);
    std::nth_element(sorted.begin(), sorted.begin() + size, sorted.end(),
                     [](double x, double y) { return x > y; });
    least = std::max(least, sorted[static_cast<std::size_t>(size)]);
  }
  std::vector<std::ptrdiff_t> columns;
  for (std::size_t b = 0; b < blocks; ++b) {
    if (tops[b] < least) continue;
    for (std::size_t j = b * kBlock; j < std::min(n, (b + 1) * kBlock); ++j) {
      if (lengths[j] >= least) columns.push_back(static_cast<std::ptrdiff_t>(j));
    }
  }
  if (size < std::ssize(columns)) {
    std::nth_element(columns.begin(), columns.begin() + size, columns.end(), LongerFirst{squares});
    columns.resize(static_cast<std::size_t>(size));
  }
  return columns;
}

// r = inverse * b; the squared norms of columns that are not taken fall by the squares of r.
// Returns the largest norm left.
template <class T>
double take_row(real_t<T> inverse, const T* b, T* r, double* norms, std::ptrdiff_t n) {
  using R = real_t<T>;
  const auto& kernels = square_kernels<R>();
  const auto downdate = is_complex_v<T> ? kernels.downdate_complex : kernels.downdate;
  return downdate(inverse, reinterpret_cast<const R*>(b), reinterpret_cast<R*>(r), norms, n);
}

template <class T>
class CandidatePool {
 public:
  // Squared norms of what is left of a column: when it was added, and before and after it was made
  // orthogonal to all of Q for the last time.
  struct Member {
    std::ptrdiff_t column;  // kGone: taken or spoiled
    double first = 0, loaded = 0, start = 0;
  };
  static constexpr std::ptrdiff_t kGone = -1;

  // For columns of m entries and products of n.
  CandidatePool(std::ptrdiff_t capacity, std::ptrdiff_t m, std::ptrdiff_t n)
      : capacity_(capacity), m_(m), n_(n) {}

  std::ptrdiff_t size() const { return std::ssize(members_); }
  std::ptrdiff_t capacity() const { return capacity_; }
  std::span<Member> members() { return members_; }
  Member& operator[](std::ptrdiff_t t) { return members_[static_cast<std::size_t>(t)]; }
  T* column(std::ptrdiff_t t) { return columns_.data() + t * m_; }
  T* product(std::ptrdiff_t t) { return products_.data() + t * n_; }
  double squared_length(std::ptrdiff_t t) { return std::real(inner(column(t), column(t), m_)); }

  void clear() { members_.clear(); }
  void add(std::ptrdiff_t j) {
    if (columns_.size() == 0) {
      columns_ = AlignedBuffer<T>(capacity_ * m_);
      products_ = AlignedBuffer<T>(capacity_ * n_);
    }
    members_.push_back({j});
  }

  // Where column j is; kGone if it is not here.
  std::ptrdiff_t place_of(std::ptrdiff_t j) const {
    const auto found = std::find_if(members_.begin(), members_.end(),
                                    [j](const Member& member) { return member.column == j; });
    return found == members_.end() ? kGone : found - members_.begin();
  }

  std::vector<std::ptrdiff_t> columns() const {
    std::vector<std::ptrdiff_t> known;
    for (const Member& member : members_) {
      if (member.column != kGone) known.push_back(member.column);
    }
    return known;
  }
  // For n columns, 1 where a column is here.
  std::vector<char> marks(std::ptrdiff_t n) const {
    std::vector<char> known(static_cast<std::size_t>(n), 0);
    for (const std::ptrdiff_t j : columns()) known[static_cast<std::size_t>(j)] = 1;
    return known;
  }

  // Drops the members that are gone and, of the others, all but the first `count` in `order`, a
  // comparison of columns.
  template <class Order>
  void keep(std::ptrdiff_t count, const Order& order) {
    std::vector<std::ptrdiff_t> known = columns();
    if (std::ssize(known) > count) {
      std::nth_element(known.begin(), known.begin() + count, known.end(), order);
      for (auto j = known.begin() + count; j != known.end(); ++j) {
        (*this)[place_of(*j)].column = kGone;
      }
    }
    // The last members fill the gaps.
    std::ptrdiff_t kept = size();
    for (std::ptrdiff_t t = 0; t < kept;) {
      if ((*this)[t].column != kGone) {
        ++t;
      } else if (--kept; t < kept && (*this)[kept].column != kGone) {
        std::copy_n(column(kept), m_, column(t));
        std::copy_n(product(kept), n_, product(t));
        (*this)[t] = (*this)[kept];
      }
    }
    members_.resize(static_cast<std::size_t>(kept));
  }

 private:
  std::ptrdiff_t capacity_, m_, n_;
  std::vector<Member> members_;
  AlignedBuffer<T> columns_, products_;  // a row for every member
};

}  // namespace kexue::lowrank
