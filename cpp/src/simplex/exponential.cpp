// softmax, log_softmax, logsumexp.
#include <cmath>
#include <limits>

#include "kexue/simplex/maps.hpp"
#include "kexue/simplex/rows.hpp"
#include "kexue/simplex/temperature.hpp"

namespace kexue::simplex {

using std::ptrdiff_t;

namespace {

constexpr double kLog2 = 0x1.62e42fefa39efp-1;
constexpr double kLog2High = 0x1.62e42fefa3800p-1, kLog2Low = 0x1.ef35793c76730p-45;
// Beyond |x scale| = kReach the maximum is subtracted first (kernels/simplex_softmax.cpp).
constexpr double kReach = 2000;

// 1/temperature to twice the precision of T.
template <class T>
struct Scale {
  T high, low;
  double value;

  explicit Scale(double temperature)
      : high(static_cast<T>(1 / temperature)), low(0), value(1 / temperature) {
    if constexpr (sizeof(T) == 8) {
      low = std::fma(-high, temperature, 1.0) / temperature;
    } else {
      low = static_cast<T>(value - high);
    }
    if (!std::isfinite(low)) low = 0;
  }
};

template <class T>
Exponential<T> exponential_below(T max, const Scale<T>& scale) {
  Exponential<T> f{};
  f.scale = scale.high;
  f.scale_low = scale.low;
  const double top = static_cast<double>(max) * scale.value;
  f.shift = std::abs(top) < kReach ? T(0) : max;
  f.power = std::nearbyint((static_cast<double>(max) - f.shift) * scale.value / kLog2) - kLift<T>;
  const double depth = sizeof(T) == 8 ? 760 : 110;
  const double lowest =
      static_cast<double>(max) - static_cast<double>(f.shift) - depth / scale.value;
  f.lowest = static_cast<T>(std::max<double>(lowest, std::numeric_limits<T>::lowest()));
  return f;
}

struct Level {
  double high, low;
};
// a + b with what rounding takes from it added to low.
double add(double a, double b, double& low) {
  const double next = a + b, back = next - a;
  low += (a - (next - back)) + (b - back);
  return next;
}

// Rows of a chunk at least, where each is written beside the next: but for the first and the last.
constexpr ptrdiff_t kOverlapped = 64;

// What one row, or a part of it, has added up: sum e^{(x - shift) scale} 2^-power.
template <class T>
struct Part {
  Exponential<T> f{};
  double sum = 0;
  T max = -std::numeric_limits<T>::infinity();
  bool nan = false;

