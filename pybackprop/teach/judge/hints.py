"""The hints about a wrong answer, from general to particular, and the solution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.formula.grammar import Formula
from pybackprop.teach.judge import element
from pybackprop.teach.judge.attempt import Attempt
from pybackprop.teach.judge.diagnosis import Diagnosis
from pybackprop.teach.judge.proposal import Proposal
from pybackprop.teach.judge.question import Question
from pybackprop.teach.judge.words import index_of

ROLES = ("x", "w", "b", "z", "dz", "a", "da", "out", "targ")
SIZES = ("n", "m", "h", "size")


def hints_of(
    question: Question, attempts: Sequence[Attempt], proposal: Proposal, diagnosis: Diagnosis | None
) -> list[str]:
    """The hints, from general to particular. None of them gives the solution away."""
    words = words_of(question, _used(proposal))
    hints = general_hint(question, words)
    if diagnosis is not None:
        hints.append(diagnosis.mistake.says.format(**{**words, **diagnosis.words}, factor=diagnosis.factor))
    else:
        hints += where_wrong(attempts[0])
    particular = _on_numbers(question, attempts, proposal, diagnosis)
    return hints + ([particular] if particular else [])


def general_hint(question: Question, words: dict[str, str]) -> list[str]:
    """What to look at first; empty for an operation without a hint."""
    return [question.kind.hint.format(**words)] if question.kind.hint else []


def _used(proposal: Proposal) -> list[str]:
    return proposal.formula.names if proposal.formula else []


def words_of(question: Question, used: Sequence[str] = ()) -> dict[str, str]:
    """The names, sizes and index letters that a text may mention."""
    words: dict[str, str] = {role: question.word(role, used) for role in ROLES}
    roles = question.samples[0].roles
    given = [name for name, key in question.roles.items() if key[0] == "given"]
    numbers = {name: f"{float(roles[name]):g}" if name in roles else name for name in (*SIZES, *given)}
    index = index_of(question)
    operand = words.get(question.kind.role, question.asked.removesuffix(".g"))
    letters = {"index": index, "swapped": f"[{','.join(index.strip('[]').split(',')[::-1])}]", "operand": operand}
    return {**words, **numbers, **letters, "answer": question.asked}


def _on_numbers(
    question: Question, attempts: Sequence[Attempt], proposal: Proposal, diagnosis: Diagnosis | None
) -> str | None:
    """A hint about one element: the terms of its gradient, and what the proposal adds instead."""
    attempt = _shown(attempts)
    at = shown_element(attempt)
    used = _used(proposal)
    index = f"[{','.join(map(str, at))}]" if at else ""
    name = question.asked.removesuffix(".g")
    if question.kind.element is None:
        return _numbers_only(question, attempt, at, index)
    words = {role: question.word(role, used) for role in (*ROLES, "size")}
    moves, total = question.kind.element(words, attempt.sample.roles, at)
    text = f"On the numbers{_whose(question, attempts, attempt)}: {moves}. So {name}.g{index} is {total}."
    instead = _instead(attempt, at, proposal, diagnosis)
    return text + (f" There your answer is {instead}." if instead else "")


def _whose(question: Question, attempts: Sequence[Attempt], attempt: Attempt) -> str:
    """Which numbers are shown, and why, if they are not the learner's own."""
    own = attempts[0]
    if attempt is own:
        return ""
    reason = "it runs" if own.value is None else "it is wrong" if own.is_right else "its shape is right"
    shape = f" and {question.asked} has the shape {attempt.sample.right.shape}" if attempt.sample.right.ndim else ""
    return f" of another network, where {reason}{shape}"


def _numbers_only(question: Question, attempt: Attempt, at: tuple[int, ...], index: str) -> str | None:
    wrong = attempt.wrong()
    if wrong is None or attempt.value is None or not wrong.any():
        return None
    right, value = different(float(attempt.sample.right[at]), float(attempt.value[at]))
    return f"On the numbers: {question.asked}{index} is {right}; your answer has {value}."


