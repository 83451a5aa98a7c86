// The BLAS table without Python: what is refused, and what reaches the entry points.
#include <complex>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "kexue/core/blas.hpp"

namespace {

namespace blas = kexue::blas;

struct Received {
  std::string flags;
  std::int64_t m = 0;
  std::int64_t ldc = 0;
  int calls = 0;
};
Received received;

template <class Int>
void fake_zgemm(const char* op_a, const char* op_b, const Int* m, const Int*, const Int*,
                const std::complex<double>*, const std::complex<double>*, const Int*,
                const std::complex<double>*, const Int*, const std::complex<double>*,
                std::complex<double>*, const Int* ldc) {
  received = {std::string{*op_a, *op_b}, *m, *ldc, received.calls + 1};
}

void never_called() { CHECK(false); }

template <class Int>
std::vector<blas::Function> fake_table() {
  std::vector<blas::Function> functions;
  for (const blas::Routine& routine : blas::routines()) {
    functions.push_back(routine.name == "zgemm" ? reinterpret_cast<blas::Function>(fake_zgemm<Int>)
                                                : never_called);
  }
  return functions;
}

void zgemm(std::ptrdiff_t m, std::ptrdiff_t ldc) {
  blas::gemm<std::complex<double>>(blas::Op::none, blas::Op::adjoint, m, 1, 1, 1.0, nullptr, m,
                                   nullptr, 1, 0.0, nullptr, ldc);
}

constexpr std::ptrdiff_t kMax32 = std::numeric_limits<std::int32_t>::max();

void nothing_is_installed() {
  CHECK(blas::int_bits() == 0);
  CHECK_THROWS(std::runtime_error, zgemm(1, 1));
  blas::set_loader([] {});  // a loader that does not install
  CHECK_THROWS(std::runtime_error, zgemm(1, 1));
}

void routines_are_named_once() {
  const auto routines = blas::routines();
  for (std::size_t i = 0; i < routines.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) CHECK(routines[i].name != routines[j].name);
  }
}

void incomplete_tables_are_refused() {
  auto functions = fake_table<std::int32_t>();
  CHECK_THROWS(std::invalid_argument, blas::install(functions, 16));
  functions.back() = nullptr;
  CHECK_THROWS(std::invalid_argument, blas::install(functions, 32));
  functions.pop_back();
  CHECK_THROWS(std::invalid_argument, blas::install(functions, 32));
  CHECK(blas::int_bits() == 0);
}

void the_loader_installs_at_the_first_call() {
  blas::set_loader([] { blas::install(fake_table<std::int32_t>(), 32); });
  CHECK(blas::int_bits() == 0);
  zgemm(2, 3);
  CHECK(blas::int_bits() == 32);
  CHECK(received.calls == 1 && received.flags == "NC" && received.m == 2 && received.ldc == 3);
}

void sizes_fit_or_are_refused() {
  zgemm(kMax32, kMax32);
  CHECK(received.calls == 2 && received.m == kMax32 && received.ldc == kMax32);
  CHECK_THROWS(std::invalid_argument, zgemm(1, kMax32 + 1));
  CHECK_THROWS(std::invalid_argument, zgemm(kMax32 + 1, kMax32 + 1));
  CHECK_THROWS(std::invalid_argument, zgemm(-1, 1));
  CHECK_THROWS(std::invalid_argument, zgemm(2, 1));
  CHECK_THROWS(std::invalid_argument, zgemm(0, 0));
  // A scratch size that overflows 32 bits although the matrix does not.
  CHECK_THROWS(std::invalid_argument, kexue::lapack::heevd<double>(true, blas::Uplo::lower, 40000,
                                                                   nullptr, 40000, nullptr));
  CHECK_THROWS(std::invalid_argument,
               kexue::lapack::gesdd<double>(kexue::lapack::Vectors::thin, 40000, 40000, nullptr,
                                            40000, nullptr, nullptr, 40000, nullptr, 40000));
  CHECK(received.calls == 2);
}

void wide_integers_carry_wide_sizes() {
  blas::install(fake_table<std::int64_t>(), 64);
  CHECK(blas::int_bits() == 64);
  zgemm(kMax32 + 1, kMax32 + 2);
  CHECK(received.calls == 3 && received.m == kMax32 + 1 && received.ldc == kMax32 + 2);
}

}  // namespace

int main() {
  return run_tests(
      {{"nothing is installed", nothing_is_installed},
       {"routines are named once", routines_are_named_once},
       {"incomplete tables are refused", incomplete_tables_are_refused},
       {"the loader installs at the first call", the_loader_installs_at_the_first_call},
       {"sizes fit or are refused", sizes_fit_or_are_refused},
       {"wide integers carry wide sizes", wide_integers_carry_wide_sizes}});
}
