// Evaluation, charts, compression and sampling of densities; see kexue/density/kernels.hpp.
#include "density_lanes.hpp"
#include "kexue/density/kernels.hpp"
#include "vector_math.hpp"

namespace kexue::density::KEXUE_ISA {
namespace {

using namespace kexue::KEXUE_ISA;

// Horner's rule waits for two multiply-adds a step: four vectors hide most of it.
constexpr int kAtOnce = 4;

// sum_k b_k e^{i pi k t} on kAtOnce vectors.
template <int vectors>
KEXUE_INLINE void horner(const double* re, const double* im, std::ptrdiff_t order, const F64* t,
                         F64* sum_re, F64* sum_im) {
  F64 c[vectors], s[vectors];
  KEXUE_UNROLL
  for (int v = 0; v < vectors; ++v) {
    const SineCosine<double> both = sincos_pi_in_period<double>(t[v]);
    c[v] = both.cosine;
    s[v] = both.sine;
    sum_re[v] = broadcast<double>(re[order]);
    sum_im[v] = broadcast<double>(im[order]);
  }
  for (std::ptrdiff_t k = order - 1; k >= 0; --k) {
    const F64 b_re = broadcast<double>(re[k]), b_im = broadcast<double>(im[k]);
    KEXUE_UNROLL
    for (int v = 0; v < vectors; ++v) {
      const F64 x = sum_re[v], y = sum_im[v];
      sum_re[v] = multiply_add(x, c[v], multiply_add(zero<double>() - y, s[v], b_re));
      sum_im[v] = multiply_add(x, s[v], multiply_add(y, c[v], b_im));
    }
  }
}

template <int vectors, bool squared>
KEXUE_INLINE void horner_block(const double* re, const double* im, std::ptrdiff_t order,
                               const double* t, double* out, double* out_im) {
  F64 x[vectors], sum_re[vectors], sum_im[vectors];
  for (int v = 0; v < vectors; ++v) x[v] = load<double>(t + v * kStep);
  horner<vectors>(re, im, order, x, sum_re, sum_im);
  for (int v = 0; v < vectors; ++v) {
    if (squared) {
      store<double>(out + v * kStep, multiply_add(sum_re[v], sum_re[v], sum_im[v] * sum_im[v]));
    } else {
      store<double>(out + v * kStep, sum_re[v]);
      store<double>(out_im + v * kStep, sum_im[v]);
    }
  }
}

template <bool squared>
KEXUE_INLINE void horner_all(const double* re, const double* im, std::ptrdiff_t order,
                             const double* t, double* out, double* out_im, std::ptrdiff_t n) {
  std::ptrdiff_t i = 0;
  for (; i + kAtOnce * kStep <= n; i += kAtOnce * kStep) {
    horner_block<kAtOnce, squared>(re, im, order, t + i, out + i, squared ? out : out_im + i);
  }
  while (i < n) {
    const std::ptrdiff_t left = n - i < kStep ? n - i : kStep;
    double in[kStep] = {}, first[kStep], second[kStep];
    for (std::ptrdiff_t j = 0; j < left; ++j) in[j] = t[i + j];
    horner_block<1, squared>(re, im, order, in, first, second);
    for (std::ptrdiff_t j = 0; j < left; ++j) {
      out[i + j] = first[j];
      if (!squared) out_im[i + j] = second[j];
    }
    i += left;
  }
}

void square(const double* re, const double* im, std::ptrdiff_t order, const double* t, double* out,
            std::ptrdiff_t n) {
  horner_all<true>(re, im, order, t, out, out, n);
}

void amplitude(const double* re, const double* im, std::ptrdiff_t order, const double* t,
               double* out_re, double* out_im, std::ptrdiff_t n) {
  horner_all<false>(re, im, order, t, out_re, out_im, n);
}

// With e = exp(-2 |z|): 1 - |tanh z| = 2 e / (1 + e), sech^2 z = 4 e / (1 + e)^2.
void logistic(const double* y, double loc, double inverse_scale, double* t, double* slope,
              std::ptrdiff_t n) {
  const F64 one = broadcast<double>(1), two = broadcast<double>(2);
  for (std::ptrdiff_t i = 0; i < n; i += kStep) {
    const std::ptrdiff_t count = n - i < kStep ? n - i : kStep;
    const F64 z =
        (load_some(y + i, count) - broadcast<double>(loc)) * broadcast<double>(inverse_scale);
    const F64 e = exp(absolute<double>(z) * broadcast<double>(-2));
    const F64 share = two / (one + e);
    const F64 distance = e * share;
    const I64 sign = sign_bit<double>(z) ^ broadcast<std::int64_t>(Format<double>::kSign);
    store_some(t + i, real(bits(distance) | sign), count);
    store_some(slope + i, distance * share * broadcast<double>(inverse_scale), count);
  }
}

// 2 atanh(x) = log((1 + x) / (1 - x)) with 1 - |x| = w: log((2 - w) / w).
void logistic_inverse(const double* t, double loc, double scale, double* y, std::ptrdiff_t n) {
  for (std::ptrdiff_t i = 0; i < n; i += kStep) {
    const std::ptrdiff_t count = n - i < kStep ? n - i : kStep;
    const F64 from = load_some(t + i, count);
    const F64 w = absolute<double>(from);
    const F64 z = log((broadcast<double>(2) - w) / w) * broadcast<double>(0.5);
    const I64 sign = sign_bit<double>(from) ^ broadcast<std::int64_t>(Format<double>::kSign);
    const F64 signed_z = real(bits(z) ^ sign);
    store_some(y + i, multiply_add(signed_z, broadcast<double>(scale), broadcast<double>(loc)),
               count);
  }
}

// {1, d, d^2, d^3} w as one vector, by blends of broadcasts: compilers build it with inserts, which
// all wait for the one port of shuffles (AVX-512, n = 10^7: 0.7 of the time).
#if KEXUE_X86_BYTES >= 32
template <bool weighted>
KEXUE_INLINE void add_moments(double* to, const double* w, const double* d) {
  const __m256d ones = _mm256_set1_pd(1), first = _mm256_broadcast_sd(d);
  __m256d terms = _mm256_mul_pd(_mm256_blend_pd(ones, first, 0b1010),
                                _mm256_blend_pd(ones, _mm256_mul_pd(first, first), 0b1100));
  if (weighted) terms = _mm256_mul_pd(terms, _mm256_broadcast_sd(w));
  _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), terms));
}
#else
template <bool weighted>
KEXUE_INLINE void add_moments(double* to, const double* w, const double* d) {
  const double weight = weighted ? *w : 1.0, square = *d * *d;
  to[0] += weight;
  to[1] += weight * *d;
  to[2] += weight * square;
  to[3] += weight * (*d * square);
}
#endif

