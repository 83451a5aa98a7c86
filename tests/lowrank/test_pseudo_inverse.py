"""pinv, best_left_factor, best_right_factor."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from kexue_num.lowrank import best_left_factor, best_right_factor, pinv
from tests.strategies import layouts

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)
examples = settings(derandomize=True, deadline=None, max_examples=50)
seeds = st.integers(0, 2**32 - 1)


def matrix(seed, m, n, rank, dtype):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n))
    if np.dtype(dtype).kind == "c":
        A = A + 1j * (rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n)))
    return A.astype(dtype)


problems = st.tuples(
    seeds, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.sampled_from(DTYPES)
)


@examples
@given(st.data(), problems)
def test_penrose_conditions(data, problem):
    seed, m, n, rank, dtype = problem
    A = data.draw(layouts(matrix(seed, m, n, rank, dtype)))
    P = pinv(A, rtol=1e-4 if np.dtype(dtype).itemsize // (1 + (A.dtype.kind == "c")) == 4 else 1e-9)
    assert (P.shape, P.dtype) == ((n, m), dtype)
    A = np.ascontiguousarray(A).astype(dtype)
    tight = 1e3 * np.finfo(dtype).eps
    a, p = np.linalg.norm(A), np.linalg.norm(P)
    assert_allclose(A @ P @ A, A, atol=tight * (a * a * p + a))
    assert_allclose(P @ A @ P, P, atol=tight * (a * p * p + p))
    assert_allclose((A @ P).conj().T, A @ P, atol=tight * a * p)
    assert_allclose((P @ A).conj().T, P @ A, atol=tight * a * p)


def test_against_fifty_digits():
    A = 1.0 / (np.arange(1.0, 9)[:, None] + np.arange(5))  # five columns of a Hilbert matrix
    with mpmath.workdps(50):
        B = mpmath.matrix(A.tolist())
        expected = np.array(((B.T * B) ** -1 * B.T).tolist(), dtype=float)
    condition = np.linalg.cond(A)
    assert_allclose(pinv(A), expected, atol=4e-16 * condition * np.abs(expected).max())


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_scale(dtype):
    A = matrix(0, 6, 4, 3, dtype)
    expected = pinv(A)
    info = np.finfo(dtype)
    for exponent in (int(0.9 * info.minexp), int(0.9 * info.maxexp)):
        power = np.ldexp(1.0, exponent).astype(A.real.dtype)
        inverse = np.ldexp(1.0, -exponent).astype(A.real.dtype)
        assert_array_equal(pinv(A * power), expected * inverse)


def test_rank_and_tolerance():
    A = np.diag([1.0, 1e-3, 0.0])
    assert_allclose(pinv(A), np.diag([1.0, 1e3, 0.0]))
    assert_allclose(pinv(A, rtol=1e-2), np.diag([1.0, 0.0, 0.0]))
    assert_allclose(pinv(A, rtol=0.0), np.diag([1.0, 1e3, 0.0]))
    assert_array_equal(pinv(np.zeros((2, 3))), np.zeros((3, 2)))
    for shape in ((0, 3), (3, 0), (0, 0), (2, 0, 3)):
        assert pinv(np.zeros(shape)).shape == (*shape[:-2], shape[-1], shape[-2])


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_limit_form(dtype):
    A = matrix(1, 7, 5, 5, dtype)
    H = A.conj().T
    for eps in (1.0, 1e-3):
        assert_allclose(pinv(A, ridge=eps), np.linalg.solve(H @ A + eps * np.eye(5), H), rtol=1e-9)
    assert_allclose(pinv(A, ridge=1e-14), pinv(A), rtol=1e-9)
    assert_allclose(pinv(1e-200 * A, ridge=0.0), 1e200 * pinv(A), rtol=1e-9)


def test_batches_are_matrices():
    A = np.stack([[matrix(i, 5, 4, i + j, np.float64) for i in range(2)] for j in range(3)])
    A[1] *= 1e250
    A[2] *= 1e-250
    P = pinv(A)
    assert P.shape == (3, 2, 4, 5)
    for at in np.ndindex(3, 2):
        assert_allclose(P[at], pinv(A[at]), rtol=1e-12, atol=1e-14 * np.abs(P[at]).max())


@examples
@given(problems, st.integers(0, 6))
def test_best_factors(problem, other):
    seed, m, n, rank, dtype = problem
    rng = np.random.default_rng(seed)
    A = matrix(seed, m, n, min(rank, m, n), dtype)
    rtol = 1e-4 if np.finfo(dtype).eps > 1e-10 else 1e-9
    M = rng.standard_normal((m, other)).astype(dtype)
    P = np.linalg.pinv(A.astype(complex), rcond=rtol)
    tight = (
        1e3
        * np.finfo(dtype).eps
        * (1 + np.linalg.norm(A) * np.linalg.norm(P))
        * (1 + np.linalg.norm(P))
    )
    found = best_right_factor(M, A, rtol=rtol)
    assert (found.shape, found.dtype) == ((n, other), dtype)
    assert_allclose(found, P @ M, atol=tight * (1 + np.linalg.norm(M)))
    N = rng.standard_normal((other, n)).astype(dtype)
    assert_allclose(best_left_factor(N, A, rtol=rtol), N @ P, atol=tight * (1 + np.linalg.norm(N)))
    assert_allclose(best_right_factor(csr_array(M), A, rtol=rtol), found, atol=tight)


def test_best_factors_of_batches():
    rng = np.random.default_rng(0)
    M, B = rng.standard_normal((3, 1, 6, 5)), rng.standard_normal((2, 2, 5))
    A = best_left_factor(M, B)
    assert A.shape == (3, 2, 6, 2)
    assert_allclose(A[2, 1], M[2, 0] @ np.linalg.pinv(B[1]))
    C = best_right_factor(M, rng.standard_normal((2, 6, 3)))
    assert C.shape == (3, 2, 3, 5)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: pinv(np.ones(3)), ValueError, "pinv: 'A' must have at least 2"),
        (lambda: pinv(np.full((2, 2), np.nan)), ValueError, "pinv: 'A' must be finite"),
        (lambda: pinv(np.eye(2), rtol=1.0), ValueError, "pinv: 'rtol'"),
        (lambda: pinv(np.eye(2), ridge=-1.0), ValueError, "pinv: 'ridge'"),
        (lambda: pinv(csr_array(np.eye(2))), TypeError, "pinv: 'A' must be a dense array"),
        (lambda: pinv([["a"]]), TypeError, "pinv: 'A'"),
        (lambda: best_left_factor(np.eye(2), np.eye(3)), ValueError, "as many columns as M"),
        (lambda: best_right_factor(np.eye(2), np.eye(3)), ValueError, "as many rows as M"),
        (lambda: best_right_factor(np.eye(2), np.full((2, 1), np.inf)), ValueError, "finite"),
    ],
)
def test_messages(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_pairs_that_do_not_fit():
    with pytest.raises(ValueError, match="must be 2-dimensional beside a sparse M, got shape"):
        best_left_factor(csr_array(np.eye(3)), np.ones((2, 3, 3)))
    with pytest.raises(ValueError, match=r"must have leading axes that fit those of M, \(2,\)"):
        best_left_factor(np.ones((2, 3, 3)), np.ones((3, 3, 3)))
