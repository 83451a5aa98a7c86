// Sums over the paths of a trellis (kexue/lattice/trellis.hpp): messages and draws in the linear
// domain. States are dealt to eight lanes on every instruction set, so that draws agree.
#include "kexue/lattice/trellis_kernels.hpp"
#include "simd.hpp"
#include "trellis_draws.hpp"
#include "vector_math.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using lattice::kEmissionRange;
using lattice::kLeastMessage;
using lattice::TrellisSumKernels;
using std::ptrdiff_t;

constexpr int kLane = kLanes<double>;
constexpr int kWidest = KEXUE_VECTOR_BYTES == 64 ? 16 : 12;
constexpr ptrdiff_t kLongRow = 2048;
constexpr int kStreams = 8;
constexpr double kInfinity = __builtin_inf();

// Row i begins at a + i * ld and has the factor f[i * along]: with both negative, rows are read
// from the last on.
template <int width, int along = 1>
KEXUE_INLINE void sum_lanes(ptrdiff_t n, ptrdiff_t ld, const double* a, const double* f,
                            F64 (&sum)[width]) {
  constexpr int kChains = width <= 4 ? 2 : 1;
  F64 total[kChains][width] = {};
  ptrdiff_t i = 0;
  for (; i + kChains <= n; i += kChains) {
    KEXUE_UNROLL
    for (int c = 0; c < kChains; ++c) {
      const F64 factor = broadcast<double>(f[(i + c) * along]);
      KEXUE_UNROLL
      for (int w = 0; w < width; ++w) {
        total[c][w] = multiply_add(factor, load<double>(a + (i + c) * ld + w * kLane), total[c][w]);
      }
    }
  }
  for (; i < n; ++i) {
    const F64 factor = broadcast<double>(f[i * along]);
    for (int w = 0; w < width; ++w) {
      total[0][w] = multiply_add(factor, load<double>(a + i * ld + w * kLane), total[0][w]);
    }
  }
  for (int w = 0; w < width; ++w) {
    sum[w] = kChains == 1 ? total[0][w] : total[0][w] + total[kChains - 1][w];
  }
}

template <int along, int width = kWidest>
KEXUE_INLINE void sum_tile_of(ptrdiff_t vectors, ptrdiff_t n, ptrdiff_t ld, const double* a,
                              const double* f, double* out) {
  if (vectors == width) {
    F64 sum[width];
    sum_lanes<width, along>(n, ld, a, f, sum);
    for (int w = 0; w < width; ++w) store<double>(out + w * kLane, sum[w]);
    return;
  }
  if constexpr (width > 1) sum_tile_of<along, width - 1>(vectors, n, ld, a, f, out);
}

template <int rows>
KEXUE_INLINE void sum_stream(ptrdiff_t ld, ptrdiff_t width, const double* a, const double* f,
                             double* out, bool first) {
  F64 factor[rows];
  for (int r = 0; r < rows; ++r) factor[r] = broadcast<double>(f[r]);
  for (ptrdiff_t j = 0; j < width; j += kLane) {
    F64 total = first ? F64{} : load<double>(out + j);
    KEXUE_UNROLL
    for (int r = 0; r < rows; ++r) {
      total = multiply_add(factor[r], load<double>(a + r * ld + j), total);
    }
    store<double>(out + j, total);
  }
}

// A matrix that every step reads whole is read to and fro, as for maxima (trellis.cpp).
void sum_columns(ptrdiff_t n, ptrdiff_t ld, ptrdiff_t width, const double* a, const double* f,
                 double* out, bool upwards) {
  if (ld * (ptrdiff_t)sizeof(double) > kLongRow) {
    const ptrdiff_t groups = n / kStreams, rest = groups * kStreams;
    bool first = true;
    for (ptrdiff_t i = rest; upwards && i < n; ++i, first = false) {
      sum_stream<1>(ld, width, a + i * ld, f + i, out, first);
    }
    for (ptrdiff_t g = 0; g < groups; ++g, first = false) {
      const ptrdiff_t i = (upwards ? groups - 1 - g : g) * kStreams;
      sum_stream<kStreams>(ld, width, a + i * ld, f + i, out, first);
    }
    for (ptrdiff_t i = rest; !upwards && i < n; ++i, first = false) {
      sum_stream<1>(ld, width, a + i * ld, f + i, out, first);
    }
    return;
  }
  const ptrdiff_t vectors = width / kLane, tiles = (vectors + kWidest - 1) / kWidest;
  for (ptrdiff_t k = 0; k < tiles; ++k) {
    const ptrdiff_t tile = upwards ? tiles - 1 - k : k;
    const ptrdiff_t begin = vectors * tile / tiles, end = vectors * (tile + 1) / tiles;
    const double* column = a + begin * kLane;
    if (upwards) {
      sum_tile_of<-1>(end - begin, n, -ld, column + (n - 1) * ld, f + n - 1, out + begin * kLane);
    } else {
      sum_tile_of<1>(end - begin, n, ld, column, f, out + begin * kLane);
    }
  }
}

