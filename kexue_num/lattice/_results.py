"""What lattices and trellises return."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, repr=False, eq=False)
class Path:
    """A path from the source to the sink.

    Attributes
    ----------
    edges : (length,) int64 ndarray
        Numbers of its edges, from the source on.
    score : float
        `alpha` times the sum of their scores.
    """

    edges: Array
    score: float

    def __repr__(self) -> str:
        shown = ", ".join(str(e) for e in self.edges[:6])
        more = ", ..." if len(self.edges) > 6 else ""
        return f"Path(edges=[{shown}{more}], score={self.score:.6g})"


@dataclass(frozen=True, repr=False, eq=False)
class PathSamples:
    """Paths one after the other: path i is ``edges[offsets[i]:offsets[i + 1]]``.

    Attributes
    ----------
    edges : (total,) int64 ndarray
    offsets : (n_paths + 1,) int64 ndarray
    """

    edges: Array
    offsets: Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Array:
        i = range(len(self))[index]
        return self.edges[self.offsets[i] : self.offsets[i + 1]]

    def __iter__(self) -> Iterator[Array]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_paths={len(self)}, n_edges={len(self.edges)})"

    def lengths(self) -> Array:
        """The number of edges of each path, (n_paths,)."""
        return np.diff(self.offsets)


@dataclass(frozen=True, repr=False, eq=False)
class WeightedPathSamples(PathSamples):
    """Different paths, in the order in which they were drawn.

    Attributes
    ----------
    edges, offsets
        As in `PathSamples`.
    log_prob : (n_paths,) float64 ndarray
        log P of each path.
    log_inclusion : (n_paths,) float64 ndarray
        log of the chance that the path is in the sample, given the threshold that the best path
        outside it sets: a sum of f(path) P(path) / inclusion over the sample estimates the mean
        of f without bias. All 0 if the sample holds every path.
    """

    log_prob: Array
    log_inclusion: Array
