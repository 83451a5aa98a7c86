#include "kexue/simplex/permutahedron.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kexue/core/buffer.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/simplex/row_loop.hpp"
#include "kexue/simplex/sorting.hpp"

namespace kexue::simplex {
namespace {

using std::ptrdiff_t;

// The weights of a and w in what is compared, a / strength - w, times 1 or the strength: neither
// product overflows where a and w do not.
struct Balance {
  double strength, of_a, of_w;

  explicit Balance(double s) : strength(s), of_a(s >= 1 ? 1 / s : 1), of_w(s >= 1 ? 1 : s) {}
};

// sum e^{v / unit} = scale e^{top / unit}, without overflow.
struct ExpSum {
  double top, scale;

  void add(const ExpSum& other, double unit) {
    const double high = std::max(top, other.top);
    scale =
        scale * std::exp((top - high) / unit) + other.scale * std::exp((other.top - high) / unit);
    top = high;
  }
};

// A run of the sorted row: sums of what a and w differ from its first ones (a row of ties far from
// zero is exact), and what must fall from run to run.
struct MeanRun {
  ptrdiff_t first, count;
  double a, w, a_sum, w_sum, level;

  static MeanRun of(ptrdiff_t i, double a, double w, const Balance& by) {
    return {i, 1, a, w, 0, 0, by.of_a * a - by.of_w * w};
  }
  void add(const MeanRun& next, const Balance& by) {
    const auto more = static_cast<double>(next.count);
    a_sum += next.a_sum + more * (next.a - a);
    w_sum += next.w_sum + more * (next.w - w);
    count += next.count;
    level = (by.of_a * a - by.of_w * w) +
            (by.of_a * a_sum - by.of_w * w_sum) / static_cast<double>(count);
  }
};
struct ExpRun {
  ptrdiff_t first, count;
  ExpSum a, w;
  double level;

  static ExpRun of(ptrdiff_t i, double a, double w, const Balance& by) {
    return {i, 1, {a, 1}, {w, 1}, by.of_a * a - by.of_w * w};
  }
  void add(const ExpRun& next, const Balance& by) {
    count += next.count;
    a.add(next.a, by.strength);
    w.add(next.w, 1);
    level = by.of_a * a.top + by.of_w * (std::log(a.scale) - std::log(w.scale) - w.top);
  }
};

// Pools a and w, both sorted to fall. Equal entries of a always share a run; without rounding they
// would anyway.
template <class Run>
ptrdiff_t pool(const double* a, const double* w, ptrdiff_t n, const Balance& by, Run* runs) {
  ptrdiff_t count = 0;
  Poll poll;
  for (ptrdiff_t i = 0; i < n; ++i) {
    poll();
    Run run = Run::of(i, a[i], w[i], by);
    bool tied = i > 0 && a[i] == a[i - 1];
    while (count > 0 && (tied || runs[count - 1].level <= run.level)) {
      poll();
      Run& before = runs[count - 1];
      before.add(run, by);
      run = before;
      tied = false;
      --count;
    }
    runs[count++] = run;
  }
  return count;
}

// Scratch of one thread for rows of n entries.
template <class T>
struct Scratch {
  FallingOrder<T> order, other_order;
  AlignedBuffer<double> a, w;
  double unit = 1;  // a and w are held in units of 1 / unit
  AlignedBuffer<MeanRun> mean_runs;
  AlignedBuffer<ExpRun> exp_runs;

  Scratch(ptrdiff_t n, Regularization kind)
      : order(n),
        a(n),
        w(n),
        mean_runs(kind == Regularization::l2 ? n : 0),
        exp_runs(kind == Regularization::kl ? n : 0) {}
};

// f(i, scratch) for every row of finite numbers; the others become NaN.
template <class T, class F>
void for_finite_rows(MatrixView<const T> x, Regularization kind, MatrixView<T> out, int workers,
                     F&& f) {
  const ptrdiff_t n = x.cols;
  const int slots = planned_workers(x.rows, workers);
  std::vector<Scratch<T>> scratch;
  scratch.reserve(static_cast<std::size_t>(slots));
  for (int s = 0; s < slots; ++s) scratch.emplace_back(n, kind);
  for_each_row(x.rows, n, slots, [&](ptrdiff_t i, int slot) {
    const T* row = x.row(i);
    bool finite = true;
    for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
      finite = finite && std::all_of(row + begin, row + end, [](T v) { return std::isfinite(v); });
    });
    if (finite) {
      f(i, scratch[static_cast<std::size_t>(slot)]);
    } else {
      std::fill_n(out.row(i), n, std::numeric_limits<T>::quiet_NaN());
    }
  });
}

