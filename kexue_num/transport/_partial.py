"""Transport of a part of the mass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num._validation import (
    LARGEST_INTEGER,
    check_integer,
    check_real,
    check_workers,
    round_result,
)
from kexue_num.transport._exact import TOLERANCE, solve
from kexue_num.transport._inputs import Problem, as_problem, mass_tolerance, require_memory
from kexue_num.transport._result import Gradients, Potentials, SparsePlan, TransportResult

Array = NDArray[Any]
# Entries copied at a time, so that no step of NumPy's keeps an interrupt waiting.
_ENTRIES = 1 << 22


@dataclass(frozen=True, repr=False, eq=False)
class PartialTransport(TransportResult):
    """A plan that moves a given amount, and its dual.

    `potentials` satisfy f <= 0, g <= 0 and f_i + g_j + multiplier <= C_ij, and `dual_value` is
    <a, f> + <b, g> + mass * multiplier. `marginal_error` counts what exceeds `a` and `b`, and what
    the moved mass lacks. `gradients` with respect to a and b are f and g.

    Attributes
    ----------
    multiplier : float
        The derivative of `value` with respect to the mass that is moved.
    """

    multiplier: float

    @property
    def gradients(self) -> Gradients:
        """Derivatives of `value` with respect to a, b and C."""
        return Gradients(*self.potentials, self.plan)


def partial(
    a: object,
    b: object,
    C: object,
    mass: float,
    *,
    tol: float | None = None,
    max_iter: int | None = None,
    workers: int | None = None,
) -> PartialTransport:
    """The cheapest transport of the amount `mass` from `a` to `b`, exactly.

    Parameters
    ----------
    a : (n,) array_like or None
        Masses of the rows, of which a part may stay: finite, none negative, of positive sum;
        uniform for None.
    b : (m,) array_like or None
        What the columns can take; its sum need not be that of `a`.
    C : (n, m) array_like
        Costs as for `emd`.
    mass : float
        What is to be moved: from 0 to the smaller sum, which it may exceed by rounding.
    tol, max_iter, workers
        As for `emd`.

    Returns
    -------
    PartialTransport
        With P 1 <= a, P^T 1 <= b and sum P = mass, to rounding.

    Raises
    ------
    ValueError
        As for `emd`, and if `mass` is out of range.
    kexue_num.NumericalError
        If the forbidden arcs do not let so much mass through.

    Notes
    -----
    One row takes what `b` is not given, one column what `a` keeps, both for nothing; between them
    there is no arc. That is a transport problem with an extended copy of the costs, 8 n m bytes.

    References
    ----------
    L. Chapel, M. Alaya, G. Gasso, "Partial optimal transport with applications on
    positive-unlabeled learning", NeurIPS 2020.

    Examples
    --------
    >>> from kexue_num.transport import partial
    >>> result = partial([0.5, 0.5], [0.5, 0.5], [[1.0, 5.0], [5.0, 2.0]], 0.75)
    >>> result.value
    1.0
    >>> result.plan
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    function = "partial"
    problem = as_problem(function, a, b, C, balanced=False)
    first, second = problem.a, problem.b
    smaller = min(float(first.sum()), float(second.sum()))
    tolerance = mass_tolerance(a, b)
    amount = check_real(function, "mass", mass, minimum=0, maximum=smaller * (1 + tolerance))
    amount = min(amount, smaller)
    tol = TOLERANCE if tol is None else check_real(function, "tol", tol, minimum=0)
    limit = LARGEST_INTEGER
    if max_iter is not None:
        limit = check_integer(function, "max_iter", max_iter, minimum=0, maximum=LARGEST_INTEGER)
    n, m = problem.C.shape
    require_memory(function, 12 * (n + 1) * (m + 1), f"copies of costs of shape {(n, m)}")
    cost = np.zeros((n + 1, m + 1))
    inner, step = cost[:n, :m], max(1, _ENTRIES // m)
    for i in range(0, n, step):
        inner[i : i + step] = problem.C[i : i + step]
    cost[n, m] = np.inf
    extended = Problem(
        np.append(first, _rest(second, amount)),
        np.append(second, _rest(first, amount)),
        cost,
        np.dtype(np.float64),
        problem.scale,
        True,
    )
    whole = solve(function, extended, tol, limit, None, tolerance, check_workers(function, workers))
    f, g = whole.potentials
    # The free row and column: their potentials move into the multiplier.
    top_f, top_g = f[n], g[m]
    rows, cols, moved = whole.plan_coo.row, whole.plan_coo.col, whole.plan_coo.data
    inside = (rows < n) & (cols < m)
    plan = SparsePlan(
        (n, m),
        rows[inside],
        cols[inside],
        round_result(moved[inside], problem.dtype),
        whole.bracket,
    )
    dtype = problem.dtype
    return PartialTransport(
        whole.value,
        whole.dual_value,
        whole.gap,
        Potentials(round_result(f[:n] + top_g, dtype), round_result(g[:m] + top_f, dtype)),
        whole.marginal_error,
        whole.n_iter,
        whole.converged,
        whole.status,
        whole.objective,
        plan,
        -float(top_f + top_g),
    )


def _rest(masses: Array, amount: float) -> float:
    """What stays; a remainder that is rounding of the sum is none."""
    total = float(masses.sum())
    rest = total - amount
    return rest if rest > 4 * np.finfo(np.float64).eps * total else 0.0
