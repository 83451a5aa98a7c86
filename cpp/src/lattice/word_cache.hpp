// What is known of short segments, by their bytes.
//
// A cache belongs to one thread at a time: batches borrow caches from a pool and give them back
// warm. Whether a segment is found changes the time and nothing else: entries hold what the sweeps
// would give, keys are compared in full. Memory is bounded: a crowded table forgets entries one by
// one, and records are forgotten all at once when their room is full.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <utility>
#include <vector>

namespace kexue::lattice {

constexpr std::ptrdiff_t kLongestWord = 32, kLongestPhrase = 64;

// The bytes of a segment of 1 .. kLongest bytes, zeros behind them.
template <std::ptrdiff_t kLongest>
struct SegmentKey {
  static constexpr int kParts = kLongest / 8;
  std::uint64_t part[kParts];

  // kLongest bytes from `text` may be read.
  static SegmentKey of(const std::uint8_t* text, std::ptrdiff_t size) {
    struct Mask {
      std::uint8_t keep[2 * kLongest] = {};
      constexpr Mask() {
        for (int i = 0; i < kLongest; ++i) keep[i] = 255;
      }
    };
    alignas(64) static constexpr Mask kMask;
    SegmentKey key, keep;
    std::memcpy(key.part, text, sizeof key.part);
    std::memcpy(keep.part, kMask.keep + (kLongest - size), sizeof keep.part);
    for (int j = 0; j < kParts; ++j) key.part[j] &= keep.part[j];
    return key;
  }
  bool operator==(const SegmentKey& other) const {
    std::uint64_t differ = 0;
    for (int j = 0; j < kParts; ++j) differ |= part[j] ^ other.part[j];
    return differ == 0;
  }
  std::uint64_t hash(std::ptrdiff_t size) const {
    constexpr std::uint64_t kFactor[4] = {0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F,
                                          0x165667B19E3779F9, 0xD6E8FEB86659FD93};
    std::uint64_t h = 0;
    for (int j = 0; j < kParts; ++j) {
      if (j == 4) h = (h ^ h >> 32) * 0xFF51AFD7ED558CCD;
      h ^= part[j] * kFactor[j % 4];
    }
    h += static_cast<std::uint64_t>(size);
    h ^= h >> 32;
    return h * 0xFF51AFD7ED558CCD;
  }
};
using WordKey = SegmentKey<kLongestWord>;

// One cache line for words, two for phrases: `Value` has 28 or 60 bytes.
template <class Value, class Key>
struct alignas(64) WordEntry {
  Key key;
  std::uint8_t size;  // of the segment; 0 if the entry is empty
  Value value;
};

// Open addresses: a segment lies at most kWindow - 1 entries behind its place. A table begins
// small, so that a short text touches little memory, and doubles when it is half full.
template <class Value, class Key = WordKey>
class WordTable {
 public:
  // At most 2^most_bits entries.
  explicit WordTable(int most_bits) : most_bits_(most_bits) { allocate(kLeastBits); }

  // To be called now and then; places found before are void.
  void make_room() {
    const std::size_t size = std::size_t{1} << bits_;
    if (2 * n_ <= size || bits_ >= most_bits_) return;
    const Memory before = std::move(memory_);
    const Entry* const old = entries_;
    allocate(bits_ + 1);
    for (std::size_t i = 0; i < size + kWindow; ++i) {
      const Entry& entry = old[i];
      if (entry.size != 0) insert(entry.key, entry.size, place(entry.key, entry.size), entry.value);
    }
  }

  // Where to look for a segment; on its way into the nearest cache.
  std::size_t place(const Key& key, std::ptrdiff_t size) const {
    const auto at = static_cast<std::size_t>(key.hash(size) >> (64 - bits_));
#if defined(__GNUC__)
    __builtin_prefetch(entries_ + at);
#endif
    return at;
  }

  // The value of a segment, or null.
  const Value* find(const Key& key, std::ptrdiff_t size, std::size_t place) const {
    for (const Entry *entry = entries_ + place, *end = entry + kWindow; entry < end; ++entry) {
      if (entry->size == size && entry->key == key) return &entry->value;
      if (entry->size == 0) return nullptr;
    }
    return nullptr;
  }

