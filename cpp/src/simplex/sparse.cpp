// The linear and power families: projection of any radius, entmax, normmax.
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "kexue/core/constants.hpp"
#include "kexue/simplex/maps.hpp"
#include "kexue/simplex/policies.hpp"
#include "kexue/simplex/root.hpp"
#include "kexue/simplex/rows.hpp"
#include "kexue/simplex/temperature.hpp"

namespace kexue::simplex {

using std::ptrdiff_t;

namespace {

template <class T>
bool ordinary(const Extremes<T>& seen) {
  return !seen.nan && std::isfinite(seen.max);
}

// Whether the support is lost in the rounding of numbers as large as the maximum.
template <class Map>
bool is_far(double max, const Map& map) {
  return std::abs(max) > kFar * map.width();
}
// x - max, which is exact within the support of a far row; what overflows is far below it.
template <class T>
void move_row(const T* x, T* out, ptrdiff_t n, T max) {
  for (ptrdiff_t i = 0; i < n; ++i) out[i] = x[i] - max;
}

// A map that tells where to begin from some of the entries.
template <class Map, class T>
concept HasTops = requires(const Map& map) { map.bound(Segment<T>{}, 0.0); };

template <class T, class Map>
ptrdiff_t solve_row(const T* x, T* out, ptrdiff_t n, const Map& map, Empty empty, double* tau,
                    bool past, T* scratch) {
  T tops[kTops + kRoom];
  bool topped = false;
  if constexpr (HasTops<Map, T>) topped = n >= map.topped();
  const Extremes<T> seen =
      topped ? sparse_kernels<T>().tops(x, n, tops) : sparse_kernels<T>().extremes(x, n);
  if (!ordinary(seen)) {
    if (tau != nullptr) *tau = seen.nan ? kNaN : static_cast<double>(seen.max);
    return special_row(x, out, n, empty, T(0), false, static_cast<T>(map.mass())) ? 1 : 0;
  }
  if (is_far(seen.max, map)) {
    move_row(x, out, n, seen.max);
    solve_row(out, out, n, map, empty, tau, false, scratch);
    if (tau != nullptr) *tau += map.tau_of_move(seen.max);
    return 0;
  }
  const auto max = static_cast<double>(seen.max);
  Bound<T> bound = map.template bound<T>(max);
  if constexpr (HasTops<Map, T>) {
    if (topped) bound = map.bound(Segment<T>{tops, kTops}, max);
  }
  Segment<T> segment{scratch, sparse_kernels<T>().filter(x, n, bound.cut, scratch)};
  double root = 0;
  const auto write = map.solve(Candidates<T>{{&segment, 1}, 1}, max, bound.start, root);
  if (tau != nullptr) *tau = root;
  write(x, out, n, past);
  return 0;
}

// What a thread keeps of a huge row: pieces given out one after another, freed together. Room for
// all entries, kept beside outputs of that size, would soon be more than is kept of freed memory.
template <class T>
class Shelf {
 public:
  T* take(ptrdiff_t size) {
    if (parts_.empty() || used_ + size > parts_.back().size()) {
      parts_.emplace_back(std::max({2 * kBlock, total_ / 2, size}));
      total_ += parts_.back().size();
      used_ = 0;
    }
    used_ += size;
    return parts_.back().data() + used_ - size;
  }

