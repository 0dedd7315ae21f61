"""What must be true of the network for a mistake's text to be true, beside the numbers that agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pybackprop import ops

if TYPE_CHECKING:
    from pybackprop.teach.judge.attempt import Attempt
    from pybackprop.teach.judge.question import Question

    Condition = Callable[[Question, Sequence[Attempt]], bool]

RELUS = (ops.RELU, ops.RELU_)


def has(*roles: str) -> Condition:
    """The operation has operands in these roles: a bias, for instance."""
    return lambda question, attempts: question.roles.keys() >= set(roles)


def computed_by_relu(question: Question, attempts: Sequence[Attempt]) -> bool:
    """The tensor that the question is about is the result of a relu."""
    use = question.use
    return use is not None and any(op.output is use.tensor and op.op in RELUS for op in use.network)


def not_computed_by_relu(question: Question, attempts: Sequence[Attempt]) -> bool:
    return not computed_by_relu(question, attempts)


def no_relu_follows(question: Question, attempts: Sequence[Attempt]) -> bool:
    """No relu uses the operation's result."""
    use = question.use
    return use is not None and not any(op.op in RELUS for op, _ in use.network.uses(use.output))


def several_rows(question: Question, attempts: Sequence[Attempt]) -> bool:
    """The learner's numbers have more than one row, so that there is something to add or to forget."""
    roles = question.samples[0].roles
    return "n" in roles and float(roles["n"]) > 1
