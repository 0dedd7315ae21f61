"""An engine's process: python -m pybackprop.bench.worker ENGINE THREADS

ENGINE is one of the list's names, or 'module:class'. It answers each JSON line on stdin with one on stdout:

{"do": "hello"}                                -> {"about": {...}, "pools": [...]}
{"do": "prepare", "work": {...}, "save": path} -> {"calls": n, "memory": bytes}   one call's results: path, a .npz
{"do": "time", "calls": n}                     -> {"seconds": s}      of n calls together
{"do": "peak", "dtype": d}                     -> {"flops": f}        per second
{"do": "forget"}                               -> {}

What raises is answered with {"error": "..."}. The end of stdin ends it.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from pybackprop.bench import resident_memory, timer, workloads
from pybackprop.bench.engines import engine

FEW = 8  # rows
REQUESTS = ("hello", "prepare", "time", "peak", "forget")


class Worker:
    """One engine and the work that it has in hand. Its public methods are the requests."""

    def __init__(self, where: str, threads: int) -> None:
        self.engine = engine.load(where, threads)
        self.call: engine.Call | None = None

    def hello(self) -> dict[str, Any]:
        return {"about": self.engine.about(), "pools": engine.pools()}

    def prepare(self, work: dict[str, Any], save: str) -> dict[str, Any]:
        """Makes the data, does the work once and keeps the results in a file, then learns how fast it goes.

        memory: what was resident at most until it was done once, beyond data, parameters and results.
        """
        self.forget()
        wanted = workloads.Work(**{**work, "sizes": tuple(work["sizes"])})
        self._warm_up(wanted)
        data, made = workloads.data(wanted), list[engine.Call]()

        def first() -> None:
            made.append(self.engine.prepare(wanted, data))
            made[0]()

        memory, results = resident_memory.extra(first), self.engine.result()
        if memory is not None:
            memory = max(0, memory - sum(array.nbytes for array in results.values()))
        with Path(save).open("wb") as file:
            np.savez(file, **results)  # type: ignore[arg-type]
        self.call = made[0]
        calls = timer.calls_for(self.call)
        timer.quiet()
        return {"calls": calls, "memory": memory}

    def _warm_up(self, work: workloads.Work) -> None:
        """A few rows, for which a library loads and makes what it needs once in its life."""
        n, *widths = work.sizes
        few = replace(work, sizes=(min(n, FEW), *widths))
        self.engine.prepare(few, workloads.data(few))()
        self.engine.forget()

    def time(self, calls: int) -> dict[str, Any]:
        """A quarter of the calls to warm up, and then all of them on the clock."""
        if self.call is None:
            raise RuntimeError("time: there is no work in hand; prepare one first")
        timer.elapsed(self.call, -(-calls // 4))
        seconds = timer.elapsed(self.call, calls)
        timer.quiet()
        return {"seconds": seconds}

    def peak(self, dtype: str) -> dict[str, Any]:
        flops = timer.peak(dtype)
        timer.quiet()
        return {"flops": flops}

    def forget(self) -> dict[str, Any]:
        """Frees the memory of the last work."""
        self.call = None
        self.engine.forget()
        return {}


def serve(worker: Worker, requests: IO[str], answers: IO[str]) -> None:
    """Answers until there are no more requests."""
    for line in requests:
        request = json.loads(line)
        try:
            answer = {name: getattr(worker, name) for name in REQUESTS}[request.pop("do")](**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    name, threads = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    where = {entry.name: entry.where for entry in engine.ENTRIES}.get(name, name)
    serve(Worker(where, int(threads)), sys.stdin, answers)


if __name__ == "__main__":
    main()
