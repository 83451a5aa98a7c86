"""Fifteen normal mixtures of Marron and Wand: densities from samples, judged by the truth.

Each contender fits all fifteen. The error counts the densities on which it loses to the other
(by the mean log-likelihood of fresh samples, or by the integrated squared error), over the number
that the floor allows us. KDEpy's bandwidth is not equivariant: samples are scaled up for it.

J. S. Marron, M. P. Wand, Exact mean integrated squared error, Annals of Statistics 20 (1992).
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from kexue_num.density import FourierDensity

Array = NDArray[Any]
Mixture = list[tuple[float, float, float]]  # weight, mean, standard deviation

_LEAST = 1e-9  # where a kernel estimate has no samples near
_SCALE = 100.0


def mixtures() -> list[Mixture]:
    """The fifteen densities, in the order of the paper."""
    claws = range(-2, 3)
    return [
        [(1, 0, 1)],
        [(1 / 5, 0, 1), (1 / 5, 1 / 2, 2 / 3), (3 / 5, 13 / 12, 5 / 9)],
        [(1 / 8, 3 * ((2 / 3) ** k - 1), (2 / 3) ** k) for k in range(8)],
        [(2 / 3, 0, 1), (1 / 3, 0, 1 / 10)],
        [(1 / 10, 0, 1), (9 / 10, 0, 1 / 10)],
        [(1 / 2, -1, 2 / 3), (1 / 2, 1, 2 / 3)],
        [(1 / 2, -3 / 2, 1 / 2), (1 / 2, 3 / 2, 1 / 2)],
        [(3 / 4, 0, 1), (1 / 4, 3 / 2, 1 / 3)],
        [(9 / 20, -6 / 5, 3 / 5), (9 / 20, 6 / 5, 3 / 5), (1 / 10, 0, 1 / 4)],
        [(1 / 2, 0, 1), *((1 / 10, k / 2 - 1, 1 / 10) for k in range(5))],
        [
            (49 / 100, -1, 2 / 3),
            (49 / 100, 1, 2 / 3),
            *((1 / 350, (k - 3) / 2, 1 / 100) for k in range(7)),
        ],
        [(1 / 2, 0, 1), *((2 ** (1 - k) / 31, k + 1 / 2, 2**-k / 10) for k in claws)],
        [
            (46 / 100, -1, 2 / 3),
            (46 / 100, 1, 2 / 3),
            *((1 / 300, -k / 2, 1 / 100) for k in (1, 2, 3)),
            *((7 / 300, k / 2, 7 / 100) for k in (1, 2, 3)),
        ],
        [(2 ** (5 - k) / 63, (65 - 96 / 2**k) / 21, 32 / 63 / 2**k) for k in range(6)],
        [
            *((2 / 7, (12 * k - 15) / 7, 2 / 7) for k in range(3)),
            *((1 / 21, 2 * k / 7, 1 / 21) for k in (8, 9, 10)),
        ],
    ]


def cases(quick: bool) -> Iterator[Case]:
    """Yield the cases; `quick` takes few samples and promises nothing."""
    # Samples, judge, densities that may be lost; the goal is 15 and 13 won, and 14 of few samples.
    for n, judge, lost in (
        (100_000, "likelihood", 1),
        (100_000, "squares", 5),
        (1000, "likelihood", 3),
    ):
        n_here = min(n, 200) if quick else n
        yield Case(
            name=f"mixtures/n{n}/{judge}",
            title=f"15 densities from {n_here} samples each, lost by {judge} over {lost} allowed",
            prepare=functools.partial(_problem, n_here, judge, lost, 1 if n > 1000 else 3),
            floor=None if quick else Floor("KDEpy ISJ", 0, None),
        )


@dataclass(frozen=True)
class _Target:
    mixture: Mixture
    batches: list[Array]
    fresh: Array


def _draw(mixture: Mixture, n: int, rng: np.random.Generator) -> Array:
    weights, means, deviations = (np.array(column) for column in zip(*mixture, strict=True))
    which = rng.choice(weights.size, size=n, p=weights / weights.sum())
    samples: Array = means[which] + deviations[which] * rng.standard_normal(n)
    return samples


def _truth(mixture: Mixture, y: Array) -> Array:
    total = np.zeros_like(y)
    for w, m, s in mixture:
        total += w / (s * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((y - m) / s) ** 2)
    return total


def _kernel_estimate(y: Array) -> tuple[Array, Array]:
    from KDEpy import FFTKDE

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        grid, p = FFTKDE(bw="ISJ").fit(_SCALE * y).evaluate(2**14)
    return grid / _SCALE, p * _SCALE


def _scores(target: _Target, judge: str, densities: list[Any]) -> float:
    """The mean over the batches; the larger the better."""
    if judge == "likelihood":
        values = [np.log(np.maximum(p(target.fresh), _LEAST)).mean() for p in densities]
    else:
        grid = np.linspace(-4, 4, 20_001)
        truth = _truth(target.mixture, grid)
        values = [-float(((p(grid) - truth) ** 2).sum()) for p in densities]
    return float(np.mean(values))


def _problem(n: int, judge: str, allowed: int, repetitions: int) -> Problem:
    rng = np.random.default_rng(0)
    targets = [
        _Target(m, [_draw(m, n, rng) for _ in range(repetitions)], _draw(m, 100_000, rng))
        for m in mixtures()
    ]

    def ours() -> list[list[Any]]:
        return [[FourierDensity().fit(y).pdf for y in target.batches] for target in targets]

    def kernels() -> list[list[Any]]:
        return [
            [
                functools.partial(np.interp, xp=grid, fp=p, left=0.0, right=0.0)
                for grid, p in map(_kernel_estimate, target.batches)
            ]
            for target in targets
        ]

    @functools.cache
    def peer_scores() -> list[float]:
        found = kernels()
        return [_scores(t, judge, d) for t, d in zip(targets, found, strict=True)]

    @functools.cache
    def our_scores() -> list[float]:
        found = ours()
        return [_scores(t, judge, d) for t, d in zip(targets, found, strict=True)]

    def lost(scores: list[float], others: list[float]) -> Outcome:
        count = sum(mine < theirs for mine, theirs in zip(scores, others, strict=True))
        return Outcome(error=count / allowed)

    samples = 15 * repetitions * n
    return Problem(
        (
            Contender("kexue_num", ours, lambda _: lost(our_scores(), peer_scores())),
            Contender(
                "KDEpy ISJ", kernels, lambda _: lost(peer_scores(), our_scores()), requires="KDEpy"
            ),
        ),
        "densities lost that are allowed",
        8.0 * samples,
        20.0 * samples,
    )
