#include "kexue/lattice/trie.hpp"

#include <algorithm>
#include <deque>

#include "kexue/core/error.hpp"

namespace kexue::lattice {

namespace {

using std::size_t;
using std::uint32_t;
using std::uint8_t;

constexpr uint32_t kMaxSlots = 1U << 24;
constexpr uint32_t kBlock = 256;
// After so many places that did not fit children go to a new block, and half of those places are
// given up, so that no search is long and at most a tenth of the slots are lost.
constexpr int kAttempts = 48;

// Slots in blocks of 256; the empty ones form a list in ascending order, whose next and previous
// slots are kept in the units themselves.
class Slots {
 public:
  explicit Slots(std::vector<TrieUnit>& units) : units_(units) {
    add_block();
    take(0);  // the root, which is no child: no base may lead to it
    base_used_[0] = true;
  }

  // A base for children with the given labels, whose slots are taken.
  uint32_t place(std::span<const uint8_t> labels) {
    uint32_t slot = head_;
    for (int attempt = 0; slot != kNone && attempt < kAttempts; ++attempt, slot = next(slot)) {
      const uint32_t base = slot ^ labels[0];
      if (!base_used_[base] && fits(base, labels)) return occupy(base, labels);
    }
    if (slot != kNone) {
      for (int i = 0; i < kAttempts / 2; ++i) unlink(head_);
    }
    const uint32_t block = size();
    add_block();
    return occupy(block, labels);
  }

  bool used(uint32_t slot) const { return used_[slot]; }
  bool base_used(uint32_t base) const { return base_used_[base]; }
  uint32_t size() const { return static_cast<uint32_t>(used_.size()); }

  // The first slot of a new block that stays empty.
  uint32_t reserve_block() {
    const uint32_t block = size();
    add_block();
    base_used_[block] = true;
    return block;
  }

 private:
  static constexpr uint32_t kNone = ~0U;

  void add_block() {
    const uint32_t begin = size();
    require(begin + kBlock <= kMaxSlots, "too many pieces for one trie");
    used_.resize(begin + kBlock, false);
    base_used_.resize(begin + kBlock, false);
    unlisted_.resize(begin + kBlock, false);
    units_.resize(begin + kBlock);
    for (uint32_t slot = begin; slot < begin + kBlock; ++slot) {
      previous(slot) = slot == begin ? tail_ : slot - 1;
      next(slot) = slot + 1 == begin + kBlock ? kNone : slot + 1;
    }
    if (tail_ == kNone) {
      head_ = begin;
    } else {
      next(tail_) = begin;
    }
    tail_ = begin + kBlock - 1;
  }

  uint32_t& next(uint32_t slot) { return units_[slot].link; }
  uint32_t& previous(uint32_t slot) { return units_[slot].value; }

  void take(uint32_t slot) {
    used_[slot] = true;
    unlink(slot);
    units_[slot] = {0, 0};
  }

  void unlink(uint32_t slot) {
    if (unlisted_[slot]) return;
    unlisted_[slot] = true;
    const uint32_t before = previous(slot), after = next(slot);
    (before == kNone ? head_ : next(before)) = after;
    (after == kNone ? tail_ : previous(after)) = before;
  }

  bool fits(uint32_t base, std::span<const uint8_t> labels) const {
    return std::none_of(labels.begin(), labels.end(),
                        [&](uint8_t label) { return used_[base ^ label]; });
  }

  uint32_t occupy(uint32_t base, std::span<const uint8_t> labels) {
    base_used_[base] = true;
    for (const uint8_t label : labels) take(base ^ label);
    return base;
  }

  std::vector<TrieUnit>& units_;
  std::vector<bool> used_, base_used_, unlisted_;
  uint32_t head_ = kNone, tail_ = kNone;
};

// A node of one depth with children: the strings begin .. end - 1 go on from it.
struct Node {
  uint32_t begin, end, slot;
};

// About as many as there will be: one for each node, a few more stay empty.
size_t slots_of(std::span<const std::string_view> strings) {
  size_t nodes = 0;
  std::string_view last;
  for (const std::string_view string : strings) {
    const size_t most = std::min(last.size(), string.size());
    const auto differ = std::mismatch(last.begin(), last.begin() + most, string.begin());
    nodes += string.size() - static_cast<size_t>(differ.first - last.begin());
    last = string;
  }
  return nodes + nodes / 16 + 2 * size_t{kBlock};
}

}  // namespace

Trie::Trie(std::span<const std::string_view> strings, std::span<const uint32_t> values) {
  require(strings.size() == values.size(), "one value per string");
  units_.reserve(slots_of(strings));
  Slots slots(units_);
  std::deque<Node> nodes;  // what is left of one level, then the one below it: no room to spare
  // The value of a string that ends at the node; leaves wait for a base until all others have one.
  const auto add = [&](uint32_t begin, uint32_t end, size_t depth, uint32_t slot) {
    ++n_nodes_;
    if (begin < end && strings[begin].size() == depth) {
      require(depth > 0, "strings must not be empty");
      units_[slot].value = values[begin++];
      longest_ = std::max(longest_, static_cast<std::ptrdiff_t>(depth));
    }
    if (begin < end) nodes.push_back({begin, end, slot});
  };
  add(0, static_cast<uint32_t>(strings.size()), 0, 0);
  std::vector<uint8_t> labels;
  std::vector<uint32_t> starts;
  for (size_t depth = 0; !nodes.empty(); ++depth) {
    for (size_t left = nodes.size(); left > 0; --left) {
      const Node node = nodes.front();
      nodes.pop_front();
      labels.clear();
      starts.clear();
      for (uint32_t i = node.begin; i < node.end; ++i) {
        require(strings[i].size() > depth, "strings must differ");
        const auto label = static_cast<uint8_t>(strings[i][depth]);
        if (labels.empty() || labels.back() != label) {
          require(labels.empty() || labels.back() < label, "strings must be sorted");
          labels.push_back(label);
          starts.push_back(i);
        }
      }
      starts.push_back(node.end);
      const uint32_t base = slots.place(labels);
      units_[node.slot].link |= base << 8;
      for (size_t j = 0; j < labels.size(); ++j) {
        const uint32_t slot = base ^ labels[j];
        units_[slot].link = labels[j];
        add(starts[j], starts[j + 1], depth + 1, slot);
      }
    }
  }
  nowhere_ = slots.reserve_block();
  for (uint32_t slot = 0; slot < slots.size(); ++slot) {
    if (slots.used(slot)) {
      // No base is 0.
      if (units_[slot].link >> 8 == 0) units_[slot].link |= nowhere_ << 8;
      continue;
    }
    // A block with an empty slot has fewer bases than slots, so that a label remains.
    uint32_t label = 0;
    while (slots.base_used(slot ^ label)) ++label;
    units_[slot] = {label, 0};
  }
}

}  // namespace kexue::lattice
