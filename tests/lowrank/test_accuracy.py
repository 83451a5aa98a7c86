"""The error beside that of column-pivoted QR in extended precision, on easy and hostile matrices.

Each seed draws a matrix of the family and its decomposition. Medians, because column-pivoted QR
too has good and bad luck; the seeds are fixed.
"""

import functools

import mpmath
import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator

from kexue_num.lowrank import _run, interp_decomp
from tests.oracles import lowrank as oracle

SEEDS = range(7)
# Below this part of ||A|| an error is rounding.
ROUNDING = 1e-13

# The families on which column-pivoted QR itself does well, so that it is the measure.
MEASURED = (
    "fast_decay",
    "slow_decay",
    "noise_floor",
    "kernel",
    "gaussian_kernel",
    "hilbert",
    "duplicated_columns",
    "rank_deficient",
    "graded_rows",
    "heavy_rows",
    "centred_columns",
)


@functools.cache
def case(family, seed):
    """The matrix, the rank, the error of column-pivoted QR and the singular values."""
    A, rank = oracle.FAMILIES[family](np.random.default_rng(seed))
    return A, rank, oracle.pivoted_qr_error(A, rank), oracle.singular_values(A)


def error(A, rank, operand=None, **options):
    """True error of a result that obeys the coefficient bound."""
    d = interp_decomp(A if operand is None else operand, rank, **options)
    assert np.abs(d.coefficients).max() <= 2.0
    return oracle.true_error(A, d.skeleton, d.coefficients)


def ratios(family, **options):
    """Errors over those of column-pivoted QR, one matrix per seed; rounding counts for nothing."""
    found = []
    for seed in SEEDS:
        A, rank, reference, s = case(family, seed)
        found.append(error(A, rank, rng=seed, **options) / max(reference, ROUNDING * s[0]))
    return np.array(found)


@pytest.mark.parametrize("family", MEASURED)
def test_default_error(family):
    found = ratios(family)
    assert np.median(found) <= 1.7
    assert found.max() <= 3.0


@pytest.mark.parametrize("family", MEASURED)
def test_error_with_exact_coefficients(family):
    assert np.median(ratios(family, refine="exact")) <= 1.2


@pytest.mark.parametrize("family", MEASURED)
def test_deterministic_error(family):
    assert ratios(family, method="deterministic").max() <= 1.01


@pytest.mark.parametrize("family", ["fast_decay", "slow_decay", "kernel", "centred_columns"])
def test_operator_error(family):
    dense, operator = [], []
    for seed in range(15):
        A, rank = oracle.FAMILIES[family](np.random.default_rng(seed))
        dense.append(error(A, rank, rng=seed))
        operator.append(error(A, rank, operand=aslinearoperator(A), rng=seed))
    assert np.median(np.divide(operator, dense)) <= 1.5


@pytest.fixture
def products(monkeypatch):
    """Whether the exact products of a decomposition were rounded, however small they are."""
    taken = []
    factors = _run.Run.exact_factors

    def record(self, pivots, r11, rounded=False):
        taken.append(rounded)
        return factors(self, pivots, r11, rounded)

    monkeypatch.setattr(_run, "_LONG_PRODUCT", 0)
    monkeypatch.setattr(_run.Run, "exact_factors", record)
    return taken


@pytest.mark.parametrize("family", oracle.FAMILIES)
def test_rounded_products_do_not_show(family, products):
    A, rank = oracle.FAMILIES[family](np.random.default_rng(0))
    d = interp_decomp(A, rank, refine="exact", rng=0)
    if products:
        assert products[0] or family not in ("slow_decay", "noise_floor")
    best = np.linalg.norm(oracle.residual(A, d.indices))
    norm = np.linalg.norm(A)
    found = np.linalg.norm(oracle.wide(A) - oracle.wide(d.skeleton) @ oracle.wide(d.coefficients))
    assert found <= best * (1 + 1e-7) + 1e-13 * norm
    assert d.max_abs_coefficient <= 2
    np.testing.assert_array_equal(d.coefficients[:, d.indices], np.eye(rank))


