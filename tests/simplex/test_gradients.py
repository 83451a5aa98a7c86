"""Vector-Jacobian products against central differences."""

import numpy as np
import pytest

from kexue_num import simplex
from tests.oracles.simplex import numerical_gradient

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.3, 1.5, 2.0])
@pytest.mark.parametrize("n", [6, 70])
def test_entmax_vjp(isa, alpha, n):
    x, g = RNG.standard_normal(n) * 0.7, RNG.standard_normal(n)
    p = simplex.entmax(x, alpha, temperature=1.5)
    gradient = simplex.entmax_vjp(p, g, alpha, temperature=1.5)
    expected = numerical_gradient(lambda v: g @ simplex.entmax(v, alpha, temperature=1.5), x)
    np.testing.assert_allclose(gradient, expected, atol=1e-8)
    assert (gradient[p == 0] == 0).all() and abs(gradient.sum()) < 1e-14
    direction = RNG.standard_normal(n)
    forward = simplex.entmax_vjp(p, direction, alpha, temperature=1.5)
    np.testing.assert_allclose(forward @ g, gradient @ direction, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [3, 12, 20, 40, 200])
def test_entmax_vjp_is_its_formula(isa, dtype, n):
    """w (g - <w, g> / sum w) / T with w = p^(2 - alpha) on the support, in extended precision."""
    p = simplex.sparsemax(RNG.standard_normal((11, n)) / 4).astype(dtype)
    g = RNG.standard_normal((11, n)).astype(dtype)
    wide, g_wide = p.astype(np.longdouble), g.astype(np.longdouble)
    for alpha in (1.0, 1.25, 1.5, 2.0, 3.0):
        w = np.where(p > 0, np.where(p > 0, wide, 1) ** (2 - alpha), 0)
        mean = (w * g_wide).sum(1, keepdims=True) / w.sum(1, keepdims=True)
        expected = w * (g_wide - mean) / 1.5
        dx = simplex.entmax_vjp(p, g, alpha, temperature=1.5)
        assert dx.dtype == dtype
        room = np.finfo(dtype).eps * float((w * (abs(g_wide) + abs(mean))).max())
        np.testing.assert_allclose(dx, expected, rtol=4 * np.finfo(dtype).eps, atol=2 * room)


