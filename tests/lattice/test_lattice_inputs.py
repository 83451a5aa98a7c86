"""What lattices accept and refuse."""

import pickle
import re

import numpy as np
import pytest

from kexue_num.lattice import Lattice


def refuses(text, error=ValueError):
    return pytest.raises(error, match="^" + re.escape(text))


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_scores(score):
    with refuses(
        f"Lattice: 'scores' must be finite, or -inf for what is absent, got {score} at [1]"
    ):
        Lattice([0, 2, 2], [1, 1], [0.0, score])


def test_shapes_and_indices():
    with refuses("Lattice: 'indptr' must run from 0 to the number of edges, 2"):
        Lattice([0, 1, 1], [1, 1], [0, 0])
    with refuses("Lattice: 'indptr' must run from 0 to the number of edges, 0"):
        Lattice([0], [], [])
    with refuses("Lattice: 'indptr' must not decrease, got 1 after 2 at [2]"):
        Lattice([0, 2, 1, 2], [1, 2], [0, 0])
    with refuses("Lattice: 'targets' must be nodes in 0..1, got 2 at [1]"):
        Lattice([0, 2, 2], [1, 2], [0, 0])
    with refuses("Lattice: 'targets' must be nodes in 0..1, got -1 at [0]"):
        Lattice([0, 2, 2], [-1, 1], [0, 0])
    with refuses("Lattice: 'scores' must have one score for each of 2 edges, got 1"):
        Lattice([0, 2, 2], [1, 1], [0.0])
    with refuses("Lattice: 'targets' must be an array of integers, got dtype float64", TypeError):
        Lattice([0, 1, 1], [1.0], [0])
    with refuses("Lattice: 'indptr' must be 1-dimensional, got shape (1, 3)"):
        Lattice([[0, 1, 1]], [1], [0])
    with refuses("Lattice.from_edges: 'sources' must be nodes in 0..1, got 5 at [0]"):
        Lattice.from_edges([5], [1], [0], 2)
    with refuses("Lattice.from_edges: 'targets' must have the length of 'sources', 1, got 2"):
        Lattice.from_edges([0], [1, 1], [0])
    with refuses("Lattice.from_edges: 'n_nodes' must be >= 1, got 0"):
        Lattice.from_edges([], [], [], 0)


def test_cycles_are_named():
    with refuses(
        "Lattice.from_edges: 'targets' must not lead back, got the cycle 1 -> 4 -> 2 -> 1"
    ):
        Lattice.from_edges([0, 1, 4, 2, 2, 5], [1, 4, 2, 1, 5, 3], np.zeros(6))
    with refuses("Lattice: 'targets' must not lead back, got the cycle 1 -> 1"):
        Lattice([0, 1, 3, 3], [1, 1, 2], np.zeros(3))
    # An absent edge closes no cycle.
    lattice = Lattice.from_edges([0, 1, 1], [1, 0, 2], [1.0, -np.inf, 2.0])
    assert lattice.viterbi().score == 3
    n = 50
    ring = np.arange(n)
    with refuses("Lattice.from_edges: 'targets' must not lead back, got the cycle 0 -> 1 -> 2"):
        Lattice.from_edges(ring, (ring + 1) % n, np.zeros(n))


def test_no_path_names_the_last_node_reached():
    expected = "must give a path from node 0 to node 4, got none: the last node that can be reached"
    with refuses(f"Lattice.from_edges: 'targets' {expected} is 2"):
        Lattice.from_edges([0, 1, 3], [1, 2, 4], [0, 0, 0])
    with refuses("Lattice.from_edges: 'targets' must give a path from node 0 to node 1, got none"):
        Lattice.from_edges([0], [1], [-np.inf])


@pytest.mark.parametrize("alpha", [np.nan, np.inf, -np.inf, -0.1, -1e308])
def test_alpha_never_hangs(alpha):
    # A peer loops for ever on nan, inf and 1e308.
    lattice = Lattice([0, 2, 2], [1, 1], [0.5, 1.0])
    for method in ("viterbi", "log_partition", "marginals", "entropy", "iter_best"):
        with refuses(f"Lattice.{method}: 'alpha' must be >= 0, got"):
            getattr(lattice, method)(alpha=alpha)
    with refuses("Lattice.sample: 'alpha' must be >= 0"):
        lattice.sample(3, alpha=alpha)


