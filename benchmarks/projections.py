"""Projections and minimisation over the simplex against NumPy, SciPy, scikit-learn and others.

Errors are what leaves the feasible set, in units of eps of the dtype (projections: largest
deviation of a row's sum from the radius), the largest difference of two answers (soft sorting), or
the gap to the best value found (quadratic programs). The least work counted for the limit is one
pass over the input and one over the output.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from kexue_num import simplex

Array = NDArray[Any]

SHAPES = ((100_000, 10), (10_000, 100), (4096, 4096), (128, 50_257), (1, 10_000_000))


def cases(quick: bool) -> Iterator[Case]:
    """Yield the cases; `quick` shrinks the data and promises nothing."""
    yield from _simplex_cases(quick)
    yield from _soft_cases(quick)
    yield from _minimum_cases(quick)


def _simplex_cases(quick: bool) -> Iterator[Case]:
    for rows, cols in SHAPES:
        m, n = (max(1, rows // 10), max(5, cols // 20)) if quick else (rows, cols)
        for dtype in ("float32", "float64"):
            yield Case(
                name=f"simplex/{m}x{n}/{dtype}",
                title=f"project_simplex, {m} rows of {n}, {dtype}",
                prepare=functools.partial(_plain, m, n, dtype),
                floor=None if quick else Floor("numpy sort", 9, None),
            )
        for kind in ("upper", "weights", "bounds", "l1"):
            yield Case(
                name=f"simplex/{m}x{n}/{kind}",
                title=f"{m} rows of {n}, {kind}, against the plain projection",
                prepare=functools.partial(_variant, m, n, kind),
            )
    if not quick:
        yield Case(
            name="simplex/4096x4096/workers",
            title="project_simplex with upper bound, two workers against one",
            prepare=functools.partial(_workers, 4096, 4096),
            all_threads=True,
        )


def _soft_cases(quick: bool) -> Iterator[Case]:
    for m, n in ((1000, 100), (50, 5000)):
        rows = m // 10 if quick else m
        for kind in ("sort", "rank"):
            yield Case(
                name=f"soft_{kind}/{rows}x{n}",
                title=f"soft_{kind} (l2), {rows} rows of {n}, float64",
                prepare=functools.partial(_soft, rows, n, kind),
            )


def _minimum_cases(quick: bool) -> Iterator[Case]:
    n = 100 if quick else 2000
    yield Case(
        name=f"qp/{n}",
        title=f"quadratic program, {n} variables, dense convex Q",
        prepare=functools.partial(_qp, n),
    )
    m, n = (60, 40) if quick else (2000, 1000)
    yield Case(
        name=f"least_squares/{m}x{n}",
        title=f"least squares over the simplex, {m} x {n}",
        prepare=functools.partial(_least_squares, m, n),
    )
    n = 30 if quick else 300
    yield Case(
        name=f"birkhoff/{n}",
        title=f"project_birkhoff, {n} x {n}",
        prepare=functools.partial(_birkhoff, n),
    )


# The simplex


def numpy_sort(x: Array, radius: float = 1.0) -> Array:
    """Sort and cumulative sums, for all rows at once."""
    falling = np.sort(x, axis=1)[:, ::-1]
    excess = np.cumsum(falling, axis=1) - x.dtype.type(radius)
    counts = np.arange(1, x.shape[1] + 1, dtype=x.dtype)
    support = np.count_nonzero(falling * counts > excess, axis=1)
    tau = excess[np.arange(len(x)), support - 1] / support.astype(x.dtype)
    return np.maximum(x - tau[:, np.newaxis], 0)


def _data(m: int, n: int, dtype: str) -> Array:
    return np.random.default_rng(0).standard_normal((m, n), dtype=np.float32).astype(dtype)


def _sum_error(p: Any, weights: Array | float = 1.0) -> Outcome:
    p = np.asarray(p)
    total = (p[:50].astype(np.longdouble) * weights).sum(axis=1)
    return Outcome(error=float(np.abs(total - 1).max() / np.finfo(p.dtype).eps))


def _plain(m: int, n: int, dtype: str) -> Problem:
    x = _data(m, n, dtype)
    out = np.empty_like(x)
    contenders = [
        Contender("kexue_num", lambda: simplex.project_simplex(x, out=out), _sum_error),
        Contender("numpy sort", lambda: numpy_sort(x), _sum_error),
    ]
    if dtype == "float32":
        contenders.append(Contender("jaxopt", _jaxopt(x), _sum_error, requires="jaxopt"))
    return Problem(tuple(contenders), "eps off the radius", 2.0 * x.nbytes, x.size, dtype)


def _jaxopt(x: Array) -> Callable[[], Any]:
    """Compiled at its first call; the import waits until then, because jaxopt is optional."""
    compiled: list[Any] = []

    def run() -> Any:
        import jax
        from jaxopt.projection import projection_simplex

        if not compiled:
            compiled.extend([jax.jit(jax.vmap(projection_simplex)), jax.device_put(x)])
        return compiled[0](compiled[1]).block_until_ready()

    return run


def _variant(m: int, n: int, kind: str) -> Problem:
    x = _data(m, n, "float32")
    out = np.empty_like(x)
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.5, 2, n).astype(np.float32)
    options: dict[str, Any] = {
        "upper": {"upper": 0.25},
        "weights": {"weights": weights},
        "bounds": {"lower": np.zeros(n, np.float32), "upper": np.full(n, 0.25, np.float32)},
        "l1": {},
    }[kind]
    project = simplex.project_l1_ball if kind == "l1" else simplex.project_simplex
    scale = weights if kind == "weights" else 1.0

    def judge(p: Any) -> Outcome:
        return _sum_error(np.abs(p), scale)

    contenders = (
        Contender(kind, lambda: project(x, out=out, **options), judge),
        Contender("plain", lambda: simplex.project_simplex(x, out=out), _sum_error),
    )
    return Problem(contenders, "eps off the radius", 2.0 * x.nbytes, x.size, "float32")


def _workers(m: int, n: int) -> Problem:
    x = _data(m, n, "float32")
    out = np.empty_like(x)

    def run(workers: int) -> Array:
        return simplex.project_simplex(x, upper=0.25, out=out, workers=workers)

    contenders = (
        Contender("two workers", lambda: run(2), _sum_error),
        Contender("one worker", lambda: run(1), _sum_error),
    )
    return Problem(contenders, "eps off the radius", 2.0 * x.nbytes, x.size, "float32")


# Soft sorting and ranking


def _soft(m: int, n: int, kind: str) -> Problem:
    x = np.random.default_rng(0).standard_normal((m, n))
    ours = simplex.soft_sort if kind == "sort" else simplex.soft_rank
    reference = ours(x, 0.5)

    def judge(values: Any) -> Outcome:
        return Outcome(error=float(np.abs(values - reference).max()))

    contenders = (
        Contender("kexue_num", lambda: ours(x, 0.5), judge),
        Contender(
            "numpy + sklearn",
            lambda: sklearn_soft(x, 0.5, kind),
            judge,
            requires="scikit-learn",
        ),
    )
    return Problem(contenders, "difference", 2.0 * x.nbytes, x.size)


def sklearn_soft(x: Array, strength: float, kind: str) -> Array:
    """A loop over rows: NumPy sorts, scikit-learn pools."""
    from sklearn.isotonic import isotonic_regression

    n = x.shape[1]
    ranks = np.arange(n, 0, -1.0)
    out = np.empty_like(x)
    for row, result in zip(x, out, strict=True):
        order = np.argsort(-row)
        s, w = (ranks / strength, row[order]) if kind == "sort" else (row[order] / strength, ranks)
        p = s - isotonic_regression(s - w, increasing=False)
        if kind == "sort":
            result[:] = p[::-1]
        else:
            result[order] = p
    return out


# Minimisation


def _qp(n: int) -> Problem:
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((n, n // 2))
    q = factors @ factors.T / n + np.diag(rng.uniform(0.01, 0.1, n))
    c = 0.1 * rng.standard_normal(n)
    best = simplex.simplex_qp(q, c).fun

    def judge(p: Any) -> Outcome:
        return Outcome(error=float(p @ q @ p / 2 + c @ p - best))

    contenders = (
        Contender("kexue_num", lambda: simplex.simplex_qp(q, c).p, judge),
        Contender(
            "no convexity proof", lambda: simplex.simplex_qp(q, c, check_convex=False).p, judge
        ),
        Contender("scipy nnls", lambda: nnls_qp(q, c), judge),
        Contender("quadprog", lambda: _quadprog(q, c), judge, requires="quadprog"),
        Contender("osqp", lambda: _osqp(q, c), judge, requires="osqp"),
        Contender("cvxpy", lambda: _cvxpy(q, c), judge, requires="cvxpy"),
    )
    return Problem(contenders, "above the best", q.nbytes, float(n * n))


def nnls_qp(q: Array, c: Array) -> Array:
    """Nonnegative least squares with a heavy row for the sum."""
    triangle = np.linalg.cholesky(q)
    target = -np.linalg.solve(triangle, c)
    weight = 1e3 * float(np.abs(triangle).max())
    n = len(c)
    stacked = np.vstack([triangle.T, np.full(n, weight)])
    p: Array = optimize.nnls(stacked, np.append(target, weight), maxiter=30 * n)[0]
    return p / p.sum()


def _quadprog(q: Array, c: Array) -> Any:
    import quadprog

    n = len(c)
    constraints = np.hstack([np.ones((n, 1)), np.eye(n)])
    return quadprog.solve_qp(q, -c, constraints, np.append(1.0, np.zeros(n)), 1)[0]


def _osqp(q: Array, c: Array) -> Any:
    import osqp
    from scipy import sparse

    n = len(c)
    rows = sparse.vstack([np.ones((1, n)), sparse.eye(n)], format="csc")
    solver = osqp.OSQP()
    low, high = np.append(1.0, np.zeros(n)), np.append(1.0, np.full(n, np.inf))
    solver.setup(
        sparse.triu(q, format="csc"), c, rows, low, high, verbose=False, eps_abs=1e-8, eps_rel=1e-8
    )
    p = np.maximum(solver.solve().x, 0)
    return p / p.sum()


def _cvxpy(q: Array, c: Array) -> Any:
    import cvxpy

    p = cvxpy.Variable(len(c))
    objective = cvxpy.Minimize(cvxpy.quad_form(p, cvxpy.psd_wrap(q)) / 2 + c @ p)
    cvxpy.Problem(objective, [p >= 0, cvxpy.sum(p) == 1]).solve()
    found = np.maximum(p.value, 0)
    return found / found.sum()


def _least_squares(m: int, n: int) -> Problem:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((m, n))
    b = a @ rng.dirichlet(np.full(n, 0.05)) + 0.1 * rng.standard_normal(m)
    best = simplex.simplex_least_squares(a, b).fun

    def judge(p: Any) -> Outcome:
        return Outcome(error=float(np.sum((a @ p - b) ** 2) / 2 - best))

    def nnls() -> Array:
        weight = 1e3 * float(np.abs(a).max())
        stacked = np.vstack([a, np.full(n, weight)])
        p: Array = optimize.nnls(stacked, np.append(b, weight), maxiter=30 * n)[0]
        return p / p.sum()

    contenders = (
        Contender("kexue_num", lambda: simplex.simplex_least_squares(a, b).p, judge),
        Contender("scipy nnls", nnls, judge),
    )
    return Problem(contenders, "above the best", a.nbytes, 2.0 * m * n)


def _birkhoff(n: int) -> Problem:
    x = np.random.default_rng(0).standard_normal((n, n))

    def judge(p: Any) -> Outcome:
        return Outcome(error=float(max(np.abs(p.sum(axis) - 1).max() for axis in (0, 1))))

    contenders = (
        Contender("kexue_num", lambda: simplex.project_birkhoff(x), judge),
        Contender("dykstra, 1000 sweeps", lambda: dykstra(x, 1000), judge),
    )
    return Problem(contenders, "marginal error", 2.0 * x.nbytes, float(n * n))


def dykstra(x: Array, sweeps: int) -> Array:
    """Alternating projections onto unit marginals and onto p >= 0, with Dykstra's correction."""
    n = len(x)
    p = x.copy()
    correction = np.zeros_like(x)
    for _ in range(sweeps):
        rows, columns = p.sum(1, keepdims=True), p.sum(0, keepdims=True)
        affine = p - rows / n - columns / n + (p.sum() / n + 1) / n + correction
        p = np.maximum(affine, 0)
        correction = affine - p
    return p
