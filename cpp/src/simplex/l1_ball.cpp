// The l1 ball, through the plain projection of |x|.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kexue/core/buffer.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/simplex/box_projection.hpp"
#include "kexue/simplex/maps.hpp"
#include "kexue/simplex/row_loop.hpp"

namespace kexue::simplex {
namespace {

using std::ptrdiff_t;

// A longer row is a chunk of its own, and all workers are on it.
constexpr ptrdiff_t kLongRow = 1 << 17;

}  // namespace

template <class T>
void project_l1_ball(MatrixView<const T> x, VectorView<const double> radius, MatrixView<T> out,
                     int workers) {
  const ptrdiff_t n = x.cols;
  workers = planned_workers(kMaxWorkers, workers);
  bool one_radius = x.rows > 0 && radius[0] > 0 && n <= kLongRow;
  for (ptrdiff_t i = 1; i < x.rows && one_radius; ++i) one_radius = radius[i] == radius[0];
  // Rows of one chunk share a radius, or stand alone.
  const ptrdiff_t chunk_rows = one_radius ? std::max<ptrdiff_t>(1, kChunkEntries / n) : 1;
  const ptrdiff_t n_chunks = (x.rows + chunk_rows - 1) / chunk_rows;
  const bool is_long = n > kLongRow;
  const int n_slots = is_long ? 1 : workers;
  // |x| goes where the result will be, unless that is x itself.
  const bool in_place = out.data == x.data || (x.rows > 1 && out.row_stride != n);
  AlignedBuffer<T> magnitudes(in_place ? n_slots * chunk_rows * n : 0);
  AlignedBuffer<double> taus(n_slots * chunk_rows);
  const auto project_chunk = [&](ptrdiff_t chunk, int slot) {
    const ptrdiff_t first = chunk * chunk_rows, count = std::min(chunk_rows, x.rows - first);
    T* magnitude = in_place ? magnitudes.data() + slot * chunk_rows * n : out.row(first);
    double* tau = taus.data() + slot * chunk_rows;
    for (ptrdiff_t i = 0; i < count; ++i) {
      const T* row = x.row(first + i);
      for (ptrdiff_t j = 0; j < n; ++j) magnitude[i * n + j] = std::abs(row[j]);
    }
    if (radius[first] > 0) {
      const Batch<T> batch{magnitude, magnitude, count, n, is_long ? workers : 1};
      project_rows<T>(batch, radius[first], 1.0, Empty::nan, tau);
    } else {
      const bool finite =
          std::all_of(magnitude, magnitude + n, [](T v) { return std::isfinite(v); });
      std::fill_n(magnitude, n, T(0));
      *tau = finite ? std::numeric_limits<double>::max() : std::numeric_limits<double>::infinity();
    }
    for (ptrdiff_t i = 0; i < count; ++i) {
      const T* row = x.row(first + i);
      const T* projected = magnitude + i * n;
      T* result = out.row(first + i);
      // Not above zero: x lies inside. An infinite entry has an infinite or no tau.
      if (tau[i] <= 0) {
        if (result != row) std::copy_n(row, n, result);
      } else if (std::isfinite(tau[i])) {
        for (ptrdiff_t j = 0; j < n; ++j) result[j] = std::copysign(projected[j], row[j]);
      } else {
        std::fill_n(result, n, std::numeric_limits<T>::quiet_NaN());
      }
    }
  };
  if (is_long) {
    for (ptrdiff_t chunk = 0; chunk < n_chunks; ++chunk) project_chunk(chunk, 0);
  } else {
    parallel_for(n_chunks, project_chunk, workers);
  }
}

#define KEXUE_INSTANTIATE(T)                                                                     \
  template void project_l1_ball<T>(MatrixView<const T>, VectorView<const double>, MatrixView<T>, \
                                   int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
