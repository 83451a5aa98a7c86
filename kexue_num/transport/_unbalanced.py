"""Entropic transport whose marginals are only drawn to the given masses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num._validation import check_real, check_workers, message
from kexue_num.transport._gibbs import check_init, check_settings, matrix_costs, solve
from kexue_num.transport._inputs import as_problem
from kexue_num.transport._result import Gradients, TransportResult
from kexue_num.transport._sinkhorn import result_fields

Array = NDArray[Any]


@dataclass(frozen=True, repr=False, eq=False)
class UnbalancedResult(TransportResult):
    """A plan whose marginals are only drawn to `a` and `b`.

    `marginal_error` is the larger L1 distance of a marginal from the one that the potentials ask
    for, a_i exp(-f_i / reg_m) and b_j exp(-g_j / reg_m). `bracket` and `rounded` need equal sums.
    """

    _reg_m: tuple[float, float] = (math.inf, math.inf)

    @property
    def gradients(self) -> Gradients:
        """Derivatives of `objective` with respect to a, b and C (the envelope theorem)."""
        plan: Any = self._plan
        reg = math.ldexp(plan.reg, plan.costs.exponent)
        first, second = self.potentials
        return Gradients(
            _mass_gradient(first, self._reg_m[0], reg, plan.b.sum()).astype(first.dtype),
            _mass_gradient(second, self._reg_m[1], reg, plan.a.sum()).astype(second.dtype),
            self.plan,
        )


def _mass_gradient(potential: Array, reg_m: float, reg: float, other: float) -> Array:
    if reg_m == math.inf:
        return potential - reg * (1 - other)
    return -reg_m * np.expm1(-potential / reg_m) - reg * (np.exp(-potential / reg_m) - other)


def unbalanced(
    a: object,
    b: object,
    C: object,
    reg: float,
    reg_m: float | tuple[float, float],
    *,
    tol: float = 1e-9,
    max_iter: int | None = None,
    init: object = None,
    workers: int | None = None,
) -> UnbalancedResult:
    """The plan that minimises <C, P> + reg KL(P | a b^T) + the distances of its marginals.

    Parameters
    ----------
    a : (n,) array_like or None
        Masses of the rows, >= 0; uniform for None.
    b : (m,) array_like or None
        Masses of the columns, of any sum; uniform for None.
    C : (n, m) array_like
        Costs; +inf forbids an arc.
    reg : float
        Weight of the entropy, > 0.
    reg_m : float or (float, float)
        Weights of reg_m[0] KL(P 1 | a) + reg_m[1] KL(P^T 1 | b), > 0; inf fixes a marginal.
    tol : float, default 1e-9
        Bound of `marginal_error`.
    max_iter : int, optional
        Most passes over the kernel; None for 50000.
    init : (f, g) or TransportResult, optional
        Potentials to start from.
    workers : int, optional
        Threads; None for the library's setting. The result does not depend on it.

    Returns
    -------
    UnbalancedResult
        A TransportResult; `objective` is the minimised sum and `value` is <C, P>.

    Raises
    ------
    ValueError
        As `sinkhorn`, and `reg_m` <= 0; sums may differ unless both marginals are fixed.
    NumericalError
        If a row or a column with mass has forbidden arcs only.

    Warns
    -----
    ConvergenceWarning
        If `tol` was not reached.

    Notes
    -----
    KL(p | q) = sum p log(p / q) - p + q. Newton's step moves the constant between f and g
    together with everything else, so that the iteration is not slowed down by it (Sejourne,
    Vialard & Peyre 2022 move it separately). Costs as for `sinkhorn`.

    References
    ----------
    L. Chizat, G. Peyre, B. Schmitzer, F.-X. Vialard, "Scaling algorithms for unbalanced optimal
    transport problems", Math. Comp. 87 (2018).
    T. Sejourne, F.-X. Vialard, G. Peyre, "Faster unbalanced optimal transport: translation
    invariant Sinkhorn and 1-D Frank-Wolfe", AISTATS 2022.
    Jianlin Su, 科学空间, https://kexue.fm/archives/6280 (2019-01-20).

    Examples
    --------
    >>> from kexue_num.transport import unbalanced
    >>> result = unbalanced([0.5, 0.5], [0.5, 1.0], [[0.0, 1.0], [1.0, 0.0]], 0.05, 1.0)
    >>> result.apply([1.0, 1.0]).round(4)
    array([0.4916, 0.7012])
    """
    function = "unbalanced"
    settings = check_settings(function, reg, tol, max_iter, check_workers(function, workers))
    pair = _pair(function, reg_m)
    problem = as_problem(function, a, b, C, balanced=pair == (math.inf, math.inf))
    start = check_init(function, init, problem.C.shape)
    costs = matrix_costs(problem)
    found = solve(
        function, costs, problem.a, problem.b, settings, rho=pair, init=start, dtype=problem.dtype
    )
    return UnbalancedResult(**result_fields(function, found, settings.tol), _reg_m=pair)


def _pair(function: str, reg_m: object) -> tuple[float, float]:
    if isinstance(reg_m, (tuple, list)) or (isinstance(reg_m, np.ndarray) and reg_m.ndim > 0):
        parts = list(reg_m)
        if len(parts) != 2:
            raise ValueError(message(function, "reg_m", "must be one number or two", reg_m))
        return _weight(function, parts[0]), _weight(function, parts[1])
    weight = _weight(function, reg_m)
    return weight, weight


def _weight(function: str, value: object) -> float:
    if isinstance(value, float) and value == math.inf:
        return math.inf
    # No cost is that small; potentials are divided by it.
    return max(check_real(function, "reg_m", value, above=0), 1e-300)
