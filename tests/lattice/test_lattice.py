"""Lattices against the enumeration of all paths."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue_num.lattice import Lattice
from tests.oracles import lattice as oracle

ALPHAS = (0.0, 0.01, 0.1, 0.5, 1.0, 5.0)
# At most 24 terms are summed per result and every score passes an exponential whose argument is
# rounded once: 1e-12 holds with two digits to spare while |alpha score| stays below 100.
RTOL = 1e-12


@st.composite
def lattices(draw, max_nodes=7, bound=10):
    """Edges in any order between at most 7 nodes in any numbering; some paths, dead ends too."""
    n_nodes = draw(st.integers(2, max_nodes))
    inner = draw(st.permutations(range(1, n_nodes - 1)))
    order = [0, *inner, n_nodes - 1]
    pairs = list(itertools.combinations(range(n_nodes), 2))
    chosen = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=14))
    chosen.append((0, n_nodes - 1))
    sources = [order[i] for i, _ in chosen]
    targets = [order[j] for _, j in chosen]
    values = st.floats(-bound, bound) | st.sampled_from([0.0, 1.0, -np.inf])
    scores = draw(st.lists(values, min_size=len(chosen), max_size=len(chosen)))
    scores[-1] = 0.5
    return sources, targets, scores, n_nodes


def as_floats(values):
    return np.array([float(v) for v in values])


@given(lattices(), st.sampled_from(ALPHAS))
@settings(max_examples=60, deadline=None)
def test_distribution_matches_enumeration(edges, alpha):
    lattice = Lattice.from_edges(*edges)
    sources, targets, scores, n_nodes = edges
    every = oracle.paths(sources, targets, scores, n_nodes)
    gibbs = oracle.Gibbs(every, scores, alpha)
    assert lattice.count_paths() == len(every)
    scale = max(1.0, float(abs(gibbs.log_partition)))
    assert lattice.log_partition(alpha=alpha) == pytest.approx(
        float(gibbs.log_partition), abs=RTOL * scale
    )
    np.testing.assert_allclose(
        lattice.marginals(alpha=alpha), as_floats(gibbs.marginals()), rtol=RTOL, atol=1e-300
    )
    assert lattice.entropy(alpha=alpha) == pytest.approx(
        float(gibbs.entropy()), rel=RTOL, abs=1e-15
    )
    values = np.cos(np.arange(len(scores)))
    mean, variance = gibbs.moments(values)
    assert lattice.expected(values, alpha=alpha) == pytest.approx(float(mean), abs=RTOL)
    assert lattice.variance(values, alpha=alpha) == pytest.approx(
        float(variance), rel=RTOL, abs=1e-28
    )
    curvature = alpha**2 * as_floats(gibbs.covariances(values))
    np.testing.assert_allclose(lattice.hvp(values, alpha=alpha), curvature, atol=RTOL * 25)
    logs = lattice.log_prob(every, alpha=alpha) if any(every) else []
    np.testing.assert_allclose(logs, as_floats(gibbs.log_probabilities)[: len(logs)], atol=1e-11)


@given(lattices())
@settings(max_examples=60, deadline=None)
def test_best_paths_match_enumeration(edges):
    lattice = Lattice.from_edges(*edges)
    sources, targets, scores, n_nodes = edges
    every = oracle.paths(sources, targets, scores, n_nodes)
    found = list(lattice.iter_best())
    assert sorted(tuple(path.edges.tolist()) for path in found) == sorted(every)
    exact = [float(oracle.exact_score(path.edges.tolist(), scores)) for path in found]
    np.testing.assert_allclose([path.score for path in found], exact, atol=1e-13)
    assert all(a >= b - 1e-13 for a, b in itertools.pairwise(exact))
    best = lattice.viterbi()
    assert best.score == found[0].score and best.edges.tolist() == found[0].edges.tolist()
    few = lattice.kbest(3)
    assert [p.edges.tolist() for p in few] == [p.edges.tolist() for p in found[:3]]


@given(lattices())
@settings(max_examples=30, deadline=None)
def test_cut_vertices_are_on_every_path(edges):
    sources, targets, scores, n_nodes = edges
    every = oracle.paths(sources, targets, scores, n_nodes)
    visited = [{0, *(targets[edge] for edge in path)} for path in every]
    lattice = Lattice.from_edges(*edges)
    assert set(lattice.cut_vertices().tolist()) == set.intersection(*visited)
    nodes = lattice.marginals(nodes=True)
    np.testing.assert_allclose(nodes[lattice.cut_vertices()], 1, rtol=1e-14)


@given(lattices(), st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_prune_keeps_edges_above_the_threshold(edges, threshold):
    lattice = Lattice.from_edges(*edges)
    marginals = lattice.marginals()
    kept = marginals >= threshold
    scores = np.where(kept, lattice.scores, -np.inf)
    if not oracle.paths(lattice.sources, lattice.targets, scores, lattice.n_nodes):
        with pytest.raises(ValueError, match="'threshold' must leave a path"):
            lattice.prune(threshold)
        return
    pruned = lattice.prune(threshold)
    np.testing.assert_array_equal(pruned.scores, scores)
    assert (pruned.marginals()[~kept] == 0).all()


def test_worked_example_of_six_pieces():
    # a, b, c, ab, bc, abc.
    edges = ([0, 1, 2, 0, 1, 0], [1, 2, 3, 2, 3, 3])
    best = Lattice.from_edges(*edges, [0, 0, 0, 2, 5, 10]).kbest(10)
    assert [p.edges.tolist() for p in best] == [[5], [0, 4], [3, 2], [0, 1, 2]]
    assert [p.score for p in best] == [10, 5, 2, 0]
    lattice = Lattice.from_edges(*edges, [0, 0, 0.1, 0.2, 0.5, 1])
    weight = np.exp([1, 0.5, 0.3, 0.1])
    p = weight / weight.sum()
    np.testing.assert_allclose(
        lattice.marginals(), [p[1] + p[3], p[3], p[2] + p[3], p[2], p[1], p[0]], rtol=1e-14
    )
    assert lattice.entropy() == pytest.approx(-(p * np.log(p)).sum(), rel=1e-14)


def test_ties_go_to_the_first_edge():
    lattice = Lattice.from_edges([0, 0, 1, 1, 0], [1, 1, 2, 2, 2], [1, 1, 1, 1, 2])
    assert lattice.viterbi().edges.tolist() == [0, 2]
    order = [path.edges.tolist() for path in lattice.iter_best()]
    assert sorted(order) == [[0, 2], [0, 3], [1, 2], [1, 3], [4]]
    assert order == [path.edges.tolist() for path in lattice.kbest(100)]
    assert order[0] == [0, 2]


def test_csr_and_edge_lists_agree():
    indptr, targets, scores = [0, 2, 3, 3], [1, 2, 2], [0.5, 0.2, 0.1]
    a, b = (
        Lattice(indptr, targets, scores),
        Lattice.from_edges([1, 0, 0], [2, 1, 2], [0.1, 0.5, 0.2]),
    )
    assert a.log_partition() == b.log_partition()
    np.testing.assert_array_equal(a.marginals(), b.marginals()[[1, 2, 0]])
    assert repr(a) == "Lattice(n_nodes=3, n_edges=3)"


def test_super_nodes_join_open_ends():
    lattice = Lattice.from_edges([0, 1, 2], [2, 2, 3], [1.0, 2.0, 3.0], 5, super_nodes=True)
    # 0-2-3, 1-2-3 and node 4 alone.
    assert (lattice.n_nodes, lattice.n_edges) == (7, 8)
    scores = sorted(path.score for path in lattice.iter_best())
    assert scores == [0, 4, 5]


def test_one_node_has_one_empty_path():
    for lattice in (Lattice([0, 0], [], []), Lattice.from_edges([], [], [])):
        assert lattice.viterbi().edges.tolist() == []
        assert [path.score for path in lattice.kbest(3)] == [0]
        assert lattice.log_partition() == 0 and lattice.entropy() == 0
        assert lattice.count_paths() == 1 and lattice.cut_vertices().tolist() == [0]
        assert lattice.sample(3, rng=0).offsets.tolist() == [0, 0, 0, 0]
        assert lattice.sample_without_replacement(3, rng=0).log_prob.tolist() == [0]
        assert lattice.log_prob([]) == 0
        assert lattice.marginals(nodes=True).tolist() == [1]


def test_counts_are_exact_integers():
    # Two edges at each of 3000 steps: 2^3000 paths.
    steps = np.repeat(np.arange(3000), 2)
    lattice = Lattice.from_edges(steps, steps + 1, np.zeros(6000))
    assert lattice.count_paths() == 2**3000
    assert lattice.log_partition(alpha=0) == pytest.approx(3000 * np.log(2), rel=1e-15)
    # Fibonacci numbers: steps of one and two.
    n = 400
    sources = [*range(n), *range(n - 1)]
    targets = [*range(1, n + 1), *range(2, n + 1)]
    a, b = 1, 1
    for _ in range(n - 1):
        a, b = b, a + b
    assert Lattice.from_edges(sources, targets, np.ones(2 * n - 1)).count_paths() == b


@pytest.mark.parametrize("scale", [1e-300, 1e-8, 1e3, 1e8, 1e100])
def test_scores_of_any_scale(scale):
    scores = scale * np.array([1.0, -1.0, 2.0, 0.5, -3.0])
    lattice = Lattice.from_edges([0, 0, 1, 1, 2], [1, 2, 2, 3, 3], scores)
    every = oracle.paths(lattice.sources, lattice.targets, scores, 4)
    gibbs = oracle.Gibbs(every, scores, 1.0)
    assert lattice.log_partition() == pytest.approx(float(gibbs.log_partition), rel=1e-15)
    # The argument of the exponential is a float64: an error of eps |score| in each logarithm.
    np.testing.assert_allclose(
        lattice.marginals(), as_floats(gibbs.marginals()), rtol=1e-14 + min(1, 4e-16 * scale),
        atol=1e-300,
    )  # fmt: skip
    np.testing.assert_allclose(
        lattice.log_prob(every), as_floats(gibbs.log_probabilities), rtol=1e-14, atol=1e-15
    )


def test_large_alpha_concentrates_on_the_best():
    lattice = Lattice.from_edges([0, 1, 2, 0, 1, 0], [1, 2, 3, 2, 3, 3], [0, 0, 0, 2, 5, 10])
    assert lattice.marginals(alpha=1e5).tolist() == [0, 0, 0, 0, 0, 1]
    assert lattice.entropy(alpha=1e5) == 0
    assert lattice.log_partition(alpha=1e5) == 1e6
    assert set(map(tuple, lattice.sample(50, alpha=1e5, rng=1))) == {(5,)}


def test_long_lattices_keep_local_choices():
    # Peers add up log Z in float32 and miss local choices by up to 1e-1 at 2 MB. Here a block of
    # three edges repeats 200000 times: each block's chances are those of a block alone.
    n = 200_000
    block = np.array([-11.25, -10.5, -12.0])
    sources = np.repeat(np.arange(n), 3)
    lattice = Lattice.from_edges(sources, sources + 1, np.tile(block, n))
    p = np.exp(block) / np.exp(block).sum()
    marginals = lattice.marginals().reshape(n, 3)
    # Node probabilities are products of n sums that are 1 up to an ulp.
    local = marginals / marginals.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(local, np.tile(p, (n, 1)), rtol=1e-14)
    np.testing.assert_allclose(marginals, np.tile(p, (n, 1)), rtol=n * 2.3e-16)
    exact = n * float(np.log(np.exp(block + 11).sum()) - 11)
    assert lattice.log_partition() == pytest.approx(exact, rel=1e-13)
    assert len(lattice.viterbi().edges) == n
    assert [len(path.edges) for path in lattice.kbest(5)] == [n] * 5


def test_gradient_is_the_marginals():
    rng = np.random.default_rng(5)
    sources, targets = [0, 0, 1, 1, 2, 0], [1, 2, 2, 3, 3, 3]
    scores, direction = rng.normal(size=6), rng.normal(size=6)
    lattice = Lattice.from_edges(sources, targets, scores)
    h = 1e-5
    up, down = (Lattice.from_edges(sources, targets, scores + t * direction) for t in (h, -h))
    for alpha in (0.5, 1.0, 2.0):
        slope = (up.log_partition(alpha=alpha) - down.log_partition(alpha=alpha)) / (2 * h)
        assert slope == pytest.approx(alpha * lattice.marginals(alpha=alpha) @ direction, abs=1e-9)
        change = alpha * (up.marginals(alpha=alpha) - down.marginals(alpha=alpha)) / (2 * h)
        np.testing.assert_allclose(lattice.hvp(direction, alpha=alpha), change, atol=1e-9)
    hessian = np.array([lattice.hvp(row) for row in np.eye(6)])
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-16)


def test_values_in_batches():
    lattice = Lattice.from_edges([0, 0, 1], [1, 2, 2], [0.5, 0.1, 0.2])
    values = np.arange(12.0).reshape(2, 2, 3)
    assert lattice.expected(values).shape == (2, 2)
    assert lattice.expected(values)[1, 0] == lattice.expected(values[1, 0])
    assert lattice.variance(values[0])[1] == lattice.variance(values[0, 1])
