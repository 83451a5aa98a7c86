// The counter-based generator: every value is a function of a 128-bit key and an index.
//
// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, SC 2011) maps a 64-bit key and a 128-bit counter to
// 128 random bits. Its arguments are used up in full: key.lo is the Philox key, key.hi the upper
// and the block number the lower half of the counter. Two different (key, block) pairs therefore
// never share a block, whatever the keys.
//
// Indices count values of one kind (uniform, normal, sign; float32, float64). Values of different
// kinds under one key are made from the same bits: give each purpose its own subkey(key, i).
//
// How values lie in blocks. 16 consecutive blocks form a group; let w[c][b] be word c of block b of
// the group, and lane l run over 0..15.
//   64-bit kinds   lane l reads block l; word pair h = (w[2h][l], w[2h+1][l]), low word first
//   32-bit kinds   lane l reads block l/2 + 8 (l mod 2)
//   uniform f64    index 32 g + 16 h + l: the upper 53 bits of the pair, in [0, 1), steps of 2^-53
//   uniform f32    index 64 g + 16 c + l: the upper 24 bits of the word, in [0, 1), steps of 2^-24
//   normal  f64    index 32 g + 16 h + l: r cos a (h = 0) and r sin a (h = 1) of Box and Muller,
//                  r^2 = -2 log u, u = (pair 0 + 1/2) 2^-64 rounded to double, a = 2 pi (upper 53
//                  bits of pair 1) 2^-53; the tails are right up to the last value, 9.49
//   normal  f32    index 64 g + 32 p + 16 h + l: the same from words 2p and 2p + 1, u rounded to
//                  float, 24 bits for a; the last value is 6.76
//   sign    f64    index 2048 g + 512 c + 16 s + l: -1 where bit 31 - s of w[c] is set, else +1
//   sign    f32    the same with the lanes of 32-bit kinds
// Fills do not depend on how a range is split, and give the same bits on every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kexue/core/error.hpp"

namespace kexue {

struct Key {
  std::uint64_t lo = 0;
  std::uint64_t hi = 0;
};

struct PhiloxBlock {
  std::uint32_t word[4];
};

// The 128 bits of one block: the reference for the kernels, and the generator of scalar code.
inline PhiloxBlock philox(Key key, std::uint64_t block) {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
  std::uint32_t key0 = low(key.lo), key1 = high(key.lo);
  PhiloxBlock c{{low(block), high(block), low(key.hi), high(key.hi)}};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = kMultiplier0 * c.word[0];
    const std::uint64_t p1 = kMultiplier1 * c.word[2];
    c = {{high(p1) ^ c.word[1] ^ key0, low(p1), high(p0) ^ c.word[3] ^ key1, low(p0)}};
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return c;
}

// Key number i of the family of `key`, independent of its fills: they use blocks below 2^63.
inline Key subkey(Key key, std::uint64_t i) {
  const PhiloxBlock c = philox(key, i | (std::uint64_t{1} << 63));
  return {c.word[0] | std::uint64_t{c.word[1]} << 32, c.word[2] | std::uint64_t{c.word[3]} << 32};
}

// Entry `index` of the float64 uniform fill: in [0, 1), a multiple of 2^-53.
inline double uniform(Key key, std::uint64_t index) {
  const PhiloxBlock c = philox(key, index / 32 * 16 + index % 16);
  const int h = static_cast<int>(index / 16 % 2);
  const std::uint64_t pair = c.word[2 * h] | std::uint64_t{c.word[2 * h + 1]} << 32;
  return static_cast<double>(pair >> 11) * 0x1p-53;
}

// An integer in [0, n), n >= 1, from block `index` < 2^63: floor(n u) of a 128-bit uniform u, so
// each value's probability is within 2^-128 of 1/n, n 2^-128 < 2^-64 in all.
inline std::uint64_t uniform_below(Key key, std::uint64_t index, std::uint64_t n) {
  const PhiloxBlock c = philox(key, index);
  const std::uint64_t n0 = n & 0xffffffff, n1 = n >> 32;
  // n times (word 3, 2, 1, 0), one word of u at a time; `carry` is what lies above that word.
  std::uint64_t carry = 0;
  for (std::uint32_t word : c.word) {
    const std::uint64_t low = n0 * word + (carry & 0xffffffff);
    carry = n1 * word + (carry >> 32) + (low >> 32);
  }
  return carry;
}

// Fills of out[0..n) with entries first_index .. first_index + n - 1.
struct RandomKernels {
  void (*uniform_f64)(Key key, std::uint64_t first_index, std::ptrdiff_t n, double* out);
  void (*uniform_f32)(Key key, std::uint64_t first_index, std::ptrdiff_t n, float* out);
  void (*normal_f64)(Key key, std::uint64_t first_index, std::ptrdiff_t n, double* out);
  void (*normal_f32)(Key key, std::uint64_t first_index, std::ptrdiff_t n, float* out);
  void (*sign_f64)(Key key, std::uint64_t first_index, std::ptrdiff_t n, double* out);
  void (*sign_f32)(Key key, std::uint64_t first_index, std::ptrdiff_t n, float* out);
};
const RandomKernels& random_kernels();

// The same on the pool; workers = 0 means the library's setting. The values do not depend on it.
void fill_uniform(Key key, std::uint64_t first_index, std::span<double> out, int workers = 0);
void fill_uniform(Key key, std::uint64_t first_index, std::span<float> out, int workers = 0);
void fill_normal(Key key, std::uint64_t first_index, std::span<double> out, int workers = 0);
void fill_normal(Key key, std::uint64_t first_index, std::span<float> out, int workers = 0);
void fill_signs(Key key, std::uint64_t first_index, std::span<double> out, int workers = 0);
void fill_signs(Key key, std::uint64_t first_index, std::span<float> out, int workers = 0);

}  // namespace kexue
