"""Shorter tracebacks: of this package's frames, those where a call entered and where the error was raised.

Frames of other code stay, those of a layer or callback of one's own among them, and so do the causes. The environment
variable PYBACKPROP_TRACEBACK=full leaves every frame.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from types import TracebackType

FULL = os.environ.get("PYBACKPROP_TRACEBACK") == "full"
PACKAGE = str(Path(__file__).resolve().parent.parent) + os.sep


def shorten(error: BaseException) -> None:
    """Removes frames from an error's traceback, in an except clause that ends with a bare `raise`."""
    first = error.__traceback__
    if first is None or FULL:
        return
    frames = _frames(first)
    kept = [at for at in frames if at is frames[-1] or at is first or not _is_ours(at)]
    for at, after in pairwise(kept):
        at.tb_next = after


def _frames(first: TracebackType) -> list[TracebackType]:
    frames, at = [], first.tb_next
    while at is not None:
        frames.append(at)
        at = at.tb_next
    return [first, *frames]


def _is_ours(at: TracebackType) -> bool:
    return at.tb_frame.f_code.co_filename.startswith(PACKAGE)
