"""The number of threads: where it comes from, who may change it, and who sees it."""

import ctypes
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.random._bounded_integers as other_extension
import pytest
import threadpoolctl

import kexue_num
from kexue_num import _core, _threads, lowrank
from tests.interpreter import run


@pytest.fixture(autouse=True)
def four_workers():
    before = kexue_num.get_workers()
    kexue_num.set_workers(4)
    yield
    assert kexue_num.get_workers() == 4, "a test left its own setting behind"
    assert len(_threads._settings) == 1
    kexue_num.set_workers(before)


ENVIRONMENTS = [
    ({"KEXUE_NUM_THREADS": "3"}, 3, "KEXUE_NUM_THREADS", ()),
    ({"KEXUE_NUM_THREADS": " 1024 "}, 1024, "KEXUE_NUM_THREADS", ()),
    ({"KEXUE_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3, "KEXUE_NUM_THREADS", ()),
    ({"OMP_NUM_THREADS": "5"}, 5, "OMP_NUM_THREADS", ()),
    ({"OMP_NUM_THREADS": "5,2,1"}, 5, "OMP_NUM_THREADS", ()),
    ({"KEXUE_NUM_THREADS": "", "OMP_NUM_THREADS": "5"}, 5, "OMP_NUM_THREADS", ()),
    (
        {"KEXUE_NUM_THREADS": "many", "OMP_NUM_THREADS": "5"},
        5,
        "OMP_NUM_THREADS",
        ("KEXUE_NUM_THREADS=many",),
    ),
    *[
        ({"KEXUE_NUM_THREADS": bad}, None, "processor affinity", (f"KEXUE_NUM_THREADS={bad}",))
        for bad in ("0", "-2", "1025", "2.5", "1e3", "0x2", "²", "auto")
    ],
    ({}, None, "processor affinity", ()),
]


@pytest.mark.parametrize(("environ", "workers", "source", "ignored"), ENVIRONMENTS)
def test_default_from_the_environment(tmp_path, environ, workers, source, ignored):
    expected = _threads._usable_processors() if workers is None else workers
    assert _threads.default_workers(environ, str(tmp_path)) == (expected, source, ignored)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_default_follows_affinity():
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "import kexue_num; print(kexue_num.get_workers())"
    )
    assert run(script, KEXUE_NUM_THREADS="", OMP_NUM_THREADS="") == "1\n"


V1 = {"cpu.cfs_period_us": "100000\n"}
CGROUPS = [
    ("0::/", {"": {"cpu.max": "150000 100000\n"}}, 2),
    ("0::/", {"": {"cpu.max": "max 100000\n"}}, None),
    ("0::/", {"": {"cpu.max": "1000 100000\n"}}, 1),
    ("0::/", {}, None),
    ("0::/a/b", {"a": {"cpu.max": "300000 100000"}, "a/b": {"cpu.max": "max 100000"}}, 3),
    ("0::/a/b", {"a": {"cpu.max": "100000 100000"}, "a/b": {"cpu.max": "900000 100000"}}, 1),
    ("0::/../elsewhere", {"": {"cpu.max": "200000 100000"}}, 2),
    ("4:cpu,cpuacct:/x", {"cpu/x": {**V1, "cpu.cfs_quota_us": "250000\n"}}, 3),
    ("4:cpu,cpuacct:/x", {"cpu": {**V1, "cpu.cfs_quota_us": "100000\n"}}, 1),
    ("4:cpu,cpuacct:/x", {"cpu/x": {**V1, "cpu.cfs_quota_us": "-1\n"}}, None),
    ("3:cpuset:/x\n1:name=systemd:/y", {"cpu/x": {**V1, "cpu.cfs_quota_us": "1"}}, None),
    ("0::/", {"": {"cpu.max": "garbage"}}, None),
    ("0::/", {"": {"cpu.max": "100 0"}}, None),
    ("", {"": {"cpu.max": "100000 100000"}}, None),
]


@pytest.mark.parametrize(("groups", "files", "expected"), CGROUPS)
def test_control_group_quota(tmp_path, groups, files, expected):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups + "\n")
    for folder, contents in files.items():
        path = tmp_path / "sys/fs/cgroup" / folder
        path.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            (path / name).write_text(text)
    assert _threads.cgroup_processors(str(tmp_path)) == expected
    default = _threads.default_workers({}, str(tmp_path))
    processors = _threads._usable_processors()
    if expected is not None and expected < processors:
        assert default == (expected, "cgroup quota", ())
    else:
        assert default == (processors, "processor affinity", ())


def test_setting():
    kexue_num.set_workers(3)
    assert kexue_num.get_workers() == _core.get_workers() == 3
    kexue_num.set_workers(4)


def test_limits_nest():
    with kexue_num.worker_limit(2):
        assert kexue_num.get_workers() == 2
        with kexue_num.worker_limit(7):
            assert kexue_num.get_workers() == 7
        assert kexue_num.get_workers() == 2


def test_one_limit_may_be_entered_twice():
    limit = kexue_num.worker_limit(2)
    with limit as entered:
        assert entered is limit
        kexue_num.set_workers(3)
        with limit:
            assert kexue_num.get_workers() == 2
        assert kexue_num.get_workers() == 3
    with limit:
        assert kexue_num.get_workers() == 2


def test_limit_ends_with_an_exception():
    with pytest.raises(KeyError), kexue_num.worker_limit(2):
        raise KeyError
    assert kexue_num.get_workers() == 4


