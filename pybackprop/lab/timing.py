"""Times of kernels and peers: each in a process of its own, in turns, beside the machine's peak and its state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop.bench.processes import cores
from pybackprop.core import available_memory, settings
from pybackprop.core.errors import OutOfMemoryError
from pybackprop.core.units import bytes_text
from pybackprop.lab import cases, clock, fitness, statistics
from pybackprop.lab.machine import store
from pybackprop.lab.operation import Operation
from pybackprop.lab.process import KernelError, Process, RequestError

PATIENCE = 60.0  # seconds that a sample may take
COPIES = 3  # of the arrays, in a process that prepares them
PEAK = "the peak"


@dataclass(frozen=True)
class Entrant:
    """A kernel or a peer, prepared in a process. calls: in a sample; why: it was not prepared."""

    name: str
    process: Process
    calls: int = 1
    why: str = ""

    def begin(self) -> int:
        if self.why:
            raise clock.NoTimesError(self.why)
        return self.calls

    def sample(self, calls: int) -> float:
        return float(_asked(self.process, "time", name=self.name, calls=calls)["seconds"]) / calls


@dataclass(frozen=True)
class Peak:
    """Nothing but fused multiply-adds in registers; a call is one floating-point operation."""

    process: Process
    dtype: str
    threads: int

    def begin(self) -> int:
        return 1

    def sample(self, calls: int) -> float:
        return 1 / float(_asked(self.process, "peak", dtype=self.dtype, threads=self.threads)["flops"])


@dataclass(frozen=True)
class Looks:
    """Looks at the machine from another process, on the processors on which kernels run."""

    process: Process
    threads: int
    best: Mapping[str, float]  # see `fitness.best_of`

    def look(self) -> str:
        return str(self.process.ask("look", PATIENCE, threads=self.threads, best=self.best)["state"])

    def report(self) -> dict[str, Any]:
        """What was seen: see `fitness.Watch.report`."""
        return dict(self.process.ask("fitness", PATIENCE))


def _asked(process: Process, do: str, **request: Any) -> dict[str, Any]:
    try:
        return process.ask(do, PATIENCE, **request)
    except (KernelError, RequestError) as error:
        raise clock.NoTimesError(str(error)) from error


@dataclass
class Race:
    """What is timed together: an operation with sizes on a number of threads.

    zeros      the share of the first input that is zero
    timings    of each entrant, and of the peak
    fitness    in which state the machine was
    """

    op: Operation
    sizes: dict[str, int]
    dtype: str
    threads: int
    zeros: float = 0.0
    rounds: int = 0
    timings: dict[str, clock.Timing] = field(default_factory=dict)
    fitness: dict[str, Any] = field(default_factory=dict)

    def request(self) -> dict[str, Any]:
        """What every engine is prepared with."""
        return {
            "operation": self.op.name,
            "sizes": self.sizes,
            "dtype": self.dtype,
            "zeros": self.zeros,
            "threads": self.threads,
        }

    def run(self, entrants: Sequence[Entrant], rounds: int, folder: Path, turn: Callable[[str], Any]) -> None:
        """Times all of them and the peak in turns, and again what was measured while the machine was not quiet."""
        with Process(self.threads, self.threads, folder) as watching:
            known, _ = store.read()
            looks = Looks(watching, self.threads, fitness.best_of(known and known["fitness"]))
            runs = {each.name: each for each in entrants}
            peak = Peak(watching, self.dtype, self.threads)
            self.rounds, self.timings = rounds, clock.interleaved({**runs, PEAK: peak}, rounds, looks, 0, turn)
            self.fitness = looks.report()

    def notes(self, reports: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """What makes the times doubtful, and in which state the machine was."""
        found = [*clock.warnings(reports), *fitness.sentences(self.fitness)]
        if self.threads > cores():
            found.append(f"{self.threads} threads share {cores()} cores")
        return found

    def to_dict(self) -> dict[str, Any]:
        """The times for JSON."""
        timings = {name: timing for name, timing in self.timings.items() if not timing.why}
        reports = {name: timing.report(self.rounds) for name, timing in timings.items()}
        rates = statistics.spread([1e-9 / seconds for seconds in reports[PEAK]["seconds"]])
        flops, nbytes = float(self.op.flops(self.sizes)), self.op.nbytes(self.sizes, self.dtype)
        engines = {
            name: rated(reports[name], flops, nbytes, rates["most"]) if name in reports else {"why": timing.why}
            for name, timing in self.timings.items()
            if name != PEAK
        }
        return {
            "sizes": self.sizes,
            "dtype": self.dtype,
            "threads": self.threads,
            "zeros": self.zeros,
            "cpu": settings.cpu(),
            "flops": flops,
            "bytes": nbytes,
            "peak": rates["most"],
            "peaks": rates,
            "engines": engines,
            "fitness": self.fitness,
            "notes": self.notes(reports),
        }


def rated(times: Mapping[str, Any], flops: float, nbytes: int, peak: float) -> dict[str, Any]:
    """An engine's times with its rates, by the median; nbytes: of all arrays, each counted once; peak: GF/s."""
    middle = times["median"]
    rates = {"gflops": flops / middle / 1e9, "gigabytes": nbytes / middle / 1e9}
    return {**times, **rates, "percent_of_peak": 100 * rates["gflops"] / peak}


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


def entered(race: Race, names: Sequence[str], folder: Path, started: ExitStack) -> list[Entrant]:
    """Starts the peers' processes, which `started` ends, and prepares them."""
    processes = [started.enter_context(Process(race.threads, race.threads, folder)) for _ in names]
    return [
        prepared(name, process, peer=name, **race.request()) for name, process in zip(names, processes, strict=True)
    ]


def prepared(name: str, process: Process, **request: Any) -> Entrant:
    """An entrant whose process has prepared it, or says why not."""
    try:
        return Entrant(name, process, process.ask("prepare", PATIENCE, name=name, **request)["calls"])
    except (KernelError, RequestError) as error:
        return Entrant(name, process, why=str(error))


def expected(race: Race) -> dict[str, Any]:
    """The outputs on the data to time; by the library's fast function, where there is one, as its bits are the same."""
    inputs = cases.timed_inputs(race.op, race.sizes, race.dtype, race.zeros)
    if race.op.fast is None:
        return race.op.expected(inputs, race.sizes, race.dtype)
    outputs = {a.name: np.zeros(a.of(race.sizes), race.dtype) for a in race.op.outputs}
    race.op.fast({**outputs, **inputs}, race.sizes)()
    return outputs
