// The order of a row by radix sort: stable, O(n), free of comparisons; and its k-th largest entry.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kexue/core/buffer.hpp"
#include "kexue/core/error.hpp"
#include "kexue/simplex/row_loop.hpp"

namespace kexue::simplex {

// The bits of a number as an unsigned integer.
template <class T>
using Key = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
// Keys rise where numbers fall; 0 and -0 have one key.
template <class T>
Key<T> falling_key(T value) {
  const auto bits = std::bit_cast<Key<T>>(value + T(0));
  constexpr Key<T> kSign = Key<T>(1) << (8 * sizeof(T) - 1);
  return (bits & kSign) != 0 ? bits : static_cast<Key<T>>(~(bits | kSign));
}

// Of a row without NaN, 1 <= k <= n. `scratch` holds n entries. A long row loses all but one bucket
// of its leading bits in every round.
template <class T>
T kth_largest(const T* x, std::ptrdiff_t n, std::ptrdiff_t k, T* scratch) {
  constexpr int kBits = 11;
  int shift = 8 * static_cast<int>(sizeof(T));
  while (n > kPollEntries && shift > 0) {
    const int width = std::min(kBits, shift);
    shift -= width;
    const auto digit = [=](T v) {
      return static_cast<std::size_t>(falling_key(v) >> shift) & ((std::size_t{1} << width) - 1);
    };
    std::ptrdiff_t counts[std::size_t{1} << kBits] = {};
    for_polled(n, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
      for (std::ptrdiff_t i = begin; i < end; ++i) ++counts[digit(x[i])];
    });
    std::size_t bucket = 0;
    while (counts[bucket] < k) k -= counts[bucket++];
    std::ptrdiff_t kept = 0;
    for_polled(n, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
      for (std::ptrdiff_t i = begin; i < end; ++i) {
        if (digit(x[i]) == bucket) scratch[kept++] = x[i];
      }
    });
    x = scratch;
    n = kept;
  }
  if (x != scratch) std::copy_n(x, n, scratch);
  if (n > kPollEntries) return scratch[0];  // all are equal
  std::nth_element(scratch, scratch + (k - 1), scratch + n, [](T a, T b) { return a > b; });
  return scratch[k - 1];
}

// Scratch for rows of up to n entries. sort(x, n) fills order() with the indices of x[0], ...,
// x[n - 1] from the largest entry to the smallest, equal ones (0 and -0 too) from first to last.
template <class T>
class FallingOrder {
  struct Entry {
    Key<T> key;
    std::uint32_t index;
  };

 public:
  explicit FallingOrder(std::ptrdiff_t n = 0) : entries_(n), other_(n) {
    require(n <= std::ptrdiff_t{0xffffffff}, "rows are limited to 2^32 - 1 entries");
  }

  void sort(const T* x, std::ptrdiff_t n) {
    for_polled(n, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
      for (std::ptrdiff_t i = begin; i < end; ++i) {
        entries_[i] = {falling_key(x[i]), static_cast<std::uint32_t>(i)};
      }
    });
    if (n < kRadixFrom) {
      std::sort(entries_.data(), entries_.data() + n, [](const Entry& a, const Entry& b) {
        return a.key < b.key || (a.key == b.key && a.index < b.index);
      });
    } else {
      radix_sort(n);
    }
  }
  std::ptrdiff_t capacity() const { return entries_.size(); }
  std::ptrdiff_t operator[](std::ptrdiff_t i) const { return entries_[i].index; }

 private:
  // Below, comparisons are faster than the counters' overhead.
  static constexpr std::ptrdiff_t kRadixFrom = 192;
  static constexpr int kBits = 8, kBuckets = 1 << kBits, kDigits = 8 * sizeof(T) / kBits;

  void radix_sort(std::ptrdiff_t n) {
    std::ptrdiff_t counts[kDigits][kBuckets] = {};
    for_polled(n, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
      for (std::ptrdiff_t i = begin; i < end; ++i) {
        for (int d = 0; d < kDigits; ++d) ++counts[d][digit(entries_[i].key, d)];
      }
    });
    for (int d = 0; d < kDigits; ++d) {
      if (counts[d][digit(entries_[0].key, d)] == n) continue;  // one bucket holds everything
      std::ptrdiff_t next = 0;
      for (std::ptrdiff_t& count : counts[d]) {
        const std::ptrdiff_t size = count;
        count = next;
        next += size;
      }
      for_polled(n, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
        for (std::ptrdiff_t i = begin; i < end; ++i) {
          const Entry entry = entries_[i];
          other_[counts[d][digit(entry.key, d)]++] = entry;
        }
      });
      std::swap(entries_, other_);
    }
  }
  static std::size_t digit(Key<T> key, int d) {
    return static_cast<std::size_t>(key >> (kBits * d)) & (kBuckets - 1);
  }

  AlignedBuffer<Entry> entries_, other_;
};

}  // namespace kexue::simplex
