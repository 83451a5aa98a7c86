#include "kexue/lattice/normalizer.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <numeric>
#include <string>
#include <utility>

#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/utf8.hpp"

namespace kexue::lattice {
namespace {

constexpr std::string_view kMarkBytes = "\xE2\x96\x81";

// The whitespace of Unicode (property White_Space).
bool is_space(std::uint32_t code) {
  return (code >= 9 && code <= 13) || code == 0x20 || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}
// The number of bytes of the whitespace that `text` begins or ends with, one character of it.
std::size_t leading_space(std::string_view text) {
  if (text.empty()) return 0;
  const CodePoint point = decode(text);
  return is_space(point.code) ? static_cast<std::size_t>(point.size) : 0;
}
std::size_t trailing_space(std::string_view text) {
  for (std::size_t size = 1; size <= 3 && size <= text.size(); ++size) {
    const std::string_view last = text.substr(text.size() - size);
    if (static_cast<std::size_t>(decode(last).size) == size && leading_space(last) == size) {
      return size;
    }
  }
  return 0;
}

Index source_of(const Normalized& in, std::size_t place) {
  return in.trace ? in.source[place] : static_cast<Index>(place);
}
void finish(const Normalized& in, Normalized& out) {
  if (out.trace) out.source.push_back(in.source.back());
}
// The bytes begin .. end of a line.
Normalized slice(const Normalized& line, std::size_t begin, std::size_t end) {
  Normalized part;
  part.trace = line.trace;
  part.text = line.text.substr(begin, end - begin);
  if (line.trace) {
    part.source.assign(line.source.begin() + static_cast<std::ptrdiff_t>(begin),
                       line.source.begin() + static_cast<std::ptrdiff_t>(end) + 1);
  }
  return part;
}
// Copies bytes; with `escape` a mark becomes one space.
void copy(const Normalized& in, std::size_t begin, std::size_t end, bool escape, Normalized& out) {
  std::size_t characters = 0;
  for (std::size_t i = begin; i < end;) {
    if ((++characters & 0xFFFF) == 0) poll_interrupt();
    const bool mark = escape && std::string_view(in.text).substr(i, 3) == kMarkBytes;
    out.put(mark ? ' ' : in.text[i], source_of(in, i));
    i += mark ? 3 : 1;
  }
}

void replace(const Charsmap& map, const Normalized& in, Normalized& out) {
  const std::string_view text = in.text;
  std::size_t chunks = 0;
  for (std::size_t i = 0; i < text.size();) {
    if ((++chunks & 0xFFF) == 0) poll_interrupt();
    std::string_view value;
    const auto size = static_cast<std::size_t>(map.longest(text.substr(i), value));
    if (size > 0) {
      out.put(value, source_of(in, i));
      i += size;
      continue;
    }
    const auto whole = static_cast<std::size_t>(decode(text.substr(i)).size);
    for (std::size_t k = 0; k < whole; ++k) out.put(text[i + k], source_of(in, i + k));
    i += whole;
  }
  finish(in, out);
}

void strip(const NormalizerStep& step, const Normalized& in, Normalized& out) {
  const std::string_view text = in.text;
  const bool any = step.text.empty();
  std::size_t begin = 0, end = text.size();
  while (step.left && begin < end) {
    const std::size_t size = any ? leading_space(text.substr(begin)) : text[begin] == ' ' ? 1 : 0;
    if (size == 0) break;
    begin += size;
  }
  while (step.right && end > begin) {
    const std::string_view rest = text.substr(begin, end - begin);
    const std::size_t size = any ? trailing_space(rest) : rest.back() == ' ' ? 1 : 0;
    if (size == 0) break;
    end -= size;
  }
  out.text.assign(text.substr(begin, end - begin));
  if (out.trace) {
    out.source.assign(in.source.begin() + static_cast<std::ptrdiff_t>(begin),
                      in.source.begin() + static_cast<std::ptrdiff_t>(end) + 1);
  }
}

void join_spaces(const NormalizerStep& step, const Normalized& in, Normalized& out) {
  const std::string_view text = in.text;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t stop = i;
    while (stop < text.size() && text[stop] == ' ') ++stop;
    if (stop - i >= 2) {
      out.put(step.text, source_of(in, i));
      i = stop;
    } else {
      out.put(text[i], source_of(in, i));
      ++i;
    }
  }
  finish(in, out);
}

// Words begin with a mark; `escape` is set, so a mark is a space.
void mark(const NormalizerStep& step, bool escape, const Normalized& in, Normalized& out) {
  const std::string_view text = in.text;
  const auto word = [&](std::size_t begin, std::size_t end) {
    if (begin == end) return;
    const bool has_mark = text[begin] == ' ' || text.substr(begin, 3) == kMarkBytes;
    const bool wanted = step.prefix == NormalizerStep::kAlways ||
                        (step.prefix == NormalizerStep::kFirst && in.source[begin] == 0);
    if (wanted && !has_mark) out.put(' ', source_of(in, begin));
    copy(in, begin, end, escape, out);
  };
  if (!step.words) {
    word(0, text.size());
  } else {
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t space = leading_space(text.substr(i));
      if (space > 0) word(begin, i);
      i += space > 0 ? space : static_cast<std::size_t>(decode(text.substr(i)).size);
      if (space > 0) begin = i;
    }
    word(begin, text.size());
  }
  finish(in, out);
}

