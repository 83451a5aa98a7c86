"""The thread pool as Python sees it: fork, threads, Ctrl-C; the rest is in cpp/tests.

Scripts run in a process of their own, whose time limit is the watchdog: a hang fails the test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kexue_num import _core

busy_region = _core.testing.busy_region

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork() on this platform")


@pytest.fixture
def four_workers() -> Iterator[None]:
    before = _core.get_workers()
    _core.set_workers(4)
    yield
    _core.set_workers(before)


def run_script(script: str) -> None:
    """Runs a script that may fork: later Pythons warn of forks in programs with threads."""
    finished = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("n_chunks", [0, 1, 2, 97])
def test_values_do_not_depend_on_the_number_of_workers(n_chunks: int, workers: int) -> None:
    values, slots = busy_region(n_chunks, 0.0, workers)
    assert np.array_equal(values, np.arange(n_chunks) ** 2)
    assert np.all((slots >= 0) & (slots < workers))


def test_the_setting_limits_the_slots(four_workers: None) -> None:
    _, slots = busy_region(400, 1e-4)
    assert 0 < slots.max() < 4


def test_regions_of_python_threads_at_once(four_workers: None) -> None:
    def work(seed: int) -> bool:
        n_chunks = 50 + seed % 7
        return all(
            np.array_equal(busy_region(n_chunks, 1e-6)[0], np.arange(n_chunks) ** 2)
            for _ in range(50)
        )

    with ThreadPoolExecutor(6) as executor:
        assert all(executor.map(work, range(12)))


def test_workers_are_validated() -> None:
    for workers in (0, -1, 1025):
        with pytest.raises(ValueError, match="number of workers must lie in"):
            _core.set_workers(workers)


@needs_fork
def test_a_forked_child_computes() -> None:
    run_script(
        """
        import os
        import numpy as np
        from kexue_num import _core

        def works():
            values, slots = _core.testing.busy_region(400, 1e-4, 4)
            return np.array_equal(values, np.arange(400) ** 2) and slots.max() > 0

        assert works()
        for _ in range(5):
            pid = os.fork()
            if pid == 0:
                os._exit(0 if works() else 1)
            assert os.waitpid(pid, 0)[1] == 0
        assert works()
        """
    )


@needs_fork
def test_a_child_forked_while_another_thread_computes() -> None:
    run_script(
        """
        import os
        import threading
        import numpy as np
        from kexue_num import _core

        def works():
            values, _ = _core.testing.busy_region(200, 1e-5, 4)
            return np.array_equal(values, np.arange(200) ** 2)

        stop = threading.Event()

        def churn():
            while not stop.is_set():
                assert works()

        other = threading.Thread(target=churn)
        other.start()
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                os._exit(0 if works() and works() else 1)
            assert os.waitpid(pid, 0)[1] == 0
        stop.set()
        other.join()
        """
    )


@needs_fork
def test_multiprocessing_with_fork() -> None:
    run_script(
        """
        import multiprocessing
        import numpy as np
        from kexue_num import _core

        def work(seed):
            values, _ = _core.testing.busy_region(100 + seed, 1e-5, 4)
            return bool(np.array_equal(values, np.arange(100 + seed) ** 2))

        assert work(0)
        with multiprocessing.get_context("fork").Pool(3) as pool:
            assert pool.map(work, range(12), chunksize=1) == [True] * 12
        assert work(0)
        """
    )


@needs_fork
def test_a_signal_handler_that_forks_inside_a_region() -> None:
    run_script(
        """
        import os
        import signal
        import numpy as np
        from kexue_num import _core

        children = []
        parent = os.getpid()

        def handler(signum, frame):
            if os.getpid() == parent and not children:
                children.append(os.fork())

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            values, _ = _core.testing.busy_region(500, 1e-3, 2)
        except RuntimeError as error:
            assert os.getpid() != parent and "forked inside a parallel region" in str(error)
            values, _ = _core.testing.busy_region(400, 1e-5, 2)
            assert np.array_equal(values, np.arange(400) ** 2)
            os._exit(0)
        if os.getpid() != parent:
            os._exit(1)
        assert np.array_equal(values, np.arange(500) ** 2)
        assert children and os.waitpid(children[0], 0)[1] == 0
        """
    )


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill does not raise SIGINT on Windows")
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_keyboard_interrupt_ends_a_long_region(workers: int) -> None:
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        busy_region(120_000, 1e-3 * workers, workers)  # two minutes
    assert time.monotonic() - start < 20
    timer.join()
    values, _ = busy_region(97, 0.0, workers)
    assert np.array_equal(values, np.arange(97) ** 2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="places are Linux's")
def test_workers_leave_the_core_of_the_caller_and_keep_the_places_that_others_gave() -> None:
    run_script("""
        import os
        from kexue_num import _core

        def region():
            _core.testing.busy_region(50, 1e-5, 2)

        cores = os.sched_getaffinity(0)
        before = set(os.listdir("/proc/self/task"))
        region()
        workers = [int(task) for task in set(os.listdir("/proc/self/task")) - before]
        for _ in range(20):
            region()
            for worker in workers:
                assert len(cores) - 1 <= len(os.sched_getaffinity(worker) & cores)
        for task in os.listdir("/proc/self/task"):  # as a tool from outside does
            os.sched_setaffinity(int(task), {min(cores)})
        for _ in range(5):
            region()
            assert all(os.sched_getaffinity(worker) == {min(cores)} for worker in workers)
    """)


def test_exit_while_workers_are_parked_or_spinning() -> None:
    for pause in (0.0, 0.05):
        run_script(
            f"""
            import time
            from kexue_num import _core
            _core.testing.busy_region(100, 1e-5, 8)
            time.sleep({pause})
            """
        )
