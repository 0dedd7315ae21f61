"""Which engine runs when: each is checked first, then they take turns in every round."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypeAlias

from pybackprop.bench import timer, validate, workloads
from pybackprop.bench.engines.engine import Entry
from pybackprop.bench.processes import DiedError, EngineProcesses, FailedError
from pybackprop.bench.workloads import Workload

OnTurn: TypeAlias = Callable[[Workload, Entry, int], Any]


@dataclass
class Timing:
    """One engine on one workload.

    status   ok; or wrong, failed, died: then the times are meaningless
    why      the reason, if status is not ok
    calls    calls in a sample
    memory   peak of resident bytes to prepare and run it once, beyond data, parameters and results; None: unknown
    seconds  per call, in each round
    started  when each round's sample began, in seconds since the bench began
    """

    status: str = "ok"
    why: str = ""
    calls: int = 0
    memory: int | None = None
    seconds: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        return self.status == "ok" and bool(self.seconds)

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def best(self) -> float:
        return min(self.seconds)


@dataclass
class Result:
    """One workload on all engines."""

    workload: Workload
    engines: dict[str, Timing] = field(default_factory=dict)

    def best_peer(self, peers: Sequence[str]) -> str | None:
        """The peer with the smallest median; None if none has a time."""
        usable = [name for name in peers if name in self.engines and self.engines[name].usable]
        return min(usable, key=lambda name: self.engines[name].median, default=None)

    def ratio(self, name: str, peer: str) -> float:
        """How many times as fast as the peer: the median of the rounds' ratios, so that slow drifts cancel."""
        pairs = zip(
            self.engines[peer].seconds, self.engines[name].seconds, strict=False
        )  # an interrupt may cut a round short
        return median(theirs / ours for theirs, ours in pairs)


class Bench:
    """All workloads on all engines. `results` and `peaks` hold what has been measured so far.

    peaks       floating-point operations per second of multiply-adds alone, by (dtype, threads)
    bandwidths  bytes per second of an update's reading and writing alone, of each round, by workload
    load        the system's load average over the minute before
    """

    workloads: Sequence[Workload]
    entries: Sequence[Entry]
    rounds: int
    kernel: str | None
    seconds: float
    load: float
    began: float

    def __init__(
        self, chosen: Sequence[Workload], entries: Sequence[Entry], rounds: int, kernel: str | None = None
    ) -> None:
        self.workloads, self.entries, self.rounds, self.kernel = chosen, entries, rounds, kernel
        self.results: list[Result] = []
        self.peaks: dict[tuple[str, int], float] = {}
        self.bandwidths: dict[Workload, list[float]] = {}
        self.descriptions: dict[tuple[str, int], dict[str, Any]] = {}
        self.seconds = 0.0
        self.load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        self.began = time.monotonic()

    def limit(self, workload: Workload) -> float | None:
        """What no engine can exceed, per second: operations; or bytes, the median of the rounds. None: unknown."""
        if workload.flops:
            return self.peaks.get((workload.dtype, workload.threads))
        rates = self.bandwidths.get(workload)
        return median(rates) if rates else None

    def run(self, on_turn: OnTurn) -> None:
        """Runs everything. on_turn(workload, entry, round) is called before every turn; round 0 is the check."""
        self.began = time.monotonic()
        try:
            with EngineProcesses(self.kernel) as processes:
                self.descriptions = processes.descriptions
                for workload in self.workloads:
                    self._measure(workload, processes, on_turn)
        finally:
            self.seconds = time.monotonic() - self.began

    def _measure(self, workload: Workload, processes: EngineProcesses, on_turn: OnTurn) -> None:
        entries = [entry for entry in self.entries if entry.does(workload)]
        self.results.append(Result(workload, {entry.name: Timing() for entry in entries}))
        right = validate.expected(workload, workloads.data(workload))
        timer.quiet()
        for number in range(self.rounds + 1):
            for entry in entries:
                timing = self.results[-1].engines[entry.name]
                if timing.status != "ok":
                    continue
                on_turn(workload, entry, number)
                try:
                    if number == 0:
                        self._check(workload, right, processes, entry, timing)
                    else:
                        self._turn(workload, processes, entry, timing)
                except (FailedError, DiedError) as error:
                    timing.status, timing.why = error.status, str(error)
            right = {}  # large, and needed only for the check
        processes.forget(workload.threads)

    def _check(
        self,
        workload: Workload,
        right: Mapping[str, validate.Expected],
        processes: EngineProcesses,
        entry: Entry,
        timing: Timing,
    ) -> None:
        timing.calls, timing.memory, results = processes.prepare(entry, workload)
        fault = validate.wrong(workload, results, right)
        if fault is not None:
            timing.status, timing.why = "wrong", fault

    def _turn(self, workload: Workload, processes: EngineProcesses, entry: Entry, timing: Timing) -> None:
        timing.started.append(time.monotonic() - self.began)
        seconds = processes.ask(entry, workload.threads, "time", calls=timing.calls)["seconds"]
        timing.seconds.append(seconds / timing.calls)
        if entry.ours and workload.kind == "update":
            rate = processes.ask(
                entry, workload.threads, "bandwidth", dtype=workload.dtype, size=math.prod(workload.sizes)
            )["bytes"]
            self.bandwidths.setdefault(workload, []).append(rate)
        elif entry.ours and workload.flops:
            flops = processes.ask(entry, workload.threads, "peak", dtype=workload.dtype)["flops"]
            limit = (workload.dtype, workload.threads)
            self.peaks[limit] = max(self.peaks.get(limit, 0.0), flops)
