"""Two-sided interpolative decomposition: the public function."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kexue_num._validation import as_key, check_choice
from kexue_num.lowrank._certificate import spectral_norm
from kexue_num.lowrank._choose import SELECTIONS, check_semidefinite_input
from kexue_num.lowrank._links import check_limits, check_options, dense_form, skeleton_rows
from kexue_num.lowrank._operands import as_operand
from kexue_num.lowrank._precision import fixed_precision
from kexue_num.lowrank._run import NONE, Run
from kexue_num.lowrank._skeletons import TwoSidedID


def two_sided_id(
    A: Any,
    rank: int | None = None,
    *,
    tol: float | None = None,
    select: str = "auto",
    refine: str = "auto",
    z_bound: float = 2.0,
    confidence: float = 0.999,
    rng: Any = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> TwoSidedID:
    """Rebuild a matrix from the entries where a few rows and columns cross.

    Parameters
    ----------
    A : (m, n) array_like, sparse array or LinearOperator
        float32, float64, complex64 or complex128; other real dtypes as everywhere in the library.
    rank : int, optional
        The number of rows and columns, 0..min(m, n). Exactly one of `rank` and `tol` is given.
    tol : float, optional
        Relative error asked for: ``error <= tol ||A||_2``, at least 10 eps of the dtype, below 1.
    select, refine, z_bound, confidence, rng, workers, check_finite
        As in `interp_decomp`.

    Returns
    -------
    TwoSidedID
        `row_indices`, `column_indices`, `row_coefficients`, `column_coefficients`, `core`,
        `error_bound` and others.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, before any work; NaN or infinity in A.

    Warns
    -----
    ConvergenceWarning
        `tol` could not be certified with all columns that are numerically independent.

    Notes
    -----
    ``A ~ A[:, S] Z`` as by `interp_decomp`; then the rows of A[:, S], a matrix of k columns, are
    rebuilt from k of them, ``A[:, S] = P A[T, S]``, which is exact but for rounding. So
    ``A ~ P A[T, S] Z`` has the error of the first step, and no coefficient exceeds `z_bound`.

    Cost: that of `interp_decomp` and O(m k^2).

    References
    ----------
    Cheng, Gimbutas, Martinsson and Rokhlin, SIAM J. Sci. Comput. 26 (2005). Jianlin Su, "The path
    to low-rank approximation (V): CUR", kexue.fm, 2025-01-12.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.lowrank import two_sided_id
    >>> x = np.linspace(0, 1, 200)
    >>> A = 1 / (1 + np.abs(x[:, None] - x[None, :] - 2))
    >>> d = two_sided_id(A, 5, rng=0)
    >>> d.core.shape, bool((d.core == A[np.ix_(d.row_indices, d.column_indices)]).all())
    ((5, 5), True)
    >>> bool(np.linalg.norm(A - d.reconstruct(), 2) <= d.error_bound)
    True
    """
    name = "two_sided_id"
    options = check_options(name, rank, tol, select, SELECTIONS, z_bound, confidence, workers)
    refine = check_choice(name, "refine", refine, ("auto", "sketch", "exact"))
    options = replace(options, refine=refine)
    operand = as_operand(name, A, 1, options.workers, check_finite)
    key = as_key(name, rng)
    limit = check_limits(name, operand, rank, tol)
    if options.select == "rpcholesky":
        check_semidefinite_input(name, operand, A)
    run = Run(name, operand, options, key)
    if min(operand.shape) == 0 or rank == 0:
        run.require_finite()
        d = run.trivial()
    else:
        d = fixed_precision(run, limit) if rank is None else run.fixed_rank(rank)
    skeleton = dense_form(d.skeleton)
    rows, z, largest = (
        skeleton_rows(skeleton, options, key) if d.rank else (NONE, NONE[:, None], 0.0)
    )
    coefficients = np.ascontiguousarray(z.T) if d.rank else skeleton[:, :0]
    core = np.ascontiguousarray(skeleton[rows])
    # A[:, S] - P A[T, S] is rounding; it counts with what Z may make of it.
    rest = spectral_norm((skeleton - coefficients @ core).T, options.workers)
    bound = d.error_bound + rest * spectral_norm(d.coefficients, options.workers)
    return TwoSidedID(
        row_indices=rows,
        column_indices=d.indices,
        row_coefficients=coefficients,
        column_coefficients=d.coefficients,
        core=core,
        error_bound=bound,
        max_abs_coefficient=max(largest, d.max_abs_coefficient),
        confidence=options.confidence,
        converged=d.converged,
    )
