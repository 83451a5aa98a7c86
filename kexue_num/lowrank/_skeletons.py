"""Approximations by chosen rows and columns: what `cur` and `two_sided_id` return."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

Array = NDArray[Any]


class _Product:
    """A product of three factors that is only formed when it is asked for."""

    error_bound: float

    def _factors(self) -> tuple[Any, Any, Any]:
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, int]:
        """Of the approximation: (m, n)."""
        left, _, right = self._factors()
        return int(left.shape[0]), int(right.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self._factors()[1].dtype
        return dtype

    def reconstruct(self) -> Array:
        """The approximation as an (m, n) array."""
        left, core, right = self._factors()
        return np.asarray((left @ core) @ right)

    def __matmul__(self, other: Any) -> Array:
        left, core, right = self._factors()
        return np.asarray(left @ (core @ (right @ np.asarray(other))))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError(f"{type(self).__name__}: an array of it is always a new one")
        return np.asarray(self.reconstruct(), dtype=dtype)

    def as_linear_operator(self) -> LinearOperator:
        """The approximation as a `scipy.sparse.linalg.LinearOperator` of cost O((m + n) k)."""
        from scipy.sparse.linalg import aslinearoperator

        return functools.reduce(lambda a, b: a @ b, map(aslinearoperator, self._factors()))


@dataclass(frozen=True, repr=False, eq=False)
class CUR(_Product):
    """A ~ C U R with C = A[:, column_indices] and R = A[row_indices, :].

    Attributes
    ----------
    row_indices : (r,) int64 ndarray
    column_indices : (k,) int64 ndarray
    C : (m, k) ndarray or sparse array
    U : (k, r) ndarray
    R : (r, n) ndarray or sparse array
    error_bound : float
        Bound on the spectral norm of A - C U R; holds with probability `confidence`.
    link : str
        "optimal" or "cross".
    confidence : float
        Over the random probes, whatever the matrix.
    converged : bool
        Whether the bound meets the tolerance asked for; True for a given rank.
    """

    row_indices: Array
    column_indices: Array
    C: Any
    U: Array
    R: Any
    error_bound: float
    link: str
    confidence: float
    converged: bool

    @property
    def rank(self) -> int:
        """The smaller number of columns and rows."""
        return int(min(self.U.shape))

    def _factors(self) -> tuple[Any, Any, Any]:
        return self.C, self.U, self.R

    def __repr__(self) -> str:
        rows, columns = len(self.row_indices), len(self.column_indices)
        return (
            f"CUR(shape={self.shape}, rows={rows}, columns={columns}, link={self.link!r}, "
            f"error_bound={self.error_bound:.3g}, confidence={self.confidence:g})"
        )


@dataclass(frozen=True, repr=False, eq=False)
class TwoSidedID(_Product):
    """A ~ row_coefficients @ core @ column_coefficients, core = A[row_indices, column_indices].

    Attributes
    ----------
    row_indices, column_indices : (k,) int64 ndarray
    row_coefficients : (m, k) ndarray
        The identity at `row_indices`, bit for bit.
    column_coefficients : (k, n) ndarray
        The identity at `column_indices`, bit for bit.
    core : (k, k) ndarray
    error_bound : float
        Bound on the spectral norm of the error; holds with probability `confidence`.
    max_abs_coefficient : float
        Largest modulus among all coefficients; at most the `z_bound` asked for.
    confidence : float
        Over the random probes, whatever the matrix.
    converged : bool
        Whether the bound meets the tolerance asked for; True for a given rank.
    """

    row_indices: Array
    column_indices: Array
    row_coefficients: Array
    column_coefficients: Array
    core: Array
    error_bound: float
    max_abs_coefficient: float
    confidence: float
    converged: bool

    @property
    def rank(self) -> int:
        """The number of rows and of columns."""
        return len(self.row_indices)

    def _factors(self) -> tuple[Any, Any, Any]:
        return self.row_coefficients, self.core, self.column_coefficients

    def __repr__(self) -> str:
        return (
            f"TwoSidedID(shape={self.shape}, rank={self.rank}, "
            f"error_bound={self.error_bound:.3g}, confidence={self.confidence:g})"
        )
