// What is known of short segments, by their bytes.
//
// Whether a segment is found changes the time and nothing else: entries hold what the sweeps would
// give, keys are compared in full. Memory is bounded: a crowded table forgets entries one by one,
// and records are forgotten all at once when their room is full.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "kexue/core/buffer.hpp"

namespace kexue::lattice {

// The bytes of a segment of 1 .. kLongest bytes, zeros behind them and the size in the last byte.
template <std::ptrdiff_t kBytes>
struct SegmentKey {
  static constexpr std::ptrdiff_t kLongest = kBytes - 1;
  static constexpr int kParts = kBytes / 8;
  std::uint64_t part[kParts];

  // kBytes from `text` may be read.
  static SegmentKey of(const std::uint8_t* text, std::ptrdiff_t size) {
    struct Mask {
      std::uint8_t keep[2 * kBytes] = {};
      constexpr Mask() {
        for (int i = 0; i < kBytes; ++i) keep[i] = 255;
      }
    };
    alignas(64) static constexpr Mask kMask;
    SegmentKey key;
    const std::uint8_t* const keep = kMask.keep + (kBytes - size);
    for (int j = 0; j < kParts; ++j) key.part[j] = word_at(text + 8 * j) & word_at(keep + 8 * j);
    constexpr int kLast = std::endian::native == std::endian::little ? 56 : 0;
    key.part[kParts - 1] |= static_cast<std::uint64_t>(size) << kLast;
    return key;
  }
  static std::uint64_t word_at(const std::uint8_t* at) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
  }
  bool operator==(const SegmentKey& other) const {
    std::uint64_t differ = 0;
    for (int j = 0; j < kParts; ++j) differ |= part[j] ^ other.part[j];
    return differ == 0;
  }
  std::size_t hash() const {
    constexpr std::uint64_t kFactor[4] = {0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F,
                                          0x165667B19E3779F9, 0xD6E8FEB86659FD93};
    std::uint64_t h = 0;
    for (int j = 0; j < kParts; ++j) {
      if (j > 0 && j % 4 == 0) h = (h ^ h >> 32) * 0xFF51AFD7ED558CCD;
      h ^= part[j] * kFactor[j % 4];
    }
    h ^= h >> 32;
    return static_cast<std::size_t>(h * 0xFF51AFD7ED558CCD);
  }
};
using ShortKey = SegmentKey<16>;
using WordKey = SegmentKey<32>;
using PhraseKey = SegmentKey<64>;

// Half a cache line for short words, one for longer ones, two for phrases.
template <class Value, class Key>
struct alignas(2 * sizeof(Key)) WordEntry {
  Key key;
  Value value;
};

// Entries lie one behind the other in the order they came in; slots of four bytes, by open
// addresses, say where. Slots of tens of thousands of words stay in the second-level cache, and a
// segment that is not there touches nothing else (Chinese, a third of the segments new: 1.2x over
// entries in open addresses). A segment's slot is at most kWindow - 1 behind its place. A table
// begins small, so that a short text touches little memory; at most half of its slots are in use.
template <class Value, class Key>
class WordTable {
 public:
  // Fewer than 2^most_bits entries.
  explicit WordTable(int most_bits) : most_bits_(most_bits) { clear(); }

  bool empty() const { return n_ == 1; }

  // To be called now and then.
  void make_room() {
    if (2 * n_ <= slots_.size() || bits_ > most_bits_) return;
    const int bits = std::min(bits_ + 2, most_bits_ + 1);
    std::vector<std::uint32_t> slots((std::size_t{1} << bits) + kWindow, 0);
    slots_ = std::move(slots);
    bits_ = bits;
    for (std::size_t i = 1; i < n_; ++i) {
      const std::size_t hash = entries_[static_cast<std::ptrdiff_t>(i)].key.hash();
      std::uint32_t* const slot = free_slot(hash);
      if (slot != nullptr) *slot = slot_of(hash, i);
    }
  }

