"""Watch: what `bp.debug()` switches on: where values are overwritten, and checksums of those that a backward needs.

A version (a list that all views of some memory share) counts the writes through this library: [how many, by what].
While debug is on, who wrote is added to it, with file and line: the last few (how many, by what, where).
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pybackprop.autograd.storage import Storage

on = False
REMEMBERED = 8  # overwrites of one piece of memory
HERE = str(Path(__file__).parent.parent) + "/"


class debug:
    """`with bp.debug():`, or `bp.debug()` from here on and `bp.debug(False)` to end it. In all threads.

    Remembers file and line of each overwrite through this library, and a checksum (adler32) of each value that a
    recorded operation keeps for its backward. So a backward, and the lesson's `_grad` functions where out is on the
    tape, also notice writes through numpy: `t.data[...] = …`, or to an array that bp.as_tensor shares. Without
    debug those are not noticed. Costs the reading of every saved value, twice; a Model calls its layers one by one
    meanwhile. Results are the same bits. Off, it costs a test of one flag.
    """

    def __init__(self, switch: bool = True) -> None:
        global on
        self.before, on = on, bool(switch)

    def __enter__(self) -> debug:
        return self

    def __exit__(self, *_: object) -> None:
        global on
        on = self.before


class Foreign(list[Any]):
    """The version of memory that came from elsewhere, and may be part of anything."""


class OfGradient(list[Any]):
    """The version of a gradient's buffer: what else has it is the same memory, what has not is not."""


class Following(OfGradient):
    """A version of memory that is also written to whenever some other memory is, by those who only count the latter.

    So a plan's step, which counts its writes to the parameters, pays nothing for the gradients that it writes too.
    """

    def __init__(self, *others: list[Any]) -> None:
        super().__init__([0, None])
        self.others = others

    def __getitem__(self, k: Any) -> Any:
        own = super().__getitem__(k)
        if k == 0:
            return own + sum(other[0] for other in self.others)
        return own or "a step of the plan" if k == 1 else own

    def __setitem__(self, k: Any, value: Any) -> None:
        super().__setitem__(k, value - sum(other[0] for other in self.others) if k == 0 else value)


def wrote(version: list[Any], what: str) -> None:
    """Counts a write by the operation `what`."""
    version[0] += 1
    version[1] = what
    if on:
        note(version)


def note(version: list[Any]) -> None:
    """Remembers where the write was that was just counted."""
    del version[2 : max(2, len(version) - REMEMBERED + 1)]
    version.append((version[0], version[1], where()))


def where() -> str:
    """file:line of the caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(HERE):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def seen(tensors: Iterable[Storage]) -> tuple[list[int], str]:
    """The checksums of some values, and where the operation that reads them was called."""
    return [checksum(tensor) for tensor in tensors], where()


def checksum(tensor: Storage) -> int:
    return zlib.adler32(np.ascontiguousarray(tensor._array).reshape(-1).view(np.uint8).data)
