"""Quadratic programs and least squares over the simplex."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core, _lapack
from kexue_num._errors import ConvergenceWarning, NumericalError
from kexue_num._validation import (
    LARGEST_INTEGER,
    Phrase,
    as_array,
    check_integer,
    check_positive,
    check_workers,
    message,
)
from kexue_num.simplex._minimize import SimplexMinimum
from kexue_num.simplex._rows import contiguous

Array = NDArray[Any]
_EPS = float(np.finfo(np.float64).eps)


def simplex_qp(
    Q: Any,
    c: Any = None,
    *,
    radius: float = 1.0,
    tol: float = 1e-12,
    max_iter: int = 10000,
    check_convex: bool = True,
    workers: int | None = None,
) -> SimplexMinimum:
    """Minimise ``p @ Q @ p / 2 + c @ p`` over the simplex ``p >= 0, sum(p) = radius``.

    Parameters
    ----------
    Q : (n, n) array_like
        Only its symmetric part counts. It need not be positive semidefinite, as long as
        ``d @ Q @ d >= 0`` for all d with ``sum(d) = 0``.
    c : (..., n) array_like, optional
        Linear terms, one problem for each row; zero by default.
    radius : float
        Above 0.
    tol : float
        On the gap, relative to ``radius * (radius * max(abs(Q)) + max(abs(c)))``, the size of the
        terms it is made of.
    max_iter : int
        Largest number of Newton steps on faces.
    check_convex : bool
        Prove first that Q is convex on the simplex, n^3 / 3 operations. Without the proof negative
        curvature is noticed only on the faces that are visited, and a gap certifies nothing if it
        is missed.
    workers : int, optional
        Threads for the gradients; None for the library's setting.

    Returns
    -------
    SimplexMinimum
        `p` (..., n) and `fun`, `gap`, `n_iter`, `converged` per row: numbers for one problem,
        arrays for several. Exact zeros off the support; sums within 4 eps of the radius.

    Raises
    ------
    ValueError
        If a shape does not fit or an entry is not finite.
    kexue_num.NumericalError
        If Q is not convex on the simplex.

    Warns
    -----
    kexue_num.ConvergenceWarning
        If a gap does not meet `tol`.

    Notes
    -----
    A block active set with Newton steps on faces: finite, and exact up to rounding. The cost is
    that of a few dozen factorisations of the size of the support and as many products of Q with a
    sparse vector. Memory: three matrices of the size of the support, and Q as float64.

    References
    ----------
    P. Wolfe, "Finding the nearest point in a polytope", Math. Program. 11 (1976);
    J. Nocedal, S. Wright, "Numerical Optimization", ch. 16 (2006).

    Examples
    --------
    >>> from kexue_num.simplex import simplex_qp
    >>> result = simplex_qp([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 4.0]], [0.0, 0.0, 2.0])
    >>> result.p.round(12)
    array([0.33333333, 0.66666667, 0.        ])
    >>> result.converged
    True
    """
    function = "simplex_qp"
    matrix = as_array(function, "Q", Q, ndim=2, check_finite=True)
    n = matrix.shape[0]
    if matrix.shape[1] != n or n == 0:
        got = Phrase(f"shape {matrix.shape}")
        raise ValueError(message(function, "Q", "must be square and not empty", got))
    linear = np.zeros(n) if c is None else as_array(function, "c", c, min_ndim=1, check_finite=True)
    if linear.shape[-1] != n:
        got = Phrase(f"shape {linear.shape}")
        raise ValueError(message(function, "c", f"must have shape (..., {n})", got))
    dtype = np.float64 if c is None else linear.dtype
    dtype = np.promote_types(matrix.dtype, dtype) if c is not None else matrix.dtype
    radius = check_positive(function, "radius", radius)
    symmetric = _lapack.entrywise(_symmetric, matrix)
    if check_convex:
        _require_convex(function, symmetric)
    return _solve_all(
        function, _core.projections.quadratic, symmetric, linear, n, dtype, radius, tol, max_iter,
        workers,
    )  # fmt: skip


def simplex_least_squares(
    A: Any,
    b: Any,
    *,
    radius: float = 1.0,
    tol: float = 1e-12,
    max_iter: int = 10000,
    workers: int | None = None,
) -> SimplexMinimum:
    """Minimise ``sum((A @ p - b)**2) / 2`` over the simplex ``p >= 0, sum(p) = radius``.

    Parameters
    ----------
    A : (m, n) array_like
        Its columns are mixed.
    b : (..., m) array_like
        Targets, one problem for each row.
    radius, tol, max_iter, workers
        As in `simplex_qp`; here the gap is relative to ``radius * a * (radius * a + norm(b))``, a
        the largest norm of a column.

    Returns
    -------
    SimplexMinimum
        As `simplex_qp`; `fun` is half the sum of squares.

    Raises
    ------
    ValueError
        If a shape does not fit or an entry is not finite.

    Warns
    -----
    kexue_num.ConvergenceWarning
        If a gap does not meet `tol`.

    Notes
    -----
    As `simplex_qp`, with gradients from A itself, never from ``A.T @ A``; a tall A is reduced to
    its triangular factor first, 2 m n^2 operations once for all targets.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.simplex import simplex_least_squares
    >>> corners = np.array([[0.0, 4.0, 0.0], [0.0, 0.0, 4.0]])
    >>> simplex_least_squares(corners, [1.0, 2.0]).p
    array([0.25, 0.25, 0.5 ])
    """
    function = "simplex_least_squares"
    matrix = as_array(function, "A", A, ndim=2, check_finite=True)
    target = as_array(function, "b", b, min_ndim=1, check_finite=True)
    m, n = matrix.shape
    if n == 0:
        got = Phrase(f"shape {matrix.shape}")
        raise ValueError(message(function, "A", "must have a column", got))
    if target.shape[-1] != m:
        got = Phrase(f"shape {target.shape}")
        raise ValueError(message(function, "b", f"must have shape (..., {m})", got))
    dtype = np.promote_types(matrix.dtype, target.dtype)
    radius = check_positive(function, "radius", radius)
    target = target.astype(np.float64)
    columns = matrix.T
    constant = np.zeros(target.shape[:-1])
    if m > n:
        # |A p - b|^2 = |R p - Q'b|^2 + |b - Q Q'b|^2
        basis, triangle = _lapack.qr(contiguous(matrix, np.float64))
        inside = target @ basis
        constant = np.sum((target - inside @ basis.T) ** 2, axis=-1) / 2
        columns, target = triangle.T, inside
    result = _solve_all(
        function, _core.projections.least_squares, contiguous(columns, np.float64), target, n,
        dtype, radius, tol, max_iter, workers,
    )  # fmt: skip
    fun = result.fun + (constant if constant.ndim else float(constant))
    return SimplexMinimum(result.p, fun, result.gap, result.n_iter, result.converged)


def _symmetric(Q: Array) -> Array:
    """(Q + Q.T) / 2 in double precision, C-contiguous; may be Q."""
    square: Array = np.ascontiguousarray(Q, np.float64)
    return square if np.array_equal(square, square.T) else (square + square.T) / 2


def _convex_part(Q: Array) -> Array:
    """Positive definite if d'Qd >= 0 for all d of sum zero, up to rounding."""
    n = len(Q)
    mean = Q.mean(axis=0)
    centred: Array = Q - mean
    centred += mean.mean() - mean[:, np.newaxis]
    size = max(float(Q.max()), -float(Q.min()))
    centred += size  # a multiple of the ones: no influence on directions of sum zero
    centred[np.diag_indices(n)] += 8 * n * _EPS * size + np.finfo(np.float64).tiny
    return centred


