"""`pybackprop learn`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

USAGE = 2


def add_parser(commands: Any) -> None:
    """Adds `learn` to the command line."""
    learn = commands.add_parser(
        "learn",
        description="A guided series of exercises in the terminal; each answer is judged. Ctrl-D quits and keeps the "
        "progress for next time.",
    )
    learn.add_argument(
        "--progress", type=Path, metavar="FILE", help="keep progress in FILE instead of the state folder"
    )
    learn.add_argument("--step", type=int, metavar="N", help="begin with exercise N, see --list")
    learn.add_argument("--restart", action="store_true", help="delete all progress")
    learn.add_argument("--list", action="store_true", help="list the exercises and which are done")
    learn.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    from pybackprop.teach.learn.exercises import exercises
    from pybackprop.teach.learn.steps import STEPS

    lesson = exercises(options.progress)
    if options.restart:
        lesson.restart()
    if options.step is not None:
        if not 1 <= options.step <= len(STEPS):
            print(f"pybackprop learn: --step: found {options.step}, expected 1 to {len(STEPS)}", file=sys.stderr)
            return USAGE
        lesson.goto(options.step)
    if options.list:
        print(lesson.overview())
        return 0
    if sys.stdin.isatty():
        import contextlib

        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 (gives the prompt a history)
    try:
        lesson.run()
    except KeyboardInterrupt:
        print(f"\n{lesson.so_far()}")
        return 130
    return 0
