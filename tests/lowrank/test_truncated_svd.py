"""truncated_svd: triplets, certificates, tolerances, every kind of operand."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array, random_array
from scipy.sparse.linalg import aslinearoperator

from kexue_num import ConvergenceWarning
from kexue_num.lowrank import SVD, truncated_svd
from tests.oracles import lowrank as oracle
from tests.strategies import layouts

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)
FORMS = (np.asarray, csr_array, aslinearoperator)
examples = settings(derandomize=True, deadline=None, max_examples=30)
seeds = st.integers(0, 2**32 - 1)


def with_dtype(A, dtype):
    """A, turned by a phase per row where complex: the same singular values."""
    if np.dtype(dtype).kind == "c":
        A = np.exp(1j * np.arange(A.shape[0]))[:, None] * A
    return A.astype(dtype)


def check(A, svd, rank=None):
    """What every decomposition keeps: orthonormal vectors, ordered values, its bound."""
    assert isinstance(svd, SVD)
    k = len(svd.s)
    assert rank is None or k == rank
    assert (svd.U.shape, svd.Vh.shape) == ((A.shape[0], k), (k, A.shape[1]))
    assert (svd.U.dtype, svd.Vh.dtype) == (A.dtype, A.dtype)
    assert svd.s.dtype == A.real.dtype
    tight = 50 * np.finfo(A.dtype).eps * np.sqrt(max(A.shape) + 1)
    assert_allclose(svd.U.conj().T @ svd.U, np.eye(k), atol=tight)
    assert_allclose(svd.Vh @ svd.Vh.conj().T, np.eye(k), atol=tight)
    assert np.all(np.diff(svd.s) <= 0)
    assert np.all(svd.s >= 0)
    assert oracle.true_error(A, svd.U * svd.s, svd.Vh) <= svd.error_bound


@examples
@given(st.data(), seeds, st.integers(0, 90), st.integers(0, 90), st.sampled_from(DTYPES))
def test_definition(data, seed, m, n, dtype):
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(0, min(m, n) + 1))
    spread = 10.0 ** (-data.draw(st.sampled_from([0.0, 1.0, 3.0])) * np.arange(n) / max(n, 1))
    A = with_dtype(rng.standard_normal((m, n)) * spread, dtype)
    B = data.draw(layouts(A))
    A = np.ascontiguousarray(B).astype(dtype)
    svd = truncated_svd(B, rank, rng=seed)
    check(A, svd, rank)
    best = np.append(np.linalg.svd(A, compute_uv=False), 0.0)
    floor = 100 * np.finfo(dtype).eps * best[0]
    # The probability of a random block that misses a direction is nil at these sizes.
    assert oracle.true_error(A, svd.U * svd.s, svd.Vh) <= 1.05 * best[rank] + floor
    assert_allclose(svd.s, best[:rank], rtol=0.02, atol=floor)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", ["fast_decay", "slow_decay", "noise_floor", "kernel"])
def test_error_is_nearly_the_least(isa, family, form, dtype):
    A, rank = oracle.FAMILIES[family](np.random.default_rng(1))
    A = with_dtype(A, dtype)
    s = np.linalg.svd(A, compute_uv=False)
    for B in (A, A.T):
        svd = truncated_svd(form(B), rank, rng=2)
        check(B, svd, rank)
        assert svd.converged
        floor = 100 * np.finfo(dtype).eps * s[0]
        assert oracle.true_error(B, svd.U * svd.s, svd.Vh) <= 1.02 * s[rank] + floor
        assert svd.error_bound <= 3 * s[rank] + floor


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", ["fast_decay", "slow_decay", "kernel", "rank_deficient"])
@pytest.mark.parametrize("tol", [0.3, 0.05, 1e-3])
def test_tolerance(family, form, dtype, tol):
    A = with_dtype(oracle.FAMILIES[family](np.random.default_rng(3))[0], dtype)
    s = np.linalg.svd(A, compute_uv=False)
    svd = truncated_svd(form(A), tol=tol, rng=4)
    check(A, svd)
    assert svd.converged
    assert svd.error_bound <= tol * s[0] * (1 + 1e-6)
    least = int(np.count_nonzero(s > tol * s[0]))
    assert least <= len(svd.s) <= least + 3 + least // 4


def test_residuals_are_what_was_asked():
    A = oracle.slow_decay(np.random.default_rng(0))[0]
    for residual_tol in (0.5, 0.01, 1e-4):
        svd = truncated_svd(A, 20, residual_tol=residual_tol, rng=1)
        residual = A.T @ svd.U - svd.Vh.T * svd.s
        assert np.linalg.norm(residual, 2) <= 1.01 * residual_tol * np.linalg.svd(A)[1][20]
        assert_allclose(A @ svd.Vh.T, svd.U * svd.s, atol=1e-13)


def test_bound_holds_with_its_confidence():
    # Twice 200 trials at confidence 0.9: 20 failures expected at most, more than 37 with a
    # probability of 1e-4 (binomial). Fresh probes for the same matrix each time.
    rng = np.random.default_rng(0)
    for decay in (1.0, 3.0):
        A = oracle.with_spectrum(rng, 90, 70, (1.0 + np.arange(70.0)) ** -decay)
        failures = 0
        for seed in range(200):
            svd = truncated_svd(A, 5, confidence=0.9, rng=seed)
            failures += np.linalg.norm(A - svd.reconstruct(), 2) > svd.error_bound
        assert failures <= 37


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_scale(dtype):
    A = oracle.slow_decay(np.random.default_rng(0))[0].astype(dtype)
    one = truncated_svd(A, 10, rng=0)
    info = np.finfo(dtype)
    for exponent in (int(0.7 * info.minexp), int(0.8 * info.maxexp)):
        power = np.ldexp(1.0, exponent).astype(dtype)
        svd = truncated_svd(A * power, 10, rng=0)
        assert_allclose(svd.s / power, one.s, rtol=1e4 * info.eps)
        assert_allclose(svd.error_bound / float(power), one.error_bound, rtol=0.05)


def test_exact_rank_and_zero():
    A, _ = oracle.rank_deficient(np.random.default_rng(0))  # rank 12
    svd = truncated_svd(A, 30, rng=0)
    check(A, svd, 30)
    assert svd.error_bound <= 1e-11 * svd.s[0]
    assert np.all(svd.s[12:] <= 1e-12 * svd.s[0])
    for form in FORMS:
        Z = np.zeros((80, 70))
        svd = truncated_svd(form(Z), 3, rng=0)
        check(Z, svd, 3)
        assert_array_equal(svd.s, np.zeros(3))
        assert svd.error_bound == 0.0
        assert len(truncated_svd(form(Z), tol=0.1, rng=0).s) == 0


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (1, 1), (1, 100), (200, 1)])
@pytest.mark.parametrize("form", FORMS)
def test_small_shapes(shape, form):
    A = np.random.default_rng(0).standard_normal(shape)
    if min(shape) == 0 and form is not np.asarray:
        return
    for rank in range(min(shape) + 1):
        check(A, truncated_svd(form(A), rank, rng=0), rank)
    if min(shape):
        check(A, truncated_svd(form(A), tol=0.5, rng=0))


@pytest.mark.parametrize("form", FORMS)
def test_workers_do_not_matter(form):
    A = oracle.slow_decay(np.random.default_rng(0))[0]
    for goal in ({"rank": 20}, {"tol": 0.05}):
        one, two = (truncated_svd(form(A), **goal, rng=3, workers=w) for w in (1, 2))
        for name in ("U", "s", "Vh"):
            assert_array_equal(getattr(one, name), getattr(two, name))
        assert one.error_bound == two.error_bound


def test_products_with_a_sparse_matrix_stay_sparse():
    A = random_array((6000, 900), density=3e-3, rng=np.random.default_rng(0), format="csr")
    svd = truncated_svd(A, 5, rng=0)
    assert svd.converged
    assert_allclose(A @ svd.Vh.T, svd.U * svd.s, atol=1e-12 * svd.s[0])
    assert_allclose(svd.s[0], np.sqrt(np.linalg.eigvalsh((A.T @ A).toarray())[-1]), rtol=1e-3)


def test_result_stands_for_the_matrix():
    A = oracle.fast_decay(np.random.default_rng(0))[0]
    svd = truncated_svd(A, 20, rng=0)
    v = np.random.default_rng(1).standard_normal((A.shape[1], 3))
    whole = svd.reconstruct()
    assert_array_equal(np.asarray(svd), whole)
    assert_allclose(svd @ v, whole @ v)
    assert_allclose(svd @ v[:, 0], whole @ v[:, 0])
    assert_allclose(svd.as_linear_operator() @ v, whole @ v)
    assert_allclose(svd.as_linear_operator().rmatmat(whole), whole.T @ whole)
    assert (svd.rank, svd.shape, svd.dtype) == (20, A.shape, A.dtype)


def test_too_few_steps_are_told():
    A = np.random.default_rng(0).standard_normal((300, 200))
    with pytest.warns(ConvergenceWarning, match=r"truncated_svd: residual_tol=1e-09 was not"):
        svd = truncated_svd(A, 10, residual_tol=1e-9, max_iter=2, rng=0)
    assert not svd.converged
    assert svd.n_iter == 2
    check(A, svd, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert truncated_svd(A, 10, rng=0).converged


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        (
            (np.eye(3),),
            {},
            ValueError,
            "exactly one of 'rank' and 'tol' must be given, got neither",
        ),
        ((np.eye(3), 1), {"tol": 0.1}, ValueError, "got both"),
        ((np.eye(3), 4), {}, ValueError, "'rank' must be at most 3"),
        ((np.eye(3), -1), {}, ValueError, "'rank' must be >= 0"),
        ((np.eye(3), 2.0), {}, TypeError, "'rank' must be an integer"),
        ((np.eye(3),), {"tol": 1.0}, ValueError, "'tol'"),
        ((np.eye(3),), {"tol": 1e-16}, ValueError, "'tol'"),
        ((np.ones(3), 1), {}, ValueError, "'A' must be 2-dimensional"),
        ((np.full((80, 80), np.nan), 1), {}, ValueError, "'A' must be finite"),
        ((np.full((5, 4), np.inf), 1), {}, ValueError, "'A' must be finite"),
        ((csr_array(np.full((80, 80), np.inf)), 1), {}, ValueError, "'A' must be finite"),
        ((np.eye(3), 1), {"residual_tol": 0.0}, ValueError, "'residual_tol'"),
        ((np.eye(3), 1), {"max_iter": 0}, ValueError, "'max_iter'"),
        ((np.eye(3), 1), {"confidence": 1.0}, ValueError, "'confidence'"),
        ((np.eye(3, dtype=object), 1), {}, TypeError, "'A' must be an array"),
    ],
)
def test_messages(arguments, options, error, text):
    with pytest.raises(error, match="truncated_svd: .*" + text):
        truncated_svd(*arguments, **options)


def test_values_beyond_the_range_are_infinite():
    most = np.finfo(np.float64).max
    found = truncated_svd(np.full((8, 4), most), rank=1)
    assert found.s[0] == np.inf
    np.testing.assert_allclose(np.abs(found.U), 8**-0.5)
    np.testing.assert_allclose(np.abs(found.Vh), 0.5)
    assert truncated_svd(np.diag([most, most, most / 2]), rank=2).error_bound >= most / 2
    assert truncated_svd(np.full((8, 4), most), rank=0).error_bound == np.inf
