"""What judge knows of an operation: registered by its record, from here or from anywhere above.

    NEGATE = Kind("negated", role="z", right="-da")

    @questions(OP, reading=Reading(("z",), "a", aliases={"x": "z", "inp": "z", "out": "a"}))
    def _(use): return NEGATE

An operation that nobody registered is judged generically: see Kind and reading_of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.nn.handwritten import Call
from pybackprop.ops import Op
from pybackprop.teach.judge.sums import Sum
from pybackprop.teach.trace.use import Use

Words = Mapping[str, str]  # by role: how the text calls it
Roles = Mapping[str, Array]  # by role: its numbers
At = tuple[int, ...]


def _own_terms(roles: Roles, right: Array) -> tuple[Array, int]:
    return np.abs(right), 1


@dataclass(frozen=True)
class Kind:
    """A kind of question: the gradient of one operand of an operation.

    name     by which the mistakes know it
    role     of the operand
    right    the formula of the right answer, over the roles; None where only the operation's backward is known
    hint     what to look at first
    why      why the formula is right
    terms    of (roles, right): what the absolute values of each number's terms add up to, and how many they are;
             roundings are relative to that
    element  of (words, roles, at): what moves with element at, and the terms of its gradient
    """

    name: str
    role: str = ""
    right: str | None = None
    hint: str = ""
    why: str = ""
    terms: Callable[[Roles, Array], tuple[Array, int]] = _own_terms
    element: Callable[[Words, Roles, At], tuple[str, Sum]] | None = None


GENERIC = "other"  # the kind of question about what nobody registered
Ask = Callable[[Use], "Kind | None"]


def _nothing_known(use: Use) -> Kind | None:
    return None


@dataclass(frozen=True)
class Reading:
    """Which part each tensor plays in an operation.

    operands  the roles of the operands, in order, and result: that of the result
    aliases   other names for roles
    axes      letters for the axes of each, where the operation has none of its own
    rows      the role whose axes n and h count; that of the result where it is empty
    ahead     whether questions also use the role that the next operation gives to a tensor
    behind    the role that it gives to one of its tensors in questions about the operation before it
    kind      the kind of question that a use asks; None where nothing is known of such shapes
    """

    operands: tuple[str, ...]
    result: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    axes: tuple[str, ...] = ()
    rows: str = ""
    ahead: bool = False
    behind: str = ""
    kind: Ask = _nothing_known

    def parts(self, operands: Sequence[Any], result: Any) -> dict[str, Any]:
        """The tensors of one operation by their roles."""
        return {**dict(zip(self.operands, operands, strict=False)), self.result: result}


_READINGS: dict[Op | Call, Reading] = {}


def questions(*operations: Op, reading: Reading) -> Callable[[Ask], Ask]:
    """Registers how operations are read, and the decorated function as what decides the kind of question."""

    def register(kind: Ask) -> Ask:
        _READINGS.update(dict.fromkeys(operations, replace(reading, kind=kind)))
        return kind

    return register


def is_known(op: Op | Call) -> bool:
    """Whether somebody registered how an operation is read."""
    return op in _READINGS


def reading_of(op: Op | Call, count: int) -> Reading:
    """How an operation with so many operands is read: as registered, or generically.

    Generically, operands have the names that the operation gives them, others are x, w, b in order. The result is a
    where each element of one operand z moves its own, as with relu; else z, with out for another name.
    """
    if op in _READINGS:
        return _READINGS[op]
    named = op.operands[:count]
    others = [name for name in ("x", "w", "b", *(f"operand{k}" for k in range(count))) if name not in named]
    operands = (*named, *others)[:count]
    is_activation = op.elementwise and count == 1
    result = next(name for name in ("a" if is_activation else "z", "out", "result") if name not in operands)
    aliases = {"x": operands[0], "inp": operands[0], "out": result} | ({"z": operands[0]} if is_activation else {})
    aliases = {name: role for name, role in aliases.items() if name not in (*operands, result)}
    return Reading(operands, result, aliases, op.axes, ahead=not is_activation)


def kind_of(use: Use) -> Kind:
    """The kind of question that a use asks; generically, with the formula that its operation comes with."""
    reading = reading_of(use.op, len(use.operands))
    if kind := reading.kind(use):
        return kind
    formula = dict(enumerate(use.op.gradients)).get(use.slot)
    return Kind(GENERIC, reading.operands[use.slot], formula)
