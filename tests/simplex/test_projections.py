"""Projections onto simplices and balls against exact rationals, and what holds for all of them."""

import functools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from kexue_num import _core
from kexue_num.simplex import (
    project_l1_ball,
    project_l1inf_ball,
    project_linf_ball,
    project_simplex,
)
from tests.oracles import projections as oracle
from tests.strategies import layouts

DTYPES = (np.float32, np.float64)
# Derandomized: the same examples in every run, so that nothing here fails by chance.
examples = settings(derandomize=True, deadline=None, max_examples=60)
seeds = st.integers(0, 2**32 - 1)


def values(rng, kind, shape):
    if kind == "ties":
        return rng.integers(-2, 3, shape).astype(float)
    if kind == "offset":
        return 1000 + rng.standard_normal(shape)
    if kind == "flat":
        return 1e-4 * rng.standard_normal(shape)
    return rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 3)


@st.composite
def box_problems(draw):
    """A row, a radius within reach, and the keywords."""
    rng = np.random.default_rng(draw(seeds))
    n = draw(st.integers(1, 12))
    dtype = draw(st.sampled_from(DTYPES))
    x = values(rng, draw(st.sampled_from(["plain", "ties", "offset", "flat"])), n).astype(dtype)
    options = {}
    w = np.ones(n)
    if draw(st.booleans()):
        options["weights"] = w = rng.uniform(0.1, 4, n).astype(dtype)
    low, high = np.zeros(n), np.full(n, np.inf)
    bounds = draw(st.sampled_from(["none", "cap", "arrays", "negative"]))
    radius = float(rng.uniform(0, 3))
    if bounds == "cap":
        options["upper"] = cap = dtype(2 * radius / w.sum() + 0.01)
        high = np.full(n, cap)
    elif bounds != "none":
        low = rng.uniform(0, 0.2, n) if bounds == "arrays" else rng.uniform(-2, 0, n)
        low = low.astype(dtype)
        high = (low + rng.uniform(0.1, 1, n)).astype(dtype)
        share = draw(st.sampled_from([0.1, 0.5, 0.9]))
        radius = float((w * low).sum() * (1 - share) + (w * high).sum() * share)
        options.update(lower=low, upper=high)
    return x, radius, options, (w, low, high)


@examples
@given(box_problems())
def test_against_exact_rationals(problem):
    x, radius, options, (w, low, high) = problem
    p = project_simplex(x, radius, **options)
    assert_is_nearest(p, x, radius, w, low, high, oracle.box_simplex(x, radius, w, low, high))


def assert_is_nearest(p, x, radius, w, low, high, exact):
    eps = np.finfo(x.dtype).eps
    size = float(sum(Fraction(float(a)) * abs(b) for a, b in zip(w, exact, strict=True)))
    # One rounding of the result; what tau lacks is a unit of double precision of x and the sum.
    room = np.finfo(np.float64).eps * 8 * (np.abs(x).max() + size)
    assert p.dtype == x.dtype
    assert_allclose(p.astype(float), [float(v) for v in exact], rtol=eps, atol=room)
    assert np.all((p >= low) & (p <= high))
    total = sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(w, p, strict=True))
    assert abs(total - Fraction(radius)) <= 4 * eps * max(size, radius) + 4 * room * w.max() * len(
        x
    )


@functools.cache
def long_row(dtype, weighted, arrays, share):
    """The arguments of a row that outgrows the vectors, and its exact projection.

    With a small share of what the bounds leave room for, few entries are above their lower bound.
    """
    rng = np.random.default_rng(11)
    n = 601
    x = rng.standard_normal(n).astype(dtype)
    options, w, low = {}, np.ones(n), np.full(n, dtype(0.125))
    if weighted:
        options["weights"] = w = rng.uniform(0.5, 2, n).astype(dtype)
    if arrays:
        low = rng.uniform(-1, 0.5, n).astype(dtype)
    high = (low + rng.uniform(1, 2, n)).astype(dtype) if arrays else np.full(n, dtype(2))
    w, low, high = (np.asarray(v, float) for v in (w, low, high))
    radius = float((w * low).sum() + share * (w * (high - low)).sum())
    ends = (low, high) if arrays else (0.125, 2.0)
    options.update(lower=ends[0], upper=ends[1])
    exact = oracle.box_simplex(x, radius, w, low, high)
    return (x, radius), options, (w, low, high, exact)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("arrays", [False, True])
@pytest.mark.parametrize("share", [0.01, 0.7])
def test_long_rows_against_exact_rationals(isa, dtype, weighted, arrays, share):
    (x, radius), options, facts = long_row(dtype, weighted, arrays, share)
    assert_is_nearest(project_simplex(x, radius, **options), x, radius, *facts)


