// One step of a trellis (kexue/lattice/trellis.hpp). A tile of accumulators for several sequences
// and neighbouring states stays in registers while the rows of the matrix pass by.
#include <bit>

#include "kexue/lattice/trellis_kernels.hpp"
#include "simd.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using lattice::TrellisKernel;
using lattice::TrellisKernels;
using std::ptrdiff_t;

template <class T>
KEXUE_INLINE Vec<T> larger(Vec<T> a, Vec<T> b) {
  return select<T>(less<T>(a, b), b, a);
}
#if KEXUE_X86_BYTES == 64
template <>
KEXUE_INLINE F64 larger<double>(F64 a, F64 b) {
  return _mm512_maskz_max_pd(0xff, a, b);
}
template <>
KEXUE_INLINE F32 larger<float>(F32 a, F32 b) {
  return _mm512_maskz_max_ps(0xffff, a, b);
}
#elif KEXUE_X86_BYTES == 32
template <>
KEXUE_INLINE F64 larger<double>(F64 a, F64 b) {
  return _mm256_max_pd(a, b);
}
template <>
KEXUE_INLINE F32 larger<float>(F32 a, F32 b) {
  return _mm256_max_ps(a, b);
}
#endif

// Two chains for each accumulator where few of them would wait for each other.
template <class T, int together, int width>
KEXUE_INLINE void max_tile(ptrdiff_t n, ptrdiff_t ld, const T* a, const T* const* d, T* const* out,
                           ptrdiff_t j) {
  constexpr int kChains = together * width <= 4 ? 2 : 1;
  Vec<T> best[kChains][together][width];
  for (auto& chain : best) {
    for (auto& row : chain) {
      for (auto& v : row) v = broadcast<T>(-(T)__builtin_inf());
    }
  }
  ptrdiff_t i = 0;
  for (; i + kChains <= n; i += kChains) {
    KEXUE_UNROLL
    for (int c = 0; c < kChains; ++c) {
      KEXUE_UNROLL
      for (int w = 0; w < width; ++w) {
        const Vec<T> entry = load<T>(a + (i + c) * ld + j + w * kLanes<T>);
        KEXUE_UNROLL
        for (int r = 0; r < together; ++r) {
          best[c][r][w] = larger<T>(best[c][r][w], broadcast<T>(d[r][i + c]) + entry);
        }
      }
    }
  }
  for (; i < n; ++i) {
    for (int w = 0; w < width; ++w) {
      const Vec<T> entry = load<T>(a + i * ld + j + w * kLanes<T>);
      for (int r = 0; r < together; ++r) {
        best[0][r][w] = larger<T>(best[0][r][w], broadcast<T>(d[r][i]) + entry);
      }
    }
  }
  for (int r = 0; r < together; ++r) {
    for (int w = 0; w < width; ++w) {
      store<T>(out[r] + j + w * kLanes<T>, larger<T>(best[0][r][w], best[kChains - 1][r][w]));
    }
  }
}

// Several sequences share what is read of the matrix.
template <class T, int together>
void max_rows(ptrdiff_t n, ptrdiff_t ld, const T* a, const T* const* d, T* const* out) {
  ptrdiff_t j = 0;
  for (; j + 4 * kLanes<T> <= ld; j += 4 * kLanes<T>) max_tile<T, together, 4>(n, ld, a, d, out, j);
  for (; j + 2 * kLanes<T> <= ld; j += 2 * kLanes<T>) max_tile<T, together, 2>(n, ld, a, d, out, j);
  for (; j < ld; j += kLanes<T>) max_tile<T, together, 1>(n, ld, a, d, out, j);
}

// Accumulators of a tile of a single row: they fill the registers.
constexpr int kWidest = KEXUE_VECTOR_BYTES == 64 ? 16 : 12;

template <class T, int width = kWidest>
KEXUE_INLINE void max_tile_of(ptrdiff_t vectors, ptrdiff_t n, ptrdiff_t ld, const T* a,
                              const T* const* d, T* const* out, ptrdiff_t j) {
  if (vectors == width) return max_tile<T, 1, width>(n, ld, a, d, out, j);
  if constexpr (width > 1) max_tile_of<T, width - 1>(vectors, n, ld, a, d, out, j);
}

// Rows longer than this are read one after the other, eight at a time, and the result waits in the
// first-level cache: pieces of rows would keep the prefetcher from a matrix that fills no cache.
constexpr ptrdiff_t kLongRow = 2048;
constexpr int kStreams = 8;

