"""Slow, obvious projections: exact rationals by trying every breakpoint, plain loops, LPs of signs.

`fractions.Fraction` holds every float exactly, so the answers here have no rounding at all until
the caller converts them.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from fractions import Fraction

import numpy as np


def exact(row):
    """Numbers as fractions; infinities stay floats, which fractions compare with."""
    return [float(v) if math.isinf(v) else Fraction(float(v)) for v in row]


def box_simplex(x, radius=1, weights=None, lower=None, upper=None):
    """argmin |p - x|^2 with lower <= p <= upper and sum(weights p) = radius, as fractions."""
    x = exact(x)
    n = len(x)
    w = exact(weights) if weights is not None else [Fraction(1)] * n
    lo = exact(lower) if lower is not None else [Fraction(0)] * n
    hi = exact(upper) if upper is not None else [math.inf] * n
    r = Fraction(float(radius))

    def point(tau):
        return [
            min(max(xi - tau * wi, li), ui) for xi, wi, li, ui in zip(x, w, lo, hi, strict=True)
        ]

    def total(tau):
        return sum(wi * pi for wi, pi in zip(w, point(tau), strict=True))

    breaks = sorted(
        {(xi - b) / wi for xi, wi, li, ui in zip(x, w, lo, hi, strict=True) for b in (li, ui)
         if not math.isinf(b)}
    )  # fmt: skip
    # total falls with tau; between neighbouring breakpoints it is linear.
    below = breaks[: bisect_right(breaks, -r, key=lambda t: -total(t))]
    above = breaks[bisect_left(breaks, -r, key=lambda t: -total(t)) :]
    if below and above and below[-1] >= above[0]:
        return point(above[0])
    left = below[-1] if below else above[0] - 1
    right = above[0] if above else below[-1] + 1
    middle = (left + right) / 2
    free = [i for i in range(n) if lo[i] < x[i] - middle * w[i] < hi[i]]
    rest = sum(w[i] * p for i, p in enumerate(point(middle)) if i not in free)
    tau = (sum(w[i] * x[i] for i in free) + rest - r) / sum(w[i] ** 2 for i in free)
    return point(tau)


def sparse_simplex(x, k, radius=1, upper=None):
    """The best of all supports of k entries."""
    best, best_distance = None, None
    x = [float(v) for v in x]
    for support in itertools.combinations(range(len(x)), k):
        cap = None if upper is None else [upper] * k
        part = box_simplex([x[i] for i in support], radius, upper=cap)
        p = [Fraction(0)] * len(x)
        for i, value in zip(support, part, strict=True):
            p[i] = value
        distance = sum((Fraction(a) - b) ** 2 for a, b in zip(x, p, strict=True))
        if best_distance is None or distance < best_distance:
            best, best_distance = p, distance
    return best, best_distance


def l1_ball(x, radius):
    magnitudes = [abs(float(v)) for v in x]
    if sum(Fraction(m) for m in magnitudes) <= Fraction(float(radius)):
        return [Fraction(float(v)) for v in x]
    p = box_simplex(magnitudes, radius)
    return [-v if xi < 0 else v for v, xi in zip(p, x, strict=True)]


def l1inf_ball(matrix, radius):
    """Newton's method on the amount cut off every row, which is finite, as fractions."""
    rows = [sorted((abs(v) for v in exact(row)), reverse=True) for row in matrix]
    radius = Fraction(float(radius))
    if sum(row[0] for row in rows) <= radius:
        return [exact(row) for row in matrix]
    sums = [list(itertools.accumulate(row)) for row in rows]
    theta = Fraction(0)
    while True:
        levels = [max(((s - theta) / k, k) for k, s in enumerate(of_row, 1)) for of_row in sums]
        positive = [(mu, k) for mu, k in levels if mu > 0]
        excess = sum(mu for mu, _ in positive) - radius
        if excess <= 0 or not positive:
            break
        theta += excess / sum(Fraction(1, k) for _, k in positive)
    mus = [max(mu, Fraction(0)) for mu, _ in levels]
    return [[min(max(v, -mu), mu) for v in exact(row)] for row, mu in zip(matrix, mus, strict=True)]


