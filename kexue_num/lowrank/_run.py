"""One interpolative decomposition: the steps that fixed rank and fixed precision share."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core, _lapack
from kexue_num._errors import NumericalError
from kexue_num._validation import check_memory, require_finite
from kexue_num.lowrank._certificate import Residual, binary_exponent, largest_exponent
from kexue_num.lowrank._choose import PIVOTED, choose_columns
from kexue_num.lowrank._operands import PROBES, Key, Operand
from kexue_num.lowrank._results import InterpolativeDecomposition

Array = NDArray[Any]

# A pivot of the sketch may fall short of the largest column by this factor. The pivots of a sketch
# are not those of the matrix anyway, and a batch then yields twice as many.
_SLACK = 0.85

# Exchanges that need more rounds than this exchange rounding errors.
_ROUNDS = 12

# Entries of A times columns from which the exact product takes 5 ms, and is rounded to single
# precision where that does not show; so is the sketch that the candidates come from. With P the
# projector onto the columns chosen and F = P A - C Z what rounding leaves, the two parts of
# A - C Z = (A - P A) + F have orthogonal ranges:
#
#     ||A - C Z||^2 <= ||A - P A||^2 + ||F||^2,   ||F||_F ~ 2e-7 ||A||_F
#
# in both norms. Rounding is kept where ||A - P A||_F is at least _HIDES ||A||_F for certain, the
# part of A that the candidates span and the chosen columns do not: it raises the Frobenius norm by
# a ten-millionth at most (the spectral one, 4000 x 4000, slow decay, rank 100: by 1e-12).
_LONG_PRODUCT = 2**28
_HIDES = 2.0**-10

NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Options:
    axis: int
    method: str
    select: str
    refine: str
    z_bound: float
    confidence: float
    workers: int


@dataclass
class Factors:
    """R = Q^H B over all columns, upper triangular at the pivots, for some B like A (or S A)."""

    pivots: Array
    r: Array

    def leading(self, k: int) -> Factors:
        return Factors(self.pivots[:k], self.r[:k])

    def falling(self, k: int) -> bool:
        """Whether singular values fall by a third from the k-th on to the last."""
        if len(self.pivots) <= k:
            return False
        diagonal = np.abs(self.r[np.arange(len(self.pivots)), self.pivots])
        some = max(1, k // 10)
        return bool(diagonal[-some:].mean() < 0.65 * diagonal[:k][-some:].mean())

    def fall_below(self, part: float) -> bool:
        """Whether the last pivot is shorter than that part of the first."""
        first, last = np.abs(self.r[[0, -1], self.pivots[[0, -1]]]) if len(self.r) else (0, 0)
        return not last >= part * first > 0

    def gram(self, workers: int, *, narrow: bool = False) -> Array:
        """R R^H in double precision; every block is accurate relative to itself.

        If `narrow`, to the precision of R only, which does where columns are compared.
        """
        return _core.lowrank.gram(self.r, workers, narrow)

    def eliminate(
        self, gram: Array, count: int, workers: int, *, with_rows: bool = False
    ) -> tuple[Array, Array, Array]:
        """The `count` columns to do without, in order, and the directions their loss leaves.

        And, if asked for, the rows that make coefficients of R for the columns left.
        """
        return _core.lowrank.elimination_order(self.r, self.pivots, gram, count, workers, with_rows)


class Run:
    """One decomposition of one operand by columns."""

    def __init__(self, name: str, operand: Operand, options: Options, key: Key) -> None:
        self.name = name
        self.operand = operand
        self.options = options
        self.key = key
        self.workers = operand.workers
        self.delta = 1 - options.confidence
        self.m, self.n = operand.shape
        # Y, or A itself where that is no larger; factoring consumes it.
        self.strips = _core.lowrank.pack(np.empty((0, self.n), operand.dtype), 1)
        self.n_rows = 0
        self.is_exact = False  # whether Y is A
        self.top = 0.0  # its largest component
        self.probes = np.empty((0, self.n), operand.dtype)
        self.scale = 1.0

    # The pass over A

    def sketch(self, n_rows: int, n_probes: int, whole: bool = False) -> None:
        """Y and the probes; a dense A itself stands for Y if asked or where it has no more rows."""
        dense = self.operand.dense
        self.is_exact = dense is not None and (whole or n_rows >= self.m)
        self.n_rows = max(n_rows, 4)
        rows = 4 if self.is_exact else self.n_rows
        self.strips, self.probes = self.operand.sketch(rows, n_probes, self.key)
        if dense is not None and self.is_exact:
            self.strips = _core.lowrank.pack(dense, self.workers)
        self.top = top = self.strips.max_component(self.workers)
        if not math.isfinite(top):
            self.require_finite()
            raise NumericalError(
                f"{self.name}: the entries of A are so large that their sums overflow; "
                f"divide A by a power of two"
            )
        # A power of two loses no bit; without need none is applied.
        self.scale = 1.0
        if top == 0 or 2.0**-33 <= top < 2.0**32:  # without need in any dtype
            return
        exponent = binary_exponent(top, self.operand.dtype)
        if abs(exponent) > largest_exponent(self.operand.dtype) // 4:
            self.scale = math.ldexp(1.0, -exponent)
            self.strips.scale(self.scale, self.workers)

    def require_finite(self) -> None:
        dense = self.operand.dense
        if dense is not None:
            require_finite(self.name, "A", dense)

    # Factors of Y or of A

    def pivot(
        self,
        max_rank: int,
        stop: float,
        first: Array = NONE,
        slack: float = _SLACK,
        rounded: bool = False,
    ) -> Factors:
        """At most max_rank pivots, `first` first; columns shorter than stop * ||Y||_2 are none.

        If `rounded`, those of Y in single precision, and Y stays as it is.
        """
        slack = 1.0 if self.is_exact else slack
        strips = _core.lowrank.rounded(self.strips, self.workers) if rounded else self.strips
        return Factors(
            *_core.lowrank.pivoted_qr(strips, first, max_rank, stop, slack, self.workers)
        )

    def refactor(self, pivots: Array, exact: bool) -> Factors:
        """Factors for given columns: of Y, taken anew since factoring used it up, or of A."""
        self.sketch(self.n_rows, len(self.probes), whole=self.is_exact)
        chosen, r = _core.lowrank.prescribed_qr(self.strips, pivots, self.workers)
        factors = Factors(chosen, r)
        return self.make_exact(factors) if exact and not self.is_exact else factors

    def make_exact(self, factors: Factors, rounded: bool = False) -> Factors:
        """Factors of A for the columns of factors of its sketch."""
        return self.exact_factors(factors.pivots, factors.r[:, factors.pivots], rounded)

    def exact_factors(self, pivots: Array, r11: Array, rounded: bool = False) -> Factors:
        """Factors of A for columns whose sketch has the triangular factor r11.

        If `rounded`, Q^H A is the product of Q and A in single precision.
        """
        columns = self.operand.columns(pivots)
        dense = columns if isinstance(columns, np.ndarray) else columns.toarray()
        triangle = np.ascontiguousarray(r11, dense.dtype)
        white = _core.lowrank.whiten(dense, self.scale, triangle, self.workers)
        if rounded and self.operand.dense is not None:
            r = _core.lowrank.rounded_product(white, self.operand.dense, self.workers)
        else:
            r = self.operand.left_product(white)
        if self.scale != 1:
            r = r * r.real.dtype.type(self.scale)
        if _core.lowrank.orthogonalize(r, pivots, triangle, self.workers):
            return Factors(pivots, r)
        # The sketch did not embed these columns: factor them themselves.
        strips = _core.lowrank.pack(dense, self.workers)
        strips.scale(self.scale, self.workers)
        everything = np.arange(dense.shape[1])
        chosen, _ = _core.lowrank.prescribed_qr(strips, everything, self.workers)
        basis = _lapack.qr(dense[:, chosen])[0]
        r = self.operand.left_product(basis) * basis.real.dtype.type(self.scale)
        return Factors(pivots[chosen], r)

    def may_round(self, candidates: int) -> bool:
        """Whether a product with so many columns is worth rounding, and within single precision."""
        dense = self.operand.dense
        return (
            dense is not None
            and dense.dtype == np.float64
            and self.m * self.n * candidates >= _LONG_PRODUCT
            and 2.0**-60 < self.top < 2.0**60
        )

    def hides_rounding(self, directions: Array, gram: Array) -> bool:
        """Whether the columns lost to `directions` of R cost much more than rounding R does."""
        lost = _core.lowrank.matmul(directions, gram, False, 1.0, None, self.workers)
        return bool((lost * directions).sum() > _HIDES**2 * gram.trace())

    def leading_below(self, gram: Array, limit: float) -> int:
        """The largest t for which the leading t x t block has no eigenvalue of limit^2 or more."""
        return _core.lowrank.leading_below(gram, limit, self.workers)

    def least_norm(self, factors: Factors, gram: Array, orthogonal: bool) -> float:
        """A lower bound of scale * ||A||_2 that owes nothing to the probes.

        Any Rayleigh quotient of R R^H = Q^H A A^H Q is one of ||A||_2^2. That of a sketch may be
        larger: there A itself is applied to the leading right singular vector of R.
        """
        if orthogonal or len(gram) == 0:
            return math.sqrt(_core.lowrank.rayleigh(gram))
        leading = _lapack.eigh(gram)[1][:, -1:].astype(factors.r.dtype)
        x = _core.lowrank.matmul(leading.T, factors.r, True, 1.0, None, self.workers).conj().T
        x = np.ascontiguousarray(x / np.linalg.norm(x))
        y = self.operand.right_product(x)
        top = float(np.abs(y).max(initial=0.0))
        return top * float(np.linalg.norm(y / top)) * self.scale if top > 0 else 0.0

    # From factors to a decomposition

    def solve(
        self,
        factors: Factors,
        k: int,
        exact: bool,
        dropped: Array = NONE,
        *,
        rows: Array | None = None,
        within: bool = False,
        columns: bool = True,
    ) -> tuple[Array, Array, float]:
        """Indices, coefficients no larger than z_bound, and their largest modulus.

        The indices are the pivots but for the dropped ones, unless coefficients were too large.
        Then columns are exchanged and factored anew; or, `within` the span of Q, where A hardly
        leaves it, columns that were dropped come back and only others are exchanged. `rows` are
        what elimination has left of the inverse, where it is known; `columns`: whether those of A
        will be asked for.
        """
        bound = self.options.z_bound
        for rounds in itertools.count():
            pivots = _core.lowrank.without(factors.pivots, dropped)
            others = self.others(factors.pivots, k - len(pivots))
            indices = np.concatenate([pivots, others])
            if rows is not None:
                z, largest = self.operand.coefficients(rows, factors.r, indices, columns)
                rows = None
            else:
                z = _core.lowrank.interpolation_coefficients(
                    factors.r, np.concatenate([factors.pivots, others]), dropped, self.workers
                )
                largest = _core.lowrank.max_modulus(z, self.workers)
            if largest <= bound:
                return indices, z, largest
            if within:
                wild = np.flatnonzero((np.abs(z) > bound).any(axis=0))
                back = np.isin(factors.pivots[dropped], wild)
                if np.count_nonzero(back) == len(wild):
                    dropped, k = dropped[~back], k + len(wild)
                    continue
            chosen, _ = _core.lowrank.exchange(z[: len(pivots)], pivots, bound, self.workers)
            if rounds >= _ROUNDS:
                factors = self.fewer(factors, k, exact, fresh=rounds == _ROUNDS)
            elif within:
                strips = _core.lowrank.pack(factors.r, self.workers)
                factors = Factors(*_core.lowrank.prescribed_qr(strips, chosen, self.workers))
            else:
                factors = self.refactor(chosen, exact)
            dropped = NONE
        raise AssertionError("unreachable")

    def fewer(self, factors: Factors, k: int, exact: bool, fresh: bool) -> Factors:
        """Where exchanges go round in circles of rounding errors: pivots, then fewer of them."""
        if not fresh:
            return factors.leading(len(factors.pivots) - 1)
        self.sketch(self.n_rows, len(self.probes), whole=self.is_exact)
        factors = self.pivot(min(k, self.m, self.n), 0.0, slack=1.0)
        return self.make_exact(factors) if exact and not self.is_exact else factors

    def others(self, pivots: Array, count: int) -> Array:
        """The first columns that are no pivots, where the numerical rank falls short."""
        return np.setdiff1d(np.arange(self.n), pivots)[:count] if count > 0 else NONE

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
        indices, z, largest = self.columns_of_rank(k, columns=True)
        residual = Residual(self.operand, indices, z, self.probes)
        return self.finish(
            indices, z, largest, residual.bound(self.delta), residual.estimate(), True
        )

    def columns_of_rank(self, k: int, columns: bool = False) -> tuple[Array, Array, float]:
        """Indices, coefficients no larger than z_bound, and their largest modulus.

        `columns`: whether those of A will be asked for.
        """
        deterministic = self.options.method == "deterministic"
        n_rows, n_probes = self.operand.sketch_size(k)
        # The sketch or A itself, and the coefficients: the least that any choice needs.
        least = (self.m if deterministic else min(n_rows, self.m)) + k
        check_memory(self.name, "rank", k, self.operand.dtype.itemsize * least * self.n)
        self.sketch(n_rows, n_probes, whole=deterministic)
        exact = self.is_exact or self.options.refine == "exact"
        pivoted = self.options.select in PIVOTED
        candidates = k + k // 3 + 4 if not pivoted else k if deterministic else k + k // 5 + 2
        if exact and not self.is_exact and pivoted:
            # The product with A takes them by the dozen: a few more cost nothing.
            more = -(-candidates // 12) * 12
            candidates = more if more <= candidates + candidates // 10 else candidates
        size = min(candidates, self.m, self.n)
        if not pivoted:
            return self.chosen_columns(self.pivot(size, 0.0), k, exact)
        product = exact and not self.is_exact
        for rounded in (True, False) if product and self.may_round(size) else (False,):
            factors = self.pivot(size, 0.0, rounded=rounded)
            if rounded and factors.fall_below(2 * _HIDES):
                continue
            if product:
                factors = self.make_exact(factors, rounded)
            excess = max(0, len(factors.pivots) - k)
            gram = factors.gram(self.workers, narrow=True)
            dropped, lost, rows = factors.eliminate(gram, excess, self.workers, with_rows=True)
            if not rounded or self.hides_rounding(lost, gram):
                break
        return self.solve(factors, k, exact, dropped, rows=rows, columns=columns)

    def chosen_columns(self, factors: Factors, k: int, exact: bool) -> tuple[Array, Array, float]:
        """The same for the columns that `select` takes from factors of more columns than k."""
        chosen = choose_columns(self, factors, k)
        # Columns that depend on others come last, and are left out.
        strips = _core.lowrank.pack(np.ascontiguousarray(factors.r[:, chosen]), self.workers)
        order, r11 = _core.lowrank.pivoted_qr(strips, NONE, k, 0.0, 1.0, self.workers)
        chosen = chosen[order]
        if exact and not self.is_exact:
            factors = self.exact_factors(chosen, r11[:, order])
        else:
            factors = self.refactor(chosen, exact)
        return self.solve(factors, k, exact)
