// The memory of a tokenizer: best segmentations and samplers of short segments.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "kexue/lattice/tokenizer.hpp"
#include "word_cache.hpp"

namespace kexue::lattice {

struct BestWord {
  std::uint8_t count;
  std::int32_t id[6];
};

struct BestWords {
  static constexpr std::ptrdiff_t kMostIds = 6;
  WordTable<BestWord> table{15};  // 4 MiB
};

// Which edge a uniform number u picks at one place of a word: the first whose bound exceeds u. If
// none of the four does, block b continues in block b - 1.
struct Choice {
  double bound[4];
  std::uint32_t link[4];  // next block << 22 | piece; next 0: the word ends
};
constexpr int kPieceBits = 22;
constexpr std::ptrdiff_t kMostBlocks = 1 << (32 - kPieceBits);

struct SampleWord {
  std::uint32_t base;   // of the word's blocks in the store
  std::uint32_t first;  // the block to begin with, counted from 1
  std::uint32_t unused[5];
};

struct SampleWords {
  static constexpr std::ptrdiff_t kRoom = 1 << 18;  // blocks: 12 MiB
  WordTable<SampleWord> table{15};
  std::vector<Choice> store;

  const SampleWord* insert(const WordKey& key, std::ptrdiff_t size, std::size_t place,
                           const std::vector<Choice>& blocks);
};

// What depends on alpha.
struct Tokenizer::Sampler {
  explicit Sampler(const Unigram& model, double alpha) : weights(model.weights(alpha)) {}
  const Weights weights;
  CachePool<SampleWords> words;
};

struct Tokenizer::Caches {
  CachePool<BestWords> best;
  std::mutex mutex;
  std::vector<std::shared_ptr<Sampler>> samplers;  // of the last alphas, the latest first
};

}  // namespace kexue::lattice
