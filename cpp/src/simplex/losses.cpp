#include "kexue/simplex/losses.hpp"

#include <algorithm>
#include <cmath>

#include "kexue/core/constants.hpp"
#include "kexue/simplex/maps.hpp"
#include "kexue/simplex/row_loop.hpp"
#include "kexue/simplex/rows.hpp"
#include "kexue/simplex/select.hpp"

namespace kexue::simplex {

using std::ptrdiff_t;

namespace {

// f(column, weight) for the entries of a row's target.
template <class T, class F>
void for_target(const Targets<T>& targets, ptrdiff_t row, ptrdiff_t n, F&& f) {
  if (targets.ids != nullptr) {
    f(static_cast<ptrdiff_t>(targets.ids[row]), 1.0);
  } else if (targets.dense != nullptr) {
    for (ptrdiff_t j = 0; j < n; ++j) {
      const T t = targets.dense[row * n + j];
      if (t != 0) f(j, static_cast<double>(t));
    }
  } else {
    for (std::int64_t e = targets.indptr[row]; e < targets.indptr[row + 1]; ++e) {
      if (targets.data[e] != 0) f(static_cast<ptrdiff_t>(targets.indices[e]), targets.data[e]);
    }
  }
}

// alpha (alpha - 1) times the summand of Omega, or p log p.
double summand(double p, double alpha) {
  if (alpha == 1) return p * std::log(p);
  if (alpha == 2) return p * p;
  if (alpha == 1.5) return p * std::sqrt(p);
  return std::pow(p, alpha);
}
double omega(double sum, double alpha) {
  if (alpha == 1) return sum;
  return std::isinf(alpha) ? 0 : (sum - 1) / (alpha * (alpha - 1));
}

// Omega*(x) - max/T from p, and from the log-sum-exp where the map is softmax.
template <class T>
double conjugate(const T* x, const T* p, ptrdiff_t n, double max, const LossOptions& options,
                 double level) {
  const bool softmax = options.k > 0 || options.alpha == 1;
  if (softmax && std::isfinite(max)) return level - max / options.temperature;
  double inner = 0, sum = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    if (!(p[i] > 0)) continue;
    const double gap = x[i] == max ? 0 : static_cast<double>(x[i]) - max;
    inner += static_cast<double>(p[i]) * gap;
    sum += summand(static_cast<double>(p[i]), softmax ? 1 : options.alpha);
  }
  return inner / options.temperature - omega(sum, softmax ? 1 : options.alpha);
}

template <class T>
double loss_of_row(const T* x, const T* p, ptrdiff_t row, ptrdiff_t n, const Targets<T>& targets,
                   const LossOptions& options, double level) {
  const Extremes<T> seen = sparse_kernels<T>().extremes(x, n);
  if (seen.nan) return kNaN;
  const double max = seen.max, alpha = options.k > 0 ? 1 : options.alpha;
  double product = 0, sum = 0, mass = 0;
  bool masked = false;
  for_target(targets, row, n, [&](ptrdiff_t j, double t) {
    masked = masked || x[j] == -kInf;
    product += t * (x[j] == max ? 0 : static_cast<double>(x[j]) - max);
    sum += summand(t, alpha);
    mass += t;
  });
  if (masked) return kInf;
  const double own = targets.ids != nullptr ? 0 : omega(sum, alpha);
  double value = conjugate(x, p, n, max, options, level) - product / options.temperature + own;
  // Weights that do not add up to one: what the shift by max took away.
  if (mass != 1 && std::isfinite(max)) value += (1 - mass) * max / options.temperature;
  return value;
}

}  // namespace