 private:
  std::vector<AlignedBuffer<T>> parts_;
  ptrdiff_t used_ = 0, total_ = 0;
};

// A huge row: each block keeps what can be positive given the largest entry so far, and meanwhile
// fills its output with zeros past the cache; tiles with support are written once the root is
// known.
template <class T, class Map>
ptrdiff_t solve_huge_row(const T* x, T* out, ptrdiff_t n, const Map& map, Empty empty, double* tau,
                         int workers, SlotBuffers<T>& scratch) {
  const auto& kernels = sparse_kernels<T>();
  const bool in_place = x == out;
  const ptrdiff_t n_blocks = (n + kBlock - 1) / kBlock, tiles = kBlock / kTile;
  std::vector<Shelf<T>> shelves(static_cast<std::size_t>(workers));
  std::vector<Segment<T>> segments(static_cast<std::size_t>(n_blocks));
  std::vector<Extremes<T>> seen(static_cast<std::size_t>(n_blocks * tiles),
                                {-std::numeric_limits<T>::infinity(), false});
  const auto block_bounds = [&](ptrdiff_t b) {
    return std::pair{b * kBlock, std::min(n, (b + 1) * kBlock)};
  };
  parallel_for(
      n_blocks,
      [&](ptrdiff_t b, int slot) {
        const auto [begin, end] = block_bounds(b);
        T* kept = scratch[slot];
        ptrdiff_t count = 0;
        T max = -std::numeric_limits<T>::infinity(), cut = max;
        for (ptrdiff_t i = begin; i < end; i += kTile) {
          const ptrdiff_t size = std::min(kTile, end - i);
          const Extremes<T> tile = kernels.extremes(x + i, size);
          seen[static_cast<std::size_t>(i / kTile)] = tile;
          if (tile.max > max && std::isfinite(tile.max)) {
            max = tile.max;
            cut = map.template bound<T>(static_cast<double>(max)).cut;
          }
          if (tile.max > cut) count += kernels.filter(x + i, size, cut, kept + count);
          if (!in_place) kernels.zero(out + i, size);
        }
        T* own = shelves[static_cast<std::size_t>(slot)].take(count + kRoom);
        segments[static_cast<std::size_t>(b)] = {own, kernels.filter(kept, count, cut, own)};
      },
      workers);
  Extremes<T> row{-std::numeric_limits<T>::infinity(), false};
  for (const Extremes<T>& tile : seen) {
    row.max = std::max(row.max, tile.max);
    row.nan = row.nan || tile.nan;
  }
  if (!ordinary(row)) {
    if (tau != nullptr) *tau = row.nan ? kNaN : static_cast<double>(row.max);
    return special_row(x, out, n, empty, T(0), false, static_cast<T>(map.mass())) ? 1 : 0;
  }
  if (is_far(row.max, map)) {
    parallel_for(
        n_blocks,
        [&](ptrdiff_t b, int) {
          const auto [begin, end] = block_bounds(b);
          move_row(x + begin, out + begin, end - begin, row.max);
        },
        workers);
    solve_huge_row(out, out, n, map, empty, tau, workers, scratch);
    if (tau != nullptr) *tau += map.tau_of_move(row.max);
    return 0;
  }
  const auto max = static_cast<double>(row.max);
  const Bound<T> bound = map.template bound<T>(max);
  const T cut = bound.cut;
  for (Segment<T>& s : segments) s.count = kernels.filter(s.data, s.count, cut, s.data);
  double root = 0;
  const auto write = map.solve(Candidates<T>{segments, workers}, max, bound.start, root);
  if (tau != nullptr) *tau = root;
  const double slack = 1e-9 * (std::abs(max) + map.width());
  const T least = std::max(cut, floor_to<T>(map.end_of_support(root) - slack));
  parallel_for(
      n_blocks,
      [&](ptrdiff_t b, int) {
        const auto [begin, end] = block_bounds(b);
        for (ptrdiff_t i = begin; i < end; i += kTile) {
          const bool support = seen[static_cast<std::size_t>(i / kTile)].max > least;
          if (support || in_place) write(x + i, out + i, std::min(kTile, end - i), false);
        }
      },
      workers);
  return 0;
}

// A map with a kernel for short rows.
template <class Map, class T>
concept HasShortRows = requires(const Map& map, T* p, double* tau) {
  map.short_rows(p, p, ptrdiff_t{}, ptrdiff_t{}, tau);
};

// The short kernel left special and far rows as they were and marked them by a NaN.
template <class T, class Map>
ptrdiff_t solve_short_rows(const Batch<T>& batch, ptrdiff_t first, ptrdiff_t rows, const Map& map,
                           Empty empty, double* tau, bool wanted) {
  const ptrdiff_t n = batch.n;
  T* out = batch.out + first * n;
  // tau is a function of the row's maximum too, which the kernel does not return.
  std::vector<T> max;
  if (wanted) {
    for (ptrdiff_t r = 0; r < rows; ++r) {
      max.push_back(sparse_kernels<T>().extremes(batch.x + (first + r) * n, n).max);
    }
  }
  const bool final = map.short_rows(batch.x + first * n, out, rows, n, tau);
  ptrdiff_t count = 0;
  for (ptrdiff_t r = 0; r < rows; ++r) {
    if (std::isnan(tau[r])) {
      T* row = out + r * n;
      T scratch[kShortRow + kRoom];
      count += solve_row(row, row, n, map, empty, tau + r, false, scratch);
    } else if (wanted && !final) {
      if constexpr (requires { map.slope; }) {
        tau[r] += map.slope * static_cast<double>(max[static_cast<std::size_t>(r)]) - 1;
      }
    }
  }
  return count;
}

// map_of(row) on every row; the same for all rows if `uniform`.
template <class T, class MapOf>
ptrdiff_t solve_rows(const Batch<T>& batch, bool uniform, Empty empty, double* tau,
                     MapOf&& map_of) {
  const ptrdiff_t n = batch.n;
  const bool past = write_past(batch);
  if (batch.n_rows == 0) return 0;
  if (n >= kHugeRow) {
    const int workers = planned_workers((n + kBlock - 1) / kBlock, batch.workers);
    SlotBuffers<T> scratch(workers, kBlock + kRoom);
    ptrdiff_t count = 0;
    for (ptrdiff_t r = 0; r < batch.n_rows; ++r) {
      count += solve_huge_row(batch.x + r * n, batch.out + r * n, n, map_of(r), empty,
                              tau == nullptr ? nullptr : tau + r, workers, scratch);
    }
    return count;
  }
  const int workers = planned_workers(planned_row_chunks(batch.n_rows, n), batch.workers);
  SlotBuffers<T> scratch(workers, n + kRoom);
  SlotBuffers<double> roots(workers, rows_per_chunk(n));
  std::vector<ptrdiff_t> empty_rows(static_cast<std::size_t>(workers));
  for_row_chunks(batch.n_rows, n, workers, [&](ptrdiff_t first, ptrdiff_t rows, int slot) {
    ptrdiff_t& count = empty_rows[static_cast<std::size_t>(slot)];
    if constexpr (HasShortRows<decltype(map_of(first)), T>) {
      if (n <= kShortRow && uniform) {
        count += solve_short_rows(batch, first, rows, map_of(first), empty,
                                  tau == nullptr ? roots[slot] : tau + first, tau != nullptr);
        return;
      }
    }
    for (ptrdiff_t r = first; r < first + rows; ++r) {
      count += solve_row(batch.x + r * n, batch.out + r * n, n, map_of(r), empty,
                         tau == nullptr ? nullptr : tau + r, past, scratch[slot]);
    }
  });
  ptrdiff_t sum = 0;
  for (ptrdiff_t c : empty_rows) sum += c;
  return sum;
}

constexpr double kLargeRadius = 0x1p900;
// f(begin, end) on pieces of the entries of all rows.
template <class T, class F>
void for_each_chunk(const Batch<T>& batch, F&& f) {
  const ptrdiff_t size = batch.n_rows * batch.n;
  parallel_for((size + kBlock - 1) / kBlock,
               [&](ptrdiff_t b, int) { f(b * kBlock, std::min(size, (b + 1) * kBlock)); },
               batch.workers);
}

// One alpha for all rows of the batch.
template <class T>
ptrdiff_t entmax_uniform(const Batch<T>& batch, double alpha, double temperature, Empty empty,
                         double* tau) {
  if (is_extreme(temperature)) {
    const std::vector<double> shift = divide_rows(batch, batch.out, temperature);
    const Batch<T> rows{batch.out, batch.out, batch.n_rows, batch.n, batch.workers};
    const ptrdiff_t count = entmax_uniform(rows, alpha, 1, empty, tau);
    for (std::size_t r = 0; r < shift.size() && tau != nullptr; ++r) {
      tau[r] += (alpha == 1 ? 1 : alpha - 1) * shift[r];
    }
    return count;
  }
  const double b = alpha - 1, slope = b / temperature;
  if (alpha == 1) return softmax(batch, temperature, empty, tau);
  if (alpha == 2) return project_rows(batch, temperature, 1 / temperature, empty, tau);
  if (std::isinf(alpha)) {
    return solve_rows(batch, true, empty, tau, [](ptrdiff_t) { return ArgMax{}; });
  }
  if (alpha > 2) {
    return solve_rows(batch, true, empty, tau, [=](ptrdiff_t) { return Steep{slope, 1 / b}; });
  }
  return solve_rows(batch, true, empty, tau, [=](ptrdiff_t) { return PowerMap{slope, 1 / b}; });
}

}  // namespace

template <class T>
ptrdiff_t project_rows(const Batch<T>& batch, double radius, double scale, Empty empty,
                       double* tau) {
  if (radius > kLargeRadius) {
    // Smaller numbers, whose sums cannot overflow.
    const double unit = 1 / kLargeRadius;
    const auto times = [&](const T* from, double by) {
      for_each_chunk(batch, [&](ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t i = begin; i < end; ++i) batch.out[i] = static_cast<T>(from[i] * by);
      });
    };
    times(batch.x, unit);
    const Batch<T> small{batch.out, batch.out, batch.n_rows, batch.n, batch.workers};
    const ptrdiff_t count = project_rows(small, radius * unit, scale, empty, tau);
    times(batch.out, kLargeRadius);
    for (ptrdiff_t r = 0; r < batch.n_rows && tau != nullptr; ++r) tau[r] *= kLargeRadius;
    return count;
  }
  const ptrdiff_t count =
      solve_rows(batch, true, empty, tau, [=](ptrdiff_t) { return Linear{radius, scale}; });
  if (tau != nullptr && scale != 1) {
    for (ptrdiff_t r = 0; r < batch.n_rows; ++r) tau[r] *= scale;
  }
  return count;
}