def test_rounding_that_might_show_is_taken_back(products):
    # Three columns of 2003 are all that five columns leave: too little beside the whole.
    rng = np.random.default_rng(1)
    A = np.zeros((100, 2003))
    A[:5, :2000] = rng.standard_normal((5, 2000))
    A[50:53, 2000:] = 0.03 * np.eye(3)
    d = interp_decomp(A, 5, refine="exact", rng=0)
    assert products == [True, False]
    assert np.linalg.norm(A - d.reconstruct()) <= 0.03 * 3**0.5 * (1 + 1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1e30, 1e200])
def test_products_are_not_rounded_beyond_single_precision(scale, products):
    A, rank = oracle.FAMILIES["slow_decay"](np.random.default_rng(0))
    interp_decomp(A * scale, rank, refine="exact", rng=0)
    assert products == [False]
    interp_decomp(A, rank, refine="exact", rng=0)
    assert products[1:] == [True]


@pytest.mark.parametrize("method", ["randomized", "deterministic"])
@pytest.mark.parametrize("refine", ["sketch", "exact"])
@pytest.mark.parametrize("family", ["kahan", "gu_eisenstat", "outlier_column"])
def test_bounded_coefficients_bound_the_error(family, method, refine):
    # Column-pivoted QR: coefficients of 1e9 on the Kahan matrix, 2e4 on the other. Bounded by 2,
    # the best coefficients leave at most sqrt(1 + 4 k (n - k)) sigma_{k+1}; sketched ones may lose
    # a factor of 1.7 more.
    for seed in SEEDS:
        A, rank, _, s = case(family, seed)
        limit = oracle.strong_rrqr_factor(A, rank, 2.0) * s[rank]
        found = error(A, rank, method=method, refine=refine, rng=seed)
        assert found <= max(1.7 * limit, ROUNDING * s[0])


@pytest.mark.parametrize("family", ["fast_decay", "slow_decay", "kernel"])
@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.complex128])
def test_error_in_other_dtypes(family, dtype):
    found = []
    for seed in SEEDS:
        A, rank, reference, _ = case(family, seed)
        if np.dtype(dtype).kind == "c":  # a unitary factor on the left changes no error
            A = A * np.exp(1j * np.arange(A.shape[0]))[:, None]
        found.append(error(A.astype(dtype), rank, rng=seed) / reference)
    assert np.median(found) <= 1.7


def test_single_precision_chooses_the_same_columns():
    """The same sketch and the same candidates: rounding alone decides nothing."""
    for seed in SEEDS:
        A, rank, _, _ = case("slow_decay", seed)
        double = interp_decomp(A, rank, rng=seed)
        single = interp_decomp(A.astype(np.float32), rank, rng=seed)
        assert len(np.intersect1d(double.indices, single.indices)) >= 0.95 * rank
        wide = oracle.true_error(A, double.skeleton, double.coefficients)
        assert oracle.true_error(A, single.skeleton, single.coefficients) <= 1.01 * wide


@pytest.mark.parametrize("family", ["fast_decay", "slow_decay", "gaussian_kernel"])
def test_rows_are_as_good_as_columns(family):
    found = []
    for seed in SEEDS:
        A, rank, reference, _ = case(family, seed)
        d = interp_decomp(np.ascontiguousarray(A.T), rank, axis=0, rng=seed)
        found.append(oracle.true_error(A.T, d.coefficients, d.skeleton) / reference)
    assert np.median(found) <= 1.7


@pytest.mark.parametrize("rank", [1, 2, 3, 8])
def test_hilbert_matrix_against_mpmath(rank):
    """The coefficients are the best ones for the chosen columns, to 40 digits."""
    n = 12
    A = 1.0 / (1.0 + np.add.outer(np.arange(n), np.arange(n)))
    d = interp_decomp(A, rank, method="deterministic", rng=0)
    with mpmath.workdps(40):
        exact = mpmath.matrix(A.tolist())
        C = mpmath.matrix(d.skeleton.tolist())
        best = (C.T * C) ** -1 * C.T * exact
        least, ours = (
            float(max(mpmath.svd_r(exact - C * Z, compute_uv=False)))
            for Z in (best, mpmath.matrix(d.coefficients.tolist()))
        )
    assert least <= ours <= least * (1 + 1e-6) + 1e-15
    assert ours <= d.error_bound
