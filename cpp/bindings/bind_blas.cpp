// The BLAS table: found in SciPy's Cython modules; and thin faces of the routines, for tests.
#if !defined(_WIN32)
#include <dlfcn.h>
#endif

#include <algorithm>
#include <complex>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kexue/core/blas.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace blas_faces {

using blas::Diag;
using blas::Op;
using blas::Real;
using blas::Side;
using blas::Uplo;
using lapack::Vectors;

// ---- SciPy's capsules ---------------------------------------------------------------------------
//
// scipy.linalg.cython_blas.__pyx_capi__ maps a routine to a capsule: the pointer is the Fortran
// entry, the name is its C signature, such as "void (char *, int *, __pyx_t_..._d *, int *)".
// SciPy declares `int *` for LP64 and, from 1.18 on, `int64_t *` for ILP64 builds.

struct TypeName {
  std::string_view name;
  char letter;   // as in blas::Routine
  int int_bits;  // 0 for what is no integer, -1 for an integer whose name does not tell
};

// A mangled typedef ends with one of these names; a longer name stands before its own ending.
constexpr TypeName kTypeNames[] = {
    {"char", 'c', 0},
    {"float_complex", 'C', 0},
    {"double_complex", 'Z', 0},
    {"npy_int64", 'i', 64},
    {"int64_t", 'i', 64},
    {"npy_int32", 'i', 32},
    {"int32_t", 'i', 32},
    {"blas_int", 'i', -1},
    {"long long", 'i', 8 * sizeof(long long)},
    {"long", 'i', 8 * sizeof(long)},
    {"ptrdiff_t", 'i', 8 * sizeof(std::ptrdiff_t)},
    {"Py_ssize_t", 'i', 8 * sizeof(Py_ssize_t)},
    {"int", 'i', 8 * sizeof(int)},
    {"float", 's', 0},
    {"double", 'd', 0},
    {"s", 's', 0},
    {"d", 'd', 0},
    {"c", 'C', 0},
    {"z", 'Z', 0},
};

const TypeName* find_type(std::string_view type) {
  constexpr std::string_view kMangled = "__pyx_t_";
  const bool mangled = type.substr(0, kMangled.size()) == kMangled;
  for (const TypeName& known : kTypeNames) {
    if (type == known.name) return &known;
    if (mangled && type.size() > known.name.size() &&
        type.substr(type.size() - known.name.size()) == known.name &&
        type[type.size() - known.name.size() - 1] == '_') {
      return &known;
    }
  }
  return nullptr;
}

struct Signature {
  std::string arguments;  // empty if not understood
  int int_bits = 0;
};

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

Signature parse_signature(std::string_view text) {
  const auto open = text.find('(');
  if (open == std::string_view::npos || text.empty() || text.back() != ')') return {};
  if (trimmed(text.substr(0, open)) != "void") return {};
  Signature signature;
  std::string_view rest = text.substr(open + 1, text.size() - open - 2);
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    std::string_view type = trimmed(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    if (type.empty() || type.back() != '*') return {};
    const TypeName* known = find_type(trimmed(type.substr(0, type.size() - 1)));
    if (known == nullptr) return {};
    if (known->int_bits != 0) {
      if (signature.int_bits != 0 && signature.int_bits != known->int_bits) return {};
      signature.int_bits = known->int_bits;
    }
    signature.arguments += known->letter;
  }
  return signature;
}

// For integers named by a typedef SciPy's own account of its build decides.
int int_bits_of_build() {
  py::object entry = py::module_::import("scipy").attr("show_config")(py::arg("mode") = "dicts");
  for (const char* key : {"Build Dependencies", "blas", "cython blas ilp64"}) {
    if (!py::isinstance<py::dict>(entry) || !entry.contains(key)) {
      throw py::import_error(
          "kexue_num: the integer width of scipy.linalg.cython_blas is not stated by its "
          "signatures nor by scipy.show_config()");
    }
    entry = entry[key];
  }
  const auto answer = py::str(entry).cast<std::string>();
  return answer == "True" || answer == "true" ? 64 : 32;
}

