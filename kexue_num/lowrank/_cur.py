"""CUR decompositions: the public function and its search for a rank."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._errors import ConvergenceWarning
from kexue_num._validation import (
    Phrase,
    as_key,
    check_choice,
    check_integer,
    message,
)
from kexue_num.lowrank._certificate import Residual
from kexue_num.lowrank._choose import SELECTIONS, check_semidefinite_input, generator_key
from kexue_num.lowrank._links import (
    basis_of,
    check_limits,
    check_options,
    dense_form,
    product_norm,
    pseudo_inverse,
    rounding_of,
    rows_of_columns,
    skeleton_rows,
    solve_rows,
)
from kexue_num.lowrank._operands import Operand, as_operand
from kexue_num.lowrank._precision import fixed_precision
from kexue_num.lowrank._results import InterpolativeDecomposition
from kexue_num.lowrank._run import NONE, Options, Run
from kexue_num.lowrank._skeletons import CUR

Array = NDArray[Any]
Key = tuple[int, int]

_POWER_STEPS = 3


def cur(
    A: Any,
    rank: int | None = None,
    *,
    tol: float | None = None,
    link: str = "optimal",
    select: str = "auto",
    n_rows: int | None = None,
    z_bound: float = 2.0,
    confidence: float = 0.999,
    rng: Any = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> CUR:
    """Rebuild a matrix from a few of its columns and a few of its rows, with a bound on the error.

    Parameters
    ----------
    A : (m, n) array_like, sparse array or LinearOperator
        float32, float64, complex64 or complex128; other real dtypes as everywhere in the library.
        Sparse arrays are never densified, and C and R stay sparse.
    rank : int, optional
        The number of columns, 0..min(m, n). Exactly one of `rank` and `tol` is given.
    tol : float, optional
        Relative error asked for: ``||A - C U R||_2 <= tol ||A||_2``, at least 10 eps of the dtype
        and below 1.
    link : {"optimal", "cross"}
        "optimal": U = C^+ A R^+, the best for these rows and columns.
        "cross": U = A[rows, columns]^+; as many rows as columns are then reproduced exactly.
    select : str
        As in `interp_decomp`, for columns and for rows, or "kmeans": those nearest to the centres
        of clusters. "rpcholesky" takes the same rows as columns.
    n_rows : int, optional
        The number of rows, 1..m; as many as columns by default. With `rank` only.
    z_bound : float
        The coefficients of the other columns on those chosen, and of the rows, are no larger; > 1.
    confidence : float
        Probability, over the random probes, with which `error_bound` holds.
    rng : None, int or numpy.random.Generator
        Drawn from once. The result depends on it and on A, not on the number of workers.
    workers : int, optional
        Threads; None for the library's setting.
    check_finite : bool
        Look for NaN and infinity in A.

    Returns
    -------
    CUR
        `row_indices`, `column_indices`, `C`, `U`, `R`, `error_bound` and others.

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
    Columns and rows are those of interpolative decompositions of A and of its transpose, the latter
    of C for the cross link, so that ``|C[rows, :]^+|`` is small on C. With projections P on the
    chosen columns and rows, ``||A - C C^+ A R^+ R||_2 <= ||A - P A||_2 + ||A - A P'||_2``: with the
    optimal link the error is at most that of both decompositions together, in practice 1 to 1.4
    times the larger; the cross link loses more. U is about as large as the inverse of the smallest
    singular value that is kept, and the bound counts the rounding of C U R that this costs:
    about eps ||C|| ||U|| ||R||. Held-out probes bound the error as in `interp_decomp`.

    Cost: a sketch of A and a product with 1.2 k vectors for columns, the same for rows with the
    optimal link; memory O(k (m + n)) beside A.

    References
    ----------
    Goreinov, Tyrtyshnikov and Zamarashkin, Linear Algebra Appl. 261 (1997); Mahoney and Drineas,
    PNAS 106 (2009); Sorensen and Embree, SIAM J. Sci. Comput. 38 (2016). Jianlin Su, "The path to
    low-rank approximation (V): CUR", kexue.fm, 2025-01-12.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.lowrank import cur
    >>> x = np.linspace(0, 1, 200)
    >>> A = 1 / (1 + np.abs(x[:, None] - x[None, :] - 2))
    >>> d = cur(A, 5, rng=0)
    >>> d.C.shape, d.U.shape, d.R.shape
    ((200, 5), (5, 5), (5, 200))
    >>> bool(np.linalg.norm(A - d.C @ d.U @ d.R, 2) <= d.error_bound)
    True
    """
    name = "cur"
    choices = (*SELECTIONS, "kmeans")
    options = check_options(name, rank, tol, select, choices, z_bound, confidence, workers)
    link = check_choice(name, "link", link, ("optimal", "cross"))
    operand = as_operand(name, A, 1, options.workers, check_finite)
    key = as_key(name, rng)
    limit = check_limits(name, operand, rank, tol)
    if options.select == "rpcholesky":
        check_semidefinite_input(name, operand, A)
    rows = None
    if n_rows is not None:
        if rank is None:
            got = Phrase(f"{n_rows!r} with 'tol'")
            raise ValueError(message(name, "n_rows", "must not be given unless 'rank' is", got))
        most = operand.shape[0]
        rows = check_integer(name, "n_rows", n_rows, minimum=min(1, most, rank), maximum=most)
    search = _Cur(name, operand, options, key, link, limit)
    return search.fixed(rank, rank if rows is None else rows) if rank is not None else search.run()


@dataclass
class _Cur:
    """One CUR decomposition of one operand."""

    name: str
    operand: Operand
    options: Options
    key: Key
    link: str
    tol: float
    tests: int = 0

    def run(self) -> CUR:
        """The least rank found whose error is certified, from that of the columns alone."""
        smallest = min(self.operand.shape)
        if smallest == 0:
            return self.fixed(0, 0)
        select = self.options.select if self.options.select in SELECTIONS else "auto"
        start = replace(self.options, select=select, refine="auto")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            run = Run(self.name, self.operand, start, self.purpose(3))
            k = max(1, fixed_precision(run, max(0.7 * self.tol, self.least())).rank)
        closest = best = None
        below, above = 0, smallest
        while best is None or above - below > 1 + above // 32:
            result, norm = self.attempt(k, k, self.tol)
            if result.error_bound <= self.tol * norm:
                best, above = result, k
            else:
                below = k
            if closest is None or result.error_bound < closest.error_bound:
                closest = result
            elif best is None and result.error_bound > 4 * closest.error_bound:
                break  # more columns only add rounding
            if best is None and k == smallest:
                break
            k = min(smallest, k + 1 + k // 8) if best is None else (below + above) // 2
        if best is not None:
            return best
        assert closest is not None
        warnings.warn(
            f"{self.name}: tol={self.tol:g} could not be certified; the error is at most "
            f"{closest.error_bound:.3g} with {closest.rank} rows and columns. Ask for a larger "
            f"tol or a wider dtype.",
            ConvergenceWarning,
            stacklevel=3,
        )
        return replace(closest, converged=False)

    def fixed(self, k: int, rows: int) -> CUR:
        return self.attempt(k, rows, 0.0)[0]

    def attempt(self, k: int, rows: int, tol: float) -> tuple[CUR, float]:
        """A decomposition, and a lower bound of ||A||_2; with `tol` its bound is tightened."""
        run = Run(self.name, self.operand, self.options, self.key)
        if k == 0:
            run.require_finite()
            run.trivial()
            columns, probes, rows = NONE, run.probes, 0
            if min(self.operand.shape) == 0:
                probes = np.zeros((1, self.operand.shape[1]), self.operand.dtype)
        else:
            columns, z, _ = run.columns_of_rank(k, columns=True)
            columns, probes = columns.astype(np.int64), run.probes
        c = self.operand.columns(columns)
        dense_c = dense_form(c)
        other = self.operand.transposed()
        chosen = self.choose_rows(other, columns, dense_c, rows) if k else NONE
        r = other.columns(chosen).T
        if self.link == "optimal" and k:
            u = self.optimal_link(z, dense_form(r))
        else:
            u = pseudo_inverse(dense_c[chosen])
        # C Z is a projection of A.
        norm = product_norm(dense_c, z, self.options.workers) if tol > 0 and k else 0.0
        bound = self.certify(columns, c, u, dense_form(r), probes, tol * norm)
        result = CUR(
            row_indices=chosen.astype(np.int64),
            column_indices=columns,
            C=c,
            U=u,
            R=r,
            error_bound=bound,
            link=self.link,
            confidence=self.options.confidence,
            converged=True,
        )
        return result, norm

    def choose_rows(self, other: Operand, columns: Array, c: Array, count: int) -> Array:
        if self.options.select == "rpcholesky" and count <= len(columns):
            return columns[:count]
        if self.link == "cross" or count > min(other.shape):
            return rows_of_columns(c, count, self.options, self.purpose(1))
        run = Run(self.name, other, self.options, self.purpose(1))
        return run.columns_of_rank(count, columns=True)[0] if count else NONE

    def optimal_link(self, z: Array, r: Array) -> Array:
        """U = C^+ A R^+ = Z R^+, as Z holds the best coefficients."""
        workers = self.options.workers
        right = basis_of(self.name, np.ascontiguousarray(r.T), workers)
        # R^T = Q T / scale with T of full row rank.
        middle = _core.lowrank.matmul(z, right.transposed_q.conj().T, False, 1.0, None, workers)
        u = solve_rows(right, middle.T).T * z.real.dtype.type(right.scale)
        return np.ascontiguousarray(u)

    def certify(
        self, columns: Array, c: Any, u: Array, r: Array, probes: Array, enough: float
    ) -> float:
        """Certified as in `interp_decomp`, and what the rounding of C U R may add."""
        rounding = rounding_of(dense_form(c), u, r, self.options.workers)
        residual = Residual(self.operand, columns, (u, r), probes)
        bound = math.inf
        steps = _POWER_STEPS if enough > 0 else 0
        for step in range(steps + 1):
            delta = 1 - self.options.confidence
            if enough > 0:
                self.tests += 1
                delta /= self.tests * (self.tests + 1)
            bound = min(bound, residual.bound(delta))
            if bound + rounding <= enough or step == steps:
                break
            residual.power_step()
        return bound + rounding

    def purpose(self, number: int) -> Key:
        run = Run(self.name, self.operand, self.options, self.key)
        return generator_key(run, 16 + number)

    def least(self) -> float:
        return 10 * float(np.finfo(self.operand.dtype).eps)


def cur_of(d: InterpolativeDecomposition) -> CUR:
    """An interpolative decomposition as C U R."""
    options = Options(1, "deterministic", "qrcp", "exact", 2.0, 0.5, 0)
    columns_chosen = d.axis == 1
    c, z = dense_form(d.skeleton), d.coefficients
    if not columns_chosen:
        c, z = c.T, z.T
    crossing = skeleton_rows(c, options, (0, 0))[0] if d.rank else NONE
    corner = np.ascontiguousarray(c[crossing])
    u = pseudo_inverse(corner)
    r = corner @ z
    bound = d.error_bound + rounding_of(c, u, r, 0)
    left, right = d.skeleton, r
    rows, columns = crossing, d.indices
    if not columns_chosen:
        left, u, right, rows, columns = r.T, u.T, d.skeleton, d.indices, crossing
    return CUR(rows, columns, left, u, right, bound, "cross", d.confidence, d.converged)
