"""partial against linear programs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import eye_array, kron, vstack

import kexue_num
from kexue_num.transport import emd, partial


def linear_program(a, b, C, mass):
    n, m = C.shape
    allowed = np.isfinite(C).ravel()
    rows, cols = kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))
    matrix = vstack([rows, cols]).tocsc()[:, allowed]
    total = np.ones((1, int(allowed.sum())))
    found = linprog(C.ravel()[allowed], A_ub=matrix, b_ub=np.r_[a, b], A_eq=total, b_eq=[mass],
                    method="highs")  # fmt: skip
    return found.fun if found.status == 0 else None


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 25), m=st.integers(1, 25), share=st.sampled_from([0, 0.1, 0.5, 0.9, 1]),
       forbidden=st.booleans(), seed=st.integers(0, 2**32))  # fmt: skip
def test_linear_program(n, m, share, forbidden, seed):
    rng = np.random.default_rng(seed)
    a, b, C = rng.random(n), rng.random(m), rng.normal(size=(n, m))
    if forbidden:
        C[rng.random((n, m)) < 0.3] = np.inf
    mass = share * min(a.sum(), b.sum())
    expected = linear_program(a, b, C, mass) if np.isfinite(C).any() else None
    if expected is None and mass > 0:
        with pytest.raises(kexue_num.NumericalError, match="partial: the forbidden"):
            partial(a, b, C, mass)
        return
    if not np.isfinite(C).any():
        return
    result = partial(a, b, C, mass)
    assert result.value == pytest.approx(expected, abs=1e-8)
    lower, upper = result.bracket
    assert lower - 1e-8 <= expected <= upper + 1e-8
    plan = result.plan
    assert (plan.sum(1) <= a + 1e-14).all() and (plan.sum(0) <= b + 1e-14).all()
    assert plan.sum() == pytest.approx(mass, abs=1e-13)
    f, g = result.potentials
    assert max(f.max(), g.max()) <= 1e-13
    assert (C - f[:, None] - g - result.multiplier).min() >= -1e-12
    dual = a @ f + b @ g + mass * result.multiplier
    assert dual == pytest.approx(result.dual_value, abs=1e-12)
    assert result.gap <= 1e-12 and result.converged


def test_gradients_and_multiplier_by_differences():
    rng = np.random.default_rng(0)
    a, b, C = rng.random(7), rng.random(6), rng.random((7, 6))
    result, step = partial(a, b, C, 1.0), 1e-6
    rise = partial(a, b, C, 1 + step).value - partial(a, b, C, 1 - step).value
    assert rise / (2 * step) == pytest.approx(result.multiplier, abs=1e-8)
    direction = rng.normal(size=7)
    rise = partial(a + step * direction, b, C, 1.0).value
    rise -= partial(a - step * direction, b, C, 1.0).value
    assert rise / (2 * step) == pytest.approx(result.gradients.a @ direction, abs=1e-8)


def test_everything_is_emd():
    rng = np.random.default_rng(1)
    a, b, C = rng.dirichlet(np.ones(60)), rng.dirichlet(np.ones(70)), rng.random((60, 70))
    assert partial(a, b, C, 1.0).value == pytest.approx(emd(a, b, C).value, rel=1e-13)


def test_nothing_costs_nothing():
    result = partial(None, None, np.ones((3, 4)), 0)
    assert result.value == 0 and (result.plan == 0).all()


def test_refusals():
    for mass in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="partial: 'mass' must be"):
            partial(None, None, np.ones((2, 2)), mass)
