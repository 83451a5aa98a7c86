"""Selections of k entries, Taylor and perturbed maxima, thresholds, sparse results."""

import math
from fractions import Fraction

import numpy as np
import pytest

from kexue_num import simplex
from tests.oracles import simplex as oracle

RNG = np.random.default_rng(0)
ROOTS = ["sigmoid", "exp", "laplace", "sparse"]
F = {
    "sigmoid": lambda u: 1 / (1 + np.exp(-u)),
    "exp": lambda u: np.minimum(1, np.exp(np.minimum(u, 0))),
    "laplace": lambda u: np.where(u < 0, np.exp(-abs(u)) / 2, 1 - np.exp(-abs(u)) / 2),
    "sparse": lambda u: np.clip(u, 0, 1),
}


def test_topk_and_topp():
    x = RNG.standard_normal((5, 20))
    p = simplex.topk_softmax(x, 4)
    assert ((p > 0).sum(1) == 4).all()
    masked = np.where(x >= np.sort(x, 1)[:, -4:-3], x, -np.inf)
    np.testing.assert_array_equal(p, simplex.softmax(masked))
    # Three roundings: of the sum, of its inverse and of the product.
    np.testing.assert_allclose(
        simplex.topk_softmax([1.0, 1.0, 1.0], 1), [1 / 3] * 3, rtol=3 * 2.0**-53
    )
    q = simplex.topp_softmax(x, 0.6)
    full = np.sort(simplex.softmax(x), 1)[:, ::-1].cumsum(1)
    np.testing.assert_array_equal((q > 0).sum(1), (full < 0.6).sum(1) + 1)
    np.testing.assert_array_equal(simplex.topp_softmax(x, 1.0), simplex.softmax(x))
    for bad in (0, 21):
        with pytest.raises(ValueError, match=r"topk_softmax: 'k' must lie in 1..20, got"):
            simplex.topk_softmax(x, bad)


@pytest.mark.parametrize("kind", ROOTS)
@pytest.mark.parametrize("k", [1, 2.5, 7])
def test_soft_topk_roots(kind, k):
    for scale in (0.1, 3.0, 300.0):
        x = RNG.standard_normal((3, 9)) * scale
        p = simplex.soft_topk(x, k, kind=kind)
        assert (p >= 0).all() and (p <= 1).all()
        for row, entry in zip(x, p, strict=True):
            assert abs(math.fsum(entry) - k) <= 1e-13 * k
            if scale > 3:
                continue
            low, high = row.min() - 50, row.max() + 50
            for _ in range(100):
                tau = (low + high) / 2
                low, high = (tau, high) if F[kind](row - tau).sum() > k else (low, tau)
            np.testing.assert_allclose(entry, F[kind](row - tau), rtol=1e-12, atol=1e-14)
        assert (np.diff(np.take_along_axis(p, np.argsort(x, 1), 1), axis=1) >= 0).all()
    g = RNG.standard_normal(9)
    x = RNG.standard_normal(9)
    gradient = simplex.soft_topk_vjp(simplex.soft_topk(x, k, kind=kind), x, g, k, kind)
    expected = oracle.numerical_gradient(lambda v: g @ simplex.soft_topk(v, k, kind=kind), x)
    np.testing.assert_allclose(gradient, expected, atol=1e-8)


def test_soft_topk_of_one():
    x = np.array([5.0, 0.0, -1.0, -2.0])
    exponential, sparse = (simplex.soft_topk(x, 1, kind=kind) for kind in ("exp", "sparse"))
    np.testing.assert_allclose(exponential, simplex.softmax(x), rtol=1e-14)
    np.testing.assert_allclose(sparse, simplex.sparsemax(x), rtol=1e-14)
    # the claim that the Laplace form is softmax for k = 1 holds up to probability 1/2 only
    laplace = simplex.soft_topk(x, 1, kind="laplace")
    np.testing.assert_allclose([laplace[0], simplex.softmax(x)[0]], [0.9497, 0.9900], atol=1e-4)
    flat = np.array([0.5, 0.4, 0.3])
    np.testing.assert_allclose(
        simplex.soft_topk(flat, 1, kind="laplace"), simplex.softmax(flat), rtol=1e-13
    )
    # m saturated entries, as one translation of the closed form gets wrong
    assert simplex.soft_topk([9.0, 8.0, 0.0, 0.0], 3, kind="exp").tolist() == [1, 1, 0.5, 0.5]


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_gradtopk(scale, k):
    x = RNG.standard_normal(9) * scale
    p = simplex.soft_topk(x, k, kind="gradtopk")
    reference = [float(v) for v in oracle.subset_marginals(x, k)]
    np.testing.assert_allclose(p, reference, rtol=1e-12)
    g = RNG.standard_normal(9)
    gradient = simplex.soft_topk_vjp(p, x, g, k, "gradtopk")
    expected = oracle.numerical_gradient(lambda v: g @ simplex.soft_topk(v, k, kind="gradtopk"), x)
    np.testing.assert_allclose(gradient, expected, atol=1e-7)


