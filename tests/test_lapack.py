"""LAPACK on a thread of its own says what it says on this one."""

import threading

import numpy as np
import pytest

from kexue_num import _lapack

CALLS = {
    "eigh": np.linalg.eigh,
    "eigvalsh": np.linalg.eigvalsh,
    "svd": lambda a: np.linalg.svd(a, full_matrices=False),
    "singular_values": lambda a: np.linalg.svd(a, compute_uv=False),
    "qr": np.linalg.qr,
    "triangle": lambda a: np.linalg.qr(a, mode="r"),
    "cholesky": np.linalg.cholesky,
    "inv": np.linalg.inv,
}


@pytest.fixture(params=[False, True])
def threads(request, monkeypatch):
    """The threads that were started; none where calls are short."""
    started = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda t: (started.append(t), start(t))[1])
    if request.param:
        monkeypatch.setattr(_lapack, "_LONG", 0)
        monkeypatch.setattr(_lapack, "_LONG_ITERATION", 0)
    yield started
    assert bool(started) == request.param


def _definite(shape, dtype=np.float64):
    a = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    return a @ a.swapaxes(-1, -2) + np.eye(shape[-1], dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@pytest.mark.parametrize("name", CALLS)
def test_equals_numpy(threads, name, dtype):
    for shape in [(5, 5), (3, 4, 4)]:
        a = _definite(shape, dtype)
        ours, expected = getattr(_lapack, name)(a), CALLS[name](a)
        for x, y in zip(tuple(ours), tuple(expected), strict=True):
            np.testing.assert_array_equal(x, y)


def test_solve(threads):
    a, b = _definite((6, 6)), np.arange(12.0).reshape(6, 2)
    np.testing.assert_array_equal(_lapack.solve(a, b), np.linalg.solve(a, b))


def test_errors_are_raised_where_the_call_was_made(threads):
    with pytest.raises(np.linalg.LinAlgError):
        _lapack.cholesky(-np.eye(3))


def test_floating_point_settings_are_those_of_the_caller(threads):
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        _lapack._call(lambda a: a * a, np.full((2, 2), 1e200), _lapack._LONG)


def test_another_thread_calls_directly(monkeypatch):
    monkeypatch.setattr(_lapack, "_LONG", 0)
    names = []

    def look(a):
        names.append(threading.current_thread())
        return a

    caller = threading.Thread(target=_lapack._call, args=(look, np.eye(2), 0))
    caller.start()
    caller.join()
    assert names == [caller]