template <class T>
ptrdiff_t entmax(const Batch<T>& batch, const double* alpha, ptrdiff_t alpha_step,
                 double temperature, Empty empty, double* tau) {
  if (batch.n_rows == 0) return 0;
  if (alpha_step == 0) return entmax_uniform(batch, *alpha, temperature, empty, tau);
  const auto row_at = [&](ptrdiff_t r, int workers) {
    const Batch<T> row{batch.x + r * batch.n, batch.out + r * batch.n, 1, batch.n, workers};
    return entmax_uniform(row, alpha[r], temperature, empty, tau == nullptr ? nullptr : tau + r);
  };
  std::vector<ptrdiff_t> counts(static_cast<std::size_t>(batch.n_rows));
  if (batch.n >= kHugeRow) {
    for (ptrdiff_t r = 0; r < batch.n_rows; ++r) {
      counts[static_cast<std::size_t>(r)] = row_at(r, batch.workers);
    }
  } else {
    for_row_chunks(batch.n_rows, batch.n, batch.workers, [&](ptrdiff_t first, ptrdiff_t rows, int) {
      for (ptrdiff_t r = first; r < first + rows; ++r) {
        counts[static_cast<std::size_t>(r)] = row_at(r, 1);
      }
    });
  }
  ptrdiff_t sum = 0;
  for (ptrdiff_t c : counts) sum += c;
  return sum;
}

