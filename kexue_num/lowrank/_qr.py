"""Rank-revealing QR factorisations with their orthonormal factor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core, _lapack
from kexue_num._errors import NumericalError
from kexue_num._validation import (
    as_array,
    check_integer,
    check_real,
    check_workers,
    message,
    require_finite,
)
from kexue_num.lowrank._certificate import binary_exponent
from kexue_num.lowrank._operands import DenseOperand
from kexue_num.lowrank._precision import fixed_precision
from kexue_num.lowrank._run import NONE, Options, Run

Array = NDArray[Any]


@dataclass(frozen=True, repr=False, eq=False)
class PivotedQR:
    """A[:, permutation] ~ Q R.

    Attributes
    ----------
    Q : (m, k) ndarray, orthonormal columns
    R : (k, n) ndarray, upper trapezoidal; its diagonal is real and does not increase
    permutation : (n,) int64 ndarray
    rank : int
        The rows of R that are not zero: k, or less where A is numerically of lower rank.
    """

    Q: Array
    R: Array
    permutation: Array
    rank: int

    def __repr__(self) -> str:
        shape = (self.Q.shape[0], self.R.shape[1])
        return f"PivotedQR(shape={shape}, columns={self.Q.shape[1]}, rank={self.rank})"

    def reconstruct(self) -> Array:
        """Q R with its columns in their original places, (m, n)."""
        return _reconstruct(self.Q, self.R, self.permutation)


@dataclass(frozen=True, repr=False, eq=False)
class RRQR:
    """A[:, permutation] = Q R, strongly rank-revealing at `rank`.

    Attributes
    ----------
    Q : (m, min(m, n)) ndarray, orthonormal columns
    R : (min(m, n), n) ndarray, upper trapezoidal
    permutation : (n,) int64 ndarray
    swaps : int
        Exchanges of columns that the bound needed beyond column pivoting.
    rank : int
        The order of R11.
    """

    Q: Array
    R: Array
    permutation: Array
    swaps: int
    rank: int

    def __repr__(self) -> str:
        shape = (self.Q.shape[0], self.R.shape[1])
        return f"RRQR(shape={shape}, rank={self.rank}, swaps={self.swaps})"

    def reconstruct(self) -> Array:
        """Q R with its columns in their original places, (m, n)."""
        return _reconstruct(self.Q, self.R, self.permutation)


def pivoted_qr(
    A: Any,
    rank: int | None = None,
    *,
    tol: float | None = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> PivotedQR:
    """QR factorisation with column pivoting, to a given rank or precision.

    Parameters
    ----------
    A : (m, n) array_like
        float32, float64, complex64 or complex128; other real dtypes as everywhere in the library.
    rank : int, optional
        The number of columns to factor, 0..min(m, n).
    tol : float, optional
        Instead of `rank`: the least number of pivots with ``||A P - Q R||_2 <= tol ||A||_2``; at
        least 10 eps of the dtype and below 1. With neither, all min(m, n) columns are factored.
    workers : int, optional
        Threads; None for the library's setting.
    check_finite : bool
        Refuse NaN and infinity by name; they are refused in any case.

    Returns
    -------
    PivotedQR
        `Q`, `R`, `permutation`, `rank`.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, before any work; NaN or infinity in A.

    Notes
    -----
    Each pivot is the column of largest residual norm, the first of equals (Businger and Golub
    1965), but A is read once per batch of 12 candidates, of which about half are taken, instead of
    once per pivot. Every column is orthogonalised twice, so Q is orthonormal to working precision
    whatever A. Where columns have become numerically dependent before `rank`, R ends in zero rows
    and Q is completed.
    The residual that `tol` bounds is measured by probes, with a failure probability of 1e-9.

    Cost: 2 to 6 m n k operations for k pivots, about twice that with `tol`; memory: one copy of A
    beside Q and R.

    References
    ----------
    Businger and Golub, Numer. Math. 7 (1965). Jianlin Su, "The path to low-rank approximation
    (IV): ID", kexue.fm, 2024-10-30.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.lowrank import pivoted_qr
    >>> A = np.vander(np.linspace(0, 1, 50), 30)
    >>> f = pivoted_qr(A, tol=1e-6)
    >>> f.rank, f.Q.shape, f.R.shape
    (13, (50, 13), (13, 30))
    >>> bool(np.allclose(A, f.reconstruct(), atol=1e-5))
    True
    """
    name = "pivoted_qr"
    threads = check_workers(name, workers)
    array = as_array(name, "A", A, ndim=2, dtypes="inexact", check_finite=check_finite)
    smallest = min(array.shape)
    if rank is not None and tol is not None:
        raise ValueError(f"{name}: at most one of 'rank' and 'tol' must be given, got both")
    size = smallest if rank is None else _check_rank(name, rank, array)
    if tol is not None:
        least = 10 * float(np.finfo(array.dtype).eps)
        tol = check_real(name, "tol", tol, minimum=least, below=1)
        size = _least_rank(name, array, tol, threads) if smallest else 0
    factors = factor(name, array, NONE, size, threads)
    return PivotedQR(*factors.completed(size), len(factors.pivots))


def strong_rrqr(
    A: Any,
    rank: int,
    *,
    f: float = 2.0,
    workers: int | None = None,
    check_finite: bool = True,
) -> RRQR:
    """Strong rank-revealing QR factorisation: bounded coefficients, for certain.

    Parameters
    ----------
    A : (m, n) array_like
        float32, float64, complex64 or complex128; other real dtypes as everywhere in the library.
    rank : int
        The order k of R11, 0..min(m, n).
    f : float
        The bound, > 1.
    workers : int, optional
        Threads; None for the library's setting.
    check_finite : bool
        Refuse NaN and infinity by name; they are refused in any case.

    Returns
    -------
    RRQR
        `Q`, `R`, `permutation`, `swaps`.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, before any work; NaN or infinity in A.

    Notes
    -----
    With ``A P = Q [[R11, R12], [0, R22]]``, for all i and j,

        |(R11^-1 R12)_ij|^2 + (||R22 e_j|| ||e_i' R11^-1||)^2 <= f^2,

    hence ``sigma_i(R11) >= sigma_i(A) / q`` and ``sigma_j(R22) <= q sigma_{k+j}(A)`` with
    ``q = sqrt(1 + f^2 k (n - k))``. Exchanging columns i and k + j multiplies ``|det R11|`` by the
    root of the left side: while one exceeds f the volume grows, which must end. Column pivoting
    comes first; exchanges are rare except on matrices made for it. Where A is numerically of rank
    below k the statement holds for that rank.

    Cost: a full pivoted QR, and O(min(m, n) n k) for every round of exchanges.

    References
    ----------
    Gu and Eisenstat, SIAM J. Sci. Comput. 17 (1996). Jianlin Su, "The path to low-rank
    approximation (IV): ID", kexue.fm, 2024-10-30.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.lowrank import strong_rrqr
    >>> s, c = np.sin(1.2), np.cos(1.2)
    >>> K = s ** np.arange(60)[:, None] * (np.eye(60) - c * np.triu(np.ones((60, 60)), 1))
    >>> f = strong_rrqr(K, 59)
    >>> Z = np.linalg.solve(f.R[:59, :59], f.R[:59, 59:])
    >>> bool(abs(Z).max() <= 2), f.swaps
    (True, 1)
    """
    name = "strong_rrqr"
    threads = check_workers(name, workers)
    array = as_array(name, "A", A, ndim=2, dtypes="inexact", check_finite=check_finite)
    k = _check_rank(name, rank, array)
    bound = check_real(name, "f", f, above=1)
    size = min(array.shape)
    factors = factor(name, array, NONE, size, threads)
    chosen, swaps = _exchange(factors.r, factors.pivots[:k], bound, threads)
    if swaps:
        factors = factor(name, array, chosen, size, threads)
    return RRQR(*factors.completed(size), swaps, k)


@dataclass
class QR:
    """scale A = Q R over all columns in their own places, from `pivots`; Q^T has rows."""

    transposed_q: Array
    r: Array
    pivots: Array
    scale: float

    def completed(self, size: int) -> tuple[Array, Array, Array]:
        """Q with `size` columns, R with as many rows, and the permutation."""
        rank, n = self.r.shape
        rest = np.ones(n, bool)
        rest[self.pivots] = False
        permutation = np.concatenate([self.pivots, np.flatnonzero(rest)]).astype(np.int64)
        r = self.r.take(permutation, axis=1)
        if rank < size:
            r = np.concatenate([r, np.zeros((size - rank, n), r.dtype)])
        if self.scale != 1:
            parts = r.view(r.real.dtype)
            parts /= self.scale  # whose reciprocal may overflow
        q = self.transposed_q.T
        if rank < size:
            # Householder reflections complete Q whatever stands beside it.
            noise = np.random.default_rng(0).standard_normal((q.shape[0], size - rank))
            whole = _lapack.qr(np.hstack([q, noise.astype(q.dtype)]))[0]
            q = np.hstack([q, whole[:, rank:]])
        return q, r, permutation


def factor(name: str, array: Array, first: Array, size: int, workers: int) -> QR:
    """At most `size` pivots, `first` first; any scale."""
    scale = 1.0
    if array.size:
        top = float(_core.lowrank.max_component(array, workers))
        if not math.isfinite(top):
            require_finite(name, "A", array)
        exponent = binary_exponent(top, array.dtype) if top > 0 else 0
        if abs(exponent) > int(np.finfo(array.dtype).maxexp) // 4:
            scale = math.ldexp(1.0, -exponent)
    q, r, pivots = _core.lowrank.factor_columns(array, scale, first, size, workers)
    if scale < 1 and len(r) and not float(np.abs(r).max()) <= np.finfo(r.dtype).max * scale:
        raise NumericalError(
            f"{name}: the columns of A are so long that their norms overflow; "
            f"divide A by a power of two"
        )
    return QR(q, r, pivots, scale)


def _exchange(r: Array, pivots: Array, bound: float, workers: int) -> tuple[Array, int]:
    """Columns that obey the strong criterion in r, and the exchanges that took."""
    chosen = best = pivots
    swaps, best_swaps, volume = 0, 0, -math.inf
    while True:
        q, rows, found = _core.lowrank.factor_columns(r, 1.0, chosen, len(chosen), workers)
        grown = float(np.log(np.abs(rows[np.arange(len(found)), found])).sum())
        if len(found) < len(chosen) or not grown > volume:  # an exchange of rounding errors
            return best, best_swaps
        best, best_swaps, volume = found, swaps, grown
        z = _core.lowrank.interpolation_coefficients(rows, found, NONE, workers)
        chosen, count = _core.lowrank.exchange(z, found, bound, workers)
        if count == 0:
            left = _core.lowrank.matmul(q.T, rows, False, -1.0, r.copy(), workers)
            lengths = np.linalg.norm(left, axis=0)
            inverse = np.linalg.norm(_lapack.inv(rows[:, found]), axis=1)
            ratios = np.hypot(np.abs(z), inverse[:, None] * lengths)
            if ratios.size == 0 or ratios.max() <= bound * (1 + 1e-9):
                return found, swaps
            i, j = np.unravel_index(int(np.argmax(ratios)), ratios.shape)
            chosen, count = found.copy(), 1
            chosen[i] = j
        swaps += count


def _check_rank(name: str, rank: Any, array: Array) -> int:
    size = check_integer(name, "rank", rank, minimum=0)
    if size > min(array.shape):
        expected = f"must be at most {min(array.shape)} for A of shape {array.shape}"
        raise ValueError(message(name, "rank", expected, rank))
    return size


def _least_rank(name: str, array: Array, tol: float, workers: int) -> int:
    """Pivots until the residual is certified, up to a probability of 1e-9."""
    options = Options(
        axis=1,
        method="deterministic",
        select="qrcp",
        refine="exact",
        z_bound=1e100,
        confidence=1 - 1e-9,
        workers=workers,
    )
    run = Run(name, DenseOperand(name, array, workers, True), options, (0, 0))
    return fixed_precision(run, tol).rank


def _reconstruct(q: Array, r: Array, permutation: Array) -> Array:
    out = np.empty((q.shape[0], r.shape[1]), r.dtype)
    out[:, permutation] = q @ r
    return out
