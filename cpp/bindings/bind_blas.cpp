// _core.blas: the table that SciPy fills, and thin faces of its routines, for tests.
#include <algorithm>
#include <complex>

#include "kexue/core/blas.hpp"
#include "scipy_blas.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace blas_faces {

using blas::Diag;
using blas::Op;
using blas::Real;
using blas::Side;
using blas::Uplo;
using lapack::Vectors;

// ---- the routines -------------------------------------------------------------------------------

template <class T>
struct Columns {
  T* data;
  std::ptrdiff_t rows;
  std::ptrdiff_t cols;
  std::ptrdiff_t leading;
};

template <class T>
Columns<T> columns(py::array& a) {
  const MatrixView<T> view = mutable_matrix_view<T>(a);
  const std::ptrdiff_t tight = std::max<std::ptrdiff_t>(1, view.rows);
  if (view.rows == 0 || view.cols == 0) return {view.data, view.rows, view.cols, tight};
  if (view.row_stride != 1 && view.rows > 1) {
    throw std::invalid_argument("blas: arrays must be column-major");
  }
  return {view.data, view.rows, view.cols, view.cols > 1 ? view.col_stride : tight};
}

template <class T>
T scalar(std::complex<double> value) {
  if constexpr (std::is_same_v<T, Real<T>>) {
    return static_cast<T>(value.real());
  } else {
    return static_cast<T>(value);
  }
}

// A BLAS flag as its letter, such as "N", "T", "C" for an Op.
using Flag = char;

void gemm(Flag op_a, Flag op_b, std::complex<double> alpha, py::array a, py::array b,
          std::complex<double> beta, py::array c) {
  dispatch_inexact(c, [&]<class T>(Type<T>) {
    const auto x = columns<T>(a);
    const auto y = columns<T>(b);
    const auto z = columns<T>(c);
    without_gil([&] {
      blas::gemm(Op{op_a}, Op{op_b}, z.rows, z.cols, Op{op_a} == Op::none ? x.cols : x.rows,
                 scalar<T>(alpha), x.data, x.leading, y.data, y.leading, scalar<T>(beta), z.data,
                 z.leading);
    });
  });
}

void herk(Flag uplo, Flag op, double alpha, py::array a, double beta, py::array c) {
  dispatch_inexact(c, [&]<class T>(Type<T>) {
    const auto x = columns<T>(a);
    const auto z = columns<T>(c);
    without_gil([&] {
      blas::herk(Uplo{uplo}, Op{op}, z.rows, Op{op} == Op::none ? x.cols : x.rows,
                 static_cast<Real<T>>(alpha), x.data, x.leading, static_cast<Real<T>>(beta), z.data,
                 z.leading);
    });
  });
}

void trsm(Flag side, Flag uplo, Flag op, Flag diag, std::complex<double> alpha, py::array a,
          py::array b) {
  dispatch_inexact(b, [&]<class T>(Type<T>) {
    const auto x = columns<T>(a);
    const auto y = columns<T>(b);
    without_gil([&] {
      blas::trsm(Side{side}, Uplo{uplo}, Op{op}, Diag{diag}, y.rows, y.cols, scalar<T>(alpha),
                 x.data, x.leading, y.data, y.leading);
    });
  });
}

void trmm(Flag side, Flag uplo, Flag op, Flag diag, std::complex<double> alpha, py::array a,
          py::array b) {
  dispatch_inexact(b, [&]<class T>(Type<T>) {
    const auto x = columns<T>(a);
    const auto y = columns<T>(b);
    without_gil([&] {
      blas::trmm(Side{side}, Uplo{uplo}, Op{op}, Diag{diag}, y.rows, y.cols, scalar<T>(alpha),
                 x.data, x.leading, y.data, y.leading);
    });
  });
}

py::array geqrf(py::array a) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) -> py::array {
    const auto x = columns<T>(a);
    auto tau = new_vector<T>(std::min(x.rows, x.cols));
    T* scales = tau.mutable_data();
    without_gil([&] { lapack::geqrf(x.rows, x.cols, x.data, x.leading, scales); });
    return tau;
  });
}

py::tuple geqp3(py::array a) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) -> py::tuple {
    const auto x = columns<T>(a);
    auto pivots = new_vector<std::ptrdiff_t>(x.cols);
    auto tau = new_vector<T>(std::min(x.rows, x.cols));
    std::ptrdiff_t* order = pivots.mutable_data();
    T* scales = tau.mutable_data();
    without_gil([&] { lapack::geqp3(x.rows, x.cols, x.data, x.leading, order, scales); });
    return py::make_tuple(pivots, tau);
  });
}

void orgqr(py::array a, const py::array& tau) {
  dispatch_inexact(a, [&]<class T>(Type<T>) {
    const auto x = columns<T>(a);
    const auto scales = vector_view<T>(tau);
    without_gil(
        [&] { lapack::orgqr(x.rows, x.cols, scales.size, x.data, x.leading, scales.data); });
  });
}

