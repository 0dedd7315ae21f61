"""All that is measured of a machine, in one report."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from typing import Any

from pybackprop.bench.processes import cores
from pybackprop.core import settings
from pybackprop.core.version import __version__
from pybackprop.lab.fitness import QUIET, Watch
from pybackprop.lab.machine import compute, memory, told

SCHEMA = 1  # of the report: another number makes files written before old
MOST_THREADS = 64
ROUNDS, FEW = 15, 5
AGAIN = 2  # further times that a group is measured if the machine was not quiet

OnStep = Callable[[str], Any]


def identity() -> dict[str, Any]:
    """What tells one machine from another, for a report that is kept."""
    return {
        "host": platform.node(),
        "cpu": settings.cpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": cores(),
        "kernels": settings.kernels(),
        "version": __version__,
    }


def thread_counts() -> list[int]:
    """One, and as many as there are processors."""
    return sorted({1, min(cores(), MOST_THREADS)})


def measure(rounds: int = ROUNDS, on_step: OnStep = lambda text: None) -> dict[str, Any]:
    """The report: peaks, frequency, bandwidth, latency, pages, overheads, and in which state the machine was.

    A group that was measured while the machine was not quiet is measured again, at most AGAIN times; the best of the
    looks around it, and how often it was repeated, stand in the report's `states`.
    """
    settings.set_threads(1)
    began, counts = time.time(), thread_counts()
    watch = Watch(counts[-1])
    groups = _Groups(watch, on_step)
    kernels = settings.kernels()
    peaks = groups.each(
        "peak",
        [(kernel, dtype, n) for kernel in kernels for dtype in compute.ELEMENT for n in counts],
        lambda kernel, dtype, n: compute.peak(kernel, dtype, n, rounds),
    )
    frequency = groups.once("frequency", lambda: _frequencies(kernels, peaks, rounds))
    sizes = memory.levels()
    bandwidth = groups.each(
        "bandwidth",
        [(level, size, n) for level, size in sizes.items() for n in counts],
        lambda level, size, n: memory.bandwidth(level, size, n, rounds if level != "memory" else min(rounds, 5)),
    )
    latency = groups.once("latency", lambda: memory.latency(min(rounds, 7)))
    pages = groups.once("pages", lambda: memory.pages(min(rounds, 7)))
    settings.set_threads(counts[-1])
    overheads = groups.once("overheads", lambda: compute.overheads(counts, rounds))
    return {
        "schema": SCHEMA,
        "machine": identity(),
        "taken": began,
        "seconds": time.time() - began,
        "peaks": peaks,
        "frequency": frequency,
        "bandwidth": [row for rows in bandwidth for row in rows],
        "latency": {"curve": latency, "plateaus": memory.plateaus(latency)},
        "pages": {"curve": pages, "reach": memory.reach(pages), "tlbs": told.tlbs(), "huge": told.huge_pages()},
        "caches": told.caches(),
        "virtual": told.is_virtual(),
        "overheads": overheads,
        "states": groups.states,
        "fitness": watch.report(),
    }


def reading(threads: int, rounds: int = FEW, on_step: OnStep = lambda text: None) -> dict[str, Any]:
    """What a roof needs beside a peak, in about a second: each level's bandwidth of reading, and the caches' sizes."""
    rows = []
    for level, size in memory.levels().items():
        on_step(f"bandwidth {level}")
        rows += memory.bandwidth(level, size, threads, rounds, ("read",))
    return {"bandwidth": rows, "caches": told.caches()}


def _frequencies(kernels: list[str], peaks: list[dict[str, Any]], rounds: int) -> list[dict[str, Any]]:
    found = [compute.frequency(None, rounds)]
    for kernel in kernels:
        best = next(p["most"] for p in peaks if (p["kernel"], p["dtype"], p["threads"]) == (kernel, "float32", 1))
        found.append(compute.frequency(kernel, rounds, best, found[0]["most"]))
    return found


class _Groups:
    """Measures with a look at the machine before and after, and again if it was not quiet."""

    def __init__(self, watch: Watch, on_step: OnStep) -> None:
        self.watch, self.on_step = watch, on_step
        self.states: list[dict[str, Any]] = []

    def once(self, name: str, work: Callable[[], Any]) -> Any:
        """What work returns, from a quiet time if there was one."""
        self.on_step(name)
        tries: list[tuple[str, Any]] = []
        while not tries or (tries[-1][0] != QUIET and len(tries) <= AGAIN):
            before, found = self.watch.look(), work()
            after = self.watch.look()
            tries.append((before if before != QUIET else after, found))
        state, found = tries[-1]
        self.states.append({"what": name, "state": state, "repeated": len(tries) - 1})
        return found

    def each(self, name: str, arguments: list[Any], work: Callable[..., Any]) -> list[Any]:
        """work's results for each of the arguments."""
        return [self.once(f"{name} {' '.join(map(str, some))}", lambda some=some: work(*some)) for some in arguments]  # type: ignore[misc]
