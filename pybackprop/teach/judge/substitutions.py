"""Mistakes in which one tensor or gradient of the network stands where another belongs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.evaluate import evaluate
from pybackprop.teach.formula.grammar import Formula, parse
from pybackprop.teach.judge import words
from pybackprop.teach.judge.attempt import Attempt
from pybackprop.teach.judge.conditions import RELUS
from pybackprop.teach.judge.mistake import RELU, Mistake
from pybackprop.teach.judge.mistakes_patterns import close
from pybackprop.teach.judge.question import Question
from pybackprop.teach.judge.roles import HIDDEN, Key, numbered

SKIPPED_STEP = Mistake(
    "skipped-step",
    {"w": ("x.T @ out.g",), "b": ("out.g.sum(0)",)},
    "It would be right with {belongs} in place of {other}, the gradient at {later}. {later} is computed from {earlier} "
    "further on in the forward pass, so its gradient must first be passed back to {earlier}.",
    by_repair=True,
)
TOO_FAR_BACK = Mistake(
    "gradient-too-far-back",
    {"w": ("x.T @ x.g",)},
    "It would be right with {belongs} in place of {other}, the gradient of another tensor, which is not computed from "
    "{place}.",
    by_repair=True,
)
VALUE_BEFORE_RELU = Mistake(
    "value-before-relu",
    {"w": ("l1.T @ out.g",)},
    "It would be right with {belongs}, the value after relu, in place of {other}, the value before it.",
    by_repair=True,
)
VALUE_AFTER_RELU = Mistake(
    "value-after-relu",
    {RELU: ("l2 * l2.g",)},
    "It would be right with {belongs}, the value before relu, in place of {other}, the value after it.",
    by_repair=True,
)
OTHER_TENSOR = Mistake(
    "other-tensor",
    {"x": ("dz @ w2.T",)},
    "It would be right with {belongs} in place of {other}, which is another tensor of the network.",
    by_repair=True,
)
VALUE_AND_GRADIENT = Mistake(
    "value-for-gradient",
    {"w": ("x.T @ out",)},
    "It would be right with {belongs}, a gradient, in place of {other}, a value of the forward pass.",
    by_repair=True,
)
GRADIENT_AND_VALUE = Mistake(
    "gradient-for-value",
    {"w": ("x.g.T @ dz",)},
    "It would be right with {belongs}, a value of the forward pass, in place of {other}, a gradient.",
    by_repair=True,
)
SUBSTITUTIONS = (
    SKIPPED_STEP,
    TOO_FAR_BACK,
    VALUE_BEFORE_RELU,
    VALUE_AFTER_RELU,
    OTHER_TENSOR,
    VALUE_AND_GRADIENT,
    GRADIENT_AND_VALUE,
)
TENSORS = ("value", "grad")


@dataclass(frozen=True)
class Substitution:
    """The right formula with another tensor in one place. words: what the mistake's text says of it."""

    mistake: Mistake
    words: dict[str, str]


def substituted(question: Question, attempts: Sequence[Attempt], proposal: Formula | None) -> Substitution | None:
    """The substitution in the right formula that gives the numbers of all attempts; None if there is none.

    In a proposal that is a formula, what stands in the wrong place must be seen: a name, or a part with its numbers.
    """
    right, used = _right(question), proposal.names if proposal is not None else ()
    for role in right.names if right is not None else ():
        belongs = question.roles.get(role, ("",))
        for other, name in _tensors(question).items():
            if belongs[0] not in TENSORS or other == belongs or not _agrees(question, attempts, right, role, name):
                continue
            if proposal is None or any(question.names.get(known) == other for known in used):
                return Substitution(*_told(question, other, belongs, used))
            if part := _part_with(proposal, attempts, name):
                mistake, said = _told(question, other, belongs, used)
                return Substitution(mistake, {**said, "other": part})
    return None


def _part_with(formula: Formula, attempts: Sequence[Attempt], name: str) -> str | None:
    """The part of a formula that has a tensor's numbers on all samples, such as 2 * (out - targ) / size."""
    for node in ast.walk(formula.tree):
        if isinstance(node, (ast.BinOp, ast.Call)) and all(_is_there(formula, a, node, name) for a in attempts):
            return formula.part(node)
    return None


