"""What a benchmark case is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What one call achieved, in the case's own unit of error."""

    error: float | None = None
    bound: float | None = None
    rank: int | None = None


@dataclass(frozen=True)
class Contender:
    """One way to solve the problem: `run` is timed, `judge` is not.

    `requires` names the distribution a peer needs; where it is not installed the table says so.
    """

    name: str
    run: Callable[[], Any]
    judge: Callable[[Any], Outcome]
    requires: str | None = None


@dataclass(frozen=True)
class Problem:
    """A prepared case: data in memory, contenders ready to run; the first contender is ours.

    `bytes_moved` and `flops` are the least any method with these guarantees must move and
    compute; with the measured limits they give the time that cannot be beaten. `dtype` picks the
    arithmetic peak.
    """

    contenders: tuple[Contender, ...]
    error_unit: str
    bytes_moved: float
    flops: float
    dtype: str = "float64"


@dataclass(frozen=True)
class Floor:
    """What the library promises: how much faster than a peer, at which error relative to it.

    `error` None leaves the error to the case's own unit, where at most 1 is promised.
    """

    peer: str
    ratio: float
    error: float | None
    goal: float | None = None


@dataclass(frozen=True)
class Case:
    """A named case; `prepare` builds its data only when the case is run.

    `all_threads` is for a comparison of workers in an area whose floors are for one thread.
    """

    name: str
    title: str
    prepare: Callable[[], Problem]
    floor: Floor | None = None
    all_threads: bool = False
