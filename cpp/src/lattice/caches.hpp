// The memory of a tokenizer: best segmentations and samplers of short segments.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "choices.hpp"
#include "kexue/lattice/tokenizer.hpp"
#include "word_cache.hpp"

namespace kexue::lattice {

// As many ids as find room beside a key of as many bytes.
template <std::ptrdiff_t kMost>
struct BestIds {
  static constexpr std::ptrdiff_t kMostIds = kMost;
  std::int32_t id[kMost];
  std::int32_t count;
};
using BestShort = BestIds<3>;
using BestWord = BestIds<7>;
using BestPhrase = BestIds<15>;

struct BestWords {
  WordTables<BestShort, BestWord> table{17};     // at most 8 MiB
  WordTable<BestPhrase, PhraseKey> phrases{15};  // at most 4 MiB
};

struct SampleWord {
  std::uint32_t base;   // of the word's blocks in the store
  std::uint32_t first;  // the block to begin with, counted from 1
  std::uint32_t unused[2];
};

struct SampleWords {
  static constexpr std::ptrdiff_t kRoom = 1 << 19;  // blocks: 28 MiB
  WordTables<SampleWord, SampleWord> table{17};
  Choices store;

  bool full() const { return store.size() + kMostBlocks > kRoom; }
  void forget() {
    store.clear();
    table.clear();
  }
};

// Scores and ids of the best segmentations of words, the best first.
struct WordLists {
  std::vector<double> score;
  std::vector<std::size_t> end;  // of each one's ids
  std::vector<std::int32_t> ids;

  void add(double value, const std::int32_t* first, const std::int32_t* last) {
    score.push_back(value);
    ids.insert(ids.end(), first, last);
    end.push_back(ids.size());
  }
  void clear() {
    score.clear();
    end.clear();
    ids.clear();
  }
};

struct NBestWord {
  std::uint32_t first, n;  // rows of the lists
  std::uint32_t unused[2];
};

struct NBestWords {
  static constexpr std::ptrdiff_t kMostRows = 8;  // of a word; texts with k above do without
  static constexpr std::size_t kRoom = 1 << 19;   // rows: about 20 MiB
  WordTables<NBestWord, NBestWord> table{16};
  WordLists lists;

  bool full() const { return lists.score.size() + kMostRows > kRoom; }
  void forget() {
    lists.clear();
    table.clear();
  }
};

// Appends the `rows` best of a long segment by lazy enumeration; false if it has no path.
bool best_of_segment(const Unigram& model, const std::uint8_t* text, std::ptrdiff_t size,
                     std::ptrdiff_t rows, WordLists& lists);

// What depends on alpha.
struct Tokenizer::Sampler {
  explicit Sampler(const Unigram& model, double alpha) : weights(model.weights(alpha)) {}
  const Weights weights;
  CachePool<SampleWords> words;
};

struct Tokenizer::Caches {
  CachePool<BestWords> best;
  CachePool<NBestWords> nbest;
  std::mutex mutex;
  std::vector<std::shared_ptr<Sampler>> samplers;  // of the last alphas, the latest first
};

}  // namespace kexue::lattice