std::pair<blas::Function, int> find_routine(const py::dict& capi, const blas::Routine& routine) {
  const std::string where =
      std::string("scipy.linalg.cython_") + (routine.lapack ? "lapack" : "blas") + " has ";
  if (!capi.contains(routine.name.c_str())) {
    throw py::import_error("kexue_num: " + where + "no routine '" + routine.name + "'");
  }
  const py::object entry = capi[routine.name.c_str()];
  if (!PyCapsule_CheckExact(entry.ptr())) {
    throw py::import_error("kexue_num: " + where + "no capsule for '" + routine.name + "'");
  }
  const auto capsule = py::reinterpret_borrow<py::capsule>(entry);
  const char* name = capsule.name();
  const Signature signature = parse_signature(name == nullptr ? "" : name);
  if (signature.arguments != routine.arguments) {
    throw py::import_error("kexue_num: " + where + "'" + routine.name +
                           "' with an unknown signature: " + (name == nullptr ? "" : name));
  }
  return {reinterpret_cast<blas::Function>(capsule.get_pointer()), signature.int_bits};
}

void load(const py::dict& blas_capi, const py::dict& lapack_capi) {
  std::vector<blas::Function> functions;
  int int_bits = 0;
  for (const blas::Routine& routine : blas::routines()) {
    const auto [function, bits] = find_routine(routine.lapack ? lapack_capi : blas_capi, routine);
    if (int_bits != 0 && bits != int_bits) {
      throw py::import_error("kexue_num: scipy.linalg mixes integer widths at '" + routine.name +
                             "'");
    }
    int_bits = bits;
    functions.push_back(function);
  }
  blas::install(functions, int_bits < 0 ? int_bits_of_build() : int_bits);
}

// The package comes first: a thread that asks for one of its modules while another imports the
// package holds the module's lock and waits for the package's, and the other then wants the module.
void load_scipy() {
  py::module_::import("scipy.linalg");
  const auto capi = [](const char* module) {
    return py::module_::import(module).attr("__pyx_capi__").cast<py::dict>();
  };
  load(capi("scipy.linalg.cython_blas"), capi("scipy.linalg.cython_lapack"));
}

// The core calls this without the GIL, from any thread. The first to hold the GIL loads.
void load_on_demand() {
  py::gil_scoped_acquire acquire;
  if (blas::int_bits() == 0) load_scipy();
}

// The file of the BLAS that SciPy's module is linked with; empty where it cannot be told.
std::string library_path() {
  std::string path;
#if !defined(_WIN32)
  const auto file = py::module_::import("scipy.linalg.cython_blas").attr("__file__");
  void* module = dlopen(file.cast<std::string>().c_str(), RTLD_LAZY | RTLD_NOLOAD);
  if (module == nullptr) return path;
  for (const char* name : {"scipy_dgemm_", "scipy_dgemm_64_", "dgemm_", "dgemm_64_"}) {
    Dl_info found{};
    void* symbol = dlsym(module, name);
    if (symbol != nullptr && dladdr(symbol, &found) != 0 && found.dli_fname != nullptr) {
      path = std::filesystem::path(found.dli_fname).lexically_normal().string();
      break;
    }
  }
  dlclose(module);
#endif
  return path;
}

py::dict info() {
  const int int_bits = blas::int_bits();
  py::dict result;
  result["loaded"] = int_bits != 0;
  result["int_bits"] = int_bits;
  result["path"] = int_bits != 0 ? library_path() : std::string();
  return result;
}

// ---- the routines -------------------------------------------------------------------------------

template <class T>
struct Columns {
  T* data;
  std::ptrdiff_t rows;
  std::ptrdiff_t cols;
  std::ptrdiff_t leading;
};

template <class T>
Columns<T> columns(py::array& a) {
  const MatrixView<T> view = mutable_matrix_view<T>(a);
  const std::ptrdiff_t tight = std::max<std::ptrdiff_t>(1, view.rows);
  if (view.rows == 0 || view.cols == 0) return {view.data, view.rows, view.cols, tight};
  if (view.row_stride != 1 && view.rows > 1) {
    throw std::invalid_argument("blas: arrays must be column-major");
  }
  return {view.data, view.rows, view.cols, view.cols > 1 ? view.col_stride : tight};
}

template <class T>
T scalar(std::complex<double> value) {
  if constexpr (std::is_same_v<T, Real<T>>) {
    return static_cast<T>(value.real());
  } else {
    return static_cast<T>(value);
  }
}

// A BLAS flag as its letter, such as "N", "T", "C" for an Op.
using Flag = char;

