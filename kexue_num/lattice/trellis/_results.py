"""What the functions on trellises return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kexue_num.lattice._inputs import Array


@dataclass(frozen=True, repr=False, eq=False)
class BestStates:
    """The best paths.

    Attributes
    ----------
    states : ([B,] [k,] T) int64 ndarray
        -1 beyond the length of a sequence, and throughout where there are fewer than k paths.
    score : ([B,] [k]) float64 ndarray
        -inf where there are fewer than k paths.
    """

    states: Array
    score: Any

    def __repr__(self) -> str:
        return f"BestStates(shape={self.states.shape})"


@dataclass(frozen=True, repr=False, eq=False)
class Messages:
    """Logarithms of forward and backward sums.

    Attributes
    ----------
    log_forward : ([B,] T, S) ndarray
        Paths up to and with the emission at t, by the state there.
    log_backward : ([B,] T, S) ndarray
        Paths after t, given the state there; forward + backward sums to log Z at every step.
        Both are NaN beyond the length.
    log_partition : ([B]) float64
    """

    log_forward: Array
    log_backward: Array
    log_partition: Any

    def __repr__(self) -> str:
        return f"Messages(shape={self.log_forward.shape})"


@dataclass(frozen=True, repr=False, eq=False)
class Marginals:
    """Posterior probabilities.

    Attributes
    ----------
    states : ([B,] T, S) ndarray
        P(z_t = s); 0 beyond the length.
    transitions : ([B,] S, S), ([B,] T - 1, S, S) or ([B,] n_entries) ndarray
        Expected number of uses of each transition; for each step if they vary; for the stored
        entries, in compressed rows, if they are sparse.
    log_partition : ([B]) float64
    """

    states: Array
    transitions: Array
    log_partition: Any

    def __repr__(self) -> str:
        return f"Marginals(shape={self.states.shape})"


@dataclass(frozen=True, repr=False, eq=False)
class CrfLoss:
    """Negative log-likelihood, and the gradient of its sum over the batch.

    Attributes
    ----------
    loss : ([B]) float64
    emissions, transitions, start, stop : ndarray or None
        Gradients, each of the shape of its argument (for sparse transitions, of the stored
        entries in compressed rows); None unless asked for.
    """

    loss: Any
    emissions: Array | None
    transitions: Array | None
    start: Array | None
    stop: Array | None

    def __repr__(self) -> str:
        grad = "without" if self.emissions is None else "with"
        return f"CrfLoss(loss={np.sum(self.loss):.6g} in all, {grad} gradient)"


@dataclass(frozen=True, repr=False, eq=False)
class Segmentation:
    """The best segments.

    Attributes
    ----------
    starts : (n_segments,) int64 ndarray
        Where each begins; the next one's start, or T, is its end.
    labels : (n_segments,) int64 ndarray
    score : float
    """

    starts: Array
    labels: Array
    score: float

    def __repr__(self) -> str:
        return f"Segmentation(n_segments={len(self.starts)}, score={self.score:.6g})"
