"""Nearest points of simplices and balls, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._validation import (
    as_array,
    check_integer,
    message,
)
from kexue_num.simplex._projections_checks import SLACK, Box, check_radius
from kexue_num.simplex._rows import Axis, Rows, as_rows

Array = NDArray[Any]


def project_simplex(
    x: Any,
    radius: Any = 1.0,
    *,
    axis: Axis = -1,
    weights: Any = None,
    lower: Any = None,
    upper: Any = None,
    max_nonzero: int | None = None,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """The nearest point of a simplex, with bounds and weights if wanted.

    For every row x the p that minimises ``sum((p - x)**2)`` subject to ``lower <= p <= upper``
    and ``sum(weights * p) = radius``.

    Parameters
    ----------
    x : array_like, (..., n, ...)
        Rows lie along `axis`. -inf is an entry that gets its lower bound.
    radius : float or array_like
        At least 0 (within what the bounds allow, if there are any); one number, or one for each
        row in an array of the shape of `x` without `axis`.
    axis : int, tuple of int or None
        The axes a row extends over; None for all.
    weights : array_like, optional
        Positive; one number, (n,) for every row alike, or the shape of `x`.
    lower, upper : array_like, optional
        Bounds, shaped like `weights`; infinite where there is none. By default 0 and infinity.
    max_nonzero : int, optional
        At most so many entries of a row are not zero, 1 to n.
    out : ndarray, optional
        Where to put the result; may be `x` itself.
    workers : int, optional
        Threads; None for the library's setting. The result does not depend on it.

    Returns
    -------
    ndarray
        The shape of `x` and its dtype (float64 for integers).

    Raises
    ------
    ValueError
        If the radius is negative or out of reach of the bounds, a bound exceeds the other, a
        weight is not positive, a shape does not fit, or `max_nonzero` comes with weights, a lower
        bound other than 0 or an upper bound that is not one number.

    Notes
    -----
    The solution is ``clip(x - tau * weights, lower, upper)`` for one number tau per row, found by
    Newton's method on a piecewise linear equation [1]_ [2]_: exact up to rounding after finitely
    many steps, 4 to 8 passes over a row as a rule and at most 96. ``abs(sum(weights * p) -
    radius)`` is at most ``4 * eps * sum(weights * abs(p))``, for any length. Entries of x that are
    equal (and have equal weights and bounds) get equal results, bit for bit. Rows whose weights,
    bounds or radius lie too far apart for sums of doubles are solved without rounding, entries
    within 2 units in the last place, at about half a microsecond an entry. A row with NaN, or of
    nothing but -inf, becomes NaN; other rows are not touched. +inf gets its upper bound; without
    bounds, and with one radius for all rows, infinite entries share the radius; else the row
    becomes NaN.

    With `max_nonzero` = k the k largest entries are projected (the first of equal ones) and the
    others are 0. For 0 <= p <= upper with one upper bound for all entries, that is a nearest one
    of all points with at most k nonzeros [3]_: exact, not a heuristic.

    Memory beyond the result: 8 bytes per entry of a row and thread, 32 with weights or bounds that
    are arrays.

    References
    ----------
    .. [1] C. Michelot, "A finite algorithm for finding the projection of a point onto the
       canonical simplex of R^n", J. Optim. Theory Appl. 50 (1986).
    .. [2] R. Cominetti, W. Mascarenhas, P. Silva, "A Newton's method for the continuous quadratic
       knapsack problem", Math. Program. Comput. 6 (2014).
    .. [3] A. Kyrillidis, S. Becker, V. Cevher, C. Koch, "Sparse projections onto the simplex",
       ICML (2013).
    .. [4] Jianlin Su, 科学空间 (2024-06-14), https://kexue.fm/archives/10145.

    Examples
    --------
    >>> from kexue_num.simplex import project_simplex
    >>> project_simplex([0.5, 1.5, -1.0])
    array([0., 1., 0.])
    >>> project_simplex([0.5, 1.5, -1.0], upper=0.75)
    array([0.25, 0.75, 0.  ])
    >>> project_simplex([3.0, 1.0, 2.0, 0.0], max_nonzero=2, upper=0.75)
    array([0.75, 0.  , 0.25, 0.  ])
    """
    function = "project_simplex"
    rows = as_rows(function, x, axis, out=out, workers=workers)
    plain = weights is None and lower is None and upper is None and max_nonzero is None
    largest = float(np.finfo(rows.x.dtype).max)
    if plain and isinstance(radius, float) and 0 < radius <= largest:
        _core.simplex.project_rows(rows.x, radius, rows.out, nan=True, workers=rows.workers)
        return rows.result()
    radii = rows.per_row("radius", radius)
    if lower is None:
        check_radius(rows, radii)
    if weights is None and radii.size and radii.max() > largest:
        expected = f"must be at most {largest:g} for {rows.x.dtype}"
        raise ValueError(message(function, "radius", expected, radii.max()))
    if plain and radii.size and radii[0] > 0 and (radii == radii[0]).all():
        _core.simplex.project_rows(
            rows.x, float(radii[0]), rows.out, nan=True, workers=rows.workers
        )
        return rows.result()
    box = Box.of(rows, radii, weights, lower, upper)
    if max_nonzero is not None:
        _project_sparse(rows, radii, box, max_nonzero)
    else:
        _core.projections.box_simplex(
            rows.x, box.weights, box.lower, box.upper, box.lowest, box.highest, radii,
            box.lowest_sum, rows.out, rows.workers,
        )  # fmt: skip
    return rows.result()


def project_l1_ball(
    x: Any,
    radius: Any = 1.0,
    *,
    axis: Axis = -1,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """The nearest point with ``sum(abs(p)) <= radius``.

    Parameters
    ----------
    x : array_like, (..., n, ...)
        Rows lie along `axis`.
    radius : float or array_like
        At least 0; one number, or one for each row.
    axis, out, workers
        As in `project_simplex`.

    Returns
    -------
    ndarray
        x itself where it lies in the ball, else sign(x) times the projection of abs(x) onto the
        simplex of the radius. A row with NaN or an infinity becomes NaN.

    Raises
    ------
    ValueError
        If the radius is negative or not finite, or a shape does not fit.

    References
    ----------
    J. Duchi, S. Shalev-Shwartz, Y. Singer, T. Chandra, "Efficient projections onto the l1-ball for
    learning in high dimensions", ICML (2008).

    Examples
    --------
    >>> from kexue_num.simplex import project_l1_ball
    >>> project_l1_ball([[3.0, -1.0], [0.25, -0.5]])
    array([[ 1.  , -0.  ],
           [ 0.25, -0.5 ]])
    """
    rows = as_rows("project_l1_ball", x, axis, out=out, workers=workers)
    radii = rows.per_row("radius", radius)
    check_radius(rows, radii)
    _core.projections.l1_ball(rows.x, radii, rows.out, rows.workers)
    return rows.result()


def project_linf_ball(
    x: Any,
    radius: Any = 1.0,
    *,
    axis: Axis = -1,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """The nearest point with ``max(abs(p)) <= radius``: x clipped to [-radius, radius].

    Parameters
    ----------
    x : array_like, (..., n, ...)
        Rows lie along `axis`, which matters only if there is a radius for each row.
    radius : float or array_like
        At least 0; one number, or one for each row.
    axis, out, workers
        As in `project_simplex`. This runs on one thread.

    Returns
    -------
    ndarray
        The shape and dtype of x. NaN stays where it is.

    Raises
    ------
    ValueError
        If the radius is negative or not finite, or a shape does not fit.

    Examples
    --------
    >>> from kexue_num.simplex import project_linf_ball
    >>> project_linf_ball([[3.0, -0.5], [2.0, -4.0]], [1.0, 3.0])
    array([[ 1. , -0.5],
           [ 2. , -3. ]])
    """
    rows = as_rows("project_linf_ball", x, axis, out=out, workers=workers)
    radii = rows.per_row("radius", radius)
    check_radius(rows, radii)
    bound = _rounded_down(radii, rows.x.dtype)[:, np.newaxis]
    np.clip(rows.x, -bound, bound, out=rows.out)
    return rows.result()


def project_l1inf_ball(
    x: Any,
    radius: Any = 1.0,
    *,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """The nearest matrix with ``sum_i max_j abs(P[i, j]) <= radius``.

    Parameters
    ----------
    x : array_like, (..., m, n)
        Matrices in the last two axes: the largest entry of each row counts, summed over rows.
    radius : float or array_like
        At least 0; one number, or one for each matrix.
    out, workers
        As in `project_simplex`.

    Returns
    -------
    ndarray
        x itself where it lies in the ball; else each row clipped to [-mu_i, mu_i], where the mu_i
        sum to the radius and what is cut off is the same for every row with mu_i > 0. A matrix
        with NaN or an infinity becomes NaN.

    Raises
    ------
    ValueError
        If the radius is negative or not finite, or a shape does not fit.

    Notes
    -----
    Rows are sorted once, O(m n log n); Newton's method on the amount cut off is finite and takes
    O(m log n) a step. In float64 the norm of the result is the radius within 4 eps, however small
    that is beside `x`. Memory: three doubles per entry of a matrix and thread.

    References
    ----------
    G. Chau, B. Wohlberg, P. Rodriguez, "Efficient projection onto the l_{inf,1} mixed-norm ball
    using a Newton root search method", SIAM J. Imaging Sci. 12 (2019).

    Examples
    --------
    >>> from kexue_num.simplex import project_l1inf_ball
    >>> project_l1inf_ball([[3.0, -1.0], [0.5, 2.0]], 2.0)
    array([[ 1.5, -1. ],
           [ 0.5,  0.5]])
    """
    function = "project_l1inf_ball"
    as_array(function, "x", x, min_ndim=2)
    rows = as_rows(function, x, (-2, -1), out=out, workers=workers)
    radii = rows.per_row("radius", radius)
    check_radius(rows, radii)
    _core.projections.l1inf_ball(rows.x, rows.shape[-2], radii, rows.out, rows.workers)
    return rows.result()


def _project_sparse(rows: Rows, radii: Array, box: Box, max_nonzero: int) -> None:
    n = rows.x.shape[1]
    k = check_integer(rows.function, "max_nonzero", max_nonzero, minimum=1, maximum=n)
    if box.weights is not None or box.lower is not None or box.lowest != 0:
        expected = "must come without weights, with lower bound 0 and one upper bound"
        raise ValueError(message(rows.function, "max_nonzero", expected, max_nonzero))
    if (radii > k * box.highest * (1 + SLACK * np.finfo(rows.x.dtype).eps)).any():
        expected = f"must be at least the radius over max_nonzero, {radii.max():g} / {k}"
        raise ValueError(message(rows.function, "upper", expected, box.highest))
    _core.projections.sparse_simplex(rows.x, k, box.highest, radii, rows.out, rows.workers)


def _rounded_down(radii: Array, dtype: np.dtype[Any]) -> Array:
    """The radii in `dtype`, none larger than it was."""
    rounded = radii.astype(dtype)
    return np.where(rounded > radii, np.nextafter(rounded, dtype.type(0)), rounded)