// Where the bytes end that begin at `place` and that no rule, mark or space concerns.
std::size_t plain_run(const Charsmap& map, std::string_view text, std::size_t place) {
  std::size_t end = place;
  while (end < text.size() && map.ordinary(static_cast<unsigned char>(text[end]))) ++end;
  const bool may_join = end > place && end < text.size() && (text[end] & 0x80) != 0;
  return may_join ? end - 1 : end;
}

// A map from texts to their places in a list, as decimal numbers.
Charsmap index_of(std::vector<std::pair<std::string, std::string>> entries) {
  std::sort(entries.begin(), entries.end());
  std::vector<Rule> rules;
  rules.reserve(entries.size());
  for (const auto& entry : entries) {
    if (!rules.empty() && rules.back().key == entry.first) continue;
    rules.push_back({entry.first, entry.second});
  }
  return Charsmap(build_charsmap(rules));
}

}  // namespace

NormalizerChain::NormalizerChain(std::vector<NormalizerStep> steps, bool escape, Lead lead,
                                 std::span<const std::string> protect, std::vector<Added> added)
    : steps_(std::move(steps)), escape_(escape), lead_(lead), added_(std::move(added)) {
  require(added_.size() <= kMostAdded, "too many added tokens");
  while (n_normalizing_ < steps_.size() && steps_[n_normalizing_].kind != NormalizerStep::kMark) {
    ++n_normalizing_;
  }
  for (const NormalizerStep& step : steps_) {
    needs_source_ |= step.kind == NormalizerStep::kMark && step.prefix == NormalizerStep::kFirst;
  }
  std::vector<std::pair<std::string, std::string>> protected_pieces, raw, normalized;
  for (const std::string& piece : protect) protected_pieces.emplace_back(piece, std::string());
  protect_ = index_of(std::move(protected_pieces));
  for (std::size_t i = 0; i < added_.size(); ++i) {
    (added_[i].normalized ? normalized : raw).emplace_back(added_[i].text, std::to_string(i));
  }
  find_raw_ = index_of(std::move(raw));
  find_normalized_ = index_of(std::move(normalized));
}

