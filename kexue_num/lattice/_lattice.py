"""The lattice: a directed acyclic graph with scores on its edges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from kexue_num import _core
from kexue_num._validation import (
    LARGEST_INTEGER,
    Phrase,
    as_array,
    as_key,
    check_integer,
    check_memory,
    check_real,
    check_workers,
    message,
    require_finite,
)
from kexue_num.lattice._edges import Edges, as_paths, from_list, from_rows, require_path
from kexue_num.lattice._inputs import Array, check_range
from kexue_num.lattice._results import Path, PathSamples, WeightedPathSamples


class Lattice:
    """A directed acyclic graph from a source to a sink, and the distribution over its paths.

    A path has the score sum_e s_e over its edges and the probability
    exp(alpha score) / Z(alpha), Z(alpha) = sum over all paths of exp(alpha score).

    Parameters
    ----------
    indptr : (n_nodes + 1,) array_like of int
        Edges ``indptr[v] .. indptr[v + 1] - 1`` leave node v. Node 0 is the source, node
        n_nodes - 1 the sink; with one node there is one path, without edges.
    targets : (n_edges,) array_like of int
        Where each edge leads. Nodes may be numbered in any order.
    scores : (n_edges,) array_like of real numbers
        -inf means that the edge is absent.

    Attributes
    ----------
    sources, targets : (n_edges,) int64 ndarray
    scores : (n_edges,) float64 ndarray
    n_nodes, n_edges : int
    labels : (n_edges,) ndarray or None
        What `from_edges` was given.

    Raises
    ------
    ValueError
        If an index is out of range, a score is NaN or +inf, the sum of scores along a path could
        overflow, the edges form a cycle (the message shows one) or no path leads from the source
        to the sink (the message names the last node reached).

    Notes
    -----
    All methods take O(nodes + edges) time and memory unless they say otherwise; results are
    float64. Nodes and edges that lie on no path are no error; their marginals are 0. The
    partition function is held as a number with an exponent of its own, so that nothing overflows
    and the local choices of a lattice of millions of nodes are right to about 1e-15; log Z is
    right to a few units in the last place. `alpha` must be >= 0: 0 makes all paths equally likely,
    large values concentrate on the best. Ties go to the edge with the smaller number.

    References
    ----------
    C. K. Carter and R. Kohn, On Gibbs sampling for state space models, Biometrika 81, 1994.
    J. Eisner, Parameter estimation for probabilistic finite-state transducers, ACL 2002.
    Jianlin Su, 科学空间 (https://kexue.fm), 9811 (2023-10-16).

    Examples
    --------
    The segmentations of "abc" into a, b, c, ab, bc, abc:

    >>> from kexue_num.lattice import Lattice
    >>> lattice = Lattice.from_edges([0, 1, 2, 0, 1, 0], [1, 2, 3, 2, 3, 3], [0, 0, 0, 2, 5, 10])
    >>> lattice.viterbi()
    Path(edges=[5], score=10)
    >>> [path.edges.tolist() for path in lattice.kbest(3)]
    [[5], [0, 4], [3, 2]]
    >>> lattice.count_paths()
    4
    >>> lattice.marginals(alpha=0)
    array([0.5 , 0.25, 0.5 , 0.25, 0.25, 0.25])
    """

    def __init__(self, indptr: object, targets: object, scores: object) -> None:
        self._build("Lattice", from_rows("Lattice", indptr, targets, scores))

    @classmethod
    def from_edges(
        cls,
        sources: object,
        targets: object,
        scores: object,
        n_nodes: int | None = None,
        *,
        super_nodes: bool = False,
        labels: Array | None = None,
    ) -> Lattice:
        """A lattice from edges in any order; results keep their numbers.

        Parameters
        ----------
        sources, targets : (n_edges,) array_like of int
        scores : (n_edges,) array_like of real numbers
        n_nodes : int, optional
            One more than the largest node in the edges if None.
        super_nodes : bool, default False
            Let paths begin at every node without predecessor and end at every node without
            successor: all nodes move up by one, node 0 becomes a source and the last node a sink,
            joined to those by edges of score 0 that are numbered after the caller's.
        labels : (n_edges,) ndarray, optional
            Names of the edges, which the lattice keeps for the caller.

        Returns
        -------
        Lattice
        """
        function = "Lattice.from_edges"
        edges = from_list(function, sources, targets, scores, n_nodes, super_nodes)
        lattice = cls.__new__(cls)
        lattice._build(function, edges)
        lattice.labels = labels
        return lattice

    def _build(self, function: str, edges: Edges) -> None:
        self._bound = edges.largest_score(function)
        self.n_nodes, self.n_edges = edges.n_nodes, len(edges.scores)
        self.sources, self.targets, self.scores = edges.copies()
        self._dag = _core.lattice.Dag(edges.indptr, edges.targets, edges.scores, edges.order)
        require_path(function, self._dag, edges.n_nodes)
        self._sweep_of: tuple[float, Any] | None = None
        self.labels: Array | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        edges = (self.sources, self.targets, self.scores, self.n_nodes)
        return _restored, (edges, self.labels)

    def __repr__(self) -> str:
        return f"Lattice(n_nodes={self.n_nodes}, n_edges={self.n_edges})"

    # The best paths

    def viterbi(self, *, alpha: float = 1.0) -> Path:
        """The path of the largest score.

        Returns
        -------
        Path
            Among paths of equal score the one whose first differing edge has the smaller number.
        """
        scale = self._check_alpha("viterbi", alpha)
        return _path(self._dag.best_path(), scale)

    def kbest(self, k: int, *, alpha: float = 1.0) -> list[Path]:
        """The `k` best paths, or all if there are fewer, from the best on.

        Notes
        -----
        Exact for every k: recursive enumeration (Jimenez and Marzal, WAE 1999),
        O(edges + k length log degree). Equal scores come in a fixed order.
        """
        k = check_integer("Lattice.kbest", "k", k, minimum=1, maximum=LARGEST_INTEGER)
        return list(itertools.islice(self._iterate("kbest", alpha), k))

    def iter_best(self, *, alpha: float = 1.0) -> Iterator[Path]:
        """All paths from the best on, found as they are asked for; see `kbest`."""
        return self._iterate("iter_best", alpha)

    def _iterate(self, method: str, alpha: float) -> Iterator[Path]:
        scale = self._check_alpha(method, alpha)
        found = _core.lattice.best_paths(self._dag)
        return (_path(item, scale) for item in iter(found.next, None))

    # The distribution

    def log_partition(self, *, alpha: float = 1.0) -> float:
        """The log-partition log Z(alpha); its gradient is ``alpha * marginals(alpha=alpha)``."""
        return float(_core.lattice.log_partition(self._sweep("log_partition", alpha)))

    def marginals(self, *, alpha: float = 1.0, nodes: bool = False) -> Array:
        """The probability that a path uses each edge, (n_edges,); each node, if `nodes`."""
        sweep = self._sweep("marginals", alpha)
        if nodes:
            return _core.lattice.node_marginals(self._dag, sweep, self.n_nodes)
        return _core.lattice.edge_marginals(self._dag, sweep, self.n_edges)

    def entropy(self, *, alpha: float = 1.0) -> float:
        """-sum P log P over all paths, in nats."""
        return float(_core.lattice.entropy(self._dag, self._sweep("entropy", alpha)))

    def expected(self, values: object, *, alpha: float = 1.0) -> Any:
        """The mean of sum_e values[e] over a path.

        Parameters
        ----------
        values : (..., n_edges) array_like of real numbers

        Returns
        -------
        float64 or (...) ndarray
        """
        return self._moments("expected", values, alpha, 0)

    def variance(self, values: object, *, alpha: float = 1.0) -> Any:
        """The variance of sum_e values[e] over a path; see `expected`.

        Notes
        -----
        The sum of the variances of the steps of the Markov chain: positive terms only.
        """
        return self._moments("variance", values, alpha, 1)

    def hvp(self, direction: object, *, alpha: float = 1.0) -> Array:
        """The Hessian of log Z in the scores times a direction, (n_edges,).

        Parameters
        ----------
        direction : (n_edges,) array_like of real numbers

        Notes
        -----
        alpha^2 times the covariance of the edges' indicators with sum_e direction[e]. Entries of
        absent edges are 0.
        """
        sweep = self._sweep("hvp", alpha)
        vector = self._values("hvp", "direction", direction)
        if vector.ndim != 1:
            got = Phrase(f"shape {vector.shape}")
            raise ValueError(message("Lattice.hvp", "direction", "must be 1-dimensional", got))
        slope: Array = sweep.alpha * _core.lattice.differentiate_marginals(self._dag, sweep, vector)
        if not np.isfinite(slope).all():
            raise _core.NumericalError("Lattice.hvp: sums of 'direction' along paths overflow")
        return slope

    def log_prob(self, paths: object, *, alpha: float = 1.0) -> Any:
        """The logarithms of the probabilities of given paths.

        Parameters
        ----------
        paths : Path, PathSamples, (length,) array_like of int, or a sequence of these
            Numbers of edges, from the source to the sink.

        Returns
        -------
        float64 for one path, (n_paths,) ndarray for several

        Notes
        -----
        The sum of the logarithms of the local choices: no large numbers cancel.
        """
        sweep = self._sweep("log_prob", alpha)
        edges, offsets, single = as_paths("Lattice.log_prob", paths)
        check_range("Lattice.log_prob", "paths", edges, self.n_edges, "edges")
        values, wrong = _core.lattice.log_probabilities(self._dag, sweep, edges, offsets)
        if wrong >= 0:
            expected = "must lead from the source to the sink over present edges"
            got = edges[offsets[wrong] : offsets[wrong + 1]].tolist()
            raise ValueError(message("Lattice.log_prob", "paths", expected, got))
        return values[0] if single else values

    # Samples

    def sample(
        self, size: int, *, alpha: float = 1.0, rng: object = None, workers: int | None = None
    ) -> PathSamples:
        """Independent exact samples of paths.

        Parameters
        ----------
        size : int
            Number of paths, >= 0.
        alpha : float, default 1.0
        rng : None, int or numpy.random.Generator
        workers : int, optional

        Returns
        -------
        PathSamples

        Notes
        -----
        Backward filtering, forward sampling: one sweep, then one uniform number for each edge of
        a path. Sample j depends on `rng`, the lattice and j alone: not on `workers`, and the
        first samples are the same for every `size`.
        """
        size = check_integer("Lattice.sample", "size", size, minimum=0)
        # A path has at least one edge, and every path an offset.
        check_memory("Lattice.sample", "size", size, 16.0 * size)
        sweep = self._sweep("sample", alpha)
        threads = check_workers("Lattice.sample", workers)
        key = as_key("Lattice.sample", rng)
        return PathSamples(*_core.lattice.sample(self._dag, sweep, size, key, threads))

    def sample_without_replacement(
        self, size: int, *, alpha: float = 1.0, rng: object = None
    ) -> WeightedPathSamples:
        """Different paths, as if drawn one after the other without putting back.

        Parameters
        ----------
        size : int
            Number of paths, >= 0. If the lattice has no more, all of them come back.
        alpha : float, default 1.0
        rng : None, int or numpy.random.Generator

        Returns
        -------
        WeightedPathSamples

        Notes
        -----
        Gumbel noise, largest first, over the tree of prefixes: O(size length degree) time and
        memory, whatever the number of paths.

        References
        ----------
        W. Kool, H. van Hoof and M. Welling, Stochastic beams and where to find them, ICML 2019.
        """
        function = "Lattice.sample_without_replacement"
        size = check_integer(function, "size", size, minimum=0)
        sweep = self._sweep("sample_without_replacement", alpha)
        key = as_key(function, rng)
        return WeightedPathSamples(
            *_core.lattice.sample_without_replacement(self._dag, sweep, size, key)
        )

    # The graph

    def count_paths(self) -> int:
        """The exact number of paths, however large; O(edges digits)."""
        return int.from_bytes(self._dag.count_paths(), "little")

    def cut_vertices(self) -> Array:
        """The nodes that every path visits, source and sink included, in path order."""
        return self._dag.cut_vertices()

    def prune(self, threshold: float, *, alpha: float = 1.0) -> Lattice:
        """The lattice without the edges whose marginal is below `threshold`.

        Edges keep their numbers: those dropped have score -inf. ValueError if no path is left.
        """
        threshold = check_real("Lattice.prune", "threshold", threshold, minimum=0, maximum=1)
        self._check_alpha("prune", alpha)
        kept = self.marginals(alpha=alpha) >= threshold
        scores = np.where(kept, self.scores, -np.inf)
        try:
            return Lattice.from_edges(self.sources, self.targets, scores, self.n_nodes)
        except ValueError as error:
            expected = "must leave a path"
            raise ValueError(message("Lattice.prune", "threshold", expected, threshold)) from error

    # Shared steps

    def _check_alpha(self, method: str, alpha: object) -> float:
        function = f"Lattice.{method}"
        value = check_real(function, "alpha", alpha, minimum=0)
        if value * self._bound == np.inf:
            expected = "must be so small that alpha times the score of a path is finite"
            raise ValueError(message(function, "alpha", expected, alpha))
        return value

    def _sweep(self, method: str, alpha: object) -> Any:
        value = self._check_alpha(method, alpha)
        held = self._sweep_of  # one read: another thread may replace it
        if held is None or held[0] != value:
            held = (value, _core.lattice.sweep_backward(self._dag, value))
            self._sweep_of = held
        return held[1]

    def _values(self, method: str, argument: str, values: object) -> Array:
        function = f"Lattice.{method}"
        array = as_array(function, argument, values, min_ndim=1)
        if array.shape[-1] != self.n_edges:
            expected = f"must have one value for each of {self.n_edges} edges on its last axis"
            raise ValueError(message(function, argument, expected, Phrase(f"shape {array.shape}")))
        require_finite(function, argument, array)
        return np.ascontiguousarray(array, dtype=np.float64)

    def _moments(self, method: str, values: object, alpha: float, which: int) -> Any:
        sweep = self._sweep(method, alpha)
        array = self._values(method, "values", values)
        rows = array.reshape(math.prod(array.shape[:-1]), self.n_edges)
        moments = _core.lattice.moments(self._dag, sweep, rows)
        return moments[which].reshape(array.shape[:-1])[()]


def _path(item: tuple[Any, ...], alpha: float) -> Path:
    return Path(item[0], alpha * float(item[1]) + 0.0)


def _restored(edges: tuple[Any, ...], labels: Array | None) -> Lattice:
    return Lattice.from_edges(*edges, labels=labels)
