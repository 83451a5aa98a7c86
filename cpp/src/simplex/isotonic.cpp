// Isotonic regression (kexue/simplex/permutahedron.hpp).
#include <algorithm>
#include <cmath>

#include "kexue/core/buffer.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/simplex/permutahedron.hpp"
#include "kexue/simplex/row_loop.hpp"

namespace kexue::simplex {
namespace {

using std::ptrdiff_t;

struct Run {
  ptrdiff_t first, count;
  double weight, mean;

  // The mean moves by a share of the difference: no product of large numbers, and means of large
  // numbers close together are as exact as these are.
  void add(const Run& next) {
    count += next.count;
    mean += (next.mean - mean) / (1 + weight / next.weight);
    weight += next.weight;
  }
};

// Factors (powers of two) by which neither differences of x nor sums of w overflow.
struct Units {
  double x = 1, w = 1;
};
template <class T>
Units units_of(const MatrixView<const T>& x, const MatrixView<const T>& w, ptrdiff_t row) {
  double largest_x = 0, largest_w = 0;
  for_polled(x.cols, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t j = begin; j < end; ++j) {
      largest_x = std::max(largest_x, std::abs(static_cast<double>(x(row, j))));
      if (w.data != nullptr) largest_w = std::max(largest_w, static_cast<double>(w(row, j)));
    }
  });
  return {largest_x < 0x1p1000 ? 1 : 0x1p-4, largest_w < 0x1p980 ? 1 : 0x1p-40};
}

}  // namespace

template <class T>
void isotonic(MatrixView<const T> x, MatrixView<const T> w, bool increasing, MatrixView<T> out,
              int workers) {
  const ptrdiff_t n = x.cols;
  const int slots = planned_workers(x.rows, workers);
  AlignedBuffer<Run> scratch(slots * n);
  const auto place = [=](ptrdiff_t i) { return increasing ? i : n - 1 - i; };
  for_each_row(x.rows, n, slots, [&](ptrdiff_t row, int slot) {
    const Units unit = units_of(x, w, row);
    Run* runs = scratch.data() + slot * n;
    ptrdiff_t count = 0;
    Poll poll;
    for (ptrdiff_t i = 0; i < n; ++i) {
      poll();
      const ptrdiff_t j = place(i);
      const double weight = w.data == nullptr ? 1 : static_cast<double>(w(row, j));
      // A weight that the unit rounds to zero still counts among its like.
      Run run{i, 1, std::max(weight * unit.w, 0x1p-1074), static_cast<double>(x(row, j)) * unit.x};
      while (count > 0 && runs[count - 1].mean >= run.mean) {
        Run before = runs[--count];
        before.add(run);
        run = before;
      }
      runs[count++] = run;
    }
    for (ptrdiff_t r = 0; r < count; ++r) {
      for (ptrdiff_t i = runs[r].first; i < runs[r].first + runs[r].count; ++i) {
        poll();
        out(row, place(i)) = static_cast<T>(runs[r].mean / unit.x);
      }
    }
  });
}

#define KEXUE_INSTANTIATE(T) \
  template void isotonic<T>(MatrixView<const T>, MatrixView<const T>, bool, MatrixView<T>, int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
