"""Which columns to keep: everything `select` can name, from the factors of one sketch.

A sketch, or A itself, is factored at the pivots of more columns than wanted: R = Q^H B, whose
columns have the geometry of those of A. The choices look at R alone, so they are the same for dense
arrays, sparse arrays and operators; only "rpcholesky" reads the diagonal and columns of A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core, _lapack
from kexue_num._validation import Phrase, message
from kexue_num.lowrank._kmeans import kmeans_columns

if TYPE_CHECKING:
    from kexue_num.lowrank._operands import Operand
    from kexue_num.lowrank._run import Factors, Run

Array = NDArray[Any]

PIVOTED = ("auto", "qrcp")
SELECTIONS = (
    *PIVOTED,
    "lupp",
    "osinsky",
    "arp",
    "total_residual",
    "uniform",
    "norm",
    "leverage",
    "deim",
    "rpcholesky",
)
# Those that look at singular vectors. The sketch's do: exact ones, for one more product with A,
# lower the error by a twentieth (4000 x 4000, rank 100: 0.51 for 0.53 of column pivoting's on
# exponential decay, 0.40 for 0.42 on a Gaussian kernel).
SPECTRAL = ("osinsky", "arp", "leverage", "deim")

# Penalties on large coefficients that "osinsky" tries until they obey their bound. Where singular
# values fall, none is the most accurate and the last costs a tenth; where they do not, the last is
# the most accurate from the start (1 / i at rank 50: 1.12 times column pivoting, against 1.24).
_PENALTIES = (0.0, 0.3, 1.0)

# Real rows up to which rotations, on one thread, take less time than LAPACK and what its threads
# cost afterwards (137 rows: 6 ms; 3 ms and 20 ms of a core kept busy).
_ROTATED = 192


@dataclass(frozen=True)
class Spectrum:
    """The leading right singular vectors of R, and what they leave of it.

    vectors : (k, n), orthonormal rows; values : all singular values; tail : (rank - k, n), the
    other singular vectors times their values.
    """

    vectors: Array
    values: Array
    tail: Array


def spectrum(factors: Factors, k: int, workers: int) -> Spectrum:
    """Singular value decomposition of R at O(rank^2 n).

    R is graded: with D the diagonal at the pivots, D^-1 R has rows of similar length, so one
    Cholesky factorisation D^-1 R = L Q gives an orthonormal Q, and D L holds the singular values to
    rounding: of each, where rotations find them; of the largest, where they would take too long.
    """
    r, pivots = factors.r, factors.pivots
    rank = len(pivots)
    diagonal = np.abs(r[np.arange(rank), pivots])
    gram = factors.gram(workers) / diagonal[:, None] / diagonal
    inverse = _core.lowrank.inverse_root(gram, 0.0, workers)  # L^-H
    if inverse is None:  # the last row depends on the others, up to rounding
        rounding = rank * float(np.finfo(gram.dtype).eps)
        gram = gram + np.diag(rounding * gram.diagonal())
        inverse = _core.lowrank.inverse_root(gram, 0.0, workers)
    rows = _core.lowrank.matmul(gram, inverse, False, 1.0, None, workers) * diagonal[:, None]
    if rank <= _ROTATED and rows.dtype == np.float64:
        values = _core.lowrank.orthogonalize_rows(rows)
    else:
        _, values, rows = _lapack.svd(rows)
        rows *= values[:, None]
    rows[:k] /= values[:k, None]
    adjoint = np.ascontiguousarray(inverse.conj().T)
    rotation = _core.lowrank.matmul(rows, adjoint, False, 1.0, None, workers) / diagonal
    rows = _core.lowrank.matmul(rotation.astype(r.dtype), r, False, 1.0, None, workers)
    return Spectrum(rows[:k], values, rows[k:])


def choose_columns(run: Run, factors: Factors, k: int) -> Array:
    """At most k columns, by `run.options.select`; fewer where all others depend on them."""
    select, workers = run.options.select, run.workers
    if select == "rpcholesky":
        return cholesky_columns(run.name, run.operand, k, generator(run, 2))[0]
    k = min(k, len(factors.pivots))
    if k == 0:
        return factors.pivots[:0]
    if select == "total_residual":
        return _core.lowrank.total_residual_columns(factors.r, k, workers)
    if select == "lupp":
        mix = generator(run, 2).standard_normal((k, len(factors.r))).astype(factors.r.dtype)
        rows = _core.lowrank.matmul(mix, factors.r, False, 1.0, None, workers)
        return _core.lowrank.elimination_pivots(rows, workers)
    if select in ("uniform", "norm"):
        weights = np.ones(run.n)
        if select == "norm":
            weights = np.square(np.abs(factors.r), dtype=np.float64).sum(axis=0)
        return among_drawn(run, factors, weights, k)
    if select == "kmeans":
        return kmeans_columns(factors.r, k, generator(run, 2), workers)
    leading = spectrum(factors, k, workers)
    if select == "osinsky":
        penalties = _PENALTIES if factors.falling(k) else _PENALTIES[-1:]
        return osinsky(leading, penalties, run.options.z_bound, workers)
    if select == "arp":
        return _core.lowrank.adaptive_columns(leading.vectors, generator_key(run, 2), workers)
    if select == "deim":
        return _core.lowrank.elimination_pivots(leading.vectors, workers)
    scores = np.square(np.abs(leading.vectors), dtype=np.float64).sum(axis=0)
    return among_drawn(run, factors, scores, k)


def osinsky(leading: Spectrum, penalties: tuple[float, ...], z_bound: float, workers: int) -> Array:
    """Osinsky's columns, by the first penalty that keeps the coefficients within their bound."""
    limit = 1 + 0.8 * (z_bound - 1)  # the coefficients on A itself differ a little
    best, least, coefficients = np.empty(0, np.int64), math.inf, leading.vectors[:0]
    for penalty in penalties:
        chosen, rows = _core.lowrank.osinsky_columns(
            leading.vectors, leading.tail, penalty, workers
        )
        z = _core.lowrank.interpolation_coefficients(
            rows[: len(chosen)], chosen, np.empty(0, np.int64), workers
        )
        largest = _core.lowrank.max_modulus(z, workers)
        if largest < least:
            best, least, coefficients = chosen, largest, z
        if largest <= limit:
            return np.asarray(chosen)
    chosen, _ = _core.lowrank.exchange(coefficients, best, limit, workers)
    return np.asarray(chosen)


