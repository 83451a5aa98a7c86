"""Numbers at the ends of their range, rows far from zero, weights 600 powers of ten apart."""

import operator
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linear_sum_assignment

from kexue_num import NumericalError, simplex
from tests.oracles.projections import box_simplex, exact

BIG = 1e308


@pytest.mark.parametrize("size", [1.0, 1e10, 1e50, 1e100, 1e160, 1e300])
def test_weights_and_large_numbers(size):
    x = np.random.default_rng(0).standard_normal(6) * size
    w = np.random.default_rng(1).uniform(0.5, 2, 6)
    p = simplex.project_simplex(x, weights=w)
    assert (p >= 0).all()
    assert_allclose(p @ w, 1, rtol=1e-14)
    if size > 1:  # one vertex, that of the largest ratio
        ratios = [Fraction(a) / Fraction(b) for a, b in zip(x, w, strict=True)]
        expected = np.zeros(6)
        top = ratios.index(max(ratios))
        expected[top] = 1 / w[top]
        assert_allclose(p, expected, rtol=1e-14)
    tie = simplex.project_simplex(size * np.array([1.0, 2.0, 4.0]), weights=[1.0, 2.0, 4.0])
    assert_allclose(tie, np.array([1, 2, 4]) / 21, rtol=1e-14)


def test_weights_far_apart():
    x = [0.1, 0.2, 0.3]
    p = simplex.project_simplex(x, weights=[1e-300, 1.0, 1e300])
    assert_allclose(p, [0.1, 0.2, 0.8e-300], rtol=1e-14)
    p = simplex.project_simplex(x, weights=[1e-300] * 3)
    assert_allclose(p, 1e300 / 3, rtol=1e-14)
    p = simplex.project_simplex(x, weights=[1e300] * 3)
    assert_allclose(p, [0, 0, 1e-300], rtol=1e-14)
    p = simplex.project_simplex(x, weights=[1e-300, 1e-300, 1.0])
    assert_allclose(p, [0.1, 0.2, 1.0], rtol=1e-14)
    # What the heavy entry cannot take is left to the light one.
    p = simplex.project_simplex([0.1, 0.2], 1e-302, weights=[1e-300, 1e300])
    assert_allclose(p, [0.01, 0], rtol=1e-12)


@pytest.mark.parametrize(
    ("x", "radius", "weights", "expected"),
    [
        ([1, 1], 0, [5e-324, 1], [0, 0]),
        ([1, 1], 1e-300, [1e160, 1], [0, 1e-300]),
        ([1e300, -1e300, 1], 1e-300, [1e-160, 1, 1], [1e-140, 0, 0]),
        ([1, 1], 5e-324, [5e-324, 1], [1, 0]),
        ([1, 2], 1e-320, None, [0, 1e-320]),
    ],
)
def test_weights_beyond_the_squares_of_doubles(x, radius, weights, expected):
    assert_allclose(simplex.project_simplex(x, radius, weights=weights), expected, rtol=1e-15)
    rows = simplex.project_simplex([x, x], [radius, radius], weights=weights)
    assert_allclose(rows, [expected] * 2, rtol=1e-15)


def anything(rng, n):
    """Numbers of 600 powers of ten, among them equal ones, zeros and the ends of the range."""
    ends = rng.choice([0.0, 5e-324, 1.0, 1.5e308], n)
    return np.where(rng.random(n) < 0.6, 10.0 ** rng.uniform(-307, 307, n), ends)


