"""What this installation is and uses: `show_config`, `release_memory`."""

from __future__ import annotations

import os
import sys
from typing import Any, Literal, overload

import numpy as np

from kexue_num import _core, _threads
from kexue_num._validation import check_choice


def release_memory() -> int:
    """Give back to the system the memory kept for later arrays.

    Fresh memory costs more than most kernels take to fill it, so blocks of 64 KiB and more are kept
    when their arrays go, 128 MiB in all, and used again.

    Returns
    -------
    int
        Bytes that were kept.

    Examples
    --------
    >>> import kexue_num
    >>> freed = kexue_num.release_memory()
    >>> kexue_num.release_memory()
    0
    """
    kept = _core.kept_memory()
    _core.drop_memory()
    return kept


@overload
def show_config(mode: Literal["stdout"] = "stdout") -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, dict[str, Any]]: ...
def show_config(mode: str = "stdout") -> dict[str, dict[str, Any]] | None:
    """Show the version, the build, the instruction sets, the threads and the BLAS in use.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, default "stdout"
        Print a report (add it to bug reports), or return it as nested dictionaries.

    Returns
    -------
    dict or None
        The report for "dicts", None for "stdout".

    Examples
    --------
    >>> import kexue_num
    >>> kexue_num.show_config("dicts")["instruction sets"]["available"][0]
    'baseline'
    """
    # A report is rare; what only it needs would be a third of the time of `import kexue_num`.
    import platform
    import sysconfig
    from importlib import metadata

    check_choice("show_config", "mode", mode, ("stdout", "dicts"))
    report = {
        "kexue_num": {
            "version": sys.modules["kexue_num"].__version__,
            "path": os.path.dirname(__file__),
            "compiler": _core.compiler,
            "build type": _core.build_type,
        },
        "instruction sets": _instruction_sets(),
        "threads": _thread_facts(),
        "blas": _blas_facts(),
        "python": {
            "version": platform.python_version(),
            "free-threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
            "platform": platform.platform(),
            "numpy": np.__version__,
            "scipy": metadata.version("scipy"),
        },
    }
    if mode == "dicts":
        return report
    for title, facts in report.items():
        print(f"{title}:")
        for name, fact in facts.items():
            print(f"  {name}: {', '.join(fact) if isinstance(fact, list) else fact}")
    return None


def _instruction_sets() -> dict[str, Any]:
    available = _core.available_isas()
    facts: dict[str, Any] = {"available": available, "in use": _core.active_isa()}
    requested = os.environ.get("KEXUE_ISA")
    if requested is not None:
        honoured = requested in available
        facts["KEXUE_ISA"] = requested if honoured else f"{requested} (ignored: not available)"
    return facts


def _thread_facts() -> dict[str, Any]:
    default = _threads.DEFAULT
    facts: dict[str, Any] = {
        "workers": _threads.get_workers(),
        "workers at import": f"{default.workers} ({default.source})",
    }
    if default.ignored:
        facts["ignored"] = [f"{setting} (not in 1..1024)" for setting in default.ignored]
    return facts


def _blas_facts() -> dict[str, Any]:
    facts = _core.blas.info()
    if not facts["loaded"]:
        return {"library": "not loaded yet"}
    return {"library": facts["path"] or "unknown", "integers": f"{facts['int_bits']} bits"}
