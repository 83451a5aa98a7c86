"""Truncated singular value decomposition: the public function."""

from __future__ import annotations

from typing import Any

import numpy as np

from kexue_num._validation import (
    LARGEST_INTEGER,
    Phrase,
    as_generator,
    check_fraction,
    check_integer,
    check_real,
    check_workers,
    draw_key,
    message,
)
from kexue_num.lowrank._krylov import Goal, Krylov, dense_svd
from kexue_num.lowrank._operands import as_operand
from kexue_num.lowrank._results import SVD

_NAME = "truncated_svd"


def truncated_svd(
    A: Any,
    rank: int | None = None,
    *,
    tol: float | None = None,
    residual_tol: float = 0.1,
    max_iter: int = 20,
    confidence: float = 0.999,
    rng: Any = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> SVD:
    """The leading singular values and vectors, with a bound on the error of the approximation.

    Parameters
    ----------
    A : (m, n) array_like, sparse array or LinearOperator
        float32, float64, complex64 or complex128; other real dtypes as everywhere in the library.
        Dense arrays of any strides; sparse arrays are never densified.
    rank : int, optional
        Number of triplets, 0..min(m, n). Exactly one of `rank` and `tol` is given.
    tol : float, optional
        Relative error asked for: the least rank found with ``error <= tol * ||A||_2`` (spectral
        norms), at least 10 eps of the dtype and below 1.
    residual_tol : float
        With `rank`, iterates until ``||A^H U - V diag(s)||_2 <= residual_tol * s[rank]``, the
        first singular value left out; in (0, 1). The error of the approximation then exceeds the
        least possible by about ``residual_tol**2 / 2`` of it. Smaller values give more accurate
        singular vectors.
    max_iter : int
        Steps of the block Krylov iteration, two products with A each; at least 1.
    confidence : float
        Probability, over the random probes, with which `error_bound` holds.
    rng : None, int or numpy.random.Generator
        Drawn from once. The result depends on it and on A, not on the number of workers.
    workers : int, optional
        Threads; None for the library's setting.
    check_finite : bool
        Look for NaN and infinity in A (a finite sketch proves a dense A finite for free).

    Returns
    -------
    SVD
        `U`, `s`, `Vh`, `error_bound`, `converged`, `n_iter`.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, before any work; NaN or infinity in A.

    Warns
    -----
    ConvergenceWarning
        `max_iter` steps were not enough; the bound holds all the same.

    Notes
    -----
    The row space of a sparse-sign sketch of 3 `rank` rows, taken in one pass over A together with
    12 standard normal probes, gives the first block V. Each step adds the block
    ``A^H U - V diag(s)`` of residuals of the present triplets to the basis (block Krylov) and
    takes the best triplets of the enlarged basis (Rayleigh-Ritz); most spectra need one step.
    The basis is cut back to one block when it has grown to four. Matrices of which a third or
    more is asked for are decomposed in full.

    The probes took no part in the choice of the basis: two power steps on the residual and the
    quantile of the chi-square law turn them into `error_bound`, which is typically 1.1 to 1.6 times
    the true error. With `tol` the certified residual of the whole basis and the singular values
    left out give ``error^2 <= s[k]^2 + ||A - A V V^H||^2`` for every rank k at once.

    Cost: 2 m n b operations per product, b = 1.13 rank + 10, two products at least; memory:
    O((m + n) b) beside A.

    References
    ----------
    Halko, Martinsson and Tropp, SIAM Rev. 53 (2011); Musco and Musco, NeurIPS 2015; Tropp and
    Webber, arXiv:2306.12418 (2023). Jianlin Su, "The path to low-rank approximation (II): SVD",
    kexue.fm, 2024-10-01.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.lowrank import truncated_svd
    >>> x = np.linspace(0, 1, 200)
    >>> A = 1 / (1 + np.abs(x[:, None] - x[None, :] - 2))
    >>> svd = truncated_svd(A, tol=1e-6, rng=0)
    >>> bool(np.linalg.norm(A - svd.reconstruct(), 2) <= svd.error_bound <= 1e-6 * svd.s[0])
    True
    """
    if (rank is None) == (tol is None):
        got = Phrase("both" if rank is not None else "neither")
        raise ValueError(f"{_NAME}: exactly one of 'rank' and 'tol' must be given, got {got}")
    residual_tol = check_fraction(_NAME, "residual_tol", residual_tol)
    max_iter = check_integer(_NAME, "max_iter", max_iter, minimum=1, maximum=LARGEST_INTEGER)
    confidence = check_fraction(_NAME, "confidence", confidence)
    count = check_workers(_NAME, workers)
    operand = as_operand(_NAME, A, 1, count, check_finite)
    generator = as_generator(_NAME, rng)
    m, n = operand.shape
    if rank is not None:
        rank = check_integer(_NAME, "rank", rank, minimum=0)
        if rank > min(m, n):
            expected = f"must be at most {min(m, n)} for A of shape {(m, n)}"
            raise ValueError(message(_NAME, "rank", expected, rank))
    if tol is not None:
        least = 10 * float(np.finfo(operand.dtype).eps)
        tol = check_real(_NAME, "tol", tol, minimum=least, below=1)
    goal = Goal(rank, tol, residual_tol, max_iter, confidence)
    key = draw_key(generator)
    # The shorter side carries the basis.
    tall = operand if m >= n else operand.transposed()
    if tall.dense is not None and ((rank is not None and 3 * rank >= min(m, n)) or min(m, n) <= 64):
        found = dense_svd(_NAME, tall, goal)
    else:
        found = Krylov(_NAME, tall, goal, key).solve()
    if m >= n:
        return found
    return SVD(
        U=np.ascontiguousarray(found.Vh.T),
        s=found.s,
        Vh=np.ascontiguousarray(found.U.T),
        error_bound=found.error_bound,
        confidence=found.confidence,
        converged=found.converged,
        n_iter=found.n_iter,
    )
