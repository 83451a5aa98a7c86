"""Work split over processes, which share no memory: what a machine has for as many workers."""

from __future__ import annotations

import multiprocessing
import weakref
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any


class Processes:
    """One process for each of `parts`, which works on it by `make(part)()` when told.

    `make` and the parts are pickled. The processes end with this object.
    """

    def __init__(self, make: Callable[[Any], Callable[[], object]], parts: Sequence[Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes = []
        for part in parts:
            here, there = context.Pipe()
            context.Process(target=_serve, args=(there, make, part), daemon=True).start()
            there.close()
            self._pipes.append(here)
        weakref.finalize(self, _close, self._pipes)

    def run(self) -> None:
        """Let all of them work at a time; returns once all have."""
        for pipe in self._pipes:
            pipe.send(True)
        for pipe in self._pipes:
            pipe.recv()


def _serve(pipe: Connection, make: Callable[[Any], Callable[[], object]], part: Any) -> None:
    work = make(part)
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        work()
        pipe.send(True)


def _close(pipes: list[Connection]) -> None:
    for pipe in pipes:
        pipe.close()