def _require_convex(function: str, Q: Array) -> None:
    """NumericalError unless d'Qd >= 0 for all d of sum zero, up to rounding."""
    try:
        _lapack.cholesky(_lapack.entrywise(_convex_part, Q))
    except np.linalg.LinAlgError as error:
        raise NumericalError(
            f"{function}: 'Q' must be convex on the simplex, but has a direction d of sum zero "
            "with d @ Q @ d < 0"
        ) from error


def _solve_all(
    function: str,
    solve: Callable[..., tuple[Any, ...]],
    matrix: Array,
    right: Array,
    n: int,
    dtype: np.dtype[Any],
    radius: float,
    tol: float,
    max_iter: int,
    workers: int | None,
) -> SimplexMinimum:
    """One problem for each row of `right`."""
    tol = check_positive(function, "tol", tol)
    max_iter = check_integer(function, "max_iter", max_iter, minimum=1, maximum=LARGEST_INTEGER)
    threads = check_workers(function, workers)
    _core.blas.load()
    batch = right.shape[:-1]
    rows = np.ascontiguousarray(right.reshape(-1, right.shape[-1]), np.float64)
    p = np.empty((len(rows), n))
    found = [
        solve(matrix, row, radius, tol, max_iter, out, threads)
        for row, out in zip(rows, p, strict=True)
    ]
    missed = [state for state in found if not state[4]]
    if missed:
        worst = max(gap / scale for _, gap, scale, _, _ in missed)
        warnings.warn(
            f"{function}: relative gap {worst:.3g} in {len(missed)} of {len(found)} problems, tol "
            f"is {tol:g}; raise max_iter or tol",
            ConvergenceWarning,
            stacklevel=3,
        )
    p = p.astype(dtype).reshape((*batch, n))
    if not batch:
        value, gap, _, n_iter, converged = found[0]
        return SimplexMinimum(p, value, gap, n_iter, converged)
    value, gap, n_iter, converged = (
        np.array([state[i] for state in found]).reshape(batch) for i in (0, 1, 3, 4)
    )
    return SimplexMinimum(p, value, gap, n_iter, converged)
