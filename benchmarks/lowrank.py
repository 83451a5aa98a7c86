"""Interpolative decomposition against SciPy, LAPACK's pivoted QR and scikit-learn.

Errors are spectral norms of A - C Z. At fixed rank the unit is the best any rank-k matrix can do,
sigma_{k+1}; at fixed precision it is what was asked for, tol ||A||_2. The least work counted for
the limit is one pass over A and the products that give the coefficients.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.linalg
import scipy.linalg.interpolative as scipy_interpolative
from scipy.sparse.linalg import aslinearoperator

from benchmarks import _products
from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from benchmarks.matrices import (
    Matrix,
    kernel_matrix,
    residual_norm,
    sparse_matrix,
    spectral_matrix,
    spectral_norm,
    spectrum,
)
from kexue_num import interpolative, lowrank

Judge = Callable[[Any], Outcome]


def cases(quick: bool) -> Iterator[Case]:
    """Yield the cases; `quick` divides every dimension and rank by five and promises nothing."""
    scale = 5 if quick else 1
    yield from _fixed_rank_cases(scale)
    yield from _fixed_precision_cases(scale)
    yield from _operator_cases(scale)
    yield from _products.cases(scale)


def _fixed_rank_cases(scale: int) -> Iterator[Case]:
    table: list[tuple[str, int, int, int, Floor, dict[str, Any]]] = [
        ("default", 4000, 4000, 100, Floor("scipy", 100, 1.7, 250), {"peers": ("rsvd",)}),
        ("refine=exact", 4000, 4000, 100, Floor("scipy", 60, 1.05, 100), {"refine": "exact"}),
        ("default", 4000, 4000, 20, Floor("scipy", 40, 1.7), {}),
        ("default", 4000, 4000, 300, Floor("scipy", 40, 1.7), {}),
        ("default", 1000, 1000, 100, Floor("scipy", 20, 1.7), {"peers": ("qr", "rsvd")}),
        ("default", 20000, 500, 100, Floor("scipy", 40, 1.7), {"peers": ("qr",)}),
        ("rand=False", 4000, 4000, 100, Floor("scipy", 8, 1.05), {"deterministic": True}),
        ("rand=False", 1000, 1000, 100, Floor("scipy", 8, 1.05), {"deterministic": True}),
    ]
    for mode, rows, cols, rank, floor, options in table:
        m, n, k = rows // scale, cols // scale, rank // scale
        yield Case(
            name=f"rank/{m}x{n}/k{k}/{mode}",
            title=f"{m} x {n}, slow decay, rank {k}, {mode}",
            prepare=functools.partial(_fixed_rank, m, n, k, **options),
            floor=floor if scale == 1 else None,
        )
    m, k = 4000 // scale, 100 // scale
    yield Case(
        name=f"rank/{m}x{m}/k{k}/float32",
        title=f"{m} x {m}, slow decay, rank {k}, float32 against our float64",
        prepare=functools.partial(_single_precision, m, k),
        floor=Floor("float64", 1.8, 1.01) if scale == 1 else None,
    )


def _fixed_precision_cases(scale: int) -> Iterator[Case]:
    table: list[tuple[str, str, int, int, float]] = [
        ("slow decay", "slow", 2000, 2000, 1e-2),
        ("kernel 1/r", "kernel", 2000, 2000, 1e-6),
        ("fast decay", "fast", 20000, 500, 1e-4),
    ]
    for label, kind, rows, cols, tol in table:
        m, n = rows // scale, cols // scale
        yield Case(
            name=f"tol/{m}x{n}/{kind}/{tol:.0e}",
            title=f"{m} x {n}, {label}, tol {tol:.0e}",
            prepare=functools.partial(_fixed_precision, kind, m, n, tol),
            floor=Floor("scipy det", 30, None) if scale == 1 else None,
        )


def _operator_cases(scale: int) -> Iterator[Case]:
    m, k = 4000 // scale, 100 // scale
    yield Case(
        name=f"operator/{m}x{m}/k{k}",
        title=f"LinearOperator {m} x {m}, slow decay, rank {k}",
        prepare=functools.partial(_operator, m, k),
    )
    m, n = 100_000 // scale, 10_000 // scale
    yield Case(
        name=f"sparse/{m}x{n}/k{k}",
        title=f"sparse {m} x {n}, 0.1 % filled, rank {k}",
        prepare=functools.partial(_sparse, m, n, k),
    )


def _fixed_rank(
    rows: int,
    cols: int,
    rank: int,
    *,
    refine: str = "auto",
    deterministic: bool = False,
    peers: tuple[str, ...] = (),
) -> Problem:
    a = spectral_matrix("slow", rows, cols)
    unit = float(spectrum("slow", rows, cols)[rank])
    judge_scipy = functools.partial(_outcome_of_scipy, a, unit, rank)
    contenders = [
        Contender("scipy", lambda: _scipy_id(a, rank, rand=False), judge_scipy),
    ]
    if deterministic:
        ours = Contender(
            "kexue_num", lambda: interpolative.interp_decomp(a, rank, rand=False), judge_scipy
        )
    else:
        ours = Contender(
            "kexue_num",
            lambda: lowrank.interp_decomp(a, rank, refine=refine, rng=0),
            functools.partial(_outcome, a, unit),
        )
    if "qr" in peers:
        contenders.append(Contender("lapack geqp3", lambda: _pivoted_qr_id(a, rank), judge_scipy))
    if "rsvd" in peers:
        contenders.append(_randomized_svd(a, unit, rank))
    sketch_rows = 3 * rank
    flops = 2.0 * sketch_rows * rank * cols
    if refine == "exact" or deterministic:
        flops = 2.0 * rows * cols * rank
    return Problem((ours, *contenders), "sigma_k+1", a.nbytes, flops)


def _single_precision(size: int, rank: int) -> Problem:
    a = spectral_matrix("slow", size, size)
    single = a.astype(np.float32)
    unit = float(spectrum("slow", size, size)[rank])
    judge = functools.partial(_outcome, a, unit)
    return Problem(
        (
            Contender("kexue_num", lambda: lowrank.interp_decomp(single, rank, rng=0), judge),
            Contender("float64", lambda: lowrank.interp_decomp(a, rank, rng=0), judge),
        ),
        "sigma_k+1",
        single.nbytes,
        6.0 * rank * rank * size,
        "float32",
    )


def _fixed_precision(kind: str, rows: int, cols: int, tol: float) -> Problem:
    if kind == "kernel":
        a = kernel_matrix(rows)
        norm = spectral_norm(lambda x: a @ x, lambda y: a.T @ y, cols)
    else:
        a = spectral_matrix(kind, rows, cols)
        norm = float(spectrum(kind, rows, cols)[0])
    unit = tol * norm
    judge_scipy = functools.partial(_outcome_of_scipy, a, unit, None)
    return Problem(
        (
            Contender(
                "kexue_num",
                lambda: lowrank.interp_decomp(a, tol=tol, rng=0),
                functools.partial(_outcome, a, unit),
            ),
            Contender("scipy det", lambda: _scipy_id(a, tol, rand=False), judge_scipy),
            Contender("scipy rand", lambda: _scipy_id(a, tol, rand=True), judge_scipy),
        ),
        "tol |A|",
        a.nbytes,
        0.0,
    )


def _operator(size: int, rank: int) -> Problem:
    a = spectral_matrix("slow", size, size)
    unit = float(spectrum("slow", size, size)[rank])
    operator = aslinearoperator(a)
    return Problem(
        (
            Contender(
                "kexue_num",
                lambda: lowrank.interp_decomp(operator, rank, rng=0),
                functools.partial(_outcome, a, unit),
            ),
            Contender(
                "scipy",
                lambda: _scipy_id(operator, rank, rand=True),
                functools.partial(_outcome_of_scipy, a, unit, rank),
            ),
        ),
        "sigma_k+1",
        a.nbytes,
        2.0 * size * size * rank,
    )


def _sparse(rows: int, cols: int, rank: int) -> Problem:
    a = sparse_matrix(rows, cols, 1e-3)
    norm = spectral_norm(lambda x: a @ x, lambda y: a.T @ y, cols)
    operator = aslinearoperator(a)
    return Problem(
        (
            Contender(
                "kexue_num",
                lambda: lowrank.interp_decomp(a, rank, rng=0),
                functools.partial(_outcome, a, norm),
            ),
            Contender(
                "scipy",
                lambda: _scipy_id(operator, rank, rand=True),
                functools.partial(_outcome_of_scipy, a, norm, rank),
            ),
            _randomized_svd(a, norm, rank),
        ),
        "|A|",
        a.data.nbytes + a.indices.nbytes + a.indptr.nbytes,
        6.0 * rank * rank * cols,
    )


def _scipy_id(a: Any, eps_or_k: float, *, rand: bool) -> tuple[Any, ...]:
    """Return SciPy's (idx, proj), whatever was asked for."""
    result: tuple[Any, ...] = scipy_interpolative.interp_decomp(a, eps_or_k, rand=rand, rng=0)
    return result[-2:]


