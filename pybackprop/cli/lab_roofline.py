"""`pybackprop lab roofline`."""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from pybackprop.cli.arguments import sizes, whole_number
from pybackprop.core import available_memory, plotting, settings
from pybackprop.core.units import bytes_text

SIZES, BATCH, ROUNDS = (784, 50, 10), 64, 15


def add_parser(commands: Any) -> None:
    """Adds `lab roofline` to the command line."""
    roofline = commands.add_parser(
        "roofline",
        help="a model's operations under this machine's roof: what bounds each, and what it would take",
        description="Times each operation of a step and compares it with what this machine could reach: the peak of "
        "its multiply-adds, or what the level of memory that holds the operands can feed. Measures the machine first "
        "if that has not been done: see 'pybackprop lab machine'.",
    )
    add = roofline.add_argument
    add("model", nargs="?", type=Path, metavar="MODEL.npz", help="a saved model, instead of --sizes")
    add("--sizes", type=sizes, default=SIZES, metavar="N,N,N", help="inputs, hidden, outputs (784,50,10)")
    add("--batch", type=whole_number, default=BATCH, metavar="N", help=f"rows in a step ({BATCH})")
    add("--dtype", choices=["float32", "float64"], default="float32", help="of a model by --sizes (float32)")
    add("--threads", type=whole_number, metavar="N", help="most threads (those in use)")
    add("--rounds", type=whole_number, default=ROUNDS, metavar="N", help=f"samples of each operation ({ROUNDS})")
    add("--plot", type=Path, metavar="FILE.png", help="draw the roofline")
    add("--json", action="store_true", help="print one JSON object instead of a table")
    roofline.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    from pybackprop.bench.processes import cores

    if options.plot is not None:
        plotting.check(options.plot)
    if len(options.sizes) < 2:
        raise ValueError(f"--sizes: found {len(options.sizes)}, expected at least inputs and outputs")
    threads = options.threads or min(settings.threads(), cores())
    if threads > cores():
        raise ValueError(f"--threads: this process may use {cores()} processors; more threads would take turns on them")
    if options.model is None:
        _check_memory(options)
    report = _measured(options, threads)
    if options.json:
        print(json.dumps(report))
    else:
        from pybackprop.lab.roofline import table

        table.show(report)
    if options.plot is not None:
        from pybackprop.lab.roofline import plot

        plot.draw(options.plot, report)
    return 0


def _check_memory(options: argparse.Namespace) -> None:
    widths, free = options.sizes, available_memory.available()
    pairs = sum(m * h for m, h in pairwise(widths))
    needed = 6 * (8 if options.dtype == "float64" else 4) * (pairs + options.batch * sum(widths))
    if free is not None and needed > free:
        raise ValueError(f"--sizes, --batch: need about {bytes_text(needed)}, and {bytes_text(free)} are free")


def _measured(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    from pybackprop.lab import fitness, measuring
    from pybackprop.lab.machine import known
    from pybackprop.lab.progress import Steps
    from pybackprop.lab.roofline import roof
    from pybackprop.train.model_file import load

    if options.model is not None:
        load(options.model)  # raises what is wrong with it, before anything is measured
    with Steps() as steps:
        machine, notes = known.report(on_step=steps.say)
        arguments = {
            "sizes": options.sizes,
            "path": None if options.model is None else str(options.model.resolve()),
            **{name: getattr(options, name) for name in ("batch", "dtype", "rounds")},
            "kernel": settings.kernel(),
            "threads": threads,
            "best": fitness.best_of(machine["fitness"]),
        }
        found = measuring.run("roofline", threads, arguments, steps.say)
    over = roof.roof(machine, found["kernel"], found["dtype"], threads)
    rows = [roof.placed(row, over) for row in found["operations"]]
    return {
        **found,
        "cpu": machine["machine"]["cpu"],
        "operations": rows,
        "roof": roof.told(over),
        "notes": notes,
    }
