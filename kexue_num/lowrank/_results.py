"""What the decompositions return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _lapack

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

    from kexue_num.lowrank._skeletons import CUR

Array = NDArray[Any]


def _dense(matrix: Any) -> Array:
    return matrix if isinstance(matrix, np.ndarray) else np.asarray(matrix.toarray())


@dataclass(frozen=True, repr=False, eq=False)
class SVD:
    """A ~ U diag(s) Vh, with a certificate.

    Attributes
    ----------
    U : (m, k) ndarray, orthonormal columns
    s : (k,) ndarray, not increasing
    Vh : (k, n) ndarray, orthonormal rows
    error_bound : float
        Bound on the spectral norm of A - U diag(s) Vh; holds with probability `confidence`.
    confidence : float
        Over the random probes, whatever the matrix.
    converged : bool
        Whether what was asked for was reached.
    n_iter : int
        Steps of an iteration; 0 where there was none.
    """

    U: Array
    s: Array
    Vh: Array
    error_bound: float
    confidence: float = 0.999
    converged: bool = True
    n_iter: int = 0

    @property
    def rank(self) -> int:
        """The number of singular values."""
        return len(self.s)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the matrix."""
        return self.U.shape[0], self.Vh.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the factors."""
        return self.U.dtype

    def __repr__(self) -> str:
        return f"SVD(shape={self.shape}, rank={self.rank}, error_bound={self.error_bound:.3g})"

    def reconstruct(self) -> Array:
        """U diag(s) Vh, (m, n)."""
        return (self.U * self.s) @ self.Vh

    def __matmul__(self, other: Any) -> Array:
        inner = self.Vh @ np.asarray(other)
        return np.asarray(self.U @ (self.s * inner if inner.ndim == 1 else self.s[:, None] * inner))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("SVD: an array of it is always a new one")
        return np.asarray(self.reconstruct(), dtype=dtype)

    def as_linear_operator(self) -> LinearOperator:
        """The approximation as a `scipy.sparse.linalg.LinearOperator` of cost O((m + n) k)."""
        from scipy.sparse.linalg import aslinearoperator

        return aslinearoperator(self.U * self.s) @ aslinearoperator(self.Vh)


@dataclass(frozen=True, repr=False, eq=False)
class InterpolativeDecomposition:
    """A ~ A[:, indices] @ coefficients (axis 1) or coefficients @ A[indices, :] (axis 0).

    Attributes
    ----------
    indices : (k,) int64 ndarray
        The chosen columns (axis 1) or rows (axis 0), in the order they were chosen.
    coefficients : (k, n) ndarray for axis 1, (m, k) for axis 0
        The identity at the chosen places, bit for bit.
    skeleton : (m, k) or (k, n) ndarray or sparse array
        The chosen columns or rows themselves.
    rank : int
        k.
    axis : int
        1 if columns were chosen, 0 if rows.
    shape : tuple of int
        (m, n).
    error_bound : float
        Bound on the spectral norm of the error; holds with probability `confidence`.
    error_estimate : float
        The same without the safety factor.
    confidence : float
        Over the random probes, whatever the matrix.
    max_abs_coefficient : float
        Largest modulus among the coefficients; at most the `z_bound` asked for.
    converged : bool
        Whether the bound meets the tolerance asked for; True for a given rank.
    """

    indices: Array
    coefficients: Array
    skeleton: Any
    axis: int
    shape: tuple[int, int]
    error_bound: float
    error_estimate: float
    confidence: float
    max_abs_coefficient: float
    converged: bool

    @property
    def rank(self) -> int:
        """The number of columns or rows chosen."""
        return len(self.indices)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the skeleton."""
        return self.coefficients.dtype

    def __repr__(self) -> str:
        return (
            f"InterpolativeDecomposition(shape={self.shape}, rank={self.rank}, axis={self.axis}, "
            f"error_bound={self.error_bound:.3g}, confidence={self.confidence:g})"
        )

    def reconstruct(self) -> Array:
        """The approximation as an (m, n) array."""
        return self._product(self.skeleton, self.coefficients)

    def __matmul__(self, other: Any) -> Array:
        other = np.asarray(other)
        if self.axis == 1:
            return np.asarray(self.skeleton @ (self.coefficients @ other))
        return np.asarray(self.coefficients @ (self.skeleton @ other))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("InterpolativeDecomposition: an array of it is always a new one")
        return np.asarray(self.reconstruct(), dtype=dtype)

    def to_scipy(self) -> tuple[Array, Array]:
        """`(idx, proj)` as `scipy.linalg.interpolative` has them.

        idx : (n,) int64, a permutation that begins with `indices`; proj : (k, n - k), the
        coefficients of the others: ``A[:, idx[k:]] ~ A[:, idx[:k]] @ proj``. For axis 0 those of
        the transposed matrix.
        """
        z = self.coefficients if self.axis == 1 else self.coefficients.T
        others = np.ones(z.shape[1], bool)
        others[self.indices] = False
        rest = np.flatnonzero(others)
        return np.concatenate([self.indices, rest]), z[:, rest]

    def to_svd(self) -> SVD:
        """The same approximation as a singular value decomposition, O((m + n) k^2)."""
        if self.axis == 0:
            svd = self._svd_of(_dense(self.skeleton).T, self.coefficients.T)
            return SVD(svd.Vh.T, svd.s, svd.U.T, svd.error_bound, svd.confidence)
        return self._svd_of(_dense(self.skeleton), self.coefficients)

    def _svd_of(self, skeleton: Array, coefficients: Array) -> SVD:
        q1, r1 = _lapack.qr(skeleton)
        q2, r2 = _lapack.qr(coefficients.conj().T)
        u, s, vh = _lapack.svd(r1 @ r2.conj().T)
        return SVD(q1 @ u, s, vh @ q2.conj().T, self.error_bound, self.confidence)

    def to_cur(self) -> CUR:
        """The same approximation as C U R with the cross link, O((m + n) k^2).

        For axis 1, C is the skeleton and R has rows of this approximation (those of A up to the
        error); for axis 0, R is the skeleton and C has columns of the approximation.
        """
        from kexue_num.lowrank._cur import cur_of

        return cur_of(self)

    def as_linear_operator(self) -> LinearOperator:
        """The approximation as a `scipy.sparse.linalg.LinearOperator` of cost O((m + n) k)."""
        from scipy.sparse.linalg import aslinearoperator

        left, right = self.skeleton, self.coefficients
        if self.axis == 0:
            left, right = right, left
        return aslinearoperator(left) @ aslinearoperator(right)

    def _product(self, skeleton: Any, coefficients: Array) -> Array:
        if self.axis == 1:
            return np.asarray(skeleton @ coefficients)
        return np.asarray(coefficients @ skeleton)
