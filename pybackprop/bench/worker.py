"""The process of an engine: python -m pybackprop.bench.worker ENGINE THREADS

ENGINE is a name in engines.ENTRIES, or 'module:class'. For each line of JSON on stdin there is one on stdout:

{"do": "describe"}                             -> {"about": {...}, "pools": [...]}
{"do": "prepare", "workload": {...}, "save": path} -> {"calls": n, "memory": bytes}; a call's results are saved
{"do": "time", "calls": n}                     -> {"seconds": s}      of n calls together
{"do": "threads", "count": n}                  -> {}                  for an engine of ours
{"do": "peak", "dtype": d}                     -> {"flops": f}        per second
{"do": "bandwidth", "dtype": d, "size": n}     -> {"bytes": f}        per second, moved as an update does
{"do": "forget"}                               -> {}

If a request raises, the answer is {"error": "..."}. The process exits at the end of stdin.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop.bench import resident_memory, timer, workloads
from pybackprop.bench.engines import engine
from pybackprop.bench.requests import serve
from pybackprop.core import settings
from pybackprop.core.parent import end_with_parent

FEW = 16  # rows, of which a classification has one of each class
REQUESTS = ("describe", "prepare", "time", "threads", "peak", "bandwidth", "forget")


class Worker:
    """One engine and its current workload. The public methods are the requests."""

    engine: engine.Engine

    def __init__(self, where: str, threads: int) -> None:
        self.engine = engine.load(where, threads)
        self.call: engine.Call | None = None

    def describe(self) -> dict[str, Any]:
        return {"about": self.engine.about(), "pools": engine.pools()}

    def prepare(self, workload: dict[str, Any], save: str) -> dict[str, Any]:
        """Makes the data, runs the workload once and saves the results, then finds how many calls make a sample.

        memory: the peak of resident bytes while preparing and running it once, beyond data, parameters and results.
        """
        self.forget()
        current = workloads.Workload(**{**workload, "sizes": tuple(workload["sizes"])})
        self._warm_up(current)
        data, calls_made = workloads.data(current), list[engine.Call]()

        def first() -> None:
            calls_made.append(self.engine.prepare(current, data))
            calls_made[0]()

        memory, results = resident_memory.extra(first), self.engine.result()
        if memory is not None:
            memory = max(0, memory - sum(array.nbytes for array in results.values()))
        with Path(save).open("wb") as file:
            np.savez(file, **results)  # type: ignore[arg-type]
        self.call = calls_made[0]
        calls = timer.calls_for(self.call)
        timer.quiet()
        return {"calls": calls, "memory": memory}

    def _warm_up(self, workload: workloads.Workload) -> None:
        """Runs a few rows, so that one-time loading and allocation is not measured."""
        n, *widths = workload.sizes
        few = replace(workload, sizes=(min(n, FEW), *widths))
        self.engine.prepare(few, workloads.data(few))()
        self.engine.forget()

    def time(self, calls: int) -> dict[str, Any]:
        """Warms up with a quarter of the calls, then times all of them."""
        if self.call is None:
            raise RuntimeError("time: no workload is prepared")
        return {"seconds": timer.sample(self.call, calls)}

    def threads(self, count: int) -> dict[str, Any]:
        """Lets an engine of ours use so many threads, at most those it was started for."""
        settings.set_threads(count)
        return {}

    def peak(self, dtype: str) -> dict[str, Any]:
        flops = timer.peak(dtype)
        timer.quiet()
        return {"flops": flops}

    def bandwidth(self, dtype: str, size: int) -> dict[str, Any]:
        return {"bytes": timer.bandwidth(dtype, size)}

    def forget(self) -> dict[str, Any]:
        """Frees the memory of the last workload."""
        self.call = None
        self.engine.forget()
        return {}


def main() -> None:
    end_with_parent()
    name, threads = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries' output goes to stderr; stdout is for answers
    where = {entry.name: entry.where for entry in engine.ENTRIES}.get(name, name)
    worker = Worker(where, int(threads))
    if not worker.engine.follow():
        serve(worker, REQUESTS, sys.stdin, answers)
        worker.engine.close()


if __name__ == "__main__":
    main()
