// Numbers of characters to UTF-8 (kexue/lattice/point_kernels.hpp). In blocks, whose arithmetic
// runs in vector registers; what is left for each character are its loads and stores.
#include <string.h>

#include <bit>

#include "kexue/lattice/point_kernels.hpp"
#include "simd.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using lattice::kPointBlock;
using std::ptrdiff_t;

// Without a branch: texts change their script too often to be foreseen. The bytes of a character,
// the first one lowest.
KEXUE_INLINE std::uint32_t bytes_of(std::uint32_t point) {
  const std::uint32_t last = 0x80 | (point & 0x3F), middle = 0x80 | (point >> 6 & 0x3F);
  const std::uint32_t two = 0xC0 | point >> 6 | last << 8;
  const std::uint32_t three = 0xE0 | point >> 12 | middle << 8 | last << 16;
  const std::uint32_t bytes = point >= 0x80 ? two : point;
  return point >= 0x800 ? three : bytes;
}

// Four bytes may be written.
KEXUE_INLINE void put(std::uint32_t bytes, std::uint8_t* to) {
  if constexpr (std::endian::native == std::endian::little) {
    memcpy(to, &bytes, sizeof bytes);
  } else {
    for (int k = 0; k < 4; ++k) to[k] = static_cast<std::uint8_t>(bytes >> 8 * k);
  }
}

std::uint32_t write_points(const std::uint16_t* points, ptrdiff_t n, const std::uint16_t* code_of,
                           std::uint32_t at, std::uint8_t* text, std::uint16_t* code,
                           std::uint32_t* place) {
  std::uint16_t surrogates = 0, spaces = 0, marks = 0;
  for (ptrdiff_t begin = 0; begin < n; begin += kPointBlock) {
    const std::uint16_t* from = points + begin;
    std::uint32_t bytes[kPointBlock];
    std::uint16_t length[kPointBlock];
    for (ptrdiff_t i = 0; i < kPointBlock; ++i) {
      const std::uint16_t point = from[i], next = from[i + 1];
      surrogates |= static_cast<std::uint16_t>((point & 0xF800) == 0xD800);
      spaces |= static_cast<std::uint16_t>((point == 0x20) & (next == 0x20));
      marks |= static_cast<std::uint16_t>(point == 0x2581);
      length[i] = static_cast<std::uint16_t>(1 + (point >= 0x80) + (point >= 0x800));
    }
    for (ptrdiff_t i = 0; i < kPointBlock; ++i) bytes[i] = bytes_of(from[i]);
    const ptrdiff_t size = n - begin < kPointBlock ? n - begin : kPointBlock;
    for (ptrdiff_t i = 0; i < size; ++i) {
      put(bytes[i], text + at);
      place[begin + i] = at;
      code[begin + i] = code_of[from[i]];
      at += length[i];
    }
  }
  place[n] = at;
  return (surrogates != 0 ? lattice::kMeetsSurrogate : 0U) |
         (spaces != 0 ? lattice::kMeetsSpaces : 0U) | (marks != 0 ? lattice::kMeetsMark : 0U);
}

}  // namespace

extern const lattice::PointKernels point_kernels;
const lattice::PointKernels point_kernels = {write_points};

}  // namespace kexue::KEXUE_ISA