def among_drawn(run: Run, factors: Factors, weights: Array, k: int) -> Array:
    """K columns by pivoted QR among 2 k + 10 drawn without replacement, by weight.

    Exponential variables over the weights: the smallest ones belong to a draw without replacement
    (Efraimidis & Spirakis 2006). (Advani & O'Hagan 2021 draw uniformly and pivot.)
    """
    count = min(run.n, 2 * k + 10)
    waits = generator(run, 2).standard_exponential(run.n)
    with np.errstate(divide="ignore", over="ignore"):
        waits /= weights / max(float(weights.max()), np.finfo(float).tiny)
    drawn = np.sort(np.argpartition(waits, count - 1)[:count])
    strips = _core.lowrank.pack(np.ascontiguousarray(factors.r[:, drawn]), run.workers)
    empty = np.empty(0, np.int64)
    chosen, _ = _core.lowrank.pivoted_qr(strips, empty, k, 0.0, 1.0, run.workers)
    return np.asarray(drawn[chosen])


def check_semidefinite_input(function: str, operand: Operand, got: Any) -> None:
    """Whether "rpcholesky" can be asked for: a square matrix whose diagonal can be read."""
    rows, columns = operand.shape
    if rows != columns:
        phrase = Phrase(f"'rpcholesky' for shape {operand.shape}")
        expected = "must not be 'rpcholesky' unless A is square"
        raise ValueError(message(function, "select", expected, phrase))
    if not hasattr(operand, "diagonal"):
        phrase = Phrase(f"'rpcholesky' for {type(got).__name__}")
        expected = "must not be 'rpcholesky' for an operator, whose diagonal cannot be read"
        raise ValueError(message(function, "select", expected, phrase))


def cholesky_columns(
    function: str, operand: Any, k: int, random: np.random.Generator
) -> tuple[Array, Array]:
    """Columns of a positive semidefinite A by randomly pivoted Cholesky, and its rows F, in blocks.

    Reads the diagonal and the columns proposed, no other entry.
    """
    n = operand.shape[0]
    diagonal = operand.diagonal()
    require_semidefinite(function, diagonal, np.zeros(n))
    whole = np.ascontiguousarray(diagonal.real, dtype=np.float64)
    left = whole.copy()
    factor = np.empty((k, n), operand.dtype)
    chosen = np.empty(0, np.int64)
    rounding = 4 * float(np.finfo(operand.dtype).eps) * float(whole.sum())
    while len(chosen) < k:
        running = np.cumsum(left)
        if not running[-1] > rounding:
            break
        count = max(1, min(48, k - len(chosen) + 4))
        proposed = np.searchsorted(running, random.random(count) * running[-1], side="right")
        proposed = np.minimum(proposed, n - 1)
        columns = operand.columns(proposed)
        dense = columns if isinstance(columns, np.ndarray) else columns.toarray()
        require_hermitian(function, dense, proposed)
        accepted = _core.lowrank.cholesky_steps(
            dense, proposed, random.random(count), len(chosen), factor, left, operand.workers
        )
        chosen = np.concatenate([chosen, accepted])
        require_semidefinite(function, left, whole)
        np.maximum(left, 0, out=left)
    return chosen, factor[: len(chosen)]


def require_semidefinite(function: str, diagonal: Array, whole: Array) -> None:
    """ValueError if a diagonal entry, or what elimination left of it, is below rounding."""
    slack = 1e-3 * whole
    wrong = ~(diagonal.real >= -slack)
    if diagonal.dtype.kind == "c":
        wrong |= np.abs(diagonal.imag) > 1e-3 * np.abs(diagonal.real)
    if wrong.any():
        j = int(np.argmax(wrong))
        got = Phrase(f"{diagonal[j]:.6g} on the diagonal at [{j}]")
        if whole.any():
            got = Phrase(f"{diagonal[j]:.6g} left on the diagonal at [{j}] by elimination")
        expected = "must be positive semidefinite for select='rpcholesky'"
        raise ValueError(message(function, "A", expected, got))


def require_hermitian(function: str, columns: Array, chosen: Array) -> None:
    corner = columns[chosen]
    difference = np.abs(corner - corner.conj().T)
    scale = np.abs(corner).max(initial=0.0)
    if not difference.max(initial=0.0) <= 1e-3 * scale:
        i, j = np.unravel_index(int(np.argmax(difference)), difference.shape)
        got = Phrase(
            f"{corner[i, j]:.6g} at [{chosen[i]}, {chosen[j]}] and "
            f"{corner[j, i]:.6g} at [{chosen[j]}, {chosen[i]}]"
        )
        expected = "must be Hermitian for select='rpcholesky'"
        raise ValueError(message(function, "A", expected, got))


def generator_key(run: Run, purpose: int) -> tuple[int, int]:
    """A key of its own for every purpose: the choice owes nothing to sketch and probes."""
    low, high = run.key
    return int(low), (int(high) + purpose * 0x9E3779B97F4A7C15) % 2**64


def generator(run: Run, purpose: int) -> np.random.Generator:
    key = np.array(generator_key(run, purpose), np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