  // Where to look for a segment; the slot is on its way into the nearest cache.
  std::size_t place(const Key& key) const {
    const std::size_t hash = key.hash();
    prefetch(slots_.data() + slot(hash));
    return hash;
  }

  // With the slots there: the entry that is the segment's nearly always, if it has one; it is on
  // its way too.
  std::uint32_t approach(std::size_t place) const {
    const std::uint32_t* const slots = slots_.data() + slot(place);
    const std::uint32_t differs = slots[0] ^ slot_of(place, 0);
    const std::uint32_t other = 0 - static_cast<std::uint32_t>(differs > kIndex);
    const std::uint32_t found = (slots[0] ^ ((slots[0] ^ slots[1]) & other)) & kIndex;
    prefetch(entries_.data() + found);
    return found;
  }

  // The value of a segment, or null; `entry` is what approach() said.
  const Value* find(const Key& key, std::size_t place, std::uint32_t entry) const {
    const Entry& likely = entries_[static_cast<std::ptrdiff_t>(entry)];
    return likely.key == key ? &likely.value : find(key, place);
  }
  const Value* find(const Key& key, std::size_t place) const {
    const std::uint32_t* const slots = slots_.data() + slot(place);
    const std::uint32_t tag = slot_of(place, 0);
    for (std::size_t k = 0; k < kWindow; ++k) {
      if ((slots[k] ^ tag) > kIndex) continue;
      const Entry& entry = entries_[static_cast<std::ptrdiff_t>(slots[k] & kIndex)];
      if (entry.key == key) return &entry.value;
    }
    return nullptr;
  }

  // The segment must not be there. Where there is no room another one is forgotten.
  void insert(const Key& key, std::size_t place, const Value& value) {
    std::uint32_t* slot = free_slot(place);
    std::size_t at = n_;
    if (slot == nullptr || n_ == std::size_t{1} << most_bits_) {
      slot = slots_.data() + this->slot(place) + next_++ % kWindow;
      if (*slot == 0) return;
      at = *slot & kIndex;
    } else {
      if (entries_.size() <= static_cast<std::ptrdiff_t>(at)) grow();
      ++n_;
    }
    entries_[static_cast<std::ptrdiff_t>(at)] = {key, value};
    *slot = slot_of(place, at);
  }

  // Takes the segments that are not there from another table; value_of(value) is to be theirs.
  template <class ValueOf>
  void add(const WordTable& more, ValueOf&& value_of) {
    for (std::size_t i = 1; i < more.n_; ++i) {
      const Entry& entry = more.entries_[static_cast<std::ptrdiff_t>(i)];
      make_room();
      const std::size_t place = entry.key.hash();
      if (find(entry.key, place) == nullptr) insert(entry.key, place, value_of(entry.value));
    }
  }

  void clear() {
    bits_ = kLeastBits + 1;
    slots_.assign((std::size_t{1} << bits_) + kWindow, 0);
    slots_.shrink_to_fit();
    entries_ = AlignedBuffer<Entry>(std::ptrdiff_t{1} << kLeastBits);
    entries_[0] = {};  // no segment's: a key is never 0
    n_ = 1;
  }

 private:
  using Entry = WordEntry<Value, Key>;
  static_assert(sizeof(Entry) == 2 * sizeof(Key));
  static constexpr int kLeastBits = 9, kIndexBits = 17;
  static constexpr std::uint32_t kIndex = (1U << kIndexBits) - 1;
  static constexpr std::size_t kWindow = 4;

  std::size_t slot(std::size_t hash) const { return hash >> (64 - bits_); }
  // 15 bits of the hash, one of which is set, and the number of an entry.
  static std::uint32_t slot_of(std::size_t hash, std::size_t entry) {
    return static_cast<std::uint32_t>(hash >> 16) << kIndexBits | 1U << 31 |
           static_cast<std::uint32_t>(entry);
  }
  std::uint32_t* free_slot(std::size_t hash) {
    std::uint32_t* const slots = slots_.data() + slot(hash);
    for (std::size_t k = 0; k < kWindow; ++k) {
      if (slots[k] == 0) return slots + k;
    }
    return nullptr;
  }
  void grow() {
    AlignedBuffer<Entry> larger(4 * entries_.size());
    std::copy_n(entries_.data(), entries_.size(), larger.data());
    entries_ = std::move(larger);
  }
  static void prefetch(const void* there) {
#if defined(__GNUC__)
    __builtin_prefetch(there);
#else
    static_cast<void>(there);
#endif
  }

