"""The warp: an oversmoothed Gaussian kernel estimate as the base."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._validation import check_positive, check_real
from kexue_num.density._fit import FOLDS, Samples, Settings, blocks, fit_order
from kexue_num.density._frames import Frame, Support, Table, candidate_frames

Array = NDArray[Any]

_KNOTS = 4096
_WIDTHS = (1.0, 1.6, 3.0, 6.0, 12.0)
_LOOKED_AT = 100_000


def _some(x: Array) -> Array:
    return x[:: -(-x.size // _LOOKED_AT)]


def repeat(x: Array) -> bool:
    """Whether a fifth of the samples are equal to others, as rounded ones are.

    Kernels that are narrow enough to tell the values apart then do well on any samples left out.
    """
    some = _some(x)
    return bool(np.unique(some).size <= 0.8 * some.size)


def _resolution(y: Array) -> float:
    """The distance of neighbouring values: no narrower kernels make sense."""
    values = np.unique(_some(y))
    return float(np.median(np.diff(values))) if values.size > 1 else 0.0


def frames(
    function: str, support: Support, loc: object, scale: object, x: Array, w: Array | None
) -> list[Frame]:
    """Warps of several bandwidths, multiples of the improved Sheather-Jones bandwidth."""
    outer = candidate_frames(function, support, "t3", None, None, x, w)[0]
    location = outer.loc if loc is None else check_real(function, "loc", loc)
    width = 4 * outer.scale if scale is None else check_positive(function, "scale", scale)
    y = np.log(x) if support == "positive" else x
    low, high = float(y.min()), float(y.max())
    margin = 0.25 * (high - low)
    edge, span = low - margin, high - low + 2 * margin
    histogram = _linear_bins(y, w, edge, span)
    bandwidth = max(_bandwidth(histogram, y.size) * span, _resolution(y))
    # As much mass for the tails as a few samples have.
    spill = min(max(2 / y.size, 1e-6), 1e-2)
    out = []
    for factor in _WIDTHS:
        h = min(factor * bandwidth, margin / 6)
        knots = np.maximum(_smooth(histogram, h / span), 0)
        table = Table(spill, edge, edge + span, knots)
        out.append(Frame(support, "warp", location, width, table))
    return out


def held_out(
    function: str,
    support: Support,
    given: tuple[object, object],
    x: Array,
    w: Array | None,
    labels: Array,
    orders: list[int],
    settings: Settings,
) -> Array:
    """Log-likelihood of the folds left out, (bandwidths, orders).

    The base is a kernel estimate of the samples: it must be made anew without each fold, or the
    narrowest would always win.
    """
    total = np.zeros((len(_WIDTHS), len(orders)))
    for fold in range(FOLDS):
        kept, left = labels != fold, labels == fold
        if not left.any() or kept.sum() < 2:
            continue
        weights = (None, None) if w is None else (w[kept], w[left])
        candidates = frames(function, support, *given, x[kept], weights[0])
        for i, frame in enumerate(candidates):
            train, test = Samples(frame, orders[-1], 1), Samples(frame, orders[-1], 1)
            train.add(x[kept], weights[0], None, settings.workers)
            test.add(x[left], weights[1], None, settings.workers)
            measure, judge = train.measure(), test.measure()
            start: Array | None = None
            for j, order in enumerate(orders):
                found = fit_order(measure, order, settings, start=start, certify=False)
                start = found.b
                mean = _core.density.log_likelihood(judge.t, judge.w, judge.moments, found.b)
                total[i, j] += test.weight * mean + test.log_slope
    return total


def _linear_bins(y: Array, w: Array | None, edge: float, span: float) -> Array:
    """Shares of the samples on the knots, of sum one."""
    bins: Array = np.zeros(_KNOTS)
    for block in blocks(y.size):
        place = (y[block] - edge) * ((_KNOTS - 1) / span)
        cell = np.minimum(place.astype(np.int64), _KNOTS - 2)
        right = place - cell
        left = 1 - right
        if w is not None:
            left *= w[block]
            right *= w[block]
        bins += np.bincount(cell, left, _KNOTS)
        bins += np.bincount(cell + 1, right, _KNOTS)
    bins /= bins.sum()
    return bins


def _smooth(histogram: Array, bandwidth: float) -> Array:
    """The Gaussian kernel estimate on the knots, bandwidth in units of the table."""
    k = np.fft.rfftfreq(2 * _KNOTS, 1 / (_KNOTS - 1))
    filtered = np.fft.rfft(histogram, 2 * _KNOTS) * np.exp(-2 * (np.pi * k * bandwidth) ** 2)
    density: Array = np.fft.irfft(filtered)[:_KNOTS]
    return density


def _bandwidth(histogram: Array, n: int) -> float:
    """Botev, Grotowski and Kroese's (2010) bandwidth on the unit interval.

    The fixed point t = xi gamma^[5](t), by Brent's method on log t; Silverman's rule if there is
    none.
    """
    from scipy.optimize import brentq

    k = np.arange(1, _KNOTS)
    nodes = (np.arange(_KNOTS) + 0.5) / _KNOTS
    # The cosine transform by one complex transform of twice the length.
    padded = np.fft.fft(histogram, 2 * _KNOTS)[:_KNOTS]
    a2 = (padded * np.exp(-1j * np.pi * np.arange(_KNOTS) / (2 * _KNOTS))).real[1:] ** 2
    squares = np.pi**2 * (k**2).astype(float)
    weighted = {s: 2 * a2 * squares**s for s in range(2, 8)}

    def excess(log_t: float) -> float:
        t = float(np.exp(log_t))

        def functional(s: int, time: float) -> float:
            # Beyond this frequency the exponential is nothing.
            count = min(k.size, int(np.sqrt(745 / time) / np.pi) + 1) if time > 0 else k.size
            return float(weighted[s][:count] @ np.exp(-time * squares[:count]))

        f = functional(7, t)
        for s in range(6, 1, -1):
            odd = np.prod(np.arange(1.0, 2 * s, 2)) / np.sqrt(2 * np.pi)
            constant = (1 + 0.5 ** (s + 0.5)) / 3
            time = (2 * constant * odd / (n * f)) ** (2 / (3 + 2 * s))
            f = functional(s, time)
        return float(t - (2 * n * np.sqrt(np.pi) * f) ** -0.4)

    mean = float(histogram @ nodes)
    deviation = float(np.sqrt(histogram @ (nodes - mean) ** 2))
    low, high = np.log(1e-10), np.log(deviation**2)
    with np.errstate(all="ignore"):
        if not (excess(high) > 0 >= excess(low)):
            return float(0.9 * deviation * n**-0.2)
        return float(np.exp(0.5 * brentq(excess, low, high, xtol=1e-10)))
