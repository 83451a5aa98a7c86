#include "kexue/lattice/characters.hpp"

#include <algorithm>
#include <bit>

#include "kexue/core/constants.hpp"
#include "kexue/core/error.hpp"
#include "kexue/lattice/utf8.hpp"

namespace kexue::lattice {

namespace {

using std::size_t;
using std::uint16_t;
using std::uint32_t;
using std::uint64_t;

constexpr uint64_t kNoLabel = 0xFFFF;
constexpr uint32_t kMostUnits = 1U << 24;
// After so many places that did not fit, children go to the end.
constexpr int kAttempts = 48;

template <class Visit>
void each_point(std::string_view text, Visit&& visit) {
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = decode(text.substr(i));
    visit(point.code);
    i += static_cast<size_t>(point.size);
  }
}

// Units that are taken; the free ones from `first_` on are tried in ascending order, and those that
// have failed too often are passed over for good.
class Places {
 public:
  explicit Places(uint32_t n_codes) : n_codes_(n_codes), first_(n_codes) {
    used_.resize(n_codes, true);
    base_used_.resize(1, true);
  }

  // A base for children with the given labels, which ascend; their units are taken.
  uint32_t place(std::span<const uint16_t> labels) {
    int attempts = 0;
    uint32_t unit = first_;
    for (; attempts < kAttempts; ++unit) {
      if (used(unit)) continue;
      ++attempts;
      const uint32_t base = unit - labels[0];
      if (!base_used(base) && fits(base, labels)) return occupy(base, labels);
      if (unit >= used_.size()) break;
    }
    if (attempts == kAttempts) {  // half of what was tried is given up
      for (attempts = 0; attempts < kAttempts / 2; ++first_) attempts += used(first_) ? 0 : 1;
    }
    uint32_t base = static_cast<uint32_t>(used_.size()) - labels[0];
    while (base_used(base)) ++base;
    return occupy(base, labels);
  }

  uint32_t size() const { return static_cast<uint32_t>(used_.size()); }

 private:
  bool used(uint32_t unit) const { return unit < used_.size() && used_[unit]; }
  bool base_used(uint32_t base) const { return base < base_used_.size() && base_used_[base]; }
  bool fits(uint32_t base, std::span<const uint16_t> labels) const {
    return std::none_of(labels.begin(), labels.end(),
                        [&](uint16_t label) { return used(base + label); });
  }
  uint32_t occupy(uint32_t base, std::span<const uint16_t> labels) {
    require(base + n_codes_ < kMostUnits, "too many pieces for one trie");
    if (base >= base_used_.size()) base_used_.resize(base + size_t{base} / 2 + 1, false);
    base_used_[base] = true;
    const uint32_t end = base + labels.back() + 1;
    if (end > used_.size()) used_.resize(end, false);
    for (const uint16_t label : labels) used_[base + label] = true;
    while (used(first_)) ++first_;
    return base;
  }

  uint32_t n_codes_, first_;
  std::vector<bool> used_, base_used_;
};

// A node: the strings begin .. end - 1 share their first `depth` codes.
struct Node {
  size_t begin, end, depth;
  uint32_t unit;
};

}  // namespace

bool Characters::can_take(std::span<const std::string_view> pieces) {
  std::vector<bool> seen(kBadByte, false);
  size_t n = 0;
  for (const std::string_view piece : pieces) {
    each_point(piece, [&](uint32_t point) {
      if (seen[point]) return;
      seen[point] = true;
      ++n;
    });
  }
  return n + kAscii < kMostCodes && pieces.size() < CharacterUnit::kMostValue;
}

Characters::Characters(std::span<const std::string_view> pieces, std::span<const uint32_t> values) {
  number(pieces);
  std::vector<uint16_t> codes;
  std::vector<size_t> begin{0};
  for (const std::string_view piece : pieces) {
    each_point(piece, [&](uint32_t point) { codes.push_back(code(point)); });
    begin.push_back(codes.size());
  }
  build(codes, begin, values);
  join(codes, begin);
}