@pytest.mark.parametrize("alpha", [0.6, 1.0, 1.0 + 1e-6, 1.2, 1.5, 1.9])
def test_alpha_gradient(alpha):
    x, g = RNG.standard_normal((3, 9)) * 0.5, RNG.standard_normal((3, 9))
    p = simplex.entmax(x, alpha)
    result = simplex.entmax_vjp(p, g, alpha, alpha_grad=True)
    step = 1e-5
    ahead, behind = (simplex.entmax(x, alpha + s) for s in (step, -step))
    expected = (g * (ahead - behind)).sum(1) / (2 * step)
    np.testing.assert_allclose(result.alpha, expected, atol=2e-8)
    np.testing.assert_array_equal(result.x, simplex.entmax_vjp(p, g, alpha))
    assert repr(result) == "EntmaxGradient(x=shape (3, 9), alpha=shape (3,))"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_named_products(isa, dtype):
    x = RNG.standard_normal((5, 40)).astype(dtype)
    g = RNG.standard_normal((5, 40)).astype(dtype)
    for map_, vjp, alpha in (
        (simplex.softmax, simplex.softmax_vjp, 1),
        (simplex.sparsemax, simplex.sparsemax_vjp, 2),
    ):
        p = map_(x)
        np.testing.assert_array_equal(vjp(p, g), simplex.entmax_vjp(p, g, alpha))
        out = p.copy()
        np.testing.assert_array_equal(vjp(out, g, out=out), vjp(p, g))
        np.testing.assert_array_equal(vjp(p.T, g.T, axis=0).T, vjp(p, g))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_long_rows_past_the_cache(isa, dtype):
    """Sparse and dense rows of any alignment, to an array of their own and in place."""
    n = 16411
    x = RNG.standard_normal(((17 << 20) // (n * np.dtype(dtype).itemsize) + 1, n)).astype(dtype)
    x[1::3] *= dtype(1e-4)
    g = RNG.standard_normal(x.shape).astype(dtype)
    p = simplex.sparsemax(x)
    inside = p > 0
    wide = np.where(inside, g, 0).astype(np.float64)
    expected = np.where(inside, wide - (wide.sum(1) / inside.sum(1))[:, None], 0)
    expected[5] = np.nan
    p[5, 3000] = np.nan
    dx = simplex.sparsemax_vjp(p, g)
    atol = 4 * np.finfo(dtype).eps * np.abs(g).max()
    np.testing.assert_allclose(dx, expected, rtol=0, atol=atol)
    np.testing.assert_array_equal(simplex.sparsemax_vjp(p[1:3], g[1:3]), dx[1:3])
    np.testing.assert_array_equal(simplex.sparsemax_vjp(p, g, out=p), dx)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("alpha", [0.7, 1.3, 3.5])
def test_huge_rows_in_blocks(isa, dtype, alpha):
    """Beyond 2^18 entries blocks are summed on the pool, whatever the number of workers."""
    n = (1 << 18) + 7
    p = np.maximum(RNG.standard_normal((2, n)), 0).astype(dtype) / dtype(n)
    g = RNG.standard_normal((2, n)).astype(dtype)
    inside = p > 0
    w = np.where(inside, p, 1).astype(np.float64) ** (2 - alpha) * inside
    mean = (w * g).sum(1, keepdims=True) / w.sum(1, keepdims=True)
    dx = simplex.entmax_vjp(p, g, alpha, workers=1)
    expected = w * (g - mean)
    np.testing.assert_allclose(
        dx,
        expected,
        rtol=1e-5 if dtype == np.float32 else 1e-11,
        atol=1e-6 * w.max() * (dtype == np.float32) + 1e-13 * w.max(),
    )
    np.testing.assert_array_equal(simplex.entmax_vjp(p, g, alpha, workers=2), dx)
    p[1, 9] = np.nan
    again = simplex.entmax_vjp(p, g, alpha)
    np.testing.assert_array_equal(again[0], dx[0])
    assert np.isnan(again[1]).all()


def test_special_values():
    p = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0], [np.nan] * 3])
    g = np.array([[1.0, 0.0, np.inf], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    for alpha in (1.0, 1.3, 1.5, 2.0):
        dx = simplex.entmax_vjp(p, g, alpha)
        weight = 0.5 ** (2 - alpha)
        np.testing.assert_allclose(dx[0], [weight / 2, -weight / 2, 0], rtol=1e-15)
        assert (dx[1] == 0).all() and np.isnan(dx[2]).all()
    with pytest.raises(ValueError, match=r"softmax_vjp: 'g' must have shape \(3, 3\), got"):
        simplex.softmax_vjp(p, g[:2])


@pytest.mark.parametrize("n", [17, 40, 100, 128])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_directions_outside_the_support_of_short_rows_do_not_matter(isa, n, dtype):
    rng = np.random.default_rng(n)
    p = simplex.sparsemax(rng.standard_normal((33, n)).astype(dtype))
    p[5] = 0
    g = rng.standard_normal(p.shape).astype(dtype)
    strange = np.where(p > 0, g, rng.choice([np.inf, -np.inf, np.nan], p.shape)).astype(dtype)
    expected = simplex.sparsemax_vjp(p, g)
    np.testing.assert_array_equal(simplex.sparsemax_vjp(p, strange), expected)
    assert not expected[p == 0].any()
    p[7, -1] = np.nan
    expected[7] = np.nan
    np.testing.assert_array_equal(simplex.sparsemax_vjp(p, strange), expected)
