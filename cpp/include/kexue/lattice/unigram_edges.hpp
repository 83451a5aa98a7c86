// The edges of a Unigram at one place; included by unigram.hpp.
#pragma once

#include "kexue/lattice/text.hpp"
#include "kexue/lattice/unigram.hpp"

namespace kexue::lattice {

inline std::uint32_t Unigram::unit_length(const std::uint8_t* text, std::ptrdiff_t size) {
  const std::ptrdiff_t length = utf8_length(text, size);
  return length == 0 ? 1 : static_cast<std::uint32_t>(length);
}

template <class Visit>
void Unigram::edges(const std::uint8_t* text, std::ptrdiff_t size, std::ptrdiff_t i,
                    Visit&& visit) const {
  const TrieUnit* units = trie_.units();
  std::uint32_t base = trie_.root(), seen = 0;
  for (std::ptrdiff_t k = i; k < size; ++k) {
    const TrieUnit unit = units[base ^ text[k]];
    if ((unit.link & 255) != text[k]) break;
    if (unit.value != 0) {
      seen |= unit.value;
      visit(Edge{static_cast<std::int32_t>((unit.value & kEntry) - 1),
                 static_cast<std::uint32_t>(k + 1 - i)});
    }
    base = unit.link >> 8;
  }
  if (unknown_edges_ && (seen & kOneUnit) == 0) visit(Edge{-1, unit_length(text + i, size - i)});
}

}  // namespace kexue::lattice
