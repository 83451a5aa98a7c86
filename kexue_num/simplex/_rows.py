"""Arrays as batches of rows: any axes, layout and dtype in, one C-contiguous matrix for the core.

Every row-wise function is three lines::

    rows = as_rows("sparsemax", x, axis, out=out, where=where, workers=workers)
    _core.simplex.sparsemax(rows.x, rows.out, ...)
    return rows.result()
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from kexue_num import _core
from kexue_num._validation import (
    Phrase,
    as_array,
    check_axis,
    check_out,
    check_workers,
    describe,
    message,
    result_dtype,
    round_result,
    to_numpy,
)

Array = NDArray[Any]
Axis = int | tuple[int, ...] | None
# Entries: a millisecond, a few dozen where they are turned.
_PIECE = 1 << 20


@dataclass(frozen=True, eq=False)
class Rows:
    """A batch of rows of one length, and where the results go.

    Attributes
    ----------
    x : (n_rows, n) ndarray, float32 or float64, C-contiguous
        The input, in its own memory wherever the layout allows it: not to be written.
    out : (n_rows, n) ndarray of the same dtype, C-contiguous
        For the core to fill. The memory of `x` if the caller asked for that, otherwise disjoint.
    workers : int
        For the core: 0 means the library's setting.
    batch : tuple of int
        Shape of the input without the reduced axes; n_rows is its product.
    shape : tuple of int
        Shape of the input.
    dtype : dtype
        Of results: the input's, float64 for integers.
    """

    function: str
    x: Array
    out: Array
    workers: int
    batch: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: tuple[int, ...]
    target: Array | None

    def result(self) -> Array:
        """`out` in the caller's axes and dtype; the caller's own array if one was given."""
        if self.target is None:
            return round_result(self.unfold(self.out), self.dtype)
        if not np.may_share_memory(self.out, self.target):
            with np.errstate(over="ignore", under="ignore"):
                self.target[...] = self.unfold(self.out)
        return self.target

    def unfold(self, matrix: Array) -> Array:
        """A matrix of rows as an array of the input's shape."""
        if _trailing(self.axes, len(self.shape)):
            return matrix.reshape(self.shape)
        reduced = tuple(self.shape[axis] for axis in self.axes)
        return np.moveaxis(matrix.reshape(self.batch + reduced), _last(self.axes), self.axes)

    def like(self, argument: str, value: object) -> Array:
        """Another array of the input's shape as rows, in the dtype of `x`."""
        array = as_array(self.function, argument, value)
        if array.shape != self.shape:
            expected = f"must have shape {self.shape}"
            got = Phrase(f"shape {array.shape}")
            raise ValueError(message(self.function, argument, expected, got))
        return _fold(array, self.axes, self.x.dtype)

    def per_row(self, argument: str, value: object) -> Array:
        """One float64 for every row, from a scalar or an array of the batch's shape."""
        array = as_array(self.function, argument, value).astype(np.float64, copy=False)
        if array.ndim and array.shape != self.batch:
            expected = f"must be a scalar or have shape {self.batch}, one value per row"
            got = Phrase(f"shape {array.shape}")
            raise ValueError(message(self.function, argument, expected, got))
        return np.ascontiguousarray(np.broadcast_to(array, self.batch)).reshape(-1)

    def of_rows(self, values: Array) -> Array:
        """Values of the rows, (n_rows,), in the shape of the batch and the dtype of results."""
        return round_result(values.reshape(self.batch), self.dtype)


