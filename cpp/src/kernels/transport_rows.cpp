// Scans of rows of reduced costs; see kexue/transport/kernels.hpp.
#include "kexue/transport/kernels.hpp"
#include "lanes.hpp"

namespace kexue::transport::KEXUE_ISA {
namespace {

using namespace kexue::KEXUE_ISA;

constexpr int kParallel = 4;  // independent minima: the latency of compare and blend

template <class R>
KEXUE_INLINE Mask<R> counting(Bits<R> first) {
  Bits<R> lane[kLanes<R>];
  for (int i = 0; i < kLanes<R>; ++i) lane[i] = first + static_cast<Bits<R>>(i);
  return load<Bits<R>>(lane);
}

// The least of `size` values, and the index that stands beside it; ties go to the smaller index.
template <class R>
KEXUE_INLINE RowMinimum<R> least(const R* value, const Bits<R>* index, int size) {
  RowMinimum<R> best{value[0], index[0]};
  for (int i = 1; i < size; ++i) {
    if (value[i] < best.value || (value[i] == best.value && index[i] < best.index)) {
      best = {value[i], index[i]};
    }
  }
  return best;
}

template <class R>
RowMinimum<R> minimum(const R* c, const R* v, ptrdiff_t n) {
  constexpr ptrdiff_t kStep = kParallel * kLanes<R>;
  RowMinimum<R> best{kInfinity<R>, 0};
  ptrdiff_t j = 0;
  if (n >= kStep) {
    Vec<R> low[kParallel];
    Mask<R> at[kParallel], place[kParallel];
    KEXUE_UNROLL
    for (int u = 0; u < kParallel; ++u) {
      low[u] = broadcast<R>(kInfinity<R>);
      at[u] = place[u] = counting<R>(static_cast<Bits<R>>(u * kLanes<R>));
    }
    const Mask<R> step = broadcast<Bits<R>>(static_cast<Bits<R>>(kStep));
    for (; j + kStep <= n; j += kStep) {
      KEXUE_UNROLL
      for (int u = 0; u < kParallel; ++u) {
        const ptrdiff_t k = j + u * kLanes<R>;
        const Vec<R> x = load<R>(c + k) - load<R>(v + k);
        const Mask<R> lower = less<R>(x, low[u]);
        low[u] = select<R>(lower, x, low[u]);
        at[u] = select<Bits<R>>(lower, place[u], at[u]);
        place[u] = place[u] + step;
      }
    }
    R value[kStep];
    Bits<R> index[kStep];
    KEXUE_UNROLL
    for (int u = 0; u < kParallel; ++u) {
      store<R>(value + u * kLanes<R>, low[u]);
      store<Bits<R>>(index + u * kLanes<R>, at[u]);
    }
    best = least<R>(value, index, kStep);
  }
  for (; j < n; ++j) {
    const R x = c[j] - v[j];
    if (x < best.value) best = {x, j};
  }
  return best;
}

template <class R>
TwoMinima<R> two_minima(const R* c, const R* v, ptrdiff_t n) {
  constexpr ptrdiff_t kStep = kParallel * kLanes<R>;
  TwoMinima<R> best{kInfinity<R>, kInfinity<R>, 0};
  ptrdiff_t j = 0;
  if (n >= kStep) {
    Vec<R> low[kParallel], next[kParallel];
    Mask<R> at[kParallel], place[kParallel];
    KEXUE_UNROLL
    for (int u = 0; u < kParallel; ++u) {
      low[u] = next[u] = broadcast<R>(kInfinity<R>);
      at[u] = place[u] = counting<R>(static_cast<Bits<R>>(u * kLanes<R>));
    }
    const Mask<R> step = broadcast<Bits<R>>(static_cast<Bits<R>>(kStep));
    for (; j + kStep <= n; j += kStep) {
      KEXUE_UNROLL
      for (int u = 0; u < kParallel; ++u) {
        const ptrdiff_t k = j + u * kLanes<R>;
        const Vec<R> x = load<R>(c + k) - load<R>(v + k);
        const Mask<R> lower = less<R>(x, low[u]);
        const Vec<R> larger = select<R>(lower, low[u], x);
        next[u] = select<R>(less<R>(larger, next[u]), larger, next[u]);
        low[u] = select<R>(lower, x, low[u]);
        at[u] = select<Bits<R>>(lower, place[u], at[u]);
        place[u] = place[u] + step;
      }
    }
    R value[kStep], second[kStep];
    Bits<R> index[kStep];
    KEXUE_UNROLL
    for (int u = 0; u < kParallel; ++u) {
      store<R>(value + u * kLanes<R>, low[u]);
      store<R>(second + u * kLanes<R>, next[u]);
      store<Bits<R>>(index + u * kLanes<R>, at[u]);
    }
    const RowMinimum<R> least_of_all = least<R>(value, index, kStep);
    best.value = least_of_all.value;
    best.index = least_of_all.index;
    for (int i = 0; i < kStep; ++i) {
      const R other = index[i] == best.index ? second[i] : value[i];
      if (other < best.second) best.second = other;
    }
  }
  for (; j < n; ++j) {
    const R x = c[j] - v[j];
    if (x < best.value) {
      best = {x, best.value, j};
    } else if (x < best.second) {
      best.second = x;
    }
  }
  return best;
}

template <class R>
void lower_columns(const R* c, R u, ptrdiff_t row, R* best, std::int32_t* from, ptrdiff_t n) {
  const auto here = static_cast<std::int32_t>(row);
  for (ptrdiff_t j = 0; j < n; ++j) {
    const R x = c[j] - u;
    from[j] = x < best[j] ? here : from[j];
    best[j] = x < best[j] ? x : best[j];
  }
}

template <class R>
ptrdiff_t select_below(const R* c, const R* v, R below, std::int32_t* found, ptrdiff_t n) {
  const Vec<R> bound = broadcast<R>(below);
  ptrdiff_t count = 0, j = 0;
  for (; j + kLanes<R> <= n; j += kLanes<R>) {
    unsigned bits = above(bound, load<R>(c + j) - load<R>(v + j));
    for (int i = 0; bits != 0; ++i, bits >>= 1) {
      if (bits & 1u) found[count++] = static_cast<std::int32_t>(j + i);
    }
  }
  for (; j < n; ++j) {
    if (c[j] - v[j] < below) found[count++] = static_cast<std::int32_t>(j);
  }
  return count;
}

RowMinimum<double> relax(const double* c, const double* v, double h, std::int64_t row, double* d,
                         std::int64_t* from, ptrdiff_t n) {
  constexpr ptrdiff_t kStep = 2 * kLanes<double>;
  const F64 head = broadcast<double>(h);
  const I64 here = broadcast<std::int64_t>(row);
  RowMinimum<double> best{kInfinity<double>, 0};
  ptrdiff_t j = 0;
  if (n >= kStep) {
    F64 low[2];
    I64 at[2], place[2];
    for (int u = 0; u < 2; ++u) {
      low[u] = broadcast<double>(kInfinity<double>);
      at[u] = place[u] = counting<double>(u * kLanes<double>);
    }
    const I64 step = broadcast<std::int64_t>(kStep);
    for (; j + kStep <= n; j += kStep) {
      KEXUE_UNROLL
      for (int u = 0; u < 2; ++u) {
        const ptrdiff_t k = j + u * kLanes<double>;
        const F64 x = (load<double>(c + k) - load<double>(v + k)) + head;
        const F64 old = load<double>(d + k);
        const I64 lower = less<double>(x, old);
        const F64 now = select<double>(lower, x, old);
        store<double>(d + k, now);
        store<std::int64_t>(from + k,
                            select<std::int64_t>(lower, here, load<std::int64_t>(from + k)));
        const I64 least_yet = less<double>(now, low[u]);
        low[u] = select<double>(least_yet, now, low[u]);
        at[u] = select<std::int64_t>(least_yet, place[u], at[u]);
        place[u] = place[u] + step;
      }
    }
    double value[kStep];
    std::int64_t index[kStep];
    for (int u = 0; u < 2; ++u) {
      store<double>(value + u * kLanes<double>, low[u]);
      store<std::int64_t>(index + u * kLanes<double>, at[u]);
    }
    best = least<double>(value, index, kStep);
  }
  for (; j < n; ++j) {
    const double x = (c[j] - v[j]) + h;
    if (x < d[j]) {
      d[j] = x;
      from[j] = row;
    }
    if (d[j] < best.value) best = {d[j], j};
  }
  return best;
}

template <class R>
constexpr RowKernel<R> kRow = {&minimum<R>, &two_minima<R>, &lower_columns<R>, &select_below<R>};

}  // namespace

extern const RowKernels row_kernels;
const RowKernels row_kernels = {kRow<float>, kRow<double>, &relax};

}  // namespace kexue::transport::KEXUE_ISA
