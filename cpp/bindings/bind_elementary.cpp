// _core.random and _core.elementary: the core's numerics as they are, for tests.
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

#include "kexue/core/elementary.hpp"
#include "kexue/core/error.hpp"
#include "kexue/core/rng.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace elementary_faces {

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

template <class T>
using Member = ElementaryFunction<T> ElementaryFunctions<T>::*;

// x, out: contiguous 1-D arrays of one dtype, possibly the same; returns out, new if None.
void bind_function(py::module_& m, const char* name, Member<double> f64, Member<float> f32) {
  m.def(
      name,
      [f64, f32](const py::array& x, const std::optional<py::array>& into) {
        return dispatch_real(x, [&](auto type) -> py::array {
          using T = typename decltype(type)::type;
          const VectorView<const T> from = vector_view<T>(x);
          py::array out = into ? *into : py::array(new_vector<T>(from.size));
          const VectorView<T> to = mutable_vector_view<T>(out);
          require(from.contiguous() && to.contiguous() && from.size == to.size,
                  "'x' and 'out' must be contiguous and of one size");
          ElementaryFunction<T> function;
          if constexpr (std::is_same_v<T, double>) {
            function = elementary_kernels().f64.*f64;
          } else {
            function = elementary_kernels().f32.*f32;
          }
          without_gil([&] { function(from.data, to.data, from.size); });
          return out;
        });
      },
      py::arg("x"), py::arg("out") = py::none());
}

void bind_functions(py::module_ m) {
  using F64 = ElementaryFunctions<double>;
  using F32 = ElementaryFunctions<float>;
  bind_function(m, "exp", &F64::exp, &F32::exp);
  bind_function(m, "log", &F64::log, &F32::log);
  bind_function(m, "log1p", &F64::log1p, &F32::log1p);
  bind_function(m, "expm1", &F64::expm1, &F32::expm1);
  bind_function(m, "sinpi", &F64::sin_pi, &F32::sin_pi);
  bind_function(m, "cospi", &F64::cos_pi, &F32::cos_pi);
}

}  // namespace elementary_faces

void bind_elementary(py::module_& m) {
  using namespace elementary_faces;
  bind_functions(m.def_submodule("elementary"));
  bind_random(m.def_submodule("random"));
}

}  // namespace kexue::bindings