template <class T, int rows>
KEXUE_INLINE void max_stream(ptrdiff_t ld, const T* a, const T* d, T* out, bool first) {
  Vec<T> from[rows];
  for (int r = 0; r < rows; ++r) from[r] = broadcast<T>(d[r]);
  for (ptrdiff_t j = 0; j < ld; j += kLanes<T>) {
    Vec<T> best = first ? broadcast<T>(-(T)__builtin_inf()) : load<T>(out + j);
    KEXUE_UNROLL
    for (int r = 0; r < rows; ++r) best = larger<T>(best, from[r] + load<T>(a + r * ld + j));
    store<T>(out + j, best);
  }
}

template <class T>
void max_row(ptrdiff_t n, ptrdiff_t ld, const T* a, const T* d, T* out) {
  if (ld * (ptrdiff_t)sizeof(T) > kLongRow) {
    ptrdiff_t i = 0;
    for (; i + kStreams <= n; i += kStreams) {
      max_stream<T, kStreams>(ld, a + i * ld, d + i, out, i == 0);
    }
    for (; i < n; ++i) max_stream<T, 1>(ld, a + i * ld, d + i, out, i == 0);
    return;
  }
  const T* const from[] = {d};
  T* const to[] = {out};
  const ptrdiff_t vectors = ld / kLanes<T>, tiles = (vectors + kWidest - 1) / kWidest;
  for (ptrdiff_t tile = 0; tile < tiles; ++tile) {
    const ptrdiff_t begin = vectors * tile / tiles, end = vectors * (tile + 1) / tiles;
    max_tile_of<T>(end - begin, n, ld, a, from, to, begin * kLanes<T>);
  }
}

template <class T>
void max_step(int together, ptrdiff_t n, ptrdiff_t ld, const T* a, const T* const* d,
              T* const* out) {
  while (together >= 4) {
    max_rows<T, 4>(n, ld, a, d, out);
    together -= 4, d += 4, out += 4;
  }
  if (together >= 2) {
    max_rows<T, 2>(n, ld, a, d, out);
    together -= 2, d += 2, out += 2;
  }
  if (together == 1) max_row<T>(n, ld, a, d[0], out[0]);
}

// Loads of emissions run past a row into the next one: those lanes belong to no state.
template <class T>
void max_steps(ptrdiff_t steps, ptrdiff_t n, ptrdiff_t ld, const T* a, ptrdiff_t stride,
               const T* emissions, T* d, T* value) {
  for (ptrdiff_t t = 0; t < steps; ++t, a += stride, emissions += n, value += ld) {
    for (ptrdiff_t j = 0; j < ld; j += kLanes<T>) {
      store<T>(d + j, load<T>(value + j) + load<T>(emissions + j));
    }
    max_row<T>(n, ld, a, d, value + ld);
  }
  for (ptrdiff_t j = n; j < ld; ++j) d[j] = -(T)__builtin_inf();
}

// Where each lane's maximum came from, as bytes.
KEXUE_INLINE void store_bytes(std::uint8_t* out, I64 x) {
#if KEXUE_X86_BYTES == 64
  _mm_storel_epi64((__m128i*)out, _mm512_cvtepi64_epi8((__m512i)x));
#else
  for (int i = 0; i < kLanes<double>; ++i) out[i] = (std::uint8_t)x[i];
#endif
}
KEXUE_INLINE void store_bytes(std::uint8_t* out, I32 x) {
#if KEXUE_X86_BYTES == 64
  _mm_storeu_si128((__m128i*)out, _mm512_cvtepi32_epi8((__m512i)x));
#else
  for (int i = 0; i < kLanes<float>; ++i) out[i] = (std::uint8_t)x[i];
#endif
}

