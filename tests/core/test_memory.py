"""Blocks of memory that are kept when their arrays go, and handed out again."""

import os
import threading

import numpy as np
import pytest

import kexue_num
from kexue_num import _core, simplex

MOST = 128 << 20


@pytest.fixture(autouse=True)
def nothing_kept():
    _core.drop_memory()
    yield
    _core.drop_memory()


@pytest.fixture
def keeps_memory():
    """Builds with sanitizers keep nothing, so that every block is seen freed."""
    _core.empty((1 << 20,), np.dtype(np.uint8))
    if _core.kept_memory() == 0:
        pytest.skip("this build keeps no memory")
    _core.drop_memory()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128, np.uint8])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (7,), (300, 400), (1, 1)])
def test_empty_arrays_are_ordinary(shape, dtype):
    array = _core.empty(shape, np.dtype(dtype))
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable
    array[...] = 1
    assert array.sum() == array.size
    if array.nbytes >= 64:
        assert array.ctypes.data % 64 == 0


def test_lengths_that_cannot_be():
    with pytest.raises(MemoryError):
        _core.empty((2**40, 2**40), np.dtype(np.float64))
    with pytest.raises(ValueError, match="negative"):
        _core.empty((-1,), np.dtype(np.float64))


@pytest.mark.usefixtures("keeps_memory")
def test_freed_memory_is_used_again():
    first = _core.empty((1000, 1000), np.dtype(np.float64))
    place = first.ctypes.data
    assert _core.kept_memory() == 0
    del first
    assert 8_000_000 <= _core.kept_memory() <= 9_000_000
    second = _core.empty((1000, 999), np.dtype(np.float64))  # the same size but for an eighth
    assert second.ctypes.data == place
    third = _core.empty((1000, 1000), np.dtype(np.float64))
    assert third.ctypes.data != place
    assert _core.kept_memory() == 0


@pytest.mark.usefixtures("keeps_memory")
def test_what_is_kept_is_bounded():
    arrays = [_core.empty((size << 20,), np.dtype(np.uint8)) for size in (60, 60, 30, 80, 129)]
    arrays += [_core.empty((70_000 + 9000 * k,), np.dtype(np.uint8)) for k in range(100)]
    while arrays:
        arrays.pop()
        assert _core.kept_memory() <= MOST
    kept = _core.kept_memory()
    assert kexue_num.release_memory() == kept > 0
    assert kexue_num.release_memory() == 0


@pytest.mark.usefixtures("keeps_memory")
def test_results_that_are_alive_are_never_shared():
    x = np.random.default_rng(0).standard_normal((200, 500))
    kept = []

    def work():
        for _ in range(30):
            p = simplex.softmax(x, workers=1)
            kept.append((p, p.copy()))
            simplex.sparsemax(x, workers=1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 120
    for p, copy in kept:
        np.testing.assert_array_equal(p, copy)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_gets_and_frees_memory():
    x = np.random.default_rng(0).standard_normal((200, 500))
    expected = simplex.softmax(x)
    child = os.fork()
    if child == 0:
        ok = all(np.array_equal(simplex.softmax(x), expected) for _ in range(5))
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
