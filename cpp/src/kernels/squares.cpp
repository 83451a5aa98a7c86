// Sums of squares; see kexue/lowrank/squares.hpp. Plain loops that vectorise.
#include "kexue/lowrank/squares.hpp"

#include "simd.hpp"

namespace kexue::KEXUE_ISA {
namespace {

#if defined(__GNUC__) || defined(__clang__)
#define KEXUE_RESTRICT __restrict__
#else
#define KEXUE_RESTRICT
#endif

// A cache line that is needed in a while: the hardware keeps fewer of them on their way. The
// address may lie past the matrix: a fetch does not fault.
KEXUE_INLINE void fetch([[maybe_unused]] const void* x, [[maybe_unused]] std::ptrdiff_t bytes) {
#if defined(__GNUC__)
  __builtin_prefetch(static_cast<const char*>(x) + bytes, 0, 2);
#endif
}

// Eight rows at a time: as many streams as the hardware follows, and acc is read once for all.
constexpr int kStreams = 8;

template <int rows, class R>
KEXUE_INLINE void add_squares(const R* KEXUE_RESTRICT x, std::ptrdiff_t ld, std::ptrdiff_t n,
                              double* KEXUE_RESTRICT acc) {
  constexpr std::ptrdiff_t kLine = 64 / static_cast<std::ptrdiff_t>(sizeof(R));
  const auto add = [&](std::ptrdiff_t j) {
    double sum = acc[j];
    KEXUE_UNROLL
    for (int i = 0; i < rows; ++i) {
      const double v = static_cast<double>(x[i * ld + j]);
      sum += v * v;
    }
    acc[j] = sum;
  };
  std::ptrdiff_t j = 0;
  for (; j + kLine <= n; j += kLine) {
    KEXUE_UNROLL
    for (int i = 0; i < rows; ++i) fetch(x + i * ld + j, 1024);
    for (std::ptrdiff_t l = 0; l < kLine; ++l) add(j + l);
  }
  for (; j < n; ++j) add(j);
}

template <class R>
void down(const R* x, std::ptrdiff_t ld, std::ptrdiff_t rows, std::ptrdiff_t n, double* acc) {
  std::ptrdiff_t i = 0;
  for (; i + kStreams <= rows; i += kStreams) add_squares<kStreams>(x + i * ld, ld, n, acc);
  for (; i < rows; ++i) add_squares<1>(x + i * ld, ld, n, acc);
}

template <class R>
double sum(const R* x, std::ptrdiff_t n) {
  constexpr int kSums = 64;
  double acc[kSums] = {};
  std::ptrdiff_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    constexpr std::ptrdiff_t kBytes = kSums * static_cast<std::ptrdiff_t>(sizeof(R));
    KEXUE_UNROLL
    for (std::ptrdiff_t line = 0; line < kBytes; line += 64) fetch(x + i, 4096 + line);
    KEXUE_UNROLL
    for (int s = 0; s < kSums; ++s) {
      const double v = static_cast<double>(x[i + s]);
      acc[s] += v * v;
    }
  }
  double total = 0;
  for (; i < n; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  for (double part : acc) total += part;
  return total;
}

template <int parts, class R>
double downdate(R factor, const R* KEXUE_RESTRICT b, R* KEXUE_RESTRICT r,
                double* KEXUE_RESTRICT squares, std::ptrdiff_t n) {
  constexpr int kTops = 16;
  double tops[kTops] = {};
  const auto step = [&](std::ptrdiff_t k, double& top) {
    double rest = squares[k];
    const bool counts = !(rest < 0);
    KEXUE_UNROLL
    for (int p = 0; p < parts; ++p) {
      const R x = factor * b[k * parts + p];
      r[k * parts + p] = x;
      rest -= counts ? static_cast<double>(x) * static_cast<double>(x) : 0;
    }
    rest = counts && !(rest > 0) ? 0 : rest;
    squares[k] = rest;
    top = rest > top ? rest : top;
  };
  std::ptrdiff_t k = 0;
  for (; k + kTops <= n; k += kTops) {
    for (int t = 0; t < kTops; ++t) step(k + t, tops[t]);
  }
  double largest = 0;
  for (; k < n; ++k) step(k, largest);
  for (double top : tops) largest = top > largest ? top : largest;
  return largest;
}

}  // namespace

extern const SquareTables square_tables;
const SquareTables square_tables = {
    {&down<float>, &sum<float>, &downdate<1, float>, &downdate<2, float>},
    {&down<double>, &sum<double>, &downdate<1, double>, &downdate<2, double>},
};

}  // namespace kexue::KEXUE_ISA
