"""The peak of fused multiply-adds for each kernel, type and number of threads; frequency; what calls cost."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from pybackprop.bench import timer
from pybackprop.core import settings
from pybackprop.core.native import FLOAT32, NULL, lib, relu_forward
from pybackprop.lab import clock, loops, statistics
from pybackprop.lab.pinned import side_by_side

BURST = 0.002  # seconds
CHAIN = 0.001  # seconds of additions
KNOWN = 0.6  # of the frequency with nothing beside: below, the additions waited for the vectors
CALLS, REGIONS, BARRIERS = 20_000, 2_000, 200
WIDTHS = {"generic": 16, "neon": 16, "avx2": 32, "avx512": 64}  # bytes of a kernel's registers
ELEMENT = {"float32": 4, "float64": 8}


def steps_for(dtype: str) -> int:
    """How many steps make a burst of BURST seconds with the kernel in use."""
    return max(1, round(1000 * BURST / min(loops.burst(dtype, 1000).seconds for _ in range(3))))


def peak(kernel: str, dtype: str, threads: int, rounds: int) -> dict[str, Any]:
    """The rate of a kernel's multiply-adds in GF/s, by threads that are pinned to a processor each."""
    settings.use_kernel(kernel)
    steps = steps_for(dtype)
    found = clock.rates(lambda: side_by_side(threads, lambda _: loops.burst(dtype, steps)), rounds)
    return {"kernel": kernel, "dtype": dtype, **scaled(found, 1e9)}


def scaled(numbers: dict[str, Any], unit: float) -> dict[str, Any]:
    """Rates in this unit."""
    rates = ("median", "low", "high", "least", "most")
    found = {name: number / unit if name in rates else number for name, number in numbers.items()}
    return {**found, "by_thread": [rate / unit for rate in numbers["by_thread"]]} if "by_thread" in found else found


def frequency(kernel: str | None, rounds: int, peak: float = 0.0, alone: float = 0.0) -> dict[str, Any]:
    """GHz by a chain of additions, of one cycle each: alone, or beside a kernel's vectors.

    peak: the kernel's best rate of float32 on one thread, in GF/s; alone: GHz with nothing beside. With them,
    fma_per_cycle tells how many vectors of multiply-adds begin in a cycle, which is how many units the processor has
    for them; None where additions had to wait for multiply-adds, so that the frequency is not known.
    """
    loop = loops.adds if kernel is None else loops.adds_beside_fma
    if kernel is not None:
        settings.use_kernel(kernel)
    turns = max(1, round(1000 * CHAIN / min(loop(1000).seconds for _ in range(5))))
    found = clock.rates(lambda: side_by_side(1, lambda _: loop(turns)), rounds)
    numbers = {"beside": kernel or "nothing", **scaled(found, 1e9)}
    if kernel is not None:
        lanes, found_out = WIDTHS[kernel] // ELEMENT["float32"], numbers["most"] > KNOWN * alone
        numbers["fma_per_cycle"] = peak / (2 * lanes) / numbers["most"] if found_out else None
    return numbers


def overheads(threads: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Nanoseconds of a cffi call, and of a region of the library's threads, empty or with a share for each of them."""
    found = [
        _cost("cffi call", 1, rounds, lib.bp_kernel_count, CALLS),
        _cost("cffi call with pointers", 1, rounds, partial(relu_forward[FLOAT32], NULL, NULL, 0), CALLS),
    ]
    for count in threads:
        found.append(_cost("region", count, rounds, partial(lib.bp_measure_regions, count, REGIONS), 1, REGIONS))
    lib.bp_insist_on_helpers(1)
    try:
        for count in [count for count in threads if count > 1]:
            barriers = partial(lib.bp_measure_regions, count, BARRIERS)
            found.append(_cost("barrier of all threads", count, rounds, barriers, 1, BARRIERS))
    finally:
        lib.bp_insist_on_helpers(0)
    return found


def _cost(name: str, threads: int, rounds: int, call: Any, calls: int, inside: int = 1) -> dict[str, Any]:
    """Nanoseconds of each of what a call does `inside` times."""
    call()
    times = [timer.elapsed(call, calls) / (calls * inside) * 1e9 for _ in range(rounds)]
    return {"what": name, "threads": threads, **statistics.spread(times)}
