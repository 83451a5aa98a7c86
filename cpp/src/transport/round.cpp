#include "kexue/transport/round.hpp"

#include <algorithm>
#include <cstddef>

#include "kexue/core/buffer.hpp"
#include "kexue/core/pool.hpp"

namespace kexue::transport {

using std::ptrdiff_t;

namespace {

// Blocks of rows whose column sums are kept apart and added in order.
constexpr ptrdiff_t kMaxBlocks = 32;

struct Blocks {
  ptrdiff_t rows, count;
};
Blocks blocks_of(ptrdiff_t n) {
  const ptrdiff_t rows = (n + kMaxBlocks - 1) / kMaxBlocks;
  return {rows, (n + rows - 1) / rows};
}

// sums[j] = sum over blocks of partial[block][j]
void add_blocks(const double* partial, ptrdiff_t count, ptrdiff_t m, double* sums) {
  std::fill(sums, sums + m, 0.0);
  for (ptrdiff_t block = 0; block < count; ++block) {
    for (ptrdiff_t j = 0; j < m; ++j) sums[j] += partial[block * m + j];
  }
}

double shrink(double have, double want) { return have > want ? want / have : 1.0; }

template <class T>
double row_sum(const T* row, ptrdiff_t m) {
  double part[4] = {0, 0, 0, 0};
  ptrdiff_t j = 0;
  for (; j + 4 <= m; j += 4) {
    for (int u = 0; u < 4; ++u) part[u] += static_cast<double>(row[j + u]);
  }
  for (; j < m; ++j) part[0] += static_cast<double>(row[j]);
  return (part[0] + part[1]) + (part[2] + part[3]);
}

}  // namespace

template <class T>
void round_plan(MatrixView<const T> plan, const double* a, const double* b, T* out, int workers) {
  const ptrdiff_t n = plan.rows, m = plan.cols;
  const Blocks blocks = blocks_of(n);
  AlignedBuffer<double> partial(blocks.count * m), columns(m), factor(m), missing(n);
  auto for_rows = [&](auto&& work) {
    parallel_for(
        blocks.count,
        [&](ptrdiff_t block, int) {
          double* sums = partial.data() + block * m;
          std::fill(sums, sums + m, 0.0);
          const ptrdiff_t end = std::min(n, (block + 1) * blocks.rows);
          for (ptrdiff_t i = block * blocks.rows; i < end; ++i) work(i, out + i * m, sums);
        },
        workers);
    add_blocks(partial.data(), blocks.count, m, columns.data());
  };
  for_rows([&](ptrdiff_t i, T* to, double* sums) {
    const T* from = plan.row(i);
    const double scale = shrink(row_sum(from, m), a[i]);
    for (ptrdiff_t j = 0; j < m; ++j) {
      to[j] = static_cast<T>(static_cast<double>(from[j]) * scale);
      sums[j] += static_cast<double>(to[j]);
    }
  });
  for (ptrdiff_t j = 0; j < m; ++j) factor[j] = shrink(columns[j], b[j]);
  for_rows([&](ptrdiff_t i, T* to, double* sums) {
    for (ptrdiff_t j = 0; j < m; ++j) {
      to[j] = static_cast<T>(static_cast<double>(to[j]) * factor[j]);
      sums[j] += static_cast<double>(to[j]);
    }
    missing[i] = std::max(0.0, a[i] - row_sum(to, m));
  });
  double total = 0;
  for (ptrdiff_t i = 0; i < n; ++i) total += missing[i];
  if (!(total > 0)) return;
  for (ptrdiff_t j = 0; j < m; ++j) factor[j] = std::max(0.0, b[j] - columns[j]) / total;
  for_rows([&](ptrdiff_t i, T* to, double*) {
    if (missing[i] == 0) return;
    for (ptrdiff_t j = 0; j < m; ++j) {
      to[j] = static_cast<T>(static_cast<double>(to[j]) + missing[i] * factor[j]);
    }
  });
}

template void round_plan<float>(MatrixView<const float>, const double*, const double*, float*, int);
template void round_plan<double>(MatrixView<const double>, const double*, const double*, double*,
                                 int);

}  // namespace kexue::transport