void Characters::number(std::span<const std::string_view> pieces) {
  std::vector<bool> seen(kBadByte, false);
  for (const std::string_view piece : pieces) {
    each_point(piece, [&](uint32_t point) { seen[point] = true; });
  }
  narrow_.assign(0x10000, 0);
  n_codes_ = kAscii + 1;
  for (uint32_t point = 0; point < kBadByte; ++point) {
    if (point < kAscii) {
      narrow_[point] = static_cast<uint16_t>(point + 1);
    } else if (seen[point]) {
      if (point < 0x10000) narrow_[point] = static_cast<uint16_t>(n_codes_);
      if (point >= 0x10000) wide_.push_back(point);
      ++n_codes_;
    }
  }
}

uint16_t Characters::wide_code(uint32_t point) const {
  const auto at = std::lower_bound(wide_.begin(), wide_.end(), point);
  if (at == wide_.end() || *at != point) return 0;
  return static_cast<uint16_t>(n_codes_ - static_cast<size_t>(wide_.end() - at));
}

// Level by level, so that the shallow units, where walks spend their time, lie close together.
void Characters::build(std::span<const uint16_t> codes, std::span<const size_t> begin,
                       std::span<const uint32_t> values) {
  const CharacterUnit nothing{kNoLabel << 48, -kInf};
  Places places(static_cast<uint32_t>(n_codes_));
  units_.assign(n_codes_, nothing);
  std::vector<Node> level{{0, values.size(), 0, 0}}, below;
  std::vector<uint16_t> labels;
  std::vector<size_t> starts;
  for (; !level.empty(); std::swap(level, below), below.clear()) {
    for (const Node& node : level) {
      size_t first = node.begin;
      if (node.depth > 0 && begin[first + 1] - begin[first] == node.depth) {
        units_[node.unit].link |= uint64_t{values[first++]} << 24;
      }
      labels.clear();
      starts.clear();
      for (size_t i = first; i < node.end; ++i) {
        const uint16_t label = codes[begin[i] + node.depth];
        if (!labels.empty() && labels.back() == label) continue;
        labels.push_back(label);
        starts.push_back(i);
      }
      if (labels.empty()) continue;
      starts.push_back(node.end);
      const uint32_t base = node.depth == 0 ? 0 : places.place(labels);
      units_.resize(std::max<size_t>(units_.size(), places.size()), nothing);
      if (node.depth > 0) units_[node.unit].link |= base;
      for (size_t j = 0; j < labels.size(); ++j) {
        const uint32_t unit = base + labels[j];
        units_[unit].link = uint64_t{labels[j]} << 48;
        below.push_back({starts[j], starts[j + 1], node.depth + 1, unit});
      }
    }
  }
  // Any code can be looked up from any base.
  units_.resize(units_.size() + n_codes_, nothing);
}

void Characters::join(std::span<const uint16_t> codes, std::span<const size_t> begin) {
  size_t n_bits = n_codes_ * n_codes_;
  if (n_codes_ > kExact) {
    const int bits = std::clamp(static_cast<int>(std::bit_width(8 * codes.size())), 16, 24);
    hash_shift_ = 32 - bits;
    n_bits = kAsciiPairs + (size_t{1} << bits);
  }
  pairs_.assign(n_bits / 64 + 1, 0);
  for (size_t i = 0; i + 1 < begin.size(); ++i) {
    for (size_t k = begin[i]; k + 1 < begin[i + 1]; ++k) {
      const uint32_t bit = pair(codes[k], codes[k + 1]);
      pairs_[bit / 64] |= uint64_t{1} << (bit % 64);
    }
  }
}

void Characters::set_scores(std::span<const double> scores) {
  for (CharacterUnit& unit : units_) {
    if (unit.value() != 0) unit.score = scores[unit.value()];
  }
}

}  // namespace kexue::lattice