void ormqr(Flag side, Flag op, py::array a, const py::array& tau, py::array c) {
  dispatch_inexact(c, [&]<class T>(Type<T>) {
    const auto x = columns<T>(a);
    const auto scales = vector_view<T>(tau);
    const auto z = columns<T>(c);
    without_gil([&] {
      lapack::ormqr(Side{side}, Op{op}, z.rows, z.cols, scales.size, x.data, x.leading, scales.data,
                    z.data, z.leading);
    });
  });
}

py::tuple getrf(py::array a) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) -> py::tuple {
    const auto x = columns<T>(a);
    auto pivots = new_vector<std::ptrdiff_t>(std::min(x.rows, x.cols));
    std::ptrdiff_t* exchanges = pivots.mutable_data();
    const std::ptrdiff_t regular =
        without_gil([&] { return lapack::getrf(x.rows, x.cols, x.data, x.leading, exchanges); });
    return py::make_tuple(regular, pivots);
  });
}

std::ptrdiff_t potrf(Flag uplo, py::array a) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) {
    const auto x = columns<T>(a);
    return without_gil([&] { return lapack::potrf(Uplo{uplo}, x.rows, x.data, x.leading); });
  });
}

void trtri(Flag uplo, Flag diag, py::array a) {
  dispatch_inexact(a, [&]<class T>(Type<T>) {
    const auto x = columns<T>(a);
    without_gil([&] { lapack::trtri(Uplo{uplo}, Diag{diag}, x.rows, x.data, x.leading); });
  });
}

// Writes into u and vh, which may have any shape with Vectors::none.
py::array svd(bool divides, Flag vectors, py::array a, py::array u, py::array vh) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) -> py::array {
    const auto x = columns<T>(a);
    const auto left = columns<T>(u);
    const auto right = columns<T>(vh);
    auto values = new_vector<Real<T>>(std::min(x.rows, x.cols));
    Real<T>* s = values.mutable_data();
    without_gil([&] {
      const auto decompose = divides ? lapack::gesdd<T> : lapack::gesvd<T>;
      decompose(Vectors{vectors}, x.rows, x.cols, x.data, x.leading, s, left.data, left.leading,
                right.data, right.leading);
    });
    return values;
  });
}

py::array heevd(bool vectors, Flag uplo, py::array a) {
  return dispatch_inexact(a, [&]<class T>(Type<T>) -> py::array {
    const auto x = columns<T>(a);
    auto values = new_vector<Real<T>>(x.rows);
    Real<T>* w = values.mutable_data();
    without_gil([&] { lapack::heevd(vectors, Uplo{uplo}, x.rows, x.data, x.leading, w); });
    return values;
  });
}

}  // namespace blas_faces

void bind_blas(py::module_& parent) {
  using namespace blas_faces;
  blas::set_loader(load_scipy_blas_once);
  py::module_ m = parent.def_submodule("blas", "BLAS and LAPACK on column-major arrays, in place.");
  m.def("info", &scipy_blas_info);
  m.def("load", &load_scipy_blas);
  m.def("load_from", &load_blas, py::arg("blas"), py::arg("lapack"));
  m.def("gemm", &gemm, py::arg("op_a"), py::arg("op_b"), py::arg("alpha"), py::arg("a"),
        py::arg("b"), py::arg("beta"), py::arg("c"));
  m.def("herk", &herk, py::arg("uplo"), py::arg("op"), py::arg("alpha"), py::arg("a"),
        py::arg("beta"), py::arg("c"));
  m.def("trsm", &trsm, py::arg("side"), py::arg("uplo"), py::arg("op"), py::arg("diag"),
        py::arg("alpha"), py::arg("a"), py::arg("b"));
  m.def("trmm", &trmm, py::arg("side"), py::arg("uplo"), py::arg("op"), py::arg("diag"),
        py::arg("alpha"), py::arg("a"), py::arg("b"));
  m.def("geqrf", &geqrf, py::arg("a"));
  m.def("geqp3", &geqp3, py::arg("a"));
  m.def("orgqr", &orgqr, py::arg("a"), py::arg("tau"));
  m.def("ormqr", &ormqr, py::arg("side"), py::arg("op"), py::arg("a"), py::arg("tau"),
        py::arg("c"));
  m.def("getrf", &getrf, py::arg("a"));
  m.def("potrf", &potrf, py::arg("uplo"), py::arg("a"));
  m.def("trtri", &trtri, py::arg("uplo"), py::arg("diag"), py::arg("a"));
  m.def("svd", &svd, py::arg("divides"), py::arg("vectors"), py::arg("a"), py::arg("u"),
        py::arg("vh"));
  m.def("heevd", &heevd, py::arg("vectors"), py::arg("uplo"), py::arg("a"));
}

}  // namespace kexue::bindings
