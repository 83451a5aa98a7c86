"""Projections onto permutahedra, soft sorting and ranking, isotonic regression."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._validation import (
    check_choice,
    check_positive,
    message,
    require_finite,
)
from kexue_num.simplex._projections_checks import apart, rows_of
from kexue_num.simplex._rows import Axis, as_rows

Array = NDArray[Any]

_KINDS = ("l2", "kl")


def project_permutahedron(
    x: Any,
    w: Any,
    *,
    axis: Axis = -1,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """The nearest point of the convex hull of all permutations of `w`.

    Parameters
    ----------
    x : array_like, (..., n, ...)
        Rows lie along `axis`.
    w : array_like, (n,) or the shape of `x`
        The vertex, in any order; finite.
    axis, out, workers
        As in `project_simplex`.

    Returns
    -------
    ndarray
        The shape of `x` and its dtype. Equal entries of a row get equal results; a row of `x` with
        a NaN or an infinity becomes NaN.

    Raises
    ------
    ValueError
        If `w` is not finite or its shape does not fit.

    Notes
    -----
    Sorting and one pass of isotonic regression, O(n log n) [1]_. Memory: about 100 bytes per entry
    of a row and thread.

    References
    ----------
    .. [1] M. Blondel, O. Teboul, Q. Berthet, J. Djolonga, "Fast differentiable sorting and
       ranking", ICML (2020).

    Examples
    --------
    >>> from kexue_num.simplex import project_permutahedron
    >>> project_permutahedron([10.0, 0.0, 0.5], [1.0, 2.0, 3.0])
    array([3.  , 1.25, 1.75])
    """
    function = "project_permutahedron"
    rows = as_rows(function, x, axis, out=out, workers=workers)
    vertex = rows_of(rows, "w", w)
    require_finite(function, "w", vertex)
    _core.projections.permutahedron(rows.x, vertex, rows.out, rows.workers)
    return rows.result()


def soft_sort(
    x: Any,
    strength: float = 1.0,
    *,
    regularization: str = "l2",
    descending: bool = False,
    axis: Axis = -1,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Sorted values that are differentiable in every entry.

    Parameters
    ----------
    x : array_like, (..., n, ...)
        Rows lie along `axis`.
    strength : float
        Above 0. Towards 0 the result is ``sort(x)``, exactly so once no two neighbours of the
        sorted row are ``1 / strength`` apart or more; towards infinity all become the mean ("l2").
    regularization : {"l2", "kl"}
        The projection that softens: with rho = (1, ..., n), "l2" is the Euclidean projection of
        rho / strength onto the permutahedron of x; "kl" is the logarithm of the Kullback-Leibler
        projection of exp(rho / strength) onto the permutahedron of exp(x).
    descending : bool
        The same from back to front.
    axis, out, workers
        As in `project_simplex`.

    Returns
    -------
    ndarray
        The shape of `x` and its dtype. "l2" keeps the sum of a row, "kl" the sum of its
        exponentials. A row with a NaN or an infinity becomes NaN.

    Raises
    ------
    ValueError
        If `strength` is not positive: the limit 0 is ``numpy.sort``.

    See Also
    --------
    soft_sort_vjp : the gradient.

    Notes
    -----
    O(n log n) a row. Runs of one entry come out exact at any strength, because no large numbers
    are subtracted.

    References
    ----------
    M. Blondel, O. Teboul, Q. Berthet, J. Djolonga, "Fast differentiable sorting and ranking", ICML
    (2020).

    Examples
    --------
    >>> from kexue_num.simplex import soft_sort
    >>> soft_sort([3.0, 1.0, 2.0, 7.0], 0.1)
    array([1., 2., 3., 7.])
    >>> soft_sort([3.0, 1.0, 2.0, 7.0], 2.0)
    array([2.5, 3. , 3.5, 4. ])
    """
    function = "soft_sort"
    rows = as_rows(function, x, axis, out=out, workers=workers)
    strength, kind = _options(function, strength, regularization)
    _core.projections.soft_sort(rows.x, strength, kind, bool(descending), rows.out, rows.workers)
    return rows.result()