def _is_there(formula: Formula, attempt: Attempt, node: ast.expr, name: str) -> bool:
    arrays = attempt.sample.arrays
    try:
        return name in arrays and close(evaluate(formula, arrays, part=node).array, arrays[name])
    except FormulaError:
        return False


def exchanged(question: Question, name: str, used: Sequence[str]) -> Iterator[tuple[Mistake, str, dict[str, str]]]:
    """For a name in a formula, all others that could belong there: the mistake, the name, and what is said of it."""
    key = question.names.get(name, ("",))
    if key[0] not in TENSORS:
        return
    for belongs, other in _tensors(question).items():
        if belongs != key:
            mistake, said = _told(question, key, belongs, used)
            yield mistake, other, said


def _right(question: Question) -> Formula | None:
    try:
        return parse(question.kind.right) if question.kind.right else None
    except FormulaError:
        return None


def _tensors(question: Question) -> dict[Key, str]:
    """A name for each value and each gradient but the answer."""
    names: dict[Key, str] = {}
    for name, key in question.names.items():
        if key[0] in TENSORS and not name.startswith(HIDDEN) and key != question.roles.get("answer"):
            names.setdefault(key, name)
    return names


def _agrees(question: Question, attempts: Sequence[Attempt], right: Formula | None, role: str, name: str) -> bool:
    """Whether the right formula, with a tensor in a role that is not its own, gives the attempts' numbers."""
    assert right is not None
    distinguished = False
    for attempt in attempts:
        sample = attempt.sample
        value = _value(right, {**sample.arrays, **sample.roles}, role, sample.arrays.get(name))
        if value is None or not close(np.asarray(attempt.value), np.asarray(value, sample.right.dtype)):
            return False
        distinguished = distinguished or not attempt.is_right
    return distinguished


def _value(right: Formula, arrays: Mapping[str, Array], role: str, array: Array | None) -> Array | None:
    if array is None or array.ndim == 0:  # a single number, such as the loss, stands in no tensor's place
        return None
    try:
        return evaluate(right, {**arrays, role: array}).array
    except FormulaError:
        return None


# ---- what is said of it ----


def _told(question: Question, other: Key, belongs: Key, used: Sequence[str]) -> tuple[Mistake, dict[str, str]]:
    """The mistake of taking `other` where `belongs` belongs, and the words of its text."""

    def called(key: Key) -> str:
        return words.called(question, key, used)

    said = {"other": called(other), "belongs": called(belongs)}
    if (other[0], belongs[0]) == ("value", "grad"):
        return VALUE_AND_GRADIENT, said
    if (other[0], belongs[0]) == ("grad", "value"):
        return GRADIENT_AND_VALUE, said
    if other[0] == "grad":
        place, at = called(("value", belongs[1])), called(("value", other[1]))
        if _comes_from(question, other[1], belongs[1]):
            return SKIPPED_STEP, {**said, "later": at, "earlier": place}
        return TOO_FAR_BACK, {**said, "place": place}
    if _relu_between(question, other[1], belongs[1]):
        return VALUE_BEFORE_RELU, said
    if _relu_between(question, belongs[1], other[1]):
        return VALUE_AFTER_RELU, said
    return OTHER_TENSOR, said


def _comes_from(question: Question, later: int, earlier: int) -> bool:
    """Whether one tensor is computed from another."""
    if question.use is None:
        return False
    ids = numbered(question.use)
    reached = {earlier}
    for operation in question.use.network:  # in the order of the forward pass
        if any(ids[id(operand)] in reached for operand in operation.inputs):
            reached.add(ids[id(operation.output)])
    return later in reached and later != earlier


def _relu_between(question: Question, before: int, after: int) -> bool:
    if question.use is None:
        return False
    ids = numbered(question.use)
    return any(
        operation.op in RELUS and (ids[id(operation.inputs[0])], ids[id(operation.output)]) == (before, after)
        for operation in question.use.network
    )
