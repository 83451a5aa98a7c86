"""Many entropic problems of one shape at once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._errors import ConvergenceWarning, NumericalError
from kexue_num._validation import (
    Phrase,
    as_array,
    check_workers,
    message,
    result_dtype,
    round_result,
)
from kexue_num.transport._gibbs import check_settings
from kexue_num.transport._inputs import check_masses, mass_tolerance, require_memory
from kexue_num.transport._result import Potentials

Array = NDArray[Any]


@dataclass(frozen=True, repr=False, eq=False)
class BatchResult:
    """The answers to B problems.

    Attributes
    ----------
    value, objective, dual_value, gap, marginal_error : (B,) ndarray
        As in `TransportResult`.
    potentials : Potentials
        `f` (B, n) and `g` (B, m).
    n_iter : (B,) ndarray of int
    converged : (B,) ndarray of bool
    """

    value: Array
    objective: Array
    dual_value: Array
    gap: Array
    marginal_error: Array
    potentials: Potentials
    n_iter: Array
    converged: Array
    _costs: Array = field(repr=False)
    _reg: float = field(repr=False)
    _factors: tuple[Array, Array, Array, Array] = field(repr=False)
    _dtype: np.dtype[Any] = field(repr=False)
    _workers: int = field(repr=False)

    def __repr__(self) -> str:
        shape = (*self.potentials.f.shape, self.potentials.g.shape[1])
        return f"BatchResult(shape={shape}, converged={int(self.converged.sum())} of {shape[0]})"

    def __len__(self) -> int:
        return len(self.value)

    @property
    def plan(self) -> Array:
        """The plans (B, n, m), built when they are asked for."""
        size = self.potentials.f.size * self.potentials.g.shape[1]
        require_memory("BatchResult.plan", 8 * size, f"{len(self)} plans")
        plans = _core.transport.batch_plans(self._costs, self._reg, *self._factors, self._workers)
        return round_result(plans, self._dtype)


def sinkhorn_batch(
    A: object,
    B: object,
    C: object,
    reg: float,
    *,
    tol: float = 1e-9,
    max_iter: int | None = None,
    workers: int | None = None,
) -> BatchResult:
    """`sinkhorn` for many problems of one shape, each on one thread.

    Parameters
    ----------
    A : (B, n) or (n,) array_like or None
        Masses of the rows; one histogram serves all problems, None is uniform.
    B : (B, m) or (m,) array_like or None
        Masses of the columns, of the same sums.
    C : (n, m) or (B, n, m) array_like
        One cost matrix for all problems, or one for each; +inf forbids an arc.
    reg : float
        Weight of the entropy, > 0.
    tol : float, default 1e-9
        Bound of every `marginal_error`.
    max_iter : int, optional
        Most passes over the kernel for each problem; None for 50000.
    workers : int, optional
        Threads; None for the library's setting. The result does not depend on it.

    Returns
    -------
    BatchResult

    Raises
    ------
    ValueError
        As `sinkhorn`, for any of the problems; if the numbers of problems do not agree.
    NumericalError
        If a problem has a row or a column with mass but forbidden arcs only.

    Warns
    -----
    ConvergenceWarning
        Once, if any problem missed `tol`.

    Notes
    -----
    Problem p gives the same answer in every batch, that of `sinkhorn`. The kernels are float64;
    memory beside the results is one kernel for each thread. 32 x 32 at a tenth of the largest cost
    take about 5 microseconds on one thread (AVX-512).

    References
    ----------
    M. Cuturi, "Sinkhorn distances", NeurIPS 2013.
    Jianlin Su, 科学空间, https://kexue.fm/archives/6280 (2019-01-20).

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.transport import sinkhorn_batch
    >>> x = np.arange(3.0)
    >>> C = np.abs(x[:, None] - x)
    >>> result = sinkhorn_batch([1 / 3, 1 / 3, 1 / 3], np.eye(3), C, reg=0.1)
    >>> result.value.round(6)
    array([1.      , 0.666667, 1.      ])
    """
    function = "sinkhorn_batch"
    settings = check_settings(function, reg, tol, max_iter, check_workers(function, workers))
    costs = _costs(function, C)
    n, m = costs.shape[1:]
    first, second = _masses(function, "A", A, n), _masses(function, "B", B, m)
    count = _count(function, first, second, costs)
    first = np.ascontiguousarray(np.broadcast_to(first, (count, n)))
    second = _balance(function, first, np.broadcast_to(second, (count, m)), (A, B))
    dtype = np.result_type(*(result_dtype(x) for x in (A, B, C) if x is not None))
    try:
        found = _core.transport.sinkhorn_batch(
            costs, first, second, settings.reg, settings.tol, settings.max_iter, settings.workers
        )
    except NumericalError as error:
        raise NumericalError(f"{function}: {error}") from None
    invalid = found["passes"] < 0
    if invalid.any():  # found by the core, which reads them anyway
        p = int(np.argmax(invalid)) if len(costs) > 1 else 0
        bad = costs[p][~(costs[p] > -np.inf)][0]
        expected = "must be finite, or +inf for a forbidden arc"
        raise ValueError(message(function, "C", expected, Phrase(f"{float(bad)!r} in problem {p}")))
    converged = found["error"] <= settings.tol
    if not converged.all():
        worst = int(np.argmax(found["error"]))
        warnings.warn(
            f"{function}: {np.count_nonzero(~converged)} of {count} problems stopped above tol = "
            f"{settings.tol:g}, problem {worst} at a marginal error of "
            f"{found['error'][worst]:.2g}; a larger 'max_iter', 'tol' or 'reg' may converge",
            ConvergenceWarning,
            stacklevel=2,
        )
    return BatchResult(
        found["value"],
        found["objective"],
        found["dual"],
        found["objective"] - found["dual"],
        found["error"],
        Potentials(round_result(found["f"], dtype), round_result(found["g"], dtype)),
        found["passes"],
        converged,
        costs,
        settings.reg,
        (found["base_f"], found["base_g"], found["left"], found["right"]),
        dtype,
        settings.workers,
    )


def _costs(function: str, C: object) -> Array:
    given = as_array(function, "C", C)
    if given.ndim not in (2, 3) or 0 in given.shape:
        expected = "must have shape (n, m) or (B, n, m), not empty"
        raise ValueError(message(function, "C", expected, Phrase(f"shape {given.shape}")))
    return np.ascontiguousarray(given if given.ndim == 3 else given[None], np.float64)


def _masses(function: str, argument: str, value: object, size: int) -> Array:
    if value is None:
        return np.full((1, size), 1 / size)
    array = as_array(function, argument, value)
    if array.ndim not in (1, 2) or array.shape[-1] != size or array.shape[0] == 0:
        expected = f"must have shape (B, {size}) or ({size},)"
        raise ValueError(message(function, argument, expected, Phrase(f"shape {array.shape}")))
    return check_masses(function, argument, array.reshape(-1, size))


def _count(function: str, A: Array, B: Array, costs: Array) -> int:
    sizes = {"A": len(A), "B": len(B), "C": len(costs)}
    count = max(sizes.values())
    for argument, size in sizes.items():
        if size not in (1, count):
            expected = f"must hold {count} problems or one"
            raise ValueError(message(function, argument, expected, Phrase(str(size))))
    return count


def _balance(function: str, A: Array, B: Array, given: tuple[object, object]) -> Array:
    have, want = B.sum(axis=1), A.sum(axis=1)
    tolerance = mass_tolerance(*given)
    bad = np.abs(have - want) > tolerance * np.maximum(have, want)
    if bad.any():
        p = int(np.argmax(bad))
        expected = f"must have the sums of 'A' within {tolerance:g} of them"
        got = Phrase(f"{float(have[p])!r} for {float(want[p])!r} in row {p}")
        raise ValueError(message(function, "B", expected, got))
    return np.ascontiguousarray(B * (want / have)[:, None])
