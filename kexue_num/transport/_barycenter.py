"""Entropic barycenters of histograms."""

from __future__ import annotations

import math
import warnings
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
    require_finite,
    result_dtype,
    round_result,
)
from kexue_num.transport._gibbs import check_settings
from kexue_num.transport._inputs import as_costs, check_masses, mass_tolerance, require_memory
from kexue_num.transport._result import Potentials

Array = NDArray[Any]

_SINGLE_ENTRIES = 2**22  # of all kernels together


class Barycenter(np.ndarray[Any, Any]):
    """A histogram (m,), with what proves it.

    Attributes
    ----------
    converged : bool
        Whether the tolerance was met.
    n_iter : int
        Passes over the kernels.
    marginal_error : float
        The largest L1 distance of a plan's column sums from the histogram.
    potentials : Potentials
        `f` (K, n) and `g` (K, m): plan k is A_ki exp((f_ki + g_kj - C_ij) / reg).
    """

    converged: bool
    n_iter: int
    marginal_error: float
    potentials: Potentials | None

    def __array_finalize__(self, source: object) -> None:
        # Arithmetic gives plain numbers; only copies and views of the whole keep the proof.
        same = isinstance(source, Barycenter) and source.shape == self.shape
        self.converged = getattr(source, "converged", False) if same else False
        self.n_iter = getattr(source, "n_iter", 0) if same else 0
        self.marginal_error = getattr(source, "marginal_error", np.nan) if same else np.nan
        self.potentials = getattr(source, "potentials", None) if same else None

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else array


def barycenter(
    A: object,
    C: object,
    reg: float,
    weights: object = None,
    *,
    debiased: bool = False,
    tol: float | None = None,
    max_iter: int | None = None,
    workers: int | None = None,
) -> Barycenter:
    """The histogram p that minimises sum_k w_k OT_reg(A_k, p).

    Parameters
    ----------
    A : (K, n) array_like
        Histograms as rows, >= 0, of one sum.
    C : (n, m) array_like
        Finite costs from the histograms' bins to those of the barycenter; mostly n = m.
    reg : float
        Weight of the entropy, > 0.
    weights : (K,) array_like, optional
        Weights >= 0, scaled to the sum 1; equal for None.
    debiased : bool, default False
        Take out the blur of the entropy (Janati et al. 2020); C must be symmetric.
    tol : float, optional
        Bound of `marginal_error`; None for 1e-9, and 1e-4 if `debiased`.
    max_iter : int, optional
        Most passes over the kernels; None for 50000.
    workers : int, optional
        Threads; None for the library's setting. The result does not depend on it.

    Returns
    -------
    Barycenter
        An ndarray (m,) with `converged`, `n_iter`, `marginal_error` and `potentials`.

    Raises
    ------
    ValueError
        If masses are negative or of different sums, a cost is not finite, weights are negative or
        all zero, or `debiased` without symmetric costs.
    MemoryError
        If K kernels are larger than the machine.

    Warns
    -----
    ConvergenceWarning
        If `tol` was not reached.

    Notes
    -----
    OT_reg(a, p) is the minimum of <C, P> + reg sum P (log P - 1) over the plans from a to p
    (Benamou et al. 2015). One absorbed kernel for each histogram keeps every reg from underflow;
    Newton's method finishes what the projections leave, except if `debiased`: the error then falls
    like a power of the passes only, and counts the last change of the bias too. Memory: 8 K n m
    bytes, 4 K n m from 4194304 entries on.

    References
    ----------
    J.-D. Benamou, G. Carlier, M. Cuturi, L. Nenna, G. Peyre, "Iterative Bregman projections for
    regularized transportation problems", SIAM J. Sci. Comput. 37 (2015).
    H. Janati, M. Cuturi, A. Gramfort, "Debiased Sinkhorn barycenters", ICML 2020.
    Jianlin Su, 科学空间, https://kexue.fm/archives/6280 (2019-01-20).

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.transport import barycenter
    >>> x = np.arange(5.0)
    >>> p = barycenter(np.eye(5)[[0, 4]], (x[:, None] - x) ** 2, reg=0.5)
    >>> np.asarray(p).round(3)
    array([0.   , 0.106, 0.787, 0.106, 0.   ])
    """
    function = "barycenter"
    bound = (1e-4 if debiased else 1e-9) if tol is None else tol
    settings = check_settings(function, reg, bound, max_iter, check_workers(function, workers))
    masses = as_array(function, "A", A, ndim=2)
    if 0 in masses.shape:
        raise ValueError(
            message(function, "A", "must not be empty", Phrase(f"shape {masses.shape}"))
        )
    rows = check_masses(function, "A", masses)
    costs, _, forbidden = as_costs(function, C)
    if forbidden:
        require_finite(function, "C", costs)
    if costs.shape[0] != rows.shape[1]:
        expected = f"must have {rows.shape[1]} rows, one for each bin of 'A'"
        raise ValueError(message(function, "C", expected, Phrase(f"shape {costs.shape}")))
    if debiased and not (costs.shape[0] == costs.shape[1] and np.array_equal(costs, costs.T)):
        raise ValueError(
            message(function, "C", "must be symmetric if 'debiased'", Phrase("other costs"))
        )
    share = _weights(function, weights, len(rows))
    sums = rows.sum(axis=1)
    tolerance = mass_tolerance(A)
    if np.abs(sums - sums[0]).max() > tolerance * sums[0]:
        k = int(np.argmax(np.abs(sums - sums[0])))
        got = Phrase(f"{float(sums[k])!r} in row {k} and {float(sums[0])!r} in row 0")
        raise ValueError(message(function, "A", "must have rows of one sum", got))
    rows = np.ascontiguousarray(rows * (sums[0] / sums)[:, None])
    entries = len(rows) * costs.size
    single = entries >= _SINGLE_ENTRIES and settings.tol >= 1e-12
    require_memory(function, (4 if single else 8) * entries, f"{len(rows)} kernels")
    found = _core.transport.barycenter(
        _core.transport.Costs(costs),
        rows,
        share,
        debiased,
        settings.reg,
        settings.tol,
        settings.max_iter,
        single,
        settings.workers,
    )
    if math.isnan(found["error"]):
        raise NumericalError(f"{function}: masses underflow, 'reg' is too small for the costs 'C'")
    if not found["converged"]:
        warnings.warn(
            f"{function}: stopped at a marginal error of {found['error']:.2g} after "
            f"{found['passes']} passes, above tol = {settings.tol:g}; a larger 'max_iter', 'tol' "
            f"or 'reg' may converge",
            ConvergenceWarning,
            stacklevel=2,
        )
    dtype = np.result_type(result_dtype(A), result_dtype(C))
    out = round_result(found["histogram"], dtype).view(Barycenter)
    out.converged = found["converged"]
    out.n_iter = found["passes"]
    out.marginal_error = found["error"]
    out.potentials = Potentials(round_result(found["f"], dtype), round_result(found["g"], dtype))
    return out


def _weights(function: str, weights: object, count: int) -> Array:
    if weights is None:
        return np.full(count, 1 / count)
    array = as_array(function, "weights", weights, ndim=1)
    if array.shape != (count,):
        expected = f"must have shape ({count},)"
        raise ValueError(message(function, "weights", expected, Phrase(f"shape {array.shape}")))
    share = check_masses(function, "weights", array)
    total: Array = share / share.sum()
    return total
