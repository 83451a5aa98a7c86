"""Entropic transport between points, and the divergence: matrices, differences, closed forms."""

import pickle

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import kexue_num
from kexue_num.transport import sinkhorn, sinkhorn_divergence, sinkhorn_points
from tests.oracles import sinkhorn as oracle

COSTS = ["sqeuclidean", "euclidean", "cityblock"]


def clouds(n, m, d, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.random(n) + 0.1, rng.random(m) + 0.1
    return rng.random((n, d)), rng.random((m, d)) + 0.2, a / a.sum(), b / b.sum()


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("d", [1, 3, 20])
def test_agrees_with_the_matrix(cost, d, isa):
    x, y, a, b = clouds(45, 37, d)
    C = cdist(x, y, cost)
    for reg in (0.5, 5e-3):
        points = sinkhorn_points(x, y, a, b, reg=reg, cost=cost)
        matrix = sinkhorn(a, b, C, reg)
        assert points.converged and abs(points.value - matrix.value) <= 1e-9
        assert abs(points.objective - matrix.objective) <= 1e-9
        np.testing.assert_allclose(points.plan, matrix.plan, atol=1e-8)
        v = np.random.default_rng(1).random((37, 2))
        np.testing.assert_allclose(points.apply(v), points.plan @ v, rtol=1e-12)
        assert abs(points.bracket.lower - matrix.bracket.lower) <= 1e-9
        assert abs(points.bracket.upper - matrix.bracket.upper) <= 1e-9


def test_beyond_the_memory_for_the_kernel(isa):
    # 3100 x 3000 float32 kernel entries take 37 MB: the last rows are recomputed.
    rng = np.random.default_rng(0)
    x, y = rng.random((3100, 2)), rng.random((3000, 2))
    one = sinkhorn_points(x, y, reg=0.3, tol=1e-6, workers=1)
    two = sinkhorn_points(x, y, reg=0.3, tol=1e-6, workers=2)
    assert one.converged and one.value == two.value and one.n_iter == two.n_iter
    rows, cols = one.apply(np.ones(3000)), one.apply_transpose(np.ones(3100))
    assert np.abs(rows - 1 / 3100).sum() <= 1e-6 and np.abs(cols - 1 / 3000).sum() <= 1e-6


@pytest.mark.parametrize("cost", COSTS)
def test_gradients_by_points_against_differences(cost, isa):
    x, y, a, b = clouds(7, 6, 2)
    reg, step = 0.1, 1e-6

    def objective(x, y):
        return sinkhorn_points(x, y, a, b, reg=reg, cost=cost, tol=1e-13).objective

    gradients = sinkhorn_points(x, y, a, b, reg=reg, cost=cost, tol=1e-13).gradients
    for which in (0, 1):
        for i in range(6):
            for k in range(2):
                move = [np.zeros_like(x), np.zeros_like(y)]
                move[which][i, k] = step
                up = objective(x + move[0], y + move[1])
                slope = (up - objective(x - move[0], y - move[1])) / (2 * step)
                assert abs(slope - gradients[2 + which][i, k]) < 1e-7


@pytest.mark.parametrize("cost", COSTS)
def test_points_that_coincide(cost):
    x = np.full((6, 2), 3.0)
    found = sinkhorn_points(x, x[:4], reg=0.1, cost=cost)
    assert found.converged and found.value == 0
    assert -1e-30 <= found.bracket.lower <= 0 <= found.bracket.upper <= 1e-30
    np.testing.assert_allclose(found.plan, np.full((6, 4), 1 / 24), rtol=1e-12)
    assert np.isfinite(np.concatenate(found.potentials)).all()
    assert abs(sinkhorn_divergence(x, x[:4], reg=0.1, cost=cost).value) <= 1e-16


def test_divergence():
    x, y, a, b = clouds(40, 30, 2)
    for cost in COSTS:
        for reg in (1.0, 0.05, 1e-3):
            assert float(sinkhorn_divergence(x, x, a, a, reg=reg, cost=cost)) == 0
            same = sinkhorn_divergence(x, x[::-1], a, a[::-1], reg=reg, cost=cost)
            assert abs(same) <= 1e-8 and np.abs(same.gradients.x).max() <= 1e-6
            forth = sinkhorn_divergence(x, y, a, b, reg=reg, cost=cost)
            back = sinkhorn_divergence(y, x, b, a, reg=reg, cost=cost)
            assert forth.converged and forth > 0 and abs(forth - back) <= 1e-8
            assert forth.value == float(forth)
    again = pickle.loads(pickle.dumps(forth))
    assert again == forth and again.gradients.x.shape == (40, 2)
    assert repr(forth).startswith("SinkhornDivergence(")


def test_divergence_gradients():
    x, y, a, b = clouds(6, 5, 2)
    reg, step = 0.1, 1e-6
    gradients = sinkhorn_divergence(x, y, a, b, reg=reg, tol=1e-13).gradients

    def slope(dx, dy, da=0.0, db=0.0):
        up = sinkhorn_divergence(x + dx, y + dy, a + da, b + db, reg=reg, tol=1e-13)
        down = sinkhorn_divergence(x - dx, y - dy, a - da, b - db, reg=reg, tol=1e-13)
        return (up - down) / (2 * step)

    for i in range(5):
        for k in range(2):
            dx, dy = np.zeros_like(x), np.zeros_like(y)
            dx[i, k] = dy[i, k] = step
            assert abs(slope(dx, 0) - gradients.x[i, k]) < 1e-7
            assert abs(slope(0, dy) - gradients.y[i, k]) < 1e-7
        da = step * (np.eye(6)[i] - np.eye(6)[i + 1])
        assert abs(slope(0, 0, da) - (gradients.a[i] - gradients.a[i + 1])) < 1e-7


def test_normal_distributions_in_closed_form():
    # On a fine grid the sums are integrals to near rounding.
    grid = np.linspace(-11, 13, 300)
    reg, (vx, vy), shift = 0.8, (1.0, 2.25), 1.5
    a, b = np.exp(-(grid**2) / (2 * vx)), np.exp(-((grid - shift) ** 2) / (2 * vy))
    a, b = a / a.sum(), b / b.sum()
    result = sinkhorn_points(grid, grid, a, b, reg=reg)
    expected = oracle.gaussian_entropic_objective(vx, vy, reg, shift)
    assert abs(result.objective - expected) <= 1e-7 * expected
    # As reg tends to 0 the cost tends to that of the exact problem, from above.
    exact = oracle.gaussian_cost([0.0], [shift], np.array([[vx]]), np.array([[vy]]))
    sharp = sinkhorn_points(grid, grid, a, b, reg=0.01)
    assert sharp.bracket.lower <= exact + 1e-3 and exact <= sharp.bracket.upper
    assert abs(sinkhorn_divergence(grid, grid, a, b, reg=0.2) - exact) <= 0.02


def test_lines_dtypes_and_layouts():
    x, y, a, b = clouds(30, 20, 1)
    flat = sinkhorn_points(x[:, 0], y[:, 0], a, b, reg=0.1)
    assert flat.value == sinkhorn_points(x, y, a, b, reg=0.1).value
    assert flat.gradients.x.shape == (30, 1)
    low = sinkhorn_points(*(np.float32(v) for v in (x, y)), reg=0.1)
    assert low.plan.dtype == np.float32 and low.gradients.x.dtype == np.float32
    x, y, a, b = clouds(30, 20, 3)
    P = sinkhorn_points(x, y, reg=0.1).plan
    other = sinkhorn_points(np.asfortranarray(x), y[::-1][::-1].astype(">f8"), reg=0.1).plan
    np.testing.assert_array_equal(P, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reg": 0}, "'reg' must be > 0"),
        ({"reg": np.nan}, "'reg' must be > 0"),
        ({"cost": "cosine"}, "'cost' must be one of"),
        ({"x": np.zeros((0, 2))}, "'x' must have shape"),
        ({"x": np.full((3, 2), np.nan)}, "'x' must be finite"),
        ({"x": np.full((3, 2), 1e200)}, "'x' must be at most 1e"),
        ({"y": np.zeros((3, 5))}, "'y' must have points of dimension 2"),
        ({"a": np.ones(4)}, "'a' must have shape"),
        ({"b": np.ones(3)}, "'b' must sum to"),
        ({"tol": 0}, "'tol' must be > 0"),
        ({"max_iter": 0}, "'max_iter' must be >= 1"),
    ],
)
def test_bad_input(change, message):
    arguments = {"x": np.zeros((3, 2)), "y": np.ones((3, 2)), "reg": 1.0} | change
    for function in (sinkhorn_points, sinkhorn_divergence):
        with pytest.raises(ValueError, match=f"{function.__name__}: {message}"):
            function(**arguments)


def test_missing_the_tolerance():
    x, y, a, b = clouds(30, 20, 2)
    with pytest.warns(kexue_num.ConvergenceWarning, match="sinkhorn_points"):
        assert not sinkhorn_points(x, y, a, b, reg=1e-3, max_iter=3).converged
    with pytest.warns(kexue_num.ConvergenceWarning, match="sinkhorn_divergence"):
        assert not sinkhorn_divergence(x, y, a, b, reg=1e-3, max_iter=3).converged
