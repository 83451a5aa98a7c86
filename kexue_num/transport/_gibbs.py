"""Plans of entropic transport: factors around the Gibbs kernel of a cost matrix or of points."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._errors import NumericalError
from kexue_num._validation import (
    LARGEST_INTEGER,
    Phrase,
    check_integer,
    check_real,
    message,
    round_result,
)
from kexue_num.transport._inputs import Problem, require_memory
from kexue_num.transport._result import Bracket

Array = NDArray[Any]

COSTS = ("sqeuclidean", "euclidean", "cityblock")
# From here on the kernel's traffic is what a pass costs, and float32 halves it.
_SINGLE_ENTRIES = 2**17
_SINGLE_MASSES = (1e-25, 1e25)  # the kernel's entries are relative to them
_SINGLE_TOLERANCE = 1e-12
_CACHED_BYTES = 2**25  # of the kernel between points
_TINY, _HUGE = 1e-150, 1e150  # costs beyond are brought between by a power of two


@dataclass(frozen=True, eq=False)
class Costs:
    """A matrix (n, m), or points x (n, d) and y (m, d) with the name of a distance.

    The core sees costs times 2^-`exponent`. `largest` is the largest size of a cost, if all are
    finite.
    """

    matrix: Array | None
    x: Array | None = None
    y: Array | None = None
    name: str = "sqeuclidean"
    exponent: int = 0
    largest: float = math.inf

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        if self.matrix is not None:
            return self.matrix.shape[0], self.matrix.shape[1]
        assert self.x is not None and self.y is not None
        return self.x.shape[0], self.y.shape[0]

    def core(self) -> Any:
        """The costs as the core takes them."""
        if self.matrix is not None:
            matrix = self.matrix
            if self.exponent:
                matrix = np.ldexp(matrix, -self.exponent)
            return _core.transport.Costs(matrix)
        assert self.x is not None and self.y is not None
        return _core.transport.Costs(self.x, self.y, COSTS.index(self.name))

    def stored_bytes(self, single: bool) -> int:
        """How much of the kernel is kept: all of a matrix, a fixed amount between points."""
        if self.matrix is None:
            return _CACHED_BYTES
        n, m = self.shape
        return n * (m + 16) * (4 if single else 8)


def matrix_costs(problem: Problem) -> Costs:
    """Costs of a checked problem."""
    scale = problem.scale
    extreme = scale > _HUGE or 0 < scale < _TINY
    return Costs(
        problem.C,
        exponent=math.frexp(scale)[1] if extreme else 0,
        largest=math.inf if problem.has_forbidden else scale,
    )


@dataclass(frozen=True, eq=False)
class Settings:
    """Checked options of an entropic solver."""

    reg: float
    tol: float
    max_iter: int
    workers: int


def check_settings(
    function: str, reg: object, tol: object, max_iter: object, workers: int
) -> Settings:
    """Options in the form the core wants."""
    return Settings(
        check_real(function, "reg", reg, above=0),
        check_real(function, "tol", tol, above=0),
        50_000
        if max_iter is None
        else check_integer(function, "max_iter", max_iter, minimum=1, maximum=LARGEST_INTEGER),
        workers,
    )


@dataclass(frozen=True, eq=False)
class Solution:
    """What the core returns, in the units of the costs."""

    f: Array
    g: Array
    value: float
    objective: float
    dual: float
    error: float
    passes: int
    converged: bool
    plan: GibbsPlan


def solve(
    function: str,
    costs: Costs,
    a: Array,
    b: Array,
    settings: Settings,
    *,
    rho: tuple[float, float] = (math.inf, math.inf),
    init: tuple[Array, Array] | None = None,
    dtype: np.dtype[Any],
) -> Solution:
    """Run the core's solver; NumericalError names the function."""
    n, m = costs.shape
    single = (
        n * m >= _SINGLE_ENTRIES
        and settings.tol >= _SINGLE_TOLERANCE
        and all(_moderate(masses) for masses in (a, b))
    )
    stored = costs.stored_bytes(single)
    require_memory(function, min(stored, 8 * n * m), f"the kernel of shape {(n, m)}")
    unit = math.ldexp(1.0, costs.exponent)
    reg = settings.reg / unit
    if not 1e-290 < reg < 1e290:
        expected = "must be within 1e-290..1e290 times the largest cost"
        raise ValueError(message(function, "reg", expected, settings.reg))
    if init is not None and costs.exponent:
        init = (init[0] / unit, init[1] / unit)
    core = costs.core()
    try:
        found = _core.transport.sinkhorn(
            core,
            a,
            b,
            reg,
            rho[0] / unit,
            rho[1] / unit,
            settings.tol,
            settings.max_iter,
            single,
            stored,
            costs.largest / unit,
            init,
            settings.workers,
        )
    except NumericalError as error:
        raise NumericalError(f"{function}: {error}") from None
    factors = tuple(found[name] for name in ("base_f", "base_g", "left", "right"))
    plan = GibbsPlan(costs, reg, single, factors, a, b, dtype, settings.workers, found["kernel"])
    return Solution(
        round_result(found["f"] * unit, dtype),
        round_result(found["g"] * unit, dtype),
        found["value"] * unit,
        found["objective"] * unit,
        found["dual"] * unit,
        found["error"],
        found["passes"],
        found["converged"],
        plan,
    )


