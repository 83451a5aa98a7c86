"""The two factors of a product, and what is made of some of its terms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._validation import require_finite

Array = NDArray[Any]
Key = tuple[int, int]

# Probes of the error: the estimate's relative deviation is at most 18 %, for an error of rank one.
_PROBES = 16
_BLOCK = 256


def product(a: Any, b: Any, workers: int) -> Array:
    """A @ b as an array, for arrays and sparse arrays of two dimensions."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return _core.lowrank.matmul(a, b, False, 1.0, None, workers)
    result = a @ b
    return np.asarray(result if isinstance(result, np.ndarray) else result.toarray())


def adjoint(a: Any) -> Any:
    return a.conj().T


class Factors:
    """X and Y: stacks (count, n, l) and (count, l, m), or two matrices where one is sparse."""

    def __init__(self, x: Any, y: Any, batch: tuple[int, ...], workers: int) -> None:
        self.x, self.y = x, y
        self.batch = batch
        self.workers = workers
        self.stacked = x.ndim == 3
        self.count = int(x.shape[0]) if self.stacked else 1
        self.length = int(x.shape[-1])
        self.shape = (*batch, int(x.shape[-2]), int(y.shape[-1]))
        self.dtype = np.dtype(x.dtype)

    def left(self, b: int) -> Any:
        return self.x[b] if self.stacked else self.x

    def right(self, b: int) -> Any:
        return self.y[b] if self.stacked else self.y

    def restore(self, stack: Any) -> Any:
        """A stack in the shape of the batch; sparse matrices as they are."""
        if not isinstance(stack, np.ndarray):
            return stack
        return stack.reshape(*self.batch, *stack.shape[-2:])

    def norms(self) -> tuple[Array, Array]:
        """Of columns of X and rows of Y, (count, l)."""
        x, y = self.x, self.y
        return _column_norms(x, self.workers), _column_norms(
            y.transpose(0, 2, 1) if self.stacked else y.T, self.workers
        )

    def sizes(self, name: str, check_finite: bool) -> tuple[Array, Array]:
        """||x_i|| ||y_i|| in units of 2**exponent: (count, l), at most 1 in each row; exponents."""
        left, right = self.norms()
        finite = np.isfinite(left).all() and np.isfinite(right).all()
        if check_finite and not finite:
            for label, a in (("X", self.x), ("Y", self.y)):
                require_finite(name, label, a if isinstance(a, np.ndarray) else a.data)
        mantissa_x, exponent_x = np.frexp(left)
        mantissa_y, exponent_y = np.frexp(right)
        mantissas, exponents = mantissa_x * mantissa_y, exponent_x + exponent_y
        usable = np.isfinite(mantissas) & (mantissas > 0)
        most = np.where(usable, exponents, -(2**30)).max(axis=1, initial=-(2**30))
        most = np.where(most > -(2**30), most, 0)
        shift = np.maximum(exponents - most[:, None], -2000)
        sizes = np.ldexp(mantissas, shift)
        # Terms that are not finite are taken before all others.
        return np.where(np.isfinite(sizes), sizes, 1.0), most

    def take(self, indices: Array) -> tuple[Any, Any]:
        """Columns of X and rows of Y."""
        if not self.stacked:
            chosen = indices[0]
            return _columns(self.x, chosen, self.workers), _rows(self.y, chosen, self.workers)
        if self.count == 1:
            chosen = indices[0]
            left = _columns(self.x[0], chosen, self.workers)
            return left[None], _rows(self.y[0], chosen, self.workers)[None]
        return (
            np.take_along_axis(self.x, indices[:, None, :], axis=2),
            np.take_along_axis(self.y, indices[:, :, None], axis=1),
        )

    def gram(self, b: int) -> Array:
        """Re <M_i, M_j> of all pairs of terms, in double precision, largest diagonal about 1."""
        x, y = self.left(b), self.right(b)
        parts = [(x, _largest(x)), (y, _largest(y))]
        x, y = (a * a.dtype.type(math.ldexp(1.0, -e)) for a, e in parts)
        inner = product(adjoint(x), x, self.workers)
        outer = product(y, adjoint(y), self.workers)
        return np.ascontiguousarray((inner * outer.T).real, dtype=np.float64)


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
        estimates = np.empty(f.count)
        for b in range(f.count):
            indices, weights = self.of_matrix(p, b)
            y, x = f.right(b), f.left(b)
            scale_x, scale_y = (math.ldexp(1.0, -_largest(a)) for a in (x, y))
            inner = product(y * f.dtype.type(scale_y), z, f.workers)
            kept = inner[indices]
            kept = weights @ kept if weights.ndim == 2 else weights[:, None] * kept
            passed = inner.copy()
            np.subtract.at(passed, indices, kept.astype(f.dtype))
            if weights.ndim == 2:
                passed = inner
            e = product(x * f.dtype.type(scale_x), passed, f.workers)
            if weights.ndim == 2:
                c = _columns(x, indices, f.workers) * f.dtype.type(scale_x)
                e = e - product(c, np.ascontiguousarray(kept.astype(f.dtype)), f.workers)
            norm = float(np.linalg.norm(e.astype(np.result_type(f.dtype, np.float64))))
            estimates[b] = norm / math.sqrt(_PROBES) / scale_x / scale_y
        return self.restore(estimates)

    def of_matrix(self, p: CRProduct, b: int) -> tuple[Array, Array]:
        indices = p.indices.reshape(self.factors.count, -1)[b]
        shape = p.weights.shape[len(self.factors.batch) :]
        return indices, p.weights.reshape(self.factors.count, *shape)[b]

    def variance(self) -> float | Array | None:
        if self.weights != "unbiased":
            return None
        self.require_unchanged()
        count = self.factors.count
        values = np.array([self.variance_of(b) for b in range(count)]).reshape(count)
        return self.restore(np.ldexp(np.maximum(values, 0.0), 2 * self.exponents))

    def variance_of(self, b: int) -> float:
        """In units of 4**exponent."""
        sizes, rank = self.sizes[b], self.rank
        if rank == 0:
            return self.squared_norm(b)
        if self.method == "iid":
            return float((sizes.sum() ** 2 - self.squared_norm(b)) / rank)
        pi = _core.column_row.inclusion_probabilities(np.ascontiguousarray(sizes), rank)
        drawn = (pi > 0) & (pi < 1)
        independent = float((sizes[drawn] ** 2 * (1 / pi[drawn] - 1)).sum())
        if self.method == "bernoulli":
            return independent
        return independent + self.dependence(b, pi)

    def squared_norm(self, b: int) -> float:
        """||X Y||_F^2 in units of 4**exponent, block by block."""
        f = self.factors
        x, y = f.left(b), f.right(b)
        ex, ey = _largest(x), _largest(y)
        y = y * f.dtype.type(math.ldexp(1.0, -ey))
        x = x.tocsr() if not isinstance(x, np.ndarray) else x
        total = 0.0
        for i in range(0, x.shape[0], _BLOCK):
            rows = x[i : i + _BLOCK] * f.dtype.type(math.ldexp(1.0, -ex))
            part = product(rows, y, f.workers)
            total += float(np.sum(np.square(part.real, dtype=np.float64)))
            if f.dtype.kind == "c":
                total += float(np.sum(np.square(part.imag, dtype=np.float64)))
        return math.ldexp(total, 2 * (ex + ey - int(self.exponents[b])))

    def dependence(self, b: int, pi: Array) -> float:
        """Sum over i != j of (pi_ij / (pi_i pi_j) - 1) <M_i, M_j>, in units of 4**exponent."""
        from kexue_num.lowrank._systematic import dependence

        drawn = np.flatnonzero((pi > 0) & (pi < 1) & (self.sizes[b] > 0))
        if len(drawn) == 0:
            return 0.0
        covariance = dependence(pi, drawn)
        f = self.factors
        x, y = f.take(np.broadcast_to(drawn, (f.count, len(drawn))))
        x, y = (x[b], y[b]) if f.stacked else (x, y)
        # Terms of norm one, so that nothing underflows.
        nx, ny = _column_norms(x, f.workers), _column_norms(y.T, f.workers)
        x, y = _scaled(x, 1 / nx[-1]), _scaled(y.T, 1 / ny[-1]).T
        sizes = self.sizes[b][drawn]
        total = 0.0
        for i in range(0, len(drawn), _BLOCK):
            rows = covariance[i : i + _BLOCK].tocoo()
            if rows.nnz == 0:
                continue
            first, last = int(rows.col.min()), int(rows.col.max()) + 1
            block = slice(i, i + _BLOCK)
            inner = product(adjoint(x[:, block]), x[:, first:last], f.workers)
            outer = product(y[first:last], adjoint(y[block]), f.workers)
            at = rows.row, rows.col - first
            products = (inner[at] * outer.T[at]).real.astype(np.float64)
            total += float((rows.data * products * sizes[i + rows.row] * sizes[rows.col]).sum())
        return total

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
        deviation) for the worst matrix. Computed, in one pass over X and Y, when first read.
    variance : float, ndarray or None
        The expected squared Frobenius error of the unbiased modes, exactly. Computed when first
        read: for "iid" at the cost of X Y itself, for "pips" at about l / c times 2 l (n + m).

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
        return _scaled(right.T, weights).T

    def __getstate__(self) -> dict[str, Any]:
        values = {"error_estimate": self.error_estimate, "variance": self.variance}
        fields = {name: getattr(self, name) for name in ("indices", "weights", "C", "R")}
        return {**fields, "_source": None, **values}


