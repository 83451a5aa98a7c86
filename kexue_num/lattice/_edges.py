"""The edges of a lattice and its paths, as callers give them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kexue_num._validation import Phrase, check_integer, check_memory, message
from kexue_num.lattice._inputs import Array, as_integers, as_scores, check_range
from kexue_num.lattice._results import Path, PathSamples


@dataclass(frozen=True, eq=False)
class Edges:
    """Checked edges in the caller's order, and where those of each node are.

    Edges ``order[indptr[v]:indptr[v + 1]]`` leave node v; an empty `order` is the identity.
    """

    indptr: Array
    order: Array
    sources: Array
    targets: Array
    scores: Array

    @property
    def n_nodes(self) -> int:
        return len(self.indptr) - 1

    def largest_score(self, function: str) -> float:
        """A bound on the modulus of a path's score; ValueError if that could overflow."""
        largest = float(np.max(np.abs(self.scores), where=self.scores != -np.inf, initial=0))
        bound = largest * max(1, self.n_nodes - 1)
        if bound == np.inf:
            expected = "must be so small that the score of a path is finite"
            got = Phrase(f"{largest:g} in a lattice of {self.n_nodes} nodes")
            raise ValueError(message(function, "scores", expected, got))
        return bound

    def copies(self) -> tuple[Array, Array, Array]:
        """Read-only copies of sources, targets and scores."""
        copies = (self.sources.copy(), self.targets.copy(), self.scores.copy())
        for array in copies:
            array.flags.writeable = False
        return copies


def from_rows(function: str, indptr: object, targets: object, scores: object) -> Edges:
    """Edges in compressed rows."""
    rows = as_integers(function, "indptr", indptr)
    ends = as_integers(function, "targets", targets)
    if len(rows) < 2 or rows[0] != 0 or rows[-1] != len(ends):
        expected = f"must run from 0 to the number of edges, {len(ends)}"
        raise ValueError(message(function, "indptr", expected, rows.tolist()))
    steps = np.diff(rows)
    if (steps < 0).any():
        place = int(np.argmax(steps < 0)) + 1
        got = Phrase(f"{rows[place]} after {rows[place - 1]} at [{place}]")
        raise ValueError(message(function, "indptr", "must not decrease", got))
    check_range(function, "targets", ends, len(steps), "nodes")
    values = _scores(function, scores, len(ends))
    sources = np.repeat(np.arange(len(steps)), steps)
    return Edges(rows, np.empty(0, np.int64), sources, ends, values)


def from_list(
    function: str,
    sources: object,
    targets: object,
    scores: object,
    n_nodes: int | None,
    super_nodes: bool,
) -> Edges:
    """Edges in any order."""
    starts = as_integers(function, "sources", sources)
    ends = as_integers(function, "targets", targets)
    if len(starts) != len(ends):
        expected = f"must have the length of 'sources', {len(starts)}"
        raise ValueError(message(function, "targets", expected, Phrase(str(len(ends)))))
    if n_nodes is None:
        n_nodes = 1 + max((int(a.max()) for a in (starts, ends) if len(a)), default=0)
    n_nodes = check_integer(function, "n_nodes", n_nodes, minimum=1)
    check_memory(function, "n_nodes", n_nodes, 8.0 * n_nodes)
    check_range(function, "sources", starts, n_nodes, "nodes")
    check_range(function, "targets", ends, n_nodes, "nodes")
    values = _scores(function, scores, len(ends))
    if super_nodes:
        present = values != -np.inf
        first = np.setdiff1d(np.arange(n_nodes), ends[present]) + 1
        last = np.setdiff1d(np.arange(n_nodes), starts[present]) + 1
        starts = np.concatenate([starts + 1, np.zeros(len(first), np.int64), last])
        ends = np.concatenate([ends + 1, first, np.full(len(last), n_nodes + 1)])
        values = np.concatenate([values, np.zeros(len(first) + len(last))])
        n_nodes += 2
    counts = np.bincount(starts, minlength=n_nodes)
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    return Edges(indptr, np.argsort(starts, kind="stable"), starts, ends, values)


def require_path(function: str, dag: Any, n_nodes: int) -> None:
    """ValueError naming a cycle, or the last node reached if none of the paths gets through."""
    if dag.cycle:
        shown = [str(v) for v in (*dag.cycle, dag.cycle[0])]
        if len(shown) > 12:
            shown[6:-5] = ["..."]
        got = Phrase(f"the cycle {' -> '.join(shown)}")
        raise ValueError(message(function, "targets", "must not lead back", got))
    if dag.stuck >= 0:
        expected = f"must give a path from node 0 to node {n_nodes - 1}"
        got = Phrase(f"none: the last node that can be reached is {dag.stuck}")
        raise ValueError(message(function, "targets", expected, got))


def _scores(function: str, scores: object, n_edges: int) -> Array:
    values = as_scores(function, "scores", scores)
    if len(values) != n_edges:
        expected = f"must have one score for each of {n_edges} edges"
        raise ValueError(message(function, "scores", expected, Phrase(str(len(values)))))
    return values


def as_paths(function: str, paths: object) -> tuple[Array, Array, bool]:
    """Edges, offsets, and whether one path was given."""
    if isinstance(paths, PathSamples):
        return paths.edges, paths.offsets, False
    if isinstance(paths, Path):
        paths = paths.edges
    items = paths if isinstance(paths, np.ndarray) else list(paths)  # type: ignore[call-overload]
    nested = isinstance(items, list) and any(np.ndim(_edges(item)) for item in items)
    if nested or np.ndim(items) == 2:
        rows = [as_integers(function, "paths", _edges(item)) for item in items]
        offsets = np.cumsum([0, *(len(row) for row in rows)])
        edges = np.concatenate([np.empty(0, np.int64), *rows])
        return edges, offsets, False
    edges = as_integers(function, "paths", items)
    return edges, np.array([0, len(edges)]), True


def _edges(item: Any) -> Any:
    return item.edges if isinstance(item, Path) else item