@pytest.mark.parametrize("bounds", ["none", "upper", "both"])
def test_extreme_rows_against_fractions(bounds):
    rng = np.random.default_rng(0)
    for _ in range(150):
        n = int(rng.integers(1, 7))
        x = np.where(rng.random(n) < 0.3, 1.0, anything(rng, n) * rng.choice([-1, 1], n))
        w = np.maximum(anything(rng, n), 5e-324)
        low, high, radius = np.zeros(n), np.full(n, np.inf), float(anything(rng, 1)[0])
        if bounds != "none":
            high = anything(rng, n)
            if bounds == "both":
                low = -anything(rng, n)
            ends = [sum(map(operator.mul, exact(w), exact(b))) for b in (low, high)]
            goal = ends[0] + (ends[1] - ends[0]) * Fraction(rng.random())
            radius = float(goal) if abs(goal) < Fraction(BIG) else 0.0
            if not ends[0] <= Fraction(radius) <= ends[1]:
                continue
        want = box_simplex(x, radius, w, low, high)
        if max(map(abs, want)) > Fraction(np.finfo(float).max):
            with pytest.raises(NumericalError, match="must have a solution within the range"):
                simplex.project_simplex(x, radius, weights=w, lower=low, upper=high)
            continue
        p = simplex.project_simplex(x, radius, weights=w, lower=low, upper=high)
        size = max(map(abs, want)) * Fraction(2) ** -43 + Fraction(abs(x).max()) / 2**100
        for got, right in zip(exact(p), want, strict=True):
            error = abs(got - right)
            assert error <= max(4 * Fraction(2) ** -53 * abs(right), size, Fraction(5e-324))


def test_light_entries_beside_heavy_ones_at_their_bounds():
    # The heavy entry's share of the sum has a rounding that exceeds all of the light one's.
    w, low, high = [1e-17, 3.5e-5], [-1.0, 1.0], [0.0, 1.0]
    radius = 3.5e-5 - 5e-18
    want = box_simplex([0.0, 1.0], radius, w, low, high)
    p = simplex.project_simplex([0.0, 1.0], radius, weights=w, lower=low, upper=high)
    assert_allclose(p, [float(v) for v in want], rtol=1e-15)


def test_bounds_and_the_largest_numbers():
    assert_array_equal(simplex.project_simplex([BIG, -BIG, 0, 1], upper=0.75), [0.75, 0, 0, 0.25])
    p = simplex.project_simplex([BIG, BIG, -BIG, 5], upper=[0.5] * 4)
    assert_array_equal(p, [0.5, 0.5, 0, 0])
    p = simplex.project_simplex([BIG, -BIG, 0, 1], upper=[0.5] * 4)
    assert_allclose(p, [0.5, 0, 0, 0.5], atol=1e-15)
    p = simplex.project_simplex([BIG, -BIG, 0, 1], lower=[-BIG, 0.1, 0.1, 0.1], upper=BIG)
    assert_allclose(p, [0.7, 0.1, 0.1, 0.1], rtol=1e-14)
    for options in ({}, {"upper": BIG}, {"max_nonzero": 3}):
        p = simplex.project_simplex([BIG, BIG, BIG], 1.5e308, **options)
        assert_allclose(p, 0.5e308, rtol=1e-14)
    with pytest.raises(ValueError, match=r"'radius' must be at most 3.40282e\+38 for float32, got"):
        simplex.project_simplex(np.ones(3, np.float32), 1e39)


@pytest.mark.parametrize("unit", [1.0, 1e17, 1e300, BIG])
def test_sorting_and_ranking(unit):
    x = np.array([1.0, -1.0, 0.25, 1.0]) * unit
    for kind in ("l2", "kl"):
        hard = simplex.soft_sort(x, 1e-320, regularization=kind)
        assert_array_equal(hard, np.sort(x))
        ranks = simplex.soft_rank(x, 1e-6 * unit, regularization=kind)
        assert_allclose(ranks, [3.5, 1, 2, 3.5], rtol=1e-14)
    # Homogeneous: ranks of x / strength, sorted values of x strength.
    for strength in (0.3, 1.5):
        ranks = simplex.soft_rank(x, strength * unit)
        assert_allclose(ranks, simplex.soft_rank(x / unit, strength), rtol=1e-13)
        values = simplex.soft_sort(x, strength / unit)
        assert_allclose(values, unit * simplex.soft_sort(x / unit, strength), rtol=1e-13)
    for w in (x, -x):
        p = simplex.project_permutahedron([3.0, 1.0, 2.0, 0.0], w)
        assert p.max() <= unit and p.min() >= -unit
    ranks = simplex.project_permutahedron(x, [4.0, 1.0, 2.0, 3.0])
    if unit > 1:
        assert_allclose(ranks, [3.5, 1, 2, 3.5], rtol=1e-14)


