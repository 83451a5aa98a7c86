"""Transport on the line, and along random lines."""

from __future__ import annotations

import math
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._errors import NumericalError
from kexue_num._validation import (
    Phrase,
    as_array,
    as_generator,
    check_integer,
    check_memory,
    check_real,
    check_workers,
    message,
    result_dtype,
    round_result,
)
from kexue_num.transport._certificate import dual_value
from kexue_num.transport._inputs import as_masses, balance, check_masses, mass_tolerance
from kexue_num.transport._result import Bracket, Potentials, SparsePlan, TransportResult

Array = NDArray[Any]

# Projections are made and sorted in groups of at most this many numbers.
_GROUP = 2**21


@overload
def emd_1d(
    x: object,
    y: object,
    a: object = None,
    b: object = None,
    *,
    p: float = 1,
    return_plan: Literal[False] = False,
    workers: int | None = None,
) -> Any: ...
@overload
def emd_1d(
    x: object,
    y: object,
    a: object = None,
    b: object = None,
    *,
    p: float = 1,
    return_plan: Literal[True],
    workers: int | None = None,
) -> TransportResult: ...
def emd_1d(
    x: object,
    y: object,
    a: object = None,
    b: object = None,
    *,
    p: float = 1,
    return_plan: bool = False,
    workers: int | None = None,
) -> Any:
    """The least cost of transport between points on the line.

    Parameters
    ----------
    x : (..., n) array_like
        Finite points; the leading axes are problems.
    y : (..., m) array_like
        Finite points; the leading axes are broadcast against those of `x`.
    a : (n,) or (..., n) array_like or None
        Masses of `x`: finite, none negative, of positive sum; uniform for None.
    b : (m,) or (..., m) array_like or None
        Masses of `y`, of the same sum within 1e-9, relatively (1e-6 with float32 masses).
    p : float
        At least 1; inf for the largest distance that mass has to travel.
    return_plan : bool
        Return the plan and its potentials too: one problem, finite `p`.
    workers : int, optional
        Threads; None for the library's setting. The result does not depend on it.

    Returns
    -------
    float, (...) ndarray or TransportResult
        sum P_ij abs(x_i - y_j)**p, the p-th power of the Wasserstein distance W_p; for p = inf the
        largest abs(x_i - y_j) with P_ij > 0, which is W_inf.

    Raises
    ------
    ValueError
        If a point is not finite, a mass is refused, shapes do not fit, or `p` < 1.
    kexue_num.NumericalError
        If |x - y|**p overflows.

    Notes
    -----
    The plan that ships from left to right is optimal. O(n + m) after a radix sort, 24 to 32 bytes
    for each point; sums are compensated. A problem is sorted on two threads, several on all.

    Examples
    --------
    >>> from kexue_num.transport import emd_1d
    >>> emd_1d([0.0, 1.0, 3.0], [5.0, 6.0, 8.0])
    5.0
    >>> emd_1d([0.0, 2.0], [0.0, 1.0, 2.0], [0.5, 0.5], [0.25, 0.5, 0.25], p=2)
    0.5
    """
    function = "emd_1d"
    power = _check_power(function, p)
    left = as_array(function, "x", x, min_ndim=1, check_finite=True)
    right = as_array(function, "y", y, min_ndim=1, check_finite=True)
    for argument, points in (("x", left), ("y", right)):
        if points.shape[-1] == 0:
            got = Phrase(f"shape {points.shape}")
            raise ValueError(message(function, argument, "must have at least one point", got))
    masses = [
        _masses(function, argument, value, points)
        for argument, value, points in (("a", a, left), ("b", b, right))
    ]
    batch = _batch(function, left, right, masses)
    dtype = np.promote_types(result_dtype(x), result_dtype(y))
    if return_plan:
        if batch or not math.isfinite(power):
            expected = "needs one problem and a finite 'p'"
            got = Phrase(f"shape {batch} of problems and p = {power:g}")
            raise ValueError(message(function, "return_plan", expected, got))
        return _plan(function, left, right, a, b, power, dtype)
    first, second = _balanced(function, masses, (left, right), mass_tolerance(a, b))
    costs = _core.transport.line_costs(
        _rows(left, batch), _mass_rows(first, batch), _rows(right, batch),
        _mass_rows(second, batch), power, check_workers(function, workers),
    )  # fmt: skip
    _require_finite(function, costs, power)
    return round_result(costs.reshape(batch), dtype) if batch else float(costs[0])


