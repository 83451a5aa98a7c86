"""Minimisers over the simplex: the right minimum, a true certificate, honest failures."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from kexue_num import ConvergenceWarning, NumericalError
from kexue_num.simplex import (
    SimplexMinimum,
    minimize,
    simplex_least_squares,
    simplex_qp,
)
from tests.oracles import projections as oracle

METHODS = ("fista", "pgd", "mirror", "frank_wolfe", "away", "pairwise")
FAST = ("fista", "pgd", "away", "pairwise")
# Derandomized: the same examples in every run, so that nothing here fails by chance.
examples = settings(derandomize=True, deadline=None, max_examples=60)
seeds = st.integers(0, 2**32 - 1)


def quadratic(seed, n=6, rank=6):
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((n, rank))
    Q, c = B @ B.T, rng.standard_normal(n)
    return Q, c, lambda p: (p @ Q @ p / 2 + c @ p, Q @ p + c)


def in_simplex(p, radius=1.0):
    eps = np.finfo(p.dtype).eps
    assert np.all(p >= 0)
    assert np.all(np.abs(p.sum(-1) - radius) <= 4 * eps * radius)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(4))
def test_every_method_finds_the_minimum(method, seed):
    Q, c, fun = quadratic(seed)
    _, best = oracle.simplex_qp(Q, c)
    # Plain Frank-Wolfe and multiplicative updates converge slowly to faces.
    tol = 1e-8 if method in FAST else 1e-2
    result = minimize(fun, np.ones(6) / 6, method=method, tol=tol, max_iter=3000)
    in_simplex(result.p)
    assert result.converged and result.gap <= tol
    assert -1e-12 <= result.fun - best <= result.gap + 1e-12
    assert result.fun == fun(result.p)[0]


@pytest.mark.parametrize("method", METHODS)
def test_entropy_objective(method):
    """KL(p, q): the minimum is q, the gradient is infinite at the boundary."""
    q = np.array([0.5, 0.3, 0.15, 0.05])

    def fun(p):
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.sum(np.where(p > 0, p * np.log(p / q), 0))
            return value, np.maximum(np.log(p / q) + 1, -1e3)

    result = minimize(fun, [0.25] * 4, method=method, tol=1e-6, max_iter=3000)
    assert result.converged
    # KL is 1-strongly convex in the l1 norm.
    assert np.abs(result.p - q).sum() <= np.sqrt(2 * result.gap) + 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_vertex_and_constant(method):
    result = minimize(lambda p: (p @ [3.0, 1.0, 2.0], [3.0, 1.0, 2.0]), [1.0, 0, 0], method=method,
                      tol=1e-6)  # fmt: skip
    assert result.converged
    assert_allclose(result.p, [0, 1, 0], atol=1e-6)
    still = minimize(lambda p: (0.0, np.zeros(3)), [0.2, 0.3, 0.5], method=method)
    assert still.converged and still.n_iter == 0
    assert_allclose(still.p, [0.2, 0.3, 0.5], rtol=1e-15)


def test_missing_the_tolerance_warns():
    _, _, fun = quadratic(1, 30)
    with pytest.warns(ConvergenceWarning, match="minimize: gap .* after 3 steps of 'frank_wolfe'"):
        result = minimize(fun, np.ones(30), method="frank_wolfe", max_iter=3)
    assert not result.converged and result.n_iter == 3
    in_simplex(result.p)


def test_callback_and_result():
    _, _, fun = quadratic(2)
    seen = []
    with pytest.warns(ConvergenceWarning):
        result = minimize(fun, np.ones(6), callback=lambda s: seen.append(s) or len(seen) == 2)
    assert len(seen) == 2 and all(isinstance(s, SimplexMinimum) for s in seen)
    assert result.n_iter == 2
    assert "gap=" in repr(result)
    with pytest.raises(AttributeError):
        result.gap = 0


def test_float32_functions():
    Q, c, _ = quadratic(3)

    def fun(p):
        assert p.dtype == np.float32
        return np.float32(p @ Q @ p / 2 + c @ p), (Q @ p + c).astype(np.float32)

    result = minimize(fun, np.ones(6, np.float32), tol=1e-4)
    assert result.p.dtype == np.float32 and result.converged


def test_messages():
    fun = lambda p: (0.0, p)  # noqa: E731
    with pytest.raises(ValueError, match="'p0' must be 1-dimensional"):
        minimize(fun, np.ones((2, 2)))
    with pytest.raises(ValueError, match="'p0' must be finite"):
        minimize(fun, [np.nan])
    with pytest.raises(ValueError, match="'method' must be one of"):
        minimize(fun, [1.0], method="newton")
    with pytest.raises(ValueError, match="'fun' must return a gradient of shape"):
        minimize(lambda p: (0.0, [1.0]), [1.0, 2.0])
    with pytest.raises(ValueError, match="'fun' must be finite at p0"):
        minimize(lambda p: (np.nan, p), [1.0, 2.0])
    with pytest.raises(ValueError, match="'p0' must not be empty"):
        minimize(fun, [])
    with pytest.raises(TypeError, match="'fun' must return a number and a gradient of real"):
        minimize(lambda p: 3.0, [1.0, 2.0])
    with pytest.raises(ValueError, match="'fun' must return a finite gradient"):
        minimize(lambda p: (0.0, p * np.nan), [1.0, 2.0])
    with pytest.raises(TypeError, match="'fun' must be callable"):
        minimize(None, [1.0])


# Quadratic programs


@examples
@given(seeds, st.integers(1, 7), st.integers(0, 7))
def test_qp_against_all_faces(seed, n, rank):
    Q, c, fun = quadratic(seed, n, rank)
    result = simplex_qp(Q, c)
    _, best = oracle.simplex_qp(Q, c)
    scale = np.abs(Q).max(initial=0) + np.abs(c).max()
    in_simplex(result.p)
    assert result.converged
    assert abs(result.fun - best) <= 1e-12 * scale + result.gap
    assert_allclose(result.fun, fun(result.p)[0], rtol=1e-12, atol=1e-13 * scale)


@pytest.mark.parametrize("rank", [3, 60, 200])
@pytest.mark.parametrize("linear", [0.0, 0.1, 10.0])
def test_larger_qp_is_certified(rank, linear):
    rng = np.random.default_rng(rank)
    B = rng.standard_normal((150, rank))
    Q, c = B @ B.T / rank, linear * rng.standard_normal(150)
    result = simplex_qp(Q, c, radius=2.5)
    in_simplex(result.p, 2.5)
    assert result.converged
    g = Q @ result.p + c
    room = 1e-13 * (Q.max() + np.abs(c).max())
    assert_allclose(result.gap, result.p @ g - 2.5 * g.min(), atol=room)
    order = rng.permutation(150)
    other = simplex_qp(Q[np.ix_(order, order)], c[order], radius=2.5)
    assert_allclose(other.fun, result.fun, rtol=1e-10, atol=room)


def test_qp_batches_and_options():
    Q, _, _ = quadratic(5, 12, 12)
    c = np.random.default_rng(0).standard_normal((2, 3, 12))
    result = simplex_qp(Q, c)
    assert result.p.shape == (2, 3, 12) and result.fun.shape == result.gap.shape == (2, 3)
    one = simplex_qp(Q, c[1, 2], workers=2)
    assert_array_equal(result.p[1, 2], one.p)
    assert isinstance(one.fun, float) and isinstance(one.converged, bool)
    assert "max gap" in repr(result)
    lopsided = Q + np.triu(np.ones((12, 12)), 1) - np.tril(np.ones((12, 12)), -1)
    assert_allclose(simplex_qp(lopsided, c[0, 0]).p, result.p[0, 0], atol=1e-12)
    assert simplex_qp(Q.astype(np.float32)).p.dtype == np.float32


def test_qp_convexity():
    # Indefinite, but convex along the simplex: minus the squared distances of points on a line.
    x = np.array([0.0, 1.0, 3.0])
    Q = -((x[:, None] - x) ** 2)
    result = simplex_qp(Q, [0.0, 5.0, 9.0])
    assert result.converged
    for bad in ([[1.0, 3.0], [3.0, 1.0]], -np.eye(4), -Q):
        with pytest.raises(NumericalError, match="must be convex on the simplex"):
            simplex_qp(bad)
    with pytest.raises(NumericalError, match="negative curvature"):
        simplex_qp([[1.0, 0, 0], [0, 1.5, 3.0], [0, 3.0, 1.5]], check_convex=False)
    assert_array_equal(simplex_qp(np.zeros((3, 3)), [1.0, 0.0, 2.0]).p, [0, 1, 0])


def test_qp_messages():
    with pytest.raises(ValueError, match="'Q' must be square"):
        simplex_qp(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"'c' must have shape \(..., 2\)"):
        simplex_qp(np.eye(2), [1.0])
    with pytest.raises(ValueError, match="'Q' must be finite"):
        simplex_qp([[np.nan]])
    with pytest.raises(ValueError, match="'radius' must be > 0"):
        simplex_qp(np.eye(2), radius=0)
    with pytest.warns(ConvergenceWarning, match="simplex_qp: relative gap"):
        simplex_qp(quadratic(0, 40, 40)[0], max_iter=1)
    with pytest.raises(ValueError, match=r"'b' must have shape \(..., 3\)"):
        simplex_least_squares(np.ones((3, 2)), [1.0])


@pytest.mark.parametrize("shape", [(1, 4), (3, 8), (20, 8), (30, 60), (8, 8)])
def test_least_squares(shape):
    rng = np.random.default_rng(sum(shape))
    A, b = rng.standard_normal(shape), rng.standard_normal((4, shape[0]))
    result = simplex_least_squares(A, b)
    in_simplex(result.p)
    assert result.converged.all()
    residual = result.p @ A.T - b
    g = residual @ A
    assert_allclose(result.fun, (residual**2).sum(1) / 2, rtol=1e-11, atol=1e-12)
    gap = (result.p * (g - g.min(1, keepdims=True))).sum(1)
    assert gap.max() <= 1e-11 * np.abs(A).max() ** 2 * shape[0]
    if shape[1] <= 8:
        for row, value in zip(b, result.fun, strict=True):
            _, best = oracle.simplex_qp(A.T @ A, -A.T @ row)
            assert_allclose(value, best + row @ row / 2, rtol=1e-11, atol=1e-12)


def test_ill_conditioned_least_squares():
    """The normal equations would lose everything: condition 1e10."""
    rng = np.random.default_rng(9)
    U, _, V = np.linalg.svd(rng.standard_normal((40, 10)), full_matrices=False)
    A = U * np.logspace(0, -10, 10) @ V
    p = np.full(10, 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = simplex_least_squares(A, A @ p)
    assert result.fun <= result.gap + 1e-30  # the minimum is 0
    in_simplex(result.p)
