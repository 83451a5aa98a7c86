// How a unigram model would spell its own pieces without them.
//
//   log_alternative(piece) = log of the sum of P(segmentation) over the segmentations of the text
//                            of the piece into at least two pieces; -inf if there is none
//
// To drop a piece with expected count c costs about c (score - log_alternative) of log-likelihood.
// O(total length times longest piece).
//
// Reference: T. Kudo, Subword regularization, ACL 2018 (pruning).
#pragma once

#include <span>

#include "kexue/lattice/unigram.hpp"

namespace kexue::lattice {

// One value for each piece of the model.
void log_alternatives(const Unigram& model, std::span<double> out, int workers = 0);

}  // namespace kexue::lattice
