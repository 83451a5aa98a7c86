"""Checks of masses and costs."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._validation import Phrase, as_array, message, result_dtype

Array = NDArray[Any]

_ALWAYS_THERE = 2**26
_TOLERANCES = {"float32": 1e-6, "float16": 2e-3, "bfloat16": 1e-2}


@dataclass(frozen=True, eq=False)
class Problem:
    """A checked transport problem.

    Attributes
    ----------
    a, b : (n,) and (m,) float64 ndarrays
        Of the same sum, which is positive.
    C : (n, m) float64 ndarray, C-contiguous
        Finite, or +inf where an arc is forbidden.
    dtype : dtype
        Of the arrays that results hold: float32 if no argument has more.
    scale : float
        The largest finite |C_ij|.
    has_forbidden : bool
        Whether an entry of C is +inf.
    """

    a: Array
    b: Array
    C: Array
    dtype: np.dtype[Any]
    scale: float
    has_forbidden: bool


def as_problem(function: str, a: object, b: object, C: object, *, balanced: bool = True) -> Problem:
    """Masses and costs that agree. Sums that differ by rounding only are made equal."""
    cost, scale, has_forbidden = as_costs(function, C)
    n, m = cost.shape
    first, second = as_masses(function, "a", a, n), as_masses(function, "b", b, m)
    if balanced:
        second = balance(function, first, second, mass_tolerance(a, b))
    dtype = result_dtype(C)
    for given in (a, b):
        if given is not None and result_dtype(given) != dtype:
            dtype = np.promote_types(dtype, result_dtype(given))
    return Problem(first, second, cost, np.dtype(dtype), scale, has_forbidden)


def as_masses(function: str, argument: str, value: object, size: int) -> Array:
    """(size,) masses in float64: finite, none negative, not all zero; uniform for None."""
    if value is None:
        return np.full(size, 1 / size)
    array = as_array(function, argument, value, ndim=1)
    if array.shape != (size,):
        expected = f"must have shape ({size},)"
        raise ValueError(message(function, argument, expected, Phrase(f"shape {array.shape}")))
    return check_masses(function, argument, array)


def check_masses(function: str, argument: str, array: Array) -> Array:
    """Masses of any shape in float64; every row along the last axis has a positive sum."""
    masses = np.ascontiguousarray(array, np.float64)
    low, high, invalid, infinite = 0.0, 0.0, False, False
    if masses.size > 0:
        low, high, invalid, infinite = _core.transport.cost_range(masses.reshape(1, -1))
    if invalid or infinite or low < 0:
        bad = ~((masses >= 0) & (masses < np.inf))
        raise ValueError(
            message(function, argument, "must be finite and >= 0", _first(masses, bad))
        )
    if high * masses.shape[-1] > sys.float_info.max:
        with np.errstate(over="ignore"):
            finite = np.isfinite(masses.sum(axis=-1)).all()
        if not finite:
            raise ValueError(message(function, argument, "must have a finite sum", Phrase("inf")))
    if not (high > 0 if masses.ndim == 1 else np.all(masses.max(axis=-1, initial=0) > 0)):
        raise ValueError(message(function, argument, "must have a positive sum", Phrase("0.0")))
    return masses


def balance(function: str, a: Array, b: Array, tolerance: float) -> Array:
    """`b` scaled to the sum of `a`, if they differ by at most `tolerance`, relatively."""
    have, want = float(np.add.reduce(b)), float(np.add.reduce(a))
    if abs(have - want) > tolerance * max(have, want):
        expected = f"must sum to {want!r}, the sum of 'a', within {tolerance:g} of it"
        raise ValueError(message(function, "b", expected, Phrase(repr(have))))
    return b if have == want else b * (want / have)


def as_costs(function: str, C: object) -> tuple[Array, float, bool]:
    """(n, m) costs in float64, the largest finite size, and whether one is +inf."""
    given = as_array(function, "C", C, ndim=2)
    n, m = given.shape
    if n == 0 or m == 0:
        raise ValueError(
            message(function, "C", "must not be empty", Phrase(f"shape {given.shape}"))
        )
    if given.dtype != np.float64 or not given.flags.c_contiguous:
        require_memory(function, 8 * n * m, f"costs of shape {(n, m)} as float64")
    cost = np.ascontiguousarray(given, np.float64)
    low, high, invalid, forbidden = _core.transport.cost_range(cost)
    if invalid:
        bad = ~(cost > -np.inf)
        expected = "must be finite, or +inf for a forbidden arc"
        raise ValueError(message(function, "C", expected, _first(cost, bad)))
    return cost, max(abs(low), abs(high)) if low <= high else 0.0, forbidden


def require_memory(function: str, size: int, what: str) -> None:
    """MemoryError before an allocation that the machine cannot hold."""
    if size <= _ALWAYS_THERE:
        return
    try:
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return
    if size > available:
        raise MemoryError(
            f"{function}: {what} would take {size / 2**30:.1f} GiB, "
            f"the machine has {available / 2**30:.1f} GiB"
        )


def mass_tolerance(*masses: object) -> float:
    """How far sums may differ: float32 masses are rounded to about 1e-7, float16 to 5e-4."""
    given = [result_dtype(value) for value in masses if value is not None]
    return max((1e-9 if d == np.float64 else _TOLERANCES[d.name] for d in given), default=1e-9)


def _first(array: Array, bad: Array) -> Phrase:
    place = np.unravel_index(int(np.argmax(bad)), array.shape)
    return Phrase(f"{float(array[place])!r} at [{', '.join(str(int(i)) for i in place)}]")
