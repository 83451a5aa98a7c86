#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace kexue::bindings {
void bind_blas(py::module_& m);
void bind_column_row(py::module_& m);
void bind_core(py::module_& m);
void bind_density(py::module_& m);
void bind_elementary(py::module_& m);
void bind_emo(py::module_& m);
void bind_lattice(py::module_& m);
void bind_limits(py::module_& m);
void bind_lowrank(py::module_& m);
void bind_products(py::module_& m);
void bind_projections(py::module_& m);
void bind_selection(py::module_& m);
void bind_simplex(py::module_& m);
void bind_sinkhorn(py::module_& m);
void bind_testing(py::module_& m);
void bind_tokenizer(py::module_& m);
void bind_training(py::module_& m);
void bind_transport(py::module_& m);
void bind_vocabulary(py::module_& m);
}  // namespace kexue::bindings

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "Compiled core of kexue_num; use the public modules.";
  kexue::bindings::bind_core(m);
  kexue::bindings::bind_blas(m);
  kexue::bindings::bind_density(m);
  kexue::bindings::bind_elementary(m);
  kexue::bindings::bind_emo(m);
  kexue::bindings::bind_lattice(m);
  kexue::bindings::bind_limits(m);
  kexue::bindings::bind_lowrank(m);
  kexue::bindings::bind_simplex(m);
  kexue::bindings::bind_testing(m);
  kexue::bindings::bind_transport(m);
  kexue::bindings::bind_column_row(m);
  kexue::bindings::bind_products(m);
  kexue::bindings::bind_projections(m);
  kexue::bindings::bind_selection(m);
  kexue::bindings::bind_sinkhorn(m);
  kexue::bindings::bind_tokenizer(m);
  kexue::bindings::bind_vocabulary(m);
  kexue::bindings::bind_training(m);
}
