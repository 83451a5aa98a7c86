"""Products from a few of their terms: weights by least squares, deletion, measures of quality."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from kexue_num.lowrank import cr_matmul
from tests.oracles import column_row as oracle
from tests.products import DTYPES, METHODS, assemble, examples, factors, problems, seeds

RANDOM = ("pips", "iid", "bernoulli")

# Weights by least squares


@examples
@given(problems, st.sampled_from(METHODS), st.integers(1, 12))
def test_least_squares_weights(problem, method, rank):
    seed, n, length, m, dtype = problem
    X, Y = factors(seed, n + 1, length, m + 1, dtype)
    rank = min(rank, length)
    plain, diagonal, full = (
        cr_matmul(X, Y, rank, method=method, weights=w, rng=seed)
        for w in ("none", "ls_diag", "ls_full")
    )
    assert_array_equal(plain.indices, diagonal.indices)
    errors = [np.linalg.norm(assemble(p) - X @ Y) for p in (plain, diagonal, full)]
    slack = 1e3 * np.finfo(dtype).eps * np.linalg.norm(X) * np.linalg.norm(Y)
    assert errors[1] <= errors[0] + slack
    assert errors[2] <= errors[1] + slack
    wide = X.astype(complex), Y.astype(complex)
    weights = oracle.diagonal_weights(*wide, plain.indices)
    C, R = wide[0][:, plain.indices], wide[1][plain.indices]
    best = np.linalg.norm((C * weights) @ R - X @ Y)
    assert errors[1] <= best + slack
    least = np.linalg.pinv(C) @ wide[0] @ wide[1] @ np.linalg.pinv(R)
    assert errors[2] <= np.linalg.norm(C @ least @ R - X @ Y) + slack


def test_diagonal_weights_repair_a_mean():
    rng = np.random.default_rng(0)
    X, Y = np.maximum(rng.standard_normal((60, 400)), 0), rng.random((400, 50))
    M = X @ Y
    plain, diagonal = (
        np.linalg.norm(cr_matmul(X, Y, 40, weights=w).toarray() - M) / np.linalg.norm(M)
        for w in ("none", "ls_diag")
    )
    assert plain > 0.8
    assert diagonal < 0.25


@examples
@given(seeds, st.integers(1, 8), st.integers(0, 8), st.integers(1, 4))
def test_greedy_deletion(seed, length, keep, tuple_size):
    X, Y = factors(seed, 3, length, 3)
    keep = min(keep, length)
    p = cr_matmul(X, Y, keep, method="tuple", tuple_size=tuple_size)
    assert_array_equal(p.indices, oracle.greedy_deletion(X, Y, keep, tuple_size))


# Measures of quality


@pytest.mark.parametrize("weights", ["none", "ls_diag", "ls_full"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_error_estimate(weights, dtype):
    # A mean of 16 chi-square variables at worst: outside a factor of two either way with
    # probability 1e-4 a case for rank one, far less for errors of more; the seed is fixed.
    X, Y = factors(2, 30, 100, 25, dtype)
    p = cr_matmul(X, Y, 20, weights=weights, rng=0)
    error = np.linalg.norm(assemble(p) - X @ Y)
    assert 0.5 * error <= p.error_estimate <= 2 * error
    assert type(p.error_estimate) is float


def test_all_terms_leave_no_error():
    X, Y = factors(0)
    for method in ("topk", "pips", "bernoulli", "tuple"):
        p = cr_matmul(X, Y, 9, method=method, rng=0)
        assert_array_equal(p.indices, np.arange(9))
        assert_array_equal(p.weights, np.ones(9))
        assert p.error_estimate <= 1e-13 * np.linalg.norm(X) * np.linalg.norm(Y)
        assert not p.variance


def test_no_terms():
    X, Y = factors(0)
    for method in METHODS:
        p = cr_matmul(X, Y, 0, method=method, rng=0)
        assert_array_equal(p.toarray(), np.zeros((5, 4)))
        assert p.error_estimate > 0
        if method in RANDOM:
            assert p.variance == pytest.approx(np.linalg.norm(X @ Y) ** 2)


def test_scale_only_scales():
    X, Y = factors(4, 20, 60, 20)
    tiny = 2.0**-480
    for method in RANDOM:
        p, q = (cr_matmul(a, Y, 20, method=method, rng=3) for a in (X, X * tiny))
        assert_array_equal(p.indices, q.indices)
        assert_allclose(q.variance, p.variance * tiny**2, rtol=1e-12)
        assert_allclose(q.error_estimate, p.error_estimate * tiny, rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_terms_of_unequal_factors(dtype):
    # A term x_i y_i is (2^e x_i) (2^-e y_i), also where products across terms underflow.
    X, Y = factors(4, 6, 12, 5, dtype, spread=0.3)
    info = np.finfo(dtype)
    powers = (2.0 ** np.linspace(0.7 * info.minexp, 0.7 * info.maxexp, 12).round()).astype(
        X.real.dtype
    )
    other = X * powers, Y / powers[:, None]
    for method, weights in (("topk", "none"), ("tuple", "ls_diag"), ("iid", "auto")):
        p, q = (cr_matmul(*a, 6, method=method, weights=weights, rng=1) for a in ((X, Y), other))
        assert_array_equal(q.indices, p.indices)
        assert_allclose(q.weights, p.weights, rtol=1e4 * info.eps)
        assert_allclose(q.error_estimate, p.error_estimate, rtol=1e4 * info.eps)
        if p.variance is not None:
            assert_allclose(q.variance, p.variance, rtol=1e4 * info.eps)


def test_overwritten_factors_are_noticed():
    X, Y = factors(0)
    p = cr_matmul(X, Y, 4, method="pips", rng=0)
    X[0, 0] += 1
    with pytest.raises(ValueError, match="must stay"):
        _ = p.variance


@pytest.mark.parametrize("weights", ["auto", "ls_full"])
def test_pickles_hold_values(weights):
    X, Y = factors(0)
    p = cr_matmul(X, Y, 4, method="pips", weights=weights, rng=0)
    q = pickle.loads(pickle.dumps(p))
    assert (q.variance, q.error_estimate) == (p.variance, p.error_estimate)
    assert_array_equal(q.toarray(), p.toarray())
