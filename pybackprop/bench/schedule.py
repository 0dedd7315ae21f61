"""Whose turn it is: every engine is checked, and then they take turns, round after round."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypeAlias

from pybackprop.bench import timer, validate, workloads
from pybackprop.bench.engines.engine import Entry
from pybackprop.bench.processes import Crew, DiedError, FailedError
from pybackprop.bench.workloads import Work

Tell: TypeAlias = Callable[[Work, Entry, int], Any]


@dataclass
class Timing:
    """One engine at one work.

    status   ok; wrong, failed, died: `why` says more, and the times are worth nothing
    calls    in a sample
    memory   bytes resident at most to prepare and do it once, beyond data, parameters, results; None: not known
    seconds  per call, in each round; started: when, since the bench began
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
    """One work by all engines."""

    work: Work
    engines: dict[str, Timing] = field(default_factory=dict)

    def best_peer(self, peers: Sequence[str]) -> str | None:
        """The one with the least median; None if none has a time."""
        usable = [name for name in peers if name in self.engines and self.engines[name].usable]
        return min(usable, key=lambda name: self.engines[name].median, default=None)

    def ratio(self, name: str, peer: str) -> float:
        """How many times as fast as the peer: in each round by itself, which no slow drift can disturb; the median."""
        pairs = zip(self.engines[peer].seconds, self.engines[name].seconds, strict=False)  # a round may be cut short
        return median(theirs / ours for theirs, ours in pairs)


class Bench:
    """All works by all engines. What was measured stands in `results` and `peaks` at any time.

    peaks  floating-point operations per second of nothing but multiply-adds, by (dtype, threads)
    load   how many processes wanted to run, in the minute before
    """

    def __init__(
        self, chosen: Sequence[Work], entries: Sequence[Entry], rounds: int, kernel: str | None = None
    ) -> None:
        self.works, self.entries, self.rounds, self.kernel = chosen, entries, rounds, kernel
        self.results: list[Result] = []
        self.peaks: dict[tuple[str, int], float] = {}
        self.hellos: dict[tuple[str, int], dict[str, Any]] = {}
        self.seconds = 0.0
        self.load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        self.began = time.monotonic()

    def run(self, tell: Tell) -> None:
        """tell(work, entry, round) is called before every turn; round 0 is the check."""
        self.began = time.monotonic()
        try:
            with Crew(self.kernel) as crew:
                self.hellos = crew.hellos
                for work in self.works:
                    self._measure(work, crew, tell)
        finally:
            self.seconds = time.monotonic() - self.began

    def _measure(self, work: Work, crew: Crew, tell: Tell) -> None:
        entries = [entry for entry in self.entries if entry.does(work)]
        self.results.append(Result(work, {entry.name: Timing() for entry in entries}))
        right = validate.expected(work, workloads.data(work))
        timer.quiet()
        for number in range(self.rounds + 1):
            for entry in entries:
                timing = self.results[-1].engines[entry.name]
                if timing.status != "ok":
                    continue
                tell(work, entry, number)
                try:
                    if number == 0:
                        self._check(work, right, crew, entry, timing)
                    else:
                        self._turn(work, crew, entry, timing)
                except (FailedError, DiedError) as error:
                    timing.status, timing.why = error.status, str(error)
            right = {}  # large, and of no more use
        crew.forget(work.threads)

    def _check(
        self, work: Work, right: Mapping[str, validate.Expected], crew: Crew, entry: Entry, timing: Timing
    ) -> None:
        timing.calls, timing.memory, results = crew.prepare(entry, work)
        found = validate.wrong(work, results, right)
        if found is not None:
            timing.status, timing.why = "wrong", found

    def _turn(self, work: Work, crew: Crew, entry: Entry, timing: Timing) -> None:
        timing.started.append(time.monotonic() - self.began)
        seconds = crew.ask(entry, work.threads, "time", calls=timing.calls)["seconds"]
        timing.seconds.append(seconds / timing.calls)
        if entry.ours:
            flops = crew.ask(entry, work.threads, "peak", dtype=work.dtype)["flops"]
            limit = (work.dtype, work.threads)
            self.peaks[limit] = max(self.peaks.get(limit, 0.0), flops)