void sum_step(ptrdiff_t n, ptrdiff_t ld, const double* a, const double* f, double* out) {
  sum_columns(n, ld, ld, a, f, out, false);
}

// ---- messages -----------------------------------------------------------------------------------

KEXUE_INLINE bool any(I64 mask) {
#if KEXUE_X86_BYTES == 64
  return _mm512_movepi64_mask((__m512i)mask) != 0;
#elif KEXUE_X86_BYTES == 32
  return _mm256_movemask_pd((__m256d)mask) != 0;
#else
  std::int64_t found = 0;
  for (int i = 0; i < kLane; ++i) found |= mask[i];
  return found != 0;
#endif
}
KEXUE_INLINE bool any_less(F64 a, F64 b) {
#if KEXUE_X86_BYTES == 64
  return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LT_OQ) != 0;
#else
  return any(less<double>(a, b));
#endif
}
KEXUE_INLINE F64 larger(F64 a, F64 b) { return select<double>(less<double>(a, b), b, a); }
KEXUE_INLINE double largest(F64 v) {
#if KEXUE_X86_BYTES == 64
  return _mm512_reduce_max_pd((__m512d)v);
#else
  double most = v[0];
  for (int i = 1; i < kLane; ++i) most = v[i] > most ? v[i] : most;
  return most;
#endif
}

// The emissions of a row from j on, -inf in lanes beyond n.
struct EmissionRow {
  const double* row;
  ptrdiff_t n;
  KEXUE_INLINE F64 operator()(ptrdiff_t j) const {
    if (j + kLane <= n) return load<double>(row + j);
    double tail[kLane];
    for (int i = 0; i < kLane; ++i) tail[i] = j + i < n ? row[j + i] : -kInfinity;
    return load<double>(tail);
  }
};

// Multiplies by exp(emission - shift) and notes the largest product and what leaves its range.
struct Weigher {
  EmissionRow emission;
  double shift;
  F64 peak = {};
  I64 outside = {};
  KEXUE_INLINE Weigher(const EmissionRow& e, F64 most) : emission(e), shift(largest(most)) {
    if (!(shift > -kInfinity)) shift = 0;
  }
  KEXUE_INLINE F64 operator()(ptrdiff_t j, F64 message) {
    const F64 x = emission(j) - broadcast<double>(shift);
    const F64 m = message * exp(x);
    outside = outside |
              (less<double>(x, broadcast<double>(-kEmissionRange)) &
               less<double>(broadcast<double>(-kInfinity), x)) |
              (less<double>(m, broadcast<double>(kLeastMessage)) & less<double>(F64{}, m));
    peak = larger(peak, m);
    return m;
  }
};

// The power of two that brings the largest entry into [1/2, 1), as an exponent; 0 while it lies
// between 2^-40 and 2^40 or nothing is left: the recursion need not wait for it. A step multiplies
// the largest entry by at most the number of states.
KEXUE_INLINE int exponent_of(F64 peak) {
  const bool large = any_less(broadcast<double>(0x1p-40), peak);
  if (large && !any_less(broadcast<double>(0x1p40), peak)) return 0;
  const double most = largest(peak);
  return most > 0 ? (int)(bits(broadcast<double>(most))[0] >> 52) - 1022 : 0;
}
KEXUE_INLINE double power_of_two(int k) {
  return real(broadcast<std::int64_t>((std::int64_t)(1023 + k) << 52))[0];
}

constexpr double kLn2 = 0x1.62e42fefa39efp-1;