void gemm(Flag op_a, Flag op_b, std::complex<double> alpha, py::array a, py::array b,
          std::complex<double> beta, py::array c) {
  dispatch_inexact(c, [&](auto type) {
    using T = typename decltype(type)::type;
    const auto x = columns<T>(a);
    const auto y = columns<T>(b);
    const auto z = columns<T>(c);
    without_gil([&] {
      blas::gemm(Op{op_a}, Op{op_b}, z.rows, z.cols, Op{op_a} == Op::none ? x.cols : x.rows,
                 scalar<T>(alpha), x.data, x.leading, y.data, y.leading, scalar<T>(beta), z.data,
                 z.leading);
    });
  });
}

void herk(Flag uplo, Flag op, double alpha, py::array a, double beta, py::array c) {
  dispatch_inexact(c, [&](auto type) {
    using T = typename decltype(type)::type;
    const auto x = columns<T>(a);
    const auto z = columns<T>(c);
    without_gil([&] {
      blas::herk(Uplo{uplo}, Op{op}, z.rows, Op{op} == Op::none ? x.cols : x.rows,
                 static_cast<Real<T>>(alpha), x.data, x.leading, static_cast<Real<T>>(beta), z.data,
                 z.leading);
    });
  });
}

void trsm(Flag side, Flag uplo, Flag op, Flag diag, std::complex<double> alpha, py::array a,
          py::array b) {
  dispatch_inexact(b, [&](auto type) {
    using T = typename decltype(type)::type;
    const auto x = columns<T>(a);
    const auto y = columns<T>(b);
    without_gil([&] {
      blas::trsm(Side{side}, Uplo{uplo}, Op{op}, Diag{diag}, y.rows, y.cols, scalar<T>(alpha),
                 x.data, x.leading, y.data, y.leading);
    });
  });
}

void trmm(Flag side, Flag uplo, Flag op, Flag diag, std::complex<double> alpha, py::array a,
          py::array b) {
  dispatch_inexact(b, [&](auto type) {
    using T = typename decltype(type)::type;
    const auto x = columns<T>(a);
    const auto y = columns<T>(b);
    without_gil([&] {
      blas::trmm(Side{side}, Uplo{uplo}, Op{op}, Diag{diag}, y.rows, y.cols, scalar<T>(alpha),
                 x.data, x.leading, y.data, y.leading);
    });
  });
}

py::array geqrf(py::array a) {
  return dispatch_inexact(a, [&](auto type) -> py::array {
    using T = typename decltype(type)::type;
    const auto x = columns<T>(a);
    auto tau = new_vector<T>(std::min(x.rows, x.cols));
    T* scales = tau.mutable_data();
    without_gil([&] { lapack::geqrf(x.rows, x.cols, x.data, x.leading, scales); });
    return tau;
  });
}

py::tuple geqp3(py::array a) {
  return dispatch_inexact(a, [&](auto type) -> py::tuple {
    using T = typename decltype(type)::type;
    const auto x = columns<T>(a);
    auto pivots = new_vector<std::ptrdiff_t>(x.cols);
    auto tau = new_vector<T>(std::min(x.rows, x.cols));
    std::ptrdiff_t* order = pivots.mutable_data();
    T* scales = tau.mutable_data();
    without_gil([&] { lapack::geqp3(x.rows, x.cols, x.data, x.leading, order, scales); });
    return py::make_tuple(pivots, tau);
  });
}

void orgqr(py::array a, const py::array& tau) {
  dispatch_inexact(a, [&](auto type) {
    using T = typename decltype(type)::type;
    const auto x = columns<T>(a);
    const auto scales = vector_view<T>(tau);
    without_gil(
        [&] { lapack::orgqr(x.rows, x.cols, scales.size, x.data, x.leading, scales.data); });
  });
}

void ormqr(Flag side, Flag op, py::array a, const py::array& tau, py::array c) {
  dispatch_inexact(c, [&](auto type) {
    using T = typename decltype(type)::type;
    const auto x = columns<T>(a);
    const auto scales = vector_view<T>(tau);
    const auto z = columns<T>(c);
    without_gil([&] {
      lapack::ormqr(Side{side}, Op{op}, z.rows, z.cols, scales.size, x.data, x.leading, scales.data,
                    z.data, z.leading);
    });
  });
}

