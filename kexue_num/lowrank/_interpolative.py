"""Interpolative decomposition: the public function."""

from __future__ import annotations

from typing import Any

import numpy as np

from kexue_num._validation import (
    Phrase,
    as_key,
    check_choice,
    check_fraction,
    check_integer,
    check_real,
    check_workers,
    message,
)
from kexue_num.lowrank._choose import SELECTIONS, check_semidefinite_input
from kexue_num.lowrank._operands import as_operand
from kexue_num.lowrank._precision import fixed_precision
from kexue_num.lowrank._results import InterpolativeDecomposition
from kexue_num.lowrank._run import Options, Run

_NAME = "interp_decomp"


def interp_decomp(
    A: Any,
    rank: int | None = None,
    *,
    tol: float | None = None,
    axis: int = 1,
    method: str = "auto",
    select: str = "auto",
    refine: str = "auto",
    z_bound: float = 2.0,
    confidence: float = 0.999,
    rng: Any = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> InterpolativeDecomposition:
    """Rebuild a matrix from `rank` of its own columns (or rows), with a bound on the error.

    Parameters
    ----------
    A : (m, n) array_like, sparse array or LinearOperator
        float32, float64, complex64 or complex128; other real dtypes as everywhere in the library.
        Dense arrays of any strides; sparse arrays are never densified.
    rank : int, optional
        The number of columns, 0..min(m, n). Exactly one of `rank` and `tol` is given.
    tol : float, optional
        Relative error asked for: the least rank found with ``error <= tol * ||A||_2`` (spectral
        norms), at least 10 eps of the dtype and below 1.
    axis : {1, 0}
        1 chooses columns, 0 rows.
    method : {"auto", "randomized", "deterministic"}
        "randomized" (what "auto" means) chooses from a random sketch of 3 `rank` rows.
        "deterministic" (dense arrays only) takes the pivots of column-pivoted QR and exact
        coefficients, and reads A about once for every 5 of them.
    select : str
        How columns are chosen, from the sketch unless said otherwise:

        - "auto", "qrcp": pivoted QR of more columns than wanted, then backward elimination;
        - "osinsky": the least error of each step, judged on singular vectors and their residual
          (Osinsky 2023); with ``refine="exact"`` the most accurate;
        - "arp": adaptive randomised pivoting of singular vectors;
        - "total_residual": the column that takes most of the whole residual;
        - "lupp": Gaussian elimination of `rank` random combinations of rows;
        - "deim": Gaussian elimination of the singular vectors;
        - "uniform", "norm", "leverage": pivoted QR among 2 `rank` + 10 columns drawn uniformly, by
          squared length or by leverage score;
        - "rpcholesky": randomly pivoted Cholesky of a Hermitian positive semidefinite A, of which
          it reads the diagonal and a few columns; no operators.

        All are followed by exchanges until `z_bound` holds.
    refine : {"auto", "sketch", "exact"}
        Coefficients fitted to the sketch, or the best ones for the chosen columns (one more pass
        over A and 2 m n `rank` operations). "auto": "sketch" for a given rank, "exact" for `tol`.
    z_bound : float
        No coefficient is larger in modulus; > 1.
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
    InterpolativeDecomposition
        `indices`, `coefficients`, `skeleton`, `error_bound`, `max_abs_coefficient` and others.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, before any work; NaN or infinity in A.
    MemoryError
        Before any work, where the sketch for `rank` exceeds the memory there is.

    Warns
    -----
    ConvergenceWarning
        `tol` could not be certified even with all columns that are numerically independent.

    Notes
    -----
    With S the chosen columns, ``A ~ A[:, S] Z``. A sparse-sign sketch Y (3 k rows) and 12 standard
    normal probes are taken in one pass over A. A QR factorisation of Y, pivoted in batches, offers
    1.2 k candidates; backward elimination drops those that explain least, judged on all columns
    together; Z solves the least-squares problem ``Y[:, S] Z ~ Y`` (or the same for A). Exchanges of
    columns make ``max |Z| <= z_bound`` certain (strong rank-revealing QR). The probes, which took
    no part in the choice, bound the error: with r probes W and the delta-quantile of chi-square,
    ``||R||_2 <= ||W R||_2 / sqrt(chi2_r(delta))`` holds with probability 1 - delta.

    Cost: one pass over A and O(k^2 n) for the sketch; memory: O(k n) beside A; "deterministic"
    holds one copy of A. Linear operators are asked for 2 k + 4 products (a given rank). Accuracy:
    against column-pivoted QR of A, the error is 1.3 to 1.5 times as large with "sketch" and about
    the same with "exact" on slowly decaying spectra, half as large on smooth kernels. Where a large
    float64 matrix leaves an error of at least a thousandth of its norm, "exact" rounds the factors
    of the product with A to single precision: coefficients err by some 1e-6, and as the two parts
    of the error have orthogonal ranges, its Frobenius norm is the least possible to one part in
    10^7; "deterministic" keeps double precision. The bound is about 0.7 of the Frobenius norm of
    the error for a given rank, and within a third of the spectral norm for `tol`.

    References
    ----------
    Cheng, Gimbutas, Martinsson and Rokhlin, SIAM J. Sci. Comput. 26 (2005); Gu and Eisenstat, SIAM
    J. Sci. Comput. 17 (1996); Halko, Martinsson and Tropp, SIAM Rev. 53 (2011); Dong and
    Martinsson, Adv. Comput. Math. 49 (2023). Choices: Osinsky, arXiv:2308.09068 (2023); Cortinovis
    and Kressner, arXiv:2412.13992 (2024); Sorensen and Embree, SIAM J. Sci. Comput. 38 (2016);
    Advani and O'Hagan, arXiv:2105.07076 (2021); Chen, Epperly, Tropp and Webber, Commun. Pure Appl.
    Math. (2024). Jianlin Su, "The path to low-rank approximation (IV): ID", kexue.fm, 2024-10-30.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.lowrank import interp_decomp
    >>> x = np.linspace(0, 1, 200)
    >>> A = 1 / (1 + np.abs(x[:, None] - x[None, :] - 2))
    >>> d = interp_decomp(A, 5, rng=0)
    >>> d.skeleton.shape, d.coefficients.shape
    ((200, 5), (5, 200))
    >>> bool(np.linalg.norm(A - d.reconstruct(), 2) <= d.error_bound)
    True
    """
    options = _check_options(axis, method, select, refine, z_bound, confidence, workers, rank, tol)
    operand = as_operand(_NAME, A, options.axis, options.workers, check_finite)
    smallest = min(operand.shape)
    if rank is not None:
        rank = check_integer(_NAME, "rank", rank, minimum=0)
        if rank > smallest:
            shape = operand.shape if options.axis == 1 else operand.shape[::-1]
            expected = f"must be at most {smallest} for A of shape {shape}"
            raise ValueError(message(_NAME, "rank", expected, rank))
    if tol is not None:
        least = 10 * float(np.finfo(operand.dtype).eps)
        tol = check_real(_NAME, "tol", tol, minimum=least, below=1)
    if options.method == "deterministic" and operand.dense is None:
        got = Phrase(f"'deterministic' for {type(A).__name__}")
        raise ValueError(message(_NAME, "method", "must be 'randomized' unless A is dense", got))
    if options.select == "rpcholesky":
        check_semidefinite_input(_NAME, operand, A)
    run = Run(_NAME, operand, options, as_key(_NAME, rng))
    if smallest == 0 or rank == 0:
        run.require_finite()
        return run.trivial()
    if rank is not None:
        return run.fixed_rank(rank)
    return fixed_precision(run, tol or 0.0)


def _check_options(
    axis: Any,
    method: Any,
    select: Any,
    refine: Any,
    z_bound: Any,
    confidence: Any,
    workers: Any,
    rank: Any,
    tol: Any,
) -> Options:
    if (rank is None) == (tol is None):
        got = Phrase("both" if rank is not None else "neither")
        raise ValueError(f"{_NAME}: exactly one of 'rank' and 'tol' must be given, got {got}")
    axis = check_integer(_NAME, "axis", axis, minimum=0, maximum=1)
    select = check_choice(_NAME, "select", select, SELECTIONS)
    method = check_choice(_NAME, "method", method, ("auto", "randomized", "deterministic"))
    return Options(
        axis=axis,
        method=method,
        select=select,
        refine=check_choice(_NAME, "refine", refine, ("auto", "sketch", "exact")),
        z_bound=check_real(_NAME, "z_bound", z_bound, above=1),
        confidence=check_fraction(_NAME, "confidence", confidence),
        workers=check_workers(_NAME, workers),
    )
