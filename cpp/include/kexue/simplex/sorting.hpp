// The order of a row by radix sort: stable, O(n), free of comparisons.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kexue/core/buffer.hpp"
#include "kexue/core/error.hpp"

namespace kexue::simplex {

// Scratch for rows of up to n entries. sort(x, n) fills order() with the indices of x[0], ...,
// x[n - 1] from the largest entry to the smallest, equal ones (0 and -0 too) from first to last.
template <class T>
class FallingOrder {
  using Key = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  struct Entry {
    Key key;
    std::uint32_t index;
  };

 public:
  explicit FallingOrder(std::ptrdiff_t n = 0) : entries_(n), other_(n) {
    require(n <= std::ptrdiff_t{0xffffffff}, "rows are limited to 2^32 - 1 entries");
  }

  void sort(const T* x, std::ptrdiff_t n) {
    for (std::ptrdiff_t i = 0; i < n; ++i) {
      entries_[i] = {falling_key(x[i]), static_cast<std::uint32_t>(i)};
    }
    if (n < kRadixFrom) {
      std::sort(entries_.data(), entries_.data() + n, [](const Entry& a, const Entry& b) {
        return a.key < b.key || (a.key == b.key && a.index < b.index);
      });
    } else {
      radix_sort(n);
    }
  }
  std::ptrdiff_t operator[](std::ptrdiff_t i) const { return entries_[i].index; }

 private:
  // Below, comparisons are faster than the counters' overhead.
  static constexpr std::ptrdiff_t kRadixFrom = 192;
  static constexpr int kBits = 8, kBuckets = 1 << kBits, kDigits = 8 * sizeof(Key) / kBits;

  // Keys rise where numbers fall.
  static Key falling_key(T value) {
    const Key bits = std::bit_cast<Key>(value + T(0));
    constexpr Key kSign = Key(1) << (8 * sizeof(Key) - 1);
    return (bits & kSign) != 0 ? bits : static_cast<Key>(~(bits | kSign));
  }

  void radix_sort(std::ptrdiff_t n) {
    std::ptrdiff_t counts[kDigits][kBuckets] = {};
    for (std::ptrdiff_t i = 0; i < n; ++i) {
      for (int d = 0; d < kDigits; ++d) ++counts[d][digit(entries_[i].key, d)];
    }
    for (int d = 0; d < kDigits; ++d) {
      if (counts[d][digit(entries_[0].key, d)] == n) continue;  // one bucket holds everything
      std::ptrdiff_t next = 0;
      for (std::ptrdiff_t& count : counts[d]) {
        const std::ptrdiff_t size = count;
        count = next;
        next += size;
      }
      for (std::ptrdiff_t i = 0; i < n; ++i) {
        const Entry entry = entries_[i];
        other_[counts[d][digit(entry.key, d)]++] = entry;
      }
      std::swap(entries_, other_);
    }
  }
  static std::size_t digit(Key key, int d) {
    return static_cast<std::size_t>(key >> (kBits * d)) & (kBuckets - 1);
  }

  AlignedBuffer<Entry> entries_, other_;
};

}  // namespace kexue::simplex
