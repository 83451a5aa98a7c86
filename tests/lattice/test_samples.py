"""Samples of paths: their law, their independence of how the work is split, and their weights.

Chi-square statistics have a fixed seed and fail by chance once in a million (p > 1e-6).
"""

import numpy as np
import pytest
from scipy.stats import chi2

from kexue_num import _core
from kexue_num.lattice import Lattice
from tests.oracles import lattice as oracle

N_SAMPLES = 2_000_000


def word_lattice(n=9, seed=3):
    """All segmentations of a word of n letters into pieces of at most 4: 401 paths for n = 9."""
    pairs = [(i, j) for i in range(n) for j in range(i + 1, min(n, i + 4) + 1)]
    scores = np.random.default_rng(seed).normal(-2, 1.5, len(pairs))
    sources, targets = zip(*pairs, strict=True)
    return Lattice.from_edges(sources, targets, scores)


def counts_of(samples, paths):
    """How often each of the paths was drawn; every sample is one of them."""
    # A path is known by the sum of random 64-bit numbers of its edges.
    codes = np.random.default_rng(0).integers(0, 2**63, 1000, dtype=np.uint64)
    names = np.array([codes[list(path)].sum() for path in paths])
    drawn, counts = np.unique(
        np.add.reduceat(codes[samples.edges], samples.offsets[:-1]), return_counts=True
    )
    assert np.isin(drawn, names).all() and len(np.unique(names)) == len(paths)
    found = np.zeros(len(paths))
    found[np.argsort(names)[np.searchsorted(np.sort(names), drawn)]] = counts
    return found


def chi_square_tail(observed, expected):
    """P(a statistic this large); cells of expectation below 10 are pooled."""
    order = np.argsort(expected)
    pooled = max(1, int(np.searchsorted(np.cumsum(expected[order]), 10, side="right")) + 1)
    groups = np.concatenate([np.zeros(pooled, int), np.arange(1, len(order) - pooled + 1)])
    seen, due = (np.bincount(groups, weights=x[order]) for x in (observed, expected))
    return chi2.sf(((seen - due) ** 2 / due).sum(), len(due) - 1)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 1.0, 5.0])
def test_frequencies_are_the_probabilities(alpha):
    lattice = word_lattice()
    every = oracle.paths(lattice.sources, lattice.targets, lattice.scores, lattice.n_nodes)
    p = np.exp(lattice.log_prob(every, alpha=alpha))
    assert p.sum() == pytest.approx(1, abs=1e-12)
    samples = lattice.sample(N_SAMPLES, alpha=alpha, rng=11)
    assert chi_square_tail(counts_of(samples, every), p * len(samples)) > 1e-6


def test_three_equal_paths_are_equally_likely():
    # "watching" = watch+ing, wat+ching, w+atching; contests between two candidates at a time
    # give 1/4, 1/4, 1/2.
    lattice = Lattice.from_edges([0, 1, 0, 2, 0, 3], [1, 4, 2, 4, 3, 4], np.zeros(6))
    samples = lattice.sample(300_000, rng=5)
    observed = counts_of(samples, [(0, 1), (2, 3), (4, 5)])
    assert chi_square_tail(observed, np.full(3, 1e5)) > 1e-6


def test_consecutive_samples_are_independent():
    lattice = Lattice.from_edges([0, 0, 0], [1, 1, 1], [0.0, 0.5, 1.0])
    edges = lattice.sample(200_000, rng=8).edges.reshape(-1, 2)
    p = lattice.marginals()
    observed = np.bincount(3 * edges[:, 0] + edges[:, 1], minlength=9)
    assert chi_square_tail(observed, np.outer(p, p).ravel() * len(edges)) > 1e-6


def test_p_values_are_uniform():
    # Kolmogorov and Smirnov over 200 seeds: P(D > 0.19) < 1e-6 for 200 points.
    lattice = word_lattice(5)
    every = oracle.paths(lattice.sources, lattice.targets, lattice.scores, lattice.n_nodes)
    p = np.exp(lattice.log_prob(every))
    tails = []
    for seed in range(200):
        observed = counts_of(lattice.sample(3000, rng=seed), every)
        tails.append(chi_square_tail(observed, p * 3000))
    gaps = np.sort(tails) - np.arange(200) / 200
    assert max(abs(gaps).max(), abs(gaps - 1 / 200).max()) < 0.19


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_samples_do_not_depend_on_the_workers(workers):
    lattice = word_lattice(40)
    one = lattice.sample(3000, rng=2, workers=1)
    many = lattice.sample(3000, rng=2, workers=workers)
    np.testing.assert_array_equal(one.edges, many.edges)
    np.testing.assert_array_equal(one.offsets, many.offsets)
    few = lattice.sample(100, rng=2, workers=workers)
    np.testing.assert_array_equal(few.edges, one.edges[: one.offsets[100]])