def as_rows(
    function: str,
    x: object,
    axis: Axis = -1,
    *,
    out: object = None,
    where: object = None,
    workers: int | None = None,
    argument: str = "x",
    fill: bool = True,
) -> Rows:
    """Rows along `axis` (an integer, a tuple, None for all) of `x`, validated and laid out.

    Entries where `where` is False become -inf. `out` is checked for shape, dtype and overlap; it
    may be `x` itself. Without `fill` no output is made: `Rows.out` is empty.
    """
    array = as_array(function, argument, x)
    dtype = result_dtype(x)
    axes = _check_axes(function, axis, array.ndim)
    n = math.prod(array.shape[i] for i in axes)
    if n == 0:
        expected = "must not be empty along 'axis'"
        got = Phrase(f"shape {array.shape} with axis {describe(axis)}")
        raise ValueError(message(function, argument, expected, got))
    workers = check_workers(function, workers)
    target: Array | None = None
    if out is not None:
        target = check_out(function, out, array.shape, dtype)
        _check_overlap(function, x, argument, target)
    if where is not None:
        array = _masked(function, array, where)
    matrix = _fold(array, axes)
    if not fill:
        result = np.empty((matrix.shape[0], 0), matrix.dtype)
    elif target is not None and target.dtype == matrix.dtype and _foldable(target, axes):
        result = _fold(target, axes)
    else:
        result = _core.empty(matrix.shape, matrix.dtype)
    batch = tuple(size for i, size in enumerate(array.shape) if i not in axes)
    return Rows(function, matrix, result, workers, batch, array.shape, dtype, axes, target)


def contiguous(array: Array, dtype: DTypeLike) -> Array:
    """The array in C order and in `dtype`, itself if it is so; Ctrl-C is heard between pieces."""
    if array.flags.c_contiguous and array.dtype == dtype:
        return array
    if array.size <= _PIECE:
        return np.ascontiguousarray(array, dtype)
    copy = np.empty(array.shape, dtype)
    axis = int(np.argmax(array.shape))
    step = max(1, _PIECE * array.shape[axis] // array.size)
    for i in range(0, array.shape[axis], step):
        part = (slice(None),) * axis + (slice(i, i + step),)
        np.copyto(copy[part], array[part], "unsafe")
    return copy


def _last(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(-len(axes), 0))


def _trailing(axes: tuple[int, ...], ndim: int) -> bool:
    """Whether nothing needs to be moved; `numpy.moveaxis` takes microseconds."""
    return axes == tuple(range(ndim - len(axes), ndim))


def _check_axes(function: str, axis: object, ndim: int) -> tuple[int, ...]:
    if axis is None or (ndim == 0 and axis in (0, -1)):
        return tuple(range(ndim))
    if not isinstance(axis, tuple):
        return (check_axis(function, "axis", axis, ndim),)
    axes = tuple(check_axis(function, "axis", i, ndim) for i in axis)
    if not axes or len(set(axes)) < len(axes):
        expected = "must name at least one axis, none of them twice"
        raise ValueError(message(function, "axis", expected, axis))
    return axes


def _foldable(array: Array, axes: tuple[int, ...]) -> bool:
    moved = array if _trailing(axes, array.ndim) else np.moveaxis(array, axes, _last(axes))
    return moved.flags.c_contiguous


def _fold(array: Array, axes: tuple[int, ...], dtype: np.dtype[Any] | None = None) -> Array:
    """(n_rows, n): the same memory if the axes, moved to the end, lie in C order."""
    n = math.prod(array.shape[i] for i in axes)
    moved = array if _trailing(axes, array.ndim) else np.moveaxis(array, axes, _last(axes))
    rows = contiguous(moved, moved.dtype if dtype is None else dtype)
    return rows.reshape(array.size // n if n else 0, n)


def _masked(function: str, array: Array, where: object) -> Array:
    mask = to_numpy(function, "where", where)
    if mask.dtype != np.bool_:
        expected = "must be an array of booleans"
        raise TypeError(message(function, "where", expected, Phrase(f"dtype {mask.dtype}")))
    try:
        mask = np.broadcast_to(mask, array.shape)
    except ValueError as error:
        expected = f"must broadcast to shape {array.shape}"
        got = Phrase(f"shape {mask.shape}")
        raise ValueError(message(function, "where", expected, got)) from error
    return np.where(mask, array, array.dtype.type(-np.inf))


def _check_overlap(function: str, x: object, argument: str, out: Array) -> None:
    """`out` is the whole of `x` or shares no memory with it."""
    if not isinstance(x, np.ndarray) or not np.may_share_memory(x, out):
        return
    same = x.strides == out.strides and x.ctypes.data == out.ctypes.data and x.dtype == out.dtype
    if same:
        return
    if np.shares_memory(x, out):
        expected = f"must be '{argument}' itself or not overlap it"
        got = Phrase(f"an array that shares memory with '{argument}'")
        raise ValueError(message(function, "out", expected, got))
