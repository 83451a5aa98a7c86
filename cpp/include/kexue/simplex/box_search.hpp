// The search for tau of a projection onto a simplex with bounds.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "kexue/simplex/box_projection.hpp"

namespace kexue::simplex {

// a + b without error.
inline BoxRoot sum_of(double a, double b) {
  const double sum = a + b, part = sum - a;
  return {sum, (a - (sum - part)) + (b - part)};
}

// Newton's method in a bracket, for the root of sum(tau) = radius, sum falling. Where neighbouring
// doubles enclose the root, the search goes on in distances from the nearer of them.
class BoxSearch {
 public:
  BoxRoot tau;
  bool below = false;  // tau lies below the root, as far as the last sum tells
  bool failed = false;
  bool settled = false;  // the last sum was the radius, up to rounding

  BoxSearch(double start, double radius, double slack, double enough, bool weighted)
      : tau{start, 0},
        radius_(radius),
        enough_(enough),
        weighted_(weighted),
        stride_(std::max({slack, std::abs(start) / 1024, std::numeric_limits<double>::min()})) {}

  // Takes sum(tau) = rest + sums; moves tau, or returns false if it is the root or there is none.
  bool advance(const BoxSums& sums, BoxRoot rest);

 private:
  enum class Stage { whole, halved, distance };

  // Of tau, in the bracket's coordinate: tau itself or its distance from the base, tau.high.
  double place() const { return stage_ == Stage::whole ? tau.high : tau.low; }
  void set_place(double place) {
    if (stage_ == Stage::whole) {
      tau = {place, 0};
    } else {
      tau.low = place;
    }
  }
  void choose_base();
  bool move(double step);

  double radius_, enough_;
  bool weighted_;
  double stride_, gap_ = 0;
  double low_ = -std::numeric_limits<double>::infinity(),
         high_ = std::numeric_limits<double>::infinity(),
         last_size_ = std::numeric_limits<double>::infinity();
  int pass_ = 0, stalls_ = 0;
  Stage stage_ = Stage::whole;
};

// How far apart the columns of a row are, x not looked at.
struct BoxReach {
  double lightest;  // weight
  double heaviest;
  double lowest;    // the largest |lower bound|
  double greatest;  // number of the result's dtype
  bool bounded;     // above, or below other than by 0

  // Whether sums over the row, or an entry of the result, may leave the range of their numbers.
  bool is_exceeded(double radius) const;
  // Whether a sum that is right up to rounding may leave light entries far from their places.
  bool may_hide() const;
};
template <class T>
BoxReach reach_of(const BoxRow<T>& row);

// Whether the sum at tau, `sums`, is the radius up to rounding, and every entry as near as that
// lets it be, where entries of both signs cancel in the sum.
template <class T>
bool is_within_rounding(const BoxRow<T>& row, BoxRoot tau, const BoxSums& sums, double radius);

}  // namespace kexue::simplex
