"""Versions: how often memory was written to through this library, and by what; and what `bp.debug()` adds to that.

A backward compares the version of a value that it reads with the one at the forward pass, so an overwritten value is
an error and not a wrong gradient.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pybackprop.autograd.protocols import TensorLike

on = False
REMEMBERED = 8  # overwrites of one piece of memory
PACKAGE = str(Path(__file__).parent.parent) + "/"


class debug:
    """`with bp.debug():`, or `bp.debug()` from here on and `bp.debug(False)` to end it. In all threads.

    Remembers file and line of each overwrite through this library, and a checksum (adler32) of each value that a
    recorded operation keeps for its backward. So a backward, and the lesson's `_grad` functions where out is on the
    tape, also notice writes through numpy: `t.data[...] = …`, or to an array that bp.as_tensor shares. Without
    debug those are not noticed. Costs the reading of every saved value, twice; a Model calls its layers one by one
    meanwhile. Results are the same bits. Off, it costs a test of one flag.
    """

    on: bool

    before: bool

    def __init__(self, switch: bool = True) -> None:
        global on
        self.before, on = on, bool(switch)

    def __enter__(self) -> debug:
        return self

    def __exit__(self, *_: object) -> None:
        global on
        on = self.before


class Version:
    """The writes to some memory; shared by all views of it.

    count    how many there were
    by       the operation that wrote last; None before the first write
    log      (count, by, file:line) of the last few, while debug is on
    own      nothing else can be the same memory, except what shares this version
    foreign  the memory came from elsewhere, and may be part of anything
    """

    __slots__ = ("by", "count", "log")

    own = True
    foreign = False
    count: int
    by: str | None
    log: list[tuple[int, str, str]]

    def __init__(self) -> None:
        self.count = 0
        self.by = None
        self.log = []

    def wrote(self, operation: str) -> None:
        """Counts a write by an operation."""
        self.count += 1
        self.by = operation
        if on:
            self.remember()

    def remember(self) -> None:
        """Notes where in the caller's program the write was that was just counted."""
        del self.log[: max(0, len(self.log) - REMEMBERED + 1)]
        self.log.append((self.count, str(self.by), caller()))

    def overwritten_by(self, read_at: int | None) -> tuple[str, str] | None:
        """(the first operation that wrote after count was read_at, " at file:line" if known); None: nobody is known."""
        if read_at == self.count or self.by is None:
            return None
        for count, by, where in self.log:
            if read_at is not None and count > read_at:
                return by, f" at {where}"
        return self.by, ""


class ForeignVersion(Version):
    """The version of memory that came from elsewhere."""

    __slots__ = ()
    own = False
    foreign = True


class GradientVersion(Version):
    """The version of a gradient's buffer."""

    __slots__ = ()
    own = False


class DerivedVersion(GradientVersion):
    """The version of memory that is written to together with other memory, whose versions alone are counted.

    A plan's step counts its writes to the parameters; the gradients, which it writes too, cost nothing extra.
    """

    __slots__ = ("_by", "_count", "_others")

    def __init__(self, *others: Version) -> None:
        self._others = others
        super().__init__()
        self._count = 0

    @property
    def count(self) -> int:
        return self._count + sum(other.count for other in self._others)

    @count.setter
    def count(self, value: int) -> None:
        self._count = value - sum(other.count for other in self._others)

    @property
    def by(self) -> str:
        return self._by or "a step of the plan"

    @by.setter
    def by(self, operation: str | None) -> None:
        self._by = operation


class GradientPlace:
    """Which values a tensor's `.g` is the gradient of.

    values   the count of the tensor's version when `.g` was written
    writes   the count of `.g`'s own version then: if it has changed, somebody filled `.g` by hand
    through  `.g` has gone back through an operation that overwrote the tensor, to the values before it
    gone     why there is no `.g` any more; empty if nobody took it
    """

    __slots__ = ("gone", "through", "values", "writes")

    gone: str
    through: bool
    values: int
    writes: int

    def __init__(self) -> None:
        self.forget("")

    def set(self, values: int, writes: int, through: bool = False) -> None:
        """`.g` was written."""
        self.values, self.writes, self.through, self.gone = values, writes, through, ""

    def forget(self, reason: str) -> None:
        """There is no `.g` any more, for this reason."""
        self.values = self.writes = -1
        self.through, self.gone = False, reason


def caller() -> str:
    """file:line of the caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def checksums(tensors: Iterable[TensorLike]) -> list[int]:
    """The checksum of each tensor's values."""
    return [checksum(tensor) for tensor in tensors]


def checksum(tensor: TensorLike) -> int:
    """adler32 of the values, row by row."""
    return zlib.adler32(np.ascontiguousarray(tensor._array).reshape(-1).view(np.uint8).data)
