"""Slow, obvious references for low-rank approximation, and the matrices they are tried on.

Linear algebra is done in the platform's extended precision (64-bit significands on x86) by
Gram-Schmidt on whole residuals: nothing is updated or downdated, so nothing cancels.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

Array = np.ndarray


def wide(A: Array) -> Array:
    """The values in extended precision."""
    return A.astype(np.clongdouble if np.iscomplexobj(A) else np.longdouble)


def spectral_norm(A: Array) -> float:
    """Largest singular value, safe against overflow and underflow of squares."""
    largest = float(np.abs(A).max(initial=0.0))
    if largest == 0.0:
        return 0.0
    _, exponent = np.frexp(largest)
    unit = np.ldexp(A.real, -exponent).astype(float)
    if np.iscomplexobj(A):
        unit = unit + 1j * np.ldexp(A.imag, -exponent).astype(float)
    return float(np.ldexp(np.linalg.svd(unit, compute_uv=False)[0], exponent))


def singular_values(A: Array) -> Array:
    return np.linalg.svd(A, compute_uv=False)


def column_norms(A: Array) -> Array:
    return np.sqrt((A.real**2 + A.imag**2).sum(axis=0))


def deflate(R: Array, column: int) -> Array:
    """The residual R without the direction of one of its columns; that column becomes zero."""
    norm = column_norms(R[:, [column]])[0]
    if norm == 0.0:
        return R
    q = R[:, column] / norm
    for _ in range(2):  # twice: the second pass removes the rounding of the first
        R = R - np.outer(q, q.conj() @ R)
    R[:, column] = 0.0
    return R


def pivot_steps(A: Array) -> Iterator[tuple[list[int], Array]]:
    """Column-pivoted QR, step by step: the pivots so far and the residual they leave.

    Each step takes the longest residual column, the first if tied; once the residual is zero, the
    lowest free column.
    """
    R, chosen = wide(A), []
    yield chosen, R
    while len(chosen) < min(A.shape):
        norms = column_norms(R)
        norms[chosen] = -1.0
        chosen.append(int(np.argmax(norms)))
        R = deflate(R, chosen[-1])
        yield chosen, R


def column_pivots(A: Array, rank: int) -> Array:
    """The first pivots of column-pivoted QR."""
    pivots = next(chosen for chosen, _ in pivot_steps(A) if len(chosen) == rank)
    return np.array(pivots, dtype=np.int64)


def residual(A: Array, indices: Sequence[int]) -> Array:
    """What the best coefficients leave of A on the given columns: (I - C C^+) A."""
    R = wide(A)
    floor = np.finfo(A.dtype).eps * column_norms(R).max(initial=0.0)
    for column in indices:
        if column_norms(R[:, [column]])[0] > floor:  # else it depends on those before it
            R = deflate(R, int(column))
    return R.astype(complex if np.iscomplexobj(A) else float)


def best_error(A: Array, indices: Sequence[int]) -> float:
    """Spectral error of the interpolative decomposition with the best coefficients."""
    return spectral_norm(residual(A, indices))


def pivoted_qr_error(A: Array, rank: int) -> float:
    """Spectral error of the decomposition by column-pivoted QR: what SciPy reaches at its best."""
    R = next(R for chosen, R in pivot_steps(A) if len(chosen) == rank)
    return spectral_norm(R.astype(complex if np.iscomplexobj(A) else float))


def pivoted_qr_rank(A: Array, tol: float) -> int:
    """Least rank at which column-pivoted QR is within `tol` of A, relative to the 2-norm."""
    limit = tol * spectral_norm(A)
    for rank, (_, R) in enumerate(pivot_steps(A)):
        # A column is never longer than the norm: cheap, and false for most steps.
        if column_norms(R).max(initial=0.0) <= limit and spectral_norm(R) <= limit:
            return rank
    return min(A.shape)


def true_error(A: Array, skeleton: Array, coefficients: Array) -> float:
    """||A - C Z||_2, the product in extended precision."""
    return spectral_norm(wide(A) - wide(skeleton) @ wide(coefficients))


def strong_rrqr_factor(A: Array, rank: int, bound: float) -> float:
    """Gu & Eisenstat 1996, theorem 3.2: error over sigma_{k+1} when no coefficient exceeds it."""
    return float(np.sqrt(1.0 + bound**2 * rank * (A.shape[1] - rank)))


# Matrices. Each function takes a Generator and returns a matrix and a rank worth asking for.


def orthonormal(rng: np.random.Generator, rows: int, columns: int) -> Array:
    return np.linalg.qr(rng.standard_normal((rows, columns)))[0]


def with_spectrum(rng: np.random.Generator, rows: int, columns: int, s: Array) -> Array:
    s = s[: min(rows, columns)]
    return (orthonormal(rng, rows, s.size) * s) @ orthonormal(rng, columns, s.size).T


def fast_decay(rng: np.random.Generator) -> tuple[Array, int]:
    return with_spectrum(rng, 170, 140, 10.0 ** (-np.arange(140) / 20)), 30


def slow_decay(rng: np.random.Generator) -> tuple[Array, int]:
    return with_spectrum(rng, 180, 180, 1.0 / (1.0 + np.arange(180))), 25


def noise_floor(rng: np.random.Generator) -> tuple[Array, int]:
    return with_spectrum(rng, 120, 160, np.where(np.arange(120) < 25, 1.0, 1e-3)), 20


def kernel(rng: np.random.Generator) -> tuple[Array, int]:
    """Potentials 1/r between two neighbouring unit boxes (Cheng et al. 2005)."""
    x, y = rng.random((170, 3)), rng.random((180, 3)) + np.array([1.2, 0.0, 0.0])
    return 1.0 / np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1)), 25


def gaussian_kernel(rng: np.random.Generator) -> tuple[Array, int]:
    x, y = rng.random((160, 5)), rng.random((180, 5))
    return np.exp(-((x[:, None] - y[None]) ** 2).sum(-1)), 30


def hilbert(_rng: np.random.Generator) -> tuple[Array, int]:
    i = np.arange(150.0)
    return 1.0 / (1.0 + i[:, None] + i), 9


def kahan(_rng: np.random.Generator) -> tuple[Array, int]:
    """Kahan 1966: column pivoting takes the columns in order and misses the small sigma_n."""
    n, c = 90, 0.285
    s = np.sqrt(1.0 - c * c)
    K = s ** np.arange(n)[:, None] * (np.eye(n) - c * np.triu(np.ones((n, n)), 1))
    return K * (1.0 - 1e-13 * np.arange(n)), n - 1


def gu_eisenstat(_rng: np.random.Generator) -> tuple[Array, int]:
    """A Kahan block beside a tail: column pivoting keeps to the block, with coefficients of 2e4."""
    k, n, c = 40, 100, 0.4
    s = np.sqrt(1.0 - c * c)
    A = np.zeros((n, n))
    A[:k, :k] = s ** np.arange(k)[:, None] * (np.eye(k) - c * np.triu(np.ones((k, k)), 1))
    A[:k, k:] = -c * s ** np.arange(k)[:, None] / np.sqrt(n)
    A[k:, k:] = s**k * 1e-3 * np.eye(n - k)
    return A * (1.0 - 1e-13 * np.arange(n)), k


def duplicated_columns(rng: np.random.Generator) -> tuple[Array, int]:
    A = with_spectrum(rng, 120, 40, 10.0 ** (-np.arange(40) / 8))
    return A[:, np.arange(160) % 40].copy(), 20


def rank_deficient(rng: np.random.Generator) -> tuple[Array, int]:
    """Rank 12, asked for 30: the last 18 columns have nothing left to explain."""
    return rng.standard_normal((150, 12)) @ rng.standard_normal((12, 130)), 30


def outlier_column(rng: np.random.Generator) -> tuple[Array, int]:
    A, rank = fast_decay(rng)
    A[:, 17] *= 1e9
    return A, rank


def graded_rows(rng: np.random.Generator) -> tuple[Array, int]:
    return 10.0 ** (-np.arange(160) / 16)[:, None] * rng.standard_normal((160, 120)), 30


def heavy_rows(rng: np.random.Generator) -> tuple[Array, int]:
    """Six rows carry almost everything: a sketch that lets two of them collide loses one."""
    A = 1e-6 * rng.standard_normal((200, 120))
    A[rng.choice(200, 6, replace=False)] *= 1e6
    return A, 6


def centred_columns(rng: np.random.Generator) -> tuple[Array, int]:
    """Columns of mean zero: probes that are not centred see too little of them."""
    A = rng.standard_normal((180, 30)) @ rng.standard_normal((30, 150))
    return A - A.mean(axis=0) + 1e-3 * rng.standard_normal(A.shape), 30


FAMILIES: dict[str, Callable[[np.random.Generator], tuple[Array, int]]] = {
    f.__name__: f
    for f in (
        fast_decay,
        slow_decay,
        noise_floor,
        kernel,
        gaussian_kernel,
        hilbert,
        kahan,
        gu_eisenstat,
        duplicated_columns,
        rank_deficient,
        outlier_column,
        graded_rows,
        heavy_rows,
        centred_columns,
    )
}


# Choices of columns, each as its paper states it


def leading_vectors(A: Array, rank: int) -> Array:
    """The right singular vectors of the largest singular values, as rows."""
    return np.linalg.svd(A, full_matrices=False)[2][:rank]


def osinsky_columns(V: Array, E: Array, penalty: float = 0.0) -> Array:
    """Osinsky 2023: at each step the least ||e_j||^2 / ||v_j||^2, both matrices updated whole.

    A penalty c stands below E as sqrt(c ||E||_F^2 / n) times the identity.
    """
    n = V.shape[1]
    E = np.vstack([E, np.sqrt(penalty * (np.abs(E) ** 2).sum() / n) * np.eye(n)])
    V, chosen = V.copy(), []
    for _ in range(len(V)):
        left = (np.abs(V) ** 2).sum(axis=0)
        ratio = (np.abs(E) ** 2).sum(axis=0) / np.where(left > 1e-12, left, np.nan)
        ratio[chosen] = np.nan
        j = int(np.nanargmin(ratio))
        chosen.append(j)
        q = V[:, j] / np.sqrt(left[j])
        weights = (q.conj() @ V) / np.sqrt(left[j])
        E = E - np.outer(E[:, j], weights)
        V = V - np.outer(q, q.conj() @ V)
    return np.array(chosen)


def total_residual_columns(A: Array, rank: int) -> Array:
    """At each step the column whose projection leaves least of the Frobenius norm."""
    R, chosen = A.copy(), []
    for _ in range(rank):
        left = np.full(A.shape[1], np.inf)
        for j in np.flatnonzero(column_norms(R) > 1e-12 * column_norms(A).max()):
            if j not in chosen:
                left[j] = np.linalg.norm(deflate(R.copy(), j))
        chosen.append(int(np.argmin(left)))
        R = deflate(R, chosen[-1])
    return np.array(chosen)


def deim_points(V: Array) -> Array:
    """Sorensen & Embree 2016, algorithm 1: where the interpolant of each column errs most."""
    points = [int(np.argmax(np.abs(V[:, 0])))]
    for j in range(1, V.shape[1]):
        c = np.linalg.solve(V[points, :j], V[points, j])
        points.append(int(np.argmax(np.abs(V[:, j] - V[:, :j] @ c))))
    return np.array(points)


def leverage_scores(A: Array, rank: int, ridge: float | None = None) -> Array:
    _, s, vh = np.linalg.svd(A, full_matrices=False)
    damping = np.ones_like(s) if ridge is None else s**2 / (s**2 + ridge)
    return (damping[:rank, None] * np.abs(vh[:rank]) ** 2).sum(axis=0)


def strong_rrqr_ratios(R: Array, rank: int) -> Array:
    """The factors by which exchanges would multiply |det R11| (Gu & Eisenstat 1996, lemma 3.1)."""
    inverse = np.linalg.inv(R[:rank, :rank])
    z = inverse @ R[:rank, rank:]
    lengths = np.linalg.norm(R[rank:, rank:], axis=0)
    return np.hypot(np.abs(z), np.linalg.norm(inverse, axis=1)[:, None] * lengths)


def best_link(A: Array, rows: Array, columns: Array) -> Array:
    """C^+ A R^+ in extended precision, by projections."""
    C, R = A[:, columns], A[rows]
    return np.linalg.pinv(C) @ A @ np.linalg.pinv(R)
