#include "kexue/lattice/byte_ngrams.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kexue/core/constants.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"

namespace kexue::lattice {
namespace {

constexpr std::size_t kBlock = std::size_t{1} << 20;  // places counted at a time
constexpr std::ptrdiff_t kParts = 16;                 // of the chunks, for the pool
// n-grams as numbers: up to six bytes from the top, their number at the bottom.
struct Counted {
  std::uint64_t key;
  double count;
};
constexpr std::uint64_t kSizeMask = 0xFF;
std::uint64_t first_bytes(std::uint64_t key, int size) {
  return (key >> (64 - 8 * size) << (64 - 8 * size)) | static_cast<std::uint64_t>(size);
}
// The upper half of a product depends on all bytes.
std::size_t hash_of(std::uint64_t key) { return ((key ^ key >> 29) * 0x9E3779B97F4A7C15) >> 32; }
std::uint64_t key_of(std::string_view bytes) {
  std::uint64_t key = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    key |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (56 - 8 * i);
  }
  return key | bytes.size();
}

void sort_and_join(std::vector<Counted>& list) {
  std::sort(list.begin(), list.end(),
            [](const Counted& a, const Counted& b) { return a.key < b.key; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (kept > 0 && list[kept - 1].key == list[i].key) {
      list[kept - 1].count += list[i].count;
    } else {
      list[kept++] = list[i];
    }
  }
  list.resize(kept);
}
std::vector<Counted> merge(const std::vector<Counted>& a, const std::vector<Counted>& b) {
  std::vector<Counted> all;
  all.reserve(a.size() + b.size());
  std::size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    if (j == b.size() || (i < a.size() && a[i].key < b[j].key)) {
      all.push_back(a[i++]);
    } else if (i == a.size() || b[j].key < a[i].key) {
      all.push_back(b[j++]);
    } else {
      all.push_back({a[i].key, a[i].count + b[j].count});
      ++i;
      ++j;
    }
  }
  return all;
}

// The longest n-gram at every place, counted.
std::vector<Counted> count_longest(std::string_view text, std::span<const Index> begin,
                                   std::span<const double> counts, std::size_t order) {
  std::vector<Counted> all, block;
  const auto flush = [&] {
    poll_interrupt();
    sort_and_join(block);
    all = all.empty() ? block : merge(all, block);
    block.clear();
  };
  for (std::size_t c = 0; c < counts.size(); ++c) {
    const auto stop = static_cast<std::size_t>(begin[c + 1]);
    for (auto i = static_cast<std::size_t>(begin[c]); i < stop; ++i) {
      block.push_back({key_of(text.substr(i, std::min(order, stop - i))), counts[c]});
      if (block.size() == kBlock) flush();
    }
  }
  flush();
  return all;
}

}  // namespace

const ByteNgrams::Entry* ByteNgrams::find(std::uint64_t key) const {
  const std::size_t mask = table_.size() - 1;
  std::size_t slot = hash_of(key) & mask;
  for (; table_[slot].key != key; slot = (slot + 1) & mask) {
    if (table_[slot].key == 0) return nullptr;
  }
  return &table_[slot];
}
ByteNgrams::Entry& ByteNgrams::place(std::uint64_t key) {
  if (2 * static_cast<std::size_t>(n_entries_) >= table_.size()) {
    std::vector<Entry> old(std::max<std::size_t>(1024, 2 * table_.size()));
    old.swap(table_);
    n_entries_ = 0;
    for (const Entry& entry : old) {
      if (entry.key != 0) place(entry.key).value = entry.value;
    }
  }
  const std::size_t mask = table_.size() - 1;
  std::size_t slot = hash_of(key) & mask;
  while (table_[slot].key != key && table_[slot].key != 0) slot = (slot + 1) & mask;
  n_entries_ += table_[slot].key == 0 ? 1 : 0;
  table_[slot].key = key;
  return table_[slot];
}

ByteNgrams::ByteNgrams(std::string_view text, std::span<const Index> begin,
                       std::span<const double> counts, int order, double min_count)
    : order_(order) {
  require(order >= 1 && order <= kLargestOrder, "the order must lie in 1..6");
  const std::vector<Counted> longest =
      count_longest(text, begin, counts, static_cast<std::size_t>(order));
  double total = 0;
  for (int size = 1; size <= order; ++size) {
    for (std::size_t i = 0; i < longest.size();) {
      if (static_cast<int>(longest[i].key & kSizeMask) < size) {
        ++i;
        continue;
      }
      const std::uint64_t key = first_bytes(longest[i].key, size);
      double count = 0;
      // A shorter one with the same bytes may lie between: a NUL sorts like the end.
      for (; i < longest.size() && (longest[i].key ^ key) >> (64 - 8 * size) == 0; ++i) {
        if (static_cast<int>(longest[i].key & kSizeMask) >= size) count += longest[i].count;
      }
      if (size == 1) total += count;
      if (size == 1 || count >= min_count) place(key).value = count;
    }
  }
  for (std::uint64_t byte = 0; byte < 256; ++byte) {
    Entry& entry = place(byte << 56 | 1);
    if (entry.value == 0) {
      entry.value = 1;
      total += 1;
    }
  }
  // From the longest on: an n-gram needs the count of the one without its last byte.
  for (int size = order; size >= 1; --size) {
    for (Entry& entry : table_) {
      if (entry.key == 0 || static_cast<int>(entry.key & kSizeMask) != size) continue;
      const double whole =
          size == 1 ? total : find(first_bytes(entry.key & ~kSizeMask, size - 1))->value;
      entry.value = std::log(entry.value) - std::log(whole);
    }
  }
}