// Places first: additions that read them back from memory need no extraction from vectors.
template <bool weighted>
void bin_samples(const double* t, const double* w, std::ptrdiff_t n, std::ptrdiff_t cells,
                 double* even, double* odd) {
  constexpr std::ptrdiff_t kPart = 128;
  const F64 half_cells = broadcast<double>(0.5 * (double)cells);
  const F64 rounder = broadcast<double>(Format<double>::kRounder);
  const I64 mask = broadcast<std::int64_t>(cells - 1);
  const I64 wrap = broadcast<std::int64_t>(cells);
  double offset[kPart];
  std::int64_t index[kPart];
  for (std::ptrdiff_t begin = 0; begin < n; begin += kPart) {
    const std::ptrdiff_t part = n - begin < kPart ? n - begin : kPart;
    for (std::ptrdiff_t i = 0; i < part; i += kStep) {
      const std::ptrdiff_t count = part - i < kStep ? part - i : kStep;
      const F64 place = load_some(t + begin + i, count) * half_cells;
      const F64 shifted = place + rounder;
      const F64 nearest = shifted - rounder;
      const I64 above = less<double>(place, nearest);  // -1 where rounding went up
      const F64 one_or_zero = real(above & bits(broadcast<double>(1)));
      store<double>(offset + i, place - (nearest - one_or_zero));
      store<std::int64_t>(index + i, shift_left<double>((bits(shifted) + above + wrap) & mask, 2));
    }
    const double* weight = weighted ? w + begin : offset;
    std::ptrdiff_t j = 0;
    for (; j + 1 < part; j += 2) {
      add_moments<weighted>(even + index[j], weight + j, offset + j);
      add_moments<weighted>(odd + index[j + 1], weight + j + 1, offset + j + 1);
    }
    if (j < part) add_moments<weighted>(even + index[j], weight + j, offset + j);
  }
}

