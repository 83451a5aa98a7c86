"""LAPACK's factorisations, interruptible: one call may take minutes and hears no Ctrl-C.

A long one runs on a thread of its own while the main thread waits, and so is free to raise
KeyboardInterrupt. LAPACK itself cannot be stopped: a call that was given up goes on in the
background until it is done, and its result is dropped.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Operations (rows x columns x the lesser) that take about 20 ms: iterations, and the others.
_LONG_ITERATION, _LONG = 2e7, 3e8
_LONG_ENTRIES = 1e6
# Seconds between looks at what has happened.
_WAIT = 0.05


def eigh(a: Array) -> tuple[Array, Array]:
    values, vectors = _call(np.linalg.eigh, a, _LONG_ITERATION)
    return values, vectors


def eigvalsh(a: Array) -> Array:
    return np.asarray(_call(np.linalg.eigvalsh, a, _LONG_ITERATION))


def svd(a: Array) -> tuple[Array, Array, Array]:
    """The thin decomposition."""
    u, s, vh = _call(np.linalg.svd, a, _LONG_ITERATION, full_matrices=False)
    return u, s, vh


def singular_values(a: Array) -> Array:
    return np.asarray(_call(np.linalg.svd, a, _LONG_ITERATION, compute_uv=False))


def qr(a: Array) -> tuple[Array, Array]:
    q, r = _call(np.linalg.qr, a, _LONG)
    return q, r


def triangle(a: Array) -> Array:
    """The R of QR alone."""
    return np.asarray(_call(np.linalg.qr, a, _LONG, mode="r"))


def cholesky(a: Array) -> Array:
    return np.asarray(_call(np.linalg.cholesky, a, _LONG))


def inv(a: Array) -> Array:
    return np.asarray(_call(np.linalg.inv, a, _LONG))


def solve(a: Array, b: Array) -> Array:
    return np.asarray(_call(np.linalg.solve, a, _LONG, b))


def entrywise(function: Callable[[Array], Array], a: Array) -> Array:
    """function(a), which takes some operations of NumPy for every entry."""
    return np.asarray(_call(function, a, _LONG_ENTRIES * min(a.shape[-2:])))


def _call(function: Callable[..., Any], a: Array, long: float, *others: Any, **options: Any) -> Any:
    work = a.size * min(a.shape[-2:])
    for other in others:
        work = max(work, a.shape[-1] * other.size)
    # Signals come to the main thread alone.
    if work < long or threading.current_thread() is not threading.main_thread():
        return function(a, *others, **options)
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(function(a, *others, **options))
        except BaseException as error:  # raised where it was called
            failure.append(error)

    context = contextvars.copy_context()  # holds np.errstate
    thread = threading.Thread(target=context.run, args=(run,), daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_WAIT)
    if failure:
        raise failure[0]
    return outcome[0]
