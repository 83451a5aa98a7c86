"""Entropic transport against POT.

Costs are squared distances of two normal clouds in the plane over the largest one; reg is relative
to it. Plans are built on both sides. The error is the larger L1 error of a plan's marginals over
1e-9, the tolerance; of unbalanced plans and barycenters the L1 distance to a converged answer over
1e-6. POT's logarithmic solver is cut off where it would run for minutes, which its error shows.
The least work counted for the limit is one read of the costs and one of a float32 kernel.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from kexue_num.transport import barycenter, sinkhorn, sinkhorn_batch, unbalanced

Array = NDArray[Any]

TOLERANCE = 1e-9
PEER = "POT"


def cases(quick: bool) -> Iterator[Case]:
    """Yield the cases; `quick` takes small sizes and promises nothing."""

    def promise(floor: Floor) -> Floor | None:
        return None if quick else floor

    for n, reg, ratio, goal in (
        (1000, 1e-1, 3, 8),
        (2000, 1e-1, 3, 8),
        (5000, 1e-1, 3, 8),
        (1000, 1e-2, 3, 8),
        (2000, 1e-2, 3, 8),
        (5000, 1e-2, 3, 8),
        (1000, 1e-3, 8, 20),
        (2000, 1e-3, 8, 20),
    ):
        size = n // 10 if quick else n
        yield Case(
            name=f"sinkhorn/n{size}/reg{reg:g}",
            title=f"entropic plan, {size} x {size}, reg {reg:g} of the largest cost",
            prepare=functools.partial(_sinkhorn, size, reg, "sinkhorn", 100_000),
            floor=promise(Floor("POT sinkhorn", ratio, None, goal)),
        )
    size = 60 if quick else 1000
    yield Case(
        name=f"sinkhorn/n{size}/reg0.0001",
        title=f"entropic plan, {size} x {size}, reg 1e-4 of the largest cost",
        prepare=functools.partial(_sinkhorn, size, 1e-4, "sinkhorn_log", 300),
        floor=promise(Floor("POT sinkhorn_log", 100, None, 200)),
    )
    count = 100 if quick else 10_000
    yield Case(
        name=f"batch/{count}x32x32/reg0.1",
        title=f"{count} entropic problems of 32 x 32, reg 0.1",
        prepare=functools.partial(_batch, count),
        floor=promise(Floor("POT loop", 100, None, 300)),
    )
    yield Case(
        name=f"unbalanced/n{size}/reg0.01",
        title=f"unbalanced plan, {size} x {size}, reg 0.01, reg_m 1",
        prepare=functools.partial(_unbalanced, size),
        floor=promise(Floor("POT translation invariant", 3, None, 8)),
    )
    bins = 40 if quick else 500
    yield Case(
        name=f"barycenter/10x{bins}/reg0.01",
        title=f"barycenter of 10 histograms of {bins} bins, reg 0.01",
        prepare=functools.partial(_barycenter, bins),
        floor=promise(Floor("POT sinkhorn_log", 40, None, 100)),
    )


def clouds(n: int) -> tuple[Array, Array, Array]:
    """Masses and costs of two normal clouds."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, 2)), rng.standard_normal((n, 2)) * 0.8 + 1
    a, b = rng.random(n) + 0.1, rng.random(n) + 0.1
    costs = np.maximum((x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * (x @ y.T), 0)
    return a / a.sum(), b / b.sum(), costs / costs.max()


def _marginals(a: Array, b: Array) -> Callable[[Array], Outcome]:
    def judge(plan: Array) -> Outcome:
        error = max(np.abs(plan.sum(-1) - a).sum(-1).max(), np.abs(plan.sum(-2) - b).sum(-1).max())
        # Summing the plan rounds as well.
        return Outcome(error=float(max(error - 1e-13, 0.0)) / TOLERANCE)

    return judge


def _quiet(run: Callable[[], Any]) -> Callable[[], Any]:
    def quietly() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return run()

    return quietly


def _traffic(n: int, m: int) -> float:
    return 12.0 * n * m


def _sinkhorn(n: int, reg: float, method: str, most: int) -> Problem:
    a, b, costs = clouds(n)

    def peer() -> Array:
        import ot

        plan: Array = ot.sinkhorn(
            a, b, costs, reg, method=method, numItermax=most, stopThr=TOLERANCE
        )
        return plan

    judge = _marginals(a, b)
    return Problem(
        (
            Contender("kexue_num", lambda: sinkhorn(a, b, costs, reg, tol=TOLERANCE).plan, judge),
            Contender(f"POT {method}", _quiet(peer), judge, requires=PEER),
        ),
        "1e-9",
        _traffic(n, n),
        0.0,
    )


def _batch(count: int) -> Problem:
    rng = np.random.default_rng(0)
    costs = rng.random((count, 32, 32))
    a, b = rng.random((count, 32)) + 0.1, rng.random((count, 32)) + 0.1
    a, b = a / a.sum(1, keepdims=True), b / b.sum(1, keepdims=True)

    def peer() -> Array:
        import ot

        return np.stack(
            [ot.sinkhorn(a[p], b[p], costs[p], 0.1, stopThr=TOLERANCE) for p in range(count)]
        )

    judge = _marginals(a, b)
    return Problem(
        (
            Contender("kexue_num", lambda: sinkhorn_batch(a, b, costs, 0.1).plan, judge),
            Contender("POT loop", _quiet(peer), judge, requires=PEER),
        ),
        "1e-9",
        16.0 * costs.size,
        0.0,
    )


def _unbalanced(n: int) -> Problem:
    a, b, costs = clouds(n)
    best = unbalanced(a, b, costs, 0.01, 1.0, tol=1e-12).plan

    def peer(method: str) -> Array:
        import ot

        plan: Array = ot.unbalanced.sinkhorn_unbalanced(
            a, b, costs, 0.01, 1.0, method=method, numItermax=10_000, stopThr=TOLERANCE
        )
        return plan

    def judge(plan: Array) -> Outcome:
        return Outcome(error=float(np.abs(plan - best).sum()) / 1e-6)

    return Problem(
        (
            Contender("kexue_num", lambda: unbalanced(a, b, costs, 0.01, 1.0).plan, judge),
            Contender(
                "POT translation invariant",
                _quiet(functools.partial(peer, "sinkhorn_translation_invariant")),
                judge,
                requires=PEER,
            ),
            Contender(
                "POT sinkhorn", _quiet(functools.partial(peer, "sinkhorn")), judge, requires=PEER
            ),
        ),
        "1e-6",
        _traffic(n, n),
        0.0,
    )


def _barycenter(bins: int) -> Problem:
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, bins)
    centres, widths = rng.uniform(0.2, 0.8, (10, 2)), rng.uniform(0.02, 0.1, (10, 2))
    bumps = np.exp(-((x[:, None, None] - centres) ** 2) / (2 * widths**2)).sum(-1).T + 1e-6
    histograms = bumps / bumps.sum(1, keepdims=True)
    costs = (x[:, None] - x) ** 2
    best = np.asarray(barycenter(histograms, costs, 0.01, tol=1e-12))

    def peer(method: str) -> Array:
        import ot

        p: Array = ot.bregman.barycenter(
            np.ascontiguousarray(histograms.T),
            costs,
            0.01,
            method=method,
            numItermax=1000,
            stopThr=TOLERANCE,
        )
        return p

    def judge(p: Array) -> Outcome:
        return Outcome(error=float(np.abs(np.asarray(p) - best).sum()) / 1e-6)

    return Problem(
        (
            Contender("kexue_num", lambda: barycenter(histograms, costs, 0.01), judge),
            Contender(
                "POT sinkhorn_log",
                _quiet(functools.partial(peer, "sinkhorn_log")),
                judge,
                requires=PEER,
            ),
            Contender(
                "POT sinkhorn", _quiet(functools.partial(peer, "sinkhorn")), judge, requires=PEER
            ),
        ),
        "1e-6",
        8.0 * costs.size + 80.0 * costs.size,
        0.0,
    )
