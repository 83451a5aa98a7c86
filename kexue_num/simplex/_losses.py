"""Losses whose gradient is p - t: Fenchel-Young losses, and the loss of several labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kexue_num import _core
from kexue_num._validation import (
    Phrase,
    check_choice,
    check_integer,
    check_real,
    message,
    round_result,
    to_numpy,
)
from kexue_num.simplex._maps import check_temperature
from kexue_num.simplex._rows import Array, Axis, Rows, as_rows

Reduction = Literal["mean", "sum", "none"]
LossMap = Literal["softmax", "sparsemax", "entmax15", "entmax", "topk"]
# ids, dense, indptr, indices, data
_Targets = tuple[Any, Any, Any, Any, Any]
_ORDERS = {"softmax": 1.0, "sparsemax": 2.0, "entmax15": 1.5, "topk": 1.0}


@dataclass(frozen=True, repr=False, eq=False)
class Loss:
    """A loss and its gradient.

    Attributes
    ----------
    value : float64 scalar, or ndarray without the reduced axis for ``reduction="none"``
    grad : ndarray of the shape of the scores
        Of the value; with ``reduction="none"`` row by row.
    """

    value: Any
    grad: Array

    def __repr__(self) -> str:
        shown = f"{self.value:.6g}" if np.ndim(self.value) == 0 else f"shape {self.value.shape}"
        return f"Loss(value={shown}, grad=shape {self.grad.shape})"


def fenchel_young_loss(
    x: object,
    target: object,
    *,
    map: LossMap = "softmax",  # noqa: A002
    alpha: float | None = None,
    k: int | None = None,
    axis: Axis = -1,
    margin: float = 0.0,
    temperature: float = 1.0,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
    return_grad: bool = False,
    workers: int | None = None,
) -> Any:
    """Fenchel-Young loss of scores: cross-entropy, and what takes its place for sparse maps.

    Parameters
    ----------
    x : array_like of real numbers
        Scores; -inf masks a class.
    target : array_like or SciPy sparse array
        Class ids (integers, the shape of `x` without `axis`), distributions (real numbers, the
        shape of `x`), or for two-dimensional `x` and ``axis=-1`` a sparse array of its shape.
    map : {"softmax", "sparsemax", "entmax15", "entmax", "topk"}, default "softmax"
        The map p(x) whose loss it is. "softmax" is cross-entropy; "topk" is softmax over the k
        largest scores.
    alpha : float, for ``map="entmax"``
        Above zero.
    k : int, for ``map="topk"``
    margin : float, default 0
        Taken from the scores of the target (times its weight) before anything else.
    temperature : float, default 1
    ignore_index : int, optional
        Rows with this class id count nothing and have gradient zero.
    reduction : {"mean", "sum", "none"}, default "mean"
        Over the rows that are not ignored.
    return_grad : bool, default False
        Return a `Loss` with value and gradient, from one pass.

    Returns
    -------
    float, ndarray or Loss
        L = Omega*(x/T) + Omega(t) - <t, x/T>, with gradient (p(x/T) - t)/T. Zero if and only
        if p = t (not for "topk"). Infinite where a target is masked.

    Raises
    ------
    ValueError
        A class id outside 0..n-1, shapes that do not fit, `alpha` or `k` missing or out of range.
    TypeError
        A target that is neither integers, real numbers nor a sparse array.

    Notes
    -----
    Omega is the negative Shannon entropy for softmax, and (sum p^alpha - 1)/(alpha (alpha - 1))
    for entmax. With "topk" the loss is the log-sum-exp of the k largest scores less that of the
    target: below zero when the target is not among them, where its gradient is still p - t.

    References
    ----------
    M. Blondel, A. Martins and V. Niculae, Learning with Fenchel-Young losses, JMLR 2020.
    Jianlin Su, 科学空间 (https://kexue.fm), post 10145 (2024-06-14).

    Examples
    --------
    >>> from kexue_num import simplex
    >>> loss = simplex.fenchel_young_loss([[2.0, 0.0, 0.0]], [1], map="sparsemax", return_grad=True)
    >>> loss.value, loss.grad
    (np.float64(2.0), array([[ 1., -1.,  0.]]))
    """
    name = "fenchel_young_loss"
    check_choice(name, "map", map, (*_ORDERS, "entmax"))
    check_choice(name, "reduction", reduction, ("mean", "sum", "none"))
    temperature = check_temperature(name, temperature)
    margin = check_real(name, "margin", margin)
    rows = as_rows(name, x, axis, workers=workers, fill=False)
    order, n_top = _check_map(rows, map, alpha, k)
    targets, counted = _check_target(rows, target, ignore_index)
    weight = 1 / max(counted, 1) if reduction == "mean" else 1.0
    values = np.empty(len(rows.x))
    gradient = _core.empty(rows.x.shape, rows.x.dtype) if return_grad else None
    _core.simplex.fenchel_young(
        rows.x, *targets, order, n_top, margin, temperature, weight, values, gradient, rows.workers
    )
    return _reduced(rows, values, gradient, reduction, weight)


def multilabel_loss(
    scores: object,
    labels: object,
    *,
    gamma: float = 1.0,
    margin: float = 0.0,
    threshold_class: bool = False,
    axis: int = -1,
    reduction: Reduction = "mean",
    return_grad: bool = False,
    workers: int | None = None,
) -> Any:
    """Loss of any number of labels per row: softmax cross-entropy against a threshold.

    Parameters
    ----------
    scores : array_like of real numbers
        Positive scores mean the label is predicted.
    labels : array_like of bool or 0 and 1
        The shape of `scores`; one entry shorter along `axis` with `threshold_class`.
    gamma : float, default 1
        Above zero; with `margin` it gives the circle loss.
    margin : float, default 0
        By which positive scores shall exceed the threshold and negative ones fall below it.
    threshold_class : bool, default False
        The first score of a row is the threshold, instead of zero.
    axis, reduction, return_grad, workers
        As in `fenchel_young_loss`.

    Returns
    -------
    float, ndarray or Loss
        log(1 + sum_neg exp(gamma (s + margin))) + log(1 + sum_pos exp(-gamma (s - margin))) with
        s the score less the threshold.

    References
    ----------
    Jianlin Su, 科学空间 (https://kexue.fm), post 7359 (2020-04-25).

    Examples
    --------
    >>> from kexue_num import simplex
    >>> float(simplex.multilabel_loss([[50.0, -50.0, -50.0]], [[1, 0, 0]]).round(12))
    0.0
    """
    name = "multilabel_loss"
    check_choice(name, "reduction", reduction, ("mean", "sum", "none"))
    gamma = check_real(name, "gamma", gamma, above=0)
    margin = check_real(name, "margin", margin)
    rows = as_rows(name, scores, axis, workers=workers, argument="scores", fill=False)
    length = rows.x.shape[1] - bool(threshold_class)
    flags = to_numpy(name, "labels", labels)
    expected = tuple(length if i in rows.axes else s for i, s in enumerate(rows.shape))
    if flags.shape != expected:
        text = f"must have shape {expected}"
        raise ValueError(message(name, "labels", text, Phrase(f"shape {flags.shape}")))
    if flags.dtype.kind not in "biuf":
        text = "must be an array of booleans or of 0 and 1"
        raise TypeError(message(name, "labels", text, Phrase(f"dtype {flags.dtype}")))
    if not ((flags == 0) | (flags == 1)).all():
        wrong = flags[(flags != 0) & (flags != 1)].flat[0]
        raise ValueError(message(name, "labels", "must be 0 or 1", wrong))
    moved = np.moveaxis(flags, rows.axes, tuple(range(-len(rows.axes), 0)))
    bits = np.ascontiguousarray(moved, np.uint8).reshape(len(rows.x), length)
    weight = 1 / max(len(rows.x), 1) if reduction == "mean" else 1.0
    values = np.empty(len(rows.x))
    gradient = _core.empty(rows.x.shape, rows.x.dtype) if return_grad else None
    _core.simplex.multilabel(
        rows.x, bits, gamma, margin, bool(threshold_class), weight, values, gradient, rows.workers
    )
    return _reduced(rows, values, gradient, reduction, weight)


def _check_map(rows: Rows, map_: str, alpha: object, k: object) -> tuple[float, int]:
    name = rows.function
    if map_ == "entmax":
        if alpha is None:
            raise ValueError(message(name, "alpha", "must be given for map='entmax'", None))
        return check_real(name, "alpha", alpha, above=0), 0
    if alpha is not None:
        raise ValueError(message(name, "alpha", f"must be None for map={map_!r}", alpha))
    if map_ == "topk":
        return 1.0, check_integer(name, "k", k, minimum=1, maximum=rows.x.shape[1])
    if k is not None:
        raise ValueError(message(name, "k", f"must be None for map={map_!r}", k))
    return _ORDERS[map_], 0


def _check_target(rows: Rows, target: Any, ignore_index: int | None) -> tuple[_Targets, int]:
    """(ids, dense, indptr, indices, data) and the number of rows that count."""
    name, (n_rows, n) = rows.function, rows.x.shape
    if hasattr(target, "tocsr"):
        return _check_sparse(rows, target), n_rows
    ids = to_numpy(name, "target", target)
    if ids.dtype.kind not in "iufb" and ids.dtype.name != "bfloat16":
        text = "must be integers (class ids), distributions or a sparse array"
        raise TypeError(message(name, "target", text, Phrase(f"dtype {ids.dtype}")))
    if ids.shape == rows.shape:
        return (None, rows.like("target", ids), None, None, None), n_rows
    if ids.shape != rows.batch or ids.dtype.kind not in "iu":
        text = f"must be integers of shape {rows.batch} or distributions of shape {rows.shape}"
        got = Phrase(f"dtype {ids.dtype} and shape {ids.shape}")
        raise ValueError(message(name, "target", text, got))
    ids = ids.astype(np.int64).reshape(-1)
    if ignore_index is not None:
        ignored = ids == check_integer(name, "ignore_index", ignore_index)
    else:
        ignored = np.zeros(n_rows, bool)
    wrong = ~ignored & ((ids < 0) | (ids >= n))
    if wrong.any():
        text = f"must hold class ids in 0..{n - 1}"
        raise ValueError(message(name, "target", text, ids[np.argmax(wrong)]))
    ids = np.where(ignored, -1, ids)
    return (ids, None, None, None, None), int(n_rows - ignored.sum())


def _check_sparse(rows: Rows, target: Any) -> _Targets:
    if target.shape != rows.shape or len(rows.shape) != 2 or rows.axes != (1,):
        text = f"must have the shape of 'x', {rows.shape}, with two dimensions and axis -1"
        raise ValueError(message(rows.function, "target", text, Phrase(f"shape {target.shape}")))
    csr = target.tocsr()
    csr.sum_duplicates()
    return (
        None,
        None,
        csr.indptr.astype(np.int64),
        csr.indices.astype(np.int64),
        csr.data.astype(np.float64),
    )


def _reduced(
    rows: Rows, values: Array, gradient: Array | None, reduction: str, weight: float
) -> Any:
    each = reduction == "none"
    with np.errstate(over="ignore"):
        value: Any = rows.of_rows(values) if each else np.float64(values.sum() * weight)
    if gradient is None:
        return value
    return Loss(value, round_result(rows.unfold(gradient), rows.dtype))