def _largest(a: Any) -> int:
    """The e with entries of modulus at most 2**e, within what the dtype can divide by."""
    values = a if isinstance(a, np.ndarray) else a.data
    if values.size == 0:
        return 0
    flat = values.reshape(-1, 1) if values.ndim == 1 else values
    top = float(_core.lowrank.max_component(flat, 1))
    if not top > 0 or math.isinf(top):
        return 0
    return max(math.frexp(top)[1], 24 - int(np.finfo(values.dtype).maxexp))


def _column_norms(a: Any, workers: int) -> Array:
    """Euclidean norms, (count, columns)."""
    if isinstance(a, np.ndarray):
        return _core.column_row.column_norms(a if a.ndim == 3 else a[None], workers)
    a = a.tocsc()
    columns = np.repeat(np.arange(a.shape[1]), np.diff(a.indptr))
    values = np.abs(a.data.astype(np.result_type(a.dtype, np.float64)))
    top = np.zeros(a.shape[1])
    np.maximum.at(top, columns, values)
    divisors = np.where(top > 0, top, 1.0)
    with np.errstate(invalid="ignore"):
        squares = np.square(values / divisors[columns])
    sums = np.bincount(columns, squares, minlength=a.shape[1])
    return (top * np.sqrt(sums))[None]


def _columns(a: Any, indices: Array, workers: int) -> Any:
    if isinstance(a, np.ndarray):
        return _core.lowrank.gather_columns(a, indices, workers)
    return a[:, indices]


def _rows(a: Any, indices: Array, workers: int) -> Any:
    if not isinstance(a, np.ndarray):
        return a[indices]
    if a.strides[-1] == a.itemsize:
        return a.take(indices, axis=0)
    return np.ascontiguousarray(_core.lowrank.gather_columns(a.T, indices, workers).T)


def _scaled(a: Any, factors: Array) -> Any:
    """The columns of a, each times its factor."""
    if isinstance(a, np.ndarray):
        return a * factors.astype(a.dtype)
    a = a.tocsc(copy=True)
    a.data = a.data * np.repeat(factors, np.diff(a.indptr)).astype(a.dtype)
    return a
