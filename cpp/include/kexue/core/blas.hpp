// BLAS and LAPACK through a table of Fortran entry points that the embedding program supplies.
//
// The core links no BLAS. At the first call the loader hook (the bindings': SciPy's Cython BLAS)
// is asked to install a table; without a hook the call throws std::runtime_error. Entry points may
// take 32-bit (LP64) or 64-bit (ILP64) integers; the functions below take std::ptrdiff_t, throw
// std::invalid_argument when a size does not fit the table's integers, and hide the difference.
//
// Matrices are column-major: element (i, j) of `a` is a[i + j * lda], lda >= max(1, rows); a
// leading dimension that is too small throws std::invalid_argument (BLAS itself would print to
// stderr and return). T is float, double, std::complex<float> or std::complex<double>; Real<T> is
// its real type. On real types Op::adjoint means Op::transpose. Scratch is allocated inside. A
// nonzero LAPACK info is a kexue::numerical_error that names the routine, except where it is an
// answer (getrf, potrf: see there).
//
// The library behind the table has its own threads: do not call it from a parallel region.
#pragma once

#include <complex>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace kexue::blas {

// ---- the table ----------------------------------------------------------------------------------

using Function = void (*)();

// One entry of the table. `arguments` has a letter for every argument, all of them pointers:
// c char, i integer, s float, d double, C complex float, Z complex double.
struct Routine {
  std::string name;  // such as "dgemm"
  std::string arguments;
  bool lapack = false;
};

// The entries of the table, in its order.
std::span<const Routine> routines();

// Makes the table current; functions[i] implements routines()[i]. An earlier table stays valid for
// the calls that are inside it. int_bits is 32 or 64.
void install(std::span<const Function> functions, int int_bits);
void set_loader(void (*loader)());
// 32 or 64; 0 while nothing is installed.
int int_bits();

// ---- BLAS ---------------------------------------------------------------------------------------

namespace detail {
template <class T>
struct RealOf {
  using type = T;
};
template <class T>
struct RealOf<std::complex<T>> {
  using type = T;
};
}  // namespace detail
template <class T>
using Real = typename detail::RealOf<T>::type;

enum class Op : char { none = 'N', transpose = 'T', adjoint = 'C' };
enum class Side : char { left = 'L', right = 'R' };
enum class Uplo : char { upper = 'U', lower = 'L' };
enum class Diag : char { general = 'N', unit = 'U' };

// c = alpha op(a) op(b) + beta c; op(a) is m x k, op(b) is k x n. c is not read when beta is 0.
template <class T>
void gemm(Op op_a, Op op_b, std::ptrdiff_t m, std::ptrdiff_t n, std::ptrdiff_t k, T alpha,
          const T* a, std::ptrdiff_t lda, const T* b, std::ptrdiff_t ldb, T beta, T* c,
          std::ptrdiff_t ldc);

// The triangle `uplo` of c = alpha op(a) op(a)^H + beta c; op(a) is n x k, op none or adjoint. The
// other triangle is left alone; the diagonal comes out real.
template <class T>
void herk(Uplo uplo, Op op, std::ptrdiff_t n, std::ptrdiff_t k, Real<T> alpha, const T* a,
          std::ptrdiff_t lda, Real<T> beta, T* c, std::ptrdiff_t ldc);

// b (m x n) = alpha op(a)^-1 b on the left, alpha b op(a)^-1 on the right; a is triangular and not
// checked for zeros on its diagonal.
template <class T>
void trsm(Side side, Uplo uplo, Op op, Diag diag, std::ptrdiff_t m, std::ptrdiff_t n, T alpha,
          const T* a, std::ptrdiff_t lda, T* b, std::ptrdiff_t ldb);

