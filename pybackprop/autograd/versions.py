"""Version counters: how often memory was written to through this library, and by what; and `bp.debug()`.

A backward compares the version of each value that it reads with that at the forward pass, so an overwritten value
raises an error instead of giving a wrong gradient.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pybackprop.autograd.protocols import TensorLike

on: bool = False
REMEMBERED = 8  # writes that a version logs
PACKAGE = str(Path(__file__).parent.parent) + "/"


class debug:
    """Detects writes through numpy: `with bp.debug():`, or `bp.debug()` to begin and `bp.debug(False)` to end.

    Applies to all threads. Records file and line of each overwrite through this library, and a checksum (adler32) of
    each value that a recorded operation keeps for its backward. So a backward, and the lesson's `_grad` functions
    where out is on the tape, also notice `t.data[...] = …`, and writes to an array that bp.as_tensor shares. Without
    debug those are not noticed. While it is on, every saved value is read twice more, and a Model calls its layers
    one by one; the results are the same bits. While it is off, it costs the test of one flag.
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
    """Counts the writes to one piece of memory; shared by all views of it.

    count    how many there were
    by       the operation that wrote last; None before the first write
    log      (count, by, file:line) of the last few, while debug is on
    own      only tensors that share this version can share the memory
    foreign  the memory was allocated elsewhere, and may overlap any other
    """

    __slots__ = ("by", "count", "log")

    own = True
    foreign = False
    count: int
    by: str | None
    log: tuple[tuple[int, str, str], ...]

    def __init__(self) -> None:
        self.count = 0
        self.by = None
        self.log = ()

    def wrote(self, operation: str) -> None:
        """Counts a write by an operation."""
        self.count += 1
        self.by = operation
        if on:
            self.remember()

    def remember(self) -> None:
        """Logs where in the caller's program the last counted write was."""
        self.log = (*self.log[1 - REMEMBERED :], (self.count, str(self.by), caller()))

    def overwritten_by(self, read_at: int | None) -> tuple[str, str] | None:
        """(the first operation that wrote after count was read_at, " at file:line" if known); None if unknown."""
        if read_at == self.count or self.by is None:
            return None
        for count, by, where in self.log:
            if read_at is not None and count > read_at:
                return by, f" at {where}"
        return self.by, ""


class ForeignVersion(Version):
    """The version of memory that was allocated elsewhere."""

    __slots__ = ()
    own = False
    foreign = True


class GradientVersion(Version):
    """The version of a gradient's buffer."""

    __slots__ = ()
    own = False


class DerivedVersion(GradientVersion):
    """The version of memory that is written to together with other memory; only the writes to that are counted.

    A plan's step counts its writes to the parameters; counting those to the gradients then costs nothing extra.
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
    writes   the count of `.g`'s own version then: if it has changed, `.g` was filled by hand
    through  `.g` is already the gradient of the values before the operation that overwrote the tensor in place
    gone     why `.g` was dropped; empty if it was not
    """

    __slots__ = ("gone", "through", "values", "writes")

    gone: str
    through: bool
    values: int
    writes: int

    def __init__(self) -> None:
        self.forget("")

    def set(self, values: int, writes: int, through: bool = False) -> None:
        """Records that `.g` was written."""
        self.values, self.writes, self.through, self.gone = values, writes, through, ""

    def forget(self, reason: str) -> None:
        """Records that `.g` was dropped, and why."""
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