lattice::Weighed weigh(ptrdiff_t n, ptrdiff_t ld, const double* emissions, double* message) {
  const EmissionRow row = {emissions, n};
  F64 most = broadcast<double>(-kInfinity);
  for (ptrdiff_t j = 0; j < ld; j += kLane) most = larger(most, row(j));
  Weigher weigher(row, most);
  for (ptrdiff_t j = 0; j < ld; j += kLane) {
    store<double>(message + j, weigher(j, load<double>(message + j)));
  }
  const int exponent = exponent_of(weigher.peak);
  if (exponent != 0) {
    const F64 factor = broadcast<double>(power_of_two(-exponent));
    for (ptrdiff_t j = 0; j < ld; j += kLane) {
      store<double>(message + j, load<double>(message + j) * factor);
    }
  }
  return {weigher.shift + exponent * kLn2, !any(weigher.outside)};
}

// Rows of emissions that are weighed by one maximum, where that keeps them within their range.
constexpr ptrdiff_t kChunk = 1024;

struct Chunk {
  alignas(64) double factor[kChunk + 24];  // and what vectors read beyond the last row
  double shift;
  // False if one shift does not serve all of x.
  KEXUE_INLINE bool fill(const double* x, ptrdiff_t size) {
    F64 most = broadcast<double>(-kInfinity), least = broadcast<double>(kInfinity);
    ptrdiff_t i = 0;
    for (; i + kLane <= size; i += kLane) {
      const F64 v = load<double>(x + i);
      most = larger(most, v);
      least = select<double>(less<double>(v, least), v, least);
    }
    double low = kInfinity;
    for (int k = 0; k < kLane; ++k) low = least[k] < low ? least[k] : low;
    double high = largest(most);
    for (ptrdiff_t k = i; k < size; ++k) {
      high = x[k] > high ? x[k] : high;
      low = x[k] < low ? x[k] : low;
    }
    if (!(high - low <= kEmissionRange)) return false;
    shift = high;
    for (ptrdiff_t k = 0; k < i; k += kLane) {
      store<double>(factor + k, exp(load<double>(x + k) - broadcast<double>(shift)));
    }
    for (ptrdiff_t k = 0; k < 16 + kLane; ++k) {
      factor[i + k] = i + k < size ? x[i + k] - shift : -kInfinity;
    }
    for (ptrdiff_t k = 0; k < 16 + kLane; k += kLane) {
      store<double>(factor + i + k, exp(load<double>(factor + i + k)));
    }
    return true;
  }
};

#if KEXUE_X86_BYTES == 64
// The second vector of a row: half of one where that holds all its states.
template <int width>
struct Part {
  F64 v;
  static KEXUE_INLINE Part load(const double* p) { return {KEXUE_ISA::load<double>(p)}; }
  KEXUE_INLINE void store(double* p) const { KEXUE_ISA::store<double>(p, v); }
  static KEXUE_INLINE Part of(F64 x) { return {x}; }
  KEXUE_INLINE F64 whole() const { return v; }
  KEXUE_INLINE void add(Part a, Part b) { v = multiply_add(a.v, b.v, v); }
};
template <>
struct Part<4> {
  __m256d v;
  static KEXUE_INLINE Part load(const double* p) { return {_mm256_loadu_pd(p)}; }
  KEXUE_INLINE void store(double* p) const { _mm256_storeu_pd(p, v); }
  static KEXUE_INLINE Part of(F64 x) { return {_mm512_castpd512_pd256((__m512d)x)}; }
  KEXUE_INLINE F64 whole() const { return (F64)_mm512_zextpd256_pd512(v); }
  KEXUE_INLINE void add(Part a, Part b) { v = _mm256_fmadd_pd(a.v, b.v, v); }
};
#endif

