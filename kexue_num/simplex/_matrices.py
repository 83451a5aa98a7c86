"""Projections of matrices: doubly stochastic ones and density matrices."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core, _lapack
from kexue_num._errors import ConvergenceWarning
from kexue_num._validation import (
    LARGEST_INTEGER,
    Phrase,
    as_array,
    check_integer,
    check_positive,
    check_real,
    check_workers,
    message,
    result_dtype,
    round_result,
)
from kexue_num.simplex._projections import project_simplex

Array = NDArray[Any]


def project_spectrahedron(X: Any, radius: float = 1.0) -> Array:
    """The nearest positive semidefinite matrix of trace `radius`: for 1, a density matrix.

    Parameters
    ----------
    X : (..., n, n) array_like
        Real or complex; of a matrix that is not Hermitian the Hermitian part counts, which gives
        the same nearest point in the Frobenius norm.
    radius : float
        At least 0.

    Returns
    -------
    ndarray
        Exactly Hermitian, the shape and dtype of `X`. A matrix with NaN or infinities becomes NaN;
        others are not touched.

    Raises
    ------
    ValueError
        If the matrices are not square or the radius is negative.

    Notes
    -----
    The eigenvalues are projected onto the simplex; eigenvectors stay. LAPACK's eigen-decomposition
    makes it O(n^3) a matrix, on the threads of NumPy's BLAS. Entries are accurate to about
    ``n * eps * norm(X)``.

    Examples
    --------
    >>> from kexue_num.simplex import project_spectrahedron
    >>> project_spectrahedron([[2.0, 0.0], [0.0, -1.0]])
    array([[1., 0.],
           [0., 0.]])
    """
    function = "project_spectrahedron"
    matrix = as_array(function, "X", X, min_ndim=2, dtypes="inexact")
    _require_square(function, matrix)
    radius = check_real(function, "radius", radius, minimum=0)
    finite = np.asarray(np.isfinite(matrix).all(axis=(-2, -1), keepdims=True))
    # Halves first: their sum cannot overflow.
    hermitian = np.where(finite, matrix, 0) / 2
    hermitian += hermitian.conj().swapaxes(-2, -1)
    values, vectors = _lapack.eigh(hermitian)
    values = project_simplex(values, radius)
    scaled = vectors * np.sqrt(values)[..., np.newaxis, :]
    p = scaled @ scaled.conj().swapaxes(-2, -1)
    p = p / 2 + p.conj().swapaxes(-2, -1) / 2
    p[~finite[..., 0, 0]] = np.nan
    return round_result(p, result_dtype(X))


@dataclass(frozen=True, repr=False, eq=False)
class BirkhoffProjection:
    """A doubly stochastic matrix near X and how far from the nearest one it may be.

    Attributes
    ----------
    p : (..., n, n) ndarray
    row_potential, column_potential : (..., n) ndarray
        The dual solution: ``p = maximum(X + row_potential[:, None] + column_potential, 0)``.
    gap : ndarray or float
        Primal value of a matrix with exact marginals next to `p`, less the dual value.
    error_bound : ndarray or float
        Bound on the Frobenius distance of `p` to the exact projection, from the gap.
    marginal_error : ndarray or float
        Largest deviation of a row or column sum from 1.
    n_iter : ndarray or int
        Newton steps.
    converged : ndarray or bool
        Whether `marginal_error` met `tol`.
    """

    p: Array
    row_potential: Array
    column_potential: Array
    gap: Any
    error_bound: Any
    marginal_error: Any
    n_iter: Any
    converged: Any

    def __repr__(self) -> str:
        return (
            f"BirkhoffProjection(shape={self.p.shape}, error_bound={np.max(self.error_bound):.3g}, "
            f"converged={bool(np.all(self.converged))})"
        )


@overload
def project_birkhoff(
    X: Any,
    *,
    tol: float = ...,
    max_iter: int = ...,
    return_certificate: Literal[False] = ...,
    workers: int | None = ...,
) -> Array: ...
@overload
def project_birkhoff(
    X: Any,
    *,
    tol: float = ...,
    max_iter: int = ...,
    return_certificate: Literal[True],
    workers: int | None = ...,
) -> BirkhoffProjection: ...
def project_birkhoff(
    X: Any,
    *,
    tol: float = 1e-13,
    max_iter: int = 200,
    return_certificate: bool = False,
    workers: int | None = None,
) -> Array | BirkhoffProjection:
    """The nearest doubly stochastic matrix: nonnegative, all rows and columns of sum 1.

    Parameters
    ----------
    X : (..., n, n) array_like
        Finite.
    tol : float
        On the largest deviation of a row or column sum from 1, relative to the largest magnitude of
        `X` clipped to [1, 64]; before the result is rounded to the dtype of `X`.
    max_iter : int
        Largest number of Newton steps, for each multiple of a large matrix.
    return_certificate : bool
        Return a `BirkhoffProjection` with a bound on the distance to the exact projection.
    workers : int, optional
        Threads, over matrices; None for the library's setting.

    Returns
    -------
    ndarray or BirkhoffProjection
        Exact zeros where the projection has them.

    Raises
    ------
    ValueError
        If the matrices are not square or not finite.

    Warns
    -----
    kexue_num.ConvergenceWarning
        If `tol` is not met after `max_iter` steps.

    Notes
    -----
    ``P = maximum(X + a[:, None] + b, 0)``, where a and b maximise a concave dual function; a
    semi-smooth Newton method with conjugate gradients on the pattern of positive entries finds
    them, in 5 to 20 steps as a rule, O(n^2) each plus the conjugate gradients on the pattern [1]_.
    Memory: 8 to 16 bytes an entry and thread. Of a matrix beyond 64 smaller multiples are solved
    first, each 64 times the one before: then the steps grow with the logarithm of its size.

    References
    ----------
    .. [1] X. Li, D. Sun, K.-C. Toh, "On the efficient computation of a generalized Jacobian of the
       projector over the Birkhoff polytope", Math. Program. 179 (2020).

    Examples
    --------
    >>> from kexue_num.simplex import project_birkhoff
    >>> project_birkhoff([[1.0, 0.5], [0.0, 1.0]])
    array([[0.875, 0.125],
           [0.125, 0.875]])
    """
    function = "project_birkhoff"
    matrix = as_array(function, "X", X, min_ndim=2, check_finite=True)
    _require_square(function, matrix)
    tol = check_positive(function, "tol", tol)
    max_iter = check_integer(function, "max_iter", max_iter, minimum=1, maximum=LARGEST_INTEGER)
    threads = check_workers(function, workers)
    batch, n = matrix.shape[:-2], matrix.shape[-1]
    rows = np.ascontiguousarray(matrix.reshape(math.prod(batch), n * n))
    p = np.empty_like(rows)
    potentials = np.empty((len(rows), 2 * n))
    report = np.empty((len(rows), 4))
    _core.projections.birkhoff(
        rows, n, tol, max_iter, return_certificate, p, potentials, report, threads
    )
    gap, error_bound, error, n_iter = report.T.reshape((4, *batch))
    scale = np.clip(np.abs(rows).max(axis=1, initial=0).astype(float).reshape(batch), 1, 64)
    converged = error <= tol * scale
    if not converged.all():
        warnings.warn(
            f"{function}: a row or column sum is {np.max(error):.3g} off 1 after {max_iter} steps; "
            "raise max_iter or tol",
            ConvergenceWarning,
            stacklevel=2,
        )
    result = round_result(p.reshape(matrix.shape), result_dtype(X))
    if not return_certificate:
        return result
    a, b = np.split(potentials.reshape((*batch, 2 * n)), 2, axis=-1)
    if batch:
        return BirkhoffProjection(
            result, a, b, gap, error_bound, error, n_iter.astype(np.int64), converged
        )
    return BirkhoffProjection(
        result, a, b, float(gap), float(error_bound), float(error), int(n_iter), bool(converged)
    )


def _require_square(function: str, matrix: Array) -> None:
    if matrix.shape[-1] != matrix.shape[-2] or matrix.shape[-1] == 0:
        got = Phrase(f"shape {matrix.shape}")
        raise ValueError(message(function, "X", "must hold square matrices, not empty", got))
