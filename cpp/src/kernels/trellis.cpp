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

template <class T, int together>
void max_rows(ptrdiff_t n, ptrdiff_t ld, const T* a, const T* const* d, T* const* out) {
  constexpr int kWidth = together == 1 ? 8 : 4;
  ptrdiff_t j = 0;
  for (; j + kWidth * kLanes<T> <= ld; j += kWidth * kLanes<T>) {
    max_tile<T, together, kWidth>(n, ld, a, d, out, j);
  }
  for (; j + 2 * kLanes<T> <= ld; j += 2 * kLanes<T>) max_tile<T, together, 2>(n, ld, a, d, out, j);
  for (; j < ld; j += kLanes<T>) max_tile<T, together, 1>(n, ld, a, d, out, j);
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
  if (together == 1) max_rows<T, 1>(n, ld, a, d, out);
}

// Loads of emissions run past a row into the next one: those lanes belong to no state.
template <class T, int width>
void chain(ptrdiff_t steps, ptrdiff_t n, ptrdiff_t ld, const T* a, ptrdiff_t stride,
           const T* emissions, T* d, T* value) {
  const T* from[] = {d};
  for (ptrdiff_t t = 0; t < steps; ++t, a += stride, emissions += n, value += ld) {
    for (ptrdiff_t j = 0; j < ld; j += kLanes<T>) {
      store<T>(d + j, load<T>(value + j) + load<T>(emissions + j));
    }
    T* const to[] = {value + ld};
    if constexpr (width > 0) {
      max_tile<T, 1, width>(n, ld, a, from, to, 0);
    } else {
      max_rows<T, 1>(n, ld, a, from, to);
    }
  }
  for (ptrdiff_t j = n; j < ld; ++j) d[j] = -(T)__builtin_inf();
}

template <class T>
void max_steps(ptrdiff_t steps, ptrdiff_t n, ptrdiff_t ld, const T* a, ptrdiff_t stride,
               const T* emissions, T* d, T* value) {
  switch (ld / kLanes<T>) {
    case 1:
      return chain<T, 1>(steps, n, ld, a, stride, emissions, d, value);
    case 2:
      return chain<T, 2>(steps, n, ld, a, stride, emissions, d, value);
    case 4:
      return chain<T, 4>(steps, n, ld, a, stride, emissions, d, value);
    default:
      return chain<T, 0>(steps, n, ld, a, stride, emissions, d, value);
  }
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
ptrdiff_t find(ptrdiff_t n, const T* d, const T* a, T value) {
  for (ptrdiff_t i = 0; i < n; i += kLanes<T>) {
    const unsigned found = equal_lanes(load<T>(d + i) + load<T>(a + i), broadcast<T>(value));
    if (found != 0) {
      return i + std::countr_zero(found);
    }
  }
  return n;
}

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

template <int width>
KEXUE_INLINE void sum_tile(ptrdiff_t n, ptrdiff_t ld, const double* a, const double* f, double* out,
                           ptrdiff_t j) {
  F64 total[2][width] = {};
  ptrdiff_t i = 0;
  for (; i + 2 <= n; i += 2) {
    KEXUE_UNROLL
    for (int c = 0; c < 2; ++c) {
      KEXUE_UNROLL
      for (int w = 0; w < width; ++w) {
        total[c][w] =
            multiply_add(broadcast<double>(f[i + c]),
                         load<double>(a + (i + c) * ld + j + w * kLanes<double>), total[c][w]);
      }
    }
  }
  for (int w = 0; i < n && w < width; ++w) {
    total[0][w] = multiply_add(broadcast<double>(f[i]),
                               load<double>(a + i * ld + j + w * kLanes<double>), total[0][w]);
  }
  for (int w = 0; w < width; ++w) {
    store<double>(out + j + w * kLanes<double>, total[0][w] + total[1][w]);
  }
}

void sum_step(ptrdiff_t n, ptrdiff_t ld, const double* a, const double* f, double* out) {
  ptrdiff_t j = 0;
  for (; j + 4 * kLanes<double> <= ld; j += 4 * kLanes<double>) sum_tile<4>(n, ld, a, f, out, j);
  for (; j < ld; j += kLanes<double>) sum_tile<1>(n, ld, a, f, out, j);
}

}  // namespace

extern const TrellisKernels trellis_kernels;
const TrellisKernels trellis_kernels = {
    {max_step<float>, max_steps<float>, trace<float>, find<float>},
    {max_step<double>, max_steps<double>, trace<double>, find<double>},
    sum_step};

}  // namespace kexue::KEXUE_ISA
