// Fills of the counter-based generator; the layout of values in blocks is in kexue/core/rng.hpp.
//
// No fused multiply-add on any instruction set: the same operations in the same order give the same
// bits everywhere.
#define KEXUE_NO_FMA
#include "kexue/core/rng.hpp"
#include "vector_math.hpp"

namespace kexue::KEXUE_ISA {
namespace {

constexpr int kGroupBlocks = 16;
constexpr int kWidth = kLanes<double>;

// Word c of block b, zero-extended.
struct Group {
  alignas(64) std::int64_t word[4][kGroupBlocks];
};

// The product of the lower 32 bits of every lane with m < 2^32. What the upper halves of Philox's
// working words hold is never read.
KEXUE_INLINE I64 multiply_low_halves(I64 x, std::uint32_t m) {
#if KEXUE_X86_BYTES == 64
  return (I64)_mm512_maskz_mul_epu32(0xff, (__m512i)x, _mm512_set1_epi64((std::int64_t)m));
#elif KEXUE_X86_BYTES == 32
  return (I64)_mm256_mul_epu32((__m256i)x, _mm256_set1_epi64x((std::int64_t)m));
#elif KEXUE_X86_BYTES == 16
  return (I64)_mm_mul_epu32((__m128i)x, _mm_set1_epi64x((std::int64_t)m));
#else
  std::int64_t lane[kWidth];
  store<std::int64_t>(lane, x);
  for (std::int64_t& v : lane) {
    v = (std::int64_t)((std::uint64_t)(std::uint32_t)v * (std::uint64_t)m);
  }
  return load<std::int64_t>(lane);
#endif
}

constexpr std::int64_t kLaneNumbers[kGroupBlocks] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                     8, 9, 10, 11, 12, 13, 14, 15};

// The words of the 16 blocks of a group.
KEXUE_INLINE void philox_group(Key key, std::uint64_t group, Group& out) {
  const std::uint64_t block = group * kGroupBlocks;  // its last 4 bits are 0: lanes add no carry
  const I64 mask = broadcast<std::int64_t>(0xffffffff);
  const I64 low_word = broadcast<std::int64_t>((std::int64_t)(block & 0xffffffff));
  const I64 high_word = broadcast<std::int64_t>((std::int64_t)(block >> 32));
  for (int b = 0; b < kGroupBlocks; b += kWidth) {
    I64 c0 = low_word | load<std::int64_t>(kLaneNumbers + b);
    I64 c1 = high_word;
    I64 c2 = broadcast<std::int64_t>((std::int64_t)(key.hi & 0xffffffff));
    I64 c3 = broadcast<std::int64_t>((std::int64_t)(key.hi >> 32));
    std::uint32_t key0 = (std::uint32_t)key.lo, key1 = (std::uint32_t)(key.lo >> 32);
    for (int round = 0; round < 10; ++round) {
      const I64 p0 = multiply_low_halves(c0, 0xD2511F53);
      const I64 p1 = multiply_low_halves(c2, 0xCD9E8D57);
      c0 = shift_right<double>(p1, 32) ^ c1 ^ broadcast<std::int64_t>((std::int64_t)key0);
      c2 = shift_right<double>(p0, 32) ^ c3 ^ broadcast<std::int64_t>((std::int64_t)key1);
      c1 = p1;
      c3 = p0;
      key0 += 0x9E3779B9;
      key1 += 0xBB67AE85;
    }
    store<std::int64_t>(out.word[0] + b, c0 & mask);
    store<std::int64_t>(out.word[1] + b, c1 & mask);
    store<std::int64_t>(out.word[2] + b, c2 & mask);
    store<std::int64_t>(out.word[3] + b, c3 & mask);
  }
}

// An integer in [0, 2^32) as a double.
KEXUE_INLINE F64 from_word(I64 word) {
  return real(word | broadcast<std::int64_t>(Format<double>::kIntegerBits)) -
         broadcast<double>(0x1p52);
}
// The pair of words as a 53-bit fraction of 2^53; both terms and their sum are exact.
KEXUE_INLINE F64 unit_interval(I64 low, I64 high) {
  return from_word(high) * broadcast<double>(0x1p-32) +
         from_word(shift_right<double>(low, 11)) * broadcast<double>(0x1p-53);
}
// Word c of 32-bit lane l: block l/2 + 8 (l mod 2); lanes [2 b, 2 b + kLanes<float>).
KEXUE_INLINE I32 narrow_words(const Group& g, int c, int b) {
  const I64 even = load<std::int64_t>(g.word[c] + b);
  const I64 odd = load<std::int64_t>(g.word[c] + kGroupBlocks / 2 + b);
  return reinterpret<std::int32_t>(even | shift_left<double>(odd, 32));
}

struct UniformF64 {
  using Value = double;
  static constexpr int kValues = 2 * kGroupBlocks;
  static void make(const Group& g, double* out) {
    for (int h = 0; h < 2; ++h) {
      for (int b = 0; b < kGroupBlocks; b += kWidth) {
        const I64 low = load<std::int64_t>(g.word[2 * h] + b),
                  high = load<std::int64_t>(g.word[2 * h + 1] + b);
        store<double>(out + h * kGroupBlocks + b, unit_interval(low, high));
      }
    }
  }
};

struct UniformF32 {
  using Value = float;
  static constexpr int kValues = 4 * kGroupBlocks;
  static void make(const Group& g, float* out) {
    for (int c = 0; c < 4; ++c) {
      for (int b = 0; b < kGroupBlocks / 2; b += kWidth) {
        const I32 upper = shift_right<float>(narrow_words(g, c, b), 8);
        store<float>(out + c * kGroupBlocks + 2 * b, to_float(upper) * broadcast<float>(0x1p-24f));
      }
    }
  }
};

struct NormalF64 {
  using Value = double;
  static constexpr int kValues = 2 * kGroupBlocks;
  static void make(const Group& g, double* out) {
    for (int b = 0; b < kGroupBlocks; b += kWidth) {
      const F64 fraction =
          from_word(load<std::int64_t>(g.word[1] + b)) * broadcast<double>(0x1p-32) +
          (from_word(load<std::int64_t>(g.word[0] + b)) + broadcast<double>(0.5)) *
              broadcast<double>(0x1p-64);
      const F64 radius =
          square_root<double>(broadcast<double>(-2) * log_of_normal<double>(fraction));
      const F64 turn =
          unit_interval(load<std::int64_t>(g.word[2] + b), load<std::int64_t>(g.word[3] + b));
      const SineCosine<double> angle = sincos_pi_in_period<double>(turn + turn);
      store<double>(out + b, radius * angle.cosine);
      store<double>(out + kGroupBlocks + b, radius * angle.sine);
    }
  }
};

struct NormalF32 {
  using Value = float;
  static constexpr int kValues = 4 * kGroupBlocks;
  static void make(const Group& g, float* out) {
    for (int p = 0; p < 2; ++p) {
      for (int b = 0; b < kGroupBlocks / 2; b += kWidth) {
        const I32 word = narrow_words(g, 2 * p, b);
        const F32 low = to_float(word & broadcast<std::int32_t>(0xffff)) + broadcast<float>(0.5f);
        const F32 high = to_float(shift_right<float>(word, 16)) * broadcast<float>(0x1p16f);
        const F32 fraction = (high + low) * broadcast<float>(0x1p-32f);
        const F32 radius =
            square_root<float>(broadcast<float>(-2) * log_of_normal<float>(fraction));
        const I32 turn = shift_right<float>(narrow_words(g, 2 * p + 1, b), 8);
        const SineCosine<float> angle =
            sincos_pi_in_period<float>(to_float(turn) * broadcast<float>(0x1p-23f));
        float* at = out + 2 * p * kGroupBlocks + 2 * b;
        store<float>(at, radius * angle.cosine);
        store<float>(at + kGroupBlocks, radius * angle.sine);
      }
    }
  }
};

struct SignF64 {
  using Value = double;
  static constexpr int kValues = 128 * kGroupBlocks;
  static void make(const Group& g, double* out) {
    const I64 sign = broadcast<std::int64_t>(Format<double>::kSign),
              one = bits(broadcast<double>(1));
    for (int c = 0; c < 4; ++c) {
      for (int b = 0; b < kGroupBlocks; b += kWidth) {
        I64 word = shift_left<double>(load<std::int64_t>(g.word[c] + b), 32);
        double* at = out + 32 * kGroupBlocks * c + b;
        for (int s = 0; s < 32; ++s) {
          store<double>(at + s * kGroupBlocks, real((word & sign) | one));
          word = shift_left<double>(word, 1);
        }
      }
    }
  }
};

struct SignF32 {
  using Value = float;
  static constexpr int kValues = 128 * kGroupBlocks;
  static void make(const Group& g, float* out) {
    const I32 sign = broadcast<std::int32_t>(Format<float>::kSign), one = bits(broadcast<float>(1));
    for (int c = 0; c < 4; ++c) {
      for (int b = 0; b < kGroupBlocks / 2; b += kWidth) {
        I32 word = narrow_words(g, c, b);
        float* at = out + 32 * kGroupBlocks * c + 2 * b;
        for (int s = 0; s < 32; ++s) {
          store<float>(at + s * kGroupBlocks, real((word & sign) | one));
          word = shift_left<float>(word, 1);
        }
      }
    }
  }
};

// Whole groups go straight to `out`; the ends of the range pass through a buffer.
template <class Kind>
void fill(Key key, std::uint64_t first, std::ptrdiff_t n, typename Kind::Value* out) {
  using T = typename Kind::Value;
  constexpr std::ptrdiff_t kValues = Kind::kValues;
  Group words;
  std::uint64_t group = first / kValues;
  std::ptrdiff_t skip = (std::ptrdiff_t)(first % kValues);
  while (n > 0) {
    philox_group(key, group++, words);
    const std::ptrdiff_t count = kValues - skip < n ? kValues - skip : n;
    if (count == kValues) {
      Kind::make(words, out);
    } else {
      alignas(64) T buffer[kValues];
      Kind::make(words, buffer);
      for (std::ptrdiff_t i = 0; i < count; ++i) out[i] = buffer[skip + i];
    }
    out += count;
    n -= count;
    skip = 0;
  }
}

}  // namespace

extern const RandomKernels random_kernels;
const RandomKernels random_kernels = {fill<UniformF64>, fill<UniformF32>, fill<NormalF64>,
                                      fill<NormalF32>,  fill<SignF64>,    fill<SignF32>};

}  // namespace kexue::KEXUE_ISA
