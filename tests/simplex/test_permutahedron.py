"""Permutahedra, soft sorting and ranking against exact and brute-force references."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from kexue_num.simplex import (
    isotonic,
    project_permutahedron,
    soft_rank,
    soft_rank_vjp,
    soft_sort,
    soft_sort_vjp,
)
from tests.oracles import projections as oracle

DTYPES = (np.float32, np.float64)
KINDS = ("l2", "kl")
# Derandomized: the same examples in every run, so that nothing here fails by chance.
examples = settings(derandomize=True, deadline=None, max_examples=60)
seeds = st.integers(0, 2**32 - 1)


def row(rng, n, ties):
    return rng.integers(-2, 3, n).astype(float) if ties else 2 * rng.standard_normal(n)


@examples
@given(seeds, st.integers(1, 10), st.booleans(), st.sampled_from(DTYPES))
def test_permutahedron(seed, n, ties, dtype):
    rng = np.random.default_rng(seed)
    x, w = row(rng, n, ties).astype(dtype), row(rng, n, ties).astype(dtype)
    p = project_permutahedron(x, w)
    exact = [float(v) for v in oracle.permutahedron(x, w)]
    assert_allclose(p, exact, rtol=np.finfo(dtype).eps, atol=1e-15 * n)
    for value in x:
        assert len(set(p[x == value].tolist())) == 1
    # Inside: no k largest entries exceed those of w.
    room = n * 4 * np.finfo(dtype).eps * max(1, np.abs(w).max())
    assert np.all(np.cumsum(np.sort(p)[::-1]) <= np.cumsum(np.sort(w)[::-1]) + room)
    assert abs(p.sum(dtype=float) - w.sum(dtype=float)) <= room


@examples
@given(seeds, st.integers(1, 9), st.booleans(), st.booleans())
def test_isotonic(seed, n, ties, weighted):
    rng = np.random.default_rng(seed)
    x = row(rng, n, ties)
    w = rng.uniform(0.1, 3, n) if weighted else None
    exact = [float(v) for v in oracle.isotonic(x, w)]
    assert_allclose(isotonic(x, w), exact, rtol=1e-15, atol=1e-15 * n)
    assert_allclose(isotonic(-x, w, increasing=False), [-v for v in exact], rtol=1e-15,
                    atol=1e-15 * n)  # fmt: skip


@examples
@given(seeds, st.integers(1, 9), st.booleans(), st.sampled_from([1e-3, 0.3, 1.0, 40.0]),
       st.sampled_from(KINDS))  # fmt: skip
def test_soft_operators(seed, n, ties, strength, kind):
    rng = np.random.default_rng(seed)
    x = row(rng, n, ties)
    options = {"regularization": kind}
    # The reference subtracts numbers of size n / strength.
    room = 4e-15 * n * max(1, 1 / strength)
    ordered = soft_sort(x, strength, **options)
    assert_allclose(ordered, oracle.soft_sort(x, strength, kind), rtol=1e-13, atol=room)
    assert_array_equal(soft_sort(x, strength, descending=True, **options), ordered[::-1])
    ranks = soft_rank(x, strength, **options)
    assert_allclose(ranks, oracle.soft_rank(x, strength, kind), rtol=1e-13 + room, atol=room)
    assert_allclose(soft_rank(-x, strength, descending=True, **options), ranks, rtol=1e-14)
    assert_allclose(ranks.sum(), n * (n + 1) / 2, rtol=1e-14)
    for value in x:
        assert len(set(ranks[x == value].tolist())) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_small_strengths_are_hard_operators(kind, dtype):
    x = np.random.default_rng(0).standard_normal((5, 300)).astype(dtype)
    for strength in (1e-12, 1e-200, 1e-300):
        assert_array_equal(soft_sort(x, strength, regularization=kind), np.sort(x))
        ranks = np.argsort(np.argsort(x, axis=1), axis=1) + 1
        assert_allclose(soft_rank(x, strength, regularization=kind), ranks, rtol=1e-6)
    assert_array_equal(soft_rank([2.0, 1.0, 2.0, 2.0], 1e-9), [3, 1, 3, 3])
    assert_allclose(soft_rank([2.0, 1.0], 1e9), 1.5, rtol=1e-9)
    assert_allclose(soft_sort([2.0, 1.0], 1e9), 1.5, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("operator", [soft_sort, soft_rank])
def test_gradients(kind, descending, operator):
    """Central differences; a step away from kinks, as random reals are."""
    rng = np.random.default_rng(7)
    vjp = soft_sort_vjp if operator is soft_sort else soft_rank_vjp
    options = {"regularization": kind, "descending": descending}
    x, g = rng.standard_normal((6, 8)), rng.standard_normal((6, 8))
    for strength in (0.2, 1.0, 5.0):
        got = vjp(x, g, strength, **options)
        for j in range(8):
            step = np.zeros(8)
            step[j] = 1e-6
            up, down = (operator(x + s * step, strength, **options) for s in (1, -1))
            # Error of the difference quotient: 1e-12 of curvature and eps / step of rounding.
            assert_allclose(got[:, j], ((up - down) * g).sum(1) / 2e-6, rtol=1e-6, atol=3e-8)


def test_batches_axes_out_and_workers():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((40, 3, 500)).astype(np.float32)
    for operator in (soft_sort, soft_rank):
        one = operator(x, 0.3, workers=1)
        assert_array_equal(operator(x, 0.3, workers=2), one)
        assert_array_equal(operator(x.transpose(2, 0, 1), 0.3, axis=0), one.transpose(2, 0, 1))
        assert_array_equal(one[4, 1], operator(x[4, 1], 0.3))
        mine = x.copy()
        operator(mine, 0.3, out=mine)
        assert_array_equal(mine, one)
    g = rng.standard_normal(x.shape).astype(np.float32)
    for vjp in (soft_sort_vjp, soft_rank_vjp):
        expected = vjp(x, g, 0.3)
        assert_array_equal(vjp(x, g, 0.3, out=g.copy()), expected)
    w = rng.standard_normal(x.shape).astype(np.float32)
    p = project_permutahedron(x, w)
    assert_array_equal(p[7, 2], project_permutahedron(x[7, 2], w[7, 2]))


def test_rows_with_nan_stay_alone():
    x = np.random.default_rng(2).standard_normal((4, 6))
    clean = soft_sort(x), soft_rank(x), project_permutahedron(x, np.arange(6))
    x[1, 2], x[3, 0] = np.nan, np.inf
    for before, after in zip(
        clean, (soft_sort(x), soft_rank(x), project_permutahedron(x, np.arange(6))), strict=True
    ):
        assert np.isnan(after[[1, 3]]).all()
        assert_array_equal(after[[0, 2]], before[[0, 2]])


def test_long_rows_sort_exactly():
    """The radix sort, with zeros of both signs, ties and denormals."""
    rng = np.random.default_rng(3)
    for dtype in DTYPES:
        x = rng.standard_normal(5000).astype(dtype) * dtype(1e-3) ** rng.integers(0, 12, 5000)
        x = np.concatenate([x, x[:100], np.zeros(9), -np.zeros(9), [np.finfo(dtype).tiny / 4]])
        x = x.astype(dtype)
        assert_array_equal(soft_sort(x, 1e-30), np.sort(x))


@pytest.mark.parametrize("strength", [0, -1, np.nan, np.inf])
def test_strength_is_positive(strength):
    with pytest.raises(ValueError, match="soft_sort: 'strength' must be > 0"):
        soft_sort([1.0], strength)
    with pytest.raises(ValueError, match="soft_rank: 'strength' must be > 0"):
        soft_rank([1.0], strength)


def test_messages():
    with pytest.raises(ValueError, match="'regularization' must be one of 'l2', 'kl'"):
        soft_rank([1.0], regularization="entropic")
    with pytest.raises(ValueError, match="'w' must be a scalar or have shape"):
        project_permutahedron([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="'w' must be finite"):
        project_permutahedron([1.0, 2.0], [1.0, np.nan])
    with pytest.raises(ValueError, match="'g' must have shape"):
        soft_sort_vjp([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="isotonic: 'weights' must be finite and > 0"):
        isotonic([1.0, 2.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="isotonic: 'x' must be finite"):
        isotonic([1.0, np.nan])
