// Column-pivoted QR with the pivots chosen in batches.
//
//   A[:, pivots] = Q R11,   R = Q^H A  (rank x n, all columns, original order)
//
// The pivots are those of the classical algorithm (Businger & Golub 1965): at every step the
// column of largest residual norm, the first of equals. The classical algorithm reads the whole
// matrix once per pivot; this one reads it once per batch. One product B = C^H A with the b columns
// of largest residual norm gives, for every candidate, the row of R it would contribute; as long as
// the next pivot is a candidate, its row is B's, corrected by the pivots taken since, and all
// residual norms follow by downdating. A batch ends when the next pivot is no candidate or when its
// correction has cancelled (then its row would be inaccurate). Candidates that were not taken stay
// in a pool of two batches, made orthogonal to Q anew with every batch: of twelve candidates half
// become pivots on slowly decaying spectra, against a quarter without the pool. Batches are of six
// where the matrix lies in a cache.
//
// Downdated norms lose accuracy by cancellation: when the largest has fallen far below the largest
// at the last refresh, the residual A - Q R is formed and the norms are computed anew. Classical
// pivots to a given rank do without while they are certain: while no other column comes within the
// rounding of the norms (1000 x 1000, 10^(-i / 20), rank 100: a tenth less time).
//
// Cost: 2 m n b per batch and 2 m n per pivot for the refreshes, all as matrix products; memory:
// the packed copy of A that the caller hands over, rank * (m + n) and 2 b * (m + n).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kexue/core/gemm.hpp"

namespace kexue::lowrank {

template <class T>
struct PivotedQr {
  std::vector<std::ptrdiff_t> pivots;  // in the order chosen
  AlignedBuffer<T> q;                  // (rank, m): row i is column i of Q
  AlignedBuffer<T> r;                  // (rank, n)
  std::ptrdiff_t rows = 0, cols = 0;

  std::ptrdiff_t rank() const { return static_cast<std::ptrdiff_t>(pivots.size()); }
  MatrixView<const T> r_view() const { return row_major<const T>(r.data(), rank(), cols); }
  MatrixView<const T> q_view() const { return row_major<const T>(q.data(), rank(), rows); }
};

// slack in (0, 1]: a pivot's residual norm is at least slack times the largest. 1 gives the
// classical pivots, with Q orthonormal to working precision; less lets a batch yield more of them,
// and spares the second orthogonalisation.
//
// `first` are taken first, whatever their norms. Stops after max_rank pivots, when no residual
// column is longer than `stop` times ||A||_2 (a lower bound from the first rows of R stands for
// it), or when the residual has reached the rounding level of the largest column (numerical rank).
// The squares of the entries must neither overflow nor underflow. A is consumed.
template <class T>
PivotedQr<T> pivoted_qr(ColumnStrips<T> a, std::span<const std::ptrdiff_t> first,
                        std::ptrdiff_t max_rank, double stop, double slack, int workers);

// The same factorisation with the pivots given; one whose residual is at rounding level ends it.
template <class T>
PivotedQr<T> prescribed_qr(ColumnStrips<T> a, std::span<const std::ptrdiff_t> pivots, int workers);

}  // namespace kexue::lowrank
