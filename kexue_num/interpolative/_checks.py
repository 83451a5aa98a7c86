"""The parts of a decomposition as callers pass them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from kexue_num._validation import as_array, message, to_numpy
from kexue_num.interpolative._spectral_norm import is_sparse

Array = npt.NDArray[Any]


def scale_of(A: Array) -> float:
    """The power of two at or below the largest part of an entry; 1 for zero and empty arrays."""
    largest = max(float(np.abs(part).max(initial=0)) for part in (A.real, A.imag))
    return 2.0 ** (math.frexp(largest)[1] - 1) if largest else 1.0


def checked_indices(name: str, idx: Any) -> npt.NDArray[np.int64]:
    order = to_numpy(name, "idx", idx)
    if order.ndim != 1 or (order.dtype.kind not in "iu" and order.size > 0):
        raise TypeError(message(name, "idx", "must be a 1-dimensional array of integers", order))
    order = order.astype(np.int64)
    if not np.array_equal(np.sort(order), np.arange(order.size)):
        raise ValueError(message(name, "idx", f"must be a permutation of 0..{order.size - 1}", idx))
    return order


def checked_id(name: str, idx: Any, proj: Any) -> tuple[npt.NDArray[np.int64], Array]:
    order = checked_indices(name, idx)
    coefficients = as_array(name, "proj", proj, ndim=2, dtypes="inexact", check_finite=True)
    if sum(coefficients.shape) != order.size:
        expected = f"must have shape (k, {order.size} - k) to go with 'idx'"
        raise ValueError(message(name, "proj", expected, coefficients.shape))
    return order, coefficients


def checked_skeleton(name: str, B: Any, rank: int) -> Array:
    dense = np.atleast_2d(B.toarray() if is_sparse(B) else to_numpy(name, "B", B))
    skeleton = as_array(name, "B", dense, ndim=2, dtypes="inexact", check_finite=True)
    if skeleton.shape[1] != rank:
        raise ValueError(message(name, "B", f"must have shape (m, {rank})", skeleton.shape))
    return skeleton
