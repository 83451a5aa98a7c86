"""Weights of the terms of a product by least squares, for a whole batch at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _lapack
from kexue_num.lowrank._factors import Factors, adjoint, column_norms, product, scaled_columns
from kexue_num.lowrank._pseudo_inverse import pinv_matrix

Array = NDArray[Any]


def scalar_weights(factors: Factors, indices: Array, used: Array) -> Array:
    """Argmin over w of ||X Y - sum_i w_i x_i y_i||_F; never worse than w = 1; (count, terms).

    The normal equations are G w = h with G_ij = <M_i, M_j> and h_i = <M_i, X Y> (the blog's
    ((C'C) o (RR')) w = ((C'X) o (RY')) 1), for terms scaled to norm one. O(l r (n + m) + r^3).
    Terms that are not `used` are zero.
    """
    workers, dtype, shape = factors.workers, factors.dtype, indices.shape
    wide = np.result_type(dtype, np.float64)
    scaled, _ = factors.balanced()
    c, r = scaled.take(indices)
    nx = np.where(used, column_norms(c, workers), 0.0)
    ny = np.where(used, column_norms(r.T if r.ndim == 2 else r.transpose(0, 2, 1), workers), 0.0)
    ux, uy = (np.divide(1, n, out=np.zeros_like(n), where=n > 0) for n in (nx, ny))
    if factors.stacked:
        c = c * ux[:, None, :].astype(c.real.dtype)
        r = r * uy[:, :, None].astype(r.real.dtype)
    else:
        c, r = scaled_columns(c, ux[0]), scaled_columns(r.T, uy[0]).T
    inner, outer = product(adjoint(c), c, workers), product(r, adjoint(r), workers)
    gram = (inner * np.swapaxes(outer, -1, -2)).reshape(*shape, shape[1]).astype(wide)
    left = product(adjoint(c), scaled.x, workers)
    right = product(scaled.y, adjoint(r), workers)
    h = np.einsum("...ij,...ji->...i", left, right).reshape(shape).astype(wide)
    values, vectors = _lapack.eigh(gram)
    most = values.max(axis=1, initial=0.0, keepdims=True)
    floor = max(shape[1], 1) * float(np.finfo(dtype).eps) * most
    inverse = np.divide(1, values, out=np.zeros_like(values), where=values > floor)
    unit = _apply(vectors, inverse * _apply(adjoint(vectors), h))

    sizes = nx * ny

    def excess(w: Array) -> Array:
        """||X Y - sum_i w_i x_i y_i||_F^2 - ||X Y||_F^2 of every matrix."""
        terms = w.conj() * (_apply(gram, w) - 2 * h)
        return np.asarray(terms.sum(axis=1).real)

    plain = sizes.astype(wide)
    better = excess(unit) <= excess(plain)
    best = np.where(better[:, None], unit, plain)
    weights = np.divide(best, sizes, out=np.zeros_like(best), where=sizes > 0)
    return np.asarray(weights.astype(dtype))


def full_weights(factors: Factors, indices: Array, used: Array) -> Array:
    """Argmin over W of ||X Y - C W R||_F: C^+ X Y R^+; (count, terms, terms)."""
    workers = factors.workers
    c, r = (a if isinstance(a, np.ndarray) else a.toarray() for a in factors.take(indices))
    both = used if factors.stacked else used[0]
    # The pseudo-inverse of a column of zeros is a row of zeros.
    c, r = np.where(both[..., None, :], c, 0), np.where(both[..., :, None], r, 0)
    left = product(pinv_matrix(c), factors.x, workers)
    right = product(factors.y, pinv_matrix(r), workers)
    return product(left, right, workers).reshape(*indices.shape, indices.shape[1])


def _apply(matrices: Array, vectors: Array) -> Array:
    return np.asarray((matrices @ vectors[..., None])[..., 0])