def soft_rank(
    x: Any,
    strength: float = 1.0,
    *,
    regularization: str = "l2",
    descending: bool = False,
    axis: Axis = -1,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Ranks that are differentiable in every entry.

    Parameters
    ----------
    x : array_like, (..., n, ...)
        Rows lie along `axis`.
    strength : float
        Above 0. Towards 0 the result is the ranks 1, ..., n, exactly so once all entries are more
        than `strength` apart, tied entries sharing the mean of theirs; towards infinity all become
        (n + 1) / 2 ("l2").
    regularization : {"l2", "kl"}
        With rho = (1, ..., n), "l2" is the Euclidean projection of x / strength onto the
        permutahedron of rho, "kl" the Kullback-Leibler projection of exp(x / strength) onto it.
    descending : bool
        Rank 1 for the largest entry instead of the smallest.
    axis, out, workers
        As in `project_simplex`.

    Returns
    -------
    ndarray
        The shape of `x` and its dtype; rows sum to n (n + 1) / 2 and keep the order of `x`. A row
        with a NaN or an infinity becomes NaN.

    Raises
    ------
    ValueError
        If `strength` is not positive: the limit 0 is ``scipy.stats.rankdata``.

    See Also
    --------
    soft_rank_vjp : the gradient.

    References
    ----------
    M. Blondel, O. Teboul, Q. Berthet, J. Djolonga, "Fast differentiable sorting and ranking", ICML
    (2020).

    Examples
    --------
    >>> from kexue_num.simplex import soft_rank
    >>> soft_rank([3.0, 1.0, 2.0, 7.0], 0.1)
    array([3., 1., 2., 4.])
    >>> soft_rank([3.0, 1.0, 2.0, 7.0], 2.0)
    array([2.5, 1.5, 2. , 4. ])
    """
    function = "soft_rank"
    rows = as_rows(function, x, axis, out=out, workers=workers)
    strength, kind = _options(function, strength, regularization)
    _core.projections.soft_rank(rows.x, strength, kind, bool(descending), rows.out, rows.workers)
    return rows.result()


def soft_sort_vjp(
    x: Any,
    g: Any,
    strength: float = 1.0,
    *,
    regularization: str = "l2",
    descending: bool = False,
    axis: Axis = -1,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Gradient of ``sum(g * soft_sort(x, strength, ...))`` with respect to `x`.

    Parameters
    ----------
    x, strength, regularization, descending, axis, out, workers
        As in `soft_sort`.
    g : array_like, the shape of `x`
        Gradient with respect to the sorted values.

    Returns
    -------
    ndarray
        The shape of `x` and its dtype. Where runs meet the function has a kink; the gradient is
        that of one side.

    Raises
    ------
    ValueError
        As in `soft_sort`, and if the shape of `g` is another.

    Examples
    --------
    >>> from kexue_num.simplex import soft_sort_vjp
    >>> soft_sort_vjp([3.0, 1.0, 2.0], [10.0, 20.0, 30.0], 0.1)
    array([30., 10., 20.])
    """
    function = "soft_sort_vjp"
    rows = as_rows(function, x, axis, out=out, workers=workers)
    gradient = rows.like("g", g)
    strength, kind = _options(function, strength, regularization)
    _core.projections.soft_sort_vjp(
        rows.x, apart(gradient, rows), strength, kind, bool(descending), rows.out, rows.workers
    )
    return rows.result()


def soft_rank_vjp(
    x: Any,
    g: Any,
    strength: float = 1.0,
    *,
    regularization: str = "l2",
    descending: bool = False,
    axis: Axis = -1,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Gradient of ``sum(g * soft_rank(x, strength, ...))`` with respect to `x`.

    Parameters
    ----------
    x, strength, regularization, descending, axis, out, workers
        As in `soft_rank`.
    g : array_like, the shape of `x`
        Gradient with respect to the ranks.

    Returns
    -------
    ndarray
        The shape of `x` and its dtype.

    Raises
    ------
    ValueError
        As in `soft_rank`, and if the shape of `g` is another.

    Examples
    --------
    >>> from kexue_num.simplex import soft_rank_vjp
    >>> soft_rank_vjp([3.0, 1.0, 2.5], [1.0, 0.0, 0.0], 1.0)
    array([ 0.5,  0. , -0.5])
    """
    function = "soft_rank_vjp"
    rows = as_rows(function, x, axis, out=out, workers=workers)
    gradient = rows.like("g", g)
    strength, kind = _options(function, strength, regularization)
    _core.projections.soft_rank_vjp(
        rows.x, apart(gradient, rows), strength, kind, bool(descending), rows.out, rows.workers
    )
    return rows.result()


def isotonic(
    x: Any,
    weights: Any = None,
    *,
    increasing: bool = True,
    axis: Axis = -1,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Isotonic regression: the nearest row that never falls.

    Minimises ``sum(weights * (v - x)**2)`` over ``v[0] <= v[1] <= ...``.

    Parameters
    ----------
    x : array_like, (..., n, ...)
        Rows lie along `axis`.
    weights : array_like, optional
        Positive; one number, (n,) or the shape of `x`.
    increasing : bool
        If False, the nearest row that never rises.
    axis, out, workers
        As in `project_simplex`.

    Returns
    -------
    ndarray
        The shape of `x` and its dtype. The mean is also the answer for every other Bregman
        divergence of x from v, the Kullback-Leibler divergence among them.

    Raises
    ------
    ValueError
        If `x` is not finite, a weight is not positive or a shape does not fit.

    Notes
    -----
    Pool adjacent violators, O(n) [1]_. Memory: 40 bytes per entry of a row and thread.

    References
    ----------
    .. [1] M. J. Best, N. Chakravarti, V. A. Ubhaya, "Minimizing separable convex functions subject
       to simple chain constraints", SIAM J. Optim. 10 (2000).

    Examples
    --------
    >>> from kexue_num.simplex import isotonic
    >>> isotonic([1.0, 3.0, 2.0, 4.0])
    array([1. , 2.5, 2.5, 4. ])
    """
    function = "isotonic"
    rows = as_rows(function, x, axis, out=out, workers=workers)
    require_finite(function, "x", rows.x)
    scale = None
    if weights is not None:
        scale = rows_of(rows, "weights", weights)
        bad = ~((scale > 0) & (scale < np.inf))
        if bad.any():
            expected = "must be finite and > 0"
            raise ValueError(message(function, "weights", expected, float(scale[bad][0])))
    _core.projections.isotonic(rows.x, scale, bool(increasing), rows.out, rows.workers)
    return rows.result()


def _options(function: str, strength: float, regularization: str) -> tuple[float, str]:
    kind = check_choice(function, "regularization", regularization, _KINDS)
    return check_positive(function, "strength", strength), kind
