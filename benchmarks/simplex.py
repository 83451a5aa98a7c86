"""Maps onto the simplex against scipy, torch, jax and entmax, outputs reused where a peer can.

Data are standard normal. Errors are largest absolute differences from the map of the same row in
extended precision, in eps of the dtype, over the first rows. The least work counted for the limit
is one read and one write of the matrix.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.special

from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from benchmarks._runner import installed
from kexue_num import simplex

Matrix = Any
SHAPES = [(100_000, 10), (10_000, 100), (4096, 4096), (128, 50_257), (1, 10_000_000)]
JUDGED = 200_000  # entries


def cases(quick: bool) -> Iterator[Case]:
    """Yield the cases; `quick` takes small shapes and promises nothing."""
    shapes = [(1000, 10), (100, 100), (8, 5000)] if quick else SHAPES
    for dtype in ("float32", "float64"):
        for rows, n in shapes:
            for name, floor in _floors(n, dtype):
                yield _case(name, rows, n, dtype, None if quick else floor)
    if quick:
        return
    for dtype in ("float32", "float64"):
        for name in ("softmax", "sparsemax", "entmax15"):
            for rows, n in SHAPES:
                yield Case(
                    name=f"{name}/{rows}x{n}/{dtype}/fresh",
                    title=f"{name}, {rows} x {n}, {dtype}, a new output against a reused one",
                    prepare=functools.partial(_fresh, name, rows, n, dtype),
                    floor=Floor("reused", 1 / 1.5, None),
                )
            for rows, n in SHAPES[2:]:
                yield Case(
                    name=f"{name}/{rows}x{n}/{dtype}/workers",
                    title=f"{name}, {rows} x {n}, {dtype}, two workers against one",
                    prepare=functools.partial(_workers, name, rows, n, dtype),
                    all_threads=True,
                    floor=Floor("one worker", 1.8, None),
                )


def _floors(n: int, dtype: str) -> Iterator[tuple[str, Floor | None]]:
    """What is asked of every map, against the peer that is the fastest at this size."""
    small = n <= 100
    quickest = "jax" if n == 10 and installed("jax") else "torch out="
    yield "softmax", Floor(quickest, 1.0 if dtype == "float64" and n == 10 else 1.4, None)
    yield "sparsemax", Floor("numpy sort" if small else "entmax k=100", 9, None)
    if n >= 100:
        yield "sparsemax/default", Floor("entmax", 60, None)
    yield "entmax15", Floor("entmax k=100", 14, None)
    yield "entmax1.3", Floor("bisection", 25, None) if n >= 100 else None
    yield "sparsemax+vjp", Floor("entmax k=100", 12, None)


def _fresh(name: str, rows: int, n: int, dtype: str) -> Problem:
    x, out = _data(rows, n, dtype)
    map_, judge = getattr(simplex, name), _judge(name, x)
    contenders = (
        Contender("fresh", lambda: map_(x), judge),
        Contender("reused", lambda: map_(x, out=out), judge),
    )
    return Problem(contenders, "4 eps", 2 * x.nbytes, 0.0, dtype)


def _data(rows: int, n: int, dtype: str) -> tuple[Matrix, Matrix]:
    """Normal entries and an output whose pages are there."""
    x = np.random.default_rng(0).standard_normal((rows, n), dtype=np.dtype(dtype).type)
    return x, np.full_like(x, 0)


def _workers(name: str, rows: int, n: int, dtype: str) -> Problem:
    x, out = _data(rows, n, dtype)
    map_, judge = getattr(simplex, name), _judge(name, x)
    contenders = (
        Contender("two workers", lambda: map_(x, out=out, workers=2), judge),
        Contender("one worker", lambda: map_(x, out=out, workers=1), judge),
    )
    return Problem(contenders, "4 eps", 2 * x.nbytes, 0.0, dtype)


def _case(name: str, rows: int, n: int, dtype: str, floor: Floor | None) -> Case:
    return Case(
        name=f"{name}/{rows}x{n}/{dtype}",
        title=f"{name}, {rows} x {n}, {dtype}",
        prepare=functools.partial(_prepare, name, rows, n, dtype),
        floor=floor,
    )


def _prepare(name: str, rows: int, n: int, dtype: str) -> Problem:
    x, out = _data(rows, n, dtype)
    make = {
        "softmax": _softmax,
        "sparsemax": functools.partial(_sparse, 2.0),
        "sparsemax/default": functools.partial(_sparse, 2.0),
        "entmax15": functools.partial(_sparse, 1.5),
        "entmax1.3": functools.partial(_sparse, 1.3),
        "sparsemax+vjp": _both_ways,
    }[name]
    contenders = make(x, out, _judge(name, x))
    return Problem(tuple(contenders), "4 eps", 2 * x.nbytes, 0.0, dtype)


def _judge(name: str, x: Matrix) -> Callable[[Any], Outcome]:
    rows = max(1, JUDGED // x.shape[1])
    alpha = {
        "softmax": 1.0,
        "sparsemax": 2.0,
        "sparsemax/default": 2.0,
        "entmax15": 1.5,
        "entmax1.3": 1.3,
        "sparsemax+vjp": 2.0,
    }[name]
    eps = float(np.finfo(x.dtype).eps)

    reference = functools.cache(lambda: _reference(x[:rows].astype(np.longdouble), alpha))

    def judge(result: Any) -> Outcome:
        p = np.asarray(result)[:rows]
        return Outcome(error=float(np.abs(p - reference()).max()) / (4 * eps))

    return judge


def _reference(x: Matrix, alpha: float) -> Matrix:
    """Bisection in extended precision."""
    y = x - x.max(1, keepdims=True)
    if alpha == 1:
        e = np.exp(y)
        return e / e.sum(1, keepdims=True)
    b = np.longdouble(alpha) - 1
    low, high = np.zeros_like(y[:, :1]), np.zeros_like(y[:, :1]) + 1 / b
    # Entries that lie 1/b below the largest are zero wherever the threshold is.
    most = int((y > -1 / b).sum(1).max())
    top = -np.partition(-y, most - 1, axis=1)[:, :most]
    for _ in range(70):
        middle = (low + high) / 2
        big = (np.maximum(1 + b * (top - middle), 0) ** (1 / b)).sum(1, keepdims=True) > 1
        low, high = np.where(big, middle, low), np.where(big, high, middle)
    return np.maximum(1 + b * (y - low), 0) ** (1 / b)


def _softmax(x: Matrix, out: Matrix, judge: Any) -> list[Contender]:
    def torch_out() -> Any:
        import torch

        return torch.softmax(torch.from_numpy(x), -1, out=torch.from_numpy(copy)).numpy()

    copy = np.full_like(x, 0)
    return [
        Contender("kexue_num", lambda: simplex.softmax(x, out=out), judge),
        Contender("scipy", lambda: scipy.special.softmax(x, axis=-1), judge),
        Contender("torch out=", torch_out, judge, requires="torch"),
        Contender("jax", _jax_softmax(x), judge, requires="jax"),
    ]


def _jax_softmax(x: Matrix) -> Callable[[], Any]:
    """Compiled at the first call."""
    state: list[Any] = []

    def run() -> Any:
        import jax

        if not state:
            jax.config.update("jax_enable_x64", True)
            state.extend([jax.jit(functools.partial(jax.nn.softmax, axis=-1)), jax.numpy.array(x)])
        return state[0](state[1]).block_until_ready()

    return run


def _sparse(alpha: float, x: Matrix, out: Matrix, judge: Any) -> list[Contender]:
    def peer(function: str, *arguments: Any) -> Callable[[], Any]:
        def run() -> Any:
            import entmax
            import torch

            return getattr(entmax, function)(torch.from_numpy(x), *arguments).numpy()

        return run

    contenders = [
        Contender("kexue_num", lambda: simplex.entmax(x, alpha, out=out), judge),
    ]
    if alpha in (1.5, 2.0):
        name = "sparsemax" if alpha == 2 else "entmax15"
        k = min(100, x.shape[1])
        contenders += [
            Contender("entmax", peer(name, -1), judge, requires="entmax"),
            Contender("entmax k=100", peer(name, -1, k), judge, requires="entmax"),
        ]
    else:
        contenders.append(
            Contender("bisection", peer("entmax_bisect", alpha), judge, requires="entmax")
        )
    if alpha == 2:
        contenders.append(Contender("numpy sort", lambda: _sort_projection(x), judge))
    return contenders


def _sort_projection(x: Matrix) -> Matrix:
    z = -np.sort(-x, axis=1)
    excess = np.cumsum(z, axis=1) - 1
    size = (z * np.arange(1, x.shape[1] + 1) > excess).sum(1)
    tau = excess[np.arange(len(x)), size - 1] / size
    return np.maximum(x - tau[:, None], 0)


def _both_ways(x: Matrix, out: Matrix, _: Any) -> list[Contender]:
    """The gradient is judged, by the support in extended precision, in the size of its entries."""
    g = np.random.default_rng(1).standard_normal(x.shape, dtype=x.dtype.type)
    gradient = np.full_like(x, 0)
    rows = max(1, JUDGED // x.shape[1])
    eps = float(np.finfo(x.dtype).eps)

    @functools.cache
    def reference() -> Matrix:
        inside = _reference(x[:rows].astype(np.longdouble), 2.0) > 0
        wide = np.where(inside, g[:rows].astype(np.longdouble), 0)
        mean = wide.sum(1, keepdims=True) / inside.sum(1, keepdims=True)
        return np.where(inside, wide - mean, 0)

    def judge(result: Any) -> Outcome:
        error = np.abs(np.asarray(result)[:rows] - reference()).max()
        return Outcome(error=float(error / np.abs(reference()).max()) / (4 * eps))

    def ours() -> Any:
        p = simplex.sparsemax(x, out=out)
        return simplex.sparsemax_vjp(p, g, out=gradient)

    def theirs() -> Any:
        import entmax
        import torch

        scores = torch.from_numpy(x).requires_grad_()
        p = entmax.sparsemax(scores, -1, min(100, x.shape[1]))
        return torch.autograd.grad(p, scores, torch.from_numpy(g))[0].numpy()

    return [
        Contender("kexue_num", ours, judge),
        Contender("entmax k=100", theirs, judge, requires="entmax"),
    ]
