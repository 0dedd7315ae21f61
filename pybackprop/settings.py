"""Threads and kernels: they change speed, never bits."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop._native import lib, text

__all__ = ["info", "kernels", "set_threads", "threads", "use_kernel"]

MOST_THREADS = 1024


def threads() -> int:
    """How many threads a large operation may use (1 in a serial build, and in a forked child)."""
    return int(lib.bp_threads())


def set_threads(count: int | None) -> None:
    """Sets how many threads a large operation may use; None: as many as OpenMP would take.

    More than there are cores is allowed and slow. Raises ValueError outside 1 .. 1024.
    """
    if count is None:
        lib.bp_set_threads(0)
        return
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or not 1 <= count <= MOST_THREADS:
        raise ValueError(f"set_threads: found {count!r}, expected a whole number from 1 to {MOST_THREADS}")
    lib.bp_set_threads(int(count))


def kernels() -> list[str]:
    """The kernels that this CPU can run, the plain C one first, the fastest last."""
    every = range(lib.bp_kernel_count())
    return [text(lib.bp_kernel_name(k)) for k in every if lib.bp_kernel_available(k)]


def kernel() -> str:
    """The kernel in use."""
    return text(lib.bp_kernel_name(lib.bp_active_kernel()))


def use_kernel(name: str | None) -> None:
    """Forces a kernel; None: the fastest. Raises ValueError, listing those possible, for any other."""
    possible = kernels()
    name = possible[-1] if name is None else name
    if name not in possible:
        raise ValueError(f"use_kernel: {name!r} is not among the kernels this CPU can run: {', '.join(possible)}")
    every = range(lib.bp_kernel_count())
    lib.bp_use_kernel(next(k for k in every if text(lib.bp_kernel_name(k)) == name))


def cpu() -> str:
    """The processor's name as the operating system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def info() -> dict[str, Any]:
    """Versions, CPU, kernels, threads, OpenMP and compiler: what a report of a problem should hold."""
    openmp = int(lib.bp_openmp())
    return {
        "version": metadata.version("pybackprop"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "kernels": kernels(),
        "kernel": kernel(),
        "threads": threads(),
        "openmp": f"{openmp // 100}-{openmp % 100:02d}" if openmp else None,
        "compiler": text(lib.bp_compiler()),
        "numpy": np.__version__,
        "cffi": metadata.version("cffi"),
    }


def _from_environment() -> None:
    wanted = os.environ.get("PYBACKPROP_THREADS", "")
    if wanted:
        if not wanted.isascii() or not wanted.isdigit():
            raise ValueError(f"PYBACKPROP_THREADS: found {wanted!r}, expected a whole number")
        set_threads(int(wanted))
    if os.environ.get("PYBACKPROP_KERNEL"):
        use_kernel(os.environ["PYBACKPROP_KERNEL"])


_from_environment()
