#include "kexue/lattice/charsmap.hpp"

#include <algorithm>
#include <unordered_map>

#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"

namespace kexue::lattice {
namespace {

constexpr std::size_t kBlock = 256;
constexpr std::uint32_t kLeaf = std::uint32_t{1} << 31;
constexpr std::uint32_t kEndsHere = std::uint32_t{1} << 8;
constexpr std::uint32_t kLargestOffset = std::uint32_t{1} << 21;
constexpr std::size_t kLongestKey = 1000;  // the builder recurses once for each byte

std::uint32_t offset_of(std::uint32_t unit) {
  const std::uint32_t shift = (unit & (std::uint32_t{1} << 9)) >> 6;
  return (unit >> 10) << shift;
}
std::uint32_t label_of(std::uint32_t unit) { return unit & (kLeaf | 0xFF); }

std::uint32_t read_word(std::string_view bytes, std::size_t place) {
  std::uint32_t word = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    word |= std::uint32_t{static_cast<unsigned char>(bytes[place + i])} << (8 * i);
  }
  return word;
}
void append_word(std::string& bytes, std::uint32_t word) {
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<char>(word >> (8 * i) & 0xFF));
}

// Places the nodes of a sorted list of keys, one family of children after the other.
class Builder {
 public:
  explicit Builder(std::span<const Rule> rules) : rules_(rules) {}

  std::string build() {
    for (const Rule& rule : rules_) starts_.push_back(store(rule.value));
    grow(1);
    used_[0] = is_base_[0] = true;  // an offset of 0 would lead from the root to itself
    arrange(0, 0, rules_.size(), 0);
    fill_gaps();
    std::string blob;
    append_word(blob, static_cast<std::uint32_t>(4 * units_.size()));
    for (std::uint32_t unit : units_) append_word(blob, unit);
    return blob + values_;
  }

 private:
  std::uint32_t store(std::string_view value) {
    const auto [place, is_new] = known_.try_emplace(std::string(value), values_.size());
    if (is_new) values_.append(value).push_back('\0');
    return static_cast<std::uint32_t>(place->second);
  }
  void grow(std::size_t size) {
    if (size <= units_.size()) return;
    const std::size_t wanted = (size + kBlock - 1) / kBlock * kBlock;
    require(wanted < kLargestOffset, "too many rules for one map");
    units_.resize(wanted, 0);
    used_.resize(wanted, false);
    is_base_.resize(wanted, false);
  }

  // The children of `node`, which the keys begin..end share up to `depth`. A key that ends at the
  // node comes first and is child 0.
  void arrange(std::size_t node, std::size_t begin, std::size_t end, std::size_t depth) {
    poll_interrupt();  // a map of all rules takes a third of a second
    std::vector<unsigned char> labels;
    std::vector<std::size_t> first;
    for (std::size_t i = begin; i < end; ++i) {
      const std::string_view key = rules_[i].key;
      const auto label = depth < key.size() ? static_cast<unsigned char>(key[depth]) : 0;
      if (labels.empty() || labels.back() != label) {
        labels.push_back(static_cast<unsigned char>(label));
        first.push_back(i);
      }
    }
    first.push_back(end);
    const std::size_t base = find_base(labels);
    is_base_[base] = true;
    units_[node] |= static_cast<std::uint32_t>(node ^ base) << 10;
    for (unsigned char label : labels) {
      used_[base ^ label] = true;
      units_[base ^ label] = label;
    }
    for (std::size_t k = 0; k < labels.size(); ++k) {
      if (labels[k] == 0) {
        units_[node] |= kEndsHere;
        units_[base] = starts_[first[k]] | kLeaf;
      } else {
        arrange(base ^ labels[k], first[k], first[k + 1], depth + 1);
      }
    }
  }
  std::size_t find_base(const std::vector<unsigned char>& labels) {
    while (next_free_ < used_.size() && used_[next_free_]) ++next_free_;
    for (std::size_t place = next_free_;; ++place) {
      grow(place + 1);
      const std::size_t base = place ^ labels.front();
      if (used_[place] || is_base_[base]) continue;
      const bool free = std::all_of(labels.begin(), labels.end(),
                                    [&](unsigned char label) { return !used_[base ^ label]; });
      if (free) return base;
    }
  }
  // A unit that is no node gets a label that no base of its block can ask for.
  void fill_gaps() {
    for (std::size_t block = 0; block < units_.size(); block += kBlock) {
      std::size_t unused = block;
      while (unused < block + kBlock && is_base_[unused]) ++unused;
      for (std::size_t i = block; i < block + kBlock; ++i) {
        if (!used_[i]) units_[i] = static_cast<std::uint32_t>((i ^ unused) & 0xFF);
      }
    }
  }

  std::span<const Rule> rules_;
  std::vector<std::uint32_t> starts_, units_;
  std::vector<bool> used_, is_base_;
  std::size_t next_free_ = 1;
  std::string values_;
  std::unordered_map<std::string, std::size_t> known_;
};

}  // namespace

Charsmap::Charsmap(std::string_view blob) {
  if (blob.empty()) return;
  require(blob.size() > 4, "the map of characters is cut short");
  const std::size_t size = read_word(blob, 0);
  require(size >= 4 && size % 4 == 0 && size < blob.size() - 4,
          "the map of characters is cut short");
  units_.resize(size / 4);
  for (std::size_t i = 0; i < units_.size(); ++i) units_[i] = read_word(blob, 4 + 4 * i);
  values_ = blob.substr(4 + size);
  values_.push_back('\0');
  for (int byte = 0; byte < 128; ++byte) {
    std::string_view value;
    char pair[2] = {static_cast<char>(byte), 0};
    bool plain = longest({pair, 1}, value) == 0;
    for (int next = 0; plain && next < 128; ++next) {
      pair[1] = static_cast<char>(next);
      plain = longest({pair, 2}, value) == 0;
    }
    plain_[byte] = plain;
  }
}

std::ptrdiff_t Charsmap::longest(std::string_view text, std::string_view& value) const {
  if (units_.empty()) return 0;
  std::ptrdiff_t found = 0;
  std::size_t node = offset_of(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (node >= units_.size() || label_of(units_[node]) != byte) break;
    const std::uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if ((unit & kEndsHere) == 0) continue;
    if (node >= units_.size()) break;
    const std::size_t start = units_[node] & (kLeaf - 1);
    if (start >= values_.size()) break;
    value = std::string_view(values_.data() + start);
    found = static_cast<std::ptrdiff_t>(i) + 1;
  }
  return found;
}

std::string build_charsmap(std::span<const Rule> rules) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    require(!rules[i].key.empty() && rules[i].key.size() <= kLongestKey,
            "the key of a rule must have 1 to 1000 bytes");
    require(rules[i].key.find('\0') == std::string_view::npos &&
                rules[i].value.find('\0') == std::string_view::npos,
            "rules must be free of NUL");
    require(i == 0 || rules[i - 1].key < rules[i].key, "rules must ascend");
  }
  return rules.empty() ? std::string() : Builder(rules).build();
}

}  // namespace kexue::lattice
