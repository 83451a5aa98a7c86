// Sums of products of up to three doubles, without rounding: one fixed-point number wide enough
// for all of them (Kulisch's long accumulator), in two's complement. Adding a product touches three
// words and the carry; signs and quotients of such sums are therefore those of the exact numbers.
//
// Finite arguments only. 2^60 products fit.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace kexue::simplex {

class Exact {
 public:
  // += a b
  void add(double a, double b) {
    const Parts p = parts_of(a), q = parts_of(b);
    add(product(p.digits, q.digits), p.place + q.place + kPoint, p.negative != q.negative);
  }
  // += a b, where a holds products of at most two doubles.
  void add(const Exact& a, double b) {
    const Parts q = parts_of(b);
    const bool negative = a.sign() < 0;
    std::uint64_t carry = 1;
    for (int k = 0; k < kWords; ++k) {
      std::uint64_t word = a.words_[k];
      if (negative) {
        word = ~word + carry;
        carry &= word == 0 ? 1u : 0u;
      }
      if (word == 0) continue;
      add(product(word, q.digits), 64 * k + q.place, negative != q.negative);
    }
  }
  int sign() const {
    if (words_[kWords - 1] >> 63 != 0) return -1;
    for (const std::uint64_t word : words_) {
      if (word != 0) return 1;
    }
    return 0;
  }
  // this / divisor, within 2 units in the last place; the divisor is positive.
  double over(const Exact& divisor) const {
    const Leading top = leading(), bottom = divisor.leading();
    if (top.value == 0) return 0;
    return std::scalbn(top.value / bottom.value, top.place - bottom.place);
  }

 private:
  // low + 2^64 high
  struct Wide {
    std::uint64_t low, high;
  };
  // The unit of the last word is 2^-kPoint: three times the smallest double and less; the first
  // word lies above three times the largest.
  static constexpr int kPoint = 51 * 64, kWords = 51 + 50;

  // A double as digits 2^place.
  struct Parts {
    std::uint64_t digits;
    int place;
    bool negative;
  };
  static Parts parts_of(double x) {
    const auto bits = std::bit_cast<std::uint64_t>(x);
    const int exponent = static_cast<int>(bits >> 52 & 0x7ff);
    const std::uint64_t fraction = bits & ((std::uint64_t{1} << 52) - 1);
    if (exponent == 0) return {fraction, -1074, bits >> 63 != 0};
    return {fraction | std::uint64_t{1} << 52, exponent - 1075, bits >> 63 != 0};
  }

  static Wide product(std::uint64_t a, std::uint64_t b) {
    constexpr std::uint64_t kHalf = 0xFFFFFFFF;
    const std::uint64_t low = (a & kHalf) * (b & kHalf);
    const std::uint64_t first = (a >> 32) * (b & kHalf) + (low >> 32);
    const std::uint64_t second = (a & kHalf) * (b >> 32) + (first & kHalf);
    return {second << 32 | (low & kHalf), (a >> 32) * (b >> 32) + (first >> 32) + (second >> 32)};
  }

  // += or -= digits 2^place, in units of the last word.
  void add(Wide digits, int place, bool negative) {
    if (digits.low == 0 && digits.high == 0) return;
    const int up = place % 64;
    const auto beyond = [up](std::uint64_t word) { return up == 0 ? 0 : word >> (64 - up); };
    const std::uint64_t parts[3] = {digits.low << up, digits.high << up | beyond(digits.low),
                                    beyond(digits.high)};
    std::uint64_t carry = 0;
    for (int k = place / 64, i = 0; k < kWords && (i < 3 || carry != 0); ++k, ++i) {
      const std::uint64_t term = (i < 3 ? parts[i] : 0) + carry;  // 0 if that is 2^64
      const bool overflows = carry != 0 && term == 0;
      const std::uint64_t before = words_[k];
      words_[k] = negative ? before - term : before + term;
      carry = overflows || (negative ? before < term : words_[k] < term) ? 1 : 0;
    }
  }

  // The number as value 2^place, its first 64 bits rounded to a double.
  struct Leading {
    double value;
    int place;
  };
  Leading leading() const {
    Exact size = *this;
    const bool negative = sign() < 0;
    std::uint64_t carry = 1;
    for (int k = 0; negative && k < kWords; ++k) {
      size.words_[k] = ~words_[k] + carry;
      carry &= size.words_[k] == 0 ? 1u : 0u;
    }
    int top = kWords - 1;
    while (top > 0 && size.words_[top] == 0) --top;
    const std::uint64_t first = size.words_[top];
    if (first == 0) return {0, 0};
    const int zeros = std::countl_zero(first);
    const std::uint64_t next = top > 0 && zeros > 0 ? size.words_[top - 1] >> (64 - zeros) : 0;
    const auto value = static_cast<double>(first << zeros | next);
    return {negative ? -value : value, 64 * top - zeros};
  }

  std::uint64_t words_[kWords] = {};
};

}  // namespace kexue::simplex