  // The segment must not be there. Where there is no room another one is forgotten.
  void insert(const Key& key, std::ptrdiff_t size, std::size_t place, const Value& value) {
    Entry* entry = entries_ + place;
    const Entry* const end = entry + kWindow;
    while (entry < end && entry->size != 0) ++entry;
    if (entry == end) entry -= 1 + n_++ % kWindow;
    *entry = {key, static_cast<std::uint8_t>(size), value};
    ++n_;
  }

  void clear() { allocate(kLeastBits); }

 private:
  using Entry = WordEntry<Value, Key>;
  static_assert(sizeof(Entry) == 2 * sizeof(Key));
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  using Memory = std::unique_ptr<void, Free>;

  void allocate(int bits) {
    const std::size_t n = (std::size_t{1} << bits) + kWindow;
    memory_ = Memory(std::calloc(n + 1, sizeof(Entry)));
    if (memory_ == nullptr) throw std::bad_alloc();
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.get());
    const std::size_t beyond = address % alignof(Entry);
    auto* const bytes = static_cast<std::byte*>(memory_.get());
    entries_ = reinterpret_cast<Entry*>(bytes + (beyond == 0 ? 0 : alignof(Entry) - beyond));
    bits_ = bits;
    n_ = 0;
  }

  static constexpr int kLeastBits = 10;
  static constexpr std::size_t kWindow = 4;
  int most_bits_, bits_ = 0;
  std::size_t n_ = 0;  // entries; more once some were forgotten
  Memory memory_;
  Entry* entries_ = nullptr;
};

// The segments of a line, a group at a time, with the places of the short ones looked up in
// advance: a group's waits for memory overlap.
struct Word {
  const std::uint8_t* text;
  std::ptrdiff_t size;
  WordKey key;        // of a short segment
  std::size_t place;  // the same
};
constexpr std::size_t kGroup = 48;

// Fills `group` from segments number s on, the first of which begins at `begin`; their number.
template <class Table>
std::size_t look_ahead(const Table& table, const std::uint8_t* text,
                       std::span<const std::int64_t> ends, std::size_t s, std::int64_t begin,
                       Word* group) {
  std::size_t n = 0;
  for (; n < kGroup && s + n < ends.size(); ++n) {
    Word& word = group[n];
    word.text = text + begin;
    word.size = ends[s + n] - begin;
    begin = ends[s + n];
    if (word.size > kLongestWord) continue;
    word.key = WordKey::of(word.text, word.size);
    word.place = table.place(word.key, word.size);
  }
  return n;
}

// Caches that no thread is using. The oldest are lent first: they know most.
template <class Cache>
class CachePool {
  struct Held {
    std::uint64_t number;
    std::unique_ptr<Cache> cache;
  };

 public:
  // A cache that goes back to its pool, which must outlive it.
  class Loan {
   public:
    explicit Loan(CachePool& pool) : pool_(&pool), held_(pool.take()) {}
    Loan(Loan&& other) noexcept : pool_(other.pool_), held_(std::move(other.held_)) {}
    Loan& operator=(Loan&&) = delete;
    ~Loan() {
      if (held_.cache) pool_->give(std::move(held_));
    }
    Cache& operator*() const { return *held_.cache; }

   private:
    CachePool* pool_;
    Held held_;
  };

  void clear() {
    const std::scoped_lock lock(mutex_);
    idle_.clear();
  }

 private:
  Held take() {
    std::uint64_t number = 0;
    {
      const std::scoped_lock lock(mutex_);
      const auto oldest =
          std::min_element(idle_.begin(), idle_.end(),
                           [](const Held& a, const Held& b) { return a.number < b.number; });
      if (oldest != idle_.end()) {
        Held held = std::move(*oldest);
        idle_.erase(oldest);
        return held;
      }
      number = made_++;
    }
    return {number, std::make_unique<Cache>()};
  }
  void give(Held held) noexcept {
    const std::scoped_lock lock(mutex_);
    if (idle_.size() >= kMostIdle) return;
    try {
      idle_.push_back(std::move(held));
    } catch (const std::bad_alloc&) {
      return;  // it is forgotten
    }
  }

  static constexpr std::size_t kMostIdle = 64;
  std::mutex mutex_;
  std::vector<Held> idle_;
  std::uint64_t made_ = 0;
};

}  // namespace kexue::lattice
