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
    array   one to the array of a leaf, which may outlive it where it was made from a tensor's .data
    count   its version's count when it was read
    origin  its own origin
    """

    __slots__ = ("array", "count", "origin", "tensor")

    tensor: weakref.ref[Any]
    array: weakref.ref[Any] | None
    count: int
    origin: Origin | None

    def __init__(self, tensor: Any, origin: Origin | None) -> None:
        self.tensor = weakref.ref(tensor)
        self.count = tensor._version.count
        self.origin = origin
        self.array = weakref.ref(tensor._array) if origin is None else None


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

    def __init__(self, out: Any, op: Any, params: Mapping[str, Any], operands: list[Operand]) -> None:
        self.op, self.params, self.operands, self.count = op, params, operands, out._version.count
        self.depth = 1
        for operand in operands:
            if operand.origin is not None and operand.origin.depth >= self.depth:
                self.depth = operand.origin.depth + 1
        if self.depth > DEPTH:
            self.forget()

    def forget(self) -> None:
        """Cuts off what the operands came from."""
        self.depth = 1
        for operand in self.operands:
            operand.origin = None if operand.origin is None else FORGOTTEN


FORGOTTEN = Origin.__new__(Origin)  # takes the place of what was cut off
FORGOTTEN.op, FORGOTTEN.params, FORGOTTEN.operands, FORGOTTEN.count, FORGOTTEN.depth = None, {}, [], 0, 1


def origin_of(out: Any, op: Any, inputs: Iterable[Any], params: Mapping[str, Any]) -> Origin:
    """The origin of a result that has just been computed off the tape."""
    return Origin(out, op, params, [Operand(t, t._origin if t._node is None else _recorded(t)) for t in inputs])


def _recorded(tensor: Any) -> Origin:
    """The origin of a result on the tape, which a copy of it may outlive; about DEPTH operations are followed."""
    known: dict[int, Origin] = {}
    seen: set[int] = set()
    stack = [(tensor, False)]
    while stack:
        result, done = stack.pop()
        node = result._node
        if done:
            operands = [Operand(t, known.get(id(t), _without_node(t))) for t in node.inputs]
            known[id(result)] = Origin(result, node.op.lasting(), node.params, operands)
        elif node is not None and id(result) not in seen and len(seen) < DEPTH and _is_known(result):
            seen.add(id(result))
            stack += [(result, True), *((t, False) for t in node.inputs)]
    return known.get(id(tensor), _without_node(tensor) or FORGOTTEN)


def _is_known(result: Any) -> bool:
    """Whether the tape says what a result was computed from; of an operation without a derivative, its origin does."""
    return bool(result._node.is_written and result._node.has_derivative)


def _without_node(tensor: Any) -> Origin | None:
    """The origin of a tensor that the tape says nothing about."""
    origin: Origin | None = tensor._origin
    return origin if tensor._node is None else origin or FORGOTTEN
