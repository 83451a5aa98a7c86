"""Entropic transport between clouds of points, in memory proportional to their numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from kexue_num._validation import (
    Phrase,
    as_array,
    check_choice,
    check_workers,
    message,
    result_dtype,
)
from kexue_num.transport._gibbs import COSTS, Costs, Settings, check_init, check_settings, solve
from kexue_num.transport._inputs import as_masses, balance, mass_tolerance
from kexue_num.transport._result import TransportResult
from kexue_num.transport._sinkhorn import result_fields

Array = NDArray[Any]

_LARGEST = 1e150  # its square is finite


class PointGradients(NamedTuple):
    """Derivatives by the masses, up to a constant, and by the points x (n, d) and y (m, d)."""

    a: Array
    b: Array
    x: Array
    y: Array


@dataclass(frozen=True, repr=False, eq=False)
class PointsResult(TransportResult):
    """A plan between points; `gradients` are those by masses and points."""

    @property
    def gradients(self) -> PointGradients:  # type: ignore[override]
        """Derivatives of `objective` with respect to a, b, x and y (the envelope theorem)."""
        plan: Any = self._plan
        f, g = self.potentials
        return PointGradients(f - f.mean(), g - g.mean(), *plan.point_gradients())


def sinkhorn_points(
    x: object,
    y: object,
    a: object = None,
    b: object = None,
    *,
    reg: float,
    cost: str = "sqeuclidean",
    tol: float = 1e-9,
    max_iter: int | None = None,
    init: object = None,
    workers: int | None = None,
) -> PointsResult:
    """`sinkhorn` between points, whose costs are never stored.

    Parameters
    ----------
    x : (n, d) or (n,) array_like
        Points; a vector holds n points on the line.
    y : (m, d) or (m,) array_like
        Points of the same dimension.
    a : (n,) array_like, optional
        Masses of `x`; uniform for None.
    b : (m,) array_like, optional
        Masses of `y`, of the same sum; uniform for None.
    reg : float
        Weight of the entropy, > 0, in the units of the cost.
    cost : {"sqeuclidean", "euclidean", "cityblock"}, default "sqeuclidean"
        |x - y|^2, |x - y| or the sum of |x_k - y_k|.
    tol : float, default 1e-9
        Bound of `marginal_error`.
    max_iter : int, optional
        Most passes over the kernel; None for 50000.
    init : (f, g) or TransportResult, optional
        Potentials to start from.
    workers : int, optional
        Threads; None for the library's setting. The result does not depend on it.

    Returns
    -------
    PointsResult
        A TransportResult whose `gradients` are those by a, b, x and y.

    Raises
    ------
    ValueError
        As `sinkhorn`; if points are not finite, larger than 1e150 or of different dimensions.

    Warns
    -----
    ConvergenceWarning
        If `tol` was not reached.

    Notes
    -----
    Memory: O((n + m) d) and at most 32 MiB of the kernel, so that small problems run as fast as on
    a matrix; beyond, a pass computes n m distances and exponentials. `bracket`, `apply` and
    `gradients` recompute them too. The derivative by x_i is sum_j P_ij dC(x_i, y_j)/dx_i, which
    counts a pair at distance 0 as 0.

    References
    ----------
    As `sinkhorn`; J. Feydy et al., "Interpolating between optimal transport and MMD using Sinkhorn
    divergences", AISTATS 2019.
    Jianlin Su, 科学空间, https://kexue.fm/archives/6280 (2019-01-20).

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.transport import sinkhorn_points
    >>> x = np.linspace(0, 1, 5)
    >>> result = sinkhorn_points(x, x + 2, reg=0.01)
    >>> round(result.value, 3)
    4.0
    >>> result.gradients.x.ravel().round(3)
    array([-0.8, -0.8, -0.8, -0.8, -0.8])
    """
    function = "sinkhorn_points"
    settings = check_settings(function, reg, tol, max_iter, check_workers(function, workers))
    cloud = check_cloud(function, x, y, a, b, cost)
    start = check_init(function, init, (len(cloud.x), len(cloud.y)))
    return PointsResult(**solve_points(function, cloud, settings, start))


@dataclass(frozen=True, eq=False)
class Cloud:
    """Checked points and masses."""

    x: Array
    y: Array
    a: Array
    b: Array
    name: str
    dtype: np.dtype[Any] = field(default=np.dtype(np.float64))


def check_cloud(function: str, x: object, y: object, a: object, b: object, cost: object) -> Cloud:
    """Points of one dimension and masses of one sum."""
    name = check_choice(function, "cost", cost, COSTS)
    first, second = _points(function, "x", x), _points(function, "y", y)
    if first.shape[1] != second.shape[1]:
        expected = f"must have points of dimension {first.shape[1]}"
        raise ValueError(message(function, "y", expected, Phrase(f"shape {second.shape}")))
    given = [value for value in (x, y, a, b) if value is not None]
    dtype = np.result_type(*(result_dtype(value) for value in given))
    rows, cols = as_masses(function, "a", a, len(first)), as_masses(function, "b", b, len(second))
    cols = balance(function, rows, cols, mass_tolerance(a, b))
    return Cloud(first, second, rows, cols, name, dtype)


def solve_points(
    function: str,
    cloud: Cloud,
    settings: Settings,
    init: tuple[Array, Array] | None = None,
) -> dict[str, Any]:
    """The fields of a result."""
    costs = Costs(None, cloud.x, cloud.y, cloud.name)
    found = solve(function, costs, cloud.a, cloud.b, settings, init=init, dtype=cloud.dtype)
    return result_fields(function, found, settings.tol)


def _points(function: str, argument: str, value: object) -> Array:
    given = as_array(function, argument, value, check_finite=True)
    array = given[:, None] if given.ndim == 1 else given
    if array.ndim != 2 or 0 in array.shape:
        expected = "must have shape (n, d) or (n,), not empty"
        raise ValueError(message(function, argument, expected, Phrase(f"shape {given.shape}")))
    points = np.ascontiguousarray(array, np.float64)
    if np.abs(points).max() > _LARGEST:
        expected = f"must be at most {_LARGEST:g} in size"
        raise ValueError(message(function, argument, expected, float(np.abs(points).max())))
    return points


class SinkhornDivergence(float):
    """The divergence as a float, with its gradients.

    Attributes
    ----------
    value : float
    gradients : PointGradients
        Derivatives by a and b, up to a constant, and by the points x and y.
    converged : bool
        Whether all three problems were solved to the tolerance.
    results : tuple of PointsResult
        Those of (x, y), (x, x) and (y, y).
    """

    results: tuple[PointsResult, PointsResult, PointsResult]

    def __new__(cls, results: tuple[PointsResult, PointsResult, PointsResult]) -> Self:
        """From the results of (x, y), (x, x) and (y, y)."""
        cross, first, second = results
        self = super().__new__(cls, cross.objective - 0.5 * (first.objective + second.objective))
        self.results = results
        return self

    def __repr__(self) -> str:
        return f"SinkhornDivergence({float(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.results,)

    @property
    def value(self) -> float:
        """The divergence."""
        return float(self)

    @property
    def converged(self) -> bool:
        """Whether all three problems were solved to the tolerance."""
        return all(result.converged for result in self.results)

    @property
    def gradients(self) -> PointGradients:
        """Derivatives by a, b, x and y."""
        cross, first, second = self.results
        by_cross = cross.gradients
        own, other = first.gradients, second.gradients
        return PointGradients(
            by_cross.a - 0.5 * (own.a + own.b),
            by_cross.b - 0.5 * (other.a + other.b),
            by_cross.x - 0.5 * (own.x + own.y),
            by_cross.y - 0.5 * (other.x + other.y),
        )


def sinkhorn_divergence(
    x: object,
    y: object,
    a: object = None,
    b: object = None,
    *,
    reg: float,
    cost: str = "sqeuclidean",
    tol: float = 1e-9,
    max_iter: int | None = None,
    workers: int | None = None,
) -> SinkhornDivergence:
    """The entropic cost of moving x to y, less half that of moving each onto itself.

    Parameters
    ----------
    x, y : (n, d) and (m, d), or (n,) and (m,) array_like
        Points.
    a, b : (n,) and (m,) array_like, optional
        Masses of the same sum; uniform for None.
    reg : float
        Weight of the entropy, > 0.
    cost : {"sqeuclidean", "euclidean", "cityblock"}, default "sqeuclidean"
    tol : float, default 1e-9
        Bound of the marginal errors.
    max_iter : int, optional
        Most passes over each kernel; None for 50000.
    workers : int, optional
        Threads; None for the library's setting. The result does not depend on it.

    Returns
    -------
    SinkhornDivergence
        A float >= 0 up to `tol`, 0 for equal measures, with `gradients` by a, b, x and y.

    Raises
    ------
    ValueError
        As `sinkhorn_points`.

    Warns
    -----
    ConvergenceWarning
        For each problem that missed `tol`.

    Notes
    -----
    S = OT(x, y) - OT(x, x) / 2 - OT(y, y) / 2 with OT the minimum of <C, P> + reg KL(P | a b^T).
    The gradient by points vanishes at x = y, as that of OT(x, y) does not. Costs and memory as
    three calls of `sinkhorn_points`.

    References
    ----------
    J. Feydy, T. Sejourne, F.-X. Vialard, S. Amari, A. Trouve, G. Peyre, "Interpolating between
    optimal transport and MMD using Sinkhorn divergences", AISTATS 2019.
    Jianlin Su, 科学空间, https://kexue.fm/archives/6280 (2019-01-20).

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.transport import sinkhorn_divergence
    >>> x = np.linspace(0, 1, 5)
    >>> float(sinkhorn_divergence(x, x, reg=0.1))
    0.0
    >>> round(sinkhorn_divergence(x, x + 2, reg=0.1), 6)
    4.0
    """
    function = "sinkhorn_divergence"
    settings = check_settings(function, reg, tol, max_iter, check_workers(function, workers))
    c = check_cloud(function, x, y, a, b, cost)
    clouds = (
        c,
        Cloud(c.x, c.x, c.a, c.a, c.name, c.dtype),
        Cloud(c.y, c.y, c.b, c.b, c.name, c.dtype),
    )
    results = [PointsResult(**solve_points(function, cloud, settings)) for cloud in clouds]
    return SinkhornDivergence((results[0], results[1], results[2]))
