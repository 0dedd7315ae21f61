"""`pybackprop lab sweep` and `lab diff`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pybackprop.cli.arguments import whole_number
from pybackprop.core import available_memory, plotting
from pybackprop.core.suggestions import suggest
from pybackprop.core.units import bytes_text

ROUNDS = 15
OPS = ("matmul", "linear", "backward_w", "backward_x", "step")


def add_parser(commands: Any) -> None:
    """Adds `lab sweep` and `lab diff` to the command line."""
    sweep = commands.add_parser(
        "sweep",
        help="an operation over a grid of sizes, kernels, threads, tiles and dtypes",
        description="Times every combination of the values given, in turns and in random order, in a process of its "
        "own, and repeats what was measured while the machine was not quiet. Values are separated by commas.",
    )
    add = sweep.add_argument
    add("op", choices=OPS, help="linear: x @ w + b; step: forward and backward of a network, as a plan")
    add("--shapes", type=_shapes, default=[], metavar="AxBxC,...", help="sizes; of a step: rows, then the widths")
    add("--kernels", type=_words, default=[], metavar="NAME,NAME", help="see 'pybackprop info'")
    add("--threads", type=_numbers, default=[], metavar="N,N")
    add("--dtypes", type=_dtypes, default=[], metavar="NAME,NAME", help="float32, float64")
    add("--blocks", type=_numbers, default=[], metavar="BYTES,BYTES", help="of a packed block, 4096 to 4194304")
    add("--depths", type=_numbers, default=[], metavar="N,N", help="of a block along the inner axis, 8 to 2048")
    add("--rounds", type=whole_number, default=ROUNDS, metavar="N", help=f"samples of each combination ({ROUNDS})")
    add("--seed", type=int, default=0, metavar="N", help="of the order in which they take turns (0)")
    add("--out", type=Path, action="append", default=[], metavar="FILE", help=".json or .csv; may be repeated")
    add("--plot", type=Path, metavar="FILE.png", help="draw the heat maps")
    add("--json", action="store_true", help="print one JSON object instead of tables")
    sweep.set_defaults(command=run)
    diff = commands.add_parser(
        "diff",
        help="which differences between two sweeps are real; the exit code is 1 if any is",
        description="Compares the points that two results of 'lab sweep --out FILE.json' have in common. A difference "
        "is real if the intervals of the medians do not overlap, a rank test, corrected for the number of points, "
        "gives less than 1 %, and it is more than the machine itself may have changed. "
        "Exit code: 1 if there is one, 0 if not.",
    )
    diff.add_argument("first", type=Path, metavar="a.json")
    diff.add_argument("second", type=Path, metavar="b.json")
    diff.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    diff.set_defaults(command=run_diff)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    return [whole_number(word) for word in _words(text)]


def _dtypes(text: str) -> list[str]:
    known = ["float32", "float64"]
    for word in _words(text):
        if word not in known:
            raise argparse.ArgumentTypeError(f"found {word!r}, expected float32 or float64{suggest(word, known)}")
    return _words(text)


def _shapes(text: str) -> list[tuple[int, ...]]:
    return [tuple(whole_number(part) for part in word.split("x")) for word in _words(text)]


def run(options: argparse.Namespace) -> int:
    """Runs `lab sweep`; the exit code."""
    from pybackprop.bench.processes import cores
    from pybackprop.lab import fitness, measuring
    from pybackprop.lab.machine import store
    from pybackprop.lab.progress import Steps
    from pybackprop.lab.sweep import grid, result

    axes = {"shape": options.shapes, "dtype": options.dtypes, "kernel": options.kernels, "threads": options.threads}
    points = grid.points(options.op, {**axes, "block": options.blocks, "depth": options.depths})
    if max(point.threads for point in points) > cores():
        raise ValueError(f"--threads: this process may use {cores()} processors; more threads would take turns on them")
    needed = sum({(point.shape, point.dtype): point.bytes for point in points}.values())
    free = available_memory.available()
    if free is not None and needed > free:
        raise ValueError(f"--shapes: need about {bytes_text(needed)}, and {bytes_text(free)} are free")
    for file in options.out:
        result.check(file)
    if options.plot is not None:
        plotting.check(options.plot)
    known, _ = store.read()
    arguments = {
        "points": [point.to_dict() for point in points],
        "rounds": options.rounds,
        "seed": options.seed,
        "best": fitness.best_of(known["fitness"] if known else None),
    }
    with Steps() as steps:
        found = measuring.run("sweep", max(point.threads for point in points), arguments, steps.say)
    _give(found, options)
    return 0


def _give(found: dict[str, Any], options: argparse.Namespace) -> None:
    from pybackprop.lab.sweep import result

    if options.json:
        print(json.dumps(found))
    else:
        from pybackprop.lab.sweep import table

        table.show(found)
    for file in options.out:  # after it was shown: there may be no space
        result.write(file, found)
    if options.plot is not None:
        from pybackprop.lab.sweep import plot

        plot.draw(options.plot, found)


def run_diff(options: argparse.Namespace) -> int:
    """Runs `lab diff`; the exit code: 1 if a difference is real."""
    from pybackprop.lab.sweep import diff, result

    found = diff.compare(result.read(options.first), result.read(options.second))
    if options.json:
        print(json.dumps(found))
    else:
        from pybackprop.lab.sweep import table

        table.show_diff(found, (options.first.name, options.second.name))
    return int(found["real"] > 0)
