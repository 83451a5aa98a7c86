"""emd_1d and sliced: exact fractions, closed forms, batches."""

import os
import signal
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import kexue_num
from kexue_num.transport import emd, emd_1d, sliced
from tests.oracles import transport as oracle
from tests.strategies import layouts

POINTS = st.floats(-100, 100, width=32)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), n=st.integers(1, 12), m=st.integers(1, 12),
       p=st.sampled_from([1, 2, 3, None]), weighted=st.booleans())  # fmt: skip
def test_fractions(data, n, m, p, weighted):
    x = data.draw(hnp.arrays(float, n, elements=POINTS))
    y = data.draw(hnp.arrays(float, m, elements=POINTS))
    a, b = np.ones(n), np.ones(m)
    if weighted:
        a = data.draw(hnp.arrays(float, n, elements=st.integers(0, 5)))
        b = data.draw(hnp.arrays(float, m, elements=st.integers(0, 5)))
        a[0] += 1
        b[0] += 1
    expected = float(oracle.line(x, y, a / a.sum(), b / b.sum(), p))
    masses = (a / a.sum(), b / b.sum()) if weighted else (None, None)
    value = emd_1d(x, y, *masses, p=np.inf if p is None else p)
    if p is None and weighted:
        # Rounding of masses may open or close a cell of mass 1e-17.
        return
    assert value == pytest.approx(expected, rel=1e-13, abs=1e-13 * 200 ** (p or 1))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 40), m=st.integers(1, 40),
       p=st.sampled_from([1, 1.5, 2, 4]))  # fmt: skip
def test_plan_and_potentials(seed, n, m, p):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 20, n) / 4, rng.normal(size=m)
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    a[0] = 0
    a = a / a.sum() if n > 1 else np.ones(1)
    C = np.abs(x[:, None] - y) ** p
    result = emd_1d(x, y, a, b, p=p, return_plan=True)
    np.testing.assert_allclose(result.plan.sum(1), a, atol=1e-14)
    np.testing.assert_allclose(result.plan.sum(0), b, atol=1e-14)
    f, g = result.potentials
    assert (C - f[:, None] - g).min() >= -1e-11 * C.max()
    assert result.gap <= 1e-13 * max(1, C.max())
    assert result.value == pytest.approx(emd_1d(x, y, a, b, p=p), rel=1e-12)
    assert result.value == pytest.approx(emd(a, b, C).value, rel=1e-10, abs=1e-12)
    lower, upper = result.bracket
    assert lower <= emd(a, b, C).bracket.upper and upper >= emd(a, b, C).bracket.lower


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_bracket_holds_the_exact_cost(p, offset):
    # Far from zero the costs differ by little: potentials lose digits along a long staircase.
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(2, 400))
    a, b = (m / 4096 for m in rng.multinomial(4096, np.full(400, 1 / 400), 2))
    result = emd_1d(x + offset, y - offset, a, b, p=p, return_plan=True)
    exact = oracle.line(x + offset, y - offset, a, b, p)
    lower, upper = result.bracket
    assert lower <= exact <= upper and upper - lower <= 1e-11 * upper


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill does not raise SIGINT on Windows")
@pytest.mark.parametrize("call", ["emd_1d", "sliced"])
def test_keyboard_interrupts(call):
    x = np.arange(12_000_000 if call == "emd_1d" else 1000) * 0.75 % 977
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        if call == "emd_1d":
            emd_1d(x, np.sqrt(x), p=1.5)
        else:
            sliced(x[:, None], -x[:, None], n_projections=10**7, rng=0)
    timer.join()


def test_overflow_is_an_error():
    x, y = np.array([0.0, 1e200]), np.array([-1e200, 1.0])
    for options in ({}, {"return_plan": True}):
        with pytest.raises(kexue_num.NumericalError, match=r"emd_1d: \|x - y\|\*\*2 overflows"):
            emd_1d(x, y, p=2, **options)
    with pytest.raises(kexue_num.NumericalError, match="sliced: "):
        sliced(x[:, None], y[:, None], n_projections=2, rng=0)
    assert emd_1d(x, y) == pytest.approx(1e200)


@pytest.mark.parametrize("n", [10, 300, 20_000])
@pytest.mark.parametrize("kind", ["normal", "integers", "float32", "equal", "negative", "runs"])
def test_long_inputs_are_sorted(n, kind):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, n)) * 1e3
    if kind == "integers":
        x, y = np.round(x), np.round(y)
    elif kind == "float32":
        x, y = x.astype(np.float32), y.astype(np.float32)
    elif kind == "equal":
        x, y = np.full(n, 2.0), np.full(n, -1.0)
    elif kind == "negative":
        x, y = -np.abs(x) - 1e6, -np.abs(y) * 1e-300
    elif kind == "runs":
        # Many numbers that differ in their last bits only, of which most are again the same.
        last = rng.integers(0, 8, (2, n)) + (rng.integers(0, 16, (2, n)) << 31)
        x, y = rng.choice([-3.0, 1.0], (2, n)) * (1 + last * 2.0**-52)
    expected = np.abs(np.sort(x).astype(float) - np.sort(y).astype(float))
    assert emd_1d(x, y) == pytest.approx(expected.mean(), rel=1e-14)
    assert emd_1d(x, y, p=np.inf) == expected.max()
    uniform = np.full(n, 1 / n)
    assert emd_1d(x, y, uniform, uniform) == pytest.approx(expected.mean(), rel=1e-11)
    a, b = rng.dirichlet(np.ones(n), 2)
    assert emd_1d(x, y, a, b) == pytest.approx(_cost_by_quantiles(x, y, a, b), rel=1e-9)


