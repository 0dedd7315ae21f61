"""Timing: samples, the CPU's peak, and waiting until idle threads have stopped spinning."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np

from pybackprop.core.arrays import aligned_copy

SAMPLE = 0.02  # seconds that a sample of several calls should take
PAUSE = 0.005
PATIENCE = 1.0  # seconds to wait at most for spinning thread pools
BURSTS, STEPS = 5, 1_000_000


def elapsed(call: Callable[[], Any], calls: int) -> float:
    """Seconds that this many calls take together."""
    began = time.perf_counter()
    for _ in repeat(None, calls):
        call()
    return time.perf_counter() - began


def sample(call: Callable[[], Any], calls: int, warms_up: bool = True) -> float:
    """Seconds of so many calls together, after a quarter of them to warm up; then waits until no thread pool spins."""
    if warms_up:
        elapsed(call, -(-calls // 4))
    seconds = elapsed(call, calls)
    quiet()
    return seconds


def calls_for(call: Callable[[], Any]) -> int:
    """How many calls make a sample of SAMPLE seconds, at least one. Warms up at the same time."""
    calls = 1
    while (seconds := elapsed(call, calls)) < SAMPLE / 2:
        calls *= 2
    return max(1, round(calls * SAMPLE / seconds))


def peak(dtype: str) -> float:
    """Floating-point operations per second of fused multiply-adds alone: the best of BURSTS.

    Always uses the fastest kernel, and as many threads as set_threads allows.
    """
    from pybackprop.core import settings
    from pybackprop.core.native import lib

    kernel, burst = settings.kernel(), {"float32": lib.bp_fma_burst_f32, "float64": lib.bp_fma_burst_f64}[dtype]
    settings.use_kernel(None)
    best = 0.0
    for _ in range(BURSTS):
        began = time.perf_counter()
        operations = burst(STEPS)
        best = max(best, operations / (time.perf_counter() - began))
    settings.use_kernel(kernel)
    return best


def bandwidth(dtype: str, size: int) -> float:
    """Bytes per second of reading four arrays of that size and writing three of them, as an update does.

    On as many threads as set_threads allows, over a sample of calls: what caches hold of the arrays stays there.
    """
    from pybackprop.core.native import lib, pointer

    arrays = [aligned_copy(np.ones(size, dtype)) for _ in range(4)]
    move = {"float32": lib.bp_measure_update_f32, "float64": lib.bp_measure_update_f64}[dtype]
    call = partial(move, *map(pointer, arrays), size)
    calls = calls_for(call)
    return float(call()) * calls / sample(call, calls)


def quiet() -> None:
    """Sleeps until this process's thread pools have stopped spinning, which would slow down the next engine."""
    until = time.perf_counter() + PATIENCE
    while time.perf_counter() < until:
        before = time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - before < PAUSE / 5:
            return
