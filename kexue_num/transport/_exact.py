"""Exact plans between any masses."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._errors import ConvergenceWarning, NumericalError
from kexue_num._validation import (
    LARGEST_INTEGER,
    Phrase,
    as_array,
    check_integer,
    check_real,
    check_workers,
    message,
    round_result,
)
from kexue_num.transport._assignment import solve_assignment
from kexue_num.transport._certificate import dual_bound
from kexue_num.transport._inputs import Problem, as_problem, mass_tolerance, require_memory
from kexue_num.transport._result import Bracket, Potentials, SparsePlan, TransportResult

Array = NDArray[Any]

# Reduced costs above this part of the potentials are their rounding.
TOLERANCE = 1e-14
_LARGEST_COST = 1e300


def emd(
    a: object,
    b: object,
    C: object,
    *,
    tol: float | None = None,
    max_iter: int | None = None,
    init: object = None,
    workers: int | None = None,
) -> TransportResult:
    """The cheapest transport of the masses `a` to the masses `b`, exactly.

    Parameters
    ----------
    a : (n,) array_like or None
        Masses of the rows: finite, none negative, of positive sum; uniform for None.
    b : (m,) array_like or None
        Masses of the columns. Sums may differ by 1e-9, relatively (1e-6 with float32 masses): `b`
        is scaled to the sum of `a`.
    C : (n, m) array_like
        Costs of a unit of mass: finite of either sign and any size, or +inf for a forbidden arc.
    tol : float, optional
        How far below 0 a reduced cost may lie, relative to the largest potential or cost of the
        plan's basis (at most to the largest finite abs(C)); 1e-14 by default, which is rounding.
    max_iter : int, optional
        Largest number of pivots; none by default.
    init : TransportResult, Potentials or pair of arrays, optional
        Potentials (f, g) of a similar problem to start from.
    workers : int, optional
        Threads for passes over all costs; None for the library's setting. The result does not
        depend on it.

    Returns
    -------
    TransportResult
        A vertex: at most n + m - 1 entries. `potentials` satisfy f_i + g_j <= C_ij to rounding,
        with equality where the plan has mass, and prove `value` within `gap`.

    Raises
    ------
    ValueError
        If a mass is negative or not finite, sums differ, a cost is NaN or -inf, or shapes do not
        fit.
    kexue_num.NumericalError
        If the forbidden arcs leave no plan; the message names rows that hold more than the columns
        within their reach.

    Warns
    -----
    kexue_num.ConvergenceWarning
        If `max_iter` pivots were not enough. The plan is then feasible and the bracket holds.

    Notes
    -----
    The transportation simplex: prices by auction, pivots on few candidate arcs, and passes over all
    arcs until none is violated. Ties cannot make it cycle: masses are integers with infinitesimals
    inside, flows are exact. Without `max_iter`, equal masses on both sides are an assignment.
    Memory: 4 n m bytes beside the costs, which are copied if they are not float64 in C order.

    References
    ----------
    A. Orden, "The transhipment problem", Management Science 2 (1956); D. Bertsekas, D. Castanon,
    "The auction algorithm for the transportation problem", Ann. Oper. Res. 20 (1989).
    Jianlin Su, "从Wasserstein距离、对偶理论到WGAN", https://kexue.fm/archives/6280 (2019-01-20).

    Examples
    --------
    >>> from kexue_num.transport import emd
    >>> result = emd([0.5, 0.5], [0.25, 0.75], [[0.0, 2.0], [3.0, 1.0]])
    >>> result.value, result.gap
    (1.0, 0.0)
    >>> result.plan
    array([[0.25, 0.25],
           [0.  , 0.5 ]])
    """
    function = "emd"
    problem = as_problem(function, a, b, C)
    tolerance = TOLERANCE if tol is None else check_real(function, "tol", tol, minimum=0)
    limit = LARGEST_INTEGER
    if max_iter is not None:
        limit = check_integer(function, "max_iter", max_iter, minimum=0, maximum=LARGEST_INTEGER)
    start = None if init is None else as_start(function, init, problem.C.shape)
    threads = check_workers(function, workers)
    n, m = problem.C.shape
    require_memory(function, 4 * n * m, f"a float32 copy of costs of shape {(n, m)}")
    negligible = mass_tolerance(a, b)
    return solve(function, problem, tolerance, limit, start, negligible, threads)


def solve(
    function: str,
    problem: Problem,
    tolerance: float,
    limit: int,
    start: Array | None,
    negligible: float,
    threads: int,
) -> TransportResult:
    """`emd` of checked arguments; `start` holds column potentials."""
    a, b, cost = problem.a, problem.b, problem.C
    shape = (cost.shape[0], cost.shape[1])
    square = shape[0] == shape[1]
    if square and limit == LARGEST_INTEGER and _is_constant(a) and _is_constant(b):
        return _uniform(function, problem, start, threads)
    shift = 1.0
    if problem.scale > _LARGEST_COST:
        shift = 2.0**-64
        cost = cost * shift
        start = None if start is None else start * shift
    rows, cols = np.flatnonzero(a), np.flatnonzero(b)
    core, first, second = cost, a, b
    if len(rows) < shape[0] or len(cols) < shape[1]:
        core = np.ascontiguousarray(cost[np.ix_(rows, cols)])
        first, second = a[rows], b[cols]
        start = None if start is None else start[cols]
    scale = problem.scale * shift
    total = float(a.sum())
    g = np.full(shape[1], -np.inf)
    for arcs, size in (_without_penalties(function, core, scale), (core, scale)):
        if arcs is None:
            continue
        found = _core.transport.emd(
            arcs, first, second, tolerance, size, negligible, limit, start, threads
        )
        if found["forbidden_mass"] > negligible * total:
            continue
        g[cols] = found["v"]
        value, lower, potentials = dual_bound(a, b, cost, g, workers=threads)
        # Many ordinary arcs in a row can cost more than one penalty: the dual of all costs tells.
        near = max(tolerance, 1e-13) * sum(shape) * size * total
        if arcs is core or not found["optimal"] or found["value"] - value <= near:
            break
        start = found["v"]
    else:
        raise NumericalError(_infeasible(function, core, rows, found, first, second))
    return _result(found, rows, cols, problem, shift, value, lower, potentials, limit, function)


def _without_penalties(function: str, cost: Array, scale: float) -> tuple[Array | None, float]:
    """The costs with arcs of another order of magnitude forbidden, and the largest other one.

    None if there are no such arcs. A plan that needs none of them is optimal with them, too, as a
    rule, and potentials that none of them touches keep their digits.
    """
    places = np.arange(min(4096, cost.size)) * 2654435761 % cost.size
    sizes = np.abs(cost.reshape(-1)[places])
    sizes = sizes[(sizes > 0) & (sizes < np.inf)]
    if sizes.size == 0 or scale <= (limit := 2.0**20 * float(np.quantile(sizes, 1 / 16))):
        return None, scale
    require_memory(function, 8 * cost.size, f"a copy of costs of shape {cost.shape}")
    kept = np.where(cost > limit, np.inf, cost)
    low, high, _, _ = _core.transport.cost_range(kept)
    largest = max(abs(low), abs(high))
    # Forbidden arcs of a basis cost a few times as much: the others must lie above.
    near = (cost > limit) & (cost < 16 * largest)
    return (None, scale) if near.any() else (kept, largest)


def _is_constant(masses: Array) -> bool:
    return bool(masses.min() == masses.max())


def _uniform(function: str, problem: Problem, start: Array | None, threads: int) -> TransportResult:
    """Equal masses on both sides: a vertex of the polytope is an assignment (Birkhoff)."""
    found = solve_assignment(function, problem.C, problem.scale, start, threads)
    unit = float(problem.a[0])
    value, dual = found.value * unit, found.dual * unit
    slack = 2.0**-50 * abs(value)
    bounds = Bracket(min(found.lower * unit - slack, value), value + slack)
    dtype, n = problem.dtype, len(problem.a)
    mass = round_result(np.full(n, unit), dtype)
    return TransportResult(
        value,
        dual,
        max(0.0, value - dual),
        Potentials(round_result(found.f, dtype), round_result(found.g, dtype)),
        float(np.abs(problem.b - unit).sum()),
        found.n_iter,
        True,
        "optimal",
        value,
        SparsePlan((n, n), found.rows, found.cols, mass, bounds),
    )


def _result(
    found: dict[str, Any],
    rows: Array,
    cols: Array,
    problem: Problem,
    shift: float,
    dual: float,
    lower: float,
    potentials: Potentials,
    limit: int,
    function: str,
) -> TransportResult:
    value = found["value"] / shift
    dual, lower = dual / shift, lower / shift
    f, g = potentials.f / shift, potentials.g / shift
    gap = max(0.0, value - dual)
    slack = 2.0**-50 * abs(value) + found["marginal_error"] * problem.scale
    bounds = Bracket(min(lower, value), value + slack)
    dtype = problem.dtype
    plan = SparsePlan(
        (len(problem.a), len(problem.b)),
        rows[found["rows"]],
        cols[found["cols"]],
        round_result(found["mass"], dtype),
        bounds,
    )
    status = "optimal" if found["optimal"] else f"stopped after {limit} pivots"
    if not found["optimal"]:
        warnings.warn(
            f"{function}: stopped after {limit} pivots with a gap of {gap:.3g}; raise 'max_iter'",
            ConvergenceWarning,
            stacklevel=4,
        )
    return TransportResult(
        value,
        dual,
        gap,
        Potentials(round_result(f, dtype), round_result(g, dtype)),
        found["marginal_error"],
        found["pivots"],
        found["optimal"],
        status,
        value,
        plan,
    )


def as_start(function: str, init: object, shape: tuple[int, ...]) -> Array:
    """Column potentials from what `init` may be."""
    pair: Any = init.potentials if isinstance(init, TransportResult) else init
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        expected = "must be a TransportResult or a pair of potentials (f, g)"
        raise TypeError(message(function, "init", expected, Phrase(type(init).__name__)))
    arrays = [as_array(function, "init", part, ndim=1, check_finite=True) for part in pair]
    if (arrays[0].shape[0], arrays[1].shape[0]) != shape:
        got = Phrase(f"shapes {arrays[0].shape} and {arrays[1].shape}")
        expected = f"must hold potentials of shapes ({shape[0]},) and ({shape[1]},)"
        raise ValueError(message(function, "init", expected, got))
    return np.ascontiguousarray(arrays[1], np.float64)


def _infeasible(
    function: str, cost: Array, rows: Array, found: dict[str, Any], a: Array, b: Array
) -> str:
    """The sentence that names rows whose mass has nowhere to go (Hall's condition)."""
    allowed = np.isfinite(cost)
    plan = np.zeros(cost.shape, bool)
    plan[found["rows"], found["cols"]] = True
    placed = np.bincount(found["rows"], found["mass"], len(a))
    reached_rows = placed < a * (1 - 1e-12) - 1e-15 * a.sum()
    reached_cols = np.zeros(len(b), bool)
    while True:  # what these rows can reach, and what could make room there
        cols = allowed[reached_rows].any(axis=0)
        more = reached_rows | plan[:, cols].any(axis=1)
        if np.array_equal(more, reached_rows) and np.array_equal(cols, reached_cols):
            break
        reached_rows, reached_cols = more, cols
    names = [str(int(i)) for i in rows[np.flatnonzero(reached_rows)]]
    shown = ", ".join(names[:5]) + (f", ... ({len(names)} rows)" if len(names) > 5 else "")
    return (
        f"{function}: the forbidden arcs of 'C' leave no plan: row{'s' * (len(names) > 1)} {shown} "
        f"of mass {float(a[reached_rows].sum()):.6g} can only go to columns of mass "
        f"{float(b[reached_cols].sum()):.6g}"
    )
