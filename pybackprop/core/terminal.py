"""Consoles for tables: a terminal, or text of a fixed width for files and pipes. Loads rich."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError  # handled by the command line; rich would end the process with an error


def stdout_console(width: int) -> Console:
    """stdout. width: of the text in columns, used where stdout is not a terminal."""
    console = _Console(highlight=False)
    return console if console.is_terminal else _Console(width=width, highlight=False)


def stderr_console() -> Console:
    """stderr, for progress."""
    return _Console(stderr=True)
