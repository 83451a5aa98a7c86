"""Columns alone: subsets, leverage scores, and the points of empirical interpolation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core, _lapack
from kexue_num._validation import (
    as_array,
    as_key,
    check_choice,
    check_integer,
    check_real,
    check_workers,
    message,
    require_finite,
)
from kexue_num.lowrank._certificate import binary_exponent
from kexue_num.lowrank._choose import (
    SELECTIONS,
    SPECTRAL,
    check_semidefinite_input,
    cholesky_columns,
    generator,
    spectrum,
)
from kexue_num.lowrank._operands import Operand, as_operand
from kexue_num.lowrank._run import NONE, Options, Run

Array = NDArray[Any]


def column_subset(
    A: Any,
    rank: int,
    *,
    select: str = "auto",
    axis: int = 1,
    z_bound: float = 2.0,
    rng: Any = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> Array:
    """Columns (or rows) of a matrix on which the others depend, up to a small error.

    Parameters
    ----------
    A : (m, n) array_like, sparse array or LinearOperator
        float32, float64, complex64 or complex128; other real dtypes as everywhere in the library.
    rank : int
        The number of columns, 0..min(m, n).
    select : str
        As in `interp_decomp`, or "kmeans": the columns nearest to the centres of `rank` clusters.
    axis : {1, 0}
        1 chooses columns, 0 rows.
    z_bound : float
        The coefficients of all other columns on those chosen are no larger in modulus; > 1.
    rng : None, int or numpy.random.Generator
        Drawn from once.
    workers : int, optional
        Threads; None for the library's setting.
    check_finite : bool
        Look for NaN and infinity in A.

    Returns
    -------
    (rank,) int64 ndarray
        In the order chosen.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, before any work; NaN or infinity in A.

    Notes
    -----
    The choice of `interp_decomp` without its certificate: one pass over A, a second one for the
    choices that look at singular vectors. "rpcholesky" reads the diagonal and a few more than
    `rank` columns of A, no other entry; its coefficients are those of the Cholesky factor.

    References
    ----------
    See `interp_decomp`. Jianlin Su, "The path to low-rank approximation (IV): ID", kexue.fm,
    2024-10-30.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.lowrank import column_subset
    >>> A = np.diag([1.0, 5.0, 2.0, 4.0])
    >>> sorted(column_subset(A, 2, rng=0).tolist())
    [1, 3]
    """
    name = "column_subset"
    options = Options(
        axis=check_integer(name, "axis", axis, minimum=0, maximum=1),
        method="randomized",
        select=check_choice(name, "select", select, (*SELECTIONS, "kmeans")),
        refine="exact" if select in SPECTRAL else "sketch",
        z_bound=check_real(name, "z_bound", z_bound, above=1),
        confidence=0.5,
        workers=check_workers(name, workers),
    )
    operand = as_operand(name, A, options.axis, options.workers, check_finite)
    key = as_key(name, rng)
    k = check_rank(name, rank, operand, options.axis)
    if options.select == "rpcholesky":
        check_semidefinite_input(name, operand, A)
    run = Run(name, operand, options, key)
    if k == 0:
        run.require_finite()
        return NONE
    if options.select == "rpcholesky":
        chosen, rows = cholesky_columns(name, operand, k, generator(run, 2))
        z = _core.lowrank.interpolation_coefficients(rows, chosen, NONE, operand.workers)
        chosen, _ = _core.lowrank.exchange(z, chosen, options.z_bound, operand.workers)
        return np.concatenate([chosen, run.others(chosen, k - len(chosen))])
    return run.columns_of_rank(k)[0]


def leverage_scores(
    A: Any,
    rank: int | None = None,
    *,
    axis: int = 1,
    ridge: float | None = None,
    rng: Any = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> Array:
    """How much each column (or row) matters to the leading singular subspace.

    Parameters
    ----------
    A : (m, n) array_like, sparse array or LinearOperator
        float32, float64, complex64 or complex128; other real dtypes as everywhere in the library.
    rank : int, optional
        The number k of singular vectors, 1..min(m, n); None, with `ridge` only, for all of them.
    axis : {1, 0}
        1 for columns, 0 for rows.
    ridge : float, optional
        Damps the directions of small singular values: each counts s^2 / (s^2 + ridge); > 0.
    rng : None, int or numpy.random.Generator
        Drawn from once; only sparse arrays and operators need it.
    workers : int, optional
        Threads; None for the library's setting.
    check_finite : bool
        Look for NaN and infinity in A.

    Returns
    -------
    (n,) or (m,) ndarray of the real dtype
        In [0, 1]; without `ridge` their sum is k, or the numerical rank of A if that is less.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, before any work; NaN or infinity in A.

    Notes
    -----
    With the right singular vectors V, ``h_j = sum_{i<=k} |V_ji|^2`` and, with a ridge,
    ``h_j = sum_{i<=k} |V_ji|^2 s_i^2 / (s_i^2 + ridge)``: for k = min(m, n) the diagonal of
    ``A' (A A' + ridge I)^-1 A``. Scores are defined as far as s_k and s_{k+1} differ.

    Dense arrays: to rounding, from a full pivoted QR, O(m n min(m, n)). Others: from a randomised
    subspace of 2 k + 10 dimensions after 6 steps of subspace iteration, 14 products with 2 k + 10
    vectors; the error falls like ``(s_{2k+10} / s_k)^12``.

    References
    ----------
    Mahoney and Drineas, PNAS 106 (2009); Alaoui and Mahoney, NIPS (2015). Jianlin Su, "The path to
    low-rank approximation (V): CUR", kexue.fm, 2025-01-12.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.lowrank import leverage_scores
    >>> leverage_scores(np.diag([3.0, 2.0, 1.0]), 2).round(12).tolist()
    [1.0, 1.0, 0.0]
    >>> leverage_scores(np.diag([3.0, 2.0, 1.0]), None, ridge=1.0).round(12).tolist()
    [0.9, 0.8, 0.5]
    """
    name = "leverage_scores"
    axis = check_integer(name, "axis", axis, minimum=0, maximum=1)
    damping = None if ridge is None else check_real(name, "ridge", ridge, above=0)
    threads = check_workers(name, workers)
    operand = as_operand(name, A, axis, threads, check_finite)
    key = as_key(name, rng)
    if rank is None and damping is None:
        raise ValueError(f"{name}: one of 'rank' and 'ridge' must be given, got neither")
    smallest = min(operand.shape)
    k = smallest if rank is None else check_rank(name, rank, operand, axis, minimum=1)
    options = Options(axis, "deterministic", "qrcp", "exact", 2.0, 0.5, threads)
    run = Run(name, operand, options, key)
    if smallest == 0:
        return np.zeros(operand.shape[1], operand.dtype.type(0).real.dtype)
    vectors, values = _right_vectors(run, k)
    # Singular values at rounding level have no vectors.
    floor = max(operand.shape) * float(np.finfo(operand.dtype).eps) * values.max(initial=0.0)
    weights = (values > floor).astype(np.float64)
    if damping is not None:
        with np.errstate(over="ignore", under="ignore"):
            weights *= 1 / (1 + damping / np.where(values > 0, values / run.scale, 1.0) ** 2)
    scores = np.square(np.abs(vectors), dtype=np.float64).T @ weights
    return np.asarray(np.clip(scores, 0, 1), vectors.real.dtype)


def _right_vectors(run: Run, k: int) -> tuple[Array, Array]:
    """Leading right singular vectors, as rows, and the singular values of scale A."""
    if run.operand.dense is not None:
        run.sketch(0, 4, whole=True)
        factors = run.pivot(min(run.m, run.n), 0.0)
        if len(factors.pivots) == 0:
            return np.zeros((0, run.n), run.operand.dtype), np.zeros(0)
        found = spectrum(factors, k, run.workers)
        return found.vectors, found.values[:k]
    size = min(2 * k + 10, run.m, run.n)
    random = generator(run, 2)
    basis = random.standard_normal((run.m, size)).astype(run.operand.dtype)
    for _ in range(6):
        rows = _lapack.qr(run.operand.left_product(_lapack.qr(basis)[0]).conj().T)[0]
        basis = run.operand.right_product(rows)
    rows = run.operand.left_product(_lapack.qr(basis)[0])
    _, values, vectors = _lapack.svd(rows)
    return vectors[:k], values[:k]


def deim(V: Any, *, workers: int | None = None, check_finite: bool = True) -> Array:
    """Points of the discrete empirical interpolation method.

    Parameters
    ----------
    V : (n, k) array_like
        Basis vectors as columns, the most important first (such as singular vectors); k <= n.
    workers : int, optional
        Threads; None for the library's setting.
    check_finite : bool
        Refuse NaN and infinity by name.

    Returns
    -------
    (k,) int64 ndarray
        Row j is where the j-th column differs most from its interpolant at the rows before.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, before any work.

    Notes
    -----
    With P the chosen rows, ``||(V[P])^-1||_2 <= sqrt(n k / 3) 2^k`` for orthonormal V, and much
    less in practice. The points are the pivots of Gaussian elimination with partial pivoting; the
    first of equal entries is taken. A column that depends on those before it gets the first row
    left. O(n k^2).

    References
    ----------
    Chaturantabut and Sorensen, SIAM J. Sci. Comput. 32 (2010); Sorensen and Embree, SIAM J. Sci.
    Comput. 38 (2016). Jianlin Su, "The path to low-rank approximation (V): CUR", kexue.fm,
    2025-01-12.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.lowrank import deim
    >>> deim(np.array([[0.1, 0.2], [0.9, 0.3], [0.4, -0.9]])).tolist()
    [1, 2]
    """
    name = "deim"
    threads = check_workers(name, workers)
    array = as_array(name, "V", V, ndim=2, dtypes="inexact", check_finite=check_finite)
    n, k = array.shape
    if k > n:
        raise ValueError(message(name, "V", "must not have more columns than rows", array))
    top = float(_core.lowrank.max_component(array, threads)) if array.size else 0.0
    if not math.isfinite(top):
        require_finite(name, "V", array)
    if top > 0:  # a power of two: squares must not overflow
        array = array * array.real.dtype.type(math.ldexp(1.0, -binary_exponent(top, array.dtype)))
    chosen = _core.lowrank.elimination_pivots(array.T, threads)
    rest = np.setdiff1d(np.arange(n), chosen)[: k - len(chosen)]
    return np.concatenate([chosen, rest]).astype(np.int64)


def check_rank(name: str, rank: Any, operand: Operand, axis: int, minimum: int = 0) -> int:
    k = check_integer(name, "rank", rank, minimum=minimum)
    smallest = min(operand.shape)
    if k > smallest:
        shape = operand.shape if axis == 1 else operand.shape[::-1]
        expected = f"must be at most {smallest} for A of shape {shape}"
        raise ValueError(message(name, "rank", expected, rank))
    return k
