"""Norms read off Gram matrices, and the factorisation that the sketches go through."""

import mpmath
import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose, assert_array_equal

from kexue_num import _core

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
NONE = np.empty(0, np.int64)


def _rows(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) / (1 + np.arange(shape[0]))[:, None]
    if np.dtype(dtype).kind == "c":
        x = x * np.exp(2j * np.pi * rng.random(shape))
    return x.astype(dtype)


def _descending(shape, dtype):
    """Rows that get larger: leading blocks whose norms differ."""
    return _rows(shape, dtype)[::-1].copy()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [0, 1, 11, 48, 49, 150])
@pytest.mark.parametrize("n", [70, 1100])
def test_gram(isa, n, k, dtype):
    r = _rows((k, n), dtype)
    wide = r.astype(np.result_type(dtype, np.float64))
    for workers in (1, 2):
        gram = _core.lowrank.gram(r, workers)
        assert gram.dtype == wide.dtype
        np.testing.assert_array_equal(gram, _core.lowrank.gram(np.asfortranarray(r), workers))
        np.testing.assert_allclose(gram, wide @ wide.conj().T, rtol=0, atol=1.4e-15 * n)
        np.testing.assert_array_equal(gram, gram.conj().T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 13, 150, 257])
def test_a_narrow_gram_is_accurate_relative_to_every_pair_of_rows(isa, k, dtype):
    r = _rows((k, 2100), dtype)
    wide = r.astype(np.result_type(dtype, np.float64))
    norms = np.linalg.norm(wide, axis=1)
    exact = wide @ wide.conj().T
    grams = [_core.lowrank.gram(r, workers, True) for workers in (1, 2)]
    np.testing.assert_array_equal(*grams)
    errors = np.abs(grams[0] - exact) / np.outer(norms, norms)
    assert errors.max() <= 8 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("k", [1, 40, 48, 130])
def test_leading_below_finds_the_norm_of_every_leading_part(isa, k, dtype):
    r = _descending((k, 200), dtype)
    gram = _core.lowrank.gram(r, 1)
    norms = np.array([np.linalg.norm(r[:t], 2) for t in range(1, k + 1)])
    for t in range(k + 1):
        below, above = norms[t - 1] if t else 0.0, norms[t] if t < k else 2 * norms[-1]
        limit = 0.5 * (below + above)
        assert _core.lowrank.leading_below(gram, limit, 2) == t
    # A view from the other end, as the search for the number of pivots uses it.
    reverse = gram[::-1, ::-1]
    assert _core.lowrank.leading_below(reverse, 2 * norms[-1], 1) == k
    assert _core.lowrank.leading_below(gram, 0.0, 1) == 0


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("k", [0, 1, 47, 130])
def test_inverse_root(isa, k, dtype):
    gram = _core.lowrank.gram(_rows((k, 200), dtype), 1)
    root = _core.lowrank.inverse_root(gram, 1e-4, 2)
    np.testing.assert_allclose(root.conj().T @ gram @ root, np.eye(k), atol=1e-10)
    np.testing.assert_array_equal(root, np.triu(root))


def test_inverse_root_of_what_has_none():
    nan = np.eye(3)
    nan[2, 2] = np.nan
    for gram in (-np.eye(2), np.diag([1.0, 0.0]), np.diag([1.0, 1e-9]), np.ones((60, 60)), nan):
        assert _core.lowrank.inverse_root(gram, 1e-4, 1) is None


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("k", [0, 1, 2, 9, 40])
def test_orthogonal_rows(isa, k, dtype):
    x = _rows((k, max(1, k)), dtype)
    rows = x.copy()
    lengths = _core.lowrank.orthogonalize_rows(rows)
    np.testing.assert_allclose(lengths, np.linalg.svd(x, compute_uv=False), rtol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), lengths, rtol=1e-13)
    units = rows / lengths[:, None]
    np.testing.assert_allclose(units @ units.conj().T, np.eye(k), atol=1e-13)
    np.testing.assert_allclose(rows.conj().T @ rows, x.conj().T @ x, atol=1e-11)


