"""Bandwidth of each level of memory, and how long one load takes as memory and pages grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pybackprop.core import available_memory, settings
from pybackprop.core.arrays import Array
from pybackprop.lab import clock, loops
from pybackprop.lab.machine import told
from pybackprop.lab.machine.compute import scaled
from pybackprop.lab.pinned import side_by_side

SAMPLE = 0.002  # seconds of a loop over memory, at least one round
CHASE = 0.001  # seconds of following pointers
MOST, LEAST = 256 * 1024**2, 64 * 1024**2  # bytes that stand for memory
PART = 4  # of the memory that is available
THIRD = 32 * 1024**2  # bytes of a third cache that several machines may share, at most
LOADS = {"read": loops.read, "write": loops.write, "copy": loops.copy}
LATENCY_SIZES = tuple(2**k for k in range(12, 29))
PAGE_COUNTS = tuple(2**k for k in range(3, 14))
PLATEAU = 1.25  # times: sizes whose loads take at most so much longer belong together
MORE = 1.0  # nanoseconds that a load takes longer where a translation is missed, at least


def levels() -> dict[str, int]:
    """The bytes, by level, over which bandwidth is measured: half of a cache, and more than all of them."""
    known = told.caches()
    first, second, third = (told.level_bytes(level, known) for level in (1, 2, 3))
    sizes = {"L1": first // 2, "L2": second // 2}
    has_third = not known or any(cache["level"] == 3 for cache in known)
    if has_third and third >= 2 * second:
        sizes["L3"] = max(2 * second, min(third // 4, THIRD))
    free = available_memory.available() or MOST * PART
    sizes["memory"] = min(max(4 * third, LEAST), MOST, max(free // PART, 4 * second))
    return sizes


def bandwidth(
    level: str, size: int, threads: int, rounds: int, kinds: Sequence[str] = tuple(LOADS)
) -> list[dict[str, Any]]:
    """GB/s of reading, writing and copying, or of some of these, by pinned threads with memory of their own: caches of
    each, L3 and memory in parts. A copy's bytes count twice: read, and written. With the fastest kernel."""
    settings.use_kernel(None)
    each = size if level in ("L1", "L2") else max(loops.STEP * 8, size // threads)
    arrays = side_by_side(threads, lambda _: loops.memory(each))  # by the threads that use it
    found = []
    for kind, loop in ((kind, LOADS[kind]) for kind in kinds):
        turns = _turns(loop, arrays[0])
        numbers = clock.rates(lambda: side_by_side(threads, lambda n: loop(arrays[n], turns)), rounds)  # noqa: B023
        found.append({"level": level, "kind": kind, "bytes": each * threads, **scaled(numbers, 1e9)})
    return found


def _turns(loop: Callable[[Array, int], loops.Sample], array: Array) -> int:
    return max(1, round(SAMPLE / min(loop(array, 1).seconds for _ in range(3))))


def latency(rounds: int, sizes: Sequence[int] = LATENCY_SIZES) -> list[dict[str, Any]]:
    """Nanoseconds of a load that waits for the last, from lines of so many bytes in random order, in large pages."""
    free = available_memory.available() or MOST * PART
    sizes = [size for size in sizes if size <= max(free // PART, sizes[0])]
    array = loops.memory(sizes[-1])
    return [{"bytes": size, **_chased(array, np.arange(0, size, loops.LINE), rounds)} for size in sizes]


def pages(rounds: int, counts: Sequence[int] = PAGE_COUNTS) -> list[dict[str, Any]]:
    """Nanoseconds of such a load, one line from each of so many small pages; dense: from as many lines in few pages.

    What the first takes longer is what finding the page costs.
    """
    small, large = loops.memory(counts[-1] * loops.PAGE, huge=False), loops.memory(counts[-1] * loops.LINE)
    found = []
    for count in counts:
        number = np.arange(count)
        lines = number * loops.PAGE + number % (loops.PAGE // loops.LINE) * loops.LINE  # of all sets of the first cache
        apart, dense = _chased(small, lines, rounds), _chased(large, number * loops.LINE, rounds)
        found.append({"pages": count, **apart, "dense": dense["median"]})
    return found


def _chased(array: Array, offsets: np.ndarray[Any, Any], rounds: int) -> dict[str, Any]:
    ring, steps = loops.Ring(array, offsets), max(2000, min(len(offsets), 100_000))

    def chase(_: int) -> loops.Sample:
        return ring.chase(steps)

    side_by_side(1, chase)
    steps = max(2000, round(steps * CHASE / side_by_side(1, chase)[0].seconds))
    found = clock.rates(lambda: side_by_side(1, chase), rounds)
    names = {"median": "median", "low": "high", "high": "low", "least": "most", "most": "least"}  # of rates
    times = {name: 1e9 / found[rate] for name, rate in names.items()}
    return {**times, **{name: found[name] for name in ("samples", "outliers", "interrupted", "left_out")}}


def plateaus(curve: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Where the curve of latencies is flat for at least two sizes: from and to bytes, nanoseconds of the first."""
    found: list[list[Mapping[str, Any]]] = []
    for point in curve:
        if found and point["least"] <= PLATEAU * found[-1][0]["least"]:
            found[-1].append(point)
        else:
            found.append([point])
    flat = [group for group in found if len(group) > 1]
    return [{"from": g[0]["bytes"], "to": g[-1]["bytes"], "nanoseconds": g[0]["least"]} for g in flat]


def reach(curve: Sequence[Mapping[str, Any]]) -> list[int]:
    """The numbers of pages after which finding a page costs more: where translation buffers seem to end."""
    extra = [point["least"] - point["dense"] for point in curve]
    base, climbs, found = extra[0], False, list[int]()
    for k in range(1, len(curve)):
        rises = extra[k] > max(1.5 * base, base + MORE)
        if rises and not climbs:
            found.append(int(curve[k - 1]["pages"]))
        base, climbs = (extra[k] if rises else max(base, extra[k])), rises
    return found


def bytes_by_level(sizes: Mapping[str, int]) -> dict[str, int]:
    """The largest working set that each level holds, for a roofline."""
    return {name: (2 * size if name in ("L1", "L2") else told.level_bytes(3)) for name, size in sizes.items()}
