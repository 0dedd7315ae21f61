"""A campaign: cases in several processes, what they found, and what became of the processes.

Processes, as a crash must end one of them and not the campaign; the case that was running then is its failure, and
another process goes on after it. The same holds for a case that does not end.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO

from pybackprop.core import settings
from pybackprop.core.parent import started_by_this
from pybackprop.selftest import FAILURES
from pybackprop.selftest.run import PER_SEED, Failure, kind_of, numbers
from pybackprop.selftest.worker import RUNNING, Order, Report

LONGEST = 300.0  # seconds that one case may take, on the busiest machine
LAST_LINES = 12  # of what a process wrote that died
# A thread that helps must take part in each operation, and other libraries' threads must not spin while they wait.
SHARED = {"PYBACKPROP_INSIST": "1", "OMP_WAIT_POLICY": "passive"}
WORKER = [sys.executable, "-m", "pybackprop", "selftest", "--worker"]


@dataclass
class Result:
    """What a campaign has done so far."""

    seed: int
    jobs: int
    cases: Counter[str] = field(default_factory=Counter)
    comparisons: int = 0
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        return self.cases.total()

    def add(self, report: Report) -> None:
        self.cases += report.cases
        self.comparisons += report.comparisons
        self.failures += report.failures


@dataclass(frozen=True)
class Limits:
    """When a campaign ends; None: it does not."""

    cases: int | None = None
    seconds: float | None = None
    failures: int = FAILURES


class Job:
    """One process after another, for every step-th case of a seed from start on."""

    order: Order
    reports: queue.Queue[tuple[Job, Report | None]]
    done: int
    began: float
    heard: float
    stderr: IO[str]
    process: subprocess.Popen[str]

    def __init__(self, order: Order, reports: queue.Queue[tuple[Job, Report | None]]) -> None:
        self.order, self.reports = order, reports
        self.done = 0
        self.began = time.monotonic()
        self.start()

    def start(self) -> None:
        Path(self.order.running).write_bytes(RUNNING.pack(self.order.seed * PER_SEED + self.order.start, 0))
        self.stderr = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  closed by close()
        # in a session of its own, so that Ctrl-C in the terminal reaches only the campaign
        self.process = subprocess.Popen(
            WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr, text=True,
            env={**os.environ, **SHARED, **started_by_this()}, start_new_session=True,
        )  # fmt: skip
        self.heard = time.monotonic()
        threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True).start()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has died already, which its end will tell
            self.process.stdin.write(self.order.to_json() + "\n")
            self.process.stdin.close()

    def _listen(self, answers: IO[str]) -> None:
        with answers:
            for line in answers:
                self.reports.put((self, Report.from_json(line)))
        self.reports.put((self, None))

    def noted(self) -> tuple[int, int]:
        """(the case that runs or ran last, how many had ended before it)."""
        number, ended = RUNNING.unpack(Path(self.order.running).read_bytes())
        return number, ended

    def untold(self) -> Report:
        """The cases that had ended and were not reported when the process died; not their comparisons."""
        o = self.order
        ended = islice(numbers(o.seed, o.start, o.step, o.only), self.done, self.noted()[1])
        return Report(Counter(kind_of(number).name for number in ended))

    def go_on(self, seconds: float | None) -> None:
        """Another process, for the cases after the one that ended this one. Call it if some are left."""
        o, (number, ended) = self.order, self.noted()
        cases = None if o.cases is None else o.cases - ended - 1
        start = number - o.seed * PER_SEED + o.step
        self.order, self.done = Order(o.seed, start, o.step, o.only, cases, seconds, o.running), 0
        self.start()

    def last_words(self) -> str:
        self.stderr.seek(0)
        return "\n".join(self.stderr.read().strip().splitlines()[:LAST_LINES])

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self.stderr.close()


class Campaign:
    """Runs cases until a limit; call `run` with a function that is told of progress.

    result  what has been done, also after an exception such as KeyboardInterrupt
    """

    result: Result
    limits: Limits
    only: tuple[str, ...]
    start: int

    def __init__(self, seed: int, limits: Limits, jobs: int, only: Sequence[str] = (), start: int = 0) -> None:
        self.result, self.limits = Result(seed, jobs), limits
        self.only, self.start = tuple(only), start

    def run(self, progress: Callable[[Result], None]) -> Result:
        began, jobs = time.monotonic(), self.result.jobs
        reports: queue.Queue[tuple[Job, Report | None]] = queue.Queue()
        with tempfile.TemporaryDirectory() as folder:
            working = [Job(self._order(k, folder), reports) for k in range(jobs)]
            try:
                while working and len(self.result.failures) < self.limits.failures:
                    self._hear(reports, working, began)
                    self.result.seconds = time.monotonic() - began
                    progress(self.result)
            finally:
                self.result.seconds = time.monotonic() - began
                for job in working:
                    job.close()
        return self.result

    def _order(self, k: int, folder: str) -> Order:
        limits, jobs = self.limits, self.result.jobs
        cases = None if limits.cases is None else limits.cases // jobs + (k < limits.cases % jobs)
        running = os.path.join(folder, f"running{k}")
        return Order(self.result.seed, self.start + k, jobs, self.only, cases, limits.seconds, running)

    def _hear(self, reports: queue.Queue[tuple[Job, Report | None]], working: list[Job], began: float) -> None:
        """Takes one report, or looks for a job that has not reported for too long."""
        try:
            job, report = reports.get(timeout=1)
        except queue.Empty:
            for late in working:
                if time.monotonic() - late.heard > LONGEST:
                    late.process.send_signal(signal.SIGABRT)  # faulthandler then says where it was
                    late.heard = time.monotonic()
            return
        if report is not None:
            job.heard = time.monotonic()
            job.done += report.cases.total()
            self.result.add(report)
            return
        code = job.process.wait()
        if code == 0:
            job.close()
            working.remove(job)
            return
        self.result.add(job.untold())
        self.result.add(_death(job, code))
        job.close()
        left = None if self.limits.seconds is None else self.limits.seconds - (time.monotonic() - began)
        if (left is not None and left <= 0) or job.noted()[1] + 1 == job.order.cases:
            working.remove(job)
        else:
            job.go_on(left)


def _death(job: Job, code: int) -> Report:
    """The failure of the case in which a process died."""
    number, _ = job.noted()
    kind = kind_of(number).name
    how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    failure = Failure(number, kind, f"its process ended {how}: {job.last_words()}", {})
    return Report(Counter([kind]), failures=[failure])


def usual_jobs() -> int:
    """One process for each CPU that this one may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, settings.cpu_quota() or cores))
