r"""Drop-in for :mod:`scipy.linalg.interpolative`: same names, signatures and return orders.

An interpolative decomposition (ID) writes a matrix through k of its own columns,

.. math:: A \approx A[:, \mathrm{idx}[:k]] \, P, \qquad P[:, \mathrm{idx}] = [I, \mathrm{proj}],

with bounded coefficients (``|proj| <= 2``). This module is a thin face over
:func:`kexue_num.lowrank.interp_decomp`, whose result also carries a proven bound on the error;
use that function in new code.

What differs from SciPy, always towards more inputs or a named error: float32, complex64, integer
and sparse matrices and nested lists are accepted; the requested precision is a bound on
``||A - BP||_2 / ||A||_2`` that is met; zero, empty and rank-deficient matrices give well-defined
results; NaN, a rank above ``min(A.shape)``, a fractional rank and a negative or unreachable
precision raise ``ValueError``; ``idx`` of the reconstruction routines may have any integer dtype.

References
----------
H. Cheng, Z. Gimbutas, P. G. Martinsson, V. Rokhlin, "On the compression of low rank matrices",
SIAM J. Sci. Comput. 26 (4), 2005.
N. Halko, P. G. Martinsson, J. A. Tropp, "Finding structure with randomness", SIAM Review 53 (2),
2011.
C. Musco, C. Musco, "Randomized block Krylov methods for stronger and faster approximate singular
value decomposition", NeurIPS 2015.

Examples
--------
>>> import numpy as np
>>> from kexue_num import interpolative
>>> A = 1.0 / (1.0 + np.add.outer(np.arange(50), np.arange(40)))
>>> k, idx, proj = interpolative.interp_decomp(A, 1e-6, rng=0)
>>> B = interpolative.reconstruct_skel_matrix(A, k, idx)
>>> P = interpolative.reconstruct_interp_matrix(idx, proj)
>>> bool(np.linalg.norm(A - B @ P, 2) <= 1e-6 * np.linalg.norm(A, 2))
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kexue_num import _lapack, lowrank
from kexue_num._errors import NumericalError
from kexue_num._validation import (
    as_array,
    as_generator,
    check_integer,
    check_real,
    message,
    to_numpy,
)
from kexue_num.interpolative._checks import (
    checked_id,
    checked_indices,
    checked_skeleton,
    scale_of,
)
from kexue_num.interpolative._spectral_norm import (
    is_operator,
    is_sparse,
    largest_singular_value,
    linear_map,
)

if TYPE_CHECKING:
    from kexue_num.lowrank import InterpolativeDecomposition

__all__ = [
    "estimate_rank",
    "estimate_spectral_norm",
    "estimate_spectral_norm_diff",
    "id_to_svd",
    "interp_decomp",
    "reconstruct_interp_matrix",
    "reconstruct_matrix_from_id",
    "reconstruct_skel_matrix",
    "svd",
]

Array = npt.NDArray[Any]


def interp_decomp(A: Any, eps_or_k: float, rand: bool = True, rng: Any = None) -> tuple[Any, ...]:
    """Interpolative decomposition of a matrix.

    Parameters
    ----------
    A : array_like, sparse array or LinearOperator, shape (m, n)
        Matrix to decompose: real or complex, single or double precision. A LinearOperator needs
        ``rmatvec`` or ``rmatmat``.
    eps_or_k : float or int
        Below 1: the relative precision in the spectral norm, at least 10 machine epsilons of the
        dtype. From 1 on: the rank, an integer at most ``min(m, n)``.
    rand : bool, optional
        False takes the pivots of column-pivoted QR and depends on no random number. Sparse
        matrices and operators are always sampled.
    rng : None, int or numpy.random.Generator, optional
        Source of randomness.

    Returns
    -------
    k : int
        Rank found; returned only if ``eps_or_k < 1``.
    idx : ndarray of int64, shape (n,)
        Column order; the first k are the chosen columns.
    proj : ndarray, shape (k, n - k)
        Coefficients: ``A[:, idx[k:]]`` is close to ``A[:, idx[:k]] @ proj``.

    Raises
    ------
    ValueError
        Shape, range, or a value that is not finite.
    TypeError
        Kind or dtype.

    See Also
    --------
    kexue_num.lowrank.interp_decomp : the same with an error bound and row decompositions.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num import interpolative
    >>> A = np.outer([1.0, 2.0, 3.0], [2.0, 4.0, 1.0])
    >>> idx, proj = interpolative.interp_decomp(A, 1)
    >>> int(idx[0]), proj
    (1, array([[0.5 , 0.25]]))
    """
    result = _decompose("interp_decomp", A, eps_or_k, rand, rng)
    idx, proj = result.to_scipy()
    return (result.rank, idx, proj) if eps_or_k < 1 else (idx, proj)


def reconstruct_matrix_from_id(B: Any, idx: Any, proj: Any) -> Array:
    """Matrix ``B @ P`` of an ID, with its columns back in their places.

    Parameters
    ----------
    B : array_like or sparse array, shape (m, k)
        Skeleton, ``A[:, idx[:k]]``.
    idx : array_like of int, shape (n,)
        Column order.
    proj : array_like, shape (k, n - k)
        Coefficients.

    Returns
    -------
    ndarray, shape (m, n)
        The chosen columns are those of `B`, bit for bit.
    """
    name = "reconstruct_matrix_from_id"
    order, coefficients = checked_id(name, idx, proj)
    skeleton = checked_skeleton(name, B, len(coefficients))
    with np.errstate(over="ignore", invalid="ignore"):
        rest = skeleton @ coefficients
    if not np.isfinite(rest).all():
        raise NumericalError(f"{name}: the product of 'B' and 'proj' overflows")
    out = np.empty((skeleton.shape[0], order.size), dtype=rest.dtype)
    out[:, order[: len(coefficients)]] = skeleton
    out[:, order[len(coefficients) :]] = rest
    return out


def reconstruct_interp_matrix(idx: Any, proj: Any) -> Array:
    """Interpolation matrix P of an ID, so that ``A`` is close to ``B @ P``.

    Parameters
    ----------
    idx : array_like of int, shape (n,)
        Column order.
    proj : array_like, shape (k, n - k)
        Coefficients.

    Returns
    -------
    ndarray, shape (k, n)
        ``P[:, idx[:k]]`` is the identity and ``P[:, idx[k:]]`` is `proj`.
    """
    order, coefficients = checked_id("reconstruct_interp_matrix", idx, proj)
    rank = len(coefficients)
    out = np.zeros((rank, order.size), dtype=coefficients.dtype)
    out[np.arange(rank), order[:rank]] = 1.0
    out[:, order[rank:]] = coefficients
    return out


def reconstruct_skel_matrix(A: Any, k: int, idx: Any) -> Any:
    """Skeleton of an ID: the columns ``A[:, idx[:k]]``.

    Parameters
    ----------
    A : array_like, sparse array or LinearOperator, shape (m, n)
        The decomposed matrix.
    k : int
        Rank.
    idx : array_like of int, shape (n,)
        Column order.

    Returns
    -------
    ndarray, shape (m, k)
        A sparse array or matrix if `A` is one.
    """
    name = "reconstruct_skel_matrix"
    order = checked_indices(name, idx)
    rank = check_integer(name, "k", k, minimum=0, maximum=order.size)
    if not (is_sparse(A) or is_operator(A)):
        as_array(name, "A", A, dtypes="inexact")
        A = to_numpy(name, "A", A)
    if len(A.shape) != 2 or A.shape[1] != order.size:
        raise ValueError(message(name, "A", f"must have shape (m, {order.size})", A.shape))
    chosen = order[:rank]
    if is_operator(A):
        unit = np.zeros((A.shape[1], rank), dtype=A.dtype)
        unit[chosen, np.arange(rank)] = 1
        return A.matmat(unit)
    return A.tocsc()[:, chosen] if is_sparse(A) else A[:, chosen]


def id_to_svd(B: Any, idx: Any, proj: Any) -> tuple[Array, Array, Array]:
    """Singular value decomposition of the matrix ``B @ P`` of an ID.

    Parameters
    ----------
    B : array_like or sparse array, shape (m, k)
        Skeleton, ``A[:, idx[:k]]``.
    idx : array_like of int, shape (n,)
        Column order.
    proj : array_like, shape (k, n - k)
        Coefficients.

    Returns
    -------
    U : ndarray, shape (m, r)
        Left singular vectors, ``r = min(m, k)``.
    S : ndarray, shape (r,)
        Singular values, largest first.
    V : ndarray, shape (n, r)
        Right singular vectors (not transposed): ``B @ P = U @ np.diag(S) @ V.conj().T``.
    """
    name = "id_to_svd"
    interpolation = reconstruct_interp_matrix(*checked_id(name, idx, proj))
    skeleton = checked_skeleton(name, B, len(interpolation))
    # Powers of two bring the factors near one, where no product overflows or is lost to rounding.
    scales = scale_of(skeleton), scale_of(interpolation)
    left, R = _lapack.qr(skeleton / scales[0])
    right, T = _lapack.qr(interpolation.conj().T / scales[1])
    U, S, Vh = _lapack.svd(R @ T.conj().T)
    with np.errstate(over="ignore", under="ignore"):
        S = S * scales[0] * scales[1]
    if not np.isfinite(S).all():
        raise NumericalError(f"{name}: the product of 'B' and 'proj' overflows")
    return left @ U, S, right @ Vh.conj().T


def estimate_spectral_norm(A: Any, its: int = 20, rng: Any = None) -> float:
    """Estimate ``||A||_2`` from below by a randomized block Krylov method.

    The estimate never exceeds the norm beyond rounding. Its relative error falls like
    ``exp(-4 its sqrt(gap))`` where the power method has ``exp(-4 its gap)`` (Musco & Musco 2015),
    at the same number of passes over `A`: `its` products with A and as many with its adjoint.

    Parameters
    ----------
    A : array_like, sparse array or LinearOperator, shape (m, n)
        The matrix.
    its : int, optional
        Number of iterations, at least 1. Memory is ``4 * its`` columns of lengths m and n.
    rng : None, int or numpy.random.Generator, optional
        Source of randomness.

    Returns
    -------
    float
        The estimate.
    """
    name = "estimate_spectral_norm"
    steps = check_integer(name, "its", its, minimum=1)
    return largest_singular_value(name, linear_map(name, "A", A), steps, rng)


def estimate_spectral_norm_diff(A: Any, B: Any, its: int = 20, rng: Any = None) -> float:
    """Estimate ``||A - B||_2`` from below without forming the difference.

    Parameters
    ----------
    A, B : array_like, sparse array or LinearOperator, shape (m, n)
        The two matrices; they need not be of the same kind.
    its : int, optional
        Number of iterations, at least 1.
    rng : None, int or numpy.random.Generator, optional
        Source of randomness.

    Returns
    -------
    float
        The estimate; see `estimate_spectral_norm`.
    """
    name = "estimate_spectral_norm_diff"
    steps = check_integer(name, "its", its, minimum=1)
    left, right = linear_map(name, "A", A), linear_map(name, "B", B)
    if left.shape != right.shape:
        expected = f"must have the shape {left.shape} of 'A'"
        raise ValueError(message(name, "B", expected, right.shape))
    return largest_singular_value(name, left - right, steps, rng)


def svd(A: Any, eps_or_k: float, rand: bool = True, rng: Any = None) -> tuple[Array, Array, Array]:
    """Singular value decomposition by way of an ID.

    Parameters
    ----------
    A : array_like, sparse array or LinearOperator, shape (m, n)
        Matrix to decompose.
    eps_or_k : float or int
        Relative precision (below 1) or rank (from 1 on), as in `interp_decomp`.
    rand : bool, optional
        As in `interp_decomp`.
    rng : None, int or numpy.random.Generator, optional
        Source of randomness.

    Returns
    -------
    U : ndarray, shape (m, k)
        Left singular vectors.
    S : ndarray, shape (k,)
        Singular values, largest first.
    V : ndarray, shape (n, k)
        Right singular vectors (not transposed): ``A`` is close to ``U @ np.diag(S) @ V.conj().T``.
    """
    result = _decompose("svd", A, eps_or_k, rand, rng).to_svd()
    return result.U, result.s, result.Vh.conj().T


def estimate_rank(A: Any, eps: float, rng: Any = None) -> int:
    """Number of singular values above ``eps * ||A||_2``, or slightly more.

    The matrix is decomposed to a quarter of the precision, and the singular values of the result
    are counted down to `eps` less the proven error. So, with probability 0.999, the estimate is
    at least the numerical rank at `eps` and at most the numerical rank at ``eps / 2``.

    Parameters
    ----------
    A : array_like, sparse array or LinearOperator, shape (m, n)
        The matrix.
    eps : float
        Relative precision that defines the numerical rank, at least 10 machine epsilons.
    rng : None, int or numpy.random.Generator, optional
        Source of randomness.

    Returns
    -------
    int
        The estimate.
    """
    floor = 10.0 * float(np.finfo(linear_map("estimate_rank", "A", A).dtype).eps)
    eps = check_real("estimate_rank", "eps", eps, minimum=floor, below=1)
    generator = as_generator("estimate_rank", rng)
    result = lowrank.interp_decomp(A, tol=max(0.25 * eps, floor), rng=generator)
    if result.rank == 0:
        return 0
    decomposition = result.to_svd()
    # Weyl: sigma_i(A) > eps ||A|| implies sigma_i(BP) > eps (||BP|| - error) - error.
    error = decomposition.error_bound
    threshold = eps * (float(decomposition.s[0]) - error) - error
    return int(np.count_nonzero(decomposition.s > threshold))


def _decompose(
    name: str, A: Any, eps_or_k: float, rand: bool, rng: Any
) -> InterpolativeDecomposition:
    method = "auto" if rand or is_sparse(A) or is_operator(A) else "deterministic"
    value = check_real(name, "eps_or_k", eps_or_k, above=0)
    generator = as_generator(name, rng)
    # interp_decomp speaks of A in its own name, and proves it finite in the pass it makes anyway.
    if name != "interp_decomp":
        matrix = linear_map(name, "A", A)
        smallest = min(matrix.shape)
        if value < 1.0:
            floor = 10.0 * float(np.finfo(matrix.dtype).eps)
            check_real(name, "eps_or_k", eps_or_k, minimum=floor)
        elif value > smallest:
            expected = f"must be at most {smallest} for A of shape {matrix.shape}"
            raise ValueError(message(name, "eps_or_k", expected, eps_or_k))
    if value < 1.0:
        return lowrank.interp_decomp(A, tol=value, method=method, rng=generator)
    if not value.is_integer():
        raise ValueError(message(name, "eps_or_k", "must be below 1 or an integer", eps_or_k))
    return lowrank.interp_decomp(A, int(value), method=method, rng=generator)
