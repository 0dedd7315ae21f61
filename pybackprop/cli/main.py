"""The command line: one command, from the list in `commands.py`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from pybackprop.cli.arguments import Parser
from pybackprop.cli.commands import COMMANDS, Listed, module_of
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
            given = sys.argv[1:] if arguments is None else arguments
            options = parser(_command_in(given)).parse_args(given, argparse.Namespace(main=main, command_line=parser))
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


def parser(command: str | None = None) -> Parser:
    """The command line with the options of one command, or of all; of others it knows the name and a line of help.

    So a command loads what it needs, and --help nothing.
    """
    top = Parser(
        prog="pybackprop", description="mse(relu(x @ w + b)), forward and backward: train it, explain it, measure it"
    )
    top.add_argument("--version", action="version", version=f"pybackprop {__version__}")
    listed = Listed(top.add_subparsers(title="commands", required=True, metavar="COMMAND"))
    for name in COMMANDS:
        if command in (None, name):
            module_of(name).add_parser(listed)
        else:
            listed.add_parser(name)
    return top


def _command_in(arguments: Sequence[str]) -> str:
    """The command among the arguments; no option before it has a value. Empty if there is none, as in --help."""
    return next((word for word in arguments if not word.startswith("-")), "")
