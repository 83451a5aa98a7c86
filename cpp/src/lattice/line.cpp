#include "kexue/lattice/line.hpp"

#include <algorithm>
#include <cstring>

#include "kexue/core/pool.hpp"
#include "kexue/lattice/point_kernels.hpp"

namespace kexue::lattice {

using std::ptrdiff_t;
using std::size_t;
using std::uint8_t;

namespace {

// Texts lie scattered in memory: their beginnings are fetched so many texts ahead.
constexpr size_t kAhead = 6;
// Of a long text, between two looks at interrupts.
constexpr ptrdiff_t kPointsAtOnce = 1 << 18;
constexpr ptrdiff_t kMostSpare = ptrdiff_t{1} << 18;

void approach(std::span<const TextView> texts, size_t i) {
#if defined(__GNUC__)
  if (i >= texts.size()) return;
  const auto* data = static_cast<const char*>(texts[i].data);
  __builtin_prefetch(data);
  __builtin_prefetch(data + 64);
#endif
}

// Appends the characters of a text that is not empty, moving `to` on; false if it has a space at an
// end that may not be there.
template <class Unit>
bool copy_narrow(const TextView& text, const Plain& plain, Unit*& to) {
  Unit* const begin = plain.space_in_front ? to + 1 : to;
  if (plain.space_in_front) *to = ' ';
  const auto size = static_cast<size_t>(text.size);
  if (sizeof(Unit) == 1 || text.storage == Storage::kUcs2) {
    std::memcpy(begin, text.data, size * sizeof *to);
  } else {
    std::copy_n(static_cast<const uint8_t*>(text.data), size, begin);
  }
  to = begin + size;
  if (!plain.gaps && (*begin == ' ' || to[-1] == ' ')) return false;
  if (plain.space_behind) *to++ = ' ';
  return true;
}

// Two spaces side by side. Without branches, so that the loop runs in vector registers.
bool has_gap(const uint8_t* text, ptrdiff_t size) {
  uint8_t found = 0;
  for (ptrdiff_t i = 0; i + 1 < size; ++i) {
    found |= static_cast<uint8_t>((text[i] == ' ') & (text[i + 1] == ' '));
  }
  return found != 0;
}

}  // namespace

// The source as UTF-8 or bytes.
bool Line::encode(const TextView& text, Fault& fault) {
  view_ = text;
  points_ = false;
  if (text.storage == Storage::kBytes || text.storage == Storage::kAscii) {
    source_ = static_cast<const uint8_t*>(text.data);
    source_size_ = text.size;
    return true;
  }
  const ptrdiff_t surrogate = write_utf8(text, utf8_, source_size_);
  if (surrogate >= 0) {
    fault = {TextFault::kSurrogate, fault.text, surrogate};
    return false;
  }
  source_ = utf8_.data();
  return true;
}

void Line::begin(const Unigram& model) {
  valid_ = model.whole_characters();
  margin_ = model.margin();
  out_.bytes.assign(static_cast<size_t>(margin_), 0);
  out_.origin.clear();
  text_ends_.clear();
}

bool Line::append(const Unigram& model, const Normalizer* normalizer, const TextView& text,
                  bool with_origin, Fault& fault) {
  if (!encode(text, fault)) return false;
  if (text.storage == Storage::kBytes && (model.options().unicode || model.whole_characters())) {
    const ptrdiff_t wrong = first_invalid(source_, source_size_);
    if (wrong < source_size_ && model.options().unicode) {
      fault = {TextFault::kInvalidUtf8, fault.text, wrong};
      return false;
    }
    valid_ = valid_ && wrong == source_size_;
  }
  if (normalizer != nullptr) {
    const std::string_view whole(reinterpret_cast<const char*>(source_),
                                 static_cast<size_t>(source_size_));
    normalizer->normalize(whole, with_origin, out_);
  } else {
    const size_t begin = out_.bytes.size();
    out_.bytes.insert(out_.bytes.end(), source_, source_ + source_size_);
    if (model.options().space_mark) replace_space_marks(begin, with_origin);
  }
  text_ends_.push_back(std::ssize(out_.bytes) - margin_);
  return true;
}

void Line::close(const Unigram& model) {
  size_ = text_ends_.empty() ? 0 : text_ends_.back();
  out_.bytes.resize(static_cast<size_t>(margin_ + size_));
  out_.bytes.resize(out_.bytes.size() + static_cast<size_t>(margin_), 0);
  model.segment(text(), size_, valid_, text_ends_, segments_);
}

ptrdiff_t Line::open(const Unigram& model, const Normalizer* normalizer,
                     std::span<const TextView> texts, Fault& fault) {
  if (take(model, normalizer, texts)) return std::ssize(texts);
  begin(model);
  for (size_t i = 0; i < kAhead; ++i) approach(texts, i);
  size_t i = 0;
  for (; i < texts.size() && append(model, normalizer, texts[i], false, fault); ++i) {
    approach(texts, i + kAhead);
  }
  close(model);
  return static_cast<ptrdiff_t>(i);
}

// Texts in normal form none of which is wider than two bytes a character; false if this is not
// plain to see.
bool Line::take(const Unigram& model, const Normalizer* normalizer,
                std::span<const TextView> texts) {
  Plain plain;
  if (!model.whole_characters()) return false;
  if (normalizer != nullptr && !normalizer->plain(plain)) return false;
  if (normalizer == nullptr) plain.marks = !model.options().space_mark;
  constexpr ptrdiff_t kMost = ptrdiff_t{1} << 30;
  ptrdiff_t most = kPointBlock + 1;
  bool wide = false;
  for (const TextView& text : texts) {
    wide |= text.storage == Storage::kUcs2 || text.storage == Storage::kLatin1;
    if (text.storage == Storage::kUcs4 || text.storage == Storage::kBytes) return false;
    most += text.size + 2;
  }
  begin(model);
  if (!wide) return take_ascii(model, plain, texts, most);
  if (most >= kMost) return false;
  if (std::ssize(narrow_) < most) {
    narrow_.resize(static_cast<size_t>(most + std::min(most / 2, kMostSpare)));
  }
  std::uint16_t* to = narrow_.data();
  for (size_t i = 0; i < texts.size(); ++i) {
    approach(texts, i + kAhead);
    if (texts[i].size > 0 && !copy_narrow(texts[i], plain, to)) return false;
    text_ends_.push_back(to - narrow_.data());  // in characters at first
  }
  std::fill_n(to, kPointBlock + 1, std::uint16_t{0});
  const ptrdiff_t n = to - narrow_.data();
  poll_interrupt();
  out_.bytes.resize(static_cast<size_t>(margin_ + 3 * n + 4));
  segments_.make_room(static_cast<size_t>(n));
  std::uint32_t met = 0, at = 0;
  segments_.places()[0] = 0;
  for (ptrdiff_t begin = 0; begin < n; begin += kPointsAtOnce) {
    poll_interrupt();
    const ptrdiff_t size = std::min(kPointsAtOnce, n - begin);
    met |= point_kernels().write_points(
        narrow_.data() + begin, size, model.alphabet().narrow_codes(), at,
        out_.bytes.data() + margin_, segments_.codes() + begin, segments_.places() + begin);
    at = segments_.places()[begin + size];
  }
  const std::uint32_t wrong =
      kMeetsSurrogate | (plain.gaps ? 0U : kMeetsSpaces) | (plain.marks ? 0U : kMeetsMark);
  if ((met & wrong) != 0) return false;
  size_ = at;
  out_.bytes.resize(static_cast<size_t>(margin_ + size_));
  out_.bytes.resize(out_.bytes.size() + static_cast<size_t>(margin_), 0);
  segments_.codes()[0] |= Characters::kBegins;
  for (Index& end : text_ends_) {
    if (end < n) segments_.codes()[end] |= Characters::kBegins;
    end = segments_.places()[end];
  }
  model.segment(static_cast<size_t>(n), segments_);
  return true;
}

// The same of ASCII, with room for `most` bytes.
bool Line::take_ascii(const Unigram& model, const Plain& plain, std::span<const TextView> texts,
                      ptrdiff_t most) {
  out_.bytes.resize(static_cast<size_t>(margin_ + most + margin_));
  uint8_t* const begin = out_.bytes.data() + margin_;
  uint8_t* to = begin;
  for (size_t i = 0; i < texts.size(); ++i) {
    approach(texts, i + kAhead);
    if (texts[i].size > 0 && !copy_narrow(texts[i], plain, to)) return false;
    text_ends_.push_back(to - begin);
  }
  poll_interrupt();
  if (!plain.gaps && has_gap(begin, to - begin)) return false;
  close(model);
  return true;
}

bool Line::open(const Unigram& model, const Normalizer* normalizer, const TextView& text,
                bool with_origin, Fault& fault) {
  begin(model);
  if (!append(model, normalizer, text, with_origin, fault)) return false;
  close(model);
  return true;
}

// U+2581 becomes the byte 0x20 in what was appended.
void Line::replace_space_marks(size_t first, bool with_origin) {
  uint8_t* const begin = out_.bytes.data() + first;
  uint8_t* const end = out_.bytes.data() + out_.bytes.size();
  const auto is_mark = [&](const uint8_t* p) {
    return end - p >= 3 && p[0] == 0xE2 && p[1] == 0x96 && p[2] == 0x81;
  };
  const uint8_t* from = begin;
  while (from < end && !is_mark(from)) {
    const void* next = std::memchr(from + 1, 0xE2, static_cast<size_t>(end - from - 1));
    from = next == nullptr ? end : static_cast<const uint8_t*>(next);
  }
  if (from == end) return;
  uint8_t* to = begin + (from - begin);
  if (with_origin) {
    for (ptrdiff_t i = 0; i < from - begin; ++i) out_.origin.push_back(i);
  }
  while (from < end) {
    if (with_origin) out_.origin.push_back(from - begin);
    const bool mark = is_mark(from);
    *to++ = mark ? uint8_t{' '} : *from;
    from += mark ? 3 : 1;
  }
  if (with_origin) out_.origin.push_back(end - begin);
  out_.bytes.resize(static_cast<size_t>(to - out_.bytes.data()));
}

void Line::number_points() {
  point_.clear();
  ptrdiff_t points = 0;
  for (ptrdiff_t i = 0; i < source_size_; ++i) {
    if ((i & 0xFFFF) == 0xFFFF) poll_interrupt();
    if ((source_[i] & 0xC0) != 0x80) ++points;
    point_.push_back(points - 1);
  }
  point_.push_back(points);
  points_ = true;
}

ptrdiff_t Line::source(ptrdiff_t i, bool up) {
  const ptrdiff_t byte = out_.origin.empty() ? i : out_.origin[static_cast<size_t>(i)];
  if (view_.storage == Storage::kBytes || view_.storage == Storage::kAscii) return byte;
  if (!points_) number_points();
  const bool inside = byte < source_size_ && (source_[byte] & 0xC0) == 0x80;
  return point_[static_cast<size_t>(byte)] + (up && inside ? 1 : 0);
}

Fault Line::uncovered(const Unigram& model, const Normalizer* normalizer, const TextView& text) {
  Fault fault;
  open(model, normalizer, text, true, fault);
  return {TextFault::kUncovered, -1, source(model.reach(this->text(), size_), false)};
}

}  // namespace kexue::lattice
