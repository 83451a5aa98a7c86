// Counts of pieces over a corpus: what training a unigram model needs of it.
//
//   expected    c(piece) = sum over texts of multiplicity times the mean number of times that the
//               piece stands in a path drawn with P(path) = exp(alpha score) / Z
//   best        the same for the best path of each text
//
// Texts are bytes as the trie has them. They fall into at most 16 blocks of about as many bytes
// whatever the number of workers, whose counts are summed in order: memory of two numbers a piece
// with one worker, seldom more than four with two.
//
// Reference: T. Kudo, Subword regularization, ACL 2018 (EM training).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kexue/lattice/unigram.hpp"

namespace kexue::lattice {

struct PieceCounts {
  std::vector<double> counts;    // of the pieces; the last entry counts unknown characters
  double total = 0;              // sum of multiplicity times log Z, or times the best score
  std::ptrdiff_t pathless = -1;  // the first text without a path, which is left out
};

// Text i is text[begin[i]] .. text[begin[i + 1] - 1].
struct Corpus {
  std::span<const std::uint8_t> text;
  std::span<const Index> begin;
  std::span<const double> multiplicity;
};

PieceCounts expected_counts(const Unigram& model, const Corpus& corpus, double alpha,
                            int workers = 0);
PieceCounts best_counts(const Unigram& model, const Corpus& corpus, int workers = 0);

}  // namespace kexue::lattice
