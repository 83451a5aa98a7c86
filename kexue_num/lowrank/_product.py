"""A product of some of its terms, and what it lacks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num.lowrank._factors import Factors, product, scaled_columns
from kexue_num.lowrank._variance import expected_squared_errors

Array = NDArray[Any]
Key = tuple[int, int]

# Probes of the error: the estimate's relative deviation is at most 18 %, for an error of rank one.
_PROBES = 16


@dataclass(frozen=True)
class Source:
    """What the two measures of quality are computed from, when they are asked for."""

    factors: Factors
    sizes: Array
    exponents: Array
    rank: int
    method: str
    weights: str
    key: Key

    def require_unchanged(self) -> None:
        sizes, exponents = self.factors.sizes("CRProduct", True)
        if not (np.array_equal(sizes, self.sizes) and np.array_equal(exponents, self.exponents)):
            raise ValueError(
                "CRProduct: X and Y must stay as they were until 'error_estimate' and 'variance' "
                "have been read, got other entries"
            )

    def error_estimate(self, p: CRProduct) -> float | Array:
        """sqrt(mean ||E z||^2) over standard normal z, which no choice has seen."""
        self.require_unchanged()
        f = self.factors
        rng = np.random.Generator(np.random.Philox(key=np.array(self.key, np.uint64)))
        z = rng.standard_normal((f.shape[-1], _PROBES)).astype(f.dtype)
        indices, weights = self.of_matrices(p)
        full = weights.ndim == 3
        if full:  # weights that belong to the columns as they are
            scaled, exponents = f.scaled(), f.exponents(f.x) + f.exponents(f.y)
        else:
            scaled, exponents = f.balanced()
        inner = product(scaled.y, scaled.repeated(z), f.workers)
        inner = inner.reshape(f.count, f.length, _PROBES)
        kept = np.take_along_axis(inner, indices[:, :, None], axis=1)
        kept = (weights @ kept if full else weights[:, :, None] * kept).astype(f.dtype)
        passed = inner
        if not full:
            np.subtract.at(passed, (np.arange(f.count)[:, None], indices), kept)
        e = product(scaled.x, passed if f.stacked else passed[0], f.workers)
        if full:
            c = scaled.take(indices)[0]
            e = e - product(c, kept if f.stacked else kept[0], f.workers)
        wide = e.reshape(f.count, f.shape[-2] * _PROBES).astype(np.result_type(f.dtype, np.float64))
        norms = np.linalg.norm(wide, axis=1) / math.sqrt(_PROBES)
        return self.restore(np.ldexp(norms, exponents))

    def of_matrices(self, p: CRProduct) -> tuple[Array, Array]:
        """Indices and weights with one axis for the batch."""
        count = self.factors.count
        shape = p.weights.shape[len(self.factors.batch) :]
        return p.indices.reshape(count, p.indices.shape[-1]), p.weights.reshape(count, *shape)

    def variance(self) -> float | Array | None:
        if self.weights != "unbiased":
            return None
        self.require_unchanged()
        values = expected_squared_errors(
            self.factors, self.sizes, self.exponents, self.rank, self.method
        )
        return self.restore(np.ldexp(np.maximum(values, 0.0), 2 * self.exponents))

    def restore(self, values: Array) -> float | Array:
        return values.reshape(self.factors.batch) if self.factors.batch else float(values[0])


@dataclass(frozen=True, repr=False, eq=False)
class CRProduct:
    """X Y ~ C diag(weights) R, or C weights R for a full matrix of weights.

    Attributes
    ----------
    indices : (..., c) int64 ndarray
        The terms, increasing; repeated where drawn more than once. With "bernoulli" the matrices
        of a batch differ in their number of terms: the shorter are filled up with weights of zero.
    weights : (..., c) or (..., c, c) ndarray
    C : (..., n, c) ndarray or sparse array
        ``X[..., indices]``.
    R : (..., c, m) ndarray or sparse array
        ``Y[..., indices, :]``.
    error_estimate : float or ndarray
        Estimate of ``||X Y - C W R||_F`` from 16 random products, within 18 % (one standard
        deviation) for the worst matrix. Computed when first read, from a copy of X and Y whose
        terms are scaled to a common range.
    variance : float, ndarray or None
        The expected squared Frobenius error of the unbiased modes, exactly. Computed when first
        read, for all matrices of a batch together: for "iid" at the cost of X Y itself, for
        "bernoulli" at that of l numbers, for "pips" at about l / c times 2 l (n + m), of matrices
        of up to 256 terms 2 l^2 (n + m).

    Notes
    -----
    X and Y are kept, not copied, for the last two: reading them after X or Y have been overwritten
    raises a ValueError. A pickle holds their values instead of X and Y.
    """

    indices: Array
    weights: Array
    C: Any
    R: Any
    _source: Source

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the product."""
        return (*self.indices.shape[:-1], int(self.C.shape[-2]), int(self.R.shape[-1]))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the factors."""
        dtype: np.dtype[Any] = self.C.dtype
        return dtype

    @cached_property
    def error_estimate(self) -> float | Array:
        assert self._source is not None
        return self._source.error_estimate(self)

    @cached_property
    def variance(self) -> float | Array | None:
        assert self._source is not None
        return self._source.variance()

    def __repr__(self) -> str:
        return f"CRProduct(shape={self.shape}, terms={self.indices.shape[-1]})"

    def toarray(self) -> Array:
        """The approximation as an (..., n, m) array."""
        right = self.R
        weights = self.weights.astype(self.dtype, copy=False)
        full = self.weights.ndim == self.indices.ndim + 1
        if not (isinstance(self.C, np.ndarray) and isinstance(right, np.ndarray)):
            return product(self.C, self._weighted(right), 0)
        count = math.prod(self.shape[:-2])
        c, r = (a.reshape(count, *a.shape[-2:]) for a in (self.C, right))
        if full:
            square = weights.reshape(count, *weights.shape[-2:])
            r = _core.column_row.weighted_products(square, None, r, 0)
            result = _core.column_row.weighted_products(c, None, r, 0)
        else:
            scalars = np.ascontiguousarray(weights.reshape(count, self.indices.shape[-1]))
            result = _core.column_row.weighted_products(c, scalars, r, 0)
        return result.reshape(self.shape)

    def __matmul__(self, other: Any) -> Array:
        other = np.asarray(other)
        column = other.ndim == 1
        inner = self.R @ (other[:, None] if column else other)
        result = np.asarray(self.C @ self._weighted(inner))
        return result[..., 0] if column else result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("CRProduct: an array of it is always a new one")
        return np.asarray(self.toarray(), dtype=dtype)

    def _weighted(self, right: Any) -> Any:
        """W right, for (..., c, b) or sparse."""
        weights = self.weights.astype(self.dtype, copy=False)
        if weights.ndim == self.indices.ndim + 1:
            if isinstance(right, np.ndarray):
                return weights @ right
            return (right.T @ weights.T).T
        if isinstance(right, np.ndarray):
            return weights[..., :, None] * right
        return scaled_columns(right.T, weights).T

    def __getstate__(self) -> dict[str, Any]:
        values = {"error_estimate": self.error_estimate, "variance": self.variance}
        fields = {name: getattr(self, name) for name in ("indices", "weights", "C", "R")}
        return {**fields, "_source": None, **values}
