"""`pybackprop lab ladder` and `pybackprop lab show`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pybackprop.cli.arguments import sizes, whole_number
from pybackprop.core import plotting

NAMES = ("matmul", "linear", "backward_w", "step")
ROUNDS = 5


def add_parser(commands: Any) -> None:
    """Adds `ladder` and `show` to `pybackprop lab`."""
    ladder = commands.add_parser(
        "ladder",
        help="one operation from the naive loop to the library's kernel, rung by rung",
        description="Compiles some ten versions of the same operation with $CC or cc, checks each bit for bit against "
        "the definition, and times them beside the library's own kernel and numpy. 'pybackprop lab show RUNG' prints "
        "the source of a rung.",
    )
    add = ladder.add_argument
    add("ladder", nargs="?", choices=NAMES, default=NAMES[0], metavar="LADDER", help=f"{', '.join(NAMES)} (matmul)")
    add("--size", type=sizes, metavar="N,N,N", help="the sizes to time, or one number for all of them")
    add("--threads", type=whole_number, metavar="N", help="most threads (2, if there are two cores)")
    add("--rounds", type=whole_number, default=ROUNDS, metavar="N", help=f"samples of each rung ({ROUNDS})")
    add("--plot", type=Path, metavar="FILE.png", help="draw the rates as bars")
    add("--json", action="store_true", help="print one JSON object with every time")
    ladder.set_defaults(command=run)
    show = commands.add_parser("show", help="print the source of a rung")
    show.add_argument("name", metavar="RUNG", help="a rung, a ladder, or a file that one of them includes")
    show.add_argument("--ladder", choices=NAMES, help="of this ladder, where a rung differs between them")
    show.set_defaults(command=run_show)


def run(options: argparse.Namespace) -> int:
    """Runs `ladder`; the exit code."""
    from rich.status import Status

    from pybackprop.core.terminal import stderr_console, stdout_console
    from pybackprop.lab import climb, show
    from pybackprop.lab.ladders import LADDERS

    if options.plot is not None:
        plotting.check(options.plot)
    console = stderr_console()
    with Status("", console=console) as status:
        turn = status.update if console.is_terminal else lambda text: None
        report = climb.climb(LADDERS[options.ladder], options.size, options.threads, options.rounds, turn)
    if options.json:
        print(json.dumps(report))
    else:
        show.show_ladder(report, stdout_console(show.WIDTH))
    if options.plot is not None:
        from pybackprop.lab import plot

        plot.draw(options.plot, report)
    return int(not climb.is_right(report))


def run_show(options: argparse.Namespace) -> int:
    """Runs `show`; the exit code."""
    from pybackprop.lab.ladders import shown

    print(shown(options.name, options.ladder), end="")
    return 0