def isotonic(x, weights=None):
    """Nondecreasing regression by the max-min formula, as fractions."""
    x = exact(x)
    n = len(x)
    w = exact(weights) if weights is not None else [Fraction(1)] * n

    def mean(i, j):
        return sum(w[k] * x[k] for k in range(i, j + 1)) / sum(w[i : j + 1])

    return [
        max(min(mean(i, j) for j in range(k, n)) for i in range(k + 1)) for k in range(n)
    ]  # fmt: skip


def permutahedron(x, w):
    """By the falling isotonic regression of sorted differences, as fractions."""
    order = sorted(range(len(x)), key=lambda i: -float(x[i]))
    s = exact([x[i] for i in order])
    w = sorted(exact(w), reverse=True)
    v = isotonic([a - b for a, b in zip(s, w, strict=True)][::-1])[::-1]
    p = [Fraction(0)] * len(x)
    for i, a, b in zip(order, s, v, strict=True):
        p[i] = a - b
    return p


def kl_levels(s, w):
    """v falling that minimises sum(exp(s - v) + exp(w) v), by the min-max formula of runs."""

    def level(i, j):
        return np.logaddexp.reduce(s[i : j + 1]) - np.logaddexp.reduce(w[i : j + 1])

    n = len(s)
    return np.array([
        min(max(level(i, j) for j in range(k, n)) for i in range(k + 1)) for k in range(n)
    ])  # fmt: skip


def soft_sort(x, strength, kind):
    """Ascending."""
    w = np.sort(np.asarray(x, float))[::-1]
    s = np.arange(len(w), 0, -1) / strength
    if kind == "kl":
        return (s - kl_levels(s, w))[::-1]
    return np.array([float(v) for v in permutahedron(s, w)])[::-1]


def soft_rank(x, strength, kind):
    """Rank 1 for the smallest."""
    x = np.asarray(x, float)
    ranks = np.arange(len(x), 0, -1.0)
    if kind == "l2":
        return np.array([float(v) for v in permutahedron(x / strength, ranks)])
    order = np.argsort(-x, kind="stable")
    s = x[order] / strength
    out = np.empty(len(x))
    out[order] = np.exp(s - kl_levels(s, np.log(ranks)))
    return out


def simplex_qp(Q, c):
    """The minimiser of p'Qp/2 + c'p over the simplex: the best stationary point of all faces."""
    n = len(c)
    best, best_value = None, math.inf
    for size in range(1, n + 1):
        for face in itertools.combinations(range(n), size):
            system = np.zeros((size + 1, size + 1))
            system[:size, :size] = Q[np.ix_(face, face)]
            system[size, :size] = system[:size, size] = 1
            right = np.append(-c[list(face)], 1)
            part = np.linalg.lstsq(system, right, rcond=None)[0][:size]
            if (part < -1e-12).any() or abs(part.sum() - 1) > 1e-9:
                continue
            p = np.zeros(n)
            p[list(face)] = part
            value = p @ Q @ p / 2 + c @ p
            if value < best_value:
                best, best_value = p, value
    return best, best_value


def birkhoff(X, sweeps=20000):
    """Dykstra's alternating projections onto rows and columns of sum 1, and onto p >= 0."""
    n = len(X)
    p = np.array(X, float)
    increment = np.zeros_like(p)
    for _ in range(sweeps):
        # The nearest matrix with unit rows and columns, then the nonnegative one.
        rows, columns = p.sum(1, keepdims=True), p.sum(0, keepdims=True)
        affine = p - rows / n - columns / n + p.sum() / n**2 + 1 / n
        step = np.maximum(affine + increment, 0)
        increment = affine + increment - step
        if np.abs(step - p).max() < 1e-15:
            break
        p = step
    return p
