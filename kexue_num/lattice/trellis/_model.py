"""The arguments of a trellis: checked, in the log domain, batched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from kexue_num import _core
from kexue_num._validation import (
    Phrase,
    as_array,
    check_choice,
    check_workers,
    describe,
    message,
)
from kexue_num.lattice._inputs import Array, as_integers, check_range, check_scores


@dataclass(frozen=True, eq=False)
class Model:
    """A batch of sequences.

    Attributes
    ----------
    function : str
    parts : tuple
        What the core takes: emissions (B, T, S), lengths, start, stop, dense (M, S, S) or None,
        compressed rows or None; logarithms.
    single : bool
        Whether the caller gave one sequence without a batch axis.
    varying : bool
        Whether there is a matrix for each step.
    dtype : dtype
        Of the emissions as computed with: float32 or float64.
    """

    function: str
    parts: tuple[Any, ...]
    single: bool
    varying: bool
    dtype: np.dtype[Any]
    workers: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, T, S)."""
        batch, steps, states = self.parts[0].shape
        return batch, steps, states

    @property
    def lengths(self) -> Array:
        lengths: Array = self.parts[1]
        return lengths

    def unbatch(self, array: Any) -> Any:
        """The only row if the caller gave one sequence."""
        return array[0] if self.single else array

    def rounded(self, array: Array) -> Array:
        """An array of results in the caller's dtype and batch shape."""
        with np.errstate(under="ignore"):
            result: Array = self.unbatch(array.astype(self.dtype, copy=False))
        return result

    def refuse_impossible(self, log_partition: Array) -> None:
        """ValueError naming the first sequence without a path."""
        bad = log_partition == -np.inf
        if bad.any():
            expected = "must allow a path through every sequence"
            got = Phrase(f"none for sequence {int(np.argmax(bad))}")
            raise ValueError(message(self.function, "emissions", expected, got))


def as_model(
    function: str,
    emissions: object,
    transitions: object,
    start: object,
    stop: object,
    lengths: object,
    domain: object,
    workers: object,
    *,
    double: bool,
) -> Model:
    """Check everything; with `double`, the core gets float64 whatever the dtype."""
    check_choice(function, "domain", domain, ("log", "prob"))
    given = as_array(function, "emissions", emissions)
    if given.ndim not in (2, 3) or given.shape[-1] == 0:
        expected = "must have shape (T, S) or (B, T, S) with S >= 1"
        raise ValueError(message(function, "emissions", expected, Phrase(f"shape {given.shape}")))
    dtype = np.dtype(np.float64) if double else given.dtype
    scores, *tops = _logarithms(function, "emissions", given, domain, dtype)
    scores = scores if given.ndim == 3 else scores[None]
    batch, steps, states = scores.shape
    dense: Array | None
    rows: tuple[Array, ...] | None
    if hasattr(transitions, "tocsr"):
        dense, varying = None, False
        indptr, indices, data, top = _rows(function, transitions, states, domain, dtype)
        rows = (indptr, indices, data)
    else:
        dense, varying, top = _dense(function, transitions, steps, states, domain, dtype)
        rows = None
    tops.append(top)
    ends = []
    for name, value in (("start", start), ("stop", stop)):
        end, top = _ends(function, name, value, states, domain, dtype)
        ends.append(end)
        tops.append(top)
    counts = _lengths(function, lengths, batch, steps)
    _check_scale(function, steps, max(tops), dtype)
    parts = (scores, counts, *ends, dense, rows)
    return Model(
        function, parts, given.ndim == 2, varying, given.dtype, check_workers(function, workers)
    )


def _logarithms(
    function: str, argument: str, array: Array, domain: object, dtype: np.dtype[Any]
) -> tuple[Array, float]:
    """The scores, and the largest modulus of what is possible."""
    if domain == "prob":
        bad = ~((array >= 0) & (array < np.inf))
        if bad.any():
            place = np.unravel_index(int(np.argmax(bad)), array.shape)
            at = ", ".join(str(int(i)) for i in place)
            got = Phrase(f"{float(array[place])!r} at [{at}]")
            raise ValueError(message(function, argument, "must be finite and >= 0", got))
        with np.errstate(divide="ignore"):
            array = np.log(array.astype(dtype, copy=False))
    scores = np.ascontiguousarray(array, dtype=dtype)
    top = _core.lattice.largest_modulus(scores)
    if not math.isfinite(top):
        if domain == "log":
            check_scores(function, argument, array)
        top = _largest(scores)
    return scores, top


def _dense(
    function: str,
    transitions: object,
    steps: int,
    states: int,
    domain: object,
    dtype: np.dtype[Any],
) -> tuple[Array, bool, float]:
    array = as_array(function, "transitions", transitions)
    one, each = (states, states), (max(steps - 1, 0), states, states)
    if array.shape not in (one, each):
        expected = f"must have shape {one} or, one for each step, {each}"
        got = Phrase(f"shape {array.shape}")
        raise ValueError(message(function, "transitions", expected, got))
    array, top = _logarithms(function, "transitions", array, domain, dtype)
    if array.ndim == 2:
        return array[None], False, top
    # Without a step between two positions no matrix is read: any stands for none.
    return array if len(array) else np.zeros((1, states, states), dtype), True, top


def _rows(
    function: str, transitions: Any, states: int, domain: object, dtype: np.dtype[Any]
) -> tuple[Array, Array, Array, float]:
    if transitions.shape != (states, states):
        expected = f"must have shape {(states, states)}"
        got = Phrase(f"shape {transitions.shape}")
        raise ValueError(message(function, "transitions", expected, got))
    matrix = transitions.tocsr().copy()
    matrix.sum_duplicates()
    data = as_array(function, "transitions", matrix.data)
    data, top = _logarithms(function, "transitions", data, domain, dtype)
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), data, top


def _ends(
    function: str, argument: str, value: object, states: int, domain: object, dtype: np.dtype[Any]
) -> tuple[Array, float]:
    if value is None:
        return np.zeros(states, dtype), 0.0
    array = as_array(function, argument, value, ndim=1)
    if len(array) != states:
        expected = f"must have one entry for each of {states} states"
        raise ValueError(message(function, argument, expected, Phrase(str(len(array)))))
    return _logarithms(function, argument, array, domain, dtype)


def _lengths(function: str, lengths: object, batch: int, steps: int) -> Array:
    if lengths is None:
        return np.full(batch, steps, np.int64)
    counts = as_integers(function, "lengths", lengths, ndim=None)
    counts = np.atleast_1d(counts)
    if counts.shape != (batch,):
        expected = f"must have one entry for each of {batch} sequences"
        raise ValueError(message(function, "lengths", expected, Phrase(describe(lengths))))
    check_range(function, "lengths", counts, steps + 1, "numbers of steps")
    return counts


def _check_scale(function: str, steps: int, top: float, dtype: np.dtype[Any]) -> None:
    """The score of a path must not overflow."""
    if top * (2.0 * steps + 2) > float(np.finfo(dtype).max):
        expected = "must be so small that the score of a path is finite"
        got = Phrase(f"a score of {top:g} with {steps} steps")
        raise ValueError(message(function, "emissions", expected, got))


def _largest(array: Array) -> float:
    """The largest modulus of what is possible."""
    if not array.size:
        return 0.0
    low, high = float(array.min()), float(array.max())
    if low == -np.inf:
        low = float(np.min(array, where=array > -np.inf, initial=0))
        high = max(high, 0.0)
    return max(-low, high)
