// The measured limits of the machine.
#include <tuple>

#include "kexue/core/limits.hpp"
#include "views.hpp"

namespace kexue::bindings {

void bind_limits(py::module_& m) {
  // Returns bandwidths (read, triad) and multiply-add peaks (float64, float32), per second.
  m.def(
      "measure_limits",
      [](py::array_t<double> memory, int workers) {
        const auto view = mutable_vector_view<double>(memory);
        const MachineLimits limits = without_gil([&] { return measure_limits(view, workers); });
        return std::make_tuple(limits.read_bandwidth, limits.triad_bandwidth,
                               limits.multiply_add_f64, limits.multiply_add_f32);
      },
      py::arg("memory").noconvert(), py::arg("workers"));
}

}  // namespace kexue::bindings
