"""Makes the thread pool visible to threadpoolctl, without importing threadpoolctl.

Importing it costs milliseconds and changes the environment (KMP_DUPLICATE_LIB_OK), which a user
who never asked for it should not pay. So the controller is registered at once if threadpoolctl is
loaded already, and otherwise right after someone imports it.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from kexue_num import _threads

if TYPE_CHECKING:  # importlib.abc would double the time of `import kexue_num`
    from collections.abc import Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_NAME = "threadpoolctl"


def register(threadpoolctl: ModuleType) -> None:
    """Teach threadpoolctl the thread pool of kexue_num."""

    class KexueController(threadpoolctl.LibController):  # type: ignore[name-defined,misc]
        user_api = "kexue_num"
        internal_api = "kexue_num"
        # Many packages have a `_core`; the exported symbol tells ours from theirs.
        filename_prefixes = ("_core.",)
        check_symbols = ("kexue_num_get_workers",)

        def get_num_threads(self) -> int:
            return _threads.get_workers()

        def set_num_threads(self, num_threads: int) -> None:
            _threads.set_workers(num_threads)

        def get_version(self) -> str:
            return str(sys.modules["kexue_num"].__version__)

    threadpoolctl.register(KexueController)


class _Loader:
    """The loader found for threadpoolctl, followed by the registration."""

    def __init__(self, inner: Loader) -> None:
        self._inner = inner

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._inner
        module.__loader__ = self._inner
        self._inner.exec_module(module)
        register(module)
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(_finder)


class _Finder:
    """Asks the other finders and wraps the loader they answer with."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _NAME:
            return None
        for finder in sys.meta_path:
            if finder is not self:
                spec = finder.find_spec(fullname, path, target)
                if spec is not None and spec.loader is not None:
                    spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
                    return spec
        return None


_finder = _Finder()


def install() -> None:
    """Register now if threadpoolctl is loaded, else when it is."""
    loaded = sys.modules.get(_NAME)
    if loaded is not None:
        register(loaded)
    else:
        sys.meta_path.insert(0, _finder)
