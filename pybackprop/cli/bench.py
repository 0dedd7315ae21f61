"""`pybackprop bench`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pybackprop.cli.arguments import whole_number
from pybackprop.core import plotting, settings
from pybackprop.core.suggestions import suggest

MOST_THREADS = 2
BUSY = 0.5  # load average above which the report warns


def add_parser(commands: Any) -> None:
    """Adds `bench` to the command line."""
    bench = commands.add_parser(
        "bench",
        description="Checks every engine's results against float64, then times the engines in turn, each in its own "
        "process with the same number of threads. Engines that are not installed are left out.",
    )
    add = bench.add_argument
    level = bench.add_mutually_exclusive_group()
    level.add_argument("--quick", action="store_true", help="fewer workloads and rounds: under a minute")
    level.add_argument(
        "--full", action="store_true", help="more workloads and rounds, all also in float64 and on one thread"
    )
    add(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="workloads whose name contains TEXT; may be repeated",
    )
    add(
        "--loaded",
        action="store_true",
        help="our engines beside two busy processes: several threads may take at most 1.15 times as long as one",
    )
    add("--list", action="store_true", help="list the names of the workloads instead of running them")
    add("--engines", type=_names, metavar="NAME,NAME", help="numpy, pybackprop, plan, torch, jax, ...")
    add("--threads", type=whole_number, default=MOST_THREADS, metavar="N", help=f"most threads ({MOST_THREADS}); 1 too")
    add("--rounds", type=whole_number, metavar="N", help="samples of each engine on each workload")
    add("--kernel", metavar="NAME", help="this kernel of ours instead of the fastest: see 'pybackprop info'")
    add("--plot", type=Path, metavar="FILE.png", help="draw rates as bars, and how they grow with sizes as curves")
    add("--json", action="store_true", help="print one JSON object with every time instead of tables")
    bench.set_defaults(command=run)


def _names(text: str) -> list[str]:
    from pybackprop.bench.engines.engine import ENTRIES

    known, names = [entry.name for entry in ENTRIES], [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(
                f"found {name!r}, expected some of {', '.join(known)}{suggest(name, known)}"
            )
    return names


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    from pybackprop.bench import workloads
    from pybackprop.bench.processes import cores
    from pybackprop.bench.schedule import Bench

    level = workloads.QUICK if options.quick else workloads.FULL if options.full else workloads.USUAL
    chosen = workloads.select(level, min(cores(), options.threads), options.only)
    if options.list:
        print(*[workload.name for workload in chosen], sep="\n")
        return 0
    if options.plot is not None:
        plotting.check(options.plot)
    if options.kernel is not None and options.kernel not in settings.kernels():
        possible = ", ".join(settings.kernels())
        raise ValueError(f"--kernel: {options.kernel!r} is not among the kernels this CPU can run: {possible}")
    entries, notes = _entries(options.engines)
    if options.threads > cores():
        notes.append(f"--threads {options.threads}: this process may use {cores()} cores, so it uses no more")
    rounds = options.rounds or {workloads.QUICK: 3, workloads.USUAL: 7, workloads.FULL: 11}[level]
    if options.loaded:
        return _run_loaded(chosen, entries, rounds, options)
    return _run(Bench(chosen, entries, rounds, options.kernel), notes, options)


def _run_loaded(chosen: list[Any], entries: list[Any], rounds: int, options: argparse.Namespace) -> int:
    """The works of several threads beside busy processes; the exit code, 1 if one of them failed."""
    from pybackprop.bench import loaded

    if not any(work.threads > 1 for work in chosen):
        raise ValueError("--loaded: compares several threads with one, and there is only one: see --threads, --only")
    report = loaded.measure(chosen, entries, options.rounds or max(rounds, loaded.ROUNDS), options.kernel)
    if options.json:
        print(json.dumps(report))
    else:
        loaded.show(report)
    return int(any(work["status"] != "ok" for work in report["works"]))


def _entries(names: list[str] | None) -> tuple[list[Any], list[str]]:
    """(the chosen engines that are installed, a note on each one that is not)."""
    from pybackprop.bench.engines.engine import ENTRIES

    chosen = [entry for entry in ENTRIES if names is None or entry.name in names]
    missing = [entry for entry in chosen if entry.missing()]
    notes = [f"{entry.name}: left out, it is not installed" for entry in missing]
    installed = [entry for entry in chosen if entry not in missing]
    if not installed:
        raise ValueError(f"--engines: none of them is installed: {', '.join(entry.name for entry in chosen)}")
    return installed, notes


def _bandwidth(threads: int, notes: list[str]) -> list[dict[str, Any]]:
    """GB/s of reading from each cache and from memory by so many threads, in about a second; none if it fails."""
    from pybackprop.bench.processes import DiedError
    from pybackprop.lab import measuring

    try:
        found: dict[str, Any] = measuring.run("reading", threads, {"threads": threads})
    except (DiedError, RuntimeError, OSError) as error:
        notes.append(f"bandwidth: not measured: {error}")
        return []
    rows: list[dict[str, Any]] = found["bandwidth"]
    return rows


def _run(bench: Any, notes: list[str], options: argparse.Namespace) -> int:
    """The bench and its report; the exit code, 1 if an engine of ours was wrong or died."""
    from pybackprop.bench import table
    from pybackprop.bench.report import report

    interrupted = False
    with table.Progress(bench) as progress:
        try:
            bench.run(progress.turn)
        except KeyboardInterrupt:
            interrupted = True
    if bench.load > BUSY:
        notes.append(f"the load was {bench.load:.1f} before the start: with other programs running, times are too long")
    bandwidth = [] if interrupted else _bandwidth(max(workload.threads for workload in bench.workloads), notes)
    numbers = {**report(bench, notes, interrupted), "bandwidth": bandwidth}
    if options.json:
        print(json.dumps(numbers))
    else:
        table.show(numbers)
    if options.plot is not None:
        from pybackprop.bench import plot

        plot.draw(options.plot, numbers)
    if interrupted:
        raise KeyboardInterrupt  # main turns it into the exit code
    ours = {entry.name for entry in bench.entries if entry.ours}
    states = [timing.status for result in bench.results for name, timing in result.engines.items() if name in ours]
    return int(any(state != "ok" for state in states))
