// _core.density: charts, compression, fits and models, as kexue_num.density strings them together.
#include <pybind11/complex.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "kexue/core/error.hpp"
#include "kexue/density/chart.hpp"
#include "kexue/density/compress.hpp"
#include "kexue/density/fit.hpp"
#include "kexue/density/model.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace density_faces {

using density::Chart;
using density::Coefficients;
using density::Model;
using Complexes = py::array_t<std::complex<double>, py::array::c_style | py::array::forcecast>;
using Reals = py::array_t<double, py::array::c_style | py::array::forcecast>;

std::span<const double> span_of(const Reals& a) {
  return {a.data(), static_cast<std::size_t>(a.size())};
}
std::span<double> writable_span(Reals& a) {
  return {a.mutable_data(), static_cast<std::size_t>(a.size())};
}

Coefficients coefficients(const Complexes& b) { return {b.data(), b.data() + b.size()}; }

// f(out) fills a new array of y's size, without the GIL.
template <class F>
Reals filled(py::ssize_t size, F&& f) {
  Reals out(size);
  const auto to = writable_span(out);
  without_gil([&] { f(to); });
  return out;
}

double compress(const Chart& chart, const Reals& y, const std::optional<Reals>& w, py::array out,
                int workers) {
  const VectorView<double> view = mutable_vector_view<double>(out);
  require(view.contiguous(), "'moments' must be contiguous");
  const auto samples = span_of(y);
  const auto weights = w ? span_of(*w) : std::span<const double>();
  return without_gil([&] {
    return density::compress(chart, samples, weights,
                             {view.data, static_cast<std::size_t>(view.size)}, workers);
  });
}

void bind_model(py::module_& m) {
  using namespace density_faces;
  py::class_<Model>(m, "Model")
      .def_property_readonly("order", &Model::order)
      .def(
          "pdf",
          [](const Model& model, const Reals& y, bool logarithm, int workers) {
            const auto from = span_of(y);
            return filled(y.size(), [&](auto to) { model.pdf(from, to, logarithm, workers); });
          },
          py::arg("y"), py::arg("logarithm"), py::arg("workers"))
      .def(
          "mass",
          [](const Model& model, const Reals& y, bool upper, bool logarithm, int workers) {
            const auto from = span_of(y);
            return filled(y.size(),
                          [&](auto to) { model.mass(from, to, upper, logarithm, workers); });
          },
          py::arg("y"), py::arg("upper"), py::arg("logarithm"), py::arg("workers"))
      .def(
          "quantile",
          [](const Model& model, const Reals& q, bool upper, int workers) {
            const auto from = span_of(q);
            return filled(q.size(), [&](auto to) { model.quantile(from, to, upper, workers); });
          },
          py::arg("q"), py::arg("upper"), py::arg("workers"))
      .def(
          "bins",
          [](const Model& model, const Reals& lo, const Reals& hi, int workers) {
            require(lo.size() == hi.size(), "as many lower as upper ends");
            const auto from = span_of(lo), to = span_of(hi);
            return filled(lo.size(), [&](auto out) { model.bins(from, to, out, workers); });
          },
          py::arg("lo"), py::arg("hi"), py::arg("workers"))
      .def(
          "sample",
          [](const Model& model, std::pair<std::uint64_t, std::uint64_t> key, py::ssize_t size,
             int workers) {
            return filled(size,
                          [&](auto to) { model.sample({key.first, key.second}, to, workers); });
          },
          py::arg("key"), py::arg("size"), py::arg("workers"))
      .def(
          "positions",
          [](const Model& model, const Reals& y) {
            Reals slope(y.size());
            const auto from = span_of(y);
            const auto second = writable_span(slope);
            Reals t = filled(y.size(), [&](auto to) { model.positions(from, to, second); });
            return std::pair(std::move(t), std::move(slope));
          },
          py::arg("y"))
      .def(
          "locate",
          [](const Model& model, const Reals& t) {
            const auto from = span_of(t);
            return filled(t.size(), [&](auto to) { model.locate(from, to); });
          },
          py::arg("t"))
      .def(
          "amplitude",
          [](const Model& model, const Reals& t) {
            Reals im(t.size());
            const auto from = span_of(t);
            const auto second = writable_span(im);
            Reals re = filled(t.size(), [&](auto to) { model.amplitude(from, to, second); });
            return std::pair(std::move(re), std::move(im));
          },
          py::arg("t"));
  m.def(
      "model", [](const Chart& chart, const Complexes& b) { return Model(chart, coefficients(b)); },
      py::arg("chart"), py::arg("b"));
}

