"""The expected squared error of a product whose terms are drawn, for a whole batch at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num.lowrank._factors import (
    Factors,
    adjoint,
    column_norms,
    columns_of,
    product,
    rows_of,
    scaled_columns,
    times_powers,
)
from kexue_num.lowrank._systematic import dependence

Array = NDArray[Any]

_BLOCK = 256
# Of the products of as many matrices of a batch as are taken together.
_BYTES = 1 << 26


def expected_squared_errors(
    factors: Factors, sizes: Array, exponents: Array, rank: int, method: str
) -> Array:
    """Of the unbiased sum of `rank` terms, (count,), in units of 4**exponent.

    `sizes` are those of the terms, in units of 2**exponent. "iid" has the form of Drineas, Kannan
    and Mahoney; otherwise E ||sum_i ([i in S] / pi_i - 1) M_i||^2 is a sum over pairs of terms.
    """
    if factors.count == 0:
        return np.zeros(0)
    if rank == 0:
        return _squared_norms(factors, exponents)
    if method == "iid":
        total: Array = sizes.sum(axis=1)
        return (total**2 - _squared_norms(factors, exponents)) / rank
    pi = _core.column_row.inclusion_probabilities(sizes, rank, factors.workers)
    drawn = (pi > 0) & (pi < 1)
    # size / pi is the same for all of them, however small they are.
    weighted = np.divide(sizes, pi, out=np.zeros_like(sizes), where=drawn)
    independent: Array = np.where(drawn, sizes * (weighted - sizes), 0.0).sum(axis=1)
    if method == "bernoulli":
        return independent
    if factors.stacked and factors.length <= _BLOCK:
        return independent + _dependences_of_stack(factors, pi, weighted)
    dependent = np.zeros(factors.count)
    for b in range(factors.count):
        dependent[b] = _dependence_of(factors, b, pi, weighted)
    return independent + dependent


def _squared_norms(f: Factors, exponents: Array) -> Array:
    """||X Y||_F^2 in units of 4**exponent, block by block."""
    totals = np.zeros(f.count)
    n, m = f.shape[-2:]
    each = f.dtype.itemsize * (f.length * (n + m) + min(n, _BLOCK) * m)
    step = max(1, _BYTES // max(1, each))
    for first in range(0, f.count, step):
        part = slice(first, first + step)
        some = Factors(f.x[part], f.y[part], (), f.workers) if f.stacked else f
        scaled, most = some.balanced()
        x = scaled.x if some.stacked else _sliceable(scaled.x)
        for i in range(0, n, _BLOCK):
            rows = x[..., i : i + _BLOCK, :] if isinstance(x, np.ndarray) else x[i : i + _BLOCK]
            block = product(rows, scaled.y, f.workers).reshape(some.count, -1)
            for component in (block.real, block.imag) if f.dtype.kind == "c" else (block,):
                totals[part] += np.square(component, dtype=np.float64).sum(axis=1)
        totals[part] = np.ldexp(totals[part], 2 * (most - exponents[part]))
    return totals


def _dependences_of_stack(f: Factors, pi: Array, weighted: Array) -> Array:
    """Sum over i != j of cov_ij / (pi_i pi_j) <M_i, M_j>, for many small matrices together."""
    totals = np.zeros(f.count)
    n, m = f.shape[-2:]
    each = (f.dtype.itemsize + 8) * (2 * f.length**2 + f.length * (n + m))
    step = max(1, _BYTES // max(1, each))
    for first in range(0, f.count, step):
        part = slice(first, first + step)
        if not weighted[part].any():
            continue
        matrix, owners, terms = dependence(pi[part], weighted[part])
        x = _unit_columns(f.x[part], f.workers)
        y = np.swapaxes(_unit_columns(np.swapaxes(f.y[part], 1, 2), f.workers), 1, 2)
        inner = product(adjoint(x), x, f.workers)
        outer = product(y, adjoint(y), f.workers)
        pairs = matrix.tocoo()
        b, i, j = owners[pairs.row], terms[pairs.row], terms[pairs.col]
        products = (inner[b, i, j] * outer[b, j, i]).real.astype(np.float64)
        totals[part] = np.bincount(b, pairs.data * products, minlength=len(x))
    return totals


def _dependence_of(f: Factors, b: int, pi: Array, weighted: Array) -> float:
    """The same for one matrix of many terms: pairs that are not independent lie near each other."""
    if not weighted[b].any():
        return 0.0
    matrix, _, terms = dependence(pi[b : b + 1], weighted[b : b + 1])
    x = _unit_columns(columns_of(f.left(b), terms, f.workers), f.workers)
    y = _unit_columns(rows_of(f.right(b), terms, f.workers).T, f.workers).T
    total = 0.0
    for i in range(0, len(terms), _BLOCK):
        pairs = matrix[i : i + _BLOCK].tocoo()
        if pairs.nnz == 0:
            continue
        first, last = int(pairs.col.min()), int(pairs.col.max()) + 1
        block = slice(i, i + _BLOCK)
        inner = product(adjoint(x[:, block]), x[:, first:last], f.workers)
        outer = product(y[first:last], adjoint(y[block]), f.workers)
        at = pairs.row, pairs.col - first
        products = (inner[at] * outer.T[at]).real.astype(np.float64)
        total += float((pairs.data * products).sum())
    return total


def _unit_columns(a: Any, workers: int) -> Any:
    """Columns of norm one, so that no inner product underflows; zeros stay."""
    mantissas, exponents = np.frexp(column_norms(a, workers))
    a = times_powers(a, -exponents)
    factors = np.divide(1.0, mantissas, out=np.zeros_like(mantissas), where=mantissas > 0)
    if isinstance(a, np.ndarray) and a.ndim == 3:
        return a * factors[:, None, :].astype(a.real.dtype)
    return scaled_columns(a, factors[0])


def _sliceable(a: Any) -> Any:
    return a if isinstance(a, np.ndarray) else a.tocsr()