// A step of few states keeps all its sums in registers, so their origin costs a comparison each.
// A row beyond n repeats the last one; d is -inf there and never the first to attain the maximum.
template <class T, int rows>
void few_steps_of(ptrdiff_t steps, ptrdiff_t n, const T* a, ptrdiff_t stride, const T* emissions,
                  ptrdiff_t ld_emissions, T* value, std::uint8_t* origin) {
  constexpr int kLd = (rows * (int)sizeof(T) + 63) / 64 * 64 / (int)sizeof(T);
  constexpr int kWide = kLd / kLanes<T>;
  alignas(64) T d[kLd];
  Vec<T> best[kWide];
  for (int w = 0; w < kWide; ++w) best[w] = load<T>(value + w * kLanes<T>);
  const ptrdiff_t last = (n - 1) * kLd;
  for (ptrdiff_t t = 0; t < steps; ++t) {
    for (int w = 0; w < kWide; ++w) {
      store<T>(d + w * kLanes<T>, best[w] + load<T>(emissions + w * kLanes<T>));
    }
    Vec<T> sum[rows][kWide], most[rows][kWide];
    KEXUE_UNROLL
    for (int r = 0; r < rows; ++r) {
      const T* row = r + 1 < rows ? a + r * kLd : a + last;
      const Vec<T> from = broadcast<T>(d[r]);
      for (int w = 0; w < kWide; ++w) {
        most[r][w] = sum[r][w] = from + load<T>(row + w * kLanes<T>);
      }
    }
    KEXUE_UNROLL
    for (int gap = 1; gap < rows; gap *= 2) {
      KEXUE_UNROLL
      for (int r = 0; r + gap < rows; r += 2 * gap) {
        for (int w = 0; w < kWide; ++w) most[r][w] = larger<T>(most[r][w], most[r + gap][w]);
      }
    }
    for (int w = 0; w < kWide; ++w) {
      best[w] = most[0][w];
      Mask<T> from = {};
      KEXUE_UNROLL
      for (int r = rows - 1; r > 0; --r) {
        from = select<Bits<T>>(equal<T>(sum[r][w], best[w]), broadcast<Bits<T>>(r), from);
      }
      // The first row wins a tie, and all ties of what is impossible.
      from = select<Bits<T>>(equal<T>(sum[0][w], best[w]), Mask<T>{}, from);
      store_bytes(origin + w * kLanes<T>, from);
    }
    a += stride, emissions += ld_emissions, origin += lattice::kFewStates;
  }
  for (int w = 0; w < kWide; ++w) store<T>(value + w * kLanes<T>, best[w]);
}

template <class T, int rows = lattice::kFewStates>
void few_steps(ptrdiff_t steps, ptrdiff_t n, const T* a, ptrdiff_t stride, const T* emissions,
               ptrdiff_t ld_emissions, T* value, std::uint8_t* origin) {
  if constexpr (rows > 2) {
    if (n <= rows - 2) {
      return few_steps<T, rows - 2>(steps, n, a, stride, emissions, ld_emissions, value, origin);
    }
  }
  few_steps_of<T, rows>(steps, n, a, stride, emissions, ld_emissions, value, origin);
}

#if KEXUE_X86_BYTES == 64
KEXUE_INLINE unsigned equal_lanes(F64 a, F64 b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
KEXUE_INLINE unsigned equal_lanes(F32 a, F32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
#else
template <class V>
KEXUE_INLINE unsigned equal_lanes(const V& a, const V& b) {
  unsigned found = 0;
  for (int i = 0; i < (int)(sizeof(V) / sizeof(a[0])); ++i) found |= (unsigned)(a[i] == b[i]) << i;
  return found;
}
#endif

template <class T>
void trace(ptrdiff_t steps, ptrdiff_t n, ptrdiff_t ld, const T* a, ptrdiff_t stride,
           const T* emissions, const T* value, std::int64_t* path) {
  for (ptrdiff_t t = steps; t-- > 0;) {
    const ptrdiff_t state = path[t + 1];
    const T *column = a + t * stride + state * ld, *before = value + t * ld,
            *emission = emissions + t * n;
    const Vec<T> target = broadcast<T>(value[(t + 1) * ld + state]);
    path[t] = 0;
    for (ptrdiff_t i = 0; i < ld; i += kLanes<T>) {
      const Vec<T> sum = load<T>(before + i) + load<T>(emission + i) + load<T>(column + i);
      const unsigned found = equal_lanes(sum, target);
      if (found != 0) {
        path[t] = i + std::countr_zero(found);
        break;
      }
    }
  }
}

}  // namespace

extern const TrellisKernels trellis_kernels;
const TrellisKernels trellis_kernels = {
    {max_step<float>, max_steps<float>, few_steps<float>, trace<float>},
    {max_step<double>, max_steps<double>, few_steps<double>, trace<double>}};

}  // namespace kexue::KEXUE_ISA
