// Tails of the bases and their inverses; see kexue/density/chart_kernels.hpp.
//
// Polynomials are Chebyshev interpolants from 40 digits in a variable on [-1, 1]; their errors are
// below 2e-17 of the result.
#include "density_lanes.hpp"
#include "kexue/density/chart_kernels.hpp"
#include "vector_math.hpp"

namespace kexue::density::KEXUE_ISA {
namespace {

using namespace kexue::KEXUE_ISA;

constexpr double kSqrt3 = 0x1.bb67ae8584caap+0, kInversePi = 0x1.45f306dc9c883p-2;

// ((atan x) / x - 1 / (1 + w)) (1 + w) / w with w = x^2 in [0, 1], of 2 w - 1.
constexpr double kArctangent[] = {
    0x1.38f6f9137c262p-1,  -0x1.7cacd41662c82p-5,  0x1.d475e81004f9bp-8,  -0x1.6c1636f6edd6ap-10,
    0x1.3f946bc63ca6bp-12, -0x1.2e8eb88fc04f5p-14, 0x1.2db414db2b54ep-16, -0x1.387dc8d75a290p-18,
    0x1.4d32a0eee3f62p-20, -0x1.6b861befd268fp-22, 0x1.941335769eca5p-24, -0x1.c81d31220a922p-26,
    0x1.04905417bac8bp-27, -0x1.2d45018cc8852p-29, 0x1.64cbec53fd87bp-31, -0x1.a43ce6bd2cf5cp-33,
    0x1.ad20908bdbbb5p-35, -0x1.fe82a04fc95f7p-37, 0x1.1b8845ad9da3cp-37, -0x1.57b3ef69db1a3p-39};
// sqrt(3) s / tan(f / 2) with f - sin f = s^3 / 6, of 2 s^2 / (6 pi)^(2/3) - 1.
constexpr double kStudent[] = {
    0x1.07c2d0f34eb22p+1,   -0x1.a1215d1ca49acp+0,  -0x1.2acadddd72040p-2,  -0x1.6abacb9c299b4p-4,
    -0x1.ff1da89a779bfp-6,  -0x1.8292a943aabf1p-7,  -0x1.30bede26eac9cp-8,  -0x1.edb0504d05a30p-10,
    -0x1.979aabea47472p-11, -0x1.5555c516d0b08p-12, -0x1.20faf8999123fp-13, -0x1.ed933ff835c44p-15,
    -0x1.a87dbe2758506p-16, -0x1.6f328a1675847p-17, -0x1.3f3739a7617b0p-18, -0x1.16e344d0a3528p-19,
    -0x1.e8b3f67545c67p-21, -0x1.a99536ff0237fp-22, -0x1.7705ce38385ddp-23, -0x1.64cdf84f247ccp-24,
    -0x1.3c40e9b90d957p-25, -0x1.485ed523c54dap-27, -0x1.21bc73eae725cp-28, -0x1.f0f6ca3dcbebap-28,
    -0x1.bd560d6d71abdp-29, 0x1.6fce3606d4c43p-30,  0x1.4bab19d0ae079p-31,  -0x1.428ce76ecd877p-31,
    -0x1.21c25d7c0216fp-32};
// The quantile of 1 - q over 1 - 2 q for w = -log(4 q (1 - q)) in [0, 6.25], of w / 3.125 - 1.
constexpr double kQuantile[] = {
    0x1.2b57ec65a8009p+1,   0x1.0fb53d529fc30p+0,   -0x1.5550e3382127fp-4,  -0x1.05e0bd8df0440p-5,
    0x1.9ca0d1df7cea1p-6,   -0x1.7f7443aab0ec3p-8,  -0x1.d7739073dc702p-10, 0x1.c8ea9a609dde1p-10,
    -0x1.88127609a663ep-12, -0x1.5aabe25d2192ep-13, 0x1.14e92ee7a9e9bp-13,  -0x1.648d9d5341aabp-16,
    -0x1.0b185f8bde67ap-16, 0x1.52534f55d7db9p-17,  -0x1.03a5147ac426fp-20, -0x1.91d40e444e3a1p-20,
    0x1.99d7a4e910e2fp-21,  -0x1.1567764a9f7bcp-26, -0x1.2cd88936130a7p-23, 0x1.ea6d3d07b8c64p-25,
    0x1.ea65f0cd5af00p-28,  -0x1.c560d873c700fp-27, 0x1.1898a15c619ccp-29,  0x1.97cb20a469d58p-30,
    -0x1.8b57f4d57ac3fp-32, -0x1.17a3ccdca8711p-34};
// (z + 4) e^{z^2/2} times the normal tail above z >= 0, of (z - 4) / (z + 4).
constexpr double kNormalTail[] = {
    0x1.82b4bb8c94dcep-1,  -0x1.373e3a893c28cp-1,  0x1.8c6dbf2cfc2afp-2,   -0x1.7dff2bff68052p-3,
    0x1.eec4cc3e4db3ep-5,  -0x1.ee2761054e5e1p-8,  -0x1.c81719d60dcdbp-9,  0x1.ab825ff09481bp-10,
    0x1.17a4aec9fa29ap-13, -0x1.e4a431b3465b0p-13, -0x1.001f7d33a2ff5p-19, 0x1.26d193750d626p-15,
    0x1.80ca2044c09bdp-21, -0x1.8d64fadf80ed1p-18, -0x1.523a2fde9b829p-21, 0x1.1319f41c90a11p-20,
    0x1.24d40b9cf1122p-22, -0x1.5739b1a22c213p-23, -0x1.763bb001aa685p-24, 0x1.33354e7ae3599p-26,
    0x1.7329462b6b607p-26, -0x1.4b02181dd18fdp-31, -0x1.04ffdbe7bdef2p-28, -0x1.0236305d3fd38p-33,
    0x1.828df1c3afaadp-32};
// m^(-1/3) on [sqrt(1/2), sqrt(2)], to 1e-6.
constexpr double kCubeRoot[] = {
    0x1.f60c14a377b6ep-1,  -0x1.be49c203c7902p-4,  0x1.8cb56842e2201p-6, -0x1.985793d88a183p-8,
    0x1.c55db89fef94fp-10, -0x1.36d68360016a3p-11, 0x1.7243282c01c5fp-13};

KEXUE_INLINE F64 constant(double x) { return broadcast<double>(x); }

// The mass above |z| and the density there, of a distribution of scale 1.
struct Side {
  F64 mass, density;
};

// With e = e^{-z^2/2}, whose exponent is split so that it keeps its digits far out.
KEXUE_INLINE Side normal_side(F64 size) {
  const F64 z = clamp(size, zero<double>(), constant(40));
  const F64 inverse = constant(1) / (z + constant(4));
  const F64 upper = real(bits(z) & broadcast<std::int64_t>(PiConstants<double>::kUpperHalf));
  const F64 high = upper * upper, low = (z - upper) * (z + upper);
  const F64 e = exp_lowered<true>(constant(-0.5) * high, constant(-0.5) * low, zero<double>());
  const F64 series = polynomial<double>((z - constant(4)) * inverse, kNormalTail);
  return {e * (series * inverse), e * constant(0x1.9884533d43651p-2)};
}

// x = min(u, 1/u), w = x^2, r = 1 / (1 + w), b: atan x = x (r + w b).
struct Arctangent {
  I64 far;  // where u > 1
  F64 x, w, r, b;
};
KEXUE_INLINE Arctangent arctangent(F64 u) {
  const F64 one = constant(1);
  Arctangent a;
  a.far = less<double>(one, u);
  a.x = select<double>(a.far, one / u, u);
  a.w = a.x * a.x;
  a.r = one / (one + a.w);
  a.b = polynomial<double>(multiply_add(a.w, constant(2), constant(-1)), kArctangent) * a.r;
  return a;
}
// Student's t of 3 degrees with u = |z| / sqrt 3: (atan(1/u) - u / (1 + u^2)) / pi.
KEXUE_INLINE Side t3_side(F64 size) {
  const Arctangent a = arctangent(size * constant(1 / kSqrt3));
  const F64 share = a.x * constant(kInversePi), bend = a.w * a.b;
  const F64 near = constant(0.5) - share * multiply_add(constant(2), a.r, bend);
  const F64 root = select<double>(a.far, a.w * a.r, a.r);
  return {select<double>(a.far, share * bend, near),
          root * root * constant(2 * kInversePi / kSqrt3)};
}
KEXUE_INLINE Side cauchy_side(F64 size) {
  const Arctangent a = arctangent(size);
  const F64 angle = a.x * constant(kInversePi) * multiply_add(a.w, a.b, a.r);
  return {select<double>(a.far, angle, constant(0.5) - angle),
          select<double>(a.far, a.w * a.r, a.r) * constant(kInversePi)};
}

template <class F>
KEXUE_INLINE void for_vectors(ptrdiff_t n, F&& f) {
  ptrdiff_t i = 0;
  for (; i + kStep <= n; i += kStep) f(i, kStep);
  if (i < n) f(i, n - i);
}

template <class F>
void tails_of(const double* y, double loc, double inverse_scale, double* t, double* slope,
              ptrdiff_t n, F&& side_of) {
  const I64 sign = broadcast<std::int64_t>(Format<double>::kSign);
  for_vectors(n, [&](ptrdiff_t i, ptrdiff_t count) {
    const F64 z = (load_some(y + i, count) - constant(loc)) * constant(inverse_scale);
    const Side side = side_of(absolute<double>(z));
    const F64 two = constant(2);
    store_some(t + i, real(bits(two * side.mass) | (sign_bit<double>(z) ^ sign)), count);
    store_some(slope + i, two * side.density * constant(inverse_scale), count);
  });
}
void tails(Tail base, const double* y, double loc, double inverse_scale, double* t, double* slope,
           ptrdiff_t n) {
  switch (base) {
    case Tail::normal:
      return tails_of(y, loc, inverse_scale, t, slope, n, [](F64 z) { return normal_side(z); });
    case Tail::t3:
      return tails_of(y, loc, inverse_scale, t, slope, n, [](F64 z) { return t3_side(z); });
    case Tail::cauchy:
      return tails_of(y, loc, inverse_scale, t, slope, n, [](F64 z) { return cauchy_side(z); });
  }
}

// ---- Inverses: z >= 0 from twice the mass above it ---------------------------------------------

KEXUE_INLINE F64 normal_quantile(F64 two_q) {
  const F64 w = zero<double>() - log(two_q * (constant(2) - two_q));
  const F64 series = polynomial<double>(multiply_add(w, constant(0.32), constant(-1)), kQuantile);
  return (constant(1) - two_q) * series;
}

// With s^3 = 6 pi (2 q): r = 1 / s by a polynomial on the mantissa and two of Newton's steps.
KEXUE_INLINE F64 t3_quantile(F64 two_q) {
  const PowerSplit<double> split = split_power<double>(two_q * constant(6 / kInversePi));
  const F64 rounder = constant(Format<double>::kRounder);
  const F64 third = multiply_add(split.k, constant(1.0 / 3), rounder) - rounder;
  const F64 left = split.k - third * constant(3);
  const F64 above = real(less<double>(constant(0.5), left) & bits(constant(1)));
  const F64 below = real(less<double>(left, constant(-0.5)) & bits(constant(1)));
  const F64 one = constant(1);
  const F64 m = (split.f + one) * (one + above - constant(0.5) * below);
  // 2^(-1/3) - 1 and 2^(1/3) - 1
  const F64 turn =
      one - constant(0x1.a6873fa7f7c0ep-3) * above + constant(0x1.0a28be635ca2bp-2) * below;
  const F64 v =
      multiply_add(split.f, constant(0x1.6a09e667f3bcdp+1), constant(0x1.6a09e667f3bcdp+1 - 3));
  F64 r = polynomial<double>(v, kCubeRoot) * turn;
  for (int step = 0; step < 2; ++step) {
    const F64 rest = one - m * (r * r * r);
    r = multiply_add(r * constant(1.0 / 3), rest, r);
  }
  const F64 s = scale_by_power(m * r * r, third);
  const F64 inverse = scale_by_power(r, zero<double>() - third);
  const F64 place = multiply_add(s * s, constant(0x1.21276c8150439p-2), constant(-1));
  return polynomial<double>(place, kStudent) * inverse;
}

KEXUE_INLINE F64 cauchy_quantile(F64 two_q) {
  const SineCosine<double> both = sincos_pi_in_period<double>(constant(0.5) * two_q);
  return both.cosine / both.sine;
}

template <class F>
void inverse_of(const double* t, double loc, double scale, double* y, ptrdiff_t n, F&& quantile) {
  const I64 sign = broadcast<std::int64_t>(Format<double>::kSign);
  for_vectors(n, [&](ptrdiff_t i, ptrdiff_t count) {
    const F64 from = load_up_to<double>(t + i, count, 1.0);
    const F64 z = quantile(absolute<double>(from));
    const F64 turned = real(bits(z) ^ (sign_bit<double>(from) ^ sign));
    store_some(y + i, multiply_add(turned, constant(scale), constant(loc)), count);
  });
}
void inverse(Tail base, const double* t, double loc, double scale, double* y, ptrdiff_t n) {
  switch (base) {
    case Tail::normal:
      return inverse_of(t, loc, scale, y, n, [](F64 q) { return normal_quantile(q); });
    case Tail::t3:
      return inverse_of(t, loc, scale, y, n, [](F64 q) { return t3_quantile(q); });
    case Tail::cauchy:
      return inverse_of(t, loc, scale, y, n, [](F64 q) { return cauchy_quantile(q); });
  }
}

// ---- Warps --------------------------------------------------------------------------------------

// The masked form is the plain one; GCC 12 warns about the undefined register inside that.
KEXUE_INLINE F64 gather(const double* table, I64 index) {
#if KEXUE_X86_BYTES == 64
  return (F64)_mm512_mask_i64gather_pd(_mm512_setzero_pd(), 0xff, (__m512i)index, table, 8);
#elif KEXUE_X86_BYTES == 32
  return (F64)_mm256_i64gather_pd(table, (__m256i)index, 8);
#else
  double lane[kStep];
  for (ptrdiff_t j = 0; j < kStep; ++j) lane[j] = table[index[(int)j]];
  return load<double>(lane);
#endif
}

void warp(const WarpTable& table, const double* y, double* t, double* slope, ptrdiff_t n) {
  const F64 none = zero<double>(), one = constant(1), half = constant(0.5), two = constant(2);
  const F64 rounder = constant(Format<double>::kRounder);
  const F64 cells = constant(static_cast<double>(table.knots - 1));
  const F64 last = constant(static_cast<double>(table.knots - 2));
  const F64 spill = constant(table.spill);
  const I64 integer = broadcast<std::int64_t>(0xffffffff);
  for_vectors(n, [&](ptrdiff_t i, ptrdiff_t count) {
    const F64 from = load_some(y + i, count);
    const F64 z = (from - constant(table.loc)) * constant(table.inverse_scale);
    const Side side = t3_side(absolute<double>(z));
    const F64 tail = spill * side.mass;
    const I64 negative = less<double>(z, none);
    F64 lower = select<double>(negative, tail, spill - tail);
    F64 upper = select<double>(negative, spill - tail, tail);
    F64 density = spill * side.density * constant(table.inverse_scale);
    const F64 place = (from - constant(table.first)) * constant(table.inverse_step);
    // NaN reads the first cell and stays NaN by the tail.
    const F64 whole = maximum(none, clamp_by_selection<double>(place - half, none, last));
    const F64 shifted = whole + rounder;
    F64 k = shifted - rounder;
    I64 index = bits(shifted) & integer;
    const F64 d = clamp_by_selection<double>(place - k, none, one);
    const F64 rho = gather(table.density, index), next = gather(table.density + 1, index);
    const F64 rise = next - rho, rest = one - d, step = constant(table.step);
    const I64 outside = less<double>(place, none) | less<double>(cells, place);
    lower += multiply_add(step * d, multiply_add(half * d, rise, rho), gather(table.left, index));
    upper += multiply_add(step * rest, next - half * rest * rise, gather(table.right + 1, index));
    density += select<double>(outside, none, multiply_add(d, rise, rho));
    const I64 high = less<double>(upper, lower);
    store_some(t + i, select<double>(high, constant(-2) * upper, two * lower), count);
    store_some(slope + i, two * density, count);
  });
}

// The cell that holds a mass, or the one before it: few shares span more than two cells.
KEXUE_INLINE std::int64_t cell_near(const std::int32_t* guide, const double* cubics, double mass) {
  std::int64_t low = guide[0], high = guide[1];
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    (cubics[4 * middle] <= mass ? low : high) = middle;
  }
  return low;
}

// The cells of n positions. Those of the upper half lie behind those of the lower one.
KEXUE_INLINE void find_cells(const WarpInverse& table, const double* t, ptrdiff_t n,
                             std::int64_t* cell) {
  const F64 none = zero<double>(), half = constant(0.5);
  const F64 rounder = constant(Format<double>::kRounder);
  for_vectors(n, [&](ptrdiff_t i, ptrdiff_t count) {
    const F64 from = load_up_to<double>(t + i, count, 1.0);
    const F64 size = absolute<double>(from);
    // Where rounding takes the share before, the mass lies where that one ends. NaN takes the
    // first.
    const F64 share =
        maximum(none, clamp(size * constant(kWarpShares), none, constant(kWarpShares - 0.25))) -
        half;
    double masses[kStep];
    std::int64_t at[kStep], upper[kStep];
    store<double>(masses, half * size);
    store<std::int64_t>(at, bits(share + rounder) - bits(rounder));
    store<std::int64_t>(upper, less<double>(from, none));
    for (int j = 0; j < kStep; ++j) {
      const std::int64_t other = upper[j] & (table.cells + 1);
      cell[i + j] = other + cell_near(table.guide + (upper[j] & (kWarpShares + 1)) + at[j],
                                      table.cubics + 4 * other, masses[j]);
    }
  });
}

KEXUE_INLINE void solve_cells(const WarpInverse& table, const double* t, const std::int64_t* cell,
                              double* y, ptrdiff_t n) {
  const F64 none = zero<double>(), one = constant(1), half = constant(0.5);
  const F64 rounder = constant(Format<double>::kRounder);
  for_vectors(n, [&](ptrdiff_t i, ptrdiff_t count) {
    const F64 from = load_up_to<double>(t + i, count, 1.0);
    const I64 high = less<double>(from, none);
    const F64 size = absolute<double>(from);
    const I64 found = load<std::int64_t>(cell + i);
    F64 row[8];  // of this cell and the next
    load_rows<8>(table.cubics, 4, found, row);
    const I64 here = less<double>(half * size, row[4]);
    const F64 c0 = select<double>(here, row[0], row[4]), c1 = select<double>(here, row[1], row[5]);
    const F64 c2 = select<double>(here, row[2], row[6]), c3 = select<double>(here, row[3], row[7]);
    const I64 place = found + broadcast<std::int64_t>(1) + here -
                      (high & broadcast<std::int64_t>(table.cells + 1));
    const F64 mass = half * size - c0;
    // The root of c_1 d + (c_2 + c_3) d^2 = mass, and one of Newton's steps on the cubic: c_3 is
    // the base's, a millionth of the others.
    const F64 bend = c2 + c3;
    const F64 inside = multiply_add(constant(4) * bend, mass, c1 * c1);
    const F64 root = square_root<double>(select<double>(less<double>(inside, none), none, inside));
    F64 d = clamp((mass + mass) / (c1 + root + constant(1e-300)), none, one);
    const F64 slope = multiply_add(d, multiply_add(constant(3) * d, c3, c2 + c2), c1);
    const F64 value = d * multiply_add(d, multiply_add(d, c3, c2), c1);
    const F64 safe = select<double>(less<double>(constant(1e-300), slope), slope, one);
    d = clamp(d - (value - mass) / safe, none, one);
    const F64 whole = real(wrap_add<double>(place, bits(rounder))) - rounder;
    const F64 way = constant(table.step) * (whole + d);
    store_some(y + i,
               select<double>(high, constant(table.edge[1]) - way, constant(table.edge[0]) + way),
               count);
  });
}

// In two passes: that of the cells waits for memory, that of the places for the divider, and each
// has more vectors under way than both together.
void warp_inverse(const WarpInverse& table, const double* t, double* y, ptrdiff_t n) {
  constexpr ptrdiff_t kPart = 128;
  std::int64_t cell[kPart];
  for (ptrdiff_t begin = 0; begin < n; begin += kPart) {
    const ptrdiff_t part = n - begin < kPart ? n - begin : kPart;
    find_cells(table, t + begin, part, cell);
    solve_cells(table, t + begin, cell, y + begin, part);
  }
}

}  // namespace

extern const ChartKernels chart_kernels;
const ChartKernels chart_kernels = {tails, inverse, warp, warp_inverse};

}  // namespace kexue::density::KEXUE_ISA
