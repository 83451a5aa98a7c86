// Rows of logits and their targets, read before the product; for emo.cpp alone.
#pragma once

#include "kexue/transport/emo.hpp"

namespace kexue::transport {

// What is known of a row of logits and its target. The last six need the product.
template <class T>
struct Row {
  RowUnits<T> units;
  std::ptrdiff_t pivot;  // the target, or its largest entry
  double p, rest;        // of the pivot, and 1 - p
  double target_rest;    // mass of the target beside the pivot
  double target_scale;   // by which the target's masses are multiplied
  double entropy;        // cross-entropy
  double pivot_cost;
  double cost, similarity, overlap;
  double w_entropy, w_cost;
};

template <class T>
Fault read_row(const EmoProblem<T>& problem, std::ptrdiff_t r, Row<T>& row);

}  // namespace kexue::transport
