"""Elementary functions by mpmath, and errors in units in the last place."""

import math
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]


def reference(name: str, x: FloatArray) -> tuple[FloatArray, NDArray[np.float64]]:
    """f(x) rounded to x's dtype, and what rounding left, in ulp of the rounded value.

    The special values are spelled out; the rest is mpmath with 60 bits to spare.
    """
    function = getattr(mpmath, name)
    rounded = np.empty_like(x)
    remainder = np.zeros(x.size)
    with mpmath.workprec(113):
        for i, value in enumerate(x.tolist()):
            special = special_value(name, value)
            if special is not None:
                rounded[i] = special
                continue
            exact = function(mpmath.mpf(value))
            rounded[i] = round_to(exact, x.dtype)
            if np.isfinite(rounded[i]):
                unit = mpmath.mpf(float(ulp(rounded[i : i + 1])[0]))
                remainder[i] = float((exact - mpmath.mpf(float(rounded[i]))) / unit)
    return rounded, remainder


def special_value(name: str, x: float) -> float | None:
    """The value the standards name for x, or None where f(x) is to be computed."""
    if math.isnan(x):
        return math.nan
    if math.isinf(x):
        return {
            "exp": math.inf if x > 0 else 0.0,
            "expm1": math.inf if x > 0 else -1.0,
            "log": math.inf if x > 0 else math.nan,
            "log1p": math.inf if x > 0 else math.nan,
        }.get(name, math.nan)
    if name in ("log", "log1p"):
        lowest = 0.0 if name == "log" else -1.0
        if x <= lowest:
            return -math.inf if x == lowest else math.nan
    if x == 0 and name in ("expm1", "log1p"):
        return x
    if name == "sinpi" and math.fmod(x, 1.0) == 0:
        return math.copysign(0.0, x)
    if name == "cospi" and abs(math.fmod(x, 1.0)) == 0.5:
        return 0.0
    return None


def round_to(exact: mpmath.mpf, dtype: np.dtype[Any]) -> float:
    """`exact` rounded once to the dtype: nearest, ties to even, subnormals and overflow as IEEE."""
    info = np.finfo(dtype)
    if exact == 0:
        return 0.0
    exponent = max(int(mpmath.frexp(exact)[1]) - 1, int(info.minexp)) - int(info.nmant)
    steps = int(mpmath.nint(mpmath.ldexp(exact, -exponent)))
    if abs(steps) * mpmath.mpf(2) ** exponent > float(info.max):
        return math.copysign(math.inf, exact)
    return math.ldexp(steps, exponent)


def ulp(y: FloatArray) -> NDArray[np.float64]:
    """The distance of neighbours in y's binade."""
    info = np.finfo(y.dtype)
    exponent = np.frexp(y)[1] - 1
    return np.ldexp(1.0, np.maximum(exponent, info.minexp) - info.nmant)


def ulp_errors(
    y: FloatArray, rounded: FloatArray, remainder: NDArray[np.float64]
) -> NDArray[np.float64]:
    """|y - f(x)| in ulp: 0 where both are the same infinity, zero of a sign or NaN, else inf."""
    finite = np.isfinite(rounded) & np.isfinite(y)
    unit = ulp(np.where(finite, rounded, 1).astype(y.dtype))
    difference = np.where(finite, y, 0).astype(float) - np.where(finite, rounded, 0)
    errors = np.abs(difference / unit - remainder)
    same = (np.isnan(y) & np.isnan(rounded)) | (y == rounded)
    return np.where(finite, errors, np.where(same, 0.0, np.inf))
