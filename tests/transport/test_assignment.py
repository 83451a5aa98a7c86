"""assignment against enumeration and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

import kexue_num
from kexue_num.transport import assignment
from tests.oracles import transport as oracle


def costs(kind, n, m, seed):
    rng = np.random.default_rng(seed)
    if kind == "ties":
        return rng.integers(0, 4, (n, m)).astype(float)
    if kind == "points":
        x, y = rng.normal(size=(n, 2)), rng.normal(size=(m, 2))
        return ((x[:, None] - y) ** 2).sum(-1)
    if kind == "signs":
        return rng.normal(size=(n, m)) * 100
    C = rng.random((n, m))
    if kind == "forbidden":
        C[rng.random((n, m)) < 0.3] = np.inf
    return C


def check(result, C):
    n, m = C.shape
    rows, cols = result.rows, result.cols
    assert len(rows) == len(set(rows)) == len(set(cols)) == min(n, m)
    assert (np.diff(rows) > 0).all()
    size = max(1.0, np.abs(C[np.isfinite(C)]).max())
    f, g = result.potentials
    assert (C - f[:, None] - g).min() >= -1e-14 * size
    assert np.abs(C[rows, cols] - f[rows] - g[cols]).max() <= 1e-13 * size
    longer, partner = (g, cols) if n < m else (f, rows)
    if n != m:
        assert longer.max() <= 0 and (np.delete(longer, partner) == 0).all()
    assert result.value == pytest.approx(C[rows, cols].sum(), rel=1e-13, abs=1e-13 * size)
    assert 0 <= result.gap <= 1e-13 * size * min(n, m)
    lower, upper = result.bracket
    assert lower <= result.value <= upper
    expected = np.zeros(C.shape)
    expected[rows, cols] = 1
    np.testing.assert_array_equal(result.plan, expected)


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(["random", "ties", "signs"]), n=st.integers(1, 6),
       m=st.integers(1, 6), seed=st.integers(0, 2**32))  # fmt: skip
def test_enumeration(kind, n, m, seed):
    C = costs(kind, n, m, seed)
    result = assignment(C)
    assert result.value == pytest.approx(oracle.assignment(C), rel=1e-12, abs=1e-12)
    check(result, C)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["random", "ties", "points", "signs", "forbidden"]),
    n=st.integers(1, 60),
    m=st.integers(1, 60),
    square=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_scipy(kind, n, m, square, seed):
    C = costs(kind, n, n if square else m, seed)
    try:
        rows, cols = linear_sum_assignment(C)
    except ValueError:
        with pytest.raises(kexue_num.NumericalError, match="can only be paired with"):
            assignment(C)
        return
    result = assignment(C)
    assert result.value == pytest.approx(C[rows, cols].sum(), rel=1e-12, abs=1e-12)
    check(result, C)


@pytest.mark.parametrize("kind", ["random", "ties", "points"])
@pytest.mark.parametrize("shape", [(200, 200), (100, 230), (230, 100)])
def test_instruction_sets(isa, kind, shape):
    C = costs(kind, *shape, 0)
    check(assignment(C), C)


@pytest.mark.parametrize("n", [1, 2, 400])
def test_equal_costs(n):
    result = assignment(np.full((n, n), 3.0))
    assert result.value == 3.0 * n and result.gap == 0


@pytest.mark.parametrize("factor", [1e-310, 1e-200, 1e200, 1e305])
def test_costs_of_any_size(factor):
    C = costs("signs", 40, 40, 1) / 400
    rows, cols = linear_sum_assignment(C)
    result = assignment(C * factor)
    assert result.value / factor == pytest.approx(C[rows, cols].sum(), rel=1e-9)
    assert np.isfinite(result.potentials.f).all()


def test_infeasible_pairs_are_named():
    C = np.ones((3, 3))
    C[:2, 1:] = np.inf
    text = "assignment: .* rows 0, 1 can only be paired with 1 column$"
    with pytest.raises(kexue_num.NumericalError, match=text):
        assignment(C)
    with pytest.raises(kexue_num.NumericalError, match="column 0 can only be paired with 0 rows"):
        assignment(np.array([[np.inf], [np.inf]]))


def test_workers_and_dtypes():
    C = costs("points", 300, 300, 2).astype(np.float32)
    one, two = assignment(C, workers=1), assignment(C, workers=2)
    assert np.array_equal(one.cols, two.cols) and one.value == two.value
    assert one.plan.dtype == one.potentials.g.dtype == np.float32


def test_refusals():
    for C in ([[np.nan]], [[-np.inf]], np.zeros((0, 1)), np.zeros(3)):
        with pytest.raises(ValueError, match="assignment: 'C' must"):
            assignment(C)
