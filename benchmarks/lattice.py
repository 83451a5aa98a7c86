"""Trellises against hmmlearn's compiled recursions and plain NumPy; lattices against themselves.

The error of a Viterbi path is how far its score lies below the best contender's, relative to it;
that of a sum is relative to log Z. The least work counted is one addition and one comparison, or
one multiply-add, for each transition, and one pass over the emissions.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from kexue_num.lattice import Lattice, trellis

_VITERBI = ("our viterbi", "our viterbi of every entry")
_LARGE = 1000  # states, of which a best path leaves out most entries


def cases(quick: bool) -> Iterator[Case]:
    """Yield the cases; `quick` shortens the sequences and promises nothing."""
    table: list[tuple[int, int, float, float]] = [
        (10, 100_000, 3, 10),
        (100, 10_000, 6, 12),
        (1000, 200, 6, 20),
    ]
    for states, steps, ratio, goal in table:
        length = max(20, steps // 20) if quick else steps
        yield Case(
            name=f"viterbi/{states}x{length}",
            title=f"HMM Viterbi, {states} states, {length} steps, float64",
            prepare=functools.partial(_viterbi, states, length),
            floor=None if quick else Floor("hmmlearn", ratio, None, goal),
        )
        yield Case(
            name=f"sample/{states}x{length}",
            title=f"HMM posterior sample, {states} states, {length} steps",
            prepare=functools.partial(_sample, states, length),
            floor=None if quick else Floor(_VITERBI[states >= _LARGE], 1 / 1.4, None),
        )
    yield Case(
        name="lattice/sample",
        title="Lattice sample and best path, 20000 nodes, 4 edges each",
        prepare=functools.partial(_lattice, 1000 if quick else 20_000),
    )


def _model(states: int, steps: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    matrix = np.log(rng.dirichlet(np.ones(states), states))
    emissions = np.log(rng.uniform(1e-3, 1, (steps, states)))
    return np.full(states, -np.log(states)), matrix, emissions


def _viterbi(states: int, steps: int) -> Problem:
    start, matrix, emissions = _model(states, steps)
    best = float(trellis.viterbi(emissions, matrix, start=start).score)

    weights = np.exp(matrix)

    def score(path: Any) -> Outcome:
        path = np.asarray(path)
        total = start[path[0]] + emissions[np.arange(steps), path].sum()
        total += matrix[path[:-1], path[1:]].sum()
        # One unit is a relative error of 1e-12.
        return Outcome(error=abs(best - total) / abs(best) / 1e-12)

    def hmmlearn() -> Any:
        from hmmlearn import _hmmc

        found = _hmmc.viterbi(np.exp(start), weights, emissions)
        return next(part for part in found if np.ndim(part) == 1)

    return Problem(
        (
            Contender(
                "kexue_num",
                lambda: trellis.viterbi(emissions, matrix, start=start).states,
                score,
            ),
            Contender("hmmlearn", hmmlearn, score, requires="hmmlearn"),
            Contender("numpy", lambda: _numpy_viterbi(start, matrix, emissions), score),
        ),
        "1e-12 score",
        emissions.nbytes,
        2.0 * steps * states**2,
    )


def _numpy_viterbi(start: Any, matrix: Any, emissions: Any) -> Any:
    steps, states = emissions.shape
    back = np.empty((steps, states), np.int64)
    value = start + emissions[0]
    for t in range(1, steps):
        sums = value[:, None] + matrix
        back[t] = sums.argmax(axis=0)
        value = sums.max(axis=0) + emissions[t]
    path = np.empty(steps, np.int64)
    path[-1] = value.argmax()
    for t in range(steps - 1, 0, -1):
        path[t - 1] = back[t, path[t]]
    return path


def _sample(states: int, steps: int) -> Problem:
    start, matrix, emissions = _model(states, steps)

    def judge(_: Any) -> Outcome:
        return Outcome(error=0.0)

    def hmmlearn() -> Any:
        from hmmlearn import _hmmc

        return _hmmc.forward_scaling(np.exp(start), weights, np.exp(emissions))

    weights = np.exp(matrix)
    # A sample needs every entry. So does a best path where a few columns that all rows do well in
    # hide which rows can win elsewhere; what emissions take from them leaves the scores alike.
    hiding, taking = matrix.copy(), emissions.copy()
    hiding[:, ::32] += 50
    taking[:, ::32] -= 50
    models = ((emissions, matrix), (taking, hiding))
    return Problem(
        (
            Contender(
                "kexue_num",
                lambda: trellis.sample(emissions, matrix, start=start, rng=0),
                judge,
            ),
            *(
                Contender(name, functools.partial(trellis.viterbi, *model, start=start), judge)
                for name, model in zip(_VITERBI, models, strict=True)
                if name == _VITERBI[0] or states >= _LARGE
            ),
            Contender("hmmlearn forward", hmmlearn, judge, requires="hmmlearn"),
        ),
        "none",
        emissions.nbytes,
        2.0 * steps * states**2,
    )


def _lattice(nodes: int) -> Problem:
    rng = np.random.default_rng(0)
    sources = np.repeat(np.arange(nodes - 4), 4)
    lattice = Lattice.from_edges(
        sources, sources + np.tile([1, 2, 3, 4], nodes - 4), rng.normal(size=len(sources)), nodes
    )

    def judge(_: Any) -> Outcome:
        return Outcome(error=0.0)

    return Problem(
        (
            Contender("kexue_num", lambda: lattice.sample(1, rng=0), judge),
            Contender("viterbi", lattice.viterbi, judge),
            Contender("8 best", lambda: lattice.kbest(8), judge),
        ),
        "none",
        16.0 * len(sources),
        4.0 * len(sources),
    )
