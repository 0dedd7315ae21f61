"""Origins: what a tensor that is off the tape was computed from.

A backward needs none of this. An explanation does: whoever nudges an element and runs the program again moves these
values too. An origin keeps no values alive, only weak references to the operands.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any

DEPTH = 64  # so many operations are followed; a value that is renewed in a loop would collect them without end


class Operand:
    """One operand of an operation off the tape.

    tensor  a weak reference to it
    array   one to its array, which may outlive it where it was made from a tensor's .data; None for results
    count   its version's count when it was read
    origin  its own origin
    """

    __slots__ = ("array", "count", "origin", "tensor")

    tensor: weakref.ref[Any]
    array: weakref.ref[Any] | None
    count: int
    origin: Origin | None

    def __init__(self, tensor: Any) -> None:
        self.tensor = weakref.ref(tensor)
        self.origin = tensor._origin
        self.count = tensor._version.count
        self.array = None if self.origin is not None or tensor._node is not None else weakref.ref(tensor._array)


class Origin:
    """How a tensor off the tape got its values.

    op        the record of the operation
    params    its other arguments
    operands  what it read
    count     the count of the result's version then
    depth     how many operations are known in a row; see DEPTH
    """

    __slots__ = ("count", "depth", "op", "operands", "params")

    op: Any
    params: Mapping[str, Any]
    operands: list[Operand]
    count: int
    depth: int

    def __init__(self, out: Any, op: Any, inputs: Iterable[Any], params: Mapping[str, Any]) -> None:
        self.op, self.params = op, params
        self.count = out._version.count
        self.operands = [Operand(tensor) for tensor in inputs]
        self.depth = 1 + max((o.origin.depth for o in self.operands if o.origin is not None), default=0)
        if self.depth > DEPTH:
            self._forget()

    def _forget(self) -> None:
        """Cuts off what the operands came from."""
        self.depth = 1
        for operand in self.operands:
            operand.origin = FORGOTTEN if operand.origin is not None else None


class _Forgotten(Origin):
    """Takes the place of an origin that was cut off."""

    __slots__ = ()

    def __init__(self) -> None:
        self.op, self.params, self.operands, self.count, self.depth = None, {}, [], 0, 1


FORGOTTEN = _Forgotten()
