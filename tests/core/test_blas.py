"""Every routine of the BLAS table against NumPy, with both integer widths.

Each test runs twice: on SciPy's own table, and on a table of 64-bit (ILP64) entry points made of
callbacks that narrow every integer and call SciPy's. The capsules of the latter carry the
signatures that an ILP64 build of SciPy has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kexue_num import _core
from tests.blas_tables import Capi, widened_table

blas = _core.blas
Array = NDArray[Any]

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
SHAPES = [(0, 0), (0, 3), (3, 0), (1, 1), (1, 5), (5, 1), (7, 13), (13, 7), (31, 31), (67, 41)]
ORDERS = [0, 1, 2, 7, 13, 41]


@pytest.fixture(scope="module")
def wide() -> dict[str, Capi]:
    return widened_table()


@pytest.fixture(scope="module", params=["native", "wide"])
def width(request: pytest.FixtureRequest, wide: dict[str, Capi]) -> Iterator[str]:
    if request.param == "wide":
        blas.load_from(**wide)
        assert blas.info()["int_bits"] == 64
    yield request.param
    blas.load()


# ---- matrices ------------------------------------------------------------------------------------


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng([20_240_601, *key])


def random(generator: np.random.Generator, shape: tuple[int, ...], dtype: type) -> Array:
    values = generator.standard_normal(shape)
    if np.issubdtype(dtype, np.complexfloating):
        values = values + 1j * generator.standard_normal(shape)
    return values.astype(dtype)


class Padded:
    """A column-major copy of a matrix inside a taller one whose other rows must not change."""

    def __init__(self, a: Array, pad: int = 3) -> None:
        m, n = a.shape
        self._base = np.full((m + pad, n), np.nan, dtype=a.dtype, order="F")
        self._rows = m
        self.view[...] = a

    @property
    def view(self) -> Array:
        return self._base[: self._rows]

    def intact(self) -> bool:
        return bool(np.isnan(self._base[self._rows :]).all())


def close(got: Array, expected: Array, scale: float = 1.0) -> bool:
    """Within 40 n epsilon of the largest magnitude; `scale` stands in where that is tiny."""
    assert got.shape == expected.shape
    if got.size == 0:
        return True
    n = max(got.shape)
    magnitude = max(float(np.abs(expected).max()), scale)
    return bool(np.abs(got - expected).max() <= 40 * n * np.finfo(got.dtype).eps * magnitude)


def applied(op: str, a: Array) -> Array:
    return {"N": a, "T": a.T, "C": a.conj().T}[op]


def triangle(a: Array, uplo: str, diag: str = "N") -> Array:
    part = np.triu(a) if uplo == "U" else np.tril(a)
    if diag == "U":
        np.fill_diagonal(part, 1)
    return part


def triangular(generator: np.random.Generator, n: int, dtype: type) -> Array:
    """A full matrix both triangles of which are well conditioned."""
    return random(generator, (n, n), dtype) / (2 * max(n, 1)) + 2 * np.eye(n, dtype=dtype)


# ---- BLAS ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op_a", "NTC")
@pytest.mark.parametrize("op_b", "NTC")
def test_gemm(width: str, dtype: type, op_a: str, op_b: str) -> None:
    for m, n, k in [(0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 1, 1), (7, 13, 5), (31, 17, 41)]:
        g = rng(m, n, k)
        a = Padded(random(g, (m, k) if op_a == "N" else (k, m), dtype))
        b = Padded(random(g, (k, n) if op_b == "N" else (n, k), dtype), pad=1)
        c = Padded(random(g, (m, n), dtype), pad=2)
        product = applied(op_a, a.view) @ applied(op_b, b.view)
        expected = dtype(1.5) * product + dtype(-0.5) * c.view
        blas.gemm(op_a, op_b, 1.5, a.view, b.view, -0.5, c.view)
        assert close(c.view, expected, scale=max(k, 1) ** 0.5)
        c.view[...] = np.nan
        blas.gemm(op_a, op_b, 1, a.view, b.view, 0, c.view)
        assert close(c.view, product, scale=max(k, 1) ** 0.5)
        assert a.intact() and b.intact() and c.intact()


def test_gemm_complex_scalars(width: str) -> None:
    g = rng(1)
    a, b = (Padded(random(g, (5, 5), np.complex128)) for _ in range(2))
    c = Padded(np.zeros((5, 5), np.complex128))
    blas.gemm("N", "C", 2j, a.view, b.view, 0, c.view)
    assert close(c.view, 2j * a.view @ b.view.conj().T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("uplo", "UL")
@pytest.mark.parametrize("op", "NC")
def test_herk(width: str, dtype: type, uplo: str, op: str) -> None:
    for n, k in SHAPES:
        g = rng(n, k)
        a = Padded(random(g, (n, k) if op == "N" else (k, n), dtype))
        c = random(g, (n, n), dtype)
        c += c.conj().T
        full = a.view @ a.view.conj().T if op == "N" else a.view.conj().T @ a.view
        out = Padded(c)
        blas.herk(uplo, op, 0.5, a.view, 2.0, out.view)
        inside = triangle(np.ones((n, n)), uplo) > 0
        assert close(out.view[inside], (0.5 * full + 2 * c)[inside], scale=max(k, 1))
        assert np.array_equal(out.view[~inside], c[~inside])
        assert np.all(np.diagonal(out.view).imag == 0)
        assert a.intact() and out.intact()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("side", "LR")
@pytest.mark.parametrize("uplo", "UL")
@pytest.mark.parametrize("op", "NTC")
@pytest.mark.parametrize("diag", "NU")
def test_trmm_and_trsm(width: str, dtype: type, side: str, uplo: str, op: str, diag: str) -> None:
    for m, n in [(0, 3), (3, 0), (1, 1), (7, 13), (13, 7)]:
        g = rng(m, n)
        a = Padded(triangular(g, m if side == "L" else n, dtype))
        b = random(g, (m, n), dtype)
        factor = applied(op, triangle(a.view, uplo, diag))
        out = Padded(b)
        blas.trmm(side, uplo, op, diag, 0.5, a.view, out.view)
        assert close(out.view, 0.5 * (factor @ b if side == "L" else b @ factor))
        blas.trsm(side, uplo, op, diag, 2.0, a.view, out.view)
        assert close(out.view, b)
        assert a.intact() and out.intact()


# ---- factorisations ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_qr(width: str, dtype: type, shape: tuple[int, int]) -> None:
    m, n = shape
    k = min(m, n)
    a = random(rng(m, n), shape, dtype)
    factors = Padded(a)
    tau = blas.geqrf(factors.view)
    r = np.triu(factors.view)[:k]
    q = Padded(factors.view[:, :k])
    blas.orgqr(q.view, tau)
    assert close(q.view @ r, a)
    assert close(q.view.conj().T @ q.view, np.eye(k, dtype=dtype))
    for op in "NC":
        for side in "LR":
            c = random(rng(m, n, 1), (m, 4) if side == "L" else (4, m), dtype)
            rotated = Padded(c)
            blas.ormqr(side, op, factors.view, tau, rotated.view)
            blas.ormqr(side, "C" if op == "N" else "N", factors.view, tau, rotated.view)
            assert close(rotated.view, c)
    projected = Padded(a)
    blas.ormqr("L", "C", factors.view, tau, projected.view)
    assert close(projected.view[:k], r)
    assert close(projected.view[k:], np.zeros((m - k, n), dtype), scale=float(max(m, n)))
    assert factors.intact() and q.intact() and projected.intact()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_pivoted_qr(width: str, dtype: type, shape: tuple[int, int]) -> None:
    m, n = shape
    k = min(m, n)
    a = random(rng(m, n), shape, dtype) * (10.0 ** rng(n).uniform(-2, 2, n)).astype(dtype)
    factors = Padded(a)
    pivots, tau = blas.geqp3(factors.view)
    assert sorted(pivots) == list(range(n))
    r = np.triu(factors.view)[:k]
    q = Padded(factors.view[:, :k])
    blas.orgqr(q.view, tau)
    assert close(q.view @ r, a[:, pivots])
    sizes = np.abs(np.diagonal(r))
    assert np.all(sizes[1:] <= sizes[:-1] * (1 + 1e-3))
    if 0 not in shape:
        assert pivots[0] == np.argmax(np.linalg.norm(a, axis=0))
    assert factors.intact()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_lu(width: str, dtype: type, shape: tuple[int, int]) -> None:
    m, n = shape
    k = min(m, n)
    a = random(rng(m, n), shape, dtype)
    factors = Padded(a)
    regular, pivots = blas.getrf(factors.view)
    assert regular == k
    rows = np.arange(m)
    for i, pivot in enumerate(pivots):
        assert i <= pivot < m
        rows[[i, pivot]] = rows[[pivot, i]]
    lower = np.tril(factors.view, -1)[:, :k] + np.eye(m, k, dtype=dtype)
    assert close(lower @ np.triu(factors.view)[:k], a[rows])
    assert factors.intact()


def test_lu_names_the_first_zero_pivot(width: str) -> None:
    a = np.asfortranarray(np.diag([1.0, 2.0, 0.0, 4.0]))
    assert blas.getrf(a)[0] == 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("uplo", "UL")
def test_cholesky(width: str, dtype: type, uplo: str) -> None:
    for n in ORDERS:
        a = random(rng(n), (n, n), dtype)
        a = a @ a.conj().T / max(n, 1) + np.eye(n, dtype=dtype)
        out = Padded(a)
        assert blas.potrf(uplo, out.view) == n
        factor = triangle(out.view, uplo)
        product = factor.conj().T @ factor if uplo == "U" else factor @ factor.conj().T
        assert close(product, a)
        assert out.intact()


def test_cholesky_stops_at_the_first_bad_block(width: str) -> None:
    assert blas.potrf("L", np.asfortranarray(np.diag([1.0, 2.0, -1.0, 4.0]))) == 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("uplo", "UL")
@pytest.mark.parametrize("diag", "NU")
def test_triangular_inverse(width: str, dtype: type, uplo: str, diag: str) -> None:
    for n in ORDERS:
        a = triangular(rng(n), n, dtype)
        out = Padded(a)
        blas.trtri(uplo, diag, out.view)
        product = triangle(a, uplo, diag) @ triangle(out.view, uplo, diag)
        assert close(product, np.eye(n, dtype=dtype))
        assert out.intact()


def test_a_singular_triangle_is_an_error(width: str) -> None:
    with pytest.raises(_core.NumericalError, match=r"dtrtri failed with info = 2"):
        blas.trtri("U", "N", np.asfortranarray(np.diag([1.0, 0.0, 3.0])))


# ---- singular values, eigenvalues ----------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("divides", [True, False], ids=["gesdd", "gesvd"])
def test_svd(width: str, dtype: type, shape: tuple[int, int], divides: bool) -> None:
    m, n = shape
    k = min(m, n)
    a = random(rng(m, n), shape, dtype)
    expected = np.linalg.svd(a, compute_uv=False)
    for vectors, left, right in [
        ("N", (1, 1), (1, 1)),
        ("S", (m, k), (k, n)),
        ("A", (m, m), (n, n)),
    ]:
        u, vh = Padded(np.zeros(left, dtype)), Padded(np.zeros(right, dtype))
        s = blas.svd(divides, vectors, Padded(a).view, u.view, vh.view)
        assert close(s, expected)
        if vectors != "N" and k > 0:
            assert close((u.view[:, :k] * s) @ vh.view[:k], a)
            assert close(u.view.conj().T @ u.view, np.eye(left[1], dtype=dtype))
            assert close(vh.view @ vh.view.conj().T, np.eye(right[0], dtype=dtype))
        assert u.intact() and vh.intact()


@pytest.mark.parametrize("dtype", DTYPES)
def test_svd_of_nan_is_an_error_or_nan(width: str, dtype: type) -> None:
    a = np.full((4, 3), np.nan, dtype, order="F")
    unused = np.zeros((1, 1), dtype, order="F")
    try:
        s = blas.svd(True, "N", a, unused, unused)
    except _core.NumericalError as error:
        message = str(error)
        assert re.search(r"[sdcz]gesdd failed with info = ", message)
    else:
        assert np.isnan(s).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("uplo", "UL")
def test_eigenvalues(width: str, dtype: type, uplo: str) -> None:
    for n in ORDERS:
        a = random(rng(n), (n, n), dtype)
        a += a.conj().T
        only = triangle(a, uplo) + triangle(np.full((n, n), np.nan), "L" if uplo == "U" else "U")
        only = np.where(np.eye(n, dtype=bool), a, only).astype(dtype)
        out = Padded(only)
        w = blas.heevd(True, uplo, out.view)
        assert np.all(w[1:] >= w[:-1])
        assert close(a @ out.view, out.view * w)
        assert close(out.view.conj().T @ out.view, np.eye(n, dtype=dtype))
        assert out.intact()
        assert close(blas.heevd(False, uplo, Padded(only).view), w)
