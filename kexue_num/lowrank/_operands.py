"""What a decomposition may be asked of: dense arrays, sparse arrays and linear operators.

Every operand answers the same five questions (sketch, columns, products from both sides,
transpose); the algorithms know nothing else about it.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._validation import Phrase, as_array, message

Array = NDArray[Any]
Key = tuple[int, int]
Strips = _core.lowrank.Strips

# Held-out probes: two strips of the product kernel. The bound's factor is 0.67 for 99.9 %.
PROBES = 12

# Columns per product with a linear operator: enough for its own blocking, small in memory.
_BLOCK = 64


class Operand(Protocol):
    """An (m, n) matrix seen through products."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    workers: int

    @property
    def dense(self) -> Array | None:
        """The entries, where they are held as an array."""

    first_rows: int
    """Rows of the first sketch when the rank is not known."""

    def sketch_size(self, k: int) -> tuple[int, int]:
        """Rows of a sketch for k columns, and probes."""

    def sketch(self, n_rows: int, n_probes: int, key: Key) -> tuple[Strips, Array]:
        """S A, packed, and W A (n_probes, n): random S, standard normal W independent of S."""

    def columns(self, indices: Array) -> Any:
        """A[:, indices] in the operand's own kind: an array, or sparse. Not to be written to."""

    def coefficients(
        self, rows: Array, r: Array, indices: Array, columns: bool
    ) -> tuple[Array, float]:
        """The product `rows` R, the identity at `indices`, and its largest modulus.

        `columns`: whether those at `indices` are likely to be asked for next.
        """

    def left_product(self, q: Array) -> Array:
        """Q^H A, (k, n), for q (m, k)."""

    def right_product(self, x: Array) -> Array:
        """A X, (m, b), for x (n, b)."""

    def transposed(self) -> Operand:
        """The plain transpose."""


def as_operand(function: str, value: Any, axis: int, workers: int, check_finite: bool) -> Operand:
    """The operand for an argument `A`; transposed for axis 0."""
    operand: Operand
    if hasattr(value, "tocsr") and hasattr(value, "nnz"):
        operand = SparseOperand(function, value, workers, check_finite)
    elif hasattr(value, "rmatmat") and hasattr(value, "matmat"):
        operand = LinearOperatorOperand(function, value, workers)
    else:
        array = as_array(function, "A", value, ndim=2, dtypes="inexact")
        operand = DenseOperand(function, array, workers, check_finite)
    return operand.transposed() if axis == 0 else operand


class _Columns:
    """Columns taken once: the skeleton, as a rule, is among the candidates."""

    def __init__(self) -> None:
        self.indices = np.empty(0, np.int64)
        self.block: Array | None = None

    def find(self, indices: Array, workers: int) -> Array | None:
        if self.block is None or len(indices) > len(self.indices):
            return None
        if indices is self.indices or np.array_equal(indices, self.indices):
            return self.block
        order = np.argsort(self.indices)
        places = np.searchsorted(self.indices, indices, sorter=order)
        places = order[np.minimum(places, len(order) - 1)]
        if not np.array_equal(self.indices[places], indices):
            return None
        return _core.lowrank.gather_columns(self.block, places, workers)

    def keep(self, indices: Array, block: Array) -> Array:
        self.indices, self.block = np.asarray(indices, np.int64), block
        return block


