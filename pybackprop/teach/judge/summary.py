"""The outcome of a verdict in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from pybackprop.core.arrays import Array
from pybackprop.teach.judge.attempt import Attempt
from pybackprop.teach.judge.question import Question, Sample


def summary_of(question: Question, attempts: Sequence[Attempt], ok: bool, circular: bool) -> str:
    """Right or wrong, and where. circular: whether the proposal uses the answer itself."""
    own, right = attempts[0], attempts[0].sample.right
    wrong = own.wrong()
    if ok:
        return _right(question, attempts)
    if own.failed:
        return "Wrong: it could not be run here, and where it could, on other networks, it gives wrong numbers."
    if own.value is None:
        return "Wrong: it does not run on these shapes."
    if wrong is None:
        return f"Wrong: it runs, but its shape is {own.value.shape}; that of {question.asked} is {right.shape}."
    if circular:
        return "Not an answer: it uses the very gradient you are asked for."
    if not wrong.any():
        return f"Right only here, by accident: it is wrong on {_missed(attempts)}."
    if right.ndim == 0:
        return "Wrong: it gives a single number, but not the right one."
    return f"Wrong: it runs, its shape {right.shape} is right, and {_count(wrong)}."


def _right(question: Question, attempts: Sequence[Attempt]) -> str:
    size, uses = attempts[0].sample.right.size, question.uses
    values = "the number" if size == 1 else "both values" if size == 2 else f"all {size} values"
    others = [attempt.sample for attempt in attempts[1:]]
    tried = f"and on {networks(attempts[0].sample, others)}" if others else "the only numbers it can be tried on"
    every = "both uses" if uses == 2 else f"all {uses} uses"
    share = f" It is the share of one use; {question.asked} is the sum over {every}." if uses > 1 else ""
    return f"Right: {values}, here, {tried}.{share}"


def _missed(attempts: Sequence[Attempt]) -> str:
    own, others = attempts[0].sample, attempts[1:]
    missed = [attempt.sample for attempt in others if not attempt.is_right]
    if len(missed) == len(others):
        return networks(own, missed)
    return f"{len(missed)} of {networks(own, [attempt.sample for attempt in others])}"


def networks(own: Sample, others: Sequence[Sample]) -> str:
    """How many other networks, and how many of them have other shapes than one's own."""
    count = len(others)
    different = sum(_shapes(sample) != _shapes(own) for sample in others)
    many = f"{count} other network{'s' if count > 1 else ''}"
    if different == count:
        return f"{many} of {'different shapes' if count > 1 else 'another shape'}"
    return f"{many} of the same shape" if not different else f"{many}, {different} of them of other shapes"


def _shapes(sample: Sample) -> dict[str, tuple[int, ...]]:
    return {role: array.shape for role, array in sample.roles.items() if role != "whole"}


def _count(wrong: Array) -> str:
    count = int(wrong.sum())
    if wrong.size == 1:
        return "its only value is wrong"
    return f"{count} of {wrong.size} values {'is' if count == 1 else 'are'} wrong"
