"""Entropic transport against extended precision, linear programs, closed forms and itself."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import eye_array, kron, vstack

import kexue_num
from kexue_num.transport import sinkhorn, sinkhorn_batch
from tests.oracles import sinkhorn as oracle


def clouds(n, m, seed=0, d=2):
    """Two normal clouds, their masses and their squared distances over the largest one."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, d)), rng.standard_normal((m, d)) * 0.8 + 1
    a, b = rng.random(n) + 0.1, rng.random(m) + 0.1
    C = ((x[:, None] - y) ** 2).sum(-1)
    return a / a.sum(), b / b.sum(), C / C.max()


def marginal_error(P, a, b):
    return max(np.abs(P.sum(1) - a).sum(), np.abs(P.sum(0) - b).sum())


def least_cost(a, b, C):
    """The value of the linear program, by HiGHS; forbidden arcs are left out."""
    n, m = C.shape
    arcs = np.isfinite(C).ravel()
    A = vstack([kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))]).tocsc()
    found = linprog(C.ravel()[arcs], A_eq=A[:, arcs], b_eq=np.concatenate([a, b]), method="highs")
    return found.fun if found.status == 0 else None


@st.composite
def problems(draw, largest=40):
    """Random, uniform, tied, sparse and forbidden problems of any shape, and a relative reg."""
    n, m = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["random", "ties", "points", "shifted"]))
    if kind == "ties":
        C = rng.integers(0, 4, (n, m)).astype(float)
    elif kind == "points":
        C = np.abs(rng.random(n)[:, None] - rng.random(m)) * 10.0 ** draw(st.integers(-6, 6))
    else:
        C = rng.random((n, m)) + (1e3 if kind == "shifted" else 0)
    masses = []
    for size in (n, m):
        mass = rng.random(size) if draw(st.booleans()) else np.ones(size)
        if draw(st.booleans()):
            mass = mass * (rng.random(size) < 0.7)
            mass[rng.integers(size)] += 0.5
        masses.append(mass / mass.sum())
    return *masses, C, draw(st.sampled_from([1.0, 0.1, 0.01, 1e-3]))


@given(problems())
@settings(max_examples=40)
def test_is_optimal_and_brackets_the_linear_program(problem):
    a, b, C, relative = problem
    reg = relative * (np.ptp(C) or 1.0)
    result = sinkhorn(a, b, C, reg)
    assert result.converged and result.marginal_error <= 1e-9
    P, (f, g) = result.plan, result.potentials
    assert marginal_error(P, a, b) <= 1e-9 + 1e-14
    # Its form and its marginals make a plan the unique solution.
    with np.errstate(over="ignore"):
        shape = np.outer(a, b) * np.exp((f[:, None] + g - C) / reg)
    np.testing.assert_allclose(P, shape, rtol=1e-12 * (1 + np.abs(C).max() / reg), atol=1e-100)
    scale = np.abs(C).max() + reg
    assert abs(result.value - (C * P).sum()) <= 1e-13 * scale
    assert abs(result.objective - float(oracle.objective(P, a, b, C, reg))) <= 1e-12 * scale
    assert 0 <= result.gap <= 2e-9 * scale * max(1.0, 1 / relative)
    least = least_cost(a, b, C)
    lower, upper = result.bracket
    assert lower <= least + 1e-9 * scale and least <= upper + 1e-9 * scale
    assert upper - lower <= 12 * reg * (1 + np.log(C.size)) + 1e-9 * scale
    R = result.rounded()
    assert marginal_error(R, a, b) <= 1e-14 and R.min() >= 0
    assert abs((R * C).sum() - upper) <= 1e-12 * scale


@pytest.mark.parametrize("reg", [1.0, 0.1, 0.02])
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (7, 1), (8, 9), (17, 12)])
def test_agrees_with_extended_precision(reg, shape, isa):
    a, b, C = clouds(*shape, seed=3)
    f, g, P = oracle.solve(a, b, C, reg)
    result = sinkhorn(a, b, C, reg, tol=1e-13)
    np.testing.assert_allclose(result.plan, P.astype(float), rtol=1e-9, atol=1e-14)
    best = float(oracle.objective(P, a, b, C, reg))
    assert abs(result.objective - best) <= 1e-12 and abs(result.dual_value - best) <= 1e-12
    shift = (f - result.potentials.f).mean()
    np.testing.assert_allclose(result.potentials.f + shift, f.astype(float), atol=1e-10)
    np.testing.assert_allclose(result.potentials.g - shift, g.astype(float), atol=1e-10)


