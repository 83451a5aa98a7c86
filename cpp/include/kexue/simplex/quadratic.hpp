// Minimisation of convex quadratics over the simplex {p >= 0, sum p = r} by a block active set:
//
//   qp             f(p) = p' Q p / 2 + c' p              Q symmetric, n x n
//   least squares  f(p) = |A p - b|^2 / 2                A given by its columns
//
// On the face of the current support a Newton step solves the reduced system (one entry is
// eliminated by sum p = r, the rest is factored by Cholesky). A point outside the face is projected
// back, all negative entries at once, if that lowers f; else the step stops at the first bound.
// When the face holds its minimum, the entries whose gradient lies lowest join, at most as many as
// are there already; if none of them could move, the single lowest one joins, which always can.
// Every accepted step lowers f, so no face repeats: finite for convex f (Lawson & Hanson 1974,
// Wolfe 1976 for the one-at-a-time form). Cost: s^3 / 3 for a face of s entries, n s (qp) or m n
// (least squares) for a gradient; a few dozen of each as a rule.
//
// The certificate is the Frank-Wolfe gap  p'g - r min_i g_i >= f(p) - min f,  g the gradient.
#pragma once

#include <cstddef>
#include <span>

#include "kexue/core/views.hpp"

namespace kexue::simplex {

struct QuadraticMinimum {
  double value;
  double gap;
  // Bounds the terms of the gradient, times r: rounding in the gap is a few eps of it.
  double scale;
  std::ptrdiff_t n_iter;
  bool converged;  // gap <= tol * scale
};

// Q is row-major, contiguous rows. p (n) receives the minimiser. Throws numerical_error if a face
// has a direction of negative curvature.
QuadraticMinimum minimize_quadratic(MatrixView<const double> q, std::span<const double> c,
                                    double radius, double tol, std::ptrdiff_t max_iter, double* p,
                                    int workers);

// `columns` (n, m) holds the columns of A, contiguous; b has m entries.
QuadraticMinimum minimize_least_squares(MatrixView<const double> columns, std::span<const double> b,
                                        double radius, double tol, std::ptrdiff_t max_iter,
                                        double* p, int workers);

}  // namespace kexue::simplex