@pytest.mark.parametrize("dtype", DTYPES)
def test_supports_are_exact(isa, dtype):
    rng = np.random.default_rng(5)
    for kind in ("plain", "ties", "offset"):
        for n in (1, 2, 7, 16, 33):
            x = values(rng, kind, (20, n)).astype(dtype)
            p = project_simplex(x)
            for row, result in zip(x, p, strict=True):
                exact = oracle.box_simplex(row)
                assert_array_equal(result > 0, [v > 0 for v in exact])
                assert_allclose(result, [float(v) for v in exact], rtol=np.finfo(dtype).eps,
                                atol=2e-15 * np.abs(row).max())  # fmt: skip


def test_supports_with_an_upper_bound_are_exact(isa):
    """One row in 25 of these has an entry within a rounding of its bound."""
    x = np.round(np.random.default_rng(3).standard_normal((400, 5)), 1)
    exact = np.array([oracle.box_simplex(row, upper=[0.5] * 5) for row in x], float)
    p = project_simplex(x, upper=0.5)
    assert_array_equal(p > 0, exact > 0)
    assert_allclose(p, exact, rtol=0, atol=4 * np.finfo(float).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spread", [1.0, 1e-3, 0.0])
def test_sums_of_long_rows(isa, dtype, spread):
    n = 300_001
    x = (0.3 + spread * np.random.default_rng(1).standard_normal(n)).astype(dtype)
    eps = np.finfo(dtype).eps
    for options in ({}, {"weights": np.linspace(1, 2, n)}, {"upper": 1e-5}):
        p = project_simplex(x, 2.5, **options)
        w = np.asarray(options.get("weights", np.ones(n)), dtype)
        assert abs(np.longdouble(1) * (p.astype(np.longdouble) * w).sum() - 2.5) <= 4 * eps * 2.5


@examples
@given(box_problems(), seeds)
def test_permutations_and_ties(problem, seed):
    x, radius, options, _ = problem
    order = np.random.default_rng(seed).permutation(2 * len(x)) % len(x)
    arrays = {k: v[order] if np.ndim(v) else v for k, v in options.items()}
    p = project_simplex(x[order], 2 * radius, **arrays)
    for place in range(len(x)):
        one, other = p[order == place]
        assert one.tobytes() == other.tobytes()


@examples
@given(box_problems())
def test_projecting_twice_changes_nothing(problem):
    x, radius, options, (w, _, _) = problem
    p = project_simplex(x, radius, **options)
    again = project_simplex(p, radius, **options)
    eps = np.finfo(x.dtype).eps
    scale = max(np.abs(p).max(), radius / w.min() if radius else 0)
    assert_allclose(again, p, rtol=8 * eps, atol=8 * len(x) * eps * scale)


@examples
@given(box_problems(), seeds)
def test_variational_inequality(problem, seed):
    """(x - p).(q - p) <= 0 for every feasible q."""
    x, radius, options, _ = problem
    p = project_simplex(x, radius, **options).astype(float)
    rng = np.random.default_rng(seed)
    q = project_simplex(rng.standard_normal((20, len(x))) * 3, radius, **options)
    slack = (x - p) @ (q - p).T
    room = 8 * len(x) * np.finfo(x.dtype).eps * np.abs(x - p).max() * max(np.abs(p).max(), 1)
    assert slack.max() <= room * max(1, radius)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_do_not_touch_each_other(isa, dtype):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 21)).astype(dtype)
    clean = project_simplex(x, upper=0.5)
    x[2, 3], x[4, 20], x[6] = np.nan, np.inf, -np.inf
    p = project_simplex(x, upper=0.5)
    lost = [2, 4, 6]
    assert np.isnan(p[[2, 6]]).all()
    assert p[4, 20] == 0.5 and p[4].sum() == pytest.approx(1, abs=4 * float(np.finfo(dtype).eps))
    assert np.isnan(project_simplex(x, weights=np.full(21, 2.0))[lost]).all()
    assert_array_equal(np.delete(p, lost, 0), np.delete(clean, lost, 0))
    assert_array_equal(project_simplex(x)[4], np.eye(21)[20])
    ball = project_l1_ball(x)
    assert np.isnan(ball[lost]).all() and np.isfinite(np.delete(ball, lost, 0)).all()
    sparse = project_simplex(x, max_nonzero=3)
    assert np.isnan(sparse[lost]).all() and np.isfinite(np.delete(sparse, lost, 0)).all()


def test_masked_entries():
    assert_array_equal(project_simplex([-np.inf, 1.0, 0.5]), [0, 0.75, 0.25])
    assert_array_equal(
        project_simplex([-np.inf, 1.0, 0.5], lower=[0.5, 0.0, 0.0], upper=np.inf), [0.5, 0.5, 0]
    )


