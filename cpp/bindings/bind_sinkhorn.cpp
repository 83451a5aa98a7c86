// _core.transport: entropic transport, as kexue_num.transport puts it together.
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "kexue/core/error.hpp"
#include "kexue/transport/barycenter.hpp"
#include "kexue/transport/plan.hpp"
#include "kexue/transport/sinkhorn.hpp"
#include "kexue/transport/sinkhorn_batch.hpp"
#include "views.hpp"

namespace kexue::bindings {
namespace sinkhorn_faces {

using transport::Costs;
using transport::Factors;
using transport::SinkhornBatch;
using transport::SinkhornOptions;
using transport::SinkhornSolution;
using Kernel = AlignedBuffer<char>;
using Reals = py::array_t<double, py::array::c_style | py::array::forcecast>;

Reals array_of(const std::vector<double>& x) {
  return Reals(static_cast<py::ssize_t>(x.size()), x.data());
}
std::vector<double> vector_of(const Reals& x) { return {x.data(), x.data() + x.size()}; }

// Costs and the arrays they look into.
struct HeldCosts {
  explicit HeldCosts(Reals matrix) : first(std::move(matrix)), costs(matrix_view<double>(first)) {}
  HeldCosts(Reals x, const Reals& y, int kind)
      : first(std::move(x)),
        costs(matrix_view<double>(first), matrix_view<double>(y),
              static_cast<transport::PointCost>(kind)) {}
  Reals first;
  Costs costs;
};

SinkhornOptions options_of(double reg, double rho_rows, double rho_cols, double tol,
                           py::ssize_t max_passes, bool single, py::ssize_t stored_bytes,
                           double largest_cost, int workers) {
  return {reg,    rho_rows,     rho_cols,     tol,     max_passes,
          single, stored_bytes, largest_cost, workers, true};
}

py::dict solution_dict(const SinkhornSolution& s) {
  py::dict out;
  out["f"] = array_of(s.f);
  out["g"] = array_of(s.g);
  out["value"] = s.value;
  out["objective"] = s.objective;
  out["dual"] = s.dual;
  out["error"] = s.error;
  out["passes"] = s.passes;
  out["converged"] = s.converged;
  out["base_f"] = array_of(s.plan.base_f);
  out["base_g"] = array_of(s.plan.base_g);
  out["left"] = array_of(s.plan.left);
  out["right"] = array_of(s.plan.right);
  out["kernel"] = std::const_pointer_cast<Kernel>(s.plan.kernel);
  return out;
}

Factors factors_of(double reg, bool single, const Reals& base_f, const Reals& base_g,
                   const Reals& left, const Reals& right, const py::object& kernel) {
  const auto held = kernel.is_none() ? nullptr : kernel.cast<std::shared_ptr<Kernel>>();
  return {reg, single, vector_of(base_f), vector_of(base_g), vector_of(left), vector_of(right),
          held};
}

void check_factors(const Costs& costs, const Factors& p) {
  const auto n = static_cast<std::size_t>(costs.rows()), m = static_cast<std::size_t>(costs.cols());
  require(p.base_f.size() == n && p.left.size() == n, "as many factors as rows");
  require(p.base_g.size() == m && p.right.size() == m, "as many factors as columns");
}

void bind_plan(py::module_& m) {
  using namespace sinkhorn_faces;
  py::class_<Kernel, std::shared_ptr<Kernel>>(m, "Kernel")
      .def_property_readonly("nbytes", &Kernel::size);
  py::class_<Factors>(m, "Factors")
      .def(py::init(&factors_of), py::arg("reg"), py::arg("single"), py::arg("base_f"),
           py::arg("base_g"), py::arg("left"), py::arg("right"), py::arg("kernel"));
  m.def(
      "plan_entries",
      [](const HeldCosts& held, const Factors& p, int workers) {
        const Costs& costs = held.costs;
        check_factors(costs, p);
        Reals out = new_matrix<double>(costs.rows(), costs.cols());
        const MatrixView<double> to = mutable_matrix_view<double>(out);
        without_gil([&] { transport::plan_entries(costs, p, to, workers); });
        return out;
      },
      py::arg("costs"), py::arg("factors"), py::arg("workers"));
  m.def(
      "plan_apply",
      [](const HeldCosts& held, const Factors& p, const Reals& v, bool transpose, int workers) {
        const Costs& costs = held.costs;
        check_factors(costs, p);
        const MatrixView<const double> from = matrix_view<double>(v);
        require(from.rows == (transpose ? costs.rows() : costs.cols()), "v has another length");
        Reals out = new_matrix<double>(transpose ? costs.cols() : costs.rows(), from.cols);
        const MatrixView<double> to = mutable_matrix_view<double>(out);
        without_gil([&] {
          (transpose ? transport::plan_apply_transpose : transport::plan_apply)(costs, p, from, to,
                                                                                workers);
        });
        return out;
      },
      py::arg("costs"), py::arg("factors"), py::arg("v"), py::arg("transpose"), py::arg("workers"));
  m.def(
      "plan_point_gradient",
      [](const HeldCosts& held, const Factors& p, int workers) {
        const Costs& costs = held.costs;
        check_factors(costs, p);
        require(costs.points(), "costs of points");
        Reals out = new_matrix<double>(costs.rows(), costs.dimension());
        const MatrixView<double> to = mutable_matrix_view<double>(out);
        without_gil([&] { transport::plan_point_gradient(costs, p, to, workers); });
        return out;
      },
      py::arg("costs"), py::arg("factors"), py::arg("workers"));
  m.def(
      "plan_bracket",
      [](const HeldCosts& held, const Factors& p, const Reals& a, const Reals& b, int workers) {
        const Costs& costs = held.costs;
        check_factors(costs, p);
        require(a.size() == costs.rows() && b.size() == costs.cols(), "masses of another size");
        const auto r = without_gil(
            [&] { return transport::plan_bracket(costs, p, a.data(), b.data(), workers); });
        return std::pair(r.lower, r.upper);
      },
      py::arg("costs"), py::arg("factors"), py::arg("a"), py::arg("b"), py::arg("workers"));
}

py::dict solve(const HeldCosts& held, const Reals& a, const Reals& b, double reg, double rho_rows,
               double rho_cols, double tol, py::ssize_t max_passes, bool single,
               py::ssize_t stored_bytes, double largest_cost,
               const std::optional<std::pair<Reals, Reals>>& init, int workers) {
  const Costs& costs = held.costs;
  require(a.size() == costs.rows() && b.size() == costs.cols(), "masses of another size");
  require(!init || (init->first.size() == a.size() && init->second.size() == b.size()),
          "potentials of another size");
  const SinkhornOptions options = options_of(reg, rho_rows, rho_cols, tol, max_passes, single,
                                             stored_bytes, largest_cost, workers);
  const double *f = init ? init->first.data() : nullptr, *g = init ? init->second.data() : nullptr;
  return solution_dict(without_gil([&] {
    transport::Sinkhorn solver(costs, options);
    return solver.solve(costs, a.data(), b.data(), f, g);
  }));
}

SinkhornBatch batch_of(const Reals& costs, py::ssize_t count, py::ssize_t n, py::ssize_t m) {
  require(costs.ndim() == 3 && costs.shape(1) == n && costs.shape(2) == m,
          "costs of another shape");
  require(costs.shape(0) == 1 || costs.shape(0) == count, "one cost matrix, or one for each");
  SinkhornBatch batch;
  batch.count = count;
  batch.n = n;
  batch.m = m;
  batch.costs = costs.data();
  batch.shared_costs = costs.shape(0) == 1;
  return batch;
}

py::dict solve_batch(const Reals& costs, const Reals& a, const Reals& b, double reg, double tol,
                     py::ssize_t max_passes, int workers) {
  require(a.ndim() == 2 && b.ndim() == 2 && a.shape(0) == b.shape(0), "masses in rows");
  const py::ssize_t count = a.shape(0), n = a.shape(1), m = b.shape(1);
  SinkhornBatch batch = batch_of(costs, count, n, m);
  batch.a = a.data();
  batch.b = b.data();
  py::dict out;
  const auto matrix = [&](const char* name, py::ssize_t size) {
    Reals array = new_matrix<double>(count, size);
    out[name] = array;
    return array.mutable_data();
  };
  const auto vector = [&](const char* name) {
    Reals array(count);
    out[name] = array;
    return array.mutable_data();
  };
  py::array_t<py::ssize_t> passes(count);
  out["passes"] = passes;
  batch.passes = passes.mutable_data();
  batch.f = matrix("f", n);
  batch.g = matrix("g", m);
  batch.base_f = matrix("base_f", n);
  batch.base_g = matrix("base_g", m);
  batch.left = matrix("left", n);
  batch.right = matrix("right", m);
  batch.value = vector("value");
  batch.objective = vector("objective");
  batch.dual = vector("dual");
  batch.error = vector("error");
  SinkhornOptions options;
  options.reg = reg;
  options.tol = tol;
  options.max_passes = max_passes;
  options.workers = workers;
  without_gil([&] { transport::sinkhorn_batch(batch, options); });
  return out;
}

Reals batch_plans(const Reals& costs, double reg, const Reals& base_f, const Reals& base_g,
                  const Reals& left, const Reals& right, int workers) {
  require(base_f.ndim() == 2 && base_g.ndim() == 2, "factors in rows");
  const py::ssize_t count = base_f.shape(0), n = base_f.shape(1), m = base_g.shape(1);
  require(base_g.shape(0) == count && left.size() == base_f.size() && right.size() == base_g.size(),
          "factors of one shape");
  SinkhornBatch batch = batch_of(costs, count, n, m);
  // Only read by batch_plans.
  batch.base_f = const_cast<double*>(base_f.data());
  batch.base_g = const_cast<double*>(base_g.data());
  batch.left = const_cast<double*>(left.data());
  batch.right = const_cast<double*>(right.data());
  Reals out = new_matrix<double>(count * n, m);
  double* to = out.mutable_data();
  without_gil([&] { transport::batch_plans(batch, reg, to, workers); });
  return out.reshape({count, n, m});
}

py::dict barycenter(const HeldCosts& held, const Reals& masses, const Reals& weights, bool debiased,
                    double reg, double tol, py::ssize_t max_passes, bool single, int workers) {
  const Costs& costs = held.costs;
  const MatrixView<const double> rows = matrix_view<double>(masses);
  require(rows.cols == costs.rows() && weights.size() == rows.rows, "one weight per histogram");
  SinkhornOptions options;
  options.reg = reg;
  options.tol = tol;
  options.max_passes = max_passes;
  options.single = single;
  options.workers = workers;
  const auto found = without_gil(
      [&] { return transport::barycenter(costs, rows, weights.data(), debiased, options); });
  py::dict out;
  out["histogram"] = array_of(found.histogram);
  out["f"] = array_of(found.f).reshape({rows.rows, costs.rows()});
  out["g"] = array_of(found.g).reshape({rows.rows, costs.cols()});
  out["error"] = found.error;
  out["passes"] = found.passes;
  out["converged"] = found.converged;
  return out;
}

}  // namespace sinkhorn_faces

void bind_sinkhorn(py::module_& parent) {
  using namespace sinkhorn_faces;
  py::module_ m = parent.def_submodule("transport");
  py::class_<HeldCosts>(m, "Costs")
      .def(py::init<Reals>(), py::arg("matrix"))
      .def(py::init<Reals, Reals, int>(), py::arg("x"), py::arg("y"), py::arg("kind"))
      .def(
          "invalid",
          [](const HeldCosts& held, int workers) {
            return without_gil([&] { return transport::range_of(held.costs, workers).invalid; });
          },
          py::arg("workers"));
  bind_plan(m);
  m.def("sinkhorn", &solve, py::arg("costs"), py::arg("a"), py::arg("b"), py::arg("reg"),
        py::arg("rho_rows"), py::arg("rho_cols"), py::arg("tol"), py::arg("max_passes"),
        py::arg("single"), py::arg("stored_bytes"), py::arg("largest_cost"), py::arg("init"),
        py::arg("workers"));
  m.def("sinkhorn_batch", &solve_batch, py::arg("costs"), py::arg("a"), py::arg("b"),
        py::arg("reg"), py::arg("tol"), py::arg("max_passes"), py::arg("workers"));
  m.def("barycenter", &barycenter, py::arg("costs"), py::arg("masses"), py::arg("weights"),
        py::arg("debiased"), py::arg("reg"), py::arg("tol"), py::arg("max_passes"),
        py::arg("single"), py::arg("workers"));
  m.def("batch_plans", &batch_plans, py::arg("costs"), py::arg("reg"), py::arg("base_f"),
        py::arg("base_g"), py::arg("left"), py::arg("right"), py::arg("workers"));
}

}  // namespace kexue::bindings