def _cost_by_quantiles(x, y, a, b):
    rows, cols = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    upto_x, upto_y = np.cumsum(a[rows]), np.cumsum(b[cols])
    ends = np.sort(np.concatenate(([0.0], upto_x, upto_y)))
    middle = (ends[1:] + ends[:-1]) / 2
    i = np.minimum(np.searchsorted(upto_x, middle), len(x) - 1)
    j = np.minimum(np.searchsorted(upto_y, middle), len(y) - 1)
    gap = np.abs(x[rows][i].astype(float) - y[cols][j].astype(float))
    return float(np.sum(np.diff(ends) * gap))


def test_closed_forms():
    x = np.linspace(0, 1, 1001)
    assert emd_1d(x, x + 3) == pytest.approx(3, rel=1e-14)
    assert emd_1d(x, x + 3, p=5) == pytest.approx(3**5, rel=1e-14)
    assert emd_1d([0.0], [1.0, 3.0], p=2) == 5.0
    assert emd_1d([0.0], [1.0, -3.0], p=np.inf) == 3.0
    # Two exponential laws, by their quantiles: |1/2 - 1| times the integral of -log(1 - q) = 1.
    q = (np.arange(200_000) + 0.5) / 200_000
    assert emd_1d(-np.log1p(-q) / 2, -np.log1p(-q)) == pytest.approx(0.5, rel=1e-5)
    assert emd_1d(x, x) == 0.0


def test_batches():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 3, 40)), rng.normal(size=(3, 25))
    a, b = rng.dirichlet(np.ones(40), (2, 1)), rng.dirichlet(np.ones(25))
    for masses in ((None, None), (a, b), (a, None), (None, b)):
        costs = emd_1d(x, y, *masses, p=2)
        assert costs.shape == (2, 3)
        for i, j in np.ndindex(2, 3):
            row = None if masses[0] is None else a[i, 0]
            assert costs[i, j] == pytest.approx(emd_1d(x[i, j], y[j], row, masses[1], p=2))
    assert emd_1d(x.astype(np.float32), y.astype(np.float32)).dtype == np.float32
    assert emd_1d(np.zeros((0, 4)), np.zeros(3)).shape == (0,)


def test_workers_do_not_change_the_result():
    x, y = np.random.default_rng(2).normal(size=(2, 30, 500))
    with kexue_num.worker_limit(1):
        one = emd_1d(x, y)
    assert np.array_equal(one, emd_1d(x, y, workers=2))
    assert emd_1d(x[0], y[0], workers=1) == emd_1d(x[0], y[0], workers=2)
    assert sliced(x, y, rng=0, workers=1) == sliced(x, y, rng=0, workers=2)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_layouts(data):
    x = data.draw(layouts(np.random.default_rng(3).normal(size=(3, 7))))
    y = np.arange(7.0)
    expected = [emd_1d(np.array(row, float), y) for row in x]
    np.testing.assert_array_equal(emd_1d(x, y), expected)


def test_sliced():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(200, 3)), rng.normal(size=(150, 3)) + 1
    directions = np.random.default_rng(5).standard_normal((30, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    costs = [emd_1d(x @ t, y @ t, p=3) for t in directions]
    assert sliced(x, y, n_projections=30, p=3, rng=5) == pytest.approx(
        np.mean(costs) ** (1 / 3), rel=1e-13
    )
    largest = max(emd_1d(x @ t, y @ t, p=np.inf) for t in directions)
    assert sliced(x, y, n_projections=30, p=np.inf, rng=5) == pytest.approx(largest)
    assert sliced(x, x, n_projections=5, rng=0) == 0.0
    # A shift by s costs s^2 / d on average, in every direction s^2 cos^2.
    shift = sliced(x, x + np.array([2.0, 0, 0]), n_projections=4000, rng=6)
    assert shift == pytest.approx(2 / np.sqrt(3), rel=0.05)  # 5 standard errors
    a = rng.dirichlet(np.ones(200))
    assert sliced(x, y, a, n_projections=3, rng=1) != sliced(x, y, n_projections=3, rng=1)


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        (([np.nan], [0.0]), {}, "'x' must be finite, got nan at [0]"),
        (([], [0.0]), {}, "'x' must have at least one point"),
        (([0.0], [0.0], [1.0, 2.0]), {}, "'a' must have shape (..., 1)"),
        (([0.0], [0.0], [1.0], [2.0]), {}, "'b' must sum to 1.0"),
        (([0.0], [0.0], [-1.0]), {}, "'a' must be finite and >= 0"),
        (([0.0], [0.0]), {"p": 0.5}, "'p' must be >= 1"),
        (([0.0], [0.0]), {"p": np.nan}, "'p' must be >= 1"),
        (([0.0], [0.0]), {"p": np.inf, "return_plan": True}, "'return_plan' needs one problem"),
        ((np.zeros((2, 3)), np.zeros((4, 3))), {}, "'y' must broadcast"),
    ],
)
def test_refusals(arguments, options, text):
    with pytest.raises(ValueError, match="emd_1d: ") as error:
        emd_1d(*arguments, **options)
    assert text in str(error.value)


def test_refusals_of_sliced():
    with pytest.raises(ValueError, match="sliced: 'y' must have 2 columns"):
        sliced(np.zeros((3, 2)), np.zeros((3, 1)), rng=0)
    with pytest.raises(ValueError, match="sliced: 'n_projections' must be >= 1"):
        sliced(np.zeros((3, 2)), np.zeros((3, 2)), n_projections=0)
    with pytest.raises(TypeError, match="emd_1d: 'p' must be a real number"):
        emd_1d([0.0], [0.0], p="two")
