"""Recognises a typical mistake in a wrong answer from its numbers on several samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.formula.canonical import canonical
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.evaluate import Value, evaluate
from pybackprop.teach.formula.grammar import Formula
from pybackprop.teach.judge.mistake import Mistake
from pybackprop.teach.judge.mistakes import mistakes_of
from pybackprop.teach.judge.mistakes_patterns import close
from pybackprop.teach.judge.question import Question, Sample


@dataclass(frozen=True)
class Attempt:
    """The result of a proposal on one sample: its numbers, or why there are none.

    failed: whether it stopped for another reason than shapes that do not fit, so that it is neither right nor wrong
    """

    sample: Sample
    value: Array | None
    error: str = ""
    slack: float = 50.0  # tolerance for rounding in other operations, in eps of the largest scale
    products: dict[str, Value] = field(default_factory=dict)  # cache of the roles' matrix products, by their text
    failed: bool = False

    def wrong(self) -> Array | None:
        """True for each element that is wrong; None if there are no numbers, or their shape is wrong."""
        right, scale = self.sample.right, self.sample.scale
        if self.value is None or self.value.shape != right.shape:
            return None
        with np.errstate(all="ignore"):
            finite = scale[np.isfinite(scale)]
            slack = self.slack * finite.max(initial=0)
            limit = np.finfo(right.dtype).eps * (8 * scale + slack)
            same = (np.abs(self.value - right) <= limit) | (self.value == right)
        return np.asarray(~(same | (np.isnan(self.value) & np.isnan(right))))

    @cached_property
    def is_right(self) -> bool:
        """Whether it has the right shape, and every element is right up to rounding."""
        wrong = self.wrong()
        return wrong is not None and not wrong.any()


@dataclass(frozen=True)
class Diagnosis:
    """A recognised mistake, its formula that agrees (if it has formulas), and the factor that its text mentions."""

    mistake: Mistake
    formula: Formula | None
    factor: float = 1.0


def diagnose(question: Question, attempts: Sequence[Attempt], proposal: Formula | None) -> Diagnosis | None:
    """The mistake whose numbers agree with all attempts that have numbers; None if there is none."""
    wrong = _distinguishing([attempt for attempt in attempts[1:] if attempt.value is not None])
    wrong = wrong or _distinguishing([attempt for attempt in attempts if attempt.value is not None])
    if not wrong:
        return None
    matches = [
        match
        for mistake in (*question.mistakes, *mistakes_of(question.kind.name))
        if (match := _match(question, wrong, mistake)) is not None
    ]
    if not matches or matches[0].formula is None:
        return matches[0] if matches else None
    spelled = [match for match in matches if proposal and match.formula and _same(question, proposal, match.formula)]
    return [*spelled, *matches][0]


def _distinguishing(attempts: Sequence[Attempt]) -> Sequence[Attempt]:
    """Attempts that distinguish between mistakes; none if all of them are right.

    diagnose tries the other networks first: they are small, in float64, and their numbers are random.
    """
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
        value = evaluate(formula, sample.roles, products=attempt.products).array
    except FormulaError:
        return False
    return close(np.asarray(attempt.value), np.asarray(value, sample.right.dtype))


def _fits(question: Question, attempts: Sequence[Attempt], mistake: Mistake) -> Diagnosis | None:
    factors = []
    for attempt in attempts:
        sample = attempt.sample
        value = np.asarray(attempt.value, sample.right.dtype)
        with np.errstate(all="ignore"):
            factor = mistake.fits(question.kind, sample.roles, sample.right, value)  # type: ignore[misc]
        if factor is None and not _dead(attempt):
            return None
        factors += [] if factor is None else [factor]
    differ = len(factors) > 1 and not np.allclose(factors, factors[0], rtol=1e-3)
    return Diagnosis(mistake, None, factors[-1]) if factors and differ == mistake.varies else None


def _dead(attempt: Attempt) -> bool:
    """Whether a sample tells nothing: the right answer is 0 everywhere, and so is the proposal."""
    return attempt.is_right and not attempt.sample.right.any()


def _same(question: Question, proposal: Formula, formula: Formula) -> bool:
    return canonical(proposal, _in(question.names)) == canonical(formula, _in(question.roles))


def _in(names: dict[str, tuple[object, ...]]) -> Callable[[str], object]:
    return lambda name: names.get(name, name)