def test_orthogonal_rows_have_relative_accuracy(isa):
    # D C with a well conditioned C: singular values of 2^-300 as accurate as those of 1.
    rng = np.random.default_rng(3)
    c = np.tril(rng.standard_normal((8, 8))) + 4 * np.eye(8)
    x = 2.0 ** (-300 * np.arange(8) / 7)[:, None] * c
    rows = x[rng.permutation(8)]
    lengths = _core.lowrank.orthogonalize_rows(rows)
    with mpmath.workdps(250):
        exact = mpmath.svd_r(mpmath.matrix(x.tolist()), compute_uv=False)
        errors = [abs(mpmath.mpf(a) / b - 1) for a, b in zip(lengths.tolist(), exact, strict=True)]
    assert max(errors) <= 1e-14
    assert _core.lowrank.orthogonalize_rows(np.zeros((3, 4))).tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_rayleigh_is_a_sharp_lower_bound(dtype):
    for k in (1, 5, 60):
        gram = _core.lowrank.gram(_rows((k, 300), dtype), 1)
        largest = np.linalg.eigvalsh(gram)[-1]
        for view in (gram, gram[::-1, ::-1], np.asfortranarray(gram)):
            value = _core.lowrank.rayleigh(view)
            assert 0.99 * largest <= value <= largest * (1 + 1e-14)
    assert _core.lowrank.rayleigh(np.zeros((3, 3), dtype)) == 0
    assert _core.lowrank.rayleigh(np.zeros((0, 0), dtype)) == 0


def _matrix(dtype, m=90, n=160, decay=0.9, seed=3):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((m, m)) * decay ** np.arange(m) @ rng.standard_normal((m, n))
    if np.dtype(dtype).kind == "c":
        a = a * np.exp(2j * np.pi * rng.random((1, n)))
    return a.astype(dtype)