class DenseOperand:
    first_rows = 384

    def __init__(self, function: str, array: Array, workers: int, check_finite: bool) -> None:
        self.function = function
        self.array = array
        self.shape = (array.shape[0], array.shape[1])
        self.dtype = array.dtype
        self.workers = workers
        self.check_finite = check_finite
        self.taken = _Columns()

    @property
    def dense(self) -> Array | None:
        return self.array

    def sketch_size(self, k: int) -> tuple[int, int]:
        # Coefficients fitted to 3 k rows are within about 1.3 of the best ones.
        return max(3 * k, k + 20), PROBES

    def sketch(self, n_rows: int, n_probes: int, key: Key) -> tuple[Strips, Array]:
        return _core.lowrank.sketch(self.array, n_rows, n_probes, key, self.workers)

    def columns(self, indices: Array) -> Array:
        found = self.taken.find(indices, self.workers)
        if found is not None:
            return found
        block = _core.lowrank.gather_columns(self.array, indices, self.workers)
        return self.taken.keep(indices, block)

    def coefficients(
        self, rows: Array, r: Array, indices: Array, columns: bool
    ) -> tuple[Array, float]:
        array = self.array if columns and self.taken.block is None else None
        z, top, block = _core.lowrank.coefficients_of_rows(rows, r, indices, array, self.workers)
        if array is not None:
            self.taken.keep(indices, block)
        return z, top

    def diagonal(self) -> Array:
        return self.array.diagonal()

    def left_product(self, q: Array) -> Array:
        return _core.lowrank.matmul(q.T, self.array, True, 1.0, None, self.workers)

    def right_product(self, x: Array) -> Array:
        return _core.lowrank.matmul(self.array, x, False, 1.0, None, self.workers)

    def transposed(self) -> DenseOperand:
        return DenseOperand(self.function, self.array.T, self.workers, self.check_finite)


class SparseOperand:
    first_rows = 256

    def __init__(self, function: str, matrix: Any, workers: int, check_finite: bool) -> None:
        if matrix.ndim != 2:
            got = Phrase(f"shape {matrix.shape}")
            raise ValueError(message(function, "A", "must be 2-dimensional", got))
        self.function = function
        data = matrix.tocsr()
        values = as_array(function, "A", data.data, dtypes="inexact", check_finite=check_finite)
        if values is not data.data:
            data = type(data)((values, data.indices, data.indptr), shape=data.shape)
        self.matrix = data
        self.shape = (int(data.shape[0]), int(data.shape[1]))
        self.dtype = values.dtype
        self.workers = workers
        self.check_finite = False

    @property
    def dense(self) -> Array | None:
        return None

    def sketch_size(self, k: int) -> tuple[int, int]:
        # Coefficients fitted to 3 k rows are within about 1.3 of the best ones.
        return max(3 * k, k + 20), PROBES

    def sketch(self, n_rows: int, n_probes: int, key: Key) -> tuple[Strips, Array]:
        a = self.matrix
        wide = np.int64 if a.indptr.dtype.itemsize > 4 or a.indices.dtype.itemsize > 4 else np.int32
        indptr, indices = a.indptr.astype(wide, copy=False), a.indices.astype(wide, copy=False)
        return _core.lowrank.sketch_csr(
            indptr, indices, a.data, self.shape[1], n_rows, n_probes, key, self.workers
        )

    def columns(self, indices: Array) -> Any:
        return self.matrix[:, indices]

    def coefficients(
        self, rows: Array, r: Array, indices: Array, columns: bool
    ) -> tuple[Array, float]:
        del columns  # reading them costs the same later
        z, top, _ = _core.lowrank.coefficients_of_rows(rows, r, indices, None, self.workers)
        return z, top

    def diagonal(self) -> Array:
        return np.asarray(self.matrix.diagonal())

    def left_product(self, q: Array) -> Array:
        return np.ascontiguousarray((self.matrix.conj().T @ q).conj().T)

    def right_product(self, x: Array) -> Array:
        return np.asarray(self.matrix @ x)

    def transposed(self) -> SparseOperand:
        return SparseOperand(self.function, self.matrix.T, self.workers, self.check_finite)


