"""The elementary functions that the kernels are made of, against NumPy's.

An array that fits the second-level cache is evaluated again and again, into an array given: only
the arithmetic is compared. The error is the largest, against extended precision where the machine
has it, in units of the 1.5 ulp that we promise. The limit is 16 operations an entry at the rate of
multiply-adds, as many as our exp takes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from kexue_num import _core

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
}
ENTRIES = 16384
FLOORS = {("exp", "float64"): 1.8}


def cases(quick: bool) -> Iterator[Case]:
    """Yield the cases; `quick` evaluates a tenth as often and promises nothing."""
    times = 8 if quick else 80
    for name in FUNCTIONS:
        for dtype in ("float64", "float32"):
            ratio = None if quick else FLOORS.get((name, dtype))
            yield Case(
                name=f"{name}/{ENTRIES}/{dtype}",
                title=f"{name} of {ENTRIES} entries in {dtype}, {times} times",
                prepare=functools.partial(_function, name, dtype, times),
                floor=None if ratio is None else Floor("NumPy", ratio, None),
            )


def _arguments(name: str, dtype: str) -> NDArray[Any]:
    """Half an octave around 1 to many octaves off, of both signs where the function has them."""
    rng = np.random.default_rng(0)
    if name in ("exp", "expm1"):
        return (rng.standard_normal(ENTRIES) * 10).astype(dtype)
    inverse, width = (np.exp, 5) if name == "log" else (np.expm1, 2)
    return inverse(rng.standard_normal(ENTRIES) * width).astype(dtype)


def _function(name: str, dtype: str, times: int) -> Problem:
    x = _arguments(name, dtype)
    ours, theirs = getattr(_core.elementary, name), FUNCTIONS[name]
    exact = theirs(x.astype(np.longdouble))

    def evaluate(function: Callable[..., Any], y: NDArray[Any]) -> NDArray[Any]:
        for _ in range(times):
            function(x, y)
        return y

    def judge(y: NDArray[Any]) -> Outcome:
        error = np.abs(y - exact) / np.spacing(np.abs(exact).astype(dtype)) / 1.5
        return Outcome(error=float(error.max()))

    return Problem(
        contenders=tuple(
            Contender(label, functools.partial(evaluate, function, np.empty_like(x)), judge)
            for label, function in (("kexue_num", ours), ("NumPy", theirs))
        ),
        error_unit="1.5 ulp",
        bytes_moved=0.0,
        flops=32.0 * x.size * times,
        dtype=dtype,
    )
