"""What every solver of the area returns, and what it needs to know about its plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from kexue_num._validation import Phrase, as_array, message
from kexue_num.transport._inputs import require_memory

if TYPE_CHECKING:
    from scipy.sparse import coo_array

Array = NDArray[Any]


class Potentials(NamedTuple):
    """Dual variables: `f` (n,) of the rows and `g` (m,) of the columns."""

    f: Array
    g: Array


class Bracket(NamedTuple):
    """The least cost of any plan lies in [lower, upper]."""

    lower: float
    upper: float


class Gradients(NamedTuple):
    """Derivatives of the objective: `a` (n,) and `b` (m,) up to a constant, `C` (n, m)."""

    a: Array
    b: Array
    C: Array


class Plan(Protocol):
    """A plan in the form its solver has it: a few entries, or potentials it follows from."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""

    def dense(self) -> Array:
        """All entries, (n, m)."""

    def coo(self) -> tuple[Array, Array, Array]:
        """Rows, columns and masses of the entries that are not zero."""

    def apply(self, v: Array) -> Array:
        """P @ v for v (m, ...)."""

    def apply_transpose(self, v: Array) -> Array:
        """P.T @ v for v (n, ...)."""

    def rounded(self) -> Array:
        """A plan (n, m) near P whose marginals are right to rounding."""

    def bracket(self) -> Bracket:
        """Bounds on the exact cost."""


class SparsePlan:
    """At most n + m - 1 entries, sorted by row. Its marginals are right to rounding."""

    def __init__(
        self, shape: tuple[int, int], rows: Array, cols: Array, mass: Array, bracket: Bracket
    ) -> None:
        self.shape = shape
        self._rows, self._cols, self._mass, self._bracket = rows, cols, mass, bracket

    def dense(self) -> Array:
        """All entries, (n, m)."""
        plan = np.zeros(self.shape, self._mass.dtype)
        plan[self._rows, self._cols] = self._mass
        return plan

    def coo(self) -> tuple[Array, Array, Array]:
        """Rows, columns and masses."""
        return self._rows, self._cols, self._mass

    def apply(self, v: Array) -> Array:
        """P @ v, in O(n + m) for each column of v."""
        return self._scatter(self._rows, self._cols, self.shape[0], v)

    def apply_transpose(self, v: Array) -> Array:
        """P.T @ v, in O(n + m) for each column of v."""
        return self._scatter(self._cols, self._rows, self.shape[1], v)

    def rounded(self) -> Array:
        """The plan itself."""
        return self.dense()

    def bracket(self) -> Bracket:
        """The bounds that the solver proved."""
        return self._bracket

    def _scatter(self, to: Array, source: Array, size: int, v: Array) -> Array:
        out = np.zeros((size, *v.shape[1:]), np.result_type(self._mass, v))
        weights = self._mass.reshape(-1, *([1] * (v.ndim - 1)))
        np.add.at(out, to, weights * v[source])
        return out


@dataclass(frozen=True, repr=False, eq=False)
class TransportResult:
    """A transport plan, its dual and the bounds they prove.

    Attributes
    ----------
    value : float
        The transport cost sum P_ij C_ij.
    dual_value : float
        The dual objective at `potentials`: a lower bound on `objective`.
    gap : float
        `objective` - `dual_value`, at least 0.
    potentials : Potentials
        `f` (n,) and `g` (m,); exact solvers promise f_i + g_j <= C_ij.
    marginal_error : float
        The larger of sum_i |sum_j P_ij - a_i| and sum_j |sum_i P_ij - b_j|.
    n_iter : int
        Pivots or sweeps.
    converged : bool
        Whether the tolerance was met.
    status : str
        Why the solver stopped, in words.
    objective : float
        What was minimised: `value`, plus the regularisation where there is one.
    """

    value: float
    dual_value: float
    gap: float
    potentials: Potentials
    marginal_error: float
    n_iter: int
    converged: bool
    status: str
    objective: float
    _plan: Plan = field(repr=False)

    def __repr__(self) -> str:
        n, m = self._plan.shape
        return (
            f"TransportResult(value={self.value:.6g}, gap={self.gap:.2g}, shape=({n}, {m}), "
            f"n_iter={self.n_iter}, converged={self.converged}, status={self.status!r})"
        )

    @property
    def plan(self) -> Array:
        """P (n, m), built when it is asked for."""
        self._require_dense("plan")
        return self._plan.dense()

    @property
    def plan_coo(self) -> coo_array:
        """P as a `scipy.sparse.coo_array`."""
        from scipy.sparse import coo_array

        rows, cols, mass = self._plan.coo()
        return coo_array((mass, (rows, cols)), shape=self._plan.shape)

    def apply(self, v: object) -> Array:
        """P @ v without building P; v is (m,) or (m, k)."""
        return self._plan.apply(self._vectors("apply", v, self._plan.shape[1]))

    def apply_transpose(self, v: object) -> Array:
        """P.T @ v without building P; v is (n,) or (n, k)."""
        return self._plan.apply_transpose(self._vectors("apply_transpose", v, self._plan.shape[0]))

    def rounded(self) -> Array:
        """A plan (n, m) near P whose marginals are right to rounding (see `round_plan`)."""
        self._require_dense("rounded")
        return self._plan.rounded()

    @property
    def bracket(self) -> Bracket:
        """Lower and upper bound on the least cost of any plan, regularisation aside."""
        return self._plan.bracket()

    @property
    def gradients(self) -> Gradients:
        """Derivatives of `objective` with respect to a, b and C (the envelope theorem).

        Masses have a fixed sum, so those of a and b are known up to a constant: their mean is 0.
        """
        f, g = self.potentials
        return Gradients(f - f.mean(), g - g.mean(), self.plan)

    def _require_dense(self, name: str) -> None:
        n, m = self._plan.shape
        require_memory(f"TransportResult.{name}", 8 * n * m, f"a plan of shape {(n, m)}")

    @staticmethod
    def _vectors(function: str, v: object, size: int) -> Array:
        array = as_array(function, "v", v)
        if array.ndim not in (1, 2) or array.shape[0] != size:
            expected = f"must have shape ({size},) or ({size}, k)"
            raise ValueError(message(function, "v", expected, Phrase(f"shape {array.shape}")))
        return array