def sliced(
    x: object,
    y: object,
    a: object = None,
    b: object = None,
    *,
    n_projections: int = 100,
    p: float = 2,
    rng: object = None,
    workers: int | None = None,
) -> float:
    """The sliced Wasserstein distance: the mean over random directions of W_p on the line.

    Parameters
    ----------
    x : (n, d) array_like
        Finite points.
    y : (m, d) array_like
        Finite points.
    a, b : (n,) and (m,) array_like or None
        Their masses, as for `emd_1d`; uniform for None.
    n_projections : int
        Number of directions, drawn uniformly from the sphere.
    p : float
        At least 1, or inf.
    rng : None, int or numpy.random.Generator
        Source of the directions.
    workers : int, optional
        Threads; None for the library's setting. The result does not depend on it.

    Returns
    -------
    float
        (mean over directions t of W_p(<x, t>, <y, t>)**p)**(1/p); their largest for p = inf.

    Raises
    ------
    ValueError
        If a point is not finite, a mass is refused, shapes do not fit, or `p` < 1.
    kexue_num.NumericalError
        If |x - y|**p overflows.

    Notes
    -----
    O(n_projections (n + m) d), directions in groups: at most 64 MiB beside the points. The
    standard error of the mean falls like one over the root of `n_projections`.

    References
    ----------
    N. Bonneel, J. Rabin, G. Peyre, H. Pfister, "Sliced and Radon Wasserstein barycenters of
    measures", J. Math. Imaging Vis. 51 (2015).

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.transport import sliced
    >>> points = np.random.default_rng(0).normal(size=(50, 3))
    >>> sliced(points, points, n_projections=8, rng=0)
    0.0
    """
    function = "sliced"
    power = _check_power(function, p)
    count = check_integer(function, "n_projections", n_projections, minimum=1)
    check_memory(function, "n_projections", n_projections, 8.0 * count)
    left = as_array(function, "x", x, ndim=2, check_finite=True)
    right = as_array(function, "y", y, ndim=2, check_finite=True)
    for argument, points in (("x", left), ("y", right)):
        if points.size == 0:
            got = Phrase(f"shape {points.shape}")
            raise ValueError(message(function, argument, "must not be empty", got))
    if left.shape[1] != right.shape[1]:
        expected = f"must have {left.shape[1]} columns, as 'x'"
        raise ValueError(message(function, "y", expected, Phrase(f"shape {right.shape}")))
    masses = [
        None if value is None else as_masses(function, argument, value, len(points))
        for argument, value, points in (("a", a, left), ("b", b, right))
    ]
    first, second = _balanced(function, masses, (left.T, right.T), mass_tolerance(a, b))
    threads = check_workers(function, workers)
    generator = as_generator(function, rng)
    left, right = left.astype(np.float64, copy=False), right.astype(np.float64, copy=False)
    group = max(1, _GROUP // (len(left) + len(right)))
    costs = np.empty(count)
    for begin in range(0, count, group):
        directions = generator.standard_normal((min(group, count - begin), left.shape[1]))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        costs[begin : begin + len(directions)] = _core.transport.line_costs(
            np.ascontiguousarray(directions @ left.T), _mass_rows(first, ()),
            np.ascontiguousarray(directions @ right.T), _mass_rows(second, ()), power, threads,
        )  # fmt: skip
    _require_finite(function, costs, power)
    return float(costs.max()) if math.isinf(power) else float(costs.mean() ** (1 / power))


def _require_finite(function: str, costs: Array, power: float) -> None:
    if not np.isfinite(costs).all():
        raise NumericalError(f"{function}: |x - y|**{power:g} overflows; scale the points")


def _check_power(function: str, p: object) -> float:
    """A number >= 1, which may be inf."""
    if isinstance(p, (float, np.floating)) and p == math.inf:
        return math.inf
    return check_real(function, "p", p, minimum=1)


def _masses(function: str, argument: str, value: object, points: Array) -> Array | None:
    if value is None:
        return None
    array = as_array(function, argument, value, min_ndim=1)
    if array.shape[-1] != points.shape[-1]:
        expected = f"must have shape (..., {points.shape[-1]})"
        raise ValueError(message(function, argument, expected, Phrase(f"shape {array.shape}")))
    return check_masses(function, argument, array)


def _batch(function: str, left: Array, right: Array, masses: list[Array | None]) -> tuple[int, ...]:
    shapes = [left.shape[:-1], right.shape[:-1]]
    shapes += [mass.shape[:-1] for mass in masses if mass is not None]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError as error:
        expected = "must broadcast against the leading axes of 'x', 'a' and 'b'"
        raise ValueError(message(function, "y", expected, Phrase(f"shapes {shapes}"))) from error


def _balanced(
    function: str, masses: list[Array | None], points: tuple[Array, Array], tolerance: float
) -> tuple[Array | None, Array | None]:
    """Masses of equal sums; uniform ones stay None if both are."""
    first, second = masses
    if first is None and second is None:
        return None, None
    if first is None:
        first = np.full(points[0].shape[-1], 1 / points[0].shape[-1])
    if second is None:
        second = np.full(points[1].shape[-1], 1 / points[1].shape[-1])
    if first.ndim == 1 and second.ndim == 1:
        return first, balance(function, first, second, tolerance)
    want, have = np.broadcast_arrays(
        first.sum(axis=-1, keepdims=True), second.sum(axis=-1, keepdims=True)
    )
    wrong = np.abs(want - have) > tolerance * np.maximum(want, have)
    if wrong.any():
        place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        expected = f"must sum to {float(want[place])!r}, the sum of 'a', within {tolerance:g} of it"
        raise ValueError(message(function, "b", expected, Phrase(repr(float(have[place])))))
    return first, second * (want / have)


def _rows(points: Array, batch: tuple[int, ...]) -> Array:
    whole = np.broadcast_to(points, (*batch, points.shape[-1])).reshape(-1, points.shape[-1])
    return np.ascontiguousarray(whole, np.float64)


def _mass_rows(masses: Array | None, batch: tuple[int, ...]) -> Array | None:
    if masses is None:
        return None
    return masses[None] if masses.ndim == 1 else _rows(masses, batch)


def _plan(
    function: str, x: Array, y: Array, a: object, b: object, power: float, dtype: np.dtype[Any]
) -> TransportResult:
    first, second = as_masses(function, "a", a, len(x)), as_masses(function, "b", b, len(y))
    second = balance(function, first, second, mass_tolerance(a, b))
    with np.errstate(over="ignore"):
        far = np.maximum(np.maximum(x.max() - y.min(), y.max() - x.min()), 0.0) ** power
    _require_finite(function, far, power)
    rows, cols, mass, f, g, value, drift, cost_error = _core.transport.line_plan(
        _rows(x, ()), first[None], _rows(y, ()), second[None], power
    )
    dual, lower = dual_value(first, second, f, g)
    row_error = np.abs(np.bincount(rows, mass, len(x)) - first).sum()
    col_error = np.abs(np.bincount(cols, mass, len(y)) - second).sum()
    error = float(max(row_error, col_error))
    # Rounding of costs moves potentials along the whole staircase: `drift` bounds what it adds. The
    # plan's cost is a sum of few roundings; what its marginals miss has to go at most `far`.
    slack = (cost_error + 2.0**-50) * abs(value) + (1 + 2.0**-20) * error * float(far)
    plan = SparsePlan(
        (len(x), len(y)),
        rows,
        cols,
        round_result(mass, dtype),
        Bracket(min(lower - drift, value), value + slack),
    )
    return TransportResult(
        value,
        dual,
        max(0.0, value - dual),
        Potentials(round_result(f, dtype), round_result(g, dtype)),
        error,
        0,
        True,
        "optimal",
        value,
        plan,
    )
