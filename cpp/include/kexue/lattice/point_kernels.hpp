// Kernels on the characters of texts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kexue::lattice {

// What write_points() meets.
enum PointFault : std::uint32_t {
  kMeetsSurrogate = 1,
  kMeetsSpaces = 2,  // two spaces side by side
  kMeetsMark = 4,    // U+2581
};

constexpr std::ptrdiff_t kPointBlock = 64;

struct PointKernels {
  // Writes the UTF-8 of n characters below 2^16 to text[at] and what follows, their codes (those of
  // code_of, by number), and where each begins and the last one ends to place[0] .. place[n].
  // Returns which faults it met. Up to kPointBlock numbers behind the last one are read, which must
  // be the text's, or 0 behind its end; there must be room for 3 n + 4 bytes.
  std::uint32_t (*write_points)(const std::uint16_t* points, std::ptrdiff_t n,
                                const std::uint16_t* code_of, std::uint32_t at, std::uint8_t* text,
                                std::uint16_t* code, std::uint32_t* place);
};

}  // namespace kexue::lattice

namespace kexue {
const lattice::PointKernels& point_kernels();
}  // namespace kexue
