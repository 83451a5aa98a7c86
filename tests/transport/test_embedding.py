"""The cosine cost and the product coupling's cost, by definition and by their identities."""

import numpy as np
import pytest
import scipy.optimize

from kexue_num import transport
from tests.oracles import emo as oracle

RNG = np.random.default_rng(6280)


def linear_program(a, b, cost):
    """The least <C, P> over plans from a to b."""
    n, m = cost.shape
    marginals = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    done = scipy.optimize.linprog(cost.ravel(), A_eq=marginals, b_eq=np.concatenate([a, b]))
    assert done.success
    return done.fun


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("size", "depth"), [(1, 1), (7, 3), (70, 300), (600, 20)])
def test_embedding_cost(isa, dtype, size, depth):
    embeddings = RNG.standard_normal((size, depth)).astype(dtype)
    rows = embeddings / np.linalg.norm(embeddings.astype(float), axis=1, keepdims=True)
    cost = transport.embedding_cost(embeddings)
    assert cost.dtype == dtype and cost.shape == (size, size)
    tolerance = 5e-16 if dtype == "float64" else 3e-7
    np.testing.assert_allclose(cost, 1 - rows @ rows.T, atol=4 * tolerance)
    assert (cost == cost.T).all() and (cost.diagonal() == 0).all() and (cost >= 0).all()
    np.testing.assert_array_equal(transport.embedding_cost(embeddings, workers=1), cost)
    np.testing.assert_array_equal(transport.embedding_cost(np.asfortranarray(embeddings)), cost)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_near_copies(isa, dtype):
    row = RNG.standard_normal(50)
    distances = np.array([0.1, 1e-2, 1e-4, 1e-6])
    embeddings = row + distances[:, None] * RNG.standard_normal((4, 50))
    embeddings = np.concatenate([embeddings, 3 * embeddings[:1]]).astype(dtype)
    expected = np.array(oracle.costs(embeddings), dtype=float)
    cost = transport.embedding_cost(embeddings)
    rtol = 1e-5 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(cost[:4, :4], expected[:4, :4], rtol=rtol)
    assert cost[4, 0] < np.finfo(dtype).eps ** 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_demd_definition(isa, dtype):
    embeddings = RNG.standard_normal((11, 4)).astype(dtype)
    p, tau = RNG.dirichlet(np.full(11, 0.2), (2, 5)).astype(dtype)
    expected = [oracle.demd(x, y, embeddings) for x, y in zip(p, tau, strict=True)]
    values = transport.demd(p, tau, embeddings)
    np.testing.assert_allclose(values, expected, rtol=1e-6 if dtype == "float32" else 1e-14)


def test_demd_bounds_the_exact_cost():
    # With equality if one of the two has a single entry; its own cost is not zero.
    for _ in range(10):
        size = int(RNG.integers(2, 12))
        embeddings = RNG.standard_normal((size, 3))
        cost = transport.embedding_cost(embeddings)
        p, tau = RNG.dirichlet(np.ones(size), 2)
        exact = linear_program(p, tau, cost)
        assert transport.demd(p, tau, embeddings) >= exact - 1e-12
        assert transport.demd(p, p, embeddings) > 0
        for corner in np.eye(size):
            exact = linear_program(p, corner, cost)
            for pair in ((p, corner), (corner, p)):
                np.testing.assert_allclose(transport.demd(*pair, embeddings), exact, atol=1e-12)
            assert transport.demd(corner, corner, embeddings) == 0


def test_debiased_demd_is_a_mean_discrepancy():
    embeddings = RNG.standard_normal((30, 6))
    rows = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    p, tau = RNG.dirichlet(np.full(30, 0.5), (2, 8))
    debiased = transport.demd(p, tau, embeddings) - 0.5 * (
        transport.demd(p, p, embeddings) + transport.demd(tau, tau, embeddings)
    )
    np.testing.assert_allclose(debiased, 0.5 * (((p - tau) @ rows) ** 2).sum(-1), atol=1e-15)


def test_near_corners_keep_their_accuracy():
    embeddings = RNG.standard_normal((9, 4))
    corner = np.eye(9)[4]
    for left, right in ((1e-12, 1e-10), (1e-15, 0.0), (1e-6, 1e-14)):
        p = (1 - left) * corner + left * RNG.dirichlet(np.ones(9))
        tau = (1 - right) * corner + right * RNG.dirichlet(np.ones(9))
        expected = oracle.demd(p, tau, embeddings)
        np.testing.assert_allclose(transport.demd(p, tau, embeddings), expected, rtol=1e-13)


def test_batches():
    embeddings = RNG.standard_normal((800, 20))
    p, tau = RNG.dirichlet(np.ones(800), (2, 3)), RNG.dirichlet(np.ones(800), 3)
    values = transport.demd(p, tau, embeddings)
    assert values.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            one = transport.demd(p[i, j], tau[j], embeddings, workers=1)
            assert np.ndim(one) == 0
            np.testing.assert_allclose(values[i, j], one, rtol=1e-14)
    np.testing.assert_array_equal(transport.demd(p, tau, embeddings, workers=2), values)
    assert transport.demd(p[:0], tau[0], embeddings).shape == (0, 3)


def test_messages():
    embeddings, p = np.eye(3), np.full(3, 1 / 3)
    for arguments, text in (
        ((p[:2], p, embeddings), r"'p' must have 3 entries along the last axis, got shape \(2,\)"),
        ((p, p * [1, -1, 1], embeddings), r"'tau' must be >= 0, got -0.33333"),
        ((p, 3 * p, embeddings), r"'tau' must sum to 1 within 1e-09 along the last axis, got 3.0"),
        ((p * np.nan, p, embeddings), r"'p' must be >= 0, got nan at \[0\]"),
        ((np.tile(p, (2, 1)), np.tile(p, (3, 1)), embeddings), r"'tau' must broadcast with 'p'"),
        ((p, p, 0 * embeddings), r"'embeddings' must have a nonzero entry in every row, got zeros"),
    ):
        with pytest.raises(ValueError, match=f"demd: {text}"):
            transport.demd(*arguments)
    with pytest.raises(ValueError, match=r"embedding_cost: 'embeddings' must have at least one"):
        transport.embedding_cost(np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"'embeddings' must have a nonzero entry .* in row 0"):
        transport.embedding_cost(np.zeros((2, 0)))
    with pytest.raises(MemoryError, match="embedding_cost: costs of shape"):
        transport.embedding_cost(np.broadcast_to(1.0, (10**7, 1)))
