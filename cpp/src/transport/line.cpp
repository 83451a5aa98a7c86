#include "kexue/transport/line.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kexue/core/buffer.hpp"
#include "kexue/core/index.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/transport/sorting.hpp"

namespace kexue::transport {

using std::ptrdiff_t;
using std::uint64_t;

namespace {

// What a product can lose below the normal numbers.
constexpr double kLeast = std::numeric_limits<double>::denorm_min();

double power(double distance, double p) {
  if (p == 1) return distance;
  if (p == 2) return distance * distance;
  return std::pow(distance, p);
}

// A sum with the errors of its additions.
struct Total {
  double sum = 0, low = 0;
  void add(double x) {
    const double next = sum + x, part = next - sum;
    low += (sum - (next - part)) + (x - part);
    sum = next;
  }
  double value() const { return std::isfinite(sum) ? sum + low : sum; }
};

// One side in order: points of the same mass each, or points with their masses.
struct Sorted {
  AlignedBuffer<double> points;
  AlignedBuffer<Pair> scratch;
  const Pair* pairs = nullptr;
};
struct Uniform {
  const double* points;
  double each;
  double point(ptrdiff_t i) const { return points[i]; }
  double mass(ptrdiff_t) const { return each; }
};
struct Weighted {
  const Pair* pairs;
  double point(ptrdiff_t i) const { return pairs[i].value(); }
  double mass(ptrdiff_t i) const { return pairs[i].companion(); }
};

Sorted sort_side(const LineSide& side, ptrdiff_t row, Watch& watch) {
  const ptrdiff_t n = side.points.cols;
  const double* x = side.points.row(row);
  Sorted sorted;
  if (side.masses.data == nullptr) {
    sorted.points = AlignedBuffer<double>(n);
    AlignedBuffer<uint64_t> scratch(2 * n);
    sort_values(x, n, scratch.data(), sorted.points.data(), watch);
  } else {
    sorted.scratch = AlignedBuffer<Pair>(2 * n);
    sorted.pairs = sort_pairs(x, side.masses.row(row), n, sorted.scratch.data(), watch);
  }
  return sorted;
}

// Equal numbers of equal masses: the k-th of one side goes to the k-th of the other.
double paired_cost(const double* x, const double* y, ptrdiff_t n, double p, Watch& watch) {
  if (std::isinf(p)) {
    double most = 0;
    for (ptrdiff_t i = 0; i < n; ++i) most = std::max(most, std::abs(x[i] - y[i]));
    return most;
  }
  constexpr ptrdiff_t kBlock = 256;
  Total total;
  for (ptrdiff_t first = 0; first < n; first += kBlock) {
    if (first % Watch::kBlock == 0 && !watch.go_on()) break;
    const ptrdiff_t end = std::min(n, first + kBlock);
    double part = 0;
    for (ptrdiff_t i = first; i < end; ++i) part += power(std::abs(x[i] - y[i]), p);
    total.add(part);
  }
  return total.value() / static_cast<double>(n);
}

// visit(i, j, mass) for the cells of the staircase from left to right. The one that runs out first
// moves on; the last of a side takes what comes, so that rounding of the sums leaves nothing over.
template <class MassX, class MassY, class Visit>
void walk(ptrdiff_t n, ptrdiff_t m, Watch& watch, MassX&& mass_x, MassY&& mass_y, Visit&& visit) {
  ptrdiff_t i = 0, j = 0;
  double a = mass_x(0), b = mass_y(0);
  for (;;) {
    const bool last_x = i == n - 1, last_y = j == m - 1;
    if (last_x && last_y) return visit(i, j, std::min(a, b));
    if ((i + j) % Watch::kBlock == 0 && !watch.go_on()) return;
    if (last_y || (!last_x && a <= b)) {
      visit(i, j, a);
      b = std::max(0.0, b - a);
      a = mass_x(++i);
    } else {
      visit(i, j, b);
      a = std::max(0.0, a - b);
      b = mass_y(++j);
    }
  }
}

template <class X, class Y>
double walked_cost(const X& x, ptrdiff_t n, const Y& y, ptrdiff_t m, double p, Watch& watch) {
  const auto mass_x = [&](ptrdiff_t i) { return x.mass(i); };
  const auto mass_y = [&](ptrdiff_t j) { return y.mass(j); };
  const auto distance = [&](ptrdiff_t i, ptrdiff_t j) { return std::abs(x.point(i) - y.point(j)); };
  if (std::isinf(p)) {
    double most = 0;
    walk(n, m, watch, mass_x, mass_y, [&](ptrdiff_t i, ptrdiff_t j, double mass) {
      if (mass > 0) most = std::max(most, distance(i, j));
    });
    return most;
  }
  Total total;
  walk(n, m, watch, mass_x, mass_y, [&](ptrdiff_t i, ptrdiff_t j, double mass) {
    if (mass > 0) total.add(mass * power(distance(i, j), p));
  });
  return total.value();
}

double cost_of(const Sorted& x, ptrdiff_t n, const Sorted& y, ptrdiff_t m, double p, Watch& watch) {
  const double *left = x.points.data(), *right = y.points.data();
  const double each_x = 1 / static_cast<double>(n), each_y = 1 / static_cast<double>(m);
  if (x.pairs != nullptr && y.pairs != nullptr) {
    return walked_cost(Weighted{x.pairs}, n, Weighted{y.pairs}, m, p, watch);
  }
  if (x.pairs != nullptr) {
    return walked_cost(Weighted{x.pairs}, n, Uniform{right, each_y}, m, p, watch);
  }
  if (y.pairs != nullptr) {
    return walked_cost(Uniform{left, each_x}, n, Weighted{y.pairs}, m, p, watch);
  }
  if (n == m) return paired_cost(left, right, n, p, watch);
  // In units of 1 / (n m), which are exact.
  const double units_x = static_cast<double>(m), units_y = static_cast<double>(n);
  const double sum = walked_cost(Uniform{left, units_x}, n, Uniform{right, units_y}, m, p, watch);
  return std::isinf(p) ? sum : sum / units_x / units_y;
}

}  // namespace

void line_costs(const LineSide& x, const LineSide& y, double p, double* cost, int workers) {
  const ptrdiff_t problems = x.points.rows, n = x.points.cols, m = y.points.cols;
  Watch watch;
  if (problems == 1) {
    // The thread that polls begins, with the longer side: it must not end long before the other.
    const ptrdiff_t longer = x.points.cols >= y.points.cols ? 0 : 1;
    Sorted sides[2];
    parallel_for(
        2,
        [&](ptrdiff_t k, int) {
          const ptrdiff_t side = k == 0 ? longer : 1 - longer;
          sides[side] = sort_side(side == 0 ? x : y, 0, watch);
        },
        workers);
    cost[0] = cost_of(sides[0], n, sides[1], m, p, watch);
    return;
  }
  parallel_for(
      problems,
      [&](ptrdiff_t k, int) {
        cost[k] = cost_of(sort_side(x, k, watch), n, sort_side(y, k, watch), m, p, watch);
      },
      workers);
}

LinePlan line_plan(const LineSide& x, const LineSide& y, double p) {
  const ptrdiff_t n = x.points.cols, m = y.points.cols;
  Watch watch;
  // Points with their places, which a double holds exactly.
  auto order_of = [&](const LineSide& side, AlignedBuffer<Pair>& scratch) {
    const ptrdiff_t size = side.points.cols;
    AlignedBuffer<double> index(size);
    for (ptrdiff_t i = 0; i < size; ++i) index[i] = static_cast<double>(i);
    scratch = AlignedBuffer<Pair>(2 * size);
    return sort_pairs(side.points.data, index.data(), size, scratch.data(), watch);
  };
  AlignedBuffer<Pair> left, right;
  const Pair *rows = order_of(x, left), *cols = order_of(y, right);
  auto row_of = [&](ptrdiff_t i) { return static_cast<ptrdiff_t>(rows[i].companion()); };
  auto col_of = [&](ptrdiff_t j) { return static_cast<ptrdiff_t>(cols[j].companion()); };
  LinePlan plan;
  plan.f.assign(at(n), 0);
  plan.g.assign(at(m), 0);
  struct Entry {
    std::int64_t row, col;
    double mass;
  };
  std::vector<Entry> entries;
  Total total;
  ptrdiff_t last_i = -1, last_j = -1;
  // Errors of the last row's and column's potential: that of the cost, of the potential it is
  // subtracted from, and of the subtraction, a running analysis (Higham 2002, section 3.3).
  double row_error = 0, col_error = 0, drift = 0;
  plan.cost_error = std::expm1((p + 3) * 0x1p-52);
  auto follow = [&](double c, double potential, double before) {
    return before + (c * plan.cost_error + std::abs(potential) * 0x1p-53) + kLeast;
  };
  walk(
      n, m, watch, [&](ptrdiff_t i) { return x.masses.data[row_of(i)]; },
      [&](ptrdiff_t j) { return y.masses.data[col_of(j)]; },
      [&](ptrdiff_t i, ptrdiff_t j, double mass) {
        const ptrdiff_t row = row_of(i), col = col_of(j);
        const double c = power(std::abs(rows[i].value() - cols[j].value()), p);
        // Each cell of the staircase brings one new node.
        if (j != last_j) {
          plan.g[at(col)] = c - plan.f[at(row)];
          col_error = follow(c, plan.g[at(col)], row_error);
          drift += y.masses.data[col] * col_error;
        } else if (i != last_i) {
          plan.f[at(row)] = c - plan.g[at(col)];
          row_error = follow(c, plan.f[at(row)], col_error);
          drift += x.masses.data[row] * row_error;
        }
        last_i = i;
        last_j = j;
        if (!(mass > 0)) return;
        entries.push_back({row, col, mass});
        total.add(mass * c);
      });
  ptrdiff_t compared = 0;
  std::sort(entries.begin(), entries.end(), [&](const Entry& s, const Entry& t) {
    if (++compared % Watch::kBlock == 0) watch.go_on();
    return s.row < t.row || (s.row == t.row && s.col < t.col);
  });
  for (const auto& entry : entries) {
    plan.rows.push_back(entry.row);
    plan.cols.push_back(entry.col);
    plan.mass.push_back(entry.mass);
  }
  plan.value = total.value();
  // The errors are sums and products of positive numbers, at most a few times n + m of them.
  plan.drift = drift * (1 + 0x1p-48 * static_cast<double>(n + m));
  return plan;
}

}  // namespace kexue::transport
