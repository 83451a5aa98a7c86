"""Bounds on the exact cost from any potentials and any plan."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num.transport._result import Bracket, Potentials

Array = NDArray[Any]


def dual_bound(
    a: Array, b: Array, C: Array, g: Array, *, workers: int = 0
) -> tuple[float, float, Potentials]:
    """A feasible dual from any finite g: its value, a bound below it, and the potentials.

    f is the c-transform of g, then g that of f, so neither can be raised by itself. The bound is
    the value less what rounding can have added to it: the least cost lies above it, proved.
    """
    f = _core.transport.row_transform(C, g, workers)
    finite = np.where(np.isfinite(f), f, 0.0)  # a row without an arc, which has no mass
    g = _core.transport.column_transform(C, finite, workers)
    g = np.where(np.isfinite(g), g, 0.0)
    value, lower = dual_value(a, b, finite, g)
    return value, lower, Potentials(finite, g)


def dual_value(a: Array, b: Array, f: Array, g: Array) -> tuple[float, float]:
    """<a, f> + <b, g>, and a bound below it that rounding cannot have raised."""
    first, first_slack = _core.transport.weighted_sum(a, f)
    second, second_slack = _core.transport.weighted_sum(b, g)
    slack = first_slack + second_slack
    return first + second, first + second - slack - 2.0**-52 * abs(first + second)


def bracket(lower: float, a: Array, C: Array, plan: Array) -> Bracket:
    """The bound below, and the cost of a plan (n, m) with the right marginals, rounded up."""
    used = plan > 0
    value, slack = _core.transport.weighted_sum(plan[used], C[used])
    return Bracket(min(lower, value), value + slack + 2.0**-46 * float(a.sum()) * _size(C, used))


def _size(C: Array, used: Array) -> float:
    return float(np.abs(C[used]).max(initial=0.0))
