// The measured limits of the machine.
#include "kexue/core/limits.hpp"
#include "views.hpp"

namespace kexue::bindings {

void bind_limits(py::module_& m) {
  m.def(
      "measure_limits",
      [](py::array memory, int workers) {
        const auto view = mutable_vector_view<double>(memory);
        const MachineLimits limits = without_gil([&] { return measure_limits(view, workers); });
        py::dict result;
        result["read_bandwidth"] = limits.read_bandwidth;
        result["triad_bandwidth"] = limits.triad_bandwidth;
        result["fma_float64"] = limits.multiply_add_f64;
        result["fma_float32"] = limits.multiply_add_f32;
        return result;
      },
      py::arg("memory"), py::arg("workers"));
}

}  // namespace kexue::bindings
