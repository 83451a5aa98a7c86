"""The BLAS table: SciPy's capsules, both integer widths, every routine against NumPy.

Each numerical test runs twice: on SciPy's own table, and on a table of 64-bit (ILP64) entry points
made here of callbacks that narrow every integer and call SciPy's. The capsules of the latter carry
the signatures that an ILP64 build of SciPy has.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy
import scipy.linalg
from numpy.typing import NDArray
from scipy.linalg import cython_blas, cython_lapack

from kexue_num import _core

blas = _core.blas
Array = NDArray[Any]
Capi = dict[str, Any]

ROUTINES = {
    "blas": ["gemm", "trsm", "trmm"],
    "lapack": ["geqrf", "geqp3", "getrf", "potrf", "trtri", "gesdd", "gesvd"],
}
REAL_ROUTINES = {"blas": ["syrk"], "lapack": ["orgqr", "ormqr", "syevd"]}
COMPLEX_ROUTINES = {"blas": ["herk"], "lapack": ["ungqr", "unmqr", "heevd"]}

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
SHAPES = [(0, 0), (0, 3), (3, 0), (1, 1), (1, 5), (5, 1), (7, 13), (13, 7), (31, 31), (67, 41)]
ORDERS = [0, 1, 2, 7, 13, 41]

# ---- capsules ------------------------------------------------------------------------------------

_get_name = ctypes.pythonapi.PyCapsule_GetName
_get_name.restype, _get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype, _get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]

# What capsules point at must outlive every call through the table that was made of them.
_immortal: list[Any] = []


def capsule(pointer: int, signature: str) -> Any:
    name = ctypes.create_string_buffer(signature.encode())
    _immortal.append(name)
    return _new_capsule(pointer, ctypes.cast(name, ctypes.c_char_p), None)


def signature_of(entry: Any) -> str:
    return _get_name(entry).decode()


def pointer_of(entry: Any) -> int:
    return int(_get_pointer(entry, _get_name(entry)))


def native(room: str) -> Capi:
    """SciPy's entries for the routines in use, of one module."""
    capi = {"blas": cython_blas, "lapack": cython_lapack}[room].__pyx_capi__
    names = [t + r for r in ROUTINES[room] for t in "sdcz"]
    names += [t + r for r in REAL_ROUTINES[room] for t in "sd"]
    names += [t + r for r in COMPLEX_ROUTINES[room] for t in "cz"]
    return {name: capi[name] for name in names}


def renamed(capi: Capi, integer: str) -> Capi:
    """The same entries, their integers under another name."""
    return {
        name: capsule(pointer_of(entry), re.sub(r"\b(int|int64_t) \*", f"{integer} *", signature))
        for name, entry in capi.items()
        for signature in [signature_of(entry)]
    }


def pivots_of(name: str, sizes: list[int]) -> dict[int, int]:
    """Index and length of an integer array that is an input or output, not scratch."""
    if name.endswith("geqp3"):
        return {4: sizes[1]}
    if name.endswith("getrf"):
        return {4: min(sizes[0], sizes[1])}
    return {}


SCRATCH = {"gesdd": -2, "syevd": -3, "heevd": -3}  # iwork; its length is counted in elements


def widened(name: str, entry: Any) -> Any:
    """A 64-bit entry point that calls the one of SciPy with its integers narrowed."""
    arguments = signature_of(entry).split("(")[1].rstrip(")").split(", ")
    is_integer = [bool(re.fullmatch(r"(int|int64_t) \*", argument)) for argument in arguments]
    narrow = ctypes.c_int64 if "int64_t *" in arguments else ctypes.c_int32
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arguments))
    target = prototype(pointer_of(entry))
    scratch = len(arguments) + SCRATCH[name[1:]] if name[1:] in SCRATCH else -1

    def shim(*addresses: int) -> None:
        sizes = [
            ctypes.c_int64.from_address(address).value
            for address, integer in zip(addresses, is_integer, strict=True)
            if integer
        ]
        pivots = pivots_of(name, sizes)
        passed: list[Any] = list(addresses)
        copies = []
        for i, address in enumerate(addresses):
            if is_integer[i] and i != scratch:
                length = pivots.get(i, 1)
                wide = (ctypes.c_int64 * length).from_address(address)
                copies.append((wide, (narrow * length)(*wide)))
                passed[i] = ctypes.addressof(copies[-1][1])
        target(*passed)
        for wide, copy in copies:
            wide[:] = copy[:]

    callback = prototype(shim)
    _immortal.append((callback, target))
    address = ctypes.cast(callback, ctypes.c_void_p).value
    return capsule(address or 0, re.sub(r"\bint \*", "int64_t *", signature_of(entry)))


