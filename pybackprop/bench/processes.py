"""The engines' processes from outside: started when first needed, asked one at a time, killed at the end."""

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
from typing import Any

import numpy as np

from pybackprop.bench.engines.engine import Entry
from pybackprop.bench.workloads import Work
from pybackprop.core import settings
from pybackprop.core.arrays import Array

LIMIT = 300.0  # seconds that an answer may take
LAST_LINES = 5  # of a dead worker's stderr
# NPROC is JAX's
COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYBACKPROP_THREADS", "NPROC")


class FailedError(RuntimeError):
    """A worker could not do what it was asked for, and said why."""

    status = "failed"


class DiedError(RuntimeError):
    """A worker is no more; the message is the end of what it wrote to stderr."""

    status = "died"


class Hand:
    """One worker process.

    It gets as many cores as threads, for not every library lets itself be told otherwise, and a session of its
    own, for a Ctrl-C at the terminal is ours to handle.
    """

    def __init__(self, entry: Entry, threads: int, kernel: str | None = None) -> None:
        self.stderr = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  closed by kill
        with _only_cores(threads):
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pybackprop.bench.worker", entry.where, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.stderr,
                env=environment(threads, kernel),
                text=True,
                start_new_session=True,
            )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """The answer. FailedError with the worker's reason; DiedError if there is none in time."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        watch = threading.Timer(LIMIT, self.process.kill)
        watch.start()
        try:
            self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        finally:
            watch.cancel()
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
        """Ends it at once, and waits until it is gone."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.stderr):
            if pipe is not None:
                with suppress(OSError):  # half a request that nobody will read
                    pipe.close()


class Crew:
    """One worker for each engine and number of threads.

    One that died is started anew when needed again, if it ever got as far as saying hello.
    """

    def __init__(self, kernel: str | None = None) -> None:
        self.kernel = kernel
        self.hands: dict[tuple[str, int], Hand] = {}
        self.hellos: dict[tuple[str, int], dict[str, Any]] = {}
        self.stillborn: dict[tuple[str, int], str] = {}
        self.folder = tempfile.TemporaryDirectory(prefix="pybackprop-bench-")

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for hand in self.hands.values():
            hand.process.kill()  # all at once, and only then one by one
        for hand in self.hands.values():
            hand.kill()
        self.folder.cleanup()

    def ask(self, entry: Entry, threads: int, do: str, **request: Any) -> dict[str, Any]:
        """The answer of an engine's worker. Raises FailedError, DiedError."""
        key = (entry.name, threads)
        if key in self.stillborn:
            raise DiedError(self.stillborn[key])
        try:
            if key not in self.hands:
                self.hands[key] = Hand(entry, threads, self.kernel)
                self.hellos[key] = self.hands[key].ask("hello")
            return self.hands[key].ask(do, **request)
        except DiedError as error:
            self.hands.pop(key).kill()
            if key not in self.hellos:
                self.stillborn[key] = str(error)
            raise

    def prepare(self, entry: Entry, work: Work) -> tuple[int, int | None, dict[str, Array]]:
        """(calls in a sample, bytes that the first one needed, its results by name)."""
        path = Path(self.folder.name) / "results.npz"
        answer = self.ask(entry, work.threads, "prepare", work=asdict(work), save=str(path))
        with np.load(path) as file:
            results = dict(file)
        path.unlink()
        return answer["calls"], answer["memory"], results

    def forget(self, threads: int) -> None:
        """Lets the workers free their memory."""
        for (_, count), hand in self.hands.items():
            if count == threads:
                with suppress(DiedError):  # the next one who needs it will say so
                    hand.ask("forget")


def environment(threads: int, kernel: str | None) -> dict[str, str]:
    """Ours, and in it so many threads for every library."""
    changed = dict.fromkeys(COUNTS, str(threads))
    if threads == 1:
        changed["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    if kernel is not None:
        changed["PYBACKPROP_KERNEL"] = kernel
    return {**os.environ, **changed}


def cores() -> int:
    """How many cores this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, settings.cpu_quota() or allowed)


@contextmanager
def _only_cores(count: int) -> Iterator[None]:
    """Processes that are started in here get so many cores: the last ones, which have fewer interrupts to serve."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[-count:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
