"""Block Krylov iteration for the leading singular triplets, with a certificate.

The basis V is orthonormal and W = A V is known. From the SVD of W follow the triplets: the best
U diag(s) V_b^H whose right vectors lie in the span of V. Their residual E = A^H U - V_b diag(s) is
orthogonal to V and is the next block.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core, _lapack
from kexue_num._errors import ConvergenceWarning, NumericalError
from kexue_num._validation import require_finite
from kexue_num.lowrank._certificate import binary_exponent, chi_quantile, spectral_norm
from kexue_num.lowrank._operands import Key, Operand
from kexue_num.lowrank._results import SVD

Array = NDArray[Any]

# Blocks in the basis before it is cut back to one.
_BLOCKS = 4
_POWER_STEPS = 2
# With a tolerance: columns whose singular value in the sketch is below the first part of it are
# not needed; the second part is what the residual of the basis may take.
_NEEDED = 0.3
_TAIL = 0.5


@dataclass(frozen=True)
class Goal:
    rank: int | None
    tol: float | None
    residual_tol: float
    max_iter: int
    confidence: float


def dense_svd(name: str, operand: Operand, goal: Goal) -> SVD:
    """By LAPACK, in full; the bound is the first value left out and the rounding."""
    a = operand.dense
    if a is None:
        raise ValueError("a dense operand was expected")
    require_finite(name, "A", a)
    top = float(_core.lowrank.max_component(a, operand.workers)) if a.size else 0.0
    exponent = binary_exponent(top, a.dtype) if top > 0 else 0
    real = a.real.dtype
    scaled = a * real.type(math.ldexp(1.0, -exponent))
    try:
        u, s, vh = _lapack.svd(scaled)
    except np.linalg.LinAlgError as error:
        raise NumericalError(f"{name}: {error}; scale the rows or columns of A") from error
    largest = float(s[0]) if len(s) else 0.0
    rounding = 4 * math.sqrt(max(1, *a.shape)) * float(np.finfo(real).eps) * largest
    errors = np.append(s, 0.0).astype(np.float64) + rounding
    k = goal.rank
    if k is None:
        limit = (goal.tol or 0.0) * largest * (1 - 1e-12)
        k = int(np.argmax(errors <= limit)) if largest > 0 and errors[-1] <= limit else len(s)
        k = 0 if largest == 0 else k
    with np.errstate(over="ignore"):  # the norm of entries at the end of the range lies beyond it
        values = np.ldexp(s[:k], exponent).astype(real)
        bound = float(np.ldexp(errors[k], exponent)) if largest > 0 else 0.0
    converged = goal.tol is None or errors[k] <= goal.tol * largest
    if not converged:
        _warn(name, f"tol={goal.tol:g}", bound)
    u, vh = np.ascontiguousarray(u[:, :k]), np.ascontiguousarray(vh[:k])
    return SVD(u, values, vh, bound, goal.confidence, bool(converged), 0)


class Krylov:
    """One decomposition of an operand with at least as many rows as columns."""

    def __init__(self, name: str, operand: Operand, goal: Goal, key: Key) -> None:
        self.name = name
        self.operand = operand
        self.goal = goal
        self.key = key
        self.workers = operand.workers
        self.m, self.n = operand.shape
        self.eps = float(np.finfo(operand.dtype).eps)
        self.delta = 1 - goal.confidence
        self.tests = 0
        self.n_iter = 0
        # All norms below are those of scale * A.
        self.scale = 1.0

    def solve(self) -> SVD:
        if self.goal.rank is not None:
            return self.fixed_rank(self.goal.rank)
        return self.fixed_precision(self.goal.tol or 0.0)

    # The two goals

    def fixed_rank(self, k: int) -> SVD:
        block = min(self.n, k + k // 8 + 10)
        rows, n_probes = self.operand.sketch_size(max(k, 1))
        y = self.sketch(max(rows, block), n_probes)
        basis = Basis(self, self.row_space(y, block))
        converged = False
        while True:
            left = basis.residual_block(max(k, 8))
            enough = self.goal.residual_tol * basis.value(k)
            floor = 8 * math.sqrt(self.n) * self.eps * basis.value(0)
            if spectral_norm(left[:k], self.workers) <= max(enough, floor):
                converged = True
                break
            if self.n_iter == self.goal.max_iter:
                break
            self.n_iter += 1
            basis.extend(left)
        svd = self.finish(basis, k, self.bound(basis.v[:, :k], basis.value(0)), converged)
        if not converged:
            _warn(self.name, f"residual_tol={self.goal.residual_tol:g}", svd.error_bound)
        return svd

    def fixed_precision(self, tol: float) -> SVD:
        rows = self.operand.first_rows
        while True:
            _, n_probes = self.operand.sketch_size(max(rows // 2, 1))
            y = self.sketch(rows, n_probes)
            values = _lapack.singular_values(self.triangle(y))
            needed = (
                int(np.count_nonzero(values > _NEEDED * tol * values[0])) if values.any() else 0
            )
            if needed > 0.7 * rows and rows < 2 * self.n:
                rows = max(2 * rows, 2 * needed)
                continue
            block = min(self.n, needed + needed // 8 + 10)
            if self.operand.dense is not None and 3 * block >= self.n:
                return dense_svd(self.name, self.operand, self.goal)
            basis = Basis(self, self.row_space(y, block))
            found = self.least_rank(basis, tol)
            if found is not None:
                return found
            rows = max(2 * rows, 4 * block)

    def least_rank(self, basis: Basis, tol: float) -> SVD | None:
        """None if the block is too small to be certain of the tolerance."""
        exact = basis.v.shape[1] == self.n
        while True:
            limit = tol * basis.value(0) * (1 - 8 * self.eps)
            tail = 0.0 if exact else self.bound(basis.v, basis.value(0))
            rounding = 8 * math.sqrt(self.n) * self.eps * basis.value(0)
            errors = np.hypot(np.append(basis.s.astype(np.float64), 0.0), tail) + rounding
            good = errors <= limit
            # A tail that takes most of the tolerance would cost rank.
            if good.any() and (tail <= _TAIL * limit or self.n_iter == self.goal.max_iter):
                k = int(np.argmax(good))
                return self.finish(basis, k, float(errors[k]), True)
            if basis.value(0) == 0:
                return self.finish(basis, 0, tail, True)
            if basis.value(len(basis.s) - 1) > 0.8 * _TAIL * limit and not exact:
                return None
            if exact or self.n_iter == self.goal.max_iter:
                bound = float(errors[-1])
                _warn(self.name, f"tol={tol:g}", bound / self.scale)
                return self.finish(basis, len(basis.s), bound, False)
            self.n_iter += 1
            basis.extend(basis.residual_block(basis.block))

    # Steps

    def sketch(self, rows: int, n_probes: int) -> Array:
        """S A as an array; the probes are kept."""
        strips, self.probes = self.operand.sketch(max(rows, 4), n_probes, self.key)
        top = strips.max_component(self.workers)
        if not math.isfinite(top):
            dense = self.operand.dense
            if dense is not None:
                require_finite(self.name, "A", dense)
            raise NumericalError(
                f"{self.name}: the entries of A are so large that their sums overflow; "
                f"divide A by a power of two"
            )
        exponent = binary_exponent(top, self.operand.dtype) if top > 0 else 0
        self.scale = math.ldexp(1.0, -exponent)
        strips.scale(self.scale, self.workers)
        self.probes = self.scaled(self.probes)
        return strips.to_array(self.workers)

    def scaled(self, x: Array) -> Array:
        """A power of two loses no bit."""
        return np.asarray(x * x.real.dtype.type(self.scale))

    def left(self, q: Array) -> Array:
        return self.scaled(self.operand.left_product(q))

    def right(self, x: Array) -> Array:
        return self.scaled(self.operand.right_product(np.ascontiguousarray(x)))

    def triangle(self, y: Array) -> Array:
        return _lapack.triangle(y.conj().T)

    def row_space(self, y: Array, block: int) -> Array:
        """(n, block), orthonormal: the leading right singular vectors of a sketch."""
        if block >= self.n:
            return np.eye(self.n, dtype=y.dtype)
        _, vectors = _lapack.eigh(_core.lowrank.gram(y, self.workers))
        leading = np.ascontiguousarray(vectors[:, : -block - 1 : -1].astype(y.dtype))
        return self.orthonormal(self.multiply(y.conj().T, leading))

    def multiply(self, a: Array, b: Array) -> Array:
        return _core.lowrank.matmul(a, b, False, 1.0, None, self.workers)

    def orthonormal(self, x: Array) -> Array:
        """An orthonormal basis of the columns."""
        quick = self.by_cholesky(x)
        return _lapack.qr(x)[0] if quick is None else quick

    def by_cholesky(self, x: Array) -> Array | None:
        """The same by two Cholesky factorisations; None where the columns are not independent."""
        norms = np.linalg.norm(x, axis=0)
        if x.shape[1] == 0 or not norms.all():
            return None
        x = x / norms
        for _ in range(2):
            gram = _core.lowrank.gram(x.T, self.workers).conj()
            # Not by LAPACK, whose idle threads would spin while A is multiplied.
            root = _core.lowrank.inverse_root(gram, 1e-4, self.workers)
            if root is None:
                return None
            x = self.multiply(x, root.astype(x.dtype))
        return x

    def bound(self, v: Array, largest: float) -> float:
        """On ||A - A V V^H||_2: the least after no, one and two power steps."""
        residual = Projected(self, v)
        best = math.inf
        for step in range(_POWER_STEPS + 1):
            if step > 0:
                residual.power_step()
            self.tests += 1
            share = self.delta / (self.tests * (self.tests + 1))
            best = min(best, residual.bound(share))
            if residual.norm == 0:
                break
        return best + 4 * self.eps * largest

    def finish(self, basis: Basis, k: int, bound: float, converged: bool) -> SVD:
        return SVD(
            U=np.ascontiguousarray(basis.u[:, :k]),
            s=basis.s[:k] * basis.s.dtype.type(1 / self.scale),
            Vh=np.ascontiguousarray(basis.v[:, :k].conj().T),
            error_bound=bound / self.scale,
            confidence=self.goal.confidence,
            converged=converged,
            n_iter=self.n_iter,
        )


class Basis:
    """V and W = A V, with the leading triplets of W."""

    def __init__(self, run: Krylov, v: Array) -> None:
        self.run = run
        self.block = v.shape[1]
        self.all_v = v
        self.all_w = run.right(v)
        self.q, self.r = self.factor(self.all_w, None)
        self.rotate()

    def factor(self, w: Array, before: Array | None) -> tuple[Array, Array]:
        """Q and R of all of W, whose last columns are w; `before` is Q of the others.

        Householder's factorisation takes over where columns of W depend on each other.
        """
        run = self.run
        head = np.zeros((0, w.shape[1]), w.dtype)
        rest = w
        if before is not None:
            rest, head = self.project(before, w)
        q = run.by_cholesky(rest)
        if q is not None and before is not None:
            q = run.by_cholesky(self.project(before, q)[0])
        if q is None:
            whole_q, whole_r = _lapack.qr(self.all_w)
            return whole_q, whole_r
        corner = run.multiply(q.conj().T, np.ascontiguousarray(rest))
        if before is None:
            return q, corner
        zeros = np.zeros((len(corner), before.shape[1]), w.dtype)
        r = np.block([[self.r, head], [zeros, corner]])
        return np.concatenate([before, q], axis=1), r

    def project(self, q: Array, w: Array) -> tuple[Array, Array]:
        """What is left of w without the span of q, twice; and the coefficients taken out."""
        run = self.run
        adjoint, total = q.conj().T, np.zeros((q.shape[1], w.shape[1]), w.dtype)
        for _ in range(2):
            inner = run.multiply(adjoint, np.ascontiguousarray(w))
            w, total = w - run.multiply(q, inner), total + inner
        return w, total

    def value(self, i: int) -> float:
        return float(self.s[i]) if 0 <= i < len(self.s) else 0.0

    def rotate(self) -> None:
        """The triplets U, s, V of the basis."""
        run = self.run
        u, s, h = np.linalg.svd(self.r)
        b = min(self.block, len(s))
        self.s = s[:b]
        self.u = run.multiply(self.q, np.ascontiguousarray(u[:, :b]))
        self.v = run.multiply(self.all_v, np.ascontiguousarray(h[:b].conj().T))

    def residual_block(self, count: int) -> Array:
        """(A^H U - V diag(s))^H for the leading triplets, at most `count`: (b, n)."""
        rows = self.run.left(np.ascontiguousarray(self.u[:, :count]))
        return np.asarray(rows - self.s[:count, None] * self.v[:, :count].conj().T)

    def extend(self, left: Array) -> None:
        """Add the span of that block."""
        run = self.run
        if self.all_v.shape[1] + len(left) > min(_BLOCKS * self.block, run.n):
            self.all_v, self.all_w = self.v, self.u * self.s
            self.q, self.r = self.u, np.diag(self.s).astype(self.u.dtype)
        room = min(self.block, run.n - self.all_v.shape[1])
        norms = np.linalg.norm(left, axis=1)
        left = left[norms > 0]
        x = (left / np.linalg.norm(left, axis=1)[:, None]).conj().T[:, :room]
        for _ in range(2):
            x = run.orthonormal(x - run.multiply(self.all_v, self.inner(x)))
        x = np.ascontiguousarray(x)
        self.all_v = np.concatenate([self.all_v, x], axis=1)
        w = run.right(x)
        self.all_w = np.concatenate([self.all_w, w], axis=1)
        self.q, self.r = self.factor(w, self.q)
        self.rotate()

    def inner(self, x: Array) -> Array:
        return self.run.multiply(self.all_v.conj().T, np.ascontiguousarray(x))


class Projected:
    """A - A V V^H, seen through held-out probes W A; V orthonormal. See `_certificate`."""

    def __init__(self, run: Krylov, v: Array) -> None:
        self.run = run
        self.v = np.ascontiguousarray(v)
        self.workers = run.workers
        probes = run.probes
        info = np.finfo(probes.dtype)
        norm = spectral_norm(probes, self.workers)
        self.rounding = 4 * float(info.eps) * norm
        self.n_probes = len(probes)
        self.power = 0
        self.exponent = 0
        self.probes = self.restrict(probes)
        self.norm = spectral_norm(self.probes, self.workers)

    def bound(self, delta: float) -> float:
        quantile = chi_quantile(self.n_probes, delta)
        x = self.norm / quantile
        degree = 2 * self.power + 1
        mantissa, exponent = math.frexp(x)
        whole, rest = divmod(exponent + self.exponent, degree)
        root = math.ldexp(math.ldexp(mantissa, rest) ** (1 / degree), whole)
        return root + self.rounding / quantile

    def power_step(self) -> None:
        """E <- E R^H R; E stands for 2**exponent times itself."""
        if self.norm == 0:
            return
        adjoint = self.normalized(self.probes).conj().T
        right = np.ascontiguousarray(self.normalized(self.run.right(adjoint)))
        self.probes = self.restrict(self.run.left(right))
        self.power += 1
        self.norm = spectral_norm(self.probes, self.workers)

    def normalized(self, x: Array) -> Array:
        top = float(_core.lowrank.max_component(x, self.workers))
        exponent = binary_exponent(top, x.dtype) if top > 0 else 0
        self.exponent += exponent
        return np.asarray(x * x.real.dtype.type(math.ldexp(1.0, -exponent)))

    def restrict(self, rows: Array) -> Array:
        """Rows of E A to rows of E A (I - V V^H)."""
        inner = _core.lowrank.matmul(rows, self.v, False, 1.0, None, self.workers)
        return _core.lowrank.matmul(inner, self.v.conj().T, False, -1.0, rows.copy(), self.workers)


def _warn(name: str, goal: str, bound: float) -> None:
    warnings.warn(
        f"{name}: {goal} was not reached; the error is at most {bound:.3g}. Raise 'max_iter', ask "
        f"for less or use a wider dtype.",
        ConvergenceWarning,
        stacklevel=5,
    )
