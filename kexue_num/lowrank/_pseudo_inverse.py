"""Pseudo-inverse and best one-sided factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _lapack
from kexue_num._errors import NumericalError
from kexue_num._validation import Phrase, as_array, check_real, message

Array = NDArray[Any]


def pinv(A: Any, *, rtol: float | None = None, ridge: float = 0.0) -> Array:
    """The Moore-Penrose pseudo-inverse of a matrix, or of every matrix of a stack.

    Parameters
    ----------
    A : (..., m, n) array_like
        float32, float64, complex64 or complex128; other real dtypes as everywhere in the library.
    rtol : float, optional
        Singular values up to `rtol` times the largest count as zero; in [0, 1). None: max(m, n)
        times the rounding unit of the dtype.
    ridge : float
        The eps >= 0 of ``(A^H A + eps I)^-1 A^H``, whose limit for eps -> 0 the pseudo-inverse is.
        With eps > 0 singular values that count as zero stay so.

    Returns
    -------
    (..., n, m) ndarray

    Raises
    ------
    ValueError, TypeError
        Naming the argument, before any work; NaN or infinity in A.
    NumericalError
        If the singular value decomposition did not converge.

    Notes
    -----
    ``A^+ = V diag(1 / s) U^H`` over the singular values that do not count as zero: the B of least
    norm among those that minimise ``||A B - I||_F``. A is scaled by a power of two first, so that
    its scale does not matter as long as the result can be represented. Memory: about eight times
    that of A, most of it LAPACK's; cost: one SVD.

    References
    ----------
    Moore 1920; Penrose, Proc. Cambridge Philos. Soc. 51 (1955). Jianlin Su, "The path to low-rank
    approximation (I): pseudo-inverse", kexue.fm, 2024-09-15.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.lowrank import pinv
    >>> pinv(np.array([[2.0, 0.0], [0.0, 0.0]]))
    array([[0.5, 0. ],
           [0. , 0. ]])
    """
    a = as_array("pinv", "A", A, min_ndim=2, dtypes="inexact", check_finite=True)
    if rtol is not None:
        rtol = check_real("pinv", "rtol", rtol, minimum=0, below=1)
    ridge = check_real("pinv", "ridge", ridge, minimum=0)
    spectrum = _Spectrum.of("pinv", a, rtol)
    factors, exponent = spectrum.inverse_values(ridge)
    result = _adjoint(spectrum.vh) @ (factors[..., None] * _adjoint(spectrum.u))
    return _shift(result, exponent)


def best_left_factor(M: Any, B: Any, *, rtol: float | None = None) -> Array:
    """The A that minimises ``||M - A B||_F``; of several, the one of least norm: ``M B^+``.

    Parameters
    ----------
    M : (..., m, n) array_like or sparse array
    B : (..., r, n) array_like
        Leading axes are broadcast against each other.
    rtol : float, optional
        Singular values of B that count as zero, as for `pinv`.

    Returns
    -------
    (..., m, r) ndarray

    Raises
    ------
    ValueError, TypeError
        Naming the argument, before any work.
    NumericalError
        If the singular value decomposition did not converge.

    Notes
    -----
    Computed as ``((M V) / s) U^H`` from the SVD of B, without forming its pseudo-inverse: the
    residual's rounding is relative to M. Cost: one SVD of B and 2 m n r operations.

    References
    ----------
    Jianlin Su, "The path to low-rank approximation (I): pseudo-inverse", kexue.fm, 2024-09-15.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.lowrank import best_left_factor
    >>> best_left_factor(np.array([[2.0, 4.0]]), np.array([[1.0, 2.0]]))
    array([[2.]])
    """
    name = "best_left_factor"
    m, b = _pair(name, M, "B", B, rtol)
    if m.shape[-1] != b.shape[-1]:
        got = Phrase(f"shapes {m.shape} and {b.shape}")
        raise ValueError(message(name, "B", "must have as many columns as M", got))
    spectrum = _Spectrum.of(name, b, rtol)
    factors, exponent = spectrum.inverse_values(0.0)
    result = ((m @ _adjoint(spectrum.vh)) * factors[..., None, :]) @ _adjoint(spectrum.u)
    return _shift(np.asarray(result), exponent)


def best_right_factor(M: Any, A: Any, *, rtol: float | None = None) -> Array:
    """The B that minimises ``||M - A B||_F``; of several, the one of least norm: ``A^+ M``.

    Parameters
    ----------
    M : (..., m, n) array_like or sparse array
    A : (..., m, r) array_like
        Leading axes are broadcast against each other.
    rtol : float, optional
        Singular values of A that count as zero, as for `pinv`.

    Returns
    -------
    (..., r, n) ndarray

    Raises
    ------
    ValueError, TypeError
        Naming the argument, before any work.
    NumericalError
        If the singular value decomposition did not converge.

    Notes
    -----
    Computed as ``V ((U^H M) / s)``; see `best_left_factor`.

    References
    ----------
    Jianlin Su, "The path to low-rank approximation (I): pseudo-inverse", kexue.fm, 2024-09-15.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.lowrank import best_right_factor
    >>> best_right_factor(np.array([[2.0], [4.0]]), np.array([[1.0], [2.0]]))
    array([[2.]])
    """
    name = "best_right_factor"
    m, a = _pair(name, M, "A", A, rtol)
    if m.shape[-2] != a.shape[-2]:
        got = Phrase(f"shapes {m.shape} and {a.shape}")
        raise ValueError(message(name, "A", "must have as many rows as M", got))
    spectrum = _Spectrum.of(name, a, rtol)
    factors, exponent = spectrum.inverse_values(0.0)
    result = _adjoint(spectrum.vh) @ (factors[..., None] * (_adjoint(spectrum.u) @ m))
    return _shift(np.asarray(result), exponent)


def pinv_matrix(a: Array) -> Array:
    """`pinv` of an array that has been checked."""
    spectrum = _Spectrum.of("pinv", a, None)
    factors, exponent = spectrum.inverse_values(0.0)
    return _shift(_adjoint(spectrum.vh) @ (factors[..., None] * _adjoint(spectrum.u)), exponent)


@dataclass(frozen=True)
class _Spectrum:
    """2**exponent U diag(s) Vh for every matrix of a stack."""

    u: Array
    s: Array
    vh: Array
    exponent: Array
    rtol: float

    @classmethod
    def of(cls, name: str, a: Array, rtol: float | None) -> _Spectrum:
        real = a.real.dtype
        if rtol is None:
            rtol = max(a.shape[-2:]) * float(np.finfo(real).eps)
        top = np.maximum(np.abs(a.real), np.abs(a.imag)) if a.dtype.kind == "c" else np.abs(a)
        exponent = np.frexp(top.max(axis=(-2, -1), initial=0.0))[1]
        scaled = _shift(a, -exponent)
        try:
            u, s, vh = _lapack.svd(scaled)
        except np.linalg.LinAlgError as error:
            raise NumericalError(f"{name}: {error}; scale the rows or columns of A") from error
        return cls(u, s, vh, exponent, rtol)

    def inverse_values(self, ridge: float) -> tuple[Array, Array]:
        """S / (s^2 + ridge) with zeros for zeros; times 2**(the exponent that comes second)."""
        s = self.s
        kept = (s > self.rtol * s.max(axis=-1, initial=0.0, keepdims=True)) & (s > 0)
        safe = np.where(kept, s, 1.0)
        if ridge > 0:
            with np.errstate(over="ignore", under="ignore"):
                shift = np.ldexp(ridge, -2 * self.exponent.astype(np.int64))[..., None]
                inverse = 1 / (safe + shift / safe)
        else:
            inverse = 1 / safe
        return np.where(kept, inverse, 0.0).astype(s.dtype), -self.exponent


def _pair(name: str, M: Any, label: str, other: Any, rtol: float | None) -> tuple[Any, Array]:
    if rtol is not None:
        check_real(name, "rtol", rtol, minimum=0, below=1)
    b = as_array(name, label, other, min_ndim=2, dtypes="inexact", check_finite=True)
    if hasattr(M, "tocsr") and hasattr(M, "nnz"):
        m = M.tocsr()
        data = as_array(name, "M", m.data, dtypes="inexact", check_finite=True)
        m = type(m)((data, m.indices, m.indptr), shape=m.shape)
        if b.ndim > 2:
            got = Phrase(f"shape {b.shape}")
            raise ValueError(message(name, label, "must be 2-dimensional beside a sparse M", got))
    else:
        m = as_array(name, "M", M, min_ndim=2, dtypes="inexact", check_finite=True)
        try:
            np.broadcast_shapes(m.shape[:-2], b.shape[:-2])
        except ValueError as error:
            expected = f"must have leading axes that fit those of M, {m.shape[:-2]}"
            raise ValueError(message(name, label, expected, Phrase(f"shape {b.shape}"))) from error
    dtype = np.result_type(m.dtype, b.dtype)
    return m.astype(dtype, copy=False), b.astype(dtype, copy=False)


def _adjoint(a: Array) -> Array:
    return np.swapaxes(a, -1, -2).conj()


def _shift(a: Array, exponent: Array) -> Array:
    """A 2**exponent, exactly, for one exponent per matrix; no power of two by itself overflows."""
    e = np.asarray(exponent)[..., None, None]
    if not np.any(e):
        return a
    with np.errstate(over="ignore", under="ignore"):
        if a.dtype.kind == "c":
            result = np.empty(np.broadcast_shapes(a.shape, e.shape), a.dtype)
            result.real, result.imag = np.ldexp(a.real, e), np.ldexp(a.imag, e)
            return result
        return np.asarray(np.ldexp(a, e))
