"""`pybackprop bench`: its options, and what it does with them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pybackprop.core import settings

MOST_THREADS = 2
BUSY = 0.5


def add_parser(commands: Any, whole: Callable[[str], int]) -> None:
    """whole: reads a whole number from 1."""
    bench = commands.add_parser(
        "bench",
        help="how fast, beside numpy, PyTorch and JAX, and beside what the CPU could do",
        description="Checks every engine's results against float64 and then times the engines in turn, each in a "
        "process of its own with the same threads. Those that are not installed are left out.",
    )
    given = bench.add_argument
    level = bench.add_mutually_exclusive_group()
    level.add_argument("--quick", action="store_true", help="fewer works and rounds: under a minute")
    level.add_argument("--full", action="store_true", help="more of them, float64 and single threads everywhere")
    given("--only", action="append", default=[], metavar="TEXT", help="works whose name holds it; may be repeated")
    given("--list", action="store_true", help="the names of the works that would be done, and nothing else")
    given("--engines", type=_names, metavar="NAME,NAME", help="numpy, pybackprop, plan, torch, jax")
    given("--threads", type=whole, default=MOST_THREADS, metavar="N", help=f"at most ({MOST_THREADS}), and 1")
    given("--rounds", type=whole, metavar="N", help="samples of each engine at each work")
    given("--kernel", metavar="NAME", help="one of ours, instead of the fastest: see 'pybackprop info'")
    given("--plot", type=Path, metavar="FILE.png", help="draw the rates as bars, and small products as curves")
    given("--json", action="store_true", help="one JSON object with every time, instead of tables")
    bench.set_defaults(command=run_bench)


def _names(text: str) -> list[str]:
    from pybackprop.bench.engines.engine import ENTRIES

    known, names = [entry.name for entry in ENTRIES], [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"found {name!r}, expected some of {', '.join(known)}")
    return names


def run_bench(options: argparse.Namespace) -> int:
    from pybackprop.bench import workloads
    from pybackprop.bench.processes import cores
    from pybackprop.bench.schedule import Bench

    level = workloads.QUICK if options.quick else workloads.FULL if options.full else workloads.USUAL
    chosen = workloads.select(level, min(cores(), options.threads), options.only)
    if options.list:
        print(*[work.name for work in chosen], sep="\n")
        return 0
    if options.plot is not None:
        from pybackprop.core import plotting

        plotting.check(options.plot)
    if options.kernel is not None and options.kernel not in settings.kernels():
        possible = ", ".join(settings.kernels())
        raise ValueError(f"--kernel: {options.kernel!r} is not among the kernels this CPU can run: {possible}")
    entries, notes = _entries(options.engines)
    if options.threads > cores():
        notes.append(f"--threads {options.threads}: this process may use {cores()} cores, so there were no more")
    rounds = options.rounds or {workloads.QUICK: 3, workloads.USUAL: 7, workloads.FULL: 11}[level]
    return _run(Bench(chosen, entries, rounds, options.kernel), notes, options)


def _entries(names: list[str] | None) -> tuple[list[Any], list[str]]:
    """(the engines asked for that are installed, a note on each that is not)."""
    from pybackprop.bench.engines.engine import ENTRIES

    wanted = [entry for entry in ENTRIES if names is None or entry.name in names]
    missing = [entry for entry in wanted if entry.missing()]
    notes = [f"{entry.name}: left out, it is not installed" for entry in missing]
    found = [entry for entry in wanted if entry not in missing]
    if not found:
        raise ValueError(f"--engines: none of them is installed: {', '.join(entry.name for entry in wanted)}")
    return found, notes


def _run(bench: Any, notes: list[str], options: argparse.Namespace) -> int:
    """The bench and its report; the exit code."""
    from pybackprop.bench import table
    from pybackprop.bench.report import report

    interrupted = False
    with table.Progress(bench) as progress:
        try:
            bench.run(progress.turn)
        except KeyboardInterrupt:
            interrupted = True
    if bench.load > BUSY:
        notes.append(f"the load was {bench.load:.1f} before the start: if others are running still, times are too long")
    found = report(bench, notes, interrupted)
    if options.json:
        print(json.dumps(found))
    else:
        table.show(found)
    if options.plot is not None:
        from pybackprop.bench import plot as picture

        picture.draw(options.plot, found)
    if interrupted:
        raise KeyboardInterrupt  # main knows what becomes of it
    return 0
