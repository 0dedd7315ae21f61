"""Rules: what is said about each operand of each operation. Importing this registers the library's own rules."""

from pybackprop.teach.explain.rules import (
    activation,
    add,
    arithmetic,
    binary_cross_entropy,
    cross_entropy,
    linear,
    loss,
)
from pybackprop.teach.explain.rules.measured import Measured, MeasuredElementwise
from pybackprop.teach.explain.rules.rule import Marks, Path, Rule, Words, registered, rule
from pybackprop.teach.trace.operation import Operation

__all__ = [
    "Marks",
    "Path",
    "Rule",
    "Words",
    "activation",
    "add",
    "arithmetic",
    "binary_cross_entropy",
    "cross_entropy",
    "linear",
    "loss",
    "rule",
    "rule_for",
]

_MEASURED, _ELEMENTWISE = Measured(), MeasuredElementwise()


def rule_for(op: Operation, slot: int) -> Rule:
    """The rule for one input of an operation: the registered one, or else one that measures."""
    return registered(op, slot) or (_ELEMENTWISE if op.op.elementwise and len(op.inputs) == 1 else _MEASURED)
