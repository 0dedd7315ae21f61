"""The roof: what an operation could reach on this machine, from its operations and the bytes it must move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pybackprop.core.units import seconds_text
from pybackprop.lab.machine.told import level_bytes

COMPUTE = "compute"
NEAR = 0.8  # of what it could reach
SHORT = 2e-6  # seconds at the roof, below which what a call costs is more than its work


@dataclass(frozen=True)
class Level:
    """A level of memory: the bytes that it holds for all threads together, None for all; bytes per second, reading."""

    name: str
    holds: int | None
    bandwidth: float


@dataclass(frozen=True)
class Roof:
    """peak: operations per second. levels: from the first cache to memory."""

    peak: float
    levels: Sequence[Level]

    def level_of(self, size: int) -> Level:
        """The first level that holds so many bytes."""
        return next(level for level in self.levels if level.holds is None or size <= level.holds)

    def reachable(self, flops: float, size: int) -> float:
        """Operations per second: the peak, or what the level's bandwidth feeds."""
        return min(self.peak, flops / size * self.level_of(size).bandwidth)

    def bound(self, flops: float, size: int) -> str:
        """What limits it: compute, or a level of memory."""
        return COMPUTE if self.reachable(flops, size) == self.peak else self.level_of(size).name


def roof(report: Mapping[str, Any], kernel: str, dtype: str, threads: int) -> Roof:
    """From a report of `lab machine`. Where so many threads were not measured: from one, times their number, for the
    peak and the caches of each processor; for what they share, from the most threads that were.

    Raises ValueError if the report does not have this kernel.
    """
    peaks = {p["threads"]: p["most"] for p in report["peaks"] if p["kernel"] == kernel and p["dtype"] == dtype}
    if not peaks:
        raise ValueError(f"lab roofline: kernel {kernel!r} was not measured; see 'pybackprop lab machine --fresh'")
    return Roof(peaks.get(threads, peaks[1] * threads) * 1e9, levels(report, threads))


def levels(report: Mapping[str, Any], threads: int) -> list[Level]:
    """The levels of memory of a report that has bandwidths and caches: see `roof`."""
    rates: dict[str, dict[int, float]] = {}
    for row in report["bandwidth"]:
        if row["kind"] == "read":
            rates.setdefault(row["level"], {})[row["threads"]] = row["median"]
    known = [dict(cache) for cache in report["caches"]]
    return [_level(name, by_threads, threads, known) for name, by_threads in rates.items()]


def _level(name: str, by_threads: Mapping[int, float], threads: int, known: list[dict[str, Any]]) -> Level:
    if name in ("L1", "L2"):
        holds = level_bytes(int(name[1]), known) * threads
        rate = by_threads[threads] if threads in by_threads else by_threads[1] * threads
        return Level(name, holds, rate * 1e9)
    rate = by_threads.get(threads, max(by_threads.values()))
    return Level(name, level_bytes(3, known) if name == "L3" else None, rate * 1e9)


def told(over: Roof) -> dict[str, Any]:
    """A roof for JSON and pictures: GF/s, and GB/s of each level."""
    levels = [{"name": level.name, "bandwidth": level.bandwidth / 1e9} for level in over.levels]
    return {"peak": over.peak / 1e9, "levels": levels}


def placed(row: Mapping[str, Any], roof: Roof) -> dict[str, Any]:
    """A measured operation with its place under the roof, and what it would take to be faster."""
    flops, size, seconds = row["flops"], row["bytes"], row["median"]
    reachable = roof.reachable(flops, size)
    found = {
        **row,
        "intensity": flops / size,
        "level": roof.level_of(size).name,
        "bound": roof.bound(flops, size),
        "gflops": flops / seconds / 1e9,
        "gflops_low": flops / row["high"] / 1e9,
        "gflops_high": flops / row["low"] / 1e9,
        "reachable_gflops": reachable / 1e9,
        "part": flops / seconds / reachable,
    }
    return {**found, "advice": advice(found, roof)}


def advice(row: Mapping[str, Any], roof: Roof) -> str:
    """What it would take, in a sentence."""
    at_roof = row["flops"] / (row["reachable_gflops"] * 1e9)
    text = f"{seconds_text(at_roof)} at the roof"
    if at_roof < SHORT and row["part"] < NEAR:
        return f"{text}: the call costs more than its work: more rows, or a plan"
    if row["bound"] == COMPUTE:
        return (
            f"{text}: nothing but fewer operations"
            if row["part"] >= NEAR
            else f"{text}: a better kernel for this shape"
        )
    more = roof.peak / (row["intensity"] * roof.level_of(row["bytes"]).bandwidth)
    return f"{text}; {more:.0f}x the operations per byte for the peak: fuse it with what makes or takes its arrays"