// Smaller numbers whose sums cannot overflow, if there are such as could.
template <class T>
void choose_unit(ptrdiff_t n, Scratch<T>& s) {
  double largest = 0;
  for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t i = begin; i < end; ++i) {
      largest = std::max({largest, std::abs(s.a[i]), std::abs(s.w[i])});
    }
  });
  s.unit = largest < 0x1p980 ? 1 : 0x1p-40;
  if (s.unit == 1) return;
  for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t i = begin; i < end; ++i) {
      s.a[i] *= s.unit;
      s.w[i] *= s.unit;
    }
  });
}

// f(run, poll) for the runs of the pooled row.
template <class T, class F>
void for_runs(Scratch<T>& s, ptrdiff_t n, double strength, Regularization kind, F&& f) {
  const Balance by(strength);
  Poll poll;
  const auto visit = [&](const auto& runs, ptrdiff_t count) {
    for (ptrdiff_t r = 0; r < count; ++r) {
      poll();
      f(runs[r], poll);
    }
  };
  if (kind == Regularization::l2) {
    choose_unit(n, s);
    visit(s.mean_runs, pool(s.a.data(), s.w.data(), n, by, s.mean_runs.data()));
  } else {
    visit(s.exp_runs, pool(s.a.data(), s.w.data(), n, by, s.exp_runs.data()));
  }
}

// p_i of the header, i in the run.
double point(const MeanRun& run, double a, double w, double strength) {
  if (run.count == 1) return w;
  const auto size = static_cast<double>(run.count);
  const double above = (a - run.a) - run.a_sum / size;
  return (above == 0 ? 0 : above / strength) + (run.w + run.w_sum / size);
}
double point(const ExpRun& run, double a, double w, double strength) {
  if (run.count == 1) return w;
  // Halves: the parts may exceed what their sum does not.
  const double below = (a - run.a.top) / 2 / strength;
  return 2 * (below + (run.w.top / 2 + (std::log(run.w.scale) - std::log(run.a.scale)) / 2));
}
// e^z_i / sum_B e^z; for l2 the weight of an entry in a mean.
double share(const MeanRun& run, double, double) { return 1 / static_cast<double>(run.count); }
double share(const ExpRun& run, double a, double strength) {
  return std::exp((a - run.a.top) / strength) / run.a.scale;
}
double share_of_w(const MeanRun& run, double) { return 1 / static_cast<double>(run.count); }
double share_of_w(const ExpRun& run, double w) { return std::exp(w - run.w.top) / run.w.scale; }

// Ranks: e^p for kl, p itself for l2. (first + 1, ... counted from the largest) sum exactly.
double rank_sum(ptrdiff_t n, ptrdiff_t first, ptrdiff_t count) {
  return static_cast<double>(count) *
         (static_cast<double>(n - first) - static_cast<double>(count - 1) / 2);
}

// a = (n, ..., 1), w = x sorted to fall; where place i of the falling order goes.
template <class T>
void prepare_sort(const T* x, ptrdiff_t n, Scratch<T>& s) {
  s.order.sort(x, n);
  for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t i = begin; i < end; ++i) {
      s.a[i] = static_cast<double>(n - i);
      s.w[i] = static_cast<double>(x[s.order[i]]);
    }
  });
}
ptrdiff_t place(ptrdiff_t i, ptrdiff_t n, bool descending) { return descending ? i : n - 1 - i; }

// a = x (-x) sorted to fall, w = (n, ..., 1) or its logarithms.
template <class T>
void prepare_rank(const T* x, ptrdiff_t n, Regularization kind, bool descending, Scratch<T>& s) {
  s.order.sort(x, n);
  for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t i = begin; i < end; ++i) {
      const auto entry = static_cast<double>(x[s.order[i]]);
      s.a[descending ? n - 1 - i : i] = descending ? -entry : entry;
      s.w[i] = static_cast<double>(n - i);
      if (kind == Regularization::kl) s.w[i] = std::log(s.w[i]);
    }
  });
}
// The entry of x behind place i of a.
template <class T>
ptrdiff_t source(const Scratch<T>& s, ptrdiff_t i, ptrdiff_t n, bool descending) {
  return s.order[place(i, n, !descending)];
}

}  // namespace

template <class T>
void project_permutahedron(MatrixView<const T> x, MatrixView<const T> w, MatrixView<T> out,
                           int workers) {
  const ptrdiff_t n = x.cols;
  const auto l2 = Regularization::l2;
  for_finite_rows(x, l2, out, workers, [&](ptrdiff_t row, Scratch<T>& s) {
    s.order.sort(x.row(row), n);
    if (s.other_order.capacity() == 0) s.other_order = FallingOrder<T>(n);
    s.other_order.sort(w.row(row), n);
    for_polled(n, [&](ptrdiff_t begin, ptrdiff_t end) {
      for (ptrdiff_t i = begin; i < end; ++i) {
        s.a[i] = static_cast<double>(x(row, s.order[i]));
        s.w[i] = static_cast<double>(w(row, s.other_order[i]));
      }
    });
    for_runs(s, n, 1.0, l2, [&](const auto& run, Poll& poll) {
      for (ptrdiff_t i = run.first; i < run.first + run.count; ++i) {
        poll();
        out(row, s.order[i]) = static_cast<T>(point(run, s.a[i], s.w[i], 1.0) / s.unit);
      }
    });
  });
}

