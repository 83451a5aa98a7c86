"""Unbalanced entropic transport against extended precision, its optimality and its limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kexue_num
from kexue_num.transport import sinkhorn, unbalanced
from tests.oracles import sinkhorn as oracle
from tests.transport.test_sinkhorn import clouds, least_cost

PAIRS = [(1.0, 1.0), (0.3, 2.0), (np.inf, 0.5), (0.5, np.inf), (50.0, 50.0)]


def asked(result, a, b, reg_m):
    """The marginals that the potentials ask for."""
    return a * np.exp(-result.potentials.f / reg_m[0]), b * np.exp(-result.potentials.g / reg_m[1])


@pytest.mark.parametrize("reg_m", PAIRS)
@pytest.mark.parametrize("reg", [0.5, 0.05])
def test_agrees_with_extended_precision(reg, reg_m, isa):
    a, b, C = clouds(9, 8)
    b = b * 1.7
    f, g, P = oracle.solve(a, b, C, reg, reg_m)
    result = unbalanced(a, b, C, reg, reg_m, tol=1e-13)
    np.testing.assert_allclose(result.plan, P.astype(float), rtol=1e-9, atol=1e-14)
    best = float(oracle.objective(P, a, b, C, reg, reg_m))
    assert abs(result.objective - best) <= 1e-11 and abs(result.dual_value - best) <= 1e-11
    if np.inf not in reg_m:
        np.testing.assert_allclose(result.potentials.f, f.astype(float), atol=1e-9)
        np.testing.assert_allclose(result.potentials.g, g.astype(float), atol=1e-9)


@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from(PAIRS),
    st.sampled_from([1.0, 0.05, 1e-3]),
    st.sampled_from([0.1, 1.0, 30.0]),
    st.integers(0, 2**32),
)
@settings(max_examples=30)
def test_is_optimal(n, m, reg_m, reg, total, seed):
    rng = np.random.default_rng(seed)
    a, b, C = rng.random(n) + 1e-3, rng.random(m) * total + 1e-3, rng.random((n, m))
    result = unbalanced(a, b, C, reg, reg_m)
    P, (f, g) = result.plan, result.potentials
    assert result.converged and result.marginal_error <= 1e-9
    shape = np.outer(a, b) * np.exp((f[:, None] + g - C) / reg)
    np.testing.assert_allclose(P, shape, rtol=1e-9, atol=1e-100)
    rows, cols = asked(result, a, b, reg_m)
    assert np.abs(P.sum(1) - rows).sum() <= 1.1e-9 and np.abs(P.sum(0) - cols).sum() <= 1.1e-9
    size = 1 + abs(result.objective) + np.abs(f).max() + np.abs(g).max()
    assert 0 <= result.gap <= 1e-8 * size
    assert abs(result.objective - float(oracle.objective(P, a, b, C, reg, reg_m))) <= 1e-8 * size


@pytest.mark.parametrize("reg", [1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("reg_m", [0.01, 1.0, 1e4])
def test_converges_at_small_reg(reg, reg_m):
    a, b, C = clouds(70, 60)
    result = unbalanced(a, 1.5 * b, C, reg, reg_m)
    assert result.converged and np.isfinite(result.plan).all()


def test_limits():
    a, b, C = clouds(30, 25)
    balanced = sinkhorn(a, b, C, 0.05)
    fixed = unbalanced(a, b, C, 0.05, np.inf)
    np.testing.assert_allclose(fixed.plan, balanced.plan, atol=1e-12)
    heavy = unbalanced(a, b, C, 0.05, 1e7)
    assert abs(heavy.value - balanced.value) <= 1e-6
    one_sided = unbalanced(a, 2 * b, C, 0.05, (np.inf, 1.0))
    np.testing.assert_allclose(one_sided.apply(np.ones(25)), a, atol=1e-12)
    bracket = unbalanced(a, b, C, 0.05, 1.0).bracket
    assert bracket.lower <= least_cost(a, b, C) <= bracket.upper
    with pytest.raises(kexue_num.NumericalError, match="no plan has these marginals"):
        _ = unbalanced(a, 2 * b, C, 0.05, 1.0).bracket


@pytest.mark.parametrize("reg_m", PAIRS)
def test_gradients_against_differences(reg_m):
    a, b, C = clouds(6, 5)
    b, reg, step = 1.3 * b, 0.1, 1e-6
    gradients = unbalanced(a, b, C, reg, reg_m, tol=1e-13).gradients

    def slope(da, db, dC):
        up = unbalanced(a + da, b + db, C + dC, reg, reg_m, tol=1e-13).objective
        return (up - unbalanced(a - da, b - db, C - dC, reg, reg_m, tol=1e-13).objective) / step / 2

    for i in range(5):
        unit = step * np.eye(6)[i]
        assert abs(slope(unit, 0, 0) - gradients.a[i]) < 1e-6
        assert abs(slope(0, unit[:5], 0) - gradients.b[i]) < 1e-6
    dC = np.zeros_like(C)
    dC[2, 3] = step
    assert abs(slope(0, 0, dC) - gradients.C[2, 3]) < 1e-6


def test_zero_masses_forbidden_arcs_and_workers():
    a, b, C = clouds(500, 400)
    a[:50], b[-30:] = 0, 0
    C[100:, ::7] = np.inf
    one, two = (unbalanced(a, b, C, 0.01, 1.0, workers=k) for k in (1, 2))
    assert one.converged and one.value == two.value
    P = one.plan
    np.testing.assert_array_equal(P, two.plan)
    assert P[:50].max() == 0 and P[:, -30:].max() == 0 and P[100:, ::7].max() == 0
    assert np.isfinite(one.potentials.f).all() and np.isfinite(one.potentials.g).all()


@pytest.mark.parametrize(
    ("reg", "reg_m", "error", "message"),
    [
        (0.1, 0, ValueError, "'reg_m' must be > 0"),
        (0.1, (1, -1), ValueError, "'reg_m' must be > 0"),
        (0.1, (1, 2, 3), ValueError, "'reg_m' must be one number or two"),
        (0.1, "1", TypeError, "'reg_m' must be a real number"),
        (0.1, np.nan, ValueError, "'reg_m' must be > 0"),
        (-0.1, 1, ValueError, "'reg' must be > 0"),
        (np.inf, 1, ValueError, "'reg' must be > 0"),
    ],
)
def test_bad_input(reg, reg_m, error, message):
    with pytest.raises(error, match=f"unbalanced: {message}"):
        unbalanced([1.0, 1.0], [1.0], [[0.0], [1.0]], reg, reg_m)
    with pytest.raises(ValueError, match="'b' must sum to"):
        unbalanced([1.0, 1.0], [1.0], [[0.0], [1.0]], 0.1, np.inf)
