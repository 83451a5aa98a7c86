#include "kexue/lattice/chunks.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "kexue/core/error.hpp"
#include "kexue/lattice/utf8.hpp"

namespace kexue::lattice {
namespace {

// A longer chunk would only slow down whoever works on it; nobody's piece is that long.
constexpr std::size_t kLongestChunk = std::size_t{1} << 16;

std::uint32_t hash_of(std::string_view chunk) {
  std::uint64_t hash = 0x9E3779B97F4A7C15 ^ chunk.size();
  std::size_t i = 0;
  for (; i + 8 <= chunk.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, chunk.data() + i, 8);
    hash = (hash ^ word) * 0xFF51AFD7ED558CCD;
    hash ^= hash >> 32;
  }
  std::uint64_t rest = 0;
  if (i < chunk.size()) std::memcpy(&rest, chunk.data() + i, chunk.size() - i);
  hash = (hash ^ rest) * 0xC4CEB9FE1A85EC53;
  return static_cast<std::uint32_t>(hash >> 32);
}

bool is_digit(std::uint32_t code) { return code >= '0' && code <= '9'; }

}  // namespace

ChunkCounter::ChunkCounter(ChunkRules rules, std::size_t max_bytes, Key key)
    : rules_(std::move(rules)), max_bytes_(max_bytes), key_(key) {
  require(max_bytes_ >= std::size_t{1} << 20, "chunks need a megabyte");
}

void ChunkCounter::add(std::string_view text) {
  n_texts_ += 1;
  n_bytes_ += static_cast<double>(text.size());
  // Symbols of the user and NUL belong to no chunk.
  std::size_t begin = 0;
  const auto split = [&](std::size_t end) {
    const std::string_view part = text.substr(begin, end - begin);
    rules_.lines ? split_lines(part) : split_words(part);
  };
  if (rules_.symbols.empty() && text.find('\0') == std::string_view::npos)
    return split(text.size());
  for (std::size_t i = 0; i < text.size();) {
    std::string_view value;
    auto size = static_cast<std::size_t>(rules_.symbols.longest(text.substr(i), value));
    if (text[i] == '\0' && !rules_.lines) size = 1;
    if (size > 0) split(i);
    i += std::max<std::size_t>(size, 1);
    if (size > 0) begin = i;
  }
  split(text.size());
}

void ChunkCounter::split_words(std::string_view text) {
  if (!rules_.split_by_whitespace) return split_scripts(text);
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t stop = i;
    while (stop < text.size() && text[stop] == ' ') ++stop;
    if (stop == i) {
      ++i;
      continue;
    }
    // text[i .. stop) is a run of spaces; one of them goes with a word.
    if (rules_.whitespace_as_suffix) {
      split_scripts(text.substr(begin, i + 1 - begin));
      begin = i + 1;
    } else {
      split_scripts(text.substr(begin, i - begin));
      begin = i;
    }
    const std::size_t last = rules_.whitespace_as_suffix ? stop : stop - 1;
    if (rules_.join_spaces && last > begin) count(text.substr(begin, last - begin));
    for (; !rules_.join_spaces && begin < last; ++begin) count(text.substr(begin, 1));
    begin = last;
    i = stop;
  }
  split_scripts(text.substr(begin));
}

void ChunkCounter::split_scripts(std::string_view word) {
  std::size_t begin = 0, spaces = 0;  // where the spaces in front of the next character begin
  std::uint8_t last = kAnyScript;
  bool after_digit = false;
  const auto cut = [&](std::size_t place) {
    if (place > begin) count(word.substr(begin, place - begin));
    begin = std::max(begin, place);
    last = kAnyScript;
  };
  for (std::size_t i = 0; i < word.size();) {
    const CodePoint point = decode(word.substr(i));
    const bool space = point.code == ' ';
    const bool digit = is_digit(point.code);
    std::uint8_t script =
        point.code < rules_.script.size() ? rules_.script[point.code] : rules_.beyond;
    if (script == kInherited) script = last;
    if (space || (digit && !rules_.split_by_number)) script = kAnyScript;
    const bool changes =
        rules_.split_by_script && script != kAnyScript && last != kAnyScript && script != last;
    if (rules_.split_digits && (digit || after_digit)) {
      cut(i);
    } else if (changes || i - begin >= kLongestChunk) {
      cut(rules_.whitespace_as_suffix ? i : spaces);
    }
    if (script != kAnyScript) last = script;
    after_digit = digit;
    i += static_cast<std::size_t>(point.size);
    if (!space) spaces = i;
  }
  cut(word.size());
}

