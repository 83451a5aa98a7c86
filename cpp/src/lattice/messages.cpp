#include "messages.hpp"

#include <numbers>

#include "columns.hpp"
#include "kexue/core/constants.hpp"
#include "kexue/core/elementary.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/trellis_kernels.hpp"
#include "transposed.hpp"

namespace kexue::lattice {

using std::ptrdiff_t;

namespace {

constexpr double kMatrixRange = 230;  // natural logarithm

// out = exp(x - max x); the maximum, and whether every finite difference is within the range.
struct Exponentials {
  double largest;
  bool narrow;
};
struct Range {
  double largest, least;  // of what is possible: -inf and inf if nothing is
};
Range range_of(const double* x, ptrdiff_t n) {
  double largest = -kInf, least = kInf;
  for (ptrdiff_t i = 0; i < n; ++i) {
    largest = x[i] > largest ? x[i] : largest;
    const double finite = x[i] > -kInf ? x[i] : kInf;
    least = finite < least ? finite : least;
  }
  return {largest, least};
}

// Rows of n, those of `out` every ld entries with zeros beyond n.
Exponentials exponentiate(const double* x, ptrdiff_t rows, ptrdiff_t n, double range, double* out,
                          ptrdiff_t ld) {
  const Range found = range_of(x, rows * n);
  const double shift = found.largest > -kInf ? found.largest : 0;
  for (ptrdiff_t row = 0; row < rows; ++row, x += n, out += ld) {
    for (ptrdiff_t i = 0; i < n; ++i) out[i] = x[i] - shift;
    elementary_kernels().f64.exp(out, out, n);
    std::fill(out + n, out + ld, 0.0);
  }
  return {shift, found.largest - found.least <= range};
}
Exponentials exponentiate(const double* x, ptrdiff_t n, double range, double* out) {
  return exponentiate(x, 1, n, range, out, n);
}

double log_sum(const std::vector<double>& terms) {
  const double most = terms.empty() ? -kInf : *std::max_element(terms.begin(), terms.end());
  if (most == -kInf) return -kInf;
  double sum = 0;
  for (double x : terms) sum += std::exp(x - most);
  return most + std::log(sum);
}

}  // namespace

Factors::Factors(const Trellis<double>& trellis)
    : trellis_(trellis), ld_((trellis.states + 7) / 8 * 8) {
  const ptrdiff_t n = trellis.states;
  if (!dense()) {
    const Index size = trellis.indptr[n];
    values_.resize(static_cast<std::size_t>(size));
    const auto all = exponentiate(trellis.data, size, kMatrixRange, values_.data());
    shift_ = {all.largest};
    narrow_ = all.narrow;
    first_.assign(static_cast<std::size_t>(n) + 1, 0);
    for (Index k = 0; k < size; ++k) ++first_[trellis.indices[k] + 1];
    for (ptrdiff_t j = 0; j < n; ++j) first_[j + 1] += first_[j];
    std::vector<Index> next(first_.begin(), first_.end() - 1);
    source_.resize(static_cast<std::size_t>(size));
    entry_.resize(static_cast<std::size_t>(size));
    for (ptrdiff_t i = 0; i < n; ++i) {
      for (Index k = trellis.indptr[i]; k < trellis.indptr[i + 1]; ++k) {
        const Index at = next[trellis.indices[k]]++;
        source_[at] = i;
        entry_[at] = k;
      }
    }
    return;
  }
  const ptrdiff_t size = trellis.n_matrices * n * ld_;
  forward_ = AlignedBuffer<double>(size);
  backward_ = AlignedBuffer<double>(size);
  if (ld_ > n) std::fill(backward_.data(), backward_.data() + size, 0.0);
  for (ptrdiff_t m = 0; m < trellis.n_matrices; ++m) {
    poll_interrupt();
    double* rows = forward_.data() + m * n * ld_;
    const auto all = exponentiate(trellis.dense + m * n * n, n, n, kMatrixRange, rows, ld_);
    shift_.push_back(all.largest);
    narrow_ = narrow_ && all.narrow;
    transpose(n, rows, ld_, backward_.data() + m * n * ld_, ld_);
  }
}

void Factors::push(ptrdiff_t t, const double* f, double* out) const {
  if (dense()) {
    const double* a = forward_.data() + matrix(t) * trellis_.states * ld_;
    trellis_sum_kernels().sum_step(trellis_.states, ld_, a, f, out);
    return;
  }
  for (ptrdiff_t j = 0; j < trellis_.states; ++j) {
    out[j] = 0;
    for (Index k = first_[j]; k < first_[j + 1]; ++k) out[j] += f[source_[k]] * values_[entry_[k]];
  }
  std::fill(out + trellis_.states, out + ld_, 0.0);
}

void Factors::push_on(int threads, ptrdiff_t t, const double* f, double* out, bool odd) const {
  share_columns<double>(threads, ld_, [&](ptrdiff_t begin, ptrdiff_t width) {
    trellis_sum_kernels().sum_columns(trellis_.states, ld_, width, matrix_rows(t) + begin, f,
                                      out + begin, stride() == 0 && odd);
  });
}

void Factors::pull(ptrdiff_t t, const double* g, double* out) const {
  if (dense()) {
    const double* a = backward_.data() + matrix(t) * trellis_.states * ld_;
    trellis_sum_kernels().sum_step(trellis_.states, ld_, a, g, out);
    return;
  }
  for (ptrdiff_t i = 0; i < trellis_.states; ++i) {
    out[i] = 0;
    for (Index k = trellis_.indptr[i]; k < trellis_.indptr[i + 1]; ++k) {
      out[i] += values_[k] * g[trellis_.indices[k]];
    }
  }
}

Messages::Messages(const Trellis<double>& trellis, const Factors& factors, ptrdiff_t sequence)
    : trellis_(trellis),
      factors_(factors),
      sequence_(sequence),
      length_(trellis.lengths[sequence]),
      alpha_(length_ * trellis.states + factors.ld()),
      alpha_scale_(length_) {}

// Forward messages have found the emissions to lie within their range.
void Messages::prepare_emissions() {
  const ptrdiff_t n = trellis_.states;
  emission_ = AlignedBuffer<double>(length_ * n);
  emission_scale_.resize(static_cast<std::size_t>(length_));
  const double* from = trellis_.emission(sequence_, 0);
  for (ptrdiff_t t = 0; t < length_; ++t) {
    const Range range = range_of(from + t * n, n);
    const double shift = range.largest > -kInf ? range.largest : 0;
    emission_scale_[t] = shift;
    for (ptrdiff_t s = 0; s < n; ++s) emission_[t * n + s] = from[t * n + s] - shift;
  }
  elementary_kernels().f64.exp(emission_.data(), emission_.data(), length_ * n);
}

// Divides by a power of two so that the largest entry lies in [1/2, 1); false if a nonzero one is
// too small afterwards.
bool Messages::rescale(double* message, double& scale) const {
  double largest = 0, least = 1;
  for (ptrdiff_t s = 0; s < trellis_.states; ++s) {
    largest = message[s] > largest ? message[s] : largest;
  }
  if (largest == 0) return true;
  int exponent = 0;
  std::frexp(largest, &exponent);
  const double factor = std::ldexp(1.0, -exponent);
  for (ptrdiff_t s = 0; s < trellis_.states; ++s) {
    message[s] *= factor;
    const double x = message[s] > 0 ? message[s] : 1.0;
    least = x < least ? x : least;
  }
  scale += exponent * std::numbers::ln2;
  return least >= kLeastMessage;
}

bool Messages::try_forward() {
  const ptrdiff_t n = trellis_.states, ld = factors_.ld();
  if (!factors_.narrow()) return false;
  stop_.resize(static_cast<std::size_t>(n));
  const auto stop = exponentiate(trellis_.stop, n, kEmissionRange, stop_.data());
  stop_scale_ = stop.largest;
  std::fill(alpha(0), alpha(0) + ld, 0.0);
  const auto start = exponentiate(trellis_.start, n, kEmissionRange, alpha(0));
  if (!start.narrow || !stop.narrow) return false;
  const Weighed first =
      trellis_sum_kernels().weigh(n, ld, trellis_.emission(sequence_, 0), alpha(0));
  if (!first.within) return false;
  alpha_scale_[0] = start.largest + first.scale;
  for (ptrdiff_t t = 1; t < length_;) {
    poll_interrupt();
    const ptrdiff_t steps = std::min<ptrdiff_t>(length_ - t, 1 + 65536 / ld);
    if (!advance(t, steps)) return false;
    t += steps;
  }
  double sum = 0;
  for (ptrdiff_t s = 0; s < n; ++s) sum += alpha(length_ - 1)[s] * stop_[s];
  log_partition_ = sum > 0 ? std::log(sum) + stop_scale_ + alpha_scale_[length_ - 1] : -kInf;
  return true;
}

// The messages of `steps` steps from t on.
bool Messages::advance(ptrdiff_t t, ptrdiff_t steps) {
  const ptrdiff_t n = trellis_.states, ld = factors_.ld();
  const auto& kernels = trellis_sum_kernels();
  const int threads = step_threads(trellis_, ld);
  if (factors_.dense() && threads == 1) {
    if (!kernels.forward_steps(steps, n, ld, factors_.matrix_rows(t - 1), factors_.stride(),
                               trellis_.emission(sequence_, t), alpha(t - 1), &alpha_scale_[t])) {
      return false;
    }
  } else {
    for (ptrdiff_t k = t; k < t + steps; ++k) {
      if (threads > 1) {
        factors_.push_on(threads, k - 1, alpha(k - 1), alpha(k), (k - t) % 2 != 0);
      } else {
        factors_.push(k - 1, alpha(k - 1), alpha(k));
      }
      const Weighed weighed = kernels.weigh(n, ld, trellis_.emission(sequence_, k), alpha(k));
      if (!weighed.within) return false;
      alpha_scale_[k] = weighed.scale;
    }
  }
  double total = alpha_scale_[t - 1];
  for (ptrdiff_t k = t; k < t + steps; ++k) {
    total += alpha_scale_[k] + factors_.shift(k - 1);
    alpha_scale_[k] = total;
  }
  return true;
}

void Messages::log_forward() {
  const ptrdiff_t n = trellis_.states;
  std::vector<double> terms;
  std::fill(alpha_scale_.data(), alpha_scale_.data() + length_, 0.0);
  for (ptrdiff_t t = 0; t < length_; ++t) {
    if ((t & 15) == 0) poll_interrupt();
    const double* emission = trellis_.emission(sequence_, t);
    for (ptrdiff_t j = 0; j < n; ++j) {
      terms.clear();
      if (t == 0) {
        terms.push_back(trellis_.start[j]);
      } else {
        const double* before = alpha(t - 1);
        factors_.sources(t - 1, j,
                         [&](Index i, double a, Index) { terms.push_back(before[i] + a); });
      }
      alpha(t)[j] = log_sum(terms) + emission[j];
    }
  }
  terms.clear();
  for (ptrdiff_t s = 0; s < n; ++s) terms.push_back(alpha(length_ - 1)[s] + trellis_.stop[s]);
  log_partition_ = log_sum(terms);
}

void Messages::forward() {
  if (length_ == 0) return;
  logarithmic_ = !try_forward();
  if (logarithmic_) log_forward();
}

bool Messages::try_backward() {
  const ptrdiff_t n = trellis_.states;
  prepare_emissions();
  std::vector<double> next(static_cast<std::size_t>(factors_.ld()));
  std::copy(stop_.begin(), stop_.end(), beta(length_ - 1));
  beta_scale_[length_ - 1] = stop_scale_;
  for (ptrdiff_t t = length_ - 1; t-- > 0;) {
    if ((t & 255) == 0) poll_interrupt();
    arrivals(t + 1, next.data());
    factors_.pull(t, next.data(), beta(t));
    beta_scale_[t] = beta_scale_[t + 1] + emission_scale_[t + 1] + factors_.shift(t);
    if (!rescale(beta(t), beta_scale_[t])) return false;
  }
  // The product with alpha is normalised: it must not have lost its largest term.
  for (ptrdiff_t t = 0; t < length_; ++t) {
    double sum = 0;
    for (ptrdiff_t s = 0; s < n; ++s) sum += alpha(t)[s] * beta(t)[s];
    if (sum < 1e-140 && possible()) return false;
  }
  return true;
}

void Messages::log_backward() {
  const ptrdiff_t n = trellis_.states;
  std::vector<double> next(static_cast<std::size_t>(n)), terms;
  std::fill(beta_scale_.begin(), beta_scale_.end(), 0.0);
  std::copy(trellis_.stop, trellis_.stop + n, beta(length_ - 1));
  for (ptrdiff_t t = length_ - 1; t-- > 0;) {
    if ((t & 15) == 0) poll_interrupt();
    arrivals(t + 1, next.data());
    for (ptrdiff_t i = 0; i < n; ++i) {
      terms.clear();
      factors_.targets(t, i, [&](Index j, double a, Index) { terms.push_back(a + next[j]); });
      beta(t)[i] = log_sum(terms);
    }
  }
}

void Messages::backward() {
  if (length_ == 0) return;
  beta_ = AlignedBuffer<double>(length_ * factors_.ld());
  beta_scale_.resize(static_cast<std::size_t>(length_));
  if (!logarithmic_ && try_backward()) return;
  if (!logarithmic_) {
    logarithmic_ = true;
    log_forward();
  }
  log_backward();
}

void Messages::arrivals(ptrdiff_t t, double* out) const {
  const ptrdiff_t n = trellis_.states;
  const double* after = beta(t);
  if (logarithmic_) {
    const double* emission = trellis_.emission(sequence_, t);
    for (ptrdiff_t s = 0; s < n; ++s) out[s] = emission[s] + after[s];
  } else {
    const double* emission = emission_.data() + t * n;
    for (ptrdiff_t s = 0; s < n; ++s) out[s] = emission[s] * after[s];
  }
}

void Messages::posterior(ptrdiff_t t, double* out) const {
  const ptrdiff_t n = trellis_.states;
  const double *before = alpha(t), *after = beta(t);
  double sum = 0;
  for (ptrdiff_t s = 0; s < n; ++s) {
    out[s] = logarithmic_ ? std::exp(before[s] + after[s] - log_partition_) : before[s] * after[s];
    sum += out[s];
  }
  for (ptrdiff_t s = 0; s < n; ++s) out[s] /= sum;
}

}  // namespace kexue::lattice
