// Texts to token ids and back.
//
// Batches run on the pool; what a text gives depends on the text (and for samples on the key and
// its number) alone. A piece is its own number; an unknown character becomes the byte pieces of its
// bytes if there are all 256, else the unknown piece, neighbouring ones together as one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kexue/core/rng.hpp"
#include "kexue/lattice/ids.hpp"
#include "kexue/lattice/line.hpp"
#include "kexue/lattice/text.hpp"
#include "kexue/lattice/unigram.hpp"

namespace kexue::lattice {

// Row i is ids[offsets[i]] .. ids[offsets[i + 1] - 1].
struct Tokens {
  Ids ids;
  std::vector<Index> offsets{0};
  std::vector<double> scores;  // of the rows, and how many rows each text has, of best()
  std::vector<Index> counts;
  Fault fault;  // of the first text that has one; then the rest is empty
};

// Begin and end of each token, two numbers each, in the units of the text.
struct Spans {
  std::vector<Index> bounds;
};

// The edges of one text's lattice, in order of their places.
struct TextEdges {
  std::vector<Index> begin, end;    // bytes of the normalised text
  std::vector<std::int32_t> piece;  // -1: unknown
  std::vector<double> score;
  std::vector<std::uint8_t> bytes;  // the normalised text
  Fault fault;
};

// Segmentations of one text; see sample.hpp.
struct WeightedRows {
  Tokens tokens;
  std::vector<double> log_prob, log_inclusion;
};

enum class SampleMethod : std::uint8_t { kExact, kStreaming, kViterbi };

class Tokenizer {
 public:
  // `normalizer` may be null.
  Tokenizer(std::shared_ptr<const Unigram> model, std::shared_ptr<const Normalizer> normalizer);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  const Unigram& model() const { return *model_; }

  Tokens encode(const TextSource& texts, int workers = 0) const;
  // One text with the places of its tokens.
  Tokens encode(const TextView& text, Spans& spans) const;

  // `size` samples of each text, P(segmentation) = exp(alpha score) / Z: sample j of text i is row
  // i size + j and depends on the key, first_index + i, j and the text alone.
  //   exact       backward filtering, forward sampling: one uniform number for each token
  //   streaming   one forward pass in the log domain that draws at every edge whether it replaces
  //               what leads to its end, with the weight of all before it (9811); the same law
  //   viterbi     the same against the score of the survivor alone (9768): not the same law
  Tokens sample(const TextSource& texts, double alpha, std::ptrdiff_t size, Key key,
                std::uint64_t first_index, SampleMethod method, int workers = 0) const;

  TextEdges edges(const TextView& text) const;
  // log Z.
  double log_partition(const TextView& text, double alpha, Fault& fault) const;
  // The k best of each text, from the best on, or all there are; exact.
  Tokens best(const TextSource& texts, std::ptrdiff_t k, int workers = 0) const;
  WeightedRows sample_without_replacement(const TextView& text, std::ptrdiff_t size, double alpha,
                                          Key key) const;

  // Gives back the memory of what is remembered.
  void forget() const;

  // The bytes of a sequence of ids, 0x20 for a space mark; unknown pieces are U+2047 between
  // spaces, control pieces nothing. Ids must be in range.
  std::vector<std::uint8_t> decode(std::span<const std::int32_t> ids) const;
  // Of rows of ids: row i of the result is bytes[offsets[i]] .. bytes[offsets[i + 1] - 1].
  struct Decoded {
    std::vector<std::uint8_t> bytes;
    std::vector<Index> offsets{0};
  };
  Decoded decode(std::span<const std::int32_t> ids, std::span<const Index> offsets) const;

 private:
  std::shared_ptr<const Unigram> model_;
  std::shared_ptr<const Normalizer> normalizer_;
  struct Caches;
  struct Sampler;
  std::shared_ptr<Sampler> sampler(double alpha) const;
  std::unique_ptr<Caches> caches_;
};

}  // namespace kexue::lattice