def different(one: float, other: float) -> tuple[str, str]:
    """Two numbers with as many digits as show that they differ, 4 at least."""
    for digits in range(4, 18):
        texts = f"{one + 0.0:.{digits}g}", f"{other + 0.0:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts


def _instead(attempt: Attempt, at: tuple[int, ...], proposal: Proposal, diagnosis: Diagnosis | None) -> str | None:
    """What the proposal has at an element that is wrong there; None if it has none, or is right there."""
    formula: Formula | None = proposal.formula
    arrays: dict[str, Array] = attempt.sample.arrays
    if formula is None and diagnosis is not None and diagnosis.formula is not None:
        formula, arrays = diagnosis.formula, attempt.sample.roles
    wrong = attempt.wrong()
    if attempt.value is None or wrong is None or not wrong[at]:
        return None
    if formula is not None and (added := element.added(formula, arrays, at)) is not None:
        return str(added)
    return different(float(attempt.value[at]), float(attempt.sample.right[at]))[0]


def _shown(attempts: Sequence[Attempt]) -> Attempt:
    """The attempt to show: that on the learner's own numbers, unless it does not run or is right there."""

    def has_numbers(attempt: Attempt) -> bool:
        return attempt.wrong() is not None and not attempt.is_right

    return next(filter(has_numbers, attempts), attempts[0])


def shown_element(attempt: Attempt) -> tuple[int, ...]:
    """The first element that is visibly wrong, preferably one whose gradient is not 0; or else the first of all."""
    wrong = attempt.wrong()
    right = attempt.sample.right
    if wrong is None or not wrong.any():
        return (0,) * right.ndim
    with np.errstate(all="ignore"):
        visible = wrong & ~(np.abs(attempt.value - right) < 1e-2 * np.abs(right))
    candidates = next(c for c in (visible & (right != 0), visible, wrong & (right != 0), wrong) if c.any())
    return tuple(int(k) for k in np.argwhere(candidates)[0])


def where_wrong(own: Attempt) -> list[str]:
    """Where a proposal is wrong, if it is none of the known mistakes."""
    wrong = own.wrong()
    if own.value is None or wrong is None:
        return []
    if not wrong.any():
        return ["It is right on these numbers, but not on others: so its reason cannot be right."]
    remarks = []
    for axis, name in enumerate(("row", "column")[: wrong.ndim]) if wrong.ndim == 2 else []:
        lines = wrong.any(1 - axis)
        if not lines.all():
            listed = ", ".join(map(str, np.flatnonzero(lines)[:8])) + (", ..." if lines.sum() > 8 else "")
            remarks.append(
                f"Only {name} {listed} is wrong." if lines.sum() == 1 else f"Only {name}s {listed} are wrong."
            )
    with np.errstate(all="ignore"):
        flipped = wrong & (np.abs(own.value + own.sample.right) < 1e-4 * np.abs(own.sample.right))
    if flipped.any() and (flipped == wrong).all():
        remarks.append("The wrong elements have the right size and the wrong sign.")
    if count := int((~np.isfinite(own.value)).sum()):
        remarks.append(f"{count} of its numbers {'is' if count == 1 else 'are'} NaN or infinite.")
    return remarks or ["This is not one of the typical mistakes. Look at one element at a time."]


def solution_of(question: Question, proposal: Proposal) -> str:
    """The right formula, and why."""
    right, why = question.kind.right, question.kind.why
    if right is None:
        return f"{question.asked} comes from the operation's own backward; there is no formula for it here."
    used = _used(proposal)
    words = {role: question.word(role, used) for role in (*ROLES, *question.roles) if role != "answer"}
    return (
        f"Solution: {question.asked} = {question.spelled(right, used)}"
        + (f": {why.format(**words)}" if why else "")
        + "."
    )
