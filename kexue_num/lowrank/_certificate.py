"""Probabilistic bounds on the spectral norm of a residual that is known only through probes.

Let E = W X with W standard normal (r, m), independent of X, and u the leading left singular vector
of X. Then ||E||_2 >= sigma_1(X) ||W u||_2, and ||W u||_2^2 follows the chi-square law with r
degrees of freedom. Hence, with its delta-quantile,

    sigma_1(X) <= ||W X||_2 / sqrt(chi2_r(delta))    with probability at least 1 - delta.

With X = (R R^H)^q R in place of the residual R this bounds sigma_1(R)^(2q+1): each power step takes
a root of the factor. (Halko, Martinsson and Tropp 2011, section 4.3, bound
by the largest single probe, a weaker form of the case q = 0; Dixon 1983 is the power form for one
vector.) For complex X a real W serves: the law of ||W u||^2 has the same mean and a lighter lower
tail.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num.lowrank._operands import Operand

Array = NDArray[Any]


@functools.lru_cache(maxsize=64)
def chi_quantile(degrees: int, delta: float) -> float:
    """The delta-quantile of the chi law (the root of a chi-square variable)."""
    from scipy.special import gammaincinv

    return math.sqrt(2 * float(gammaincinv(degrees / 2, delta)))


def binary_exponent(x: float, dtype: np.dtype[Any]) -> int:
    """The exponent e with x ~ 2**e, for x > 0, such that 2**-e is a number of that dtype."""
    return max(math.frexp(x)[1], 24 - largest_exponent(dtype))


@functools.cache
def largest_exponent(dtype: np.dtype[Any]) -> int:
    return int(np.finfo(dtype).maxexp)


def spectral_norm(rows: Array, workers: int) -> float:
    """||E||_2 of a matrix of few rows, through its Gram matrix; any scale."""
    top = float(_core.lowrank.max_component(rows, workers)) if rows.size else 0.0
    if top == 0:
        return 0.0
    if not math.isfinite(top):
        return math.inf
    exponent = binary_exponent(top, rows.dtype)
    rows = np.ascontiguousarray(rows)
    # Squares in double precision are safe from 2^-400 to 2^400, as all of single precision is.
    if abs(exponent) <= 400:
        gram = np.ldexp(1.0, -2 * exponent) * _core.lowrank.gram(rows, workers)
    else:
        scaled = rows * rows.real.dtype.type(math.ldexp(1.0, -exponent))
        gram = _core.lowrank.gram(scaled, workers)
    with np.errstate(over="ignore"):
        return float(np.ldexp(math.sqrt(_core.lowrank.largest_eigenvalue(gram)), exponent))


def norm_of(rows: Array, gram: Array, workers: int) -> float:
    """||E||_2 given E E^H, if that was safe from over- and underflow."""
    squared = _core.lowrank.largest_eigenvalue(gram)
    return math.sqrt(squared) if 2.0**-800 < squared < 2.0**800 else spectral_norm(rows, workers)


@functools.cache
def _rounding(dtype: np.dtype[Any]) -> tuple[float, float]:
    info = np.finfo(dtype)
    return float(info.eps), float(info.smallest_subnormal)


class Residual:
    """A - A[:, S] Z, seen through r held-out probes W A and products.

    Z is given, or as R11^-1 R by the pair (R11^-1, R).
    """

    def __init__(
        self,
        operand: Operand,
        indices: Array,
        coefficients: Array | tuple[Array, Array],
        probes: Array,
    ):
        self.operand = operand
        self.indices = indices
        self.coefficients = coefficients if isinstance(coefficients, tuple) else (coefficients,)
        self.workers = operand.workers
        self.n_probes = probes.shape[0]
        # Rounding of the probes may hide or make up an error of this size.
        eps, least = _rounding(probes.dtype)
        self.probes, norm, self.norm = self._restrict(probes)
        self.rounding = 4 * eps * norm
        if norm > 0:
            self.rounding += probes.size * least
        self.power = 0
        self.skeleton: Any = None
        # The probes of the power stand for 2**exponent times themselves: no power overflows.
        self.exponent = 0

    def bound(self, delta: float) -> float:
        """Holds with probability at least 1 - delta."""
        quantile = chi_quantile(self.n_probes, delta)
        return self._root(self.norm / quantile) + self.rounding / quantile

    def estimate(self) -> float:
        """The same without the safety factor: near the norm, more often above than below."""
        return self._root(self.norm / math.sqrt(self.n_probes))

    def power_step(self) -> None:
        """E <- E R^H R: two more products with the matrix, for a tighter bound."""
        if self.norm == 0:
            return
        adjoint = self._normalized(self.probes).conj().T
        right = self.operand.right_product(np.ascontiguousarray(adjoint))
        inner = adjoint
        for factor in reversed(self.coefficients):
            inner = self._matmul(factor, inner)
        if self.skeleton is None:
            self.skeleton = self.operand.columns(self.indices)
        if isinstance(self.skeleton, np.ndarray):
            right = right - self._matmul(self.skeleton, inner)
        else:
            right = right - self.skeleton @ inner
        right = np.ascontiguousarray(self._normalized(right))
        self.probes, _, self.norm = self._restrict(self.operand.left_product(right))
        self.power += 1

    def _normalized(self, x: Array) -> Array:
        top = float(_core.lowrank.max_component(x, self.workers))
        exponent = binary_exponent(top, x.dtype) if top > 0 else 0
        self.exponent += exponent
        return np.asarray(x * x.real.dtype.type(math.ldexp(1.0, -exponent)))

    def _root(self, x: float) -> float:
        """The root of 2**exponent x; scaling A by a power of two scales it exactly."""
        degree = 2 * self.power + 1
        mantissa, exponent = math.frexp(x)
        whole, rest = divmod(exponent + self.exponent, degree)
        return math.ldexp(math.ldexp(mantissa, rest) ** (1 / degree), whole)

    def _restrict(self, rows: Array) -> tuple[Array, float, float]:
        """Rows of W A to rows of W (A - A[:, S] Z); the norms of both."""
        *first, last = self.coefficients
        chosen = _core.lowrank.gather_columns(rows, self.indices, self.workers)
        for factor in first:
            chosen = self._matmul(chosen, factor)
        rest, before, after = _core.lowrank.residual_rows(rows, chosen, last, self.workers)
        norms = norm_of(rows, before, self.workers), norm_of(rest, after, self.workers)
        return rest, *norms

    def _matmul(self, a: Array, b: Array) -> Array:
        return _core.lowrank.matmul(a, b, False, 1.0, None, self.workers)
