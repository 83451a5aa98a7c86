"""Barycenters against extended precision, closed forms and their optimality."""

import functools

import numpy as np
import pytest

import kexue_num
from kexue_num.transport import barycenter, sinkhorn
from tests.oracles import sinkhorn as oracle


def bumps(n, count=4, seed=0):
    """Histograms of two normal bumps on [0, 1], and squared distances."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, n)
    centres, widths = rng.uniform(0.2, 0.8, (count, 2)), rng.uniform(0.02, 0.1, (count, 2))
    A = np.exp(-((x[:, None, None] - centres) ** 2) / (2 * widths**2)).sum(-1).T
    return x, A / A.sum(1, keepdims=True), (x[:, None] - x) ** 2


@functools.cache
def wide_barycenter(reg):
    _, A, C = bumps(23)
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    return A, C, weights, oracle.barycenter(A, C, reg, weights).astype(float)


@pytest.mark.parametrize("reg", [0.5, 0.05, 0.01])
def test_agrees_with_extended_precision(reg, isa):
    A, C, weights, expected = wide_barycenter(reg)
    p = barycenter(A, C, reg, weights * 7)
    assert p.converged and p.marginal_error <= 1e-9
    np.testing.assert_allclose(p, expected, atol=1e-9)


@pytest.mark.parametrize("reg", [0.02, 0.015])
def test_debiased_agrees_with_extended_precision(reg):
    _, A, C = bumps(12)
    weights = np.full(4, 0.25)
    p = barycenter(A, C, reg, debiased=True, tol=1e-6)
    assert p.converged
    expected = oracle.barycenter(A, C, reg, weights, debiased=True, n_iter=3000)
    assert np.abs(p - expected.astype(float)).sum() <= 1e-3


@pytest.mark.parametrize("reg", [1e-1, 1e-2, 1e-3, 1e-4])
def test_plans_prove_the_optimum(reg, isa):
    _, A, C = bumps(60)
    p = barycenter(A, C, reg)
    assert p.converged and abs(p.sum() - 1) <= 1e-12 and p.min() >= 0
    f, g = p.potentials
    with np.errstate(under="ignore"):
        plans = A[:, :, None] * np.exp((f[:, :, None] + g[:, None] - C) / reg)
    np.testing.assert_allclose(plans.sum(2), A, atol=1e-12)
    assert np.abs(plans.sum(1) - np.asarray(p)).sum(1).max() <= 1e-9 + 1e-12
    assert np.abs(g.mean(0)[p > 1e-200]).max() <= 1e-9


def test_closed_forms():
    x, A, C = bumps(120)
    # One histogram: its own plan with a free column marginal, a smoothed copy.
    one = barycenter(A[:1], C, 1e-4)
    kernel = np.exp(-C / 1e-4)
    np.testing.assert_allclose(one, (A[0] / kernel.sum(1)) @ kernel, atol=1e-12)
    # Two normal bumps of one width: a bump half way.
    two = np.exp(-((x - np.array([[0.3], [0.7]])) ** 2) / (2 * 0.05**2))
    middle = barycenter(two / two.sum(1, keepdims=True), C, 1e-3)
    assert abs((middle * x).sum() - 0.5) <= 1e-9
    sharp = barycenter(two / two.sum(1, keepdims=True), C, 1e-3, debiased=True)
    spread, clean = (((p * (x - 0.5) ** 2).sum()) ** 0.5 for p in (middle, sharp))
    assert abs(clean - 0.05) <= 2e-3 < abs(spread - 0.05)
    # All weight on one histogram.
    only = barycenter(A, C, 1e-3, [0, 1, 0, 0])
    np.testing.assert_allclose(only, barycenter(A[1:2], C, 1e-3), atol=1e-8)


def test_shapes_supports_and_workers():
    x, A, _ = bumps(40)
    y = np.linspace(-0.2, 1.2, 57)
    C = (x[:, None] - y) ** 2
    one, two = (barycenter(A, C, 1e-3, workers=k) for k in (1, 2))
    assert one.shape == (57,) and one.n_iter == two.n_iter
    np.testing.assert_array_equal(one, two)
    few, many = (barycenter(A[:2], C, 1e-3, workers=k) for k in (1, 2))
    np.testing.assert_array_equal(few, many)
    shifted = barycenter(A, C + 1e4, 1e-3)
    np.testing.assert_allclose(shifted, one, atol=1e-7)
    assert barycenter(A.astype(np.float32), C.astype(np.float32), 1e-2).dtype == np.float32
    assert not isinstance(one + 1, type(one)) and one[3:5].shape == (2,)
    assert isinstance(one.copy(), type(one)) and one.copy().converged
    # It is the marginal that sinkhorn's plan to it has.
    moved = sinkhorn(A[0], np.asarray(one), C, 1e-3)
    assert moved.converged


def test_empty_bins():
    _, A, C = bumps(50)
    A[:, ::3] = 0
    A = A / A.sum(1, keepdims=True)
    p = barycenter(A, C, 1e-3)
    assert p.converged and np.isfinite(p).all() and p.min() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reg": 0.0}, "'reg' must be > 0"),
        ({"A": [[0.5, -0.5, 1.0]]}, "'A' must be finite and >= 0"),
        ({"A": [[1.0, 0, 0], [2.0, 0, 0]]}, "'A' must have rows of one sum"),
        ({"A": [[0.0, 0, 0]]}, "'A' must have a positive sum"),
        ({"A": [1.0, 0, 0]}, "'A' must be 2-dimensional"),
        ({"A": np.zeros((0, 3))}, "'A' must not be empty"),
        ({"C": np.eye(4)}, "'C' must have 3 rows"),
        ({"C": np.full((3, 3), np.inf)}, "'C' must be finite"),
        ({"weights": [1, 1]}, r"'weights' must have shape \(1,\)"),
        ({"weights": [-1]}, "'weights' must be finite and >= 0"),
        ({"debiased": True, "C": np.arange(9.0).reshape(3, 3)}, "'C' must be symmetric"),
        ({"max_iter": 0}, "'max_iter' must be >= 1"),
    ],
)
def test_bad_input(change, message):
    arguments = {"A": [[0.2, 0.3, 0.5]], "C": np.ones((3, 3)) - np.eye(3), "reg": 0.1} | change
    with pytest.raises(ValueError, match=f"barycenter: {message}"):
        barycenter(**arguments)


def test_missing_the_tolerance():
    _, A, C = bumps(30)
    with pytest.warns(kexue_num.ConvergenceWarning, match="barycenter: stopped"):
        assert not barycenter(A, C, 1e-3, max_iter=3).converged