def _check_factors(a, pivots, r, tol):
    """R = Q^H A for orthonormal Q that spans the pivots."""
    q = np.linalg.qr(a[:, pivots])[0]
    wide = a.astype(np.complex128)
    residual = wide - q @ (q.conj().T @ wide)
    triangle = r[:, pivots]
    assert np.abs(np.tril(triangle, -1)).max(initial=0) <= tol * np.abs(a).max()
    fitted = wide[:, pivots] @ np.linalg.solve(triangle.astype(np.complex128), r)
    assert np.linalg.norm(wide - fitted - residual, 2) <= tol * np.linalg.norm(a, 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slack", [1.0, 0.5])
def test_pivoted_qr_factors(isa, slack, dtype):
    a = _matrix(dtype)
    pivots, r = _core.lowrank.pivoted_qr(_core.lowrank.pack(a, 1), NONE, 60, 0.0, slack, 2)
    assert len(set(pivots)) == 60
    eps = float(np.finfo(dtype).eps)
    _check_factors(a, pivots, r, 300 * eps if slack == 1 else 2 * eps**0.75)
    if slack == 1 and eps < 1e-10:
        assert list(pivots) == list(scipy.linalg.qr(a, pivoting=True, mode="r")[1][:60])


@pytest.mark.parametrize("dtype", DTYPES)
def test_pivots_given_come_first_and_the_largest_follow(isa, dtype):
    a = _matrix(dtype)
    first = np.array([5, 17, 100, 3, *range(20, 50)])
    pivots, r = _core.lowrank.pivoted_qr(_core.lowrank.pack(a, 1), first, 50, 0.0, 1.0, 1)
    assert list(pivots[: len(first)]) == list(first)
    assert len(pivots) == 50
    _check_factors(a, pivots, r, 300 * np.finfo(dtype).eps)
    # More than asked for: the first of them.
    pivots, _ = _core.lowrank.pivoted_qr(_core.lowrank.pack(a, 1), first, 3, 0.0, 1.0, 1)
    assert list(pivots) == [5, 17, 100]


@pytest.mark.parametrize("slack", [1.0, 0.5])
def test_the_relative_stop_leaves_short_columns_only(slack):
    a = _matrix(np.float64, decay=0.7)
    norm = np.linalg.norm(a, 2)
    for stop in (1e-2, 1e-5):
        pivots, r = _core.lowrank.pivoted_qr(_core.lowrank.pack(a, 1), NONE, 90, stop, slack, 1)
        assert 0 < len(pivots) < 90
        left = np.delete(np.arange(a.shape[1]), pivots)
        q = np.linalg.qr(a[:, pivots])[0]
        residual = a[:, left] - q @ (q.T @ a[:, left])
        assert np.linalg.norm(residual, axis=0).max() <= stop * norm
        # The norm that `stop` refers to is a lower bound, within a factor of 3 here.
        assert abs(r[-1, pivots[-1]]) >= slack * stop * norm / 3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("workers", [1, 2])
def test_coefficients_of_rows_read_columns_beside(dtype, workers):
    rng = np.random.default_rng(5)
    rows, r, a = (
        rng.standard_normal(shape).astype(dtype) for shape in ((20, 24), (24, 700), (600, 700))
    )
    kept = rng.permutation(700)[:21]  # one more than there are rows
    expected = np.zeros((21, 700), dtype)
    expected[:20] = rows @ r
    expected[:, kept] = np.eye(21)
    for source in (a, np.asfortranarray(a)):
        z, largest, columns = _core.lowrank.coefficients_of_rows(rows, r, kept, source, workers)
        assert_array_equal(columns, a[:, kept])
        assert largest == _core.lowrank.max_modulus(z, workers)
        assert_allclose(z, expected, rtol=0, atol=100 * np.finfo(dtype).eps)
        alone, _, none = _core.lowrank.coefficients_of_rows(rows, r, kept, None, workers)
        assert_array_equal(alone, z)
        assert none.shape == (0, 21)


def test_without():
    values = np.array([7, 3, 9, 3, 1])
    for positions in ([], [0], [4, 1], [2, 0, 3, 1, 4]):
        left = _core.lowrank.without(values, np.array(positions, np.int64))
        assert_array_equal(left, np.delete(values, positions))
    assert len(_core.lowrank.without(NONE, NONE)) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_coefficients_of_rows_that_are_not_finite(bad):
    rng = np.random.default_rng(7)
    rows, r = rng.standard_normal((20, 24)), rng.standard_normal((24, 700))
    r[3, 500] = bad
    _, largest, _ = _core.lowrank.coefficients_of_rows(rows, r, np.arange(20), None, 2)
    assert np.isnan(largest)


@pytest.mark.parametrize("complex_too", [False, True])
def test_largest_eigenvalue(complex_too):
    rng = np.random.default_rng(8)
    for n in range(1, 15):
        for rank in (1, n // 2 + 1, 2 * n):
            x = rng.standard_normal((n, rank)) * 10.0 ** rng.uniform(-3, 3, (n, 1))
            if complex_too:
                x = x + 1j * rng.standard_normal((n, rank))
            if rank == 1:
                x[1:-1] = 0
            gram = x @ x.conj().T
            for scale in (1.0, 2.0**-700, 2.0**700):
                expected = np.linalg.eigvalsh(gram)[-1] * scale
                assert_allclose(
                    _core.lowrank.largest_eigenvalue(gram * scale), expected, rtol=1e-13
                )
    assert _core.lowrank.largest_eigenvalue(np.zeros((3, 3))) == 0
    assert _core.lowrank.largest_eigenvalue(np.zeros((0, 0))) == 0
    assert np.isnan(_core.lowrank.largest_eigenvalue(np.diag([1.0, np.nan])))
    assert np.isnan(_core.lowrank.largest_eigenvalue(np.diag([1.0, np.inf])))
    assert _core.lowrank.largest_eigenvalue(np.diag([0.0, 5.0, 0.0])) == pytest.approx(5, rel=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_residual_rows(dtype):
    rng = np.random.default_rng(6)
    rows, chosen, z = (
        rng.standard_normal(shape).astype(dtype) for shape in ((12, 900), (12, 7), (7, 900))
    )
    rest, before, after = _core.lowrank.residual_rows(rows, chosen, z, 2)
    assert_allclose(rest, rows - chosen @ z, rtol=0, atol=100 * np.finfo(dtype).eps)
    assert_array_equal(before, _core.lowrank.gram(rows, 2))
    assert_array_equal(after, _core.lowrank.gram(rest, 2))
    with pytest.raises(ValueError, match="shapes do not fit"):
        _core.lowrank.residual_rows(rows, chosen[:, :6], z, 2)
