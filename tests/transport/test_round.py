"""round_plan: marginals, distance, layouts, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kexue_num
from kexue_num.transport import round_plan
from tests.strategies import layouts


def problem(seed, n, m, dtype=np.float64):
    rng = np.random.default_rng(seed)
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    plan = np.outer(a, b) * rng.uniform(0.5, 2, (n, m))
    return plan.astype(dtype), a, b


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 40), m=st.integers(1, 40))
def test_marginals_and_distance(seed, n, m):
    plan, a, b = problem(seed, n, m)
    rounded = round_plan(plan, a, b)
    assert (rounded >= 0).all()
    np.testing.assert_allclose(rounded.sum(1), a, rtol=0, atol=1e-15)
    np.testing.assert_allclose(rounded.sum(0), b, rtol=0, atol=1e-15)
    error = np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum()
    assert np.abs(rounded - plan).sum() <= 2 * error + 1e-14


def test_a_plan_is_kept():
    _, a, b = problem(1, 7, 9)
    np.testing.assert_allclose(round_plan(np.outer(a, b), a, b), np.outer(a, b), atol=1e-16)


def test_zeros_become_the_product_plan():
    _, a, b = problem(2, 5, 4)
    np.testing.assert_allclose(round_plan(np.zeros((5, 4)), a, b), np.outer(a, b), atol=1e-16)


def test_workers_do_not_change_the_result():
    plan, a, b = problem(3, 301, 203)
    with kexue_num.worker_limit(1):
        one = round_plan(plan, a, b)
    assert np.array_equal(one, round_plan(plan, a, b, workers=2))


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_layouts(data):
    plan, a, b = problem(4, 5, 6)
    given_plan = data.draw(layouts(plan))
    expected = round_plan(np.array(given_plan, np.float64), a, b)
    assert np.array_equal(round_plan(given_plan, data.draw(layouts(a)) * 0 + a, b), expected)


def test_float32_stays():
    plan, a, b = problem(5, 20, 30, np.float32)
    rounded = round_plan(plan, a.astype(np.float32), b.astype(np.float32))
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded.sum(1), a, atol=1e-6)


@pytest.mark.parametrize(
    ("plan", "a", "b", "text"),
    [
        ([[np.nan]], [1.0], [1.0], "'P' must be finite and >= 0, got nan"),
        ([[-1.0]], [1.0], [1.0], "'P' must be finite and >= 0, got -1.0"),
        ([[1.0]], [1.0, 2.0], [1.0], "'a' must have shape"),
        ([[1.0]], [1.0], [2.0], "'b' must sum to 1.0"),
        ([[1.0]], [0.0], [1.0], "'a' must have a positive sum"),
        (np.zeros((0, 2)), [], None, "'P' must not be empty"),
    ],
)
def test_refusals(plan, a, b, text):
    with pytest.raises(ValueError, match="round_plan: ") as error:
        round_plan(plan, a, b)
    assert text in str(error.value)
