// Typed calls through the BLAS table, for blas.cpp and lapack.cpp alone: the families of routines
// with their arguments, and the passing of arguments as Fortran wants them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "kexue/core/blas.hpp"
#include "kexue/core/buffer.hpp"
#include "kexue/core/error.hpp"

namespace kexue::blas {

using std::ptrdiff_t;

// ---- the families -------------------------------------------------------------------------------

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

inline constexpr Family kFamilies[] = {
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
inline constexpr std::size_t kTypes = 4;
inline constexpr std::size_t kRoutines = std::size(kFamilies) * kTypes;
inline constexpr char kTypeLetters[] = "sdcz";      // in names
inline constexpr char kArgumentLetters[] = "sdCZ";  // in Routine::arguments

template <class T>
inline constexpr std::size_t kTypeIndex = 0;
template <>
inline constexpr std::size_t kTypeIndex<double> = 1;
template <>
inline constexpr std::size_t kTypeIndex<std::complex<float>> = 2;
template <>
inline constexpr std::size_t kTypeIndex<std::complex<double>> = 3;

template <class T>
inline constexpr bool kIsComplex = kTypeIndex<T> >= 2;

struct Table {
  std::array<Function, kRoutines> functions{};
  int int_bits = 0;
  const Table* replaced = nullptr;  // never freed: another thread may be calling through it
};

// The table in use, loaded where there is none yet.
const Table& table();

// ---- calls --------------------------------------------------------------------------------------

// Integers of the table's width, told apart only when they are passed.
class IntArray {
 public:
  explicit IntArray(ptrdiff_t size) : bytes_(size * static_cast<ptrdiff_t>(sizeof(std::int64_t))) {
    std::memset(bytes_.data(), 0, static_cast<std::size_t>(bytes_.size()));
  }
  template <class Int>
  Int* as() {
    wide_ = sizeof(Int) == sizeof(std::int64_t);
    return reinterpret_cast<Int*>(bytes_.data());
  }
  ptrdiff_t operator[](ptrdiff_t i) const {
    return wide_ ? read<std::int64_t>(i) : read<std::int32_t>(i);
  }

 private:
  template <class Int>
  ptrdiff_t read(ptrdiff_t i) const {
    Int value;
    std::memcpy(&value, bytes_.data() + i * static_cast<ptrdiff_t>(sizeof(Int)), sizeof(Int));
    return static_cast<ptrdiff_t>(value);
  }

  AlignedBuffer<unsigned char> bytes_;
  bool wide_ = false;
};

[[noreturn]] inline void throw_too_large(const char* name, ptrdiff_t value) {
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
struct Passed<Int, ptrdiff_t> {
  static constexpr char kLetter = 'i';
  using Element = Int;
  Passed(ptrdiff_t size, const char* name) : value(static_cast<Int>(size)) {
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
ptrdiff_t call_info(Args... args) {
  IntArray info(1);
  call<id, T>(args..., &info);
  return info[0];
}

template <Id id, class T, class... Args>
void call_checked(Args... args) {
  const ptrdiff_t info = call_info<id, T>(args...);
  if (info != 0) {
    throw numerical_error(name_of<id, T>() + " failed with info = " + std::to_string(info));
  }
}

template <Id id, class T>
void check_size(ptrdiff_t size, const char* what) {
  if (size < 0) {
    throw std::invalid_argument(name_of<id, T>() + ": '" + what + "' must not be negative, got " +
                                std::to_string(size));
  }
}

template <Id id, class T>
void check_leading(ptrdiff_t leading, ptrdiff_t rows, const char* what) {
  if (leading < std::max<ptrdiff_t>(1, rows)) {
    throw std::invalid_argument(
        name_of<id, T>() + ": the leading dimension '" + what + "' must be at least " +
        std::to_string(std::max<ptrdiff_t>(1, rows)) + ", got " + std::to_string(leading));
  }
}

// Whether a scratch size that grows faster than the matrix can be named to the table's routines.
template <Id id, class T>
void check_fits(ptrdiff_t size) {
  if (table().int_bits == 32 && size > std::numeric_limits<std::int32_t>::max()) {
    throw_too_large(name_of<id, T>().c_str(), size);
  }
}

// The size a workspace query reports comes in the element type: float has rounded it to 24 bits,
// possibly down. The next number up truncates to the same size below 2^24.
template <class T>
ptrdiff_t queried_size(T reported, ptrdiff_t minimum) {
  const auto up = std::nextafter(std::real(reported), std::numeric_limits<Real<T>>::infinity());
  return std::max(static_cast<ptrdiff_t>(up), minimum);
}

inline constexpr ptrdiff_t kQuery = -1;

}  // namespace kexue::blas
