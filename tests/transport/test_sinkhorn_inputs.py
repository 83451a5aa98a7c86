"""What entropic solvers refuse, and faults of other libraries that must not be ours."""

import warnings

import numpy as np
import pytest

import kexue_num
from kexue_num.transport import barycenter, sinkhorn, sinkhorn_batch, unbalanced
from tests.transport.test_sinkhorn import clouds, least_cost, marginal_error

A, B, C = [0.5, 0.5], [0.25, 0.75], [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"reg": 0}, ValueError, "'reg' must be > 0, got 0"),
        ({"reg": -1.0}, ValueError, "'reg' must be > 0, got -1.0"),
        ({"reg": np.nan}, ValueError, "'reg' must be > 0, got nan"),
        ({"reg": np.inf}, ValueError, "'reg' must be > 0, got inf"),
        ({"reg": "1"}, TypeError, "'reg' must be a real number"),
        ({"tol": 0.0}, ValueError, "'tol' must be > 0"),
        ({"tol": np.nan}, ValueError, "'tol' must be > 0"),
        ({"max_iter": 0}, ValueError, "'max_iter' must be >= 1"),
        ({"max_iter": 2.5}, TypeError, "'max_iter' must be an integer"),
        ({"a": [0.5, -0.5]}, ValueError, r"'a' must be finite and >= 0, got -0.5 at \[1\]"),
        ({"a": [0.5, np.nan]}, ValueError, r"'a' must be finite and >= 0, got nan at \[1\]"),
        ({"a": [0.0, 0.0]}, ValueError, "'a' must have a positive sum"),
        ({"a": [0.5, 0.5, 0.5]}, ValueError, r"'a' must have shape \(2,\)"),
        ({"a": [0.5, 0.6]}, ValueError, "'b' must sum to 1.1"),
        ({"b": [[0.5, 0.5]]}, ValueError, "'b' must be 1-dimensional"),
        ({"b": ["x", "y"]}, TypeError, "'b' must be an array of real numbers"),
        ({"C": [[0, np.nan], [0, 0]]}, ValueError, "'C' must be finite, or"),
        ({"C": [[0, -np.inf], [0, 0]]}, ValueError, "'C' must be finite, or"),
        ({"C": [0.0, 1.0]}, ValueError, "'C' must be 2-dimensional"),
        ({"C": np.zeros((0, 2))}, ValueError, "'C' must not be empty"),
        ({"C": np.zeros((2, 2), complex)}, TypeError, "'C' must be an array of real"),
        ({"init": 3}, TypeError, "'init' must be None, potentials"),
        ({"init": ([0.0], [0.0, 0.0])}, ValueError, "'init' must hold potentials of shapes"),
        ({"init": ([0.0, np.nan], [0.0, 0.0])}, ValueError, "'init' must be finite"),
        ({"workers": 0}, ValueError, "'workers' must lie in 1.."),
    ],
)
def test_bad_input(change, error, message):
    with pytest.raises(error, match=f"sinkhorn: {message}"):
        sinkhorn(**({"a": A, "b": B, "C": C, "reg": 0.1} | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reg": -1}, "'reg' must be > 0"),
        ({"A": [[0.5, 0.5, 0.0]]}, r"'A' must have shape \(B, 2\)"),
        ({"A": [[0.5, np.inf]]}, "'A' must be finite and >= 0"),
        ({"B": [B, [0.5, 0.6]]}, "'B' must have the sums of 'A' within 1e-09 of them"),
        ({"B": [B, B, B], "C": [C, C]}, "'C' must hold 3 problems or one"),
        ({"C": [0.0, 1.0]}, r"'C' must have shape \(n, m\) or \(B, n, m\)"),
        ({"C": [[0, np.nan], [0, 0]]}, "'C' must be finite, or"),
    ],
)
def test_bad_batch(change, message):
    with pytest.raises(ValueError, match=f"sinkhorn_batch: {message}"):
        sinkhorn_batch(**({"A": A, "B": B, "C": C, "reg": 0.1} | change))


def test_batch_names_the_problem():
    forbidden = [[np.inf, np.inf], [0.0, 0.0]]
    with pytest.raises(kexue_num.NumericalError, match="sinkhorn_batch: problem 1: row 0 has mass"):
        sinkhorn_batch(A, B, [C, forbidden], 0.1)
    for bad in (np.nan, -np.inf):
        with pytest.raises(ValueError, match=f"'C' must be finite, or .* got {bad} in problem 1"):
            sinkhorn_batch(A, B, [C, [[0.0, bad], [0.0, 0.0]]], 0.1)