// Steps of n states, whose rows stay in registers between the sum and the product.
template <int n>
bool narrow_steps(ptrdiff_t steps, const double* a, ptrdiff_t stride, const Chunk& chunk,
                  double* alpha, double* scale) {
  constexpr int kLd = n <= 8 ? 8 : 16, kWidth = kLd / kLane;
  const double* factor = chunk.factor;
#if KEXUE_X86_BYTES == 64
  __m512i least = _mm512_set1_epi64(-1);
  constexpr int kTail = n <= 8 ? 0 : n <= 12 ? 4 : 8;
  constexpr int kChains = 4;
  using Tail = Part<kTail>;
  F64 m[kWidth];
  for (int w = 0; w < kWidth; ++w) m[w] = load<double>(alpha + w * kLane);
#else
  F64 m[kWidth];
  I64 outside = {};
#endif
  for (ptrdiff_t t = 0; t < steps; ++t, a += stride, factor += n, alpha += n) {
    F64 peak = {};
#if KEXUE_X86_BYTES == 64
    F64 total[kChains] = {};
    Tail rest[kChains] = {};
    KEXUE_UNROLL
    for (int i = 0; i < n; ++i) {
      const __m512i lane = _mm512_set1_epi64(i % kLane);
      const F64 from = (F64)_mm512_permutexvar_pd(lane, (__m512d)m[i / kLane]);
      total[i % kChains] = multiply_add(from, load<double>(a + i * kLd), total[i % kChains]);
      if constexpr (kTail > 0) rest[i % kChains].add(Tail::of(from), Tail::load(a + i * kLd + 8));
    }
    for (int gap = kChains / 2; gap > 0; gap /= 2) {
      for (int c = 0; c < gap; ++c) {
        total[c] = total[c] + total[c + gap];
        rest[c].v = rest[c].v + rest[c + gap].v;
      }
    }
    m[0] = total[0] * load<double>(factor);
    store<double>(alpha + n, m[0]);
    if constexpr (kTail > 0) {
      rest[0].v = rest[0].v * Tail::load(factor + 8).v;
      rest[0].store(alpha + n + 8);
      m[1] = rest[0].whole();
    }
#else
    F64 sum[kWidth];
    sum_lanes<kWidth>(n, kLd, a, alpha, sum);
    for (int w = 0; w < kWidth; ++w) {
      m[w] = sum[w] * load<double>(factor + w * kLane);
      store<double>(alpha + n + w * kLane, m[w]);
    }
#endif
    for (int w = 0; w < kWidth; ++w) {
#if KEXUE_X86_BYTES == 64
      // As integers less one, zeros come last.
      const __m512i less_one = _mm512_add_epi64((__m512i)m[w], _mm512_set1_epi64(-1));
      least = _mm512_min_epu64(least, less_one);
      peak = (F64)_mm512_max_pd((__m512d)peak, (__m512d)m[w]);
#else
      outside = outside |
                (less<double>(m[w], broadcast<double>(kLeastMessage)) & less<double>(F64{}, m[w]));
      peak = larger(peak, m[w]);
#endif
    }
    const int exponent = exponent_of(peak);
    scale[t] = chunk.shift + exponent * kLn2;
    if (exponent != 0) {
      const F64 power = broadcast<double>(power_of_two(-exponent));
      for (int w = 0; w < kWidth; ++w) {
        m[w] = m[w] * power;
        store<double>(alpha + n + w * kLane, m[w]);
      }
    }
  }
#if KEXUE_X86_BYTES == 64
  const __m512i bound =
      _mm512_add_epi64((__m512i)broadcast<double>(kLeastMessage), _mm512_set1_epi64(-1));
  return _mm512_cmplt_epu64_mask(least, bound) == 0;
#else
  return !any(outside);
#endif
}

template <int most = 16>
bool narrow_steps_of(ptrdiff_t n, ptrdiff_t steps, const double* a, ptrdiff_t stride,
                     const Chunk& chunk, double* alpha, double* scale) {
  if (n == most) return narrow_steps<most>(steps, a, stride, chunk, alpha, scale);
  if constexpr (most > 1) {
    return narrow_steps_of<most - 1>(n, steps, a, stride, chunk, alpha, scale);
  }
  return false;
}

bool forward_steps(ptrdiff_t steps, ptrdiff_t n, ptrdiff_t ld, const double* a, ptrdiff_t stride,
                   const double* emissions, double* alpha, double* scale) {
  if (ld <= 16) {
    const ptrdiff_t most = kChunk / 16;
    for (Chunk chunk; steps > 0;) {
      const ptrdiff_t rows = steps < most ? steps : most;
      if (!chunk.fill(emissions, rows * n)) break;
      const bool within = narrow_steps_of(n, rows, a, stride, chunk, alpha, scale);
      if (!within) return false;
      steps -= rows, a += rows * stride, emissions += rows * n, alpha += rows * n, scale += rows;
    }
  }
  for (ptrdiff_t t = 0; t < steps; ++t, a += stride, emissions += n, alpha += n) {
    sum_columns(n, ld, ld, a, alpha, alpha + n, stride == 0 && t % 2 != 0);
    const lattice::Weighed weighed = weigh(n, ld, emissions, alpha + n);
    scale[t] = weighed.scale;
    if (!weighed.within) return false;
  }
  return true;
}

}  // namespace

extern const TrellisSumKernels trellis_sum_kernels;
const TrellisSumKernels trellis_sum_kernels = {sum_step,      sum_columns, weigh,
                                               forward_steps, draw,        draw_steps};

}  // namespace kexue::KEXUE_ISA
