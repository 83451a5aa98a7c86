#include "kexue/lattice/text.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kexue/core/pool.hpp"

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

// A point below 2^16 without a branch: texts change their script too often to be foreseen. Its
// bytes, the first one lowest.
uint32_t narrow_bytes(uint32_t point) {
  const uint32_t last = 0x80 | (point & 0x3F), middle = 0x80 | (point >> 6 & 0x3F);
  const uint32_t two = 0xC0 | point >> 6 | last << 8;
  const uint32_t three = 0xE0 | point >> 12 | middle << 8 | last << 16;
  const uint32_t bytes = point >= 0x80 ? two : point;
  return point >= 0x800 ? three : bytes;
}
uint32_t narrow_length(uint32_t point) { return 1U + (point >= 0x80) + (point >= 0x800); }

// Four bytes may be written.
uint8_t* put_narrow(uint32_t bytes, uint32_t length, uint8_t* out) {
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(out, &bytes, sizeof bytes);
  } else {
    for (int k = 0; k < 4; ++k) out[k] = static_cast<uint8_t>(bytes >> 8 * k);
  }
  return out + length;
}

uint8_t* put_wide(uint32_t point, uint8_t* out) {
  out[0] = static_cast<uint8_t>(0xF0 | point >> 18);
  for (int k = 1; k < 4; ++k) out[k] = static_cast<uint8_t>(0x80 | (point >> 6 * (3 - k) & 0x3F));
  return out + 4;
}

// `widest`: bytes that one code point can take.
template <class Unit>
ptrdiff_t write_points(const TextView& text, int widest, std::vector<uint8_t>& out,
                       ptrdiff_t& size) {
  const auto* points = static_cast<const Unit*>(text.data);
  const size_t most = static_cast<size_t>(text.size) * static_cast<size_t>(widest) + 4;
  if (out.size() < most) out.resize(most + most / 2);
  uint8_t* to = out.data();
  bool surrogates = false;
  // In blocks, so that the arithmetic runs in vector registers.
  constexpr ptrdiff_t kBlock = 32;
  uint32_t bytes[kBlock], length[kBlock];
  for (ptrdiff_t begin = 0; begin < text.size; begin += kBlock) {
    if ((begin & 0xFFFF) == 0 && begin > 0) poll_interrupt();
    const ptrdiff_t n = std::min(kBlock, text.size - begin);
    uint32_t found = 0;
    for (ptrdiff_t i = 0; i < n; ++i) {
      const uint32_t point = points[begin + i];
      found |= (point & 0xFFFFF800) == 0xD800 ? 1U : 0U;
      bytes[i] = narrow_bytes(point);
      length[i] = narrow_length(point);
    }
    surrogates |= found != 0;
    for (ptrdiff_t i = 0; i < n; ++i) {
      const uint32_t point = points[begin + i];
      to = sizeof(Unit) < 4 || point < 0x10000 ? put_narrow(bytes[i], length[i], to)
                                               : put_wide(point, to);
    }
  }
  size = to - out.data();
  if (!surrogates) return -1;
  ptrdiff_t i = 0;
  while ((uint32_t{points[i]} & 0xFFFFF800) != 0xD800) ++i;
  return i;
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

ptrdiff_t write_utf8(const TextView& text, std::vector<uint8_t>& out, ptrdiff_t& size) {
  switch (text.storage) {
    case Storage::kLatin1:
      return write_points<uint8_t>(text, 2, out, size);
    case Storage::kUcs2:
      return write_points<std::uint16_t>(text, 3, out, size);
    case Storage::kUcs4:
      return write_points<uint32_t>(text, 4, out, size);
    case Storage::kBytes:
    case Storage::kAscii:
      break;
  }
  const auto* bytes = static_cast<const uint8_t*>(text.data);
  size = text.size;
  if (std::ssize(out) < size) out.resize(static_cast<size_t>(size));
  std::copy(bytes, bytes + size, out.data());
  return -1;
}

}  // namespace kexue::lattice
