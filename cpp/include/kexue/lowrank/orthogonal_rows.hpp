// Singular values and right singular vectors of a small matrix, by rotations of its rows.
//
//   X = U S V^H,   x <- U^H X = S V^H
//
// One-sided Jacobi (Hestenes 1958): pairs of rows are rotated until all are orthogonal,
//
//   |<x_p, x_q>| <= sqrt(n) eps ||x_p|| ||x_q||.
//
// If X = D C with D diagonal and C well conditioned, every singular value, however small, and every
// row comes out to eps cond(C) of itself (Demmel & Veselic 1992), where LAPACK's bidiagonal methods
// promise eps ||X||. Rows that are graded and come from a pivoted factorisation need few sweeps
// (Drmac & Veselic 2008). It also leaves BLAS alone, whose threads would keep a core busy for 20 ms
// after a factorisation that takes three.
//
// A sweep costs about 5 k^2 n operations on one thread; six or so are needed. Entries must be
// finite and their squares must neither overflow nor underflow.
#pragma once

#include <span>

#include "kexue/core/gemm.hpp"

namespace kexue::lowrank {

// x (k, n), rows contiguous, becomes S V^H with rows of falling length; `lengths` (k) becomes S.
template <class T>
void orthogonalize_rows(MatrixView<T> x, std::span<double> lengths);

}  // namespace kexue::lowrank
