"""The matrix product of the core: every way through it, on every instruction set."""

import numpy as np
import pytest

from kexue_num import _core

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
# Rows, depth, columns: few rows of A, few columns of B, whole and broken tiles, empty sides.
SHAPES = [
    (1, 1, 1),
    (12, 700, 130),
    (24, 33, 517),
    (25, 300, 40),
    (200, 300, 12),
    (97, 600, 1),
    (130, 257, 300),
    (0, 5, 3),
    (4, 0, 7),
    (60, 3, 0),
]


def _entries(rng, shape, dtype):
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


def _layouts(x):
    """The same matrix in memory in C order, in Fortran order, strided and reversed."""
    wide = np.zeros((x.shape[0], 2 * x.shape[1]), x.dtype)
    wide[:, ::2] = x
    return [x, np.asfortranarray(x), wide[:, ::2], x[::-1].copy()[::-1]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_matmul(isa, shape, dtype):
    m, depth, n = shape
    rng = np.random.default_rng(1)
    a, b, c = (_entries(rng, s, dtype) for s in [(m, depth), (depth, n), (m, n)])
    exact = a.astype(np.clongdouble) @ b.astype(np.clongdouble)
    conjugated = a.conj().astype(np.clongdouble) @ b.astype(np.clongdouble)
    # Every product has `depth` terms of modulus about 1 and the error of as many roundings at most.
    limit = 8 * (depth + 4) * np.finfo(dtype).eps
    for left, right in zip(_layouts(a), reversed(_layouts(b)), strict=True):
        for workers in (1, 2):
            plain = _core.lowrank.matmul(left, right, False, 1.0, None, workers)
            assert np.abs(plain - exact).max(initial=0) <= limit
            mixed = _core.lowrank.matmul(left, right, True, -0.5, c.copy(), workers)
            assert np.abs(mixed - (c - 0.5 * conjugated)).max(initial=0) <= limit


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_do_not_depend_on_the_workers(isa, dtype):
    # 300 rows are read again with every group of columns, of which one worker takes wide ones.
    rng = np.random.default_rng(2)
    wide = np.result_type(dtype, np.float64)
    limit = 8 * 500 * np.finfo(dtype).eps
    a, b = _entries(rng, (300, 500), dtype), _entries(rng, (500, 270), dtype)
    for left, right in [(a, b), (a[:12], b), (a, b[:, :12].copy())]:
        one, two = (_core.lowrank.matmul(left, right, False, 1.0, None, w) for w in (1, 2))
        np.testing.assert_array_equal(one, two)
        assert np.abs(one - left.astype(wide) @ right.astype(wide)).max() <= limit


def test_products_that_take_long_are_taken_by_rows():
    rng = np.random.default_rng(4)
    a, b = rng.random((430, 14000)), rng.random((14000, 210))
    c = rng.random((430, 210))
    one, two = (_core.lowrank.matmul(a, b, False, -1.0, c.copy(), w) for w in (1, 2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one, c - a @ b, rtol=1e-13)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 50, 33), (13, 333, 130), (0, 4, 5), (3, 0, 40)])
def test_rounded_product(isa, shape):
    k, depth, n = shape
    rng = np.random.default_rng(5)
    q, b = rng.standard_normal((depth, k)), rng.standard_normal((depth, n))
    lengths = np.outer(np.linalg.norm(q, axis=0), np.linalg.norm(b, axis=0))
    for left, right in zip(_layouts(q), reversed(_layouts(b)), strict=True):
        one, two = (_core.lowrank.rounded_product(left, right, w) for w in (1, 2))
        np.testing.assert_array_equal(one, two)
        # Two roundings of the factors and, by blocks of 320, some of their sums.
        assert (np.abs(one - q.T @ b) <= 4 * 2.0**-24 * lengths).all()


def test_long_rounded_products_are_taken_by_rows():
    rng = np.random.default_rng(6)
    q, b = rng.random((31000, 390)), rng.random((31000, 1))
    product = _core.lowrank.rounded_product(q, b, 2)
    np.testing.assert_allclose(product, q.T @ b, rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_nan_reaches_its_row_alone(isa, dtype):
    a, b = np.ones((30, 40), dtype), np.ones((40, 20), dtype)
    a[7, 3] = np.nan
    product = _core.lowrank.matmul(a, b, False, 1.0, None, 1)
    assert np.isnan(product[7]).all()
    assert not np.isnan(np.delete(product, 7, axis=0)).any()