def test_samples_do_not_depend_on_the_instruction_set():
    lattice, seen = word_lattice(30), []
    before = _core.active_isa()
    for isa in _core.available_isas():
        _core.set_active_isa(isa)
        weighted = lattice.sample_without_replacement(50, rng=2)
        paths = [lattice.sample(2000, rng=2).edges.tolist(), weighted.edges.tolist()]
        seen.append([*paths, weighted.log_inclusion.tolist()])
    _core.set_active_isa(before)
    assert all(paths == seen[0] for paths in seen)


def test_nodes_with_many_edges():
    scores = np.linspace(-3, 3, 1000)
    lattice = Lattice([0, 1000, 1000], np.ones(1000, int), scores)
    samples = lattice.sample(200_000, rng=4)
    observed = np.bincount(samples.edges, minlength=1000)
    assert chi_square_tail(observed, lattice.marginals() * 200_000) > 1e-6


def test_without_replacement_gives_different_paths():
    lattice = word_lattice()
    for seed in range(20):
        drawn = lattice.sample_without_replacement(60, rng=seed)
        assert len({tuple(path.tolist()) for path in drawn}) == len(drawn) == 60
        np.testing.assert_allclose(drawn.log_prob, lattice.log_prob(drawn), rtol=1e-13)
        assert (drawn.log_inclusion <= 0).all()


def test_without_replacement_gives_all_paths_if_asked():
    lattice = word_lattice()
    n = lattice.count_paths()
    for size in (n, n + 1, 10 * n):
        drawn = lattice.sample_without_replacement(size, rng=1)
        assert len(drawn) == n and (drawn.log_inclusion == 0).all()
        assert np.exp(drawn.log_prob).sum() == pytest.approx(1, abs=1e-12)
    assert len(lattice.sample_without_replacement(0, rng=1)) == 0
    almost = lattice.sample_without_replacement(n - 1, rng=1)
    assert len(almost) == n - 1 and (almost.log_inclusion < 0).any()


def test_without_replacement_has_the_law_of_successive_draws():
    # Ordered pairs of a lattice of four paths: P(i, j) = p_i p_j / (1 - p_i).
    lattice = Lattice.from_edges([0, 1, 2, 0, 1, 0], [1, 2, 3, 2, 3, 3], [0, 0, 0.1, 0.2, 0.5, 1])
    every = oracle.paths(lattice.sources, lattice.targets, lattice.scores, 4)
    p = np.exp(lattice.log_prob(every))
    number = {path: i for i, path in enumerate(every)}
    n = 20_000
    observed, weights = np.zeros((4, 4)), np.zeros(4)
    for seed in range(n):
        drawn = lattice.sample_without_replacement(2, rng=seed)
        i, j = (number[tuple(path.tolist())] for path in drawn)
        observed[i, j] += 1
        weights[[i, j]] += np.exp(-drawn.log_inclusion)
    expected = np.outer(p, p) / (1 - p[:, None])
    off = ~np.eye(4, dtype=bool)
    assert chi_square_tail(observed[off], expected[off] * n) > 1e-6
    # E[1{i drawn} / inclusion_i] = 1; the standard error is at most 0.02 here, 5 of them allowed.
    np.testing.assert_allclose(weights / n, 1, atol=0.1)


def test_without_replacement_of_a_long_lattice():
    # Peers cut their agenda at 10000 entries and return fewer paths, or none.
    n = 2000
    sources = np.repeat(np.arange(n), 3)
    lattice = Lattice.from_edges(sources, sources + 1, np.tile([-1.0, -2.0, -3.0], n))
    drawn = lattice.sample_without_replacement(64, rng=3)
    assert len({path.tobytes() for path in drawn}) == 64
    assert np.isfinite(drawn.log_inclusion).all()
