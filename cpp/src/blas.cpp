#include "kexue/core/blas.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "kexue/core/buffer.hpp"
#include "kexue/core/error.hpp"

namespace kexue::blas {
namespace {

// ---- the table ----------------------------------------------------------------------------------

enum class Id {
  gemm,
  herk,
  trsm,
  trmm,
  geqrf,
  geqp3,
  orgqr,
  ormqr,
  getrf,
  potrf,
  trtri,
  gesdd,
  gesvd,
  heevd
};

// Arguments: c char, i integer, t the element type, r its real type. For the real types t and r
// are the same, which lets syrk and herk share a row.
struct Family {
  const char* real_name;
  const char* complex_name;
  const char* real_arguments;
  const char* complex_arguments;
  bool lapack;
};

constexpr Family kFamilies[] = {
    {"gemm", "gemm", "cciiittititti", "cciiittititti", false},
    {"syrk", "herk", "cciirtirti", "cciirtirti", false},
    {"trsm", "trsm", "cccciittiti", "cccciittiti", false},
    {"trmm", "trmm", "cccciittiti", "cccciittiti", false},
    {"geqrf", "geqrf", "iitittii", "iitittii", true},
    {"geqp3", "geqp3", "iitiittii", "iitiittiri", true},
    {"orgqr", "ungqr", "iiitittii", "iiitittii", true},
    {"ormqr", "unmqr", "cciiitittitii", "cciiitittitii", true},
    {"getrf", "getrf", "iitiii", "iitiii", true},
    {"potrf", "potrf", "citii", "citii", true},
    {"trtri", "trtri", "ccitii", "ccitii", true},
    {"gesdd", "gesdd", "ciitirtititiii", "ciitirtititirii", true},
    {"gesvd", "gesvd", "cciitirtititii", "cciitirtititiri", true},
    {"syevd", "heevd", "ccitirtiiii", "ccitirtiriiii", true},
};
static_assert(std::size(kFamilies) == static_cast<std::size_t>(Id::heevd) + 1);
constexpr std::size_t kTypes = 4;
constexpr std::size_t kRoutines = std::size(kFamilies) * kTypes;
constexpr char kTypeLetters[] = "sdcz";      // in names
constexpr char kArgumentLetters[] = "sdCZ";  // in Routine::arguments

template <class T>
constexpr std::size_t kTypeIndex = 0;
template <>
constexpr std::size_t kTypeIndex<double> = 1;
template <>
constexpr std::size_t kTypeIndex<std::complex<float>> = 2;
template <>
constexpr std::size_t kTypeIndex<std::complex<double>> = 3;

template <class T>
constexpr bool kIsComplex = kTypeIndex<T> >= 2;

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

struct Table {
  std::array<Function, kRoutines> functions{};
  int int_bits = 0;
  const Table* replaced = nullptr;  // never freed: another thread may be calling through it
};

std::atomic<const Table*> current{nullptr};
std::atomic<void (*)()> loader_hook{nullptr};

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

// ---- calls --------------------------------------------------------------------------------------

// Integers of the table's width, told apart only when they are passed.
class IntArray {
 public:
  explicit IntArray(std::ptrdiff_t size)
      : bytes_(size * static_cast<std::ptrdiff_t>(sizeof(std::int64_t))) {
    std::memset(bytes_.data(), 0, static_cast<std::size_t>(bytes_.size()));
  }
  template <class Int>
  Int* as() {
    wide_ = sizeof(Int) == sizeof(std::int64_t);
    return reinterpret_cast<Int*>(bytes_.data());
  }
  std::ptrdiff_t operator[](std::ptrdiff_t i) const {
    return wide_ ? read<std::int64_t>(i) : read<std::int32_t>(i);
  }

 private:
  template <class Int>
  std::ptrdiff_t read(std::ptrdiff_t i) const {
    Int value;
    std::memcpy(&value, bytes_.data() + i * static_cast<std::ptrdiff_t>(sizeof(Int)), sizeof(Int));
    return static_cast<std::ptrdiff_t>(value);
  }