def _pivoted_qr_id(a: Matrix, rank: int) -> tuple[Any, ...]:
    r, pivots = scipy.linalg.qr(a, mode="r", pivoting=True)
    return pivots, scipy.linalg.solve_triangular(r[:rank, :rank], r[:rank, rank:])


def _randomized_svd(a: Any, unit: float, rank: int) -> Contender:
    def run() -> Any:
        from sklearn.utils.extmath import randomized_svd

        return randomized_svd(a, rank, random_state=0)

    def judge(result: Any) -> Outcome:
        u, s, vh = result
        return Outcome(error=residual_norm(a, u * s, vh) / unit, rank=len(s))

    return Contender("sklearn svd", run, judge, requires="scikit-learn")


def _outcome(a: Any, unit: float, result: Any) -> Outcome:
    error = residual_norm(a, result.skeleton, result.coefficients)
    return Outcome(error=error / unit, bound=result.error_bound / unit, rank=result.rank)


def _outcome_of_scipy(a: Any, unit: float, rank: int | None, result: tuple[Any, ...]) -> Outcome:
    """Judge (idx, proj): the first k columns of A[:, idx] are the skeleton."""
    idx, proj = result[-2:]
    k = rank if rank is not None else proj.shape[0]
    coefficients = np.empty((k, a.shape[1]))
    coefficients[:, idx[:k]] = np.eye(k)
    coefficients[:, idx[k:]] = proj
    return Outcome(error=residual_norm(a, a[:, idx[:k]], coefficients) / unit, rank=k)
