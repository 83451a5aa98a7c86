// UTF-8, one code point at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kexue::lattice {

// The code point at the front of `text` and its number of bytes. Where no well-formed sequence
// begins (RFC 3629: neither overlong, nor a surrogate, nor above 10FFFF) size is 1 and code is
// kBadByte + the byte. `text` is not empty.
struct CodePoint {
  std::uint32_t code;
  int size;
};
inline constexpr std::uint32_t kBadByte = 0x110000;

inline CodePoint decode(std::string_view text) {
  const auto at = [&](std::size_t i) { return std::uint32_t{static_cast<unsigned char>(text[i])}; };
  const auto follows = [&](std::size_t i) { return (at(i) & 0xC0) == 0x80; };
  const std::uint32_t first = at(0);
  if (first < 0x80) return {first, 1};
  if (first >= 0xC2 && first < 0xE0 && text.size() >= 2 && follows(1)) {
    return {(first & 0x1F) << 6 | (at(1) & 0x3F), 2};
  }
  if ((first & 0xF0) == 0xE0 && text.size() >= 3 && follows(1) && follows(2)) {
    const std::uint32_t code = (first & 0x0F) << 12 | (at(1) & 0x3F) << 6 | (at(2) & 0x3F);
    if (code >= 0x800 && (code < 0xD800 || code > 0xDFFF)) return {code, 3};
  }
  if ((first & 0xF8) == 0xF0 && text.size() >= 4 && follows(1) && follows(2) && follows(3)) {
    const std::uint32_t code =
        (first & 0x07) << 18 | (at(1) & 0x3F) << 12 | (at(2) & 0x3F) << 6 | (at(3) & 0x3F);
    if (code >= 0x10000 && code < kBadByte) return {code, 4};
  }
  return {kBadByte + first, 1};
}

// Appends a code point, or the byte of a bad one.
inline void encode(std::uint32_t code, std::string& text) {
  const auto put = [&](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code >= kBadByte) {
    put(code - kBadByte);
  } else if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

}  // namespace kexue::lattice
