"""Exact transport against POT and SciPy: the transportation simplex, assignments, lines.

The error of a cost is how far it lies above the best contender's, in units of 1e-9 of it. The least
work counted is one pass over the costs, or over the sorted samples.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from kexue_num import transport


def cases(quick: bool) -> Iterator[Case]:
    """Yield the cases; `quick` divides the sizes by ten and promises nothing."""
    scale = 10 if quick else 1
    for size in (1000, 2000, 5000):
        n = size // scale
        yield Case(
            name=f"emd/{n}/random",
            title=f"emd of {n} x {n} points in the plane, random weights",
            prepare=functools.partial(_emd, n, uniform=False),
            floor=None if quick else Floor("POT", 3.5, None, 10),
        )
    for size in (1000, 2000):
        n = size // scale
        yield Case(
            name=f"emd/{n}/uniform",
            title=f"emd of {n} x {n} points in the plane, uniform weights",
            prepare=functools.partial(_emd, n, uniform=True),
            floor=None if quick else Floor("POT", 2, None, 6),
        )
        yield Case(
            name=f"assignment/{n}",
            title=f"assignment of {n} x {n} points in the plane",
            prepare=functools.partial(_assignment, n, n),
            floor=None if quick else Floor("SciPy", 2, None, 6),
        )
    for rows, columns in ((500, 1000), (1000, 1500), (1000, 4000)):
        shape = rows // scale, columns // scale
        yield Case(
            name=f"assignment/{shape[0]}x{shape[1]}",
            title=f"assignment of {shape[0]} points in the plane to {shape[1]}",
            prepare=functools.partial(_assignment, *shape),
            floor=None if quick else Floor("SciPy", 2, None, 6),
        )
    n = 1_000_000 // scale
    yield Case(
        name=f"emd_1d/{n}",
        title=f"emd_1d of {n} samples with weights, p = 2",
        prepare=functools.partial(_line, n),
        floor=None if quick else Floor("POT", 3, None),
    )
    yield Case(
        name=f"sliced/{5000 // scale}",
        title=f"sliced of {5000 // scale} points in three dimensions, 100 directions",
        prepare=functools.partial(_sliced, 5000 // scale),
        floor=None if quick else Floor("POT", 5, None),
    )


def _points(n: int, m: int) -> Any:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 0.5
    return np.square(x[:, None] - y).sum(axis=2)


def _judge(best: float, value: Any) -> Outcome:
    return Outcome(error=abs(float(value) - best) / abs(best) / 1e-9)


def _emd(n: int, *, uniform: bool) -> Problem:
    rng = np.random.default_rng(1)
    cost = _points(n, n)
    a, b = (np.full(n, 1 / n) if uniform else rng.dirichlet(np.ones(n)) for _ in range(2))
    best = transport.emd(a, b, cost).value
    judge = functools.partial(_judge, best)

    def pot() -> Any:
        return importlib.import_module("ot").emd2(a, b, cost, numItermax=10_000_000)

    def scipy() -> Any:
        return cost[linear_sum_assignment(cost)].mean()

    return Problem(
        (
            Contender("kexue_num", lambda: transport.emd(a, b, cost).value, judge),
            Contender("POT", pot, judge, requires="POT"),
            *([Contender("SciPy", scipy, judge)] if uniform else []),
        ),
        "1e-9 of the cost",
        float(cost.nbytes),
        0.0,
    )


def _assignment(n: int, m: int) -> Problem:
    cost = _points(n, m)
    rows, columns = linear_sum_assignment(cost)
    judge = functools.partial(_judge, float(cost[rows, columns].sum()))

    def scipy() -> Any:
        return cost[linear_sum_assignment(cost)].sum()

    return Problem(
        (
            Contender("kexue_num", lambda: transport.assignment(cost).value, judge),
            Contender("SciPy", scipy, judge),
        ),
        "1e-9 of the cost",
        float(cost.nbytes),
        0.0,
    )


def _line(n: int) -> Problem:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=n), rng.normal(size=n) + 0.3
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n))
    judge = functools.partial(_judge, float(transport.emd_1d(x, y, a, b, p=2)))

    def pot() -> Any:
        return importlib.import_module("ot").emd2_1d(x, y, a, b, metric="sqeuclidean")

    return Problem(
        (
            Contender("kexue_num", lambda: transport.emd_1d(x, y, a, b, p=2), judge),
            Contender("POT", pot, judge, requires="POT"),
        ),
        "1e-9 of the cost",
        4.0 * x.nbytes,
        0.0,
    )


def _sliced(n: int) -> Problem:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(n, 3)), rng.normal(size=(n, 3)) + 0.3
    directions = np.random.default_rng(4).standard_normal((100, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    judge = functools.partial(_judge, float(transport.sliced(x, y, n_projections=100, rng=4)))

    def pot() -> Any:
        ot = importlib.import_module("ot")
        return ot.sliced_wasserstein_distance(x, y, projections=directions.T)

    return Problem(
        (
            Contender("kexue_num", lambda: transport.sliced(x, y, n_projections=100, rng=4), judge),
            Contender("POT", pot, judge, requires="POT"),
        ),
        "1e-9 of the cost",
        200.0 * x[:, 0].nbytes,
        0.0,
    )