  AlignedBuffer<unsigned char> bytes_;
  bool wide_ = false;
};

[[noreturn]] void throw_too_large(const char* name, std::ptrdiff_t value) {
  throw std::invalid_argument(std::string(name) + ": the size " + std::to_string(value) +
                              " does not fit the 32-bit integers of the BLAS in use");
}

// An argument as Fortran wants it, by address: scalars live here for the time of the call. kLetter
// is the argument's letter, 'e' for a floating type.
template <class Int, class Arg>
struct Passed;

template <class Int, class Flag>
  requires std::is_enum_v<Flag>
struct Passed<Int, Flag> {
  static constexpr char kLetter = 'c';
  using Element = char;
  Passed(Flag flag, const char*) : value(static_cast<char>(flag)) {}
  char* address() { return &value; }
  char value;
};

template <class Int>
struct Passed<Int, std::ptrdiff_t> {
  static constexpr char kLetter = 'i';
  using Element = Int;
  Passed(std::ptrdiff_t size, const char* name) : value(static_cast<Int>(size)) {
    if (value != size) throw_too_large(name, size);
  }
  Int* address() { return &value; }
  Int value;
};

template <class Int>
struct Passed<Int, IntArray*> {
  static constexpr char kLetter = 'i';
  using Element = Int;
  Passed(IntArray* array, const char*) : pointer(array->as<Int>()) {}
  Int* address() { return pointer; }
  Int* pointer;
};

template <class Int, class Scalar>
  requires(std::is_floating_point_v<Scalar> || kIsComplex<Scalar>)
struct Passed<Int, Scalar> {
  static constexpr char kLetter = 'e';
  using Element = Scalar;
  Passed(Scalar scalar, const char*) : value(scalar) {}
  Scalar* address() { return &value; }
  Scalar value;
};

// Fortran knows no const; the routines below only read what they are given as const.
template <class Int, class Pointed>
  requires(std::is_floating_point_v<Pointed> || kIsComplex<std::remove_const_t<Pointed>>)
struct Passed<Int, Pointed*> {
  static constexpr char kLetter = 'e';
  using Element = std::remove_const_t<Pointed>;
  Passed(Pointed* p, const char*) : pointer(const_cast<Element*>(p)) {}
  Element* address() { return pointer; }
  Element* pointer;
};

template <class T>
consteval const char* arguments_of(Id id) {
  const Family& family = kFamilies[static_cast<std::size_t>(id)];
  return kIsComplex<T> ? family.complex_arguments : family.real_arguments;
}

// The call agrees with the letters that the loader has checked against the library's signature.
template <class T, class... Args>
consteval bool agrees(const char* letters) {
  const auto one = [&letters](char letter, bool is_element, bool is_real) {
    const char expected = *letters++;
    return expected == 't' ? is_element : expected == 'r' ? is_real : expected == letter;
  };
  return (one(Passed<std::int64_t, Args>::kLetter,
              std::is_same_v<typename Passed<std::int64_t, Args>::Element, T>,
              std::is_same_v<typename Passed<std::int64_t, Args>::Element, Real<T>>) &&
          ...) &&
         *letters == '\0';
}

template <class Int, class... Args>
void call_with(Function function, const char* name, Args... args) {
  using Typed = void (*)(typename Passed<Int, Args>::Element*...);
  reinterpret_cast<Typed>(function)(Passed<Int, Args>(args, name).address()...);
}

template <Id id, class T, class... Args>
void call(Args... args) {
  static_assert(agrees<T, Args...>(arguments_of<T>(id)));
  constexpr std::size_t kIndex = static_cast<std::size_t>(id) * kTypes + kTypeIndex<T>;
  const Table& entries = table();
  const char* name = routines()[kIndex].name.c_str();
  if (entries.int_bits == 64) {
    call_with<std::int64_t>(entries.functions[kIndex], name, args...);
  } else {
    call_with<std::int32_t>(entries.functions[kIndex], name, args...);
  }
}

template <Id id, class T>
const std::string& name_of() {
  return routines()[static_cast<std::size_t>(id) * kTypes + kTypeIndex<T>].name;
}

// LAPACK: the same with info last, which is returned.
template <Id id, class T, class... Args>
std::ptrdiff_t call_info(Args... args) {
  IntArray info(1);
  call<id, T>(args..., &info);
  return info[0];
}

template <Id id, class T, class... Args>
void call_checked(Args... args) {
  const std::ptrdiff_t info = call_info<id, T>(args...);
  if (info != 0) {
    throw numerical_error(name_of<id, T>() + " failed with info = " + std::to_string(info));
  }
}

template <Id id, class T>
void check_size(std::ptrdiff_t size, const char* what) {
  if (size < 0) {
    throw std::invalid_argument(name_of<id, T>() + ": '" + what + "' must not be negative, got " +
                                std::to_string(size));
  }
}

template <Id id, class T>
void check_leading(std::ptrdiff_t leading, std::ptrdiff_t rows, const char* what) {
  if (leading < std::max<std::ptrdiff_t>(1, rows)) {
    throw std::invalid_argument(
        name_of<id, T>() + ": the leading dimension '" + what + "' must be at least " +
        std::to_string(std::max<std::ptrdiff_t>(1, rows)) + ", got " + std::to_string(leading));
  }
}

// Whether a scratch size that grows faster than the matrix can be named to the table's routines.
template <Id id, class T>
void check_fits(std::ptrdiff_t size) {
  if (table().int_bits == 32 && size > std::numeric_limits<std::int32_t>::max()) {
    throw_too_large(name_of<id, T>().c_str(), size);
  }
}

// The size a workspace query reports comes in the element type: float has rounded it to 24 bits,
// possibly down. The next number up truncates to the same size below 2^24.
template <class T>
std::ptrdiff_t queried_size(T reported, std::ptrdiff_t minimum) {
  const auto up = std::nextafter(std::real(reported), std::numeric_limits<Real<T>>::infinity());
  return std::max(static_cast<std::ptrdiff_t>(up), minimum);
}

constexpr std::ptrdiff_t kQuery = -1;

}  // namespace

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
void gemm(Op op_a, Op op_b, std::ptrdiff_t m, std::ptrdiff_t n, std::ptrdiff_t k, T alpha,
          const T* a, std::ptrdiff_t lda, const T* b, std::ptrdiff_t ldb, T beta, T* c,
          std::ptrdiff_t ldc) {
  check_size<Id::gemm, T>(std::min({m, n, k}), "m, n and k");
  check_leading<Id::gemm, T>(lda, op_a == Op::none ? m : k, "lda");
  check_leading<Id::gemm, T>(ldb, op_b == Op::none ? k : n, "ldb");
  check_leading<Id::gemm, T>(ldc, m, "ldc");
  call<Id::gemm, T>(op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

template <class T>
void herk(Uplo uplo, Op op, std::ptrdiff_t n, std::ptrdiff_t k, Real<T> alpha, const T* a,
          std::ptrdiff_t lda, Real<T> beta, T* c, std::ptrdiff_t ldc) {
  check_size<Id::herk, T>(std::min(n, k), "n and k");
  require(op != Op::transpose || !kIsComplex<T>, "herk: 'op' must be none or adjoint");
  check_leading<Id::herk, T>(lda, op == Op::none ? n : k, "lda");
  check_leading<Id::herk, T>(ldc, n, "ldc");
  call<Id::herk, T>(uplo, op, n, k, alpha, a, lda, beta, c, ldc);
}

template <class T>
void trsm(Side side, Uplo uplo, Op op, Diag diag, std::ptrdiff_t m, std::ptrdiff_t n, T alpha,
          const T* a, std::ptrdiff_t lda, T* b, std::ptrdiff_t ldb) {
  check_size<Id::trsm, T>(std::min(m, n), "m and n");
  check_leading<Id::trsm, T>(lda, side == Side::left ? m : n, "lda");
  check_leading<Id::trsm, T>(ldb, m, "ldb");
  call<Id::trsm, T>(side, uplo, op, diag, m, n, alpha, a, lda, b, ldb);
}

template <class T>
void trmm(Side side, Uplo uplo, Op op, Diag diag, std::ptrdiff_t m, std::ptrdiff_t n, T alpha,
          const T* a, std::ptrdiff_t lda, T* b, std::ptrdiff_t ldb) {
  check_size<Id::trmm, T>(std::min(m, n), "m and n");
  check_leading<Id::trmm, T>(lda, side == Side::left ? m : n, "lda");
  check_leading<Id::trmm, T>(ldb, m, "ldb");
  call<Id::trmm, T>(side, uplo, op, diag, m, n, alpha, a, lda, b, ldb);
}

}  // namespace kexue::blas

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

// ---- factorisations -----------------------------------------------------------------------------

template <class T>
void geqrf(std::ptrdiff_t m, std::ptrdiff_t n, T* a, std::ptrdiff_t lda, T* tau) {
  check_size<Id::geqrf, T>(std::min(m, n), "m and n");
  check_leading<Id::geqrf, T>(lda, m, "lda");
  T best{};
  call_checked<Id::geqrf, T>(m, n, a, lda, tau, &best, kQuery);
  const AlignedBuffer<T> work(queried_size(best, std::max<std::ptrdiff_t>(1, n)));
  call_checked<Id::geqrf, T>(m, n, a, lda, tau, work.data(), work.size());
}

template <class T>
void geqp3(std::ptrdiff_t m, std::ptrdiff_t n, T* a, std::ptrdiff_t lda, std::ptrdiff_t* pivots,
           T* tau) {
  check_size<Id::geqp3, T>(std::min(m, n), "m and n");
  check_leading<Id::geqp3, T>(lda, m, "lda");
  IntArray columns(std::max<std::ptrdiff_t>(1, n));  // zero: every column is free to move
  const AlignedBuffer<Real<T>> norms(kIsComplex<T> ? 2 * n : 0);
  const auto factor = [&](T* work, std::ptrdiff_t size) {
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
  for (std::ptrdiff_t j = 0; j < n; ++j) pivots[j] = columns[j] - 1;
}

template <class T>
void orgqr(std::ptrdiff_t m, std::ptrdiff_t n, std::ptrdiff_t k, T* a, std::ptrdiff_t lda,
           const T* tau) {
  check_size<Id::orgqr, T>(k, "k");
  require(m >= n && n >= k, "orgqr: sizes must satisfy m >= n >= k");
  check_leading<Id::orgqr, T>(lda, m, "lda");
  T best{};
  call_checked<Id::orgqr, T>(m, n, k, a, lda, tau, &best, kQuery);
  const AlignedBuffer<T> work(queried_size(best, std::max<std::ptrdiff_t>(1, n)));
  call_checked<Id::orgqr, T>(m, n, k, a, lda, tau, work.data(), work.size());
}

template <class T>
void ormqr(Side side, Op op, std::ptrdiff_t m, std::ptrdiff_t n, std::ptrdiff_t k, const T* a,
           std::ptrdiff_t lda, const T* tau, T* c, std::ptrdiff_t ldc) {
  check_size<Id::ormqr, T>(std::min({m, n, k}), "m, n and k");
  require(op != Op::transpose || !kIsComplex<T>, "ormqr: 'op' must be none or adjoint");
  const std::ptrdiff_t order = side == Side::left ? m : n;
  require(k <= order, "ormqr: 'k' must not exceed the order of Q");
  check_leading<Id::ormqr, T>(lda, order, "lda");
  check_leading<Id::ormqr, T>(ldc, m, "ldc");
  // LAPACK names the same operation T for the real types and C for the complex ones.
  const Op named = op == Op::none ? Op::none : kIsComplex<T> ? Op::adjoint : Op::transpose;
  T best{};
  call_checked<Id::ormqr, T>(side, named, m, n, k, a, lda, tau, c, ldc, &best, kQuery);
  const AlignedBuffer<T> work(queried_size(best, std::max<std::ptrdiff_t>(1, m + n - order)));
  call_checked<Id::ormqr, T>(side, named, m, n, k, a, lda, tau, c, ldc, work.data(), work.size());
}

template <class T>
std::ptrdiff_t getrf(std::ptrdiff_t m, std::ptrdiff_t n, T* a, std::ptrdiff_t lda,
                     std::ptrdiff_t* pivots) {
  check_size<Id::getrf, T>(std::min(m, n), "m and n");
  check_leading<Id::getrf, T>(lda, m, "lda");
  const std::ptrdiff_t min = std::min(m, n);
  IntArray rows(std::max<std::ptrdiff_t>(1, min));
  const std::ptrdiff_t info = call_info<Id::getrf, T>(m, n, a, lda, &rows);
  for (std::ptrdiff_t i = 0; i < min; ++i) pivots[i] = rows[i] - 1;
  return info > 0 ? info - 1 : min;
}

template <class T>
std::ptrdiff_t potrf(Uplo uplo, std::ptrdiff_t n, T* a, std::ptrdiff_t lda) {
  check_size<Id::potrf, T>(n, "n");
  check_leading<Id::potrf, T>(lda, n, "lda");
  const std::ptrdiff_t info = call_info<Id::potrf, T>(uplo, n, a, lda);
  return info > 0 ? info - 1 : n;
}

template <class T>
void trtri(Uplo uplo, Diag diag, std::ptrdiff_t n, T* a, std::ptrdiff_t lda) {
  check_size<Id::trtri, T>(n, "n");
  check_leading<Id::trtri, T>(lda, n, "lda");
  call_checked<Id::trtri, T>(uplo, diag, n, a, lda);
}

// ---- singular values and eigenvalues ------------------------------------------------------------

namespace {

template <Id id, class T>
void check_svd(Vectors vectors, std::ptrdiff_t m, std::ptrdiff_t n, std::ptrdiff_t lda,
               std::ptrdiff_t ldu, std::ptrdiff_t ldvh) {
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
void gesdd(Vectors vectors, std::ptrdiff_t m, std::ptrdiff_t n, T* a, std::ptrdiff_t lda,
           Real<T>* s, T* u, std::ptrdiff_t ldu, T* vh, std::ptrdiff_t ldvh) {
  check_svd<Id::gesdd, T>(vectors, m, n, lda, ldu, ldvh);
  const std::ptrdiff_t min = std::min(m, n);
  const std::ptrdiff_t max = std::max(m, n);
  if (vectors == Vectors::none) ldu = ldvh = 1;
  IntArray integers(std::max<std::ptrdiff_t>(1, 8 * min));
  const std::ptrdiff_t reals =
      vectors == Vectors::none ? 7 * min : min * std::max(5 * min + 7, 2 * max + 2 * min + 1);
  const AlignedBuffer<Real<T>> real_work(kIsComplex<T> ? std::max<std::ptrdiff_t>(1, reals) : 0);
  const auto decompose = [&](T* work, std::ptrdiff_t size) {
    if constexpr (kIsComplex<T>) {
      call_checked<Id::gesdd, T>(vectors, m, n, a, lda, s, u, ldu, vh, ldvh, work, size,
                                 real_work.data(), &integers);
    } else {
      call_checked<Id::gesdd, T>(vectors, m, n, a, lda, s, u, ldu, vh, ldvh, work, size, &integers);
    }
  };
  const std::ptrdiff_t minimum = vectors == Vectors::none
                                     ? 3 * min + std::max(max, 7 * min)
                                     : (kIsComplex<T> ? 1 : 4) * min * min + 7 * min + max;
  T best{};
  blas::check_fits<Id::gesdd, T>(minimum);
  decompose(&best, kQuery);
  const AlignedBuffer<T> work(queried_size(best, std::max<std::ptrdiff_t>(1, minimum)));
  decompose(work.data(), work.size());
}

template <class T>
void gesvd(Vectors vectors, std::ptrdiff_t m, std::ptrdiff_t n, T* a, std::ptrdiff_t lda,
           Real<T>* s, T* u, std::ptrdiff_t ldu, T* vh, std::ptrdiff_t ldvh) {
  check_svd<Id::gesvd, T>(vectors, m, n, lda, ldu, ldvh);
  const std::ptrdiff_t min = std::min(m, n);
  if (vectors == Vectors::none) ldu = ldvh = 1;
  const AlignedBuffer<Real<T>> real_work(kIsComplex<T> ? std::max<std::ptrdiff_t>(1, 5 * min) : 0);
  const auto decompose = [&](T* work, std::ptrdiff_t size) {
    if constexpr (kIsComplex<T>) {
      call_checked<Id::gesvd, T>(vectors, vectors, m, n, a, lda, s, u, ldu, vh, ldvh, work, size,
                                 real_work.data());
    } else {
      call_checked<Id::gesvd, T>(vectors, vectors, m, n, a, lda, s, u, ldu, vh, ldvh, work, size);
    }
  };
  T best{};
  decompose(&best, kQuery);
  const std::ptrdiff_t minimum = std::max(3 * min + std::max(m, n), 5 * min);
  const AlignedBuffer<T> work(queried_size(best, std::max<std::ptrdiff_t>(1, minimum)));
  decompose(work.data(), work.size());
}

template <class T>
void heevd(bool vectors, Uplo uplo, std::ptrdiff_t n, T* a, std::ptrdiff_t lda, Real<T>* w) {
  check_size<Id::heevd, T>(n, "n");
  check_leading<Id::heevd, T>(lda, n, "lda");
  enum class Job : char { values_only = 'N', with_vectors = 'V' };
  const Job job = vectors ? Job::with_vectors : Job::values_only;
  // LAPACK's documented minima; the square terms are those that overflow 32-bit integers.
  const std::ptrdiff_t square = vectors ? n * n : 0;
  const std::ptrdiff_t minimum = kIsComplex<T> ? 1 + 2 * n + square : 1 + 6 * n + 2 * square;
  const std::ptrdiff_t reals = kIsComplex<T> ? 1 + 5 * n + 2 * square : 0;
  const std::ptrdiff_t integers = vectors ? 3 + 5 * n : 1;
  blas::check_fits<Id::heevd, T>(std::max(minimum, reals));
  const AlignedBuffer<Real<T>> real_work(reals);
  IntArray integer_work(integers);
  const auto decompose = [&](T* work, std::ptrdiff_t size) {
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

}  // namespace kexue::lapack

// ---- the four types -----------------------------------------------------------------------------

#define KEXUE_INSTANTIATE(T)                                                                       \
  template void kexue::blas::gemm(Op, Op, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, T,       \
                                  const T*, std::ptrdiff_t, const T*, std::ptrdiff_t, T, T*,       \
                                  std::ptrdiff_t);                                                 \
  template void kexue::blas::herk<T>(Uplo, Op, std::ptrdiff_t, std::ptrdiff_t, Real<T>, const T*,  \
                                     std::ptrdiff_t, Real<T>, T*, std::ptrdiff_t);                 \
  template void kexue::blas::trsm(Side, Uplo, Op, Diag, std::ptrdiff_t, std::ptrdiff_t, T,         \
                                  const T*, std::ptrdiff_t, T*, std::ptrdiff_t);                   \
  template void kexue::blas::trmm(Side, Uplo, Op, Diag, std::ptrdiff_t, std::ptrdiff_t, T,         \
                                  const T*, std::ptrdiff_t, T*, std::ptrdiff_t);                   \
  template void kexue::lapack::geqrf(std::ptrdiff_t, std::ptrdiff_t, T*, std::ptrdiff_t, T*);      \
  template void kexue::lapack::geqp3(std::ptrdiff_t, std::ptrdiff_t, T*, std::ptrdiff_t,           \
                                     std::ptrdiff_t*, T*);                                         \
  template void kexue::lapack::orgqr(std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, T*,           \
                                     std::ptrdiff_t, const T*);                                    \
  template void kexue::lapack::ormqr(Side, Op, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,     \
                                     const T*, std::ptrdiff_t, const T*, T*, std::ptrdiff_t);      \
  template std::ptrdiff_t kexue::lapack::getrf(std::ptrdiff_t, std::ptrdiff_t, T*, std::ptrdiff_t, \
                                               std::ptrdiff_t*);                                   \
  template std::ptrdiff_t kexue::lapack::potrf(Uplo, std::ptrdiff_t, T*, std::ptrdiff_t);          \
  template void kexue::lapack::trtri(Uplo, Diag, std::ptrdiff_t, T*, std::ptrdiff_t);              \
  template void kexue::lapack::gesdd(Vectors, std::ptrdiff_t, std::ptrdiff_t, T*, std::ptrdiff_t,  \
                                     Real<T>*, T*, std::ptrdiff_t, T*, std::ptrdiff_t);            \
  template void kexue::lapack::gesvd(Vectors, std::ptrdiff_t, std::ptrdiff_t, T*, std::ptrdiff_t,  \
                                     Real<T>*, T*, std::ptrdiff_t, T*, std::ptrdiff_t);            \
  template void kexue::lapack::heevd(bool, Uplo, std::ptrdiff_t, T*, std::ptrdiff_t, Real<T>*);

KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
KEXUE_INSTANTIATE(std::complex<float>)
KEXUE_INSTANTIATE(std::complex<double>)