def test_ties_far_from_zero_share_their_ranks():
    for n in (3, 7, 501):
        for x in (0.1e20, 1e17 + 48, BIG):
            ranks = simplex.soft_rank(np.full(n, x), 1.0)
            assert_array_equal(ranks, (n + 1) / 2)


def test_isotonic_at_any_magnitude():
    assert_allclose(simplex.isotonic([BIG, BIG, -BIG]), BIG / 3, rtol=1e-14)
    assert_allclose(simplex.isotonic([1.0, 0.0, 2.0], [BIG, BIG, BIG]), [0.5, 0.5, 2])
    assert_allclose(simplex.isotonic([1.0, 0.0], [1e-300, 1e300]), [0, 0], atol=1e-300)
    assert_allclose(simplex.isotonic([1.0, 0.0], [1e-300, 1e-300]), 0.5)
    assert_allclose(simplex.isotonic([5.0, BIG, -BIG], [1e-300, BIG, BIG]), 0, atol=5)


@pytest.mark.parametrize("temperature", [1.0, 0.1])
@pytest.mark.parametrize("kind", ["sigmoid", "exp", "laplace", "sparse", "gradtopk", "iterative"])
def test_soft_topk(kind, temperature):
    options = {"kind": kind, "temperature": temperature}
    p = simplex.soft_topk([BIG, BIG, -BIG, 5], 2, **options)
    if kind == "iterative":
        # Half each, then two equal scores of half of what they were: thirds with the one below.
        assert_allclose(p, [5 / 6, 5 / 6, 0, 1 / 3], rtol=1e-14)
        return
    assert_array_equal(p, [1, 1, 0, 0])
    # The second place is between 0 and 1 alone, however far the others are.
    near = simplex.soft_topk([0.0, 1.0], 1, **options)
    far = simplex.soft_topk([BIG, -BIG, 0, 1], 2, **options)
    assert_allclose(far, [1, 0, *near], rtol=1e-13)
    x = np.array([0.0, 1.0, -2.0, 0.5])
    shifted = simplex.soft_topk(1024 * x + 2.0**50, 2, kind=kind, temperature=1024 * temperature)
    assert_allclose(shifted, simplex.soft_topk(x, 2, **options), rtol=1e-13)


def test_memory_is_asked_for_in_advance(small_machine):
    x = np.zeros(30_000_000)
    with pytest.raises(MemoryError, match=r"soft_topk_vjp: 'k' needs .* GiB there are, got 300000"):
        simplex.soft_topk_vjp(x, x, x, 30_000_000, "iterative")
    with pytest.raises(MemoryError, match=r"soft_topk: 'k' needs .* GiB there are, got 15000000"):
        simplex.soft_topk(x, 15_000_000, kind="gradtopk")


def test_gradtopk_in_blocks():
    """More than the distributions that are kept at once."""
    x = np.random.default_rng(0).standard_normal(30_000)
    p = simplex.soft_topk(x, 200, kind="gradtopk")
    assert_allclose(p.sum(), 200, rtol=1e-12)
    assert (p >= 0).all() and (p <= 1).all()
    # The chance that i is chosen falls by e^-d where x falls by d, but for saturation.
    few = np.argsort(x)[-5000:]
    assert (np.diff(p[few]) >= -1e-12).all()
    block = simplex.soft_topk(np.tile(x[:50], 600), 200, kind="gradtopk").reshape(600, 50)
    assert_allclose(block, np.broadcast_to(block[0], block.shape), rtol=1e-9)


