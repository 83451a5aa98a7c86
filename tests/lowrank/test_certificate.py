"""The error bound holds as often as it says, and is not bought with emptiness.

Coverage is counted over 10 000 independent decompositions (2000 for the variants). A count passes
unless a binomial law whose rate is exactly 1 - confidence would exceed it with probability below
1e-6; with 22 counts that is a false-alarm rate of at most 2.2e-5 for the file, and the seeds are
fixed.
"""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import aslinearoperator
from scipy.stats import binom

from kexue_num.lowrank import interp_decomp
from tests.oracles import lowrank as oracle

FALSE_ALARM = 1e-6


def rank_one_residual(rng, dtype):
    """Rank 4 asked for 3: all of the error lies in one direction, the worst case for probes."""
    return normal(rng, (14, 4), dtype) @ normal(rng, (4, 12), dtype)


def flat_residual(rng, dtype):
    return normal(rng, (14, 12), dtype)


def normal(rng, shape, dtype):
    A = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        A = A + 1j * rng.standard_normal(shape)
    return A.astype(dtype)


def trials(make, dtype=np.float64, count=10_000, operand=lambda A: A, **options):
    """True errors, bounds and estimates of `count` decompositions with independent randomness."""
    rng = np.random.default_rng(7)
    residuals, bounds, estimates = [], [], []
    for _ in range(count):
        A = make(rng, dtype)
        d = interp_decomp(operand(A), rng=rng, **options)
        residuals.append(A - d.reconstruct())
        bounds.append(d.error_bound)
        estimates.append(d.error_estimate)
    return np.linalg.norm(residuals, 2, axis=(1, 2)), np.array(bounds), np.array(estimates)


def check_coverage(true, bounds, confidence):
    allowed = binom.isf(FALSE_ALARM, len(true), 1 - confidence)
    assert np.count_nonzero(true > bounds) <= allowed


@pytest.mark.parametrize("confidence", [0.9, 0.99, 0.999])
def test_coverage(confidence):
    true, bounds, estimates = trials(rank_one_residual, rank=3, confidence=confidence)
    check_coverage(true, bounds, confidence)
    assert np.all(estimates <= bounds)
    assert np.all(estimates > 0)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_coverage_in_other_dtypes(dtype):
    true, bounds, _ = trials(rank_one_residual, dtype, count=2000, rank=3, confidence=0.9)
    check_coverage(true, bounds, 0.9)


@pytest.mark.parametrize(
    "options",
    [{"refine": "exact"}, {"method": "deterministic"}, {"axis": 0}, {"z_bound": 1.1}],
    ids=str,
)
def test_coverage_of_other_ways(options):
    true, bounds, _ = trials(rank_one_residual, count=2000, rank=3, confidence=0.9, **options)
    check_coverage(true, bounds, 0.9)


@pytest.mark.parametrize("operand", [csr_array, aslinearoperator])
def test_coverage_of_sparse_matrices_and_operators(operand):
    true, bounds, _ = trials(rank_one_residual, count=2000, operand=operand, rank=3, confidence=0.9)
    check_coverage(true, bounds, 0.9)


@pytest.mark.parametrize(("confidence", "factor"), [(0.9, 2.0), (0.99, 3.0), (0.999, 4.0)])
def test_the_bound_is_not_vacuous(confidence, factor):
    # Probes see the Frobenius norm of the residual: that is what a bound may cost at most.
    for make, stable_rank in ((rank_one_residual, 1.0), (flat_residual, 5.0)):
        true, bounds, estimates = trials(make, count=300, rank=3, confidence=confidence)
        assert np.median(bounds / true) <= factor * np.sqrt(stable_rank)
        assert 0.5 <= np.median(estimates / true) <= 1.5 * np.sqrt(stable_rank)


@pytest.mark.parametrize("tol", [0.1, 0.3])
def test_coverage_of_a_tolerance(tol):
    # Ranks are tried until one passes: the tests must share the failures between them.
    true, bounds, _ = trials(flat_residual, count=2000, tol=tol, confidence=0.5)
    check_coverage(true, bounds, 0.5)


def test_more_confidence_costs_more():
    A = flat_residual(np.random.default_rng(0), np.float64)
    bounds = [interp_decomp(A, 3, confidence=c, rng=0).error_bound for c in (0.5, 0.9, 0.999999)]
    assert bounds == sorted(set(bounds))


@pytest.mark.parametrize("family", ["fast_decay", "slow_decay", "kernel", "noise_floor"])
@pytest.mark.parametrize("refine", ["sketch", "exact"])
def test_the_bound_on_real_sizes(family, refine):
    A, rank = oracle.FAMILIES[family](np.random.default_rng(1))
    true, bounds = [], []
    for seed in range(100):
        d = interp_decomp(A, rank, refine=refine, confidence=0.99, rng=seed)
        true.append(np.linalg.norm(A - d.reconstruct(), 2))
        bounds.append(d.error_bound)
    # The same matrix, fresh probes: the trials are independent in what the bound depends on.
    check_coverage(np.array(true), np.array(bounds), 0.99)
    assert np.median(np.divide(bounds, true)) <= 12.0


@pytest.mark.parametrize("method", ["randomized", "deterministic"])
def test_the_bound_of_an_exact_decomposition_is_rounding(method):
    A, _ = oracle.rank_deficient(np.random.default_rng(0))
    d = interp_decomp(A, 12, method=method, rng=0)
    true = oracle.true_error(A, d.skeleton, d.coefficients)
    assert true <= d.error_bound <= 1e-11 * oracle.spectral_norm(A)


def test_zero_error_is_reported_as_zero():
    assert interp_decomp(np.zeros((5, 4)), 2, rng=0).error_bound == 0.0
    assert interp_decomp(np.zeros((5, 4)), tol=0.1, rng=0).error_bound == 0.0


def test_rank_zero_bounds_the_norm_of_the_matrix():
    def whole(rng, dtype):
        return normal(rng, (14, 1), dtype) @ normal(rng, (1, 12), dtype)

    true, bounds, _ = trials(whole, count=2000, rank=0, confidence=0.9)
    check_coverage(true, bounds, 0.9)
