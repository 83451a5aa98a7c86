"""The EMO loss of language models, and the cosine cost between embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._validation import (
    Phrase,
    as_array,
    check_choice,
    check_integer,
    check_workers,
    message,
    result_dtype,
    round_result,
    to_numpy,
)
from kexue_num.transport._inputs import require_memory

Array = NDArray[Any]
Mode = Literal["emo", "paper", "patch1", "patch2", "wheel1", "wheel2"]
Reduction = Literal["mean", "sum", "none"]

_MODES = ("emo", "paper", "patch1", "patch2", "wheel1", "wheel2")
# How far from one the sum of a distribution may be: what rounding does to long rows.
_SUM_TOLERANCE = {"float16": 1e-2, "bfloat16": 1e-1, "float32": 1e-4, "float64": 1e-9}
# What the core may find: the argument, and what was expected of the row.
_FAULTS = {
    "embedding not finite": ("embeddings", "must be finite", "NaN or infinity in row {}"),
    "embedding zero": ("embeddings", "must have a nonzero entry in every row", "zeros in row {}"),
    "logits not finite": ("logits", "must be finite, or -inf for a mask", "NaN or +inf in row {}"),
    "logits masked": ("logits", "must have a finite entry in every row", "none in row {}"),
    "label masked": ("labels", "must not name masked classes", "a logit of -inf in row {}"),
    "target negative": ("labels", "must be distributions", "a negative entry or NaN in row {}"),
    "target sum": ("labels", "must be distributions", "a sum other than 1 in row {}"),
}


@dataclass(frozen=True, repr=False, eq=False)
class EMOLoss:
    """A loss and its gradient.

    Attributes
    ----------
    value : float64 scalar, or (N,) ndarray for ``reduction="none"``
    grad : (N, V) ndarray
        With respect to the logits; with ``reduction="none"`` row by row.
    """

    value: Any
    grad: Array

    def __repr__(self) -> str:
        shown = f"{self.value:.6g}" if np.ndim(self.value) == 0 else f"shape {self.value.shape}"
        return f"EMOLoss(value={shown}, grad=shape {self.grad.shape})"


def emo_loss(
    logits: object,
    labels: object,
    embeddings: object,
    *,
    mode: Mode = "emo",
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    return_grad: bool = False,
    workers: int | None = None,
) -> Any:
    """Earth mover distance between predicted and true tokens, and the published mixtures.

    Parameters
    ----------
    logits : (N, V) array_like of real numbers
        One row per token; -inf masks a class.
    labels : (N,) array_like of integers, or (N, V) array_like of distributions
        The true tokens. Distributions may miss the sum one by rounding and are scaled to it.
    embeddings : (V, h) array_like of real numbers
        One row per class, usually the weights of the language model's head. They are a constant
        of the loss, normalised to length one; no row may be zero.
    mode : {"emo", "paper", "patch1", "patch2", "wheel1", "wheel2"}, default "emo"
        The distance D itself, or one of the mixtures with the cross-entropy CE that have been
        published. In brackets stand constants of the gradient, D' = D + [p_t]:

        ========  ==========================================
        paper     (CE + [CE / (D + 1e-10)] D) / 2
        patch1    (CE + [CE / (D' + 1e-10)] D') / 2
        patch2    [D' / (CE + 1e-10)] CE + D'
        wheel1    (CE + [min(CE / (D + 1e-10), 3)] D) / 2
        wheel2    [D / (CE + 1e-10)] CE + D
        ========  ==========================================

    ignore_index : int, default -100
        Rows with this label count nothing and have gradient zero.
    reduction : {"mean", "sum", "none"}, default "mean"
        Over the rows that are not ignored.
    return_grad : bool, default False
        Return an `EMOLoss` with value and gradient, from one matrix product.
    workers : int, optional
        Number of threads; None is the library's setting. The result does not depend on it.

    Returns
    -------
    float, (N,) ndarray or EMOLoss
        The gradient has the dtype of the logits.

    Raises
    ------
    ValueError
        Shapes that do not fit, a label outside 0..V-1, a row of labels that is no distribution,
        NaN or +inf, a row without a finite logit, a zero row of embeddings, and for the mixtures a
        label whose logit is -inf.
    TypeError
        Labels that are neither integers nor real numbers.

    Notes
    -----
    With p the softmax of the logits and e_i the normalised embeddings

        D = sum_i p_i (1 - <e_i, e_t>),    dD/dz_i = p_i (1 - <e_i, e_t> - D)

    is the optimal cost of moving p to the token t; for a distribution tau put sum_j tau_j e_j for
    e_t: the cost of the product coupling, an upper bound (`demd`). For tau, p_t in D' becomes
    sum_i p_i tau_i <e_i, sum_j tau_j e_j>.

    Cost: one product of U x V x h for U different labels (two of N x V x h for distributions).
    Memory: the gradient and 16 MiB, if the rows of `logits` and `embeddings` are contiguous and
    their dtypes agree; float16 is computed in float32. Accuracy: D, CE and 1 - p_t are sums of
    terms that are not negative, so that they keep their relative accuracy as p_t -> 1 (a few units
    in the last place of the dtype for D).

    References
    ----------
    S. Ren, Z. Wu and K. Q. Zhu, EMO: Earth mover distance optimization for auto-regressive
    language modeling, ICLR 2024.
    Jianlin Su, 科学空间 (https://kexue.fm), post 9797 (2023-10-13).

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num import transport
    >>> embeddings = [[1.0, 0.0], [0.6, 0.8], [0.0, -1.0]]
    >>> loss = transport.emo_loss(np.log([[0.5, 0.25, 0.25]]), [0], embeddings, return_grad=True)
    >>> float(loss.value.round(12))
    0.35
    >>> loss.grad.round(12)
    array([[-0.175 ,  0.0125,  0.1625]])
    """
    name = "emo_loss"
    check_choice(name, "mode", mode, _MODES)
    check_choice(name, "reduction", reduction, ("mean", "sum", "none"))
    ignored = check_integer(name, "ignore_index", ignore_index)
    n_workers = check_workers(name, workers)
    z = as_array(name, "logits", logits, ndim=2)
    rows = _as_embeddings(name, embeddings, z.shape[1])
    ids, soft = _check_labels(name, labels, z.shape, ignored)
    z, rows = _of_one_dtype(z, rows)
    tolerance = 0.0
    if soft is not None:
        # Distributions follow the logits: one-hot integers shall not widen everything.
        tolerance = max(_SUM_TOLERANCE[str(d)] for d in (result_dtype(labels), z.dtype))
        soft = np.asarray(soft, z.dtype)
        (soft,) = _of_one_dtype(soft)
    counted = len(z) if ids is None else int(np.count_nonzero(ids >= 0))
    weight = 1 / max(counted, 1) if reduction == "mean" else 1.0
    values = np.empty(len(z))
    gradient = _core.empty(z.shape, z.dtype) if return_grad else None
    answer = _core.emo.emo_loss(
        z, ids, soft, rows, _MODES.index(mode), tolerance, weight, values, gradient, n_workers
    )
    _raise_fault(name, answer)
    value: Any = values if reduction == "none" else np.float64(values.sum() * weight)
    if gradient is None:
        return value
    return EMOLoss(value, round_result(gradient, result_dtype(logits)))


def demd(p: object, tau: object, embeddings: object, *, workers: int | None = None) -> Any:
    """Cost sum_ij p_i tau_j c_ij of the product coupling under the cosine cost.

    Parameters
    ----------
    p, tau : (..., V) array_like of real numbers
        Distributions along the last axis; leading axes broadcast. Sums may miss one by rounding.
    embeddings : (V, h) array_like of real numbers
        No row may be zero.
    workers : int, optional

    Returns
    -------
    float64 scalar or (...) ndarray
        At least the optimal cost `emd(p, tau, embedding_cost(embeddings))`, and equal to it if p
        or tau has one entry.

    Raises
    ------
    ValueError
        Shapes that do not fit, a row that is no distribution, NaN or infinities, a zero row of
        embeddings.

    Notes
    -----
    Equal to 1 - <E^T p, E^T tau> with normalised rows E: two products of N x V x h instead of
    V x V costs. Not a divergence: demd(p, p) > 0 unless p has one entry. What remains without the
    two self-costs is a kernel's maximum mean discrepancy,

        demd(p, tau) - demd(p, p)/2 - demd(tau, tau)/2 = |E^T (p - tau)|^2 / 2.

    References
    ----------
    Jianlin Su, 科学空间 (https://kexue.fm), post 9797 (2023-10-13).

    Examples
    --------
    >>> from kexue_num import transport
    >>> embeddings = [[1.0, 0.0], [0.0, 1.0]]
    >>> float(transport.demd([0.5, 0.5], [0.5, 0.5], embeddings))
    0.5
    """
    name = "demd"
    n_workers = check_workers(name, workers)
    first = as_array(name, "p", p, min_ndim=1)
    second = as_array(name, "tau", tau, min_ndim=1)
    rows = _as_embeddings(name, embeddings, None)
    size = len(rows)
    for argument, given, array in (("p", p, first), ("tau", tau, second)):
        if array.shape[-1] != size:
            expected = f"must have {size} entries along the last axis"
            raise ValueError(message(name, argument, expected, Phrase(f"shape {array.shape}")))
        _check_distributions(name, argument, array, _SUM_TOLERANCE[result_dtype(given).name])
    first, second, rows = _of_one_dtype(first, second, rows)
    try:
        batch = np.broadcast_shapes(first.shape[:-1], second.shape[:-1])
    except ValueError:
        expected = f"must broadcast with 'p' of shape {first.shape}"
        got = Phrase(f"shape {second.shape}")
        raise ValueError(message(name, "tau", expected, got)) from None
    values = np.empty(batch)
    _raise_fault(
        name,
        _core.emo.demd(
            np.broadcast_to(first, (*batch, size)).reshape(-1, size),
            np.broadcast_to(second, (*batch, size)).reshape(-1, size),
            rows,
            values.reshape(-1),
            n_workers,
        ),
    )
    return values[()]


def embedding_cost(embeddings: object, *, workers: int | None = None) -> Array:
    """Cosine costs c_ij = 1 - <e_i, e_j> / (|e_i| |e_j|) between rows.

    Parameters
    ----------
    embeddings : (V, h) array_like of real numbers
        No row may be zero.
    workers : int, optional

    Returns
    -------
    (V, V) ndarray
        Symmetric to the last bit, zero on the diagonal, in 0..2. Costs below 1/32 are computed
        from differences of the normalised rows, so that near copies keep a relative accuracy.

    Raises
    ------
    ValueError
        Rows that are zero, NaN or infinities.
    MemoryError
        If V x V costs do not fit into the machine.

    Notes
    -----
    Half the squared distance of points on the unit sphere: not a metric. `emd` with this cost is
    W_2^2 / 2 there. Cost: 2 V^2 h operations.

    References
    ----------
    Jianlin Su, 科学空间 (https://kexue.fm), post 9797 (2023-10-13).

    Examples
    --------
    >>> from kexue_num import transport
    >>> transport.embedding_cost([[1.0, 0.0], [0.6, 0.8]]).round(12)
    array([[0. , 0.4],
           [0.4, 0. ]])
    """
    name = "embedding_cost"
    n_workers = check_workers(name, workers)
    (rows,) = _of_one_dtype(_as_embeddings(name, embeddings, None))
    size = len(rows)
    require_memory(name, rows.itemsize * size * size, f"costs of shape {(size, size)}")
    cost = _core.empty((size, size), rows.dtype)
    _raise_fault(name, _core.emo.embedding_cost(rows, cost, n_workers))
    return round_result(cost, result_dtype(embeddings))


def _as_embeddings(name: str, embeddings: object, size: int | None) -> Array:
    rows = as_array(name, "embeddings", embeddings, ndim=2)
    if size is not None and len(rows) != size:
        expected = f"must have {size} rows, one per class of 'logits'"
        raise ValueError(message(name, "embeddings", expected, Phrase(f"shape {rows.shape}")))
    if len(rows) == 0:
        expected = "must have at least one row"
        raise ValueError(message(name, "embeddings", expected, Phrase(f"shape {rows.shape}")))
    return rows


def _check_labels(
    name: str, labels: object, shape: tuple[int, ...], ignored: int
) -> tuple[Array | None, Array | None]:
    """Class ids, -1 where ignored, or distributions."""
    n, size = shape
    given = to_numpy(name, "labels", labels)
    array = as_array(name, "labels", given, min_ndim=1)
    if array.ndim == 2 and array.shape == shape:
        return None, array
    if array.shape != (n,):
        expected = f"must be integers of shape ({n},) or distributions of shape {shape}"
        raise ValueError(message(name, "labels", expected, Phrase(f"shape {array.shape}")))
    ids = given
    if ids.size == 0:
        return np.empty(0, np.int64), None
    if ids.dtype.kind not in "iu":
        expected = "must be integers, or distributions with one row per row of 'logits'"
        raise TypeError(message(name, "labels", expected, Phrase(f"dtype {ids.dtype}")))
    skipped = ids == ignored
    wrong = ~skipped & ((ids < 0) | (ids >= size))
    if wrong.any():
        first = int(np.argmax(wrong))
        got = Phrase(f"{ids[first]} at [{first}]")
        raise ValueError(message(name, "labels", f"must hold class ids in 0..{size - 1}", got))
    return np.where(skipped, -1, ids).astype(np.int64), None


def _check_distributions(name: str, argument: str, array: Array, tolerance: float) -> None:
    bad = ~(array >= 0)
    if bad.any():
        place = np.unravel_index(int(np.argmax(bad)), array.shape)
        at = ", ".join(str(int(i)) for i in place)
        got = Phrase(f"{float(array[place])!r} at [{at}]")
        raise ValueError(message(name, argument, "must be >= 0", got))
    with np.errstate(over="ignore"):
        sums = array.sum(axis=-1, dtype=np.float64)
    off = ~(np.abs(sums - 1) <= tolerance)
    if off.any():
        got = Phrase(repr(float(sums[off].flat[0])))
        expected = f"must sum to 1 within {tolerance:g} along the last axis"
        raise ValueError(message(name, argument, expected, got))


def _of_one_dtype(*arrays: Array | None) -> tuple[Any, ...]:
    """The arrays in the widest of their dtypes, with contiguous rows."""
    dtype = np.result_type(*(array for array in arrays if array is not None))

    def converted(array: Array | None) -> Array | None:
        if array is None:
            return None
        if array.dtype != dtype or (array.shape[-1] > 1 and array.strides[-1] != array.itemsize):
            return np.ascontiguousarray(array, dtype)
        return array

    return tuple(converted(array) for array in arrays)


def _raise_fault(name: str, answer: tuple[str, int]) -> None:
    fault, row = answer
    if fault:
        argument, expected, got = _FAULTS[fault]
        raise ValueError(message(name, argument, expected, Phrase(got.format(row))))
