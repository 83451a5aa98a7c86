#include "kexue/lattice/line.hpp"

#include <algorithm>
#include <cstring>

namespace kexue::lattice {

using std::ptrdiff_t;
using std::size_t;
using std::uint8_t;

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
  ends_.clear();
  model.segment(text(), size_, text_ends_, ends_);
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
