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

template <int width>
KEXUE_INLINE void sum_lanes(ptrdiff_t n, ptrdiff_t ld, const double* a, const double* f,
                            F64 (&sum)[width]) {
  constexpr int kChains = width <= 4 ? 2 : 1;
  F64 total[kChains][width] = {};
  ptrdiff_t i = 0;
  for (; i + kChains <= n; i += kChains) {
    KEXUE_UNROLL
    for (int c = 0; c < kChains; ++c) {
      const F64 factor = broadcast<double>(f[i + c]);
      KEXUE_UNROLL
      for (int w = 0; w < width; ++w) {
        total[c][w] = multiply_add(factor, load<double>(a + (i + c) * ld + w * kLane), total[c][w]);
      }
    }
  }
  for (; i < n; ++i) {
    const F64 factor = broadcast<double>(f[i]);
    for (int w = 0; w < width; ++w) {
      total[0][w] = multiply_add(factor, load<double>(a + i * ld + w * kLane), total[0][w]);
    }
  }
  for (int w = 0; w < width; ++w) {
    sum[w] = kChains == 1 ? total[0][w] : total[0][w] + total[kChains - 1][w];
  }
}

template <int width>
KEXUE_INLINE void sum_tile(ptrdiff_t n, ptrdiff_t ld, const double* a, const double* f,
                           double* out) {
  F64 sum[width];
  sum_lanes<width>(n, ld, a, f, sum);
  for (int w = 0; w < width; ++w) store<double>(out + w * kLane, sum[w]);
}

template <int width = kWidest>
KEXUE_INLINE void sum_tile_of(ptrdiff_t vectors, ptrdiff_t n, ptrdiff_t ld, const double* a,
                              const double* f, double* out) {
  if (vectors == width) return sum_tile<width>(n, ld, a, f, out);
  if constexpr (width > 1) sum_tile_of<width - 1>(vectors, n, ld, a, f, out);
}

template <int rows>
KEXUE_INLINE void sum_stream(ptrdiff_t ld, const double* a, const double* f, double* out,
                             bool first) {
  F64 factor[rows];
  for (int r = 0; r < rows; ++r) factor[r] = broadcast<double>(f[r]);
  for (ptrdiff_t j = 0; j < ld; j += kLane) {
    F64 total = first ? F64{} : load<double>(out + j);
    KEXUE_UNROLL
    for (int r = 0; r < rows; ++r) {
      total = multiply_add(factor[r], load<double>(a + r * ld + j), total);
    }
    store<double>(out + j, total);
  }
}

void sum_step(ptrdiff_t n, ptrdiff_t ld, const double* a, const double* f, double* out) {
  if (ld * (ptrdiff_t)sizeof(double) > kLongRow) {
    ptrdiff_t i = 0;
    for (; i + kStreams <= n; i += kStreams) {
      sum_stream<kStreams>(ld, a + i * ld, f + i, out, i == 0);
    }
    for (; i < n; ++i) sum_stream<1>(ld, a + i * ld, f + i, out, i == 0);
    return;
  }
  const ptrdiff_t vectors = ld / kLane, tiles = (vectors + kWidest - 1) / kWidest;
  for (ptrdiff_t tile = 0; tile < tiles; ++tile) {
    const ptrdiff_t begin = vectors * tile / tiles, end = vectors * (tile + 1) / tiles;
    sum_tile_of(end - begin, n, ld, a + begin * kLane, f, out + begin * kLane);
  }
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
  const bool large = any(less<double>(broadcast<double>(0x1p-40), peak));
  if (large && !any(less<double>(broadcast<double>(0x1p40), peak))) return 0;
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

// Steps whose rows stay in registers between the sum and the product.
template <int width>
KEXUE_INLINE bool narrow_steps(ptrdiff_t steps, ptrdiff_t n, const double* a, ptrdiff_t stride,
                               const Chunk& chunk, double* alpha, double* scale) {
  constexpr ptrdiff_t kLd = width * kLane;
  I64 outside = {};
  const double* factor = chunk.factor;
  for (ptrdiff_t t = 0; t < steps; ++t, a += stride, factor += n, alpha += n) {
    F64 m[width], peak = {};
    sum_lanes<width>(n, kLd, a, alpha, m);
    for (int w = 0; w < width; ++w) {
      m[w] = m[w] * load<double>(factor + w * kLane);
      store<double>(alpha + n + w * kLane, m[w]);
      outside = outside |
                (less<double>(m[w], broadcast<double>(kLeastMessage)) & less<double>(F64{}, m[w]));
      peak = larger(peak, m[w]);
    }
    const int exponent = exponent_of(peak);
    scale[t] = chunk.shift + exponent * kLn2;
    if (exponent != 0) {
      const F64 power = broadcast<double>(power_of_two(-exponent));
      for (int w = 0; w < width; ++w) store<double>(alpha + n + w * kLane, m[w] * power);
    }
  }
  return !any(outside);
}

bool forward_steps(ptrdiff_t steps, ptrdiff_t n, ptrdiff_t ld, const double* a, ptrdiff_t stride,
                   const double* emissions, double* alpha, double* scale) {
  if (ld <= 16) {
    const ptrdiff_t most = kChunk / 16;
    for (Chunk chunk; steps > 0;) {
      const ptrdiff_t rows = steps < most ? steps : most;
      if (!chunk.fill(emissions, rows * n)) break;
      const bool within = ld == 8
                              ? narrow_steps<8 / kLane>(rows, n, a, stride, chunk, alpha, scale)
                              : narrow_steps<16 / kLane>(rows, n, a, stride, chunk, alpha, scale);
      if (!within) return false;
      steps -= rows, a += rows * stride, emissions += rows * n, alpha += rows * n, scale += rows;
    }
  }
  for (ptrdiff_t t = 0; t < steps; ++t, a += stride, emissions += n, alpha += n) {
    sum_step(n, ld, a, alpha, alpha + n);
    const lattice::Weighed weighed = weigh(n, ld, emissions, alpha + n);
    scale[t] = weighed.scale;
    if (!weighed.within) return false;
  }
  return true;
}

}  // namespace

extern const TrellisSumKernels trellis_sum_kernels;
const TrellisSumKernels trellis_sum_kernels = {sum_step, weigh, forward_steps, draw, draw_steps};

}  // namespace kexue::KEXUE_ISA