def test_gradtopk_where_the_posts_code_fails():
    x = RNG.standard_normal(100) * 10
    for k in (10, 50):
        p = simplex.soft_topk(x, k, kind="gradtopk")
        assert (p >= 0).all() and (p <= 1 + 1e-14).all()
        assert abs(p.sum() - k) < 1e-11


def test_iterative():
    x = RNG.standard_normal(8) * 5
    y, p = x - x.min(), np.zeros(8)
    for _ in range(3):
        p = p + simplex.softmax((1 - p) * y)
    np.testing.assert_allclose(simplex.soft_topk(x, 3, kind="iterative"), p, rtol=1e-13)
    # it leaves the set, as documented
    assert simplex.soft_topk([5.0, 0.0, 0.0, 0.0], 2, kind="iterative").max() > 1
    g = RNG.standard_normal(8)
    gradient = simplex.soft_topk_vjp(p, x, g, 3, "iterative")
    expected = oracle.numerical_gradient(lambda v: g @ simplex.soft_topk(v, 3, kind="iterative"), x)
    np.testing.assert_allclose(gradient, expected, atol=1e-7)


def test_soft_topk_edges():
    x = np.array([[1.0, -np.inf, 3.0, 2.0], [np.inf, 0.0, 1.0, np.inf], [np.nan, 0, 0, 0]])
    for kind in (*ROOTS, "gradtopk"):
        p = simplex.soft_topk(x, 3, kind=kind)
        assert p[0].tolist() == [1, 0, 1, 1]
        assert p[1, 0] == p[1, 3] == 1 and abs(p[1].sum() - 3) < 1e-13
        assert np.isnan(p[2]).all()
        assert (simplex.soft_topk(x[:2], 0, kind=kind) == 0).all()
        assert (simplex.soft_topk(x[1], 4, kind=kind) == 1).all()
    with pytest.raises(ValueError, match=r"soft_topk: 'k' must be >= 0 and <= 4, got 5"):
        simplex.soft_topk(x, 5)
    with pytest.raises(TypeError, match=r"soft_topk: 'k' must be an integer, got 1.5"):
        simplex.soft_topk(x, 1.5, kind="gradtopk")


@pytest.mark.parametrize("order", [2, 4])
def test_taylor(order):
    x = RNG.standard_normal((3, 6))
    f = sum(x**j / math.factorial(j) for j in range(order + 1))
    p = simplex.taylor_softmax(x, order)
    np.testing.assert_allclose(p, f / f.sum(1, keepdims=True), rtol=1e-14)
    g = RNG.standard_normal((3, 6))
    expected = oracle.numerical_gradient(lambda v: (g * simplex.taylor_softmax(v, order)).sum(), x)
    np.testing.assert_allclose(simplex.taylor_softmax_vjp(x, g, order), expected, atol=1e-9)
    assert simplex.taylor_softmax([1e200, 1e200, -np.inf]).tolist() == [0.5, 0.5, 0]
    with pytest.raises(ValueError, match=r"taylor_softmax: 'order' must be even, got 3"):
        simplex.taylor_softmax(x, 3)


