"""A line on stderr that says what is being measured; nothing where stderr is no terminal."""

from __future__ import annotations

from types import TracebackType

from rich.status import Status

from pybackprop.core.terminal import stderr_console


class Steps:
    """Shows what `say` was last given."""

    def __init__(self) -> None:
        console = stderr_console()
        self.status = Status("", console=console) if console.is_terminal else None

    def __enter__(self) -> Steps:
        if self.status is not None:
            self.status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.status is not None:
            self.status.stop()

    def say(self, text: str) -> None:
        if self.status is not None:
            self.status.update(text)
