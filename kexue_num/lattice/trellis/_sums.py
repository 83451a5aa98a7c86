"""Sums over all paths of a trellis, and samples."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from kexue_num import _core
from kexue_num._validation import as_key, check_integer, check_memory
from kexue_num.lattice._inputs import Array
from kexue_num.lattice.trellis._model import Model, as_model
from kexue_num.lattice.trellis._results import Marginals, Messages

Domain = Literal["log", "prob"]


def log_partition(
    emissions: object,
    transitions: object,
    *,
    start: object = None,
    stop: object = None,
    lengths: object = None,
    domain: Domain = "log",
    workers: int | None = None,
) -> Any:
    """Log Z of each sequence, float64; -inf where no path is possible, 0 for length 0.

    For the arguments see the module. O(T S^2). Sums are of probabilities in float64, rescaled at
    every step; sequences whose numbers could underflow are done in the log domain, which is about
    ten times slower and as accurate.
    """
    model = as_model(
        "log_partition", emissions, transitions, start, stop, lengths, domain, workers, double=True
    )
    return model.unbatch(_core.lattice.sums(model.parts, False, False, False, model.workers)[0])


def forward_backward(
    emissions: object,
    transitions: object,
    *,
    start: object = None,
    stop: object = None,
    lengths: object = None,
    domain: Domain = "log",
    workers: int | None = None,
) -> Messages:
    """The forward and backward sums of each sequence. For the arguments see the module.

    Returns
    -------
    Messages
        In the dtype of the emissions; -inf entries where a state is impossible.
    """
    model = as_model(
        "forward_backward", emissions, transitions, start, stop, lengths, domain, workers,
        double=True,
    )  # fmt: skip
    log_z, ahead, behind, _, _ = _core.lattice.sums(model.parts, True, False, False, model.workers)
    return Messages(model.rounded(ahead), model.rounded(behind), model.unbatch(log_z))


def marginals(
    emissions: object,
    transitions: object,
    *,
    start: object = None,
    stop: object = None,
    lengths: object = None,
    domain: Domain = "log",
    workers: int | None = None,
) -> Marginals:
    """Posterior probabilities of states and transitions. For the arguments see the module.

    Returns
    -------
    Marginals
        In the dtype of the emissions; they are the gradient of `log_partition` in the scores.

    Raises
    ------
    ValueError
        Also if a sequence has no possible path.
    """
    model = as_model(
        "marginals", emissions, transitions, start, stop, lengths, domain, workers, double=True
    )
    log_z, states, uses = posterior(model)
    return Marginals(model.rounded(states), model.rounded(uses), model.unbatch(log_z))


def posterior(model: Model) -> tuple[Array, Array, Array]:
    """Log Z, posteriors of the states and uses of the transitions, for every sequence."""
    log_z, _, _, states, uses = _core.lattice.sums(model.parts, False, True, True, model.workers)
    model.refuse_impossible(log_z)
    if model.parts[4] is not None and not model.varying:
        uses = uses[:, 0]
    elif model.varying:
        uses = uses[:, : max(model.shape[1] - 1, 0)]
    return log_z, states, uses


def sample(
    emissions: object,
    transitions: object,
    *,
    size: int = 1,
    rng: object = None,
    start: object = None,
    stop: object = None,
    lengths: object = None,
    domain: Domain = "log",
    workers: int | None = None,
) -> Array:
    """Exact samples of paths from the posterior. For the arguments see the module.

    Parameters
    ----------
    size : int, default 1
        Samples of each sequence.
    rng : None, int or numpy.random.Generator

    Returns
    -------
    ([B,] size, T) int64 ndarray
        States; -1 beyond the length.

    Notes
    -----
    Forward filtering, backward sampling: O(T S^2) once and O(T S) for each sample. A sample
    depends on `rng`, the number of its sequence and its own number only.

    References
    ----------
    S. L. Scott, Bayesian methods for hidden Markov models, JASA 97, 2002.

    Examples
    --------
    >>> from kexue_num.lattice import trellis
    >>> trellis.sample([[0.0, -9.0], [-9.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], size=2, rng=0)
    array([[0, 1],
           [0, 1]])
    """
    size = check_integer("sample", "size", size, minimum=0)
    model = as_model(
        "sample", emissions, transitions, start, stop, lengths, domain, workers, double=True
    )
    check_memory("sample", "size", size, 8.0 * size * math.prod(model.shape[:2]))
    key = as_key("sample", rng)
    states: Array = _core.lattice.sample_states(model.parts, size, key, model.workers)
    if size and model.shape[1]:
        impossible = (model.lengths > 0) & (states[:, 0, 0] < 0)
        model.refuse_impossible(np.where(impossible, -np.inf, 0.0))
    result: Array = model.unbatch(states)
    return result
