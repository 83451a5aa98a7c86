"""Weights of the terms of a product by least squares."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num.lowrank._product import (
    Factors,
    _column_norms,
    _columns,
    _largest,
    _rows,
    _scaled,
    adjoint,
    product,
)
from kexue_num.lowrank._pseudo_inverse import pinv_matrix

Array = NDArray[Any]


def scalar_weights(factors: Factors, b: int, indices: Array, used: Array) -> Array:
    """Argmin over w of ||X Y - sum_i w_i x_i y_i||_F; never worse than w = 1.

    The normal equations are G w = h with G_ij = <M_i, M_j> and h_i = <M_i, X Y> (the blog's
    ((C'C) o (RR')) w = ((C'X) o (RY')) 1), for terms scaled to norm one. O(l r (n + m) + r^3).
    """
    workers, dtype = factors.workers, factors.dtype
    kept = indices[used]
    x, y = factors.left(b), factors.right(b)
    ex, ey = _largest(x), _largest(y)
    x, y = (a * dtype.type(math.ldexp(1.0, -e)) for a, e in ((x, ex), (y, ey)))
    c, r = _columns(x, kept, workers), _rows(y, kept, workers)
    nx, ny = _column_norms(c, workers)[-1], _column_norms(r.T, workers)[-1]
    ux, uy = (np.divide(1, n, out=np.zeros_like(n), where=n > 0) for n in (nx, ny))
    c, r = _scaled(c, ux), _scaled(r.T, uy).T
    gram = product(adjoint(c), c, workers) * product(r, adjoint(r), workers).T
    wide = np.result_type(dtype, np.float64)
    left = product(adjoint(c), x, workers)
    right = product(y, adjoint(r), workers)
    h = np.einsum("ij,ji->i", left, right).astype(wide)
    gram = gram.astype(wide)
    values, vectors = np.linalg.eigh(gram)
    floor = max(len(kept), 1) * float(np.finfo(dtype).eps) * values.max(initial=0.0)
    inverse = np.divide(1, values, out=np.zeros_like(values), where=values > floor)
    unit = vectors @ (inverse * (vectors.conj().T @ h))

    sizes = nx * ny

    def excess(w: Array) -> float:
        return float((w.conj() @ (gram @ w) - 2 * (w.conj() @ h)).real)

    plain = sizes.astype(wide)
    best = unit if excess(unit) <= excess(plain) else plain
    weights = np.zeros(len(indices), dtype)
    weights[used] = np.divide(best, sizes, out=np.zeros_like(best), where=sizes > 0)
    return weights


def full_weights(factors: Factors, b: int, indices: Array, used: Array) -> Array:
    """Argmin over W of ||X Y - C W R||_F: C^+ X Y R^+."""
    workers = factors.workers
    kept = indices[used]
    x, y = factors.left(b), factors.right(b)
    c, r = _columns(x, kept, workers), _rows(y, kept, workers)
    c, r = (a if isinstance(a, np.ndarray) else a.toarray() for a in (c, r))
    left = product(pinv_matrix(c), x, workers)
    right = product(y, pinv_matrix(r), workers)
    weights = np.zeros((len(indices), len(indices)), factors.dtype)
    weights[np.ix_(used, used)] = product(left, right, workers)
    return weights
