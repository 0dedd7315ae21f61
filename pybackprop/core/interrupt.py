"""Ctrl-C while the command line is loading.

Both `pybackprop` and `python -m pybackprop` import the package, and numpy with it, before their own code can catch a
KeyboardInterrupt; numpy turns one inside its own imports into an ImportError of many lines.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

CODE = 128 + signal.SIGINT


def exit_quietly_while_loading() -> None:
    """If this process is the pybackprop command, Ctrl-C ends it with exit code 130 and no traceback from now on."""
    if (
        is_command()
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _exit)


def raise_again() -> None:
    """Undoes `exit_quietly_while_loading`: Ctrl-C raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _exit:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def is_command() -> bool:
    """Whether this process was started as `pybackprop` or `python -m pybackprop`."""
    arguments = sys.orig_argv
    if "-m" in arguments[:-1]:
        return arguments[arguments.index("-m") + 1] == "pybackprop"
    program = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    return program.removesuffix(".exe") == "pybackprop"


def _exit(number: int, frame: FrameType | None) -> None:
    os._exit(CODE)
