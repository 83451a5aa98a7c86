#include "blas_calls.hpp"

namespace kexue::lapack {

using blas::call_checked;
using blas::call_info;
using blas::check_leading;
using blas::check_size;
using blas::Id;
using blas::IntArray;
using blas::kIsComplex;
using blas::kQuery;
using blas::queried_size;
using std::ptrdiff_t;

// ---- factorisations -----------------------------------------------------------------------------

template <class T>
void geqrf(ptrdiff_t m, ptrdiff_t n, T* a, ptrdiff_t lda, T* tau) {
  check_size<Id::geqrf, T>(std::min(m, n), "m and n");
  check_leading<Id::geqrf, T>(lda, m, "lda");
  T best{};
  call_checked<Id::geqrf, T>(m, n, a, lda, tau, &best, kQuery);
  const AlignedBuffer<T> work(queried_size(best, std::max<ptrdiff_t>(1, n)));
  call_checked<Id::geqrf, T>(m, n, a, lda, tau, work.data(), work.size());
}

template <class T>
void geqp3(ptrdiff_t m, ptrdiff_t n, T* a, ptrdiff_t lda, ptrdiff_t* pivots, T* tau) {
  check_size<Id::geqp3, T>(std::min(m, n), "m and n");
  check_leading<Id::geqp3, T>(lda, m, "lda");
  IntArray columns(std::max<ptrdiff_t>(1, n));  // zero: every column is free to move
  const AlignedBuffer<Real<T>> norms(kIsComplex<T> ? 2 * n : 0);
  const auto factor = [&](T* work, ptrdiff_t size) {
    if constexpr (kIsComplex<T>) {
      call_checked<Id::geqp3, T>(m, n, a, lda, &columns, tau, work, size, norms.data());
    } else {
      call_checked<Id::geqp3, T>(m, n, a, lda, &columns, tau, work, size);
    }
  };
  T best{};
  factor(&best, kQuery);
  const AlignedBuffer<T> work(queried_size(best, 3 * n + 1));
  factor(work.data(), work.size());
  for (ptrdiff_t j = 0; j < n; ++j) pivots[j] = columns[j] - 1;
}

template <class T>
void orgqr(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, T* a, ptrdiff_t lda, const T* tau) {
  check_size<Id::orgqr, T>(k, "k");
  require(m >= n && n >= k, "orgqr: sizes must satisfy m >= n >= k");
  check_leading<Id::orgqr, T>(lda, m, "lda");
  T best{};
  call_checked<Id::orgqr, T>(m, n, k, a, lda, tau, &best, kQuery);
  const AlignedBuffer<T> work(queried_size(best, std::max<ptrdiff_t>(1, n)));
  call_checked<Id::orgqr, T>(m, n, k, a, lda, tau, work.data(), work.size());
}

template <class T>
void ormqr(Side side, Op op, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const T* a, ptrdiff_t lda,
           const T* tau, T* c, ptrdiff_t ldc) {
  check_size<Id::ormqr, T>(std::min({m, n, k}), "m, n and k");
  require(op != Op::transpose || !kIsComplex<T>, "ormqr: 'op' must be none or adjoint");
  const ptrdiff_t order = side == Side::left ? m : n;
  require(k <= order, "ormqr: 'k' must not exceed the order of Q");
  check_leading<Id::ormqr, T>(lda, order, "lda");
  check_leading<Id::ormqr, T>(ldc, m, "ldc");
  // LAPACK names the same operation T for the real types and C for the complex ones.
  const Op named = op == Op::none ? Op::none : kIsComplex<T> ? Op::adjoint : Op::transpose;
  T best{};
  call_checked<Id::ormqr, T>(side, named, m, n, k, a, lda, tau, c, ldc, &best, kQuery);
  const AlignedBuffer<T> work(queried_size(best, std::max<ptrdiff_t>(1, m + n - order)));
  call_checked<Id::ormqr, T>(side, named, m, n, k, a, lda, tau, c, ldc, work.data(), work.size());
}

template <class T>
ptrdiff_t getrf(ptrdiff_t m, ptrdiff_t n, T* a, ptrdiff_t lda, ptrdiff_t* pivots) {
  check_size<Id::getrf, T>(std::min(m, n), "m and n");
  check_leading<Id::getrf, T>(lda, m, "lda");
  const ptrdiff_t min = std::min(m, n);
  IntArray rows(std::max<ptrdiff_t>(1, min));
  const ptrdiff_t info = call_info<Id::getrf, T>(m, n, a, lda, &rows);
  for (ptrdiff_t i = 0; i < min; ++i) pivots[i] = rows[i] - 1;
  return info > 0 ? info - 1 : min;
}

template <class T>
ptrdiff_t potrf(Uplo uplo, ptrdiff_t n, T* a, ptrdiff_t lda) {
  check_size<Id::potrf, T>(n, "n");
  check_leading<Id::potrf, T>(lda, n, "lda");
  const ptrdiff_t info = call_info<Id::potrf, T>(uplo, n, a, lda);
  return info > 0 ? info - 1 : n;
}

template <class T>
void trtri(Uplo uplo, Diag diag, ptrdiff_t n, T* a, ptrdiff_t lda) {
  check_size<Id::trtri, T>(n, "n");
  check_leading<Id::trtri, T>(lda, n, "lda");
  call_checked<Id::trtri, T>(uplo, diag, n, a, lda);
}

// ---- singular values and eigenvalues ------------------------------------------------------------

namespace {

template <Id id, class T>
void check_svd(Vectors vectors, ptrdiff_t m, ptrdiff_t n, ptrdiff_t lda, ptrdiff_t ldu,
               ptrdiff_t ldvh) {
  check_size<id, T>(std::min(m, n), "m and n");
  check_leading<id, T>(lda, m, "lda");
  if (vectors == Vectors::none) return;
  check_leading<id, T>(ldu, m, "ldu");
  check_leading<id, T>(ldvh, vectors == Vectors::all ? n : std::min(m, n), "ldvh");
}

}  // namespace

// The minimal workspaces are LAPACK's documented ones, computed here because with 32-bit integers
// the queries overflow before the matrix does.
template <class T>
void gesdd(Vectors vectors, ptrdiff_t m, ptrdiff_t n, T* a, ptrdiff_t lda, Real<T>* s, T* u,
           ptrdiff_t ldu, T* vh, ptrdiff_t ldvh) {
  check_svd<Id::gesdd, T>(vectors, m, n, lda, ldu, ldvh);
  const ptrdiff_t min = std::min(m, n);
  const ptrdiff_t max = std::max(m, n);
  if (vectors == Vectors::none) ldu = ldvh = 1;
  IntArray integers(std::max<ptrdiff_t>(1, 8 * min));
  const ptrdiff_t reals =
      vectors == Vectors::none ? 7 * min : min * std::max(5 * min + 7, 2 * max + 2 * min + 1);
  const AlignedBuffer<Real<T>> real_work(kIsComplex<T> ? std::max<ptrdiff_t>(1, reals) : 0);
  const auto decompose = [&](T* work, ptrdiff_t size) {
    if constexpr (kIsComplex<T>) {
      call_checked<Id::gesdd, T>(vectors, m, n, a, lda, s, u, ldu, vh, ldvh, work, size,
                                 real_work.data(), &integers);
    } else {
      call_checked<Id::gesdd, T>(vectors, m, n, a, lda, s, u, ldu, vh, ldvh, work, size, &integers);
    }
  };
  const ptrdiff_t minimum = vectors == Vectors::none
                                ? 3 * min + std::max(max, 7 * min)
                                : (kIsComplex<T> ? 1 : 4) * min * min + 7 * min + max;
  T best{};
  blas::check_fits<Id::gesdd, T>(minimum);
  decompose(&best, kQuery);
  const AlignedBuffer<T> work(queried_size(best, std::max<ptrdiff_t>(1, minimum)));
  decompose(work.data(), work.size());
}

template <class T>
void gesvd(Vectors vectors, ptrdiff_t m, ptrdiff_t n, T* a, ptrdiff_t lda, Real<T>* s, T* u,
           ptrdiff_t ldu, T* vh, ptrdiff_t ldvh) {
  check_svd<Id::gesvd, T>(vectors, m, n, lda, ldu, ldvh);
  const ptrdiff_t min = std::min(m, n);
  if (vectors == Vectors::none) ldu = ldvh = 1;
  const AlignedBuffer<Real<T>> real_work(kIsComplex<T> ? std::max<ptrdiff_t>(1, 5 * min) : 0);
  const auto decompose = [&](T* work, ptrdiff_t size) {
    if constexpr (kIsComplex<T>) {
      call_checked<Id::gesvd, T>(vectors, vectors, m, n, a, lda, s, u, ldu, vh, ldvh, work, size,
                                 real_work.data());
    } else {
      call_checked<Id::gesvd, T>(vectors, vectors, m, n, a, lda, s, u, ldu, vh, ldvh, work, size);
    }
  };
  T best{};
  decompose(&best, kQuery);
  const ptrdiff_t minimum = std::max(3 * min + std::max(m, n), 5 * min);
  const AlignedBuffer<T> work(queried_size(best, std::max<ptrdiff_t>(1, minimum)));
  decompose(work.data(), work.size());
}

template <class T>
void heevd(bool vectors, Uplo uplo, ptrdiff_t n, T* a, ptrdiff_t lda, Real<T>* w) {
  check_size<Id::heevd, T>(n, "n");
  check_leading<Id::heevd, T>(lda, n, "lda");
  enum class Job : char { values_only = 'N', with_vectors = 'V' };
  const Job job = vectors ? Job::with_vectors : Job::values_only;
  // LAPACK's documented minima; the square terms are those that overflow 32-bit integers.
  const ptrdiff_t square = vectors ? n * n : 0;
  const ptrdiff_t minimum = kIsComplex<T> ? 1 + 2 * n + square : 1 + 6 * n + 2 * square;
  const ptrdiff_t reals = kIsComplex<T> ? 1 + 5 * n + 2 * square : 0;
  const ptrdiff_t integers = vectors ? 3 + 5 * n : 1;
  blas::check_fits<Id::heevd, T>(std::max(minimum, reals));
  const AlignedBuffer<Real<T>> real_work(reals);
  IntArray integer_work(integers);
  const auto decompose = [&](T* work, ptrdiff_t size) {
    const bool query = size == kQuery;
    if constexpr (kIsComplex<T>) {
      call_checked<Id::heevd, T>(job, uplo, n, a, lda, w, work, size, real_work.data(),
                                 query ? kQuery : reals, &integer_work, query ? kQuery : integers);
    } else {
      call_checked<Id::heevd, T>(job, uplo, n, a, lda, w, work, size, &integer_work,
                                 query ? kQuery : integers);
    }
  };
  T best{};
  decompose(&best, kQuery);
  const AlignedBuffer<T> work(queried_size(best, minimum));
  decompose(work.data(), work.size());
}

#define KEXUE_INSTANTIATE(T)                                                                     \
  template void geqrf(ptrdiff_t, ptrdiff_t, T*, ptrdiff_t, T*);                                  \
  template void geqp3(ptrdiff_t, ptrdiff_t, T*, ptrdiff_t, ptrdiff_t*, T*);                      \
  template void orgqr(ptrdiff_t, ptrdiff_t, ptrdiff_t, T*, ptrdiff_t, const T*);                 \
  template void ormqr(Side, Op, ptrdiff_t, ptrdiff_t, ptrdiff_t, const T*, ptrdiff_t, const T*,  \
                      T*, ptrdiff_t);                                                            \
  template ptrdiff_t getrf(ptrdiff_t, ptrdiff_t, T*, ptrdiff_t, ptrdiff_t*);                     \
  template ptrdiff_t potrf(Uplo, ptrdiff_t, T*, ptrdiff_t);                                      \
  template void trtri(Uplo, Diag, ptrdiff_t, T*, ptrdiff_t);                                     \
  template void gesdd(Vectors, ptrdiff_t, ptrdiff_t, T*, ptrdiff_t, Real<T>*, T*, ptrdiff_t, T*, \
                      ptrdiff_t);                                                                \
  template void gesvd(Vectors, ptrdiff_t, ptrdiff_t, T*, ptrdiff_t, Real<T>*, T*, ptrdiff_t, T*, \
                      ptrdiff_t);                                                                \
  template void heevd(bool, Uplo, ptrdiff_t, T*, ptrdiff_t, Real<T>*);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::lapack