def test_limit_decorates():
    @kexue_num.worker_limit(2)
    def inside(depth):
        return kexue_num.get_workers() if depth == 0 else inside(depth - 1)

    assert inside(0) == inside(3) == 2


def test_setting_inside_a_limit_ends_with_it():
    with kexue_num.worker_limit(2):
        kexue_num.set_workers(6)
        assert kexue_num.get_workers() == 6
    assert kexue_num.get_workers() == 4


def test_limits_may_end_in_any_order():
    first, second = kexue_num.worker_limit(1), kexue_num.worker_limit(2)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert kexue_num.get_workers() == 2
    second.__exit__(None, None, None)
    assert kexue_num.get_workers() == 4


@pytest.mark.parametrize("function", [kexue_num.set_workers, kexue_num.worker_limit])
def test_bad_numbers_change_nothing(function):
    name = function.__name__
    for bad in (0, -1, 1025):
        with pytest.raises(ValueError, match=f"^{name}: 'n' must lie in 1..1024, got {bad}$"):
            function(bad)
    for bad in (2.0, None, True, "2"):
        with pytest.raises(TypeError, match=f"^{name}: 'n' must be an integer, got {bad!r}$"):
            function(bad)
    assert kexue_num.get_workers() == 4


def test_many_threads_change_the_setting():
    barrier = threading.Barrier(8)
    failures = []

    def hammer(n):
        barrier.wait()
        try:
            for turn in range(200):
                with kexue_num.worker_limit(n):
                    assert 1 <= kexue_num.get_workers() <= 8
                    kexue_num.set_workers(n)
                    if turn % 50 == 0:
                        report = kexue_num.show_config("dicts")
                        assert 1 <= report["threads"]["workers"] <= 8
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=hammer, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert kexue_num.get_workers() == 4


def test_many_threads_compute_what_one_computes():
    rng = np.random.default_rng(3)
    matrices = [
        rng.standard_normal((120, 6 + k)) @ rng.standard_normal((6 + k, 90)) for k in (0, 9)
    ]

    def compute(seed):
        result = lowrank.interp_decomp(matrices[seed % 2], 6, rng=seed)
        return result.indices.tobytes(), result.coefficients.tobytes(), result.error_bound

    seeds = list(range(8)) * 4
    expected = [compute(seed) for seed in seeds]
    with ThreadPoolExecutor(8) as executor:
        assert list(executor.map(compute, seeds)) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_fork_while_another_thread_holds_the_lock():
    script = """
import os, signal, warnings
import kexue_num
from kexue_num import _threads
with _threads._lock:
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        kexue_num.set_workers(3)
        os._exit(kexue_num.get_workers())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(script) == "3\n"


def ours(info):
    return [library for library in info if library["user_api"] == "kexue_num"]


def test_threadpoolctl_sees_the_pool():
    [library] = ours(threadpoolctl.threadpool_info())
    assert library["num_threads"] == 4
    assert library["version"] == kexue_num.__version__
    assert os.path.samefile(library["filepath"], _core.__file__)


def test_threadpoolctl_limits_the_pool():
    with threadpoolctl.threadpool_limits(1):
        assert kexue_num.get_workers() == 1
        with kexue_num.worker_limit(2), threadpoolctl.threadpool_limits({"kexue_num": 3}):
            assert kexue_num.get_workers() == 3
        assert kexue_num.get_workers() == 1
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert kexue_num.get_workers() == 4


def test_threadpoolctl_is_not_fooled_by_another_core(tmp_path):
    path = tmp_path / ("_core." + os.path.basename(other_extension.__file__).partition(".")[2])
    shutil.copy(other_extension.__file__, path)
    library = ctypes.CDLL(str(path))
    assert not hasattr(library, "kexue_num_get_workers")
    assert len(ours(threadpoolctl.threadpool_info())) == 1


IMPORTS = {
    "threadpoolctl first": "import threadpoolctl, kexue_num",
    "kexue_num first": "import kexue_num; assert 'threadpoolctl' not in sys.modules;"
    "import threadpoolctl",
    "a look for it between": "import kexue_num; import importlib.util;"
    "assert importlib.util.find_spec('threadpoolctl') is not None;"
    "assert 'threadpoolctl' not in sys.modules; import threadpoolctl",
}


@pytest.mark.parametrize("imports", IMPORTS.values(), ids=IMPORTS.keys())
def test_threadpoolctl_in_any_order(imports):
    script = f"""
import sys
finders = list(sys.meta_path)
{imports}
with threadpoolctl.threadpool_limits(1):
    [library] = [x for x in threadpoolctl.threadpool_info() if x["user_api"] == "kexue_num"]
    assert library["num_threads"] == kexue_num.get_workers() == 1
assert kexue_num.get_workers() == 7
assert not any(type(finder).__module__.startswith("kexue_num") for finder in sys.meta_path)
assert type(threadpoolctl.__loader__).__module__ != "kexue_num._threadpoolctl"
assert threadpoolctl.__spec__.loader is threadpoolctl.__loader__
"""
    run(script, KEXUE_NUM_THREADS="7")


def test_without_threadpoolctl():
    script = """
import sys
import kexue_num
sys.path[:] = [p for p in sys.path if "site-packages" not in p and "dist-packages" not in p]
try:
    import threadpoolctl
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run(script) == "threadpoolctl\n"
