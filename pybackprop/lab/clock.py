"""The laboratory's clock: runs take turns in random order, warmed up, and are repeated if the machine was not quiet.

Every time that it gives has its spread: see `statistics.spread`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pybackprop.bench import timer
from pybackprop.lab import statistics
from pybackprop.lab.fitness import QUIET
from pybackprop.lab.loops import Sample

PATIENCE = 1.0  # further turns, as a part of those asked for, to repeat what was measured while not quiet
WHOLE = 0.97  # share of the time that a thread had a processor, in a sample that nothing interrupted
DRIFTED = 0.03


class Looks(Protocol):
    """What tells the machine's state: a `Watch`, or something made up in a test."""

    def look(self) -> str: ...


class NoTimesError(Exception):
    """Raised by a run that cannot go on; the message is why."""


class Timed(Protocol):
    """Something to time: here, or in a process of its own. Both methods may raise NoTimesError."""

    def begin(self) -> int:
        """Prepares and warms up; how many calls make a sample."""
        ...

    def sample(self, calls: int) -> float:
        """Seconds per call, of so many calls after a few that are not timed."""
        ...


@dataclass(frozen=True)
class Run:
    """Something to time in this process. prepare: what sets it up before each sample, not timed."""

    call: Callable[[], Any]
    prepare: Callable[[], Any] = lambda: None

    def begin(self) -> int:
        self.prepare()
        return timer.calls_for(self.call)

    def sample(self, calls: int) -> float:
        self.prepare()
        timer.elapsed(self.call, max(1, calls // 8))
        return timer.elapsed(self.call, calls) / calls


@dataclass
class Timing:
    """One run's times.

    calls      in a sample
    seconds    per call, of each sample
    states     of the machine around each
    why        there are no times
    """

    calls: int = 1
    seconds: list[float] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    why: str = ""

    def kept(self, rounds: int) -> list[int]:
        """The samples that count: quiet ones, and others only if there are too few of those."""
        quiet = [k for k, state in enumerate(self.states) if state == QUIET]
        others = [k for k, state in enumerate(self.states) if state != QUIET]
        return sorted([*quiet, *others[: max(0, rounds - len(quiet))]])

    def report(self, rounds: int) -> dict[str, Any]:
        """The spread of seconds per call, and what was left out or kept in spite of the machine's state."""
        kept = self.kept(rounds)
        return {
            **statistics.spread([self.seconds[k] for k in kept]),
            "calls": self.calls,
            "seconds": [self.seconds[k] for k in kept],
            "not_quiet": sum(self.states[k] != QUIET for k in kept),
            "left_out": len(self.seconds) - len(kept),
        }


def interleaved(
    runs: Mapping[str, Timed],
    rounds: int,
    looks: Looks,
    seed: int = 0,
    on_turn: Callable[[str], Any] = lambda name: None,
) -> dict[str, Timing]:
    """Times every run once a round, in a new random order each round.

    Before and after each sample there is a look at the machine. What was measured in a bad state is measured again, in
    at most PATIENCE * rounds further turns of each run. A run that fails has no times. on_turn(name): called before
    each sample.
    """
    dice, found = random.Random(seed), {name: _begun(run) for name, run in runs.items()}
    before = looks.look()
    for number in range(rounds + int(PATIENCE * rounds)):
        names = [name for name, timing in found.items() if number < rounds or timing.states.count(QUIET) < rounds]
        dice.shuffle(names)
        for name in names:
            if found[name].why:
                continue
            on_turn(name)
            before = _sampled(runs[name], found[name], looks, before)
    return found


def _begun(run: Timed) -> Timing:
    try:
        return Timing(run.begin())
    except NoTimesError as error:
        return Timing(why=str(error))


def _sampled(run: Timed, timing: Timing, looks: Looks, before: str) -> str:
    """Adds a sample, and its state by the look before it and the one after it, which it returns."""
    try:
        seconds = run.sample(timing.calls)
    except NoTimesError as error:
        timing.seconds, timing.states, timing.why = [], [], str(error)
        return looks.look()
    after = looks.look()
    timing.seconds.append(seconds)
    timing.states.append(before if before != QUIET else after)
    return after


def rates(work: Callable[[], Sequence[Sample]], rounds: int) -> dict[str, Any]:
    """The spread of a loop's rate, all threads together, and `least` and `most` of a thread in its best round.

    work: one sample of each thread. Rounds in which a thread lost its processor are measured again, in at most
    PATIENCE * rounds more.
    """
    work()
    whole, others = list[Sequence[Sample]](), list[Sequence[Sample]]()
    while len(whole) < rounds and len(whole) + len(others) < rounds * (1 + PATIENCE):
        samples = work()
        (whole if min(sample.share for sample in samples) >= WHOLE else others).append(samples)
    used = [*whole, *others[: rounds - len(whole)]]
    best = max(used, key=together)
    numbers = statistics.spread([together(samples) for samples in used])
    return {
        **numbers,
        "threads": len(best),
        "by_thread": [sample.rate for sample in best],
        "interrupted": len(used) - len(whole),
        "left_out": len(whole) + len(others) - len(used),
    }


def together(samples: Sequence[Sample]) -> float:
    """The rate of threads that ran side by side."""
    return sum(sample.rate for sample in samples)


def warnings(timings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is doubtful about times, in sentences; timings: reports by name."""
    lines = []
    unquiet = [name for name, report in timings.items() if report["not_quiet"]]
    if unquiet:
        share = sum(report["not_quiet"] for report in timings.values())
        every = sum(report["samples"] for report in timings.values())
        lines.append(f"{share} of {every} samples count though the machine was not quiet: there were no better ones")
    drifting = {name: report["drift"] for name, report in timings.items() if abs(report["drift"]) > DRIFTED}
    if drifting:
        worst = max(drifting, key=lambda name: abs(drifting[name]))
        lines.append(
            f"{len(drifting)} of {len(timings)} became slower or faster while they were measured, "
            f"{worst} by {drifting[worst]:+.0%}: the processor's frequency, or a neighbour"
        )
    far = sum(report["outliers"] for report in timings.values())
    if far:
        lines.append(f"{far} samples lie far from their median; they count, and a median hardly minds")
    return lines
