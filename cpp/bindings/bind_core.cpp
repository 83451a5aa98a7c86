// Configuration: instruction set, workers, build facts, errors, interrupts.
#include <pybind11/stl.h>

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "kexue/core/error.hpp"
#include "kexue/core/isa.hpp"
#include "kexue/core/memory.hpp"
#include "kexue/core/pool.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace core_faces {

// Runs on a thread that has released the GIL; a pending signal becomes its Python exception.
void raise_pending_signal() {
  py::gil_scoped_acquire acquire;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (Isa isa : kAllIsas) {
    if (isa_available(isa)) names.emplace_back(isa_name(isa));
  }
  return names;
}

// Uninitialised, C-contiguous, in memory that is kept for the next array when this one goes.
py::array empty(const std::vector<std::ptrdiff_t>& shape, const py::dtype& dtype) {
  std::ptrdiff_t bytes = dtype.itemsize();
  for (std::ptrdiff_t length : shape) {
    if (length < 0) throw std::invalid_argument("empty: negative length");
    if (length > 0 && bytes > std::numeric_limits<std::ptrdiff_t>::max() / length) {
      throw std::bad_alloc();
    }
    bytes *= length;
  }
  AlignedBuffer<std::byte> memory(bytes);
  const void* data = memory.data();
  return py::array(dtype, shape, data, owner_of(std::move(memory)));
}

}  // namespace core_faces

// Exported so that threadpoolctl can tell this library from others that are called _core.
extern "C" PYBIND11_EXPORT int kexue_num_get_workers() { return get_workers(); }

void bind_core(py::module_& m) {
  using namespace core_faces;
  set_interrupt_hook(raise_pending_signal);
  py::register_exception<numerical_error>(m, "NumericalError", PyExc_ArithmeticError);

  m.attr("compiler") = KEXUE_COMPILER;
  m.attr("build_type") = KEXUE_BUILD_TYPE;
  m.def("available_isas", &available_isas);
  m.def("active_isa", [] { return isa_name(active_isa()); });
  m.def("set_active_isa", [](const std::string& name) { set_active_isa(name); }, py::arg("name"));
  m.def("empty", &empty, py::arg("shape"), py::arg("dtype"));
  m.def("kept_memory", &kept_memory);
  m.def("drop_memory", &drop_memory);
  m.def("get_workers", &get_workers);
  m.def("set_workers", &set_workers, py::arg("workers"));
}

}  // namespace kexue::bindings