def test_inputs_stay_as_they_are():
    a, b, costs = clouds(20, 30)
    before = [x.copy() for x in (a, b, costs)]
    for x in (a, b, costs):
        x.flags.writeable = False
    result = sinkhorn(a, b, costs, 0.01)
    assert result.plan.flags.writeable and result.rounded().flags.writeable
    unbalanced(a, 2 * b, costs, 0.01, 1.0)
    for x, y in zip((a, b, costs), before, strict=True):
        np.testing.assert_array_equal(x, y)


def test_memory_is_refused_before_it_is_taken():
    huge = np.lib.stride_tricks.as_strided(np.zeros(1), (2**24, 2**24), (0, 0))
    with pytest.raises(MemoryError, match=r"sinkhorn: .* would take"):
        sinkhorn(None, None, huge, 0.1)


# POT's issues 30, 34, 54, 194 and 311: underflow of exp(-C / reg) gave NaN or zero rows in silence.
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e8])
def test_nothing_underflows(scale):
    a, b, costs = clouds(60, 50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = sinkhorn(a, b, costs * scale, 1e-5 * scale)
        plan = result.plan
    assert result.converged and np.isfinite(plan).all() and plan.sum(1).min() > 0
    assert np.isfinite(result.value) and np.isfinite(result.potentials.f).all()


# POT's issue 54: a cluster so far from all others that its kernel row is 0.
def test_an_outlier_keeps_its_mass():
    rng = np.random.default_rng(0)
    x, y = rng.random((200, 2)), rng.random((180, 2))
    x[0] = 1e4
    costs = ((x[:, None] - y) ** 2).sum(-1)
    result = sinkhorn(None, None, costs, 0.01)
    assert result.converged and abs(result.plan[0].sum() - 1 / 200) <= 1e-12


# POT's issues 314, 321 and 748: stuck, without saying how far it came.
@pytest.mark.parametrize("reg", [1e-1, 1e-2, 1e-3])
def test_no_reg_is_stuck(reg):
    a, b, costs = clouds(350, 400)
    result = sinkhorn(a, b, costs, reg)
    assert result.converged and marginal_error(result.plan, a, b) <= 1e-9 + 1e-14


# POT's issues 93, 126 and 342: float32 masses "do not sum to one", and a plan of zeros.
def test_float32_masses_are_accepted():
    rng = np.random.default_rng(0)
    a, b = rng.random(1000).astype(np.float32), rng.random(900).astype(np.float32)
    a, b = a / a.sum(), b / b.sum()
    assert float(a.astype(float).sum()) != float(b.astype(float).sum())
    result = sinkhorn(a, b, rng.random((1000, 900)).astype(np.float32), 0.1)
    assert result.converged and result.plan.dtype == np.float32
    assert abs(float(result.plan.astype(float).sum()) - 1) <= 1e-6


# POT's issue 229: one enormous finite cost spoiled the others' digits.
def test_an_enormous_cost_is_an_avoided_arc():
    a, b, costs = clouds(12, 10)
    costs[3, 4] = 1e32
    result = sinkhorn(a, b, costs, 0.01)
    forbidden = np.where(costs < 1e31, costs, np.inf)
    assert result.converged and result.plan[3, 4] == 0
    np.testing.assert_allclose(result.plan, sinkhorn(a, b, forbidden, 0.01).plan, atol=1e-9)


# POT's issue 723 and GeomLoss's 34: unequal masses gave NaN.
def test_unequal_masses_are_unbalanced_or_an_error():
    a, b, costs = clouds(20, 30)
    with pytest.raises(ValueError, match="'b' must sum to"):
        sinkhorn(a, 1.1 * b, costs, 0.1)
    assert np.isfinite(unbalanced(a, 1.1 * b, costs, 1e-3, 0.1).plan).all()


# POT's issue 24: too few iterations gave a plan that was not one, with nothing to tell.
def test_an_early_stop_still_brackets_the_optimum():
    a, b, costs = clouds(40, 30)
    exact = least_cost(a, b, costs)
    for max_iter in (1, 3, 10):
        with pytest.warns(kexue_num.ConvergenceWarning, match="above tol"):
            result = sinkhorn(a, b, costs, 1e-3, max_iter=max_iter)
        assert not result.converged and result.marginal_error > 1e-9
        assert result.bracket.lower <= exact + 1e-12 and exact <= result.bracket.upper + 1e-12


# Its barycenters: bins without mass gave NaN, the stabilised variant stopped at errors of 1e-2.
def test_barycenters_of_empty_bins_and_small_reg():
    histograms = np.eye(40)[[3, 30]]
    x = np.linspace(0, 1, 40)
    for reg in (1e-2, 1e-4, 1e-6):
        p = barycenter(histograms, (x[:, None] - x) ** 2, reg)
        assert p.converged and np.isfinite(p).all() and abs(p.sum() - 1) <= 1e-9
        assert abs((p * np.arange(40)).sum() - 16.5) <= 0.51
