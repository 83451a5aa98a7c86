"""Pivoted and strong rank-revealing QR, leverage scores, empirical interpolation points."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import qr as scipy_qr
from scipy.sparse import csr_array
from scipy.sparse.linalg import aslinearoperator

from kexue_num.lowrank import deim, leverage_scores, pivoted_qr, strong_rrqr
from tests.oracles import lowrank as oracle
from tests.strategies import layouts

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)
examples = settings(derandomize=True, deadline=None, max_examples=60)
shapes = st.tuples(st.integers(0, 30), st.integers(0, 30))


def matrix(shape, seed, dtype, kind="plain"):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal(shape)
    if kind == "low rank" and min(shape):
        r = int(rng.integers(0, min(shape) + 1))
        A = rng.standard_normal((shape[0], r)) @ rng.standard_normal((r, shape[1]))
    if kind == "ties":
        A = rng.integers(-1, 2, shape).astype(float)
    if np.dtype(dtype).kind == "c":
        A = A * np.exp(1j * np.add.outer(np.arange(shape[0]) ** 2.0, np.arange(shape[1])))
    return A.astype(dtype)


def check_factors(A, Q, R, permutation, size):
    m, n = A.shape
    eps = np.finfo(A.dtype).eps
    assert (Q.shape, R.shape) == ((m, size), (size, n))
    assert Q.dtype == R.dtype == A.dtype
    assert permutation.dtype == np.int64
    assert_array_equal(np.sort(permutation), np.arange(n))
    assert_array_equal(R, np.triu(R))
    diagonal = np.diagonal(R)
    assert_array_equal(diagonal, np.abs(diagonal))
    assert np.abs(Q.conj().T @ Q - np.eye(size)).max(initial=0) <= 30 * eps


@examples
@given(st.data(), shapes, st.sampled_from(DTYPES), st.sampled_from(["plain", "low rank", "ties"]),
       st.integers(0, 2**32))  # fmt: skip
def test_pivoted_qr(data, shape, dtype, kind, seed):
    A = data.draw(layouts(matrix(shape, seed, dtype, kind)))
    plain = np.ascontiguousarray(A).astype(dtype)
    size = data.draw(st.integers(0, min(shape)))
    f = pivoted_qr(A, size)
    check_factors(plain, f.Q, f.R, f.permutation, size)
    assert f.rank <= size
    scale = np.abs(plain).max(initial=0) + 1e-300
    slack = 1e3 * np.finfo(dtype).eps * scale
    # Within the pivots A is reproduced; beyond, the residual is orthogonal to Q.
    residual = plain - f.reconstruct()
    assert np.abs(residual[:, f.permutation[: f.rank]]).max(initial=0) <= slack
    assert np.abs(f.Q.conj().T @ residual).max(initial=0) <= slack
    diagonal = np.diagonal(f.R).real
    assert np.all(diagonal[1:] <= diagonal[:-1] * (1 + 1e-3))
    if size == min(shape):
        assert np.abs(residual).max(initial=0) <= slack


@pytest.mark.parametrize("family", ["fast_decay", "slow_decay", "kernel", "graded_rows"])
@pytest.mark.parametrize("workers", [1, 2])
def test_pivots_are_those_of_lapack(isa, family, workers):
    A, rank = oracle.FAMILIES[family](np.random.default_rng(0))
    f = pivoted_qr(A, rank, workers=workers)
    _, R, permutation = scipy_qr(A, mode="economic", pivoting=True)
    assert_array_equal(f.permutation[:rank], permutation[:rank])
    assert_allclose(np.diagonal(f.R), np.abs(np.diagonal(R))[:rank], rtol=1e-9)


@pytest.mark.parametrize("family", sorted(oracle.FAMILIES))
def test_orthogonality_and_residual_on_hostile_matrices(family):
    A, _ = oracle.FAMILIES[family](np.random.default_rng(0))
    f = pivoted_qr(A)
    check_factors(A, f.Q, f.R, f.permutation, min(A.shape))
    assert oracle.spectral_norm(A - f.reconstruct()) <= 1e-13 * oracle.spectral_norm(A)


@pytest.mark.parametrize("family", ["fast_decay", "slow_decay", "kernel", "hilbert"])
@pytest.mark.parametrize("tol", [0.3, 1e-2, 1e-6])
def test_tolerance(family, tol):
    A, _ = oracle.FAMILIES[family](np.random.default_rng(0))
    f = pivoted_qr(A, tol=tol)
    norm = oracle.spectral_norm(A)
    assert f.Q.shape[1] == f.rank
    assert oracle.spectral_norm(A - f.reconstruct()) <= tol * norm
    best = oracle.pivoted_qr_rank(A, tol)
    assert best <= f.rank <= best + 1 + best // 20


def test_numerical_rank():
    A = matrix((40, 8), 0, np.float64) @ matrix((8, 30), 1, np.float64)
    f = pivoted_qr(A)
    assert f.rank == 8
    check_factors(A, f.Q, f.R, f.permutation, 30)
    assert_array_equal(f.R[8:], 0)
    assert pivoted_qr(np.zeros((4, 3))).rank == 0
    assert pivoted_qr(np.zeros((4, 3)), tol=0.1).Q.shape == (4, 0)
    assert pivoted_qr(np.zeros((0, 3))).R.shape == (0, 3)


@pytest.mark.parametrize("what", [pivoted_qr, strong_rrqr])
@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_scales(what, scale):
    A = matrix((20, 15), 3, np.float64)
    plain, scaled = what(A, 6), what(A * scale, 6)
    assert_array_equal(plain.permutation, scaled.permutation)
    assert_allclose(scaled.R, plain.R * scale, rtol=1e-9, atol=1e-12 * scale)
    assert_allclose(scaled.Q, plain.Q, atol=1e-12)


@examples
@given(st.data(), shapes, st.sampled_from(DTYPES), st.sampled_from(["plain", "ties"]),
       st.sampled_from([1.05, 2.0, 10.0]), st.integers(0, 2**32))  # fmt: skip
def test_strong_rrqr(data, shape, dtype, kind, bound, seed):
    A = matrix(shape, seed, dtype, kind)
    k = data.draw(st.integers(0, min(shape)))
    f = strong_rrqr(A, k, f=bound)
    check_factors(A, f.Q, f.R, f.permutation, min(shape))
    slack = 1e3 * np.finfo(dtype).eps
    assert np.abs(A - f.reconstruct()).max(initial=0) <= slack * max(1, np.abs(A).max(initial=0))
    if np.abs(np.diagonal(f.R)[:k]).min(initial=1) > 1e-4:
        assert oracle.strong_rrqr_ratios(f.R, k).max(initial=0) <= bound * (1 + slack)
    assert f.rank == k


@pytest.mark.parametrize("family", ["kahan", "gu_eisenstat", "fast_decay", "kernel", "hilbert"])
@pytest.mark.parametrize("bound", [1.1, 2.0])
def test_strong_rrqr_bounds_singular_values(family, bound):
    A, k = oracle.FAMILIES[family](np.random.default_rng(0))
    f = strong_rrqr(A, k, f=bound)
    s = oracle.singular_values(A)
    q = oracle.strong_rrqr_factor(A, k, bound)
    floor = 1e-14 * s[0]
    assert np.all(oracle.singular_values(f.R[:k, :k]) >= s[:k] / q - floor)
    left = oracle.singular_values(f.R[k:, k:])
    assert np.all(left <= q * s[k : k + left.size] + floor)
    if family in ("kahan", "gu_eisenstat"):  # column pivoting alone fails
        assert f.swaps >= 1


def test_strong_rrqr_of_deficient_matrices():
    for family in ("rank_deficient", "duplicated_columns"):
        A, k = oracle.FAMILIES[family](np.random.default_rng(0))
        f = strong_rrqr(A, k)
        check_factors(A, f.Q, f.R, f.permutation, min(A.shape))
        assert oracle.spectral_norm(A - f.reconstruct()) <= 1e-13 * oracle.spectral_norm(A)
    assert strong_rrqr(np.zeros((5, 4)), 2).swaps == 0
    assert strong_rrqr(np.ones((1, 6)), 1).R.shape == (1, 6)
    assert strong_rrqr(np.zeros((0, 6)), 0).permutation.shape == (6,)


def test_results():
    A = matrix((12, 9), 0, np.float64)
    for f in (pivoted_qr(A, 4), strong_rrqr(A, 4)):
        assert len(repr(f)) < 100
        assert "rank=4" in repr(f)
        assert_array_equal(pickle.loads(pickle.dumps(f)).R, f.R)
        with pytest.raises(AttributeError):
            f.Q = None


# Leverage scores


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("ridge", [None, 0.5])
def test_leverage_scores(dtype, axis, ridge):
    A = oracle.fast_decay(np.random.default_rng(0))[0][:50, :40]
    if np.dtype(dtype).kind == "c":
        A = A * np.exp(1j * np.arange(50))[:, None]
    A = A.astype(dtype)
    expected = oracle.leverage_scores((A if axis == 1 else A.T).astype(complex), 10, ridge)
    found = leverage_scores(A, 10, axis=axis, ridge=ridge)
    assert found.dtype == A.real.dtype
    assert_allclose(found, expected, atol=2e3 * np.finfo(dtype).eps)
    other = leverage_scores(A, 10, axis=axis, ridge=ridge, workers=2)
    assert_array_equal(found, other)


def test_leverage_scores_of_implicit_matrices():
    A = oracle.with_spectrum(np.random.default_rng(0), 120, 90, 10.0 ** (-np.arange(90) / 8))
    expected = oracle.leverage_scores(A, 8)
    for form in (csr_array, aslinearoperator):
        assert_allclose(leverage_scores(form(A), 8, rng=0), expected, atol=1e-9)
        rows = leverage_scores(form(A), 8, axis=0, rng=0)
        assert_allclose(rows, oracle.leverage_scores(A.T, 8), atol=1e-9)


def test_ridge_scores_are_a_diagonal():
    A = matrix((12, 20), 0, np.float64)
    whole = np.diagonal(A.T @ np.linalg.solve(A @ A.T + 0.7 * np.eye(12), A))
    assert_allclose(leverage_scores(A, ridge=0.7), whole, rtol=1e-12)
    assert_allclose(leverage_scores(A * 1e150, ridge=0.7e300), whole, rtol=1e-12)


def test_leverage_edges():
    assert_array_equal(leverage_scores(np.zeros((3, 4)), 2), np.zeros(4))
    assert leverage_scores(np.zeros((0, 4)), None, ridge=1.0).tolist() == [0] * 4
    deficient = np.ones((5, 4))
    assert_allclose(leverage_scores(deficient, 3), np.full(4, 0.25))
    with pytest.raises(ValueError, match="leverage_scores: one of 'rank' and 'ridge'"):
        leverage_scores(np.eye(3))
    with pytest.raises(ValueError, match="leverage_scores: 'ridge' must be > 0, got 0"):
        leverage_scores(np.eye(3), 1, ridge=0)
    with pytest.raises(ValueError, match="leverage_scores: 'rank' must be >= 1, got 0"):
        leverage_scores(np.eye(3), 0)
    with pytest.raises(ValueError, match="leverage_scores: 'A' must be finite, got nan"):
        leverage_scores(np.full((3, 3), np.nan), 1)


# Empirical interpolation points


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (40, 1), (40, 13), (300, 40), (20, 20)])
def test_deim(isa, shape, dtype):
    V = np.linalg.qr(matrix(shape, 5, np.complex128 if np.dtype(dtype).kind == "c" else float))[0]
    V = V.astype(dtype)
    expected = oracle.deim_points(V.astype(complex))
    assert_array_equal(deim(V), expected)
    assert_array_equal(deim(np.asfortranarray(V)[::-1], workers=2), shape[0] - 1 - expected)
    scale = 2.0**120 if V.real.dtype == np.float32 else 1e300
    assert_array_equal(deim(V * V.real.dtype.type(scale)), expected)


def test_deim_edges():
    assert deim(np.zeros((3, 2))).tolist() == [0, 1]
    assert sorted(deim(np.ones((4, 3))).tolist()) == [0, 1, 2]
    assert deim(np.ones((4, 0))).tolist() == []
    assert deim([[1, 2], [3, 4]]).dtype == np.int64
    with pytest.raises(ValueError, match="deim: 'V' must not have more columns than rows"):
        deim(np.ones((2, 3)))
    with pytest.raises(ValueError, match="deim: 'V' must be finite, got nan"):
        deim(np.full((3, 2), np.nan), check_finite=False)
    with pytest.raises(ValueError, match="deim: 'V' must be 2-dimensional"):
        deim(np.ones(3))


@pytest.mark.parametrize("what", [pivoted_qr, strong_rrqr])
def test_messages(what):
    name = what.__name__
    with pytest.raises(ValueError, match=f"{name}: 'rank' must be at most 3 for A of shape"):
        what(np.ones((3, 5)), 4)
    with pytest.raises(TypeError, match=f"{name}: 'rank' must be an integer"):
        what(np.eye(3), 1.5)
    with pytest.raises(TypeError, match=f"{name}: 'A' must be a dense array"):
        what(csr_array(np.eye(3)), 1)
    for bad in (np.nan, np.inf):
        for check in (True, False):
            with pytest.raises(ValueError, match=f"{name}: 'A' must be finite, got {bad}"):
                what(np.array([[1.0, bad]]), 1, check_finite=check)


def test_messages_of_each():
    with pytest.raises(ValueError, match="pivoted_qr: at most one of 'rank' and 'tol'"):
        pivoted_qr(np.eye(3), 1, tol=0.1)
    with pytest.raises(ValueError, match="pivoted_qr: 'tol' must be"):
        pivoted_qr(np.eye(3), tol=2)
    with pytest.raises(ValueError, match="strong_rrqr: 'f' must be > 1, got 1"):
        strong_rrqr(np.eye(3), 1, f=1)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_the_largest_number_and_ordinary_ones(dtype):
    a = np.diag(np.array([np.finfo(dtype).max, 1.0, 0.0], dtype))
    found = pivoted_qr(a)
    assert np.isfinite(found.R).all()
    assert np.abs(found.R[0, 0]) == np.finfo(dtype).max
    assert found.permutation[0] == 0


def test_norms_that_rounding_would_confuse():
    # 20 orthonormal columns, then 40 that they explain up to 1e-5: lengths a millionth of a
    # hundred-thousandth apart, of which norms downdated from 1 know nothing.
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.standard_normal((90, 60)))[0]
    mix = rng.standard_normal((20, 40))
    mix *= 0.9 / np.linalg.norm(mix, axis=0)
    order = rng.permutation(40)
    A = np.hstack([q[:, :20], q[:, :20] @ mix + 1e-5 * (1 - 1e-7 * order) * q[:, 20:]])
    assert_array_equal(pivoted_qr(A, 60).permutation[20:] - 20, np.argsort(order))


def test_steep_spectra_have_classical_pivots():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        A = oracle.with_spectrum(rng, 160, 150, 10.0 ** (-np.arange(150) / 8))
        f = pivoted_qr(A, 50)
        assert_array_equal(f.permutation[:50], oracle.column_pivots(A, 50))
        whole = np.empty_like(f.R)
        whole[:, f.permutation] = f.R
        assert np.abs(f.Q.T @ f.Q - np.eye(50)).max() <= 1e-14
        assert np.abs(f.Q.T @ A - whole).max() <= 1e-14