  int most_bits_, bits_ = 0;  // of entries, of slots
  std::size_t n_ = 0, next_ = 0;
  std::vector<std::uint32_t> slots_;
  AlignedBuffer<Entry> entries_;
};

// A segment of a line, looked up in advance.
struct Word {
  const std::uint8_t* text;
  std::ptrdiff_t size;
  ShortKey key;  // of a short one
  std::size_t place;
  std::uint32_t entry;
};
constexpr std::size_t kGroup = 48;

// Words by their length: most are short, and as many again of them stay in a cache.
template <class Short, class Long>
struct WordTables {
  static constexpr std::ptrdiff_t kLongest = WordKey::kLongest;
  WordTable<Short, ShortKey> shorts;
  WordTable<Long, WordKey> longs;

  // At most 2^bits short words, half as many longer ones.
  explicit WordTables(int bits) : shorts(bits), longs(bits - 1) {}

  static bool is_short(const Word& word) { return word.size <= ShortKey::kLongest; }
  bool empty() const { return shorts.empty() && longs.empty(); }
  void make_room() {
    shorts.make_room();
    longs.make_room();
  }
  void clear() {
    shorts.clear();
    longs.clear();
  }

  // Fills `group` from segments number s on, the first of which begins at `begin`; their number. A
  // group's waits for memory overlap.
  std::size_t look_ahead(const std::uint8_t* text, std::span<const std::int64_t> ends,
                         std::size_t s, std::int64_t begin, Word* group) const {
    const std::size_t n = std::min(kGroup, ends.size() - s);
    for (std::size_t w = 0; w < n; ++w) {
      Word& word = group[w];
      word.text = text + begin;
      word.size = ends[s + w] - begin;
      begin = ends[s + w];
      if (is_short(word)) {
        word.key = ShortKey::of(word.text, word.size);
        word.place = shorts.place(word.key);
      } else if (word.size <= kLongest) {
        word.place = longs.place(WordKey::of(word.text, word.size));
      }
    }
    for (std::size_t w = 0; w < n; ++w) {
      Word& word = group[w];
      if (is_short(word)) {
        word.entry = shorts.approach(word.place);
      } else if (word.size <= kLongest) {
        word.entry = longs.approach(word.place);
      }
    }
    return n;
  }
  // Of segments of at most kLongest bytes that have been looked up.
  const Short* find_short(const Word& word) const {
    return shorts.find(word.key, word.place, word.entry);
  }
  const Long* find_long(const Word& word) const {
    return longs.find(WordKey::of(word.text, word.size), word.place, word.entry);
  }
  // The same without the entry, which another table has said.
  const Short* find_new_short(const Word& word) const { return shorts.find(word.key, word.place); }
  const Long* find_new_long(const Word& word) const {
    return longs.find(WordKey::of(word.text, word.size), word.place);
  }
  // Where both have the same values.
  const Short* find(const Word& word) const
    requires std::is_same_v<Short, Long>
  {
    return is_short(word) ? find_short(word) : find_long(word);
  }
  const Short* find_new(const Word& word) const
    requires std::is_same_v<Short, Long>
  {
    return is_short(word) ? find_new_short(word) : find_new_long(word);
  }
  template <class ValueOf>
  void add(const WordTables& more, ValueOf&& value_of) {
    shorts.add(more.shorts, value_of);
    longs.add(more.longs, value_of);
  }
  void insert(const Word& word, const Short& value)
    requires std::is_same_v<Short, Long>
  {
    if (is_short(word)) {
      shorts.insert(word.key, word.place, value);
    } else {
      longs.insert(WordKey::of(word.text, word.size), word.place, value);
    }
  }
};

}  // namespace kexue::lattice
