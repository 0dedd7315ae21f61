"""Recognises a typical mistake in a wrong answer from its numbers on several samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.formula.canonical import canonical
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.evaluate import evaluate
from pybackprop.teach.formula.grammar import Formula
from pybackprop.teach.judge.attempt import Attempt
from pybackprop.teach.judge.mistake import Mistake
from pybackprop.teach.judge.mistakes import mistakes_of
from pybackprop.teach.judge.mistakes_patterns import SIZE_FACTOR, close, factor
from pybackprop.teach.judge.question import Question
from pybackprop.teach.judge.repairs import repaired, without_a_factor
from pybackprop.teach.judge.substitutions import substituted

SIZES = ("n", "m", "h", "size")


@dataclass(frozen=True)
class Diagnosis:
    """A recognised mistake, its formula that agrees (if it has formulas), and what its text mentions."""

    mistake: Mistake
    formula: Formula | None
    factor: float = 1.0
    words: Mapping[str, str] = field(default_factory=dict)


def diagnose(question: Question, attempts: Sequence[Attempt], proposal: Formula | None) -> Diagnosis | None:
    """The mistake that explains a wrong answer; None if there is none.

    Its numbers agree with all attempts that have numbers; or else replacing one thing makes the formula right.
    """
    wrong = _distinguishing([attempt for attempt in attempts if attempt.value is not None and _has_rows(attempt)])
    found = _in_the_table(question, wrong, proposal) if wrong else None
    if found is not None and found.mistake.missing and proposal is not None:
        found = _repair(without_a_factor(question, proposal)) or found
    if found is None and wrong:
        found = _repair(substituted(question, wrong, proposal))
    if found is None and proposal is not None:
        found = _repair(repaired(question, proposal))
    return found or _by_a_size(wrong)


def _has_rows(attempt: Attempt) -> bool:
    """Whether there are any numbers: a batch without rows agrees with everything."""
    return all(array.size for array in attempt.sample.roles.values())


def _repair(found: Any) -> Diagnosis | None:
    return None if found is None else Diagnosis(found.mistake, None, words=found.words)


def _in_the_table(question: Question, attempts: Sequence[Attempt], proposal: Formula | None) -> Diagnosis | None:
    matches = [
        match
        for mistake in (*question.mistakes, *mistakes_of(question.kind.name))
        if mistake.holds is None or mistake.holds(question, attempts)
        if (match := _match(question, attempts, mistake)) is not None
    ]
    if not matches or matches[0].formula is None:
        return matches[0] if matches else None
    spelled = [match for match in matches if proposal and match.formula and _same(question, proposal, match.formula)]
    return [*spelled, *matches][0]


def _distinguishing(attempts: Sequence[Attempt]) -> Sequence[Attempt]:
    """Attempts that distinguish between mistakes; none if all of them are right."""
    return [] if all(attempt.is_right for attempt in attempts) else attempts


def _match(question: Question, attempts: Sequence[Attempt], mistake: Mistake) -> Diagnosis | None:
    if mistake.fits is not None:
        return _fits(question, attempts, mistake)
    for formula in mistake.parsed(question.kind.name):
        if _agrees_everywhere(attempts, formula):
            return Diagnosis(mistake, formula)
    return None


def _agrees_everywhere(attempts: Sequence[Attempt], formula: Formula) -> bool:
    distinguished = False
    for attempt in attempts:
        agrees = _agrees(attempt, formula)
        if agrees is False:
            return False
        distinguished = distinguished or (agrees is True and not attempt.is_right)
    return distinguished


def _agrees(attempt: Attempt, formula: Formula) -> bool | None:
    """Whether a mistake's formula gives these numbers; None if this sample has no numbers for a name in it."""
    sample = attempt.sample
    if not set(formula.names) <= sample.roles.keys():
        return None
    try:
        value = evaluate(formula, _aligned(sample.roles, sample.right), products=attempt.products).array
    except FormulaError:
        return False
    return close(np.asarray(attempt.value), np.asarray(value, sample.right.dtype))


def _aligned(roles: Mapping[str, Array], right: Array) -> dict[str, Array]:
    """Targets (n) as the column (n,1) that the output is, or the reverse: the mistakes' formulas say out - targ."""
    aligned = dict(roles)
    targ = roles.get("targ")
    for name in ("out", "z") if targ is not None else ():
        other = roles.get(name)
        if other is not None and targ is not None and other.size == targ.size and other.ndim != targ.ndim:
            if name == "out" and right.shape == targ.shape:  # the question is about the targets
                aligned["out"] = other.reshape(targ.shape)
            else:
                aligned["targ"] = targ.reshape(other.shape)
    return aligned


def _fits(question: Question, attempts: Sequence[Attempt], mistake: Mistake) -> Diagnosis | None:
    """A mistake with a factor: the same factor for all attempts. Any single number has one, so one is not enough."""
    factors = []
    for attempt in attempts:
        sample = attempt.sample
        value = np.asarray(attempt.value, sample.right.dtype)
        with np.errstate(all="ignore"):
            found = mistake.fits(question.kind, sample.roles, sample.right, value)  # type: ignore[misc]
        if found is None and not _dead(attempt):
            return None
        factors += [] if found is None else [found]
    told = sum(attempt.informative for attempt in attempts)
    is_same = bool(factors) and np.allclose(factors, factors[0], rtol=1e-3)
    return Diagnosis(mistake, None, factors[-1]) if is_same and told > 1 else None


def _by_a_size(attempts: Sequence[Attempt]) -> Diagnosis | None:
    """The right answer times a factor that changes with the sizes: the numbers of at least three shapes show it."""
    told = [a for a in attempts if a.value is not None and not _dead(a)]
    with np.errstate(all="ignore"):
        factors = [factor(np.asarray(a.value), a.sample.right) if a.informative > 1 else None for a in told]
    names = [name for name in SIZES if all(name in a.sample.roles for a in told)]
    sizes = {name: np.array([float(a.sample.roles[name]) for a in told]) for name in names}
    shapes = set(zip(*sizes.values(), strict=True))
    if len(shapes) < 3 or None in factors:
        return None
    found = np.array(factors, float)
    for powers in sorted(product((0, 1, -1), repeat=len(names)), key=np.count_nonzero):
        law = np.prod([sizes[name] ** power for name, power in zip(names, powers, strict=True)], axis=0)
        if any(powers) and np.allclose(found / law, found[0] / law[0], rtol=1e-4):
            changing = [name for name, power in zip(names, powers, strict=True) if power]
            return Diagnosis(SIZE_FACTOR, None, factors[0] or 0.0, {"sizes": " and ".join(changing)})
    return None


def _dead(attempt: Attempt) -> bool:
    """Whether a sample tells nothing: the right answer is 0 everywhere, and so is the proposal."""
    return attempt.is_right and not attempt.sample.right.any()


def _same(question: Question, proposal: Formula, formula: Formula) -> bool:
    return canonical(proposal, _in(question.names)) == canonical(formula, _in(question.roles))


def _in(names: dict[str, tuple[object, ...]]) -> Callable[[str], object]:
    return lambda name: names.get(name, name)
