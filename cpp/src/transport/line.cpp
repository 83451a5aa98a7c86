#include "kexue/transport/line.hpp"

#include <algorithm>
#include <bit>
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

// One side in order, with its masses (empty if uniform).
struct Sorted {
  AlignedBuffer<double> points;
  AlignedBuffer<uint64_t> companions;

  double mass(ptrdiff_t i) const { return std::bit_cast<double>(companions[i]); }
};

Sorted sort_side(const LineSide& side, ptrdiff_t row, Watch& watch) {
  const ptrdiff_t n = side.points.cols;
  const double* x = side.points.row(row);
  Sorted sorted{AlignedBuffer<double>(n), {}};
  if (side.masses.data == nullptr) {
    AlignedBuffer<uint64_t> scratch(2 * n);
    sort_values(x, n, scratch.data(), sorted.points.data(), watch);
    return sorted;
  }
  AlignedBuffer<uint64_t> scratch(4 * n), mass(n);
  const double* a = side.masses.row(row);
  for (ptrdiff_t i = 0; i < n; ++i) mass[i] = std::bit_cast<uint64_t>(a[i]);
  sorted.companions = AlignedBuffer<uint64_t>(n);
  sort_pairs(x, mass.data(), n, scratch.data(), sorted.points.data(), sorted.companions.data(),
             watch);
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

template <class MassX, class MassY>
double walked_cost(const double* x, ptrdiff_t n, const double* y, ptrdiff_t m, double p,
                   Watch& watch, MassX&& mass_x, MassY&& mass_y) {
  if (std::isinf(p)) {
    double most = 0;
    walk(n, m, watch, mass_x, mass_y, [&](ptrdiff_t i, ptrdiff_t j, double mass) {
      if (mass > 0) most = std::max(most, std::abs(x[i] - y[j]));
    });
    return most;
  }
  Total total;
  walk(n, m, watch, mass_x, mass_y, [&](ptrdiff_t i, ptrdiff_t j, double mass) {
    if (mass > 0) total.add(mass * power(std::abs(x[i] - y[j]), p));
  });
  return total.value();
}

double cost_of(const Sorted& x, const Sorted& y, double p, Watch& watch) {
  const ptrdiff_t n = x.points.size(), m = y.points.size();
  const double *left = x.points.data(), *right = y.points.data();
  const bool uniform_x = x.companions.size() == 0, uniform_y = y.companions.size() == 0;
  if (uniform_x && uniform_y && n == m) return paired_cost(left, right, n, p, watch);
  if (uniform_x && uniform_y) {
    // In units of 1 / (n m), which are exact.
    const double each_x = static_cast<double>(m), each_y = static_cast<double>(n);
    const double sum = walked_cost(
        left, n, right, m, p, watch, [=](ptrdiff_t) { return each_x; },
        [=](ptrdiff_t) { return each_y; });
    return std::isinf(p) ? sum : sum / each_x / each_y;
  }
  const double each_x = 1 / static_cast<double>(n), each_y = 1 / static_cast<double>(m);
  return walked_cost(
      left, n, right, m, p, watch, [&](ptrdiff_t i) { return uniform_x ? each_x : x.mass(i); },
      [&](ptrdiff_t j) { return uniform_y ? each_y : y.mass(j); });
}

}  // namespace

void line_costs(const LineSide& x, const LineSide& y, double p, double* cost, int workers) {
  const ptrdiff_t problems = x.points.rows;
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
    cost[0] = cost_of(sides[0], sides[1], p, watch);
    return;
  }
  parallel_for(
      problems,
      [&](ptrdiff_t k, int) {
        cost[k] = cost_of(sort_side(x, k, watch), sort_side(y, k, watch), p, watch);
      },
      workers);
}

LinePlan line_plan(const LineSide& x, const LineSide& y, double p) {
  const ptrdiff_t n = x.points.cols, m = y.points.cols;
  Watch watch;
  auto order_of = [&](const LineSide& side, AlignedBuffer<double>& points) {
    const ptrdiff_t size = side.points.cols;
    AlignedBuffer<uint64_t> scratch(4 * size), index(size), order(size);
    for (ptrdiff_t i = 0; i < size; ++i) index[i] = static_cast<uint64_t>(i);
    sort_pairs(side.points.data, index.data(), size, scratch.data(), points.data(), order.data(),
               watch);
    return order;
  };
  AlignedBuffer<double> left(n), right(m);
  const auto rows = order_of(x, left), cols = order_of(y, right);
  auto row_of = [&](ptrdiff_t i) { return static_cast<ptrdiff_t>(rows[i]); };
  auto col_of = [&](ptrdiff_t j) { return static_cast<ptrdiff_t>(cols[j]); };
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
        const double c = power(std::abs(left[i] - right[j]), p);
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
