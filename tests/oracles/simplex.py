"""Slow, obvious references for maps onto the simplex: exact rationals and 60-digit arithmetic."""

from fractions import Fraction
from functools import cache
from itertools import combinations

import mpmath
import numpy as np


def exact(values):
    return [Fraction(float(v)) for v in values]


def project(x, radius=1):
    """The nearest p >= 0 with sum `radius`, as fractions; -inf entries are zero."""
    entries = [Fraction(float(v)) for v in x if v > -np.inf]
    radius = Fraction(radius)
    total, tau = Fraction(0), None
    for k, v in enumerate(sorted(entries, reverse=True), 1):
        total += v
        if v * k > total - radius:
            tau = (total - radius) / k
    return [max(Fraction(float(v)) - tau, Fraction(0)) if v > -np.inf else Fraction(0) for v in x]


def entmax15(x):
    """(x_i / 2 - tau)_+^2 with sum one, 40 digits; the support is exact."""
    w = [v / 2 for v in exact(x)]
    falling = sorted(w, reverse=True)
    size = 1
    while size < len(w) and sum((v - falling[size]) ** 2 for v in falling[:size]) < 1:
        size += 1
    mean = sum(falling[:size]) / size
    rest = 1 - sum((v - mean) ** 2 for v in falling[:size])
    with mpmath.workdps(40):
        root = mpmath.sqrt(mpmath.mpf(rest.numerator) / rest.denominator / size)
        tau = mpmath.mpf(mean.numerator) / mean.denominator - root
        least = falling[size - 1]
        return [
            (mpmath.mpf(v.numerator) / v.denominator - tau) ** 2 if v >= least else mpmath.mpf(0)
            for v in w
        ]


def softmax(x, temperature=1):
    """60 digits, as mpmath numbers."""
    with mpmath.workdps(60):
        t = mpmath.mpf(temperature)
        top = max(float(v) for v in x)
        e = [
            mpmath.exp((mpmath.mpf(float(v)) - top) / t) if v > -np.inf else mpmath.mpf(0)
            for v in x
        ]
        total = mpmath.fsum(e)
        return [v / total for v in e]


def entmax(x, alpha, temperature=1):
    """40 digits by bisection, as mpmath numbers."""
    if alpha == 1:
        return softmax(x, temperature)
    return _entmax(tuple(float(v) for v in x), float(alpha), temperature)


@cache
def _entmax(x, alpha, temperature):
    with mpmath.workdps(40):
        b = mpmath.mpf(alpha) - 1
        finite = [i for i, v in enumerate(x) if v > -np.inf]
        top = mpmath.mpf(max(x))
        y = [(mpmath.mpf(x[i]) - top) / temperature for i in finite]

        def entries(lam):
            u = [1 + b * (v - lam) for v in y]
            return [v ** (1 / b) if v > 0 else mpmath.mpf(0) for v in u]

        low, high = mpmath.mpf(0), (1 - mpmath.mpf(len(y)) ** (-b)) / b
        for _ in range(125):
            middle = (low + high) / 2
            if mpmath.fsum(entries(middle)) > 1:
                low = middle
            else:
                high = middle
        result = [mpmath.mpf(0)] * len(x)
        for i, p in zip(finite, entries((low + high) / 2), strict=True):
            result[i] = p
        return result


def normmax(x, alpha):
    """60 digits by bisection."""
    with mpmath.workdps(60):
        a = mpmath.mpf(float(alpha))
        order = a / (a - 1)
        y = [mpmath.mpf(float(v)) for v in x]
        low, high = max(y) - 1, max(y)
        for _ in range(190):
            middle = (low + high) / 2
            if mpmath.fsum(max(v - middle, 0) ** order for v in y) > 1:
                low = middle
            else:
                high = middle
        u = [max(v - low, mpmath.mpf(0)) for v in y]
        w = [v ** (1 / (a - 1)) if v > 0 else mpmath.mpf(0) for v in u]
        total = mpmath.fsum(w)
        return [v / total for v in w]


def subset_marginals(x, k):
    """P(i in S) for subsets S of k entries with weight prod e^{x_i}: brute force."""
    with mpmath.workdps(60):
        weights = [mpmath.exp(mpmath.mpf(float(v))) for v in x]
        total, part = mpmath.mpf(0), [mpmath.mpf(0)] * len(weights)
        for subset in combinations(range(len(weights)), k):
            product = mpmath.mpf(1)
            for i in subset:
                product *= weights[i]
            total += product
            for i in subset:
                part[i] += product
        return [v / total for v in part]


def numerical_gradient(f, x, step=1e-6):
    """Central differences of a scalar function of an array of doubles."""
    x = np.array(x, float)
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[index] += step
        behind[index] -= step
        gradient[index] = (f(ahead) - f(behind)) / (2 * step)
    return gradient
