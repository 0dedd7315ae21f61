"""Threads and kernels: they change speed, never bits."""

from __future__ import annotations

import os
import platform
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop.core.checks import is_whole, whole
from pybackprop.core.native import lib, text
from pybackprop.core.version import __version__

__all__ = ["info", "kernels", "set_threads", "set_tiles", "threads", "tiles", "use_kernel"]

MOST_THREADS = 1024
CGROUP = Path("/sys/fs/cgroup/cpu.max")  # "QUOTA PERIOD" in microseconds, or "max PERIOD"


def threads() -> int:
    """How many threads a large operation may use, at most. It is 1 in a serial build."""
    return int(lib.bp_threads())


def set_threads(count: int | None) -> None:
    """Sets how many threads a large operation may use. Changes speed, never bits.

    None: OMP_NUM_THREADS or the number of processors this process may use, at most the container's CPUs. An operation
    uses fewer threads where more would not make it faster. Raises ValueError outside 1 .. 1024.
    """
    if count is None:
        lib.bp_set_threads(0)
        lib.bp_limit_threads(min(cpu_quota() or 0, MOST_THREADS))
        return
    lib.bp_set_threads(whole("set_threads", count, 1, MOST_THREADS))


_asking = threading.Lock()
_asked: list[int] = []  # by those who are inside of `using_threads` now
_unasked = 0  # how many there were before the first of them


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Computes with so many threads, and then with as many as before; None: with as many as otherwise.

    The number holds for the whole process. Where several Python threads ask at once, it is the least that any asks for.
    Raises ValueError outside 1 .. 1024.
    """
    global _unasked
    if count is None:
        yield
        return
    count = whole("threads", count, 1, MOST_THREADS)
    with _asking:
        if not _asked:
            _unasked = threads()
        _asked.append(count)
        set_threads(min(_asked))
    try:
        yield
    finally:
        with _asking:
            _asked.remove(count)
            set_threads(min(_asked, default=_unasked))


def thread_work() -> int:
    """The least elementary operations for each thread: smaller work is done by fewer threads."""
    return int(lib.bp_thread_work())


def set_thread_work(operations: int | None) -> None:
    """Sets it; None: as usual. Changes speed, never bits: tests use it to run small products on several threads.

    Raises ValueError outside 1 .. 2**31 - 1.
    """
    lib.bp_set_thread_work(0 if operations is None else whole("set_thread_work", operations, 1, 2**31 - 1))


def cpu_quota() -> int | None:
    """How many CPUs this container may use, rounded up; None if it is not limited."""
    try:
        quota, period = CGROUP.read_text().split()[:2]
        return max(1, -(-int(quota) // int(period)))
    except (OSError, ValueError, IndexError, ZeroDivisionError):
        return None


def kernels() -> list[str]:
    """The names of the kernels that this CPU can run, plain C first, the fastest last."""
    every = range(lib.bp_kernel_count())
    return [text(lib.bp_kernel_name(k)) for k in every if lib.bp_kernel_available(k)]


def kernel() -> str:
    """The kernel in use."""
    return text(lib.bp_kernel_name(lib.bp_active_kernel()))


def use_kernel(name: str | None) -> None:
    """Selects a kernel by name; None: the fastest. Changes speed, never bits.

    Raises ValueError, which lists `kernels()`, for any other name.
    """
    possible = kernels()
    name = possible[-1] if name is None else name
    if name not in possible:
        known = ", ".join(possible)
        raise ValueError(f"use_kernel: {name!r} is not among the kernels this CPU can run: {known}; None: the fastest")
    lib.bp_use_kernel(kernel_number(name))


def kernel_number(name: str) -> int:
    """Which of the C core's kernels has this name. Raises StopIteration for one that it does not have."""
    return next(k for k in range(lib.bp_kernel_count()) if text(lib.bp_kernel_name(k)) == name)


def tiles() -> tuple[int, int]:
    """(block, depth) of matrix products: the bytes of a packed block, and its length along the inner axis."""
    return int(lib.bp_tiles_block()), int(lib.bp_tiles_depth())


def set_tiles(block: int | None = None, depth: int | None = None) -> None:
    """Sets how matrix products are split into blocks; None: by the sizes of the caches. Changes speed, never bits.

    block: 4096 to 4194304 bytes; depth: 8 to 2048 numbers. Raises ValueError for other values.
    """
    for name, value in (("block", block), ("depth", depth)):
        if value is not None and not is_whole(value):
            raise ValueError(f"set_tiles: found {name}={value!r}, expected a whole number")
    if lib.bp_set_tiles(min(block or 0, 2**31), min(depth or 0, 2**31)):
        raise ValueError(f"set_tiles: found {block},{depth}, expected 4096 to 4194304 bytes and 8 to 2048 numbers")


def cpu() -> str:
    """The processor's name, from the operating system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def info() -> dict[str, Any]:
    """Versions, CPU, kernels, threads and compiler: what a bug report should contain.

    pool: what threads are made with; None in a serial build.
    """
    from importlib import metadata  # imported here, as loading it takes a quarter as long as this whole library

    return {
        "version": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "kernels": kernels(),
        "kernel": kernel(),
        "threads": threads(),
        "tiles": list(tiles()),
        "pool": text(lib.bp_pool()) or None,
        "compiler": text(lib.bp_compiler()),
        "numpy": np.__version__,
        "cffi": metadata.version("cffi"),
    }


def _threads_from(setting: str) -> None:
    if setting and not re.fullmatch(r"[0-9]+", setting):
        raise ValueError(f"found {setting!r}, expected a whole number")
    set_threads(int(setting) if setting else None)


def _insist_from(setting: str) -> None:
    if setting not in ("", "0", "1"):
        raise ValueError(f"found {setting!r}, expected 0 or 1")
    lib.bp_insist_on_helpers(setting == "1")


def _tiles_from(setting: str) -> None:
    if setting and not re.fullmatch(r"[0-9]+,[0-9]+", setting):
        raise ValueError(f"found {setting!r}, expected two numbers: block,depth")
    set_tiles(*map(int, setting.split(",") if setting else ()))


def _kernel_from(setting: str) -> None:
    use_kernel(setting or None)


def take_environment() -> None:
    """Sets what PYBACKPROP_THREADS, _INSIST, _TILES and _KERNEL say. Raises ValueError, which names the variable."""
    takers = {"THREADS": _threads_from, "INSIST": _insist_from, "TILES": _tiles_from, "KERNEL": _kernel_from}
    for name, take in takers.items():
        variable = f"PYBACKPROP_{name}"
        try:
            take(os.environ.get(variable, ""))
        except ValueError as error:
            raise ValueError(f"{variable}: {error}") from None


take_environment()