// sentencepiece's rules. A chunk is a protected piece, the value of the longest rule, or one
// character; leading spaces of a chunk go if the chunk before ended in one.
void NormalizerChain::pieces(const NormalizerStep& step, const Normalized& in,
                             Normalized& out) const {
  const std::string_view text = in.text;
  const bool joins = step.remove_extra_whitespaces;
  std::size_t i = 0;
  std::size_t size = 0;
  const auto chunk = [&]() {
    const auto byte = static_cast<unsigned char>(text[i]);
    std::string_view value;
    size = static_cast<std::size_t>(protect_.longest(text.substr(i), value));
    if (size > 0) return text.substr(i, size);
    if (byte >= 0x80 || !step.map.plain(byte) || (i + 1 < text.size() && (text[i + 1] & 0x80))) {
      size = static_cast<std::size_t>(step.map.longest(text.substr(i), value));
      if (size > 0) return value;
    }
    size = byte < 0x80 ? 1 : static_cast<std::size_t>(decode(text.substr(i)).size);
    return text.substr(i, size);
  };
  while (joins && i < text.size() && chunk() == " ") i += size;
  if (i == text.size()) return finish(in, out);
  const char space = ' ';
  if (step.add_dummy_prefix && !step.whitespace_as_suffix) out.put(space, source_of(in, i));
  bool after_space = joins;
  for (std::size_t chunks = 1; i < text.size(); ++chunks) {
    if ((chunks & 0xFFF) == 0) poll_interrupt();
    const std::size_t run = protect_.empty() ? plain_run(step.map, text, i) : i;
    if (run > i) {
      out.text.append(text.substr(i, run - i));
      for (std::size_t k = i; out.trace && k < run; ++k) out.source.push_back(source_of(in, k));
      after_space = false;
      i = run;
      continue;
    }
    std::string_view value = chunk();
    while (after_space && !value.empty() && value.front() == ' ') value.remove_prefix(1);
    const Index from = source_of(in, i);
    if (!value.empty()) {
      for (std::size_t k = 0; k < value.size();) {
        const bool is_mark = escape_ && value.substr(k, 3) == kMarkBytes;
        out.put(is_mark ? space : value[k], from);
        k += is_mark ? 3 : 1;
      }
      after_space = joins && value.back() == ' ';
    }
    i += size;
  }
  Index end = source_of(in, text.size());
  while (joins && !out.text.empty() && out.text.back() == space) {
    out.text.pop_back();
    if (out.trace) {
      end = out.source.back();
      out.source.pop_back();
    }
  }
  if (step.add_dummy_prefix && step.whitespace_as_suffix) out.put(space, end);
  if (out.trace) out.source.push_back(end);
}

void NormalizerChain::apply(const NormalizerStep& step, const Normalized& in,
                            Normalized& out) const {
  out.clear();
  out.trace = in.trace;
  switch (step.kind) {
    case NormalizerStep::kMap:
      return replace(step.map, in, out);
    case NormalizerStep::kForm:
      return step.forms->apply(step.form, in, out);
    case NormalizerStep::kStrip:
      return strip(step, in, out);
    case NormalizerStep::kJoin:
      return join_spaces(step, in, out);
    case NormalizerStep::kPrepend:
      if (!in.text.empty()) out.put(step.text, source_of(in, 0));
      copy(in, 0, in.text.size(), false, out);
      return finish(in, out);
    case NormalizerStep::kPieces:
      return pieces(step, in, out);
    case NormalizerStep::kMark:
      return mark(step, escape_, in, out);
  }
}

// Calls gap(part) for what lies between the tokens and appends the tokens themselves.
template <class Gap>
void NormalizerChain::cut(const Charsmap& find, Normalized&& line, Normalized& out,
                          Gap&& gap) const {
  if (find.empty()) return gap(std::move(line));
  const std::string_view text = line.text;
  std::size_t begin = 0;
  std::size_t tries = 0;
  for (std::size_t i = 0; i < text.size();) {
    if ((++tries & 0xFFF) == 0) poll_interrupt();
    std::string_view place;
    const auto size = static_cast<std::size_t>(find.longest(text.substr(i), place));
    if (size == 0) {
      ++i;
      continue;
    }
    std::uint32_t number = 0;
    std::from_chars(place.data(), place.data() + place.size(), number);
    const Added& token = added_[number];
    std::size_t left = i, right = i + size;
    while (token.left && left > begin) {
      const std::size_t space = trailing_space(text.substr(begin, left - begin));
      if (space == 0) break;
      left -= space;
    }
    while (token.right) {
      const std::size_t space = leading_space(text.substr(right));
      if (space == 0) break;
      right += space;
    }
    if (left > begin) gap(slice(line, begin, left));
    std::string character;
    encode(kFirstAdded + number, character);
    out.put(character, source_of(line, left));
    begin = i = right;
  }
  if (begin < text.size()) gap(slice(line, begin, text.size()));
}

