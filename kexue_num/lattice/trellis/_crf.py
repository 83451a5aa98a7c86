"""The loss of a linear-chain conditional random field."""

from __future__ import annotations

import numpy as np

from kexue_num import _core
from kexue_num._validation import Phrase, message
from kexue_num.lattice._inputs import Array, as_integers, check_range
from kexue_num.lattice.trellis._model import Model, as_model
from kexue_num.lattice.trellis._results import CrfLoss
from kexue_num.lattice.trellis._sums import posterior


def crf_nll(
    emissions: object,
    transitions: object,
    labels: object,
    *,
    start: object = None,
    stop: object = None,
    lengths: object = None,
    return_grad: bool = False,
    workers: int | None = None,
) -> CrfLoss:
    """The negative log-likelihood of labelled sequences, log Z - score(labels).

    For the arguments see the module; all are scores.

    Parameters
    ----------
    labels : ([B,] T) array_like of int
        States; what lies beyond the length is not used.
    return_grad : bool, default False

    Returns
    -------
    CrfLoss
        The loss is inf where the labels use an impossible state or transition.

    Notes
    -----
    The gradient is the marginals minus the indicators of the labels.

    Examples
    --------
    >>> from kexue_num.lattice import trellis
    >>> trellis.crf_nll([[0.0, 0.0]] * 3, [[0.0, 0.0]] * 2, [0, 1, 0])
    CrfLoss(loss=2.07944 in all, without gradient)
    """
    model = as_model(
        "crf_nll", emissions, transitions, start, stop, lengths, "log", workers, double=True
    )
    if model.parts[4] is None:
        expected = "must be a dense array"
        raise TypeError(message("crf_nll", "transitions", expected, Phrase("a sparse matrix")))
    batch, steps, states = model.shape
    tags = as_integers("crf_nll", "labels", labels, ndim=None)
    tags = tags[None] if model.single else tags
    if tags.shape != (batch, steps):
        expected = f"must have shape {(steps,) if model.single else (batch, steps)}"
        got = Phrase(f"shape {tags.shape[1:] if model.single else tags.shape}")
        raise ValueError(message("crf_nll", "labels", expected, got))
    inside = np.arange(steps) < model.lengths[:, None]
    tags = np.where(inside, tags, 0)
    check_range("crf_nll", "labels", tags, states, "states")
    uses = _Uses(model, tags, inside)
    if not return_grad:
        log_z = _core.lattice.sums(model.parts, False, False, False, model.workers)[0]
        model.refuse_impossible(log_z)
        return CrfLoss(model.unbatch(log_z - uses.score()), None, None, None, None)
    log_z, states_posterior, expected_uses = posterior(model)
    grads = uses.subtract_from(states_posterior, expected_uses.sum(axis=0))
    rounded = [g.astype(model.dtype, copy=False) for g in grads]
    rounded[0] = model.unbatch(rounded[0])
    return CrfLoss(model.unbatch(log_z - uses.score()), *rounded)


class _Uses:
    """Where labels of a batch point into the arrays of a model."""

    def __init__(self, model: Model, tags: Array, inside: Array) -> None:
        self.model = model
        self.at = (*np.nonzero(inside), tags[inside])
        row, step = np.nonzero(inside[:, 1:])
        pair = (tags[row, step], tags[row, step + 1])
        self.row = row
        self.pair = (step, *pair) if model.varying else pair
        self.some = np.flatnonzero(model.lengths > 0)
        last = model.lengths[self.some] - 1
        self.first, self.last = tags[self.some, :1].ravel(), tags[self.some, last]

    def score(self) -> Array:
        emissions, _, start, stop, dense, _ = self.model.parts
        total = np.zeros(self.model.shape[0])
        np.add.at(total, self.at[0], emissions[self.at])
        matrix = dense if self.model.varying else dense[0]
        np.add.at(total, self.row, matrix[self.pair])
        total[self.some] += start[self.first] + stop[self.last]
        return total

    def subtract_from(self, posterior: Array, expected_uses: Array) -> list[Array]:
        states = self.model.shape[2]
        last = self.model.lengths[self.some] - 1
        start = posterior[self.some, 0].sum(axis=0) if len(self.some) else np.zeros(states)
        stop = posterior[self.some, last].sum(axis=0) if len(self.some) else np.zeros(states)
        start -= np.bincount(self.first, minlength=states)
        stop -= np.bincount(self.last, minlength=states)
        posterior[self.at] -= 1
        np.subtract.at(expected_uses, self.pair, 1)
        return [posterior, expected_uses, start, stop]
