// The inner loops of the fit: Fourier transforms of rows, weights, Cholesky factors.
#include "density_lanes.hpp"
#include "kexue/density/kernels.hpp"
#include "vector_math.hpp"

namespace kexue::density::KEXUE_ISA {
namespace {

using namespace kexue::KEXUE_ISA;

// Stockham's self-sorting transform; the rows make every inner loop contiguous.
void radix_2(std::ptrdiff_t half, std::ptrdiff_t s, std::ptrdiff_t turn, const double* root_re,
             const double* root_im, const double* x_re, const double* x_im, double* y_re,
             double* y_im) {
  for (std::ptrdiff_t p = 0; p < half; ++p) {
    const F64 w_re = broadcast<double>(root_re[p * turn]);
    const F64 w_im = broadcast<double>(root_im[p * turn]);
    const std::ptrdiff_t a = s * p, b = s * (p + half), sum = s * 2 * p, difference = sum + s;
    for (std::ptrdiff_t q = 0; q < s; q += kStep) {
      const F64 a_re = load<double>(x_re + a + q), a_im = load<double>(x_im + a + q);
      const F64 b_re = load<double>(x_re + b + q), b_im = load<double>(x_im + b + q);
      store<double>(y_re + sum + q, a_re + b_re);
      store<double>(y_im + sum + q, a_im + b_im);
      const F64 d_re = a_re - b_re, d_im = a_im - b_im;
      store<double>(y_re + difference + q, multiply_add(d_re, w_re, zero<double>() - d_im * w_im));
      store<double>(y_im + difference + q, multiply_add(d_re, w_im, d_im * w_re));
    }
  }
}

struct Turn {
  F64 re, im;
  KEXUE_INLINE Turn(const double* root_re, const double* root_im, std::ptrdiff_t k)
      : re(broadcast<double>(root_re[k])), im(broadcast<double>(root_im[k])) {}
  KEXUE_INLINE void write(F64 x, F64 y, double* to_re, double* to_im) const {
    store<double>(to_re, multiply_add(x, re, zero<double>() - y * im));
    store<double>(to_im, multiply_add(x, im, y * re));
  }
};

void radix_4(std::ptrdiff_t quarter, std::ptrdiff_t s, std::ptrdiff_t turn, const double* root_re,
             const double* root_im, const double* x_re, const double* x_im, double* y_re,
             double* y_im) {
  for (std::ptrdiff_t p = 0; p < quarter; ++p) {
    const Turn w1(root_re, root_im, p * turn), w2(root_re, root_im, 2 * p * turn);
    const Turn w3(root_re, root_im, 3 * p * turn);
    const std::ptrdiff_t part = s * quarter;
    const double *from_re = x_re + s * p, *from_im = x_im + s * p;
    double *to_re = y_re + 4 * s * p, *to_im = y_im + 4 * s * p;
    for (std::ptrdiff_t q = 0; q < s; q += kStep) {
      const F64 a_re = load<double>(from_re + q), a_im = load<double>(from_im + q);
      const F64 b_re = load<double>(from_re + part + q), b_im = load<double>(from_im + part + q);
      const F64 c_re = load<double>(from_re + 2 * part + q);
      const F64 c_im = load<double>(from_im + 2 * part + q);
      const F64 d_re = load<double>(from_re + 3 * part + q);
      const F64 d_im = load<double>(from_im + 3 * part + q);
      const F64 even_re = a_re + c_re, even_im = a_im + c_im;
      const F64 odd_re = b_re + d_re, odd_im = b_im + d_im;
      const F64 gap_re = a_re - c_re, gap_im = a_im - c_im;
      // i (b - d)
      const F64 cross_re = d_im - b_im, cross_im = b_re - d_re;
      store<double>(to_re + q, even_re + odd_re);
      store<double>(to_im + q, even_im + odd_im);
      w1.write(gap_re - cross_re, gap_im - cross_im, to_re + s + q, to_im + s + q);
      w2.write(even_re - odd_re, even_im - odd_im, to_re + 2 * s + q, to_im + 2 * s + q);
      w3.write(gap_re + cross_re, gap_im + cross_im, to_re + 3 * s + q, to_im + 3 * s + q);
    }
  }
}

bool transform(std::ptrdiff_t rows, std::ptrdiff_t lanes, const double* root_re,
               const double* root_im, double* x_re, double* x_im, double* y_re, double* y_im) {
  bool in_x = true;
  std::ptrdiff_t left = rows, s = lanes;
  while (left > 1) {
    double *from_re = in_x ? x_re : y_re, *from_im = in_x ? x_im : y_im;
    double *to_re = in_x ? y_re : x_re, *to_im = in_x ? y_im : x_im;
    if (left % 4 == 0) {
      radix_4(left / 4, s, rows / left, root_re, root_im, from_re, from_im, to_re, to_im);
      left /= 4;
      s *= 4;
    } else {
      radix_2(left / 2, s, rows / left, root_re, root_im, from_re, from_im, to_re, to_im);
      left /= 2;
      s *= 2;
    }
    in_x = !in_x;
  }
  return in_x;
}

void spread(const double* b_re, const double* b_im, std::ptrdiff_t rows, std::ptrdiff_t lanes,
            const double* w_re, const double* w_im, double* out_re, double* out_im) {
  for (std::ptrdiff_t k = 0; k < rows; ++k) {
    const F64 re = broadcast<double>(b_re[k]), im = broadcast<double>(b_im[k]);
    for (std::ptrdiff_t r = k * lanes; r < (k + 1) * lanes; r += kStep) {
      const F64 x = load<double>(w_re + r), y = load<double>(w_im + r);
      store<double>(out_re + r, multiply_add(re, x, zero<double>() - im * y));
      store<double>(out_im + r, multiply_add(re, y, im * x));
    }
  }
}

void gather(const double* x_re, const double* x_im, std::ptrdiff_t rows, std::ptrdiff_t lanes,
            const double* w_re, const double* w_im, double* out_re, double* out_im) {
  for (std::ptrdiff_t k = 0; k < rows; ++k) {
    F64 sum_re = zero<double>(), sum_im = zero<double>();
    for (std::ptrdiff_t r = k * lanes; r < (k + 1) * lanes; r += kStep) {
      const F64 a = load<double>(x_re + r), b = load<double>(x_im + r);
      const F64 x = load<double>(w_re + r), y = load<double>(w_im + r);
      sum_re = multiply_add(a, x, multiply_add(b, y, sum_re));
      sum_im = multiply_add(b, x, multiply_add(zero<double>() - a, y, sum_im));
    }
    out_re[k] = total<double>(sum_re);
    out_im[k] = total<double>(sum_im);
  }
}

// Frequencies in pairs about the middle one c: with v = u e^{-i pi c t} those of c - k and c + k
// are sum v cos(pi k t) +- i sum v sin(pi k t), eight operations instead of twelve. Several vectors
// of points share each load of the sums.
template <int vectors>
KEXUE_INLINE void add_powers(const double* t, const double* u_re, const double* u_im,
                             std::ptrdiff_t centre, std::ptrdiff_t pairs, double* sum) {
  F64 c[vectors], s[vectors], x[vectors], y[vectors], v_re[vectors], v_im[vectors];
  const F64 rounder = broadcast<double>(Format<double>::kRounder);
  F64 re = load<double>(sum), im = load<double>(sum + kStep);
  for (int v = 0; v < vectors; ++v) {
    const F64 place = load<double>(t + v * kStep);
    const SineCosine<double> both = sincos_pi_in_period<double>(place);
    c[v] = x[v] = both.cosine;
    s[v] = y[v] = both.sine;
    const F64 turns = place * broadcast<double>(0.5 * (double)centre);
    const F64 whole = (turns + rounder) - rounder;
    const SineCosine<double> middle = sincos_pi_in_period<double>(
        multiply_add(place, broadcast<double>((double)centre), broadcast<double>(-2) * whole));
    const F64 a = load<double>(u_re + v * kStep), b = load<double>(u_im + v * kStep);
    v_re[v] = multiply_add(a, middle.cosine, b * middle.sine);
    v_im[v] = multiply_add(b, middle.cosine, zero<double>() - a * middle.sine);
    re += v_re[v];
    im += v_im[v];
  }
  store<double>(sum, re);
  store<double>(sum + kStep, im);
  for (std::ptrdiff_t k = 1; k <= pairs; ++k) {
    double* to = sum + (4 * k - 2) * kStep;
    F64 even_re = load<double>(to), even_im = load<double>(to + kStep);
    F64 odd_re = load<double>(to + 2 * kStep), odd_im = load<double>(to + 3 * kStep);
    KEXUE_UNROLL
    for (int v = 0; v < vectors; ++v) {
      even_re = multiply_add(v_re[v], x[v], even_re);
      even_im = multiply_add(v_im[v], x[v], even_im);
      odd_re = multiply_add(v_re[v], y[v], odd_re);
      odd_im = multiply_add(v_im[v], y[v], odd_im);
      const F64 turned = multiply_add(x[v], c[v], zero<double>() - y[v] * s[v]);
      y[v] = multiply_add(y[v], c[v], x[v] * s[v]);
      x[v] = turned;
    }
    store<double>(to, even_re);
    store<double>(to + kStep, even_im);
    store<double>(to + 2 * kStep, odd_re);
    store<double>(to + 3 * kStep, odd_im);
  }
}

void point_moments(const double* t, const double* u_re, const double* u_im, std::ptrdiff_t n,
                   std::ptrdiff_t m, double* sum, double* out_re, double* out_im) {
  constexpr int kVectors = 4;
  const std::ptrdiff_t centre = m / 2, pairs = centre;
  for (std::ptrdiff_t k = 0; k < (4 * pairs + 2) * kStep; ++k) sum[k] = 0;
  std::ptrdiff_t i = 0;
  for (; i + kVectors * kStep <= n; i += kVectors * kStep) {
    add_powers<kVectors>(t + i, u_re + i, u_im + i, centre, pairs, sum);
  }
  for (; i < n; i += kStep) add_powers<1>(t + i, u_re + i, u_im + i, centre, pairs, sum);
  out_re[centre] = total<double>(load<double>(sum));
  out_im[centre] = total<double>(load<double>(sum + kStep));
  for (std::ptrdiff_t k = 1; k <= pairs; ++k) {
    double part[4];
    for (int j = 0; j < 4; ++j) {
      part[j] = total<double>(load<double>(sum + (4 * k - 2 + j) * kStep));
    }
    out_re[centre - k] = part[0] - part[3];
    out_im[centre - k] = part[1] + part[2];
    if (centre + k < m) {
      out_re[centre + k] = part[0] + part[3];
      out_im[centre + k] = part[1] - part[2];
    }
  }
}

// With what the additions lose: steps near the optimum are told apart by the last digits.
double log_likelihood(const double* h, const double* re, const double* im, std::ptrdiff_t n) {
  F64 sum = zero<double>(), lost = zero<double>();
  const F64 zeros = zero<double>(), ones = broadcast<double>(1);
  for (std::ptrdiff_t i = 0; i < n; i += kStep) {
    const F64 x = load<double>(re + i), y = load<double>(im + i), weight = load<double>(h + i);
    const I64 empty = (I64)(weight == zeros);
    const F64 power = select<double>(empty, ones, multiply_add(x, x, y * y));
    const F64 term = weight * log(power), next = sum + term;
    lost += (sum - next) + term;
    sum = next;
  }
  return total<double>(sum) + total<double>(lost);
}

void newton_weights(const double* h, const double* re, const double* im, double* v_re, double* v_im,
                    std::ptrdiff_t n) {
  const F64 zeros = zero<double>(), ones = broadcast<double>(1);
  for (std::ptrdiff_t i = 0; i < n; i += kStep) {
    const F64 x = load<double>(re + i), y = load<double>(im + i), weight = load<double>(h + i);
    const I64 empty = (I64)(weight == zeros);
    const F64 power = select<double>(empty, ones, multiply_add(x, x, y * y));
    const F64 inverse = ones / power;
    const F64 a = x * inverse, b = y * inverse;  // 1 / conj(B)
    store<double>(v_re + i, weight * (a * a - b * b));
    store<double>(v_im + i, weight * ((a + a) * b));
  }
}

// row -= factor * other from `begin` on, four rows at once: row_i -= sum_k a[k][i] a[k].
KEXUE_INLINE void subtract_panel(double* a, std::ptrdiff_t n, std::ptrdiff_t stride,
                                 std::ptrdiff_t k, std::ptrdiff_t i) {
  const double *r0 = a + k * stride, *r1 = r0 + stride, *r2 = r1 + stride, *r3 = r2 + stride;
  double* row = a + i * stride;
  const F64 f0 = broadcast<double>(-r0[i]), f1 = broadcast<double>(-r1[i]);
  const F64 f2 = broadcast<double>(-r2[i]), f3 = broadcast<double>(-r3[i]);
  // From a whole vector on: what lies left of the diagonal is never read.
  for (std::ptrdiff_t j = i / kStep * kStep; j < n; j += kStep) {
    F64 value = load<double>(row + j);
    value = multiply_add(f0, load<double>(r0 + j), value);
    value = multiply_add(f1, load<double>(r1 + j), value);
    value = multiply_add(f2, load<double>(r2 + j), value);
    store<double>(row + j, multiply_add(f3, load<double>(r3 + j), value));
  }
}

KEXUE_INLINE bool factor_row(double* a, std::ptrdiff_t n, std::ptrdiff_t stride,
                             std::ptrdiff_t first, std::ptrdiff_t k) {
  double* row = a + k * stride;
  for (std::ptrdiff_t p = first; p < k; ++p) {
    const double* other = a + p * stride;
    const F64 factor = broadcast<double>(-other[k]);
    for (std::ptrdiff_t j = k / kStep * kStep; j < n; j += kStep) {
      store<double>(row + j, multiply_add(factor, load<double>(other + j), load<double>(row + j)));
    }
  }
  if (!(row[k] > 0)) return false;
  const double inverse = 1 / __builtin_sqrt(row[k]);
  const F64 scale = broadcast<double>(inverse);
  for (std::ptrdiff_t j = k / kStep * kStep; j < n; j += kStep) {
    store<double>(row + j, load<double>(row + j) * scale);
  }
  return true;
}

// Right-looking in panels of four rows; stride is a multiple of eight and rows are padded to it.
bool cholesky(double* a, std::ptrdiff_t n, std::ptrdiff_t stride) {
  std::ptrdiff_t k = 0;
  for (; k + 4 <= n; k += 4) {
    for (std::ptrdiff_t p = k; p < k + 4; ++p) {
      if (!factor_row(a, n, stride, k, p)) return false;
    }
    for (std::ptrdiff_t i = k + 4; i < n; ++i) subtract_panel(a, n, stride, k, i);
  }
  for (std::ptrdiff_t p = k; p < n; ++p) {
    if (!factor_row(a, n, stride, k, p)) return false;
  }
  return true;
}

}  // namespace

extern const FitKernels fit_kernels;
const FitKernels fit_kernels = {transform,      spread,         gather,  point_moments,
                                log_likelihood, newton_weights, cholesky};

}  // namespace kexue::density::KEXUE_ISA
