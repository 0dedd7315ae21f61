"""A bar of text in a notebook, rewritten in its place. It needs IPython, which notebooks have, and no widgets."""

from __future__ import annotations

import sys
import time
from typing import Any

from pybackprop.engine.records import Moment

WIDTH = 30  # characters
EVERY = 0.1  # seconds between two changes


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook. Does not load IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class TextBar:
    """Progress of plan.fit; the last state stays in the notebook."""

    epochs: int
    text: str

    def __init__(self, epochs: int, done: int) -> None:
        self.epochs, self.text, self._shown = epochs, "", 0.0
        self._handle: Any = None
        self._show(self.line(done, 0.0))

    def update(self, moment: Moment) -> None:
        """A callback of Plan.fit."""
        if moment.done is not None:
            loss, validation = moment.done.loss, moment.done.validation
            self.text = f"loss {loss:.5f}" + ("" if validation is None else f"  validation {validation:.5f}")
        elif time.monotonic() - self._shown < EVERY:
            return
        part = moment.step / moment.steps if moment.steps and moment.done is None else 0.0
        self._show(self.line(moment.epoch - (moment.done is None), part))

    def line(self, done: int, part: float) -> str:
        """The bar after `done` epochs and a part of the next one."""
        share = min((done + part) / self.epochs, 1.0) if self.epochs else 1.0
        full = int(share * WIDTH)
        return f"epoch {done}/{self.epochs} {'█' * full}{'░' * (WIDTH - full)} {self.text}".rstrip()

    def _show(self, line: str) -> None:
        from IPython import display

        show: Any = display.display  # it has no types
        self._shown = time.monotonic()
        data = {"text/plain": line}
        if self._handle is None:
            self._handle = show(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)
