"""Interpolative decomposition of a given precision.

Let R = Q^H A be factors for K columns, more than needed, and R_K the residual of all K, bounded by
the probes. The residual of the first k columns with their best coefficients is the sum of two
parts with orthogonal ranges, Q[:, k:] R[k:, :] and R_K, so that

    ||A - A[:, S_k] Z_k||_2^2 <= ||R[k:, :]||_2^2 + ||R_K||_2^2

tells the error of every k <= K at once. The least k that meets the tolerance is found on the Gram
matrix of R: ``t^2 I - G[k:, k:]`` is positive definite exactly if ||R[k:, :]||_2 < t.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._errors import ConvergenceWarning
from kexue_num.lowrank._certificate import Residual
from kexue_num.lowrank._operands import PROBES
from kexue_num.lowrank._results import InterpolativeDecomposition

if TYPE_CHECKING:
    from kexue_num.lowrank._interpolative import Factors, Run

Array = NDArray[Any]

# The part of the tolerance that the residual of all K columns may take: 3 % of it once combined.
_TAIL = 0.25
# ... and above which power steps tighten its bound: 13 %.
_LOOSE_TAIL = 0.5
_POWER_STEPS = 3


def fixed_precision(run: Run, tol: float) -> InterpolativeDecomposition:
    """The least rank found whose error is certified to be at most tol * ||A||_2."""
    exact = run.options.refine != "sketch"
    rows, head_room = 256, 1.5
    search = _Search(run, tol)
    while True:
        factors, wanted, complete = _over_select(run, rows, tol, head_room)
        if complete:
            if run.options.method == "deterministic" and not run.is_exact:
                run.sketch(0, PROBES, whole=True)
                factors = run.pivot(wanted, 0.0)
            else:
                factors = factors.leading(wanted)
                if exact and not run.is_exact:
                    factors = run.make_exact(factors)
            result = search.least_rank(factors, exact or run.is_exact)
            if result is not None:
                return result
            exhausted = wanted >= min(run.m, run.n) or len(factors.pivots) < wanted
            if exhausted or (run.is_exact and head_room > 8):
                return search.give_up(factors, exact)
            head_room *= 2
        rows *= 2


def _over_select(
    run: Run, rows: int, tol: float, head_room: float
) -> tuple[Factors, int, bool]:
    """Factors of a sketch of that many rows, how many columns to keep, and whether it is enough."""
    run.sketch(rows, PROBES)
    limit = min(run.m, run.n)
    cap = limit if run.is_exact else min(rows * 2 // 3, limit)
    factors = run.pivot(cap, 0.02 * tol)
    if len(factors.pivots) == 0:
        return factors, 0, True
    gram = _gram(factors.r, run.workers)
    target = tol * math.sqrt(_top_eigenvalue(gram))
    least, wanted = _least(gram, target), _least(gram, _TAIL * target)
    complete = cap == limit or len(factors.pivots) < cap or wanted <= 0.75 * cap
    return factors, min(wanted, int(head_room * least) + 20), complete


class _Search:
    def __init__(self, run: Run, tol: float) -> None:
        self.run = run
        self.tol = tol
        self.tests = 0

    def next_delta(self) -> float:
        """The share of the next test: all of them fail together with probability delta."""
        self.tests += 1
        return self.run.delta * 2.0**-self.tests

    def least_rank(self, factors: Factors, orthogonal: bool) -> InterpolativeDecomposition | None:
        """None if these columns are too few to be certain of the tolerance."""
        run = self.run
        if len(factors.pivots) == 0:
            return self.accept(factors, 0, orthogonal, 0.0)
        gram = _gram(factors.r, run.workers) / run.scale**2
        # Any Rayleigh quotient is a lower bound of ||A||_2^2.
        limit = self.tol * math.sqrt(_top_eigenvalue(gram)) * (1 - 1e-6)
        if not orthogonal:
            return self.accept(factors, _least(gram, 0.8 * limit), orthogonal, limit)
        z = _core.lowrank.interpolation_coefficients(factors.r, factors.pivots, run.workers)
        tail, tail_estimate = self.tighten(factors.pivots, z, _LOOSE_TAIL * limit)
        if tail >= limit:
            return None
        k = _least(gram, math.sqrt(limit**2 - tail**2))
        head = math.sqrt(_top_eigenvalue(gram[k:, k:])) if k < len(gram) else 0.0
        indices, z, largest = run.solve(factors.leading(k), k, exact=True)
        if np.array_equal(indices, factors.pivots[:k]):
            bound = min(math.hypot(head, tail) * (1 + 1e-6), limit)
            estimate = math.hypot(head, tail_estimate)
            return run.finish(indices, z, largest, bound, estimate, True)
        return self.accept(factors, k, orthogonal, limit)

    def accept(
        self, factors: Factors, k: int, exact: bool, limit: float
    ) -> InterpolativeDecomposition | None:
        """The least rank from k on that its own certificate confirms."""
        while True:
            indices, z, largest = self.run.solve(factors.leading(k), k, exact)
            bound, estimate = self.tighten(indices, z, limit)
            if bound <= limit:
                return self.run.finish(indices, z, largest, bound, estimate, True)
            if k == len(factors.pivots):
                return None
            k = min(len(factors.pivots), k + 1 + k // 20)

    def tighten(self, indices: Array, z: Array, enough: float) -> tuple[float, float]:
        """A bound on the residual's norm, by power steps if it exceeds `enough`; an estimate."""
        residual = Residual(self.run.operand, indices, z, self.run.probes)
        bound = residual.bound(self.next_delta())
        while bound > enough and residual.power < _POWER_STEPS:
            residual.power_step()
            bound = min(bound, residual.bound(self.next_delta()))
        return bound, residual.estimate()

    def give_up(self, factors: Factors, exact: bool) -> InterpolativeDecomposition:
        run, k = self.run, len(factors.pivots)
        indices, z, largest = run.solve(factors, k, exact)
        bound, estimate = self.tighten(indices, z, 0.0)
        warnings.warn(
            f"interp_decomp: tol={self.tol:g} could not be certified; the error is at most "
            f"{bound:.3g} with all {k} columns that are numerically independent. Ask for a "
            f"larger tol or a wider dtype.",
            ConvergenceWarning,
            stacklevel=4,
        )
        return run.finish(indices, z, largest, bound, estimate, False)


def _gram(r: Array, workers: int) -> Array:
    """R R^H in double precision; trailing blocks are accurate relative to themselves."""
    wide = r.astype(np.result_type(r.dtype, np.float64), copy=False)
    return np.asarray(_core.lowrank.matmul(wide, wide.conj().T, False, 1.0, None, workers))


def _least(gram: Array, limit: float) -> int:
    """The least k with ||R[k:]||_2 <= limit, from the Gram matrix of R."""
    low, high = 0, len(gram)
    while low < high:
        k = (low + high) // 2
        block = -gram[k:, k:]
        block[np.diag_indices_from(block)] += limit**2
        try:
            np.linalg.cholesky(block)
            high = k
        except np.linalg.LinAlgError:
            low = k + 1
    return low


def _top_eigenvalue(gram: Array) -> float:
    return max(0.0, float(np.linalg.eigvalsh(gram)[-1]))
