"""Products from a few of their terms and truncated SVD: cases of the low-rank area.

The unit of error is what the cheapest honest method leaves: for products the root of the expected
squared error of independent draws, for the SVD the least possible, sigma_{k+1}.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from benchmarks.matrices import residual_norm, sparse_matrix, spectral_matrix, spectrum
from kexue_num import lowrank


def cases(scale: int) -> Iterator[Case]:
    """Yield the cases with every dimension divided by `scale`."""
    n, length = 2000 // scale, 8000 // scale
    for method, weights in (("pips", "auto"), ("topk", "none")):
        yield Case(
            name=f"cr/{n}x{length}x{n}/{method}",
            title=f"CR of {n} x {length} x {n}, a tenth of the terms, {method}",
            prepare=functools.partial(_product, n, length, length // 10, method, weights),
            floor=Floor("full product", 8, None, 9) if scale == 1 and method == "pips" else None,
        )
    m, k = 4000 // scale, 100 // scale
    for decay in ("slow", "fast"):
        yield Case(
            name=f"svd/{m}x{m}/k{k}/{decay}",
            title=f"truncated SVD {m} x {m}, {decay} decay, rank {k}",
            prepare=functools.partial(_svd, decay, m, k),
            floor=Floor("sklearn", 3, 1.001) if scale == 1 else None,
        )
    rows, cols = 100_000 // scale, 10_000 // scale
    yield Case(
        name=f"svd/sparse/{rows}x{cols}/k{k // 4}",
        title=f"truncated SVD, sparse {rows} x {cols}, 0.1 % filled, rank {k // 4}",
        prepare=functools.partial(_sparse_svd, rows, cols, k // 4),
    )


def _product(n: int, length: int, rank: int, method: str, weights: str) -> Problem:
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal((n, length)), rng.standard_normal((length, n))
    full = x @ y
    sizes = np.linalg.norm(x, axis=0) * np.linalg.norm(y, axis=1)
    unit = float(np.sqrt((sizes.sum() ** 2 - np.linalg.norm(full) ** 2) / rank))

    def ours() -> Any:
        return lowrank.cr_matmul(x, y, rank, method=method, weights=weights, rng=0).toarray()

    def judge(result: Any) -> Outcome:
        return Outcome(error=float(np.linalg.norm(result - full)) / unit, rank=rank)

    return Problem(
        (
            Contender("kexue_num", ours, judge),
            Contender("full product", lambda: x @ y, judge),
        ),
        "iid",
        x.nbytes + y.nbytes,
        2.0 * n * n * rank,
    )


def _svd(decay: str, size: int, rank: int) -> Problem:
    a = spectral_matrix(decay, size, size)
    unit = float(spectrum(decay, size, size)[rank])
    return Problem(_svd_contenders(a, rank, unit), "sigma_k+1", a.nbytes, 4.0 * size * size * rank)


def _sparse_svd(rows: int, cols: int, rank: int) -> Problem:
    a = sparse_matrix(rows, cols, 1e-3)
    svd = lowrank.truncated_svd(a, rank + 1, residual_tol=1e-3, rng=1)
    bytes_moved = a.data.nbytes + a.indices.nbytes + a.indptr.nbytes
    contenders = _svd_contenders(a, rank, float(svd.s[rank]))
    return Problem(contenders, "sigma_k+1", bytes_moved, 4.0 * a.nnz * rank)


def _svd_contenders(a: Any, rank: int, unit: float) -> tuple[Contender, ...]:
    def peer() -> Any:
        from sklearn.utils.extmath import randomized_svd

        return randomized_svd(a, rank, random_state=0)

    def judge_peer(result: Any) -> Outcome:
        u, s, vh = result
        return Outcome(error=residual_norm(a, u * s, vh) / unit, rank=len(s))

    def judge(svd: Any) -> Outcome:
        error = residual_norm(a, svd.U * svd.s, svd.Vh)
        return Outcome(error=error / unit, bound=svd.error_bound / unit, rank=svd.rank)

    return (
        Contender("kexue_num", lambda: lowrank.truncated_svd(a, rank, rng=0), judge),
        Contender("sklearn", peer, judge_peer, requires="scikit-learn"),
    )