template <class T>
ptrdiff_t normmax(const Batch<T>& batch, double alpha, double temperature, Empty empty,
                  double* tau) {
  if (is_extreme(temperature)) {
    const std::vector<double> shift = divide_rows(batch, batch.out, temperature);
    const Batch<T> rows{batch.out, batch.out, batch.n_rows, batch.n, batch.workers};
    const ptrdiff_t count = normmax(rows, alpha, 1, empty, tau);
    for (std::size_t r = 0; r < shift.size() && tau != nullptr; ++r) tau[r] += shift[r];
    return count;
  }
  const double slope = 1 / temperature;
  if (std::isinf(alpha)) {
    // ||u||_1 = 1, uniform over the support.
    const ptrdiff_t count = project_rows(batch, temperature, slope, empty, tau);
    for_row_chunks(batch.n_rows, batch.n, batch.workers, [&](ptrdiff_t first, ptrdiff_t rows, int) {
      for (ptrdiff_t r = first; r < first + rows; ++r) {
        T* p = batch.out + r * batch.n;
        const auto support = std::count_if(p, p + batch.n, [](T v) { return v > 0; });
        const T share = static_cast<T>(1 / static_cast<double>(support));
        std::transform(p, p + batch.n, p, [&](T v) { return v > 0 ? share : v; });
      }
    });
    return count;
  }
  return solve_rows(batch, true, empty, tau,
                    [=](ptrdiff_t) { return PowerMap{slope, alpha / (alpha - 1), true}; });
}

#define KEXUE_INSTANTIATE(T)                                                                       \
  template ptrdiff_t project_rows<T>(const Batch<T>&, double, double, Empty, double*);             \
  template ptrdiff_t entmax<T>(const Batch<T>&, const double*, ptrdiff_t, double, Empty, double*); \
  template ptrdiff_t normmax<T>(const Batch<T>&, double, double, Empty, double*);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
