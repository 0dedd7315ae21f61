"""The command line: train, sweep, predict and export, explain, judge and learn, memory, bench, lab, selftest and info."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from pybackprop.cli import bench, explain, export, info, judge, lab, memory, predict, selftest, sweep, train
from pybackprop.cli.arguments import Parser
from pybackprop.core.errors import DivergedError
from pybackprop.core.interrupt import exit_quietly, raise_again
from pybackprop.core.printable import printable
from pybackprop.core.version import __version__

INTERRUPTED = 128 + signal.SIGINT
LINES = "\n\t"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0 for success, 1 for an error (on stderr), 130 if interrupted.

    arguments: by default sys.argv[1:]. Raises SystemExit(2) for wrong usage, and SystemExit(0) after --help.
    """
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output has exited, as in `| head`
        _discard_output()
        return 0


def _run(arguments: Sequence[str] | None) -> int:
    try:
        try:
            raise_again()
            options = parser().parse_args(arguments)
            return int(options.command(options))
        finally:
            exit_quietly()
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except (ValueError, TypeError, RuntimeError, DivergedError, OSError, MemoryError, ImportError) as error:
        _say(f"error: {error or type(error).__name__}")
        return 1
    except SystemExit:  # from --help, --version and wrong usage
        sys.stdout.flush()
        raise


def _say(message: str) -> None:
    print(f"pybackprop: {printable(message, keep=LINES)}", file=sys.stderr)


def _discard_output() -> None:
    """Discards buffered output; otherwise the interpreter would fail again when it flushes the pipe at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def parser() -> Parser:
    """The whole command line."""
    top = Parser(
        prog="pybackprop", description="mse(relu(x @ w + b)), forward and backward: train it, explain it, measure it"
    )
    top.add_argument("--version", action="version", version=f"pybackprop {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    train.add_parser(commands)
    sweep.add_parser(commands)
    predict.add_parser(commands)
    export.add_parser(commands)
    info.add_parser(commands)
    bench.add_parser(commands)
    lab.add_parser(commands)
    explain.add_parser(commands)
    judge.add_parsers(commands)
    memory.add_parser(commands)
    selftest.add_parser(commands, main)
    return top
