// What the tests need of the compiled core and users do not.
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "kexue/core/pool.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace testing_faces {

// A region whose chunks last a given time: the value of every chunk, and the slot that ran it.
py::tuple busy_region(std::ptrdiff_t n_chunks, double seconds_per_chunk, int workers) {
  auto values = new_vector<std::int64_t>(n_chunks);
  auto slots = new_vector<std::int64_t>(n_chunks);
  std::int64_t* value = values.mutable_data();
  std::int64_t* slot_of = slots.mutable_data();
  using Clock = std::chrono::steady_clock;
  const auto length =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds_per_chunk));
  without_gil([&] {
    parallel_for(
        n_chunks,
        [&](std::ptrdiff_t chunk, int slot) {
          const auto end = Clock::now() + length;
          while (Clock::now() < end) {
          }
          value[chunk] = chunk * chunk;
          slot_of[chunk] = slot;
        },
        workers);
  });
  return py::make_tuple(values, slots);
}

}  // namespace testing_faces

void bind_testing(py::module_& parent) {
  using namespace testing_faces;
  py::module_ m = parent.def_submodule("testing", "For the tests of the core itself.");
  m.def("busy_region", &busy_region, py::arg("n_chunks"), py::arg("seconds_per_chunk"),
        py::arg("workers") = 0);
}

}  // namespace kexue::bindings