def test_gradients_of_steep_maps():
    for p in ([0.5, 0.5, 0], [1, 0, 0], [0.6, 0.4, 0]):
        for alpha in (np.inf, 1e300):
            g = simplex.entmax_vjp(p, [1.0, 2.0, 3.0], alpha, alpha_grad=True)
            assert not np.isnan(g.x).any() and np.isfinite(g.alpha)
            if np.isinf(alpha):
                assert_array_equal(g.x, 0)
    # Weights whose quotients exceed a double's digits, against exact fractions.
    p = np.array([1e-30, 0.25, 0.75])
    for alpha in (4, 12):
        w = np.array([Fraction(v) ** (2 - alpha) for v in p])
        g = np.array([Fraction(1), Fraction(2), Fraction(3)])
        exact = w * (g - (w * g).sum() / w.sum())
        got = simplex.entmax_vjp(p, [1.0, 2.0, 3.0], float(alpha))
        assert_allclose(got[1:], [float(v) for v in exact[1:]], rtol=1e-12)
    got = simplex.entmax_vjp(p, [1.0, 2.0, 3.0], 12.0)
    assert_allclose(got, [float(v) for v in exact], rtol=1e-12)


@pytest.mark.parametrize("size", [1.0, 30.0, 1e3, 1e5, 1e10, 1e17, 1e100, 1e307])
@pytest.mark.parametrize("n", [2, 5, 30])
def test_birkhoff(n, size):
    X = np.random.default_rng(n).standard_normal((n, n))
    found = simplex.project_birkhoff(X * size, return_certificate=True)
    assert found.converged and (found.p >= 0).all()
    for axis in (0, 1):
        assert_allclose(found.p.sum(axis), 1, atol=1e-11)
    if size >= 1e5:  # the vertex of the best assignment
        vertex = np.zeros((n, n))
        vertex[linear_sum_assignment(-X)] = 1
        assert_allclose(found.p, vertex, atol=1e-11)
    assert found.error_bound < 1e-4


def test_birkhoff_ties():
    assert_allclose(simplex.project_birkhoff(np.full((3, 3), BIG)), 1 / 3, rtol=1e-13)
    assert_allclose(simplex.project_birkhoff([[BIG, -BIG], [-BIG, BIG]]), np.eye(2), atol=1e-12)
    # A difference of one unit in the last place of large numbers decides.
    assert_allclose(
        simplex.project_birkhoff([[1e17, 1e17], [1e17, 1e17 + 16]]), np.eye(2), atol=1e-11
    )


@pytest.mark.parametrize("scale", [1e-290, 1e289, 1e299, 1e305])
def test_l1inf_ball_scales_with_its_argument(scale):
    x = np.array([[10.0, -5.0, 1.0], [3.0, 2.0, 2.5], [0.5, 0.1, 8.0]])
    expected = simplex.project_l1inf_ball(x, radius=7.0)
    found = simplex.project_l1inf_ball(x * scale, radius=7.0 * scale)
    np.testing.assert_allclose(found / scale, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_softmax_of_scores_beyond_the_temperature(dtype):
    # The largest score over the temperature overflows; differences of equal ones do not.
    big = np.finfo(dtype).max
    x = np.array([[big, big, 0.0, -big], [-big, -big, -big, -big]], dtype)
    found = simplex.log_softmax(x, temperature=0.5)
    expected = [[-np.log(2), -np.log(2), -np.inf, -np.inf], [-np.log(4)] * 4]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert simplex.logsumexp(x, temperature=0.5).tolist() == [np.inf, -np.inf]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("alpha", [8.0, 30.0, 100.0])
def test_entmax_entries_whose_power_is_beyond_two_doubles(alpha, dtype):
    # p_1^b - p_2^b = b (x_1 - x_2) with p_2^b far below the rounding of p_1^b.
    b, small = alpha - 1, 1e-3
    x = np.array([(1 - small) ** b / b, 0, -1], dtype)
    p = simplex.entmax(x, alpha)
    first = (b * float(x[0])) ** (1 / b)
    assert_allclose(p, [first, 1 - first, 0], atol=2 * np.finfo(dtype).eps)
    ties = simplex.entmax(x[[1, 0, 1]], alpha)
    assert_allclose(ties, [(1 - first) / 2, first, (1 - first) / 2], atol=2 * np.finfo(dtype).eps)
    assert ties[0] == ties[2]
