"""Minimisation over continuous distributions: particles that follow a Wasserstein gradient flow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num._errors import NumericalError
from kexue_num._validation import (
    Phrase,
    as_array,
    check_integer,
    check_positive,
    message,
    result_dtype,
    round_result,
)

Array = NDArray[Any]


@dataclass(frozen=True, repr=False, eq=False)
class WassersteinFlow:
    """Where the particles are after the last step.

    Attributes
    ----------
    particles : (n, d) ndarray
    energies : (n_steps + 1,) ndarray or None
        The energy before every step and after the last, if `energy` was given.
    velocity_norm : float
        Root mean square length of the last gradient: zero where the flow rests.
    n_steps : int
    """

    particles: Array
    energies: Array | None
    velocity_norm: float
    n_steps: int

    def __repr__(self) -> str:
        energy = "" if self.energies is None else f", energy={self.energies[-1]:.6g}"
        return (
            f"WassersteinFlow(shape={self.particles.shape}, n_steps={self.n_steps}, "
            f"velocity_norm={self.velocity_norm:.3g}{energy})"
        )


def wasserstein_flow(
    particles: Any,
    gradient: Callable[[Array], Any],
    *,
    step: float,
    n_steps: int,
    energy: Callable[[Array], float] | None = None,
    callback: Callable[[int, Array], Any] | None = None,
) -> WassersteinFlow:
    """Minimise a functional F of a distribution, held as particles, by its Wasserstein flow.

    The flow of the density is ``dp/dt = div(p grad dF/dp)``; that of its particles is
    ``dx/dt = -grad (dF/dp)(x)``, here by Euler steps.

    Parameters
    ----------
    particles : (n, d) array_like
        Samples of the first distribution; not modified.
    gradient : callable
        ``gradient(x)`` gives ``grad (dF/dp)`` at every particle, (n, d); it sees all particles, so
        F may hold interactions.
    step : float
        Length of an Euler step in time, above 0.
    n_steps : int
        Number of steps.
    energy : callable, optional
        ``energy(x)`` estimates F; recorded before each step and at the end.
    callback : callable, optional
        Called as ``callback(k, x)`` after step k = 1, 2, ...; a true result stops.

    Returns
    -------
    WassersteinFlow

    Raises
    ------
    ValueError
        If the particles are not a finite (n, d) array or a gradient has another shape.
    kexue_num.NumericalError
        If a particle leaves for infinity: the step is too long.

    Notes
    -----
    Convex combinations cannot turn one density into another that lives elsewhere; moving its mass
    can. Memory: two copies of the particles.

    References
    ----------
    Jianlin Su, 科学空间 (2024-08-06), https://kexue.fm/archives/10289; R. Jordan, D. Kinderlehrer,
    F. Otto, SIAM J. Math. Anal. 29 (1998).

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.simplex import wasserstein_flow
    >>> flow = wasserstein_flow([[0.0], [4.0]], lambda x: x - 1.0, step=0.5, n_steps=60)
    >>> flow.particles
    array([[1.],
           [1.]])
    """
    function = "wasserstein_flow"
    x = as_array(function, "particles", particles, ndim=2, check_finite=True).copy()
    step = check_positive(function, "step", step)
    n_steps = check_integer(function, "n_steps", n_steps, minimum=1)
    energies = []
    norm = math.nan
    taken = 0
    while taken < n_steps:
        if energy is not None:
            energies.append(float(energy(x.copy())))
        slope = np.asarray(gradient(x.copy()))
        if slope.shape != x.shape:
            expected = f"must return an array of shape {x.shape}"
            raise ValueError(
                message(function, "gradient", expected, Phrase(f"shape {slope.shape}"))
            )
        with np.errstate(over="ignore"):
            squares = np.sum(np.square(slope, dtype=np.float64))
            norm = float(np.sqrt(squares / max(len(slope), 1)))
            x -= step * slope.astype(x.dtype, copy=False)
        taken += 1
        if not np.isfinite(x).all():
            raise NumericalError(
                f"wasserstein_flow: a particle is not finite after step {taken}; 'step' = {step:g} "
                "is too long or the gradient is not finite"
            )
        if callback is not None and callback(taken, x.copy()):
            break
    if energy is not None:
        energies.append(float(energy(x.copy())))
    result = round_result(x, result_dtype(particles))
    return WassersteinFlow(result, np.array(energies) if energies else None, norm, taken)
