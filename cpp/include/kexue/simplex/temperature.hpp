// Temperatures whose quotients may leave the range of a number.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "kexue/simplex/maps.hpp"
#include "kexue/simplex/row_loop.hpp"
#include "kexue/simplex/rows.hpp"

namespace kexue::simplex {

inline bool is_extreme(double temperature) { return temperature < 0x1p-64 || temperature > 0x1p64; }

// out = (x - max) / temperature, for maps that do not see the shift: rows of temperature 1. What
// overflows is far below the maximum. Rows with NaN or without a finite maximum stay as they are.
// Returns max / temperature of the rows.
template <class T>
std::vector<double> divide_rows(const Batch<T>& batch, T* out, double temperature) {
  const std::ptrdiff_t n = batch.n;
  std::vector<double> shift(static_cast<std::size_t>(batch.n_rows));
  for_row_chunks(
      batch.n_rows, n, batch.workers, [&](std::ptrdiff_t first, std::ptrdiff_t rows, int) {
        for (std::ptrdiff_t r = first; r < first + rows; ++r) {
          const T* x = batch.x + r * n;
          const Extremes<T> seen = sparse_kernels<T>().extremes(x, n);
          const bool ordinary = !seen.nan && std::isfinite(seen.max);
          const double max = seen.max;
          std::transform(x, x + n, out + r * n, [&](T v) {
            return ordinary ? static_cast<T>((static_cast<double>(v) - max) / temperature) : v;
          });
          shift[static_cast<std::size_t>(r)] = ordinary ? max / temperature : 0;
        }
      });
  return shift;
}

// log_softmax of a row whose largest entry over the temperature overflows.
template <class T>
void log_softmax_beyond(const T* x, T* out, std::ptrdiff_t n, T max, double temperature) {
  const auto scaled = [=](std::ptrdiff_t i) {
    return (static_cast<double>(x[i]) - static_cast<double>(max)) / temperature;
  };
  Poll poll;
  double sum = 0;
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    poll();
    sum += std::exp(scaled(i));
  }
  const double log_sum = std::log(sum);
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    poll();
    out[i] = static_cast<T>(scaled(i) - log_sum);
  }
}

}  // namespace kexue::simplex
