"""`pybackprop selftest`."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pybackprop.cli.arguments import amount, whole_number
from pybackprop.core import settings
from pybackprop.core.suggestions import suggest
from pybackprop.selftest import FAILURES

if TYPE_CHECKING:
    from pybackprop.selftest.campaign import Result
    from pybackprop.selftest.run import Failure

MINUTES = 1.0
EVERY = 60.0  # seconds between two lines of progress


def add_parser(commands: Any) -> None:
    """Adds `selftest` to the command line."""
    parser = commands.add_parser(
        "selftest",
        description="Draws operations, networks and trainings at random, with hard values in hard places of memory, on "
        "every kernel and several threads, and compares each result with the definition, bit for bit. Damaged files, "
        "formulas and arguments must be refused properly. Exit code 0 if all is right, 1 if not.",
    )
    add, limit = parser.add_argument, parser.add_mutually_exclusive_group()
    limit.add_argument("--minutes", type=amount("minutes"), metavar="M", help=f"how long ({MINUTES:g})")
    limit.add_argument("--cases", type=whole_number, metavar="N", help="how many cases, instead of minutes")
    limit.add_argument("--case", type=_number, metavar="N", help="this case again, as a failure names it")
    add("--seed", type=_seed, metavar="S", help="which cases; without it others each time")
    add("--jobs", type=whole_number, metavar="N", help="processes (one for each CPU)")
    add("--failures", type=whole_number, default=FAILURES, metavar="N", help="stop after so many (%(default)s)")
    add("--only", type=_kinds, default=(), metavar="KIND,KIND", help="kinds of cases, or families: see --list")
    add("--list", action="store_true", help="list the kinds of cases instead of running any")
    add("--json", action="store_true", help="print one JSON object")
    add("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(command=run)


def _whole(text: str, below: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20 or int(text) >= below:
        raise argparse.ArgumentTypeError(f"found {text[:50]!r}, expected a whole number from 0 to {below - 1}")
    return int(text)


def _seed(text: str) -> int:
    from pybackprop.selftest.run import SEEDS

    return _whole(text, SEEDS)


def _number(text: str) -> int:
    from pybackprop.selftest.run import PER_SEED, SEEDS

    return _whole(text, SEEDS * PER_SEED)


def _kinds(text: str) -> tuple[str, ...]:
    from pybackprop.selftest.case import FAMILIES
    from pybackprop.selftest.run import KINDS

    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in (*FAMILIES, *KINDS):
            known = ", ".join((*FAMILIES, *KINDS))
            raise argparse.ArgumentTypeError(f"found {name!r}, expected some of {known}{suggest(name, KINDS)}")
    return names


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code. options.main: the whole command line."""
    if options.worker:
        from pybackprop.selftest.worker import serve

        return serve(options.main)
    if options.list:
        _list()
        return 0
    return _again(options) if options.case is not None else _campaign(options)


def _list() -> None:
    from pybackprop.selftest.run import KINDS

    for kind in KINDS.values():
        print(f"{kind.name:<20} {kind.family}")


def _again(options: argparse.Namespace) -> int:
    """One case, in this process."""
    from pybackprop.selftest.inputs.arguments import CommandLine, called
    from pybackprop.selftest.run import run_case

    CommandLine.run = called(options.main)
    outcome = run_case(options.case)
    if options.json:
        failure = None if outcome.failure is None else asdict(outcome.failure)
        told = {"case": options.case, "kind": outcome.kind.name, "comparisons": outcome.comparisons}
        print(json.dumps({**told, "failure": failure}))
    elif outcome.failure is not None:
        print(outcome.failure)
    else:
        print(f"case {options.case}, {outcome.kind.name}: {outcome.comparisons} comparisons, all right")
    return int(outcome.failure is not None)


def _campaign(options: argparse.Namespace) -> int:
    from pybackprop.selftest.campaign import Campaign, Limits, usual_jobs
    from pybackprop.selftest.run import SEEDS

    seconds = None if options.cases else 60 * (options.minutes or MINUTES)
    seed = secrets.randbelow(SEEDS) if options.seed is None else options.seed
    limits = Limits(options.cases, seconds, options.failures)
    campaign = Campaign(seed, limits, options.jobs or usual_jobs(), options.only)
    interrupted = False
    with _Progress(options.cases, seconds) as progress:
        try:
            campaign.run(progress.update)
        except KeyboardInterrupt:
            interrupted = True
    _report(campaign.result, options.json)
    if interrupted:
        raise KeyboardInterrupt  # main turns it into the exit code
    return int(bool(campaign.result.failures))


class _Progress:
    """On stderr a bar, or elsewhere than in a terminal a line each minute; and failures as they are found."""

    def __init__(self, cases: int | None, seconds: float | None) -> None:
        from rich import progress

        from pybackprop.core.terminal import stderr_console

        console = stderr_console()
        self.total = cases or seconds or 1
        self.by_cases = cases is not None
        self.failures = 0
        self.told = -EVERY
        self.bar = progress.Progress(
            progress.TextColumn("{task.fields[text]}"),
            progress.BarColumn(),
            progress.TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("selftest", total=self.total, text="starting")

    def __enter__(self) -> _Progress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def update(self, result: Result) -> None:
        done = result.count if self.by_cases else result.seconds
        text = f"{result.count:,} cases, {len(result.failures)} failures"
        self.bar.update(self.task, completed=min(done, self.total), text=text)
        for failure in result.failures[self.failures :]:
            self._say(f"{failure.kind} is wrong: pybackprop selftest --case {failure.case}")
        self.failures = len(result.failures)
        if self.bar.disable and result.seconds - self.told > EVERY:
            self.told = result.seconds
            self._say(f"{text} after {result.seconds:.0f} s")

    def _say(self, text: str) -> None:
        self.bar.console.print(f"pybackprop: {text}", markup=False, highlight=False)


def _report(result: Result, as_json: bool) -> None:
    """The summary, on stdout."""
    info = settings.info()
    machine = {name: info[name] for name in ("cpu", "cores", "kernels", "pool", "compiler", "numpy", "version")}
    if as_json:
        told = asdict(result) | {"cases": result.count, "kinds": dict(result.cases), "machine": machine}
        print(json.dumps(told))
        return
    for failure in result.failures:
        print(_printable(failure))
    rate = f", {result.count / result.seconds:,.0f} a second" if result.seconds else ""
    lines = {
        "machine": f"{machine['cpu']}, {machine['cores']} cores, {info['system']}",
        "kernels": ", ".join(machine["kernels"]),
        "built by": f"{machine['compiler']}, {info['pool'] or 'without threads'}",
        "seed": str(result.seed),
        "cases": f"{result.count:,} in {result.seconds:.1f} s by {result.jobs} processes{rate}",
        "comparisons": f"{result.comparisons:,}",
        "failures": str(len(result.failures)),
    }
    from pybackprop.cli import output

    output.table("selftest", lines)


def _printable(failure: Failure) -> str:
    encoding = sys.stdout.encoding or "ascii"
    text = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(failure))
    return text.encode(encoding, "backslashreplace").decode(encoding)


__all__ = ["add_parser", "run"]