@examples
@given(seeds, st.integers(1, 7), st.data())
def test_sparse_projection_is_the_best_of_all_supports(seed, n, data):
    rng = np.random.default_rng(seed)
    k = data.draw(st.integers(1, n))
    x = values(rng, data.draw(st.sampled_from(["plain", "ties"])), n)
    cap = data.draw(st.sampled_from([None, 1.5 / k]))
    p = project_simplex(x, 1.0, max_nonzero=k, upper=cap)
    _, distance = oracle.sparse_simplex(x, k, 1.0, cap)
    assert np.count_nonzero(p) <= k
    mine = sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(x, p, strict=True))
    assert mine <= distance * (1 + Fraction(1, 10**12)) + Fraction(1, 10**14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_l1_ball(dtype):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((40, 9)).astype(dtype)
    radius = rng.uniform(0, 12, 40)
    p = project_l1_ball(x, radius)
    for row, r, result in zip(x, radius, p, strict=True):
        exact = [float(v) for v in oracle.l1_ball(row, r)]
        assert_allclose(result, exact, rtol=np.finfo(dtype).eps, atol=1e-15)
    assert np.all(np.abs(p).sum(1, dtype=float) <= radius * (1 + 4 * np.finfo(dtype).eps))
    assert_allclose(project_l1_ball(x[:, ::-1], radius), p[:, ::-1], rtol=4 * np.finfo(dtype).eps)
    mine = x.copy()
    project_l1_ball(mine, radius, out=mine)
    assert_array_equal(mine, p)
    one = project_l1_ball(x, 2.0)
    for row, result in zip(x, one, strict=True):
        exact = [float(v) for v in oracle.l1_ball(row, 2.0)]
        assert_allclose(result, exact, rtol=np.finfo(dtype).eps, atol=1e-15)
    project_l1_ball(mine := x.copy(), 2.0, out=mine)
    assert_array_equal(mine, one)
    assert_array_equal(project_l1_ball([0.1, -0.2]), [0.1, -0.2])
    nothing = project_l1_ball([[3.0, -4.0], [np.nan, 1.0], [1.0, np.inf]], 0.0)
    assert_array_equal(nothing, [[0, 0], [np.nan] * 2, [np.nan] * 2])


def test_linf_ball():
    x = np.array([[3.0, -0.5], [np.nan, -7.0]])
    assert_array_equal(project_linf_ball(x, 2.0), [[2, -0.5], [np.nan, -2]])
    assert_array_equal(project_linf_ball(x.T, [1, 2], axis=0), [[1, np.nan], [-0.5, -2]])
    # 0.1 is not a float32: the ball's edge is rounded inwards.
    assert project_linf_ball(np.float32([1]), 0.1)[0] <= 0.1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (5, 7), (3, 250)])
def test_l1inf_ball(dtype, shape):
    rng = np.random.default_rng(4)
    for kind in ("plain", "ties", "flat"):
        x = values(rng, kind, (4, *shape)).astype(dtype)
        norm = np.abs(x).max(2).sum(1).astype(float)
        for share in (0, 0.01, 0.5, 0.99, 2):
            p = project_l1inf_ball(x, share * norm)
            for matrix, result, r in zip(x, p, share * norm, strict=True):
                exact = np.array(oracle.l1inf_ball(matrix, r), float)
                assert_allclose(result, exact, rtol=2 * np.finfo(dtype).eps, atol=4e-16 * r)
    x[0, 0, 0] = np.nan
    p = project_l1inf_ball(x, 0.1)
    assert np.isnan(p[0]).all() and np.isfinite(p[1:]).all()


def test_l1inf_ball_of_a_small_radius():
    """Its digits are not lost beside those of large entries."""
    rng = np.random.default_rng(7)
    for scale in (1, 100, 1e6):
        x = np.round(rng.standard_normal((8, 3, 5)) * scale, 1)
        for matrix, p in zip(x, project_l1inf_ball(x, 0.1), strict=True):
            exact = np.array(oracle.l1inf_ball(matrix, 0.1), float)
            assert_allclose(p, exact, rtol=0, atol=4e-17)


@examples
@given(seeds, st.data())
def test_layouts_axes_and_out(seed, data):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, 4, 5))
    view = data.draw(layouts(x))
    axis = data.draw(st.sampled_from([0, 1, 2, -1, (0, 2), None]))
    axes = tuple(range(3)) if axis is None else tuple(np.atleast_1d(axis) % 3)
    batch = tuple(s for i, s in enumerate(x.shape) if i not in axes)
    radius = rng.uniform(0.5, 2, batch)
    p = project_simplex(view, radius, axis=axis)
    assert_allclose(p.sum(axis), radius, rtol=4e-16 * 4)
    out = np.empty_like(x)
    assert project_simplex(view, radius, axis=axis, out=out) is out
    assert_array_equal(out, p)
    mine = np.array(view)
    if mine.dtype.isnative:
        project_simplex(mine, radius, axis=axis, out=mine)
        assert_array_equal(mine, p)


