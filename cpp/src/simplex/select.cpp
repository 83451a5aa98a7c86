// Softmax over the largest entries; Taylor softmax.
#include "kexue/simplex/select.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kexue/simplex/row_loop.hpp"
#include "kexue/simplex/rows.hpp"
#include "kexue/simplex/sorting.hpp"

namespace kexue::simplex {

using std::ptrdiff_t;

namespace {

// Softmax of each row without the entries below limit(x, max, scratch, slot), for rows without NaN.
template <class T, class Limit>
ptrdiff_t softmax_above(const Batch<T>& batch, double temperature, Empty empty, double* lse,
                        Limit&& limit) {
  const ptrdiff_t n = batch.n;
  const int workers = planned_workers(planned_row_chunks(batch.n_rows, n), batch.workers);
  SlotBuffers<T> kept(workers, n);
  std::vector<ptrdiff_t> counts(static_cast<std::size_t>(workers));
  for_row_chunks(batch.n_rows, n, workers, [&](ptrdiff_t first, ptrdiff_t rows, int slot) {
    for (ptrdiff_t r = first; r < first + rows; ++r) {
      const T* x = batch.x + r * n;
      T* row = kept[slot];
      const Extremes<T> seen = sparse_kernels<T>().extremes(x, n);
      T least = -std::numeric_limits<T>::infinity();
      if (!seen.nan && std::isfinite(seen.max)) least = limit(x, seen.max, row, slot);
      for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
        std::transform(x + begin, x + end, row + begin,
                       [&](T v) { return v < least ? -std::numeric_limits<T>::infinity() : v; });
      });
      counts[static_cast<std::size_t>(slot)] +=
          softmax(Batch<T>{row, batch.out + r * n, 1, n, 1}, temperature, empty,
                  lse == nullptr ? nullptr : lse + r);
    }
  });
  ptrdiff_t sum = 0;
  for (ptrdiff_t c : counts) sum += c;
  return sum;
}

}  // namespace

template <class T>
ptrdiff_t topk_softmax(const Batch<T>& batch, ptrdiff_t k, double temperature, Empty empty,
                       double* lse) {
  return softmax_above(batch, temperature, empty, lse, [&](const T* x, T, T* scratch, int) {
    return kth_largest(x, batch.n, k, scratch);
  });
}

template <class T>
ptrdiff_t topp_softmax(const Batch<T>& batch, double p, double temperature, Empty empty) {
  const ptrdiff_t n = batch.n;
  std::vector<FallingOrder<T>> orders(static_cast<std::size_t>(
      planned_workers(planned_row_chunks(batch.n_rows, n), batch.workers)));
  return softmax_above(
      batch, temperature, empty, nullptr, [&](const T* x, T max, T* row, int slot) {
        FallingOrder<T>& order = orders[static_cast<std::size_t>(slot)];
        if (order.capacity() == 0) order = FallingOrder<T>(n);
        order.sort(x, n);
        Poll poll;
        for (ptrdiff_t i = 0; i < n; ++i) {
          poll();
          row[i] = x[order[i]];
        }
        const auto weight = [&](ptrdiff_t i) {
          poll();
          return std::exp((static_cast<double>(row[i]) - static_cast<double>(max)) / temperature);
        };
        double total = 0;
        for (ptrdiff_t i = n - 1; i >= 0; --i) total += weight(i);
        double sum = 0;
        for (ptrdiff_t i = 0; i < n; ++i) {
          sum += weight(i);
          if (sum >= p * total) return row[i];
        }
        return row[n - 1];
      });
}

// ---- Taylor -------------------------------------------------------------------------------------

namespace {

// sum_{j <= order} x^j / j!
double partial_exponential(double x, int order) {
  double y = 1;
  for (int j = order; j > 0; --j) y = 1 + y * x / j;
  return y;
}

// The same in units of its leading power at `largest`, for x = largest u: nothing overflows.
double scaled_exponential(double u, double largest, int order) {
  double y = 1, c = 1;
  for (int j = order; j > 0; --j) {
    c *= j / largest;
    y = y * u + c;
  }
  return y;
}

// The largest finite |x_i|.
template <class T>
double largest_finite(const T* x, ptrdiff_t n) {
  double largest = 0;
  for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t i = begin; i < end; ++i) {
      if (std::isfinite(x[i])) largest = std::max(largest, std::abs(static_cast<double>(x[i])));
    }
  });
  return largest;
}

