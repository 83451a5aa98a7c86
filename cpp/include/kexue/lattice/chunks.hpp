// A corpus as counted chunks: texts that no piece may cross the ends of, in bounded memory.
//
// A text is cut where the rules forbid a piece to cross: in front of a space (behind it, if
// whitespace is a suffix), between scripts, around numbers, around the symbols of the user, around
// NUL. The chunks are independent factors of the likelihood of a unigram model, so that their
// counts are all that training needs of the text.
//
// If the distinct chunks outgrow `max_bytes`, a threshold t doubles and every chunk whose count c
// is below t is kept with probability c / t, then counted as t: the expectation of each count
// stays what it is (threshold sampling; Duffield, Lund and Thorup, JACM 54, 2007). The draws depend
// on the key and the order of the texts alone.
//
// O(bytes) time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kexue/core/rng.hpp"
#include "kexue/lattice/charsmap.hpp"
#include "kexue/lattice/dag.hpp"

namespace kexue::lattice {

// Classes of characters: kAny goes with all, kInherited with what stands before it.
inline constexpr std::uint8_t kAnyScript = 0, kInherited = 1;

struct ChunkRules {
  bool split_by_whitespace = true;
  bool split_by_script = true;
  bool split_by_number = true;
  bool split_digits = false;
  bool whitespace_as_suffix = false;
  bool join_spaces = false;  // a run of spaces may be a piece
  bool lines = false;        // only behind runs of line ends, all other rules aside
  // The class of each code point from 0 on; `beyond` for those further up.
  std::vector<std::uint8_t> script;
  std::uint8_t beyond = 2;
  Charsmap symbols;  // of the user
};

// Strings with a count each, in order of appearance.
class CountedStrings {
 public:
  CountedStrings() { rehash(1 << 8); }

  void add(std::string_view string, double count);
  // Keeps string i with the count keep(count of i), drops it if that is 0.
  template <class Keep>
  void filter(Keep&& keep);

  // String i is text()[begin()[i]] .. text()[begin()[i + 1] - 1].
  std::string_view text() const { return text_; }
  std::span<const Index> begin() const { return begin_; }
  std::span<const double> counts() const { return counts_; }
  std::size_t size() const { return counts_.size(); }
  std::string_view operator[](std::size_t i) const {
    const auto start = static_cast<std::size_t>(begin_[i]);
    return text().substr(start, static_cast<std::size_t>(begin_[i + 1]) - start);
  }
  std::size_t bytes() const {
    return text_.size() + counts_.size() * (sizeof(Index) + sizeof(double) + 4) + slots_.size() * 4;
  }

 private:
  void rehash(std::size_t size);

  std::string text_;
  std::vector<Index> begin_{0};
  std::vector<double> counts_;
  std::vector<std::uint32_t> hashes_;
  std::vector<std::uint32_t> slots_;  // 1 + number of a string, 0 if free
};

class ChunkCounter {
 public:
  ChunkCounter(ChunkRules rules, std::size_t max_bytes, Key key);

  // Counts the chunks of a normalised text.
  void add(std::string_view text);

  const CountedStrings& chunks() const { return chunks_; }
  double n_texts() const { return n_texts_; }
  double n_bytes() const { return n_bytes_; }
  double threshold() const { return threshold_; }

 private:
  void split_words(std::string_view text);
  void split_scripts(std::string_view word);
  void split_lines(std::string_view text);
  void count(std::string_view chunk);

  ChunkRules rules_;
  std::size_t max_bytes_;
  Key key_;
  std::uint64_t draws_ = 0;
  double threshold_ = 0.5, n_texts_ = 0, n_bytes_ = 0;
  CountedStrings chunks_;
};

template <class Keep>
void CountedStrings::filter(Keep&& keep) {
  std::size_t kept = 0, size = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const auto start = static_cast<std::size_t>(begin_[i]);
    const auto stop = static_cast<std::size_t>(begin_[i + 1]);  // read before it is overwritten
    const double count = keep(counts_[i]);
    if (count == 0) continue;
    text_.replace(size, stop - start, text_, start, stop - start);
    size += stop - start;
    begin_[kept + 1] = static_cast<Index>(size);
    counts_[kept] = count;
    hashes_[kept++] = hashes_[i];
  }
  text_.resize(size);
  begin_.resize(kept + 1);
  counts_.resize(kept);
  hashes_.resize(kept);
  std::size_t slots = 1 << 8;
  while (slots < 4 * kept) slots *= 2;
  rehash(slots);
}

// The characters of chunks with their counts, by code point.
struct CharacterCounts {
  std::vector<std::uint32_t> code;
  std::vector<double> count;
};
CharacterCounts count_characters(std::string_view text, std::span<const Index> begin,
                                 std::span<const double> counts);

// The same chunks cut around every character that is not in `kept` (ascending), without it.
struct Chunks {
  std::string text;
  std::vector<Index> begin{0};
  std::vector<double> counts;
};
Chunks keep_characters(std::string_view text, std::span<const Index> begin,
                       std::span<const double> counts, std::span<const std::uint32_t> kept);

}  // namespace kexue::lattice