void ChunkCounter::split_lines(std::string_view text) {
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t stop = text.find('\n', i);
    stop = std::min(stop, text.size());
    while (stop < text.size() && text[stop] == '\n') ++stop;
    for (; stop - begin > kLongestChunk; begin += kLongestChunk) {
      count(text.substr(begin, kLongestChunk));
    }
    count(text.substr(begin, stop - begin));
    begin = i = stop;
  }
}

void ChunkCounter::count(std::string_view chunk) {
  if (chunk.empty()) return;
  chunks_.add(chunk, 1);
  if (chunks_.bytes() <= max_bytes_) return;
  while (2 * chunks_.bytes() > max_bytes_ && chunks_.size() > 1) {
    threshold_ *= 2;
    chunks_.filter([&](double count) {
      if (count >= threshold_) return count;
      return uniform(key_, draws_++) * threshold_ < count ? threshold_ : 0;
    });
  }
}

void CountedStrings::add(std::string_view string, double count) {
  const std::uint32_t hash = hash_of(string);
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = hash & mask;
  for (; slots_[slot] != 0; slot = (slot + 1) & mask) {
    const std::size_t i = slots_[slot] - 1;
    if (hashes_[i] == hash && (*this)[i] == string) {
      counts_[i] += count;
      return;
    }
  }
  slots_[slot] = static_cast<std::uint32_t>(counts_.size()) + 1;
  text_.append(string);
  begin_.push_back(static_cast<Index>(text_.size()));
  counts_.push_back(count);
  hashes_.push_back(hash);
  if (2 * counts_.size() > slots_.size()) rehash(2 * slots_.size());
}

void CountedStrings::rehash(std::size_t size) {
  require(size < std::size_t{1} << 31, "too many different strings");
  slots_.assign(size, 0);
  for (std::size_t i = 0; i < hashes_.size(); ++i) {
    std::size_t slot = hashes_[i] & (size - 1);
    while (slots_[slot] != 0) slot = (slot + 1) & (size - 1);
    slots_[slot] = static_cast<std::uint32_t>(i) + 1;
  }
}

CharacterCounts count_characters(std::string_view text, std::span<const Index> begin,
                                 std::span<const double> counts) {
  // Pages of 256 characters, made when one of them occurs.
  std::vector<std::vector<double>> pages(kBadByte / 256 + 1);
  for (std::size_t c = 0; c < counts.size(); ++c) {
    const auto stop = static_cast<std::size_t>(begin[c + 1]);
    for (auto i = static_cast<std::size_t>(begin[c]); i < stop;) {
      const CodePoint point = decode(text.substr(i, stop - i));
      std::vector<double>& page = pages[point.code / 256];
      if (page.empty()) page.resize(256, 0.0);
      page[point.code % 256] += counts[c];
      i += static_cast<std::size_t>(point.size);
    }
  }
  CharacterCounts found;
  for (std::uint32_t code = 1; code < kBadByte; ++code) {
    const std::vector<double>& page = pages[code / 256];
    if (page.empty() || page[code % 256] == 0) continue;
    found.code.push_back(code);
    found.count.push_back(page[code % 256]);
  }
  return found;
}

Chunks keep_characters(std::string_view text, std::span<const Index> begin,
                       std::span<const double> counts, std::span<const std::uint32_t> kept) {
  std::vector<bool> keeps(kBadByte + 256, false);
  for (std::uint32_t code : kept) {
    if (code < keeps.size()) keeps[code] = true;
  }
  Chunks out;
  out.text.reserve(text.size());
  out.begin.reserve(begin.size());
  out.counts.reserve(counts.size());
  for (std::size_t c = 0; c < counts.size(); ++c) {
    const auto stop = static_cast<std::size_t>(begin[c + 1]);
    const auto close = [&] {
      if (static_cast<std::size_t>(out.begin.back()) == out.text.size()) return;
      out.begin.push_back(static_cast<Index>(out.text.size()));
      out.counts.push_back(counts[c]);
    };
    for (auto i = static_cast<std::size_t>(begin[c]); i < stop;) {
      const CodePoint point = decode(text.substr(i, stop - i));
      const auto size = static_cast<std::size_t>(point.size);
      if (keeps[point.code]) {
        out.text.append(text.substr(i, size));
      } else {
        close();
      }
      i += size;
    }
    close();
  }
  return out;
}

}  // namespace kexue::lattice