density::Measure measure_of(const Reals& t, const Reals& w, const Reals& moments) {
  return {span_of(t), span_of(w), span_of(moments)};
}

void bind_fit(py::module_& m) {
  using namespace density_faces;
  m.attr("MOMENTS") = density::kMoments;
  m.def("fit_cells", &density::fit_cells, py::arg("order"), py::arg("certify"));
  m.def("condensed_cells", &density::condensed_cells, py::arg("order"));
  m.def(
      "condense",
      [](const Reals& t, const Reals& w, py::ssize_t cells) {
        const auto points = span_of(t), weights = span_of(w);
        const density::Points found =
            without_gil([&] { return density::condense(points, weights, cells); });
        const auto size = static_cast<py::ssize_t>(found.t.size());
        return std::pair(Reals(size, found.t.data()), Reals(size, found.w.data()));
      },
      py::arg("t"), py::arg("w"), py::arg("cells"));
  m.def("compress", &compress, py::arg("chart"), py::arg("y"), py::arg("w"), py::arg("moments"),
        py::arg("workers"));
  m.def(
      "log_likelihood",
      [](const Reals& t, const Reals& w, const Reals& moments, const Complexes& b) {
        const density::Measure from = measure_of(t, w, moments);
        const Coefficients at = coefficients(b);
        return without_gil([&] { return density::log_likelihood(from, at); });
      },
      py::arg("t"), py::arg("w"), py::arg("moments"), py::arg("b"));
  m.def(
      "positions",
      [](const Chart& chart, const Reals& y, const Reals& w) {
        const auto samples = span_of(y), weights = span_of(w);
        double log_slope = 0;
        Reals t = filled(y.size(), [&](auto to) {
          log_slope = density::positions(chart, samples, weights, to);
        });
        return std::pair(std::move(t), log_slope);
      },
      py::arg("chart"), py::arg("y"), py::arg("w"));
  m.def(
      "is_minimum_phase",
      [](const Complexes& b) { return density::is_minimum_phase(coefficients(b)); }, py::arg("b"));
  m.def(
      "fit",
      [](const Reals& t, const Reals& w, const Reals& moments, py::ssize_t order,
         const Complexes& start, double tol, double smoothness, int max_iter, bool certify) {
        const density::Measure from = measure_of(t, w, moments);
        const Coefficients first = coefficients(start);
        const density::FitResult r = without_gil(
            [&] { return density::fit(from, order, first, {tol, smoothness, max_iter, certify}); });
        return py::make_tuple(Complexes(static_cast<py::ssize_t>(r.b.size()), r.b.data()),
                              r.log_likelihood, r.gap, r.iterations, r.converged);
      },
      py::arg("t"), py::arg("w"), py::arg("moments"), py::arg("order"), py::arg("start"),
      py::arg("tol"), py::arg("smoothness"), py::arg("max_iter"), py::arg("certify"));
}

}  // namespace density_faces

void bind_density(py::module_& parent) {
  using namespace density_faces;
  py::module_ m = parent.def_submodule("density");
  py::class_<Chart>(m, "Chart")
      .def(py::init([](const std::string& base, double loc, double scale, bool logarithmic) {
             return Chart(density::base_from_name(base), loc, scale, logarithmic);
           }),
           py::arg("base"), py::arg("loc"), py::arg("scale"), py::arg("logarithmic"))
      .def(py::init([](double loc, double scale, bool logarithmic, double spill, double first,
                       double last, const Reals& knots) {
             return Chart(loc, scale, logarithmic, spill, first, last, span_of(knots));
           }),
           py::arg("loc"), py::arg("scale"), py::arg("logarithmic"), py::arg("spill"),
           py::arg("first"), py::arg("last"), py::arg("knots"));
  bind_model(m);
  bind_fit(m);
}

}  // namespace kexue::bindings