@pytest.fixture(scope="module")
def wide() -> dict[str, Capi]:
    return {
        room: {name: widened(name, entry) for name, entry in native(room).items()}
        for room in ("blas", "lapack")
    }


@pytest.fixture(scope="module", params=["native", "wide"])
def width(request: pytest.FixtureRequest, wide: dict[str, Capi]) -> Iterator[str]:
    if request.param == "wide":
        blas.load_from(**wide)
        assert blas.info()["int_bits"] == 64
    yield request.param
    blas.load()


@pytest.fixture
def restored() -> Iterator[None]:
    yield
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


# ---- contracts -----------------------------------------------------------------------------------


def test_a_leading_dimension_too_large_for_the_library(
    restored: None, wide: dict[str, Capi]
) -> None:
    far = np.lib.stride_tricks.as_strided(np.zeros(1), (1, 2), (8, 8 * 2**31))
    small = np.zeros((1, 1), order="F")
    if blas.info()["int_bits"] != 64:
        with pytest.raises(ValueError, match=r"dgemm: the size 2147483648 does not fit"):
            blas.gemm("N", "N", 1, far, np.zeros((2, 1), order="F"), 0, small)
    blas.load_from(**wide)
    with pytest.raises(ValueError, match=r"dgemm: the leading dimension 'lda' must be at least 1"):
        bad = np.lib.stride_tricks.as_strided(np.zeros(2), (1, 2), (8, -8))
        blas.gemm("N", "N", 1, bad, np.zeros((2, 1), order="F"), 0, small)


def test_a_leading_dimension_too_small() -> None:
    overlapping = np.lib.stride_tricks.as_strided(np.zeros(8), (4, 3), (8, 16))
    with pytest.raises(ValueError, match=r"dgeqrf: the leading dimension 'lda' must be at least 4"):
        blas.geqrf(overlapping)


def test_row_major_is_refused() -> None:
    with pytest.raises(ValueError, match="column-major"):
        blas.geqrf(np.zeros((3, 2)))


# ---- the loader ----------------------------------------------------------------------------------


def test_info(restored: None) -> None:
    blas.load()
    info = blas.info()
    assert info["loaded"] is True
    assert info["int_bits"] in (32, 64)
    integers = re.search(r"\b(int|int64_t) \*", signature_of(cython_blas.__pyx_capi__["dgemm"]))
    assert integers is not None
    assert info["int_bits"] == {"int": 32, "int64_t": 64}[integers[1]]
    if sys.platform == "linux":
        assert "blas" in info["path"].lower() or "mkl" in info["path"].lower()


@pytest.mark.parametrize(
    ("integer", "bits"),
    [
        ("int", 32),
        ("int32_t", 32),
        ("npy_int32", 32),
        ("int64_t", 64),
        ("npy_int64", 64),
        ("long long", 64),
        ("long", 8 * ctypes.sizeof(ctypes.c_long)),
        ("__pyx_t_5scipy_6linalg_11cython_blas_int64_t", 64),
        ("__pyx_t_5scipy_6linalg_11cython_blas_npy_int64", 64),
    ],
)
def test_the_signature_tells_the_width(restored: None, integer: str, bits: int) -> None:
    blas.load_from(renamed(native("blas"), integer), renamed(native("lapack"), integer))
    assert blas.info()["int_bits"] == bits


@pytest.mark.parametrize(("answer", "bits"), [(True, 64), (False, 32), ("true", 64)])
@pytest.mark.parametrize("integer", ["blas_int", "__pyx_t_5scipy_6linalg_11cython_blas_blas_int"])
def test_an_unstated_width_is_looked_up(
    restored: None, monkeypatch: pytest.MonkeyPatch, integer: str, answer: Any, bits: int
) -> None:
    build = {"Build Dependencies": {"blas": {"cython blas ilp64": answer}}}
    monkeypatch.setattr(scipy, "show_config", lambda mode: build)
    blas.load_from(renamed(native("blas"), integer), renamed(native("lapack"), integer))
    assert blas.info()["int_bits"] == bits


