// Sparse-sign sketch of a matrix, with held-out Gaussian probes, in one pass over it.
//
//   Y = S A  (n_rows x n),   P = W A  (n_probes x n)
//
// S is a stack of four blocks; row i of A goes to one row of every block, drawn uniformly, with a
// random sign and weight 1/2 (an OSNAP matrix with s = 4: Nelson & Nguyen 2013; Tropp & Webber
// 2023). W is standard normal and independent of S, so that P judges whatever is built from Y.
// Both depend on the key and the global row index alone.
//
// Cost: 4 + n_probes multiply-adds per entry of A and one pass over its memory; scratch of about
// 300 KB per worker beside the outputs. NaN and infinity in A come out as such in Y.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kexue/core/gemm.hpp"
#include "kexue/core/rng.hpp"
#include "kexue/core/views.hpp"

namespace kexue {

template <class R>
struct SketchKernels {
  // y[j, :] += sum over e in [offsets[j], offsets[j + 1]) of signs[e] * tile[rows[e], :] for
  // j < n_rows; the rows of tile and y hold `width` entries, a multiple of kSketchWidth<R>.
  void (*gather)(const R* tile, std::ptrdiff_t width, std::ptrdiff_t n_rows,
                 const std::int32_t* offsets, const std::int32_t* rows, const R* signs, R* y);
};
struct SketchTables {
  SketchKernels<float> f32;
  SketchKernels<double> f64;
};
const SketchTables& sketch_tables();

// Reals per row of a tile: 512 bytes.
template <class R>
inline constexpr std::ptrdiff_t kSketchWidth = 512 / static_cast<std::ptrdiff_t>(sizeof(R));

namespace lowrank {

inline constexpr std::ptrdiff_t kSketchBlocks = 4;

// Dense A, any strides. Y comes in the form pivoted QR works on; n_rows >= kSketchBlocks. probes
// (n_probes, n) is contiguous row-major.
template <class T>
ColumnStrips<T> sparse_sign_sketch(MatrixView<const T> a, std::ptrdiff_t n_rows, Key key,
                                   MatrixView<T> probes, int workers);

// Compressed sparse rows; the same S and W as for the dense matrix of the same entries.
template <class T, class Index>
ColumnStrips<T> sparse_sign_sketch_csr(std::ptrdiff_t m, const Index* indptr, const Index* indices,
                                       const T* data, std::ptrdiff_t n_rows, Key key,
                                       MatrixView<T> probes, int workers);

}  // namespace lowrank
}  // namespace kexue
