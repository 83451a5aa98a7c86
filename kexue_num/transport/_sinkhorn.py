"""Entropic transport between masses on a cost matrix, balanced and unbalanced."""

from __future__ import annotations

import math
import warnings
from typing import Any

from kexue_num._errors import ConvergenceWarning, NumericalError
from kexue_num._validation import check_workers
from kexue_num.transport._feasible import require_feasible
from kexue_num.transport._gibbs import Solution, check_init, check_settings, matrix_costs, solve
from kexue_num.transport._inputs import as_problem
from kexue_num.transport._result import Potentials, TransportResult


def sinkhorn(
    a: object,
    b: object,
    C: object,
    reg: float,
    *,
    tol: float = 1e-9,
    max_iter: int | None = None,
    init: object = None,
    workers: int | None = None,
) -> TransportResult:
    """The plan that minimises <C, P> + reg KL(P | a b^T) with marginals `a` and `b`.

    Parameters
    ----------
    a : (n,) array_like or None
        Masses of the rows, >= 0, zeros allowed; uniform for None.
    b : (m,) array_like or None
        Masses of the columns, of the same sum; uniform for None. `sinkhorn_batch` takes many.
    C : (n, m) array_like
        Costs of any sign and scale; +inf forbids an arc.
    reg : float
        Weight of the entropy, > 0, in the units of the costs.
    tol : float, default 1e-9
        Bound of `marginal_error`, the larger of the two L1 errors.
    max_iter : int, optional
        Most passes over the kernel; None for 50000.
    init : (f, g) or TransportResult, optional
        Potentials to start from; they are dropped if they are far off.
    workers : int, optional
        Threads; None for the library's setting. The result does not depend on it.

    Returns
    -------
    TransportResult
        `objective` is the minimised sum, `dual_value` its dual and `gap` their difference;
        `value` is <C, P>. `plan` is built when asked for, `apply` never builds it, and
        `bracket` bounds the exact (reg = 0) cost. `n_iter` counts passes over the kernel.

    Raises
    ------
    ValueError
        Negative, NaN or all-zero masses, sums that differ by more than 1e-9 (1e-6 if float32),
        NaN or -inf costs, `reg` <= 0, shapes that do not fit.
    NumericalError
        If the forbidden arcs leave no plan; the message names rows that cannot get rid of their
        mass.
    MemoryError
        If the kernel, 4 bytes for each cost (8 below 131072 costs), is larger than the machine.

    Warns
    -----
    ConvergenceWarning
        If `tol` was not reached; the result then says what was, with `converged` False.

    Notes
    -----
    P_ij = a_i b_j exp((f_i + g_j - C_ij) / reg). One pass over the kernel is one iteration: row
    sums, new row factors and the next column sums. When the rate is slow, Newton's method on the
    dual takes over, with conjugate gradients on the same pass; reg below 8e-3 of the range of the
    costs is reached by halving. Problems of up to 4096 entries are over-relaxed instead (Thibault
    et al. 2021), while that lasts 64 passes at most. Sums are float64, except for first passes that
    are far from `tol`. A large kernel is held in float32: that
    perturbs the costs by at most 2.4e-7 reg, and the plan is that of the held kernel, so that its
    marginals keep `tol`; below 16 MiB it stays with the result, for its plan and products. Inputs
    in float32 give results in float32.

    References
    ----------
    M. Cuturi, "Sinkhorn distances", NeurIPS 2013.
    B. Schmitzer, "Stabilized sparse scaling algorithms for entropy regularized transport
    problems", SIAM J. Sci. Comput. 41 (2019).
    C. Brauer, C. Clason, D. Lorenz, B. Wirth, "A Sinkhorn-Newton method for entropic optimal
    transport", arXiv:1710.06635 (2017).
    A. Thibault, L. Chizat, C. Dossal, N. Papadakis, "Overrelaxed Sinkhorn-Knopp algorithm for
    regularized optimal transport", Algorithms 14 (2021).
    J. Altschuler, J. Weed, P. Rigollet, NeurIPS 2017 (the upper end of `bracket`).
    Jianlin Su, 科学空间, https://kexue.fm/archives/6280 (2019-01-20).

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.transport import sinkhorn
    >>> result = sinkhorn([0.5, 0.5], [0.25, 0.75], [[0.0, 1.0], [1.0, 0.0]], reg=0.1)
    >>> result.plan.round(4)
    array([[0.25, 0.25],
           [0.  , 0.5 ]])
    >>> result.converged, bool(result.bracket.lower <= 0.25 <= result.bracket.upper)
    (True, True)
    """
    function = "sinkhorn"
    settings = check_settings(function, reg, tol, max_iter, check_workers(function, workers))
    problem = as_problem(function, a, b, C)
    start = check_init(function, init, problem.C.shape)
    costs = matrix_costs(problem)
    found = solve(function, costs, problem.a, problem.b, settings, init=start, dtype=problem.dtype)
    if problem.has_forbidden and not found.converged:
        require_feasible(function, problem)
    return TransportResult(**result_fields(function, found, settings.tol))


def result_fields(function: str, found: Solution, tol: float) -> dict[str, Any]:
    """The fields of a result, after a warning if the tolerance was missed."""
    if math.isnan(found.error):
        raise NumericalError(
            f"{function}: all masses underflow, 'reg' and 'reg_m' are too small for the costs 'C'"
        )
    if found.converged:
        status = "converged"
    else:
        status = f"stopped at a marginal error of {found.error:.2g}"
        warnings.warn(
            f"{function}: {status} after {found.passes} passes, above tol = {tol:g}; a larger "
            f"'max_iter', 'tol' or 'reg' may converge",
            ConvergenceWarning,
            stacklevel=3,
        )
    return {
        "value": found.value,
        "dual_value": found.dual,
        "gap": found.objective - found.dual,
        "potentials": Potentials(found.f, found.g),
        "marginal_error": found.error,
        "n_iter": found.passes,
        "converged": found.converged,
        "status": status,
        "objective": found.objective,
        "_plan": found.plan,
    }
