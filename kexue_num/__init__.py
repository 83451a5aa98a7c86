"""Numerical algorithms of the blog kexue.fm, with certified answers.

Areas load when they are first used:

- `kexue_num.density`: densities as squares of Fourier sums, at their certified optimum;
- `kexue_num.lowrank`: interpolative decompositions with certified errors;
- `kexue_num.interpolative`: the same behind the interface of `scipy.linalg.interpolative`;
- `kexue_num.lattice`: paths through lattices and trellises: the best, exact samples, marginals;
- `kexue_num.simplex`: maps onto the probability simplex, their gradients and losses;
- `kexue_num.transport`: optimal transport with brackets on the exact cost.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

try:
    importlib.import_module("kexue_num._core")
except ModuleNotFoundError as error:
    if error.name != "kexue_num._core":
        raise
    raise ImportError(
        "kexue_num has no compiled core: you are importing the source tree; "
        "run `pip install -e .` in it, or start Python in another directory"
    ) from error

from kexue_num import _threadpoolctl
from kexue_num._config import release_memory, show_config
from kexue_num._errors import ConvergenceWarning, NumericalError
from kexue_num._threads import get_workers, set_workers, worker_limit

if TYPE_CHECKING:
    from kexue_num import density as density
    from kexue_num import interpolative as interpolative
    from kexue_num import lattice as lattice
    from kexue_num import lowrank as lowrank
    from kexue_num import simplex as simplex
    from kexue_num import transport as transport
    from kexue_num._limits import MachineLimits as MachineLimits
    from kexue_num._limits import machine_limits as machine_limits

_AREAS = ("density", "interpolative", "lattice", "lowrank", "simplex", "transport")
_LAZY = {"MachineLimits": "_limits", "machine_limits": "_limits"}

__all__ = [
    "ConvergenceWarning",
    "MachineLimits",
    "NumericalError",
    "__version__",
    "density",
    "get_workers",
    "interpolative",
    "lattice",
    "lowrank",
    "machine_limits",
    "release_memory",
    "set_workers",
    "show_config",
    "simplex",
    "transport",
    "worker_limit",
]

_threadpoolctl.install()


def __getattr__(name: str) -> object:
    if name in _AREAS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_AREAS, *_LAZY})
