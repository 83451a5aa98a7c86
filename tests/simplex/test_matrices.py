"""Projections onto doubly stochastic and density matrices, and particle flows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from kexue_num import ConvergenceWarning, NumericalError
from kexue_num.simplex import (
    project_birkhoff,
    project_simplex,
    project_spectrahedron,
    wasserstein_flow,
)
from tests.oracles import projections as oracle

DTYPES = (np.float32, np.float64)


@pytest.mark.parametrize("n", [1, 2, 3, 6])
@pytest.mark.parametrize("kind", ["plain", "ties", "large", "permutation"])
def test_birkhoff_against_alternating_projections(n, kind):
    rng = np.random.default_rng(n)
    X = rng.standard_normal((3, n, n))
    if kind == "ties":
        X = rng.integers(-1, 2, (3, n, n)).astype(float)
    elif kind == "large":
        X *= 30
    elif kind == "permutation":
        X = np.stack([np.eye(n)[rng.permutation(n)] for _ in range(3)])
    found = project_birkhoff(X, return_certificate=True)
    assert found.converged.all()
    scale = max(1, np.abs(X).max())
    for matrix, p, bound in zip(X, found.p, found.error_bound, strict=True):
        assert p.min() >= 0
        assert_allclose(p.sum(0), 1, atol=4e-13 * scale)
        assert_allclose(p.sum(1), 1, atol=4e-13 * scale)
        assert bound <= 1e-6 * scale
        assert_allclose(p, oracle.birkhoff(matrix), atol=1e-9 * scale)
    if kind == "permutation":
        assert_allclose(found.p, X, atol=1e-12)
    assert np.all(found.gap >= 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_larger_birkhoff_is_optimal(dtype):
    """KKT: p is the positive part of X plus potentials, with exact marginals."""
    X = np.random.default_rng(0).standard_normal((4, 60, 60)).astype(dtype)
    found = project_birkhoff(X, return_certificate=True)
    assert found.p.dtype == dtype
    shifted = X + found.row_potential[..., None] + found.column_potential[:, None]
    eps = np.finfo(dtype).eps
    assert_allclose(found.p, np.maximum(shifted, 0), atol=4 * eps)
    assert_allclose(found.p.sum(-1, dtype=float), 1, atol=2 * eps)
    assert_array_equal(project_birkhoff(X, workers=2), found.p)
    assert_array_equal(project_birkhoff(X[2]), found.p[2])
    rng = np.random.default_rng(1)
    order = rng.permutation(60)
    assert_allclose(project_birkhoff(X[0][order]), found.p[0][order], atol=4 * eps + 1e-12)
    # Farther points of the polytope lie at obtuse angles.
    p = found.p[0].astype(float)
    for _ in range(5):
        q = np.eye(60)[rng.permutation(60)]
        assert np.sum((X[0] - p) * (q - p)) <= 1e-3 if dtype == np.float32 else 1e-10


def test_birkhoff_failures():
    X = np.random.default_rng(0).standard_normal((30, 30))
    with pytest.warns(ConvergenceWarning, match="project_birkhoff: a row or column sum"):
        found = project_birkhoff(X, max_iter=1, return_certificate=True)
    exact = project_birkhoff(X)
    assert not found.converged
    assert np.linalg.norm(found.p - exact) <= found.error_bound
    with pytest.raises(ValueError, match="'X' must hold square matrices"):
        project_birkhoff(np.ones((2, 3)))
    with pytest.raises(ValueError, match="'X' must be finite"):
        project_birkhoff([[np.nan]])


@pytest.mark.parametrize("dtype", [*DTYPES, np.complex64, np.complex128])
def test_spectrahedron(dtype):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5, 7, 7))
    if np.dtype(dtype).kind == "c":
        X = X + 1j * rng.standard_normal((5, 7, 7))
    X = X.astype(dtype)
    p = project_spectrahedron(X, 2.0)
    room = 50 * np.finfo(dtype).eps
    assert p.dtype == dtype
    assert_array_equal(p, p.conj().swapaxes(1, 2))
    assert_allclose(np.trace(p, axis1=1, axis2=2), 2, atol=room)
    hermitian = (X + X.conj().swapaxes(1, 2)) / 2
    values = np.linalg.eigvalsh(p)
    assert values.min() >= -room
    assert_allclose(values, project_simplex(np.linalg.eigvalsh(hermitian), 2.0), atol=room)
    # The residual's largest eigenvalue belongs to the support: optimality.
    residual = hermitian - p
    top = np.linalg.eigvalsh(residual)[:, -1]
    assert_allclose(np.sum(residual * p.conj(), axis=(1, 2)).real, 2 * top, atol=4 * room)
    assert_allclose(project_spectrahedron(p, 2.0), p, atol=room)


def test_spectrahedron_edges():
    X = np.stack([np.eye(3), np.full((3, 3), np.nan), -np.eye(3)])
    p = project_spectrahedron(X)
    assert np.isnan(p[1]).all()
    assert_allclose(p[[0, 2]], np.stack([np.eye(3) / 3] * 2), atol=1e-15)
    assert_array_equal(project_spectrahedron(X[0], 0), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="'radius' must be >= 0"):
        project_spectrahedron(np.eye(2), -1)
    with pytest.raises(ValueError, match="'X' must hold square matrices"):
        project_spectrahedron(np.ones((2, 3)))


def test_flow_finds_the_minimum_and_keeps_its_books():
    rng = np.random.default_rng(0)
    start = rng.standard_normal((200, 2))
    centre = np.array([2.0, -1.0])

    def energy(x):
        return 0.5 * np.mean(np.sum((x - centre) ** 2, axis=1))

    flow = wasserstein_flow(start, lambda x: x - centre, step=0.1, n_steps=40, energy=energy)
    # An Euler step contracts by exactly 1 - step.
    assert_allclose(flow.particles, centre + 0.9**40 * (start - centre), rtol=1e-12, atol=1e-14)
    assert flow.energies.shape == (41,)
    assert np.all(np.diff(flow.energies) < 0)
    assert flow.n_steps == 40 and "energy=" in repr(flow)


def test_flow_with_interaction():
    """Repulsion against a parabola: the energy falls and the mean stays."""
    x = np.random.default_rng(1).standard_normal((50, 1))

    def gradient(x):
        d = x - x.T
        return (x.T - np.mean(np.sign(d), axis=1)).T

    flow = wasserstein_flow(x, gradient, step=0.05, n_steps=400)
    # The stationary density is uniform on [-1, 1].
    assert_allclose(np.sort(flow.particles[:, 0]), np.linspace(-1, 1, 101)[1::2], atol=0.05)


def test_flow_failures():
    stop = wasserstein_flow([[1.0]], lambda x: x, step=0.1, n_steps=9, callback=lambda k, x: k == 3)
    assert stop.n_steps == 3 and stop.energies is None
    with pytest.raises(ValueError, match="'gradient' must return an array of shape"):
        wasserstein_flow([[1.0]], lambda x: x[0], step=0.1, n_steps=1)
    with pytest.raises(NumericalError, match="a particle is not finite after step 1"):
        wasserstein_flow([[1.0]], lambda x: x * np.nan, step=0.1, n_steps=2)
    with pytest.raises(ValueError, match="'step' must be > 0"):
        wasserstein_flow([[1.0]], lambda x: x, step=0, n_steps=1)
    with pytest.raises(ValueError, match="'particles' must be 2-dimensional"):
        wasserstein_flow([1.0], lambda x: x, step=1, n_steps=1)
