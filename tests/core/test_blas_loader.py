"""The BLAS table: what is loaded from SciPy's capsules, when, and what is refused."""

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
from scipy.linalg import cython_blas

from kexue_num import _core
from tests.blas_tables import (
    Capi,
    capsule,
    native,
    pointer_of,
    renamed,
    signature_of,
    widened_table,
)

blas = _core.blas


@pytest.fixture
def restored() -> Iterator[None]:
    yield
    blas.load()


# ---- contracts -----------------------------------------------------------------------------------


def test_a_leading_dimension_too_large_for_the_library(
    restored: None,
) -> None:
    far = np.lib.stride_tricks.as_strided(np.zeros(1), (1, 2), (8, 8 * 2**31))
    small = np.zeros((1, 1), order="F")
    if blas.info()["int_bits"] != 64:
        with pytest.raises(ValueError, match=r"dgemm: the size 2147483648 does not fit"):
            blas.gemm("N", "N", 1, far, np.zeros((2, 1), order="F"), 0, small)
    blas.load_from(**widened_table())
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