// The characters of added tokens, all of 4 bytes from F4 80 on, become U+FFFD and a space: the
// text keeps its length.
void NormalizerChain::free_added(std::string& text) const {
  for (std::size_t i = text.find('\xF4'); i != std::string::npos; i = text.find('\xF4', i + 1)) {
    const std::uint32_t code = decode(std::string_view(text).substr(i)).code;
    if (code >= kFirstAdded && code < kBadByte) text.replace(i, 4, "\xEF\xBF\xBD ");
  }
}

void NormalizerChain::normalize(std::string_view text, bool with_origin, Bytes& out) const {
  if (!with_origin && copy_plain(text, out.bytes)) return;
  Normalized line;
  line.trace = with_origin;
  run(text, line);
  out.bytes.insert(out.bytes.end(), line.text.begin(), line.text.end());
  if (with_origin) out.origin.insert(out.origin.end(), line.source.begin(), line.source.end());
}

void NormalizerChain::restore(std::vector<std::uint8_t>& text) const {
  const auto end = std::find_if(text.begin(), text.end(), [](std::uint8_t b) { return b != ' '; });
  const std::ptrdiff_t spaces = end - text.begin();
  // One space belongs to the sign of an unknown piece.
  constexpr std::uint8_t kUnknown[] = {0xE2, 0x81, 0x87, ' '};
  const bool unknown = text.end() - end >= 4 && std::equal(end, end + 4, std::begin(kUnknown));
  const std::ptrdiff_t droppable = std::max<std::ptrdiff_t>(spaces - (unknown ? 1 : 0), 0);
  const std::ptrdiff_t dropped = lead_ == kDropAll ? droppable : lead_ == kDropOne ? 1 : 0;
  text.erase(text.begin(), text.begin() + std::min(droppable, dropped));
  if (added_.empty()) return;
  const std::string_view coded(reinterpret_cast<const char*>(text.data()), text.size());
  std::string plain;
  for (std::size_t i = 0; i < coded.size();) {
    const CodePoint point = decode(coded.substr(i));
    const std::size_t number = point.code - kFirstAdded;
    if (point.code >= kFirstAdded && point.code < kBadByte && number < added_.size()) {
      if (!added_[number].special) plain.append(added_[number].text);
    } else {
      plain.append(coded.substr(i, static_cast<std::size_t>(point.size)));
    }
    i += static_cast<std::size_t>(point.size);
  }
  text.assign(plain.begin(), plain.end());
}

void NormalizerChain::run(std::string_view text, Normalized& out) const {
  out.clear();
  Normalized line;
  line.text = text;
  line.trace = out.trace || needs_source_;
  if (line.trace) {
    line.source.resize(text.size() + 1);
    std::iota(line.source.begin(), line.source.end(), Index{0});
  }
  if (!added_.empty()) free_added(line.text);
  if (steps_.size() == 1 && added_.empty()) return apply(steps_[0], line, out);
  const auto append = [&](const Normalized& part) {
    for (std::size_t i = 0; i < part.text.size(); ++i) out.put(part.text[i], source_of(part, i));
  };
  cut(find_raw_, std::move(line), out, [&](Normalized&& raw) {
    Normalized current = std::move(raw), next;
    for (std::size_t s = 0; s < n_normalizing_; ++s) {
      apply(steps_[s], current, next);
      std::swap(current, next);
    }
    cut(find_normalized_, std::move(current), out, [&](Normalized&& part) {
      Normalized word = std::move(part), marked;
      for (std::size_t s = n_normalizing_; s < steps_.size(); ++s) {
        apply(steps_[s], word, marked);
        std::swap(word, marked);
      }
      append(word);
    });
  });
  if (out.trace) out.source.push_back(static_cast<Index>(text.size()));
}

}  // namespace kexue::lattice
