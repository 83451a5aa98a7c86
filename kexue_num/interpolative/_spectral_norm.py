"""Largest singular value of a matrix known by its products, from below."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kexue_num._errors import NumericalError
from kexue_num._validation import Phrase, as_array, as_generator, message

Array = npt.NDArray[Any]

# Columns carried at once: one pass over the matrix serves them all, and a largest singular value
# of multiplicity up to this many does not slow convergence.
_BLOCK = 4
# Times this, the products of every matrix of finite entries are finite.
_SMALL = 2.0**-64


@dataclass(frozen=True)
class LinearMap:
    """Products of a matrix and of its adjoint with blocks of columns."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    apply: Callable[[Array], Any]
    adjoint: Callable[[Array], Any]

    def scaled(self, factor: float) -> LinearMap:
        """The map times a number, which the vectors take before the matrix can overflow."""
        return LinearMap(
            self.shape,
            self.dtype,
            lambda X: self.apply(X * factor),
            lambda Y: self.adjoint(Y * factor),
        )

    def __sub__(self, other: LinearMap) -> LinearMap:
        return LinearMap(
            self.shape,
            np.result_type(self.dtype, other.dtype),
            lambda X: self.apply(X) - other.apply(X),
            lambda Y: self.adjoint(Y) - other.adjoint(Y),
        )


def is_sparse(A: object) -> bool:
    from scipy.sparse import issparse

    return bool(issparse(A))


def is_operator(A: object) -> bool:
    from scipy.sparse.linalg import LinearOperator

    return isinstance(A, LinearOperator)


def linear_map(function: str, argument: str, A: Any) -> LinearMap:
    """The products of a dense array, a sparse array or a LinearOperator."""
    if is_operator(A):
        dtype = as_array(function, argument, np.empty(0, A.dtype), dtypes="inexact").dtype
        return LinearMap(A.shape, dtype, A.matmat, A.rmatmat)
    if is_sparse(A):
        values = as_array(function, argument, A.data, dtypes="inexact", check_finite=True)
        A = A.astype(values.dtype)
    else:
        A = as_array(function, argument, A, ndim=2, dtypes="inexact", check_finite=True)
    # The transpose is a view; a conjugate of A would be a copy.
    return LinearMap(A.shape, A.dtype, lambda X: A @ X, lambda Y: (A.T @ Y.conj()).conj())


def largest_singular_value(function: str, A: LinearMap, steps: int, rng: object) -> float:
    """Largest singular value of A on the block Krylov space of ``A^H A``."""
    generator = as_generator(function, rng)
    value = _krylov(function, A, steps, generator)
    if math.isfinite(value):
        return value
    value = _krylov(function, A.scaled(_SMALL), steps, generator)
    if not math.isfinite(value):
        got = Phrase("nan or inf in its products with vectors")
        raise ValueError(message(function, "A", "must be finite", got))
    if math.isinf(value / _SMALL):
        raise NumericalError(f"{function}: the norm overflows")
    return value / _SMALL


def _krylov(function: str, A: LinearMap, steps: int, generator: np.random.Generator) -> float:
    """The largest singular value on the Krylov space, NaN where a product is not finite."""
    m, n = A.shape
    block = basis = np.linalg.qr(_gaussian(generator, (n, min(_BLOCK, m, n)), A.dtype))[0]
    if block.shape[1] == 0:
        return 0.0
    images: list[Array] = []
    for _ in range(steps):
        images.append(_product(function, A.apply, block))
        if not np.isfinite(images[-1]).all():
            return math.nan
        # The Gram matrix squares magnitudes; the scale keeps 1e-200 and 1e200 in range.
        scale = max(float(np.abs(image).max()) for image in images)
        if scale == 0.0:
            return 0.0
        block = _product(function, A.adjoint, images[-1] / scale)
        if not np.isfinite(block).all():
            return math.nan
        block = block / scale
        block, _ = np.linalg.qr(_off_basis(basis, block))
        block, R = np.linalg.qr(_off_basis(basis, block))
        # A direction that the second pass shortens lies in the basis: nothing new is left in it.
        block = block[:, np.abs(np.diag(R)) > 0.5]
        if block.shape[1] == 0:
            break
        basis = np.hstack([basis, block])
    return float(np.linalg.svd(np.hstack(images), compute_uv=False)[0])


def _off_basis(basis: Array, X: Array) -> Array:
    return np.asarray(X - basis @ (basis.conj().T @ X))


def _gaussian(rng: np.random.Generator, shape: tuple[int, int], dtype: np.dtype[Any]) -> Array:
    values: Array = rng.standard_normal(shape)
    if dtype.kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)


def _product(function: str, apply: Callable[[Array], Any], X: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        return as_array(function, "A", apply(X), dtypes="inexact")
