// A double-array trie over bytes: which of a set of strings begin at a place of a text.
//
// Node x has the link base << 8 | label: the child by byte c is slot base ^ c, and it is there if
// that slot's label is c. No two nodes share a base, and the label of an empty slot is one that no
// node's base leads to, so that this one comparison decides for every byte, NUL included. A leaf's
// base leads to empty slots only: a walk ends where a label differs and has no other end.
//
// Nodes are placed level by level, so that the shallow nodes, where walks spend their time, lie
// close together.
//
// References: J. Aoe, An efficient digital search algorithm by using a double-array structure,
// IEEE TSE 15 (1989); S. Kanda et al., Engineering faster double-array Aho-Corasick automata,
// Software: Practice and Experience 53 (2023).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace kexue::lattice {

struct TrieUnit {
  std::uint32_t link;
  std::uint32_t value;  // of the string that ends here, 0 if none does
};

class Trie {
 public:
  // Strings that differ and are not empty, in ascending order of their bytes, with values > 0.
  // O(total length) time and memory. std::invalid_argument if the trie outgrows 2^24 slots.
  Trie(std::span<const std::string_view> strings, std::span<const std::uint32_t> values);

  const TrieUnit* units() const { return units_.data(); }
  std::uint32_t root() const { return units_[0].link >> 8; }  // the base of the root
  std::uint32_t nowhere() const { return nowhere_; }          // a base without children
  std::ptrdiff_t longest() const { return longest_; }
  std::ptrdiff_t n_nodes() const { return n_nodes_; }

  // Calls visit(length, value) for each string that is a prefix of text, short ones first.
  template <class Visit>
  void prefixes(std::string_view text, Visit&& visit) const {
    std::uint32_t base = root();
    for (std::size_t k = 0; k < text.size(); ++k) {
      const auto byte = static_cast<std::uint8_t>(text[k]);
      const TrieUnit unit = units_[base ^ byte];
      if ((unit.link & 255) != byte) break;
      if (unit.value != 0) visit(static_cast<std::ptrdiff_t>(k) + 1, unit.value);
      base = unit.link >> 8;
    }
  }

 private:
  std::vector<TrieUnit> units_;
  std::uint32_t nowhere_ = 0;
  std::ptrdiff_t longest_ = 0;
  std::ptrdiff_t n_nodes_ = 0;
};

}  // namespace kexue::lattice
