"""Where a density lives: its support, its base, and how samples are laid onto the period."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._validation import (
    Phrase,
    check_choice,
    check_positive,
    check_real,
    message,
)

Array = NDArray[Any]
Support = str | tuple[float, float]

BASES = ("logistic", "normal", "t3", "cauchy", "warp")
# Moments of these orders and beyond do not exist.
_TAIL_MOMENTS = {"logistic": math.inf, "normal": math.inf, "t3": 3.0, "warp": 3.0, "cauchy": 1.0}


@dataclass(frozen=True)
class Table:
    """The density of a warp on equispaced knots; `spill` of the mass follows the t3 base."""

    spill: float
    first: float
    last: float
    knots: Array


@dataclass(frozen=True)
class Frame:
    """A support with its base: everything of a density but its coefficients."""

    support: Support
    base: str
    loc: float
    scale: float
    table: Table | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether the base is uniform on one period."""
        return self.base == "uniform"

    @property
    def is_positive(self) -> bool:
        """Whether the base lies on the logarithm."""
        return self.support == "positive"

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the support."""
        if not isinstance(self.support, str):
            return self.support
        if self.is_bounded:
            return self.loc, self.loc + self.scale
        return (0.0 if self.is_positive else -math.inf), math.inf

    def chart(self) -> _core.density.Chart:
        """The compiled form."""
        if self.table is not None:
            table = self.table
            return _core.density.Chart(
                self.loc,
                self.scale,
                self.is_positive,
                table.spill,
                table.first,
                table.last,
                table.knots,
            )
        name = self.base
        if self.is_bounded:
            name = "circle" if self.support == "circle" else "interval"
        return _core.density.Chart(name, self.loc, self.scale, self.is_positive)

    def has_moment(self, k: float) -> bool:
        """Whether the absolute moment of order k exists."""
        if self.is_bounded or k == 0:
            return True
        if not self.is_positive:
            return k < _TAIL_MOMENTS[self.base]
        return self.base == "normal" or (self.base == "logistic" and k * self.scale < 2)

    def same_as(self, other: Frame) -> bool:
        """Whether moments of samples in one frame are moments in the other."""
        tables = (self.table, other.table)
        if None not in tables:
            equal = np.array_equal(self.table.knots, other.table.knots)  # type: ignore[union-attr]
        else:
            equal = tables == (None, None)
        mine = (self.support, self.base, self.loc, self.scale)
        return equal and mine == (other.support, other.base, other.loc, other.scale)


def check_support(function: str, support: object) -> Support:
    """'real', 'circle', 'positive' or a pair a < b."""
    if isinstance(support, str):
        return check_choice(function, "support", support, ("real", "circle", "positive"))
    expected = "must be 'real', 'circle', 'positive' or a pair (a, b) with a < b"
    try:
        pair: Any = support
        low, high = pair
    except (TypeError, ValueError):
        raise TypeError(message(function, "support", expected, support)) from None
    a = check_real(function, "support", low)
    b = check_real(function, "support", high)
    if not (a < b and math.isfinite(b - a)):
        raise ValueError(message(function, "support", expected, support))
    return a, b


def bounded_frame(function: str, support: Support, loc: object, scale: object) -> Frame:
    """The frame of a circle (centred at `loc`) or an interval; the period is the only scale."""
    start, period = -math.pi, 2 * math.pi
    if support != "circle":
        start, end = float(support[0]), float(support[1])
        period = end - start
    if scale is not None and check_positive(function, "scale", scale) != period:
        expected = f"must be None or the period, {period!r}, on a bounded support"
        raise ValueError(message(function, "scale", expected, scale))
    if support == "circle":
        centre = 0.0 if loc is None else check_real(function, "loc", loc)
        return Frame(support, "uniform", centre - math.pi, period)
    if loc is not None and check_real(function, "loc", loc) != start:
        expected = f"must be None or the lower end, {start!r}, of an interval"
        raise ValueError(message(function, "loc", expected, loc))
    return Frame(support, "uniform", start, period)


def open_frame(function: str, support: Support, base: str, loc: object, scale: object) -> Frame:
    """The frame of a parametric base on the real or half line, all of it given."""
    location = check_real(function, "loc", 0.0 if loc is None else loc)
    return Frame(support, base, location, check_positive(function, "scale", scale))


def check_samples(function: str, support: Support, x: Array) -> None:
    """ValueError for samples that the support does not hold."""
    if support in ("real", "circle"):
        return
    low, high = float(x.min()), float(x.max())
    if support == "positive":
        if low <= 0:
            expected = "must be > 0 for support='positive'"
            raise ValueError(message(function, "x", expected, Phrase(repr(low))))
    elif not isinstance(support, str):
        a, b = support
        if low < a or high > b:
            worst = low if low < a else high
            expected = f"must lie in the support [{a:g}, {b:g}]"
            raise ValueError(message(function, "x", expected, Phrase(repr(worst))))


# Location and scale


_QUANTILE_SAMPLES = 1 << 13
_BLOCK = 1 << 16


def _spread(x: Array, w: Array | None) -> tuple[float, float, float]:
    """Median, interquartile range and the range of the middle 95 %, in normal deviations.

    From at most 2^13 samples at fixed places: exact for smaller ones, and equivariant always.
    """
    if x.size > _QUANTILE_SAMPLES:
        place = (np.arange(_QUANTILE_SAMPLES) * (x.size / _QUANTILE_SAMPLES)).astype(np.int64)
        x, w = x[place], None if w is None else w[place]
    levels = np.array([0.025, 0.25, 0.5, 0.75, 0.975])
    if w is None:
        ordered = np.sort(x)
        below = np.arange(1, x.size + 1) / x.size
    else:
        order = np.argsort(x, kind="stable")
        ordered, below = x[order], np.cumsum(w[order])
        below /= below[-1]
    # The mean of the lower and the upper quantile, so that reflection changes nothing.
    last = x.size - 1
    lower = ordered[np.minimum(np.searchsorted(below, levels - 1e-12), last)]
    upper = ordered[np.minimum(np.searchsorted(below, levels + 1e-12, side="right"), last)]
    q = 0.5 * lower + 0.5 * upper
    with np.errstate(over="ignore"):
        return float(q[2]), float(q[3] - q[1]) / 1.349, float(q[4] - q[0]) / 3.92


def _mean_and_deviation(y: Array, w: Array | None) -> tuple[float, float]:
    with np.errstate(over="ignore", invalid="ignore"):
        weight = y.size if w is None else float(w.sum())
        mean = float(y.mean()) if w is None else float(w @ y) / weight
        square = 0.0
        for start in range(0, y.size, _BLOCK):  # a copy of all samples would be most of the memory
            part = slice(start, start + _BLOCK)
            centred = y[part] - mean
            square += float(centred @ (centred if w is None else w[part] * centred))
        return mean, float(np.sqrt(square / weight))


def candidate_frames(
    function: str,
    support: Support,
    base: str,
    loc: object,
    scale: object,
    x: Array,
    w: Array | None,
) -> list[Frame]:
    """The frames among which a fit chooses, the customary one first."""
    if loc is not None and scale is not None and base != "auto":
        return [open_frame(function, support, base, loc, scale)]
    y = np.log(x) if support == "positive" else x
    median, inner, outer = _spread(y, w)
    mean = deviation = math.nan
    if base in ("auto", "normal") or not 0 < outer < math.inf:
        mean, deviation = _mean_and_deviation(y, w)
        if not math.isfinite(deviation):
            expected = "must not be so large that its variance overflows"
            raise ValueError(message(function, "x", expected, x))
        if not deviation > 1e-14 * abs(mean):
            got = Phrase(f"{x.size} samples of the value {float(x[0])!r}")
            raise ValueError(message(function, "x", "must not be constant", got))
    wide = outer if outer > 0 else deviation
    narrow = inner if inner > 0 else wide
    table = {
        "normal": [(mean, deviation), (median, 1.6 * wide)],
        "logistic": [(median, 2.5 * wide), (median, 1.25 * wide)],
        "t3": [(median, 0.9 * narrow), (median, 1.8 * narrow)],
        "cauchy": [(median, 0.7 * narrow), (median, 1.4 * narrow)],
    }
    names = ("normal", "logistic", "t3", "cauchy") if base == "auto" else (base,)
    frames: list[Frame] = []
    for name in names:
        for location, width in table[name]:
            frame = open_frame(
                function,
                support,
                name,
                location if loc is None else loc,
                width if scale is None else scale,
            )
            if frame not in frames:
                frames.append(frame)
    return frames
