"""CUR and two-sided decompositions: definitions, certificates, quality, hostile input."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array, issparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import kexue_num
from kexue_num.lowrank import CUR, TwoSidedID, cur, interp_decomp, two_sided_id
from kexue_num.lowrank._choose import SELECTIONS
from tests.oracles import lowrank as oracle

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)
LINKS = ("optimal", "cross")
CHOICES = (*(s for s in SELECTIONS if s != "rpcholesky"), "kmeans")


def smooth(m=90, n=110, dtype=np.float64):
    rng = np.random.default_rng(0)
    A = np.exp(-((rng.random((m, 1, 4)) - rng.random((1, n, 4))) ** 2).sum(-1))
    if np.dtype(dtype).kind == "c":
        A = A * np.exp(1j * np.add.outer(np.arange(m) ** 2.0, np.arange(n)))
    return A.astype(dtype)


def error(A, d):
    """The norm of A - C U R as anyone would form it."""
    C, U, R = (x.toarray() if issparse(x) else x for x in (d.C, d.U, d.R))
    return oracle.spectral_norm(A - C @ U @ R)


def two_sided_error(A, d):
    product = oracle.wide(d.row_coefficients) @ oracle.wide(d.core)
    return oracle.spectral_norm(oracle.wide(A) - product @ oracle.wide(d.column_coefficients))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("rows", [None, 7, 20])
def test_definition(link, rows, dtype):
    A = smooth(dtype=dtype)
    before = A.copy()
    d, other = (cur(A, 12, link=link, n_rows=rows, rng=1, workers=w) for w in (1, 2))
    assert_array_equal(A, before)
    assert isinstance(d, CUR)
    assert (len(d.column_indices), len(d.row_indices)) == (12, rows or 12)
    assert d.rank == min(12, rows or 12)
    assert len(set(d.row_indices.tolist())) == len(d.row_indices)
    assert d.column_indices.dtype == d.row_indices.dtype == np.int64
    assert_array_equal(d.C, A[:, d.column_indices])
    assert_array_equal(d.R, A[d.row_indices])
    assert d.C.dtype == d.U.dtype == d.R.dtype == A.dtype
    assert error(A, d) <= d.error_bound
    assert_array_equal(d.U, other.U)
    assert d.error_bound == other.error_bound
    rounding = 1e4 * np.finfo(dtype).eps * np.linalg.norm(d.U)
    if link == "optimal":
        assert_allclose(d.U, oracle.best_link(A, d.row_indices, d.column_indices), atol=rounding)
    elif rows is None:
        assert_allclose(d.reconstruct()[d.row_indices], d.R, atol=rounding)
        assert_allclose(d.reconstruct()[:, d.column_indices], d.C, atol=rounding)


@pytest.mark.parametrize("select", CHOICES)
@pytest.mark.parametrize("link", LINKS)
def test_every_choice(select, link):
    A = smooth()
    s = oracle.singular_values(A)
    for operand in (A, csr_array(A), aslinearoperator(A)):
        d = cur(operand, 10, select=select, link=link, rng=0)
        assert error(A, d) <= d.error_bound
        assert error(A, d) <= 40 * s[10]
        assert issparse(d.C) == issparse(d.R) == issparse(operand)


def test_semidefinite_input():
    x = np.random.default_rng(0).random((80, 3))
    A = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1))
    for link in LINKS:
        d = cur(A, 10, select="rpcholesky", link=link, rng=0)
        assert_array_equal(d.row_indices, d.column_indices)
        assert error(A, d) <= d.error_bound


@pytest.mark.parametrize("family", ["fast_decay", "slow_decay", "kernel", "gaussian_kernel"])
@pytest.mark.parametrize("select", ["auto", "osinsky"])
def test_optimal_link_against_the_column_decomposition(family, select):
    ratios = []
    for seed in range(7):
        A, rank = oracle.FAMILIES[family](np.random.default_rng(seed))
        d = cur(A, rank, select=select, rng=seed)
        columns = interp_decomp(A, rank, select=select, refine="exact", rng=seed)
        ratios.append(error(A, d) / oracle.true_error(A, columns.skeleton, columns.coefficients))
    assert np.median(ratios) <= 1.5
    assert max(ratios) <= 2.0  # at most the errors of columns and of rows together


@pytest.mark.parametrize("head", [2, 1000])
@pytest.mark.parametrize("seed", [0, 1])
def test_deim_cur(head, seed):
    """Sorensen & Embree 2016, section 5: sums of sparse non-negative outer products, two decays.

    A = sum_{j<=10} head/j x_j y_j' + sum_{10<j<=50} 1/j x_j y_j': for rank k the error is bounded
    by (eta_p + eta_q) sigma_{k+1}, in practice a small multiple of sigma_{k+1}, and below that of
    the rows and columns of largest leverage, which for the steep head lose it altogether.
    """
    rng = np.random.default_rng(seed)
    m, n = 900, 60

    def sparse_vector(size):
        return rng.random(size) * (rng.random(size) < 0.1)

    A = np.zeros((m, n))
    for j in range(1, 51):
        A += (head if j <= 10 else 1) / j * np.outer(sparse_vector(m), sparse_vector(n))
    u, s, vh = np.linalg.svd(A, full_matrices=False)
    for k in (5, 10, 15, 20, 25):
        p, q = oracle.deim_points(u[:, :k]), oracle.deim_points(vh[:k].T)
        d = cur(A, k, select="deim", z_bound=1e6, rng=0)
        eta = np.linalg.norm(np.linalg.inv(u[p, :k]), 2) + np.linalg.norm(
            np.linalg.inv(vh[:k, q]), 2
        )
        assert error(A, d) <= eta * s[k]
        assert error(A, d) <= 2.5 * s[k]
        rows, columns = (np.argsort(-(V**2).sum(1))[:k] for V in (u[:, :k], vh[:k].T))
        left, right = np.linalg.pinv(A[:, columns]), np.linalg.pinv(A[rows])
        other = A[:, columns] @ (left @ A @ right) @ A[rows]
        assert error(A, d) <= oracle.spectral_norm(A - other)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("tol", [0.1, 1e-4])
@pytest.mark.parametrize("form", [np.asarray, csr_array, aslinearoperator])
def test_fixed_precision(tol, link, form):
    A = smooth()
    d = cur(form(A), tol=tol, link=link, rng=0)
    s = oracle.singular_values(A)
    assert d.converged
    assert error(A, d) <= d.error_bound <= tol * s[0]
    assert d.rank <= 2 * (s > tol * s[0]).sum() + 6


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_precision_at_numerical_rank(link, dtype):
    """More rows and columns than the rank add rounding, not error."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        A = (rng.standard_normal((37, 15)) @ rng.standard_normal((15, 21))).astype(dtype)
        d = cur(A, tol=0.01, link=link, rng=seed)
        assert d.converged
        assert error(A, d) <= d.error_bound
        whole = cur(A, 20, link=link, rng=seed)
        assert error(A, whole) <= 1e4 * np.finfo(dtype).eps * oracle.spectral_norm(A)


