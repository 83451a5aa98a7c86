#include "kexue/transport/certificate.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kexue/core/buffer.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/transport/kernels.hpp"

namespace kexue::transport {

using std::ptrdiff_t;

namespace {

// Entries of a chunk of work: tens of microseconds.
constexpr ptrdiff_t kChunk = ptrdiff_t{1} << 17;

}  // namespace

void row_transform(MatrixView<const double> cost, const double* g, double* f, int workers) {
  const auto& kernel = row_kernels().f64;
  const ptrdiff_t rows = std::max<ptrdiff_t>(1, kChunk / cost.cols);
  parallel_for((cost.rows + rows - 1) / rows,
               [&](ptrdiff_t chunk, int) {
                 const ptrdiff_t end = std::min(cost.rows, (chunk + 1) * rows);
                 for (ptrdiff_t i = chunk * rows; i < end; ++i) {
                   f[i] = kernel.minimum(cost.row(i), g, cost.cols).value;
                 }
               },
               workers);
}

void column_transform(MatrixView<const double> cost, const double* f, double* g, int workers) {
  constexpr ptrdiff_t kColumns = 512;
  const auto& kernel = row_kernels().f64;
  std::fill(g, g + cost.cols, std::numeric_limits<double>::infinity());
  AlignedBuffer<std::int32_t> from(cost.cols);
  std::fill(from.data(), from.data() + cost.cols, 0);
  parallel_for(
      (cost.cols + kColumns - 1) / kColumns,
      [&](ptrdiff_t chunk, int) {
        const ptrdiff_t first = chunk * kColumns, n = std::min(kColumns, cost.cols - first);
        for (ptrdiff_t i = 0; i < cost.rows; ++i) {
          kernel.lower_columns(cost.row(i) + first, f[i], i, g + first, from.data() + first, n);
        }
      },
      workers);
}

Sum weighted_sum(const double* x, const double* y, ptrdiff_t n) {
  // Products and sums with their rounding errors (Ogita, Rump, Oishi 2005, Dot2).
  double sum = 0, low = 0, size = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    if (x[i] == 0) continue;
    const double product = x[i] * y[i];
    const double rest = std::fma(x[i], y[i], -product);
    const double next = sum + product;
    const double part = next - sum;
    low += ((sum - (next - part)) + (product - part)) + rest;
    sum = next;
    size += std::abs(product);
  }
  const double value = std::isfinite(sum) ? sum + low : sum;
  return {value, 0x1p-51 * size};
}

}  // namespace kexue::transport