void bin(const double* t, const double* w, std::ptrdiff_t n, std::ptrdiff_t cells, double* even,
         double* odd) {
  (w == nullptr ? bin_samples<false> : bin_samples<true>)(t, w, n, cells, even, odd);
}

// The product of the mantissas and the sum of the exponents take one logarithm for all. The product
// of a part stays below 2^kPart.
double sum_of_logs(const double* x, std::ptrdiff_t n) {
  constexpr int kChains = 4, kPart = 512;
  const I64 mantissa = broadcast<std::int64_t>(0xfffffffffffff);
  const I64 one = bits(broadcast<double>(1));
  F64 sum = zero<double>(), values = zero<double>(), least = broadcast<double>(1);
  std::int64_t exponents = 0;
  for (std::ptrdiff_t begin = 0; begin < n; begin += kPart) {
    const std::ptrdiff_t end = n - begin < kPart ? n : begin + kPart;
    F64 product[kChains];
    I64 powers = bits(zero<double>());
    for (F64& chain : product) chain = broadcast<double>(1);
    const auto include = [&](F64 value, F64& chain) {
      values += value;
      least = select<double>(less<double>(value, least), value, least);
      chain = chain * real((bits(value) & mantissa) | one);
      powers = wrap_add<double>(powers, shift_right<double>(bits(value), 52));
    };
    std::ptrdiff_t i = begin;
    for (; i + kChains * kStep <= end; i += kChains * kStep) {
      KEXUE_UNROLL
      for (int c = 0; c < kChains; ++c) include(load<double>(x + i + c * kStep), product[c]);
    }
    std::ptrdiff_t vectors = (i - begin) / kStep;
    for (; i < end; i += kStep, ++vectors) {
      const std::ptrdiff_t count = end - i < kStep ? end - i : kStep;
      include(load_up_to<double>(x + i, count, 1.0), product[0]);
    }
    sum += log_of_normal<double>((product[0] * product[1]) * (product[2] * product[3]));
    std::int64_t lane[kStep];
    store<std::int64_t>(lane, powers);
    for (std::ptrdiff_t j = 0; j < kStep; ++j) exponents += lane[j] - 1023 * vectors;
  }
  double lowest[kStep], smallest = 1;
  store<double>(lowest, least);
  for (double low : lowest) smallest = low < smallest ? low : smallest;
  // Infinite and NaN values make their sum so.
  const double all = total<double>(values);
  if (!(smallest > kLeastLog) || !(all - all == 0)) return __builtin_nan("");
  return total<double>(sum) + 0x1.62e42fefa39efp-1 * (double)exponents;
}

// The two numbers of a pair.
KEXUE_INLINE void load_pairs(const double* table, I64 index, F64& first, F64& second) {
  std::int64_t at[kStep];
  double lane[2][kStep];
  store<std::int64_t>(at, index);
  for (int j = 0; j < kStep; ++j) {
    lane[0][j] = table[2 * at[j]];
    lane[1][j] = table[2 * at[j] + 1];
  }
  first = load<double>(lane[0]);
  second = load<double>(lane[1]);
}

