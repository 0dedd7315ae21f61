"""What judge knows about an operation; any module can register more.

    NEGATE = Kind("negated", role="z", right="-da")

    @questions(OP, reading=Reading(("z",), "a", aliases={"x": "z", "inp": "z", "out": "a"}))
    def _(use): return NEGATE

An operation that is not registered is judged generically: see Kind and reading_of.
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

Words = Mapping[str, str]  # role -> its name in the text
Roles = Mapping[str, Array]  # role -> its numbers
At = tuple[int, ...]
Terms = Callable[[Roles, Array], tuple[Array, int]]


def _own_terms(roles: Roles, right: Array) -> tuple[Array, int]:
    return np.abs(right), 1


@dataclass(frozen=True)
class Kind:
    """A kind of question: the gradient of one operand of an operation.

    name     the key that the mistakes use
    role     the operand's role
    right    the formula of the right answer, over the roles; None if only the operation's backward is known
    hint     what to look at first
    why      why the formula is right
    terms    a function of (roles, right): for each element, the sum of its terms' absolute values, and the number of
             terms; the tolerance for rounding is relative to these
    element  a function of (words, roles, at): what moves with element `at`, and the terms of its gradient
    """

    name: str
    role: str = ""
    right: str | None = None
    hint: str = ""
    why: str = ""
    terms: Terms = _own_terms
    element: Callable[[Words, Roles, At], tuple[str, Sum]] | None = None


GENERIC = "other"  # the kind of question about an operation that is not registered
Ask = Callable[[Use], "Kind | None"]


def _nothing_known(use: Use) -> Kind | None:
    return None


@dataclass(frozen=True)
class Reading:
    """The role of each tensor in an operation.

    operands  the operands' roles, in order
    result    the result's role
    aliases   other names for roles
    axes      letters for the axes of each, if the operation's record has none
    rows      the role whose axes n and h count; empty: the result
    ahead     whether questions may also use a role of the next operation (its `behind`)
    behind    the role of this operation that questions about the operation before it may use
    kind      a function that gives the kind of question for a use, or None if nothing is known for its shapes
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
    """A decorator: registers the reading of operations, and the decorated function as its `kind`."""

    def register(kind: Ask) -> Ask:
        _READINGS.update(dict.fromkeys(operations, replace(reading, kind=kind)))
        return kind

    return register


def is_known(op: Op | Call) -> bool:
    """Whether a reading of this operation is registered."""
    return op in _READINGS


def reading_of(op: Op | Call, count: int) -> Reading:
    """The reading of an operation with `count` operands: the registered one, or a generic one.

    In a generic reading, operands have the names that the operation gives them, and the rest are x, w, b in order. The
    result of an elementwise operation on one operand is a, as with relu; any other result is z. Both are also out.
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


def generic_kind(use: Use, reading: Reading) -> Kind:
    """A kind with the formula in the operation's record, if there is one."""
    return Kind(GENERIC, reading.operands[use.slot], dict(enumerate(use.op.gradients)).get(use.slot))
