// What the transportation simplex starts from: prices, candidate arcs, a basis.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kexue/core/buffer.hpp"
#include "kexue/core/views.hpp"
#include "kexue/transport/auction.hpp"
#include "kexue/transport/tree.hpp"

namespace kexue::transport {

// (C_ij - low_i) / range in float32: the least entry of a row is 0, the largest finite one at most
// 1. What is far beyond most costs is +inf, as forbidden arcs are, so that the others keep their
// digits.
struct ScaledCosts {
  ScaledCosts(MatrixView<const double> cost, int workers);
  MatrixView<const float> view() const { return row_major<const float>(data.data(), rows, cols); }

  std::ptrdiff_t rows, cols;
  AlignedBuffer<float> data;
  double range = 0;
};

// Arcs of small reduced cost with respect to the prices v (in units of the scaled costs), about
// `per_row` for each row and the best of each row and column.
std::vector<Arc> candidate_arcs(MatrixView<const double> cost, const ScaledCosts& scaled,
                                const float* v, int per_row, int workers);

// Masses as integers, between 2^59 and 2^60 units in all, with Orden's infinitesimals.
Masses integer_masses(const double* a, std::ptrdiff_t n, const double* b, std::ptrdiff_t m);

// A feasible basis near shipments that need not place all mass: cycles are cancelled towards less
// cost, what is left goes along the arcs in the order of their reduced costs, then along the best
// open arc of each row; forbidden arcs that it takes get the cost `forbidden`.
std::vector<Arc> first_basis(MatrixView<const double> cost, const std::vector<Shipment>& shipments,
                             const std::vector<Arc>& arcs, const std::vector<double>& v,
                             const Masses& masses, double forbidden);

}  // namespace kexue::transport
