"""Expectations, modes and highest-density regions, from quadrature and searches on the period."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num.density._canonical import autocorrelation
from kexue_num.density._frames import Frame

Array = NDArray[Any]
Model = _core.density.Model

_PLACES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
# Panels towards an open end: the last begins at 2^-1000 of the first cell.
_HALVINGS = 1000


def _edges(model: Model, frame: Frame, per_cell: int = 1) -> Array:
    """Edges of panels over (0, 1], the half of the period at an end, ascending."""
    cells = per_cell * max(32, 1 << math.ceil(math.log2(8 * (model.order + 1))))
    edges = np.arange(1, cells + 1) / cells
    if frame.is_bounded:
        return np.concatenate([[0.0], edges])
    return np.concatenate([edges[0] * np.exp2(np.arange(-float(_HALVINGS), 0)), edges])


def _power(model: Model, t: Array) -> Array:
    re, im = model.amplitude(t)
    power: Array = 0.5 * (re * re + im * im)
    return power


def expectation(model: Model, frame: Frame, f: Callable[[Array], Array]) -> float:
    """The mean of f under the density."""
    edges = _edges(model, frame)
    width = np.diff(edges)
    half = (edges[:-1, None] + width[:, None] * (0.5 + 0.5 * _PLACES)).reshape(-1)
    weight = (0.5 * width[:, None] * _WEIGHTS).reshape(-1)
    t = np.concatenate([half, -half[::-1]])
    mass = np.concatenate([weight, weight[::-1]]) * _power(model, t)
    keep = mass > 0
    y = model.locate(t[keep])
    mass = mass[keep]
    reached = np.isfinite(y)
    if not frame.is_bounded:
        mass, y = mass[reached], y[reached]
    with np.errstate(over="ignore"):
        values = np.asarray(f(y), np.float64)
    return float(np.sum(mass * values))


def moment(model: Model, frame: Frame, k: int) -> float:
    """The mean of y^k."""
    if k == 0:
        return 1.0
    if not frame.has_moment(k):
        return math.inf if k % 2 == 0 or frame.is_positive else math.nan
    return expectation(model, frame, lambda y: y**k)


def trig_moment(b: Array, start: float, n: int) -> complex:
    """The mean of e^{i n y} for y = start + pi t."""
    c = autocorrelation(b / np.linalg.norm(b))
    if abs(n) >= len(c):
        return 0j
    value = np.conj(c[abs(n)]) * np.exp(1j * abs(n) * start)
    return complex(value if n >= 0 else np.conj(value))


def _grid(model: Model, frame: Frame) -> Array:
    """Points of the support, ascending, fine enough to separate extrema."""
    edges = _edges(model, frame, per_cell=4)
    t = np.concatenate([edges, -edges[-2::-1]])
    y = model.locate(t)
    y = y[np.isfinite(y)]
    distinct: Array = y[np.concatenate([[True], np.diff(y) > 0])]
    return distinct


def modes(model: Model, frame: Frame) -> Array:
    """Local maxima of the density."""
    y = _grid(model, frame)
    q = model.pdf(y, True, 1)
    padded = np.concatenate([[-np.inf], q, [-np.inf]])
    if frame.support == "circle":
        padded[0], padded[-1] = q[-2], q[1]
    peak = np.flatnonzero((q > padded[:-2]) & (q >= padded[2:]) & np.isfinite(q))
    if frame.support == "circle":
        peak = peak[peak < len(y) - 1]
    elif not frame.is_bounded:
        peak = peak[(peak > 0) & (peak < len(y) - 1)]
    step = y[1] - y[0]
    low = np.where(peak > 0, y[np.maximum(peak - 1, 0)], y[0] - step * (frame.support == "circle"))
    high = y[np.minimum(peak + 1, len(y) - 1)]
    found = _golden_section(lambda at: model.pdf(at, True, 1), low, high)
    ends = np.array(frame.ends)
    if frame.is_bounded and frame.support != "circle":
        for end in ends:
            near = np.abs(found - end) < 1e-6 * step
            found = np.where(near, end, found)
    elif frame.support == "circle":
        found = ends[0] + np.mod(found - ends[0], frame.scale)
    return np.unique(found)


def _golden_section(f: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """The maximum of f between each low and high, where f has one."""
    golden = 0.5 * (math.sqrt(5) - 1)
    for _ in range(80):
        a, b = high - golden * (high - low), low + golden * (high - low)
        left = f(a) >= f(b)
        low, high = np.where(left, low, a), np.where(left, b, high)
    found: Array = 0.5 * (low + high)
    return found


def highest_density(model: Model, frame: Frame, level: float) -> Array:
    """The intervals on which the density exceeds the threshold that leaves mass `level`.

    Of a uniform density all regions of that mass are alike: the one in the middle.
    """
    y = _grid(model, frame)
    q = model.pdf(y, True, 1)
    if frame.is_bounded and q.max() - q.min() < 1e-13:
        start, end = frame.ends
        margin = 0.5 * (1 - level) * (end - start)
        return np.array([[start + margin, end - margin]])
    # With every peak and every valley among the points, no crossing is between two of one side.
    valley = 1 + np.flatnonzero((q[1:-1] <= q[:-2]) & (q[1:-1] < q[2:]))
    lowest = _golden_section(lambda at: -model.pdf(at, True, 1), y[valley - 1], y[valley + 1])
    y = np.unique(np.concatenate([y, modes(model, frame), lowest]))
    q = model.pdf(y, True, 1)
    y, q = y[np.isfinite(q)], q[np.isfinite(q)]
    low, high = float(q.min()), float(q.max())
    regions = np.array([[y[0], y[-1]]])
    for _ in range(100):
        threshold = 0.5 * (low + high)
        trial = _regions(model, y, q, threshold)
        mass = float(model.bins(trial[:, 0].copy(), trial[:, 1].copy(), 1).sum())
        if mass >= level:
            low, regions = threshold, trial
        else:
            high = threshold
        if abs(mass - level) < 1e-13 or high - low < 1e-15 * (1 + abs(high)):
            break
    return regions


def _regions(model: Model, y: Array, q: Array, threshold: float) -> Array:
    """Where log q exceeds the threshold: crossings between grid points, by bisection."""
    above = q > threshold
    change = np.flatnonzero(above[1:] != above[:-1])
    low, high = y[change], y[change + 1]
    rising = ~above[change]
    for _ in range(60 if len(change) else 0):
        middle = 0.5 * (low + high)
        upper = (model.pdf(middle, True, 1) > threshold) == rising
        low, high = np.where(upper, low, middle), np.where(upper, middle, high)
    crossings = list(0.5 * (low + high))
    if above[0]:
        crossings.insert(0, y[0])
    if above[-1]:
        crossings.append(y[-1])
    return np.array(crossings).reshape(-1, 2)
