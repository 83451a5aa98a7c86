// Vector-Jacobian products of the simplex area (kexue/simplex/kernels.hpp).
#include "kexue/simplex/kernels.hpp"
#include "lanes.hpp"
#include "simplex_lanes.hpp"
#include "vector_math.hpp"

namespace kexue::KEXUE_ISA {
namespace {

using simplex::Weight;

template <Weight kind>
KEXUE_INLINE F64 weight_of(F64 p, F64 exponent) {
  const F64 none = broadcast<double>(0), one = broadcast<double>(1);
  if constexpr (kind == Weight::probability) return p;
  const Mask<double> inside = less<double>(none, p);
  if constexpr (kind == Weight::support) return select<double>(inside, one, none);
  if constexpr (kind == Weight::root) return square_root<double>(p);
  const F64 w = exp(exponent * log(select<double>(inside, p, one)));
  return select<double>(inside, w, none);
}

// Outside the support g is not read as a number: 0 times an infinite g is 0.
template <Weight kind, class T>
void vjp_of(const T* p, const T* g, T* dx, ptrdiff_t n, double exponent, double scale) {
  constexpr ptrdiff_t kStep = kLanes<T>;
  const Vec<T> none = broadcast<T>(0);
  const F64 power = broadcast<double>(exponent), zeros = broadcast<double>(0);
  CarefulSum product, weight;
  const auto add = [&](F64 pw, F64 gw) {
    const F64 w = weight_of<kind>(pw, power);
    product.add(select<double>(less<double>(zeros, pw), w * gw, pw * zeros));
    weight.add(w);
  };
  for (ptrdiff_t i = 0; i < n; i += kStep) {
    const Vec<T> pv = load_up_to<T>(p + i, n - i, T(0));
    if (above(pv, none) == 0 && unordered(pv, pv) == 0) continue;
    const Vec<T> gv = load_up_to<T>(g + i, n - i, T(0));
    if constexpr (sizeof(T) == 8) {
      add(pv, gv);
    } else {
      F64 pw[2], gw[2];
      widen(pv, pw);
      widen(gv, gw);
      add(pw[0], gw[0]);
      add(pw[1], gw[1]);
    }
  }
  const SumPair a = product.total(), b = weight.total();
  const double sum = a.high + a.low, total = b.high + b.low;
  const double mean = sum != sum ? sum : (total == 0 ? 0 : sum / total);
  const F64 middle = broadcast<double>(mean), by = broadcast<double>(scale);
  const auto out = [&](F64 pw, F64 gw) {
    const F64 w = weight_of<kind>(pw, power);
    return select<double>(less<double>(zeros, pw), by * (w * (gw - middle)), pw * zeros);
  };
  const bool nan = mean != mean;
  for (ptrdiff_t i = 0; i < n; i += kStep) {
    const Vec<T> pv = load_up_to<T>(p + i, n - i, T(0));
    Vec<T> v = none;
    if (nan) {
      v = broadcast<T>((T)mean);
    } else if (above(pv, none) != 0) {
      const Vec<T> gv = load_up_to<T>(g + i, n - i, T(0));
      if constexpr (sizeof(T) == 8) {
        v = out(pv, gv);
      } else {
        F64 pw[2], gw[2];
        widen(pv, pw);
        widen(gv, gw);
        float lane[kLanes<float>];
        store_narrow(lane, out(pw[0], gw[0]));
        store_narrow(lane + kLanes<double>, out(pw[1], gw[1]));
        v = load<float>(lane);
      }
    }
    if (n - i >= kStep) {
      store<T>(dx + i, v);
    } else {
      store_part<T>(dx + i, v, n - i);
    }
  }
}

template <class T>
void vjp(const T* p, const T* g, T* dx, ptrdiff_t n, Weight weight, double exponent, double scale) {
  switch (weight) {
    case Weight::probability:
      return vjp_of<Weight::probability>(p, g, dx, n, exponent, scale);
    case Weight::support:
      return vjp_of<Weight::support>(p, g, dx, n, exponent, scale);
    case Weight::root:
      return vjp_of<Weight::root>(p, g, dx, n, exponent, scale);
    default:
      return vjp_of<Weight::power>(p, g, dx, n, exponent, scale);
  }
}

template <class T>
constexpr simplex::GradientKernels<T> kKernels = {vjp<T>};

}  // namespace

extern const simplex::SimplexGradientKernels simplex_gradient_kernels;
const simplex::SimplexGradientKernels simplex_gradient_kernels = {kKernels<double>,
                                                                  kKernels<float>};

}  // namespace kexue::KEXUE_ISA
