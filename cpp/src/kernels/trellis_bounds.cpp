// Steps of a large dense trellis that leave out what cannot win
// (kexue/lattice/trellis_kernels.hpp).
#include "kexue/lattice/trellis_kernels.hpp"
#include "lanes.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using lattice::kBlockColumns;
using lattice::TrellisBoundKernel;
using lattice::TrellisBoundKernels;
using std::int32_t;
using std::ptrdiff_t;

// Vectors of accumulators, of a whole block at most; and of a cache line, which rows consist of.
template <class T>
constexpr int kWidest = kBlockColumns / kLanes<T> < 8 ? (int)(kBlockColumns / kLanes<T>) : 8;
constexpr int kLineVectors = 64 / KEXUE_VECTOR_BYTES;
constexpr int kAhead = 4;  // rows fetched before their turn: they lie scattered

ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

template <class T>
void block_tops(ptrdiff_t ld, ptrdiff_t begin, ptrdiff_t end, const T* a, T* tops) {
  for (ptrdiff_t i = begin; i < end; ++i) {
    for (ptrdiff_t j = 0; j < ld; j += kBlockColumns) {
      Vec<T> top = load<T>(a + i * ld + j);
      const ptrdiff_t stop = smaller(j + kBlockColumns, ld);
      for (ptrdiff_t k = j + kLanes<T>; k < stop; k += kLanes<T>) {
        top = maximum(top, load<T>(a + i * ld + k));
      }
      tops[j / kBlockColumns * ld + i] = largest<T>(top);
    }
  }
}

// out = the larger of out (`fresh`: of -inf) and d[i] + a[i * ld + ...] for the rows i in `places`,
// after which the last one stands kAhead times more.
template <class T, int width>
void max_places(ptrdiff_t count, const int32_t* places, ptrdiff_t ld, const T* a, const T* d,
                bool fresh, T* out) {
  constexpr ptrdiff_t kLine = 64 / (ptrdiff_t)sizeof(T);
  Vec<T> best[width];
  for (int w = 0; w < width; ++w) {
    best[w] = fresh ? broadcast<T>(-(T)__builtin_inf()) : load<T>(out + w * kLanes<T>);
  }
  for (ptrdiff_t k = 0; k < count; ++k) {
    const T* ahead = a + places[k + kAhead] * ld;
    KEXUE_UNROLL
    for (ptrdiff_t j = 0; j < width * kLanes<T>; j += kLine) __builtin_prefetch(ahead + j);
    const T* row = a + places[k] * ld;
    const Vec<T> from = broadcast<T>(d[places[k]]);
    KEXUE_UNROLL
    for (int w = 0; w < width; ++w) {
      best[w] = maximum(best[w], from + load<T>(row + w * kLanes<T>));
    }
  }
  for (int w = 0; w < width; ++w) store<T>(out + w * kLanes<T>, best[w]);
}

template <class T, int width = kWidest<T>>
void max_of_places(ptrdiff_t vectors, ptrdiff_t count, const int32_t* places, ptrdiff_t ld,
                   const T* a, const T* d, bool fresh, T* out) {
  if (vectors >= width) {
    max_places<T, width>(count, places, ld, a, d, fresh, out);
    a += width * kLanes<T>, out += width * kLanes<T>, vectors -= width;
    if (vectors == 0) return;
    return max_of_places<T, width>(vectors, count, places, ld, a, d, fresh, out);
  }
  if constexpr (width > kLineVectors) {
    max_of_places<T, width / 2>(vectors, count, places, ld, a, d, fresh, out);
  }
}

// Of n numbers.
template <class T>
T least_of(ptrdiff_t n, const T* x) {
  Vec<T> high = broadcast<T>(-(T)__builtin_inf());
  ptrdiff_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) high = maximum(high, zero<T>() - load<T>(x + i));
  T least = -largest<T>(high);
  for (; i < n; ++i) least = x[i] < least ? x[i] : least;
  return least;
}

// Rows are visited by falling bounds, a band at a time, until the least maximum reaches the band's
// lower end.
template <class T>
ptrdiff_t max_blocks(ptrdiff_t n, ptrdiff_t ld, ptrdiff_t first, ptrdiff_t last, const T* a,
                     const T* d, const T* tops, T* gap, int32_t* places, T* bounds, T* out) {
  constexpr T kFirst = (T)0.9, kNext = (T)0.25;  // of the gap before
  constexpr int kBands = 4;
  ptrdiff_t looked = 0;
  for (ptrdiff_t b = first; b < last; ++b) {
    const ptrdiff_t j = b * kBlockColumns, width = smaller(kBlockColumns, ld - j);
    Vec<T> high = broadcast<T>(-(T)__builtin_inf());
    for (ptrdiff_t i = 0; i < ld; i += kLanes<T>) {
      const Vec<T> bound = load<T>(d + i) + load<T>(tops + b * ld + i);
      store<T>(bounds + i, bound);
      high = maximum(high, bound);
    }
    const T best = largest<T>(high);
    T upper = (T)__builtin_inf(), lower = best - kFirst * gap[b], least = 0;
    for (int band = 1;; ++band) {
      ptrdiff_t count = 0;
      for (ptrdiff_t i = 0; i < ld; i += kLanes<T>) {
        const Vec<T> bound = load<T>(bounds + i);
        const unsigned within =
            above(bound, broadcast<T>(lower)) & ~above(bound, broadcast<T>(upper));
        count += append_places<T>(places + count, (int32_t)i, within);
      }
      for (int k = 0; k < kAhead; ++k) places[count + k] = count > 0 ? places[count - 1] : 0;
      max_of_places<T>(width / kLanes<T>, count, places, ld, a + j, d, band == 1, out + j);
      looked += count;
      least = least_of<T>(smaller(width, n - j), out + j);
      if (!(least < lower)) break;
      const T next = lower - kNext * gap[b];
      upper = lower;
      lower = band < kBands && least < next && next < lower ? next : least;
    }
    const T fell = best - least;
    gap[b] = fell > 0 ? fell : 0;  // NaN where nothing is possible
  }
  return looked;
}

template <class T>
constexpr TrellisBoundKernel<T> kTable = {KEXUE_X86_BYTES == 64 ? 1536 : 3584, block_tops<T>,
                                          max_blocks<T>};

}  // namespace

extern const TrellisBoundKernels trellis_bound_kernels;
const TrellisBoundKernels trellis_bound_kernels = {kTable<float>, kTable<double>};

}  // namespace kexue::KEXUE_ISA
