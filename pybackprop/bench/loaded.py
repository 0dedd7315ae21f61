"""`bench --loaded`: our engines beside busy processes, on several threads and on one, in turns."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

from rich import box
from rich.table import Table

from pybackprop.bench.engines.engine import Entry
from pybackprop.bench.processes import DiedError, EngineProcesses, FailedError, environment, only_cores
from pybackprop.bench.workloads import Workload
from pybackprop.core import settings
from pybackprop.core.terminal import stdout_console
from pybackprop.core.units import seconds_text

NEIGHBOURS = 2  # busy processes
BUSY = "from pybackprop.core.parent import end_with_parent\nend_with_parent()\nwhile True: pass"
SAMPLE = 10  # times as long as those of a quiet machine, so that each meets the neighbours' time slices
ROUNDS = 11  # least, where no number is asked for
LIMIT = 1.15  # times of one thread that several may take
WIDTH = 150


@contextmanager
def neighbours(count: int, cores: int) -> Iterator[None]:
    """So many processes keep the cores busy that engines with so many threads are given."""
    with only_cores(cores):
        busy = [subprocess.Popen([sys.executable, "-c", BUSY], env=environment(1, None)) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
        for process in busy:
            process.wait()


def measure(
    works: Sequence[Workload],
    entries: Sequence[Entry],
    rounds: int,
    kernel: str | None,
) -> dict[str, Any]:
    """Seconds per call of our engines for each work of several threads, on them and on one.

    ratio: the median over the rounds of the time on several threads by that on one.
    """
    found = []
    with EngineProcesses(kernel) as processes:
        for work in [each for each in works if each.threads > 1]:
            for entry in [each for each in entries if each.ours and each.does(work)]:
                found.append({"name": work.name, "label": work.label, "engine": entry.name, "threads": work.threads})
                try:
                    found[-1] |= _times(work, entry, rounds, processes)
                except (FailedError, DiedError) as error:
                    found[-1] |= {"status": error.status, "why": str(error)}
    return {"neighbours": NEIGHBOURS, "limit": LIMIT, "rounds": rounds, "cpu": settings.cpu(), "works": found}


def _times(work: Workload, entry: Entry, rounds: int, processes: EngineProcesses) -> dict[str, Any]:
    calls, _, _ = processes.prepare(entry, work)
    calls *= SAMPLE if calls > 1 else 1
    seconds: dict[int, list[float]] = {1: [], work.threads: []}
    with neighbours(NEIGHBOURS, work.threads):
        for number in range(rounds):
            for threads in sorted(seconds, reverse=number % 2 > 0):
                processes.ask(entry, work.threads, "threads", count=threads)
                sample = processes.ask(entry, work.threads, "time", calls=calls)["seconds"]
                seconds[threads].append(sample / calls)
    one, several = seconds[1], seconds[work.threads]
    ratio = median(b / a for a, b in zip(one, several, strict=True))
    return {"status": "ok", "calls": calls, "one": one, "several": several, "ratio": ratio}


def show(report: Mapping[str, Any]) -> None:
    """A table of the works; what went wrong."""
    title = f"Beside {report['neighbours']} busy processes"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for head in ("workload", "engine"):
        table.add_column(head, no_wrap=True)
    for head in ("threads", "one thread", "all", "all / one", "limit"):
        table.add_column(head, justify="right")
    for work in report["works"]:
        cells = [work["status"], "", ""]
        if work["status"] == "ok":
            cells = [*(seconds_text(median(work[name])) for name in ("one", "several")), f"{work['ratio']:.2f}"]
        table.add_row(work["label"], work["engine"], str(work["threads"]), *cells, f"{report['limit']}")
    console = stdout_console(WIDTH)
    console.print(report["cpu"], markup=False)
    console.print(table)
    for work in report["works"]:
        if "why" in work:
            console.print(f"{work['name']}: {work['engine']} {work['why']}", markup=False, soft_wrap=True)
