"""Thresholds, supports, and sparse results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from kexue_num import _core
from kexue_num._validation import Phrase, as_array, check_choice, message
from kexue_num.simplex._maps import check_alpha, check_temperature
from kexue_num.simplex._rows import Array, Axis, as_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

ThresholdMap = Literal["softmax", "sparsemax", "entmax15", "entmax"]
_ORDERS = {"softmax": 1.0, "sparsemax": 2.0, "entmax15": 1.5}
# Entries of a dense block between which sparse rows are collected: 32 MiB in double.
_BLOCK = 1 << 22


@dataclass(frozen=True, repr=False, eq=False)
class Threshold:
    """The root of each row.

    Attributes
    ----------
    tau : ndarray without the reduced axes
    support_size : int64 ndarray of the same shape
    """

    tau: Array
    support_size: Array

    def __repr__(self) -> str:
        if self.tau.ndim == 0:
            return f"Threshold(tau={self.tau:.6g}, support_size={self.support_size})"
        return f"Threshold(shape={self.tau.shape})"


def threshold(
    x: object,
    *,
    map: ThresholdMap = "sparsemax",  # noqa: A002
    alpha: object = None,
    axis: Axis = -1,
    temperature: float = 1.0,
    where: object = None,
    workers: int | None = None,
) -> Threshold:
    """The threshold of a map and the size of its support, row by row.

    Parameters
    ----------
    x : array_like of real numbers
        As in `softmax`, as are `axis`, `temperature`, `where` and `workers`.
    map : {"softmax", "sparsemax", "entmax15", "entmax"}, default "sparsemax"
    alpha : float or array_like, for ``map="entmax"``

    Returns
    -------
    Threshold
        `tau` with p_i = max((alpha-1) x_i/temperature - tau, 0)^(1/(alpha-1)), for softmax
        p_i = exp(x_i/temperature - tau); `support_size`, the number of positive p_i.

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.threshold([0.5, 1.0, -3.0])
    Threshold(tau=0.25, support_size=2)
    """
    temperature = check_temperature("threshold", temperature)
    rows = as_rows("threshold", x, axis, where=where, workers=workers)
    each = check_alpha(rows, _order("threshold", map, alpha))
    tau = np.empty(len(rows.x))
    _core.simplex.entmax(rows.x, each, rows.out, temperature, False, tau, rows.workers)
    support = np.count_nonzero(rows.out, axis=1).reshape(rows.batch)
    return Threshold(rows.of_rows(tau), support)


def sparse(
    x: object,
    *,
    map: ThresholdMap = "sparsemax",  # noqa: A002
    alpha: object = None,
    temperature: float = 1.0,
    workers: int | None = None,
) -> csr_array:
    """The rows of a map as a SciPy sparse array that holds the support only.

    Parameters
    ----------
    x : (m, n) array_like of real numbers
    map, alpha, temperature, workers
        As in `threshold`.

    Returns
    -------
    scipy.sparse.csr_array
        (m, n), columns in order within each row; float32 for float16, which SciPy does not have.

    Notes
    -----
    Rows are mapped in blocks of 2^22 entries: the dense result never exists as a whole.

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.sparse([[0.5, 1.0, -3.0], [9.0, 0.0, 0.0]]).data
    array([0.25, 0.75, 1.  ])
    """
    from scipy.sparse import csr_array

    array = as_array("sparse", "x", x)
    if array.ndim != 2:
        expected = "must be 2-dimensional"
        raise ValueError(message("sparse", "x", expected, Phrase(f"shape {array.shape}")))
    temperature = check_temperature("sparse", temperature)
    rows = as_rows("sparse", x, workers=workers, fill=False)
    each = check_alpha(rows, _order("sparse", map, alpha))
    n_rows, n = rows.x.shape
    step = max(1, _BLOCK // n)
    block = np.empty((min(step, n_rows), n), rows.x.dtype)
    counts, columns, data = [np.zeros(1, np.int64)], [], []
    for first in range(0, n_rows, step):
        part = rows.x[first : first + step]
        p = block[: len(part)]
        orders = each if each.size == 1 else each[first : first + step]
        _core.simplex.entmax(part, orders, p, temperature, False, None, rows.workers)
        row, column = p.nonzero()
        counts.append(np.bincount(row, minlength=len(part)))
        columns.append(column)
        data.append(p[row, column])
    indptr = np.cumsum(np.concatenate(counts))
    values = np.concatenate(data) if data else np.empty(0, rows.x.dtype)
    indices = np.concatenate(columns) if columns else np.empty(0, np.int64)
    return csr_array((values, indices, indptr), shape=(n_rows, n))


def _order(function: str, map_: object, alpha: object) -> object:
    check_choice(function, "map", map_, (*_ORDERS, "entmax"))
    if map_ == "entmax":
        if alpha is None:
            raise ValueError(message(function, "alpha", "must be given for map='entmax'", None))
        return alpha
    if alpha is not None:
        raise ValueError(message(function, "alpha", f"must be None for map={map_!r}", alpha))
    return _ORDERS[str(map_)]