def _moderate(masses: Array) -> bool:
    low, high = _SINGLE_MASSES
    least = np.minimum.reduce(masses)
    if not least > 0:
        least = masses[masses > 0].min()
    return bool(low < least and np.add.reduce(masses) < high)


@dataclass(frozen=True, eq=False)
class GibbsPlan:
    """P_ij = left_i exp((base_f_i + base_g_j - C_ij) / reg) right_j, recomputed when needed.

    `kernel` holds the exponentials where they take less than 16 MiB; it is not pickled.
    """

    costs: Costs
    reg: float
    single: bool
    factors: tuple[Array, ...]
    a: Array
    b: Array
    dtype: np.dtype[Any]
    workers: int = field(default=0)
    kernel: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kernel": None}

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        return self.costs.shape

    def dense(self) -> Array:
        """All entries, (n, m)."""
        return round_result(self._entries(), self.dtype)

    def coo(self) -> tuple[Array, Array, Array]:
        """Rows, columns and masses of the entries that did not underflow."""
        plan = self.dense()
        rows, cols = np.nonzero(plan)
        return rows, cols, plan[rows, cols]

    def apply(self, v: Array) -> Array:
        """P @ v for v (m, ...)."""
        return self._product(v, False)

    def apply_transpose(self, v: Array) -> Array:
        """P.T @ v for v (n, ...)."""
        return self._product(v, True)

    def rounded(self) -> Array:
        """A plan (n, m) near P whose marginals are right to rounding."""
        plan = self._entries()
        out = np.empty_like(plan)
        _core.transport.round_plan(plan, self.a, self._balanced_b(), out, self.workers)
        return round_result(out, self.dtype)

    def bracket(self) -> Bracket:
        """Bounds on the exact cost."""
        lower, upper = _core.transport.plan_bracket(
            self.costs.core(), self._core(), self.a, self._balanced_b(), self.workers
        )
        unit = math.ldexp(1.0, self.costs.exponent)
        return Bracket(lower * unit, upper * unit)

    def point_gradients(self) -> tuple[Array, Array]:
        """Derivatives of <C, P>, P held fixed, by x (n, d) and y (m, d)."""
        costs, (base_f, base_g, left, right) = self.costs, self.factors
        other = Costs(None, costs.y, costs.x, costs.name)
        swapped = _core.transport.Factors(self.reg, self.single, base_g, base_f, right, left, None)
        gradient = _core.transport.plan_point_gradient
        return (
            round_result(gradient(costs.core(), self._core(), self.workers), self.dtype),
            round_result(gradient(other.core(), swapped, self.workers), self.dtype),
        )

    def _balanced_b(self) -> Array:
        have, want = float(self.b.sum()), float(self.a.sum())
        if abs(have - want) > 1e-6 * max(have, want):
            raise NumericalError(
                f"no plan has these marginals: 'a' sums to {want!r} and 'b' to {have!r}"
            )
        return self.b

    def _core(self) -> Any:
        f, g, left, right = self.factors
        return _core.transport.Factors(self.reg, self.single, f, g, left, right, self.kernel)

    def _entries(self) -> Array:
        out: Array = _core.transport.plan_entries(self.costs.core(), self._core(), self.workers)
        return out

    def _product(self, v: Array, transpose: bool) -> Array:
        columns = np.ascontiguousarray(v.reshape(v.shape[0], -1), np.float64)
        out = _core.transport.plan_apply(
            self.costs.core(), self._core(), columns, transpose, self.workers
        )
        dtype = np.result_type(self.dtype, v.dtype)
        return round_result(out.reshape(out.shape[0], *v.shape[1:]), dtype)


def check_init(function: str, init: object, shape: tuple[int, int]) -> tuple[Array, Array] | None:
    """Potentials (f, g) to start from, of a pair or of a result."""
    if init is None:
        return None
    pair = getattr(init, "potentials", init)
    expected = "must be None, potentials (f, g) or a TransportResult"
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(message(function, "init", expected, Phrase(type(init).__name__)))
    found = []
    for part, size in zip(pair, shape, strict=True):
        array = np.ascontiguousarray(part, np.float64)
        if array.shape != (size,):
            want = f"must hold potentials of shapes ({shape[0]},) and ({shape[1]},)"
            raise ValueError(message(function, "init", want, Phrase(f"shape {array.shape}")))
        if not np.isfinite(array).all():
            raise ValueError(message(function, "init", "must be finite", Phrase("NaN or inf")))
        found.append(array)
    return found[0], found[1]
