#include "kexue/core/blas.hpp"

#include <atomic>

#include "blas_calls.hpp"

namespace kexue::blas {
namespace {

Routine make_routine(const Family& family, std::size_t type) {
  const bool is_complex = type >= 2;
  Routine routine;
  routine.name = kTypeLetters[type];
  routine.name += is_complex ? family.complex_name : family.real_name;
  for (const char c :
       std::string_view(is_complex ? family.complex_arguments : family.real_arguments)) {
    routine.arguments += c == 't'   ? kArgumentLetters[type]
                         : c == 'r' ? kArgumentLetters[type % 2]
                                    : c;
  }
  routine.lapack = family.lapack;
  return routine;
}

std::atomic<const Table*> current{nullptr};
std::atomic<void (*)()> loader_hook{nullptr};

}  // namespace

// No lock is held while the loader runs: it may wait for the GIL, whose owner may be waiting here.
// Threads that come at once all load, and install equal tables.
const Table& table() {
  const Table* installed = current.load(std::memory_order_acquire);
  if (installed == nullptr) {
    if (const auto loader = loader_hook.load(std::memory_order_acquire)) loader();
    installed = current.load(std::memory_order_acquire);
    if (installed == nullptr) {
      throw std::runtime_error("linear algebra was used before a BLAS was installed");
    }
  }
  return *installed;
}

std::span<const Routine> routines() {
  static const auto list = [] {
    std::array<Routine, kRoutines> made;
    for (std::size_t i = 0; i < kRoutines; ++i) {
      made[i] = make_routine(kFamilies[i / kTypes], i % kTypes);
    }
    return made;
  }();
  return list;
}

void install(std::span<const Function> functions, int int_bits) {
  require(functions.size() == kRoutines, "a BLAS table must hold every routine");
  require(int_bits == 32 || int_bits == 64, "a BLAS has integers of 32 or 64 bits");
  require(std::find(functions.begin(), functions.end(), nullptr) == functions.end(),
          "a BLAS table must hold every routine");
  auto* made = new Table;
  std::copy(functions.begin(), functions.end(), made->functions.begin());
  made->int_bits = int_bits;
  made->replaced = current.exchange(made, std::memory_order_acq_rel);
}

void set_loader(void (*loader)()) { loader_hook.store(loader, std::memory_order_release); }

int int_bits() {
  const Table* installed = current.load(std::memory_order_acquire);
  return installed == nullptr ? 0 : installed->int_bits;
}

// ---- BLAS ---------------------------------------------------------------------------------------

template <class T>
void gemm(Op op_a, Op op_b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, T alpha, const T* a,
          ptrdiff_t lda, const T* b, ptrdiff_t ldb, T beta, T* c, ptrdiff_t ldc) {
  check_size<Id::gemm, T>(std::min({m, n, k}), "m, n and k");
  check_leading<Id::gemm, T>(lda, op_a == Op::none ? m : k, "lda");
  check_leading<Id::gemm, T>(ldb, op_b == Op::none ? k : n, "ldb");
  check_leading<Id::gemm, T>(ldc, m, "ldc");
  call<Id::gemm, T>(op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

template <class T>
void herk(Uplo uplo, Op op, ptrdiff_t n, ptrdiff_t k, Real<T> alpha, const T* a, ptrdiff_t lda,
          Real<T> beta, T* c, ptrdiff_t ldc) {
  check_size<Id::herk, T>(std::min(n, k), "n and k");
  require(op != Op::transpose || !kIsComplex<T>, "herk: 'op' must be none or adjoint");
  check_leading<Id::herk, T>(lda, op == Op::none ? n : k, "lda");
  check_leading<Id::herk, T>(ldc, n, "ldc");
  call<Id::herk, T>(uplo, op, n, k, alpha, a, lda, beta, c, ldc);
}

template <class T>
void trsm(Side side, Uplo uplo, Op op, Diag diag, ptrdiff_t m, ptrdiff_t n, T alpha, const T* a,
          ptrdiff_t lda, T* b, ptrdiff_t ldb) {
  check_size<Id::trsm, T>(std::min(m, n), "m and n");
  check_leading<Id::trsm, T>(lda, side == Side::left ? m : n, "lda");
  check_leading<Id::trsm, T>(ldb, m, "ldb");
  call<Id::trsm, T>(side, uplo, op, diag, m, n, alpha, a, lda, b, ldb);
}

template <class T>
void trmm(Side side, Uplo uplo, Op op, Diag diag, ptrdiff_t m, ptrdiff_t n, T alpha, const T* a,
          ptrdiff_t lda, T* b, ptrdiff_t ldb) {
  check_size<Id::trmm, T>(std::min(m, n), "m and n");
  check_leading<Id::trmm, T>(lda, side == Side::left ? m : n, "lda");
  check_leading<Id::trmm, T>(ldb, m, "ldb");
  call<Id::trmm, T>(side, uplo, op, diag, m, n, alpha, a, lda, b, ldb);
}

#define KEXUE_INSTANTIATE(T)                                                                       \
  template void gemm(Op, Op, ptrdiff_t, ptrdiff_t, ptrdiff_t, T, const T*, ptrdiff_t, const T*,    \
                     ptrdiff_t, T, T*, ptrdiff_t);                                                 \
  template void herk<T>(Uplo, Op, ptrdiff_t, ptrdiff_t, Real<T>, const T*, ptrdiff_t, Real<T>, T*, \
                        ptrdiff_t);                                                                \
  template void trsm(Side, Uplo, Op, Diag, ptrdiff_t, ptrdiff_t, T, const T*, ptrdiff_t, T*,       \
                     ptrdiff_t);                                                                   \
  template void trmm(Side, Uplo, Op, Diag, ptrdiff_t, ptrdiff_t, T, const T*, ptrdiff_t, T*,       \
                     ptrdiff_t);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::blas
