"""The engines' processes, as the bench controls them: started when first needed, used in turn, killed at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from pybackprop.bench.engines.engine import Entry, mpiexec
from pybackprop.bench.workloads import Workload
from pybackprop.core import settings
from pybackprop.core.arrays import Array
from pybackprop.core.parent import STARTED_BY, started_by_this

LIMIT = 300.0  # seconds to wait for an answer
LAST_LINES = 5  # of stderr, reported for a process that died
# variables that set a number of threads; NPROC is JAX's
COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYBACKPROP_THREADS", "NPROC")


class FailedError(RuntimeError):
    """A worker could not fulfil a request; the message is the reason."""

    status = "failed"


class DiedError(RuntimeError):
    """A worker's process has ended; the message has the last lines of its stderr."""

    status = "died"


class EngineProcess:
    """The process of one engine.

    It gets as many cores as threads, because not every library can set its number of threads, and its own session, so
    that Ctrl-C in the terminal reaches only the bench.
    """

    def __init__(self, entry: Entry, threads: int, kernel: str | None = None) -> None:
        self.stderr: IO[str] = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  closed by kill()
        with only_cores(threads):
            self.process: subprocess.Popen[str] = subprocess.Popen(
                [*_starter(entry, threads), sys.executable, "-m", "pybackprop.bench.worker", entry.where, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.stderr,
                env=environment(threads, kernel) | ({STARTED_BY: ""} if entry.on_ranks else {}),  # mpiexec ends them
                text=True,
                start_new_session=True,
            )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """The answer to a request. Raises FailedError with the reason, DiedError if no answer comes in time."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        timer = threading.Timer(LIMIT, self.process.kill)
        timer.daemon = True  # an interrupt may prevent cancel(); the timer must not keep this process alive then
        try:
            timer.start()
            self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        finally:
            timer.cancel()
        if not line.endswith("\n"):
            raise DiedError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise FailedError(answer["error"])
        return answer

    def _last_words(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        self.stderr.seek(0)
        lines = [line.rstrip() for line in self.stderr if line.strip()]
        return "\n".join([f"the process ended with code {self.process.poll()}", *lines[-LAST_LINES:]])

    def kill(self) -> None:
        """Kills the process and waits until it has ended."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.stderr):
            if pipe is not None:
                with suppress(OSError):  # half a request may still be in the buffer
                    pipe.close()


class EngineProcesses:
    """One process for each engine and number of threads.

    A process that died is restarted when it is needed again, unless it died before its first answer.
    """

    def __init__(self, kernel: str | None = None) -> None:
        self.kernel = kernel
        self.processes: dict[tuple[str, int], EngineProcess] = {}
        self.descriptions: dict[tuple[str, int], dict[str, Any]] = {}
        self.failed_to_start: dict[tuple[str, int], str] = {}
        self.folder: tempfile.TemporaryDirectory[str] = tempfile.TemporaryDirectory(prefix="pybackprop-bench-")

    def __enter__(self) -> EngineProcesses:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self.processes.values():
            process.process.kill()  # kill all before waiting for any
        for process in self.processes.values():
            process.kill()
        self.folder.cleanup()

    def ask(self, entry: Entry, threads: int, do: str, **request: Any) -> dict[str, Any]:
        """The answer of an engine's worker. Raises FailedError, DiedError."""
        key = (entry.name, threads)
        if key in self.failed_to_start:
            raise DiedError(self.failed_to_start[key])
        try:
            if key not in self.processes:
                self.processes[key] = EngineProcess(entry, threads, self.kernel)
                self.descriptions[key] = self.processes[key].ask("describe")
            return self.processes[key].ask(do, **request)
        except DiedError as error:
            self.processes.pop(key).kill()
            if key not in self.descriptions:
                self.failed_to_start[key] = str(error)
            raise

    def prepare(self, entry: Entry, workload: Workload) -> tuple[int, int | None, dict[str, Array]]:
        """(calls in a sample, bytes needed to prepare and make the first call, its results by name)."""
        path = Path(self.folder.name) / "results.npz"
        answer = self.ask(entry, workload.threads, "prepare", workload=asdict(workload), save=str(path))
        with np.load(path) as file:
            results = dict(file)
        path.unlink()
        return answer["calls"], answer["memory"], results

    def forget(self, threads: int) -> None:
        """Lets the workers free their memory."""
        for (_, count), process in self.processes.items():
            if count == threads:
                with suppress(DiedError):  # the next request reports it
                    process.ask("forget")


def _starter(entry: Entry, threads: int) -> list[str]:
    """What starts the worker, if it is not this process."""
    return [str(mpiexec()), "-n", str(threads)] if entry.on_ranks else []


def environment(threads: int, kernel: str | None) -> dict[str, str]:
    """For a process that this one starts: the environment here, with this number of threads for every library."""
    variables = dict.fromkeys(COUNTS, str(threads)) | started_by_this()
    if threads == 1:
        variables["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    if kernel is not None:
        variables["PYBACKPROP_KERNEL"] = kernel
    return {**os.environ, **variables}


def cores() -> int:
    """How many cores this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, settings.cpu_quota() or allowed)


@contextmanager
def only_cores(count: int) -> Iterator[None]:
    """Processes started in this block get this many cores: the last ones, which handle fewer interrupts."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[-count:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
