// The BLAS table from SciPy's Cython modules, whose capsules hold Fortran entry points.
#pragma once

#include <pybind11/pybind11.h>

namespace kexue::bindings {

namespace py = pybind11;

// Installs the routines of two `__pyx_capi__` dictionaries; an import error names what they lack.
void load_blas(const py::dict& blas_capi, const py::dict& lapack_capi);

// The same from scipy.linalg.
void load_scipy_blas();

// The core calls this without the GIL, from any thread. The first to hold the GIL loads.
void load_scipy_blas_once();

// Whether a table is loaded, the width of its integers, and the file of the library.
py::dict scipy_blas_info();

}  // namespace kexue::bindings
