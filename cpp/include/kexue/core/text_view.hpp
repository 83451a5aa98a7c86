// Text owned elsewhere, as Python stores it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kexue {

// Bytes as they are, or code points of 1, 2 or 4 bytes.
enum class Storage : std::uint8_t { kBytes, kAscii, kLatin1, kUcs2, kUcs4 };

struct TextView {
  const void* data = nullptr;
  std::ptrdiff_t size = 0;  // bytes or code points
  Storage storage = Storage::kBytes;
};

// Texts that someone holds, and how to look at them: from several threads at once.
struct TextSource {
  const void* items;
  std::ptrdiff_t size;
  // Views of the items begin .. end - 1; the first that is no text, `end` if all are.
  std::ptrdiff_t (*view)(const void* items, std::ptrdiff_t begin, std::ptrdiff_t end,
                         TextView* views);
};

}  // namespace kexue
