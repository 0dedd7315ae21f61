"""The log of a step's buffers: when each one is allocated, used and freed. A Ledger summarises it.

A real run (recorder.py) and a prediction (schemes.py) write the same kind of log.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

HELD = ("data", "parameters", "gradients", "momentum")  # kinds of buffers that exist before and after a step
WORK = ("activations", "activation gradients", "temporary", "workspace")
PASS = "pass workspace"  # the name of the buffer that holds the results of a Model's layers


@dataclass(eq=False)
class Buffer:
    """A piece of memory, or a value in it. Steps are numbered from 1; 0 means before the first one.

    name       its name in the program: "l1", "w1.g"
    shape, dtype, nbytes
    kind       one of HELD or WORK
    made_by    the operation that it was allocated for
    made       the number of that step
    first_use  the first step that reads or writes it; None: no step does
    last_use   the last such step
    freed      the step after which it was freed; None: it still exists at the end
    shares     the name of the buffer whose memory it is in (its bytes are counted there); None: it has its own
    owner      that buffer
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    kind: str
    made_by: str = ""
    made: int = 0
    first_use: int | None = None
    last_use: int | None = None
    freed: int | None = None
    shares: str | None = None
    owner: Buffer | None = field(default=None, repr=False)

    @property
    def held(self) -> bool:
        """Whether it exists before and after the step: data, parameters, their gradients and their momentum."""
        return self.kind in HELD

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
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
    """One operation of a step.

    number     from 1
    operation  its name
    alive      the most bytes allocated at once, from the end of the previous operation to the end of this one
    """

    number: int
    operation: str
    alive: int


class BufferLog:
    """Buffers and steps in order.

    counts_held: whether held buffers count as alive, too (in a real run it is not known which will be held).
    """

    dtype: np.dtype[Any]
    alive: int

    def __init__(self, dtype: Any = np.float32, counts_held: bool = False) -> None:
        self.dtype = np.dtype(dtype)
        self.counts_held = counts_held
        self.buffers: list[Buffer] = []
        self.steps: list[Step] = []
        self.alive = 0  # bytes allocated now
        self._most = 0  # the most since the last step ended and its operands could be freed
        self._is_new = True  # nothing was allocated since the last step

    def make(self, name: str, shape: Iterable[int], kind: str, dtype: Any = None, nbytes: int | None = None) -> Buffer:
        """A new buffer, allocated for the next step. nbytes: by default the size of its elements."""
        shape, element = tuple(shape), np.dtype(dtype or self.dtype)
        size = math.prod(shape) * element.itemsize if nbytes is None else nbytes
        buffer = Buffer(name, shape, element.name, size, kind, made=len(self.steps) + 1)
        self.buffers.append(buffer)
        if self.counts(buffer):
            before = self.alive if self._is_new else self._most
            self.alive += size
            self._most, self._is_new = max(before, self.alive), False
        return buffer

    def hold(self, name: str, shape: Iterable[int], kind: str, dtype: Any = None, nbytes: int | None = None) -> Buffer:
        """A buffer that existed before the first step."""
        buffer = self.make(name, shape, kind, dtype, nbytes)
        buffer.made, buffer.made_by = 0, "given"
        return buffer

    def share(self, name: str, shape: Iterable[int], kind: str, owner: Buffer) -> Buffer:
        """Another value in the memory of a buffer."""
        shape = tuple(shape)
        size = math.prod(shape) * np.dtype(owner.dtype).itemsize
        shares, made = owner.shares or owner.name, len(self.steps) + 1
        value = Buffer(name, shape, owner.dtype, size, kind, made=made, shares=shares, owner=owner.owner or owner)
        self.buffers.append(value)
        return value

    def counts(self, buffer: Buffer) -> bool:
        """Whether a buffer's bytes count as alive."""
        return buffer.shares is None and (self.counts_held or not buffer.held)

    def step(self, operation: str, *used: Buffer) -> None:
        """Adds an operation that reads or writes these buffers."""
        number = len(self.steps) + 1
        self.steps.append(Step(number, operation, self.alive if self._is_new else self._most))
        self._is_new = True
        for buffer in [*used, *(buffer.owner for buffer in used if buffer.owner is not None)]:
            buffer.first_use = buffer.first_use or number
            buffer.last_use = number
            buffer.made_by = buffer.made_by or operation

    def free(self, *buffers: Buffer) -> None:
        """Marks the buffers as freed after the last step so far."""
        for buffer in buffers:
            if buffer.freed is None:
                buffer.freed = max(buffer.made, len(self.steps))
                if self.counts(buffer):
                    self.alive -= buffer.nbytes
                for value in self.buffers:
                    if value.owner is buffer:
                        value.freed = buffer.freed

    def close(self) -> None:
        """Adds a step for the buffers that were allocated after the last one."""
        unused = [buffer for buffer in self.buffers if buffer.made > len(self.steps)]
        if unused:
            self.step("made, and not used yet", *unused)
