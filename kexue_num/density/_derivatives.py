"""Derivatives of a density by truncated Taylor series: q = d/dy P(x(y)) with P' = p.

A series is a list of arrays, the coefficients of d^0, d^1, ... of a function of y + d.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num.density._canonical import autocorrelation
from kexue_num.density._frames import Frame

Array = NDArray[Any]
Series = list[Any]


def _times(a: Series, b: Series) -> Series:
    return [sum(a[i] * b[k - i] for i in range(k + 1)) for k in range(len(a))]


def _compose(outer: Series, inner: Series) -> Series:
    """outer(inner(d) - inner(0)) by Horner's rule."""
    shifted = [np.zeros_like(inner[0]), *inner[1:]]
    result = [outer[-1], *(np.zeros_like(outer[-1]) for _ in inner[1:])]
    for coefficient in reversed(outer[:-1]):
        result = _times(result, shifted)
        result[0] = result[0] + coefficient
    return result


def _power(a: Series, exponent: float) -> Series:
    """a^exponent, a[0] > 0: k a_0 b_k = sum_i (exponent i - (k - i)) a_i b_{k-i}."""
    b = [a[0] ** exponent]
    for k in range(1, len(a)):
        total = sum((exponent * i - (k - i)) * a[i] * b[k - i] for i in range(1, k + 1))
        b.append(total / (k * a[0]))
    return b


def _exponential(a: Series) -> Series:
    b = [np.exp(a[0])]
    for k in range(1, len(a)):
        b.append(sum(i * a[i] * b[k - i] for i in range(1, k + 1)) / k)
    return b


def _slope_of_base(frame: Frame, v: Array, terms: int) -> Series:
    """dx/dv of the base around v."""
    zeros = [np.zeros_like(v) for _ in range(terms)]
    z = zeros.copy()
    z[0] = (v - frame.loc) / frame.scale
    if terms > 1:
        z[1] = np.full_like(v, 1 / frame.scale)
    square = _times(z, z)
    if frame.is_bounded:
        slope = [np.full_like(v, 2 / frame.scale), *zeros[1:]]
    elif frame.base == "logistic":
        e = _exponential([-2 * np.sign(z[0] + (z[0] == 0)) * c for c in z])
        base = [e[0] + 1, *e[1:]]
        slope = [4 / frame.scale * c for c in _times(e, _power(base, -2.0))]
    elif frame.base == "normal":
        height = math.sqrt(2 / math.pi) / frame.scale
        slope = [height * c for c in _exponential([-0.5 * c for c in square])]
    else:
        cauchy = frame.base == "cauchy"
        degrees, exponent = (1.0, -1.0) if cauchy else (3.0, -2.0)
        height = 2 / math.pi if cauchy else 4 / (math.pi * math.sqrt(3))
        quotient = [square[0] / degrees + 1, *(c / degrees for c in square[1:])]
        slope = [height / frame.scale * c for c in _power(quotient, exponent)]
    if frame.table is not None:
        table = frame.table
        slope = [table.spill * c for c in slope]
        knots = np.linspace(table.first, table.last, len(table.knots))
        step = knots[1] - knots[0]
        norm = 2 * (1 - table.spill) / (step * (table.knots.sum() - table.knots[[0, -1]].mean()))
        slope[0] = slope[0] + norm * np.interp(v, knots, table.knots, left=0, right=0)
        if terms > 1:
            cell = np.clip(np.floor((v - table.first) / step), 0, len(knots) - 2).astype(np.int64)
            rise = (table.knots[cell + 1] - table.knots[cell]) / step
            within = (v >= table.first) & (v < table.last)
            slope[1] = slope[1] + norm * np.where(within, rise, 0)
    return slope


def density_series(
    model: _core.density.Model, frame: Frame, b: Array, y: Array, order: int
) -> Series:
    """Taylor coefficients 0..order of the density at y; zeros outside the support."""
    t, slope = model.positions(y)
    outside = slope == 0
    v = np.where(outside, 1.0 if frame.is_positive else frame.loc, y)
    terms = order + 1
    chain = None
    if frame.is_positive:
        chain = [np.log(v), *((-1) ** (k + 1) / (k * v**k) for k in range(1, terms + 1))]
        v = chain[0]
    if frame.support == "circle":
        v = frame.loc + np.mod(v - frame.loc, frame.scale)
    rate = _slope_of_base(frame, v, terms)
    position = [t, *(rate[k] / (k + 1) for k in range(terms))]  # x, up to its constant
    if chain is not None:
        position = _compose(position, chain)
        rate = [(k + 1) * position[k + 1] for k in range(terms)]
    c = autocorrelation(b / np.linalg.norm(b))
    n = np.arange(len(c))
    waves = np.exp(1j * np.pi * np.outer(t, n)) * c * np.where(n == 0, 0.5, 1.0)
    p = [(waves * (1j * np.pi * n) ** k).sum(axis=1).real / math.factorial(k) for k in range(terms)]
    re, im = model.amplitude(t)
    p[0] = 0.5 * (re * re + im * im)
    q = _times(_compose(p, position[:terms]), rate)
    return [np.where(outside, 0.0, coefficient) for coefficient in q]
