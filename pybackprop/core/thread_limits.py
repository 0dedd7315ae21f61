"""threadpoolctl limits the threads of all libraries in a process; it is told of ours, before or after its import.

Our threads are listed with its user_api "openmp", since they obey OMP_NUM_THREADS as that kind does; so
`threadpool_limits(1)` and `threadpool_limits(1, user_api="openmp")` hold for them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pybackprop.core.native import lib, text
from pybackprop.core.version import __version__

if TYPE_CHECKING:  # at run time these would load ten modules, and both classes need nothing of their bases
    from importlib.abc import Loader, MetaPathFinder
else:
    Loader = MetaPathFinder = object

__all__ = ["watch"]

NAME = "threadpoolctl"


def register(threadpoolctl: Any) -> None:
    """Registers our library. Versions before 3.2, which know no other libraries than their own, are left alone."""
    if not hasattr(threadpoolctl, "register") or not text(lib.bp_pool()):
        return

    class Controller(threadpoolctl.LibController):  # type: ignore[misc]
        user_api = "openmp"
        internal_api = "pybackprop"
        filename_prefixes = ("_core.",)
        check_symbols = ("bp_lend_threads", "bp_threads")

        def get_num_threads(self) -> int:
            return int(self.dynlib.bp_threads())

        def set_num_threads(self, num_threads: int) -> None:
            self.dynlib.bp_lend_threads(num_threads)

        def get_version(self) -> str:
            return __version__

    threadpoolctl.register(Controller)


class _Registering(Loader):
    """Loads a module as its own loader does, and then registers our library."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        register(module)


class _Finder(MetaPathFinder):
    """Waits for the import of threadpoolctl, and is gone once it has been found."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != NAME:
            return None
        for finder in [each for each in sys.meta_path if each is not self and hasattr(each, "find_spec")]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                sys.meta_path.remove(self)
                spec.loader = _Registering(spec.loader)
                return spec
        return None


def watch() -> None:
    """Registers our library with threadpoolctl, now or when it is imported."""
    if NAME in sys.modules:
        register(sys.modules[NAME])
    else:
        sys.meta_path.insert(0, _Finder())