float ByteNgrams::log_probability(std::string_view ngram) const {
  require(!ngram.empty() && ngram.size() <= static_cast<std::size_t>(order_),
          "an n-gram of 1 to order bytes");
  const Entry* entry = find(key_of(ngram));
  return entry == nullptr ? -std::numeric_limits<float>::infinity()
                          : static_cast<float>(entry->value);
}

// Appends the ends of the pieces of a chunk.
void ByteNgrams::cut(std::string_view chunk, bool unicode, std::vector<double>& scores,
                     std::vector<std::uint8_t>& back, std::vector<std::size_t>& ends) const {
  const auto n = static_cast<std::size_t>(order_);
  scores.assign(2 * n, -kInf);
  back.assign(chunk.size() * n, 0);
  double* last = scores.data();
  double* here = last + n;
  for (std::size_t i = 0; i < chunk.size(); ++i) {
    std::fill_n(here, n, -kInf);
    const bool inside = unicode && (chunk[i] & 0xC0) == 0x80 && i > 0;
    for (std::size_t k = 0; k < n && k <= i; ++k) {
      const Entry* entry = find(key_of(chunk.substr(i - k, k + 1)));
      if (entry == nullptr) break;  // a longer one occurs no more often
      if (k == 0 && inside) continue;
      double best = i == 0 ? 0 : -kInf;
      std::size_t from = 0;
      if (i > 0 && k == 0) {
        from = static_cast<std::size_t>(std::max_element(last, last + n) - last);
        best = last[from];
      } else if (i > 0) {
        from = k == n - 1 && last[k] > last[k - 1] ? k : k - 1;
        best = last[from];
      }
      here[k] = best + entry->value;
      back[i * n + k] = static_cast<std::uint8_t>(from);
    }
    std::swap(last, here);
  }
  std::size_t state = static_cast<std::size_t>(std::max_element(last, last + n) - last);
  const std::size_t first = ends.size();
  ends.push_back(chunk.size());
  for (std::size_t i = chunk.size(); i-- > 1;) {
    if (state == 0) ends.push_back(i);
    state = back[i * n + state];
  }
  std::reverse(ends.begin() + static_cast<std::ptrdiff_t>(first), ends.end());
}

Chunks ByteNgrams::segment(std::string_view text, std::span<const Index> begin,
                           std::span<const double> counts, bool unicode, int workers) const {
  const std::ptrdiff_t n_chunks = std::ssize(counts);
  std::vector<CountedStrings> parts(static_cast<std::size_t>(kParts));
  parallel_for(
      kParts,
      [&](std::ptrdiff_t part, int) {
        std::vector<double> scores;
        std::vector<std::uint8_t> back;
        std::vector<std::size_t> ends;
        for (std::ptrdiff_t c = n_chunks * part / kParts; c < n_chunks * (part + 1) / kParts; ++c) {
          poll_interrupt();
          const auto start = static_cast<std::size_t>(begin[c]);
          const std::string_view chunk =
              text.substr(start, static_cast<std::size_t>(begin[c + 1]) - start);
          if (chunk.empty()) continue;
          ends.clear();
          cut(chunk, unicode, scores, back, ends);
          std::size_t from = 0;
          for (std::size_t end : ends) {
            parts[part].add(chunk.substr(from, end - from), counts[c]);
            from = end;
          }
        }
      },
      workers);
  CountedStrings all;
  for (CountedStrings& part : parts) {
    for (std::size_t i = 0; i < part.size(); ++i) all.add(part[i], part.counts()[i]);
    part = {};
  }
  std::vector<std::size_t> order(all.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return all[a].size() != all[b].size() ? all[a].size() < all[b].size() : all[a] < all[b];
  });
  Chunks pieces;
  for (std::size_t i : order) {
    pieces.text.append(all[i]);
    pieces.begin.push_back(static_cast<Index>(pieces.text.size()));
    pieces.counts.push_back(all.counts()[i]);
  }
  return pieces;
}

}  // namespace kexue::lattice
