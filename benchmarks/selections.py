"""Choices of columns, pivoted factorisations and CUR against SciPy.

Errors are spectral norms of what is left of A, in units of sigma_{k+1} or, where that is not known,
of SciPy's own error. The least work counted for the limit is one pass over A and the products that
give the coefficients.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.linalg
import scipy.linalg.interpolative as scipy_interpolative

from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from benchmarks.matrices import (
    Matrix,
    gaussian_kernel_matrix,
    kernel_matrix,
    residual_norm,
    sparse_matrix,
    spectral_matrix,
    spectral_norm,
    spectrum,
)
from kexue_num import lowrank

# The error of Osinsky's columns against SciPy's, promised: on slow decay there is nothing to gain.
OSINSKY = [
    ("slow", Floor("scipy", 20, 1.3, 40)),
    ("fast", Floor("scipy", 20, 0.6, 40)),
    ("kernel", Floor("scipy", 20, 0.6, 40)),
    ("gaussian", Floor("scipy", 20, 0.85, 40)),
]
CHOICES = ("lupp", "arp", "total_residual", "uniform", "leverage", "deim")


def cases(quick: bool) -> Iterator[Case]:
    """Yield the cases; `quick` divides every dimension and rank by five and promises nothing."""
    scale = 5 if quick else 1
    n, k = 4000 // scale, 100 // scale
    for kind, floor in OSINSKY:
        yield Case(
            name=f"select/{n}x{n}/k{k}/osinsky/{kind}",
            title=f"{n} x {n}, {kind}, rank {k}, Osinsky's columns, exact coefficients",
            prepare=functools.partial(_choice, kind, n, k, "osinsky"),
            floor=None if quick else floor,
        )
    for select in CHOICES:
        yield Case(
            name=f"select/{n}x{n}/k{k}/{select}/slow",
            title=f"{n} x {n}, slow decay, rank {k}, select={select}, exact coefficients",
            prepare=functools.partial(_choice, "slow", n, k, select),
        )
    yield Case(
        name=f"pivoted_qr/{n}x{n}/k{k}",
        title=f"pivoted QR of {n} x {n}, slow decay, rank {k}",
        prepare=functools.partial(_pivoted_qr, n, k),
        floor=None if quick else Floor("scipy", 8, 1.01, 20),
    )
    for link in ("optimal", "cross"):
        yield Case(
            name=f"cur/{n}x{n}/k{k}/{link}",
            title=f"CUR of {n} x {n}, slow decay, rank {k}, {link} link, against the ID",
            prepare=functools.partial(_cur, n, k, link),
            floor=None if quick or link == "cross" else Floor("interp_decomp", 0.2, 1.5),
        )
    rows, cols = 100_000 // scale, 10_000 // scale
    yield Case(
        name=f"sparse/{rows}x{cols}/k{k}/product",
        title=f"sparse {rows} x {cols}, 0.1 % filled, rank {k}, against one product A' X",
        prepare=functools.partial(_sparse, rows, cols, k),
        floor=None if quick else Floor("A' X", 0.5, None),
    )


def _matrix(kind: str, n: int, k: int) -> tuple[Matrix, float]:
    """The matrix and its unit of error."""
    if kind == "kernel":
        return kernel_matrix(n), 1.0
    if kind == "gaussian":
        return gaussian_kernel_matrix(n), 1.0
    return spectral_matrix(kind, n, n), float(spectrum(kind, n, n)[k])


def _choice(kind: str, n: int, k: int, select: str) -> Problem:
    a, unit = _matrix(kind, n, k)

    def judge(d: Any) -> Outcome:
        error = residual_norm(a, d.skeleton, d.coefficients)
        return Outcome(error=error / unit, bound=d.error_bound / unit, rank=d.rank)

    def judge_scipy(result: tuple[Any, Any]) -> Outcome:
        idx, proj = result
        coefficients = np.empty((k, n))
        coefficients[:, idx[:k]] = np.eye(k)
        coefficients[:, idx[k:]] = proj
        return Outcome(error=residual_norm(a, a[:, idx[:k]], coefficients) / unit, rank=k)

    return Problem(
        (
            Contender(
                "kexue_num",
                lambda: lowrank.interp_decomp(a, k, select=select, refine="exact", rng=0),
                judge,
            ),
            Contender(
                "scipy",
                lambda: scipy_interpolative.interp_decomp(a, k, rand=False, rng=0),
                judge_scipy,
            ),
        ),
        "sigma_k+1" if unit != 1 else "1",
        a.nbytes,
        2.0 * n * n * k,
    )


def _pivoted_qr(n: int, k: int) -> Problem:
    a, unit = _matrix("slow", n, k)

    def judge(f: Any) -> Outcome:
        whole = np.empty_like(f.R)
        whole[:, f.permutation] = f.R
        return Outcome(error=residual_norm(a, f.Q, whole) / unit, rank=k)

    def judge_scipy(f: tuple[Any, Any, Any]) -> Outcome:
        q, r, permutation = f
        whole = np.empty((k, n))
        whole[:, permutation] = r[:k]
        return Outcome(error=residual_norm(a, q[:, :k], whole) / unit, rank=k)

    return Problem(
        (
            Contender("kexue_num", lambda: lowrank.pivoted_qr(a, k), judge),
            Contender(
                "scipy",
                lambda: scipy.linalg.qr(a, mode="economic", pivoting=True),
                judge_scipy,
            ),
        ),
        "sigma_k+1",
        a.nbytes,
        4.0 * n * n * k,
    )


def _cur(n: int, k: int, link: str) -> Problem:
    a, unit = _matrix("slow", n, k)

    def judge(d: Any) -> Outcome:
        error = residual_norm(a, d.C @ d.U, d.R)
        return Outcome(error=error / unit, bound=d.error_bound / unit, rank=k)

    def judge_columns(d: Any) -> Outcome:
        return Outcome(error=residual_norm(a, d.skeleton, d.coefficients) / unit, rank=k)

    return Problem(
        (
            Contender("kexue_num", lambda: lowrank.cur(a, k, link=link, rng=0), judge),
            Contender(
                "interp_decomp",
                lambda: lowrank.interp_decomp(a, k, refine="exact", rng=0),
                judge_columns,
            ),
        ),
        "sigma_k+1",
        2.0 * a.nbytes,
        4.0 * n * n * k,
    )


def _sparse(rows: int, cols: int, k: int) -> Problem:
    a = sparse_matrix(rows, cols, 1e-3)
    norm = spectral_norm(lambda x: a @ x, lambda y: a.T @ y, cols)
    adjoint = a.T.tocsr()
    x = np.random.default_rng(0).standard_normal((rows, k))

    def judge(d: Any) -> Outcome:
        error = residual_norm(a, d.skeleton, d.coefficients)
        return Outcome(error=error / norm, bound=d.error_bound / norm, rank=d.rank)

    return Problem(
        (
            Contender("kexue_num", lambda: lowrank.interp_decomp(a, k, rng=0), judge),
            Contender("A' X", lambda: adjoint @ x, lambda _: Outcome()),
        ),
        "|A|",
        a.data.nbytes + a.indices.nbytes + a.indptr.nbytes,
        6.0 * k * k * cols,
    )
