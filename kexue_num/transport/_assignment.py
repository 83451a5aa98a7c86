"""Assignments: transport of single units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._errors import NumericalError
from kexue_num._validation import check_workers, result_dtype, round_result
from kexue_num.transport._certificate import dual_value
from kexue_num.transport._inputs import as_costs, require_memory
from kexue_num.transport._result import Bracket, Potentials, SparsePlan, TransportResult

Array = NDArray[Any]


@dataclass(frozen=True, repr=False, eq=False)
class Assignment(TransportResult):
    """An assignment of each row to a column of its own, or of each column if these are fewer.

    `plan` has a 1 for each pair. `potentials` satisfy f_i + g_j <= C_ij, and are <= 0 on the longer
    side, where what has no partner has 0; their sum is `dual_value`.

    Attributes
    ----------
    rows, cols : (min(n, m),) int64 ndarrays
        The pairs, sorted by row.
    """

    rows: Array
    cols: Array


def assignment(C: object, *, workers: int | None = None) -> Assignment:
    """The cheapest assignment of rows to columns.

    Parameters
    ----------
    C : (n, m) array_like
        Costs: finite, or +inf for a forbidden pair. min(n, m) pairs are chosen.
    workers : int, optional
        Threads for passes over all costs; None for the library's setting. The result does not
        depend on it.

    Returns
    -------
    Assignment
        With `rows`, `cols`, the cost `value`, and the potentials that prove it.

    Raises
    ------
    ValueError
        If a cost is NaN or -inf, or C is empty or not a matrix.
    kexue_num.NumericalError
        If the forbidden pairs leave no assignment; the message names rows (columns if these are
        fewer) that outnumber what they can be paired with.

    Notes
    -----
    Prices by auction in float32, then in float64 best columns, augmenting row reduction and
    shortest augmenting paths. O(n^2 m) at worst. Memory 4 n m bytes beside the costs, which are
    copied if they are not float64 in C order with n <= m.

    References
    ----------
    R. Jonker, A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear
    assignment problems", Computing 38 (1987).

    Examples
    --------
    >>> from kexue_num.transport import assignment
    >>> pairs = assignment([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, 2.0]])
    >>> pairs.cols, pairs.value, pairs.gap
    (array([1, 0, 2]), 5.0, 0.0)
    """
    function = "assignment"
    cost, scale, _ = as_costs(function, C)
    threads = check_workers(function, workers)
    n, m = cost.shape
    require_memory(function, 4 * n * m, f"a float32 copy of costs of shape {(n, m)}")
    found = solve_assignment(function, cost, scale, None, threads)
    dtype = result_dtype(C)
    rows, cols, f, g = found.rows, found.cols, found.f, found.g
    ones = round_result(np.ones(len(rows)), dtype)
    bounds = Bracket(min(found.lower, found.value), found.value + 2.0**-50 * abs(found.value))
    return Assignment(
        found.value,
        found.dual,
        max(0.0, found.value - found.dual),
        Potentials(round_result(f, dtype), round_result(g, dtype)),
        0.0,
        found.n_iter,
        True,
        "optimal",
        found.value,
        SparsePlan((n, m), rows, cols, ones, bounds),
        rows,
        cols,
    )


@dataclass(frozen=True, eq=False)
class Pairs:
    """An optimal assignment in float64: pairs sorted by row, potentials, value and bounds."""

    rows: Array
    cols: Array
    f: Array
    g: Array
    value: float
    dual: float
    lower: float
    n_iter: int


def solve_assignment(
    function: str, cost: Array, scale: float, start: Array | None, threads: int
) -> Pairs:
    """Solve for checked costs; `start` holds column potentials of a square problem."""
    n, m = cost.shape
    shift = 2.0**-64 if scale > 1e290 else 1.0
    if shift != 1:
        cost = cost * shift
    turned = n > m
    short = np.ascontiguousarray(cost.T) if turned else cost
    found = _core.transport.assign(short, start, threads)
    if len(found["stuck"]):
        raise NumericalError(_infeasible(function, short, found["stuck"], turned))
    v = found["v"]
    u = _core.transport.row_transform(short, v, threads)
    dual, lower = dual_value(np.ones(len(u)), np.ones(len(v)), u, v)
    index, column = np.arange(len(u)), found["column"]
    order = np.argsort(column) if turned else index
    rows, cols = (column[order], index[order]) if turned else (index, column)
    f, g = (v, u) if turned else (u, v)
    numbers = (found["value"] / shift, dual / shift, lower / shift)
    return Pairs(rows, cols, f / shift, g / shift, *numbers, found["augmentations"])


def _infeasible(function: str, cost: Array, stuck: Array, turned: bool) -> str:
    which, other = ("column", "row") if turned else ("row", "column")
    reach = int(np.isfinite(cost[stuck]).any(axis=0).sum())
    shown = ", ".join(str(int(i)) for i in stuck[:5])
    shown += f", ... ({len(stuck)} {which}s)" if len(stuck) > 5 else ""
    return (
        f"{function}: the forbidden pairs of 'C' leave no assignment: {which}"
        f"{'s' * (len(stuck) > 1)} {shown} can only be paired with "
        f"{reach} {other}{'s' * (reach != 1)}"
    )