@pytest.mark.parametrize("relative", [1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
def test_converges_from_large_to_tiny_reg(relative, isa):
    a, b, C = clouds(90, 70)
    result = sinkhorn(a, b, C * 1e5, relative * 1e5)
    assert result.converged and marginal_error(result.plan, a, b) <= 1.001e-9
    exact = least_cost(a, b, C)
    assert result.bracket.lower <= exact * 1e5 + 1e-9 <= result.bracket.upper + 2e-9
    assert result.bracket.upper - exact * 1e5 <= 3 * relative * 1e5


@pytest.mark.parametrize("reg", [0.1, 1e-2, 1e-3])
def test_large_kernels_in_float32_keep_the_marginals(reg, isa):
    a, b, C = clouds(420, 350)  # above the switch
    result = sinkhorn(a, b, C, reg)
    assert result._plan.single and result.converged
    assert marginal_error(result.plan, a, b) <= 1e-9 + 1e-14
    exact = sinkhorn(a, b, C, reg, tol=5e-13)
    assert not exact._plan.single and exact.converged
    assert abs(result.objective - exact.objective) <= 1e-8 * reg
    assert abs(result.value - exact.value) <= 2e-7 * reg
    assert np.abs(result.plan - exact.plan).sum() <= 2e-5


def test_float32_kernel_with_potentials_of_huge_range():
    # Rows at distances that differ by 1e6 reg, masses by 1e12: what u and v must bridge.
    rng = np.random.default_rng(5)
    n = 400
    C = rng.random((n, n)) + 1e4 * rng.random(n)[:, None] + 1e4 * rng.random(n)
    a, b = 10.0 ** -rng.uniform(0, 12, n), 10.0 ** -rng.uniform(0, 12, n)
    a, b = a / a.sum(), b / b.sum()
    result = sinkhorn(a, b, C, 0.01)
    assert result._plan.single and result.converged
    assert marginal_error(result.plan, a, b) <= 1e-9 + 1e-14
    exact = sinkhorn(a, b, C, 0.01, tol=1e-12 / 2)
    assert abs(result.value - exact.value) <= 1e-9 * np.abs(C).max()


@given(problems(12), st.integers(0, 2**32))
@settings(max_examples=25)
def test_permutation_shift_and_scale(problem, seed):
    a, b, C, relative = problem
    reg = max(relative, 0.01) * (np.ptp(C) or 1.0)
    rng = np.random.default_rng(seed)
    rows, cols = rng.permutation(len(a)), rng.permutation(len(b))
    P = sinkhorn(a, b, C, reg, tol=1e-12).plan
    near = {"rtol": 1e-6, "atol": 1e-9}
    moved = sinkhorn(a[rows], b[cols], C[np.ix_(rows, cols)], reg, tol=1e-12).plan
    np.testing.assert_allclose(moved, P[np.ix_(rows, cols)], **near)
    np.testing.assert_allclose(sinkhorn(a, b, C + 1, reg, tol=1e-12).plan, P, **near)
    for power in (-1000, -200, 200, 1000):
        scaled = sinkhorn(a, b, np.ldexp(C, power), np.ldexp(reg, power), tol=1e-12)
        np.testing.assert_allclose(scaled.plan, P, **near)
        assert np.isfinite(scaled.value) and scaled.converged
    assert np.allclose(sinkhorn(7 * a, 7 * b, C, reg, tol=1e-11).plan, 7 * P, **near)
    np.testing.assert_allclose(sinkhorn(b, a, C.T, reg, tol=1e-12).plan, P.T, **near)


@pytest.mark.parametrize("shape", [(60, 50), (500, 400)])
@pytest.mark.parametrize("reg", [0.05, 5e-4])
def test_results_do_not_depend_on_workers(shape, reg):
    a, b, C = clouds(*shape)
    one, two = (sinkhorn(a, b, C, reg, workers=k) for k in (1, 2))
    assert one.n_iter == two.n_iter and one.value == two.value
    np.testing.assert_array_equal(one.potentials.g, two.potentials.g)
    np.testing.assert_array_equal(one.plan, two.plan)
    v = np.random.default_rng(0).random((shape[1], 3))
    np.testing.assert_array_equal(one.apply(v), two.apply(v))
    assert one.bracket == two.bracket


def test_lazy_products():
    a, b, C = clouds(130, 110)
    for tol in (1e-9, 1e-12):
        result = sinkhorn(a, b, C, 0.01, tol=tol)
        P, rng = result.plan, np.random.default_rng(1)
        for shape in ((), (3,), (0,)):
            v, w = rng.random((110, *shape)), rng.random((130, *shape))
            np.testing.assert_allclose(result.apply(v), P @ v, rtol=1e-13)
            np.testing.assert_allclose(result.apply_transpose(w), P.T @ w, rtol=1e-13)
        np.testing.assert_array_equal(result.plan_coo.toarray(), P)


@pytest.mark.parametrize("shape", [(130, 110), (400, 390)])
def test_a_kept_kernel_is_the_one_that_is_recomputed(shape):
    a, b, C = clouds(*shape)
    a[::7] = 0
    a /= a.sum()
    C[3, 5] = np.inf
    kept = sinkhorn(a, b, C, 0.01)
    again = pickle.loads(pickle.dumps(kept))
    assert kept._plan.kernel.nbytes > 0 and again._plan.kernel is None
    np.testing.assert_array_equal(kept.plan, again.plan)
    v = np.random.default_rng(0).random((shape[1], 2))
    np.testing.assert_array_equal(kept.apply(v), again.apply(v))
    assert kept.bracket == again.bracket


def test_gradients_against_finite_differences():
    a, b, C = clouds(6, 5)
    reg, step = 0.05, 1e-5
    gradients = sinkhorn(a, b, C, reg, tol=1e-13).gradients

    def difference(da, db, dC):
        up = sinkhorn(a + da, b + db, C + dC, reg, tol=1e-13).objective
        down = sinkhorn(a - da, b - db, C - dC, reg, tol=1e-13).objective
        return (up - down) / (2 * step)

    for i in range(5):
        da = step * (np.eye(6)[i] - np.eye(6)[i + 1])
        assert abs(difference(da, 0, 0) - (gradients.a[i] - gradients.a[i + 1])) < 1e-7
    for j in range(4):
        db = step * (np.eye(5)[j] - np.eye(5)[j + 1])
        assert abs(difference(0, db, 0) - (gradients.b[j] - gradients.b[j + 1])) < 1e-7
    dC = np.zeros_like(C)
    dC[2, 3] = step
    assert abs(difference(0, 0, dC) - gradients.C[2, 3]) < 1e-7


def test_forbidden_arcs_and_zero_masses():
    a = np.array([0.0, 0.3, 0.7, 0.0])
    b = np.array([0.5, 0.0, 0.5])
    C = np.array([[np.inf, np.inf, np.inf], [1, 2, np.inf], [3, np.inf, 1], [0, 0, 0.0]])
    result = sinkhorn(a, b, C, 1e-2)
    P = result.plan
    assert result.converged and marginal_error(P, a, b) <= 1e-9
    assert P[1, 2] == 0 and P[0].max() == 0 and P[:, 1].max() == 0
    assert abs(result.value - (0.3 + 0.2 * 3 + 0.5)) < 1e-6
    assert np.isfinite(result.potentials.f).all() and np.isfinite(result.potentials.g).all()
    assert result.bracket.lower <= 1.4 + 1e-9 and result.bracket.upper >= 1.4 - 1e-9
    # The potential of an empty row or column is that of a mass that tends to zero.
    C = C[1:]

    def solve(a, b):
        return sinkhorn(a, b, C, 0.1, tol=1e-13).gradients

    row = [solve([0.4, 0.6 - x, x], [0.4, 0.1, 0.5]).a for x in (0, 1e-7)]
    col = [solve([0.4, 0.5, 0.1], [0.5 - x, x, 0.5]).b for x in (0, 1e-7)]
    for zero, tiny in (row, col):
        np.testing.assert_allclose(zero - zero[0], tiny - tiny[0], atol=1e-4)
    with pytest.raises(kexue_num.NumericalError, match="sinkhorn: row 0 has mass"):
        sinkhorn([0.5, 0.5], [0.5, 0.5], [[np.inf, np.inf], [1, 1]], 0.1)
    with pytest.raises(kexue_num.NumericalError, match="column 1 has mass"):
        sinkhorn([0.5, 0.5], [0.5, 0.5], [[1, np.inf], [1, np.inf]], 0.1)


def test_an_infeasible_pattern_is_named():
    # Rows 0 and 1 may only reach column 0, which cannot hold them.
    C = np.array([[1, np.inf, np.inf], [1, np.inf, np.inf], [1, 1, 1.0]])
    with pytest.raises(kexue_num.NumericalError, match=r"sinkhorn: rows \[0, 1\] hold .*forbidden"):
        sinkhorn(None, None, C, 0.1, max_iter=500)


def test_missing_the_tolerance_warns_once_and_says_what_was_reached():
    a, b, C = clouds(60, 60)
    with pytest.warns(kexue_num.ConvergenceWarning, match="sinkhorn: stopped at a marg") as caught:
        result = sinkhorn(a, b, C, 1e-3, max_iter=5)
    assert len(caught) == 1 and not result.converged and "stopped" in result.status
    assert abs(marginal_error(result.plan, a, b) - result.marginal_error) <= 1e-12
    assert result.bracket.lower <= least_cost(a, b, C) <= result.bracket.upper
    with pytest.warns(kexue_num.ConvergenceWarning):  # rounding ends it, not 50000 passes
        assert sinkhorn(a, b, C, 0.1, tol=1e-18).n_iter < 2000


def test_a_degenerate_problem_on_the_line():
    # Newton's steps alone grew the dual by little and the error not at all.
    x, y = np.array([0.0, 0.27, 0.05, 0.18]), np.array([0.32, 0.12, 0.22, 0.06, 0.1, 0.09, 0.34])
    rng = np.random.default_rng(0)
    for _ in range(30):
        a, b = rng.dirichlet(np.full(4, 0.5)), rng.dirichlet(np.full(7, 0.5))
        C = np.abs(x[:, None] - y)
        for reg in (1e-2, 1e-3, 1e-4):
            assert sinkhorn(a, b, C, reg * np.ptp(C), tol=1e-12).converged


def test_warm_start():
    a, b, C = clouds(80, 70)
    cold = sinkhorn(a, b, C, 1e-3)
    warm = sinkhorn(a, b, C * 1.0001, 1e-3, init=cold)
    assert warm.converged and warm.n_iter < cold.n_iter / 2
    assert sinkhorn(a, b, C, 1e-3, init=cold.potentials).n_iter <= 3
    far = sinkhorn(a, b, C, 1e-3, init=(np.full(80, 1e8), np.arange(70.0)))
    assert far.converged and abs(far.value - cold.value) < 1e-8


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_small_floats(dtype):
    a, b, C = clouds(40, 30)
    low = [np.asarray(x, dtype) for x in (a, b, C)]
    low[0] /= low[0].sum()
    low[1] /= low[1].sum()
    if dtype == np.float32:
        result = sinkhorn(*low, 0.01)
        assert result.plan.dtype == dtype and result.potentials.f.dtype == dtype
        assert result.apply(np.ones(30, dtype)).dtype == dtype
        assert abs(result.value - sinkhorn(a, b, C, 0.01).value) < 1e-5
    else:
        assert sinkhorn(None, None, low[2], 0.01).plan.dtype == dtype


def test_layouts():
    a, b, C = clouds(30, 20)
    P = sinkhorn(a, b, C, 0.05).plan
    wide = np.zeros((60, 40), ">f8")
    wide[::2, ::2] = C
    view = wide[::2, ::2]
    view.flags.writeable = False
    for layout in (np.asfortranarray(C), view, C[::-1][::-1], C.tolist()):
        np.testing.assert_array_equal(sinkhorn(a, b, layout, 0.05).plan, P)
    assert sinkhorn(None, None, C, 0.05).converged


def test_batch_agrees_with_single_problems(isa):
    rng = np.random.default_rng(0)
    A, B = rng.random((23, 9)) + 0.01, rng.random((23, 7)) + 0.01
    A, B = A / A.sum(1, keepdims=True), B / B.sum(1, keepdims=True)
    C = rng.random((23, 9, 7))
    for costs in (C, C[0]):
        batch = sinkhorn_batch(A, B, costs, 0.02)
        assert len(batch) == 23 and batch.converged.all()
        plans = batch.plan
        for p in range(23):
            one = sinkhorn(A[p], B[p], costs if costs.ndim == 2 else costs[p], 0.02)
            np.testing.assert_array_equal(plans[p], one.plan)
            assert batch.value[p] == one.value and batch.objective[p] == one.objective
            assert batch.n_iter[p] == one.n_iter
    shared = sinkhorn_batch(A[0], B, C[0], 0.02, workers=1)
    assert shared.value[0] == batch.value[0]
    np.testing.assert_array_equal(sinkhorn_batch(A[0], B, C[0], 0.02, workers=2).plan, shared.plan)
    assert sinkhorn_batch(None, None, C, 0.02).plan.shape == (23, 9, 7)
    with pytest.warns(kexue_num.ConvergenceWarning, match="of 23 problems"):
        assert not sinkhorn_batch(A, B, C, 1e-3, max_iter=2).converged.all()


def test_a_batch_of_large_problems():
    C = np.random.default_rng(0).random((2, 400, 390))
    batch, other = (sinkhorn_batch(None, None, C, 0.02, workers=w) for w in (1, 2))
    np.testing.assert_array_equal(batch.plan, other.plan)
    for p in range(2):
        one = sinkhorn(None, None, C[p], 0.02)
        np.testing.assert_allclose(batch.plan[p], one.plan, atol=1e-10)
        assert batch.converged[p] and batch.value[p] == pytest.approx(one.value, rel=1e-7)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (7, 3), (33, 20), (32, 32), (64, 64)])
