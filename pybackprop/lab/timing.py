"""Times of kernels and peers: in processes of their own, in turns, beside the machine's peak in the same round."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from pybackprop.bench.processes import cores
from pybackprop.core import available_memory, settings
from pybackprop.core.errors import OutOfMemoryError
from pybackprop.core.units import bytes_text
from pybackprop.lab import cases
from pybackprop.lab.operation import Operation
from pybackprop.lab.process import KernelError, Process, RequestError

BUSY = 0.5  # load average above which the report warns
RESTLESS = 1.15  # times by which the peak may change between rounds
PATIENCE = 60.0  # seconds that a sample may take
COPIES = 3  # of the arrays, in a process that prepares them


@dataclass
class Times:
    """Seconds per call of one engine, one number for each round. why: why there are none."""

    calls: int = 1
    seconds: list[float] = field(default_factory=list)
    why: str = ""

    def to_dict(self, flops: float, nbytes: int, peak: float) -> dict[str, Any]:
        """Median, least and most, with rates; nbytes: of all arrays, each counted once."""
        if not self.seconds:
            return {"why": self.why}
        middle = median(self.seconds)
        return {
            "median": middle,
            "least": min(self.seconds),
            "most": max(self.seconds),
            "gflops": flops / middle / 1e9,
            "gigabytes": nbytes / middle / 1e9,
            "percent_of_peak": 100 * flops / middle / peak if peak else None,
            "calls": self.calls,
            "seconds": self.seconds,
        }


@dataclass
class Race:
    """What is timed together: an operation with sizes on a number of threads.

    zeros: the share of the first input that is zero.
    """

    op: Operation
    sizes: dict[str, int]
    dtype: str
    threads: int
    zeros: float = 0.0
    times: dict[str, Times] = field(default_factory=dict)
    peaks: list[float] = field(default_factory=list)
    load: float = field(default_factory=lambda: os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0)

    def request(self) -> dict[str, Any]:
        """What every engine is prepared with."""
        return {
            "operation": self.op.name,
            "sizes": self.sizes,
            "dtype": self.dtype,
            "zeros": self.zeros,
            "threads": self.threads,
        }

    def run(self, entrants: Sequence[tuple[str, Process]], rounds: int, turn: Callable[[str], Any]) -> None:
        """Every engine once in each round, and the peak, which shows whether the machine is disturbed.

        Rounds in which it is are repeated, up to twice as many in all, and left out of the times.
        """
        for number in range(2 * rounds):
            if number >= rounds and len(self.good) >= rounds:
                break
            self._round(entrants, number, turn)
        if self.is_restless:
            return
        for times in self.times.values():
            times.seconds = [seconds for k, seconds in enumerate(times.seconds) if k in self.good]

    def _round(self, entrants: Sequence[tuple[str, Process]], number: int, turn: Callable[[str], Any]) -> None:
        self.peaks.append(entrants[-1][1].ask("peak", PATIENCE, dtype=self.dtype, threads=self.threads)["flops"])
        for name, process in entrants if number % 2 else [*reversed(entrants)]:
            times = self.times[name]
            if times.why:
                continue
            turn(name)
            try:
                answer = process.ask("time", PATIENCE, name=name, calls=times.calls)
                times.seconds.append(answer["seconds"] / times.calls)
            except (KernelError, RequestError) as error:
                times.why, times.seconds = str(error), []

    @property
    def good(self) -> set[int]:
        """The rounds in which the peak was near its highest."""
        return {k for k, peak in enumerate(self.peaks) if peak * RESTLESS >= max(self.peaks)}

    @property
    def is_restless(self) -> bool:
        """Whether hardly any round was good: then all count."""
        return len(self.good) < max(1, len(self.peaks) // 3)

    def notes(self) -> list[str]:
        """What makes the times doubtful."""
        found = []
        if self.load > BUSY:
            found.append(f"the load was {self.load:.1f} before the start: beside other programs, times are too long")
        if len(self.good) < len(self.peaks):
            low, high = min(self.peaks) / 1e9, max(self.peaks) / 1e9
            bad, count = len(self.peaks) - len(self.good), len(self.peaks)
            left_out = "all rounds count" if self.is_restless else f"{bad} of {count} rounds are left out"
            found.append(f"the machine was restless, its peak from {low:.0f} to {high:.0f} GF/s: {left_out}")
        if self.threads > cores():
            found.append(f"{self.threads} threads share {cores()} cores")
        return found

    def to_dict(self) -> dict[str, Any]:
        """The times for JSON."""
        peak = max(self.peaks, default=0.0)
        flops, nbytes = float(self.op.flops(self.sizes)), self.op.nbytes(self.sizes, self.dtype)
        return {
            "sizes": self.sizes,
            "dtype": self.dtype,
            "threads": self.threads,
            "zeros": self.zeros,
            "cpu": settings.cpu(),
            "flops": flops,
            "bytes": nbytes,
            "peak": peak / 1e9,
            "peaks": [flops / 1e9 for flops in self.peaks],
            "engines": {name: times.to_dict(flops, nbytes, peak) for name, times in self.times.items()},
            "notes": self.notes(),
        }


def check_memory(op: Operation, sizes: dict[str, int], dtype: str, processes: int) -> None:
    """Raises OutOfMemoryError if the arrays of so many processes do not fit into memory."""
    needed, free = COPIES * processes * op.nbytes(sizes, dtype), available_memory.available()
    if free is not None and needed > free:
        raise OutOfMemoryError(
            f"--size: {op.name} of {', '.join(f'{k}={v}' for k, v in sizes.items())} in {processes} processes needs "
            f"{bytes_text(needed)}, and {bytes_text(free)} are available; take smaller sizes",
            needed,
            free,
        )


def enter_peers(race: Race, names: Sequence[str], folder: Path) -> list[tuple[str, Process]]:
    """Starts the peers' processes and prepares them."""
    processes = [(name, Process(race.threads, race.threads, folder)) for name in names]
    for name, process in processes:
        race.times[name] = Times()
        try:
            answer = process.ask("prepare", PATIENCE, name=name, peer=name, **race.request())
            race.times[name].calls = answer["calls"]
        except (KernelError, RequestError) as error:
            race.times[name].why = str(error)
    return processes


def expected(race: Race) -> dict[str, Any]:
    """The outputs on the data to time; by the library's fast function, where there is one, as its bits are the same."""
    inputs = cases.timed_inputs(race.op, race.sizes, race.dtype, race.zeros)
    if race.op.fast is None:
        return race.op.expected(inputs, race.sizes, race.dtype)
    outputs = {a.name: np.zeros(a.of(race.sizes), race.dtype) for a in race.op.outputs}
    race.op.fast({**outputs, **inputs}, race.sizes)()
    return outputs
