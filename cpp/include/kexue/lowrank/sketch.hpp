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

// A tile is a block of rows and 512 bytes of columns, held as eight strips of 64 bytes a row: one
// strip stays in the first-level cache while its rows are gathered.
inline constexpr int kSketchStrips = 8;
// Reals per row of a strip, and of a tile.
template <class R>
inline constexpr std::ptrdiff_t kSketchStrip = 64 / static_cast<std::ptrdiff_t>(sizeof(R));
template <class R>
inline constexpr std::ptrdiff_t kSketchWidth = kSketchStrips * kSketchStrip<R>;

template <class R>
struct SketchKernels {
  std::ptrdiff_t n_probes;  // rows that `probe` adds to at a time
  // tile[s * strip_size + i * kSketchStrip + c] = a[i * stride + s * kSketchStrip + c]
  void (*pack)(const R* a, std::ptrdiff_t stride, std::ptrdiff_t n_rows, R* tile,
               std::ptrdiff_t strip_size);
  // For one strip and j < n_rows: y[j * kSketchStrip + c] += sum over e in [offsets[j],
  // offsets[j + 1]) of signs[e] * tile[rows[e] + c].
  void (*gather)(const R* tile, std::ptrdiff_t n_rows, const std::int32_t* offsets,
                 const std::int32_t* rows, const R* signs, R* y);
  // For all strips: y[s * y_strip_size + i * kSketchStrip + c] += sum over k < depth of
  // weights[k * stride + i] * tile[s * strip_size + k * kSketchStrip + c], i < n_probes. Where `a`
  // is not null the tile is packed from it on the way; `ahead` of its rows exist.
  void (*probe)(std::ptrdiff_t depth, const R* weights, std::ptrdiff_t stride, const R* a,
                std::ptrdiff_t a_stride, std::ptrdiff_t ahead, R* tile, std::ptrdiff_t strip_size,
                R* y, std::ptrdiff_t y_strip_size);
};
struct SketchTables {
  SketchKernels<float> f32;
  SketchKernels<double> f64;
};
const SketchTables& sketch_tables();

namespace lowrank {

inline constexpr std::ptrdiff_t kSketchBlocks = 4;

// Y in the form pivoted QR works on, and its max_component().
template <class T>
struct Sketched {
  ColumnStrips<T> y;
  double largest;
};

// Dense A, any strides; n_rows >= kSketchBlocks. probes (n_probes, n) is contiguous row-major.
template <class T>
Sketched<T> sparse_sign_sketch(MatrixView<const T> a, std::ptrdiff_t n_rows, Key key,
                               MatrixView<T> probes, int workers);

// Compressed sparse rows; the same S and W as for the dense matrix of the same entries.
template <class T, class Index>
ColumnStrips<T> sparse_sign_sketch_csr(std::ptrdiff_t m, const Index* indptr, const Index* indices,
                                       const T* data, std::ptrdiff_t n_rows, Key key,
                                       MatrixView<T> probes, int workers);

}  // namespace lowrank
}  // namespace kexue
