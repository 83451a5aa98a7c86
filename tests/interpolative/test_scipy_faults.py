"""Inputs on which scipy.linalg.interpolative crashes, is wrong or refuses: ours are right.

Each test names what SciPy 1.17 does. Slowness (its unblocked QR, its loops in Python) is a matter
for the benchmarks.
"""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.linalg import aslinearoperator

from kexue_num import interpolative
from tests.oracles import lowrank as oracle


def error(A, idx, proj):
    skeleton = A[:, idx[: len(proj)]]
    return oracle.spectral_norm(A - interpolative.reconstruct_matrix_from_id(skeleton, idx, proj))


def median_error(A, representation, rank, seeds=20):
    found = [
        error(A, *interpolative.interp_decomp(representation, rank, rng=seed))
        for seed in range(seeds)
    ]
    return float(np.median(found))


def test_rand_is_not_dead_code():
    # SciPy returns the bits of rand=False for rand=True.
    A = np.random.default_rng(0).standard_normal((2000, 300))
    _, sampled = interpolative.interp_decomp(A, 20, rand=True, rng=1)
    _, exact = interpolative.interp_decomp(A, 20, rand=False)
    assert not np.array_equal(sampled, exact)
    again = interpolative.interp_decomp(A, 20, rand=False, rng=5)
    assert_array_equal(exact, again[1])


def test_operator_with_centred_columns():
    # SciPy: 194 sigma_{k+1}, median of 20, because its probes have mean 1/2. Ours takes 56 rows for
    # an operator and 90 for an array, a factor of about 1.2; over six matrices 1.22 to 1.51.
    ratios = []
    for seed in range(4):
        A, rank = oracle.centred_columns(np.random.default_rng(seed))
        dense = median_error(A, A, rank, seeds=10)
        ratios.append(median_error(A, aslinearoperator(A), rank, seeds=10) / dense)
    assert np.mean(ratios) <= 1.5


@pytest.mark.parametrize("eps", [1e-2, 1e-4, 1e-8])
@pytest.mark.parametrize("decay", ["fast", "slow"])
@pytest.mark.parametrize("wrap", [np.asarray, aslinearoperator], ids=["dense", "operator"])
def test_precision_is_met(decay, eps, wrap):
    # SciPy: 2.5 to 9.4 times eps with rand=True, 5 to 350 times for an operator.
    i = np.arange(150)
    s = 10.0 ** (-i / 10) if decay == "fast" else 1.0 / (1 + i)
    A = oracle.with_spectrum(np.random.default_rng(0), 150, 150, s)
    for seed in range(5):
        k, idx, proj = interpolative.interp_decomp(wrap(A), eps, rng=seed)
        assert proj.shape == (k, 150 - k)
        assert error(A, idx, proj) <= eps


def test_precision_is_met_on_a_kernel_matrix():
    # SciPy: 530 times eps for the operator, at fewer columns than any method needs.
    A, _ = oracle.kernel(np.random.default_rng(0))
    norm = oracle.spectral_norm(A)
    for representation in (A, aslinearoperator(A)):
        _, idx, proj = interpolative.interp_decomp(representation, 1e-6, rng=0)
        assert error(A, idx, proj) <= 1e-6 * norm


def test_precision_is_relative_to_the_spectral_norm():
    # SciPy compares eps with column norms: rank 400, all columns, where 99 is the least.
    A = oracle.with_spectrum(np.random.default_rng(0), 400, 400, 1.0 / (1 + np.arange(400)))
    for rand in (True, False):
        k, idx, proj = interpolative.interp_decomp(A, 1e-2, rand=rand, rng=0)
        assert error(A, idx, proj) <= 1e-2
        assert 99 <= k <= 290  # 99 is the least of any method, ours 263 to 280, SciPy takes all 400


@pytest.mark.parametrize("shape", [(6, 9), (9, 6)])
@pytest.mark.parametrize("rand", [True, False])
@pytest.mark.parametrize("wrap", [np.asarray, aslinearoperator], ids=["dense", "operator"])
def test_rank_above_the_smaller_side(shape, rand, wrap):
    # SciPy: segmentation fault or a corrupted heap.
    A = wrap(np.random.default_rng(0).standard_normal(shape))
    with pytest.raises(ValueError, match=r"^interp_decomp: 'rank' must .*6.*, got 8$"):
        interpolative.interp_decomp(A, 8, rand=rand)
    with pytest.raises(ValueError, match=r"^svd: 'eps_or_k' must .*6.*, got 8$"):
        interpolative.svd(A, 8, rand=rand)


@pytest.mark.parametrize("shape", [(70, 40), (40, 70)])
def test_svd_of_an_oblong_operator_to_a_precision(shape):
    # SciPy: ValueError from mismatched shapes.
    rng = np.random.default_rng(0)
    A = rng.standard_normal((shape[0], 5)) @ rng.standard_normal((5, shape[1]))
    U, s, V = interpolative.svd(aslinearoperator(A), 1e-8, rng=1)
    assert (U.shape, s.shape, V.shape) == ((shape[0], 5), (5,), (shape[1], 5))
    assert_allclose(U * s @ V.T, A, atol=1e-8 * s[0], rtol=0)


