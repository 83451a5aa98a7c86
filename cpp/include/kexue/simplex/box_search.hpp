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

}  // namespace kexue::simplex