class LinearOperatorOperand:
    """A SciPy LinearOperator; `transpose` turns the roles of its two products around."""

    first_rows = 32

    def __init__(
        self, function: str, operator: Any, workers: int, *, transpose: bool = False
    ) -> None:
        dtype = np.dtype(operator.dtype if operator.dtype is not None else np.float64)
        probe = as_array(function, "A", np.zeros(0, dtype), dtypes="inexact")
        self.function = function
        self.operator = operator
        self.transpose = transpose
        rows, columns = int(operator.shape[0]), int(operator.shape[1])
        self.shape = (columns, rows) if transpose else (rows, columns)
        self.dtype = probe.dtype
        self.workers = workers
        self._key: Key | None = None
        self._rng = np.random.default_rng(0)
        self._rows = np.empty((0, self.shape[1]), self.dtype)
        self.taken = _Columns()

    @property
    def dense(self) -> Array | None:
        return None

    def sketch_size(self, k: int) -> tuple[int, int]:
        # Products are dear: 2 k + 4 in all. Eight probes bound by 1.08 times what they show.
        total = 2 * k + 4
        n_probes = min(8, max(3, total // 4))
        return total - n_probes, n_probes

    def sketch(self, n_rows: int, n_probes: int, key: Key) -> tuple[Strips, Array]:
        # A standard normal S: its mean is zero, so a large mean of the columns does no harm.
        # Rows taken before are kept: a larger sketch costs only what it adds.
        if self._key != key:
            self._key = key
            self._rng = np.random.Generator(np.random.Philox(key=np.array(key, np.uint64)))
            self._rows = np.empty((0, self.shape[1]), self.dtype)
        missing = n_probes + n_rows - len(self._rows)
        if missing > 0:
            weights = self._rng.standard_normal((missing, self.shape[0])).T
            rows = self.left_product(weights.astype(self._rows.real.dtype))
            self._rows = np.concatenate([self._rows, rows])
        probes, rows = self._rows[:n_probes], self._rows[n_probes : n_probes + n_rows]
        scale = 1 / np.sqrt(n_rows, dtype=self._rows.real.dtype)
        return _core.lowrank.pack(rows * scale, self.workers), probes

    def columns(self, indices: Array) -> Array:
        found = self.taken.find(indices, self.workers)
        if found is not None:
            return found
        chosen = np.zeros((self.shape[1], len(indices)), self.dtype)
        chosen[indices, np.arange(len(indices))] = 1
        return self.taken.keep(indices, np.ascontiguousarray(self.right_product(chosen)))

    def coefficients(
        self, rows: Array, r: Array, indices: Array, columns: bool
    ) -> tuple[Array, float]:
        del columns  # reading them costs the same later
        z, top, _ = _core.lowrank.coefficients_of_rows(rows, r, indices, None, self.workers)
        return z, top

    def left_product(self, q: Array) -> Array:
        if self.transpose:
            return np.ascontiguousarray(self._apply(self.operator.matmat, q.conj()).T)
        return np.ascontiguousarray(self._apply(self._adjoint, q).conj().T)

    def right_product(self, x: Array) -> Array:
        if self.transpose:
            return self._apply(self._adjoint, x.conj()).conj()
        return self._apply(self.operator.matmat, x)

    def transposed(self) -> LinearOperatorOperand:
        return LinearOperatorOperand(
            self.function, self.operator, self.workers, transpose=not self.transpose
        )

    def _adjoint(self, x: Array) -> Any:
        try:
            return self.operator.rmatmat(x)
        except (NotImplementedError, TypeError) as error:
            got = Phrase(f"{type(self.operator).__name__} ({error})")
            expected = "must have a working rmatvec or rmatmat"
            raise TypeError(message(self.function, "A", expected, got)) from error

    def _apply(self, product: Any, x: Array) -> Array:
        starts = range(0, x.shape[1], _BLOCK)
        blocks = [np.asarray(product(x[:, j : j + _BLOCK])) for j in starts]
        result = np.concatenate(blocks, axis=1) if blocks else product(x)
        if not np.isfinite(result).all():
            got = Phrase("a product with NaN or infinity in it")
            raise ValueError(message(self.function, "A", "must give finite products", got))
        return np.asarray(result.astype(self.dtype, copy=False))
