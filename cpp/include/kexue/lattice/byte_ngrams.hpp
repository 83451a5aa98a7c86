// The byte n-gram language model, and the segmentation it implies.
//
//   p(g) = c(g) / c(g without its last byte),  g of 1 .. order bytes,  c(empty) = number of bytes
//
// n-grams of two bytes and more that occur less than min_count times are left out, all 256 bytes
// are in. A text is segmented by the best sequence of states: in state k the byte is the (k+1)-th
// of its piece (the last state: or a later one) and scores log p(byte | the k bytes before it);
// state k is followed by k + 1 or, where a piece ends, by 0. With `unicode`, no piece begins inside
// a character.
//
// O(bytes order) time; 16 bytes per distinct n-gram of memory.
//
// References: Jianlin Su, https://kexue.fm, 3956 (2016-09-12) and 9752 (2023-09-07).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kexue/lattice/chunks.hpp"

namespace kexue::lattice {

class ByteNgrams {
 public:
  static constexpr int kLargestOrder = 6;

  // order in 1..kLargestOrder.
  ByteNgrams(std::string_view text, std::span<const Index> begin, std::span<const double> counts,
             int order, double min_count);

  // log p of the last byte of an n-gram of 1..order bytes; -inf if it is left out.
  float log_probability(std::string_view ngram) const;
  std::ptrdiff_t size() const { return n_entries_; }

  // The pieces of all chunks, counted, in ascending order of length and bytes.
  Chunks segment(std::string_view text, std::span<const Index> begin,
                 std::span<const double> counts, bool unicode, int workers = 0) const;

 private:
  struct Entry {
    std::uint64_t key = 0;  // 0 if free
    double value = 0;       // the count, then log p
  };
  const Entry* find(std::uint64_t key) const;
  Entry& place(std::uint64_t key);
  void cut(std::string_view chunk, bool unicode, std::vector<double>& scores,
           std::vector<std::uint8_t>& back, std::vector<std::size_t>& ends) const;

  int order_;
  std::ptrdiff_t n_entries_ = 0;
  std::vector<Entry> table_;
};

}  // namespace kexue::lattice
