"""Book: where buffers are entered as they come, are used and go; what is added up when it is closed is a Ledger.

A real run (watch.py) and a predicted one (ways.py) write the same book.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

HELD = ("data", "parameters", "gradients", "momentum")  # there before the step and after it; kinds of buffers
WORK = ("activations", "activation gradients", "temporary", "workspace")


@dataclass(eq=False)
class Buffer:
    """One piece of memory, or one value in it. Steps are numbered from 1; 0 is before the first one."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    kind: str  # one of HELD or WORK
    made_by: str = ""
    made: int = 0  # the step that it was made for
    first_use: int | None = None
    last_use: int | None = None
    freed: int | None = None  # it went after this step; None: it is still there at the end
    shares: str | None = None  # the buffer in whose memory it is: its bytes are counted there
    owner: Buffer | None = field(default=None, repr=False)  # that buffer itself

    @property
    def held(self) -> bool:
        """Whether it counts as given: data, parameters, their gradients and their momentum."""
        return self.kind in HELD

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "bytes": self.nbytes,
            "created_by": self.made_by,
            "created": self.made,
            "first_use": self.first_use,
            "last_use": self.last_use,
            "freed_after": self.freed,
            "shares_storage_with": self.shares,
        }


@dataclass
class Step:
    """One operation, and the most bytes that were alive from the one before it until its end."""

    number: int
    operation: str
    alive: int


class Book:
    """counts: whether held buffers count as alive too (in a real run nobody knows what will be held)."""

    def __init__(self, dtype: Any = np.float32, counts_held: bool = False) -> None:
        self.dtype = np.dtype(dtype)
        self.counts_held = counts_held
        self.buffers: list[Buffer] = []
        self.steps: list[Step] = []
        self.alive = self._most = 0  # bytes: now, and the most since the last step ended and let go what it could
        self._is_new = True  # nothing was made since the last step

    def make(self, name: str, shape: Iterable[int], kind: str, dtype: Any = None, nbytes: int | None = None) -> Buffer:
        """A new buffer, which the coming step needs. nbytes: where they are not those of its numbers."""
        shape, real = tuple(shape), np.dtype(dtype or self.dtype)
        size = math.prod(shape) * real.itemsize if nbytes is None else nbytes
        made = Buffer(name, shape, real.name, size, kind, made=len(self.steps) + 1)
        self.buffers.append(made)
        if self.counts(made):
            before = self.alive if self._is_new else self._most
            self.alive += size
            self._most, self._is_new = max(before, self.alive), False
        return made

    def hold(self, name: str, shape: Iterable[int], kind: str, dtype: Any = None, nbytes: int | None = None) -> Buffer:
        """A buffer that was there before the first step."""
        made = self.make(name, shape, kind, dtype, nbytes)
        made.made, made.made_by = 0, "given"
        return made

    def share(self, name: str, shape: Iterable[int], kind: str, owner: Buffer) -> Buffer:
        """Another value in the memory of a buffer."""
        shape = tuple(shape)
        size = math.prod(shape) * np.dtype(owner.dtype).itemsize
        made = Buffer(name, shape, owner.dtype, size, kind, made=len(self.steps) + 1, shares=owner.shares or owner.name)
        made.owner = owner.owner or owner
        self.buffers.append(made)
        return made

    def counts(self, buffer: Buffer) -> bool:
        return buffer.shares is None and (self.counts_held or not buffer.held)

    def step(self, operation: str, *used: Buffer) -> None:
        """An operation that reads or writes these."""
        number = len(self.steps) + 1
        self.steps.append(Step(number, operation, self.alive if self._is_new else self._most))
        self._is_new = True
        for buffer in [*used, *(buffer.owner for buffer in used if buffer.owner is not None)]:
            buffer.first_use = buffer.first_use or number
            buffer.last_use = number
            buffer.made_by = buffer.made_by or operation

    def free(self, *buffers: Buffer) -> None:
        """They go, after the step that was last."""
        for buffer in buffers:
            if buffer.freed is None:
                buffer.freed = max(buffer.made, len(self.steps))
                if self.counts(buffer):
                    self.alive -= buffer.nbytes
                for other in self.buffers:
                    if other.owner is buffer:
                        other.freed = buffer.freed

    def close(self) -> None:
        """What came after the last step is a step of its own."""
        if any(buffer.made > len(self.steps) for buffer in self.buffers):
            fresh = [buffer for buffer in self.buffers if buffer.made > len(self.steps)]
            self.step("made, and not used yet", *fresh)
