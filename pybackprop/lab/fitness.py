"""Whether the machine is fit to measure on: multiply-adds in registers and with operands from L1, side by side.

On a virtual machine a neighbour can cost loops that load their operands a third of their speed, while those in
registers stay at their peak; and two threads can run at different speeds. Both change within seconds.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pybackprop.core import settings
from pybackprop.core.arrays import Array
from pybackprop.lab import loops
from pybackprop.lab.pinned import side_by_side

TURNS = 3  # of each loop in a look
LOOP = 0.0004  # seconds that one should take
L1_BYTES = 12_288  # a quarter to three eighths of today's first caches
WARM_UP, LOOKS = 12, 40
MOST_TAKEN, MOST_SLOWER, MOST_DISTURBED, MOST_UNEVEN = 0.05, 0.15, 0.15, 0.12
QUIET, BUSY, UNEVEN, DISTURBED, SLOW = "quiet", "busy", "uneven threads", "disturbed", "slow"
MEANING = {
    QUIET: "nothing disturbs a measurement",
    BUSY: "other processes of this system take time from the processors",
    UNEVEN: "the threads run at different speeds",
    DISTURBED: "loops that load their operands are slower than they were, while those in registers are not",
    SLOW: "multiply-adds in registers are slower than they were: a lower frequency, or a neighbour on the core",
}


@dataclass(frozen=True)
class Look:
    """What one look saw: for each thread, rates in operations per second and the share of time it had a processor."""

    bursts: tuple[float, ...]
    loads: tuple[float, ...]
    shares: tuple[float, ...]

    def state(self, best_burst: float, best_loads: float) -> str:
        """One of MEANING, compared with a thread's best rates."""
        if min(self.shares) < 1 - MOST_TAKEN:
            return BUSY
        for rates in (self.bursts, self.loads):
            if min(rates) < (1 - MOST_UNEVEN) * max(rates):
                return UNEVEN
        if min(self.bursts) < (1 - MOST_SLOWER) * best_burst:
            return SLOW
        return DISTURBED if min(self.loads) < (1 - MOST_DISTURBED) * best_loads else QUIET


@contextmanager
def fastest_on_one_thread() -> Iterator[None]:
    """The fastest kernel, and operations on their caller alone; afterwards what was set before."""
    kernel, threads = settings.kernel(), settings.threads()
    settings.use_kernel(None)
    settings.set_threads(1)
    try:
        yield
    finally:
        settings.use_kernel(kernel)
        settings.set_threads(threads)


@dataclass
class Watch:
    """Looks at the machine now and then, and knows the best that it has seen.

    threads  that measure side by side, pinned to a processor each
    burst    a thread's best rate in registers, operations per second; loads: with operands from L1
    seen     how often each state was seen
    """

    threads: int = 1
    burst: float = 0.0
    loads: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    looks: list[Look] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.arrays: list[Array] = [loops.memory(L1_BYTES, huge=False) for _ in range(self.threads)]
        with fastest_on_one_thread():
            burst = min(loops.burst("float32", 2000).seconds for _ in range(WARM_UP)) / 2000
            loads = min(loops.fma_loads(self.arrays[0], 100).seconds for _ in range(WARM_UP)) / 100
        self.steps, self.rounds = round(LOOP / burst), round(LOOP / loads)
        for _ in range(WARM_UP):
            self._look()

    @classmethod
    def knowing(cls, threads: int, best: Mapping[str, float]) -> Watch:
        """One that knows the best rates from before: see `best_of`."""
        return cls(threads, best.get("burst", 0.0), best.get("loads", 0.0))

    def look(self) -> str:
        """The machine's state now, one of MEANING."""
        state = self._look().state(self.burst, self.loads)
        self.seen[state] += 1
        return state

    def _look(self) -> Look:
        with fastest_on_one_thread():
            found = side_by_side(self.threads, self._turns)
        look = Look(*zip(*found, strict=True))
        self.burst, self.loads = max(self.burst, *look.bursts), max(self.loads, *look.loads)
        self.looks.append(look)
        return look

    def _turns(self, thread: int) -> tuple[float, float, float]:
        samples = [
            (loops.burst("float32", self.steps), loops.fma_loads(self.arrays[thread], self.rounds))
            for _ in range(TURNS)
        ]
        every = [sample for pair in samples for sample in pair]
        share = sum(sample.cpu for sample in every) / sum(sample.seconds for sample in every)
        return max(b.rate for b, _ in samples), max(load.rate for _, load in samples), min(1.0, share)

    def report(self) -> dict[str, Any]:
        """What was seen, in numbers and in words."""
        looks = sum(self.seen.values())
        last = self.looks[-1]
        return {
            "state": self.state,
            "seen": dict(self.seen.most_common()),
            "looks": looks,
            "threads": self.threads,
            "burst_gflops": self.burst / 1e9,
            "loads_gflops": self.loads / 1e9,
            "usual_burst_gflops": median(min(look.bursts) for look in self.looks) / 1e9,
            "usual_loads_gflops": median(min(look.loads) for look in self.looks) / 1e9,
            "last_burst_gflops": [rate / 1e9 for rate in last.bursts],
            "last_loads_gflops": [rate / 1e9 for rate in last.loads],
            "load_average": load_average(),
        }

    @property
    def state(self) -> str:
        """The state seen most often that is not quiet, if there were such looks in more than one of ten."""
        others = [(count, name) for name, count in self.seen.items() if name != QUIET]
        looks = sum(self.seen.values())
        return max(others)[1] if others and sum(count for count, _ in others) * 10 > looks else QUIET


def best_of(report: Mapping[str, Any] | None) -> dict[str, float]:
    """The arguments burst and loads of a Watch that knows another Watch's report."""
    if report is None:
        return {}
    return {"burst": report["burst_gflops"] * 1e9, "loads": report["loads_gflops"] * 1e9}


def load_average() -> float | None:
    """Of the last minute; None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def sentences(report: Mapping[str, Any]) -> list[str]:
    """A Watch's report for people."""
    seen, looks = report["seen"], report["looks"]
    text = ", ".join(f"{name} {count}" for name, count in seen.items())
    lines = [f"the machine is {report['state']}: {MEANING[report['state']]} ({looks} looks: {text})"]
    ratio = report["loads_gflops"] / report["burst_gflops"] if report["burst_gflops"] else 1.0
    lines.append(
        f"FMA in registers {report['burst_gflops']:.1f} GF/s a thread at best, with operands from L1 "
        f"{report['loads_gflops']:.1f} ({ratio:.0%})"
    )
    if ratio < 1 - MOST_DISTURBED:
        lines.append(
            "even at best, loads do not keep up with multiply-adds: either this processor is built so, or a neighbour "
            "on its core was there all the time"
        )
    if report["load_average"] is not None:
        lines.append(f"load average {report['load_average']:.1f}")
    return lines


def watched(
    looks: int = LOOKS,
    threads: int = 1,
    burst: float = 0.0,
    loads: float = 0.0,
    on_step: Callable[[str], Any] = lambda text: None,
) -> dict[str, Any]:
    """So many looks, one after another: the report. burst, loads: see `Watch`, the best known from before."""
    on_step("fitness")
    watch = Watch(threads, burst, loads)
    for _ in range(looks):
        watch.look()
    return watch.report()
