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
constexpr int kDigits = 3, kBits = 10, kValues = 1 << kBits;

struct Key {
  uint64_t bits;
  uint64_t key() const { return bits; }
};

// Sorts items by key in place, equal keys as they stand, using `other` of the same length.
template <class Item>
void merge_sort(Item* items, Item* other, ptrdiff_t n) {
  constexpr ptrdiff_t kFew = 24;
  if (n <= kFew) {
    for (ptrdiff_t i = 1; i < n; ++i) {
      const Item item = items[i];
      ptrdiff_t place = i;
      for (; place > 0 && items[place - 1].key() > item.key(); --place)
        items[place] = items[place - 1];
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
    *out = right == items + n || left->key() <= right->key() ? *left++ : *right++;
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

template <class Item>
struct Stored {
  const Item* items;
  Item operator()(ptrdiff_t i) const { return items[i]; }
};

template <class Source, class Item>
Item* sort_from(const Source& source, Item* items, Item* other, ptrdiff_t n, Watch& watch);

// Completes the order of items that are sorted by the bits of their keys from `low` on.
template <class Item>
void sort_runs(Item* items, Item* other, ptrdiff_t n, int low, Watch& watch) {
  ptrdiff_t sorted = 1;
  each(n, watch, [&](ptrdiff_t i) {
    if (i < sorted || items[i - 1].key() <= items[i].key()) return;
    const uint64_t leading = items[i].key() >> low;
    ptrdiff_t begin = i - 1, end = i + 1;
    while (begin > 0 && items[begin - 1].key() >> low == leading) --begin;
    while (end < n && items[end].key() >> low == leading) ++end;
    sorted = end;
    if (end - begin <= kShort) return merge_sort(items + begin, other + begin, end - begin);
    const Item* run =
        sort_from(Stored<Item>{items + begin}, other + begin, items + begin, end - begin, watch);
    if (run != items + begin) std::copy_n(run, end - begin, items + begin);
  });
}

// A stable radix sort by the kDigits leading digits of those bits in which keys differ.
template <class Source, class Item>
Item* radix_sort(const Source& source, Item* items, Item* other, ptrdiff_t n, Watch& watch) {
  uint64_t all = ~uint64_t{0}, any = 0;
  each(n, watch, [&](ptrdiff_t i) {
    const uint64_t key = source(i).key();
    all &= key;
    any |= key;
  });
  const int low = std::max(0, 64 - std::countl_zero(all ^ any) - kDigits * kBits);
  std::uint32_t counts[kDigits][kValues];
  std::memset(counts, 0, sizeof(counts));
  each(n, watch, [&](ptrdiff_t i) {
    const uint64_t key = source(i).key() >> low;
    for (int d = 0; d < kDigits; ++d) ++counts[d][key >> (kBits * d) & (kValues - 1)];
  });
  const uint64_t some = source(0).key();
  bool moved = false;
  for (int d = 0; d < kDigits; ++d) {
    const int shift = low + kBits * d;
    if (counts[d][some >> shift & (kValues - 1)] == static_cast<std::uint32_t>(n)) continue;
    ptrdiff_t place[kValues], next = 0;
    for (int value = 0; value < kValues; ++value) {
      place[value] = next;
      next += counts[d][value];
    }
    const auto deal = [&](const auto& from, Item* to) {
      each(n, watch, [&](ptrdiff_t i) {
        const Item item = from(i);
        to[place[item.key() >> shift & (kValues - 1)]++] = item;
      });
    };
    if (moved) {
      deal(Stored<Item>{items}, other);
      std::swap(items, other);
    } else {
      deal(source, items);
      moved = true;
    }
  }
  if (!moved) each(n, watch, [&](ptrdiff_t i) { items[i] = source(i); });
  if (low > 0) sort_runs(items, other, n, low, watch);
  return items;
}

// Sorts source(i), i < n, by key into `items` or `other`; returns which. The source may lie in
// `other`.
template <class Source, class Item>
Item* sort_from(const Source& source, Item* items, Item* other, ptrdiff_t n, Watch& watch) {
  if (n > kShort) return radix_sort(source, items, other, n, watch);
  for (ptrdiff_t i = 0; i < n; ++i) items[i] = source(i);
  merge_sort(items, other, n);
  return items;
}

}  // namespace

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
  const auto source = [x](ptrdiff_t i) { return Key{ordered_bits(x[i])}; };
  const Key* result = sort_from(source, items, items + n, n, watch);
  each(n, watch, [&](ptrdiff_t i) { sorted[i] = from_ordered_bits(result[i].key()); });
}

const Pair* sort_pairs(const double* x, const double* companion, ptrdiff_t n, Pair* scratch,
                       Watch& watch) {
  const auto source = [=](ptrdiff_t i) { return Pair(x[i], companion[i]); };
  return sort_from(source, scratch, scratch + n, n, watch);
}

}  // namespace kexue::transport
