"""Transport by enumeration and by exact fractions."""

import itertools
from fractions import Fraction

import numpy as np


def assignment(cost):
    """The least sum over injections of the shorter side, by trying all."""
    cost = np.asarray(cost, float)
    if cost.shape[0] > cost.shape[1]:
        cost = cost.T
    n, m = cost.shape
    choices = itertools.permutations(range(m), n)
    return min(sum(cost[i, j] for i, j in enumerate(choice)) for choice in choices)


def line(x, y, a, b, p):
    """sum P |x - y|**p of the monotone plan in fractions; p an integer, or None for the maximum."""
    left = sorted(zip(map(Fraction, x), map(Fraction, a), strict=True))
    right = sorted(zip(map(Fraction, y), map(Fraction, b), strict=True))
    scale = sum(mass for _, mass in left) / sum(mass for _, mass in right)
    left, right = [list(item) for item in left], [[point, mass * scale] for point, mass in right]
    total, largest = Fraction(0), Fraction(0)
    while left and right:
        mass = min(left[0][1], right[0][1])
        distance = abs(left[0][0] - right[0][0])
        if mass > 0:
            largest = max(largest, distance)
            total += mass * (distance**p if p is not None else 0)
        for side in (left, right):
            side[0][1] -= mass
            if side[0][1] == 0:
                side.pop(0)
    return largest if p is None else total
