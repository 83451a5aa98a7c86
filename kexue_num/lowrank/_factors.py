"""The two factors of a product: stacks of matrices, or two of which one is sparse."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._validation import require_finite

Array = NDArray[Any]

# Of the inner products of all pairs of terms, for as many matrices of a batch as fit.
_GRAM_BYTES = 1 << 26


def product(a: Any, b: Any, workers: int) -> Array:
    """A @ b as an array, for stacks of matrices, and arrays and sparse arrays of two dimensions."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.ndim == 3:
            return _core.column_row.weighted_products(a, None, b, workers)
        return _core.lowrank.matmul(a, b, False, 1.0, None, workers)
    result = a @ b
    return np.asarray(result if isinstance(result, np.ndarray) else result.toarray())


def adjoint(a: Any) -> Any:
    return np.swapaxes(a, -1, -2).conj() if isinstance(a, np.ndarray) else a.conj().T


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
        return column_norms(x, self.workers), column_norms(
            y.transpose(0, 2, 1) if self.stacked else y.T, self.workers
        )

    def sizes(self, name: str, check_finite: bool) -> tuple[Array, Array]:
        """||x_i|| ||y_i|| in units of 2**exponent: (count, l), at most 1 in each row; exponents."""
        left, right = self.norms()
        finite = np.isfinite(left).all() and np.isfinite(right).all()
        if check_finite and not finite:
            for label, a in (("X", self.x), ("Y", self.y)):
                entries = self.restore(a) if isinstance(a, np.ndarray) else a.data
                require_finite(name, label, entries)
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
            return columns_of(self.x, chosen, self.workers), rows_of(self.y, chosen, self.workers)
        if self.count == 1:
            chosen = indices[0]
            left = columns_of(self.x[0], chosen, self.workers)
            return left[None], rows_of(self.y[0], chosen, self.workers)[None]
        return (
            np.take_along_axis(self.x, indices[:, None, :], axis=2),
            np.take_along_axis(self.y, indices[:, :, None], axis=1),
        )

    def scaled(self) -> Factors:
        """Entries of modulus at most one, by a power of two for every matrix."""
        return Factors(self._scaled(self.x), self._scaled(self.y), self.batch, self.workers)

    def _scaled(self, a: Any) -> Any:
        factors = np.ldexp(1.0, -self.exponents(a)).astype(self.dtype.type(0).real.dtype)
        return a * (factors[:, None, None] if self.stacked else factors[0])

    def balanced(self) -> tuple[Factors, Array]:
        """Columns of X and rows of Y times powers of two, and an exponent for every matrix.

        X Y is their product times 2**exponent. The two sides of a term are of one size and the
        largest term is about one: what underflows is a part of the product that changes no digit.
        """
        left, right = self.norms()
        usable = (left > 0) & (right > 0) & np.isfinite(left) & np.isfinite(right)
        ex, ey = np.frexp(left)[1], np.frexp(right)[1]
        total = ex + ey
        most = np.where(usable, total, -(2**30)).max(axis=1, initial=-(2**30))
        most = np.where(most > -(2**30), most, 0)
        size = np.where(usable, total - most[:, None], 0)
        half = size // 2
        x = times_powers(self.x, half - ex)
        turned = np.swapaxes(self.y, -1, -2) if self.stacked else self.y.T
        y = times_powers(turned, size - half - ey)
        y = np.swapaxes(y, -1, -2) if self.stacked else y.T
        return Factors(x, y, self.batch, self.workers), most

    def exponents(self, a: Any) -> Array:
        """The e with entries of modulus at most 2**e, for every matrix."""
        return _exponents(a) if self.stacked else np.array([largest_exponent(a)])

    def repeated(self, z: Array) -> Array:
        """A matrix for all of a stack."""
        return np.broadcast_to(z, (self.count, *z.shape)) if self.stacked else z

    def grams(self) -> Iterator[Array]:
        """Re <M_i, M_j> of all pairs of terms, in double precision, largest diagonal about 1.

        Stacks (b, l, l) for b matrices at a time.
        """
        scaled, _ = self.balanced()
        x, y = scaled.x, scaled.y
        step = max(1, _GRAM_BYTES // max(1, 8 * self.length**2)) if self.stacked else 1
        for first in range(0, self.count, step):
            part = slice(first, first + step)
            left, right = (x[part], y[part]) if self.stacked else (x, y)
            inner = product(adjoint(left), left, self.workers)
            outer = product(right, adjoint(right), self.workers)
            gram = np.ascontiguousarray((inner * np.swapaxes(outer, -1, -2)).real, np.float64)
            yield gram.reshape(-1, self.length, self.length)


def largest_exponent(a: Any) -> int:
    """The e with entries of modulus at most 2**e, within what the dtype can divide by."""
    values = a if isinstance(a, np.ndarray) else a.data
    if values.size == 0:
        return 0
    flat = values.reshape(-1, 1) if values.ndim == 1 else values
    top = float(_core.lowrank.max_component(flat, 1))
    if not top > 0 or math.isinf(top):
        return 0
    return max(math.frexp(top)[1], 24 - int(np.finfo(values.dtype).maxexp))


def _exponents(stack: Array) -> Array:
    """The same for every matrix of a stack."""
    parts = (stack.real, stack.imag) if stack.dtype.kind == "c" else (stack,)
    top = np.zeros(len(stack))
    for part in parts:
        for sign, extreme in ((1.0, part.max), (-1.0, part.min)):
            np.maximum(top, sign * extreme(axis=(1, 2), initial=0.0), out=top)
    exponents = np.maximum(np.frexp(top)[1], 24 - int(np.finfo(stack.dtype).maxexp))
    return np.where((top > 0) & np.isfinite(top), exponents, 0)


def column_norms(a: Any, workers: int) -> Array:
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


def columns_of(a: Any, indices: Array, workers: int) -> Any:
    if isinstance(a, np.ndarray):
        return _core.lowrank.gather_columns(a, indices, workers)
    return a[:, indices]


def rows_of(a: Any, indices: Array, workers: int) -> Any:
    if not isinstance(a, np.ndarray):
        return a[indices]
    if a.strides[-1] == a.itemsize:
        return _core.lowrank.gather_rows(a, indices, workers)
    return np.ascontiguousarray(_core.lowrank.gather_columns(a.T, indices, workers).T)


def scaled_columns(a: Any, factors: Array) -> Any:
    """The columns of a, each times its factor."""
    if isinstance(a, np.ndarray):
        return a * factors.astype(a.dtype)
    a = a.tocsc(copy=True)
    a.data = a.data * np.repeat(factors, np.diff(a.indptr)).astype(a.dtype)
    return a


def times_powers(a: Any, exponents: Array) -> Any:
    """The columns of a, each times 2**exponent: a stack with (count, columns), or a matrix."""
    limit = int(np.finfo(a.dtype).maxexp) - 2
    first = np.clip(exponents, -limit, limit)
    parts = [first] if np.array_equal(first, exponents) else [first, exponents - first]
    for part in parts:
        factors = np.ldexp(1.0, part)
        if isinstance(a, np.ndarray) and a.ndim == 3:
            a = a * factors[:, None, :].astype(a.real.dtype)
        else:
            a = scaled_columns(a, factors[0])
    return a
