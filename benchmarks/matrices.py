"""Test matrices with known properties, and the spectral norm of a residual.

Every dense matrix is built once per run and kept: orthogonal factors of size 4000 cost seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

Matrix = NDArray[np.floating]

# Singular values beyond this index are zero: the tail of no case reaches so far.
MAX_RANK = 1200


def slow_spectrum(count: int) -> Matrix:
    """Return sigma_i = 1 / (1 + i), i from 0."""
    return 1 / np.arange(1.0, count + 1)


def fast_spectrum(count: int) -> Matrix:
    """Return sigma_i = 10^(-i / 20)."""
    return 10 ** (-np.arange(count) / 20.0)


SPECTRA: dict[str, Callable[[int], Matrix]] = {"slow": slow_spectrum, "fast": fast_spectrum}


def spectrum(decay: str, rows: int, cols: int) -> Matrix:
    """Return the singular values of `spectral_matrix` with the same arguments."""
    return SPECTRA[decay](min(rows, cols, MAX_RANK))


@cache
def spectral_matrix(decay: str, rows: int, cols: int) -> Matrix:
    """Return U diag(sigma) V' with Haar-distributed U and V and sigma from `spectrum`."""
    sigma = spectrum(decay, rows, cols)
    rng = np.random.default_rng(rows * cols)
    left = _haar(rng, rows, sigma.size)
    right = _haar(rng, cols, sigma.size)
    return (left * sigma) @ right.T


def _haar(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    q, r = np.linalg.qr(rng.standard_normal((rows, cols)))
    return q * np.sign(np.diagonal(r))


@cache
def kernel_matrix(n: int) -> Matrix:
    """Return 1 / |x_i - y_j| for points of two unit boxes that are 0.2 apart."""
    rng = np.random.default_rng(n)
    x = rng.random((n, 3))
    y = rng.random((n, 3)) + np.array([1.2, 0, 0])
    squares = np.zeros((n, n))
    for axis in range(3):
        squares += (x[:, None, axis] - y[None, :, axis]) ** 2
    return 1 / np.sqrt(squares)


@cache
def gaussian_kernel_matrix(n: int) -> Matrix:
    """Return exp(-|x_i - y_j|^2) for points of the unit cube of five dimensions."""
    rng = np.random.default_rng(n)
    x, y = rng.random((n, 5)), rng.random((n, 5))
    squares = np.zeros((n, n))
    for axis in range(5):
        squares += (x[:, None, axis] - y[None, :, axis]) ** 2
    return np.asarray(np.exp(-squares))


@cache
def sparse_matrix(rows: int, cols: int, density: float) -> scipy.sparse.csr_array:
    """Return normal entries at random places; columns fall like 1 / (1 + j) in random order."""
    rng = np.random.default_rng(rows)
    matrix = scipy.sparse.random_array(
        (rows, cols), density=density, format="csr", rng=rng, data_sampler=rng.standard_normal
    )
    matrix.data *= rng.permutation(slow_spectrum(cols))[matrix.indices]
    return matrix


def spectral_norm(
    apply: Callable[[Matrix], Matrix],
    apply_adjoint: Callable[[Matrix], Matrix],
    cols: int,
    *,
    block: int = 8,
    max_steps: int = 25,
    rtol: float = 1e-3,
) -> float:
    """Return the largest singular value of an operator from below, to about `rtol`.

    Block power iteration that keeps what it has seen: the basis of all iterates (block Lanczos on
    the normal operator with full reorthogonalisation), whose Rayleigh-Ritz value grows much faster
    than that of the last iterate when the top of the spectrum is flat, as a residual's is.
    """
    rng = np.random.default_rng(0)
    newest = np.linalg.qr(rng.standard_normal((cols, min(block, cols))))[0]
    basis = newest
    images = apply(newest)
    estimate = 0.0
    for _ in range(max_steps):
        previous = estimate
        estimate = float(np.sqrt(np.linalg.eigvalsh(images.T @ images)[-1].clip(0)))
        if estimate - previous <= rtol * estimate or basis.shape[1] == cols:
            break
        known = basis.shape[1]
        fresh = apply_adjoint(images[:, -newest.shape[1] :])
        # Householder reflections: orthonormal even where `fresh` adds nothing to the basis.
        newest = np.linalg.qr(np.hstack([basis, fresh]))[0][:, known:]
        basis = np.hstack([basis, newest])
        images = np.hstack([images, apply(newest)])
    return estimate


def residual_norm(matrix: Matrix, skeleton: Matrix, coefficients: Matrix) -> float:
    """Return ||A - C Z||_2 computed in float64; A and C may be sparse."""
    c, z = skeleton.astype(np.float64), coefficients.astype(np.float64)
    return spectral_norm(
        lambda x: matrix @ x - c @ (z @ x),
        lambda y: matrix.T @ y - z.T @ (c.T @ y),
        matrix.shape[1],
    )
