"""Columns near the centres of clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core

Array = NDArray[Any]

_ROUNDS = 25


def kmeans_columns(x: Array, k: int, random: np.random.Generator, workers: int) -> Array:
    """Of each of k clusters of the columns of x (r, n), the column nearest to its mean.

    Lloyd's iteration (1982) from the seeds of Arthur and Vassilvitskii (2007); O(r k n) a round.
    Fewer than k columns where there are fewer than k different ones.
    """
    top = float(_core.lowrank.max_component(x, workers))
    if top == 0:
        return np.zeros(1, np.int64)
    x = x / x.real.dtype.type(top)
    lengths = np.square(np.abs(x), dtype=np.float64).sum(axis=0)
    centres = np.ascontiguousarray(x[:, _seeds(x, lengths, k, random)])
    labels = np.full(x.shape[1], -1)
    for _ in range(_ROUNDS):
        distances = _distances(x, lengths, centres, workers)
        before, labels = labels, distances.argmin(axis=0)
        if np.array_equal(before, labels):
            break
        centres = _means(x, labels, centres)
    distances = _distances(x, lengths, centres, workers)
    labels = distances.argmin(axis=0)
    nearest = distances[labels, np.arange(len(labels))]
    order: Array = np.lexsort((nearest, labels))
    _, first = np.unique(labels[order], return_index=True)
    return np.asarray(order[first]).astype(np.int64)


def _distances(x: Array, lengths: Array, centres: Array, workers: int) -> Array:
    """Squared distances of all columns from all centres, (k, n)."""
    products = _core.lowrank.matmul(centres.T, x, True, 1.0, None, workers)
    own = np.square(np.abs(centres), dtype=np.float64).sum(axis=0)
    return np.asarray(own[:, None] - 2 * products.real + lengths)


def _means(x: Array, labels: Array, centres: Array) -> Array:
    """The mean of every cluster; an empty one keeps its centre."""
    order = np.argsort(labels, kind="stable")
    kinds, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    means = centres.copy()
    means[:, kinds] = np.add.reduceat(x[:, order], starts, axis=1) / counts.astype(x.real.dtype)
    return means


def _seeds(x: Array, lengths: Array, k: int, random: np.random.Generator) -> Array:
    """Columns drawn one by one, by their squared distance from those drawn before."""
    seeds = [int(random.integers(x.shape[1]))]
    nearest = np.full(x.shape[1], np.inf)
    while len(seeds) < k:
        seed = x[:, seeds[-1]]
        fresh = lengths - 2 * (seed.conj() @ x).real + lengths[seeds[-1]]
        nearest = np.minimum(nearest, np.maximum(fresh, 0))
        nearest[seeds[-1]] = 0
        running = np.cumsum(nearest)
        if not running[-1] > 0:
            break
        seeds.append(int(np.searchsorted(running, random.random() * running[-1], side="right")))
    return np.array(seeds)