def test_unreachable_precision():
    A = smooth().astype(np.float32)
    with pytest.warns(kexue_num.ConvergenceWarning, match="cur: tol=2e-06 could not be certified"):
        d = cur(A, tol=2e-6, link="cross", rng=0)
    assert not d.converged
    assert error(A, d) <= d.error_bound


@pytest.mark.parametrize("confidence", [0.9, 0.5])
@pytest.mark.parametrize("what", ["cur", "cross", "two-sided"])
def test_certificates_hold_with_their_probability(what, confidence):
    """Failures among 1500 are binomial; 5 deviations: false alarm 3e-7 a case."""
    A = oracle.with_spectrum(np.random.default_rng(0), 40, 30, 1.0 / np.arange(1.0, 31))
    failures, n = 0, 1500
    for seed in range(n):
        if what == "two-sided":
            d = two_sided_id(A, 4, confidence=confidence, rng=seed)
        else:
            link = "cross" if what == "cross" else "optimal"
            d = cur(A, 4, link=link, confidence=confidence, rng=seed)
        failures += np.linalg.norm(A - d.reconstruct(), 2) > d.error_bound
    delta = 1 - confidence
    assert failures <= n * delta + 5 * np.sqrt(n * delta * confidence)


HOSTILE = ("kahan", "gu_eisenstat", "duplicated_columns", "rank_deficient", "outlier_column",
           "graded_rows", "heavy_rows", "hilbert")  # fmt: skip


@pytest.mark.parametrize("family", HOSTILE)
def test_hostile_matrices(family):
    A, rank = oracle.FAMILIES[family](np.random.default_rng(0))
    for link in LINKS:
        d = cur(A, rank, link=link, rng=0)
        assert np.isfinite(d.U).all()
        assert error(A, d) <= d.error_bound
    d = two_sided_id(A, rank, rng=0)
    assert two_sided_error(A, d) <= d.error_bound
    assert d.max_abs_coefficient <= 2


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_scales(scale):
    A = smooth()
    for link in LINKS:
        plain, scaled = (cur(s * A, 8, link=link, rng=0) for s in (1.0, scale))
        assert scaled.error_bound == pytest.approx(scale * plain.error_bound, rel=1e-3)
        assert_allclose(scaled.U * scale, plain.U, rtol=1e-3, atol=1e-6 * np.abs(plain.U).max())
    plain, scaled = (two_sided_id(s * A, 8, rng=0) for s in (1.0, scale))
    assert scaled.error_bound == pytest.approx(scale * plain.error_bound, rel=1e-3)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0), (1, 6), (6, 1), (3, 3)])
