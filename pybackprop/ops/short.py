"""Short calls of the lesson's operations on small tensors: see csrc/eager.c.

A short call does what the operation does, with the same bits, on operands that need no conversion and have nothing
wrong with them. For all others it returns None, with nothing done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from pybackprop.autograd import tape, versions
from pybackprop.autograd.origins import DEPTH, Operand, Origin
from pybackprop.autograd.tensor import Tensor
from pybackprop.autograd.versions import ForeignVersion, GradientPlace, GradientVersion, Version
from pybackprop.core import observer, short_calls
from pybackprop.core.arrays import LARGE
from pybackprop.ops.op import Op

Forward: TypeAlias = Callable[..., "Tensor | None"]
Gradient: TypeAlias = Callable[..., "bool | None"]

WORK = 2**15  # multiplications or elements: some microseconds, in which no other thread of Python runs
CLASSES = (Tensor, Version, GradientPlace, tape.Node, Origin, Operand), (ForeignVersion, GradientVersion)


def calls(op: Op) -> tuple[Forward, Gradient]:
    """An operation's forward and its gradient function as short calls."""
    short = eager(op)
    return getattr(short, op.name, nothing), getattr(short, op.lesson_grad, nothing)


def eager(op: Op) -> Any:
    """The short calls that an operation's record is for; None where there are none."""
    modules = vars(observer), vars(versions)
    given = op, op.lesson_grad, modules, tape.switch, tape.NO_PARAMS
    return short_calls.eager(CLASSES, (LARGE, WORK, DEPTH), *given)


def nothing(*operands: Any) -> None:
    """The short call where there is none."""
