#include "emo_rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kexue/core/constants.hpp"

namespace kexue::transport {

using std::ptrdiff_t;

namespace {

constexpr double kLog2 = 0x1.62e42fefa39efp-1;
// The upper part times the power of a row is exact.
constexpr double kLog2High = 0x1.62e42fefa3800p-1, kLog2Low = 0x1.ef35793c76730p-45;
// Up to here logits are reduced as they are; beyond, the maximum is subtracted first.
constexpr double kReach = 2000;

template <class T>
struct Peak {
  T value = -std::numeric_limits<T>::infinity();
  ptrdiff_t index = 0;
};
template <class T>
Peak<T> peak_of(const T* z, ptrdiff_t n) {
  constexpr ptrdiff_t kTile = 2048;
  Peak<T> peak;
  for (ptrdiff_t first = 0; first < n; first += kTile) {
    const ptrdiff_t count = std::min(kTile, n - first);
    const T value = emo_kernels<T>().largest(z + first, count);
    if (value > peak.value) peak = {value, first};
  }
  while (peak.index < n && z[peak.index] != peak.value) ++peak.index;
  return peak;
}

template <class T>
RowUnits<T> units_below(T max) {
  RowUnits<T> units{};
  units.shift = std::abs(static_cast<double>(max)) < kReach ? T(0) : max;
  const double top = static_cast<double>(max) - static_cast<double>(units.shift);
  units.power = static_cast<T>(std::nearbyint(top / kLog2));
  units.lowest = static_cast<T>(top - (sizeof(T) == 8 ? 760 : 110));
  return units;
}

template <class T>
Fault read_target(const EmoProblem<T>& problem, ptrdiff_t r, Row<T>& row) {
  row.target_rest = 0;
  row.target_scale = 1;
  row.pivot_cost = 0;
  if (problem.labels != nullptr) {
    row.pivot = static_cast<ptrdiff_t>(problem.labels[r]);
    return Fault::none;
  }
  const RowMass masses = mass_of<T>({problem.soft.row(r), problem.soft.cols, 1});
  if (!masses.sound) return Fault::target_negative;
  if (!(std::abs(masses.sum() - 1) <= problem.sum_tolerance)) return Fault::target_sum;
  row.pivot = masses.pivot;
  row.target_scale = 1 / masses.sum();
  row.target_rest = masses.rest * row.target_scale;
  return Fault::none;
}

// sum tau_i (max - z_i)
template <class T>
double depth_of_target(const EmoProblem<T>& problem, ptrdiff_t r, const Row<T>& row, double max) {
  const T* z = problem.logits.row(r);
  if (problem.labels != nullptr) return max - static_cast<double>(z[row.pivot]);
  const T* tau = problem.soft.row(r);
  double sum = 0;
  for (ptrdiff_t i = 0; i < problem.soft.cols; ++i) {
    if (tau[i] > 0) sum += static_cast<double>(tau[i]) * (max - static_cast<double>(z[i]));
  }
  return sum * row.target_scale;
}

}  // namespace

template <class T>
Fault read_row(const EmoProblem<T>& problem, ptrdiff_t r, Row<T>& row) {
  const T* z = problem.logits.row(r);
  const ptrdiff_t n = problem.logits.cols;
  const Peak<T> peak = peak_of(z, n);
  if (peak.value == -kInf) {
    const bool nan = std::any_of(z, z + n, [](T v) { return std::isnan(v); });
    return nan ? Fault::logits_not_finite : Fault::logits_masked;
  }
  if (peak.value == kInf) return Fault::logits_not_finite;
  row.units = units_below(peak.value);
  const auto exponential = [&](T v) {
    const double below = static_cast<double>(v) - static_cast<double>(row.units.shift);
    const double power = static_cast<double>(row.units.power);
    return std::exp((below - power * kLog2High) - power * kLog2Low);
  };
  const auto& kernels = emo_kernels<T>();
  const ptrdiff_t after = peak.index + 1;
  const double others = kernels.exponentials(z, peak.index, row.units) +
                        kernels.exponentials(z + after, n - after, row.units);
  if (std::isnan(others)) return Fault::logits_not_finite;
  const double top = exponential(peak.value), total = others + top;
  row.units.factor = static_cast<T>(1 / total);
  if (const Fault fault = read_target(problem, r, row); fault != Fault::none) return fault;
  const double at_pivot = row.pivot == peak.index ? top : exponential(z[row.pivot]);
  row.p = at_pivot / total;
  row.rest = row.pivot == peak.index ? others / total : (total - at_pivot) / total;
  row.entropy = 0;
  if (problem.mixture == Mixture::emo) return Fault::none;
  row.entropy =
      std::log1p(others / top) + depth_of_target(problem, r, row, static_cast<double>(peak.value));
  return row.entropy < kInf ? Fault::none : Fault::label_masked;
}

template Fault read_row<float>(const EmoProblem<float>&, ptrdiff_t, Row<float>&);
template Fault read_row<double>(const EmoProblem<double>&, ptrdiff_t, Row<double>&);

}  // namespace kexue::transport
