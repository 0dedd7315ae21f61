"""`pybackprop lab machine`."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_parser(commands: Any) -> None:
    """Adds `lab machine` to the command line."""
    machine = commands.add_parser(
        "machine",
        help="what this machine can do, measured: peaks, bandwidth, latencies, overheads, and whether it is quiet",
        description="Measures this machine, and keeps the numbers for 30 days. In which state it is now, whether other "
        "programs or a neighbour on the same hardware disturb it, is looked at each time.",
    )
    machine.add_argument("--fresh", action="store_true", help="measure again, though there are numbers from before")
    machine.add_argument("--quick", action="store_true", help="a third of the samples; not kept")
    machine.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    machine.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    from pybackprop.lab import fitness, measuring
    from pybackprop.lab.machine import known, measure
    from pybackprop.lab.progress import Steps

    threads = measure.thread_counts()[-1]
    with Steps() as steps:
        report, notes = known.report(options.fresh, options.quick, steps.say)
        now = measuring.run("fitness", threads, {"threads": threads, **fitness.best_of(report["fitness"])}, steps.say)
    if options.json:
        print(json.dumps({**report, "now": now, "notes": notes}))
        return 0
    from pybackprop.lab.machine import table

    said = [f"now, {line}" if number == 0 else line for number, line in enumerate(fitness.sentences(now))]
    table.show(report, [*notes, *table.state_notes(report), *said])
    return 0
