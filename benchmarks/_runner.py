"""Times the contenders of a case alternately in one process.

Speed on a shared machine drifts by tens of percent within seconds, so only ratios of interleaved
runs mean something. Each round runs every contender once, a fast one several times (a slow peer
would otherwise leave it with two or three timings), in an order that is reversed every other
round. Before a contender's turn the process sleeps for a moment: the worker threads of a BLAS spin
for up to 0.1 s after a call and would slow down whoever runs next. After it a contender of a few
milliseconds runs twice untimed: what left the caches while the process slept makes the first two
calls of anything, a plain copy too, up to twice as slow, and for some they would be all there is. A
contender whose first run takes three times the budget of a case is timed by that run.

A peer that fails is named with its error and the others go on; a case that fails leaves a result
that says so. What this process cannot survive loses nothing that the JSON file already holds.
"""

from __future__ import annotations

import gc
import importlib.metadata
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import threadpoolctl

import kexue_num
from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from benchmarks.limits import Limits


@dataclass(frozen=True)
class Budget:
    """How long to measure: seconds per case, rounds, and runs of a fast contender in a round."""

    seconds: float
    min_rounds: int
    max_rounds: int
    runs_per_round: int
    settle: float


_SHORT = 0.01  # seconds: who takes less runs _UNTIMED times after each pause before it is timed
_UNTIMED = 2

FULL = Budget(seconds=2.0, min_rounds=3, max_rounds=8, runs_per_round=7, settle=0.1)
QUICK = Budget(seconds=0.6, min_rounds=2, max_rounds=6, runs_per_round=3, settle=0.01)


@dataclass
class Measurement:
    """The timings of one contender and what it achieved."""

    name: str
    seconds: list[float] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)
    missing: str | None = None

    @property
    def median(self) -> float:
        """Return the median time, NaN without timings."""
        return float(np.median(self.seconds)) if self.seconds else float("nan")

    @property
    def spread(self) -> float:
        """Return half the interquartile range over the median."""
        if not self.seconds:
            return float("nan")
        low, high = np.percentile(self.seconds, [25, 75])
        return float((high - low) / 2 / self.median)


@dataclass(frozen=True)
class CaseResult:
    """A case, its measurements (ours first) and the time no method can beat."""

    name: str
    title: str
    error_unit: str
    limit_seconds: float
    measurements: list[Measurement]
    floor: Floor | None = None
    failure: str | None = None
    threads: int = 1

    @property
    def ours(self) -> Measurement:
        """Return our measurement."""
        return self.measurements[0]

    @property
    def percent_of_limit(self) -> float:
        """Return how close our median comes to the limit, 100 being there."""
        return 100 * self.limit_seconds / self.ours.median

    def ratio(self, peer: Measurement) -> float:
        """Return how many times slower the peer is."""
        return peer.median / self.ours.median

    def judge_floor(self) -> tuple[bool, float, float] | None:
        """Return whether the floor is met, the ratio and the error it is judged by.

        None without a floor, or where its peer did not run.
        """
        if self.floor is None:
            return None
        peer = next((m for m in self.measurements if m.name == self.floor.peer), None)
        if peer is None or not peer.seconds or not self.ours.seconds:
            return None
        ratio = self.ratio(peer)
        error, allowed = self.ours.outcome.error, self.floor.error
        if allowed is None:
            allowed = 1.0
        else:
            error = error / peer.outcome.error
        return ratio >= self.floor.ratio and error <= allowed, ratio, error


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Give every BLAS, OpenMP and kexue_num pool the same number of threads."""
    with threadpoolctl.threadpool_limits(threads), kexue_num.worker_limit(threads):
        yield


def installed(distribution: str) -> bool:
    """Tell whether a distribution is installed."""
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def limit_seconds(problem: Problem, limits: Limits) -> float:
    """Return the roofline time of a problem: memory or arithmetic, whichever takes longer."""
    return max(
        problem.bytes_moved / limits.read_bandwidth,
        problem.flops / limits.peak(problem.dtype),
    )


def run_case(case: Case, limits: Limits, budget: Budget) -> CaseResult:
    """Prepare a case, time its contenders and judge one result of each.

    Everyone has as many threads as the limits were measured with.
    """
    try:
        return _run_case(case, limits, budget)
    except Exception as error:  # one case must not lose the others
        failure = _in_words(error)
        return CaseResult(case.name, case.title, "", 0.0, [], case.floor, failure, limits.threads)


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:120]


def _run_case(case: Case, limits: Limits, budget: Budget) -> CaseResult:
    with pinned(limits.threads):
        problem = case.prepare()
    measurements = [Measurement(contender.name) for contender in problem.contenders]
    present: list[tuple[Contender, Measurement]] = []
    for contender, measurement in zip(problem.contenders, measurements, strict=True):
        if contender.requires is not None and not installed(contender.requires):
            measurement.missing = f"{contender.requires} is not installed"
        else:
            present.append((contender, measurement))

    # Anew at each stage: the libraries that have been loaded since are pinned as well.
    with pinned(limits.threads):
        present, first_seconds = _first_runs(present, budget)
    if case.floor is not None and measurements[0].outcome.error is None:
        raise ValueError("a floor needs an error to judge")
    with pinned(limits.threads):
        _alternate(present, first_seconds, budget)
    return CaseResult(
        name=case.name,
        title=case.title,
        error_unit=problem.error_unit,
        limit_seconds=limit_seconds(problem, limits),
        measurements=measurements,
        floor=case.floor,
        threads=limits.threads,
    )


def _timed(contender: Contender) -> tuple[float, Any]:
    start = time.perf_counter()
    result = contender.run()
    return time.perf_counter() - start, result


def _first_runs(
    present: list[tuple[Contender, Measurement]], budget: Budget
) -> tuple[list[tuple[Contender, Measurement]], list[float]]:
    """Run everyone once: loads libraries, faults pages in, and gives the result to judge.

    Returns those that came through, with their times. Our own failure is the case's.
    """
    through, seconds = [], []
    for contender, measurement in present:
        time.sleep(budget.settle)
        try:
            elapsed, result = _timed(contender)
            measurement.outcome = contender.judge(result)
        except Exception as error:
            if not through:
                raise
            measurement.missing = f"failed: {_in_words(error)}"
            continue
        through.append((contender, measurement))
        seconds.append(elapsed)
    return through, seconds


def _alternate(
    present: list[tuple[Contender, Measurement]], first_seconds: list[float], budget: Budget
) -> None:
    slowest = max(first_seconds)
    turns = []
    for (contender, measurement), seconds in zip(present, first_seconds, strict=True):
        if seconds > 3 * budget.seconds:
            measurement.seconds.append(seconds)
            continue
        # A slow peer is not measured finer than its own share of the time allows.
        runs = int(np.clip(slowest / max(seconds, 1e-9) / 4, 1, budget.runs_per_round))
        turns.append((contender, measurement, seconds, runs))
    gc_was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for number in range(budget.max_rounds):
            for contender, measurement, first, n_runs in turns if number % 2 == 0 else turns[::-1]:
                time.sleep(budget.settle)
                if min([first, *measurement.seconds]) < _SHORT:
                    for _ in range(_UNTIMED):
                        contender.run()
                for _ in range(n_runs):
                    measurement.seconds.append(_timed(contender)[0])
            elapsed = time.perf_counter() - start
            rounds = number + 1
            if rounds >= budget.min_rounds and elapsed * (rounds + 1) / rounds > budget.seconds:
                break
    finally:
        if gc_was_enabled:
            gc.enable()
