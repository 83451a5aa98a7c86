"""Minimisation of any differentiable function over the probability simplex."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num._errors import ConvergenceWarning
from kexue_num._validation import (
    Phrase,
    as_array,
    check_choice,
    check_integer,
    check_positive,
    message,
    result_dtype,
    round_result,
)
from kexue_num.simplex._projections import project_simplex

Array = NDArray[Any]
Objective = Callable[[Array], tuple[float, Any]]

_METHODS = ("fista", "pgd", "mirror", "frank_wolfe", "away", "pairwise")
# Differences of the objective below so many roundings, in the dtype of p0, say nothing.
_NOISE = 8


@dataclass(frozen=True, repr=False, eq=False)
class SimplexMinimum:
    """A point of the simplex and a bound on how far its value is from the smallest.

    Attributes
    ----------
    p : (n,) or (..., n) ndarray
        The point.
    fun : float or ndarray
        The objective there.
    gap : float or ndarray
        The Frank-Wolfe gap ``p @ g - radius * min(g)``, g the gradient at p: for a convex
        objective at least ``fun - min fun``.
    n_iter : int or ndarray
        Steps taken.
    converged : bool or ndarray
        Whether the gap meets the tolerance.
    """

    p: Array
    fun: Any
    gap: Any
    n_iter: Any
    converged: Any

    def __repr__(self) -> str:
        if np.ndim(self.fun):
            return (
                f"SimplexMinimum(shape={self.p.shape}, max gap={np.max(self.gap):.3g}, "
                f"converged={bool(np.all(self.converged))})"
            )
        return (
            f"SimplexMinimum(n={self.p.size}, support={np.count_nonzero(self.p)}, "
            f"fun={self.fun:.6g}, gap={self.gap:.3g}, n_iter={self.n_iter}, "
            f"converged={self.converged})"
        )


def minimize(
    fun: Objective,
    p0: Any,
    *,
    method: str = "fista",
    tol: float = 1e-8,
    max_iter: int = 1000,
    callback: Callable[[SimplexMinimum], Any] | None = None,
) -> SimplexMinimum:
    """Minimise a differentiable function over the probability simplex.

    Parameters
    ----------
    fun : callable
        ``fun(p) -> (value, gradient)``. It is called at points of the simplex only.
    p0 : (n,) array_like
        Where to start; projected onto the simplex first. "mirror" can not move entries that are
        zero and starts from ``0.999 p0 + 0.001 / n`` if there are any.
    method : str
        "fista": projected gradient with momentum, restarted when it points uphill; the default,
        and the fewest steps as a rule. "pgd": the same without momentum. "mirror": multiplicative
        updates (exponentiated gradient), for entropy-like objectives. "frank_wolfe", "away",
        "pairwise": one or two entries move in each step, O(n) besides `fun`; the last two converge
        linearly for strongly convex objectives.
    tol : float
        Stop when the gap is at most this (in units of the objective).
    max_iter : int
        Largest number of steps; a step may call `fun` several times.
    callback : callable, optional
        Called after each step with a `SimplexMinimum` of the current point; a true result stops.

    Returns
    -------
    SimplexMinimum
        The last point and its certificate: its value exceeds the minimum by at most `gap` if
        `fun` is convex. Otherwise a small gap says that the point is stationary.

    Raises
    ------
    ValueError
        If `p0` is not a finite vector or `fun` returns a gradient of another shape or NaN.

    Warns
    -----
    kexue_num.ConvergenceWarning
        If the gap does not meet `tol` after `max_iter` steps, or rounding ends the descent before.

    Notes
    -----
    Every method adapts its step by backtracking on a quadratic (for "mirror": relative entropy)
    upper model, so no Lipschitz constant is asked for. Computation is in double precision.

    References
    ----------
    .. [1] A. Beck, M. Teboulle, SIAM J. Imaging Sci. 2 (2009); restart: B. O'Donoghue, E. Candes,
       Found. Comput. Math. 15 (2015).
    .. [2] M. Jaggi, "Revisiting Frank-Wolfe", ICML (2013); S. Lacoste-Julien, M. Jaggi, NIPS
       (2015); F. Pedregosa et al., "Linearly convergent Frank-Wolfe with backtracking
       line-search", AISTATS (2020).
    .. [3] Jianlin Su, 科学空间 (2024-08-06), https://kexue.fm/archives/10289.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.simplex import minimize
    >>> target = np.array([0.5, 0.75, -1.0])
    >>> result = minimize(lambda p: (0.5 * np.sum((p - target) ** 2), p - target), np.ones(3) / 3)
    >>> result.p
    array([0.375, 0.625, 0.   ])
    >>> bool(result.gap <= 1e-8)
    True
    """
    function = "minimize"
    start = as_array(function, "p0", p0, ndim=1, check_finite=True)
    if start.size == 0:
        raise ValueError(message(function, "p0", "must not be empty", Phrase("shape (0,)")))
    check_choice(function, "method", method, _METHODS)
    tol = check_positive(function, "tol", tol)
    max_iter = check_integer(function, "max_iter", max_iter, minimum=1)
    if not callable(fun):
        raise TypeError(message(function, "fun", "must be callable", fun))
    dtype = result_dtype(p0)
    descent = _STEPS[method](_Checked(fun, start.dtype), project_simplex(start.astype(float)))
    n_iter = 0
    while True:
        state = descent.state(n_iter, tol)
        if n_iter and callback is not None and callback(state):
            break
        if state.converged or n_iter >= max_iter or not descent.step():
            break
        n_iter += 1
    if not state.converged:
        warnings.warn(
            f"minimize: gap {state.gap:.3g} after {n_iter} steps of {method!r}, tol is {tol:g}; "
            "raise max_iter or tol, or try another method",
            ConvergenceWarning,
            stacklevel=2,
        )
    p = round_result(state.p, dtype)
    return SimplexMinimum(p, state.fun, state.gap, state.n_iter, state.converged)


class _Checked:
    """The user's function with its results checked."""

    def __init__(self, fun: Objective, dtype: np.dtype[Any]) -> None:
        self.fun = fun
        self.dtype = dtype

    def __call__(self, p: Array) -> tuple[float, Array]:
        returned = self.fun(p.astype(self.dtype))
        try:
            value, gradient = returned
            f, g = float(value), np.asarray(gradient, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            expected = "must return a number and a gradient of real numbers"
            raise TypeError(message("minimize", "fun", expected, returned)) from error
        if g.shape != p.shape:
            expected = f"must return a gradient of shape {p.shape}"
            raise ValueError(message("minimize", "fun", expected, Phrase(f"shape {g.shape}")))
        if math.isfinite(f) and not np.isfinite(g).all():
            raise ValueError(message("minimize", "fun", "must return a finite gradient", g))
        return f, g


class _Descent:
    """A point, its value and gradient; `step` moves to a lower one or returns False."""

    def __init__(self, fun: _Checked, p: Array) -> None:
        self.fun = fun
        self.p = p
        self.f, self.g = fun(p)
        if not math.isfinite(self.f):
            raise ValueError(message("minimize", "fun", "must be finite at p0", self.f))
        self.curvature = self._first_curvature()

    def _first_curvature(self) -> float:
        """Change of the gradient towards the best vertex, over the distance; 1 without any."""
        q = 0.999 * self.p
        q[np.argmin(self.g)] += 0.001
        f, g = self.fun(q)
        distance = float(np.linalg.norm(q - self.p))
        change = float(np.linalg.norm(g - self.g)) if math.isfinite(f) else 0.0
        return change / distance if distance and change else 1.0

    def state(self, n_iter: int, tol: float) -> SimplexMinimum:
        # Terms of one sign: no cancellation, and never below zero.
        gap = float(self.p @ (self.g - self.g.min()))
        return SimplexMinimum(self.p, self.f, gap, n_iter, gap <= tol)

    def step(self) -> bool:
        raise NotImplementedError

    def _noise(self, f: float) -> float:
        return _NOISE * float(np.finfo(self.fun.dtype).eps) * abs(f)


class _ProjectedGradient(_Descent):
    momentum = False

    def __init__(self, fun: _Checked, p: Array) -> None:
        super().__init__(fun, p)
        self.base = self.p, self.f, self.g  # where the gradient step starts
        self.t = 1.0

    def step(self) -> bool:
        y, f_y, g_y = self.base
        for _ in range(100):
            q = project_simplex(y - g_y / self.curvature)
            f, g = self.fun(q)
            d = q - y
            model = f_y + g_y @ d + self.curvature / 2 * (d @ d)
            # Near the minimum gradients still tell what values cannot.
            flat = (g - g_y) @ d <= self.curvature * (d @ d)
            if f <= model or (f <= model + self._noise(f_y) and flat):
                break
            self.curvature *= 2
        else:
            return False
        moved = q - self.p
        uphill = (y - q) @ moved > 0 or f > self.f
        if uphill and y is not self.p:
            # Momentum points the wrong way: the next step starts from the point itself.
            if f > self.f:
                q, f, g = self.p, self.f, self.g
            self.t = 1.0
            self.p, self.f, self.g = q, f, g
            self.base = q, f, g
            return True
        if not moved.any():
            return False
        self.curvature *= 0.95
        self.p, self.f, self.g = q, f, g
        self.base = q, f, g
        if self.momentum:
            t = (1 + math.sqrt(1 + 4 * self.t**2)) / 2
            ahead = project_simplex(q + (self.t - 1) / t * moved)
            self.t = t
            f_ahead, g_ahead = self.fun(ahead)
            if math.isfinite(f_ahead):
                self.base = ahead, f_ahead, g_ahead
        return True


class _Fista(_ProjectedGradient):
    momentum = True


class _Mirror(_Descent):
    def __init__(self, fun: _Checked, p: Array) -> None:
        if not p.all():
            p = 0.999 * p + 0.001 / p.size
        super().__init__(fun, p)

    def step(self) -> bool:
        for _ in range(100):
            exponent = -(self.g - self.g.min()) / self.curvature
            q = self.p * np.exp(exponent)
            total = q.sum()
            q /= total
            f, g = self.fun(q)
            # KL(q, p) from the exponents: what underflowed adds nothing.
            entropy = float(q @ exponent - math.log(total))
            model = self.f + self.g @ (q - self.p) + self.curvature * entropy
            if f <= model + self._noise(self.f):
                break
            self.curvature *= 2
        else:
            return False
        moved = bool((q != self.p).any())
        self.curvature *= 0.7
        self.p, self.f, self.g = q, f, g
        return moved


class _FrankWolfe(_Descent):
    def direction(self) -> tuple[Array, float]:
        """Where to go, and the longest step."""
        d = -self.p
        d[np.argmin(self.g)] += 1
        return d, 1.0

    def step(self) -> bool:
        d, longest = self.direction()
        slope, square = float(self.g @ d), float(d @ d)
        if not slope < 0:
            return False
        self.curvature *= 0.9
        for _ in range(100):
            length = min(longest, -slope / (self.curvature * square))
            q = np.maximum(self.p + length * d, 0)
            if length == longest:
                q[self.p + length * d <= 1e-17] = 0
            q /= q.sum()
            f, g = self.fun(q)
            model = self.f + length * slope + self.curvature / 2 * length**2 * square
            if f <= model + self._noise(self.f):
                break
            self.curvature *= 2
        else:
            return False
        moved = bool((q != self.p).any())
        self.p, self.f, self.g = q, f, g
        return moved

    def _away(self) -> int:
        return int(np.argmax(np.where(self.p > 0, self.g, -np.inf)))


class _Away(_FrankWolfe):
    def direction(self) -> tuple[Array, float]:
        away = self._away()
        mean = float(self.g @ self.p)
        if mean - self.g.min() >= self.g[away] - mean or self.p[away] >= 1:
            return super().direction()
        d = self.p.copy()
        d[away] -= 1
        return d, float(self.p[away] / (1 - self.p[away]))


class _Pairwise(_FrankWolfe):
    def direction(self) -> tuple[Array, float]:
        away = self._away()
        d = np.zeros_like(self.p)
        d[away] -= 1
        d[np.argmin(self.g)] += 1
        return d, float(self.p[away])


_STEPS: dict[str, type[_Descent]] = {
    "fista": _Fista,
    "pgd": _ProjectedGradient,
    "mirror": _Mirror,
    "frank_wolfe": _FrankWolfe,
    "away": _Away,
    "pairwise": _Pairwise,
}
