// The matrix product's micro-kernel; see kexue/core/gemm.hpp.
#include "kexue/core/gemm.hpp"

#include "simd.hpp"

namespace kexue::KEXUE_ISA {
namespace {

// 2 vectors per row: 12 rows fill 24 of the 32 wide registers, 6 rows 12 of 16.
constexpr int kRows = KEXUE_VECTOR_BYTES == 64 ? 12 : 6;

// Rows of B that are fetched before their turn.
constexpr std::ptrdiff_t kAhead = 16;

// A row of a strip: one or two cache lines.
template <class R>
KEXUE_INLINE void fetch([[maybe_unused]] const R* row) {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(row);
  __builtin_prefetch(row + 2 * kLanes<R> - 1);
#endif
}

// The rows of a packed strip that come this much later: strips of A are read from the second-level
// cache, whose latency the products of a few rows do not cover (Sapphire Rapids, 2000 x 800 x 2000
// doubles on one thread and on two: 3 %). The address may lie past the strip: a fetch does not
// fault.
constexpr std::ptrdiff_t kStripAhead = 24;

template <class R>
KEXUE_INLINE void fetch_strip([[maybe_unused]] const R* a) {
#if defined(__GNUC__) || defined(__clang__)
  constexpr std::ptrdiff_t kLine = 64 / static_cast<std::ptrdiff_t>(sizeof(R));
  KEXUE_UNROLL
  for (std::ptrdiff_t i = 0; i < kRows; i += kLine) __builtin_prefetch(a + i);
#endif
}

// The tile is in the second- or third-level cache and is needed at the end.
template <int rows, class R>
KEXUE_INLINE void fetch_tile([[maybe_unused]] const R* c, [[maybe_unused]] std::ptrdiff_t ldc) {
#if defined(__GNUC__) || defined(__clang__)
  KEXUE_UNROLL
  for (int i = 0; i < rows; ++i) {
    __builtin_prefetch(c + i * ldc, 1);
    __builtin_prefetch(c + i * ldc + 2 * kLanes<R> - 1, 1);
  }
#endif
}

// Copying is free beside the products, which leave the ports of loads and stores idle. Rows of B
// that nobody has fetched lie too far apart for the hardware to follow.
template <int rows, bool kPacks, class R>
KEXUE_INLINE void multiply_tile(std::ptrdiff_t depth, const R* a, const R* b, std::ptrdiff_t ldb,
                                [[maybe_unused]] R* packed, R* c, std::ptrdiff_t ldc) {
  using V = Vec<R>;
  V acc[rows][2];
  fetch_tile<rows>(c, ldc);
  KEXUE_UNROLL
  for (int i = 0; i < rows; ++i) acc[i][0] = acc[i][1] = zero<R>();
  for (std::ptrdiff_t k = 0; k < depth; ++k) {
    const V b0 = load<R>(b + k * ldb);
    const V b1 = load<R>(b + k * ldb + kLanes<R>);
    if constexpr (kPacks) {
      fetch(b + (k + kAhead < depth ? k + kAhead : depth - 1) * ldb);
      store<R>(packed + 2 * kLanes<R> * k, b0);
      store<R>(packed + 2 * kLanes<R> * k + kLanes<R>, b1);
    }
    fetch_strip<R>(a + (k + kStripAhead) * kRows);
    KEXUE_UNROLL
    for (int i = 0; i < rows; ++i) {
      const V ai = broadcast<R>(a[k * kRows + i]);
      acc[i][0] += ai * b0;
      acc[i][1] += ai * b1;
    }
  }
  KEXUE_UNROLL
  for (int i = 0; i < rows; ++i) {
    R* row = c + i * ldc;
    store<R>(row, load<R>(row) + acc[i][0]);
    store<R>(row + kLanes<R>, load<R>(row + kLanes<R>) + acc[i][1]);
  }
}

template <class R>
void micro(std::ptrdiff_t depth, const R* a, const R* b, std::ptrdiff_t ldb, R* c,
           std::ptrdiff_t ldc) {
  multiply_tile<kRows, false, R>(depth, a, b, ldb, nullptr, c, ldc);
}

template <class R>
void micro_half(std::ptrdiff_t depth, const R* a, const R* b, std::ptrdiff_t ldb, R* c,
                std::ptrdiff_t ldc) {
  multiply_tile<kRows / 2, false, R>(depth, a, b, ldb, nullptr, c, ldc);
}

template <class R>
void micro_packs(std::ptrdiff_t depth, const R* a, const R* b, std::ptrdiff_t ldb, R* packed, R* c,
                 std::ptrdiff_t ldc) {
  multiply_tile<kRows, true, R>(depth, a, b, ldb, packed, c, ldc);
}

template <class R>
void micro_rows(std::ptrdiff_t depth, const R* a, std::ptrdiff_t lda, const R* b, R* c,
                std::ptrdiff_t ldc) {
  using V = Vec<R>;
  V acc[kRows][2];
  KEXUE_UNROLL
  for (int i = 0; i < kRows; ++i) acc[i][0] = acc[i][1] = zero<R>();
  for (std::ptrdiff_t k = 0; k < depth; ++k) {
    const V b0 = load<R>(b + 2 * kLanes<R> * k);
    const V b1 = load<R>(b + 2 * kLanes<R> * k + kLanes<R>);
    KEXUE_UNROLL
    for (int i = 0; i < kRows; ++i) {
      const V ai = broadcast<R>(a[i * lda + k]);
      acc[i][0] += ai * b0;
      acc[i][1] += ai * b1;
    }
  }
  KEXUE_UNROLL
  for (int i = 0; i < kRows; ++i) {
    R* row = c + i * ldc;
    store<R>(row, load<R>(row) + acc[i][0]);
    store<R>(row + kLanes<R>, load<R>(row + kLanes<R>) + acc[i][1]);
  }
}

// Stores as wide as they come: the target is in the second-level cache, and the store queue holds
// so many stores, not bytes (4000 x 4000: 4 ms against 12 ms with stores of 16 bytes).
template <class R>
void pack(std::ptrdiff_t depth, const R* b, std::ptrdiff_t ldb, std::ptrdiff_t n_strips, R* out,
          std::ptrdiff_t strip) {
  constexpr std::ptrdiff_t kWidth = 2 * kLanes<R>;
  for (std::ptrdiff_t k = 0; k < depth; ++k) {
    const R* row = b + k * ldb;
#if defined(__GNUC__) || defined(__clang__)
    const R* ahead = b + (k + kAhead < depth ? k + kAhead : depth - 1) * ldb;
    constexpr std::ptrdiff_t kLine = 64 / static_cast<std::ptrdiff_t>(sizeof(R));
    for (std::ptrdiff_t j = 0; j < n_strips * kWidth; j += kLine) __builtin_prefetch(ahead + j);
#endif
    for (std::ptrdiff_t s = 0; s < n_strips; ++s) {
      R* to = out + s * strip + k * kWidth;
      store<R>(to, load<R>(row + s * kWidth));
      store<R>(to + kLanes<R>, load<R>(row + s * kWidth + kLanes<R>));
    }
  }
}

void pack_rounded(std::ptrdiff_t depth, const double* b, std::ptrdiff_t ldb,
                  std::ptrdiff_t n_strips, float* out, std::ptrdiff_t strip) {
  constexpr std::ptrdiff_t kWidth = 2 * kLanes<float>;
  for (std::ptrdiff_t k = 0; k < depth; ++k) {
    const double* row = b + k * ldb;
#if defined(__GNUC__) || defined(__clang__)
    const double* ahead = b + (k + kAhead < depth ? k + kAhead : depth - 1) * ldb;
    for (std::ptrdiff_t j = 0; j < n_strips * kWidth; j += 8) __builtin_prefetch(ahead + j);
#endif
    for (std::ptrdiff_t s = 0; s < n_strips; ++s) {
      float* to = out + s * strip + k * kWidth;
      for (std::ptrdiff_t j = 0; j < kWidth; ++j) to[j] = static_cast<float>(row[s * kWidth + j]);
    }
  }
}

void add_rounded(std::ptrdiff_t rows, const float* tile, double* c, std::ptrdiff_t ldc) {
  constexpr std::ptrdiff_t kWidth = 2 * kLanes<float>;
  for (std::ptrdiff_t i = 0; i < rows; ++i) {
    for (std::ptrdiff_t j = 0; j < kWidth; ++j) c[i * ldc + j] += tile[i * kWidth + j];
  }
}

}  // namespace

extern const GemmTables gemm_tables;
const GemmTables gemm_tables = {
    {kRows, 2 * kLanes<float>, &micro<float>, &micro_half<float>, &micro_packs<float>,
     &micro_rows<float>, &pack<float>},
    {kRows, 2 * kLanes<double>, &micro<double>, &micro_half<double>, &micro_packs<double>,
     &micro_rows<double>, &pack<double>},
    {&pack_rounded, &add_rounded},
};

}  // namespace kexue::KEXUE_ISA