def broken_by(change: Callable[[Capi, Capi], None]) -> tuple[Capi, Capi]:
    both = native("blas"), native("lapack")
    change(*both)
    return both


def rename_one(name: str, pattern: str, replacement: str) -> Callable[[Capi, Capi], None]:
    def change(_: Capi, lapack: Capi) -> None:
        entry = lapack[name]
        signature = re.sub(pattern, replacement, signature_of(entry), count=1)
        lapack[name] = capsule(pointer_of(entry), signature)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b, _: b.pop("dgemm"), "cython_blas has no routine 'dgemm'"),
        (lambda b, _: b.update(sgemm=None), "cython_blas has no capsule for 'sgemm'"),
        (rename_one("zgesdd", r"int \*, ", ""), "cython_lapack has 'zgesdd' with an unknown"),
        (rename_one("dpotrf", r"int \*", "unsigned *"), "'dpotrf' with an unknown signature"),
        (rename_one("dpotrf", r"int \*", "int"), "'dpotrf' with an unknown signature"),
        (rename_one("dpotrf", r"void", "int"), "'dpotrf' with an unknown signature"),
        (rename_one("dpotrf", r"\)", ""), "'dpotrf' with an unknown signature"),
        (rename_one("dpotrf", r".+", ""), "'dpotrf' with an unknown signature"),
        (rename_one("dpotrf", r"cython_lapack_d", "cython_lapack_s"), "'dpotrf' with an unknown"),
        (rename_one("dpotrf", r"int(64_t)? \*", "short *"), "'dpotrf' with an unknown signature"),
        (rename_one("cgeqrf", r"int \*", "int64_t *"), "'cgeqrf' with an unknown signature"),
    ],
)
def test_what_the_loader_does_not_understand_is_an_import_error(
    change: Callable[[Capi, Capi], None], message: str
) -> None:
    blas.load()
    before = blas.info()
    with pytest.raises(ImportError, match=re.escape(message)):
        blas.load_from(*broken_by(change))
    assert blas.info() == before


def test_mixed_widths_are_an_import_error() -> None:
    with pytest.raises(ImportError, match="mixes integer widths at 'sgeqrf'"):
        blas.load_from(renamed(native("blas"), "int32_t"), renamed(native("lapack"), "int64_t"))


def test_a_width_stated_nowhere_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scipy, "show_config", lambda mode: {"Build Dependencies": {}})
    entries = [renamed(native(room), "blas_int") for room in ("blas", "lapack")]
    with pytest.raises(
        ImportError, match=r"integer width of scipy\.linalg\.cython_blas is not stat"
    ):
        blas.load_from(*entries)


def run_fresh(script: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_importing_does_not_load() -> None:
    run_fresh(
        "import sys; from kexue_num import _core\n"
        "assert _core.blas.info() == {'loaded': False, 'int_bits': 0, 'path': ''}\n"
        "assert 'scipy.linalg' not in sys.modules\n"
    )


def test_first_use_by_many_threads_at_once() -> None:
    run_fresh(
        """
import threading
import numpy as np
from kexue_num import _core

barrier = threading.Barrier(8)
good = []

def work(i):
    a = np.full((6, 6), float(i), order="F")
    c = np.empty((6, 6), order="F")
    barrier.wait()
    if i == 0:
        import scipy.linalg
    _core.blas.gemm("N", "N", 1, a, a, 0, c)
    good.append(bool(np.all(c == 6.0 * i * i)))

threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
for t in threads: t.start()
for t in threads: t.join()
assert good == [True] * 8 and _core.blas.info()["loaded"]
"""
    )


def test_a_failed_load_is_an_import_error_and_is_tried_again() -> None:
    run_fresh(
        """
import sys
import numpy as np
from kexue_num import _core

a = np.eye(3, order="F")
sys.modules["scipy.linalg.cython_lapack"] = None
for _ in range(2):
    try:
        _core.blas.potrf("L", a)
    except ImportError as error:
        assert "cython_lapack" in str(error)
    else:
        raise AssertionError("no ImportError")
del sys.modules["scipy.linalg.cython_lapack"]
assert _core.blas.potrf("L", a) == 3
"""
    )
