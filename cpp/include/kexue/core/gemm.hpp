// Matrix products on the library's own pool.
//
//   gemm(alpha, A, B, beta, C):  C <- alpha * A B + beta * C,   alpha in {1, -1}, beta in {0, 1}
//
// Why not BLAS: its threads cannot be told to stop spinning between calls and fight the pool, and
// the products here gather, scale and conjugate while they pack. The micro-kernel keeps an
// mr x nr tile of C in registers; B is packed in strips of nr columns, A in strips of mr rows
// (Goto & van de Geijn 2008). Complex products run on separate real and imaginary planes. The
// order of every sum depends on the shapes alone, so results do not depend on the workers.
#pragma once

#include <complex>
#include <cstddef>
#include <type_traits>

#include "kexue/core/buffer.hpp"
#include "kexue/core/views.hpp"

namespace kexue {

template <class R>
struct GemmKernels {
  std::ptrdiff_t mr;
  std::ptrdiff_t nr;
  // c[i * ldc + j] += sum_k a[k * mr + i] * b[k * ldb + j] for i < mr, j < nr.
  void (*micro)(std::ptrdiff_t depth, const R* a, const R* b, std::ptrdiff_t ldb, R* c,
                std::ptrdiff_t ldc);
  // The same for i < mr / 2, with a as it is.
  void (*micro_half)(std::ptrdiff_t depth, const R* a, const R* b, std::ptrdiff_t ldb, R* c,
                     std::ptrdiff_t ldc);
  // The first again, and packed[k * nr + j] = b[k * ldb + j] on the way.
  void (*micro_packs)(std::ptrdiff_t depth, const R* a, const R* b, std::ptrdiff_t ldb, R* packed,
                      R* c, std::ptrdiff_t ldc);
  // c[i * ldc + j] += sum_k a[i * lda + k] * b[k * nr + j]: A as it lies, in rows.
  void (*micro_rows)(std::ptrdiff_t depth, const R* a, std::ptrdiff_t lda, const R* b, R* c,
                     std::ptrdiff_t ldc);
  // out[s * strip + k * nr + j] = b[k * ldb + s * nr + j] for s < n_strips, k < depth, j < nr.
  void (*pack)(std::ptrdiff_t depth, const R* b, std::ptrdiff_t ldb, std::ptrdiff_t n_strips,
               R* out, std::ptrdiff_t strip);
};

struct RoundingKernels {
  // out[s * strip + k * nr + j] = b[k * ldb + s * nr + j], with nr of GemmKernels<float>.
  void (*pack)(std::ptrdiff_t depth, const double* b, std::ptrdiff_t ldb, std::ptrdiff_t n_strips,
               float* out, std::ptrdiff_t strip);
  // c[i * ldc + j] += tile[i * nr + j] for i < rows, j < nr.
  void (*add)(std::ptrdiff_t rows, const float* tile, double* c, std::ptrdiff_t ldc);
};

struct GemmTables {
  GemmKernels<float> f32;
  GemmKernels<double> f64;
  RoundingKernels rounding;
};
const GemmTables& gemm_tables();

template <class R>
const GemmKernels<R>& gemm_kernels() {
  if constexpr (std::is_same_v<R, float>) {
    return gemm_tables().f32;
  } else {
    return gemm_tables().f64;
  }
}

// Largest tile any instruction set uses, for local scratch.
inline constexpr std::ptrdiff_t kMaxTile = 12 * 32;
// Rows of B multiplied at a time: a strip of nr columns stays in the first-level cache.
inline constexpr std::ptrdiff_t kGemmDepth = 256;

namespace detail {
template <class T>
struct RealOf {
  using type = T;
};
template <class R>
struct RealOf<std::complex<R>> {
  using type = R;
};
}  // namespace detail
template <class T>
using real_t = typename detail::RealOf<T>::type;
template <class T>
inline constexpr bool is_complex_v = !std::is_same_v<T, real_t<T>>;

inline float conjugate(float x) { return x; }
inline double conjugate(double x) { return x; }
template <class R>
std::complex<R> conjugate(std::complex<R> x) {
  return std::conj(x);
}
// x y by the plain formula: the language's complex product takes care of infinities at every call.
template <class T>
T times(T x, T y) {
  if constexpr (is_complex_v<T>) {
    return {x.real() * y.real() - x.imag() * y.imag(), x.real() * y.imag() + x.imag() * y.real()};
  } else {
    return x * y;
  }
}
template <class T>
double squared_modulus(T x) {
  if constexpr (is_complex_v<T>) {
    const double re = x.real(), im = x.imag();
    return re * re + im * im;
  } else {
    return static_cast<double>(x) * static_cast<double>(x);
  }
}

// A operand packed for reuse: strips of mr rows, depth-major, rows beyond the last are zero.
// Complex matrices hold three planes: real, imaginary, minus imaginary.
template <class T>
class PackedRows {
 public:
  PackedRows() = default;
  // Packs alpha * op(A) where op conjugates if asked; column k times weights[k], where they are
  // given.
  PackedRows(MatrixView<const T> a, bool conjugate_entries, real_t<T> alpha, int workers,
             const T* weights = nullptr);

