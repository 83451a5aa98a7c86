// scipy.linalg.cython_blas.__pyx_capi__ maps a routine to a capsule: the pointer is the Fortran
// entry, the name is its C signature, such as "void (char *, int *, __pyx_t_..._d *, int *)".
// SciPy declares `int *` for LP64 and, from 1.18 on, `int64_t *` for ILP64 builds.
#include "scipy_blas.hpp"

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kexue/core/blas.hpp"

namespace kexue::bindings {
namespace {

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

}  // namespace

void load_blas(const py::dict& blas_capi, const py::dict& lapack_capi) {
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
void load_scipy_blas() {
  py::module_::import("scipy.linalg");
  const auto capi = [](const char* module) {
    return py::module_::import(module).attr("__pyx_capi__").cast<py::dict>();
  };
  load_blas(capi("scipy.linalg.cython_blas"), capi("scipy.linalg.cython_lapack"));
}

void load_scipy_blas_once() {
  py::gil_scoped_acquire acquire;
  if (blas::int_bits() == 0) load_scipy_blas();
}

py::dict scipy_blas_info() {
  const int int_bits = blas::int_bits();
  py::dict result;
  result["loaded"] = int_bits != 0;
  result["int_bits"] = int_bits;
  result["path"] = int_bits != 0 ? library_path() : std::string();
  return result;
}

}  // namespace kexue::bindings
