"""The best paths of a trellis."""

from __future__ import annotations

import math
from typing import Literal

from kexue_num import _core
from kexue_num._validation import Phrase, as_array, check_integer, check_memory, message
from kexue_num.lattice._inputs import as_scores
from kexue_num.lattice.trellis._model import as_model
from kexue_num.lattice.trellis._results import BestStates, Segmentation

Domain = Literal["log", "prob"]


def viterbi(
    emissions: object,
    transitions: object,
    *,
    start: object = None,
    stop: object = None,
    lengths: object = None,
    domain: Domain = "log",
    workers: int | None = None,
) -> BestStates:
    """The best path of each sequence. For the arguments see the module.

    Returns
    -------
    BestStates

    Raises
    ------
    ValueError
        Also if a sequence has no possible path.

    Notes
    -----
    O(T S^2), or T times the entries of sparse transitions; memory T S for each of the sequences
    in work. float32 is computed in float32, the score of the path in float64. Ties go to the
    smaller state, from the last step backwards.

    Examples
    --------
    >>> from kexue_num.lattice import trellis
    >>> emissions = [[0.5, 0.1], [0.1, 0.6], [0.7, 0.3]]
    >>> best = trellis.viterbi(emissions, [[0.7, 0.3], [0.4, 0.6]], domain="prob")
    >>> best.states, round(float(best.score), 6)
    (array([0, 1, 0]), -3.680911)
    """
    model = as_model(
        "viterbi", emissions, transitions, start, stop, lengths, domain, workers, double=False
    )
    states, score = _core.lattice.viterbi(model.parts, model.workers)
    model.refuse_impossible(score)
    return BestStates(model.unbatch(states), model.unbatch(score))


def kbest(
    emissions: object,
    transitions: object,
    k: int,
    *,
    start: object = None,
    stop: object = None,
    lengths: object = None,
    domain: Domain = "log",
    workers: int | None = None,
) -> BestStates:
    """The `k` best paths of each sequence, from the best on. For the arguments see the module.

    Returns
    -------
    BestStates
        With an axis of k before T.

    Notes
    -----
    Exact, by lazy enumeration (see `Lattice.kbest`) of a lattice that is built for each sequence:
    about 60 bytes for each of its T S^2 possible transitions.
    """
    k = check_integer("kbest", "k", k, minimum=1)
    model = as_model(
        "kbest", emissions, transitions, start, stop, lengths, domain, workers, double=True
    )
    check_memory("kbest", "k", k, 8.0 * k * math.prod(model.shape[:2]))
    states, score = _core.lattice.kbest_states(model.parts, k, model.workers)
    model.refuse_impossible(score[:, 0])
    return BestStates(model.unbatch(states), model.unbatch(score))


def viterbi_semi_markov(segment_scores: object, transitions: object) -> Segmentation:
    """The best segmentation into labelled segments.

    Parameters
    ----------
    segment_scores : (T, D, S) array_like of real numbers
        Entry (t, d, s) scores a segment of label s and length d + 1 that ends at step t; -inf
        where it is impossible. Entries of segments that would begin before step 0 are not used.
    transitions : (S, S) array_like of real numbers
        Scores between the labels of neighbouring segments.

    Returns
    -------
    Segmentation

    Raises
    ------
    ValueError
        Also if no segmentation is possible.

    Notes
    -----
    O(T S (D + S)) time, O(T S) memory, float64. Ties go to the shorter segment, then to the
    smaller label.

    Examples
    --------
    >>> from kexue_num.lattice import trellis
    >>> import numpy as np
    >>> scores = np.zeros((4, 2, 1))
    >>> scores[3, 1, 0] = 1.0
    >>> trellis.viterbi_semi_markov(scores, [[-0.1]]).starts
    array([0, 2])
    """
    function = "viterbi_semi_markov"
    scores = as_scores(function, "segment_scores", segment_scores, ndim=3)
    longest, states = scores.shape[1:]
    if not longest or not states:
        expected = "must have shape (T, D, S) with D and S >= 1"
        got = Phrase(f"shape {scores.shape}")
        raise ValueError(message(function, "segment_scores", expected, got))
    matrix = as_scores(function, "transitions", as_array(function, "transitions", transitions),
                       ndim=2)  # fmt: skip
    if matrix.shape != (states, states):
        expected = f"must have shape {(states, states)}"
        got = Phrase(f"shape {matrix.shape}")
        raise ValueError(message(function, "transitions", expected, got))
    found = _core.lattice.viterbi_semi_markov(scores, matrix)
    if found is None:
        expected = "must allow a segmentation"
        raise ValueError(message(function, "segment_scores", expected, Phrase("none")))
    return Segmentation(*found)