// Beyond it powers are scaled.
constexpr double kLargeScore = 1000;

}  // namespace

template <class T>
ptrdiff_t taylor_softmax(const Batch<T>& batch, int order, double temperature, Empty empty) {
  const ptrdiff_t n = batch.n;
  std::vector<ptrdiff_t> counts(kMaxWorkers);
  for_row_chunks(batch.n_rows, n, batch.workers, [&](ptrdiff_t first, ptrdiff_t rows, int slot) {
    const AlignedBuffer<double> buffer(n);
    double* values = buffer.data();
    for (ptrdiff_t r = first; r < first + rows; ++r) {
      const T* x = batch.x + r * n;
      T* out = batch.out + r * n;
      const Extremes<T> seen = sparse_kernels<T>().extremes(x, n);
      if (seen.nan || !std::isfinite(seen.max)) {
        counts[static_cast<std::size_t>(slot)] += special_row(x, out, n, empty, T(0), false);
        continue;
      }
      const double largest = largest_finite(x, n);
      const bool is_large = largest / temperature > kLargeScore;
      double sum = 0;
      for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t i = begin; i < end; ++i) {
          double value = 0;
          if (std::isfinite(x[i])) {
            const auto v = static_cast<double>(x[i]);
            value = is_large ? scaled_exponential(v / largest, largest / temperature, order)
                             : partial_exponential(v / temperature, order);
          }
          values[i] = value;
          sum += value;
        }
      });
      for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t i = begin; i < end; ++i) out[i] = static_cast<T>(values[i] / sum);
      });
    }
  });
  ptrdiff_t sum = 0;
  for (ptrdiff_t c : counts) sum += c;
  return sum;
}

// dp_i = p_i (q_i dx_i - sum p_j q_j dx_j) with q = f_{order-1} / f_order.
template <class T>
void taylor_softmax_vjp(const Batch<T>& batch, const T* g, int order, double temperature) {
  const ptrdiff_t n = batch.n;
  for_row_chunks(batch.n_rows, n, batch.workers, [&](ptrdiff_t first, ptrdiff_t rows, int) {
    const AlignedBuffer<double> buffer(n);
    double* values = buffer.data();
    for (ptrdiff_t r = first; r < first + rows; ++r) {
      const T* x = batch.x + r * n;
      const T* up = g + r * n;
      T* out = batch.out + r * n;
      const double largest = largest_finite(x, n);
      const bool is_large = largest / temperature > kLargeScore;
      const auto power = [&](ptrdiff_t i, int degree) {
        const auto v = static_cast<double>(x[i]);
        return is_large ? scaled_exponential(v / largest, largest / temperature, degree)
                        : partial_exponential(v / temperature, degree);
      };
      double sum = 0, mean = 0;
      for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t i = begin; i < end; ++i) {
          values[i] = x[i] == -std::numeric_limits<T>::infinity() ? 0 : power(i, order);
          sum += values[i];
        }
      });
      for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t i = begin; i < end; ++i) {
          const double p = values[i] / sum;
          if (p > 0) mean += p * static_cast<double>(up[i]);
        }
      });
      const double rate = is_large ? order / largest : 1 / temperature;
      for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t i = begin; i < end; ++i) {
          double d = 0;
          if (x[i] != -std::numeric_limits<T>::infinity()) {
            d = power(i, order - 1) / sum * rate * (static_cast<double>(up[i]) - mean);
          }
          out[i] = static_cast<T>(d);
        }
      });
    }
  });
}

#define KEXUE_INSTANTIATE(T)                                                              \
  template ptrdiff_t topk_softmax<T>(const Batch<T>&, ptrdiff_t, double, Empty, double*); \
  template ptrdiff_t topp_softmax<T>(const Batch<T>&, double, double, Empty);             \
  template ptrdiff_t taylor_softmax<T>(const Batch<T>&, int, double, Empty);              \
  template void taylor_softmax_vjp<T>(const Batch<T>&, const T*, int, double);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
