"""The C core's measuring loops on memory of their own: what each did, and in how many seconds."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.core.native import lib, pointer, pointer_to

LINE = 64  # bytes
PAGE = mmap.PAGESIZE
HUGE = 2 * 1024 * 1024
ADDS: int = lib.BP_ADDS
STEP: int = lib.BP_MEASURE_STEP
BURST = {"float32": lib.bp_fma_burst_f32, "float64": lib.bp_fma_burst_f64}
LOADS = {"float32": lib.bp_measure_fma_loads_f32, "float64": lib.bp_measure_fma_loads_f64}


@dataclass(frozen=True)
class Sample:
    """One run of a loop.

    amount   of what it does: operations, bytes, steps
    seconds  on the clock
    cpu      seconds that its thread had a processor
    """

    amount: float
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.amount / self.seconds

    @property
    def share(self) -> float:
        """The part of the time in which the thread had a processor."""
        return min(1.0, self.cpu / self.seconds) if self.seconds else 1.0


Loop: TypeAlias = Callable[[], Sample]


def timed(work: Callable[[], float]) -> Sample:
    """One run of work, which returns how much it did."""
    cpu, began = time.thread_time(), time.perf_counter()
    amount = work()
    seconds = time.perf_counter() - began
    return Sample(amount, seconds, time.thread_time() - cpu)


def memory(count: int, huge: bool = True) -> Array:
    """So many bytes, at the start of a page, as float32 ones: in large pages or in small ones where Linux lets us."""
    size = -(-count // HUGE) * HUGE if huge and count >= HUGE else -(-count // PAGE) * PAGE
    raw = mmap.mmap(-1, size + HUGE)
    advice = getattr(mmap, "MADV_HUGEPAGE" if huge else "MADV_NOHUGEPAGE", None)
    if advice is not None:
        with suppress(OSError):  # this kernel has pages of one size only
            raw.madvise(advice)
    at = -place(np.frombuffer(raw, np.uint8)) % HUGE
    array: Array = np.frombuffer(raw, np.float32, count // 4, at)
    array[...] = 1
    return array


def place(array: np.ndarray[Any, Any]) -> int:
    """The address of its first element."""
    return int(array.__array_interface__["data"][0])


# ---- loops ----


def burst(dtype: str, steps: int) -> Sample:
    """Fused multiply-adds in registers; amount: floating-point operations. On one thread if set_threads(1)."""
    return timed(lambda: float(BURST[dtype](steps)))


def fma_loads(array: Array, rounds: int) -> Sample:
    """Fused multiply-adds with one operand from the array; amount: floating-point operations."""
    return timed(lambda: float(LOADS[array.dtype.name](pointer(array), array.size, rounds)))


def read(array: Array, rounds: int) -> Sample:
    """Reads the array; amount: bytes."""
    return timed(lambda: float(lib.bp_measure_read_f32(pointer(array), array.size, rounds)))


def write(array: Array, rounds: int) -> Sample:
    """Writes the array; amount: bytes."""
    return timed(lambda: float(lib.bp_measure_write_f32(pointer(array), array.size, rounds)))


def copy(array: Array, rounds: int) -> Sample:
    """Copies the array's first half to its second; amount: bytes read and bytes written."""
    half = array.size // 2
    to, source = pointer(array[half : 2 * half]), pointer(array[:half])
    return timed(lambda: float(lib.bp_measure_copy_f32(to, source, half, rounds)))


def adds(rounds: int) -> Sample:
    """Additions, each waiting for the last; amount: how many, which is how many cycles they take."""
    return timed(lambda: float(lib.bp_measure_adds(rounds)))


def adds_beside_fma(rounds: int) -> Sample:
    """The same beside multiply-adds of vectors of float32."""
    return timed(lambda: float(lib.bp_measure_adds_beside_fma_f32(rounds)))


class Ring:
    """Pointers at these offsets (in bytes, multiples of 8) of an array, which lead around in random order."""

    def __init__(self, array: Array, offsets: np.ndarray[Any, Any], seed: int = 0) -> None:
        order = np.random.default_rng(seed).permutation(offsets.astype(np.int64) // 8)
        words = array.view(np.uint64)
        words[order] = place(array) + np.roll(order, -1).astype(np.uint64) * 8
        self.array, self.count = array, len(offsets)
        self.at: Any = pointer_to(place(array) + int(order[0]) * 8)

    def chase(self, steps: int) -> Sample:
        """Follows so many pointers, from where the last chase ended; amount: how many."""

        def work() -> float:
            self.at = lib.bp_measure_chase(self.at, steps)
            return float(steps)

        return timed(work)