py::tuple getrf(py::array a) {
  return dispatch_inexact(a, [&](auto type) -> py::tuple {
    using T = typename decltype(type)::type;
    const auto x = columns<T>(a);
    auto pivots = new_vector<std::ptrdiff_t>(std::min(x.rows, x.cols));
    std::ptrdiff_t* exchanges = pivots.mutable_data();
    const std::ptrdiff_t regular =
        without_gil([&] { return lapack::getrf(x.rows, x.cols, x.data, x.leading, exchanges); });
    return py::make_tuple(regular, pivots);
  });
}

std::ptrdiff_t potrf(Flag uplo, py::array a) {
  return dispatch_inexact(a, [&](auto type) {
    using T = typename decltype(type)::type;
    const auto x = columns<T>(a);
    return without_gil([&] { return lapack::potrf(Uplo{uplo}, x.rows, x.data, x.leading); });
  });
}

void trtri(Flag uplo, Flag diag, py::array a) {
  dispatch_inexact(a, [&](auto type) {
    using T = typename decltype(type)::type;
    const auto x = columns<T>(a);
    without_gil([&] { lapack::trtri(Uplo{uplo}, Diag{diag}, x.rows, x.data, x.leading); });
  });
}

// Writes into u and vh, which may have any shape with Vectors::none.
py::array svd(bool divides, Flag vectors, py::array a, py::array u, py::array vh) {
  return dispatch_inexact(a, [&](auto type) -> py::array {
    using T = typename decltype(type)::type;
    const auto x = columns<T>(a);
    const auto left = columns<T>(u);
    const auto right = columns<T>(vh);
    auto values = new_vector<Real<T>>(std::min(x.rows, x.cols));
    Real<T>* s = values.mutable_data();
    without_gil([&] {
      const auto decompose = divides ? lapack::gesdd<T> : lapack::gesvd<T>;
      decompose(Vectors{vectors}, x.rows, x.cols, x.data, x.leading, s, left.data, left.leading,
                right.data, right.leading);
    });
    return values;
  });
}

py::array heevd(bool vectors, Flag uplo, py::array a) {
  return dispatch_inexact(a, [&](auto type) -> py::array {
    using T = typename decltype(type)::type;
    const auto x = columns<T>(a);
    auto values = new_vector<Real<T>>(x.rows);
    Real<T>* w = values.mutable_data();
    without_gil([&] { lapack::heevd(vectors, Uplo{uplo}, x.rows, x.data, x.leading, w); });
    return values;
  });
}

}  // namespace blas_faces

void bind_blas(py::module_& parent) {
  using namespace blas_faces;
  blas::set_loader(load_on_demand);
  py::module_ m = parent.def_submodule("blas", "BLAS and LAPACK on column-major arrays, in place.");
  m.def("info", &info);
  m.def("load", &load_scipy);
  m.def("load_from", &load, py::arg("blas"), py::arg("lapack"));
  m.def("gemm", &gemm, py::arg("op_a"), py::arg("op_b"), py::arg("alpha"), py::arg("a"),
        py::arg("b"), py::arg("beta"), py::arg("c"));
  m.def("herk", &herk, py::arg("uplo"), py::arg("op"), py::arg("alpha"), py::arg("a"),
        py::arg("beta"), py::arg("c"));
  m.def("trsm", &trsm, py::arg("side"), py::arg("uplo"), py::arg("op"), py::arg("diag"),
        py::arg("alpha"), py::arg("a"), py::arg("b"));
  m.def("trmm", &trmm, py::arg("side"), py::arg("uplo"), py::arg("op"), py::arg("diag"),
        py::arg("alpha"), py::arg("a"), py::arg("b"));
  m.def("geqrf", &geqrf, py::arg("a"));
  m.def("geqp3", &geqp3, py::arg("a"));
  m.def("orgqr", &orgqr, py::arg("a"), py::arg("tau"));
  m.def("ormqr", &ormqr, py::arg("side"), py::arg("op"), py::arg("a"), py::arg("tau"),
        py::arg("c"));
  m.def("getrf", &getrf, py::arg("a"));
  m.def("potrf", &potrf, py::arg("uplo"), py::arg("a"));
  m.def("trtri", &trtri, py::arg("uplo"), py::arg("diag"), py::arg("a"));
  m.def("svd", &svd, py::arg("divides"), py::arg("vectors"), py::arg("a"), py::arg("u"),
        py::arg("vh"));
  m.def("heevd", &heevd, py::arg("vectors"), py::arg("uplo"), py::arg("a"));
}

}  // namespace kexue::bindings
