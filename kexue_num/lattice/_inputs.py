"""Checks that lattices and trellises share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num._validation import Phrase, as_array, message, to_numpy

Array = NDArray[Any]


def as_integers(function: str, argument: str, value: object, *, ndim: int | None = 1) -> Array:
    """A C-contiguous int64 array from integers; an empty list counts as integers."""
    array = to_numpy(function, argument, value)
    if array.size and array.dtype.kind not in "iu":
        got = Phrase(f"dtype {array.dtype}")
        raise TypeError(message(function, argument, "must be an array of integers", got))
    if ndim is not None and array.ndim != ndim:
        expected = f"must be {ndim}-dimensional"
        raise ValueError(message(function, argument, expected, Phrase(f"shape {array.shape}")))
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(message(function, argument, "must fit in 64 bits", int(array.max())))
    if array.dtype.kind not in "iu":
        return np.zeros(array.shape, np.int64)
    return np.ascontiguousarray(array, dtype=np.int64)


def check_range(function: str, argument: str, array: Array, size: int, what: str) -> None:
    """ValueError naming the first entry outside 0..size-1."""
    outside = (array < 0) | (array >= size)
    if outside.any():
        place = np.unravel_index(int(np.argmax(outside)), array.shape)
        at = ", ".join(str(int(i)) for i in place)
        got = Phrase(f"{int(array[place])} at [{at}]")
        expected = f"must be {what} in 0..{size - 1}" if size else f"must be empty: no {what}"
        raise ValueError(message(function, argument, expected, got))


def as_scores(function: str, argument: str, value: object, *, ndim: int | None = 1) -> Array:
    """float64 scores: finite, or -inf for what is absent."""
    array = as_array(function, argument, value, ndim=ndim)
    array = np.ascontiguousarray(array, dtype=np.float64)
    check_scores(function, argument, array)
    return array


def check_scores(function: str, argument: str, array: Array) -> None:
    """ValueError naming the first NaN or +inf."""
    if not array.size or array.max() < np.inf:  # NaN is passed on by max
        return
    bad = ~(array < np.inf)
    if bad.any():
        place = np.unravel_index(int(np.argmax(bad)), array.shape)
        at = ", ".join(str(int(i)) for i in place)
        got = Phrase(f"{float(array[place])!r} at [{at}]")
        expected = "must be finite, or -inf for what is absent"
        raise ValueError(message(function, argument, expected, got))