@pytest.mark.parametrize("dtype", DTYPES)
def test_workers_and_isas_agree(dtype):
    rng = np.random.default_rng(8)
    before = _core.active_isa()
    for shape in ((300, 200), (1, 200_000)):
        x = rng.standard_normal(shape).astype(dtype)
        for options in ({}, {"upper": 0.3}, {"weights": rng.uniform(1, 2, shape[1])}):
            one = project_simplex(x, workers=1, **options)
            assert_array_equal(project_simplex(x, workers=2, **options), one)
            for isa in _core.available_isas():
                _core.set_active_isa(isa)
                other = project_simplex(x, **options)
                _core.set_active_isa(before)
                assert_allclose(other, one, rtol=4 * np.finfo(dtype).eps, atol=4e-15)
    x = rng.standard_normal((200, 100)).astype(dtype)
    assert_array_equal(project_l1_ball(x, 3, workers=2), project_l1_ball(x, 3, workers=1))


def test_dtypes():
    assert project_simplex([1, 0]).dtype == np.float64
    half = project_simplex(np.float16([0.5, 0.25]))
    assert half.dtype == np.float16
    assert_array_equal(half, np.float16([0.625, 0.375]))
    with pytest.raises(TypeError, match="'x' must be an array of real numbers"):
        project_simplex([1j])


def test_faults_of_peers():
    # A vector whose sum is small enough is not therefore in the simplex.
    assert_array_equal(project_simplex([2.0, -5.0]), [1, 0])
    # The last entry counts too.
    assert_array_equal(project_simplex([1.0, 1.0, 1.0]), [1 / 3] * 3)
    # Clipping at the cap and rescaling is no projection.
    p = project_simplex([1.0, 0.5, 0.2], upper=0.5)
    assert_allclose(p, [0.5, 0.4, 0.1], rtol=4e-16)
    # Offsets that swallow the radius.
    assert_array_equal(project_simplex([1e16, 1e16 - 2, 1.0]), [1, 0, 0])
    assert_array_equal(project_simplex([0.0, 0.0], 0.0), [0, 0])
    # Ten caps of 0.1 hold 1.
    assert_allclose(project_simplex(np.arange(10.0), upper=0.1), 0.1, rtol=1e-15)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"radius": -1.0}, "'radius' must be >= 0 and finite, got -1.0"),
        ({"radius": np.nan}, "'radius' must be >= 0"),
        ({"radius": np.inf}, "'radius' must be >= 0"),
        ({"radius": [1.0, 2.0]}, "'radius' must be a scalar or have shape"),
        ({"upper": 0.25}, "'upper' must sum to at least the radius 1 .* got 0.75"),
        ({"lower": 0.5}, "'lower' must sum to at most the radius 1 .* got 1.5"),
        ({"lower": 0.3, "upper": 0.2}, "'lower' must not exceed 'upper'"),
        ({"lower": np.nan}, "'lower' must not be NaN"),
        ({"lower": [0, np.inf, 0]}, "'lower' must not be inf"),
        ({"upper": -np.inf}, "'upper' must not be -inf"),
        ({"weights": [1, 0, 1]}, "'weights' must be finite and > 0"),
        ({"weights": [1, 2]}, "'weights' must be a scalar or have shape"),
        ({"max_nonzero": 0}, "'max_nonzero' must lie in 1..3"),
        ({"max_nonzero": 2, "weights": 2}, "'max_nonzero' must come without weights"),
        ({"max_nonzero": 2, "upper": 0.4}, "'upper' must be at least the radius over"),
        ({"axis": 1}, "'axis' must lie in"),
        ({"out": np.empty(4)}, "'out' must have shape"),
    ],
)
def test_messages(options, text):
    with pytest.raises(ValueError, match=text):
        project_simplex([0.1, 0.2, 0.3], **options)


def test_other_messages():
    with pytest.raises(ValueError, match="project_l1_ball: 'radius' must be >= 0"):
        project_l1_ball([1.0], -1)
    with pytest.raises(ValueError, match="project_l1inf_ball: 'x' must have at least 2 dimensions"):
        project_l1inf_ball([1.0])
    with pytest.raises(ValueError, match="'x' must not be empty"):
        project_simplex([])
    assert project_simplex(np.empty((0, 3))).shape == (0, 3)
