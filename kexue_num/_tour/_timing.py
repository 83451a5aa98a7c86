"""Timing two sides alternately, both with the same number of threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from kexue_num._threads import get_workers, worker_limit

Ours = TypeVar("Ours")
Peer = TypeVar("Peer")

# The threads of a BLAS spin for a while after a call and would slow down whoever runs next.
_SETTLE_SECONDS = 0.05


@contextmanager
def pinned() -> Iterator[str]:
    """Give every pool the library's number of threads; yield how that went, in words."""
    threads = get_workers()
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        with worker_limit(threads):
            yield f"{threads} here; threadpoolctl is not installed: others as they like"
        return
    with worker_limit(threads), threadpool_limits(threads):
        yield f"{threads} on both sides"


def alternate(
    ours: Callable[[], Ours], peer: Callable[[], Peer], *, seconds: float
) -> tuple[float, Ours, float, Peer]:
    """Return the median time and the first result of both sides, run in turns for `seconds`.

    The faster side runs up to five times per turn. After one run of each to warm up there are at
    least three turns, two for a peer that alone would need more than half the time.
    """
    our_first, our_result = _timed(ours)
    peer_first, peer_result = _timed(peer)
    n_ours = int(np.clip(peer_first / max(our_first, 1e-9) / 4, 1, 5))
    min_turns = 2 if peer_first > seconds / 2 else 3
    our_times: list[float] = []
    peer_times: list[float] = []
    start = time.perf_counter()
    while len(peer_times) < min_turns or time.perf_counter() - start + peer_first < seconds:
        our_times.extend(_timed(ours)[0] for _ in range(n_ours))
        peer_times.append(_timed(peer)[0])
    return float(np.median(our_times)), our_result, float(np.median(peer_times)), peer_result


def _timed(function: Callable[[], Ours]) -> tuple[float, Ours]:
    time.sleep(_SETTLE_SECONDS)
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result
