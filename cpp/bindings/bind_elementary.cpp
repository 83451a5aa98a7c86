// _core.random and _core.elementary: the core's numerics as they are, for tests.
#include "kexue/core/rng.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace {

template <class T>
using Fill = void (*)(Key, std::uint64_t, std::span<T>, int);

// out: a contiguous 1-D array, filled in place.
void bind_fill(py::module_& m, const char* name, Fill<double> f64, Fill<float> f32) {
  m.def(
      name,
      [f64, f32](std::uint64_t lo, std::uint64_t hi, std::uint64_t first, py::array out,
                 int workers) {
        dispatch_real(out, [&](auto type) {
          using T = typename decltype(type)::type;
          const VectorView<T> view = mutable_vector_view<T>(out);
          require(view.contiguous(), "'out' must be contiguous");
          const std::span<T> values(view.data, static_cast<std::size_t>(view.size));
          without_gil([&] {
            if constexpr (std::is_same_v<T, double>) {
              f64({lo, hi}, first, values, workers);
            } else {
              f32({lo, hi}, first, values, workers);
            }
          });
        });
      },
      py::arg("lo"), py::arg("hi"), py::arg("first"), py::arg("out"), py::arg("workers") = 0);
}

void bind_random(py::module_ m) {
  m.def(
      "philox",
      [](std::uint64_t lo, std::uint64_t hi, std::uint64_t block) {
        const PhiloxBlock c = philox({lo, hi}, block);
        return py::make_tuple(c.word[0], c.word[1], c.word[2], c.word[3]);
      },
      py::arg("lo"), py::arg("hi"), py::arg("block"));
  m.def(
      "subkey",
      [](std::uint64_t lo, std::uint64_t hi, std::uint64_t i) {
        const Key key = subkey({lo, hi}, i);
        return py::make_tuple(key.lo, key.hi);
      },
      py::arg("lo"), py::arg("hi"), py::arg("i"));
  m.def(
      "uniform",
      [](std::uint64_t lo, std::uint64_t hi, std::uint64_t index) {
        return uniform({lo, hi}, index);
      },
      py::arg("lo"), py::arg("hi"), py::arg("index"));
  m.def(
      "uniform_below",
      [](std::uint64_t lo, std::uint64_t hi, std::uint64_t index, std::uint64_t n) {
        return uniform_below({lo, hi}, index, n);
      },
      py::arg("lo"), py::arg("hi"), py::arg("index"), py::arg("n"));
  bind_fill(m, "fill_uniform", &fill_uniform, &fill_uniform);
  bind_fill(m, "fill_normal", &fill_normal, &fill_normal);
  bind_fill(m, "fill_signs", &fill_signs, &fill_signs);
}

}  // namespace

void bind_elementary(py::module_& m) { bind_random(m.def_submodule("random")); }

}  // namespace kexue::bindings