@pytest.mark.parametrize("noise", ["gumbel", "normal", "uniform", "exponential"])
def test_perturbmax(noise):
    """Against a million samples: 5 standard deviations of 4 entries, one false alarm in 4e5."""
    x = np.array([0.3, 0.0, -0.4, 0.3])
    p = simplex.perturbmax(x, noise)
    rng = np.random.default_rng(1)
    n = 1_000_000
    draw = {
        "gumbel": rng.gumbel,
        "normal": rng.standard_normal,
        "uniform": rng.random,
        "exponential": rng.exponential,
    }[noise]
    counts = np.bincount(np.argmax(x + draw(size=(n, 4)), axis=1), minlength=4) / n
    assert (abs(counts - p) < 5 * np.sqrt(p * (1 - p) / n)).all()
    assert p[0] == p[3] and abs(p.sum() - 1) < 1e-15
    np.testing.assert_allclose(simplex.perturbmax(x, noise, n_nodes=300), p, atol=1e-12)
    many = simplex.perturbmax(RNG.standard_normal(400), noise)
    assert abs(many.sum() - 1) < 1e-12 and (many >= 0).all()
    assert simplex.perturbmax([0.0, -np.inf], noise).tolist() == [1, 0]


def test_perturbmax_of_two_normals():
    p = simplex.perturbmax([1.0, 0.0], "normal")
    np.testing.assert_allclose(p[0], 0.5 * math.erfc(-1 / 2), rtol=1e-12)


@pytest.mark.parametrize("n", [8, 90])
@pytest.mark.parametrize("alpha", [1.0, 1.3, 1.5, 2.0, 3.0])
def test_threshold(n, alpha):
    x = RNG.standard_normal((4, n)) * 2
    p = simplex.entmax(x, alpha, temperature=1.5)
    result = simplex.threshold(x, map="entmax", alpha=alpha, temperature=1.5)
    np.testing.assert_array_equal(result.support_size, (p > 0).sum(1))
    b, tau = alpha - 1, result.tau[:, None]
    power = np.exp if alpha == 1 else lambda u: np.maximum(u, 0) ** (1 / b)
    again = power((b or 1) * x / 1.5 - tau)
    np.testing.assert_allclose(again, p, atol=1e-7 if alpha > 2 else 1e-13)


def test_sparse():
    x = RNG.standard_normal((6, 50)).astype(np.float32)
    for kind in ({}, {"map": "entmax15"}, {"map": "entmax", "alpha": 1.7}):
        result = simplex.sparse(x, **kind)
        assert result.dtype == np.float32 and result.has_sorted_indices
        dense = simplex.entmax(x, kind.get("alpha", 1.5 if kind else 2.0))
        np.testing.assert_array_equal(result.toarray(), dense)
    with pytest.raises(ValueError, match=r"sparse: 'x' must be 2-dimensional, got shape"):
        simplex.sparse(x[0])


@pytest.mark.parametrize("order", [2, 6, 100])
def test_taylor_softmax_of_large_scores(order):
    # Powers of these overflow; the sums stay exact in fractions.
    x, g = [1e4, -7e3, 3.0, 1e6, 0.0], [1.0, -2.0, 0.5, 3.0, 1.0]

    def powers(degree):
        return [sum(Fraction(v) ** j / math.factorial(j) for j in range(degree + 1)) for v in x]

    f, slopes = powers(order), powers(order - 1)
    p = [v / sum(f) for v in f]
    mean = sum(a * Fraction(b) for a, b in zip(p, g, strict=True))
    gradient = [float(s / sum(f) * (Fraction(u) - mean)) for s, u in zip(slopes, g, strict=True)]
    np.testing.assert_allclose(simplex.taylor_softmax(x, order=order), np.float64(p), rtol=1e-12)
    # Where g meets the mean, the difference has the rounding errors of its terms.
    bound = [1e-13 * float(abs(s) / sum(f)) + 5e-324 for s in slopes]
    error = np.abs(simplex.taylor_softmax_vjp(x, g, order=order) - gradient)
    assert (error <= bound).all()
    for scale in (1e200, 1.7e308):
        assert np.isfinite(simplex.taylor_softmax_vjp([scale, -scale / 3], [1, -1], order)).all()


def test_soft_topk_of_almost_nothing():
    for k in (5e-324, 1e-310, 1e-200):
        p = simplex.soft_topk([3.0, 2.5, 0.0], k)
        assert ((p >= 0) & (p <= k)).all()
        assert np.isfinite(simplex.soft_topk_vjp(p, [3.0, 2.5, 0.0], [1.0, 0.0, 2.0], k)).all()