template <class T>
void fenchel_young(const T* x, ptrdiff_t n_rows, ptrdiff_t n, const Targets<T>& targets,
                   const LossOptions& options, double* values, T* gradient) {
  const ptrdiff_t per_chunk = rows_per_chunk(n);
  const ptrdiff_t size = std::min(per_chunk, std::max<ptrdiff_t>(n_rows, 1)) * n;
  const int workers = planned_workers(planned_row_chunks(n_rows, n), options.workers);
  SlotBuffers<T> shifted(workers, size), maps(workers, size);
  SlotBuffers<double> levels(workers, per_chunk);
  for_row_chunks(n_rows, n, workers, [&](ptrdiff_t first, ptrdiff_t rows, int slot) {
    const T* from = x + first * n;
    const auto skipped = [&](ptrdiff_t r) { return targets.ids != nullptr && targets.ids[r] < 0; };
    if (options.margin != 0) {
      T* copy = shifted[slot];
      std::copy_n(from, rows * n, copy);
      for (ptrdiff_t r = 0; r < rows; ++r) {
        if (skipped(first + r)) continue;
        for_target(targets, first + r, n, [&](ptrdiff_t j, double t) {
          copy[r * n + j] = static_cast<T>(copy[r * n + j] - options.margin * t);
        });
      }
      from = copy;
    }
    T* p = gradient != nullptr ? gradient + first * n : maps[slot];
    double* level = levels[slot];
    const Batch<T> batch{from, p, rows, n, 1};
    if (options.k > 0) {
      topk_softmax(batch, options.k, options.temperature, Empty::zero, level);
    } else {
      entmax(batch, &options.alpha, 0, options.temperature, Empty::zero,
             options.alpha == 1 ? level : nullptr);
    }
    for (ptrdiff_t r = 0; r < rows; ++r) {
      const ptrdiff_t row = first + r;
      T* q = p + r * n;
      if (skipped(row)) {
        values[row] = 0;
        if (gradient != nullptr) std::fill_n(q, n, T(0));
        continue;
      }
      values[row] = loss_of_row(from + r * n, q, row, n, targets, options, level[r]);
      if (gradient == nullptr) continue;
      for_target(targets, row, n, [&](ptrdiff_t j, double t) { q[j] = static_cast<T>(q[j] - t); });
      const T scale = static_cast<T>(options.weight / options.temperature);
      if (scale != 1) std::transform(q, q + n, q, [&](T v) { return v * scale; });
    }
  });
}

// ---- Several labels -----------------------------------------------------------------------------

namespace {

// log(1 + sum e^{y_j}) over the y given one by one, without overflow.
struct LogOnePlus {
  double max = 0, sum = 1;  // the one is e^0

  void add(double y) {
    if (y <= max) {
      sum += std::exp(y - max);
    } else if (y == kInf) {
      max = kInf;
    } else {
      sum = sum * std::exp(max - y) + 1;
      max = y;
    }
  }
  double value() const { return max + std::log(sum); }
  double share(double y) const { return y == -kInf ? 0 : std::exp((y - max)) / sum; }
};

}  // namespace

template <class T>
void multilabel(const T* x, const std::uint8_t* labels, ptrdiff_t n_rows, ptrdiff_t n, double gamma,
                double margin, bool threshold_class, double weight, int workers, double* values,
                T* gradient) {
  const ptrdiff_t skip = threshold_class ? 1 : 0;
  for_row_chunks(n_rows, n, workers, [&](ptrdiff_t first, ptrdiff_t rows, int) {
    for (ptrdiff_t r = first; r < first + rows; ++r) {
      const T* scores = x + r * n;
      const std::uint8_t* label = labels + r * (n - skip) - skip;
      const double threshold = threshold_class ? static_cast<double>(scores[0]) : 0;
      const auto exponent = [&](ptrdiff_t j) {
        const double s = static_cast<double>(scores[j]) - threshold;
        return label[j] != 0 ? -gamma * (s - margin) : gamma * (s + margin);
      };
      LogOnePlus side[2];
      for_polled(n - skip, [&](ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t j = begin + skip; j < end + skip; ++j) {
          side[label[j] != 0 ? 1 : 0].add(exponent(j));
        }
      });
      values[r] = side[0].value() + side[1].value();
      if (gradient == nullptr) continue;
      T* g = gradient + r * n;
      double total = 0;
      for_polled(n - skip, [&](ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t j = begin + skip; j < end + skip; ++j) {
          const int which = label[j] != 0 ? 1 : 0;
          const double d = (which == 1 ? -gamma : gamma) * side[which].share(exponent(j)) * weight;
          total += d;
          g[j] = static_cast<T>(d);
        }
      });
      if (threshold_class) g[0] = static_cast<T>(-total);
    }
  });
}

#define KEXUE_INSTANTIATE(T)                                                                       \
  template void fenchel_young<T>(const T*, ptrdiff_t, ptrdiff_t, const Targets<T>&,                \
                                 const LossOptions&, double*, T*);                                 \
  template void multilabel<T>(const T*, const std::uint8_t*, ptrdiff_t, ptrdiff_t, double, double, \
                              bool, double, int, double*, T*);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