def test_small_problems_agree_with_the_general_solver(shape, isa):
    # A start makes `sinkhorn` take the solver of large problems.
    n, m = shape
    rng = np.random.default_rng(n + m)
    A, B, C = rng.random((5, n)), rng.random((5, m)), rng.standard_normal((5, n, m)) * 3
    A[0, n // 2 :] *= 1e-9
    B[1, : m // 2] = A[2, : n // 2] = 0
    A, B = A / A.sum(1, keepdims=True), B / B.sum(1, keepdims=True)
    start = (np.zeros(n), np.zeros(m))
    for reg in (30.0, 1.0, 0.2):
        batch = sinkhorn_batch(A, B, C, reg)
        assert batch.converged.all() and (batch.gap >= 0).all()
        for p, plan in enumerate(batch.plan):
            error = max(np.abs(plan.sum(1) - A[p]).sum(), np.abs(plan.sum(0) - B[p]).sum())
            assert error <= 1e-9 and abs(error - batch.marginal_error[p]) <= 1e-14
            one = sinkhorn(A[p], B[p], C[p], reg, init=start)
            np.testing.assert_allclose(plan, one.plan, rtol=1e-7, atol=1e-9)
            for name in ("value", "objective", "dual_value"):
                assert getattr(batch, name)[p] == pytest.approx(getattr(one, name), abs=1e-7)
            f, g = batch.potentials.f[p], batch.potentials.g[p]
            expected = A[p][:, None] * B[p] * np.exp((f[:, None] + g - C[p]) / reg)
            np.testing.assert_allclose(plan, expected, rtol=1e-12)


def test_interrupts_and_warnings_are_quiet():
    a, b, C = clouds(50, 50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sinkhorn(a, b, C, 1e-5).converged
