#include "kexue/lattice/text.hpp"

#include <cstring>

namespace kexue::lattice {

namespace {

using std::ptrdiff_t;
using std::size_t;
using std::uint32_t;
using std::uint64_t;
using std::uint8_t;

bool continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

bool eight_ascii(const uint8_t* text) {
  uint64_t word;
  std::memcpy(&word, text, sizeof word);
  return (word & 0x8080808080808080) == 0;
}

uint8_t* put(uint32_t point, uint8_t* out) {
  auto tail = [&](int shift) { *out++ = static_cast<uint8_t>(0x80 | (point >> shift & 0x3F)); };
  if (point < 0x80) {
    *out++ = static_cast<uint8_t>(point);
  } else if (point < 0x800) {
    *out++ = static_cast<uint8_t>(0xC0 | point >> 6);
    tail(0);
  } else if (point < 0x10000) {
    *out++ = static_cast<uint8_t>(0xE0 | point >> 12);
    tail(6);
    tail(0);
  } else {
    *out++ = static_cast<uint8_t>(0xF0 | point >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
  return out;
}

// `widest`: bytes that one code point can take.
template <class Unit>
ptrdiff_t append_points(const void* data, ptrdiff_t size, int widest, std::vector<uint8_t>& out) {
  const auto* points = static_cast<const Unit*>(data);
  const size_t begin = out.size();
  out.resize(begin + static_cast<size_t>(size) * static_cast<size_t>(widest));
  uint8_t* to = out.data() + begin;
  ptrdiff_t surrogate = -1;
  for (ptrdiff_t i = 0; i < size; ++i) {
    const uint32_t point = points[i];
    if (point >= 0xD800 && point < 0xE000) {
      surrogate = i;
      break;
    }
    to = put(point, to);
  }
  out.resize(static_cast<size_t>(to - out.data()));
  return surrogate;
}

}  // namespace

ptrdiff_t utf8_length(const uint8_t* text, ptrdiff_t size) {
  const uint8_t lead = text[0];
  if (lead < 0x80) return 1;
  const ptrdiff_t length = lead < 0xC2   ? 0
                           : lead < 0xE0 ? 2
                           : lead < 0xF0 ? 3
                           : lead < 0xF5 ? 4
                                         : 0;
  if (length == 0 || length > size) return 0;
  for (ptrdiff_t k = 1; k < length; ++k) {
    if (!continues(text[k])) return 0;
  }
  // Overlong forms, surrogates and points above U+10FFFF show in the second byte.
  const uint8_t second = text[1];
  const bool wrong = (lead == 0xE0 && second < 0xA0) || (lead == 0xED && second >= 0xA0) ||
                     (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second >= 0x90);
  return wrong ? 0 : length;
}

ptrdiff_t first_invalid(const uint8_t* text, ptrdiff_t size) {
  ptrdiff_t i = 0;
  while (i < size) {
    if (size - i >= 8 && eight_ascii(text + i)) {
      i += 8;
      continue;
    }
    const ptrdiff_t length = utf8_length(text + i, size - i);
    if (length == 0) return i;
    i += length;
  }
  return size;
}

ptrdiff_t append_utf8(const TextView& text, std::vector<uint8_t>& out) {
  switch (text.storage) {
    case Storage::kLatin1:
      return append_points<uint8_t>(text.data, text.size, 2, out);
    case Storage::kUcs2:
      return append_points<std::uint16_t>(text.data, text.size, 3, out);
    case Storage::kUcs4:
      return append_points<uint32_t>(text.data, text.size, 4, out);
    case Storage::kBytes:
    case Storage::kAscii:
      break;
  }
  const auto* bytes = static_cast<const uint8_t*>(text.data);
  out.insert(out.end(), bytes, bytes + text.size);
  return -1;
}

}  // namespace kexue::lattice