// b (m x n) = alpha op(a) b on the left, alpha b op(a) on the right; a is triangular.
template <class T>
void trmm(Side side, Uplo uplo, Op op, Diag diag, std::ptrdiff_t m, std::ptrdiff_t n, T alpha,
          const T* a, std::ptrdiff_t lda, T* b, std::ptrdiff_t ldb);

}  // namespace kexue::blas

namespace kexue::lapack {

using blas::Diag;
using blas::Op;
using blas::Real;
using blas::Side;
using blas::Uplo;

// ---- LAPACK: min = min(m, n) --------------------------------------------------------------------

// a (m x n) = Q R: R in the upper triangle, min Householder vectors below it, tau[min].
template <class T>
void geqrf(std::ptrdiff_t m, std::ptrdiff_t n, T* a, std::ptrdiff_t lda, T* tau);

// a P = Q R as in geqrf with |R(i, i)| not increasing; column j of a P is column pivots[j] of a,
// pivots[n] counted from 0.
template <class T>
void geqp3(std::ptrdiff_t m, std::ptrdiff_t n, T* a, std::ptrdiff_t lda, std::ptrdiff_t* pivots,
           T* tau);

// Householder vectors to the first n columns of Q, m >= n >= k; orgqr for the complex types too.
template <class T>
void orgqr(std::ptrdiff_t m, std::ptrdiff_t n, std::ptrdiff_t k, T* a, std::ptrdiff_t lda,
           const T* tau);

// c (m x n) = op(Q) c on the left, c op(Q) on the right, Q of k Householder vectors; op none or
// adjoint.
template <class T>
void ormqr(Side side, Op op, std::ptrdiff_t m, std::ptrdiff_t n, std::ptrdiff_t k, const T* a,
           std::ptrdiff_t lda, const T* tau, T* c, std::ptrdiff_t ldc);

// P a = L U; row i was exchanged with row pivots[i] >= i, in order of i, pivots[min] counted from
// 0. Returns the number of leading columns without an exactly zero pivot: min if U is regular; the
// factors are complete in any case.
template <class T>
[[nodiscard]] std::ptrdiff_t getrf(std::ptrdiff_t m, std::ptrdiff_t n, T* a, std::ptrdiff_t lda,
                                   std::ptrdiff_t* pivots);

// a = U^H U or L L^H in the triangle `uplo`. Returns the order of the largest leading block that
// was factored: n on success, less if a is not positive definite.
template <class T>
[[nodiscard]] std::ptrdiff_t potrf(Uplo uplo, std::ptrdiff_t n, T* a, std::ptrdiff_t lda);

// The inverse of a triangular matrix, in place; throws if a diagonal element is exactly zero.
template <class T>
void trtri(Uplo uplo, Diag diag, std::ptrdiff_t n, T* a, std::ptrdiff_t lda);

enum class Vectors : char { none = 'N', thin = 'S', all = 'A' };

// a (m x n, destroyed) = U diag(s) V^H, s[min] not increasing. u is m x min (thin) or m x m (all),
// vh is min x n or n x n; neither is touched with Vectors::none. gesdd divides and conquers; gesvd
// iterates: slower, and converges where gesdd has given up.
template <class T>
void gesdd(Vectors vectors, std::ptrdiff_t m, std::ptrdiff_t n, T* a, std::ptrdiff_t lda,
           Real<T>* s, T* u, std::ptrdiff_t ldu, T* vh, std::ptrdiff_t ldvh);
template <class T>
void gesvd(Vectors vectors, std::ptrdiff_t m, std::ptrdiff_t n, T* a, std::ptrdiff_t lda,
           Real<T>* s, T* u, std::ptrdiff_t ldu, T* vh, std::ptrdiff_t ldvh);

// Eigenvalues w[n], ascending, of the Hermitian matrix in the triangle `uplo` of a; a becomes the
// eigenvectors, or is destroyed without them.
template <class T>
void heevd(bool vectors, Uplo uplo, std::ptrdiff_t n, T* a, std::ptrdiff_t lda, Real<T>* w);

}  // namespace kexue::lapack
