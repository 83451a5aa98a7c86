// One pass over the samples: what the likelihood of a smooth factor needs to know of them.
//
// The period is cut into cells; of the samples in a cell the moments sum w d^k, k = 0..3, are kept,
// d in [0, 1) being the place in the cell. For the fit every cell becomes the two points of Gauss's
// rule with the same four moments: inside the cell, weights not negative, exact for cubics, and one
// or two samples are those points themselves. A measure that is not negative keeps the likelihood
// bounded and the certificate of the fit true. Moments add: weights, further batches and merging
// come for free; and they coarsen without error.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kexue/density/chart.hpp"

namespace kexue::density {

inline constexpr int kMoments = 4;

// Adds the samples y with weights w (empty: 1) to moments[kMoments * cells]; returns
// sum w log(dx/dy). Positions come from the chart. The result does not depend on the workers.
double compress(const Chart& chart, std::span<const double> y, std::span<const double> w,
                std::span<double> moments, int workers);

// Moments of `coarse` cells from those of a power of two times as many.
void coarsen(std::span<const double> fine, std::span<double> coarse);

// t of the samples; returns sum w log(dx/dy) as `compress` does.
double positions(const Chart& chart, std::span<const double> y, std::span<const double> w,
                 std::span<double> t);

// Points with weights, none negative.
struct Points {
  std::vector<double> t, w;
};

// The points of all cells that are not empty, weights as in the moments.
Points gauss_points(std::span<const double> moments);

// Those of points t in [-1, 1) with weights w, in a power of two of cells.
Points condense(std::span<const double> t, std::span<const double> w, std::ptrdiff_t cells);

}  // namespace kexue::density