@pytest.mark.parametrize("rand", [True, False])
class TestDegenerateInput:
    def test_zero_matrix(self, rand):
        # SciPy: NaN coefficients.
        k, idx, proj = interpolative.interp_decomp(np.zeros((5, 4)), 1e-6, rand=rand)
        assert (k, proj.shape) == (0, (0, 4))
        assert sorted(idx) == [0, 1, 2, 3]
        idx, proj = interpolative.interp_decomp(np.zeros((5, 4)), 2, rand=rand)
        assert sorted(idx) == [0, 1, 2, 3]
        assert_array_equal(proj, np.zeros((2, 2)))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("eps_or_k", [2, 1e-3])
    def test_not_finite(self, rand, value, eps_or_k):
        # SciPy: silent NaN or plain nonsense.
        A = np.ones((5, 4))
        A[2, 1] = value
        with pytest.raises(ValueError, match=r"^interp_decomp: 'A' must be finite, got"):
            interpolative.interp_decomp(A, eps_or_k, rand=rand)

    @pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
    def test_empty(self, rand, shape):
        # SciPy: the process aborts for (0, n), an obscure message for (m, 0).
        k, idx, proj = interpolative.interp_decomp(np.zeros(shape), 1e-3, rand=rand)
        assert k == 0
        assert_array_equal(idx, np.arange(shape[1]))
        assert proj.shape == (0, shape[1])
        with pytest.raises(ValueError, match=r"^interp_decomp: 'rank' must .*, got 2$"):
            interpolative.interp_decomp(np.zeros(shape), 2, rand=rand)

    @pytest.mark.parametrize("value", [-3, -1e-3, 0, 0.0, 2.7, np.nan, np.inf, 1e-16])
    def test_neither_precision_nor_rank(self, rand, value):
        # SciPy: accepts a negative eps, truncates 2.7 to 2.
        with pytest.raises(ValueError, match=r"^interp_decomp: '(eps_or_k|tol)' must "):
            interpolative.interp_decomp(np.eye(4), value, rand=rand)

    @pytest.mark.parametrize("exponent", [-664, 664])  # about 1e-200 and 1e200
    def test_extreme_scale(self, rand, exponent):
        # SciPy: squared norms underflow, rank 1 comes back.
        A = np.random.default_rng(0).standard_normal((50, 40))
        small = np.ldexp(A, exponent)
        k, *_ = interpolative.interp_decomp(small, 1e-6, rand=rand, rng=0)
        assert k == 40
        for eps_or_k in (10, 0.3):
            expected = interpolative.interp_decomp(A, eps_or_k, rand=rand, rng=0)
            found = interpolative.interp_decomp(small, eps_or_k, rand=rand, rng=0)
            for e, f in zip(expected, found, strict=True):
                assert_array_equal(e, f)

    @pytest.mark.parametrize("shape", [(1, 4), (4, 1), (1, 1)])
    def test_one_row_or_column(self, rand, shape):
        # SciPy 1.15 broke these.
        A = np.arange(1.0, 5.0)[: max(shape)].reshape(shape)
        k, idx, proj = interpolative.interp_decomp(A, 1e-3, rand=rand)
        assert k == 1
        assert idx[0] == shape[1] - 1
        assert_allclose(A[:, idx[:1]] @ proj, A[:, idx[1:]], rtol=1e-14)

    @pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.int32, np.uint8, np.float16])
    def test_refused_dtypes(self, rand, dtype):
        # SciPy: ValueError for everything but float64 and complex128.
        A = np.arange(1, 31).reshape(6, 5).astype(dtype)  # rank 2
        k, idx, proj = interpolative.interp_decomp(A, 1e-4, rand=rand)
        assert k == 2
        expected = {np.float32: np.float32, np.complex64: np.complex64, np.float16: np.float32}
        assert proj.dtype == expected.get(dtype, np.float64)
        assert_allclose(A[:, idx[:2]] @ proj, A[:, idx[2:]], rtol=1e-4)

    def test_lists(self, rand):
        # SciPy: TypeError.
        idx, proj = interpolative.interp_decomp([[1.0, 2], [3, 4]], 2, rand=rand)
        assert sorted(idx) == [0, 1]
        assert proj.shape == (2, 0)

    @pytest.mark.parametrize("form", [sp.csr_array, sp.csc_matrix, sp.coo_array, sp.bsr_array])
    def test_sparse(self, rand, form):
        # SciPy: TypeError.
        A = sp.random_array((40, 30), density=0.2, rng=np.random.default_rng(0))
        k, idx, proj = interpolative.interp_decomp(form(A), 0.3, rand=rand, rng=0)
        assert error(A.toarray(), idx, proj) <= 0.3 * oracle.spectral_norm(A.toarray())
        assert k < 30


@pytest.mark.parametrize("rand", [True, False])
def test_kahan_matrix(rand):
    # SciPy: coefficients of 1e9 and an error of 2.6e9 sigma_{k+1}.
    A, rank = oracle.kahan(np.random.default_rng(0))
    idx, proj = interpolative.interp_decomp(A, rank, rand=rand, rng=0)
    assert np.abs(proj).max() <= 2.0
    sigma = oracle.singular_values(A)[rank]
    assert error(A, idx, proj) <= oracle.strong_rrqr_factor(A, rank, 2.0) * sigma
