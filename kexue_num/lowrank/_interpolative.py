"""Interpolative decomposition: the public function and the algorithm over any operand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._validation import (
    Phrase,
    as_generator,
    check_choice,
    check_fraction,
    check_integer,
    check_real,
    check_workers,
    draw_key,
    message,
)
from kexue_num.lowrank._certificate import Residual
from kexue_num.lowrank._operands import PROBES, Key, Operand, as_operand
from kexue_num.lowrank._results import InterpolativeDecomposition

Array = NDArray[Any]

_NAME = "interp_decomp"
# A pivot of the sketch may fall short of the largest column by this factor. The pivots of a sketch
# are not those of the matrix anyway, and a batch then yields twice as many.
_SLACK = 0.85

_NONE = np.empty(0, np.int64)


def interp_decomp(
    A: Any,  # noqa: N803
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
    select : {"auto", "qrcp"}
        How columns are chosen: by pivoted QR.
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

    Warns
    -----
    ConvergenceWarning
        `tol` could not be certified even with all columns that are numerically independent.

    Notes
    -----
    With S the chosen columns, ``A ~ A[:, S] Z``. A sparse-sign sketch Y (3 k rows) and 12 standard
    normal probes are taken in one pass over A; the columns are the pivots of a QR factorisation
    of Y, and Z solves the least-squares problem ``Y[:, S] Z ~ Y`` (or the same for A). Exchanges of
    columns make ``max |Z| <= z_bound`` certain (strong rank-revealing QR). The probes, which took
    no part in the choice, bound the error: with r probes W and the delta-quantile of chi-square,
    ``||R||_2 <= ||W R||_2 / sqrt(chi2_r(delta))`` holds with probability 1 - delta.

    Cost: one pass over A and O(k^2 n) for the sketch; memory: O(k n) beside A; "deterministic"
    holds one copy of A. Accuracy: the error is about 1.5 times that of column-pivoted QR with
    "sketch", about 1.05 times with "exact".

    References
    ----------
    Cheng, Gimbutas, Martinsson and Rokhlin, SIAM J. Sci. Comput. 26 (2005); Gu and Eisenstat, SIAM
    J. Sci. Comput. 17 (1996); Halko, Martinsson and Tropp, SIAM Rev. 53 (2011); Dong and
    Martinsson, Adv. Comput. Math. 49 (2023). Jianlin Su, "The path to low-rank approximation (IV):
    ID", kexue.fm, 2024-10-30.

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
    options = _check_options(
        axis, method, select, refine, z_bound, confidence, workers, rank, tol
    )
    operand = as_operand(_NAME, A, options.axis, options.workers, check_finite)
    generator = as_generator(_NAME, rng)
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
    run = Run(operand, options, draw_key(generator))
    if smallest == 0 or rank == 0:
        run.require_finite()
        return run.trivial()
    if rank is not None:
        return run.fixed_rank(rank)
    from kexue_num.lowrank._precision import fixed_precision

    return fixed_precision(run, tol or 0.0)


@dataclass(frozen=True)
class Options:
    axis: int
    method: str
    refine: str
    z_bound: float
    confidence: float
    workers: int


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
    check_choice(_NAME, "select", select, ("auto", "qrcp"))
    method = check_choice(_NAME, "method", method, ("auto", "randomized", "deterministic"))
    return Options(
        axis=axis,
        method=method,
        refine=check_choice(_NAME, "refine", refine, ("auto", "sketch", "exact")),
        z_bound=check_real(_NAME, "z_bound", z_bound, above=1),
        confidence=check_fraction(_NAME, "confidence", confidence),
        workers=check_workers(_NAME, workers),
    )


@dataclass
class Factors:
    """R = Q^H B over all columns, upper triangular at the pivots, for some B like A (or S A)."""

    pivots: Array
    r: Array

    def leading(self, k: int) -> Factors:
        return Factors(self.pivots[:k], self.r[:k])

    def eliminate(self, count: int, workers: int) -> tuple[Array, Array]:
        """The `count` columns to do without, in order, and the directions their loss leaves."""
        order, directions = _core.lowrank.elimination_order(self.r, self.pivots, count, workers)
        return order, directions


class Run:
    """One decomposition of one operand by columns."""

    def __init__(self, operand: Operand, options: Options, key: Key) -> None:
        self.operand = operand
        self.options = options
        self.key = key
        self.workers = operand.workers
        self.delta = 1 - options.confidence
        self.m, self.n = operand.shape
        self.sketched: Array | None = None  # Y, or A itself where that is no larger
        self.is_exact = False  # whether Y is A
        self.probes = np.empty((0, self.n), operand.dtype)
        self.scale = 1.0

    # The pass over A

    def sketch(self, n_rows: int, n_probes: int, whole: bool = False) -> None:
        """Y and the probes; a dense A itself stands for Y if asked or where it has no more rows."""
        dense = self.operand.dense
        self.is_exact = dense is not None and (whole or n_rows >= self.m)
        if self.is_exact:
            self.sketched = dense
            _, self.probes = self.operand.sketch(4, n_probes, self.key)
        else:
            self.sketched, self.probes = self.operand.sketch(max(n_rows, 4), n_probes, self.key)
        top = _core.lowrank.max_component(self.sketched, self.workers)
        if not math.isfinite(top):
            self.require_finite()
        # A power of two, so that squares neither overflow nor vanish and no bit is lost.
        exponent = math.frexp(top)[1] if top > 0 else 0
        self.scale = math.ldexp(1.0, -exponent)

    def require_finite(self) -> None:
        dense = self.operand.dense
        if dense is None or not dense.size:
            return
        from kexue_num._validation import require_finite

        require_finite(_NAME, "A", dense)

    # Factors of Y or of A

    def pivot(self, max_rank: int, stop: float) -> Factors:
        """At most max_rank pivots; none below `stop` times the largest column norm."""
        slack = 1.0 if self.is_exact else _SLACK
        pivots, r, _ = _core.lowrank.pivoted_qr(
            self.sketched, self.scale, max_rank, stop, slack, self.workers
        )
        return Factors(pivots, r)

    def refactor(self, pivots: Array, exact: bool) -> Factors:
        """Factors for given columns: of Y, or of A."""
        chosen, r, _ = _core.lowrank.prescribed_qr(
            self.sketched, self.scale, pivots, self.workers
        )
        factors = Factors(chosen, r)
        return self.make_exact(factors) if exact and not self.is_exact else factors

    def make_exact(self, factors: Factors) -> Factors:
        """Factors of A for the columns of factors of its sketch."""
        columns = self.operand.columns(factors.pivots)
        dense = columns if isinstance(columns, np.ndarray) else columns.toarray()
        triangle = np.ascontiguousarray(factors.r[:, factors.pivots])
        basis = _core.lowrank.orthonormal_basis(dense, self.scale, triangle, self.workers)
        if basis is None:
            chosen, _, _ = _core.lowrank.prescribed_qr(
                dense, self.scale, np.arange(dense.shape[1]), self.workers
            )
            basis = np.linalg.qr(dense[:, chosen])[0]
            factors = Factors(factors.pivots[chosen], factors.r)
        r = self.operand.left_product(basis)
        return Factors(factors.pivots, r * r.real.dtype.type(self.scale))

    # From factors to a decomposition

    def solve(
        self, factors: Factors, k: int, exact: bool, dropped: Array = _NONE
    ) -> tuple[Array, Array, float]:
        """Indices, coefficients no larger than z_bound, and their largest modulus.

        The indices are the pivots but for the dropped ones, unless columns had to be exchanged.
        """
        while True:
            pivots = np.delete(factors.pivots, dropped)
            others = self.others(factors.pivots, k - len(pivots))
            z = _core.lowrank.interpolation_coefficients(
                factors.r, np.concatenate([factors.pivots, others]), dropped, self.workers
            )
            largest = _core.lowrank.max_modulus(z, self.workers)
            if largest <= self.options.z_bound:
                return np.concatenate([pivots, others]), z, largest
            chosen, _ = _core.lowrank.exchange(
                z[: len(pivots)], pivots, self.options.z_bound, self.workers
            )
            factors, dropped = self.refactor(chosen, exact), _NONE

    def others(self, pivots: Array, count: int) -> Array:
        """The first columns that are no pivots, where the numerical rank falls short."""
        return np.setdiff1d(np.arange(self.n), pivots)[:count] if count > 0 else _NONE

    def finish(
        self, indices: Array, z: Array, largest: float, bound: float, estimate: float, ok: bool
    ) -> InterpolativeDecomposition:
        skeleton = self.operand.columns(indices)
        shape = self.operand.shape
        if self.options.axis == 0:
            z, skeleton, shape = z.T, skeleton.T, shape[::-1]
        return InterpolativeDecomposition(
            indices=indices.astype(np.int64, copy=False),
            coefficients=z,
            skeleton=skeleton,
            axis=self.options.axis,
            shape=shape,
            error_bound=bound,
            error_estimate=min(estimate, bound),
            confidence=self.options.confidence,
            max_abs_coefficient=largest,
            converged=ok,
        )

    def trivial(self) -> InterpolativeDecomposition:
        """No columns: the error is the norm of A, bounded by the probes alone."""
        indices = np.empty(0, np.int64)
        z = np.zeros((0, self.n), self.operand.dtype)
        bound = estimate = 0.0
        if min(self.m, self.n) > 0:
            _, self.probes = self.operand.sketch(4, PROBES, self.key)
            residual = Residual(self.operand, indices, z, self.probes)
            bound, estimate = residual.bound(self.delta), residual.estimate()
        return self.finish(indices, z, 0.0, bound, estimate, True)

    def fixed_rank(self, k: int) -> InterpolativeDecomposition:
        deterministic = self.options.method == "deterministic"
        self.sketch(*self.operand.sketch_size(k), whole=deterministic)
        exact = self.is_exact or self.options.refine == "exact"
        candidates = k if deterministic else k + k // 5 + 2
        factors = self.pivot(min(candidates, self.m, self.n), 0.0)
        if exact and not self.is_exact:
            factors = self.make_exact(factors)
        dropped, _ = factors.eliminate(max(0, len(factors.pivots) - k), self.workers)
        indices, z, largest = self.solve(factors, k, exact, dropped)
        residual = Residual(self.operand, indices, z, self.probes)
        return self.finish(
            indices, z, largest, residual.bound(self.delta), residual.estimate(), True
        )
