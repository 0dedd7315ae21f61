"""Ctrl-C: on the command line quiet while it loads and ends, and never lost; at safe points of a training.

Both `pybackprop` and `python -m pybackprop` import the package, and numpy with it, before their own code can catch a
KeyboardInterrupt; numpy turns one inside its own imports into an ImportError of many lines. Python itself prints a
traceback for one while it shuts down. A command imports more while it runs: there Ctrl-C waits for the import's end.
In a callback of the garbage collector a KeyboardInterrupt is lost: it is raised once more. And in a training it may
strike in the progress bar between taking a lock and noting that, after which stopping the bar waits for ever; or, in
any program, between two notes of one epoch, which then contradict each other.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, TypeVar

CODE = 128 + signal.SIGINT
SOON = 0.01  # seconds


def exit_quietly() -> None:
    """If this process is the pybackprop command, Ctrl-C ends it with exit code 130 and no traceback from now on.

    Raises KeyboardInterrupt if one is waiting for an import's end.
    """
    if not (is_command() and _raises()):
        return
    if signal.signal(signal.SIGINT, _exit) is _interrupt and signal.setitimer(signal.ITIMER_REAL, 0)[0] > 0:
        raise KeyboardInterrupt


def raise_again() -> None:
    """Undoes `exit_quietly`: Ctrl-C raises KeyboardInterrupt again, though not inside an import or a callback."""
    if signal.getsignal(signal.SIGINT) is not _exit:
        return
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _strike)
        sys.unraisablehook = _lost
        signal.signal(signal.SIGINT, _interrupt)
    else:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def is_command() -> bool:
    """Whether this process was started as `pybackprop` or `python -m pybackprop`."""
    arguments = sys.orig_argv
    if "-m" in arguments[:-1]:
        return arguments[arguments.index("-m") + 1] == "pybackprop"
    program = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    return program.removesuffix(".exe") == "pybackprop"


class _Noting:
    """While this is open, Ctrl-C is noted by `_note`, where it is ours to note."""

    usual: Any  # the handler before; None: Ctrl-C is not ours to note
    noted: bool

    def __enter__(self: N) -> N:
        self.noted, self.usual = False, None
        if self._is_ours():
            self.usual = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self.usual is not None:
            signal.signal(signal.SIGINT, self.usual)

    def _is_ours(self) -> bool:
        raise NotImplementedError

    def _note(self, number: int, frame: FrameType | None) -> None:
        raise NotImplementedError


N = TypeVar("N", bound=_Noting)


class AtSafePoints(_Noting):
    """While this is open, Ctrl-C is noted, and `check` raises KeyboardInterrupt; a second one ends the process at once.

    Does nothing outside the main thread, and where Ctrl-C has a handler of the program's own.
    """

    def check(self) -> None:
        """Raises KeyboardInterrupt if Ctrl-C was pressed."""
        if self.noted:
            raise KeyboardInterrupt

    def _is_ours(self) -> bool:
        return _raises()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted:
            os._exit(CODE)
        self.noted = True


class Deferred(_Noting):
    """While this is open, the first Ctrl-C waits for its end; a second one strikes at once.

    For a few lines that belong together. Does nothing outside the main thread, which alone gets signals.
    """

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self.noted:
            signal.raise_signal(signal.SIGINT)

    def _is_ours(self) -> bool:
        return _in_main_thread() and callable(signal.getsignal(signal.SIGINT))

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted:
            self.noted = False
            self.usual(number, frame)
        else:
            self.noted = True


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _raises() -> bool:
    """Whether Ctrl-C raises KeyboardInterrupt in this thread."""
    return _in_main_thread() and signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _interrupt)


def _exit(number: int, frame: FrameType | None) -> None:
    os._exit(CODE)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _imports(frame):
        signal.setitimer(signal.ITIMER_REAL, SOON)
    else:
        raise KeyboardInterrupt


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _strike(number: int, frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)


def _lost(unraisable: Any) -> None:
    if unraisable.exc_type is KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, SOON)
    else:
        sys.__unraisablehook__(unraisable)
