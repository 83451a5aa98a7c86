"""What `cur` and `two_sided_id` share: arguments, rows of chosen columns, the matrix between."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core, _lapack
from kexue_num._validation import (
    Phrase,
    check_choice,
    check_fraction,
    check_real,
    check_workers,
)
from kexue_num.lowrank._choose import PIVOTED, SELECTIONS
from kexue_num.lowrank._columns import check_rank
from kexue_num.lowrank._operands import DenseOperand, Operand
from kexue_num.lowrank._qr import QR, factor
from kexue_num.lowrank._run import NONE, Options, Run

Array = NDArray[Any]
Key = tuple[int, int]


def check_options(
    name: str,
    rank: Any,
    tol: Any,
    select: Any,
    choices: tuple[str, ...],
    z_bound: Any,
    confidence: Any,
    workers: Any,
) -> Options:
    if (rank is None) == (tol is None):
        got = Phrase("both" if rank is not None else "neither")
        raise ValueError(f"{name}: exactly one of 'rank' and 'tol' must be given, got {got}")
    return Options(
        axis=1,
        method="randomized",
        select=check_choice(name, "select", select, choices),
        refine="exact",
        z_bound=check_real(name, "z_bound", z_bound, above=1),
        confidence=check_fraction(name, "confidence", confidence),
        workers=check_workers(name, workers),
    )


def check_limits(name: str, operand: Operand, rank: Any, tol: Any) -> float:
    """Checks `rank` or `tol`; the latter, or 0."""
    if rank is not None:
        check_rank(name, rank, operand, 1)
        return 0.0
    least = 10 * float(np.finfo(operand.dtype).eps)
    return check_real(name, "tol", tol, minimum=least, below=1)


def skeleton_rows(c: Array, options: Options, key: Key) -> tuple[Array, Array, float]:
    """Rows of a tall c that the others depend on: indices, coefficients (k, m), their largest."""
    rows = replace(options, select="qrcp", method="deterministic", refine="exact")
    operand = DenseOperand("two_sided_id", c.T, options.workers, False)
    found, z, largest = Run("two_sided_id", operand, rows, key).columns_of_rank(c.shape[1])
    return found.astype(np.int64), z, largest


def rounding_of(c: Array, u: Array, r: Array, workers: int) -> float:
    """The Frobenius norm of what rounding makes of C U R, twice its statistical size.

    A sum of k products loses about eps sqrt(k) / 2 times the root of the sum of their squares.
    """
    if min(u.shape) == 0:
        return 0.0
    tops = [float(_core.lowrank.max_component(x, workers)) for x in (c, u, r)]
    if min(tops) == 0:
        return 0.0
    c, u, r = (x / x.real.dtype.type(top) for x, top in zip((c, u, r), tops, strict=True))
    columns, rows = (
        np.square(np.abs(x), dtype=np.float64).sum(axis=a) for x, a in ((c, 0), (r, 1))
    )
    product = _core.lowrank.matmul(c, u, False, 1.0, None, workers)
    squares = np.square(np.abs(product), dtype=np.float64).sum(axis=0)
    squares += columns @ np.square(np.abs(u), dtype=np.float64)
    eps = float(np.finfo(u.dtype).eps)
    size = math.sqrt(max(u.shape) * float(squares @ rows))
    return eps * size * tops[0] * tops[1] * tops[2]


def rows_of_columns(c: Array, count: int, options: Options, key: Key) -> Array:
    """Rows of c by `select`; beyond one per column, rounds of pivoting among those left."""
    operand = DenseOperand("cur", c.T, options.workers, False)
    select = options.select if options.select in SELECTIONS else "auto"
    select = "auto" if select == "rpcholesky" else select
    method = "deterministic" if select in PIVOTED else "randomized"
    run = Run("cur", operand, replace(options, select=select, method=method), key)
    chosen = run.columns_of_rank(min(count, *operand.shape))[0]
    while len(chosen) < count:
        rest = np.setdiff1d(np.arange(c.shape[0]), chosen)
        size = min(count - len(chosen), len(rest), c.shape[1])
        fresh = factor("cur", np.ascontiguousarray(c[rest].T), NONE, size, options.workers).pivots
        fresh = rest[fresh] if len(fresh) else rest[:size]
        chosen = np.concatenate([chosen, fresh])
    return chosen


def basis_of(name: str, c: Array, workers: int) -> QR:
    """An orthonormal basis of the columns of a tall c, and c in it.

    By Cholesky of c over the triangular factor of its sketch, which is well conditioned (Rokhlin
    and Tygert 2008); by pivoted QR where columns depend on one another.
    """
    m, k = c.shape
    rows = max(3 * k, k + 20)
    top = float(_core.lowrank.max_component(c, workers)) if c.size else 0.0
    info = np.finfo(c.dtype)
    if k > 0 and rows < m and info.tiny**0.25 < top < info.max**0.25:
        strips, _ = _core.lowrank.sketch(c, rows, 1, (0, 0), workers)
        pivots, r = _core.lowrank.pivoted_qr(strips, NONE, k, 0.0, 1.0, workers)
        if len(pivots) == k:
            triangle = np.ascontiguousarray(r[:, pivots])
            white = _core.lowrank.whiten(c[:, pivots], 1.0, triangle, workers)
            gram = _core.lowrank.gram(np.ascontiguousarray(white.T), workers).conj()
            lower = _lapack.cholesky(gram + 0.01 * np.eye(k)) if k else gram
            if np.diagonal(lower).real.min() > 0.3:
                lower = _lapack.cholesky(gram)
                inverse = _lapack.inv(lower).astype(c.dtype)
                q = _core.lowrank.matmul(inverse, white.conj().T, False, 1.0, None, workers)
                full = np.empty((k, k), c.dtype)
                full[:, pivots] = lower.conj().T @ triangle
                return QR(q.conj(), full, pivots, 1.0)
    return factor(name, c, NONE, min(c.shape), workers)


def product_norm(c: Array, z: Array, workers: int) -> float:
    """||C Z||_2 of a tall C and a wide Z, through their Gram matrices."""
    if min(c.shape) == 0:
        return 0.0
    top = float(_core.lowrank.max_component(c, workers))
    if top == 0:
        return 0.0
    rows = np.ascontiguousarray(c.T / c.real.dtype.type(top))
    left = _core.lowrank.gram(rows, workers).conj()
    values, vectors = _lapack.eigh(left)
    root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.conj().T
    inner = root @ _core.lowrank.gram(z, workers) @ root.conj().T
    return top * math.sqrt(float(_lapack.eigvalsh(inner)[-1]))


def solve_rows(right: QR, x: Array) -> Array:
    """T^+ x for the factor T of Q T; its rows at rounding level count as zero."""
    r = right.r
    if r.size == 0:
        return np.zeros((r.shape[1], x.shape[1]), x.dtype)
    diagonal = np.abs(r[np.arange(len(right.pivots)), right.pivots])
    floor = 100 * len(diagonal) * float(np.finfo(r.dtype).eps) * float(diagonal.max())
    kept = int(np.argmax(diagonal <= floor)) if (diagonal <= floor).any() else len(diagonal)
    if kept == r.shape[1]:
        return _lapack.solve(r, x)
    return np.asarray(np.linalg.pinv(r[:kept], rcond=1e-300) @ x[:kept])


def pseudo_inverse(corner: Array) -> Array:
    """corner^+; a singular value at rounding level counts as zero."""
    if min(corner.shape) == 0:
        return np.zeros(corner.shape[::-1], corner.dtype)
    u, s, vh = _lapack.svd(corner)
    floor = 30 * max(corner.shape) * float(np.finfo(s.dtype).eps) * float(s[0])
    kept = s > floor
    if kept.all() and corner.shape[0] == corner.shape[1]:
        return np.ascontiguousarray(_lapack.inv(corner))
    with np.errstate(over="ignore"):
        inverse = vh[kept].conj().T / s[kept]
    return np.ascontiguousarray(inverse @ u[:, kept].conj().T)


def dense_form(matrix: Any) -> Array:
    return matrix if isinstance(matrix, np.ndarray) else np.asarray(matrix.toarray())
