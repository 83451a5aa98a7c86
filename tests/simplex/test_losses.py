"""Fenchel-Young losses and the loss of several labels, against their definitions."""

import numpy as np
import pytest
import scipy.sparse

from kexue_num import simplex
from tests.oracles.simplex import numerical_gradient

RNG = np.random.default_rng(0)
KINDS = [
    {"map": "softmax"},
    {"map": "sparsemax"},
    {"map": "entmax15"},
    {"map": "entmax", "alpha": 1.2},
    {"map": "entmax", "alpha": 3.0},
    {"map": "entmax", "alpha": 0.7},
    {"map": "topk", "k": 3},
]


def order(kind):
    return kind.get("alpha", {"sparsemax": 2.0, "entmax15": 1.5}.get(kind["map"], 1.0))


def omega(p, alpha):
    p = p[p > 0]
    return (p * np.log(p)).sum() if alpha == 1 else ((p**alpha).sum() - 1) / (alpha * (alpha - 1))


def definition(x, t, kind):
    alpha = order(kind)
    if kind["map"] == "topk":
        x_top = np.sort(x)[-kind["k"] :]
        conjugate = np.log(np.exp(x_top).sum())
    else:
        p = simplex.entmax(x, alpha)
        conjugate = p @ x - omega(p, alpha)
    return conjugate + omega(t, alpha) - t @ x


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients(isa, kind):
    x = RNG.standard_normal((4, 7))
    ids = np.array([0, 3, 6, 2])
    dense = RNG.dirichlet(np.ones(7) * 0.3, 4)
    for target, weights in ((ids, np.eye(7)[ids]), (dense, dense)):
        loss = simplex.fenchel_young_loss(x, target, reduction="none", return_grad=True, **kind)
        expected = [definition(row, t, kind) for row, t in zip(x, weights, strict=True)]
        np.testing.assert_allclose(loss.value, expected, atol=1e-13)
        if kind["map"] == "topk":
            p = simplex.topk_softmax(x, kind["k"])
        else:
            p = simplex.entmax(x, order(kind))
        np.testing.assert_allclose(loss.grad, p - weights, atol=1e-15)
        if kind["map"] != "topk":
            assert (loss.value >= -1e-15).all()
        sparse = scipy.sparse.csr_array(weights)
        again = simplex.fenchel_young_loss(x, sparse, reduction="none", return_grad=True, **kind)
        np.testing.assert_allclose(again.value, loss.value, atol=1e-13)
        np.testing.assert_array_equal(again.grad, loss.grad)


@pytest.mark.parametrize("kind", KINDS[:5])
def test_options(kind):
    x = RNG.standard_normal((3, 5))
    ids = np.array([1, 4, 0])

    def value(v):
        return simplex.fenchel_young_loss(v, ids, margin=0.3, temperature=0.7, **kind)

    loss = simplex.fenchel_young_loss(x, ids, margin=0.3, temperature=0.7, return_grad=True, **kind)
    np.testing.assert_allclose(loss.grad, numerical_gradient(value, x), atol=1e-8)
    shifted = x - 0.3 * np.eye(5)[ids]
    each = simplex.fenchel_young_loss(shifted / 0.7, ids, reduction="none", **kind)
    np.testing.assert_allclose(loss.value, each.mean(), rtol=1e-13)
    total = simplex.fenchel_young_loss(shifted / 0.7, ids, reduction="sum", **kind)
    np.testing.assert_allclose(total, each.sum(), rtol=1e-13)
    column = simplex.fenchel_young_loss(x.T, ids, axis=0, reduction="none", **kind)
    row = simplex.fenchel_young_loss(x, ids, reduction="none", **kind)
    np.testing.assert_array_equal(column, row)
    single = simplex.fenchel_young_loss(x.astype(np.float32), ids, return_grad=True, **kind)
    assert single.grad.dtype == np.float32


def test_ignored_rows():
    x = RNG.standard_normal((4, 3))
    ids = np.array([0, -100, 2, -100])
    loss = simplex.fenchel_young_loss(x, ids, ignore_index=-100, return_grad=True)
    kept = simplex.fenchel_young_loss(x[::2], ids[::2], return_grad=True)
    assert loss.value == kept.value
    np.testing.assert_array_equal(loss.grad[::2], kept.grad)
    assert (loss.grad[1::2] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_masks_and_special_values(kind):
    x = np.array([[1.0, -np.inf, 0.5, 0.2], [np.nan, 0.0, 0.0, 0.0], [1.0, -np.inf, 0.0, 0.1]])
    loss = simplex.fenchel_young_loss(x, [0, 0, 1], reduction="none", return_grad=True, **kind)
    assert np.isfinite(loss.value[0]) and loss.grad[0, 1] == 0
    assert np.isnan(loss.value[1]) and np.isnan(loss.grad[1]).all()
    assert loss.value[2] == np.inf


def test_messages():
    x = np.zeros((2, 3))
    for options, text in (
        ({"target": [0, 3]}, r"'target' must hold class ids in 0..2, got 3"),
        ({"target": [0, 1, 2]}, r"'target' must be integers of shape \(2,\) or distributions of"),
        ({"target": [0, 1], "map": "entmax"}, r"'alpha' must be given for map='entmax', got None"),
        ({"target": [0, 1], "alpha": 1.5}, r"'alpha' must be None for map='softmax', got 1.5"),
        ({"target": [0, 1], "map": "topk", "k": 4}, r"'k' must lie in 1..3, got 4"),
    ):
        with pytest.raises(ValueError, match=f"fenchel_young_loss: {text}"):
            simplex.fenchel_young_loss(x, **options)
    with pytest.raises(TypeError, match=r"'target' must be integers"):
        simplex.fenchel_young_loss(x, ["a", "b"])
    with pytest.raises(ValueError, match=r"multilabel_loss: 'labels' must be 0 or 1, got 2"):
        simplex.multilabel_loss(x, np.full((2, 3), 2))


def test_perfect_scores_cost_nothing():
    x = np.array([[40.0, 0.0, 1.0]])
    for kind in KINDS[1:5]:
        assert simplex.fenchel_young_loss(x, [0], **kind) == 0 or kind.get("alpha") == 1.2
    assert repr(simplex.Loss(np.float64(1), x)) == "Loss(value=1, grad=shape (1, 3))"


@pytest.mark.parametrize("threshold", [False, True])
@pytest.mark.parametrize(("gamma", "margin"), [(1.0, 0.0), (4.0, 0.25)])
def test_multilabel(threshold, gamma, margin):
    scores = RNG.standard_normal((3, 6)) * 2
    labels = RNG.integers(0, 2, (3, 6 - threshold))
    labels[0] = 0
    s = scores[:, 1:] - scores[:, :1] if threshold else scores
    negative = np.where(labels == 0, np.exp(gamma * (s + margin)), 0).sum(1)
    positive = np.where(labels == 1, np.exp(-gamma * (s - margin)), 0).sum(1)
    options = {"gamma": gamma, "margin": margin, "threshold_class": threshold}
    loss = simplex.multilabel_loss(scores, labels, return_grad=True, **options)
    np.testing.assert_allclose(loss.value, (np.log1p(negative) + np.log1p(positive)).mean())
    expected = numerical_gradient(lambda v: simplex.multilabel_loss(v, labels, **options), scores)
    np.testing.assert_allclose(loss.grad, expected, atol=1e-8)
    huge = simplex.multilabel_loss(scores * 1e6, labels, return_grad=True, **options)
    assert np.isfinite(huge.value) and np.isfinite(huge.grad).all()
