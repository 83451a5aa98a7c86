#include "kexue/transport/sorting.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kexue/core/pool.hpp"

namespace kexue::transport {

using std::ptrdiff_t;
using std::uint64_t;

namespace {

constexpr ptrdiff_t kShort = 256;  // sorted by comparison: counting has a cost of its own
constexpr int kDigits = 8;
constexpr uint64_t kSign = uint64_t{1} << 63;

struct Key {
  uint64_t key;
};
struct Pair {
  uint64_t key, companion;
};

// Sorts items by key in place, equal keys as they stand, using `other` of the same length.
template <class Item>
void merge_sort(Item* items, Item* other, ptrdiff_t n) {
  constexpr ptrdiff_t kFew = 24;
  if (n <= kFew) {
    for (ptrdiff_t i = 1; i < n; ++i) {
      const Item item = items[i];
      ptrdiff_t place = i;
      for (; place > 0 && items[place - 1].key > item.key; --place) items[place] = items[place - 1];
      items[place] = item;
    }
    return;
  }
  const ptrdiff_t half = n / 2;
  merge_sort(items, other, half);
  merge_sort(items + half, other + half, n - half);
  std::copy_n(items, half, other);
  const Item *left = other, *right = items + half;
  for (Item* out = items; left != other + half; ++out) {
    *out = right == items + n || left->key <= right->key ? *left++ : *right++;
  }
}

// work(i) for i < n, unless the watch ends it.
template <class Work>
void each(ptrdiff_t n, Watch& watch, Work&& work) {
  for (ptrdiff_t first = 0; first < n && watch.go_on(); first += Watch::kBlock) {
    const ptrdiff_t end = std::min(n, first + Watch::kBlock);
    for (ptrdiff_t i = first; i < end; ++i) work(i);
  }
}

// Sorts items by key, using `other` of the same length; returns where they ended up.
template <class Item>
Item* radix_sort(Item* items, Item* other, ptrdiff_t n, Watch& watch) {
  if (n <= kShort) {
    merge_sort(items, other, n);
    return items;
  }
  std::uint32_t wide_counts[kDigits][256];
  std::memset(wide_counts, 0, sizeof(wide_counts));
  each(n, watch, [&](ptrdiff_t i) {
    const uint64_t key = items[i].key;
    for (int d = 0; d < kDigits; ++d) ++wide_counts[d][key >> (8 * d) & 255];
  });
  for (int d = 0; d < kDigits; ++d) {
    const auto& count = wide_counts[d];
    if (count[items[0].key >> (8 * d) & 255] == static_cast<std::uint32_t>(n)) continue;
    ptrdiff_t place[256], next = 0;
    for (int value = 0; value < 256; ++value) {
      place[value] = next;
      next += count[value];
    }
    each(n, watch, [&](ptrdiff_t i) { other[place[items[i].key >> (8 * d) & 255]++] = items[i]; });
    std::swap(items, other);
  }
  return items;
}

}  // namespace

uint64_t ordered_bits(double x) {
  const auto bits = std::bit_cast<uint64_t>(x);
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}
double from_ordered_bits(uint64_t bits) {
  return std::bit_cast<double>((bits & kSign) != 0 ? bits ^ kSign : ~bits);
}

bool Watch::go_on() {
  if (given_up_.load(std::memory_order_relaxed)) return false;
  if (std::this_thread::get_id() != owner_) return true;
  try {
    poll_interrupt();
  } catch (...) {
    given_up_.store(true, std::memory_order_relaxed);
    throw;
  }
  return true;
}

void sort_values(const double* x, ptrdiff_t n, uint64_t* scratch, double* sorted, Watch& watch) {
  auto* items = reinterpret_cast<Key*>(scratch);
  each(n, watch, [&](ptrdiff_t i) { items[i] = {ordered_bits(x[i])}; });
  const Key* result = radix_sort(items, items + n, n, watch);
  each(n, watch, [&](ptrdiff_t i) { sorted[i] = from_ordered_bits(result[i].key); });
}

void sort_pairs(const double* x, const uint64_t* companion, ptrdiff_t n, uint64_t* scratch,
                double* sorted, uint64_t* sorted_companion, Watch& watch) {
  auto* items = reinterpret_cast<Pair*>(scratch);
  each(n, watch, [&](ptrdiff_t i) { items[i] = {ordered_bits(x[i]), companion[i]}; });
  const Pair* result = radix_sort(items, items + n, n, watch);
  each(n, watch, [&](ptrdiff_t i) {
    sorted[i] = from_ordered_bits(result[i].key);
    sorted_companion[i] = result[i].companion;
  });
}

}  // namespace kexue::transport
