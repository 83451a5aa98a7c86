// Scans of rows of reduced costs; see kexue/transport/kernels.hpp.
#include "kexue/transport/kernels.hpp"
#include "lanes.hpp"

namespace kexue::transport::KEXUE_ISA {
namespace {

using namespace kexue::KEXUE_ISA;

constexpr int kLatency = 4;  // independent minima: the latency of compare and blend

template <class R>
KEXUE_INLINE Mask<R> counting(Bits<R> first) {
  Bits<R> lane[kLanes<R>];
  for (int i = 0; i < kLanes<R>; ++i) lane[i] = first + static_cast<Bits<R>>(i);
  return load<Bits<R>>(lane);
}

template <class R>
KEXUE_INLINE Vec<R> smaller(Vec<R> x, Vec<R> y) {
  return select<R>(less<R>(x, y), x, y);
}

// The least of what each lane has seen, where, and the second least.
template <class R>
struct Lowest {
  Vec<R> low, next;
  Mask<R> at;

  KEXUE_INLINE void start(Mask<R> place) {
    low = next = broadcast<R>(kInfinity<R>);
    at = place;
  }
  KEXUE_INLINE void see(Vec<R> x, Mask<R> place) {
    const Mask<R> lower = less<R>(x, low);
    low = select<R>(lower, x, low);
    at = select<Bits<R>>(lower, place, at);
  }
  KEXUE_INLINE void see_two(Vec<R> x, Mask<R> place) {
    const Mask<R> lower = less<R>(x, low);
    next = smaller<R>(select<R>(lower, low, x), next);
    low = select<R>(lower, x, low);
    at = select<Bits<R>>(lower, place, at);
  }
  KEXUE_INLINE void merge(const Lowest& other) {
    next = smaller<R>(next, other.next);
    see_two(other.low, other.at);
  }
  KEXUE_INLINE TwoMinima<R> result() const {
    R lows[kLanes<R>], nexts[kLanes<R>];
    Bits<R> places[kLanes<R>];
    store<R>(lows, low);
    store<R>(nexts, next);
    store<Bits<R>>(places, at);
    const R least = smallest<R>(low);
    const int lane = lowest_bit(~above(low, broadcast<R>(least)));
    lows[lane] = nexts[lane];
    return {least, smallest<R>(load<R>(lows)), places[lane]};
  }
};

// Shows x(j, n) to the lanes, vectors of n entries from j on, one after another.
template <class R, bool kTwo, int kParallel, class Entries>
KEXUE_INLINE TwoMinima<R> search(ptrdiff_t n, Entries&& x) {
  constexpr ptrdiff_t kVector = kLanes<R>, kStep = kParallel * kVector;
  Lowest<R> lowest[kParallel];
  auto see = [&](Lowest<R>& to, Vec<R> entries, Mask<R> place) {
    if constexpr (kTwo) {
      to.see_two(entries, place);
    } else {
      to.see(entries, place);
    }
  };
  Mask<R> place = counting<R>(0);
  const Mask<R> step = broadcast<Bits<R>>(static_cast<Bits<R>>(kVector));
  KEXUE_UNROLL
  for (int u = 0; u < kParallel; ++u) lowest[u].start(place);
  ptrdiff_t j = 0;
  for (; j + kStep <= n; j += kStep) {
    KEXUE_UNROLL
    for (int u = 0; u < kParallel; ++u) {
      see(lowest[u], x(j + u * kVector, kVector), place);
      place = place + step;
    }
  }
  for (; j < n; j += kVector) {
    see(lowest[0], x(j, n - j), place);
    place = place + step;
  }
  KEXUE_UNROLL
  for (int u = 1; u < kParallel; ++u) lowest[0].merge(lowest[u]);
  return lowest[0].result();
}

template <class R>
RowMinimum<R> minimum(const R* c, const R* v, ptrdiff_t n) {
  const auto found = search<R, false, kLatency>(n, [=](ptrdiff_t j, ptrdiff_t some) {
    return load_up_to<R>(c + j, some, kInfinity<R>) - load_up_to<R>(v + j, some, R{0});
  });
  return {found.value, found.index};
}

template <class R>
TwoMinima<R> two_minima(const R* c, const R* v, ptrdiff_t n) {
  return search<R, true, kLatency>(n, [=](ptrdiff_t j, ptrdiff_t some) {
    return load_up_to<R>(c + j, some, kInfinity<R>) - load_up_to<R>(v + j, some, R{0});
  });
}

// v[index[i]] for a whole vector of indices.
KEXUE_INLINE F32 gather(const float* v, const std::int32_t* index) {
#if KEXUE_X86_BYTES == 64
  return _mm512_i32gather_ps(_mm512_loadu_si512(index), v, 4);
#else
  float lane[kLanes<float>];
  for (int i = 0; i < kLanes<float>; ++i) lane[i] = v[index[i]];
  return load<float>(lane);
#endif
}

TwoMinima<float> two_minima_at(const float* c, const std::int32_t* index, const float* v,
                               ptrdiff_t n) {
  return search<float, true, 1>(n, [=](ptrdiff_t j, ptrdiff_t some) {
    return load_up_to<float>(c + j, some, kInfinity<float>) - gather(v, index + j);
  });
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
    const unsigned bits = above(bound, load<R>(c + j) - load<R>(v + j));
    count += append_places<R>(found + count, static_cast<std::int32_t>(j), bits);
  }
  for (; j < n; ++j) {
    if (c[j] - v[j] < below) found[count++] = static_cast<std::int32_t>(j);
  }
  return count;
}

RowMinimum<double> relax(const double* c, const double* v, double h, std::int64_t row, double* d,
                         std::int64_t* from, ptrdiff_t n) {
  constexpr ptrdiff_t kVector = kLanes<double>, kStep = 2 * kVector;
  const F64 head = broadcast<double>(h);
  const I64 here = broadcast<std::int64_t>(row), step = broadcast<std::int64_t>(kVector);
  I64 place = counting<double>(0);
  Lowest<double> lowest[2];
  lowest[0].start(place);
  lowest[1].start(place);
  ptrdiff_t j = 0;
  for (; j + kStep <= n; j += kStep) {
    KEXUE_UNROLL
    for (int u = 0; u < 2; ++u) {
      const ptrdiff_t k = j + u * kVector;
      const F64 x = (load<double>(c + k) - load<double>(v + k)) + head;
      const F64 old = load<double>(d + k);
      const I64 lower = less<double>(x, old);
      const F64 now = select<double>(lower, x, old);
      store<double>(d + k, now);
      store<std::int64_t>(from + k,
                          select<std::int64_t>(lower, here, load<std::int64_t>(from + k)));
      lowest[u].see(now, place);
      place = place + step;
    }
  }
  lowest[0].merge(lowest[1]);
  const auto found = lowest[0].result();
  RowMinimum<double> best{found.value, found.index};
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
const RowKernels row_kernels = {kRow<float>, kRow<double>, &two_minima_at, &relax};

}  // namespace kexue::transport::KEXUE_ISA
