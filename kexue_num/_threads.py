"""The number of threads: from the environment, from the machine, and set by the caller."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import NamedTuple, Self

from kexue_num import _core
from kexue_num._validation import MAX_WORKERS, check_integer


class Default(NamedTuple):
    """The number of threads at import, where it comes from, and the settings not understood."""

    workers: int
    source: str
    ignored: tuple[str, ...]


class Setting:
    """One level of the setting: the library's own, or that of a `worker_limit` in force."""

    def __init__(self, workers: int) -> None:
        self.workers = workers


def default_workers(environ: Mapping[str, str] = os.environ, root: str = "/") -> Default:
    """KEXUE_NUM_THREADS, else OMP_NUM_THREADS, else the processors this process may use."""
    ignored: list[str] = []
    for name in ("KEXUE_NUM_THREADS", "OMP_NUM_THREADS"):
        text = environ.get(name, "").strip()
        first = text.partition(",")[0].strip()  # OpenMP lists one number per nesting level
        if first.isdecimal() and 1 <= int(first) <= MAX_WORKERS:
            return Default(int(first), name, tuple(ignored))
        if text:
            ignored.append(f"{name}={text}")
    processors = min(_usable_processors(), MAX_WORKERS)
    quota = cgroup_processors(root)
    if quota is not None and quota < processors:
        return Default(quota, "cgroup quota", tuple(ignored))
    return Default(processors, "processor affinity", tuple(ignored))


def _usable_processors() -> int:
    if hasattr(os, "process_cpu_count"):  # Python >= 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_processors(root: str = "/") -> int | None:
    """The CPU quota of this process's control group, rounded up; None without one.

    Version 2 states `quota period` in `cpu.max`, version 1 in two files of the `cpu` controller.
    Quotas of all ancestors bind. Inside a container the group's own path may not be mounted; then
    the walk up ends at the mount point, which is the container's group.
    """
    quotas = []
    for line in _read(root, "proc/self/cgroup").splitlines():
        fields = line.split(":", 2)
        if len(fields) != 3:
            continue
        _, controllers, path = fields
        if controllers == "":
            mount = "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            mount = "sys/fs/cgroup/cpu"
        else:
            continue
        names = [name for name in path.split("/") if name not in ("", "..")]
        for depth in range(len(names), -1, -1):
            quotas.append(_quota(root, "/".join([mount, *names[:depth]]), not controllers))
    finite = [quota for quota in quotas if quota is not None]
    return max(1, math.ceil(min(finite))) if finite else None


def _quota(root: str, group: str, is_v2: bool) -> float | None:
    if is_v2:
        fields = _read(root, f"{group}/cpu.max").split()
    else:
        files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        fields = [_read(root, f"{group}/{name}").strip() for name in files]
    if len(fields) != 2 or not all(field.isdecimal() for field in fields):  # "max", -1, no file
        return None
    quota, period = (int(field) for field in fields)
    return quota / period if quota > 0 and period > 0 else None


def _read(root: str, path: str) -> str:
    try:
        with open(os.path.join(root, path), encoding="ascii") as file:
            return file.read()
    except (OSError, ValueError):
        return ""


DEFAULT = default_workers()
_core.set_workers(DEFAULT.workers)

# The last level is in force. A limit removes its own level and no other, so limits of several
# threads may end in any order and the library's own setting survives.
_settings = [Setting(DEFAULT.workers)]
_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextlib.contextmanager
def _changed_settings() -> Iterator[list[Setting]]:
    with _lock:
        yield _settings
        _core.set_workers(_settings[-1].workers)


def get_workers() -> int:
    """The number of threads used by calls whose `workers` is None.

    Returns
    -------
    int
        At import: `KEXUE_NUM_THREADS`, else the first number of `OMP_NUM_THREADS`, else the number
        of processors this process may use (affinity and control-group quota).

    Examples
    --------
    >>> import kexue_num
    >>> with kexue_num.worker_limit(1):
    ...     kexue_num.get_workers()
    1
    """
    return _core.get_workers()


def set_workers(n: int) -> None:
    """Set the number of threads used by calls whose `workers` is None.

    The setting is the process's, not the calling thread's. Inside a `worker_limit` it lasts until
    that block ends. Results do not depend on it.

    Parameters
    ----------
    n : int
        From 1 to 1024. It may exceed the number of processors.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer or out of range; the setting is then unchanged.
    """
    workers = check_integer("set_workers", "n", n, minimum=1, maximum=MAX_WORKERS)
    with _changed_settings() as settings:
        settings[-1].workers = workers


class worker_limit(contextlib.ContextDecorator):  # noqa: N801 (used like a function)
    """Use `n` threads inside a ``with`` block or a decorated function.

    Blocks nest, the innermost counts, and one object may be entered again while it is in force.
    The setting is the process's: other threads see it as well, and when limits of several threads
    overlap the one entered last counts.

    Parameters
    ----------
    n : int
        From 1 to 1024.

    Examples
    --------
    >>> import kexue_num
    >>> with kexue_num.worker_limit(2):
    ...     with kexue_num.worker_limit(1):
    ...         inner = kexue_num.get_workers()
    ...     print(inner, kexue_num.get_workers())
    1 2
    """

    def __init__(self, n: int) -> None:
        self._n = check_integer("worker_limit", "n", n, minimum=1, maximum=MAX_WORKERS)
        self._entered: list[Setting] = []

    def __enter__(self) -> Self:
        with _changed_settings() as settings:
            self._entered.append(Setting(self._n))
            settings.append(self._entered[-1])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _changed_settings() as settings:
            settings.remove(self._entered.pop())
