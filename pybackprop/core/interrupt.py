"""Ctrl-C on the command line: quiet while it loads and ends, and at safe points of a training.

Both `pybackprop` and `python -m pybackprop` import the package, and numpy with it, before their own code can catch a
KeyboardInterrupt; numpy turns one inside its own imports into an ImportError of many lines. Python itself prints a
traceback for one while it shuts down. And one between any two instructions of a training may strike in a callback of
the garbage collector, where it is lost, or in the progress bar between taking a lock and noting that, after which
stopping the bar waits for ever.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

CODE = 128 + signal.SIGINT


def exit_quietly() -> None:
    """If this process is the pybackprop command, Ctrl-C ends it with exit code 130 and no traceback from now on."""
    if is_command() and _raises():
        signal.signal(signal.SIGINT, _exit)


def raise_again() -> None:
    """Undoes `exit_quietly`: Ctrl-C raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _exit:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def is_command() -> bool:
    """Whether this process was started as `pybackprop` or `python -m pybackprop`."""
    arguments = sys.orig_argv
    if "-m" in arguments[:-1]:
        return arguments[arguments.index("-m") + 1] == "pybackprop"
    program = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    return program.removesuffix(".exe") == "pybackprop"


class AtSafePoints:
    """While this is open, Ctrl-C is noted, and `check` raises KeyboardInterrupt; a second one ends the process at once.

    Does nothing outside the main thread, and where Ctrl-C has a handler of the program's own.
    """

    installed: bool
    noted: bool

    def __enter__(self) -> AtSafePoints:
        self.noted, self.installed = False, _raises()
        if self.installed:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self.installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raises KeyboardInterrupt if Ctrl-C was pressed."""
        if self.noted:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted:
            os._exit(CODE)
        self.noted = True


def _raises() -> bool:
    """Whether Ctrl-C raises KeyboardInterrupt in this thread."""
    in_main = threading.current_thread() is threading.main_thread()
    return in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _exit(number: int, frame: FrameType | None) -> None:
    os._exit(CODE)