// Alias method (Walker 1977): the cell of a uniform, and the share v of the cell's mass below.
KEXUE_INLINE void draw_cells(const SampleTable& table, const double* uniform, std::ptrdiff_t n,
                             std::int64_t* cell, double* v) {
  const F64 cells = broadcast<double>((double)table.cells);
  const F64 rounder = broadcast<double>(Format<double>::kRounder);
  const F64 zeros = zero<double>(), ones = broadcast<double>(1);
  const I64 mask = broadcast<std::int64_t>(table.cells - 1);
  for (std::ptrdiff_t i = 0; i < n; i += kStep) {
    const std::ptrdiff_t count = n - i < kStep ? n - i : kStep;
    const F64 place = load_some(uniform + i, count) * cells;
    const F64 shifted = place - broadcast<double>(0.5) + rounder;
    const I64 drawn = bits(shifted) & mask;
    const F64 rest = clamp(place - (shifted - rounder), zeros, ones);
    F64 split, other;
    load_pairs(table.alias, drawn, split, other);
    const I64 own = less<double>(rest, split);
    const I64 elsewhere = bits(other + rounder) & mask;
    store<std::int64_t>(cell + i, select<std::int64_t>(own, drawn, elsewhere));
    const F64 low = select<double>(own, zeros, split);
    store<double>(v + i, (rest - low) / select<double>(own, split, ones - split));
  }
}

// Newton for the place in the cell: sum_i c_i s^(i+1) = v.
KEXUE_INLINE void place_in_cells(const SampleTable& table, const std::int64_t* cell,
                                 const double* share, std::ptrdiff_t n, double* t) {
  const F64 zeros = zero<double>(), ones = broadcast<double>(1);
  for (std::ptrdiff_t i = 0; i < n; i += kStep) {
    const std::ptrdiff_t count = n - i < kStep ? n - i : kStep;
    const F64 v = load<double>(share + i);
    F64 c[kCellRow];
    load_rows<kCellRow>(table.poly, kCellRow, load<std::int64_t>(cell + i), c);
    // The root of c_0 s + c_1 s^2 = v, then Newton.
    const F64 inside = multiply_add(broadcast<double>(4) * c[1], v, c[0] * c[0]);
    const F64 root =
        square_root<double>(select<double>(less<double>(inside, zeros), zeros, inside));
    const F64 tiny = broadcast<double>(1e-300);
    // The ends of the period stay out of reach.
    const F64 least = broadcast<double>(0x1p-60), most = broadcast<double>(1 - 0x1p-53);
    F64 s = clamp((v + v) / (c[0] + root + tiny), least, most);
    for (int step = 0; step < 2; ++step) {
      F64 value = c[kInverseTerms - 1], slope = zeros;
      KEXUE_UNROLL
      for (int k = kInverseTerms - 2; k >= 0; --k) {
        slope = multiply_add(slope, s, value);
        value = multiply_add(value, s, c[k]);
      }
      slope = multiply_add(slope, s, value);
      const F64 excess = multiply_add(value, s, zeros - v);
      const F64 safe = select<double>(less<double>(tiny, slope), slope, ones);
      s = clamp(s - excess / safe, least, most);
    }
    store_some(t + i, multiply_add(s, broadcast<double>(table.width), c[kCellStart]), count);
  }
}

// In two passes: each has more vectors under way than both together.
void sample(const SampleTable& table, const double* uniform, double* t, std::ptrdiff_t n) {
  constexpr std::ptrdiff_t kPart = 128;
  std::int64_t cell[kPart];
  double share[kPart];
  for (std::ptrdiff_t begin = 0; begin < n; begin += kPart) {
    const std::ptrdiff_t part = n - begin < kPart ? n - begin : kPart;
    draw_cells(table, uniform + begin, part, cell, share);
    place_in_cells(table, cell, share, part, t + begin);
  }
}

}  // namespace

extern const DensityKernels density_kernels;
const DensityKernels density_kernels = {square, amplitude,   logistic, logistic_inverse,
                                        bin,    sum_of_logs, sample};

}  // namespace kexue::density::KEXUE_ISA
