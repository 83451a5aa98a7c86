"""emd against linear programs, and what no result may ever be."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import eye_array, kron, vstack

import kexue_num
from kexue_num import transport
from kexue_num.transport import emd
from tests.strategies import layouts

KINDS = ("random", "uniform", "ties", "zeros", "forbidden", "negative", "blocks")


def problem(kind, n, m, seed):
    """Masses and costs of one kind; masses are multiples of 1/64 where ties matter."""
    rng = np.random.default_rng(seed)
    a, b, C = rng.random(n) + 0.01, rng.random(m) + 0.01, rng.random((n, m))
    if kind == "uniform":
        a, b = np.ones(n), np.ones(m)
    elif kind == "ties":
        C = rng.integers(0, 4, (n, m)).astype(float)
        a, b = rng.multinomial(64, np.ones(n) / n) / 64, rng.multinomial(64, np.ones(m) / m) / 64
    elif kind == "zeros":
        a, b = a * (rng.random(n) < 0.5), b * (rng.random(m) < 0.5)
        a[0] += 1
        b[-1] += 1
    elif kind == "forbidden":
        C[rng.random((n, m)) < 0.4] = np.inf
    elif kind == "negative":
        C -= 3
    elif kind == "blocks":  # points that coincide: many equal costs
        x, y = rng.integers(0, 3, (n, 2)), rng.integers(0, 3, (m, 2))
        C = ((x[:, None] - y) ** 2).sum(-1).astype(float)
    return a / a.sum(), b / b.sum(), C


def linear_program(a, b, C):
    """The least cost by HiGHS, None if there is no plan."""
    n, m = C.shape
    allowed = np.isfinite(C).ravel()
    rows, cols = kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))
    matrix = vstack([rows, cols]).tocsc()[:, allowed]
    if not allowed.any():
        return None
    found = linprog(C.ravel()[allowed], A_eq=matrix, b_eq=np.r_[a, b], method="highs")
    return found.fun if found.status == 0 else None


def check(result, a, b, C, tolerance=1e-13):
    """Primal and dual feasibility, complementary slackness, and the numbers that go with them."""
    size = max(1.0, np.abs(C[np.isfinite(C)]).max())
    rows, cols = result.plan_coo.row, result.plan_coo.col
    mass = result.plan_coo.data
    assert (mass > 0).all() and len(mass) < len(a) + len(b)
    np.testing.assert_allclose(np.bincount(rows, mass, len(a)), a, rtol=0, atol=1e-14)
    np.testing.assert_allclose(np.bincount(cols, mass, len(b)), b, rtol=0, atol=1e-14)
    f, g = result.potentials
    assert np.isfinite(f).all() and np.isfinite(g).all()
    reduced = C - f[:, None] - g
    assert reduced.min() >= -tolerance * size
    assert np.abs(reduced[rows, cols]).max() <= tolerance * size
    assert result.converged and result.status == "optimal"
    assert result.value == result.objective == pytest.approx((mass * C[rows, cols]).sum())
    assert result.dual_value == pytest.approx(a @ f + b @ g, abs=1e-13 * size)
    assert 0 <= result.gap <= tolerance * size
    lower, upper = result.bracket
    assert lower <= result.value <= upper and upper - lower <= 1e-12 * size


@settings(max_examples=120, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 40),
    m=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_linear_program(kind, n, m, seed):
    a, b, C = problem(kind, n, m, seed)
    expected = linear_program(a, b, C)
    if expected is None:
        with pytest.raises(kexue_num.NumericalError, match=r"emd: the forbidden .* leave no"):
            emd(a, b, C)
        return
    result = emd(a, b, C)
    check(result, a, b, C)
    lower, upper = result.bracket
    assert lower - 1e-9 <= expected <= upper + 1e-9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(300, 300), (150, 400), (400, 90)])
def test_larger_problems_prove_themselves(isa, kind, shape):
    a, b, C = problem(kind, *shape, 5)
    check(emd(a, b, C), a, b, C)


@pytest.mark.parametrize("n", [64, 150])
def test_all_costs_equal(n):
    a, b, _ = problem("random", n, n + 3, 0)
    check(emd(a, b, np.full((n, n + 3), 2.5)), a, b, np.full((n, n + 3), 2.5))
    check(emd(None, None, np.zeros((n, n))), np.full(n, 1 / n), np.full(n, 1 / n), np.zeros((n, n)))
    assert emd(None, None, np.zeros((n, n))).value == 0.0


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32), data=st.data())
def test_invariance(kind, seed, data):
    a, b, C = problem(kind, 30, 25, seed)
    if linear_program(a, b, C) is None:
        return
    value = emd(a, b, C).value
    rows, cols = np.random.default_rng(seed).permutation(30), np.arange(25)[::-1]
    assert emd(a[rows], b[cols], C[np.ix_(rows, cols)]).value == pytest.approx(value, abs=1e-12)
    shift = np.linspace(-5, 5, 30)
    moved = emd(a, b, C + shift[:, None]).value - a @ shift
    assert moved == pytest.approx(value, abs=1e-12)
    factor = data.draw(st.sampled_from([2.0**-600, 2.0**600, 2.0**-40, 3.0]))
    assert emd(a, b, C * factor).value == pytest.approx(value * factor, rel=1e-11)
    assert emd(a * 7, b * 7, C).value == pytest.approx(7 * value, rel=1e-12)
    assert emd(b, a, C.T).value == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("factor", [1e-200, 1e200, 1e307, 1e-310, -1e200])
@pytest.mark.parametrize("kind", ["random", "uniform"])
def test_costs_of_any_size(kind, factor):
    a, b, C = problem(kind, 60, 60, 3)
    result = emd(a, b, C * factor)
    expected = linear_program(a, b, C * np.sign(factor))
    assert result.value / abs(factor) == pytest.approx(expected, rel=1e-6)
    assert np.isfinite([result.value, result.dual_value, *result.bracket]).all()
    assert np.isfinite(result.potentials.f).all() and np.isfinite(result.potentials.g).all()
    assert result.gap <= 1e-12 * abs(result.value) + 1e-320


@pytest.mark.parametrize("huge", [1e8, 1e32, 1e300])
@pytest.mark.parametrize("n", [20, 90])
def test_huge_costs_beside_small_ones(n, huge):
    # A penalty must be avoided, not lost in rounding, nor may the others be lost beside it.
    rng = np.random.default_rng(1)
    a, b, C = problem("random", n, n, 1)
    lone = C.copy()
    lone[3, 4] = huge
    diagonal = C.copy()
    np.fill_diagonal(diagonal, huge)
    side = np.arange(n) < n // 2
    blocks = np.where(np.not_equal.outer(side, side), huge, C)
    shares = rng.multinomial(1024, np.full(n // 2, 2 / n), 2) / 2048  # sums that agree exactly
    for masses, cost in (
        ((a, b), lone),
        ((a, b), diagonal),
        ((None, None), diagonal),
        ((np.tile(shares[0], 2), np.tile(shares[1], 2)), blocks),
    ):
        result = emd(*masses, cost)
        expected = emd(*masses, np.where(cost == huge, np.inf, cost))
        assert result.value == pytest.approx(expected.value, rel=1e-13)
        assert 0 <= result.gap <= 1e-13 * n
        lower, upper = result.bracket
        assert lower <= expected.value <= upper


def test_huge_costs_that_cannot_be_avoided():
    a, b, C = problem("random", 40, 40, 2)
    C[5] += 1e200
    result = emd(a, b, C)
    assert result.value == pytest.approx(1e200 * a[5], rel=1e-12)
    assert result.gap <= 1e-12 * result.value
    C[6, :-1] = 1e30  # what it has beyond one column must pay
    result = emd(a, b, C)
    assert result.gap <= 1e-12 * result.value


@pytest.mark.parametrize("seed", range(4))
def test_penalties_that_are_cheaper_than_long_ways_round(seed):
    """Row i reaches column i + 1 at a cost far above those before it, columns beyond by a penalty:
    mass that goes far pays one penalty rather than every step."""
    rng = np.random.default_rng(seed)
    n, step = int(rng.integers(25, 40)), rng.uniform(8e5, 1e6)
    C = rng.uniform(1, 1.5, (n, n))
    C[np.triu_indices(n, 2)] = 16.5 * step
    C[np.arange(n - 1), np.arange(1, n)] = step
    a, b = np.ones(n), np.ones(n)
    a[0] = b[-1] = 1 + rng.random()
    a, b = a / a.sum(), b / b.sum()
    result = emd(a, b, C)
    check(result, a, b, C)
    assert result.value == pytest.approx(linear_program(a, b, C), rel=1e-9)


@pytest.mark.parametrize("kind", ["random", "uniform", "ties"])
def test_workers_do_not_change_the_result(kind):
    a, b, C = problem(kind, 500, 400 if kind == "ties" else 500, 2)
    one, two = emd(a, b, C, workers=1), emd(a, b, C, workers=2)
    assert one.value == two.value and one.n_iter == two.n_iter
    assert np.array_equal(one.potentials.f, two.potentials.f)
    assert np.array_equal(one.plan, two.plan)


def test_warm_start():
    a, b, C = problem("random", 200, 200, 4)
    first = emd(a, b, C)
    again = emd(a, b, C, init=first)
    assert again.value == pytest.approx(first.value, rel=1e-14) and again.converged
    near = emd(a, b, C * 1.001, init=tuple(first.potentials))
    check(near, a, b, C * 1.001)
    check(emd(None, None, C, init=first), np.full(200, 1 / 200), np.full(200, 1 / 200), C)


def test_pivot_limit_keeps_the_bracket():
    a, b, C = problem("random", 80, 80, 6)
    expected = emd(a, b, C).value
    for limit in (0, 5):
        with pytest.warns(kexue_num.ConvergenceWarning, match=f"emd: stopped after {limit} pivots"):
            result = emd(a, b, C, max_iter=limit)
        assert not result.converged and result.n_iter == limit
        lower, upper = result.bracket
        assert lower <= expected <= upper
        np.testing.assert_allclose(result.plan.sum(1), a, atol=1e-15)
        assert result.gap == pytest.approx(result.value - result.dual_value)


def test_float32_masses_are_balanced():
    # Sums of float32 masses differ by about 1e-7: no reason for refusal, nor for zeros.
    rng = np.random.default_rng(7)
    a, b = rng.random(3000).astype(np.float32), rng.random(200).astype(np.float32)
    a, b = a / a.sum(), b / b.sum()
    C = rng.random((3000, 200)).astype(np.float32)
    result = emd(a, b, C)
    assert result.converged and result.value > 0
    assert result.plan.dtype == result.potentials.f.dtype == np.float32
    np.testing.assert_allclose(result.plan.sum(1, dtype=float), a, atol=1e-9)
    assert emd(a.astype(np.float32), b, C.astype(float)).plan.dtype == np.float64


def test_zero_masses_keep_finite_potentials():
    a, b, C = problem("random", 10, 12, 8)
    a[[0, 3]] = 0
    b[[1, 11]] = 0
    a, b = a / a.sum(), b / b.sum()
    C[3] = np.inf  # nothing has to leave this row
    result = emd(a, b, C)
    check(result, a, b, C)
    assert (result.plan[3] == 0).all()


def test_single_row_and_column():
    check(emd([1.0], [0.25, 0.75], [[3.0, 5.0]]), [1.0], [0.25, 0.75], np.array([[3.0, 5.0]]))
    assert emd([2.0], [2.0], [[-4.0]]).value == -8.0


def test_identical_measures_cost_nothing():
    rng = np.random.default_rng(9)
    x, a = rng.normal(size=(150, 3)), rng.dirichlet(np.ones(150))
    C = ((x[:, None] - x) ** 2).sum(-1)
    result = emd(a, a, C)
    assert result.value == 0.0
    np.testing.assert_allclose(result.plan, np.diag(a), atol=1e-15)


def test_infeasible_patterns_are_named():
    a = b = np.full(4, 0.25)
    C = np.ones((4, 4))
    C[0, 1:] = C[1, 1:] = np.inf  # two rows, one column
    text = "rows 0, 1 of mass 0.5 can only go to columns of mass 0.25"
    with pytest.raises(kexue_num.NumericalError, match=text):
        emd(a, b, C, max_iter=10**6)
    with pytest.raises(
        kexue_num.NumericalError, match="rows 0, 1 can only be paired with 1 column"
    ):
        emd(a, b, C)
    with pytest.raises(kexue_num.NumericalError, match=r"row 2 of mass 0\.5"):
        emd([0.25, 0.25, 0.5], [0.5, 0.5], [[0.0, 1], [1, 0], [np.inf, np.inf]])


def test_a_feasible_pattern_with_one_plan():
    a, C = np.full(6, 1 / 6), np.full((6, 6), np.inf)
    C[np.arange(6), (np.arange(6) + 2) % 6] = 1e6
    assert emd(a, a, C).value == pytest.approx(1e6)
    weights = np.arange(1.0, 7) / 21
    assert emd(weights, np.roll(weights, 2), C).value == pytest.approx(1e6)


def test_lazy_parts_agree():
    a, b, C = problem("random", 15, 11, 10)
    result = emd(a, b, C)
    v, w = np.arange(11.0), np.random.default_rng(0).normal(size=(15, 2))
    np.testing.assert_allclose(result.apply(v), result.plan @ v, atol=1e-14)
    np.testing.assert_allclose(result.apply_transpose(w), result.plan.T @ w, atol=1e-14)
    np.testing.assert_array_equal(result.plan_coo.toarray(), result.plan)
    np.testing.assert_array_equal(result.rounded(), result.plan)
    assert repr(result).startswith("TransportResult(value=")
    with pytest.raises(ValueError, match=r"apply: 'v' must have shape \(11,\)"):
        result.apply(np.ones(15))


def test_gradients_by_differences():
    a, b, C = problem("random", 8, 7, 11)
    result = emd(a, b, C)
    gradients, step = result.gradients, 1e-6
    rng = np.random.default_rng(0)
    for field, name in ((a, "a"), (b, "b"), (C, "C")):
        direction = rng.normal(size=field.shape)
        if name != "C":
            direction -= direction.mean()
        up, down = ({"a": a, "b": b, "C": C} for _ in range(2))
        up[name], down[name] = field + step * direction, field - step * direction
        difference = (emd(**up).value - emd(**down).value) / (2 * step)
        expected = (getattr(gradients, name) * direction).sum()
        assert difference == pytest.approx(expected, abs=1e-8)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_layouts(data):
    a, b, C = problem("random", 6, 9, 12)
    given_cost = data.draw(layouts(C))
    expected = emd(a, b, np.array(given_cost, float))
    before = np.array(given_cost)
    result = emd(data.draw(layouts(a)) * 0 + a, b, given_cost)
    assert result.value == expected.value
    np.testing.assert_array_equal(before, given_cost)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int64", "bool"])
def test_dtypes(dtype):
    C = (np.arange(12).reshape(3, 4) % 5 < 3).astype(dtype)
    assert emd(None, None, C).value == pytest.approx(emd(None, None, C.astype(float)).value)


@pytest.mark.parametrize(
    ("a", "b", "C", "text"),
    [
        ([-0.5, 1.5], None, np.zeros((2, 2)), "'a' must be finite and >= 0, got -0.5 at [0]"),
        ([np.nan, 1.0], None, np.zeros((2, 2)), "'a' must be finite and >= 0, got nan at [0]"),
        ([0.0, 0.0], None, np.zeros((2, 2)), "'a' must have a positive sum, got 0.0"),
        (None, [0.5, 0.6], np.zeros((2, 2)), "'b' must sum to 1.0"),
        (None, [1.0], np.zeros((2, 2)), "'b' must have shape (2,), got shape (1,)"),
        (None, None, np.zeros(3), "'C' must be 2-dimensional"),
        (None, None, np.zeros((0, 3)), "'C' must not be empty"),
        (None, None, [[np.nan]], "'C' must be finite, or +inf for a forbidden arc, got nan"),
        (
            None,
            None,
            [[0.0], [-np.inf]],
            "'C' must be finite, or +inf for a forbidden arc, got -inf",
        ),
    ],
)
def test_refusals(a, b, C, text):
    with pytest.raises(ValueError, match="emd: ") as error:
        emd(a, b, C)
    assert text in str(error.value)


def test_refusals_of_options():
    for options in ({"tol": -1}, {"max_iter": -1}, {"init": ([0.0], [0.0, 1.0])}):
        with pytest.raises(ValueError, match=f"emd: '{next(iter(options))}' must"):
            emd(None, None, np.zeros((1, 1)), **options)
    with pytest.raises(TypeError, match="emd: 'init' must be a TransportResult or a pair"):
        emd(None, None, np.zeros((1, 1)), init=3)


def test_memory_is_estimated_first():
    huge = np.broadcast_to(np.float32(1), (10**6, 10**6))
    with pytest.raises(MemoryError, match=r"emd: costs of shape .* would take 7450.6 GiB"):
        emd(None, None, huge)


def test_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in KINDS[:4]:
            emd(*problem(kind, 50, 50, 13))


def test_names():
    assert {"emd", "emd_1d", "assignment", "sliced", "partial", "round_plan"} <= set(
        transport.__all__
    )