  std::ptrdiff_t rows() const { return rows_; }
  std::ptrdiff_t depth() const { return depth_; }
  std::ptrdiff_t n_strips() const { return n_strips_; }
  // Plane 0 real, 1 imaginary, 2 minus imaginary.
  const real_t<T>* strip(std::ptrdiff_t index, int plane = 0) const {
    return data_.data() + (plane * n_strips_ + index) * depth_ * mr_;
  }

 private:
  std::ptrdiff_t rows_ = 0, depth_ = 0, mr_ = 0, n_strips_ = 0;
  AlignedBuffer<real_t<T>> data_;
};

// B operand packed for reuse, and the form in which pivoted QR holds its matrix: strips of nr
// columns, each (rows, nr) contiguous, columns beyond the last are zero. A complex strip is its
// real plane followed by its imaginary plane.
template <class T>
class ColumnStrips {
 public:
  static constexpr int kPlanes = is_complex_v<T> ? 2 : 1;

  ColumnStrips() = default;
  ColumnStrips(std::ptrdiff_t rows, std::ptrdiff_t cols);
  ColumnStrips(MatrixView<const T> a, int workers);

  std::ptrdiff_t rows() const { return rows_; }
  std::ptrdiff_t cols() const { return cols_; }
  std::ptrdiff_t width() const { return nr_; }
  std::ptrdiff_t n_strips() const { return n_strips_; }
  real_t<T>* strip(std::ptrdiff_t index, int plane = 0) const {
    return data_.data() + (index * kPlanes + plane) * rows_ * nr_;
  }
  T at(std::ptrdiff_t i, std::ptrdiff_t j) const {
    const std::ptrdiff_t offset = i * nr_ + j % nr_;
    if constexpr (is_complex_v<T>) {
      return {strip(j / nr_)[offset], strip(j / nr_, 1)[offset]};
    } else {
      return strip(j / nr_)[offset];
    }
  }
  // Largest |Re| or |Im|; NaN if an entry is not finite.
  double max_component(int workers) const;
  void scale(real_t<T> factor, int workers) const;
  // out[i] = column j.
  void gather_column(std::ptrdiff_t j, T* out) const;
  void set_row(std::ptrdiff_t i, const T* row);
  // out (rows, cols) with unit column stride.
  void copy_to(MatrixView<T> out, int workers) const;

 private:
  std::ptrdiff_t rows_ = 0, cols_ = 0, nr_ = 0, n_strips_ = 0;
  AlignedBuffer<real_t<T>> data_;
};

// C <- beta C + A B for packed operands, where A multiplies the rows of B from `first_row` on, as
// many as A is deep, and C takes the first columns of B. C has unit column stride.
template <class T>
void multiply(const PackedRows<T>& a, const ColumnStrips<T>& b, bool accumulate, MatrixView<T> c,
              int workers = 0, std::ptrdiff_t first_row = 0);

// B <- B + A X in place on the strips of B, where X is (depth, cols) with unit column stride and
// its rows are padded to a multiple of the strip width.
template <class T>
void add_product(const PackedRows<T>& a, MatrixView<const T> x, ColumnStrips<T>& b,
                 int workers = 0);

// C <- alpha op(A) diag(weights) B + beta C for any strides of A and B, without weights where they
// are null; C has unit column stride.
template <class T>
void gemm(real_t<T> alpha, MatrixView<const T> a, bool conjugate_a, MatrixView<const T> b,
          bool accumulate, MatrixView<T> c, int workers = 0, const T* weights = nullptr);

// The same strips in single precision.
ColumnStrips<float> rounded(const ColumnStrips<double>& b, int workers);

// c = Q^T B with the entries of Q and B rounded to single precision, sums of up to 320 products in
// single and the sums of those in double precision: an entry errs by some 2^-24 ||q_i|| ||b_j||.
// Half the time of gemm. What exceeds single precision becomes infinite.
void rounded_product(MatrixView<const double> q, MatrixView<const double> b, MatrixView<double> c,
                     int workers);

}  // namespace kexue
