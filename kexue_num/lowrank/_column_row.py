"""Matrix products from a few of their rank-one terms (CR): the public functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._validation import (
    Phrase,
    as_array,
    as_key,
    check_choice,
    check_integer,
    check_workers,
    message,
)
from kexue_num.lowrank._factors import Factors
from kexue_num.lowrank._product import CRProduct, Source
from kexue_num.lowrank._term_weights import full_weights, scalar_weights

Array = NDArray[Any]

_METHODS = ("topk", "pips", "iid", "bernoulli", "tuple")
_WEIGHTS = ("auto", "none", "unbiased", "ls_diag", "ls_full")
_RANDOM = ("pips", "iid", "bernoulli")


def cr_probabilities(
    X: Any, Y: Any, *, workers: int | None = None, check_finite: bool = True
) -> Array:
    """The best probabilities for drawing terms of a product: p_i ~ ||x_i|| ||y_i||.

    Parameters
    ----------
    X : (..., n, l) array_like or sparse array
    Y : (..., l, m) array_like or sparse array
        Real or complex; leading axes are broadcast against each other.
    workers : int, optional
        Threads; None for the library's setting.
    check_finite : bool
        Refuse NaN and infinity (free: a finite norm proves finite entries).

    Returns
    -------
    (..., l) float64 ndarray
        Sums to one; uniform where the product has no term that is not zero.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, before any work.

    Notes
    -----
    Of all probabilities, these give independent draws the least variance, the one of
    `cr_matmul` with ``method="iid"``. Cost: one pass over X and Y. Relative accuracy 1e-14
    whatever the scale of columns and rows.

    References
    ----------
    Drineas, Kannan and Mahoney, SIAM J. Comput. 36 (2006), lemma 4. Jianlin Su, "The path to
    low-rank approximation (III): CR", kexue.fm, 2024-10-11.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.lowrank import cr_probabilities
    >>> cr_probabilities(np.diag([3.0, 1.0]), np.eye(2))
    array([0.75, 0.25])
    """
    name = "cr_probabilities"
    factors = _as_factors(name, X, Y, check_workers(name, workers))
    sizes, _ = factors.sizes(name, check_finite)
    total = sizes.sum(axis=1, keepdims=True)
    count = max(sizes.shape[1], 1)
    p = np.divide(sizes, total, out=np.full_like(sizes, 1 / count), where=total > 0)
    result: Array = p.reshape(*factors.batch, sizes.shape[1])
    return result


def cr_matmul(
    X: Any,
    Y: Any,
    rank: int,
    *,
    method: str = "topk",
    weights: str = "auto",
    tuple_size: int = 2,
    rng: Any = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> CRProduct:
    """Approximate ``X @ Y`` by `rank` of its l rank-one terms, column of X times row of Y.

    Parameters
    ----------
    X : (..., n, l) array_like or sparse array
    Y : (..., l, m) array_like or sparse array
        float32, float64, complex64 or complex128; other real dtypes as everywhere in the library.
        Leading axes are broadcast against each other. Sparse arrays are never densified.
    rank : int
        Number of terms, 0..l; for "bernoulli" the expected number.
    method : {"topk", "pips", "iid", "bernoulli", "tuple"}
        "topk": the terms of largest ||x_i|| ||y_i||.
        "pips": drawn without replacement, with inclusion probabilities ``min(1, tau ||x_i||
        ||y_i||)`` that sum to `rank`: the best unbiased choice.
        "iid": drawn with replacement, with the probabilities of `cr_probabilities`.
        "bernoulli": each by itself with the inclusion probability of "pips".
        "tuple": greedy deletion; the `tuple_size` terms whose sum is least go, again and again.
    weights : {"auto", "none", "unbiased", "ls_diag", "ls_full"}
        "unbiased" (what "auto" means for the three random methods) divides each term by its
        probability, so that the expectation is ``X @ Y``. "none" ("auto" otherwise) takes terms as
        they are. "ls_diag" and "ls_full": the diagonal or full matrix L that minimises
        ``||X Y - C L R||_F``.
    tuple_size : int
        1..4, for "tuple".
    rng : None, int or numpy.random.Generator
        Drawn from once. The result depends on it and on X and Y, not on the number of workers.
    workers : int, optional
        Threads; None for the library's setting.
    check_finite : bool
        Refuse NaN and infinity (free: a finite norm proves finite entries).

    Returns
    -------
    CRProduct
        `indices` (increasing), `weights`, `C`, `R`, `error_estimate`, `variance`; `toarray()` and
        ``@`` multiply out.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, before any work.

    Notes
    -----
    Costs beside the product of C and R, 2 n m `rank`: one pass over X and Y; for "ls_diag" and
    "ls_full" 2 l `rank` (n + m), the cost of the product itself where n and m are alike; for
    "tuple" 2 l^2 (n + m) and l^2 doubles. The matrices of a batch are taken together in all of
    this, "tuple" as many at a time as have pairs for 64 MiB. A batch is cut into matrices by
    number, so that splitting one by hand needs a generator for each part.

    `toarray` multiplies C, the weights and R in one product, which weighs the columns of C as it
    packs them. Terms of any scale, and with factors as far from each other as the dtype allows,
    have the weights, estimates and variances of the same terms with factors of one size; only
    "ls_full" inverts C and R as they are.

    Squared Frobenius errors, expected: with s_i = ||x_i|| ||y_i||, "iid" has
    ``((sum s)^2 - ||XY||^2) / rank``, "bernoulli" ``sum (1/pi_i - 1) s_i^2``, and "pips" at most
    that of "iid", often far less. "ls_diag" is never worse than "none", "ls_full" never worse than
    "ls_diag", on the same terms. Terms without weights leave a bias where the columns have a mean
    in common: there `rank` of l terms make a product that is too small by about rank / l.

    References
    ----------
    Drineas, Kannan and Mahoney, SIAM J. Comput. 36 (2006); Deville and Tille, Biometrika 85
    (1998); Chauvet and Ruiz-Gazen, Stat. Probab. Lett. 121 (2017); Adelman et al., NeurIPS 2021;
    Liu et al., NeurIPS 2023. Jianlin Su, "The path to low-rank approximation (III): CR",
    kexue.fm, 2024-10-11.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.lowrank import cr_matmul
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.random((50, 400)), rng.random((400, 60))
    >>> p = cr_matmul(X, Y, 100, method="pips", rng=0)
    >>> bool(np.linalg.norm(p.toarray() - X @ Y) < 0.1 * np.linalg.norm(X @ Y))
    True
    """
    name = "cr_matmul"
    check_choice(name, "method", method, _METHODS)
    check_choice(name, "weights", weights, _WEIGHTS)
    tuple_size = check_integer(name, "tuple_size", tuple_size, minimum=1, maximum=4)
    if weights == "auto":
        weights = "unbiased" if method in _RANDOM else "none"
    if weights == "unbiased" and method not in _RANDOM:
        got = Phrase(f"'unbiased' for method {method!r}")
        raise ValueError(message(name, "weights", "must go with a random method", got))
    factors = _as_factors(name, X, Y, check_workers(name, workers))
    length = factors.length
    rank = check_integer(name, "rank", rank, minimum=0)
    if rank > length:
        expected = f"must be at most {length}, the number of columns of X"
        raise ValueError(message(name, "rank", expected, rank))
    key = as_key(name, rng)
    sizes, exponents = factors.sizes(name, check_finite)
    indices, scalars = _choose(factors, sizes, rank, method, tuple_size, key)
    C, R = factors.take(indices)
    if weights == "unbiased":
        chosen = scalars
    elif weights == "none":
        chosen = np.where(scalars > 0, 1.0, 0.0)  # zero where a batch is filled up
    else:
        solve = scalar_weights if weights == "ls_diag" else full_weights
        chosen = solve(factors, indices, scalars > 0)
    source = Source(factors, sizes, exponents, rank, method, weights, key)
    return CRProduct(
        indices=indices.reshape(*factors.batch, indices.shape[1]),
        weights=chosen.reshape(*factors.batch, *chosen.shape[1:]),
        C=factors.restore(C),
        R=factors.restore(R),
        _source=source,
    )


def _as_factors(name: str, X: Any, Y: Any, workers: int) -> Factors:
    x, y = (_as_operand(name, label, value) for label, value in (("X", X), ("Y", Y)))
    if x.shape[-1] != y.shape[-2]:
        expected = f"must have {x.shape[-1]} rows, as X has columns"
        raise ValueError(message(name, "Y", expected, Phrase(f"shape {y.shape}")))
    sparse = not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray))
    if sparse and (x.ndim > 2 or y.ndim > 2):
        got = Phrase(f"shapes {x.shape} and {y.shape}")
        raise ValueError(message(name, "X", "must be 2-dimensional beside a sparse array", got))
    dtype = np.result_type(x.dtype, y.dtype)
    x, y = x.astype(dtype, copy=False), y.astype(dtype, copy=False)
    if sparse:
        return Factors(x, y, (), workers)
    try:
        batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError as error:
        expected = f"must have leading axes that fit those of X, {x.shape[:-2]}"
        raise ValueError(message(name, "Y", expected, Phrase(f"shape {y.shape}"))) from error
    count = math.prod(batch)
    stacks = [
        np.broadcast_to(a, batch + a.shape[-2:]).reshape(count, *a.shape[-2:]) for a in (x, y)
    ]
    return Factors(stacks[0], stacks[1], batch, workers)


def _as_operand(name: str, label: str, value: Any) -> Any:
    if not (hasattr(value, "tocsr") and hasattr(value, "nnz")):
        return as_array(name, label, value, min_ndim=2, dtypes="inexact")
    if value.ndim != 2:
        got = Phrase(f"shape {value.shape}")
        raise ValueError(message(name, label, "must be 2-dimensional", got))
    matrix = value.tocsc() if label == "X" else value.tocsr()
    data = as_array(name, label, matrix.data, dtypes="inexact")
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
        data = as_array(name, label, matrix.data, dtypes="inexact")
    return type(matrix)((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _choose(
    factors: Factors, sizes: Array, rank: int, method: str, tuple_size: int, key: tuple[int, int]
) -> tuple[Array, Array]:
    """Indices and unbiased weights (0 where a batch is filled up), both (count, terms)."""
    if method == "tuple":
        kept = [
            _core.column_row.greedy_deletion(gram, rank, tuple_size, factors.workers)
            for gram in factors.grams()
        ]
        indices = np.concatenate([np.empty((0, rank), np.int64), *kept])
        return indices, np.ones(indices.shape)
    chosen = _core.column_row.choose_terms(sizes, rank, method, key, factors.workers)
    most = max((len(terms) for terms, _ in chosen), default=0 if method == "bernoulli" else rank)
    indices = np.zeros((factors.count, most), np.int64)
    weights = np.zeros((factors.count, most))
    for row, (terms, values) in enumerate(chosen):
        indices[row, : len(terms)] = terms
        weights[row, : len(terms)] = values
    return indices, weights
