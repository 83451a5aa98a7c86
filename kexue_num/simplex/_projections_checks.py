"""What the projections check and prepare: radii, weights, bounds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexue_num._validation import Phrase, as_array, describe, message
from kexue_num.simplex._rows import Rows, contiguous

Array = NDArray[Any]

# Bounds meet a radius that exceeds their sum by this many roundings: ten times 0.1 is "1".
SLACK = 8


class Box(NamedTuple):
    """What the core needs to know of weights and bounds."""

    weights: Array | None  # (1, n) for all rows alike, or (n_rows, n)
    lower: Array | None
    upper: Array | None
    lowest: float  # the bounds if they are not arrays
    highest: float
    lowest_sum: Array  # (n_rows,) sum of weights * lower

    @classmethod
    def of(cls, rows: Rows, radii: Array, weights: Any, lower: Any, upper: Any) -> Box:
        n_rows, n = rows.x.shape
        w = None if weights is None else rows_of(rows, "weights", weights)
        if w is not None and not (w.size == 0 or (w.min() > 0 and w.max() < np.inf)):
            bad = w[~((w > 0) & (w < np.inf))][0]
            raise ValueError(message(rows.function, "weights", "must be finite and > 0", bad))
        low = _scalar_or_rows(rows, "lower", 0.0 if lower is None else lower)
        high = _scalar_or_rows(rows, "upper", np.inf if upper is None else upper)
        _check_order(rows, low, high)
        lowest_sum, size = _weighted_sum(w, n, low)
        highest_sum, other_size = _weighted_sum(w, n, high)
        room = SLACK * np.finfo(rows.x.dtype).eps
        with np.errstate(over="ignore", invalid="ignore"):
            too_small = radii < lowest_sum - room * size
            too_large = radii > highest_sum + room * other_size
        for name, given, total, short in (
            ("lower", lower, lowest_sum, too_small),
            ("upper", upper, highest_sum, too_large),
        ):
            if short.any():
                i = int(np.argmax(short))
                least = "most" if name == "lower" else "least"
                argument = name if given is not None else "radius"
                expected = f"must sum to at {least} the radius {radii[i]:g} (weighted)"
                got = Phrase(f"{np.broadcast_to(total, n_rows)[i]:g}")
                raise ValueError(message(rows.function, argument, expected, got))
        sums = np.ascontiguousarray(np.broadcast_to(lowest_sum, n_rows))
        if low.ndim == 0 and high.ndim == 0:
            return cls(w, None, None, float(low), float(high), sums)
        shape = (1 if max(low.size, high.size) <= n else n_rows, n)
        bounds = [
            np.ascontiguousarray(np.broadcast_to(b, shape), rows.x.dtype) for b in (low, high)
        ]
        return cls(w, bounds[0], bounds[1], 0.0, 0.0, sums)


def check_radius(rows: Rows, radii: Array) -> None:
    bad = ~((radii >= 0) & (radii < np.inf))
    if bad.any():
        got = describe(float(radii[bad][0]))
        raise ValueError(message(rows.function, "radius", "must be >= 0 and finite", Phrase(got)))


def rows_of(rows: Rows, argument: str, value: Any) -> Array:
    """A scalar or (n,) as one row for all, the shape of x as one row for each; apart from out."""
    array = as_array(rows.function, argument, value)
    n = rows.x.shape[1]
    if array.ndim == 0 or array.shape == (n,):
        return apart(contiguous(np.broadcast_to(array, (1, n)), rows.x.dtype), rows)
    if array.shape == rows.shape:
        return apart(rows.like(argument, array), rows)
    expected = f"must be a scalar or have shape ({n},) or {rows.shape}"
    raise ValueError(message(rows.function, argument, expected, Phrase(f"shape {array.shape}")))


def apart(array: Array, rows: Rows) -> Array:
    """The array, copied if the result would overwrite it."""
    return array.copy() if np.may_share_memory(array, rows.out) else array


def _scalar_or_rows(rows: Rows, argument: str, value: Any) -> Array:
    array = as_array(rows.function, argument, value)
    bound = array.astype(rows.x.dtype) if array.ndim == 0 else rows_of(rows, argument, array)
    if bound.size and np.isnan(bound.min()):
        raise ValueError(message(rows.function, argument, "must not be NaN", float("nan")))
    return bound


def _check_order(rows: Rows, low: Array, high: Array) -> None:
    if low.size and low.max() == np.inf:
        raise ValueError(message(rows.function, "lower", "must not be inf", np.inf))
    if high.size and high.min() == -np.inf:
        raise ValueError(message(rows.function, "upper", "must not be -inf", -np.inf))
    crossed = low > high
    if crossed.any():
        one, other = (np.broadcast_to(b, crossed.shape)[crossed][0] for b in (low, high))
        expected = f"must not exceed 'upper' ({other:g} at the same place)"
        raise ValueError(message(rows.function, "lower", expected, float(one)))


def _weighted_sum(weights: Array | None, n: int, bound: Array) -> tuple[Array, Array]:
    """sum(w * b) and sum(w * abs(b)) per row, in double precision; infinite where they overflow."""
    if not bound.any():
        return np.zeros(1), np.zeros(1)
    if bound.ndim == 0 and np.isinf(bound):
        return np.full(1, float(bound)), np.full(1, np.inf)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if bound.ndim == 0:
            total = np.full(1, float(n)) if weights is None else weights.sum(-1, dtype=np.float64)
            return total * np.float64(bound), total * np.abs(np.float64(bound))
        if weights is None:
            products = bound.astype(np.float64)
        else:
            products = np.multiply(weights, bound, dtype=np.float64)
        return products.sum(-1), np.abs(products, out=products).sum(-1)
