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

// Where maxima and additions of 512 bits share their ports (Zen 4), every other maximum goes by
// comparison and blend, which do not: a tenth faster, 100 states in float64.
template <class T>
KEXUE_INLINE Vec<T> larger_of(int place, Vec<T> a, Vec<T> b) {
  const bool blend = KEXUE_X86_BYTES == 64 && place % 2 != 0;
  return blend ? select<T>(less<T>(a, b), b, a) : larger<T>(a, b);
}

// Two chains for each accumulator where few of them would wait for each other. Row i begins at
// a + i * ld and belongs to d[r][i * along]: with both negative, rows are read from the last on.
template <class T, int together, int width, int along = 1>
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
          best[c][r][w] =
              larger_of<T>(w, best[c][r][w], broadcast<T>(d[r][(i + c) * along]) + entry);
        }
      }
    }
  }
  for (; i < n; ++i) {
    for (int w = 0; w < width; ++w) {
      const Vec<T> entry = load<T>(a + i * ld + j + w * kLanes<T>);
      for (int r = 0; r < together; ++r) {
        best[0][r][w] = larger<T>(best[0][r][w], broadcast<T>(d[r][i * along]) + entry);
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

template <class T, int along, int width = kWidest>
KEXUE_INLINE void max_tile_of(ptrdiff_t vectors, ptrdiff_t n, ptrdiff_t ld, const T* a,
                              const T* const* d, T* const* out, ptrdiff_t j) {
  if (vectors == width) return max_tile<T, 1, width, along>(n, ld, a, d, out, j);
  if constexpr (width > 1) max_tile_of<T, along, width - 1>(vectors, n, ld, a, d, out, j);
}

// Rows longer than this are read one after the other, eight at a time, and the result waits in the
// first-level cache: pieces of rows would keep the prefetcher from a matrix that fills no cache.
constexpr ptrdiff_t kLongRow = 2048;
constexpr int kStreams = 8;

template <class T, int rows>
KEXUE_INLINE void max_stream(ptrdiff_t ld, ptrdiff_t width, const T* a, const T* d, T* out,
                             bool first) {
  Vec<T> from[rows];
  for (int r = 0; r < rows; ++r) from[r] = broadcast<T>(d[r]);
  for (ptrdiff_t j = 0; j < width; j += kLanes<T>) {
    Vec<T> best = first ? broadcast<T>(-(T)__builtin_inf()) : load<T>(out + j);
    KEXUE_UNROLL
    for (int r = 0; r < rows; ++r) best = larger<T>(best, from[r] + load<T>(a + r * ld + j));
    store<T>(out + j, best);
  }
}

// A matrix that every step reads whole finds in a cache too small for it what was read last, if
// each step goes the other way through it than the one before.
template <class T>
void max_columns(ptrdiff_t n, ptrdiff_t ld, ptrdiff_t width, const T* a, const T* d, T* out,
                 bool upwards) {
  if (ld * (ptrdiff_t)sizeof(T) > kLongRow) {
    const ptrdiff_t groups = n / kStreams, rest = groups * kStreams;
    bool first = true;
    for (ptrdiff_t i = rest; upwards && i < n; ++i, first = false) {
      max_stream<T, 1>(ld, width, a + i * ld, d + i, out, first);
    }
    for (ptrdiff_t g = 0; g < groups; ++g, first = false) {
      const ptrdiff_t i = (upwards ? groups - 1 - g : g) * kStreams;
      max_stream<T, kStreams>(ld, width, a + i * ld, d + i, out, first);
    }
    for (ptrdiff_t i = rest; !upwards && i < n; ++i, first = false) {
      max_stream<T, 1>(ld, width, a + i * ld, d + i, out, first);
    }
    return;
  }
  const T* const from[] = {upwards ? d + n - 1 : d};
  T* const to[] = {out};
  const ptrdiff_t vectors = width / kLanes<T>, tiles = (vectors + kWidest - 1) / kWidest;
  for (ptrdiff_t k = 0; k < tiles; ++k) {
    const ptrdiff_t tile = upwards ? tiles - 1 - k : k;
    const ptrdiff_t begin = vectors * tile / tiles, end = vectors * (tile + 1) / tiles;
    if (upwards) {
      max_tile_of<T, -1>(end - begin, n, -ld, a + (n - 1) * ld, from, to, begin * kLanes<T>);
    } else {
      max_tile_of<T, 1>(end - begin, n, ld, a, from, to, begin * kLanes<T>);
    }
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
  if (together == 1) max_columns<T>(n, ld, ld, a, d[0], out[0], false);
}

// Between the rows of one step and the next, so much else is read that no hardware prefetcher
// follows them. An address before or behind the array does no harm.
constexpr ptrdiff_t kAhead = 4;
constexpr ptrdiff_t kPrefetched = 2048;  // bytes of a row

template <class T>
KEXUE_INLINE void prefetch_row(const T* row, ptrdiff_t n) {
  const char* begin = (const char*)row;
  ptrdiff_t size = n * (ptrdiff_t)sizeof(T);
  if (size > kPrefetched) size = kPrefetched;
  for (ptrdiff_t i = 0; i < size; i += 64) __builtin_prefetch(begin + i);
}

// Loads of emissions run past a row into the next one: those lanes belong to no state.
template <class T>
void max_steps(ptrdiff_t steps, ptrdiff_t n, ptrdiff_t ld, const T* a, ptrdiff_t stride,
               const T* emissions, T* d, T* value) {
  for (ptrdiff_t t = 0; t < steps; ++t, a += stride, emissions += n, value += ld) {
    for (ptrdiff_t j = 0; j < ld; j += kLanes<T>) {
      store<T>(d + j, load<T>(value + j) + load<T>(emissions + j));
    }
    prefetch_row(emissions + kAhead * n, n);
    max_columns<T>(n, ld, ld, a, d, value + ld, stride == 0 && t % 2 != 0);
  }
  for (ptrdiff_t j = n; j < ld; ++j) d[j] = -(T)__builtin_inf();
}

// A vector of states, or half of one where the instruction set has both. Origins are stored as
// bytes.
template <class T>
struct Whole {
  using Real = Vec<T>;
  using Integer = Mask<T>;
  static KEXUE_INLINE Real load(const T* p) { return KEXUE_ISA::load<T>(p); }
  static KEXUE_INLINE void store(T* p, Real v) { KEXUE_ISA::store<T>(p, v); }
  static KEXUE_INLINE Real broadcast(T x) { return KEXUE_ISA::broadcast<T>(x); }
  static KEXUE_INLINE Integer number(int x) { return KEXUE_ISA::broadcast<Bits<T>>(x); }
  static KEXUE_INLINE Real larger(int place, Real a, Real b) { return larger_of<T>(place, a, b); }
  // Where a equals b the first, elsewhere the second.
  static KEXUE_INLINE Integer choose(Real a, Real b, Integer first, Integer second) {
    return select<Bits<T>>(equal<T>(a, b), first, second);
  }
  static KEXUE_INLINE void store_bytes(std::uint8_t* out, Integer x) {
#if KEXUE_X86_BYTES == 64
    if constexpr (sizeof(T) == 8) {
      _mm_storel_epi64((__m128i*)out, _mm512_cvtepi64_epi8((__m512i)x));
    } else {
      _mm_storeu_si128((__m128i*)out, _mm512_cvtepi32_epi8((__m512i)x));
    }
#else
    for (int i = 0; i < kLanes<T>; ++i) out[i] = (std::uint8_t)x[i];
#endif
  }
};
#if KEXUE_X86_BYTES == 64
template <class T>
struct Half {
  typedef T Real __attribute__((vector_size(32)));
  typedef Bits<T> Integer __attribute__((vector_size(32)));
  static KEXUE_INLINE Real load(const T* p) {
    Real v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
  }
  static KEXUE_INLINE void store(T* p, Real v) { __builtin_memcpy(p, &v, sizeof(v)); }
  static KEXUE_INLINE Real broadcast(T x) { return x - Real{}; }
  static KEXUE_INLINE Integer number(int x) { return (Bits<T>)x - Integer{}; }
  static KEXUE_INLINE Real larger(int place, Real a, Real b) {
    if (place % 2 != 0) return a < b ? b : a;
    if constexpr (sizeof(T) == 8) {
      return (Real)_mm256_max_pd((__m256d)a, (__m256d)b);
    } else {
      return (Real)_mm256_max_ps((__m256)a, (__m256)b);
    }
  }
  static KEXUE_INLINE Integer choose(Real a, Real b, Integer first, Integer second) {
    return a == b ? first : second;
  }
  static KEXUE_INLINE void store_bytes(std::uint8_t* out, Integer x) {
    if constexpr (sizeof(T) == 8) {
      _mm_storeu_si32(out, _mm256_cvtepi64_epi8((__m256i)x));
    } else {
      _mm_storel_epi64((__m128i*)out, _mm256_cvtepi32_epi8((__m256i)x));
    }
  }
};
#else
template <class T>
using Half = Whole<T>;
#endif

// The best of `rows` rows of sums, and its origin: they stay in registers, so that the origin costs
// a comparison each. The row `rows` - 1 lies at `last`.
template <class T, class Part, int rows>
KEXUE_INLINE typename Part::Real few_best(const T* a, const T* last, const T* d,
                                          std::uint8_t* origin) {
  constexpr int kLd = (rows * (int)sizeof(T) + 63) / 64 * 64 / (int)sizeof(T);
  typename Part::Real sum[rows], most[rows];
  KEXUE_UNROLL
  for (int r = 0; r < rows; ++r) {
    most[r] = sum[r] = Part::broadcast(d[r]) + Part::load(r + 1 < rows ? a + r * kLd : last);
  }
  KEXUE_UNROLL
  for (int gap = 1; gap < rows; gap *= 2) {
    KEXUE_UNROLL
    for (int r = 0; r + gap < rows; r += 2 * gap) {
      most[r] = Part::larger(r / (2 * gap), most[r], most[r + gap]);
    }
  }
  typename Part::Integer from = Part::number(0);
  KEXUE_UNROLL
  for (int r = rows - 1; r > 0; --r) {
    from = Part::choose(sum[r], most[0], Part::number(r), from);
  }
  // The first row wins a tie, and all ties of what is impossible.
  Part::store_bytes(origin, Part::choose(sum[0], most[0], Part::number(0), from));
  return most[0];
}

// A row beyond n repeats the last one; d is -inf there and never the first to attain the maximum.
// Padding that fills half a vector is left out.
template <class T, int rows>
void few_steps_of(ptrdiff_t steps, ptrdiff_t n, const T* a, ptrdiff_t stride, const T* emissions,
                  ptrdiff_t ld_emissions, T* value, std::uint8_t* origin) {
  constexpr int kLd = (rows * (int)sizeof(T) + 63) / 64 * 64 / (int)sizeof(T);
  constexpr int kRest = rows % kLanes<T>;
  constexpr bool kHalf = kRest > 0 && kRest <= kLanes<T> / 2;
  constexpr int kWhole = rows / kLanes<T> + (kRest > 0 && !kHalf ? 1 : 0);
  constexpr int kEnd = kWhole * kLanes<T>;
  using Last = Half<T>;
  alignas(64) T d[kLd];
  Vec<T> best[kWhole + 1];
  typename Last::Real tail{};
  for (int w = 0; w < kWhole; ++w) best[w] = load<T>(value + w * kLanes<T>);
  if constexpr (kHalf) tail = Last::load(value + kEnd);
  const T* last = a + (n - 1) * kLd;
  for (ptrdiff_t t = 0; t < steps; ++t) {
    for (int w = 0; w < kWhole; ++w) {
      store<T>(d + w * kLanes<T>, best[w] + load<T>(emissions + w * kLanes<T>));
    }
    if constexpr (kHalf) Last::store(d + kEnd, tail + Last::load(emissions + kEnd));
    for (int w = 0; w < kWhole; ++w) {
      const ptrdiff_t at = w * kLanes<T>;
      best[w] = few_best<T, Whole<T>, rows>(a + at, last + at, d, origin + at);
    }
    if constexpr (kHalf) {
      tail = few_best<T, Last, rows>(a + kEnd, last + kEnd, d, origin + kEnd);
    }
    a += stride, last += stride, emissions += ld_emissions, origin += lattice::kFewStates;
  }
  for (int w = 0; w < kWhole; ++w) store<T>(value + w * kLanes<T>, best[w]);
  if constexpr (kHalf) Last::store(value + kEnd, tail);
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
    prefetch_row(before - kAhead * ld, n);
    prefetch_row(emission - kAhead * n, n);
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
    {max_step<float>, max_columns<float>, max_steps<float>, few_steps<float>, trace<float>},
    {max_step<double>, max_columns<double>, max_steps<double>, few_steps<double>, trace<double>}};

}  // namespace kexue::KEXUE_ISA
