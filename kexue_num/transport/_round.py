"""Rounding of nearly feasible plans."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._validation import (
    Phrase,
    as_array,
    check_workers,
    message,
    result_dtype,
    round_result,
)
from kexue_num.transport._inputs import as_masses, balance, mass_tolerance

Array = NDArray[Any]


def round_plan(P: object, a: object, b: object, *, workers: int | None = None) -> Array:
    """A plan with the marginals `a` and `b` near a matrix P >= 0.

    Parameters
    ----------
    P : (n, m) array_like
        Finite, no entry negative.
    a : (n,) array_like or None
        Masses of the rows, of positive sum; uniform for None.
    b : (m,) array_like or None
        Masses of the columns, of the same sum.
    workers : int, optional
        Threads; None for the library's setting. The result does not depend on it.

    Returns
    -------
    (n, m) ndarray

    Raises
    ------
    ValueError
        If a shape does not fit, an entry is negative or not finite, or the sums differ.

    Notes
    -----
    Rows, then columns, that hold too much are scaled down, and what is missing is added as an
    outer product. The result is within 2 (|P 1 - a|_1 + |P^T 1 - b|_1) of P in the sum of absolute
    differences. O(n m).

    References
    ----------
    J. Altschuler, J. Weed, P. Rigollet, "Near-linear time approximation algorithms for optimal
    transport via Sinkhorn iteration", NeurIPS 2017, Algorithm 2.

    Examples
    --------
    >>> from kexue_num.transport import round_plan
    >>> round_plan([[0.5, 0.1], [0.0, 0.5]], [0.5, 0.5], [0.5, 0.5]).round(12)
    array([[0.42857143, 0.07142857],
           [0.07142857, 0.42857143]])
    """
    function = "round_plan"
    plan = np.ascontiguousarray(as_array(function, "P", P, ndim=2))
    n, m = plan.shape
    if n == 0 or m == 0:
        raise ValueError(message(function, "P", "must not be empty", Phrase(f"shape {(n, m)}")))
    if not (plan.min() >= 0 and plan.max() < np.inf):
        bad = ~((plan >= 0) & (plan < np.inf))
        i, j = np.unravel_index(int(np.argmax(bad)), plan.shape)
        got = Phrase(f"{float(plan[i, j])!r} at [{i}, {j}]")
        raise ValueError(message(function, "P", "must be finite and >= 0", got))
    rows, cols = as_masses(function, "a", a, n), as_masses(function, "b", b, m)
    cols = balance(function, rows, cols, mass_tolerance(P, a, b))
    out = _core.empty(plan.shape, plan.dtype)
    _core.transport.round_plan(plan, rows, cols, out, check_workers(function, workers))
    return round_result(out, result_dtype(P))