  bool ordinary() const { return !nan && std::isfinite(max); }
  double log_sum(const Scale<T>& scale) const {
    const Level level = log_level(scale);
    return level.high + level.low;
  }
  // power * kLog2High is exact; only the logarithm of the sum, a number of a row's spread, is
  // rounded.
  Level log_level(const Scale<T>& scale) const {
    const double product = static_cast<double>(f.shift) * scale.value;
    double low = std::fma(static_cast<double>(f.shift), scale.value, -product);
    if constexpr (sizeof(T) == 8) low += f.shift * scale.low;
    const double power = f.power + kLift<T>;
    low += power * kLog2Low;
    const double rest = std::log(sum * std::ldexp(1.0, -kLift<T>));
    const double high = add(add(product, power * kLog2High, low), rest, low);
    return {high, low};
  }
  // The sum in the units of `other`, whose maximum is not smaller.
  double in_units_of(const Exponential<T>& other, const Scale<T>& scale) const {
    const double shift = static_cast<double>(f.shift) - static_cast<double>(other.shift);
    return sum * std::exp(shift * scale.value) * std::exp2(f.power - other.power);
  }
};

template <class T>
Part<T> look(const T* x, T* keep, ptrdiff_t n, const Scale<T>& scale,
             const Beside<T>* beside = nullptr) {
  const Extremes<T> seen = sparse_kernels<T>().extremes(x, n);
  Part<T> part;
  part.max = seen.max;
  part.nan = seen.nan;
  if (!part.ordinary()) return part;
  part.f = exponential_below(seen.max, scale);
  part.sum = softmax_kernels<T>().exponentials(x, keep, n, part.f, beside);
  return part;
}

// The parts of one row in order; the largest maximum sets the units.
template <class T>
Part<T> combine(const std::vector<Part<T>>& parts, const Scale<T>& scale) {
  Part<T> whole;
  for (const Part<T>& part : parts) {
    whole.nan = whole.nan || part.nan;
    whole.max = std::max(whole.max, part.max);
  }
  if (!whole.ordinary()) return whole;
  whole.f = exponential_below(whole.max, scale);
  double low = 0;
  for (const Part<T>& part : parts) {
    if (part.max == -std::numeric_limits<T>::infinity()) continue;
    const double term = part.in_units_of(whole.f, scale);
    whole.sum = add(whole.sum, term, low);
  }
  whole.sum += low;
  return whole;
}

// One pass over a huge row: tiles are read once for maximum and sum.
template <class T>
Part<T> look_at_huge(const T* x, ptrdiff_t n, const Scale<T>& scale, int workers) {
  const ptrdiff_t n_blocks = (n + kBlock - 1) / kBlock;
  std::vector<Part<T>> blocks(static_cast<std::size_t>(n_blocks));
  parallel_for(
      n_blocks,
      [&](ptrdiff_t b, int) {
        const ptrdiff_t begin = b * kBlock, end = std::min(n, begin + kBlock);
        std::vector<Part<T>> tiles;
        tiles.reserve(static_cast<std::size_t>(kBlock / kTile));
        for (ptrdiff_t i = begin; i < end; i += kTile) {
          // Whole tiles alone are fetched, and none beyond the row.
          const Beside<T> next{nullptr, nullptr, T(0), x + i + (i + 2 * kTile <= n ? kTile : 0)};
          tiles.push_back(look<T>(x + i, nullptr, std::min(kTile, end - i), scale, &next));
        }
        blocks[static_cast<std::size_t>(b)] = combine(tiles, scale);
      },
      workers);
  return combine(blocks, scale);
}

// f(x, out, n) on the blocks of a huge row.
template <class T, class F>
void for_blocks(const T* x, T* out, ptrdiff_t n, int workers, F&& f) {
  parallel_for((n + kBlock - 1) / kBlock,
               [&](ptrdiff_t b, int) {
                 const ptrdiff_t begin = b * kBlock;
                 f(x + begin, out + begin, std::min(kBlock, n - begin));
               },
               workers);
}

template <class T>
ptrdiff_t finish_special(const T* x, T* out, ptrdiff_t n, Empty empty, const Part<T>& part,
                         double* lse) {
  if (lse != nullptr) {
    *lse = part.nan ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(part.max);
  }
  return special_row(x, out, n, empty, T(0), false) ? 1 : 0;
}

template <class T>
ptrdiff_t softmax_row(const T* x, T* out, ptrdiff_t n, const Scale<T>& scale, Empty empty,
                      double* lse) {
  const Part<T> row = look<T>(x, out, n, scale);
  if (!row.ordinary()) return finish_special(x, out, n, empty, row, lse);
  if (lse != nullptr) *lse = row.log_sum(scale);
  softmax_kernels<T>().scale(out, out, n, static_cast<T>(1 / row.sum), false);
  return 0;
}

// Rows whose results go past the cache: each is written while the next one's exponentials are
// computed, from where these are then kept. scratch holds a row.
template <class T>
ptrdiff_t softmax_rows_past(const T* x, T* out, ptrdiff_t n_rows, ptrdiff_t n,
                            const Scale<T>& scale, Empty empty, double* lse, T* scratch) {
  ptrdiff_t count = 0;
  Beside<T> beside{nullptr, nullptr, T(0), nullptr};
  const auto write = [&] {
    if (beside.done != nullptr) {
      softmax_kernels<T>().scale(beside.done, beside.out, n, beside.factor, true);
    }
    beside.done = nullptr;
  };
  for (ptrdiff_t r = 0; r < n_rows; ++r, x += n, out += n) {
    beside.ahead = x + (r + 1 < n_rows ? n : 0);
    const Part<T> row = look<T>(x, scratch, n, scale, &beside);
    if (!row.ordinary()) {
      write();
      count += finish_special(x, out, n, empty, row, lse == nullptr ? nullptr : lse + r);
      continue;
    }
    if (lse != nullptr) lse[r] = row.log_sum(scale);
    beside = {scratch, out, static_cast<T>(1 / row.sum), nullptr};
  }
  write();
  return count;
}

// Finishes the rows that the short kernel copied to out; returns how many are empty.
template <class T>
ptrdiff_t finish_short_rows(T* out, ptrdiff_t rows, ptrdiff_t n, Empty empty, double* lse) {
  ptrdiff_t count = 0;
  for (ptrdiff_t r = 0; r < rows; ++r) {
    T* row = out + r * n;
    const Extremes<T> seen = sparse_kernels<T>().extremes(row, n);
    Part<T> part;
    part.max = seen.max;
    part.nan = seen.nan;
    if (part.ordinary()) continue;
    count += finish_special(row, row, n, empty, part, lse == nullptr ? nullptr : lse + r);
  }
  return count;
}

ptrdiff_t sum_of(const std::vector<ptrdiff_t>& counts) {
  ptrdiff_t sum = 0;
  for (ptrdiff_t c : counts) sum += c;
  return sum;
}

}  // namespace

template <class T>
ptrdiff_t softmax(const Batch<T>& batch, double temperature, Empty empty, double* lse) {
  if (is_extreme(temperature)) {
    const std::vector<double> shift = divide_rows(batch, batch.out, temperature);
    const Batch<T> rows{batch.out, batch.out, batch.n_rows, batch.n, batch.workers};
    const ptrdiff_t count = softmax(rows, 1, empty, lse);
    for (std::size_t r = 0; r < shift.size() && lse != nullptr; ++r) lse[r] += shift[r];
    return count;
  }
  const Scale<T> scale(temperature);
  const ptrdiff_t n = batch.n;
  const bool past = write_past(batch);
  ptrdiff_t n_empty = 0;
  if (n >= kHugeRow) {
    for (ptrdiff_t r = 0; r < batch.n_rows; ++r) {
      const T* x = batch.x + r * n;
      T* out = batch.out + r * n;
      const Part<T> row = look_at_huge(x, n, scale, batch.workers);
      if (!row.ordinary()) {
        n_empty += finish_special(x, out, n, empty, row, lse == nullptr ? nullptr : lse + r);
        continue;
      }
      if (lse != nullptr) lse[r] = row.log_sum(scale);
      const T factor = static_cast<T>(1 / row.sum);
      for_blocks(x, out, n, batch.workers, [&](const T* from, T* to, ptrdiff_t size) {
        softmax_kernels<T>().write(from, to, size, row.f, factor, past);
      });
    }
    return n_empty;
  }
  const int workers = planned_workers(planned_row_chunks(batch.n_rows, n), batch.workers);
  SlotBuffers<T> scratch(workers, n + kRoom);
  std::vector<ptrdiff_t> empty_rows(static_cast<std::size_t>(workers));
  // Rows written past the cache are not alone: some overlap with one another.
  const ptrdiff_t together = past && n > kShortRow ? kOverlapped : 1;
  for_row_chunks(
      batch.n_rows, n, workers,
      [&](ptrdiff_t first, ptrdiff_t rows, int slot) {
        ptrdiff_t& count = empty_rows[static_cast<std::size_t>(slot)];
        if (n <= kShortRow) {
          double* level = lse == nullptr ? nullptr : lse + first;
          T* out = batch.out + first * n;
          const ptrdiff_t left = softmax_kernels<T>().short_rows(batch.x + first * n, out, rows, n,
                                                                 scale.high, scale.low, level);
          if (left > 0) count += finish_short_rows(out, rows, n, empty, level);
          return;
        }
        double* level = lse == nullptr ? nullptr : lse + first;
        if (past) {
          count += softmax_rows_past(batch.x + first * n, batch.out + first * n, rows, n, scale,
                                     empty, level, scratch[slot]);
          return;
        }
        for (ptrdiff_t r = first; r < first + rows; ++r) {
          count += softmax_row(batch.x + r * n, batch.out + r * n, n, scale, empty,
                               lse == nullptr ? nullptr : lse + r);
        }
      },
      together);
  return sum_of(empty_rows);
}

namespace {

// f(row, part) on every row, huge ones one after another with the pool inside.
template <class T, class F>
void for_levels(const Batch<T>& batch, const Scale<T>& scale, F&& f) {
  const ptrdiff_t n = batch.n;
  if (n >= kHugeRow) {
    for (ptrdiff_t r = 0; r < batch.n_rows; ++r) {
      f(r, look_at_huge(batch.x + r * n, n, scale, batch.workers), 0);
    }
    return;
  }
  for_row_chunks(batch.n_rows, n, batch.workers, [&](ptrdiff_t first, ptrdiff_t rows, int slot) {
    for (ptrdiff_t r = first; r < first + rows; ++r) {
      f(r, look<T>(batch.x + r * n, nullptr, n, scale), slot);
    }
  });
}

}  // namespace

template <class T>
ptrdiff_t log_softmax(const Batch<T>& batch, double temperature, Empty empty) {
  if (is_extreme(temperature)) {
    divide_rows(batch, batch.out, temperature);
    return log_softmax(Batch<T>{batch.out, batch.out, batch.n_rows, batch.n, batch.workers}, 1,
                       empty);
  }
  const Scale<T> scale(temperature);
  const ptrdiff_t n = batch.n;
  const bool past = write_past(batch);
  std::vector<ptrdiff_t> empty_rows(kMaxWorkers);
  for_levels(batch, scale, [&](ptrdiff_t r, const Part<T>& part, int slot) {
    const T* x = batch.x + r * n;
    T* out = batch.out + r * n;
    if (!part.ordinary()) {
      const bool is_empty =
          special_row(x, out, n, empty, -std::numeric_limits<T>::infinity(), true);
      empty_rows[static_cast<std::size_t>(slot)] += is_empty ? 1 : 0;
      return;
    }
    const Level level = part.log_level(scale);
    if (!(std::abs(level.high) <= static_cast<double>(std::numeric_limits<T>::max()))) {
      log_softmax_beyond(x, out, n, part.max, temperature);
      return;
    }
    const T high = static_cast<T>(level.high);
    const T low = static_cast<T>((level.high - high) + level.low);
    if (n < kHugeRow) {
      softmax_kernels<T>().write_log(x, out, n, part.f, high, low, past);
      return;
    }
    for_blocks(x, out, n, batch.workers, [&](const T* from, T* to, ptrdiff_t size) {
      softmax_kernels<T>().write_log(from, to, size, part.f, high, low, past);
    });
  });
  return sum_of(empty_rows);
}

template <class T>
ptrdiff_t logsumexp(const Batch<T>& batch, double temperature, double* lse) {
  if (is_extreme(temperature)) {
    const AlignedBuffer<T> divided(batch.n_rows * batch.n);
    const std::vector<double> shift = divide_rows(batch, divided.data(), temperature);
    const Batch<T> rows{divided.data(), nullptr, batch.n_rows, batch.n, batch.workers};
    const ptrdiff_t count = logsumexp(rows, 1, lse);
    for (std::size_t r = 0; r < shift.size(); ++r) lse[r] += shift[r];
    return count;
  }
  const Scale<T> scale(temperature);
  std::vector<ptrdiff_t> empty_rows(kMaxWorkers);
  for_levels(batch, scale, [&](ptrdiff_t r, const Part<T>& part, int slot) {
    if (part.ordinary()) {
      lse[r] = part.log_sum(scale);
      if (std::isnan(lse[r])) {  // the largest score over the temperature overflows
        lse[r] = std::copysign(std::numeric_limits<double>::infinity(), part.max);
      }
      return;
    }
    lse[r] = part.nan ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(part.max);
    if (!part.nan && part.max < 0) ++empty_rows[static_cast<std::size_t>(slot)];
  });
  return sum_of(empty_rows);
}

#define KEXUE_INSTANTIATE(T)                                              \
  template ptrdiff_t softmax<T>(const Batch<T>&, double, Empty, double*); \
  template ptrdiff_t log_softmax<T>(const Batch<T>&, double, Empty);      \
  template ptrdiff_t logsumexp<T>(const Batch<T>&, double, double*);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
