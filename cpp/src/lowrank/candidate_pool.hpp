// Columns that may become pivots soon, with their products with the whole matrix; of pivoted QR.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "kexue/core/vectors.hpp"

namespace kexue::lowrank {

// Columns by squared length, then by index.
struct LongerFirst {
  std::span<const double> squares;

  double of(std::ptrdiff_t j) const { return squares[static_cast<std::size_t>(j)]; }
  bool operator()(std::ptrdiff_t i, std::ptrdiff_t j) const {
    return of(i) > of(j) || (of(i) == of(j) && i < j);
  }
};

// The `size` longest columns in any order; none of negative square, none that is `skipped`.
inline std::vector<std::ptrdiff_t> longest_columns(std::span<const double> squares,
                                                   std::span<const char> skipped,
                                                   std::ptrdiff_t size) {
  std::vector<std::ptrdiff_t> columns;
  columns.reserve(squares.size());
  for (std::size_t j = 0; j < squares.size(); ++j) {
    if (squares[j] < 0 || (!skipped.empty() && skipped[j] != 0)) continue;
    columns.push_back(static_cast<std::ptrdiff_t>(j));
  }
  if (size < std::ssize(columns)) {
    std::nth_element(columns.begin(), columns.begin() + size, columns.end(), LongerFirst{squares});
    columns.resize(static_cast<std::size_t>(size));
  }
  return columns;
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

  // For n columns, 1 where a column is here.
  std::vector<char> marks(std::ptrdiff_t n) const {
    std::vector<char> known(static_cast<std::size_t>(n), 0);
    for (const Member& member : members_) {
      if (member.column != kGone) known[static_cast<std::size_t>(member.column)] = 1;
    }
    return known;
  }

  // Drops the members that are gone and, of the others, all but the first `count` in `order`, a
  // comparison of columns.
  template <class Order>
  void keep(std::ptrdiff_t count, const Order& order) {
    std::vector<std::ptrdiff_t> columns;
    for (const Member& member : members_) {
      if (member.column != kGone) columns.push_back(member.column);
    }
    if (std::ssize(columns) > count) {
      std::nth_element(columns.begin(), columns.begin() + count, columns.end(), order);
      for (auto j = columns.begin() + count; j != columns.end(); ++j) {
        (*this)[place_of(*j)].column = kGone;
      }
    }
    std::ptrdiff_t kept = 0;
    for (std::ptrdiff_t t = 0; t < size(); ++t) {
      if ((*this)[t].column == kGone) continue;
      if (kept < t) {
        std::copy_n(column(t), m_, column(kept));
        std::copy_n(product(t), n_, product(kept));
        (*this)[kept] = (*this)[t];
      }
      ++kept;
    }
    members_.resize(static_cast<std::size_t>(kept));
  }

 private:
  std::ptrdiff_t capacity_, m_, n_;
  std::vector<Member> members_;
  AlignedBuffer<T> columns_, products_;  // a row for every member
};

}  // namespace kexue::lowrank