def test_small_shapes(shape):
    A = np.ones(shape)
    for rank in range(min(shape) + 1):
        for d in (
            cur(A, rank, rng=0),
            cur(A, rank, link="cross", rng=0),
            two_sided_id(A, rank, rng=0),
        ):
            assert d.shape == shape
            assert d.rank == rank
            whole = d.reconstruct()
            assert whole.shape == shape
            assert oracle.spectral_norm(A - whole) <= max(d.error_bound, 1e-300)
    zero = cur(np.zeros((4, 5)), 3)
    assert (zero.error_bound, zero.rank) == (0, 3)
    assert cur(np.zeros((4, 5)), tol=0.1).error_bound == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("goal", [{"rank": 12}, {"tol": 1e-3}])
def test_two_sided(goal, dtype):
    A = smooth(dtype=dtype)
    d, other = (two_sided_id(A, **goal, rng=1, workers=w) for w in (1, 2))
    assert isinstance(d, TwoSidedID)
    k = d.rank
    assert_array_equal(d.core, A[np.ix_(d.row_indices, d.column_indices)])
    assert_array_equal(d.row_coefficients[d.row_indices], np.eye(k))
    assert_array_equal(d.column_coefficients[:, d.column_indices], np.eye(k))
    assert two_sided_error(A, d) <= d.error_bound
    assert d.max_abs_coefficient <= 2
    assert_array_equal(d.row_coefficients, other.row_coefficients)
    columns = interp_decomp(A, **goal, rng=1)
    assert_array_equal(d.column_indices, columns.indices)
    assert columns.error_bound <= d.error_bound <= columns.error_bound * 1.1 + 1e-3 * (k == 0)
    for form in (csr_array, aslinearoperator):
        d = two_sided_id(form(A), **goal, rng=1)
        assert two_sided_error(A, d) <= d.error_bound


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_cur_of_a_decomposition(axis, form):
    A = smooth(dtype=np.complex128) if form is np.asarray else smooth()
    d = interp_decomp(form(A), 10, axis=axis, rng=0)
    c = d.to_cur()
    assert c.link == "cross"
    assert_array_equal(c.column_indices if axis == 1 else c.row_indices, d.indices)
    assert_allclose(c.reconstruct(), d.reconstruct(), atol=1e-9)
    assert d.error_bound <= c.error_bound <= d.error_bound * (1 + 1e-6)
    assert error(A, c) <= c.error_bound


@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("what", [cur, two_sided_id])
def test_results(what, form):
    A = smooth()
    d = what(form(A), 10, rng=0)
    other = pickle.loads(pickle.dumps(d))
    whole = d.reconstruct()
    assert_array_equal(other.reconstruct(), whole)
    assert repr(other) == repr(d)
    assert len(repr(d)) < 160
    assert f"shape={A.shape}" in repr(d)
    x = np.random.default_rng(0).standard_normal((A.shape[1], 3))
    assert_allclose(d @ x, whole @ x, atol=1e-7)
    L = d.as_linear_operator()
    assert isinstance(L, LinearOperator)
    assert_allclose(L @ x, whole @ x, atol=1e-7)
    assert_allclose(L.rmatvec(np.ones(A.shape[0])), whole.T @ np.ones(A.shape[0]), atol=1e-7)
    assert_array_equal(np.asarray(d), whole)
    assert d.dtype == A.dtype
    with pytest.raises(ValueError, match="always a new one"):
        np.asarray(d, copy=False)


@pytest.mark.parametrize("what", [cur, two_sided_id])
def test_messages(what):
    name = what.__name__
    with pytest.raises(ValueError, match=f"{name}: exactly one of 'rank' and 'tol'"):
        what(np.eye(3))
    with pytest.raises(ValueError, match=f"{name}: exactly one of 'rank' and 'tol'"):
        what(np.eye(3), 1, tol=0.1)
    with pytest.raises(ValueError, match=f"{name}: 'rank' must be at most 3 for A of shape"):
        what(np.ones((3, 5)), 4)
    with pytest.raises(ValueError, match=f"{name}: 'tol' must be >= 2.22045e-15 and < 1, got 1"):
        what(np.eye(3), tol=1)
    with pytest.raises(ValueError, match=f"{name}: 'select' must be one of"):
        what(np.eye(3), 1, select="best")
    with pytest.raises(TypeError, match=f"{name}: 'rank' must be an integer, got 2.0"):
        what(np.eye(3), 2.0)
    for bad in (np.nan, np.inf):
        A = np.ones((6, 5))
        A[4, 2] = bad
        for rank in (0, 2):
            with pytest.raises(ValueError, match=rf"{name}: 'A' must be finite, got {bad} at"):
                what(A, rank)


def test_messages_of_cur():
    with pytest.raises(ValueError, match="cur: 'link' must be one of"):
        cur(np.eye(3), 1, link="best")
    with pytest.raises(ValueError, match=r"cur: 'n_rows' must lie in 1\.\.3, got 4"):
        cur(np.eye(3), 1, n_rows=4)
    with pytest.raises(ValueError, match="cur: 'n_rows' must not be given unless 'rank' is"):
        cur(np.eye(3), tol=0.1, n_rows=2)
    with pytest.raises(ValueError, match="cur: 'select' must not be 'rpcholesky' unless A is"):
        cur(np.ones((3, 4)), 1, select="rpcholesky")
