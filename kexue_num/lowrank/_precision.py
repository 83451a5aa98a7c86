"""Interpolative decomposition of a given precision.

Let R = Q^H A be factors for K columns, more than needed, and R_K the residual of all K, bounded by
the probes. Backward elimination drops column after column; drop t adds one unit vector d_t to the
residual, orthogonal to what was there. With D the rows d_1, ..., d_t,

    ||A - A[:, S] Z||_2^2 <= ||D R||_2^2 + ||R_K||_2^2

tells the error after every drop at once: ``l^2 I - G`` is positive definite exactly if
||D R||_2 < l, where G, the leading t x t block of one Gram matrix, is all that depends on t.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._errors import ConvergenceWarning
from kexue_num.lowrank._certificate import Residual
from kexue_num.lowrank._choose import PIVOTED
from kexue_num.lowrank._operands import PROBES
from kexue_num.lowrank._results import InterpolativeDecomposition
from kexue_num.lowrank._run import NONE, Factors, Run

Array = NDArray[Any]

# The part of the tolerance that the residual of all K columns is meant to take.
_TAIL = 0.1
_POWER_STEPS = 3
# Elimination makes up for pivots far from the largest column.
_SLACK = 0.5
# No more columns than this times the rank, at first; all of them after so many tries.
_HEAD_ROOM = 1.5
_TRIES = 2


def fixed_precision(run: Run, tol: float) -> InterpolativeDecomposition:
    """The least rank found whose error is certified to be at most tol * ||A||_2."""
    exact = run.options.refine != "sketch"
    pivoted = run.options.select in PIVOTED
    search = _Search(run, tol)
    rows, most, tries = run.operand.first_rows, min(run.m, run.n), 0
    known = NONE
    while True:
        factors, wanted, complete = _over_select(run, rows, most, tol, tries, known)
        known = factors.pivots
        kept = min(wanted, len(known))
        if complete or tries >= _TRIES:
            if run.options.method == "deterministic" and not run.is_exact:
                run.sketch(0, PROBES, whole=True)
                factors = run.pivot(kept, 0.0)
            else:
                factors = factors.leading(kept)
                if exact and not run.is_exact and pivoted:
                    factors = run.make_exact(factors)
            orthogonal = exact or run.is_exact
            if pivoted:
                result = search.least_rank(factors, orthogonal)
            else:
                result = search.least_choice(factors, orthogonal)
            if result is None and complete and tries >= _TRIES:
                result = search.give_up(factors, orthogonal)
            if result is not None:
                return result
            tries += 1
            rows, most = max(2 * rows, (11 * kept) // 5), min(run.m, run.n)
        else:
            # What the sketch was too small to see makes the estimate a little small.
            rows = min(2 * rows, max(rows + rows // 4, (23 * wanted) // 10))
            most = wanted + wanted // 4


def _over_select(
    run: Run, rows: int, most: int, tol: float, tries: int, known: Array
) -> tuple[Factors, int, bool]:
    """Factors of a sketch of that many rows, how many columns to want, and whether it is enough.

    At most `most` columns are factored; those `known` from a smaller sketch come first. After each
    try that certified too little more columns are kept, in the end all of them.
    """
    run.sketch(rows, PROBES)
    limit = min(run.m, run.n)
    cap = limit if run.is_exact else min(rows * 2 // 3, limit)
    stop = 0.02 * tol * 0.1**tries if tries < _TRIES else 0.0
    factors = run.pivot(min(cap, most), stop, NONE if run.is_exact else known, _SLACK)
    found = len(factors.pivots)
    drained = cap == limit or found < min(cap, most)
    if tries >= _TRIES or found == 0:
        return factors, found, drained
    gram = factors.gram(run.workers)
    target = tol * math.sqrt(_core.lowrank.rayleigh(gram))
    last_first = gram[::-1, ::-1]
    # Where more pivots cost no further product with A, the tail may be cut much smaller.
    cheap = run.is_exact or run.options.method == "deterministic"
    tail = _TAIL * 0.1 ** (tries + cheap)
    least, all_but_tail = (
        found - run.leading_below(last_first, part * target) for part in (1, tail)
    )
    wanted = int(_HEAD_ROOM * 2**tries * least) + 20
    if drained or all_but_tail < found:
        wanted = min(wanted, all_but_tail)
    return factors, wanted, drained or wanted <= 0.8 * cap


class _Search:
    def __init__(self, run: Run, tol: float) -> None:
        self.run = run
        self.tol = tol
        self.tests = 0

    def next_delta(self) -> float:
        """The share of the next test: over all of them the shares sum to delta."""
        self.tests += 1
        return self.run.delta / (self.tests * (self.tests + 1))

    def least_rank(self, factors: Factors, orthogonal: bool) -> InterpolativeDecomposition | None:
        """None if these columns are too few to be certain of the tolerance."""
        run, size = self.run, len(factors.pivots)
        whole = factors.gram(run.workers)
        limit = self.tol * run.least_norm(factors, whole, orthogonal) * (1 - 1e-6)
        if not orthogonal or size == 0:
            order, gram = self.eliminate(factors, whole, limit)
            return self.accept(order, run.leading_below(gram, 0.8 * limit), limit)
        order, gram = self.eliminate(factors, whole, limit)
        best = run.leading_below(gram, limit)
        triangle = np.ascontiguousarray(factors.r[:, factors.pivots])
        inverse = _core.lowrank.whiten(
            np.eye(size, dtype=triangle.dtype), 1.0, triangle, run.workers
        )
        residual = Residual(run.operand, factors.pivots, (inverse, factors.r), run.probes)
        tail, drops = math.inf, -1
        for _ in self.bounds(residual):
            tail = min(tail, residual.bound(self.next_delta()) * run.scale)
            room = math.sqrt(max(0.0, limit**2 - tail**2))
            drops = run.leading_below(gram, room) if tail < limit else -1
            if best - drops <= (size - best) // 50:
                break
        if drops < 0:
            return None
        step = 1 + (size - drops) // 40
        while True:
            indices, z, largest = order.solve(run, drops, True)
            if np.isin(order.remaining(drops), indices).all():
                left, spread = gram[:drops, :drops], 1.0
            else:
                left, spread = self.exchanged(factors, indices, z)
            room = math.sqrt(max(0.0, limit**2 - (spread * tail) ** 2))
            if run.leading_below(left, room) == len(left):
                head = self.norm_below(left, room)
                bound = min(math.hypot(head, spread * tail) * (1 + 1e-6), limit)
                estimate = math.hypot(head, residual.estimate() * run.scale)
                return run.finish(
                    indices, z, largest, bound / run.scale, estimate / run.scale, True
                )
            if drops == 0:
                return None
            drops, step = max(0, drops - step), 2 * step

    def least_choice(self, factors: Factors, exact: bool) -> InterpolativeDecomposition | None:
        """The same for columns by `select`: ranks from that of plain truncation upwards."""
        run, size = self.run, len(factors.pivots)
        gram = factors.gram(run.workers)
        limit = self.tol * run.least_norm(factors, gram, exact) * (1 - 1e-6)
        k = max(min(size, 1), size - run.leading_below(gram[::-1, ::-1], limit))
        step = 1 + k // 16
        while True:
            indices, z, largest = run.chosen_columns(factors, k, exact)
            bound, estimate = self.tighten(indices, z, limit)
            if bound <= limit:
                scale = run.scale
                return run.finish(indices, z, largest, bound / scale, estimate / scale, True)
            if k == size:
                return None
            k, step = min(size, k + step), 2 * step

    def exchanged(self, factors: Factors, indices: Array, z: Array) -> tuple[Array, float]:
        """The residual of columns that are not all pivots.

        Returns its Gram matrix within the span of Q, and the factor by which the residual R_K
        outside may have grown: there A - A[:, S] Z is R_K (I - E Z'), where E picks the columns
        that are no pivots and Z' their rows of Z.
        """
        run = self.run
        chosen = np.ascontiguousarray(factors.r[:, indices])
        left = _core.lowrank.matmul(chosen, z, False, -1.0, factors.r.copy(), run.workers)
        fresh = z[~np.isin(indices, factors.pivots)]
        return _core.lowrank.gram(left, run.workers), 1.0 + math.sqrt(
            float(np.square(np.abs(fresh)).sum())
        )

    def norm_below(self, gram: Array, high: float) -> float:
        """The root of the largest eigenvalue, known to be below `high`, from above to 1 %."""
        if len(gram) == 0:
            return 0.0
        low = math.sqrt(_core.lowrank.rayleigh(gram))
        while high > 1.01 * low:
            middle = 0.5 * (low + high)
            if self.run.leading_below(gram, middle) == len(gram):
                high = middle
            else:
                low = middle
        return high

    def eliminate(self, factors: Factors, gram: Array, limit: float) -> tuple[_Order, Array]:
        """The order in which columns go, and the Gram matrix of the residual they leave."""
        run, size = self.run, len(factors.pivots)
        last_first = np.arange(size)[::-1]
        if run.options.method == "deterministic" or size == 0:
            return _Order(factors, size, last_first), gram[::-1, ::-1]
        # Plain truncation needs `needed` columns. Where the spectrum falls fast, elimination does
        # best among a few more than that; on photographs, say, among all. Both are tried.
        needed = size - run.leading_below(gram[::-1, ::-1], limit)
        leads = {min(size, needed + needed // 5 + 2), size}
        tries = [self.eliminate_among(factors, gram, lead, needed // 2) for lead in sorted(leads)]
        return max(tries, key=lambda order_and_gram: run.leading_below(order_and_gram[1], limit))

    def eliminate_among(
        self, factors: Factors, gram: Array, lead: int, keep: int
    ) -> tuple[_Order, Array]:
        """Truncation to the first `lead` columns, then elimination down to `keep`."""
        run, size = self.run, len(factors.pivots)
        cut = np.arange(size)[: lead - 1 : -1] if lead < size else NONE
        order, directions, _ = factors.leading(lead).eliminate(
            gram[:lead, :lead], lead - keep, run.workers
        )
        added = np.zeros((len(cut) + len(order), size), gram.dtype)
        added[np.arange(len(cut)), cut] = 1
        added[len(cut) :, :lead] = directions
        half = _core.lowrank.matmul(added, gram, False, 1.0, None, run.workers)
        left = _core.lowrank.matmul(half, added.conj().T, False, 1.0, None, run.workers)
        return _Order(factors, lead, np.concatenate([cut, order])), left

    def accept(self, order: _Order, drops: int, limit: float) -> InterpolativeDecomposition | None:
        """The least rank from there on that its own certificate confirms."""
        step = 1 + (order.size - drops) // 20
        while True:
            indices, z, largest = order.solve(self.run, drops, False)
            bound, estimate = self.tighten(indices, z, limit)
            if bound <= limit:
                scale = self.run.scale
                return self.run.finish(indices, z, largest, bound / scale, estimate / scale, True)
            if drops == 0:
                return None
            drops, step = max(0, drops - step), 2 * step

    def tighten(self, indices: Array, z: Array, enough: float) -> tuple[float, float]:
        """A bound on the residual's norm, by power steps if it exceeds `enough`; an estimate.

        Both, and `enough`, in the units of the factors.
        """
        residual = Residual(self.run.operand, indices, z, self.run.probes)
        bound = math.inf
        for _ in self.bounds(residual):
            bound = min(bound, residual.bound(self.next_delta()) * self.run.scale)
            if bound <= enough:
                break
        return bound, residual.estimate() * self.run.scale

    def bounds(self, residual: Residual) -> Iterator[None]:
        """Stops before the first bound and, after a power step, before each next one."""
        yield
        while residual.power < _POWER_STEPS and residual.norm > 0:
            residual.power_step()
            yield

    def give_up(self, factors: Factors, exact: bool) -> InterpolativeDecomposition:
        run, k = self.run, len(factors.pivots)
        indices, z, largest = run.solve(factors, k, exact)
        bound, estimate = (x / run.scale for x in self.tighten(indices, z, 0.0))
        warnings.warn(
            f"{run.name}: tol={self.tol:g} could not be certified; the error is at most "
            f"{bound:.3g} with all {k} columns that are numerically independent. Ask for a "
            f"larger tol or a wider dtype.",
            ConvergenceWarning,
            stacklevel=4,
        )
        return run.finish(indices, z, largest, bound, estimate, False)


@dataclass(frozen=True)
class _Order:
    """Columns in the order in which they go: first the last pivots, then `lead` by elimination."""

    factors: Factors
    lead: int
    dropped: Array

    @property
    def size(self) -> int:
        return len(self.factors.pivots)

    def remaining(self, drops: int) -> Array:
        return np.delete(self.factors.pivots, self.dropped[:drops])

    def solve(self, run: Run, drops: int, exact: bool) -> tuple[Array, Array, float]:
        kept, cut = self.size - drops, self.size - self.lead
        if drops <= cut or run.options.method == "deterministic":
            return run.solve(self.factors.leading(kept), kept, exact, within=exact)
        return run.solve(
            self.factors.leading(self.lead), kept, exact, self.dropped[cut:drops], within=exact
        )