template <class T>
void soft_sort(MatrixView<const T> x, double strength, Regularization kind, bool descending,
               MatrixView<T> out, int workers) {
  const ptrdiff_t n = x.cols;
  for_finite_rows(x, kind, out, workers, [&](ptrdiff_t row, Scratch<T>& s) {
    prepare_sort(x.row(row), n, s);
    for_runs(s, n, strength, kind, [&](const auto& run, Poll& poll) {
      for (ptrdiff_t i = run.first; i < run.first + run.count; ++i) {
        poll();
        out(row, place(i, n, descending)) =
            static_cast<T>(point(run, s.a[i], s.w[i], strength) / s.unit);
      }
    });
  });
}

template <class T>
void soft_sort_vjp(MatrixView<const T> x, MatrixView<const T> g, double strength,
                   Regularization kind, bool descending, MatrixView<T> out, int workers) {
  const ptrdiff_t n = x.cols;
  for_finite_rows(x, kind, out, workers, [&](ptrdiff_t row, Scratch<T>& s) {
    prepare_sort(x.row(row), n, s);
    for_runs(s, n, strength, kind, [&](const auto& run, Poll& poll) {
      const ptrdiff_t end = run.first + run.count;
      double total = 0;
      for (ptrdiff_t i = run.first; i < end; ++i) {
        poll();
        total += static_cast<double>(g(row, place(i, n, descending)));
      }
      for (ptrdiff_t i = run.first; i < end; ++i) {
        poll();
        out(row, s.order[i]) = static_cast<T>(total * share_of_w(run, s.w[i]));
      }
    });
  });
}

template <class T>
void soft_rank(MatrixView<const T> x, double strength, Regularization kind, bool descending,
               MatrixView<T> out, int workers) {
  const ptrdiff_t n = x.cols;
  for_finite_rows(x, kind, out, workers, [&](ptrdiff_t row, Scratch<T>& s) {
    prepare_rank(x.row(row), n, kind, descending, s);
    for_runs(s, n, strength, kind, [&](const auto& run, Poll& poll) {
      for (ptrdiff_t i = run.first; i < run.first + run.count; ++i) {
        poll();
        const double rank = kind == Regularization::l2
                                ? point(run, s.a[i], s.w[i], strength) / s.unit
                                : share(run, s.a[i], strength) * rank_sum(n, run.first, run.count);
        out(row, source(s, i, n, descending)) = static_cast<T>(rank);
      }
    });
  });
}

template <class T>
void soft_rank_vjp(MatrixView<const T> x, MatrixView<const T> g, double strength,
                   Regularization kind, bool descending, MatrixView<T> out, int workers) {
  const ptrdiff_t n = x.cols;
  const double sign = descending ? -1 : 1;
  for_finite_rows(x, kind, out, workers, [&](ptrdiff_t row, Scratch<T>& s) {
    prepare_rank(x.row(row), n, kind, descending, s);
    for_runs(s, n, strength, kind, [&](const auto& run, Poll& poll) {
      const ptrdiff_t end = run.first + run.count;
      double mean = 0;
      for (ptrdiff_t i = run.first; i < end; ++i) {
        poll();
        mean +=
            share(run, s.a[i], strength) * static_cast<double>(g(row, source(s, i, n, descending)));
      }
      const double mass = kind == Regularization::l2 ? 1 : rank_sum(n, run.first, run.count);
      for (ptrdiff_t i = run.first; i < end; ++i) {
        poll();
        const ptrdiff_t j = source(s, i, n, descending);
        const double factor = kind == Regularization::l2 ? 1 : share(run, s.a[i], strength) * mass;
        const double value = run.count == 1 ? 0 : factor * (static_cast<double>(g(row, j)) - mean);
        out(row, j) = static_cast<T>(value == 0 ? 0 : sign * value / strength);
      }
    });
  });
}

#define KEXUE_INSTANTIATE(T)                                                                       \
  template void project_permutahedron<T>(MatrixView<const T>, MatrixView<const T>, MatrixView<T>,  \
                                         int);                                                     \
  template void soft_sort<T>(MatrixView<const T>, double, Regularization, bool, MatrixView<T>,     \
                             int);                                                                 \
  template void soft_sort_vjp<T>(MatrixView<const T>, MatrixView<const T>, double, Regularization, \
                                 bool, MatrixView<T>, int);                                        \
  template void soft_rank<T>(MatrixView<const T>, double, Regularization, bool, MatrixView<T>,     \
                             int);                                                                 \
  template void soft_rank_vjp<T>(MatrixView<const T>, MatrixView<const T>, double, Regularization, \
                                 bool, MatrixView<T>, int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::simplex
