// The memory of a tokenizer: best segmentations and samplers of short segments.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "choices.hpp"
#include "kexue/lattice/tokenizer.hpp"
#include "shared_words.hpp"
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

  bool empty() const { return table.empty() && phrases.empty(); }
  void forget() {
    table.clear();
    phrases.clear();
  }
  void add(const BestWords& more) {
    const auto as_it_is = [](const auto& value) { return value; };
    table.add(more.table, as_it_is);
    phrases.add(more.phrases, as_it_is);
  }
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

  bool empty() const { return table.empty(); }
  bool full() const { return store.size() + kMostBlocks > kRoom; }
  void forget() {
    store.clear();
    table.clear();
  }
  void add(const SampleWords& more) {
    if (store.size() + more.store.size() > kRoom) forget();
    table.add(more.table, [&](SampleWord word) {
      const auto base = static_cast<std::uint32_t>(store.size());
      store.append(more.store, word.base, word.first);
      word.base = base;
      return word;
    });
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
  // The ids of row r.
  std::span<const std::int32_t> row(std::size_t r) const {
    const std::size_t begin = r == 0 ? 0 : end[r - 1];
    return std::span(ids).subspan(begin, end[r] - begin);
  }
  // Row r of another one.
  void add(const WordLists& more, std::size_t r) {
    const std::span<const std::int32_t> row = more.row(r);
    add(more.score[r], row.data(), row.data() + row.size());
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

  bool empty() const { return table.empty(); }
  bool full() const { return lists.score.size() + kMostRows > kRoom; }
  void forget() {
    lists.clear();
    table.clear();
  }
  void add(const NBestWords& more) {
    if (lists.score.size() + more.lists.score.size() > kRoom) forget();
    table.add(more.table, [&](NBestWord word) {
      const auto first = static_cast<std::uint32_t>(lists.score.size());
      for (std::uint32_t r = 0; r < word.n; ++r) lists.add(more.lists, word.first + r);
      word.first = first;
      return word;
    });
  }
};

// Appends the `rows` best of a long segment by lazy enumeration; false if it has no path.
bool best_of_segment(const Unigram& model, const std::uint8_t* text, std::ptrdiff_t size,
                     std::ptrdiff_t rows, WordLists& lists);

// What depends on alpha.
struct Tokenizer::Sampler {
  explicit Sampler(const Unigram& model, double alpha) : weights(model.weights(alpha)) {}
  const Weights weights;
  const std::shared_ptr<SharedWords<SampleWords>> words =
      std::make_shared<SharedWords<SampleWords>>();
};

struct Tokenizer::Caches {
  std::mutex mutex;
  std::shared_ptr<SharedWords<BestWords>> best = std::make_shared<SharedWords<BestWords>>();
  std::shared_ptr<SharedWords<NBestWords>> nbest = std::make_shared<SharedWords<NBestWords>>();
  std::vector<std::shared_ptr<Sampler>> samplers;  // of the last alphas, the latest first

  // What a pointer is now.
  template <class Words>
  std::shared_ptr<Words> at(const std::shared_ptr<Words>& words) {
    const std::scoped_lock lock(mutex);
    return words;
  }
};

}  // namespace kexue::lattice
