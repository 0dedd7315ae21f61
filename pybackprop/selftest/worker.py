"""A process that runs cases and reports them. It reads its Order as one line of JSON on stdin.

Each line on stdout is a JSON object with what has happened since the last one:
{"cases": {kind: n}, "comparisons": n, "failures": [...]}. Which case is running, and how many have ended, is in a small
file that the parent shares, so that it is known even if the process dies.
"""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from pybackprop.core.parent import end_with_parent
from pybackprop.selftest.inputs.arguments import CommandLine, called
from pybackprop.selftest.run import Failure, numbers, run_case

EVERY = 0.2  # seconds between two reports
RUNNING = struct.Struct("<QQ")  # the case that runs, and how many have ended


@dataclass(frozen=True)
class Order:
    """Which cases to run: numbers(seed, start, step, only) until a limit; and the file that notes which one runs."""

    seed: int
    start: int
    step: int
    only: tuple[str, ...]
    cases: int | None
    seconds: float | None
    running: str

    @classmethod
    def from_json(cls, text: str) -> Order:
        given = json.loads(text)
        return cls(**{**given, "only": tuple(given["only"])})

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class Report:
    """What has happened since the last report."""

    cases: Counter[str] = field(default_factory=Counter)
    comparisons: int = 0
    failures: list[Failure] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "cases": dict(self.cases)})

    @classmethod
    def from_json(cls, text: str) -> Report:
        given = json.loads(text)
        failures = [Failure(**failure) for failure in given["failures"]]
        return cls(Counter(given["cases"]), given["comparisons"], failures)


def serve(main: Callable[[list[str]], int]) -> int:
    """Runs the order on stdin; the exit code. main: the command line, which cases of its arguments call."""
    end_with_parent()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print is no answer
    faulthandler.enable()
    CommandLine.run = called(main)
    order = Order.from_json(sys.stdin.readline())
    with tempfile.TemporaryDirectory() as folder:
        work(order, answers, Path(folder))
    return 0


def work(order: Order, answers: IO[str], folder: Path) -> None:
    """Runs the cases of an order and reports them."""
    running = _shared(order.running)
    end = None if order.seconds is None else time.monotonic() + order.seconds
    report, told = Report(), time.monotonic()
    for done, number in enumerate(numbers(order.seed, order.start, order.step, order.only)):
        now = time.monotonic()
        if now - told > EVERY or report.failures:
            _tell(answers, report)
            report, told = Report(), now
        if done == order.cases or (end is not None and now > end):
            break
        running[:] = RUNNING.pack(number, done)
        outcome = run_case(number, folder)
        report.cases[outcome.kind.name] += 1
        report.comparisons += outcome.comparisons
        report.failures += [outcome.failure] if outcome.failure else []
    _tell(answers, report)


def _shared(path: str) -> Any:
    """Memory that the parent sees, whatever happens to this process."""
    with open(path, "r+b") as file:
        return mmap.mmap(file.fileno(), RUNNING.size)


def _tell(answers: IO[str], report: Report) -> None:
    answers.write(report.to_json() + "\n")
    answers.flush()