def test_huge_alpha_and_scores():
    lattice = Lattice([0, 2, 2], [1, 1], [0.5, 1.0])
    assert lattice.sample(10, alpha=1e308, rng=0).edges.tolist() == [1] * 10
    with refuses("Lattice.log_partition: 'alpha' must be so small that"):
        Lattice([0, 2, 2], [1, 1], [5.0, 10.0]).log_partition(alpha=1e308)
    with refuses("Lattice: 'scores' must be so small that the score of a path is finite"):
        Lattice([0, 1, 2, 2], [1, 2], [1e308, 1e308])


def test_sizes_and_paths():
    lattice = Lattice.from_edges([0, 0, 1], [1, 2, 2], [0.5, 0.1, -1.0])
    for k in (0, -1):
        with refuses(f"Lattice.kbest: 'k' must be >= 1, got {k}"):
            lattice.kbest(k)
    with refuses("Lattice.sample: 'size' must be >= 0, got -1"):
        lattice.sample(-1)
    with refuses("Lattice.sample_without_replacement: 'size' must be >= 0, got -1"):
        lattice.sample_without_replacement(-1)
    assert len(lattice.kbest(9)) == len(lattice.sample_without_replacement(9, rng=0)) == 2
    with refuses("Lattice.sample: 'workers' must lie in 1..1024, got 0"):
        lattice.sample(1, workers=0)
    with refuses("Lattice.log_prob: 'paths' must be edges in 0..2, got 3 at [1]"):
        lattice.log_prob([0, 3])
    for path in ([0], [2], [0, 1], [], [1, 2]):
        with refuses("Lattice.log_prob: 'paths' must lead from the source to the sink"):
            lattice.log_prob(path)
    with refuses("Lattice.expected: 'values' must have one value for each of 3 edges"):
        lattice.expected([1.0, 2.0])
    with refuses("Lattice.variance: 'values' must be finite, got nan at [2]"):
        lattice.variance([1.0, 2.0, np.nan])
    with refuses("Lattice.hvp: 'direction' must be 1-dimensional"):
        lattice.hvp(np.ones((2, 3)))
    with refuses("Lattice.prune: 'threshold' must be >= 0 and <= 1, got 2"):
        lattice.prune(2)


def test_forms_of_paths():
    lattice = Lattice.from_edges([0, 0, 1], [1, 2, 2], [0.5, 0.1, -1.0])
    single = lattice.log_prob([0, 2])
    assert np.ndim(single) == 0
    assert lattice.log_prob(lattice.kbest(2)[1]) == single
    assert lattice.log_prob([[1], [0, 2]])[1] == single
    assert lattice.log_prob(lattice.kbest(2))[1] == single
    assert lattice.log_prob(np.array([[0, 2]])).shape == (1,)
    samples = lattice.sample(5, rng=1)
    assert lattice.log_prob(samples).shape == (5,)
    assert repr(samples).startswith("PathSamples(n_paths=5, n_edges=")
    assert [path.tolist() for path in samples] == [samples[i].tolist() for i in range(5)]


def test_layouts_and_dtypes():
    scores = np.array([0.5, 0.1, -1.0])
    expected = Lattice([0, 2, 3, 3], [1, 2, 2], scores).log_partition()
    strided = np.repeat(scores, 3)[::3].astype(">f8")
    indptr = np.array([0, 2, 3, 3], np.uint8)
    assert Lattice(indptr, np.array([1, 2, 2], ">i4"), strided).log_partition() == expected
    single = Lattice(indptr, [1, 2, 2], scores.astype(np.float32))
    assert single.scores.dtype == np.float64
    assert Lattice(indptr, [1, 2, 2], [1, 2, 3]).viterbi().score == 4


def test_the_callers_arrays_are_copied():
    scores = np.array([0.5, 0.1, -1.0])
    lattice = Lattice([0, 2, 3, 3], [1, 2, 2], scores)
    scores[:] = 7
    assert lattice.scores.tolist() == [0.5, 0.1, -1.0]
    with pytest.raises(ValueError, match="read-only"):
        lattice.scores[0] = 1


def test_pickle():
    lattice = Lattice.from_edges([1, 0, 0], [2, 1, 2], [0.5, 0.1, -1.0])
    copy = pickle.loads(pickle.dumps(lattice))
    np.testing.assert_array_equal(copy.sample(9, rng=3).edges, lattice.sample(9, rng=3).edges)
